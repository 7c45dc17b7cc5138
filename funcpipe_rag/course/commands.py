"""`funcpipe-rag course …`: the authors' commands. Nothing heavy is imported before a command is called."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from funcpipe_rag.course.editions import Edition, cells_of
from funcpipe_rag.course.lessons import Lesson, LessonError, Places, find_lessons, find_places, shown

app = typer.Typer(no_args_is_help=True, help="Lessons: build the notebooks, write the progression map.")


@app.command()
def build(
    lessons: Annotated[
        list[str] | None,
        typer.Argument(metavar="LESSON", help="M03C07, M03 or a file of modules/; all when none is named."),
    ] = None,
    edition: Annotated[
        Edition, typer.Option(help="learner: no solutions; solved; instructor: every cell.")
    ] = Edition.learner,
    out: Annotated[
        Path | None, typer.Option(help="Folder to write to; the learner edition's is notebooks/.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Build what is in step too.")] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Write and run nothing; exit 1 when a notebook is not in step.")
    ] = False,
) -> None:
    """Build notebooks from modules/: run every lesson that has changed and keep its outputs."""
    with _said_plainly():
        places = find_places()
        folder = _out_folder(places, edition, out)
        chosen = find_lessons(places.modules, lessons or ())
        if not chosen:
            raise LessonError(f"{shown(places.modules)} holds no lesson yet")
        if check:
            again = ["funcpipe-rag course build", *(lessons or ())]
            again += [] if edition is Edition.learner else [f"--edition {edition.value}"]
            again += [] if out is None else [f"--out {out}"]
            _check(chosen, folder, edition, everything=not lessons, again=" ".join(again))
        else:
            _build(chosen, folder, edition, force=force)


@app.command("map")
def map_(
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit 1 when the page is not in step.")
    ] = False,
) -> None:
    """Write progression-map.md: lesson, functions, laws, exercises, minutes, tests."""
    from funcpipe_rag.course.progression import dangling, progression_map, registries

    with _said_plainly():
        places = find_places()
        if places.clone is None:
            raise LessonError("the progression map is part of a clone: run this inside one")
        lessons = find_lessons(places.modules)
        known = registries(places.clone)
        if errors := list(dangling(lessons, known)):
            for error in errors:
                typer.echo(f"error      {error}", err=True)
            raise typer.Exit(1)
        page = places.clone / "progression-map.md"
        text = progression_map(lessons, known)
        old = page.read_text(encoding="utf-8") if page.exists() else ""
        if text == old:
            typer.echo(f"in step    {shown(page)}, {_counted(len(lessons), 'lesson')}")
        elif check:
            _out_of_step([f"{shown(page)}: differs from the lessons"], "funcpipe-rag course map")
        else:
            page.write_text(text, encoding="utf-8", newline="\n")
            typer.echo(f"wrote      {shown(page)}, {_counted(len(lessons), 'lesson')}")


@contextmanager
def _said_plainly() -> Iterator[None]:
    """An error that a person can act on is one line, not a traceback; so is a missing extra."""
    try:
        yield
    except LessonError as error:
        typer.echo(f"error      {error}", err=True)
        raise typer.Exit(1) from None
    except ModuleNotFoundError as error:
        missing = str(error.name).partition(".")[0]
        if missing == "funcpipe_rag":
            raise
        typer.echo(f"error      this command needs {missing}: pip install 'funcpipe-rag[course]'", err=True)
        raise typer.Exit(1) from None


def _out_folder(places: Places, edition: Edition, out: Path | None) -> Path:
    """Only the learner edition has a place of its own: no solution gets into notebooks/ by accident."""
    if out is None and (edition is not Edition.learner or places.clone is None):
        raise LessonError(f"the {edition.value} edition has no folder of its own here: say --out DIR")
    if out is not None and edition is not Edition.learner and out.resolve() == places.notebooks.resolve():
        raise LessonError(f"{out} holds the learner edition: say another --out for the {edition.value} one")
    return out or places.notebooks


def _check(chosen: list[Lesson], folder: Path, edition: Edition, *, everything: bool, again: str) -> None:
    from funcpipe_rag.course.build import differences, strays

    said = [line for lesson in chosen for line in differences(lesson, folder, edition=edition)]
    if everything:
        said += [f"{shown(path)}: no lesson makes it; delete it" for path in strays(chosen, folder)]
    if said:
        _out_of_step(said, again)
    typer.echo(f"in step    {_counted(len(chosen), 'notebook')} in {shown(folder)}")


def _out_of_step(differences: list[str], again: str) -> NoReturn:
    for line in differences:
        typer.echo(f"differs    {line}", err=True)
    typer.echo(f"next       {again}", err=True)
    raise typer.Exit(1)


def _build(chosen: list[Lesson], folder: Path, edition: Edition, *, force: bool) -> None:
    from funcpipe_rag.course.build import build_lesson, notebook_path

    built = 0
    with _progress(chosen, edition) as told:
        for lesson in chosen:
            start = time.perf_counter()
            if build_lesson(lesson, folder, edition=edition, force=force, on_cell=partial(told, lesson)):
                built += 1
                seconds = time.perf_counter() - start
                typer.echo(f"built      {shown(notebook_path(lesson, folder))} ({seconds:.1f} s)")
    unchanged = len(chosen) - built
    typer.echo(f"in step    {_counted(len(chosen), 'notebook')}: {built} built, {unchanged} unchanged")


@contextmanager
def _progress(chosen: list[Lesson], edition: Edition) -> Iterator[Callable[[Lesson, int], object]]:
    """One bar over the cells of all lessons where somebody watches; nothing where the output is piped."""
    if not sys.stdout.isatty():
        yield lambda lesson, done: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    cells = [len(cells_of(lesson, edition)) for lesson in chosen]
    before = {lesson.id: total for lesson, total in zip(chosen, accumulate(cells, initial=0), strict=False)}
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, transient=True) as progress:
        task = progress.add_task("course build", total=sum(cells))
        yield lambda lesson, done: progress.update(
            task, description=f"{lesson.id} {lesson.title}", completed=before[lesson.id] + done
        )


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
