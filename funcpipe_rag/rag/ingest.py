"""Bring an index up to date with a corpus.

A stream of documents goes in, a stream of events comes out, each when what it tells is durable. What has
not changed is not touched; what cannot be read keeps its last version; what is gone is removed once the
corpus has been read to its end.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from hashlib import blake2b
from time import monotonic, time
from typing import Any, Literal, NamedTuple, TypeAlias

from funcpipe_rag.streams.ownership import Owned

from .chunking import CHUNKER, TextWindow, as_it_is, gen_passages
from .cleaning import CLEANER, gen_clean_docs, text_blocks
from .index import IndexProblem, NotAnIndex
from .quarantine import Loaded, Quarantined, reading_failed
from .types import RagEnv, RawDoc
from .writer import ChunkRow, IndexWriter

# A text up to this many characters is read once and kept; a longer one is read again as it is cut.
KEPT = 1 << 20

# A group of documents is committed when it has this many chunks or is this many seconds old.
GROUP_CHUNKS = 512
GROUP_SECONDS = 1.0

Kind: TypeAlias = Literal["indexed", "unchanged", "quarantined", "removed"]


class Event(NamedTuple):
    """What happened to one document.

    `chunks` were written, of `size` bytes of raw text (as UTF-8); `dropped` characters were left out (tail
    "drop"). For a quarantined one, `reason` and `line` say why and where, and `stale` how many documents of
    the index stay as an earlier run found them.
    """

    kind: Kind
    source: str
    chunks: int = 0
    size: int = 0
    reason: str = ""
    line: int | None = None
    stale: int = 0
    dropped: int = 0


class Report(NamedTuple):
    """What a build did: documents by what became of them, and the sums of what their events say."""

    indexed: int = 0
    unchanged: int = 0
    quarantined: int = 0
    removed: int = 0
    stale: int = 0
    chunks: int = 0
    size: int = 0
    dropped: int = 0

    def plus(self, event: Event) -> Report:
        """The report with one more event in it."""
        return self._replace(
            **{event.kind: getattr(self, event.kind) + 1},
            stale=self.stale + event.stale,
            chunks=self.chunks + event.chunks,
            size=self.size + event.size,
            dropped=self.dropped + event.dropped,
        )


def build_index(
    path: str | os.PathLike[str],
    docs: Iterable[Loaded],
    env: RagEnv,
    **options: Any,
) -> Report:
    """Bring the index at `path` up to date with `docs`, to the end; options as gen_ingest.

    >>> from tempfile import TemporaryDirectory
    >>> from funcpipe_rag.rag import Index, RawDoc
    >>> docs = [RawDoc("a", "one two", "a.txt"), RawDoc("b", "three", "b.txt")]
    >>> with TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "docs.db")
    ...     build_index(path, docs, RagEnv(chunk_size=1000)).indexed
    ...     again = build_index(path, docs[:1], RagEnv(chunk_size=1000))
    ...     again.unchanged, again.removed
    2
    (1, 1)

    Demand, memory, closing, errors: as gen_ingest.
    """
    report = Report()
    for event in gen_ingest(path, docs, env, **options):
        report = report.plus(event)
    return report


def gen_ingest(
    path: str | os.PathLike[str],
    docs: Iterable[Loaded],
    env: RagEnv,
    *,
    rebuild: bool = False,
    settings: Mapping[str, Any] | None = None,
    patience: float = 1.0,
    stop: Callable[[], bool] = lambda: False,
    clock: Callable[[], float] = monotonic,
) -> Iterator[Event]:
    """Bring the index at `path` up to date with `docs`, telling of each document when it is durable.

    >>> from tempfile import TemporaryDirectory
    >>> from funcpipe_rag.rag import Quarantined, RawDoc
    >>> docs = [RawDoc("a", "one two", "a.txt"), Quarantined("b.txt", "Permission denied")]
    >>> with TemporaryDirectory() as folder:
    ...     for event in gen_ingest(os.path.join(folder, "docs.db"), docs, RagEnv(chunk_size=4)):
    ...         event.kind, event.source, event.chunks, event.reason
    ('indexed', 'a.txt', 2, '')
    ('quarantined', 'b.txt', 0, 'Permission denied')

    `rebuild` empties an index of ours first. `settings` are stored with the index; one that differs from what
    is stored there is an IndexMismatch. `patience` is how many seconds to wait for another writer. `stop` is
    asked after each document; when it says so, the build ends there as if it had been closed.

    Demand: one document at a time; events come in groups, when a group is committed (512 chunks or a
    second). Memory: one document up to 1 Mi characters, or a window over a longer one; one group of events.
    Closing, and any error: commits the documents that are whole, removes nothing. Errors: IndexProblem; a
    text's OSError, UndecodableText, NotText or lone surrogate is an event, other errors pass through.
    """
    writer = IndexWriter(
        path, {**fingerprint(env), **(settings or {})}, rebuild=rebuild, patience=patience, now=time()
    )
    report = Report()
    state = "failed"
    waiting: list[Event] = []
    chunks = 0
    begun = 0.0

    def grouped() -> IndexWriter:
        nonlocal begun
        if not writer.in_group:
            begun = clock()
            writer.begin()
        return writer

    def told() -> Iterator[Event]:
        nonlocal chunks, report
        if writer.in_group:
            writer.commit()
        chunks = 0
        events = waiting[:]
        waiting.clear()
        for event in events:
            report = report.plus(event)
        yield from events

    try:
        with Owned() as owned:
            for item in owned.opened(docs):
                read = _read(item)
                if isinstance(read, _Read) and read.long:
                    yield from told()  # a long document is a group of its own
                event = _written(read, env, writer, grouped)
                waiting.append(event)
                chunks += event.chunks
                if not writer.in_group or chunks >= GROUP_CHUNKS or clock() - begun >= GROUP_SECONDS:
                    yield from told()
                if stop():
                    state = "interrupted"
                    break
            yield from told()
            if state == "interrupted":
                return
            for document, source in writer.vanished():
                grouped().remove(document)
                waiting.append(Event("removed", source))
                if len(waiting) >= 100:
                    yield from told()
            yield from told()
        state = "complete"
    except (KeyboardInterrupt, GeneratorExit):
        state = "interrupted"
        raise
    except sqlite3.OperationalError as error:
        raise IndexProblem(
            f"{writer.path}: {error}; what was committed stays, run the build again"
        ) from error
    except sqlite3.DatabaseError as error:
        raise NotAnIndex(f"{writer.path} is damaged ({error}); delete it and build it again") from error
    finally:
        try:
            if writer.in_document:
                writer.rollback()
                waiting.clear()
            for _ in told():
                pass
            writer.finish(state, report._asdict(), now=time())
        except (sqlite3.Error, IndexProblem):
            if state == "complete":
                raise
        finally:
            writer.close()


def fingerprint(env: RagEnv) -> dict[str, Any]:
    """What decides how a text becomes chunks: an index keeps it, and refuses another.

    >>> fingerprint(RagEnv(chunk_size=1000, overlap=200))["chunk_size"]
    1000
    """
    return {
        "cleaner": CLEANER,
        "chunker": CHUNKER,
        "chunk_size": env.chunk_size,
        "overlap": env.overlap,
        "tail": env.tail,
        "boundary": env.boundary,
    }


class _Read(NamedTuple):
    """A document that can be read: with its text, unless it is long, the hash and the size in bytes of it."""

    doc: RawDoc
    hash: bytes
    size: int
    long: bool


def _read(item: Loaded) -> _Read | Quarantined:
    if isinstance(item, Quarantined):
        return item
    if not isinstance(item, RawDoc):
        raise TypeError(f"gen_ingest: wants RawDoc or Quarantined items, got {type(item).__name__}")
    if not item.source:
        raise ValueError(
            f"gen_ingest: a document needs a source to be known by; document {item.doc_id!r} has none"
        )
    hasher = blake2b(digest_size=16)
    kept: list[str] = []
    characters = size = 0
    try:
        with Owned() as owned:
            for block in owned.take(text_blocks(item.text)):
                data = block.encode()
                hasher.update(data)
                size += len(data)
                characters += len(block)
                kept.append(block)
                if characters > KEPT:
                    kept.clear()
    except (OSError, ValueError) as error:
        return reading_failed(item.source, error)
    if characters > KEPT:
        return _Read(item, hasher.digest(), size, long=True)
    return _Read(item._replace(text="".join(kept)), hasher.digest(), size, long=False)


def _written(
    read: _Read | Quarantined, env: RagEnv, writer: IndexWriter, grouped: Callable[[], IndexWriter]
) -> Event:
    if isinstance(read, Quarantined):
        return _quarantined(read, grouped())
    source = read.doc.source
    known = writer.known(source)
    if known is not None and not writer.see(known.id):
        return _quarantined(Quarantined(source, "another document has the same name"), grouped(), stale=False)
    if known is not None and known.hash == read.hash:
        if known.stale is not None:
            grouped().freshen(known.id, source)
        return Event("unchanged", source, size=read.size)
    drops = _Drops()
    try:
        count = grouped().put(source, read.hash, read.doc.metadata, _rows(read, env, drops))
    except (OSError, ValueError) as error:
        writer.rollback()
        return _quarantined(reading_failed(source, error), grouped())
    return Event("indexed", source, count, read.size, dropped=drops.characters)


def _quarantined(found: Quarantined, writer: IndexWriter, *, stale: bool = True) -> Event:
    reached = writer.quarantine(*found, stale=stale)
    return Event("quarantined", found.source, reason=found.reason, line=found.line, stale=reached)


def _rows(read: _Read, env: RagEnv, drops: _Drops) -> Iterator[ChunkRow]:
    """The chunks of a document, with their raw slices; ValueError if the text is not what was read before."""
    hasher = blake2b(digest_size=16)

    def again() -> Iterator[str]:
        with Owned() as owned:
            for block in owned.take(text_blocks(read.doc.text)):
                hasher.update(block.encode())
                yield block

    with Owned() as owned:
        raw = TextWindow(owned.take(as_it_is(again if read.long else read.doc.text)))
        [clean] = gen_clean_docs([read.doc])
        for passage, heading in owned.take(gen_passages(clean, env, drops)):
            raw.reaches(passage.stop)
            slice_ = raw.between(passage.start, passage.stop)
            raw.forget(passage.start)
            yield ChunkRow(passage.text, slice_, passage.start, passage.stop, passage.shared, heading)
        if read.long:
            while raw.reaches(raw.end + 1):
                raw.forget(raw.end)
            if hasher.digest() != read.hash:
                raise ValueError("it changed while it was read")


class _Drops:
    """Counts the characters of dropped tails."""

    def __init__(self) -> None:
        self.characters = 0

    def __call__(self, doc_id: str, characters: int) -> None:
        self.characters += characters
