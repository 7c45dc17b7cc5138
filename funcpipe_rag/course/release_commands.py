"""`funcpipe-rag course release`: what an instructor hands out. Nothing heavy is imported before it is called."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from funcpipe_rag.course.lessons import LessonError, find_lessons, find_places, shown

app = typer.Typer()


@app.command()
def release(
    lessons: Annotated[
        list[str], typer.Argument(metavar="MODULE|LESSON...", help="M03 for a module, M03C07 for a lesson.")
    ],
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="A folder that is new, or holds an earlier release.")
    ],
    variant_secret: Annotated[
        str,
        typer.Option(
            metavar="SECRET",
            help="Set some exercises under another rule; `course grade` must be told it too.",
        ),
    ] = "",
    nbgrader: Annotated[
        bool,
        typer.Option("--nbgrader", help="Write a course folder for nbgrader: solutions, and hidden graders."),
    ] = False,
) -> None:
    """Write what a class is given: the lessons without solutions, where to start, and a manifest with the points.

    Every file is searched for traces of every solution before anything is written.
    """
    try:
        import json

        from funcpipe_rag.course.release import MANIFEST, make_release, write_release

        places = find_places()
        if nbgrader and variant_secret:
            raise LessonError(
                "nbgrader's graders judge the exercises that everybody knows: leave out --variant-secret"
            )
        if nbgrader:
            from funcpipe_rag.course.nbgrader_course import OURS, make_nbgrader_course

            files = make_nbgrader_course(places, find_lessons(places.modules, lessons))
            write_release(files, out, ours=OURS)
        else:
            files = make_release(places, lessons, secret=variant_secret)
            write_release(files, out)
        said = json.loads(files[MANIFEST])
        for page in said["pages"]:
            count, points = len(page["exercises"]), sum(one["points"] for one in page["exercises"])
            what = f" ({_counted(count, 'exercise')}, {_counted(points, 'point')})" if page["graded"] else ""
            _fact("released" if page["graded"] else "with it", f"{shown(out / page['notebook'])}{what}")
        if nbgrader:
            _fact("searched", "what nbgrader will hand out: no trace of a solution")
            _fact("next", f"cd {shown(out)} && nbgrader generate_assignment {said['asked_for'][0]}")
            return
        _fact("searched", f"{_counted(len(files), 'file')}: no trace of a solution")
        _fact("manifest", f"{shown(out / MANIFEST)}: keep it, it says what was handed out")
        _fact("next", f"read {shown(out / 'README.md')} as a learner will, then hand out the folder")
    except LessonError as error:
        typer.echo(f"error      {error}", err=True)
        raise typer.Exit(1) from None
    except ModuleNotFoundError as error:
        missing = str(error.name).partition(".")[0]
        if missing == "funcpipe_rag":
            raise
        typer.echo(f"error      this command needs {missing}: pip install 'funcpipe-rag[course]'", err=True)
        raise typer.Exit(1) from None


def _fact(name: str, said: str) -> None:
    typer.echo(f"{name:<10} {said}")


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
