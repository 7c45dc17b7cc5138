"""The lint of lessons: a lesson broken in every way that it knows, each found with its line, and nothing else found."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from funcpipe_rag import laws
from funcpipe_rag.course.commands import app
from funcpipe_rag.course.lessons import LessonError, find_places
from funcpipe_rag.course.lint import lint
from funcpipe_rag.course.new import new_lesson
from funcpipe_rag.course.progression import Registries, registries

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def skeleton(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """A new lesson in a clone that holds nothing else, and what its header may name."""
    clone = tmp_path_factory.mktemp("clone")
    (clone / "modules").mkdir()
    lesson, exercises = new_lesson(clone, "99-tiny", "Fences: when to stop", number=2)
    spec = importlib.util.spec_from_file_location(
        f"funcpipe_rag.course.exercises.{exercises.stem}", exercises
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    known = Registries(
        laws_of=lambda name: laws.of(name) if name == "fence_k" else (),
        exercises={exercise.id: exercise for exercise in module.EXERCISES},
        tests={"tests/test_all.py": "EXERCISES fence_k"},
    )
    return SimpleNamespace(clone=clone, lesson=lesson, exercises=exercises, known=known)


@pytest.fixture
def lesson(skeleton: SimpleNamespace, tmp_path: Path) -> SimpleNamespace:
    """The same lesson, written out: there is nothing left to do."""
    path = tmp_path / skeleton.lesson.relative_to(skeleton.clone)
    path.parent.mkdir(parents=True)
    path.write_text(re.sub(r"TODO:? ?", "", skeleton.lesson.read_text()))
    return SimpleNamespace(path=path, known=skeleton.known, modules=tmp_path / "modules")


def test_a_new_lesson_owes_what_it_says_and_nothing_else(skeleton: SimpleNamespace) -> None:
    found = lint(skeleton.clone / "modules", skeleton.known)
    for path in skeleton.lesson, skeleton.exercises:
        marked = [n for n, line in enumerate(path.read_text().splitlines(), start=1) if "TODO" in line]
        assert [finding.line for finding in found if finding.path == path] == marked
    assert {finding.what for finding in found} == {"TODO"}
    assert f"{skeleton.lesson}:25: TODO; promise in one sentence what the reader can do afterwards." in map(
        str, found
    )


def test_a_lesson_that_is_written_out_owes_nothing(lesson: SimpleNamespace) -> None:
    assert lint(lesson.modules, lesson.known) == []


CELLS = "".join(f"\n```{{code-cell}}\n{n} + {n}\n```\n" for n in range(9))
ASKED = ':tags: [exercise]\n\ndef law(impl) -> bool:\n    ...\n\n\ncheck("m99c02e3", law)'
HINTS = "<details><summary>Hint 1</summary>\na question.\n</details>\n"
WAYS = {
    # name: (what stood there, what stands there now, a word of the line to be named, what is said)
    "part out of order": (
        "### Wrong versions",
        "### When not to\n\nNever.\n\n### Wrong versions",
        "### Wrong versions",
        "“wrong versions” stands below “when not to”; the order is: the problem, predict",
    ),
    "part missing": (
        "### In the RAG builder",
        "### Elsewhere",
        "two questions to discuss",
        "no part “in the RAG builder”",
    ),
    "nothing to watch": (
        "watch(lambda",
        "print(lambda",
        "two questions to discuss",
        "no part “watch it”; it is known by a cell that",
    ),
    "part B without a stop": (
        "## What we saw",
        "## Part B. More\n\n## What we saw",
        "## Part B. More",
        "part B begins without a stop; end part A with **A good place to stop.**",
    ),
    "too many cells": (
        "### When not to",
        CELLS + "\n### When not to",
        "5 + 5",
        "cell 29 of 33; a lesson has 28 at most",
    ),
    "too many minutes": (
        "minutes: {read: 30, exercises: 20}",
        "minutes: {read: 36, exercises: 20}",
        "minutes: {",
        "56 minutes; a lesson takes 55 at most: cut, or make it two",
    ),
    "minutes that disagree": (
        "| time | 30 + 20",
        "| time | 25 + 20",
        "| time",
        "25 + 20 minutes here; the header says 30 + 20: make them agree",
    ),
    "long cell": (
        "yield 2 * number",
        "yield 2 * number\n" + "    pass\n" * 9,
        "def doubled",
        "a code cell of 13 lines; 12 is the most",
    ),
    "comment": (
        "read = []\nfirst",
        "read = []\n# now lazily\nfirst",
        "# now lazily",
        "a comment, # now lazily; say it in the prose",
    ),
    "result in prose": (
        "say what the number above means",
        "the builder kept 2,517 words",
        "2,517",
        "“2,517 words” looks like a result, and no code here sets it; let a cell print it",
    ),
    "measured time": (
        "say what the number above means",
        "it takes 0.25 s",
        "0.25",
        "“0.25 s” looks like a result",
    ),
    "banned word": (
        "a question about the counterexample",
        "Just look",
        "Just look",
        "“Just”; leave the word out",
    ),
    "picture without words": (
        "read the diagram in one sentence.",
        "![](https://example.org/fence.svg)",
        "![](",
        "a picture without words, ![](; say in its alt text what it shows",
    ),
    "dead link": (
        "name the next lesson",
        "[next](03-no.ipynb)",
        "[next]",
        "the link 03-no.ipynb leads nowhere",
    ),
    "two titles": (
        "## What we saw",
        "# What we saw",
        "# What we saw",
        "a second title, “What we saw”; a page has one H1",
    ),
    "heading skipped": (
        "### The idea",
        "#### The idea",
        "#### The idea",
        "“The idea” skips from H2 to H4; use ###",
    ),
    "other title": (
        "# M99C02 Fences",
        "# M99C02 On fences",
        "# M99C02",
        "the title is not the header's; begin the page with",
    ),
    "no row": (
        "| before |",
        "| beforehand |",
        "# M99C02",
        "at a glance: no row “before”; add `| before | … |`",
    ),
    "one thing promised": (
        "a first thing · ",
        "",
        "## What we saw",
        "3 things seen, 2 promised; mirror the glance",
    ),
    "one question recalled": (
        "<details><summary>ask about the last lesson</summary>",
        "<details>",
        "## Recall",
        "1 questions to recall; ask two",
    ),
    "no next": (
        "**Next:**",
        "**Then:**",
        "## What we saw",
        "the end has no **Next:**; write it below what we saw",
    ),
    "unknown function": (
        "functions: [fence_k]",
        "functions: [fence_k, fence_q]",
        "functions:",
        "functions: funcpipe_rag has no fence_q",
    ),
    "unknown law": (
        "laws: [",
        "laws: [fence-is-high, ",
        "laws:",
        "laws: no law fence-is-high about a function of this lesson",
    ),
    "need that comes later": (
        "requires_planned: []",
        "requires_planned: [M99C03]",
        "requires_planned:",
        "requires_planned: M99C03 does not come earlier; need what was taught before",
    ),
    "one hint": (HINTS, "", "def law", "m99c02e3 has 1 folded hints; write two above the cell"),
    "another starter": (
        ASKED,
        ASKED.replace("...", "return True"),
        "def law",
        "the starter is not the one of m99c02e3's data",
    ),
    "nobody checks": (
        ASKED,
        ASKED.replace("check(", "print("),
        "def law",
        "an exercise that nobody checks; end it with",
    ),
    "another function": (
        ASKED,
        ASKED.replace(", law)", ", print)"),
        "def law",
        "m99c02e3 judges law, not print; rename",
    ),
    "unknown helper": (
        "import check, notes,",
        "import Card, check, notes, quiz,",
        "import Card",
        "quiz is no helper of a lesson",
    ),
    "installation": (
        "list(doubled([1, 2, 3]))",
        "!pip install numpy",
        "!pip",
        "an installation, !pip install numpy; name the extra",
    ),
    "asyncio.run": (
        "list(doubled([1, 2, 3]))",
        "import asyncio\nasyncio.run",
        "asyncio.run",
        "asyncio.run, which a notebook refuses",
    ),
    "network": (
        "list(doubled([1, 2, 3]))",
        "from urllib import request",
        "urllib",
        "urllib, which reaches for the network",
    ),
    "sleeping": (
        "list(doubled([1, 2, 3]))",
        "import time\ntime.sleep(1)",
        "time.sleep",
        "time.sleep; take a virtual clock",
    ),
    "sleeping on the loop": (
        "list(doubled([1, 2, 3]))",
        "import asyncio\nawait asyncio.sleep(1)",
        "await asyncio.sleep",
        "asyncio.sleep; take a virtual clock",
    ),
    "sleeping on the loop of a notebook": (
        "list(doubled([1, 2, 3]))",
        "import asyncio\nasync def f():\n    await asyncio.sleep(1)",
        "await asyncio.sleep",
        "asyncio.sleep; take a virtual clock",
    ),
    "sleeping beside the virtual clock": (
        "list(doubled([1, 2, 3]))",
        "import asyncio\nfrom funcpipe_rag.aio.testing import run\nawait asyncio.sleep(1)",
        "await asyncio.sleep",
        "asyncio.sleep; take a virtual clock",
    ),
    "no Python": (
        "list(doubled([1, 2, 3]))",
        "list(doubled([1, 2, 3)))",
        "[1, 2, 3)))",
        "this is no Python: ",
    ),
}


@pytest.mark.parametrize(("old", "new", "line", "said"), WAYS.values(), ids=WAYS)
def test_a_broken_lesson_is_named_by_line(
    lesson: SimpleNamespace, old: str, new: str, line: str, said: str
) -> None:
    text = lesson.path.read_text()
    if old == HINTS:
        old, new = "Here `law` says of an implementation whether it is right.\n\n" + HINTS, "Here.\n\n"
    assert text.count(old) == 1, old
    text = text.replace(old, new)
    if "read: 36" in new:
        text = text.replace("| 30 + 20", "| 36 + 20")
    lesson.path.write_text(text)
    number = next(n for n, words in enumerate(text.splitlines(), start=1) if line in words)
    (finding,) = lint(lesson.modules, lesson.known)
    assert str(finding).startswith(f"{lesson.path}:{number}: {said}")


@pytest.mark.parametrize(
    "prose",
    [
        "You hold 300 words, as the builder's chunks do.",
        "It needs Python 3.11; PEP 479 says why, since 2014.",
        "You have 12 minutes, and `999 items` is code; so is <code>0.5 s</code>.",
        "Look at M03C07, at m99c02e1, at 1 and at k/n.",
        "What is adjusted, justified or oversimplified is another word.",
    ],
)
def test_what_is_no_result_may_stand_in_prose(lesson: SimpleNamespace, prose: str) -> None:
    lesson.path.write_text(lesson.path.read_text().replace("say what the number above means.", prose))
    assert lint(lesson.modules, lesson.known) == []


def test_in_virtual_time_a_coroutine_may_sleep_and_a_heading_is_enough_to_watch(
    lesson: SimpleNamespace,
) -> None:
    text = lesson.path.read_text()
    asleep = "import asyncio\nfrom funcpipe_rag.aio.testing import run\nasync def f():\n    await asyncio.sleep(1)\nrun(f())"
    text = text.replace("list(doubled([1, 2, 3]))", asleep)
    text = text.replace("say in a sentence what the diagram will show.", "### Watch it")
    lesson.path.write_text(re.sub(r"\bwatch\(lambda", "print(lambda", text))
    assert lint(lesson.modules, lesson.known) == []
    lesson.path.write_text(lesson.path.read_text().replace("### Watch it", "### Look at it"))
    (finding,) = lint(lesson.modules, lesson.known)
    assert "no part “watch it”" in str(finding)


def test_too_few_mutants_are_named(lesson: SimpleNamespace) -> None:
    exercises = {id: SimpleNamespace(**vars(exercise)) for id, exercise in lesson.known.exercises.items()}
    exercises["m99c02e2"].mutants = exercises["m99c02e2"].mutants[:3]
    known = Registries(lesson.known.laws_of, exercises, lesson.known.tests)
    assert [str(finding) for finding in lint(lesson.modules, known)] == [
        f"{lesson.path}:19: m99c02e2 was tried on 3 mutants; 4 at least"
    ]


@pytest.fixture
def capstone(lesson: SimpleNamespace) -> SimpleNamespace:
    """The same lesson as the capstone of its module, with two laws that give points."""
    text = lesson.path.read_text()
    text = re.sub(r"(?m)^( *title: ).*$", r'\1"Capstone: all of it"', text, count=1)
    text = re.sub(r"(?m)^# (M99C02) .*$", r"# \1 Capstone: all of it", text, count=1)
    text = text.replace("minutes: {read: 30, exercises: 20}", "minutes: {read: 30, exercises: 60}")
    text = text.replace("| time | 30 + 20", "| time | 30 + 60")
    steps = "".join(f"<details><summary>Step {n}. Go on</summary>\nA word.\n</details>\n" for n in (1, 2))
    text = text.replace("### Core exercise", f"### The path: two steps\n\n{steps}\n### Core exercise", 1)
    for part in "The idea", "Warm-up", "The law":
        text = text.replace(f"### {part}", f"### Once more, {part.lower()}", 1)
    # The diagram stands below the exercise here, where the pipeline is there to be watched.
    watched = re.search(r"(?ms)^```\{code-cell\}\n[^`]*watch\(lambda.*?^```\n", text)
    text = text.replace(watched[0], "").replace("### In the RAG", f"{watched[0]}\n### In the RAG", 1)
    lesson.path.write_text(text)
    exercises = {id: SimpleNamespace(**vars(exercise)) for id, exercise in lesson.known.exercises.items()}
    exercises["m99c02e2"].all_laws = True
    exercises["m99c02e2"].laws = exercises["m99c02e2"].laws[:2]
    known = Registries(lesson.known.laws_of, exercises, lesson.known.tests)
    return SimpleNamespace(path=lesson.path, modules=lesson.modules, known=known, text=text)


def test_a_capstone_has_a_path_in_place_of_an_idea_and_ninety_minutes(capstone: SimpleNamespace) -> None:
    assert [str(finding) for finding in lint(capstone.modules, capstone.known)] == []


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "### The path: two",
            "### Two",
            "no part “the path”; it is known by `### The path: …`, with a `<details>",
        ),
        (
            "<summary>Step 2",
            "<summary>And 2",
            "a path of 1 steps to 2 laws; write a <details><summary>Step N for",
        ),
        ("exercises: 60}", "exercises: 61}", "91 minutes; a capstone takes 90 at most: cut, or make it two"),
        ("### Core exercise", "### Exercise", "no part “core exercise”"),
        ('"Capstone: all', '"All', "90 minutes; a lesson takes 55 at most: cut, or make it two"),
        ('"Capstone: all', '"All', "no part “the idea”"),
    ],
)
def test_a_capstone_owes_its_own_parts(capstone: SimpleNamespace, old: str, new: str, said: str) -> None:
    assert capstone.text.count(old) == 1
    capstone.path.write_text(capstone.text.replace(old, new))
    assert any(said in str(finding) for finding in lint(capstone.modules, capstone.known))


def test_a_lesson_is_linted_by_name(lesson: SimpleNamespace) -> None:
    page = lesson.path.with_name("gallery.md")
    page.write_text("---\npage:\n  title: More\n  browser: yes\n---\n\n# More\n\nThat is simply all.\n")
    assert [f.path.name for f in lint(lesson.modules, lesson.known)] == ["gallery.md"]
    assert lint(lesson.modules, lesson.known, ["M99C02"]) == []
    with pytest.raises(LessonError, match="no lesson M98; there are: M99C02, M99-gallery"):
        lint(lesson.modules, lesson.known, ["M98"])


def test_our_own_lessons_owe_nothing() -> None:
    assert list(map(str, lint(find_places(ROOT).modules, registries(ROOT)))) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("98", "Late"), "no module 98 among 99-tiny; a new one is named NN-slug"),
        (("99", "…"), "a lesson wants a title and a number of 1 to 99, got '…' and 1"),
        (
            ("99", "Late", "--number", "100"),
            "a lesson wants a title and a number of 1 to 99, got 'Late' and 100",
        ),
        (
            ("99", "Late", "--function", "print"),
            "print has no law and no mutant yet, so nothing can judge an exercise",
        ),
    ],
    ids=["module", "title", "number", "function"],
)
def test_a_lesson_that_cannot_be_begun_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], said: str
) -> None:
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "funcpipe-rag"\n')
    (tmp_path / "modules" / "99-tiny").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["new", *arguments])
    assert result.exit_code == 1
    assert result.stderr.startswith(f"error      {said}")
    assert list(tmp_path.rglob("*.md")) == []


@pytest.mark.slow
def test_a_new_lesson_builds_runs_and_is_ruled_by_the_house(tmp_path: Path) -> None:
    """In a copy of this clone, with commands as an author types them."""
    for name in "pyproject.toml", "funcpipe_rag", "modules", "tests":
        (tmp_path / name).symlink_to(ROOT / name)
    for folder in "funcpipe_rag", "funcpipe_rag/course", "funcpipe_rag/course/exercises", "modules":
        (tmp_path / folder).unlink()
        (tmp_path / folder).mkdir()
        for path in (ROOT / folder).iterdir():
            (tmp_path / folder / path.name).symlink_to(path)

    def run(tool: str, *arguments: str, wrong: int = 0) -> str:
        command = [Path(sys.executable).with_name(tool), *arguments]
        env = {**os.environ, "PYTHONPATH": str(tmp_path)}
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
        assert done.returncode == wrong, done.stdout + done.stderr
        return done.stdout

    course = "funcpipe-rag", "course"
    said = run(*course, "new", "99-tiny", "Fences")
    assert said.splitlines()[0] == "wrote      modules/99-tiny/01-fences.md"
    assert said.splitlines()[-1] == "next       funcpipe-rag course build M99C01"
    assert " marked TODO" in said
    assert all(": TODO; " in line for line in run(*course, "lint", "M99C01", wrong=1).splitlines())
    run("ruff", "check", "funcpipe_rag/course/exercises")
    run("ruff", "format", "--check", "funcpipe_rag/course/exercises")
    assert "1 built" in run(*course, "build", "M99C01")
    notebook = (tmp_path / "notebooks/99-tiny/01-fences.ipynb").read_text()
    assert notebook.count("not attempted yet") == 6  # as text and as HTML
    run(*course, "build", "M99C01", "--edition", "solved", "--out", "solved")
    assert (tmp_path / "solved/99-tiny/01-fences.ipynb").read_text().count("every law holds") == 6
