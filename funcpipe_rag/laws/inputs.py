"""The inputs of laws: data only.

A source is described by a `SourceSpec` and a function by its name; the world in which a law is checked makes
live ones of them. So an implementation can be judged in another process than the one that counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from types import MappingProxyType
from typing import Any, Generic, Literal, NamedTuple, TypeAlias, TypeVar

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from funcpipe_rag.streams.probe import Boom

T = TypeVar("T")


@dataclass(frozen=True)
class Input(Generic[T]):
    """A kind of input: how to draw one, and which simpler ones there are, the simplest first.

    Whatever Hypothesis finds is made smaller by `smaller` until nothing simpler breaks the law, so the
    counterexample that a lesson prints does not depend on how it was searched for.
    """

    draw: SearchStrategy[T]
    smaller: Callable[[T], Iterator[T]]


class SourceSpec(NamedTuple):
    """A source as data: what it gives, where it raises, whether it ends, and how it is handed to a transform."""

    items: tuple[Any, ...] = ()
    raises_at: int | None = None
    raises_on_close: bool = False
    endless: bool = False
    reiterable: bool = False

    def __repr__(self) -> str:
        if self.endless and not self.items:
            said = ["a source that counts 0, 1, 2 ... without end"]
        else:
            said = [f"a source of {list(self.items)}"]
            if self.endless:
                said.append("then 0, 1, 2 ... without end")
        if self.raises_at is not None:
            said.append(f"that raises in place of item {self.raises_at}")
        if self.raises_on_close:
            said.append("that raises when closed")
        if self.reiterable:
            said.append("handed over as a collection")
        return ", ".join(said)

    @property
    def given(self) -> list[Any]:
        """The items that it gives before it ends or raises."""
        return list(self.items if self.raises_at is None else self.items[: self.raises_at])


def _boom_at_3(n: int) -> int:
    if n == 3:
        raise Boom("boom_at_3 got 3")
    return n


FUNCTIONS: Mapping[str, Callable[[Any], Any]] = MappingProxyType(
    {
        "add1": lambda n: n + 1,
        "double": lambda n: n * 2,
        "negate": lambda n: -n,
        "to_none": lambda n: None,
        "is_even": lambda n: n % 2 == 0,
        "is_small": lambda n: n < 3,
        "always": lambda n: True,
        "never": lambda n: False,
        "one_itself": lambda n: [n],
        "twice_itself": lambda n: [n, n],
        "count_to": lambda n: list(range(n)),
        "boom_at_3": _boom_at_3,
    }
)
"""Functions by name; a law's input names one, the world looks it up."""

STAGES: Mapping[str, Callable[[Iterable[Any]], Iterator[Any]]] = MappingProxyType(
    {
        **{name: partial(map, FUNCTIONS[name]) for name in ("add1", "double", "negate", "to_none")},
        "running_sum": accumulate,
    }
)
"""Transforms by name, one output an item; the last one remembers what it has seen."""

PREDICATES = ("is_even", "is_small", "always", "never")
MAPPINGS = ("add1", "double", "negate", "to_none")
EXPANSIONS = ("one_itself", "twice_itself", "count_to")


def choice(*values: T) -> Input[T]:
    """One of some values; earlier ones are simpler."""

    def smaller(value: T) -> Iterator[T]:
        # By repr, because 0 == False.
        yield from values[: [repr(one) for one in values].index(repr(value))]

    return Input(st.sampled_from(values), smaller)


def integers(least: int, most: int) -> Input[int]:
    """A whole number from `least` to `most`."""
    return choice(*range(least, most + 1))


def booleans() -> Input[bool]:
    """False, or True."""
    return choice(False, True)


def several(one: Input[T], *, least: int = 0, most: int = 4) -> Input[list[T]]:
    """A list of inputs: none, one, or more."""

    def smaller(many: list[T]) -> Iterator[list[T]]:
        if len(many) > least:
            for place in range(len(many)):
                yield many[:place] + many[place + 1 :]
        for place, value in enumerate(many):
            for simpler in one.smaller(value):
                yield [*many[:place], simpler, *many[place + 1 :]]

    return Input(st.lists(one.draw, min_size=least, max_size=most), smaller)


Items: TypeAlias = tuple[Any, ...]


def items_of(one: Input[Any], *, least: int = 0, most: int = 6, rising: bool = False) -> Input[Items]:
    """What a source gives, as a tuple; sorted, with `rising`."""
    row = several(one, least=least, most=most)
    settle: Callable[[list[Any]], Items] = (lambda many: tuple(sorted(many))) if rising else tuple

    def smaller(given: Items) -> Iterator[Items]:
        for simpler in row.smaller(list(given)):
            if settle(simpler) != given:
                yield settle(simpler)

    return Input(row.draw.map(settle), smaller)


def numbers(*, least: int = 0, most: int = 6, rising: bool = False) -> Input[Items]:
    """A few small whole numbers, repeats and zero among them."""
    return items_of(integers(0, 5), least=least, most=most, rising=rising)


def things(*, least: int = 0, most: int = 6) -> Input[Items]:
    """A few items, the false ones among them: 0, None, the empty text."""
    return items_of(choice(0, 1, 2, 3, None, ""), least=least, most=most)


Ending: TypeAlias = Literal["ends", "raises", "endless"]


def sources(
    items: Input[Items] | None = None,
    *endings: Ending,
    handed: Sequence[Literal["iterator", "collection"]] = ("iterator", "collection"),
) -> Input[SourceSpec]:
    """A source: what it gives, how it may end (by default it ends), and how it is handed to a transform."""
    given = numbers() if items is None else items
    ending = choice(*(endings or ("ends",)))
    handing = choice(*(form == "collection" for form in handed))

    def spec(drawn: tuple[Items, Ending, bool, int]) -> SourceSpec:
        items, ending, reiterable, at = drawn
        raises_at = min(at, len(items)) if ending == "raises" else None
        return SourceSpec(items, raises_at=raises_at, endless=ending == "endless", reiterable=reiterable)

    def smaller(one: SourceSpec) -> Iterator[SourceSpec]:
        now: Ending = "endless" if one.endless else "ends" if one.raises_at is None else "raises"
        at = one.raises_at or 0
        for simpler in ending.smaller(now):
            yield spec((one.items, simpler, one.reiterable, at))
        for fewer in given.smaller(one.items):
            yield spec((fewer, now, one.reiterable, at))
        if now == "raises":
            for earlier in range(at):
                yield spec((one.items, now, one.reiterable, earlier))
        for form in handing.smaller(one.reiterable):
            yield one._replace(reiterable=form)

    return Input(st.tuples(given.draw, ending.draw, handing.draw, st.integers(0, 6)).map(spec), smaller)
