"""What people write in place of a source that follows a log."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from .mutant import mutant

Source = Callable[[], Iterator[Any]]


@mutant(of="make_log_source", killed_by="log-source-gives-the-file-whatever-the-block")
def forgets_the_last_line(path: str, *, block: int = 65536) -> Source:
    """Waits for every line to end, the last one of a file that nobody writes to any more too."""

    def run() -> Iterator[str]:
        *whole, _ = Path(path).read_text(encoding="utf-8").split("\n")
        yield from whole

    return run


@mutant(of="make_log_source", killed_by="log-source-opens-nothing-at-birth")
def reads_the_log_at_once(path: str, *, block: int = 65536) -> Source:
    """Reads the log when the stream is built."""
    lines = Path(path).read_text(encoding="utf-8").splitlines()
    return lambda: iter(lines)


@mutant(of="make_log_source", killed_by="log-source-starts-afresh")
def goes_on_where_it_stopped(path: str, *, block: int = 65536) -> Source:
    """Remembers how far it has read, for all readers together."""
    at = [0]

    def run() -> Iterator[str]:
        with open(path, encoding="utf-8") as file:
            file.seek(at[0])
            while line := file.readline():
                at[0] = file.tell()
                yield line.removesuffix("\n")

    return run


@mutant(of="make_log_source", killed_by="log-source-loses-one-line-to-a-bad-byte")
def stops_at_a_bad_byte(
    path: str, *, block: int = 65536, on_error: str = "fail", report: Any = None
) -> Source:
    """Catches the error around the loop, so that one bad byte is the end of the log."""

    def run() -> Iterator[str]:
        with open(path, encoding="utf-8") as file:
            try:
                yield from (line.removesuffix("\n") for line in file)
            except UnicodeDecodeError as error:
                if report:
                    report(error)

    return run


@mutant(of="make_log_source", killed_by="log-source-holds-a-line-until-it-is-whole")
def gives_what_is_there(path: str, *, follow: bool, until: Any, sleeper: Any) -> Source:
    """Gives whatever readline() has, whole or not."""

    def run() -> Iterator[str]:
        with open(path, encoding="utf-8", errors="ignore") as file:
            while True:
                last = until()
                while line := file.readline():
                    yield line.removesuffix("\n")
                if last:
                    return
                sleeper(1)

    return run


def _lines_so_far(file: Any, held: bytes) -> tuple[list[str], bytes]:
    *whole, held = (held + file.read()).split(b"\n")
    return [line.decode() for line in whole], held


@mutant(of="make_log_source", killed_by="log-source-follows-through-rotation")
def holds_on_to_the_old_file(path: str, *, follow: bool, until: Any, sleeper: Any) -> Source:
    """Keeps reading the file that it opened, as `tail -f` does: what is written to the new one is never seen."""

    def run() -> Iterator[str]:
        while not os.path.exists(path) and not until():
            sleeper(1)
        if not os.path.exists(path):
            return
        with open(path, "rb") as file:
            held = b""
            while True:
                last = until()
                lines, held = _lines_so_far(file, held)
                yield from lines
                if last:
                    return
                sleeper(1)

    return run


@mutant(of="make_log_source", killed_by="log-source-follows-through-rotation")
def opens_anew_each_time(path: str, *, follow: bool, until: Any, sleeper: Any) -> Source:
    """Opens the path for each look and seeks to where it was: in another file, that is another place."""

    def run() -> Iterator[str]:
        at, held = 0, b""
        while True:
            last = until()
            if os.path.exists(path):
                with open(path, "rb") as file:
                    file.seek(at)
                    lines, held = _lines_so_far(file, held)
                    at = file.tell()
                yield from lines
            if last:
                return
            sleeper(1)

    return run


@mutant(of="make_log_source", killed_by="log-source-sleeps-when-there-is-nothing-to-give")
def sleeps_behind_each_line(path: str, *, follow: bool, block: int, sleeper: Any) -> Source:
    """Sleeps after each line, so as not to be too fast: a log that is behind never catches up."""

    def run() -> Iterator[str]:
        with open(path, encoding="utf-8") as file:
            while True:
                line = file.readline()
                sleeper(1)
                if line:
                    yield line.removesuffix("\n")

    return run
