"""The laws of the keyed join: two branches of one stream, put together by key."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

from .inputs import Items, SourceSpec, choice, integers, numbers
from .law import holds, law, same
from .stages import WHOLE, Family, laws_of
from .worlds import World

Row = tuple[int, int, str]
"""A result here: the place of its item in the stream (the key), its number, and its branch."""


def _place(row: Row) -> int:
    return row[0]


def _branch(name: str, many: Callable[[int], int]) -> Callable[[Iterable[Any]], Iterator[Row]]:
    """A transform that gives `many(place)` results for the item at a place."""

    def transform(xs: Iterable[Any]) -> Iterator[Row]:
        for place, _item in enumerate(xs):
            for number in range(many(place)):
                yield place, number, name

    return transform


def _pairs(n: int, left: Callable[[int], int], right: Callable[[int], int]) -> list[tuple[Row, Row]]:
    return [
        ((place, one, "left"), (place, two, "right"))
        for place in range(n)
        for two in range(right(place))
        for one in range(left(place))
    ]


JOIN = Family(
    "make_keyed_join",
    {"many": integers(1, 2)},
    lambda world, make_keyed_join, many: make_keyed_join(
        _place, _branch("left", lambda _: many), _branch("right", lambda _: 1)
    ),
    lambda xs, many: _pairs(len(xs), lambda _: many, lambda _: 1),
)
laws_of(JOIN, WHOLE)

CARDINALITIES: dict[str, Callable[[int], int]] = {
    "one each": lambda place: 1,
    "two each": lambda place: 2,
    "even places only": lambda place: 1 - place % 2,
    "none, one, two in turn": lambda place: place % 3,
}


@law(
    "make-keyed-join-pairs-each-with-each",
    about="make_keyed_join",
    promise="same answer",
    says="Each left result is paired with each right result of its key, once; what meets nobody is told, once.",
    hint="Take one key. How many results has it on each side, and how many pairs came?",
    items=numbers(),
    left=choice(*CARDINALITIES),
    right=choice(*CARDINALITIES),
)
def _(world: World, make_keyed_join: Any, items: Items, left: str, right: str) -> None:
    lefts, rights = CARDINALITIES[left], CARDINALITIES[right]
    alone: list[Row] = []
    stage = make_keyed_join(
        _place, _branch("left", lefts), _branch("right", rights), on_unmatched=alone.append
    )
    xs, _probe = world.stream(SourceSpec(items))
    n = len(items)
    same(sorted(world.items(world.run(stage, xs))), sorted(_pairs(n, lefts, rights)))
    unpaired = [
        (place, one, "left") for place in range(n) if not rights(place) for one in range(lefts(place))
    ]
    unpaired += [
        (place, two, "right") for place in range(n) if not lefts(place) for two in range(rights(place))
    ]
    same(sorted(alone), sorted(unpaired), "told as unmatched: {}")


@law(
    "make-keyed-join-holds-no-more-than-its-window",
    about="make_keyed_join",
    promise="flat",
    says="A result that has met nobody is told as soon as `window` newer ones of its branch have come.",
    hint="What do you still hold of the keys that the other branch left out?",
    n=integers(1, 8),
    window=integers(1, 4),
)
def _(world: World, make_keyed_join: Any, n: int, window: int) -> None:
    come = 0
    told: list[int] = []

    def left(xs: Iterable[Any]) -> Iterator[Row]:
        nonlocal come
        for place, _item in enumerate(xs):
            come = place + 1
            yield place, 0, "left"

    def alone(row: Row) -> None:
        told.append(row[0])
        newer = come - 1 - row[0]
        holds(newer <= window, f"left result {row[0]} was told after {newer} newer ones", f"after {window}")
        holds(newer == window or come == n, f"left result {row[0]} was told after {newer}", f"after {window}")

    def right(xs: Iterable[Any]) -> Iterator[Row]:
        # It leaves out the items at odd places, and says so with a result that has another key.
        for place, _item in enumerate(xs):
            yield (place if place % 2 == 0 else -1), 0, "right"

    stage = make_keyed_join(
        _place, left, right, window=window, on_unmatched=lambda row: alone(row) if row[2] == "left" else None
    )
    xs, _probe = world.stream(SourceSpec(tuple(range(n))))
    got = world.items(world.run(stage, xs))
    same([one[0] for one, _two in got], list(range(0, n, 2)), "paired: {}")
    same(told, list(range(1, n, 2)), "told as unmatched: {}")


@law(
    "make-keyed-join-fails-or-skips-as-it-was-told",
    about="make_keyed_join",
    promise="same answer",
    says='"fail" is a ValueError that names the branch and the result; "skip" leaves it out and reports it.',
    hint="A result has met nobody. Who learns of it?",
    items=numbers(),
    on_unmatched=choice("fail", "skip"),
)
def _(world: World, make_keyed_join: Any, items: Items, on_unmatched: str) -> None:
    left, right = CARDINALITIES["one each"], CARDINALITIES["even places only"]
    reported: list[object] = []
    options = {"report": reported.append} if on_unmatched == "skip" else {}
    stage = make_keyed_join(
        _place, _branch("left", left), _branch("right", right), on_unmatched=on_unmatched, **options
    )
    xs, _probe = world.stream(SourceSpec(items))
    expected = _pairs(len(items), left, right)
    alone = len(items) // 2
    got = []
    try:
        for pair in islice(world.iterator(world.run(stage, xs)), 99):
            got.append(pair)
    except ValueError as error:
        holds(on_unmatched == "fail" and alone > 0, f"ValueError: {error}", "no error")
        named = "left" in str(error) and "1" in str(error)
        holds(named, f"ValueError: {error}", "a ValueError that names the left result 1")
    else:
        holds(
            on_unmatched == "skip" or not alone, f"{got} and no error", "a ValueError for the left result 1"
        )
        same(len(reported), alone, "{} were reported")
    same(got, expected)
