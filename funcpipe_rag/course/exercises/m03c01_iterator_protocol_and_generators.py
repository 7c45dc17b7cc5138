"""The exercises of M03C01, Iterator protocol and generators."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

from funcpipe_rag.laws import Law, World, WrongKind, holds, kind_of, law, other_shape, same
from funcpipe_rag.laws.inputs import SourceSpec, choice, integers, items_of
from funcpipe_rag.laws.mutants import Mutant, mutant

from .exercise import Exercise

LAWS: dict[str, Law] = {}
MUTANTS: list[Mutant] = []

_TEXTS = items_of(choice("", "a", "ab", "abc", "abcd"), most=3)


def _spans(length: int, size: int) -> list[tuple[int, int]]:
    return [(start, min(start + size, length)) for start in range(0, length, size)]


def _pieces(texts: Iterable[str], size: int) -> list[str]:
    return [text[start:stop] for text in texts for start, stop in _spans(len(text), size)]


@law(
    "spans-cover-the-length",
    about="gen_spans",
    promise="same answer",
    says="The spans follow on one another from 0 to the length; each is `size` long, and the last may be shorter.",
    hint="Where does the last span stop, and where does the text?",
    among=LAWS,
    length=integers(0, 9),
    size=integers(1, 4),
)
def _(world: World, gen_spans: Any, length: int, size: int) -> None:
    made = gen_spans(length, size=size)
    if not hasattr(made, "__iter__"):
        hint = "Which line hands a span over? A function without a return and without a yield gives None."
        raise WrongKind(f"it returned {kind_of(made)}", "spans (is a yield missing?)", hint)
    wanted = _spans(length, size)
    came = list(islice(made, length + 2))
    holds(len(came) < length + 2, f"{came[:-1]}, and so on", f"{wanted}, and an end")
    same(came, wanted)


@law(
    "spans-come-when-asked-for",
    about="gen_spans",
    promise="on demand",
    says="You get an iterator: next() gives the first span, then the second, and behind the last it stays at its end.",
    hint="What does a function give that has a yield in it? And one that builds a list?",
    among=LAWS,
    length=integers(0, 5),
    size=integers(1, 4),
)
def _(world: World, gen_spans: Any, length: int, size: int) -> None:
    it = world.iterator(gen_spans(length, size=size))
    for span in _spans(length, size):
        same(next(it, "the end"), span, "next() gave {}")
    same(
        [next(it, "the end"), next(it, "the end")], ["the end", "the end"], "behind the last span it gave {}"
    )


@law(
    "chunks-are-the-text-and-stay-in-it",
    about="gen_chunks",
    promise="same answer",
    says="The chunks of a document, joined, are the document; no chunk holds text of two.",
    hint="Take the documents one by one. What became of the last letters of each?",
    among=LAWS,
    docs=_TEXTS,
    size=integers(1, 3),
)
def _(world: World, gen_chunks: Any, docs: tuple[str, ...], size: int) -> None:
    xs, _probe = world.stream(SourceSpec(docs))
    same(world.items(gen_chunks(xs, size=size)), _pieces(docs, size))


@law(
    "chunks-cost-no-more-documents-than-they-come-from",
    about="gen_chunks",
    promise="on demand",
    says="k chunks cost no more documents than those k chunks come from.",
    hint="Which line asks for a document before its first chunk is wanted?",
    among=LAWS,
    docs=_TEXTS,
    size=integers(1, 3),
    k=integers(0, 3),
)
def _(world: World, gen_chunks: Any, docs: tuple[str, ...], size: int, k: int) -> None:
    wanted = _pieces(docs, size)[:k]
    needed = 0
    while len(_pieces(docs[:needed], size)) < len(wanted):
        needed += 1
    xs, probe = world.stream(SourceSpec(docs), budget=needed)
    same(list(islice(world.iterator(gen_chunks(xs, size=size)), len(wanted))), wanted)
    holds(probe.pulls <= needed, f"it asked for {probe.pulls} documents", f"{needed}")


@mutant(of="gen_spans", killed_by="spans-cover-the-length", among=MUTANTS, laws=LAWS)
def drops_the_last_span(length: int, *, size: int) -> Iterator[tuple[int, int]]:
    """Starts only where a whole span fits: the rest of the text is lost."""
    for start in range(0, length - size + 1, size):
        yield start, start + size


@mutant(of="gen_spans", killed_by="spans-cover-the-length", among=MUTANTS, laws=LAWS)
def runs_past_the_end(length: int, *, size: int) -> Iterator[tuple[int, int]]:
    """Adds `size` to each start, also to the last: slices forgive it, so nobody sees it."""
    for start in range(0, length, size):
        yield start, start + size


@mutant(of="gen_spans", killed_by="spans-cover-the-length", among=MUTANTS, laws=LAWS)
def one_span_too_many(length: int, *, size: int) -> Iterator[tuple[int, int]]:
    """Takes `length + 1` for safety: an empty span at the end."""
    for start in range(0, length + 1, size):
        yield start, min(start + size, length)


@mutant(of="gen_spans", killed_by="spans-come-when-asked-for", among=MUTANTS, laws=LAWS)
def returns_a_list(length: int, *, size: int) -> Any:
    """Builds all spans and returns the list."""
    return _spans(length, size)


@mutant(
    of="gen_chunks", killed_by="chunks-cost-no-more-documents-than-they-come-from", among=MUTANTS, laws=LAWS
)
def eager_inside(docs: Iterable[str], *, size: int) -> Iterator[str]:
    """Loops over `list(docs)`: a generator outside, a list inside."""
    for doc in list(docs):
        yield from _pieces([doc], size)


@mutant(of="gen_chunks", killed_by="chunks-are-the-text-and-stay-in-it", among=MUTANTS, laws=LAWS)
def drops_tail(docs: Iterable[str], *, size: int) -> Iterator[str]:
    """Starts a chunk only where a whole one fits."""
    for doc in docs:
        for start in range(0, len(doc) - size + 1, size):
            yield doc[start : start + size]


@mutant(of="gen_chunks", killed_by="chunks-are-the-text-and-stay-in-it", among=MUTANTS, laws=LAWS)
def peeks_and_loses(docs: Iterable[str], *, size: int) -> Iterator[str]:
    """Looks whether there is anything, with next(), and so takes the first document away."""
    it = iter(docs)
    if next(it, None) is None:
        return
    yield from _pieces(it, size)


@mutant(of="gen_chunks", killed_by="chunks-are-the-text-and-stay-in-it", among=MUTANTS, laws=LAWS)
def stop_iteration_leaks(docs: Iterable[str], *, size: int) -> Iterator[str]:
    """Calls next() in `while True` and lets StopIteration end the generator: it ends in RuntimeError."""
    it = iter(docs)
    while True:
        yield from _pieces([next(it)], size)


@mutant(of="gen_chunks", killed_by="chunks-are-the-text-and-stay-in-it", among=MUTANTS, laws=LAWS)
def joins_the_documents(docs: Iterable[str], *, size: int) -> Iterator[str]:
    """Fills a short chunk up with the next document."""
    left = ""
    for doc in docs:
        left += doc
        while len(left) >= size:
            yield left[:size]
            left = left[size:]
    if left:
        yield left


GEN_SPANS = Exercise(
    id="m03c01e1",
    title="Where each chunk starts and stops",
    function="gen_spans",
    starter="""\
def gen_spans(length, *, size):
    ...
""",
    laws=(LAWS["spans-cover-the-length"], LAWS["spans-come-when-asked-for"]),
    hints=(
        "The last span is short. Which of its two ends is in danger?",
        "One `for start in range(0, length, size)`, one `yield`, and `min(start + size, length)` for the stop.",
    ),
    mutants=tuple(m for m in MUTANTS if m.of == "gen_spans"),
)

GEN_CHUNKS = Exercise(
    id="m03c01e2",
    title="Chunks of many documents, one at a time",
    function="gen_chunks",
    starter="""\
def gen_chunks(docs, *, size):
    ...
""",
    laws=(
        LAWS["chunks-are-the-text-and-stay-in-it"],
        LAWS["chunks-cost-no-more-documents-than-they-come-from"],
    ),
    hints=(
        "Say where you are: in which document, and at which of its letters? How many loops is that?",
        "A `for` over the documents, and in it a `for` over `gen_spans(len(doc), size=size)` with one `yield`.",
    ),
    mutants=tuple(m for m in MUTANTS if m.of == "gen_chunks"),
    withheld=("gen_chunks",),
)

DROPS_TAIL = tuple(m for m in MUTANTS if m.name == "drops_tail")


def _check_input(world: World, unmask: Callable[[], tuple[list[str], int]]) -> None:
    given = unmask()
    wanted = "a list of texts and a size of 1 or more, like (['abcd'], 2)"
    match given:
        case (list(docs), int(size)) if size >= 1 and all(isinstance(doc, str) for doc in docs):
            pass
        case _:
            raise other_shape(given, wanted)
    right, wrong = _pieces(docs, size), list(drops_tail(docs, size=size))
    holds(right != wrong, f"both programs give {wrong!r:.60}", "an input on which they differ")


UNMASK = Exercise(
    id="m03c01e3",
    title="Unmask the program that drops the tail",
    function="unmask",
    starter="""\
def unmask():
    ...
""",
    laws=(
        Law(
            id="unmask-shows-the-lost-tail",
            about="unmask",
            promise="same answer",
            says="On this input the wrong program loses text.",
            hint="It starts a chunk only where a whole one fits. When does one not fit?",
            inputs={},
            label="your input",
            check=_check_input,
        ),
    ),
    hints=(
        "It starts a chunk only where a whole one fits. When does one not fit?",
        "One document is enough. Let its length be no multiple of the size.",
    ),
    mutants=DROPS_TAIL,
)

EXERCISES = (GEN_SPANS, GEN_CHUNKS, UNMASK)
