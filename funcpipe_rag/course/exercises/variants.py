"""The same exercises with another contract, for a class whose neighbours have solved the ones that everybody knows.

A variant changes a rule, not an input: whose turn it is, what becomes of the tail, which end is kept. A right answer to
the exercise is a wrong answer to its variant, and the other way round. Which class gets which is decided by a secret.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from funcpipe_rag.laws import Law, SourceSpec, World, holds, law, same
from funcpipe_rag.laws.inputs import choice, integers, several, sources, things
from funcpipe_rag.laws.mutants import Mutant, mutant

from .exercise import Exercise
from .m03c04_chunks_windows_groups import BATCHED
from .m03c07_fan_in_and_fan_out import MAKE_ROUNDROBIN
from .m03c10_watching_a_stream import SAMPLE, share

LAWS: dict[str, Law] = {}
MUTANTS: list[Mutant] = []


@dataclass(frozen=True)
class Variant:
    """An exercise under another rule: what the lesson tells of it, in whose place, and a right answer."""

    exercise: Exercise
    told: str
    instead_of: str
    right: Callable[..., Any]


def variant_of(id: str, secret: str) -> str:
    """Which variant of an exercise a secret stands for: a letter, or nothing for the exercise as everybody knows it.

    >>> variant_of("m03c07e2", "spring") == variant_of("m03c07e2", "spring")
    True
    >>> sorted({variant_of("m03c07e2", f"class {n}") for n in range(20)}), variant_of("m03c07e1", "spring")
    (['', 'b'], '')
    """
    letters = ["", *(variant.exercise.variant for variant in VARIANTS.values() if variant.exercise.id == id)]
    digest = hmac.digest(secret.encode(), id.encode(), "sha256")
    return letters[int.from_bytes(digest) % len(letters)] if secret else ""


def _mutant(of: str, killed_by: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    return mutant(of=of, killed_by=killed_by, among=MUTANTS, laws=LAWS)


def _from_the_last(lists: list[list[Any]]) -> list[Any]:
    rounds = range(max(map(len, lists), default=0))
    return [items[at] for at in rounds for items in reversed(lists) if at < len(items)]


@law(
    "roundrobin-takes-turns-from-the-last",
    about="make_roundrobin",
    promise="same answer",
    says="One item from each live source in turn, the last source first, until every source has ended.",
    hint="Whose turn is it when nobody has had one? And what happens to the others when a source ends?",
    among=LAWS,
    sources=several(sources(things())),
)
def _(world: World, make_roundrobin: Any, sources: list[SourceSpec]) -> None:
    made = make_roundrobin(*world.sources(sources))
    same(world.items(world.run(made)), _from_the_last([list(spec.items) for spec in sources]))


@law(
    "roundrobin-from-the-last-starts-afresh",
    about="make_roundrobin",
    promise="fresh",
    says="Two runs of one source do not know of each other.",
    hint="What is kept outside the function that runs for each stream?",
    among=LAWS,
    sources=several(sources(things()), least=1, most=3),
    ahead=integers(0, 4),
)
def _(world: World, make_roundrobin: Any, sources: list[SourceSpec], ahead: int) -> None:
    made = make_roundrobin(*world.sources(sources))
    expected = _from_the_last([list(spec.items) for spec in sources])
    first = world.iterator(world.run(made))
    begun = list(islice(first, ahead))
    same(world.items(world.run(made)), expected, "the second stream gave {}")
    same([*begun, *first], expected, "the first stream gave {}")


_END = object()


def _roundrobin(*sources: Any) -> Any:
    def run() -> Iterator[Any]:
        opened = [source() for source in reversed(sources)]
        live = list(opened)
        try:
            while live:
                for it in list(live):
                    item = next(it, _END)
                    if item is _END:
                        live.remove(it)
                    else:
                        yield item
        finally:
            for it in reversed(opened):
                it.close()

    return run


@_mutant("make_roundrobin", "roundrobin-takes-turns-from-the-last")
def the_first_one_first(*sources: Any) -> Any:
    """Begins with the first source: the rule of the other class."""
    return _roundrobin(*reversed(sources))


@_mutant("make_roundrobin", "roundrobin-takes-turns-from-the-last")
def turns_the_stream_round(*sources: Any) -> Any:
    """Takes turns as ever, and turns all that came round: the last items come first, too."""

    def run() -> Iterator[Any]:
        yield from reversed(list(_roundrobin(*reversed(sources))()))

    return run


@_mutant("make_roundrobin", "roundrobin-from-the-last-starts-afresh")
def opens_when_it_is_made(*sources: Any) -> Any:
    """Opens the sources once, outside of the run."""
    opened = [source() for source in sources]
    return _roundrobin(*((lambda it=it: it) for it in opened))


def _full_batches(items: list[Any], n: int) -> list[tuple[Any, ...]]:
    return [tuple(items[at : at + n]) for at in range(0, len(items) - n + 1, n)]


@law(
    "full-batches-joined-begin-the-source",
    about="batched",
    promise="same answer",
    says="Each batch is a tuple of n items; joined, they are the source up to its last full batch.",
    hint="Go through the source item by item. Which of them are in a full batch?",
    among=LAWS,
    source=sources(things(most=5)),
    n=integers(1, 3),
)
def _(world: World, batched: Any, source: SourceSpec, n: int) -> None:
    xs, _probe = world.stream(source)
    expected = _full_batches(list(source.items), n)
    same(list(islice(world.iterator(batched(xs, n)), len(expected) + 1)), expected)


def _batched(xs: Iterable[Any], n: int) -> Iterator[tuple[Any, ...]]:
    it = iter(xs)
    while len(batch := tuple(islice(it, n))) == n:
        yield batch


@_mutant("batched", "full-batches-joined-begin-the-source")
def keeps_the_tail(xs: Iterable[Any], n: int) -> Iterator[tuple[Any, ...]]:
    """Gives the last batch, full or not: the rule of the other class."""
    it = iter(xs)
    while batch := tuple(islice(it, n)):
        yield batch


@_mutant("batched", "full-batches-joined-begin-the-source")
def fills_the_tail_up(xs: Iterable[Any], n: int) -> Iterator[tuple[Any, ...]]:
    """Makes the last batch as long as the others, with None."""
    for batch in keeps_the_tail(xs, n):
        yield batch + (None,) * (n - len(batch))


@law(
    "a-sample-of-the-upper-end-is-the-same-everywhere",
    about="sample",
    promise="fresh",
    says="It keeps what has a share of 1 - rate or more: the same choice in every run, process and machine.",
    hint="Which end of the range is kept? And what decides about an item: its `share`, or something that changes?",
    among=LAWS,
    rate=choice(0.5, 0.25, 0.75),
)
def _(world: World, sample: Any, rate: float) -> None:
    names = [f"note-{n}" for n in range(64)]
    xs, _probe = world.stream(SourceSpec(tuple(names)))
    got = world.items(sample(xs, rate=rate, key=_itself))
    holds(
        got == [name for name in names if share(name) >= 1 - rate],
        "of 64 names it kept others than those with a share of 1 - rate or more",
        "these, wherever it runs",
    )


@law(
    "a-sample-of-the-upper-end-stops-at-the-item-it-gives",
    about="sample",
    promise="on demand",
    says="k items of a sample cost the items up to the k-th that it keeps, and no more.",
    hint="Which line reads the stream before the first item is given?",
    among=LAWS,
    k=integers(0, 3),
)
def _(world: World, sample: Any, k: int) -> None:
    names = [f"note-{n}" for n in range(12)]
    kept = [place for place, name in enumerate(names, start=1) if share(name) >= 0.5][:k]
    xs, probe = world.stream(SourceSpec(tuple(names)))
    got = list(islice(world.iterator(sample(xs, rate=0.5, key=_itself)), k))
    needed = kept[-1] if kept else 0
    same(len(got), len(kept), "it gave {}")
    holds(probe.pulls <= needed, f"for {k} of them it asked {probe.pulls} times", f"{needed}")


def _itself(item: str) -> str:
    return item


def _sample(xs: Iterable[Any], *, rate: float, key: Callable[[Any], str]) -> Iterator[Any]:
    return (item for item in xs if share(key(item)) >= 1 - rate)


@_mutant("sample", "a-sample-of-the-upper-end-is-the-same-everywhere")
def keeps_the_lower_end(xs: Iterable[Any], *, rate: float, key: Callable[[Any], str]) -> Iterator[Any]:
    """Keeps what is below the rate: the rule of the other class."""
    return (item for item in xs if share(key(item)) < rate)


@_mutant("sample", "a-sample-of-the-upper-end-stops-at-the-item-it-gives")
def sorts_out_first(xs: Iterable[Any], *, rate: float, key: Callable[[Any], str]) -> Iterator[Any]:
    """Makes a list of the kept ones, and gives that."""
    return iter(list(_sample(xs, rate=rate, key=key)))


def _variant(
    of: Exercise,
    laws: Mapping[str, Law],
    hints: tuple[str, str],
    told: str,
    instead_of: str,
    right: Callable[..., Any],
) -> Variant:
    """The variant `b` of an exercise, with some of its laws replaced."""
    exercise = replace(
        of,
        variant="b",
        laws=tuple(laws.get(law.id, law) for law in of.laws),
        hints=hints,
        mutants=tuple(mutant for mutant in MUTANTS if mutant.of == of.function),
    )
    return Variant(exercise, told, instead_of, right)


VARIANTS: dict[str, Variant] = {
    variant.exercise.asked: variant
    for variant in (
        _variant(
            BATCHED,
            {"batches-joined-are-the-source": LAWS["full-batches-joined-begin-the-source"]},
            (
                "How do you know that a batch is full? And what do you do with one that is not?",
                "`tuple(islice(it, n))` takes the next n items, or as many as there are. `it` is made once, with "
                "`iter(xs)`.",
            ),
            "It gives tuples of `n` items. **In your class a last batch that is not full is dropped.**",
            "It gives tuples of `n` items, and the last one may be shorter.",
            _batched,
        ),
        _variant(
            MAKE_ROUNDROBIN,
            {
                "roundrobin-takes-turns": LAWS["roundrobin-takes-turns-from-the-last"],
                "roundrobin-starts-afresh": LAWS["roundrobin-from-the-last-starts-afresh"],
            },
            MAKE_ROUNDROBIN.hints,
            "Write `make_roundrobin`. **In your class the last source goes first**: of three sources, the third has "
            "the first turn, then the second, then the first.",
            "Write `make_roundrobin`.",
            _roundrobin,
        ),
        _variant(
            SAMPLE,
            {
                "a-sample-is-the-same-everywhere": LAWS["a-sample-of-the-upper-end-is-the-same-everywhere"],
                "a-sample-stops-at-the-item-it-gives": LAWS[
                    "a-sample-of-the-upper-end-stops-at-the-item-it-gives"
                ],
            },
            SAMPLE.hints,
            "**In your class the upper end is kept**: keep an item when the share of its key is 1 - rate or more.",
            "Keep an item when the share of its key is below the rate.",
            _sample,
        ),
    )
}
"""Every variant by what its lesson's check is asked for, like `m03c07e2b`."""


def find_exercise(asked: str) -> Exercise | None:
    """The exercise, or the variant, that a check asks for; None when there is none."""
    from . import EXERCISES

    asked = asked.lower()
    variant = VARIANTS.get(asked)
    return variant.exercise if variant else EXERCISES.get(asked)


def as_set(source: str, exercise: Exercise) -> Exercise:
    """The exercise as it is set in these cells: its variant, where they ask for the check of that."""
    asks = re.search(rf"""check\(\s*["']({exercise.id}[a-z])["']""", source, re.I)
    variant = VARIANTS.get(asks[1].lower()) if asks else None
    return variant.exercise if variant else exercise
