"""The exercises of M03C04, Chunks, windows, groups."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice, pairwise, zip_longest
from typing import Any

from funcpipe_rag.laws import Law, SourceSpec, World, holds, law, same
from funcpipe_rag.laws.inputs import choice, integers, sources, things
from funcpipe_rag.laws.mutants import Mutant, mutant

from .exercise import Exercise
from .predicates import predicate_laws

LAWS: dict[str, Law] = {}
MUTANTS: list[Mutant] = []


@law(
    "pairs-are-neighbours",
    about="pairs",
    promise="same answer",
    says="Each item but the last is paired with the one behind it, in order.",
    hint="Say the pairs of this input aloud. Which item stands in two of them?",
    among=LAWS,
    source=sources(things(most=4)),
)
def _(world: World, pairs: Any, source: SourceSpec) -> None:
    xs, _probe = world.stream(source)
    items = list(source.items)
    same(world.items(pairs(xs)), list(pairwise(items)))


@law(
    "pairs-cost-one-item-more-than-they-are",
    about="pairs",
    promise="on demand",
    says="k pairs cost k + 1 items: the first pair costs two, each later one costs one.",
    hint="You hold one item of the last pair. What is the least you must ask for to give the next?",
    among=LAWS,
    k=integers(0, 4),
)
def _(world: World, pairs: Any, k: int) -> None:
    xs, probe = world.stream(SourceSpec(endless=True), budget=k + 1)
    same(list(islice(world.iterator(pairs(xs)), k)), [(at, at + 1) for at in range(k)])
    holds(probe.pulls <= k + 1, f"it asked for {probe.pulls} items", f"at most {k + 1}")


def _batches(items: list[Any], n: int) -> list[tuple[Any, ...]]:
    return [tuple(items[at : at + n]) for at in range(0, len(items), n)]


@law(
    "batches-joined-are-the-source",
    about="batched",
    promise="same answer",
    says="Joined, the batches are the source; each is a tuple of n items, and the last may be shorter.",
    hint="Go through the source item by item. In which batch is each of them, and is it a tuple?",
    among=LAWS,
    source=sources(things(most=5)),
    n=integers(1, 3),
)
def _(world: World, batched: Any, source: SourceSpec, n: int) -> None:
    xs, _probe = world.stream(source)
    expected = _batches(list(source.items), n)
    same(list(islice(world.iterator(batched(xs, n)), len(expected) + 1)), expected)


@law(
    "batches-cost-no-more-than-their-items",
    about="batched",
    promise="on demand",
    says="k batches of n cost at most k * n pulls.",
    hint="The batch was full. What did your loop do before it gave it to you?",
    among=LAWS,
    n=integers(1, 3),
    k=integers(0, 3),
)
def _(world: World, batched: Any, n: int, k: int) -> None:
    xs, probe = world.stream(SourceSpec(endless=True), budget=k * n)
    same(list(islice(world.iterator(batched(xs, n)), k)), _batches(list(range(k * n)), n))
    holds(probe.pulls <= k * n, f"it asked for {probe.pulls} items", f"at most {k * n}")


@mutant(of="pairs", killed_by="pairs-are-neighbours", among=MUTANTS, laws=LAWS)
def side_by_side(xs: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
    """Takes two fresh items for each pair: they stand side by side, and every other pair is missing."""
    it = iter(xs)
    return zip(it, it, strict=False)


@mutant(of="pairs", killed_by="pairs-are-neighbours", among=MUTANTS, laws=LAWS)
def treats_none_as_nothing(xs: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
    """Starts with `before = None` and takes every None for the start."""
    before = None
    for item in xs:
        if before is not None:
            yield before, item
        before = item


@mutant(of="pairs", killed_by="pairs-are-neighbours", among=MUTANTS, laws=LAWS)
def two_readers_of_one_iterator(xs: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
    """Zips a stream with itself, one item on: right for a list, where each reader has a bookmark of its own."""
    return zip(xs, islice(xs, 1, None), strict=False)


@mutant(of="pairs", killed_by="pairs-are-neighbours", among=MUTANTS, laws=LAWS)
def closes_the_circle(xs: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
    """Gives the last item a neighbour too: the first one."""
    items = list(xs)
    for at in range(len(items)):
        yield items[at], items[(at + 1) % len(items)]


@mutant(of="pairs", killed_by="pairs-cost-one-item-more-than-they-are", among=MUTANTS, laws=LAWS)
def lists_first(xs: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
    """Makes a list, because a list can be read twice."""
    items = list(xs)
    yield from pairwise(items)


@mutant(of="batched", killed_by="batches-joined-are-the-source", among=MUTANTS, laws=LAWS)
def lost_tail(xs: Iterable[Any], n: int) -> Iterator[tuple[Any, ...]]:
    """Asks one iterator n times for each row: the row that does not fill up is thrown away."""
    return zip(*[iter(xs)] * n, strict=False)


@mutant(of="batched", killed_by="batches-cost-no-more-than-their-items", among=MUTANTS, laws=LAWS)
def looks_ahead(xs: Iterable[Any], n: int) -> Iterator[tuple[Any, ...]]:
    """Gives a batch when the first item of the next one has come."""
    batch: list[Any] = []
    for item in xs:
        if len(batch) == n:
            yield tuple(batch)
            batch = []
        batch.append(item)
    if batch:
        yield tuple(batch)


@mutant(of="batched", killed_by="batches-joined-are-the-source", among=MUTANTS, laws=LAWS)
def reiterates(xs: Iterable[Any], n: int) -> Iterator[tuple[Any, ...]]:
    """Slices `xs` itself: a list begins anew each time, and its first batch comes for ever."""
    while batch := tuple(islice(xs, n)):
        yield batch


@mutant(of="batched", killed_by="batches-joined-are-the-source", among=MUTANTS, laws=LAWS)
def window_reuse(xs: Iterable[Any], n: int) -> Iterator[list[Any]]:
    """Gives its own list and clears it for the next batch: whoever kept one finds it empty."""
    batch: list[Any] = []
    for item in xs:
        batch.append(item)
        if len(batch) == n:
            yield batch
            batch.clear()
    if batch:
        yield batch


@mutant(of="batched", killed_by="batches-joined-are-the-source", among=MUTANTS, laws=LAWS)
def pads_the_tail(xs: Iterable[Any], n: int) -> Iterator[tuple[Any, ...]]:
    """Fills the last batch up with None, which nobody asked for."""
    return zip_longest(*[iter(xs)] * n)


@mutant(of="batched", killed_by="batches-joined-are-the-source", among=MUTANTS, laws=LAWS)
def drops_false_items(xs: Iterable[Any], n: int) -> Iterator[tuple[Any, ...]]:
    """Fills up with None, and takes every item that is false for the filling."""
    for row in zip_longest(*[iter(xs)] * n):
        yield tuple(item for item in row if item)


@mutant(of="batched", killed_by="batches-cost-no-more-than-their-items", among=MUTANTS, laws=LAWS)
def slices_a_list(xs: Iterable[Any], n: int) -> Iterator[tuple[Any, ...]]:
    """Reads everything into a list, and cuts that."""
    yield from _batches(list(xs), n)


PAIRS = Exercise(
    id="m03c04e1",
    title="Each item with the one behind it",
    function="pairs",
    starter="""\
def pairs(xs):
    ...
""",
    laws=(LAWS["pairs-are-neighbours"], LAWS["pairs-cost-one-item-more-than-they-are"]),
    hints=(
        "When an item comes, which other one must you still have in your hand?",
        "`it = iter(xs)`, and `before = next(it, None)` takes the first item. A `for item in it:` yields "
        "`before, item`, and then remembers `item` as `before`.",
    ),
    mutants=tuple(m for m in MUTANTS if m.of == "pairs"),
    withheld=("make_sliding",),
)

BATCHED = Exercise(
    id="m03c04e2",
    title="Batches that lose nothing and wait for nothing",
    function="batched",
    starter="""\
def batched(xs, n):
    ...
""",
    laws=(LAWS["batches-joined-are-the-source"], LAWS["batches-cost-no-more-than-their-items"]),
    hints=(
        "How do you know that a batch is full? And when do you learn that there is no more to come?",
        "`tuple(islice(it, n))` takes the next n items, or as many as there are; an empty tuple is false. "
        "`it` is made once, with `iter(xs)`.",
    ),
    mutants=tuple(m for m in MUTANTS if m.of == "batched"),
    withheld=("batched", "make_batched"),
)


def overlapping(text: str, size: int, overlap: int) -> list[str]:
    """Chunks of a text; each begins with the last `overlap` letters of the one before it.

    >>> overlapping("abcdefgh", 4, 2)
    ['abcd', 'cdef', 'efgh']
    """
    chunks = []
    start = stop = 0
    while stop < len(text):
        stop = min(start + size, len(text))
        chunks.append(text[start:stop])
        start += size - overlap
    return chunks


TEXTS = choice("", *(text for n in range(1, 10) for text in dict.fromkeys(("abcdefghi"[:n], "a" * n))))
"""Short texts, and as many in which all chunks of a size look alike."""


def redundant_tail(text: str, size: int, overlap: int) -> list[str]:
    """Starts a chunk at every step up to the end: the last one may lie wholly inside the one before it.

    >>> redundant_tail("abcdefgh", 4, 2)
    ['abcd', 'cdef', 'efgh', 'gh']
    """
    return [text[start : start + size] for start in range(0, len(text), size - overlap)]


ACCEPTS, REFUSES = predicate_laws(
    "no-chunk-inside-another",
    right=overlapping,
    wrong=redundant_tail,
    called="gen_overlapping",
    text=TEXTS,
    size=integers(3, 4),
    overlap=integers(0, 2),
    differ_on={"text": "abcdefgh", "size": 4, "overlap": 2},
    hints=(
        "Cut this text by hand. What did your law expect that is not there?",
        "Look at the last chunk. Is there a letter in it that the chunk before it does not hold?",
    ),
)

LAW = Exercise(
    id="m03c04e3",
    title="Write the law that unmasks the redundant tail",
    function="law",
    starter="""\
def law(text, size, overlap, chunks):
    ...
""",
    laws=(ACCEPTS, REFUSES),
    hints=(
        "How many letters of a chunk stand in the one before it? So how long must it be, to bring a new one?",
        "One `return` with `all(...)` over `chunks[1:]`, in which each `len(chunk)` is compared with `overlap`.",
    ),
    mutants=(
        Mutant(
            "redundant_tail",
            "overlapping",
            REFUSES.id,
            "Starts a chunk at every step up to the end of the text.",
            redundant_tail,
        ),
    ),
)

EXERCISES = (PAIRS, BATCHED, LAW)
