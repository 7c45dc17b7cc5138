"""`funcpipe-rag course …`: the learner's commands. Nothing heavy is imported before a command is called.

Exit codes: 0 all is well, 1 a law does not hold or there is something to do, 2 the command cannot be carried out.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from difflib import get_close_matches
from pathlib import Path
from shlex import quote
from textwrap import fill
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from funcpipe_rag.course.lessons import LessonError, Places, find_lessons, find_places, shown
from funcpipe_rag.course.progress import FILE, Progress, find_progress, new_progress

if TYPE_CHECKING:
    from rich.console import Console

    from funcpipe_rag.course.cards import Card
    from funcpipe_rag.course.exercises import Exercise

NOT_ALL, USAGE = 1, 2
FOLDER = "funcpipe-rag-course"

app = typer.Typer()

ExerciseId = Annotated[str, typer.Argument(metavar="ID", help="An exercise, like m03c07e2.")]


@app.command()
def start(
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="DIR", help=f"Where you work. [default: the one around here, or {FOLDER}]"),
    ] = None,
    no_open: Annotated[bool, typer.Option("--no-open", help="Copy, and open nothing.")] = False,
) -> None:
    """Copy the notebooks and open JupyterLab where you stopped.

    A notebook that you have changed is never overwritten.
    """
    with _said_plainly():
        from funcpipe_rag.course.standing import standing, stopped_at
        from funcpipe_rag.course.work_folder import copy_course

        places = find_places()
        if folder is None:
            here = _found_progress()
            folder = here.folder if here and here.folder else Path(FOLDER)
        if places.clone and folder.resolve() == places.notebooks.resolve().parent:
            _refuse(f"{shown(folder)} is the project's own folder: say another DIR, such as {FOLDER}")
        if places.clone and folder.resolve().is_relative_to(places.notebooks.resolve()):
            _refuse(f"{folder} is where the course keeps its own notebooks: say another DIR")
        folder.mkdir(parents=True, exist_ok=True)
        progress = new_progress(folder.resolve())
        said = {"copied": "copied", "updated": "updated", "unchanged": "in step", "kept": "kept"}
        why = {"updated": " (you had not changed the older one)", "kept": " (yours, as you left it)"}
        for one in copy_course(places, progress):
            _fact(said[one.how], f"{shown(one.path)}{why.get(one.how, '')}")
        lessons = find_lessons(places.modules)
        at = stopped_at([standing(lesson, progress) for lesson in lessons], progress)
        _fact("progress", f"{shown(folder / FILE)}, a plain text file")
        if at is None or at.path is None:
            return
        go_on = f"{at.lesson.id} {at.lesson.title}"
        if no_open:
            _fact("next", f"jupyter lab {quote(shown(at.path))}   ({go_on})")
            return
        _fact("opening", f"JupyterLab at {go_on}; Ctrl-C here stops it")
        progress.record("opened", at.lesson.id)
        raise typer.Exit(_open_lab(folder.resolve(), at.path))


@app.command()
def status() -> None:
    """Say how far you are, and how many minutes are left.

    Five lamps a module: opened; run (cells); predicted (guesses in place of dots); tried and solved (exercises).
    """
    with _said_plainly():
        from itertools import groupby

        from funcpipe_rag.course.standing import standing, stopped_at, together

        places, progress = find_places(), _needed_progress()
        out = _console()
        standings = [standing(lesson, progress) for lesson in find_lessons(places.modules)]
        for module, group in groupby(standings, key=lambda one: one.lesson.path.parent.name):
            ones = list(group)
            out.print(f"M{module[:2]} {module[3:].replace('-', ' ').capitalize()}", style="bold")
            out.print(f"  {_in_a_row(together(ones))}")
            for one in ones:
                left = (
                    "done"
                    if one.done
                    else f"{_counted(one.minutes, 'minute')} to the end of {one.lesson.id[3:]}"
                )
                out.print(f"  {one.lesson.id} {one.lesson.title}: {left}")
                if len(ones) > 1:
                    out.print(f"    {_in_a_row(one.lamps)}")
                if one.trouble:
                    out.print(f"    {one.trouble}")
        at = stopped_at(standings, progress)
        if at is not None:
            _fact(
                "next",
                _next_step(at.unsolved, progress) if at.begun else "funcpipe-rag course start opens it",
            )
        _warn_of_lines(progress)


@app.command()
def check(
    exercise_id: Annotated[
        str | None,
        typer.Argument(metavar="[ID]", help="m03c07e2, or M03C07 for a lesson; all when left out."),
    ] = None,
    notebook: Annotated[
        Path | None, typer.Option("--notebook", metavar="FILE", help="A notebook at another place.")
    ] = None,
) -> None:
    """Judge your saved answers by their laws.

    They run in a process of their own, ten seconds a law. Exit code 0: all hold; 1: not all; 2: cannot be judged.
    """
    with _said_plainly():
        from funcpipe_rag.course.exercises import EXERCISES

        # A variant is in the notebook, and found there: its letter need not be said.
        id = re.sub(r"(?<=\d)[a-z]$", "", (exercise_id or "").lower())
        if id in EXERCISES:
            _check_one(EXERCISES[id], notebook)
        else:
            _check_all(_exercises_of(exercise_id), notebook, everything=exercise_id is None)


@app.command()
def hint(
    exercise_id: ExerciseId,
    number: Annotated[
        int | None, typer.Argument(min=1, max=2, help="1 or 2; the next when left out.")
    ] = None,
) -> None:
    """Give the next hint: a question, then the tool."""
    with _said_plainly():
        exercise, progress = _exercise(exercise_id), _found_progress()
        given = progress.hints(exercise.id) if progress else 0
        wanted = number or min(given + 1, len(exercise.hints))
        out = _console()
        out.print(f"{exercise.id} {exercise.function}, hint {wanted} of {len(exercise.hints)}", style="bold")
        out.print(f"  {exercise.hints[wanted - 1]}")
        if progress is not None and wanted > given:
            progress.record("hint", exercise.id, str(wanted))
        if wanted < len(exercise.hints):
            _fact("next", f"funcpipe-rag course hint {exercise.id}{'' if progress else f' {wanted + 1}'}")
        else:
            _fact("next", f"funcpipe-rag course reveal {exercise.id} shows one way to write it")


@app.command()
def reset(
    what: Annotated[
        str, typer.Argument(metavar="ID|PAGE", help="m03c07e2; or M03C07, M03-gallery for a whole notebook.")
    ],
) -> None:
    """Put the starter back, and keep a copy of yours."""
    with _said_plainly():
        from funcpipe_rag.course.answers import AnswerError, find_answer, read_notebook
        from funcpipe_rag.course.exercises import EXERCISES
        from funcpipe_rag.course.work_folder import (
            find_notebook,
            lesson_of_exercise,
            originals,
            page_of,
            reset_exercise,
            reset_lesson,
        )

        places, progress = find_places(), _needed_progress()
        assert progress.folder is not None
        exercise = EXERCISES.get(what.lower())
        pages = {page_of(original).lower(): page_of(original) for original in originals(places)}
        if exercise is None and what.lower() not in pages:
            _unknown(what, [*EXERCISES, *pages.values()])
        lesson = lesson_of_exercise(exercise) if exercise else pages[what.lower()]
        exercises = [one for one in EXERCISES.values() if lesson_of_exercise(one) == lesson]
        path = find_notebook(progress.folder, lesson)
        if exercise is None:
            path = path or progress.folder / _at_home(places, lesson)
            backup = reset_lesson(path, lesson, places, progress, [one.id for one in exercises])
            _fact("reset", f"{shown(path)}: as the course has it")
        else:
            if path is None:
                _refuse(
                    f"no notebook of {lesson} in {shown(progress.folder)}: run `funcpipe-rag course start`"
                )
            backup = reset_exercise(path, exercise, places, progress)
            _fact("reset", f"{shown(path)}: {exercise.function} is its starter again")
            try:
                left = find_answer(read_notebook(path), exercise)
                if not left.untouched:
                    _fact(
                        "note", f"cell {left.cell} has a {exercise.function} too, and a check takes that one"
                    )
            except AnswerError:
                pass
        if backup is not None:
            _fact("kept", f"{shown(backup)}, your notebook as it was")
        _fact("next", "in JupyterLab: File, Reload Notebook from Disk")


@app.command()
def reveal(
    exercise_id: ExerciseId,
    anyway: Annotated[bool, typer.Option("--anyway", help="Do not ask.")] = False,
) -> None:
    """Show one way to write it.

    Offered after the fourth failure of a law; before that, it asks first.
    """
    with _said_plainly():
        from funcpipe_rag.course.cards import REVEALED_AFTER
        from funcpipe_rag.course.work_folder import lesson_of_exercise

        exercise, progress = _exercise(exercise_id), _found_progress()
        failures = progress.failing(exercise.id)[1] if progress else 0
        waited = failures >= REVEALED_AFTER or bool(progress and progress.solved(exercise.id))
        if not (waited or anyway):
            hints = f"`funcpipe-rag course hint {exercise.id}` gives a smaller push."
            if not sys.stdin.isatty():
                _refuse(
                    f"a solution is best read after a few tries of your own; {hints} To look now, add --anyway"
                )
            typer.echo(f"A solution is best read after a few tries of your own. {hints}")
            if not typer.confirm("Look now all the same?"):
                raise typer.Exit(0)
        solution = _solution(find_places(), lesson_of_exercise(exercise), exercise)
        out = _console()
        out.print(f"{exercise.id} {exercise.function}, one way to write it", style="bold")
        if out.is_terminal:
            from rich.syntax import Syntax

            out.print(Syntax(solution, "python", background_color="default"))
        else:
            out.print(solution)
        if progress is not None:
            progress.record("revealed", exercise.id)
        _fact("next", "close it, and write it once more in your own way")


@app.command()
def doctor() -> None:
    """Look whether all is in place, and say what to run.

    Python, extras, kernel, folder, progress file and notebooks. Exit code 1 when there is something to run.
    """
    with _said_plainly():
        from rich.text import Text

        from funcpipe_rag.course.doctor import findings

        out, wrong = _console(), 0
        for finding in findings(find_places(), _found_progress()):
            mark, style = ("✓", "green") if finding.well else ("✗", "red")
            out.print(Text.assemble((mark, style), f" {finding.about:<10} {finding.found}"))
            if not finding.well:
                wrong += 1
                out.print(f"  {'run':<10} {finding.remedy}")
        if wrong:
            raise typer.Exit(NOT_ALL)


def _check_one(exercise: Exercise, notebook: Path | None) -> None:
    from funcpipe_rag.course.answers import AnswerError, as_handed_out, find_answer, read_notebook
    from funcpipe_rag.course.cards import Card, remembered
    from funcpipe_rag.course.judging import judge_answer
    from funcpipe_rag.course.waiting import Waiting

    progress = None if notebook else _found_progress()
    path = notebook or _notebook_of(exercise, progress)
    out = _console()
    try:
        written = read_notebook(path)
        exercise = as_handed_out(written, exercise)
        answer = find_answer(written, exercise)
        _fact("judged", f"{exercise.function}, cell {answer.cell} of {shown(path)}")
        if answer.others:
            cells = ", ".join(map(str, answer.others))
            _fact("note", f"also defined in cell {cells}; the one with changes and the exercise's tag counts")
        if answer.untouched:
            card = Card(exercise, ())
        else:
            with Waiting(exercise.id) as waiting:
                verdicts = judge_answer(answer, says=waiting.says)
            if waiting.shown:
                waiting.replace({})
            card = remembered(exercise, verdicts, progress or Progress())
    except AnswerError as error:
        typer.echo(f"error      {shown(path)}: {error}", err=True)
        raise typer.Exit(NOT_ALL) from None
    _print_card(out, card)
    if not card.attempted:
        _fact("next", "write it in the notebook, save that, and check again: what is not saved is not seen")
    raise typer.Exit(0 if card.passed else NOT_ALL)


def _check_all(exercises: Sequence[Exercise], notebook: Path | None, *, everything: bool) -> None:
    """A line for each exercise. It is a look around: what fails here does not count as a try."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress as Bar, TextColumn

    from funcpipe_rag.course.answers import (
        AnswerError,
        NotebookError,
        as_handed_out,
        find_answer,
        read_notebook,
    )
    from funcpipe_rag.course.cards import first_broken
    from funcpipe_rag.course.judging import judge_answer

    progress = None if notebook else _found_progress()
    # The lines scroll past above the bar where both go to one terminal.
    out = _console()
    watched = out if out.is_terminal else _console(stderr=True)
    holding, unread = 0, 0
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    with Bar(*columns, console=watched, transient=True, disable=not watched.is_terminal) as bar:
        task = bar.add_task("check", total=len(exercises))
        for exercise in exercises:
            name = f"{exercise.id} {exercise.function}"
            bar.update(task, description=name)
            mark, said = "✗", ""
            try:
                written = read_notebook(notebook or _notebook_of(exercise, progress))
                answer = find_answer(written, as_handed_out(written, exercise))
                if answer.untouched:
                    mark, said = "·", "not attempted yet"
                else:
                    broken = first_broken(judge_answer(answer))
                    if broken is None:
                        mark, said = "✓", "every law holds"
                        if progress is not None and not progress.solved(exercise.id):
                            progress.record("passed", exercise.id)
                    else:
                        said = f"{broken.promise}: {broken.law.says}"
            except AnswerError as error:
                said = str(error)
            except NotebookError as error:
                if not everything:
                    raise
                said, unread = str(error), unread + 1
            holding += mark == "✓"
            out.print(f"{mark} {name:<26} {said}")
            bar.advance(task)
    typer.echo(f"{holding} of {_counted(len(exercises), 'exercise')} hold every law")
    if unread:
        raise typer.Exit(USAGE)
    raise typer.Exit(0 if holding == len(exercises) else NOT_ALL)


def _print_card(out: Console, card: Card) -> None:
    """The card in a terminal: marks in colour, long lines folded below their own text; plain text in a pipe."""
    if not out.is_terminal:
        typer.echo(repr(card))
        return
    for line in repr(card).splitlines():
        hang = 19 if line.startswith(("  smallest input", "  what came", "  hint")) else 2
        style = {"✓": "bold green", "✗": "bold red"}.get(line[:1], "")
        out.print(fill(line, out.width, subsequent_indent=" " * hang) if line else "", style=style)


def _in_a_row(lamps: Sequence[object]) -> str:
    return "  ".join(map(str, lamps))


def _next_step(unsolved: Sequence[str], progress: Progress) -> str:
    if not unsolved:
        return "run what is left of the lesson"
    tried = [exercise for exercise in unsolved if progress.tried(exercise)]
    exercise = (tried or list(unsolved))[0]
    return f"funcpipe-rag course check {exercise}"


def _exercise(exercise_id: str) -> Exercise:
    from funcpipe_rag.course.exercises import EXERCISES

    exercise = EXERCISES.get(exercise_id.lower())
    if exercise is None:
        if of_lesson := [one for one in EXERCISES if one.startswith(exercise_id.lower() + "e")]:
            _refuse(f"{exercise_id} has several exercises; say which: {', '.join(of_lesson)}")
        _unknown(exercise_id, list(EXERCISES))
    return exercise


def _exercises_of(lesson: str | None) -> list[Exercise]:
    from funcpipe_rag.course.exercises import EXERCISES

    wanted = "" if lesson is None else lesson.lower()
    whole = lesson is None or re.fullmatch(r"m\d\dc\d\d", wanted)
    found = [exercise for exercise in EXERCISES.values() if exercise.id.startswith(wanted)] if whole else []
    if not found:
        lessons = dict.fromkeys(exercise[:6].upper() for exercise in EXERCISES)
        _unknown(str(lesson), [*EXERCISES, *lessons])
    return found


def _unknown(name: str, known: list[str]) -> NoReturn:
    from funcpipe_rag.course.exercises import EXERCISES, all_ids

    names = {word.lower(): word for word in known} | {e.function: e.id for e in EXERCISES.values()}
    near = get_close_matches(name.lower(), names, 1, 0.5)
    meant = f"; did you mean {names[near[0]]}?" if near else f"; there are: {all_ids()}"
    _refuse(f"there is no exercise {name}{meant}")


def _notebook_of(exercise: Exercise, progress: Progress | None) -> Path:
    """The learner's notebook with this exercise: in the work folder, or in the clone's own notebooks."""
    from funcpipe_rag.course.work_folder import find_notebook, lesson_of_exercise

    places = find_places()
    folder = progress.folder if progress else places.clone and places.notebooks
    if folder is None:
        _refuse("no folder to work in here: run `funcpipe-rag course start`, or say --notebook FILE")
    path = find_notebook(folder, lesson_of_exercise(exercise))
    if path is None:
        _refuse(
            f"no notebook of {lesson_of_exercise(exercise)} in {shown(folder)}: run `funcpipe-rag course start`, "
            "which copies it"
        )
    return path


def _at_home(places: Places, lesson: str) -> Path:
    from funcpipe_rag.course.work_folder import find_notebook

    original = find_notebook(places.notebooks, lesson)
    if original is None:
        _refuse(f"this version of the course has no {lesson}")
    return original.relative_to(places.notebooks)


def _solution(places: Places, lesson_id: str, exercise: Exercise) -> str:
    """The reference solution, from the lesson's source: the solution below the cell that asks for this check."""
    (lesson,) = find_lessons(places.modules, [lesson_id])
    mine = re.compile(rf"""check\(\s*["']{exercise.id}["']|^def {exercise.function}\b""", re.M)
    for cell in lesson.cells:
        if "solution" in cell.tags and cell.kind == "code" and mine.search(cell.source):
            return re.sub(r"(?m)^check\(.*\)\s*$", "", cell.source).strip()
    raise LessonError(f"no solution of {exercise.id} in it", path=lesson.path)


def _found_progress() -> Progress | None:
    """The progress file around the current folder, or in the folder that `start` makes by default."""
    return find_progress() or (find_progress(Path(FOLDER)) if (Path(FOLDER) / FILE).is_file() else None)


def _needed_progress() -> Progress:
    progress = _found_progress()
    if progress is None:
        _refuse(f"no folder to work in around {Path.cwd()}: `funcpipe-rag course start` makes one")
    return progress


def _warn_of_lines(progress: Progress) -> None:
    for unread in progress.read()[1]:
        where = shown(progress.path) if progress.path else FILE
        text = unread.text if len(unread.text) <= 50 else unread.text[:47] + "..."
        typer.echo(f"note       {where}:{unread.line}: not understood, and left aside: {text!r}", err=True)


def _open_lab(folder: Path, notebook: Path) -> int:
    arguments = [sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={folder}", str(notebook)]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        arguments.append("--allow-root")
    lab = subprocess.Popen(arguments, cwd=folder)
    while True:
        # Ctrl-C is for JupyterLab, which asks back and puts its kernels away.
        with suppress(KeyboardInterrupt):
            return lab.wait()


@contextmanager
def _said_plainly() -> Iterator[None]:
    """What a person can act on is one line, not a traceback; so is a missing extra."""
    from funcpipe_rag.course.answers import NotebookError

    try:
        yield
    except (LessonError, NotebookError) as error:
        _refuse(str(error))
    except ModuleNotFoundError as error:
        missing = str(error.name).partition(".")[0]
        if missing == "funcpipe_rag":
            raise
        _refuse(f"this command needs {missing}: pip install 'funcpipe-rag[course]'")
    except BrokenPipeError:  # whoever read along has gone
        raise
    except OSError as error:
        _refuse(f"{error.filename or ''}: {error.strerror or error}".lstrip(": "))


def _console(*, stderr: bool = False) -> Console:
    from rich.console import Console

    console = Console(stderr=stderr, highlight=False, markup=False)
    # A pipe has no width: whoever reads it folds lines, or not.
    console.soft_wrap = not console.is_terminal
    return console


def _fact(name: str, text: str) -> None:
    typer.echo(f"{name:<10} {text}")


def _refuse(message: str) -> NoReturn:
    typer.echo(f"error      {message}", err=True)
    raise typer.Exit(USAGE)


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
