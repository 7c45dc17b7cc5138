"""One command line over all rooms: `funcpipe-rag build`, `ask`, `search`, `status`, `demo`, `serve`, and `course …`.

A room's commands are imported when they are asked for, so that none waits for another's packages.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import typer

# The rooms with a word of their own: what to import for it, what it says in the overview, and its extra.
ROOMS = {
    "laws": (
        "funcpipe_rag.laws.commands",
        "What must be true of each public function, and who breaks it.",
        "course",
    ),
    "course": (
        "funcpipe_rag.course.commands",
        "Learn: start, status, check, hint. Write lessons: build, map.",
        "course",
    ),
    "serve": (
        "funcpipe_rag.serving.commands",
        "Answer questions over HTTP and TCP, with a trail of who handed on what.",
        "serve",
    ),
}


def main(argv: Sequence[str] | None = None) -> None:
    """Run one command and exit: 0 done, 3 done with quarantined documents, 1 failed,
    2 wrong usage, 130 stopped by Ctrl-C."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        app = command_line(words)
    except ModuleNotFoundError as error:
        extra = ROOMS[words[0]][2] if words and words[0] in ROOMS else "rag"
        print(
            f"funcpipe-rag: this command needs {error.name}, which is not installed: "
            f'pip install "funcpipe-rag[{extra}]"',
            file=sys.stderr,
        )
        raise SystemExit(1) from None
    app(words, prog_name="funcpipe-rag")


def command_line(words: Sequence[str]) -> typer.Typer:
    """The commands, with the room in them that `words` ask for; ModuleNotFoundError for a missing extra."""
    from funcpipe_rag.rag.commands import app

    asked = next((word for word in words if not word.startswith("-")), None)
    for room, (module, about, _) in ROOMS.items():
        if asked == room:
            found = import_module(module)
            if hasattr(found, "app"):
                app.add_typer(found.app, name=room, help=about)
            else:
                app.command(name=room)(found.serve)
        elif asked is None:
            app.command(name=room, help=about)(_elsewhere)
    return app


def _elsewhere() -> None:
    """Stands for a room in the overview, which needs its name and not its commands."""
