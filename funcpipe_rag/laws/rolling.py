"""The laws of running results: of the last w items, or of all since the key changed."""

from __future__ import annotations

from itertools import islice
from math import fsum
from typing import Any

from .inputs import FUNCTIONS, Items, SourceSpec, choice, integers, items_of, numbers
from .law import law, same
from .stages import WHOLE, Family, laws_of
from .worlds import World

FLOATS = (0.1, 1.0, 1e16, -1e16, 1e100)


def _sums(xs: list[Any], w: int) -> list[Any]:
    return [sum(xs[at : at + w]) for at in range(len(xs) - w + 1)]


def _means(xs: list[Any], w: int) -> list[Any]:
    return [total / w for total in _sums(xs, w)]


def _last_two_digits(result: int, item: int) -> int:
    # Not commutative, so that the order of the two arguments tells.
    return (10 * result + item) % 100


def _accumulated(xs: list[Any], key: str) -> list[Any]:
    key_of = FUNCTIONS[key] if key else lambda _: None
    results: list[Any] = []
    for at, x in enumerate(xs):
        same_key = at > 0 and key_of(xs[at - 1]) == key_of(x)
        results.append(_last_two_digits(results[-1], x) if same_key else x)
    return results


def _accumulator(world: World, make: Any, key: str) -> Any:
    if not key:
        return make(_last_two_digits)
    return make(_last_two_digits, key=world.fn(key))


def _over(world: World, make: Any, w: int) -> Any:
    return make(w)


ROLLING = (
    Family("make_rolling_sum", {"w": integers(1, 4)}, _over, _sums),
    Family("make_rolling_mean", {"w": integers(1, 4)}, _over, _means),
    Family(
        "make_accumulate", {"key": choice("", "is_even", "is_small", "to_none")}, _accumulator, _accumulated
    ),
)

for _family in ROLLING:
    laws_of(_family, WHOLE)


def _exactly(name: str, part: int) -> None:
    @law(
        f"{name.replace('_', '-')}-forgets-what-has-gone",
        about=name,
        promise="same answer",
        says="Each window is added up as if it stood alone: a large number that has gone leaves no trace.",
        hint="1e16 + 0.1 - 1e16 is 0.0. What do you take away, and from what?",
        items=items_of(choice(*FLOATS), least=1),
        w=integers(1, 3),
    )
    def _(world: World, factory: Any, items: Items, w: int) -> None:
        xs, _probe = world.stream(SourceSpec(items))
        sums = [fsum(items[at : at + w]) for at in range(len(items) - w + 1)]
        expected = [total / w for total in sums] if part else sums
        got = list(islice(world.iterator(world.run(factory(w), xs)), len(items) + 1))
        same(got, expected)


_exactly("make_rolling_sum", 0)
_exactly("make_rolling_mean", 1)


@law(
    "make-rolling-sum-keeps-whole-numbers-whole",
    about="make_rolling_sum",
    promise="same answer",
    says="Whole numbers have a whole sum, exact however large they are.",
    hint="Which of your numbers is a float, and since when?",
    items=numbers(least=1),
    w=integers(1, 3),
)
def _(world: World, make_rolling_sum: Any, items: Items, w: int) -> None:
    large = [10**20 + item for item in items]
    xs, _probe = world.stream(SourceSpec(tuple(large)))
    got = list(islice(world.iterator(world.run(make_rolling_sum(w), xs)), len(items) + 1))
    same(got, _sums(large, w))
