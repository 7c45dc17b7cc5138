"""The laws of a log that is followed: nothing is lost, whatever happens to the file while it is read.

Nobody sleeps: whenever the log would, the next thing happens to the file.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import IO, Any

from .inputs import choice, integers, several
from .law import Broken, holds, law, same
from .sources import LINES
from .worlds import World

PATIENCE = 5
"""How often a log may sleep when nothing will happen any more."""


class Meanwhile:
    """What happens while the log sleeps: one step a sleep. `over` is true behind the last one."""

    def __init__(self, steps: list[Callable[[], object]]) -> None:
        self.steps, self.slept = steps, 0

    def sleep(self, seconds: float) -> None:
        self.slept += 1
        if self.slept <= len(self.steps):
            self.steps[self.slept - 1]()
        elif self.slept > len(self.steps) + PATIENCE:
            raise Broken("it slept on, though `until` had been true for long", "an end")

    def over(self) -> bool:
        return self.slept >= len(self.steps)


class Logger:
    """A program that writes numbered lines, and whoever rotates its log; the file stays open between two lines."""

    def __init__(self, path: Path) -> None:
        self.path, self.written, self.moved = path, 0, 0
        self._file: IO[bytes] | None = None

    def line(self) -> None:
        if self._file is None:
            self._file = self.path.open("ab", buffering=0)
        self._file.write(b"line %d\n" % self.written)
        self.written += 1

    def rename(self) -> None:
        """Moves the file away; the program goes on writing in it until it is told to open anew."""
        if self._has_lines():
            self.moved += 1
            self.path.rename(f"{self.path}.{self.moved}")

    def reopen(self) -> None:
        self.close()
        self._file = self.path.open("ab", buffering=0)

    def truncate(self) -> None:
        if self._has_lines():
            os.truncate(self.path, 0)

    def remove(self) -> None:
        if self._has_lines():
            self.path.unlink()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def _has_lines(self) -> bool:
        return self.path.exists() and self.path.stat().st_size > 0


@law(
    "log-source-holds-a-line-until-it-is-whole",
    about="make_log_source",
    promise="same answer",
    late=True,
    says="A log is written in pieces, and a piece may end anywhere: a line is given once its end has been written.",
    hint="What do you give when the file ends in the middle of a line, for now?",
    pieces=several(choice("a", "é", "\n", "\r\n"), most=6),
)
def _(world: World, make_log_source: Any, pieces: list[str]) -> None:
    path = Path(world.folder()) / "app.log"
    path.touch()
    text = "".join(pieces)

    def write(byte: int) -> None:
        with path.open("ab") as file:
            file.write(bytes([byte]))

    meanwhile = Meanwhile([lambda byte=byte: write(byte) for byte in text.encode()])  # type: ignore[misc]
    made = make_log_source(str(path), follow=True, until=meanwhile.over, sleeper=meanwhile.sleep)
    same(world.items(world.run(made)), LINES.twin(text))


@law(
    "log-source-follows-through-rotation",
    about="make_log_source",
    promise="same answer",
    late=True,
    says="Renamed, created anew, cut short or removed: every line that is written comes once, in order.",
    hint="You hold an open file, and the path has become the name of another one. Which of them has more to read?",
    steps=several(choice("line", "rename", "reopen", "truncate", "remove"), most=8),
)
def _(world: World, make_log_source: Any, steps: list[str]) -> None:
    path = Path(world.folder()) / "app.log"
    logger = Logger(path)
    meanwhile = Meanwhile([getattr(logger, step) for step in steps])
    made = make_log_source(str(path), follow=True, until=meanwhile.over, sleeper=meanwhile.sleep)
    try:
        came = world.items(world.run(made))
    finally:
        logger.close()
    same(came, [f"line {number}" for number in range(logger.written)])


@law(
    "log-source-sleeps-when-there-is-nothing-to-give",
    about="make_log_source",
    promise="on demand",
    says="A following log gives what is there at once, and sleeps only when you ask for more.",
    hint="Where do you sleep: behind each read, or behind a read that gave nothing?",
    lines=integers(0, 4),
    asked=integers(0, 4),
    block=integers(1, 9),
)
def _(world: World, make_log_source: Any, lines: int, asked: int, block: int) -> None:
    path = Path(world.folder()) / "app.log"
    path.write_bytes(b"".join(b"line %d\n" % number for number in range(lines)))
    asked = min(asked, lines)
    meanwhile = Meanwhile([])
    it = world.iterator(
        world.run(make_log_source(str(path), follow=True, block=block, sleeper=meanwhile.sleep))
    )
    same(list(islice(it, asked)), [f"line {number}" for number in range(asked)])
    holds(not meanwhile.slept, f"it slept, with {asked} of {lines} lines given", "no sleep")
