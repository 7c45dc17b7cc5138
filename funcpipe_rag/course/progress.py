"""What a learner has done: one plain text file, a line an event, that a person can read and edit.

It exists in a work folder alone, which `funcpipe-rag course start` makes. In a clone's own notebooks, in a build
and in a test run nothing is written, so no output depends on yesterday.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias, get_args

What: TypeAlias = Literal["copied", "opened", "failed", "passed", "hint", "revealed", "reset"]

FILE = "funcpipe-rag-progress.txt"
HEAD = "# What you have done in the course, a line each. Delete a line, and it is forgotten."


class Event(NamedTuple):
    """One line: what happened, to which lesson or exercise, and a word more (the law that failed, the hint)."""

    what: What
    about: str
    detail: str = ""


class Unread(NamedTuple):
    """A line that is not understood. It stays where it is and counts for nothing."""

    line: int
    text: str


class Progress:
    """The events so far, in `path`; without a path, in this process's memory.

    >>> progress = Progress()
    >>> progress.record("failed", "m03c07e2", "roundrobin-takes-turns")
    >>> progress.record("failed", "m03c07e2", "roundrobin-takes-turns")
    >>> progress.failures("m03c07e2", "roundrobin-takes-turns")
    2

    A law that held in the end starts from nothing.

    >>> progress.record("passed", "m03c07e2")
    >>> progress.failures("m03c07e2", "roundrobin-takes-turns"), progress.solved("m03c07e2")
    (0, True)

    Lines are only ever added, one at a time and under a lock: two processes lose none.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self._lines: list[str] = []

    @property
    def folder(self) -> Path | None:
        """The work folder."""
        return self.path and self.path.parent

    def record(self, what: What, about: str, detail: str = "") -> None:
        """Add one line. OSError when the file cannot be written."""
        line = f"{datetime.now():%Y-%m-%d %H:%M}  {what:<8}  {about}  {detail}".rstrip()
        if self.path is None:
            self._lines.append(line)
        else:
            _add_line(self.path, line)

    def read(self) -> tuple[list[Event], list[Unread]]:
        """The events in their order, and the lines that are none."""
        lines = self._lines
        if self.path is not None:
            try:
                # Some editors begin a file with a byte order mark.
                lines = self.path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
            except FileNotFoundError:
                lines = []
        events: list[Event] = []
        unread: list[Unread] = []
        for number, line in enumerate(lines, 1):
            found = _LINE.fullmatch(line.strip())
            if found:
                what, about, detail = found.groups(default="")
                events.append(Event(what, about.lower(), detail))  # type: ignore[arg-type]
            elif line.strip() and not line.lstrip().startswith("#"):
                unread.append(Unread(number, line.strip()))
        return events, unread

    def of(self, about: str) -> list[Event]:
        """The events of one lesson or exercise since its last reset."""
        kept: list[Event] = []
        for event in self.read()[0]:
            if event.about == about.lower():
                kept = [] if event.what == "reset" else [*kept, event]
        return kept

    def failures(self, exercise: str, law: str) -> int:
        """How often a law has failed since the exercise was last solved or reset."""
        return [event.detail for event in self._since_passed(exercise)].count(law)

    def failing(self, exercise: str) -> tuple[str, int]:
        """The law that has failed most often since then, and how often; "" and 0 when none has."""
        laws = [event.detail for event in self._since_passed(exercise)]
        return max(((law, laws.count(law)) for law in laws), key=lambda found: found[1], default=("", 0))

    def tried(self, exercise: str) -> bool:
        """Whether it has been judged."""
        return any(event.what in ("failed", "passed") for event in self.of(exercise))

    def solved(self, exercise: str) -> bool:
        """Whether every law has held once."""
        return any(event.what == "passed" for event in self.of(exercise))

    def hints(self, exercise: str) -> int:
        """How many of its hints have been given."""
        given = [
            int(event.detail)
            for event in self.of(exercise)
            if event.what == "hint" and event.detail.isdigit()
        ]
        return max(given, default=0)

    def _since_passed(self, exercise: str) -> list[Event]:
        failed: list[Event] = []
        for event in self.of(exercise):
            if event.what == "passed":
                failed.clear()
            elif event.what == "failed":
                failed.append(event)
        return failed


def find_progress(start: Path | None = None) -> Progress | None:
    """The progress file in the work folder around `start`, by default the current folder; None outside of any.

    A clone of the course ends the search: what runs in its own notebooks leaves no trace.
    """
    try:
        here = (start or Path.cwd()).resolve()
    except OSError:  # the current folder is gone
        return None
    for folder in (here, *here.parents):
        if (folder / FILE).is_file():
            return Progress(folder / FILE)
        if (folder / "modules").is_dir() and (folder / "funcpipe_rag" / "course").is_dir():
            return None
    return None


def new_progress(folder: Path) -> Progress:
    """The progress file of a work folder; begun when there is none."""
    path = folder / FILE
    if not path.exists():
        _add_line(path, HEAD)
    return Progress(path)


_LINE = re.compile(
    rf"(?:\d{{4}}-\d\d-\d\d +\d\d:\d\d +)?({'|'.join(get_args(What))})\s+(m\d\d(?:c\d\d(?:e\d+)?|-[a-z][\w-]*))(?:\s+(.*))?",
    re.I,
)


def _add_line(path: Path, line: str) -> None:
    with open(path, "ab+") as file, _locked(file.fileno()):
        # Whoever edited it may have left the last line open.
        file.seek(0, os.SEEK_END)
        if file.tell():
            file.seek(-1, os.SEEK_END)
            line = line if file.read(1) == b"\n" else f"\n{line}"
        file.write(f"{line}\n".encode())
        file.flush()


@contextmanager
def _locked(descriptor: int) -> Iterator[None]:
    """Nobody else writes meanwhile, where the system and the disk can lock; adding a line is safe enough elsewhere."""
    if os.name != "posix":
        yield
        return
    import fcntl

    with suppress(OSError):  # some network disks cannot
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    yield  # closing the file unlocks it
