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
from funcpipe_rag.course.grade_commands import app as grading
from funcpipe_rag.course.learner_commands import app as learner
from funcpipe_rag.course.lessons import (
    Lesson,
    LessonError,
    Page,
    Places,
    find_pages,
    find_places,
    read_lesson,
    shown,
)
from funcpipe_rag.course.release_commands import app as release

app = typer.Typer(
    no_args_is_help=True, help="Lessons: write them, build the notebooks and the progression map."
)
app.add_typer(learner)
app.add_typer(grading)
app.add_typer(release)


@app.command()
def build(
    lessons: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="LESSON", help="M03C07, M03, M03-gallery or a file of modules/; all when none is named."
        ),
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
    """Build notebooks from modules/: run every lesson and page that has changed and keep its outputs."""
    with _said_plainly():
        places = find_places()
        folder = _out_folder(places, edition, out)
        chosen = find_pages(places.modules, lessons or ())
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
        pages = find_pages(places.modules)
        lessons = _counted(sum(isinstance(page, Lesson) for page in pages), "lesson")
        known = registries(places.clone)
        if errors := list(dangling(pages, known)):
            for error in errors:
                typer.echo(f"error      {error}", err=True)
            raise typer.Exit(1)
        path = places.clone / "progression-map.md"
        text = progression_map(pages, known)
        old = path.read_text(encoding="utf-8") if path.exists() else ""
        if text == old:
            typer.echo(f"in step    {shown(path)}, {lessons}")
        elif check:
            _out_of_step([f"{shown(path)}: differs from the lessons"], "funcpipe-rag course map")
        else:
            path.write_text(text, encoding="utf-8", newline="\n")
            typer.echo(f"wrote      {shown(path)}, {lessons}")


@app.command()
def lint(
    lessons: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="LESSON", help="M03C07, M03, M03-gallery or a file of modules/; all when none is named."
        ),
    ] = None,
) -> None:
    """Say what lessons and pages still owe their reader, as FILE:LINE: what; what to do. Runs no cell."""
    from funcpipe_rag.course.lint import lint
    from funcpipe_rag.course.progression import registries

    with _said_plainly():
        places = find_places()
        if places.clone is None:
            raise LessonError("lessons are written in a clone: run this inside one")
        found = lint(places.modules, registries(places.clone), lessons or ())
        for finding in found:
            typer.echo(str(finding))
        if found:
            raise typer.Exit(1)
        typer.echo(f"in order   {_counted(len(find_pages(places.modules, lessons or ())), 'page')}")


@app.command()
def new(
    module: Annotated[str, typer.Argument(help="03, a folder of modules/, or NN-slug for a new one.")],
    title: Annotated[
        str, typer.Argument(help='What the lesson is called, like "Infinite streams and fences".')
    ],
    function: Annotated[
        str, typer.Option(help="The public function that the exercises are about.")
    ] = "fence_k",
    number: Annotated[
        int, typer.Option(help="The lesson's number in its module; the one after the last when not given.")
    ] = 0,
) -> None:
    """Write the skeleton of a lesson and of its exercises: it builds, and says in each part what to write."""
    from funcpipe_rag.course.new import new_lesson

    with _said_plainly():
        places = find_places()
        if places.clone is None:
            raise LessonError("lessons are written in a clone: run this inside one")
        lesson, exercises = new_lesson(places.clone, module, title, function=function, number=number)
        todos = sum(path.read_text(encoding="utf-8").count("TODO") for path in (lesson, exercises))
        typer.echo(f"wrote      {shown(lesson)}")
        typer.echo(f"wrote      {shown(exercises)}")
        typer.echo(f"to write   {todos} places marked TODO; CONTRIBUTING.md goes through them in ten steps")
        typer.echo(f"next       funcpipe-rag course build {read_lesson(lesson).id}")


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


def _check(chosen: list[Page], folder: Path, edition: Edition, *, everything: bool, again: str) -> None:
    from funcpipe_rag.course.build import differences, strays

    said = [line for page in chosen for line in differences(page, folder, edition=edition)]
    if everything:
        said += [f"{shown(path)}: no page of modules/ makes it; delete it" for path in strays(chosen, folder)]
    if said:
        _out_of_step(said, again)
    typer.echo(f"in step    {_counted(len(chosen), 'notebook')} in {shown(folder)}")


def _out_of_step(differences: list[str], again: str) -> NoReturn:
    for line in differences:
        typer.echo(f"differs    {line}", err=True)
    typer.echo(f"next       {again}", err=True)
    raise typer.Exit(1)


def _build(chosen: list[Page], folder: Path, edition: Edition, *, force: bool) -> None:
    from funcpipe_rag.course.build import build_lesson, notebook_path

    built = 0
    with _progress(chosen, edition) as told:
        for page in chosen:
            start = time.perf_counter()
            if build_lesson(page, folder, edition=edition, force=force, on_cell=partial(told, page)):
                built += 1
                seconds = time.perf_counter() - start
                typer.echo(f"built      {shown(notebook_path(page, folder))} ({seconds:.1f} s)")
    unchanged = len(chosen) - built
    typer.echo(f"in step    {_counted(len(chosen), 'notebook')}: {built} built, {unchanged} unchanged")


@contextmanager
def _progress(chosen: list[Page], edition: Edition) -> Iterator[Callable[[Page, int], object]]:
    """One bar over the cells of all pages where somebody watches; nothing where the output is piped."""
    if not sys.stdout.isatty():
        yield lambda page, done: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    cells = [len(cells_of(page, edition)) for page in chosen]
    before = {page.id: total for page, total in zip(chosen, accumulate(cells, initial=0), strict=False)}
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, transient=True) as progress:
        task = progress.add_task("course build", total=sum(cells))
        yield lambda page, done: progress.update(
            task, description=f"{page.id} {page.title}", completed=before[page.id] + done
        )


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
