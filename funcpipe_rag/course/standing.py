"""How far a learner has come: five lamps, and the minutes to the end of a lesson.

The lamps say what can be seen in the saved notebook and in the progress file, and nothing that a learner declares:

opened     the lesson has been worked in
run        cells that have been run
predicted  guesses that stand in place of the dots
tried      exercises that have been judged at least once
solved     exercises of which every law has held
"""

from __future__ import annotations

import ast
import math
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from funcpipe_rag.course.answers import NotebookError, read_notebook, source_of
from funcpipe_rag.course.lessons import Lesson
from funcpipe_rag.course.progress import Progress
from funcpipe_rag.course.work_folder import find_notebook, untouched


class Lamp(NamedTuple):
    """One lamp: lit when all is done, half lit from the first on."""

    name: str
    done: int
    all: int

    @property
    def lit(self) -> bool:
        """Whether all of it is done; nothing to do is done."""
        return self.done >= self.all

    def __str__(self) -> str:
        if not self.all:
            return f"– nothing to be {self.name}"
        mark = "●" if self.lit else "◐" if self.done else "○"
        return f"{mark} {self.name} {self.done}/{self.all}"


@dataclass(frozen=True)
class Standing:
    """How far one lesson is: its lamps, the minutes left, and the exercises that are still open."""

    lesson: Lesson
    path: Path | None
    lamps: tuple[Lamp, ...]
    minutes: int
    unsolved: tuple[str, ...]
    trouble: str = ""

    @property
    def begun(self) -> bool:
        """Whether it has been worked in."""
        return self.lamps[0].lit

    @property
    def done(self) -> bool:
        """Whether every lamp is lit."""
        return all(lamp.lit for lamp in self.lamps)


def standing(lesson: Lesson, progress: Progress) -> Standing:
    """The standing of one lesson, from its saved notebook and the progress file."""
    folder = progress.folder
    path = find_notebook(folder, lesson.id) if folder else None
    cells, run, questions, guessed, trouble = 1, 0, 0, 0, ""
    if path is not None:
        try:
            notebook = read_notebook(path)
        except NotebookError as error:
            trouble = str(error)
        else:
            code = [c for c in notebook["cells"] if c["cell_type"] == "code" and source_of(c).strip()]
            cells, run = len(code), sum(cell.get("execution_count") is not None for cell in code)
            questions, guessed = _guesses(map(source_of, code))
    tried = sum(map(progress.tried, lesson.exercises))
    unsolved = tuple(exercise for exercise in lesson.exercises if not progress.solved(exercise))
    solved = len(lesson.exercises) - len(unsolved)
    saved = path is not None and not untouched(path, lesson.id, progress)
    lamps = (
        Lamp("opened", int(bool(saved or run or tried)), 1),
        Lamp("run", run, cells),
        Lamp("predicted", guessed, questions),
        Lamp("tried", tried, len(lesson.exercises)),
        Lamp("solved", solved, len(lesson.exercises)),
    )
    left = lesson.read_minutes * (1 - run / max(1, cells))
    left += lesson.exercise_minutes * len(unsolved) / max(1, len(lesson.exercises))
    return Standing(lesson, path, lamps, math.ceil(left), unsolved, trouble)


def together(standings: Iterable[Standing]) -> tuple[Lamp, ...]:
    """The lamps of a module: those of its lessons added up."""
    rows = zip(*(one.lamps for one in standings), strict=True)
    return tuple(
        Lamp(row[0].name, sum(lamp.done for lamp in row), sum(lamp.all for lamp in row)) for row in rows
    )


def stopped_at(standings: Iterable[Standing], progress: Progress) -> Standing | None:
    """The lesson to go on with: the last one worked in, if it is not done; else the first that is not done."""
    waiting = {one.lesson.id.lower(): one for one in standings if not one.done}
    for event in reversed(progress.read()[0]):
        if event.what != "copied" and event.about[:6] in waiting:
            return waiting[event.about[:6]]
    begun = [one for one in waiting.values() if one.begun]
    return next(iter([*begun, *waiting.values()]), None)


def _guesses(sources: Iterable[str]) -> tuple[int, int]:
    """How many questions `predict` asks in these cells, and how many of them have a guess."""
    asked: dict[str, bool] = {}
    for source in sources:
        # A cell that cannot be parsed asks nothing; the learner hears of it elsewhere.
        with suppress(SyntaxError, ValueError, RecursionError):
            for node in ast.walk(ast.parse(source)):
                if (
                    isinstance(node, ast.Call)
                    and isinstance(node.func, ast.Name)
                    and node.func.id == "predict"
                    and node.args
                    and not node.keywords
                ):
                    guess = node.args[1] if len(node.args) > 1 else None
                    given = guess is not None and not (isinstance(guess, ast.Constant) and guess.value is ...)
                    question = ast.dump(node.args[0])
                    asked[question] = asked.get(question, False) or given
    return len(asked), sum(asked.values())
