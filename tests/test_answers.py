"""Finding an answer in a notebook that a learner, or another editor, has been at."""

import json
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from funcpipe_rag.course.answers import AnswerError, NotebookError, find_answer, read_notebook
from funcpipe_rag.course.exercises import EXERCISES
from funcpipe_rag.course.judging import judge_answer

CHAIN = EXERCISES["m03c07e1"]
RIGHT = """\
def make_chain(*sources):
    def run():
        for source in sources:
            yield from source()
    return run
"""
EAGER = """\
def make_chain(*sources):
    return lambda: iter([item for source in sources for item in source()])
"""


def notebook(*cells: str | tuple[str, str]) -> nbformat.NotebookNode:
    """Code cells; a pair is a cell with a tag."""
    made = []
    for cell in cells:
        source, tag = cell if isinstance(cell, tuple) else (cell, "")
        made.append(new_code_cell(source, metadata={"tags": [tag]} if tag else {}))
    return new_notebook(cells=made)


def exercise(source: str) -> tuple[str, str]:
    return source, "exercise"


def holds(*cells: str | tuple[str, str]) -> bool:
    return all(judge_answer(find_answer(notebook(*cells), CHAIN)))


def test_the_function_comes_with_what_it_uses_and_nothing_else() -> None:
    answer = find_answer(
        notebook(
            "from itertools import chain, count\nprint('x' * 50_000_000)",
            "while True:\n    pass",
            "unused = 1 / 0",
            "def opened(sources):\n    return (source() for source in sources)",
            exercise(
                "def make_chain(*sources):\n    return lambda: flat(opened(sources))\n\nflat = chain.from_iterable\n"
                'for _ in count():\n    pass\ncheck("m03c07e1", make_chain)'
            ),
            "flat = None",
        ),
        CHAIN,
    )
    assert answer.cell == 5
    assert answer.program == (
        "from itertools import chain, count\n\n"
        "def opened(sources):\n    return (source() for source in sources)\n\n"
        "def make_chain(*sources):\n    return lambda: flat(opened(sources))\n\n"
        "flat = chain.from_iterable\n"
    )


def test_a_value_comes_with_all_its_changes() -> None:
    answer = find_answer(
        notebook(
            "seen = ['old']",
            "seen = []",
            "for letter in 'ab':\n    seen.append(letter)",
            "seen[0] = 'c'\nother = seen",
            exercise("def make_chain(*sources):\n    return lambda: iter(seen)"),
        ),
        CHAIN,
    )
    names: dict[str, object] = {}
    exec(answer.program, names)
    assert names["seen"] == ["c", "b"]
    assert "old" not in answer.program
    assert "other" not in answer.program


def test_a_name_that_a_function_calls_its_own_is_not_looked_for() -> None:
    answer = find_answer(
        notebook("source = open('nowhere')\nit = 1 / 0", exercise(f"{RIGHT}\nit = 3")),
        CHAIN,
    )
    assert answer.program.split() == RIGHT.split()


def test_an_untouched_starter_is_known_whatever_its_comments() -> None:
    commented = CHAIN.starter.replace("...", "...  # here?")
    assert find_answer(notebook(exercise(commented)), CHAIN).untouched
    assert not find_answer(notebook(exercise(RIGHT)), CHAIN).untouched


@pytest.mark.parametrize(
    ("cells", "cell"),
    [
        ([exercise(CHAIN.starter), RIGHT], 2),
        ([exercise(RIGHT), exercise(CHAIN.starter)], 1),
        ([exercise(RIGHT), EAGER], 1),
        ([EAGER, exercise(RIGHT)], 2),
        ([exercise(EAGER), exercise(RIGHT)], 2),
        ([EAGER, RIGHT], 2),
        ([exercise(f"{EAGER}\n{RIGHT}")], 1),
        (["from funcpipe_rag import make_chain", exercise(RIGHT), "from funcpipe_rag import make_chain"], 2),
    ],
    ids=[
        "answered below",
        "copied below",
        "scratch below",
        "scratch above",
        "twice",
        "no tags",
        "one cell",
        "imports",
    ],
)
def test_of_several_the_changed_the_tagged_the_last_one_counts(
    cells: list[str | tuple[str, str]], cell: int
) -> None:
    answer = find_answer(notebook(*cells), CHAIN)
    assert answer.cell == cell
    assert cell not in answer.others
    assert all(judge_answer(answer))


def test_the_cells_of_a_split_cell_belong_together() -> None:
    split = (
        exercise("def make_chain(*sources):\n    return lambda: all_of(sources)"),
        exercise("def all_of(sources):\n    for source in sources:\n        yield from source()"),
        exercise('check("m03c07e1", make_chain)'),
    )
    assert holds(*split)
    assert holds("def all_of(sources):\n    return 1 / 0", *split)


def test_other_ways_to_write_a_function_count() -> None:
    assert holds("from itertools import chain", "make_chain = lambda *s: lambda: (x for f in s for x in f())")
    assert holds(RIGHT.replace("make_chain", "mine"), exercise("make_chain = mine"))
    assert holds("import functools", f"@functools.cache\n{RIGHT}")
    assert holds("%%time\n" + RIGHT) and holds(f"%matplotlib inline\n!ls\nprint?\n{RIGHT}")
    assert holds(f"from __future__ import annotations\n{RIGHT.replace('*sources', '*sources: Nowhere')}")


def test_lost_and_double_ids_and_an_old_format_are_no_matter(tmp_path: Path) -> None:
    made = notebook("x = 1", exercise(RIGHT), exercise(CHAIN.starter))
    made.cells.insert(0, new_markdown_cell("# One"))
    content = json.loads(nbformat.writes(made))
    path = tmp_path / "a.ipynb"

    def saved(change) -> Path:
        cells = json.loads(json.dumps(content))
        change(cells)
        path.write_text(json.dumps(cells))
        return path

    def no_ids(one: dict) -> None:
        for cell in one["cells"]:
            del cell["id"]

    def same_ids(one: dict) -> None:
        for cell in one["cells"]:
            cell["id"] = "a"

    def old_format(one: dict) -> None:
        no_ids(one)
        one["nbformat_minor"] = 2

    def in_one_piece(one: dict) -> None:
        for cell in one["cells"]:
            cell["source"] = "".join(cell["source"])

    for change in no_ids, same_ids, old_format, in_one_piece:
        assert find_answer(read_notebook(saved(change)), CHAIN).cell == 3
    path.write_text(nbformat.writes(nbformat.convert(made, 3), version=3))
    older = find_answer(read_notebook(path), CHAIN)
    assert "yield from source()" in older.program
    assert all(judge_answer(older))


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        ([], "there is no make_chain: no cell is an exercise's"),
        (
            [exercise(RIGHT.replace("make_chain", "my_chain"))],
            "no make_chain, but a my_chain: name it make_chain",
        ),
        (
            [exercise("total = 1"), exercise("def f(): ...")],
            "its exercise cells define total, f; `funcpipe-rag course",
        ),
        ([EXERCISES["m03c07e2"].starter], "there is no make_chain: no cell is an exercise's"),
        (["x = 1", exercise(RIGHT.replace("sources):", "sources)"))], "cell 2, line 1: expected ':'"),
        ([exercise("check('m03c07e1', make_chain")], "cell 1, line 1: '(' was never closed"),
        ([exercise(RIGHT + "\x00")], "cell 1"),
    ],
)
def test_what_is_missing_is_named_with_what_is_there(cells: list[str | tuple[str, str]], said: str) -> None:
    with pytest.raises(AnswerError) as missing:
        find_answer(notebook(*cells), CHAIN)
    assert said in str(missing.value)


def test_a_cell_that_cannot_be_read_does_not_hide_a_good_answer() -> None:
    assert holds("def (", exercise(RIGHT), "%%bash\nls | wc")


def test_code_nested_too_deeply_is_refused_in_words() -> None:
    deep = "deep = " + "(" * 5000 + ")" * 5000
    assert holds(deep, exercise(RIGHT))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{", "its text is not JSON"),
        (b"# a lesson", "its text is not JSON"),
        (b"\xff\xfe", "byte 0 is not UTF-8"),
        (b"[]", "is no notebook"),
        (b"{}", "is no notebook"),
        (
            b'{"cells": 3, "nbformat": 4, "nbformat_minor": 5, "metadata": {}}',
            "it has no cells that can be read",
        ),
        (b'{"cells": [{"cell_type": "code"}], "nbformat": 4}', "it has no cells that can be read"),
        (b'{"worksheets": 7, "nbformat": 3}', "it has no cells that can be read"),
        (b"[" * 100_000, "its text is not JSON"),
    ],
)
def test_a_file_that_is_no_notebook_is_refused_in_words(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "a.ipynb"
    path.write_bytes(content)
    with pytest.raises(NotebookError, match=said):
        read_notebook(path)
    with pytest.raises(NotebookError, match="cannot be read: No such file"):
        read_notebook(tmp_path / "b.ipynb")


def test_a_function_that_never_comes_back_costs_one_law() -> None:
    answer = find_answer(
        notebook(exercise("def make_chain(*sources):\n    while True:\n        pass")), CHAIN
    )
    (verdict,) = judge_answer(answer, seconds=0.5)
    assert not verdict.passed
    assert verdict.final
    assert verdict.came in ("no answer in time", "nothing came for a while, and nothing was asked for")


def test_a_function_that_is_slow_each_time_costs_one_law() -> None:
    slow = "import time\n" + RIGHT.replace("    def run", "    time.sleep(0.2)\n    def run")
    (verdict,) = judge_answer(find_answer(notebook(exercise(slow)), CHAIN), seconds=1)
    assert "inputs took 1 seconds, and the law was not through" in verdict.came


def test_what_a_function_prints_is_thrown_away() -> None:
    loud = RIGHT.replace("    def run", "    print('x' * 1_000_000)\n    def run")
    assert holds(exercise(loud))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("limit = nobody", "cell 2: NameError: name 'nobody' is not defined"),
        ("import sys\nlimit = sys.exit(3)", "SystemExit"),
        ("import os\nlimit = os._exit(3)", "the process has ended"),
    ],
)
def test_code_that_stops_before_the_function_is_named(line: str, said: str) -> None:
    using = RIGHT.replace("    def run", "    limit\n    def run")
    with pytest.raises(AnswerError, match=said):
        judge_answer(find_answer(notebook(line, exercise(using)), CHAIN))
