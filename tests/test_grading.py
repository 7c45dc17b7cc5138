"""A class, graded: what is found, what it earns, and what no cheat gets out of it."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from io import StringIO
from pathlib import Path

import nbformat
import pytest
from typer.testing import CliRunner

from funcpipe_rag.course.commands import app
from funcpipe_rag.course.editions import Edition, notebook_of
from funcpipe_rag.course.exercises import EXERCISES
from funcpipe_rag.course.feedback import class_page, feedback_page
from funcpipe_rag.course.gradebook import Platform, grades_csv, platform_csv
from funcpipe_rag.course.grading import Graded, Result, Rules, file_name, grade, grade_all, results_text
from funcpipe_rag.course.lessons import Lesson, find_pages, find_places
from funcpipe_rag.course.similarity import similar
from funcpipe_rag.course.submissions import (
    MOST as MOST_NOTEBOOKS,
    HandedInError,
    Submission,
    find_submissions,
    read_roster,
)
from funcpipe_rag.laws.confinement import protections

LESSONS = {page.id: page for page in find_pages(find_places().modules) if isinstance(page, Lesson)}
C07 = Rules(LESSONS["M03C07"].exercises)
CONFINED = all(one.by for one in protections())
linux = pytest.mark.skipif(not CONFINED, reason="this system cannot confine a process")


def notebook(
    lesson: str = "M03C07", answers: Mapping[str, str] | None = None, *, solved: bool = False
) -> nbformat.NotebookNode:
    made = notebook_of(LESSONS[lesson], Edition.solved if solved else Edition.learner, fingerprint="")
    for id, source in (answers or {}).items():
        cell = next(
            cell
            for cell in made.cells
            if f'check("{id}"' in cell.source and "exercise" in cell.metadata.get("tags", ())
        )
        cell.source = f'{source}\n\n\ncheck("{id}", {EXERCISES[id].function})'
    return made


def handed_in(folder: Path, learner: str = "ada", **answers: str) -> Submission:
    place = folder / learner
    place.mkdir(parents=True)
    nbformat.write(notebook(answers=answers), place / "07.ipynb")
    return next(one for one in find_submissions(folder) if one.learner == learner)


def result(graded: Graded, exercise: str) -> Result:
    return next(one for one in graded.results if one.exercise == exercise)


def only(folder: Path, exercise: str, program: str) -> Result:
    rules = Rules((exercise,))
    return result(grade(handed_in(folder, **{exercise: program}), rules), exercise)


def test_every_solved_lesson_gets_all_its_points(tmp_path: Path) -> None:
    place = tmp_path / "ada"
    place.mkdir()
    for lesson in LESSONS:
        nbformat.write(notebook(lesson, solved=True), place / f"{lesson}.ipynb")
    rules = Rules(tuple(id for lesson in LESSONS.values() for id in lesson.exercises))
    graded = grade(find_submissions(tmp_path)[0], rules)
    assert [(one.exercise, one.where) for one in graded.results if one.points < one.of] == []
    assert graded.of == sum(exercise.points for exercise in EXERCISES.values())


def test_a_naive_capstone_has_its_points_by_law(tmp_path: Path) -> None:
    eager = """
from itertools import chain, zip_longest

def my_rag(sources, *, size, overlap, max_chunks, **_):
    rows = zip_longest(*[source() for source in sources])
    chunks = []
    for name, text in filter(None, chain.from_iterable(rows)):
        start = stop = 0
        while stop < len(text):
            stop = min(start + size, len(text))
            chunks.append((name, start, stop, text[start:stop]))
            start += size - overlap
    return lambda: iter(chunks[:max_chunks])
"""
    place = tmp_path / "ada"
    place.mkdir()
    nbformat.write(notebook("M03C11", {"m03c11e1": eager}), place / "11.ipynb")
    got = result(grade(find_submissions(tmp_path)[0], Rules(("m03c11e1",))), "m03c11e1")
    assert got.points == 50
    assert {law.promise for law in got.laws if law.state == "broken"} == {
        "On demand",
        "Closed",
        "Paced",
        "Watched",
        "Flat",
    }


ROUNDROBIN = {
    "stops_with_the_shortest": """
def make_roundrobin(*sources):
    def run():
        for row in zip(*[source() for source in sources]):
            yield from row
    return run
""",
    "treats_none_as_end": """
def make_roundrobin(*sources):
    def run():
        live = [source() for source in sources]
        opened = list(live)
        try:
            while live:
                for it in list(live):
                    item = next(it, None)
                    if item is None:
                        live.remove(it)
                    else:
                        yield item
        finally:
            for it in reversed(opened):
                it.close()
    return run
""",
    "leaks_its_sources": """
END = object()

def make_roundrobin(*sources):
    def run():
        live = [source() for source in sources]
        while live:
            for it in list(live):
                item = next(it, END)
                if item is END:
                    live.remove(it)
                else:
                    yield item
    return run
""",
}


@linux
@pytest.mark.parametrize(
    ("wrong", "points", "broken"),
    [
        ("stops_with_the_shortest", 0, ["Same answer"]),
        ("treats_none_as_end", 4, ["Same answer", "Fresh"]),
        ("leaks_its_sources", 5, ["Closed"]),
    ],
)
def test_a_wrong_answer_keeps_the_points_of_the_laws_that_it_keeps(
    tmp_path: Path, wrong: str, points: int, broken: list[str]
) -> None:
    got = only(tmp_path, "m03c07e2", ROUNDROBIN[wrong])
    assert (got.state, got.points, got.of) == ("judged", points, 6)
    said = [law for law in got.laws if law.state == "broken"]
    assert [law.promise for law in said] == broken
    assert said[0].smallest and said[0].came and said[0].hint


NOTHING_FOR_IT = {
    "gives nothing": "def make_chain(*sources):\n    return lambda: iter(())",
    "syntax error": "def make_chain(*sources)\n    return 3",
    "renamed": "def make_chains(*sources):\n    return lambda: (x for source in sources for x in source())",
    "no function": "make_chain = 3",
    "raises when defined": "1 / 0\ndef make_chain(*sources):\n    return 1 / zero\nzero = 1 / 0",
}

SOLVED = "def make_chain(*sources):\n    return lambda: (x for source in sources for x in source())"


@linux
@pytest.mark.parametrize("program", NOTHING_FOR_IT.values(), ids=NOTHING_FOR_IT)
def test_what_is_no_answer_earns_nothing_and_is_told_why(tmp_path: Path, program: str) -> None:
    got = only(tmp_path, "m03c07e1", program)
    assert got.points == 0
    assert got.where or any(law.came for law in got.laws)


@linux
@pytest.mark.parametrize("said", [True, False, None])
def test_a_law_that_always_says_the_same_earns_nothing(tmp_path: Path, said: object) -> None:
    place = tmp_path / "ada"
    place.mkdir()
    program = f"def law(xs: list, runs: list) -> bool:\n    return {said}"
    nbformat.write(notebook("M03C03", {"m03c03e3": program}), place / "03.ipynb")
    graded = grade(find_submissions(tmp_path)[0], Rules(("m03c03e3",)))
    assert (graded.points, graded.of) == (0, 2)
    assert ", 0 of 0" not in feedback_page(graded) and ": 0 of 2" in feedback_page(graded)


CHEATS = {
    # the check, Hypothesis and the results, from within
    "patches check": "import funcpipe_rag.course\nfuncpipe_rag.course.check = lambda *a: '✓'\ndef make_chain(*s): return lambda: iter(())",
    "patches hypothesis": "import hypothesis\nhypothesis.given = lambda *a, **k: lambda f: f\ndef make_chain(*s): return None",
    "forges results": "open('results.json', 'w').write('{\"points\": 5}')\ndef make_chain(*s): return lambda: iter(())",
    "prints a verdict": "print('✓ m03c07e1 make_chain: every law holds')\ndef make_chain(*s): return lambda: iter(())",
    "leaves with 0": "import sys\ndef make_chain(*s): sys.exit(0)",
    "leaves at once": "import os\ndef make_chain(*s): os._exit(0)",
    "equals everything": (
        "class Same(list):\n    def __eq__(self, other): return True\n    def __repr__(self): return '[]'\n"
        "def make_chain(*s): return lambda: Same()"
    ),
    "claims another repr": (
        "class Liar:\n    def __repr__(self): return '[0]'\n    def __iter__(self): return iter([Liar()])\n"
        "def make_chain(*s): return lambda: iter([Liar()])"
    ),
    # what is not its own
    "reads the laws": (
        "import importlib.util\nhere = importlib.util.find_spec('funcpipe_rag').origin\n"
        "text = open(here.replace('__init__', 'laws/fan_in')).read()\ndef make_chain(*s):\n    text\n    return lambda: iter(())"
    ),
    "imports the laws": "from funcpipe_rag.laws import LAWS\ndef make_chain(*s):\n    LAWS\n    return lambda: iter(())",
    "fetches the answer": "from funcpipe_rag import make_chain as theirs\ndef make_chain(*s): return theirs(*s)",
    "fetches it from its file": "import funcpipe_rag.streams.fan_in as f\ndef make_chain(*s): return f.make_chain(*s)",
    "reads the frames of its judge": (
        "import sys\ndef make_chain(*s):\n    frame, found = sys._getframe(), []\n    while frame:\n"
        "        found += [v for k, v in frame.f_locals.items() if k in ('law', 'expected', 'probes')]\n"
        "        frame = frame.f_back\n    return lambda: iter(found)"
    ),
    "searches the heap": (
        "import gc\ndef make_chain(*s):\n    found = [o for o in gc.get_objects() if type(o).__name__ in ('Law', 'Probe')]\n"
        "    return lambda: iter(found)"
    ),
    "talks on the wire itself": (
        "import os\ndef make_chain(*s):\n    for fd in range(3, 20):\n        try:\n"
        '            os.write(fd, b\'["gave", ["list", []]]\\n\' * 50)\n        except OSError:\n            pass\n'
        "    return lambda: iter(())"
    ),
    "sends nonsense": (
        "import os\ndef make_chain(*s):\n    for fd in range(3, 20):\n        try:\n            os.write(fd, b'}{' * 50 + b'\\n')\n"
        "        except OSError:\n            pass\n    return lambda: iter(())"
    ),
    "floods its judge": (
        "import os\ndef make_chain(*s):\n    while True:\n        for fd in range(3, 9):\n            try:\n"
        "                os.write(fd, b'[\"reset\", 99, [], []]\\n' * 1000)\n            except OSError:\n                pass"
    ),
    "talks without end": (
        "import os\ndef make_chain(*s):\n    while True:\n        for fd in range(3, 9):\n            try:\n"
        "                os.write(fd, b'x' * 60_000)\n            except OSError:\n                pass"
    ),
    # the limits
    "starts processes": "import os\ndef make_chain(*s):\n    while True: os.fork()",
    "starts a program": "import subprocess\ndef make_chain(*s):\n    subprocess.Popen(['sleep', '600'])\n    return lambda: iter(())",
    "takes all memory": "def make_chain(*s):\n    big = [bytearray(1 << 28) for _ in range(100)]\n    return lambda: iter(())",
    "calls home": "import socket\ndef make_chain(*s):\n    socket.create_connection(('127.0.0.1', 9))\n    return lambda: iter(())",
    "signals its judge": "import os\ndef make_chain(*s):\n    os.kill(os.getppid(), 9)\n    return lambda: iter(())",
}


@linux
@pytest.mark.parametrize("program", CHEATS.values(), ids=CHEATS)
def test_a_cheat_earns_nothing(tmp_path: Path, program: str) -> None:
    got = only(tmp_path, "m03c07e1", program)
    assert got.points == 0, got
    assert got.state in ("judged", "does not load", "not found")
    for law in got.laws:
        assert str(tmp_path) not in law.came and "site-packages" not in law.came


GOES_ON = """
import os
class Chained:
    def __init__(self, sources): self.rest = (x for source in sources for x in source())
    def __iter__(self): return self
    def __next__(self): return next(self.rest)
    def __del__(self): {done}
def say(line):
    for fd in range(3, 12):
        try:
            os.write(fd, line)
        except OSError:
            pass
def make_chain(*sources): return lambda: Chained(sources)
"""
AT_LOAD = """
import os
class OverPulled(Exception): pass
def say(line):
    for fd in range(3, 12):
        try:
            os.write(fd, line)
        except OSError:
            pass
def early():
    {done}
early = early()
def make_chain(*sources): return early
"""
SAME_HASH = "say(b'[\"gave\",[\"set\",[' + b','.join(b'%d' % (n * ((1 << 61) - 1)) for n in range(500_000)) + b']]]\\n')"

BETWEEN = {
    "leaves between two inputs": GOES_ON.format(done="os._exit(0)"),
    "hangs between two inputs": GOES_ON.format(done="[0 for _ in iter(int, 1)]"),
    "raises between two inputs": GOES_ON.format(
        done="""say(b'["raised",["mine",1,"OverPulled","x",[]]]\\n')"""
    ),
    "asks what cannot be asked": GOES_ON.format(done="""say(b'["next",0,[],[[]]]\\n')"""),
    "raises what is no exception here": AT_LOAD.format(done="raise OverPulled('x')"),
    "says half a message": AT_LOAD.format(done="""say(b'["call"]\\n')"""),
    "gives a set of one hash": AT_LOAD.format(done=SAME_HASH),
    "makes its judge search": "def make_chain(*s): return lambda: iter(['<' * 400_000 + ' at 0x'])",
}


# These two are stopped by the clock alone, and not before every law has had its time.
UNTIL_THE_CLOCK = ["hangs between two inputs", "gives a set of one hash"]


@linux
@pytest.mark.parametrize(
    "program",
    [
        pytest.param(program, id=name, marks=[pytest.mark.slow] if name in UNTIL_THE_CLOCK else [])
        for name, program in BETWEEN.items()
    ],
)
def test_what_comes_at_a_bad_time_ends_the_child_and_not_the_run(tmp_path: Path, program: str) -> None:
    got = only(tmp_path, "m03c07e1", program)
    assert got.points == 0
    assert got.state == "does not load" or any(law.came for law in got.laws)


@linux
@pytest.mark.parametrize(
    "program",
    [
        "def make_chain(*s): raise TypeError('a' * 1_000_000 + '() argument')",
        "E = type('E' * 1_000_000, (Exception,), {})\ndef early(): raise E('\\x1b')\nearly = early()\n"
        "def make_chain(*s): return early",
    ],
)
def test_what_is_told_of_an_answer_has_an_end(tmp_path: Path, program: str) -> None:
    got = only(tmp_path, "m03c07e1", program)
    assert len(json.dumps(asdict(got))) < 10_000 and "\x1b" not in got.where


@linux
@pytest.mark.parametrize("landlock", [1, 9])
def test_an_older_landlock_leaves_nothing_open(tmp_path: Path, landlock: int) -> None:
    (tmp_path / "own").mkdir()
    for place in (tmp_path / "kept", tmp_path / "own" / "kept"):
        place.write_text("kept")
    program = f"""
import fcntl, os, sys
from funcpipe_rag.laws import confinement
there = confinement._landlock_version()
confinement._landlock_version = lambda: min({landlock}, there)
confinement.confine(confinement.Limits(), {str(tmp_path / "own")!r})
reading, writing = os.pipe()
for tried in (
    lambda: os.truncate({str(tmp_path / "kept")!r}, 0),
    lambda: os.open({str(tmp_path / "own" / "kept")!r}, os.O_RDONLY | os.O_TRUNC),
    lambda: fcntl.fcntl(reading, fcntl.F_SETOWN, os.getppid()),
    lambda: os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0)),
):
    try:
        tried()
    except PermissionError:
        print("refused")
"""
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert told.stdout.split() == ["refused"] * 4
    assert (tmp_path / "kept").read_text() == (tmp_path / "own" / "kept").read_text() == "kept"


@linux
def test_a_cheat_next_door_changes_nobody_else_s_result(tmp_path: Path) -> None:
    evil = (
        "import os, pathlib\ndef make_chain(*s):\n    for place in pathlib.Path('/').glob('tmp/**/*.json'):\n"
        "        place.write_text('{}')\n    return lambda: iter(())"
    )
    handed_in(tmp_path / "in", "mallory", m03c07e1=evil)
    handed_in(tmp_path / "in", "ada", m03c07e1=SOLVED)
    rules = Rules(("m03c07e1",))
    graded = [one for one, _ in grade_all(find_submissions(tmp_path / "in"), rules, tmp_path / "out", jobs=2)]
    assert {one.learner: one.points for one in graded} == {"ada": 5, "mallory": 0}
    assert json.loads((tmp_path / "out" / "ada.json").read_text())["graded"]["learner"] == "ada"


@linux
@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("open({folder!r} + '/x', 'w')", "PermissionError"),
        ("os.unlink({folder!r} + '/kept')", "PermissionError"),
        ("os.chmod({folder!r} + '/kept', 0o777)", "PermissionError"),
        ("os.listdir({folder!r})", "PermissionError"),
        ("open({folder!r} + '/kept').read()", "PermissionError"),
        ("open('in-its-own-folder', 'w')", "PermissionError"),
        ("os.environ['HOME']", "KeyError"),
        ("open('/proc/self/environ').read()", "PermissionError"),
        ("resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY,) * 2)", "ValueError"),
    ],
)
def test_what_a_confined_program_tries_is_refused_by_the_system(tmp_path: Path, what: str, said: str) -> None:
    (tmp_path / "kept").write_text("kept")
    program = f"import os, resource\ndef make_chain(*s):\n    {what.format(folder=str(tmp_path))}\n    return lambda: iter(())"
    got = only(tmp_path / "in", "m03c07e1", program)
    assert got.laws[0].came.startswith(f"it raised {said}")
    assert (tmp_path / "kept").read_text() == "kept"
    assert not (tmp_path / "x").exists()


@linux
def test_a_loop_without_end_costs_its_law_and_not_the_submission(tmp_path: Path) -> None:
    spins = "def make_chain(*sources):\n    while True: pass"
    graded = grade(handed_in(tmp_path, m03c07e1=spins, m03c07e2=ROUNDROBIN["leaks_its_sources"]), C07)
    assert [one.points for one in graded.results] == [0, 5, 0, 0]
    assert (
        "nothing came" in graded.results[0].laws[0].came
        or "no answer in time" in graded.results[0].laws[0].came
    )


def _without_ids(made: nbformat.NotebookNode) -> None:
    for cell in made.cells:
        cell.pop("id", None)
    made.nbformat_minor = 4


def _duplicated(made: nbformat.NotebookNode) -> None:
    place = next(place for place, cell in enumerate(made.cells) if 'check("m03c07e1"' in cell.source)
    made.cells.insert(place, nbformat.from_dict(dict(made.cells[place])))


def _split(made: nbformat.NotebookNode) -> None:
    place = next(place for place, cell in enumerate(made.cells) if 'check("m03c07e1"' in cell.source)
    body, _, asked = made.cells[place].source.partition("\n\n\n")
    made.cells[place].source = asked
    made.cells.insert(place, nbformat.v4.new_code_cell(body))


def _heavy(made: nbformat.NotebookNode) -> None:
    made.cells[-1] = nbformat.v4.new_code_cell(
        "1", outputs=[nbformat.v4.new_output("stream", text="x" * 50_000_000)]
    )


@pytest.mark.parametrize(
    "done", [_without_ids, _duplicated, _split, _heavy], ids=lambda done: done.__name__.strip("_")
)
def test_an_answer_is_found_whatever_an_editor_did(
    tmp_path: Path, done: Callable[[nbformat.NotebookNode], None]
) -> None:
    made = notebook(answers={"m03c07e1": SOLVED})
    done(made)
    (tmp_path / "ada").mkdir()
    (tmp_path / "ada" / "saved.ipynb").write_text(json.dumps(made), encoding="utf-8")
    assert result(grade(find_submissions(tmp_path)[0], Rules(("m03c07e1",))), "m03c07e1").points == 5


def test_what_cannot_be_read_is_named_and_costs_nobody_else(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    handed_in(folder, "ada", m03c07e1=SOLVED)
    (folder / "bob").mkdir()
    (folder / "bob" / "07.ipynb").write_text("{ no json")
    (folder / "eve").mkdir()
    (folder / "eve" / "notes.txt").write_text("see attachment")
    shutil.copy(folder / "ada" / "07.ipynb", folder / "flat.ipynb")
    if hasattr(os, "symlink"):
        (folder / "zoe").symlink_to("/")
    graded = {
        one.learner: one for one in (grade(one, Rules(("m03c07e1",))) for one in find_submissions(folder))
    }
    assert {name: one.points for name, one in graded.items()} == {
        "ada": 5,
        "bob": 0,
        "eve": 0,
        "flat": 5,
        "zoe": 0,
    }
    assert graded["bob"].notes == ("07.ipynb is no notebook: its text is not JSON",)
    assert graded["eve"].notes == ("no notebook was handed in",)
    assert graded["zoe"].notes == ("zoe is a link, and is not followed",)


@linux
def test_names_and_shapes_of_all_kinds_stop_nobody(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    handed_in(folder, "ada", m03c07e1=SOLVED)
    good = (folder / "ada" / "07.ipynb").read_bytes()
    names = [b"not utf\xff", b"two\nlines\x1b[2J", "\N{CJK UNIFIED IDEOGRAPH-6F22}".encode() * 80 + b"!"]
    for name in names:
        place = Path(os.fsdecode(os.fsencode(folder) + b"/" + name))
        place.mkdir()
        (place / os.fsdecode(b"\xff\x1b.ipynb")).write_bytes(good)
    for name, metadata in (("null", None), ("list", []), ("odd", {"funcpipe_rag": {"lesson": []}})):
        (folder / name).mkdir()
        (folder / name / "07.ipynb").write_text(json.dumps({**json.loads(good), "metadata": metadata}))
    (folder / "many").mkdir()
    for number in range(MOST_NOTEBOOKS + 1):
        (folder / "many" / f"{number}.ipynb").write_text('{"nbformat": 4, "cells": []}')
    (folder / "deep").mkdir()
    deep = os.open(folder / "deep", os.O_RDONLY)
    for _ in range(1_100):
        os.mkdir("d", dir_fd=deep)
        deeper = os.open("d", os.O_RDONLY, dir_fd=deep)
        os.close(deep)
        deep = deeper
    os.close(deep)
    arguments = ["grade", str(folder), "--out", str(tmp_path / "out"), "--jobs", "2"]
    told = CliRunner().invoke(app, arguments)
    subprocess.run(["rm", "-r", str(folder / "deep")], check=True)
    assert told.exit_code == 0, told.output
    learners = json.loads((tmp_path / "out" / "results.json").read_text(encoding="utf-8"))["learners"]
    assert len(learners) == 9
    assert {one["learner"]: one["points"] for one in learners if one["learner"] not in ("many", "deep")} == {
        "ada": 5,
        "not utf\\udcff": 5,
        "two\\nlines\\x1b[2J": 5,
        names[2].decode(): 5,
        "null": 5,
        "list": 5,
        "odd": 5,
    }
    assert "\x1b" not in told.output and "judged     two\\nlines" in told.output


@pytest.mark.parametrize(
    "source", ["\n" * 300_000 + "x x", "\n".join(f"a{n} = a{n + 1}" for n in range(50_000))]
)
def test_a_cell_that_is_costly_to_read_is_not_read(tmp_path: Path, source: str) -> None:
    made = notebook(answers={"m03c07e1": SOLVED})
    made.cells.append(nbformat.v4.new_code_cell(source))
    (tmp_path / "ada").mkdir()
    nbformat.write(made, tmp_path / "ada" / "07.ipynb")
    got = result(grade(find_submissions(tmp_path)[0], Rules(("m03c07e1",))), "m03c07e1")
    assert got.state == "not found" and "more than 200,000 letters of code" in got.where


def test_a_function_of_another_lesson_is_not_taken_for_this_one(tmp_path: Path) -> None:
    place = tmp_path / "ada"
    place.mkdir()
    nbformat.write(notebook("M03C03"), place / "03.ipynb")
    nbformat.write(notebook("M03C10", solved=True), place / "10.ipynb")
    graded = grade(find_submissions(tmp_path)[0], Rules(("m03c03e3", "m03c10e3")))
    assert [(one.state, one.points) for one in graded.results] == [("not attempted", 0), ("judged", 2)]


@linux
def test_a_run_that_was_stopped_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    for name, program in (("ada", SOLVED), ("bob", NOTHING_FOR_IT["gives nothing"]), ("cyd", SOLVED)):
        handed_in(tmp_path / "in", name, m03c07e1=program)
    rules, found = Rules(("m03c07e1",)), find_submissions(tmp_path / "in")
    whole = [one for one, _ in grade_all(found, rules, tmp_path / "whole", jobs=1)]
    stopped = grade_all(found, rules, tmp_path / "stopped", jobs=1)
    next(stopped)
    stopped.close()
    rest = list(grade_all(found, rules, tmp_path / "stopped", jobs=1))
    assert [seconds for _, seconds in rest].count(0.0) >= 1
    assert results_text(rules, [one for one, _ in rest]) == results_text(rules, whole)
    again = list(grade_all(found, rules, tmp_path / "stopped", again=True, jobs=1))
    assert all(seconds > 0 for _, seconds in again)


@linux
def test_laws_of_the_instructor_s_own_are_judged_and_not_to_be_read(tmp_path: Path) -> None:
    extra = tmp_path / "mine.py"
    extra.write_text(
        """
from funcpipe_rag.laws import holds, law
from funcpipe_rag.laws.inputs import integers

@law("chain-of-none-is-empty", about="make_chain", promise="same answer", points=2,
     says="A chain of no sources is empty.", hint="And of none?", k=integers(0, 2))
def _(world, make_chain, k):
    holds(world.items(world.run(make_chain())) == [], "something", "nothing")
""",
        encoding="utf-8",
    )
    rules = Rules(("m03c07e1",), extra=extra)
    got = result(grade(handed_in(tmp_path / "in", m03c07e1=SOLVED), rules), "m03c07e1")
    assert (got.points, got.of, got.laws[-1].law) == (7, 7, "chain-of-none-is-empty")
    reads = f"def make_chain(*s):\n    open({str(extra)!r}).read()\n    return lambda: iter(())"
    got = result(grade(handed_in(tmp_path / "on", m03c07e1=reads), rules), "m03c07e1")
    assert got.points == 0 and got.laws[0].came.startswith("it raised PermissionError")
    assert "chain-of-none-is-empty" not in {law.id for law in EXERCISES["m03c07e1"].laws}


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Graded]]:
    folder = tmp_path_factory.mktemp("few")
    handed_in(folder, "ada", m03c07e1=SOLVED, m03c07e2=ROUNDROBIN["leaks_its_sources"])
    handed_in(folder, "=cmd()", m03c07e2=ROUNDROBIN["stops_with_the_shortest"])
    handed_in(
        folder, "<b>bob", m03c07e1="def make_chain(*s):\n    raise ValueError('<script>alert(1)</script>')"
    )
    return folder, [grade(one, C07) for one in find_submissions(folder)]


def test_grades_are_a_table_that_a_spreadsheet_may_open(few: tuple[Path, list[Graded]]) -> None:
    rows = list(csv.DictReader(StringIO(grades_csv(few[1]))))
    assert [row["learner"] for row in rows] == ["<b>bob", "'=cmd()", "ada"]
    assert rows[2]["points of 17"] == "10" and rows[2]["m03c07e2 of 6"] == "5"
    assert rows[2]["m03c07e2 roundrobin-closes-what-it-opened-last-first"] == "0"
    assert {row["understanding"] for row in rows} == {""}


def test_a_class_list_comes_first_and_names_who_handed_in_nothing(
    few: tuple[Path, list[Graded]], tmp_path: Path
) -> None:
    path = tmp_path / "class.csv"
    path.write_text(
        "Student,ID,SIS User ID,SIS Login ID,Section\nAda L.,1,a1,ada,A\nGrace H.,2,g1,grace,A\n",
        encoding="utf-8-sig",
    )
    roster = read_roster(path, [one.learner for one in few[1]])
    assert roster.key == "SIS Login ID"
    rows = list(csv.DictReader(StringIO(grades_csv(few[1], roster))))
    assert [(row["Student"], row["points of 17"]) for row in rows[:2]] == [
        ("Ada L.", "10"),
        ("Grace H.", "0"),
    ]
    canvas = list(csv.reader(StringIO(platform_csv(few[1], roster, Platform.canvas, "M03C07"))))
    assert canvas[0] == ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", "M03C07"]
    assert canvas[1] == ["    Points Possible", "", "", "", "", "17"]
    assert canvas[2:] == [["Ada L.", "1", "a1", "ada", "A", "10"], ["Grace H.", "2", "g1", "grace", "A", "0"]]
    with pytest.raises(HandedInError, match="no column 'First name', which moodle wants"):
        platform_csv(few[1], roster, Platform.moodle, "M03C07")
    path.write_text("name\nnobody\n")
    with pytest.raises(HandedInError, match="no column names a submission such as"):
        read_roster(path, ["ada"])


def test_what_canvas_says_of_the_points_is_no_learner(few: tuple[Path, list[Graded]], tmp_path: Path) -> None:
    path = tmp_path / "class.csv"
    path.write_text(
        "Student,ID,SIS User ID,SIS Login ID,Section\n    Points Possible,,,,\nada,1,a1,al,A\nada,1,a1,al,A\n"
    )
    roster = read_roster(path, ["ada"])
    canvas = list(csv.reader(StringIO(platform_csv(few[1], roster, Platform.canvas, "M03C07"))))
    assert [row[0] for row in canvas] == ["Student", "    Points Possible", "ada"]
    assert next(csv.DictReader(StringIO(grades_csv(few[1], roster))))["learner"] == "ada"


def test_a_column_that_tells_learners_apart_is_the_key(tmp_path: Path) -> None:
    path = tmp_path / "class.csv"
    path.write_text("name,login\nada,ada\nada,ada2\n")
    assert read_roster(path, ["ada"]).key == "login"


def test_a_feedback_page_tells_laws_and_smallest_inputs_and_nothing_of_ours(
    few: tuple[Path, list[Graded]],
) -> None:
    folder, graded = few
    pages = {one.learner: feedback_page(one) for one in graded}
    assert "10 of 17 points" in pages["ada"]
    assert "✓ <b>Same answer</b>, 1 of 1: All of the first source comes first" in pages["ada"]
    assert "smallest input" in pages["ada"] and "think about" in pages["ada"]
    for page in pages.values():
        assert (
            "<script" not in page
            and str(folder) not in page
            and "Traceback" not in page
            and ".py" not in page
        )
    assert "&lt;script&gt;" in pages["<b>bob"]
    assert "The first law is the door" in pages["<b>bob"]


def test_the_class_page_counts_laws_and_misconceptions(few: tuple[Path, list[Graded]]) -> None:
    page = class_page(few[1], [])
    assert "3 submissions" in page
    leak = page.partition("<code>leaks_its_sources</code>")[2].partition("</tr>")[0]
    assert "1 of 3" in leak
    assert "Answers that are alike" not in page


def test_answers_that_are_alike_are_told_with_their_base_rate() -> None:
    own = ROUNDROBIN["treats_none_as_end"].replace("live", "open_ones").replace("item", "thing")
    programs = {
        "ada": ROUNDROBIN["treats_none_as_end"],
        "bob": own,
        "cyd": ROUNDROBIN["leaks_its_sources"],
        "dan": ROUNDROBIN["stops_with_the_shortest"],
    }
    pairs = similar({"m03c07e2": programs})
    assert [(pair.one, pair.other) for pair in pairs] == [("ada", "bob")]
    assert pairs[0].common == 1.0 and pairs[0].base_rate == 0.0
    whole = similar({"m03c07e2": dict.fromkeys(("ada", "bob", "cyd", "dan"), own)})
    assert len(whole) == 6 and {pair.base_rate for pair in whole} == {1.0}
    assert "6 pairs that more than 10% of the others are like are left out" in class_page([], whole)
    assert similar({"m03c07e1": {"ada": SOLVED, "bob": SOLVED}}) == []


@linux
def test_the_command_grades_a_folder_and_says_where_everything_is(tmp_path: Path) -> None:
    handed_in(tmp_path / "in", "ada", m03c07e1=SOLVED)
    arguments = ["grade", str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--jobs", "1"]
    told = CliRunner().invoke(app, [*arguments, "--lesson", "m03c07"])
    assert told.exit_code == 0, told.output
    assert "confined   time by the judge; memory by the kernel" in told.output
    assert "judged     ada: 5 of 17" in told.output
    for name in ("grades.csv", "results.json", "class.html", "feedback/ada.html"):
        assert (tmp_path / "out" / name).stat().st_size
    again = CliRunner().invoke(app, arguments)
    assert "ada: 5 of 17, judged before" in again.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere", "--out", "out"], "nowhere is no folder"),
        (["empty", "--out", "out"], "empty holds no submission"),
        (["in", "--out", "in/out"], "lies in what was handed in: say another --out"),
        (["in", "--out", "out", "--lesson", "M99C01"], "there is no lesson M99C01"),
        (["in", "--out", "out", "--lms", "canvas"], "needs the class list that canvas exports"),
        (["in", "--out", "out", "--laws", "laws.py"], "laws.py cannot be used: ValueError"),
        (["in", "--out", "out", "--roster", "gone.csv"], "gone.csv cannot be read as a CSV file"),
        (["in", "--out", "out", "--roster", "twice.csv"], "column 'name' has 'ada' twice"),
        (["in", "--out", "out", "--laws", "leaves.py"], "leaves.py cannot be used: SystemExit: 3"),
        pytest.param(["in", "--out", "laws.py/out", "--jobs", "1"], "Not a directory", marks=linux),
    ],
)
def test_a_command_that_cannot_be_carried_out_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    handed_in(tmp_path / "in", "ada", m03c07e1=SOLVED)
    (tmp_path / "empty").mkdir()
    (tmp_path / "laws.py").write_text("x = 1\n")
    (tmp_path / "leaves.py").write_text("raise SystemExit(3)\n")
    (tmp_path / "twice.csv").write_text("name,room\nada,1\nada,2\n")
    told = CliRunner().invoke(app, ["grade", *arguments])
    assert told.exit_code == 2
    assert said in " ".join(told.output.split())
    assert not (tmp_path / "out").exists()


def test_where_a_system_keeps_nothing_it_is_said_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from funcpipe_rag.laws import confinement

    open_to = tuple(confinement.Protection(one.what, "") for one in confinement.protections())
    monkeypatch.setattr(confinement, "protections", lambda: open_to)
    handed_in(tmp_path / "in", "ada", m03c07e1=SOLVED)
    told = CliRunner().invoke(app, ["grade", str(tmp_path / "in"), "--out", str(tmp_path / "out")])
    assert told.exit_code == 2
    assert "open       time, memory, files, processes, network" in told.output
    assert not (tmp_path / "out").exists()


def test_names_of_learners_are_safe_as_names_of_files() -> None:
    names = ["ada", "../ada", "a/b", "a.b", "a b", "ä", "=x", "x" * 500, "漢" * 84]
    names.append(file_name("a b"))
    files = [file_name(name) for name in names]
    assert len(set(files)) == len(names)
    assert all("/" not in file and not file.startswith(".") and len(file.encode()) < 100 for file in files)


MOST = 40


@linux
@pytest.mark.slow
def test_a_class_of_forty_is_graded_as_expected_in_one_run(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    expected: dict[str, dict[str, int]] = {}

    def add(learner: str, points: dict[str, int], **answers: str) -> None:
        handed_in(folder, learner, **answers)
        expected[learner] = points

    for number in range(4):
        name = f"solved-{number}"
        (folder / name).mkdir(parents=True)
        nbformat.write(notebook(solved=True), folder / name / "07.ipynb")
        expected[name] = {"m03c07e1": 5, "m03c07e2": 6, "m03c07e3": 5, "m03c07e4": 1}
    for name, program in NOTHING_FOR_IT.items():
        add(name, {"m03c07e1": 0}, m03c07e1=program)
    for name, program in CHEATS.items():
        add(name, {"m03c07e1": 0}, m03c07e1=program)
    for (name, program), points in zip(ROUNDROBIN.items(), (0, 4, 5), strict=True):
        add(name, {"m03c07e2": points}, m03c07e2=program)
    add("untouched", dict.fromkeys(C07.exercises, 0))
    add(
        "loops",
        {"m03c07e1": 0, "m03c07e2": 5},
        m03c07e1="def make_chain(*s):\n    while True: pass",
        m03c07e2=ROUNDROBIN["leaks_its_sources"],
    )
    for done in (_without_ids, _duplicated, _split, _heavy):
        made = notebook(answers={"m03c07e1": SOLVED})
        done(made)
        name = f"editor{done.__name__}"
        (folder / name).mkdir()
        (folder / name / "x.ipynb").write_text(json.dumps(made), encoding="utf-8")
        expected[name] = {"m03c07e1": 5}
    (folder / "wrong lesson").mkdir()
    nbformat.write(notebook("M03C02", solved=True), folder / "wrong lesson" / "02.ipynb")
    expected["wrong lesson"] = dict.fromkeys(C07.exercises, 0)
    assert len(expected) >= MOST
    graded = {one.learner: one for one, _ in grade_all(find_submissions(folder), C07, tmp_path / "out")}
    for learner, points in expected.items():
        assert {id: result(graded[learner], id).points for id in points} == points, learner
    assert sys.getsizeof(results_text(C07, list(graded.values()))) < 2_000_000


@linux
def test_one_learner_does_not_decide_what_the_class_is_graded_by(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    for name in ("ada", "bob"):
        handed_in(folder, name, m03c07e1=SOLVED)
    (folder / "cyd").mkdir()
    for lesson in ("M03C07", "M03C11"):
        nbformat.write(notebook(lesson), folder / "cyd" / f"{lesson}.ipynb")
    told = CliRunner().invoke(app, ["grade", str(folder), "--out", str(tmp_path / "out")])
    assert "lessons    M03C07: what most notebooks are" in told.output
    assert "judged     ada: 5 of 17" in told.output
