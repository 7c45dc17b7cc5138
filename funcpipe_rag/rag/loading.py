"""Folders, patterns and files as documents.

A document's text is opened when it is read, so a file that turns out to be unreadable, binary or wrongly
encoded is found there, named with its line and offset; no byte is ever dropped to make a file fit.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from typing import Any, Literal, NamedTuple, overload

from funcpipe_rag.streams import Err, Stage
from funcpipe_rag.streams.ownership import Owned
from funcpipe_rag.streams.sources import make_text_source, make_walk_source

from .detecting import NotText, encoding_of
from .pages import gen_page_text
from .quarantine import Loaded, Quarantined
from .records import gen_records
from .types import RawDoc, TextStream, check_name

TEXTS = (".md", ".markdown", ".rst", ".txt", ".py")
PAGES = (".html", ".htm")
RECORDS = (".csv", ".jsonl", ".ipynb")
SUFFIXES = (*TEXTS, *PAGES, *RECORDS)

# Folders of a working tree that hold nobody's own text.
SKIPPED = ("__pycache__", "site-packages", "dist-packages", "node_modules")


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
    """The documents below folders, of patterns, and files, in the order of their names.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     for name in ["b.md", "a.txt", "c.png", "d.csv"]:
    ...         _ = open(os.path.join(folder, name), "w").write(f"I am\\n{name}\\n")
    ...     print([doc.source for doc in make_docs_source(folder)()])
    ...     print([doc.source for doc in make_docs_source(folder + "/*.md")()])
    ['a.txt', 'b.md', 'd.csv#row-1']
    ['b.md']

    A folder that is not there is an error when the documents are asked for.

    >>> next(make_docs_source("no/such/folder")())
    Traceback (most recent call last):
    ...
    FileNotFoundError: [Errno 2] No such file or directory: 'no/such/folder'

    `source` is the path below the folder given (or the last folder of a pattern that has no `*`), with "/"; of
    several paths, with the folder's name in front. So it does not change when the corpus moves. A notebook's
    cells, a table's rows and the lines of a .jsonl file are documents of their own (see gen_records); of an .html
    page the text is taken (see gen_page_text). Hidden names and the folders in SKIPPED are left out; a file given
    by name or pattern is read whatever its name ends in.

    A byte order mark, a Python file's coding line, a page's charset and UTF-16's zero bytes say how a file is read;
    `encoding` goes for the others, but not for one that is UTF-8 throughout: read as something else, it would be
    nonsense without an error.

    Class: external. Demand: a document costs no read before its text is opened, but a file of records is read as
    they are asked for. Memory: as make_walk_source, and one record. Closing: nothing stays open but texts that
    you opened. Errors: for a folder, file or record that cannot be looked at, an error ("fail"), nothing ("skip"),
    or a Quarantined in its place ("collect"); the only path given is always an OSError. A text raises OSError,
    UndecodableText or NotText when it is read. ValueError for bad arguments, at construction.
    """
    check_name("make_docs_source", "on_error", on_error, ("fail", "skip", "collect"))
    roots = corpus_roots(paths)
    make_text_source(os.devnull, encoding=encoding)
    endings = tuple(suffixes)

    def walk(root: Root, prefix: str) -> Iterator[Loaded]:
        found: list[Quarantined] = []

        def left_out(failure: Err[str]) -> None:
            if on_error == "collect":
                path, error = failure.item, failure.error
                source = prefix + _relative(path, root.path) + ("/" if os.path.isdir(path) else "")
                found.append(Quarantined(_printable(source), getattr(error, "strerror", None) or str(error)))

        policy: Literal["fail", "skip"] = "fail" if on_error == "fail" else "skip"
        wanted = None if root.patterns else endings
        below = make_walk_source(root.path, suffixes=wanted, skip=SKIPPED, on_error=policy, report=left_out)
        with Owned() as owned:
            try:
                for path in owned.called(below):
                    yield from found
                    found.clear()
                    name = _relative(path, root.path)
                    if not root.wants(name):
                        continue
                    source = prefix + name
                    if source != _printable(source):
                        yield Quarantined(_printable(source), "its name is not UTF-8")
                    elif name.lower().endswith(RECORDS):
                        records = owned.take(gen_records(path, source, encoding))
                        yield from records
                        owned.release(records)
                    else:
                        yield RawDoc(source, file_text(path, encoding), source)
            except OSError as error:
                # The root's own. A corpus of one path is not there then; one of several goes on without it.
                if on_error == "fail" or not prefix:
                    raise
                if on_error == "collect":
                    found.append(Quarantined(_printable(prefix), error.strerror or str(error)))
            yield from found

    def run() -> Iterator[Any]:
        with Owned() as owned:
            for root in roots:
                one = owned.take(walk(root, f"{root.name}/" if len(roots) > 1 else ""))
                for item in one:
                    if isinstance(item, RawDoc) or on_error == "collect":
                        yield item
                    elif on_error == "fail":
                        raise NotText(f"{item.source}{f':{item.line}' if item.line else ''}: {item.reason}")
                owned.release(one)

    return Stage(run, "source", "make_docs_source", *paths)


class Root(NamedTuple):
    """Where documents come from: the name they go by, a folder or file, and patterns for what is wanted of it."""

    name: str
    path: str
    patterns: tuple[str, ...] = ()

    def wants(self, name: str) -> bool:
        """Whether a path below the folder is asked for."""
        return not self.patterns or any(re.fullmatch(_regular(one), name) for one in self.patterns)


def corpus_roots(paths: Iterable[str | os.PathLike[str]]) -> list[Root]:
    """Each path with the name its documents go by: the last part of its real path.

    >>> for root in corpus_roots(["docs/", "notes/**/*.md", "notes/*.txt"]):
    ...     root
    Root(name='docs', path='docs/', patterns=())
    Root(name='notes', path='notes', patterns=('**/*.md', '*.txt'))
    >>> corpus_roots(["a/docs", "b/docs"])
    Traceback (most recent call last):
    ...
    ValueError: make_docs_source: two paths are called 'docs'; give the folder above them, or rename one
    """
    roots: dict[str, Root] = {}
    for path in paths:
        folder, pattern = _split(os.fspath(path))
        try:
            re.compile(_regular(pattern))
        except re.error as error:
            raise ValueError(f"make_docs_source: {pattern!r} is no pattern: {error}") from None
        name = os.path.basename(os.path.realpath(folder))
        known = roots.get(name)
        if known is None:
            roots[name] = Root(name, folder, (pattern,) if pattern else ())
        elif pattern and known.patterns and known.path == folder:
            roots[name] = known._replace(patterns=(*known.patterns, pattern))
        else:
            raise ValueError(
                f"make_docs_source: two paths are called {name!r}; give the folder above them, or rename one"
            )
    if not roots:
        raise ValueError("make_docs_source: wants at least one folder, pattern or file")
    return list(roots.values())


def _split(path: str) -> tuple[str, str]:
    """A pattern as the folder above its first wildcard, and the rest; what exists is no pattern."""
    parts = path.replace(os.sep, "/").split("/")
    first = next((place for place, part in enumerate(parts) if any(map(part.__contains__, "*?["))), None)
    if first is None or os.path.exists(path):
        return path, ""
    return "/".join(parts[:first]) or ("/" if path.startswith("/") else "."), "/".join(parts[first:])


def _regular(pattern: str) -> str:
    r"""A pattern of paths as a regular expression: `*` stays in its folder, `**/` goes through any number.

    >>> import re
    >>> [bool(re.fullmatch(_regular("**/a?[0-9].*"), name)) for name in ("ab1.md", "x/y/ab2.md", "x/abc.md")]
    [True, True, False]
    """
    return "".join(
        _WILD.get(part) or (_one_of(part[1:-1]) if part[0] == "[" and len(part) > 2 else re.escape(part))
        for part in re.findall(r"\*\*/|\*\*|\*|\?|\[!?[^\]/]+\]|[^*?\[]+|\[", pattern)
    )


def _one_of(members: str) -> str:
    """Characters and ranges in brackets; all else that an expression would take for its own stands for itself."""
    other = "^" if members.startswith("!") else ""
    plain = re.sub(r"[^\w-]", lambda one: re.escape(one[0]), members[len(other) :])
    return f"[{other}{plain}]"


_WILD = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}


def file_text(path: str, encoding: str = "utf-8") -> TextStream:
    """The raw text of a file that holds one document: what is written there, or the text of a page."""
    text = FileText(path, encoding)
    return PageText(text) if path.lower().endswith(PAGES) else text


class FileText:
    """The text of a file, opened anew by every call; see make_docs_source for how it is decoded."""

    __slots__ = ("encoding", "path")

    def __init__(self, path: str, encoding: str = "utf-8") -> None:
        self.path, self.encoding = path, encoding

    def __call__(self) -> Iterator[str]:
        return make_text_source(
            self.path, encoding=lambda file: encoding_of(file, self.path, self.encoding)
        )()

    def __repr__(self) -> str:
        return f"FileText({self.path!r}, {self.encoding!r})"


class PageText:
    """The text of a page whose markup is a text, extracted anew by every call."""

    __slots__ = ("markup",)

    def __init__(self, markup: TextStream) -> None:
        self.markup = markup

    def __call__(self) -> Iterator[str]:
        return gen_page_text(self.markup)

    def __repr__(self) -> str:
        return f"PageText({self.markup!r})"


def _relative(path: str, root: str) -> str:
    below = os.path.basename(path) if path == root else os.path.relpath(path, root)
    return below.replace(os.sep, "/")


def _printable(name: str) -> str:
    """A file name with the bytes that are no text made visible."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
