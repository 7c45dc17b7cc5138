"""The laws of documents, clean text and passages: nothing is lost, and every passage knows where it stands."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from funcpipe_rag.rag import (
    ChunkWithoutEmbedding,
    RagEnv,
    RawDoc,
    clean,
    gen_clean_docs,
    gen_overlapping_chunks,
)

from .inputs import Input, Items, SourceSpec, choice, integers, items_of, several
from .law import holds, law, same, times
from .stages import ONCE, Family, laws_of, read_and_close
from .worlds import World

Pieces = list[str]

_PIECES: Input[Pieces] = several(choice("a", "b c", " ", "\n", "\r\n", "# A\n", "d. ", "\x00"), most=6)
_BOUNDARIES = choice("char", "word", "sentence", "markdown", "code")


def _texts(**how: Any) -> Input[Items]:
    return items_of(choice("a", "", "b c d e", "# A\r\nx  \n", "one.\x00 Two."), **how)


def _raw_docs(world: World, texts: Items) -> Items:
    return tuple(RawDoc(f"d{n}", text, f"d{n}.md") for n, text in enumerate(texts))


def _clean_docs(world: World, texts: Items) -> Items:
    return tuple(gen_clean_docs(_raw_docs(world, texts)))


def _told(chunk: ChunkWithoutEmbedding) -> tuple[str, int, str]:
    return chunk.doc_id, chunk.ordinal, chunk.text


def _windows(docs: list[Any], size: int) -> list[tuple[str, int, str]]:
    return [
        (doc.doc_id, at // size, doc.text[at : at + size])
        for doc in docs
        for at in range(0, len(doc.text), size)
    ]


CLEANING = Family(
    "gen_clean_docs",
    {},
    lambda world, gen_clean_docs: lambda docs: gen_clean_docs(docs),
    lambda docs: [(doc.doc_id, clean(doc.text)) for doc in docs],
    items=_texts,
    live=_raw_docs,
    told=lambda doc: (doc.doc_id, doc.text),
    plain=True,
)
CHUNKING = Family(
    "gen_chunks",
    {"size": integers(1, 4)},
    lambda world, gen_chunks, size: lambda docs: gen_chunks(docs, RagEnv(size)),
    _windows,
    items=_texts,
    live=_clean_docs,
    told=_told,
    plain=True,
)
BOUNDED = Family(
    "gen_bounded_chunks",
    {"most": integers(0, 4)},
    lambda world, gen_bounded_chunks, most: lambda docs: gen_bounded_chunks(docs, RagEnv(2), most),
    lambda docs, most: _windows(docs, 2)[:most],
    items=_texts,
    live=_clean_docs,
    told=_told,
    goes_on=tuple(gen_clean_docs([RawDoc("more", "x", "more.md")])),
    plain=True,
)

for _family in (CLEANING, CHUNKING, BOUNDED):
    laws_of(_family, ONCE)


@law(
    "gen-clean-docs-keeps-the-way-back",
    about="gen_clean_docs",
    promise="same answer",
    says="Every place in the clean text knows its place in the raw text: what lies before the one, cleaned, is what lies before the other.",
    hint="What has become of the blanks before a line end? Who remembers how many they were?",
    pieces=_PIECES,
    cut=integers(0, 12),
)
def _(world: World, gen_clean_docs: Any, pieces: Pieces, cut: int) -> None:
    raw = "".join(pieces)
    text = _in_blocks(raw, cut)
    [doc] = world.items(gen_clean_docs([RawDoc("d", text, "d.md")]))
    at = 0
    for block in doc.blocks():
        same(block.start, at, "a block begins at {}")
        for place in range(len(block.text) + 1):
            at = block.raw(place)
            same(clean(raw[block.start : at]), block.text[:place], "its raw text, cleaned, is {}")
    same(at, len(raw), "the raw text ends at {}")


@law(
    "gen-clean-docs-reads-a-text-anew",
    about="gen_clean_docs",
    promise="fresh",
    says="A clean document can be read twice, each time from its beginning.",
    hint="What is kept from the first reading?",
    pieces=_PIECES,
)
def _(world: World, gen_clean_docs: Any, pieces: Pieces) -> None:
    [doc] = world.items(gen_clean_docs([RawDoc("d", _in_blocks("".join(pieces), 3), "d.md")]))
    for turn in ("first", "second"):
        same(doc.text, clean("".join(pieces)), f"the {turn} reading gave {{}}")


@law(
    "gen-clean-docs-changes-nothing-twice",
    about="gen_clean_docs",
    promise="same answer",
    says="What is clean stays as it is.",
    hint="Clean the smallest input by hand, and then the result again.",
    pieces=_PIECES,
)
def _(world: World, gen_clean_docs: Any, pieces: Pieces) -> None:
    once = world.items(gen_clean_docs([RawDoc("d", "".join(pieces), "d.md")]))[0].text
    same(world.items(gen_clean_docs([RawDoc("d", once, "d.md")]))[0].text, once)


def _in_blocks(text: str, size: int) -> Callable[[], Iterator[str]]:
    """A text as a stream of blocks of so many characters; of size 0, one block."""
    size = size or max(1, len(text))
    return lambda: (text[at : at + size] for at in range(0, len(text), size))


@law(
    "gen-chunks-cleans-its-slice",
    about="gen_chunks",
    promise="same answer",
    says="Take a passage's slice of the raw text and clean it: that is the passage.",
    hint="Which text do your offsets count in, the raw one or the clean one?",
    pieces=_PIECES,
    size=integers(1, 6),
    overlap=integers(0, 5),
    boundary=_BOUNDARIES,
)
def _(world: World, gen_chunks: Any, pieces: Pieces, size: int, overlap: int, boundary: str) -> None:
    raw = "".join(pieces)
    env = RagEnv(size, min(overlap, size - 1), boundary=boundary)  # type: ignore[arg-type]
    for chunk in world.items(gen_chunks(gen_clean_docs([RawDoc("d", raw, "d.md")]), env)):
        same(
            clean(raw[chunk.start : chunk.stop]),
            chunk.text,
            f"raw[{chunk.start}:{chunk.stop}], cleaned, is {{}}",
        )


@law(
    "gen-chunks-covers-the-raw-text",
    about="gen_chunks",
    promise="same answer",
    says="The passages go forward, leave no gap, end where the text ends, and none lies inside the one before.",
    hint="Draw the passages as bars above the text. Where is there no bar, or one too many?",
    pieces=_PIECES,
    size=integers(1, 6),
    overlap=integers(0, 5),
    boundary=_BOUNDARIES,
)
def _(world: World, gen_chunks: Any, pieces: Pieces, size: int, overlap: int, boundary: str) -> None:
    raw = "".join(pieces)
    env = RagEnv(size, min(overlap, size - 1), boundary=boundary)  # type: ignore[arg-type]
    chunks = world.items(gen_chunks(gen_clean_docs([RawDoc("d", raw, "d.md")]), env))
    _covers([(chunk.start, chunk.stop) for chunk in chunks], len(raw))


def _covers(spans: list[tuple[int, int]], length: int) -> None:
    begun, reached = -1, 0
    for start, stop in spans:
        holds(
            begun < start <= reached < stop,
            f"a passage at {start}-{stop} behind {reached}",
            "one that goes on from there",
        )
        begun, reached = start, stop
    same(reached, length, "the passages end at {}")


@law(
    "gen-chunks-does-not-see-the-blocks",
    about="gen_chunks",
    promise="same answer",
    says="The same text in other blocks gives the same passages.",
    hint="What do you decide at the end of a block that only the next one can tell?",
    pieces=_PIECES,
    size=integers(1, 6),
    boundary=_BOUNDARIES,
    block=integers(1, 4),
)
def _(world: World, gen_chunks: Any, pieces: Pieces, size: int, boundary: str, block: int) -> None:
    raw = "".join(pieces)
    env = RagEnv(size, size // 3, boundary=boundary)  # type: ignore[arg-type]
    told = [
        [
            (*_told(chunk), chunk.metadata.get("heading"))
            for chunk in world.items(gen_chunks(gen_clean_docs([RawDoc("d", text, "d.md")]), env))
        ]
        for text in (_in_blocks(raw, block), raw)
    ]
    same(told[0], told[1])


@law(
    "overlapping-chunks-are-slices-that-cover-the-text",
    about="gen_overlapping_chunks",
    promise="same answer",
    says="Each window is the slice that it says it is, and together they cover the text without a gap.",
    hint="By how much does the window move? What is left when the text ends?",
    pieces=_PIECES,
    size=integers(1, 6),
    overlap=integers(0, 5),
)
def _(world: World, impl: Any, pieces: Pieces, size: int, overlap: int) -> None:
    text = "".join(pieces)
    chunks = world.items(impl("d", text, size=size, overlap=min(overlap, size - 1)))
    for chunk in chunks:
        same(chunk.text, text[chunk.start : chunk.stop], f"window {chunk.start}-{chunk.stop} is {{}}")
        holds(len(chunk.text) <= size, f"a window of {len(chunk.text)}", f"at most {size}")
    _covers([(chunk.start, chunk.stop) for chunk in chunks], len(text))


@law(
    "overlapping-chunks-pad-adds-only-to-the-text",
    about="gen_overlapping_chunks",
    promise="same answer",
    says="A padded tail has blanks in its text, and its offsets end where the text ends.",
    hint="Which of the three fields is it that pad may change?",
    pieces=_PIECES,
    size=integers(1, 6),
)
def _(world: World, impl: Any, pieces: Pieces, size: int) -> None:
    text = "".join(pieces)
    padded = world.items(impl("d", text, size=size, tail="pad"))
    emitted = gen_overlapping_chunks("d", text, size=size)
    wanted = [(chunk.text.ljust(size), chunk.start, chunk.stop) for chunk in emitted]
    same([(chunk.text, chunk.start, chunk.stop) for chunk in padded], wanted)


@law(
    "overlapping-chunks-drop-says-how-much",
    about="gen_overlapping_chunks",
    promise="same answer",
    says="What the windows do not cover when the tail is dropped is told, to the character.",
    hint="Does the part of the tail that the window before it shared count as dropped?",
    pieces=_PIECES,
    size=integers(1, 6),
    overlap=integers(0, 5),
)
def _(world: World, impl: Any, pieces: Pieces, size: int, overlap: int) -> None:
    text = "".join(pieces)
    told: list[int] = []
    options = {"size": size, "overlap": min(overlap, size - 1), "tail": "drop"}
    chunks = world.items(impl("d", text, on_drop=lambda _, characters: told.append(characters), **options))
    reached = max((chunk.stop for chunk in chunks), default=0)
    same(sum(told), len(text) - reached, "it told of {} characters")
    holds(all(len(chunk.text) == size for chunk in chunks), "a short window came", "none")


@law(
    "overlapping-chunks-read-no-further",
    about="gen_overlapping_chunks",
    promise="on demand",
    says="A window costs the blocks that it reaches into, and none behind.",
    hint="Which block does your code ask for that has no character of this window?",
    size=integers(1, 6),
    taken=integers(0, 3),
)
def _(world: World, impl: Any, size: int, taken: int) -> None:
    text = world.source(SourceSpec(("x",) * 40), budget=size * taken)
    got = list(islice(world.iterator(impl("d", text, size=size)), taken))
    same(len(got), taken, "{} windows")
    holds(text.pulls <= size * taken, f"{text.pulls} characters read", f"{size * taken}")


@law(
    "overlapping-chunks-start-afresh",
    about="gen_overlapping_chunks",
    promise="fresh",
    says="Two readings of one text do not know of each other.",
    hint="What is kept outside the function that runs for each text?",
    pieces=_PIECES,
    ahead=integers(0, 3),
)
def _(world: World, impl: Any, pieces: Pieces, ahead: int) -> None:
    text = world.source(SourceSpec(tuple(pieces)))
    wanted = [chunk.text for chunk in gen_overlapping_chunks("d", "".join(pieces), size=2)]
    first = world.iterator(impl("d", text, size=2))
    begun = list(islice(first, ahead))
    same([chunk.text for chunk in world.items(impl("d", text, size=2))], wanted, "the second reading gave {}")
    same([chunk.text for chunk in (*begun, *first)], wanted, "the first reading gave {}")


@law(
    "overlapping-chunks-close-the-text",
    about="gen_overlapping_chunks",
    promise="closed",
    says="The text that was opened is closed, once: when it ends, fails, or is left half-way.",
    hint="Who called the text? Who closes what that gave?",
    length=integers(1, 6),
    fails=choice(False, True),
    taken=integers(1, 4),
)
def _(world: World, impl: Any, length: int, fails: bool, taken: int) -> None:
    text = world.source(SourceSpec(("x",) * length, raises_at=length - 1 if fails else None))
    read_and_close(impl("d", text, size=2), taken)
    holds(
        text.closes == text.opens,
        f"opened {times(text.opens)}, closed {times(text.closes)}",
        "as often closed as opened",
    )


_SOURCES: Input[list[Items]] = several(_texts(most=3), most=3)


def _sources(world: World, many: list[Items]) -> list[Any]:
    named = [
        tuple(RawDoc(f"{place}.{n}", text, f"{place}.{n}.md") for n, text in enumerate(texts))
        for place, texts in enumerate(many)
    ]
    return world.sources([SourceSpec(docs) for docs in named])


@law(
    "multi-rag-chunks-all-of-its-sources",
    about="make_multi_rag_fn",
    promise="same answer",
    says="Chained, the sources give the passages of the first, then of the second, up to the bound.",
    hint="What is the bound a bound of: documents, passages, or sources?",
    many=_SOURCES,
    most=integers(0, 6),
)
def _(world: World, make_multi_rag_fn: Any, many: list[Items], most: int) -> None:
    sources = _sources(world, many)
    docs = [doc for source in sources for doc in source.items]
    wanted = _windows(list(gen_clean_docs(docs)), 2)[:most]
    made = make_multi_rag_fn(RagEnv(2), most, sources, fan_in="chain")
    same([_told(chunk) for chunk in world.items(world.run(made))], wanted)


@law(
    "multi-rag-opens-nothing-at-birth",
    about="make_multi_rag_fn",
    promise="on demand",
    says="No source is opened before the first passage is asked for, and none for a bound of 0.",
    hint="Which line runs before anybody has asked?",
    many=_SOURCES,
)
def _(world: World, make_multi_rag_fn: Any, many: list[Items]) -> None:
    sources = _sources(world, many)
    world.iterator(world.run(make_multi_rag_fn(RagEnv(2), 9, sources)))
    world.items(world.run(make_multi_rag_fn(RagEnv(2), 0, sources)))
    pulls = sum(source.pulls for source in sources)
    holds(pulls == 0, f"{pulls} documents asked for", "0")


@law(
    "multi-rag-starts-afresh",
    about="make_multi_rag_fn",
    promise="fresh",
    says="It is a source itself: each call reads all sources from their beginning.",
    hint="What is kept from one call to the next?",
    many=_SOURCES,
    ahead=integers(0, 3),
)
def _(world: World, make_multi_rag_fn: Any, many: list[Items], ahead: int) -> None:
    made = make_multi_rag_fn(RagEnv(2), 9, _sources(world, many))
    first = world.iterator(world.run(made))
    begun = list(islice(first, ahead))
    second = [_told(chunk) for chunk in world.items(world.run(made))]
    same([_told(chunk) for chunk in (*begun, *first)], second)


@law(
    "multi-rag-closes-what-it-opened",
    about="make_multi_rag_fn",
    promise="closed",
    says="Every source that was opened is closed, once, though the bound was reached half-way.",
    hint="Who closes a source when nobody asks for its next document?",
    many=_SOURCES,
    most=integers(1, 4),
    taken=integers(1, 4),
)
def _(world: World, make_multi_rag_fn: Any, many: list[Items], most: int, taken: int) -> None:
    sources = _sources(world, many)
    read_and_close(world.run(make_multi_rag_fn(RagEnv(2), most, sources)), taken)
    for source in sources:
        holds(
            source.closes == source.opens,
            f"opened {times(source.opens)}, closed {times(source.closes)}",
            "as often closed as opened",
        )
