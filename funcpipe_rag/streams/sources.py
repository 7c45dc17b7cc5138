"""Where streams come from: folders and text files.

The one file of this room that opens anything: rows and logs open their files through it. Each source opens what it
needs at its first pull and closes it when it is exhausted, closed early or stopped by an error.
"""

from __future__ import annotations

import codecs
import os
from collections.abc import Callable, Iterable, Iterator
from errno import EINVAL
from io import BufferedReader, FileIO, IncrementalNewlineDecoder
from stat import S_ISDIR, S_ISREG
from typing import Any, Literal, TypeAlias, overload

from .arguments import a_whole_number
from .decoding import BadLine, LineDecoder, Lines, UndecodableText
from .ownership import Owned
from .reports import Failures, OnError, Told, policy
from .results import Err
from .stages import Stage

Encoding: TypeAlias = str | Callable[[BufferedReader], str]
"""The name of an encoding, or a function that finds it in the opened file."""


@overload
def make_walk_source(
    root: str | os.PathLike[str],
    *,
    suffixes: Iterable[str] | None = ...,
    hidden: bool = ...,
    skip: Iterable[str] = ...,
    on_error: Literal["fail", "skip"] = ...,
    report: Told | None = ...,
) -> Stage[[], Iterator[str]]: ...
@overload
def make_walk_source(
    root: str | os.PathLike[str],
    *,
    suffixes: Iterable[str] | None = ...,
    hidden: bool = ...,
    skip: Iterable[str] = ...,
    on_error: Literal["collect"],
    report: Told | None = ...,
) -> Stage[[], Iterator[str | Err[str]]]: ...
def make_walk_source(
    root: str | os.PathLike[str],
    *,
    suffixes: Iterable[str] | None = None,
    hidden: bool = False,
    skip: Iterable[str] = (),
    on_error: OnError = "fail",
    report: Told | None = None,
) -> Stage[[], Iterator[Any]]:
    """The paths of the files below a folder, depth first, sorted by name at every level.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     for name in ["b.md", "a.txt", ".hidden.md"]:
    ...         _ = open(os.path.join(folder, name), "w").close()
    ...     [os.path.basename(path) for path in make_walk_source(folder, suffixes=[".md"])()]
    ['b.md']

    A folder that is not there is an error when the walk starts, not before.

    >>> walk = make_walk_source("no/such/folder")
    >>> next(walk())
    Traceback (most recent call last):
    ...
    FileNotFoundError: [Errno 2] No such file or directory: 'no/such/folder'

    `suffixes` are compared without case, dot included. Names that begin with a dot are left out unless
    `hidden`; names in `skip` always are. Links are followed, but each real folder is entered once: a link
    that points back at its parent cannot loop. What is neither folder nor file (a socket, a pipe) is left
    out, and as the root it is an OSError. A root that is a file gives its own path, whatever its name.

    Class: external. Demand: a folder is listed when the walk reaches it. Memory: the sorted names of the
    folders on the way down, and one pair of numbers for each folder entered. Closing: holds nothing open.
    Errors: OSError from the root; below it, for what cannot be looked at, an OSError ("fail"), nothing but a count in
    `report` ("skip"), or an `Err` with the path in its place ("collect"). TypeError and ValueError at construction.
    """
    top = os.fspath(root)
    if not isinstance(top, str) or not top:
        raise TypeError(f"make_walk_source: root must be a path as text, got {root!r}")
    if isinstance(suffixes, str) or isinstance(skip, str):
        raise TypeError('make_walk_source: suffixes and skip are lists of names, like [".md"], not one str')
    endings = None if suffixes is None else tuple(suffix.lower() for suffix in suffixes)
    for ending in endings or ():
        if not ending.startswith("."):
            raise ValueError(f'make_walk_source: a suffix begins with a dot, like ".md"; got {ending!r}')
    skipped = frozenset(skip)
    failures_of = policy("make_walk_source", on_error, report=report)

    def entries(folder: str) -> list[str]:
        names = (name for name in os.listdir(folder) if hidden or not name.startswith("."))
        return sorted(names, reverse=True)

    def run() -> Iterator[Any]:
        found = os.stat(top)
        if S_ISREG(found.st_mode):
            yield top
            return
        if not S_ISDIR(found.st_mode):
            raise OSError(EINVAL, "Neither a folder nor a file", top)
        entered = {(found.st_dev, found.st_ino)}
        levels = [(top, entries(top))]
        place = 0
        with failures_of() as failures:
            while levels:
                folder, names = levels[-1]
                if not names:
                    levels.pop()
                    continue
                name = names.pop()
                if name in skipped:
                    continue
                path = os.path.join(folder, name)
                try:
                    found = os.stat(path)
                    if S_ISDIR(found.st_mode):
                        real = (found.st_dev, found.st_ino)
                        if real not in entered:
                            entered.add(real)
                            levels.append((path, entries(path)))
                        continue
                except OSError as error:
                    # A broken link or a vanished file matters only if it would have been given.
                    if endings is None or name.lower().endswith(endings) or os.path.isdir(path):
                        yield from failures.handle(error, path, place)
                        place += 1
                    continue
                if S_ISREG(found.st_mode) and (endings is None or name.lower().endswith(endings)):
                    yield path
                    place += 1

    return Stage(run, "source", "make_walk_source", top)


def make_text_source(
    path: str | os.PathLike[str], *, encoding: Encoding = "utf-8", block: int = 65536
) -> Stage[[], Iterator[str]]:
    r"""The text of a file, in blocks, exactly as it stands there.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "a.txt")
    ...     with open(path, "wb") as file:
    ...         _ = file.write(b"\xef\xbb\xbfnaive caf\xc3\xa9\r\n")
    ...     list(make_text_source(path, block=11)())
    ['naive ca', 'fé\r\n']

    A byte that the encoding does not have is an error that says where it is, after the text before it.

    >>> with TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "a.txt")
    ...     with open(path, "wb") as file:
    ...         _ = file.write(b"one\ncaf\xe9 two")
    ...     try:
    ...         list(make_text_source(path)())
    ...     except UndecodableText as error:
    ...         error.line, error.offset, hex(error.byte)
    (2, 7, '0xe9')

    Line ends stay as they are; a byte order mark is not part of the text. `block` is in bytes, at least 1.
    `encoding` may be a function: it is handed the opened file and returns the encoding's name.

    Class: external. Demand: one read a block. Memory: one block. Closing: closes the file on exhaustion,
    early stop and error. Errors: OSError, UndecodableText (a ValueError); LookupError or ValueError for a bad
    argument, at construction.
    """
    name = a_path("make_text_source", path)
    block = a_whole_number("make_text_source", "block", block, least=1)
    a_known_encoding(encoding)

    def run() -> Iterator[str]:
        with open(name, "rb") as file:
            chosen = encoding
            if callable(chosen):
                chosen = _known(chosen(file))
                file.seek(0)
            if codecs.lookup(chosen).name == "utf-8-sig":
                chosen = "utf-8"  # its mark is left out below, and still counts in the offset
            decoder = codecs.getincrementaldecoder(chosen)()
            read, started, ended = 0, False, False
            while not ended:
                data = file.read(block)
                read += len(data)
                ended = not data
                try:
                    text = decoder.decode(data, ended)
                except UnicodeError as error:
                    if not isinstance(error, UnicodeDecodeError):  # UTF-16 without its mark
                        raise UndecodableText(name, 1, 0, (data or b"\0")[0], chosen, str(error)) from None
                    # What the decoder was working on ends where we have read to.
                    offset = read - len(error.object) + error.start
                    good, line = _before(file, chosen, offset, read - len(data))
                    good = good if started else good.removeprefix("\ufeff")
                    if good:
                        yield good
                    byte, reason = error.object[error.start], error.reason
                    raise UndecodableText(name, line, offset, byte, chosen, reason) from None
                if text and not started:
                    started = True
                    text = text.removeprefix("\ufeff")
                if text:
                    yield text

    return Stage(run, "source", "make_text_source", name)


@overload
def make_lines_source(
    path: str | os.PathLike[str],
    *,
    encoding: Encoding = ...,
    block: int = ...,
    on_error: Literal["fail", "skip"] = ...,
    report: Told | None = ...,
) -> Stage[[], Iterator[str]]: ...
@overload
def make_lines_source(
    path: str | os.PathLike[str],
    *,
    encoding: Encoding = ...,
    block: int = ...,
    on_error: Literal["collect"],
    report: Told | None = ...,
) -> Stage[[], Iterator[str | Err[str]]]: ...
def make_lines_source(
    path: str | os.PathLike[str],
    *,
    encoding: Encoding = "utf-8",
    block: int = 65536,
    on_error: OnError = "fail",
    report: Told | None = None,
) -> Stage[[], Iterator[Any]]:
    r"""The lines of a file, without their ends; "\n", "\r\n" and "\r" all end a line.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "a.txt")
    ...     with open(path, "wb") as file:
    ...         _ = file.write(b"one\r\n\ncaf\xe9\nfour")
    ...     list(make_lines_source(path, encoding="latin-1")())
    ['one', '', 'café', 'four']

    A byte that the encoding does not have costs its line: the error says where ("fail"), the line is dropped and
    counted ("skip"), or its `Err` stands in its place ("collect"), with the bad bytes written out.

    >>> from funcpipe_rag.streams.reports import Report
    >>> dropped = Report()
    >>> with TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "a.txt")
    ...     with open(path, "wb") as file:
    ...         _ = file.write(b"one\n\ncaf\xe9\nfour")
    ...     list(make_lines_source(path, on_error="skip", report=dropped)()), dropped
    ...     [line.item for line in make_lines_source(path, on_error="collect")() if isinstance(line, Err)]
    (['one', '', 'four'], Report(1 UndecodableText in make_lines_source))
    ['caf\\xe9']

    An empty file has no lines. A byte order mark is not part of the first one. UTF-16 without its mark cannot be
    read at all: an UndecodableText, whatever the policy. `encoding` may be a function, as in make_text_source.

    Class: external. Demand: reads a block when no whole line is left of the last. Memory: one block and the
    longest line. Closing: closes the file on exhaustion, early stop and error. Errors: OSError, UndecodableText
    (a ValueError) after the lines before it; LookupError or ValueError for a bad argument, at construction.
    """
    name = a_path("make_lines_source", path)
    block = a_whole_number("make_lines_source", "block", block, least=1)
    a_known_encoding(encoding)
    failures_of = policy("make_lines_source", on_error, report=report)

    def run() -> Iterator[Any]:
        with failures_of() as failures, Owned() as owned:
            yield from handled(owned.take(lines_of(name, encoding, block)), failures)

    return Stage(run, "source", "make_lines_source", name)


def lines_of(path: str, encoding: Encoding, block: int, *, keep_ends: bool = False) -> Iterator[Lines]:
    """The lines of a file as they are decoded, read by read. For the sources of this room."""
    with open(path, "rb") as file:
        chosen = encoding
        if callable(chosen):
            chosen = _known(chosen(file))
            file.seek(0)
        decoder = LineDecoder(path, chosen, keep_ends=keep_ends)
        # read1(): what a pipe has to give does not wait for the block to be full.
        while data := file.read1(block):
            yield from decoder.feed(data)
        yield from decoder.end()


def handled(runs: Iterable[Lines], failures: Failures) -> Iterator[Any]:
    """The lines one by one, the bad ones as `failures` has it. For the sources of this room."""
    index = 0
    for lines in runs:
        if isinstance(lines, BadLine):
            yield from failures.handle(lines.error, lines.text, index)
            index += 1
        else:
            yield from lines
            index += len(lines)


def opened_raw(path: str) -> FileIO:
    """A file to read and to look at; whoever asks for it closes it. For the sources of this room."""
    return open(path, "rb", buffering=0)


def a_path(where: str, path: str | os.PathLike[str]) -> str:
    """`path` as text; TypeError or ValueError, naming it, when it cannot be a file's."""
    if isinstance(path, int):
        raise TypeError(f"{where}: path must be a path, got {path!r}")
    name = os.fspath(path)
    if not isinstance(name, str):
        raise TypeError(f"{where}: path must be text, got {type(name).__name__}")
    if not name or "\0" in name:
        raise ValueError(f"{where}: path must be a file's path, got {name!r}")
    return name


def a_known_encoding(encoding: Encoding) -> None:
    """ValueError unless it is an encoding of Python's, or a function that will find one."""
    if not callable(encoding):
        _known(encoding)


def _known(encoding: str) -> str:
    try:
        if codecs.lookup(encoding)._is_text_encoding:
            return encoding
    except LookupError:
        pass
    raise ValueError(f'encoding must be one that Python knows, like "utf-8" or "latin-1"; got {encoding!r}')


def _before(file: BufferedReader, encoding: str, offset: int, given: int) -> tuple[str, int]:
    """The good text between the bytes `given` and `offset`, and the line that `offset` stands on.

    Only an error needs the line, so nobody counts lines until there is one: the file is read once more.
    """
    file.seek(0)
    decoder = codecs.getincrementaldecoder(encoding)()
    newlines = IncrementalNewlineDecoder(None, True)
    line, at, good = 1, 0, []
    while at < offset:
        data = file.read(min(65536, (given if at < given else offset) - at))
        if not data:
            break
        text = decoder.decode(data)
        line += newlines.decode(text).count("\n")
        if at >= given:
            good.append(text)
        at += len(data)
    return "".join(good), line + newlines.decode("", True).count("\n")
