"""Logs: text files that grow while they are read, and that are moved away or cut short behind the reader's back."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from errno import EINVAL
from io import FileIO
from stat import S_ISDIR, S_ISREG
from time import sleep
from typing import Any, Literal, overload

from .arguments import a_function, a_number, a_whole_number
from .decoding import LineDecoder, Lines
from .ownership import Owned
from .reports import OnError, Told, policy
from .results import Err
from .sources import a_known_encoding, a_path, handled, lines_of, opened_raw
from .stages import Stage


@overload
def make_log_source(
    path: str | os.PathLike[str],
    *,
    follow: bool = ...,
    from_end: bool = ...,
    until: Callable[[], object] | None = ...,
    poll: float = ...,
    sleeper: Callable[[float], object] = ...,
    encoding: str = ...,
    block: int = ...,
    on_error: Literal["fail", "skip"] = ...,
    report: Told | None = ...,
) -> Stage[[], Iterator[str]]: ...
@overload
def make_log_source(
    path: str | os.PathLike[str],
    *,
    follow: bool = ...,
    from_end: bool = ...,
    until: Callable[[], object] | None = ...,
    poll: float = ...,
    sleeper: Callable[[float], object] = ...,
    encoding: str = ...,
    block: int = ...,
    on_error: Literal["collect"],
    report: Told | None = ...,
) -> Stage[[], Iterator[str | Err[str]]]: ...
def make_log_source(
    path: str | os.PathLike[str],
    *,
    follow: bool = False,
    from_end: bool = False,
    until: Callable[[], object] | None = None,
    poll: float = 1.0,
    sleeper: Callable[[float], object] = sleep,
    encoding: str = "utf-8",
    block: int = 65536,
    on_error: OnError = "fail",
    report: Told | None = None,
) -> Stage[[], Iterator[Any]]:
    r"""The lines of a log; with `follow`, those that are still to be written too, through every rotation.

    >>> from tempfile import TemporaryDirectory
    >>> folder = TemporaryDirectory()
    >>> path = os.path.join(folder.name, "app.log")
    >>> def write(text):
    ...     with open(path, "a", newline="") as file:
    ...         _ = file.write(text)
    >>> write("start\nhalf a li")
    >>> list(make_log_source(path)())
    ['start', 'half a li']

    When there is nothing to read, a following log sleeps for `poll` seconds and looks again. The last line is held
    until its end has been written.

    >>> later = iter([lambda: write("ne\n"), lambda: os.rename(path, path + ".1"), lambda: write("new\n")])
    >>> lines = make_log_source(path, follow=True, sleeper=lambda seconds: next(later)())()
    >>> next(lines), next(lines), next(lines)
    ('start', 'half a line', 'new')
    >>> lines.close()
    >>> folder.cleanup()

    Another file under the same name (renamed and created anew) is read from its start, once it is not empty and
    the old one has been read out: a writer may go on in the old one for a while. A file that has become shorter
    (copied and truncated) is read from its start again. One that is not there, or not any more, is waited for. What
    stands in a file without a line end when it is left is a line.

    A following log ends when it is closed between two items, or by `until`: that is asked before each read; once it
    is true, what has been written is read out, and the stream ends. With a threading.Event, `until=stop.is_set,
    sleeper=stop.wait` ends it at once from another thread. `from_end` gives no line that was whole
    when the first one was asked for; they are read all the same, so that a failure names the right line.

    Two changes within one `poll` look like one: of a file that was moved away again by then nothing is seen, and
    neither is a cut that has been written over to more than its old length. Nobody who looks at a path can see
    more; poll oftener.

    Class: external. Demand: a read when no whole line is left of the last; no sleep while there is something to give. Memory:
    one block and the longest line. Closing: closes the file on exhaustion, early stop and error. Errors: OSError,
    and for what is no file, when following; UndecodableText after the lines before it, under the policies of
    make_lines_source. ValueError and TypeError for a bad argument, at construction.
    """
    name = a_path("make_log_source", path)
    block = a_whole_number("make_log_source", "block", block, least=1)
    a_known_encoding(encoding)
    seconds = a_number("make_log_source", "poll", poll, above=0)
    a_function("make_log_source", "sleeper", sleeper)
    if until is not None:
        a_function("make_log_source", "until", until)
    if (from_end or until is not None) and not follow:
        raise ValueError(
            "make_log_source: from_end and until are for follow=True; without it, a log is read to its end"
        )
    failures_of = policy("make_log_source", on_error, report=report)

    def run() -> Iterator[Any]:
        if follow:
            runs = _followed(name, encoding, block, from_end, until or _never, lambda: sleeper(seconds))
        else:
            runs = lines_of(name, encoding, block)
        with failures_of() as failures, Owned() as owned:
            yield from handled(owned.take(runs), failures)

    options = {"follow": True} if follow else {}
    return Stage(run, "source", "make_log_source", name, **options)


def _followed(
    path: str,
    encoding: str,
    block: int,
    passing: bool,
    until: Callable[[], object],
    wait: Callable[[], object],
) -> Iterator[Lines]:
    file: FileIO | None = None
    last = leaving = False
    try:
        while True:
            # Asked ahead of the read: what was written before it was true is given.
            last = last or bool(until())
            if file is None:
                file = _opened(path)
                at, decoder, leaving = 0, LineDecoder(path, encoding), False
            data = b"" if file is None else file.read(block)
            if data:
                at += len(data)
                lines = decoder.feed(data)
                if passing:
                    deque(lines, maxlen=0)
                else:
                    yield from lines
                continue
            passing = False
            if file is not None:
                change = None if leaving else _change(path, file, at)
                if change == "replaced":
                    # It may have been written to between the read and the look.
                    leaving = True
                    continue
                if leaving or change == "shorter":
                    yield from decoder.end()
                    file.close()
                    file = None
                    continue
            if last:
                yield from decoder.end()
                return
            wait()
    finally:
        if file is not None:
            file.close()


def _never() -> bool:
    return False


def _opened(path: str) -> FileIO | None:
    try:
        kind = os.stat(path).st_mode
        if not S_ISREG(kind) and not S_ISDIR(kind):
            # Opening a pipe would wait for its writer.
            raise OSError(EINVAL, "Not a regular file, so it cannot be followed", path)
        return opened_raw(path)
    except FileNotFoundError:
        return None


def _change(path: str, file: FileIO, at: int) -> Literal["shorter", "replaced"] | None:
    """What has happened to the file that is read to `at`, or to its name."""
    mine = os.fstat(file.fileno())
    if mine.st_size < at:
        return "shorter"
    try:
        there = os.stat(path)
    except FileNotFoundError:
        return None
    replaced = (there.st_dev, there.st_ino) != (mine.st_dev, mine.st_ino)
    return "replaced" if replaced and there.st_size else None
