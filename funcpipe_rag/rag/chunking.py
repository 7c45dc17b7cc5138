"""Cut documents into overlapping passages that know exactly where they stand.

One window moves over the clean text. It holds a window's worth and the block that was read last, however long
the document is, and it cuts the same passages whatever blocks the text came in.
"""

from __future__ import annotations

import warnings
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeAlias

from funcpipe_rag.streams import compose, fence_k, stage
from funcpipe_rag.streams.arguments import a_whole_number
from funcpipe_rag.streams.ownership import Owned

from .boundaries import rule
from .cleaning import text_blocks
from .outline import Outline
from .types import (
    BOUNDARIES,
    FORMAT,
    NOTHING_MORE,
    TAILS,
    Boundary,
    ChunkWithoutEmbedding,
    CleanBlock,
    CleanDoc,
    RagEnv,
    Tail,
    TextStream,
    check_name,
    check_window,
)

# Bump it when the same settings would cut otherwise: an index made by another chunker then says so.
CHUNKER = "chunk-2"

HEADING = "heading"
"""The key of a chunk's metadata that holds its headings, outermost first."""

HEADING_JOINT = " > "

OnDrop = Callable[[str, int], object]
"""Told of a dropped tail: the document's id and how many characters of clean text it had."""


Passage: TypeAlias = tuple[str, int, int, int, int]
"""A window of clean text: the text, its place there, its raw start and stop, and how many characters it shares with
the one before. A plain tuple, because a passage costs little more than its making."""


# What the call of a NamedTuple comes down to, for a third of its time.
_make = tuple.__new__


def gen_chunks(
    docs: Iterable[CleanDoc], env: RagEnv, *, on_drop: OnDrop | None = None
) -> Iterator[ChunkWithoutEmbedding]:
    r"""The passages of documents, in order.

    >>> from funcpipe_rag.rag import RawDoc, gen_clean_docs
    >>> docs = gen_clean_docs([RawDoc("a", "# Tee\r\nabcd", "a.md"), RawDoc("b", "xyz", "b.md")])
    >>> for chunk in gen_chunks(docs, RagEnv(chunk_size=6, overlap=1)):
    ...     chunk.doc_id, chunk.ordinal, chunk.text, (chunk.start, chunk.stop), dict(chunk.metadata)
    ('a', 0, '# Tee\n', (0, 7), {'heading': 'Tee'})
    ('a', 1, '\nabcd', (5, 11), {'heading': 'Tee'})
    ('b', 0, 'xyz', (0, 3), {})

    A document without text has no passage.

    >>> list(gen_chunks(gen_clean_docs([RawDoc("a", "", "a.txt")]), RagEnv(chunk_size=6)))
    []

    Laws: `clean(raw[start:stop]) == text` (with tail "pad": before the blanks); starts and stops increase;
    with tail "emit" the passages without what they share are the document, and none lies inside the one
    before it. Class: pure. Demand: the next document when the last is used up, and its blocks as the window
    reaches them. Memory: O(chunk_size + block), and the headings within. Closing: closes the texts it
    opened. Errors: a text's own, after the passages that were whole before it. Dropped tails (tail "drop")
    go to `on_drop(doc_id, characters)`, or are counted in one RuntimeWarning at the end.
    """
    with Owned() as owned:
        drops = _Drops(on_drop)
        for doc in owned.opened(docs):
            if not isinstance(doc, CleanDoc):
                raise TypeError(
                    f"gen_chunks: wants CleanDoc items (see gen_clean_docs), got {type(doc).__name__}"
                )
            name = doc.doc_id
            for ordinal, ((text, _, start, stop, _), heading) in enumerate(gen_passages(doc, env, drops)):
                metadata = {**doc.metadata, HEADING: heading} if heading else doc.metadata
                yield _make(ChunkWithoutEmbedding, (name, text, start, stop, ordinal, metadata))
        drops.warn("gen_chunks")


def gen_passages(doc: CleanDoc, env: RagEnv, on_drop: OnDrop) -> Iterator[tuple[Passage, str]]:
    """The passages of one document, each with its headings as text; as gen_chunks."""
    outline = Outline(doc.metadata.get(FORMAT, doc.source))
    with Owned() as owned:
        windows = gen_windows(
            doc.doc_id,
            owned.called(doc.blocks),
            env.chunk_size,
            env.overlap,
            env.tail,
            env.boundary,
            on_drop,
            outline,
        )
        for passage in owned.take(windows):
            yield passage, HEADING_JOINT.join(outline.path(passage[1])) if outline.reader else ""


def gen_overlapping_chunks(
    doc_id: str,
    text: str | TextStream,
    *,
    size: int,
    overlap: int = 0,
    tail: Tail = "emit",
    boundary: Boundary = "char",
    on_drop: OnDrop | None = None,
) -> Iterator[ChunkWithoutEmbedding]:
    """Overlapping windows over one text, taken as it is; offsets count from its beginning.

    >>> [chunk.text for chunk in gen_overlapping_chunks("d", "abcdefghij", size=4, overlap=2)]
    ['abcd', 'cdef', 'efgh', 'ghij']

    The last window may be short; `tail` drops it or fills it up. With boundary "word", cuts fall between
    words.

    >>> [chunk.text for chunk in gen_overlapping_chunks("d", "abcdefg", size=4, overlap=2, tail="pad")]
    ['abcd', 'cdef', 'efg ']
    >>> [chunk.text for chunk in gen_overlapping_chunks("d", "one two three", size=8, boundary="word")]
    ['one two ', 'three']

    Class: pure. Demand: blocks of the text as the window reaches them. Memory: O(size + block). Closing:
    closes the text if it opened it. Errors: ValueError and TypeError at construction; the text's own errors
    after the windows that were whole before it. Dropped tails: as gen_chunks.
    """
    check_window("gen_overlapping_chunks", "size", size, overlap)
    check_name("gen_overlapping_chunks", "tail", tail, TAILS)
    check_name("gen_overlapping_chunks", "boundary", boundary, BOUNDARIES)

    def run() -> Iterator[ChunkWithoutEmbedding]:
        drops = _Drops(on_drop)
        make, kind, nothing = _make, ChunkWithoutEmbedding, NOTHING_MORE
        with Owned() as owned:
            windows = gen_windows(doc_id, as_it_is(text), size, overlap, tail, boundary, drops)
            for ordinal, (window, _, start, stop, _) in enumerate(owned.take(windows)):
                yield make(kind, (doc_id, window, start, stop, ordinal, nothing))
        drops.warn("gen_overlapping_chunks")

    return run()


def gen_bounded_chunks(
    docs: Iterable[CleanDoc], env: RagEnv, max_chunks: int, *, on_drop: OnDrop | None = None
) -> Iterator[ChunkWithoutEmbedding]:
    """At most `max_chunks` passages; the document behind the last of them is never asked for.

    >>> from funcpipe_rag.rag import RawDoc, gen_clean_docs
    >>> endless = (RawDoc(str(n), "abcdef", "a.txt") for n in iter(int, 1))
    >>> [chunk.text for chunk in gen_bounded_chunks(gen_clean_docs(endless), RagEnv(chunk_size=4), 3)]
    ['abcd', 'ef', 'abcd']

    A bound of 0 pulls nothing.

    >>> list(gen_bounded_chunks(gen_clean_docs(endless), RagEnv(chunk_size=4), 0))
    []

    Class: pure. Demand, memory, closing, errors: as gen_chunks; ValueError for `max_chunks` < 0, at construction.
    """
    a_whole_number("gen_bounded_chunks", "max_chunks", max_chunks, least=0)

    @stage
    def chunked(stream: Iterable[CleanDoc]) -> Iterator[ChunkWithoutEmbedding]:
        return gen_chunks(stream, env, on_drop=on_drop)

    return compose(chunked, fence_k(max_chunks))(docs)


def gen_windows(
    doc_id: str,
    blocks: Iterator[CleanBlock],
    size: int,
    overlap: int,
    tail: Tail,
    boundary: Boundary,
    on_drop: OnDrop,
    outline: Outline | None = None,
) -> Iterator[Passage]:
    """The windows over one document's blocks, which it takes over; see gen_chunks for what they promise.

    `outline` is told of the text as it is read, ahead of the windows.
    """
    cut, enter, sections = rule(boundary)
    parts = None
    if sections is not None:
        parts = outline if outline is not None and outline.reader is sections else Outline(sections)
    behind = 0 if boundary == "char" else 1
    half = size // 2
    with Owned() as owned:
        told = {id(one): one for one in (outline, parts) if one is not None and one.reader is not None}
        text = TextWindow(owned.take(blocks), [one.feed for one in told.values()])
        headed = outline if outline is not None and id(outline) in told else None
        start = stop = shared = 0
        held, begin, limit, over = "", 0, 0, False
        shift: int | None = 0
        while True:
            end = start + size
            # A heading may be on the line where the window begins, and is one when the line is whole.
            if not over and (end + behind > limit or (headed and headed.decided <= start)):
                text.forget(start - LOOK_BEHIND)
                over = not text.reaches(end + behind)
                while not over and ((parts and parts.decided <= end) or (headed and headed.decided <= start)):
                    over = not text.reaches(text.end + 1)
                if over:
                    for one in told.values():
                        one.finish()
                held, begin, limit = text.held, text.begin, text.end
                shift = text.shift
                if parts and not over:
                    limit = min(limit, parts.decided)
            if not parts and not headed and shift is not None:
                # Most windows are plain ones, inside what is held; here they cost no more than they must.
                here, done, room, ahead = start - begin, stop - begin, limit - begin - behind, begin + shift
                while here + size <= room:
                    after = here + half
                    until = cut(held, done if done > after else after, here + size)
                    yield held[here:until], here + begin, here + ahead, until + ahead, shared
                    if overlap:
                        after = until - overlap
                        here = enter(held, after if after > here else here + 1, until)
                    else:
                        here = until
                    done, shared = until, until - here
                if done + begin != stop:
                    start, stop = here + begin, done + begin
                    continue
            if over and stop >= limit:
                return
            section = parts.next(start) if parts else None
            if section is not None and section <= end:
                last = section
            elif over and end >= limit:
                last = limit
            else:
                after = start + half
                last = begin + cut(held, (stop if stop > after else after) - begin, end - begin)
            window = held[start - begin : last - begin]
            if shift is None:
                passage = window, start, text.raw(start), text.raw(last), shared
            else:
                passage = window, start, start + shift, last + shift, shared
            if tail == "emit" or last < limit or not over or end <= limit:
                yield passage
            elif tail == "pad":
                yield (window.ljust(size), *passage[1:])
            else:
                on_drop(doc_id, last - max(stop, start))
            stop = last
            if last == section or not overlap:
                start = last
            else:
                start = last - overlap if last - overlap > start else start + 1
                start = begin + enter(held, start - begin, last - begin)
            shared = last - start


# So many characters before a window stay, for a cut to look back at.
LOOK_BEHIND = 16


class TextWindow:
    """The part of a text that a window moving over it can still reach, by places in the whole of it.

    `held` is that part; it begins at `begin` and goes to `end`. Each block is told to `listeners` when it is read.
    """

    def __init__(
        self, blocks: Iterator[CleanBlock], listeners: Sequence[Callable[[str], object]] = ()
    ) -> None:
        self._blocks = blocks
        self._listeners = listeners
        self.held = ""
        self.begin = 0
        self.end = 0
        # Behind the place _places[i] of the clean text, the raw text is _lost[i] characters ahead.
        self._places = [0]
        self._lost = [0]

    def reaches(self, place: int) -> bool:
        """Whether the text goes at least as far as `place`; reads on until that is known."""
        if self.end >= place:
            return True
        parts = [self.held]
        for block in self._blocks:
            lost = block.start - self.end
            for at, more in block.edits:
                self._places.append(self.end + at)
                self._lost.append(lost + more)
            parts.append(block.text)
            self.end += len(block.text)
            for listener in self._listeners:
                listener(block.text)
            if self.end >= place:
                break
        self.held = "".join(parts)
        return self.end >= place

    def forget(self, place: int) -> None:
        """Nobody will ask for anything before `place` again."""
        # Cutting the held text at every window would cost their product; so only when half of it is done.
        if place - self.begin > len(self.held) // 2:
            self.held = self.held[place - self.begin :]
            self.begin = place
            passed = bisect_right(self._places, place) - 1
            del self._places[:passed], self._lost[:passed]

    def between(self, start: int, stop: int) -> str:
        """The text between two places that have been reached and not forgotten."""
        return self.held[start - self.begin : stop - self.begin]

    @property
    def shift(self) -> int | None:
        """How far raw offsets are ahead, if that is the same for all of what is held."""
        return self._lost[0] if len(self._lost) == 1 else None

    def raw(self, place: int) -> int:
        """The raw offset of a place."""
        return place + self._lost[bisect_right(self._places, place) - 1]


class _Drops:
    """Counts dropped tails, or hands them on."""

    def __init__(self, on_drop: OnDrop | None) -> None:
        self._on_drop = on_drop
        self._tails = self._characters = 0

    def __call__(self, doc_id: str, characters: int) -> None:
        if self._on_drop is not None:
            self._on_drop(doc_id, characters)
        else:
            self._tails += 1
            self._characters += characters

    def warn(self, where: str) -> None:
        if self._tails:
            message = (
                f'{where}: tail="drop" left out {self._tails} tails, {self._characters} characters of text'
            )
            warnings.warn(message, RuntimeWarning, stacklevel=3)


def as_it_is(text: str | TextStream) -> Iterator[CleanBlock]:
    """A text as blocks whose raw offsets are their own places."""
    with Owned() as owned:
        start = 0
        for block in owned.take(text_blocks(text)):
            yield CleanBlock(block, start)
            start += len(block)
