"""Bring an index up to date with a corpus.

A stream of documents goes in, a stream of events comes out, each when what it tells is durable. What has
not changed is not touched; what cannot be read keeps its last version; what is gone is removed once the
corpus has been read to its end.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from hashlib import blake2b
from itertools import chain, islice
from time import monotonic, time
from typing import Any, Literal, NamedTuple, TypeAlias

from funcpipe_rag.streams import batched
from funcpipe_rag.streams.ownership import Owned

from .chunking import CHUNKER, TextWindow, as_it_is, gen_passages
from .cleaning import CLEANER, gen_clean_docs, text_blocks
from .embedding import Embedder, EmbedderProblem, Vector, gen_vectors
from .fast_views import keep_fast_views, need_fast_views
from .index import IndexProblem, NotAnIndex
from .quarantine import Loaded, Quarantined, reading_failed
from .types import RagEnv, RawDoc
from .writer import GROUP_CHUNKS, LARGE, ChunkRow, IndexWriter, rebuild_beside, take_place

# A text up to this many characters is read once and kept; a longer one is read again as it is cut.
KEPT = 1 << 20

# A group of documents is committed when it has GROUP_CHUNKS chunks or GROUP_EVENTS documents, or is this old.
GROUP_EVENTS = 1000
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
    embedder: Embedder | None = None,
    rebuild: bool = False,
    fast_views: bool | None = None,
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

    `embedder` makes a vector of each text that has none yet. `rebuild` makes a new index of ours beside the old one,
    which it replaces when `docs` has been read to its end; stopped before, the same call goes on with it. `fast_views`
    says whether the full text is also kept for tantivy, beside the index, brought up to date at the end of the build
    (None: as the index has it). `settings`
    are stored with the index; one that differs from what is stored there is an IndexMismatch. `patience` is how many
    seconds to wait for another writer. `stop` is asked after each document; when it says so, the build ends there
    as if it had been closed.

    Class: external. Demand: one document at a time; events come in groups, when a group is committed (512 chunks or a second).
    Memory: one document up to 1 Mi characters and 4,096 chunks, or a window over a larger one; one group of chunks.
    Closing, and any error but the embedder's: commits the documents that are whole, removes nothing. Errors:
    IndexProblem; EmbedderProblem, with the vectors kept that were made; a text's OSError, UndecodableText, NotText
    or lone surrogate is an event, other errors pass through.
    """
    known = {**fingerprint(env), "embedder": embedder and embedder.fingerprint, **(settings or {})}
    if fast_views is not None:
        known["fast_views"] = fast_views
    if fast_views:
        need_fast_views()
    name = os.fspath(path)
    at, first_run = rebuild_beside(name, known, patience) if rebuild else (name, 1)
    writer = IndexWriter(at, known, patience=patience, now=time(), first_run=first_run)
    if at != name:
        writer.borrow(name)
    group = _Group(writer, embedder, clock)
    state = "failed"
    try:
        with Owned() as owned:
            for item in owned.opened(docs):
                yield from _taken(_read(item), env, group)
                if stop():
                    state = "interrupted"
                    break
            yield from group.told()
            if state == "interrupted":
                return
            for source, gone in writer.vanished():
                group.add(
                    Event("removed", source), partial(writer.remove, gone), weight=min(gone.chunks, LARGE)
                )
                if group.full:
                    yield from group.told()
            yield from group.told()
            writer.tidy()
        state = "complete"
    except (KeyboardInterrupt, GeneratorExit):
        state = "interrupted"
        raise
    except EmbedderProblem:
        group.drop()
        raise
    except sqlite3.OperationalError as error:
        raise IndexProblem(
            f"{writer.path}: {error}; what was committed stays, run the build again"
        ) from error
    except sqlite3.DatabaseError as error:
        raise NotAnIndex(f"{writer.path} is damaged ({error}); delete it and build it again") from error
    finally:
        try:
            writer.rollback()
            for _ in group.told():
                pass
            writer.finish(state, group.report._asdict(), now=time())
        except (sqlite3.Error, IndexProblem, EmbedderProblem):
            if state == "complete":
                raise
        finally:
            writer.close()
    if at != name:
        take_place(at, name, patience)
    keep_fast_views(name, writer.run, changed=bool(group.report.indexed or group.report.removed))


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


class _Group:
    """Documents that are read and cut, and not yet written: they commit together."""

    def __init__(self, writer: IndexWriter, embedder: Embedder | None, clock: Callable[[], float]) -> None:
        self.writer = writer
        self.report = Report()
        self._embedder, self._clock = embedder, clock
        self._events: list[Event] = []
        self._steps: list[Callable[[], object]] = []
        self._texts: list[str] = []
        self._weight = 0
        self._begun = 0.0
        self._dimension: int | None = None

    def add(
        self,
        event: Event,
        step: Callable[[], object] | None = None,
        texts: Iterable[str] = (),
        *,
        weight: int = 0,
    ) -> None:
        """One more document: what to tell of it, what to write, the texts that need a vector.

        `weight` counts as so many chunks more: a group of few but long ones would else hold a lot.
        """
        if not self._events:
            self._begun = self._clock()
        self._events.append(event)
        if step is not None:
            self._steps.append(step)
        if self._embedder is not None:
            self._texts.extend(texts)
        self._weight += event.chunks + weight

    @property
    def full(self) -> bool:
        """Whether it is time to commit."""
        return (
            self._weight >= GROUP_CHUNKS
            or len(self._events) >= GROUP_EVENTS
            or (bool(self._events) and self._clock() - self._begun >= GROUP_SECONDS)
        )

    def told(self) -> Iterator[Event]:
        """Commit, and say what is durable."""
        events, steps, texts = self._events, self._steps, self._texts
        self.drop()
        vectors = self.vectors(texts)
        if steps or vectors:
            self.writer.begin()
            self.writer.keep_vectors(vectors)
            for step in steps:
                step()
            self.writer.commit()
        for event in events:
            self.report = self.report.plus(event)
        yield from events

    def drop(self) -> None:
        """Forget the documents that are not written."""
        self._events, self._steps, self._texts, self._weight = [], [], [], 0

    def vectors(self, texts: list[str]) -> list[tuple[str, Vector]]:
        """The vectors of texts that have none yet. What was made when the embedder fails is kept."""
        if self._embedder is None or not texts:
            return []
        # Nothing is locked while the embedder works, which may be long.
        self.writer.begin()
        missing = self.writer.without_vector(texts)
        self.writer.commit()
        if self._dimension is None:
            self._dimension = self.writer.length()
        made: list[tuple[str, Vector]] = []
        try:
            for one in gen_vectors(self._embedder, missing, check=self._dimension):
                made.append(one)
                self._dimension = len(one[1])
        except BaseException as error:
            if made:
                self.writer.begin()
                self.writer.keep_vectors(made)
                self.writer.commit()
            if isinstance(error, Exception) and not isinstance(error, EmbedderProblem):
                # Whatever it raises, it is no document's fault.
                kind = type(error).__name__
                raise EmbedderProblem(f"{self._embedder.fingerprint} failed: {kind}: {error}") from error
            raise
        return made


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
    hasher = _hasher(item)
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


def _hasher(doc: RawDoc) -> Any:
    """A hash that has seen what is known of a document, and is to see its text."""
    hasher = blake2b(digest_size=16)
    if doc.metadata:
        hasher.update(json.dumps(dict(doc.metadata), sort_keys=True).encode() + b"\0")
    return hasher


def _taken(read: _Read | Quarantined, env: RagEnv, group: _Group) -> Iterator[Event]:
    """Put a document into the group, or write it by itself if it is large; the events that are due."""
    writer = group.writer
    if isinstance(read, Quarantined):
        yield from _set_aside(read, group)
        return
    source = read.doc.source
    if not writer.see(source):
        yield from _set_aside(Quarantined(source, "another document has the same name"), group, stale=False)
        return
    known = writer.known(source)
    if known is not None and known.hash == read.hash:
        step = partial(writer.freshen, source) if known.stale is not None else None
        group.add(Event("unchanged", source, size=read.size), step)
    else:
        drops = _Drops()
        with Owned() as owned:
            rows = owned.take(_rows(read, env, drops))
            try:
                first = [] if read.long else list(islice(rows, LARGE + 1))
                if read.long or len(first) > LARGE:
                    yield from group.told()
                    chunks = _staged(read, chain(first, rows), group)
                    group.add(Event("indexed", source, chunks, read.size, dropped=drops.characters))
                    yield from group.told()
                    return
            except (OSError, ValueError) as error:
                writer.rollback()
                yield from _set_aside(reading_failed(source, error), group)
                return
        step = partial(writer.put, source, read.hash, read.doc.metadata, first)
        event = Event("indexed", source, len(first), read.size, dropped=drops.characters)
        group.add(event, step, (row.text for row in first), weight=read.size >> 13)
    if group.full:
        yield from group.told()


def _staged(read: _Read, rows: Iterator[ChunkRow], group: _Group) -> int:
    """Write a large document, in transactions of its own; returns how many chunks it has."""
    writer = group.writer
    count = 0
    try:
        for batch in batched(rows, GROUP_CHUNKS):
            vectors = group.vectors([row.text for row in batch])
            writer.begin()
            writer.keep_vectors(vectors)
            writer.stage(count, batch)
            writer.commit()
            count += len(batch)
    except BaseException:
        writer.rollback()
        writer.tidy()
        raise
    return writer.put_staged(read.doc.source, read.hash, read.doc.metadata)


def _set_aside(found: Quarantined, group: _Group, *, stale: bool = True) -> Iterator[Event]:
    # How many documents stay as they were is for the event, so this is written by itself.
    yield from group.told()
    writer = group.writer
    writer.begin()
    writer.quarantine(*found)
    reached = writer.keep_unread(found.source, found.reason) if stale else 0
    writer.commit()
    group.add(Event("quarantined", found.source, reason=found.reason, line=found.line, stale=reached))
    yield from group.told()


def _rows(read: _Read, env: RagEnv, drops: _Drops) -> Iterator[ChunkRow]:
    """The chunks of a document, with their raw slices; ValueError if the text is not what was read before."""
    hasher = _hasher(read.doc)

    def again() -> Iterator[str]:
        with Owned() as owned:
            for block in owned.take(text_blocks(read.doc.text)):
                hasher.update(block.encode())
                yield block

    with Owned() as owned:
        raw = TextWindow(owned.take(as_it_is(again if read.long else read.doc.text)))
        [clean] = gen_clean_docs([read.doc])
        for (text, _, start, stop, shared), heading in owned.take(gen_passages(clean, env, drops)):
            raw.reaches(stop)
            slice_ = raw.between(start, stop)
            raw.forget(start)
            yield ChunkRow(text, slice_, start, stop, shared, heading)
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
