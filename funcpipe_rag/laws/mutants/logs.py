"""What people write in place of a source that follows a log."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from funcpipe_rag.streams.logs import make_log_source

from .mutant import mutant

Source = Callable[[], Iterator[Any]]


@mutant(of="make_log_source", killed_by="log-source-gives-the-file-whatever-the-block")
def forgets_the_last_line(path: str, **how: Any) -> Source:
    """Waits for every line to end, the last one of a file that nobody writes to any more too."""

    def run() -> Iterator[Any]:
        ended = Path(path).read_bytes().endswith((b"\n", b"\r"))
        lines = list(make_log_source(path, **how)())
        yield from lines if ended else lines[:-1]

    return make_log_source(path, **how) if "follow" in how else run


@mutant(of="make_log_source", killed_by="log-source-opens-nothing-at-birth")
def reads_the_log_at_once(path: str, **how: Any) -> Source:
    """Reads the log when the stream is built."""
    if "follow" in how:
        return make_log_source(path, **how)
    lines = list(make_log_source(path, **how)())
    return lambda: iter(lines)


@mutant(of="make_log_source", killed_by="log-source-starts-afresh")
def goes_on_where_it_stopped(path: str, **how: Any) -> Source:
    """Remembers how far it has read, for all readers together."""
    opened: list[Iterator[Any]] = []

    def run() -> Iterator[Any]:
        if not opened:
            opened.append(make_log_source(path, **how)())
        yield from opened[0]

    return run


@mutant(of="make_log_source", killed_by="log-source-loses-one-line-to-a-bad-byte")
def stops_at_a_bad_byte(path: str, on_error: str = "fail", report: Any = None, **how: Any) -> Source:
    """Catches the error around the loop, so that one bad byte is the end of the log."""

    def run() -> Iterator[Any]:
        try:
            yield from make_log_source(path, **how)()
        except UnicodeError as error:
            report(error)

    return run


@mutant(of="make_log_source", killed_by="log-source-holds-a-line-until-it-is-whole")
def gives_what_is_there(path: str, *, follow: bool = False, **how: Any) -> Source:
    """Reads the whole file again and again to its end, and takes that for the end of a line."""
    if not follow:
        return make_log_source(path, **how)

    def run() -> Iterator[Any]:
        with open(path, encoding="utf-8", errors="ignore") as file:
            for _ in _looks(**how):
                yield from (line.removesuffix("\n") for line in file)

    return run


@mutant(of="make_log_source", killed_by="log-source-follows-through-rotation")
def holds_on_to_the_old_file(path: str, *, follow: bool = False, **how: Any) -> Source:
    """Keeps reading the file that it opened, as `tail -f` does: what is written to the new one is never seen."""
    if not follow:
        return make_log_source(path, **how)

    def run() -> Iterator[Any]:
        Path(path).touch()
        with open(path, "rb") as file:
            held = b""
            for _ in _looks(**how):
                lines, held = _whole(held + file.read())
                yield from lines
            if held:
                yield held.decode()

    return run


@mutant(of="make_log_source", killed_by="log-source-follows-through-rotation")
def opens_anew_each_time(path: str, *, follow: bool = False, **how: Any) -> Source:
    """Opens the path for each look and seeks to where it was: in another file, that is another place."""
    if not follow:
        return make_log_source(path, **how)

    def run() -> Iterator[Any]:
        at, held = 0, b""
        for _ in _looks(**how):
            if os.path.exists(path):
                with open(path, "rb") as file:
                    file.seek(at)
                    lines, held = _whole(held + file.read())
                    at = file.tell()
                yield from lines
        if held:
            yield held.decode()

    return run


def _looks(*, until: Any = lambda: False, sleeper: Any = None, block: int = 0) -> Iterator[None]:
    """One look, and one behind each sleep; the last one when `until` has become true."""
    last = until()
    yield
    while not last:
        sleeper(1)
        last = until()
        yield


def _whole(data: bytes) -> tuple[list[str], bytes]:
    *lines, held = data.split(b"\n")
    return [line.decode().removesuffix("\r") for line in lines], held


@mutant(of="make_log_source", killed_by="log-source-sleeps-when-there-is-nothing-to-give")
def sleeps_behind_each_line(path: str, *, sleeper: Any = None, **how: Any) -> Source:
    """Sleeps after each line, so as not to be too fast: a log that is behind never catches up."""
    if sleeper is None:
        return make_log_source(path, **how)

    def run() -> Iterator[Any]:
        for line in make_log_source(path, sleeper=sleeper, **how)():
            sleeper(1)
            yield line

    return run
