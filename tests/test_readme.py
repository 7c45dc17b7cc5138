"""README.md is believed only because it is run: its Python is executed, its commands exist."""

import doctest
import functools
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from funcpipe_rag import amap
from funcpipe_rag.aio.probe import CallProbe
from funcpipe_rag.aio.testing import run

README = Path(__file__).resolve().parents[1] / "README.md"
SHELLS = {"console", "shell", "sh", "bash"}


class Fence(NamedTuple):
    language: str
    line: int
    text: str


def fences(text: str) -> list[Fence]:
    """The fenced blocks of a Markdown text, each with the number of its first line."""
    found: list[Fence] = []
    opened: tuple[str, str, int, str] | None = None
    body: list[str] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if opened is None:
            if match := re.match(r"( *)(`{3,}|~{3,}) *(\w*)", line):
                opened, body = (match[1], match[2], number + 1, match[3].lower()), []
        elif line.strip().startswith(opened[1]) and not line.strip().strip(opened[1][0]):
            found.append(Fence(opened[3], opened[2], "\n".join(body) + "\n"))
            opened = None
        else:
            body.append(line.removeprefix(opened[0]))
    assert opened is None, f"the fence above line {opened[2]} never ends"
    return found


def commands(fence: Fence) -> list[str]:
    """The commands of a shell block: the lines after `$ `, or every line where no line has a prompt."""
    lines = [line.partition("  #")[0].rstrip() for line in fence.text.replace("\\\n", " ").splitlines()]
    prompted = [line.strip()[2:] for line in lines if line.strip().startswith("$ ")]
    if prompted or fence.language not in SHELLS:
        return prompted
    return [line.strip() for line in lines if line.strip() and not line.strip().startswith("#")]


ALL = fences(README.read_text("utf-8"))
PYTHON = [fence for fence in ALL if fence.language in {"python", "pycon", "py"}]
SHELL = [fence for fence in ALL if fence.language in SHELLS | {"", "text"}]
COMMANDS = [command for fence in SHELL for command in commands(fence)]


def test_there_is_something_to_try() -> None:
    assert PYTHON
    assert {"make lab", "make test"} <= set(COMMANDS)


def run_python(blocks: list[Fence], namespace: dict[str, Any], name: str = "README.md") -> str:
    """Run blocks from top to bottom in one namespace, as a reader would; what went wrong, or nothing."""
    report: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS, verbose=False)
    for block in blocks:
        if ">>>" in block.text:
            examples = doctest.DocTestParser().get_examples(block.text, name)
            test = doctest.DocTest(examples, namespace, name, str(README), block.line - 1, None)
            runner.run(test, out=report.append, clear_globs=False)
            namespace.update(test.globs)
        else:
            exec(compile("\n" * (block.line - 1) + block.text, str(README), "exec"), namespace)
    return "".join(report)


def test_its_python_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_python(PYTHON, {"__name__": "readme"}) == ""


def test_an_example_that_lies_is_found() -> None:
    text = "```python\nx = 1\n```\n\n- in a list\n  ```python\n  >>> x\n  2\n  ```\n"
    report = run_python(fences(text), {})
    assert "Expected:\n    2\nGot:\n    1\n" in report
    assert "line 7" in report


def test_its_pictures_are_what_its_python_draws_and_say_it_in_words(tmp_path: Path) -> None:
    script = Path(__file__).parent / "readme_pictures.py"
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path)], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout == ""
    drawn = {picture.name: picture.read_text("utf-8") for picture in tmp_path.iterdir()}
    kept = {
        picture.name: picture.read_text("utf-8") for picture in (README.parent / "modules/pictures").iterdir()
    }
    assert drawn == kept, "run: python tests/readme_pictures.py modules/pictures"
    assert len(drawn) == README.read_text("utf-8").count("![")


# The command line


@functools.cache
def help_of(*words: str) -> str | None:
    """What `funcpipe-rag WORDS --help` prints, or None where there is no such command."""
    start = "import sys; from funcpipe_rag.cli import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", start, *words, "--help"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "200"},
    )
    return done.stdout if done.returncode == 0 else None


def invocations(command: str) -> list[list[str]]:
    """Each use of funcpipe-rag in a shell line: `cd x && funcpipe-rag ask "…" | head` gives ["ask", "…"]."""
    lexer = shlex.shlex(command, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    uses: list[list[str]] = []
    here: list[str] | None = None
    for word in lexer:
        if set(word) <= set("();<>|&"):
            here = None
        elif here is not None:
            here.append(word)
        elif word.rpartition("/")[2] == "funcpipe-rag":
            here = []
            uses.append(here)
    return uses


def complaint(words: list[str]) -> str | None:
    """What is wrong with these words after `funcpipe-rag`, if anything."""
    chain: list[str] = []
    rest = list(words)
    page = help_of()
    assert page is not None
    while "COMMAND" in page and rest and not rest[0].startswith("-"):
        chain.append(rest.pop(0))
        deeper = help_of(*chain)
        if deeper is None:
            return f"there is no command: funcpipe-rag {' '.join(chain)}"
        page = deeper
    for word in rest:
        option = word.partition("=")[0]
        if re.fullmatch(r"--?[a-z][a-z-]*", option) and not re.search(rf"(?<![\w-]){option}(?![\w-])", page):
            return f"funcpipe-rag {' '.join(chain)} has no option {option}"
    return None


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_it_shows_exists(command: str) -> None:
    assert shlex.split(command)
    for words in invocations(command):
        assert complaint(words) is None


def test_a_command_that_is_not_there_is_found() -> None:
    assert invocations('cd x && .venv/bin/funcpipe-rag ask "a b" --json | head') == [["ask", "a b", "--json"]]
    assert complaint(["no-such-command"]) == "there is no command: funcpipe-rag no-such-command"
    assert complaint(["build", "docs", "--no-such"]) == "funcpipe-rag build has no option --no-such"


def test_what_the_page_says_of_leaving_a_stream_is_true_of_a_block_and_not_of_a_bare_loop() -> None:
    calls = CallProbe(takes={0: 1, 1: 9, 2: 9})
    stage = amap(calls, concurrency=3)

    async def by_a_break(block: bool) -> int:
        stream = stage(range(3))
        if block:
            async with stream:
                async for _ in stream:
                    break
        else:
            async for _ in stream:
                break
        left = calls.live
        await stream.aclose()
        return left

    assert run(by_a_break(block=True)) == 0
    assert run(by_a_break(block=False)) == 2
    assert "Read it in an `async with`" in README.read_text("utf-8")
