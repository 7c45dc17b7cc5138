"""The same exercises as a course of nbgrader: an assignment a lesson, graded by our laws when nbgrader runs it.

nbgrader takes the solution out of each exercise's cell and leaves our starter; below it stands a cell that it hides from
the learner, and that gives the points which `funcpipe-rag course grade` would give.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import funcpipe_rag
from funcpipe_rag.course.editions import Edition, cells_of
from funcpipe_rag.course.exercises import EXERCISES, Exercise
from funcpipe_rag.course.lessons import Lesson, LessonError, Page, Places, find_pages
from funcpipe_rag.course.release import (
    MANIFEST,
    Files,
    as_bytes,
    learner_notebook,
    manifest,
    refuse_traces,
)

if TYPE_CHECKING:
    from nbformat import NotebookNode

OURS = ("source/", "nbgrader_config.py", "README.md", MANIFEST)
"""What of nbgrader's course folder we write; the rest is nbgrader's own."""

SLOWEST = 20 * 60
"""Seconds that nbgrader waits for a cell: an endless answer costs each of its laws some of them."""


def make_nbgrader_course(places: Places, lessons: Sequence[Lesson]) -> Files:
    """The files of a course folder for nbgrader: source notebooks with solutions and hidden graders, and its settings.

    >>> from funcpipe_rag.course.lessons import find_lessons, find_places
    >>> places = find_places()
    >>> files = make_nbgrader_course(places, find_lessons(places.modules, ["M03C07"]))
    >>> list(files)
    ['source/M03C07/07-fan-in-and-fan-out.ipynb', 'nbgrader_config.py', 'README.md', 'release.json']

    A lesson without exercises is nothing that nbgrader could grade.

    >>> make_nbgrader_course(places, [])
    Traceback (most recent call last):
    ...
    funcpipe_rag.course.lessons.LessonError: nbgrader grades exercises, and there is none in what was named

    Class: external. Demand: reads all lessons. Memory: the files. Closing: nothing stays open. Errors: LessonError
    when there is no exercise, or when nbgrader would hand out a solution.
    """
    with_exercises = [lesson for lesson in lessons if lesson.exercises]
    if not with_exercises:
        raise LessonError("nbgrader grades exercises, and there is none in what was named")
    files: Files = {}
    notebooks: dict[str, Page] = {}
    handed_out: Files = {}
    for lesson in with_exercises:
        name = f"{lesson.path.stem}.ipynb"
        notebook = learner_notebook(lesson, name, ())
        notebook.cells = list(_with_graders(lesson, notebook.cells, name))
        place = f"source/{lesson.id}/{name}"
        notebooks[place] = lesson
        files[place] = as_bytes(notebook)
        for cell in notebook.cells:
            cell["source"] = _as_generated(cell.source)
        handed_out[place] = as_bytes(notebook)
    refuse_traces(find_pages(places.modules), handed_out)
    files["nbgrader_config.py"] = _CONFIG.format(slowest=SLOWEST).encode()
    files["README.md"] = _README.format(first=with_exercises[0].id, version=funcpipe_rag.__version__).encode()
    files[MANIFEST] = manifest(with_exercises, notebooks, files)
    return files


def points(exercise_id: str, notebook: str) -> float:
    """Judge the answer in a saved notebook as `course grade` does, say law by law why, and give the points.

    This is what the hidden cells call. Where a system cannot keep a submission from something, it is judged all the same:
    nbgrader has run its code already. ValueError for an exercise that there is not.

    Class: external. Demand: one child process. Memory: the notebook. Closing: the child is gone. Errors: ValueError;
    whatever is wrong with the answer costs points, and raises nothing.
    """
    from funcpipe_rag.course.grading import Rules, grade
    from funcpipe_rag.course.submissions import Submission

    if exercise_id not in EXERCISES:
        raise ValueError(f"points: there is no exercise {exercise_id!r}; there are: {', '.join(EXERCISES)}")
    (result,) = grade(Submission("", (Path(notebook),)), Rules((exercise_id,))).results
    print(f"{result.function}, {result.where}" if result.state == "judged" else result.state.capitalize())
    if any(law.state == "not looked at" for law in result.laws):
        print("· is a law that was not looked at")
    for law in result.laws:
        mark = {"kept": "✓", "broken": "✗"}.get(law.state, "·")
        print(f"{mark} {law.points} of {law.of}  {law.promise}: {law.says}")
        told = {
            "smallest input": law.smallest,
            "what came": law.came,
            "expected": law.expected,
            "hint": law.hint,
        }
        for name, said in told.items():
            if law.state == "broken" and said:
                print(f"    {name:<14}  {said}")
    return float(result.points)


def _with_graders(lesson: Lesson, cells: Sequence[NotebookNode], name: str) -> Iterator[NotebookNode]:
    """The cells, each exercise with its solution for nbgrader to cut out, and with its grader below it."""
    from nbformat.v4 import new_code_cell

    solved = {cell.id: cell.source for cell in cells_of(lesson, Edition.solved)}
    exercises = [EXERCISES[id] for id in lesson.exercises]
    for cell in cells:
        if "exercise" not in cell.metadata.get("tags", ()):
            yield cell
            continue
        exercise = _exercise_of(cell.source, exercises)
        (starter, rest), (solution, _) = _at_check(cell.source), _at_check(solved[cell.id])
        cell["source"] = f"{starter}\n{_BEGIN}\n{solution}\n{_END}\n\n{rest}"
        cell.metadata["nbgrader"] = _metadata(exercise.id, solution=True)
        yield cell
        grader: NotebookNode = new_code_cell(  # type: ignore[no-untyped-call]
            _GRADER.format(exercise=exercise.id, notebook=name),
            id=f"{cell.id}-points",
            metadata={
                "nbgrader": {**_metadata(f"{exercise.id}-points", grade=True), "points": exercise.points}
            },
        )
        yield grader


def _exercise_of(source: str, exercises: Sequence[Exercise]) -> Exercise:
    return next(exercise for exercise in exercises if f'check("{exercise.id}"' in source)


def _at_check(source: str) -> tuple[str, str]:
    """An exercise's cell in two: what the learner writes, and the call of `check` with what follows."""
    written, call, rest = re.split(r"^((?:display\()?check\()", source, maxsplit=1, flags=re.M)
    return written.rstrip(), call + rest


def _metadata(id: str, *, solution: bool = False, grade: bool = False) -> dict[str, Any]:
    return {
        "schema_version": 3,
        "grade_id": id,
        "grade": grade,
        "solution": solution,
        "locked": grade,
        "task": False,
    }


_BEGIN, _END = "### BEGIN SOLUTION", "### END SOLUTION"
_GRADER = """\
# When your notebook is graded, the points of {exercise} are counted here, law by law.
### BEGIN HIDDEN TESTS
from funcpipe_rag.course.nbgrader_course import points

points("{exercise}", "{notebook}")
### END HIDDEN TESTS"""


def _as_generated(source: str) -> str:
    """A cell as nbgrader hands it out: solutions and hidden tests are gone."""
    for what in "SOLUTION", "HIDDEN TESTS":
        source = re.sub(rf"(?ms)^### BEGIN {what}$.*?^### END {what}$", "", source)
    return source


_CONFIG = '''\
"""The settings that this course needs of nbgrader; add yours below."""

c = get_config()  # noqa: F821

c.CourseDirectory.course_id = "funcpipe-rag"
# The starter stands above each solution, so nothing takes the solution's place.
c.ClearSolutions.code_stub = {{"python": ""}}
# An endless answer costs its laws a few seconds each, and its notebook nothing.
c.Execute.timeout = {slowest}
'''

_README = """\
# A course for nbgrader

Each folder in `source/` is an assignment: a lesson, with solutions and hidden graders. It is for you alone. Install nbgrader and
the course into one environment, and run everything in this folder:

    python -m pip install nbgrader "funcpipe-rag[course]=={version}"
    nbgrader generate_assignment {first}
    nbgrader autograde {first}
    nbgrader generate_feedback {first}

The first writes `release/{first}/`, which you hand out; the second grades what lies in `submitted/NAME/{first}/`; the third
writes a page for each learner. Points are given law by law, and are those of `funcpipe-rag course grade`.

nbgrader runs a learner's notebook from top to bottom in the process that then asks for the points. An answer is judged in a
process of its own, that can touch nothing; a notebook that sets out to forge its points can still do so. Where that matters, grade
with `funcpipe-rag course grade`, which runs nothing of a notebook but the answers, and those confined.
"""
