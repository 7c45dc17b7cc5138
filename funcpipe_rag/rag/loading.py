"""Folders and files as documents.

A document's text is opened when it is read, so a file that turns out to be unreadable, binary or wrongly
encoded is found there, named with its line and offset; no byte is ever dropped to make a file fit.
"""

from __future__ import annotations

import codecs
import os
import re
from collections.abc import Iterable, Iterator
from io import BufferedReader
from typing import Any, Literal, NamedTuple, TypeAlias, overload

from funcpipe_rag.streams import Err, Stage
from funcpipe_rag.streams.decoding import UndecodableText
from funcpipe_rag.streams.ownership import Owned
from funcpipe_rag.streams.sources import make_text_source, make_walk_source

from .types import RawDoc, check_name

SUFFIXES = (".md", ".markdown", ".rst", ".txt", ".py")

# Folders of a working tree that hold nobody's own text.
SKIPPED = ("__pycache__", "site-packages", "dist-packages", "node_modules")


class Quarantined(NamedTuple):
    """A document that cannot be read: where it is, why, and on which line (from 1) if that is known."""

    source: str
    reason: str
    line: int | None = None


Loaded: TypeAlias = RawDoc | Quarantined


class NotText(ValueError):
    """A file that holds no text, or none that says how to read it."""


@overload
def make_docs_source(
    *paths: str | os.PathLike[str],
    encoding: str = ...,
    suffixes: Iterable[str] = ...,
    on_error: Literal["fail", "skip"] = ...,
) -> Stage[[], Iterator[RawDoc]]: ...
@overload
def make_docs_source(
    *paths: str | os.PathLike[str],
    encoding: str = ...,
    suffixes: Iterable[str] = ...,
    on_error: Literal["collect"],
) -> Stage[[], Iterator[Loaded]]: ...
def make_docs_source(
    *paths: str | os.PathLike[str],
    encoding: str = "utf-8",
    suffixes: Iterable[str] = SUFFIXES,
    on_error: Literal["fail", "skip", "collect"] = "fail",
) -> Stage[[], Iterator[Any]]:
    """The documents below folders, and files, in the order of their names.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     for name in ["b.md", "a.txt", "c.png"]:
    ...         _ = open(os.path.join(folder, name), "w").write(f"I am {name}")
    ...     [(doc.source, "".join(doc.text())) for doc in make_docs_source(folder)()]
    [('a.txt', 'I am a.txt'), ('b.md', 'I am b.md')]

    A folder that is not there is an error when the documents are asked for.

    >>> next(make_docs_source("no/such/folder")())
    Traceback (most recent call last):
    ...
    FileNotFoundError: [Errno 2] No such file or directory: 'no/such/folder'

    `source` is the path below the folder given, with "/"; of several paths, with the folder's name in front.
    So it does not change when the corpus moves. Hidden names and the folders in SKIPPED are left out. A byte
    order mark and a Python file's coding line say how the file is read; `encoding` goes for the others, but not
    for one that is UTF-8 throughout: read as something else, it would be nonsense without an error.

    Class: external. Demand: a document costs no read before its text is opened. Memory: as make_walk_source.
    Closing: nothing stays open but texts that you opened. Errors: for a folder or file that cannot be looked
    at, OSError ("fail"), nothing ("skip"), or a Quarantined in its place ("collect"); the only path given is
    always an OSError. A text raises OSError,
    UndecodableText or NotText when it is read. ValueError for bad arguments, at construction.
    """
    check_name("make_docs_source", "on_error", on_error, ("fail", "skip", "collect"))
    roots = corpus_roots(paths)
    make_text_source(os.devnull, encoding=encoding)

    def walk(root: str, prefix: str) -> Iterator[Loaded]:
        found: list[Quarantined] = []

        def left_out(failure: Err[str]) -> None:
            if on_error == "collect":
                path, error = failure.item, failure.error
                source = prefix + _relative(path, root) + ("/" if os.path.isdir(path) else "")
                found.append(Quarantined(_printable(source), getattr(error, "strerror", None) or str(error)))

        policy: Literal["fail", "skip"] = "fail" if on_error == "fail" else "skip"
        below = make_walk_source(root, suffixes=suffixes, skip=SKIPPED, on_error=policy, report=left_out)
        with Owned() as owned:
            try:
                for path in owned.called(below):
                    yield from found
                    found.clear()
                    source = prefix + _relative(path, root)
                    if source == _printable(source):
                        yield RawDoc(source, FileText(path, encoding), source)
                    elif on_error == "collect":
                        yield Quarantined(_printable(source), "its name is not UTF-8")
                    elif on_error == "fail":
                        raise NotText(f"{_printable(path)}: its name is not UTF-8")
            except OSError as error:
                # The root's own. A corpus of one path is not there then; one of several goes on without it.
                if on_error == "fail" or not prefix:
                    raise
                if on_error == "collect":
                    found.append(Quarantined(_printable(prefix), error.strerror or str(error)))
            yield from found

    def run() -> Iterator[Any]:
        with Owned() as owned:
            for name, root in roots:
                one = owned.take(walk(root, f"{name}/" if len(roots) > 1 else ""))
                yield from one
                owned.release(one)

    return Stage(run, "source", "make_docs_source", *paths)


def corpus_roots(paths: Iterable[str | os.PathLike[str]]) -> list[tuple[str, str]]:
    """Each path with the name its documents go by: the last part of its real path.

    >>> [name for name, path in corpus_roots(["docs/", "src/notes"])]
    ['docs', 'notes']
    >>> corpus_roots(["a/docs", "b/docs"])
    Traceback (most recent call last):
    ...
    ValueError: make_docs_source: two paths are called 'docs'; give the folder above them, or rename one
    """
    roots: dict[str, str] = {}
    for path in paths:
        name = os.path.basename(os.path.realpath(path))
        if name in roots:
            raise ValueError(
                f"make_docs_source: two paths are called {name!r}; give the folder above them, or rename one"
            )
        roots[name] = os.fspath(path)
    if not roots:
        raise ValueError("make_docs_source: wants at least one folder or file")
    return list(roots.items())


class FileText:
    """The text of a file, opened anew by every call; see make_docs_source for how it is decoded."""

    __slots__ = ("encoding", "path")

    def __init__(self, path: str, encoding: str = "utf-8") -> None:
        self.path, self.encoding = path, encoding

    def __call__(self) -> Iterator[str]:
        return make_text_source(self.path, encoding=self._found_in)()

    def _found_in(self, file: BufferedReader) -> str:
        head = file.read(4096)
        for mark, name in _MARKS:
            if head.startswith(mark):
                return name
        if self.encoding.lower().replace("_", "-").startswith(("utf-16", "utf-32")):
            return self.encoding
        controls = len(head) - len(head.translate(None, _CONTROLS))
        if controls * 50 > len(head):
            share = f"{100 * controls / len(head):.0f} % of its first {len(head):,} bytes"
            raise NotText(f"not text: {share} are control bytes")
        declared = _coding_line(head) if self.path.lower().endswith(".py") else None
        if declared is None and codecs.lookup(self.encoding).name != "utf-8" and _is_utf8(file):
            declared = "utf-8"
        return declared or self.encoding

    def __repr__(self) -> str:
        return f"FileText({self.path!r}, {self.encoding!r})"


# UTF-32's little-endian mark begins with UTF-16's.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)

# What no text has: all C0 controls but backspace, tab, newline, vertical tab, form feed, return and escape.
_CONTROLS = bytes(byte for byte in (*range(32), 127) if byte not in b"\b\t\n\v\f\r\x1b")

_CODING = re.compile(rb"[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)")  # PEP 263
_NO_CODE = re.compile(rb"[ \t\f]*(?:#|$)")


def _coding_line(head: bytes) -> str | None:
    for line in head.splitlines()[:2]:
        found = _CODING.match(line)
        if found:
            name = found[1].decode("ascii", "replace")
            try:
                codecs.lookup(name)
            except LookupError:
                raise NotText(
                    f"its coding line names {name!r}, an encoding that Python does not have"
                ) from None
            return name
        if not _NO_CODE.match(line):
            return None
    return None


def _is_utf8(file: BufferedReader) -> bool:
    """Whether a file has characters beyond ASCII, all of them good UTF-8; other encodings hardly look so."""
    file.seek(0)
    decoder = codecs.getincrementaldecoder("utf-8")()
    beyond = False
    try:
        while data := file.read(65536):
            beyond = beyond or not data.isascii()
            decoder.decode(data)
        decoder.decode(b"", True)
    except UnicodeDecodeError:
        return False
    return beyond


def reading_failed(source: str, error: Exception) -> Quarantined:
    """The error of a text that could not be read, as data.

    >>> reading_failed("a.txt", UndecodableText("docs/a.txt", 2, 7, 0xE9, "utf-8", "unexpected end of data"))
    Quarantined(source='a.txt', reason='not utf-8: byte 0xe9 at offset 7 (unexpected end of data)', line=2)
    >>> reading_failed("a.txt", PermissionError(13, "Permission denied"))
    Quarantined(source='a.txt', reason='Permission denied', line=None)
    """
    if isinstance(error, UndecodableText):
        return Quarantined(source, error.finding, error.line)
    if isinstance(error, OSError):
        return Quarantined(source, error.strerror or str(error))
    return Quarantined(source, str(error) or type(error).__name__)


def _relative(path: str, root: str) -> str:
    below = os.path.basename(path) if path == root else os.path.relpath(path, root)
    return below.replace(os.sep, "/")


def _printable(name: str) -> str:
    """A file name with the bytes that are no text made visible."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
