"""The inputs of laws: data only.

A source is described by a `SourceSpec` and a function by its name; the world in which a law is checked makes
live ones of them. So an implementation can be judged in another process than the one that counts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from funcpipe_rag.streams.probe import Boom


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

PREDICATES = ("is_even", "is_small", "always", "never")
MAPPINGS = ("add1", "double", "negate", "to_none")
EXPANSIONS = ("one_itself", "twice_itself", "count_to")


def numbers(*, most: int = 6) -> SearchStrategy[tuple[int, ...]]:
    """A few small whole numbers, repeats and zero among them."""
    return st.lists(st.integers(0, 5), max_size=most).map(tuple)


def things(*, most: int = 6) -> SearchStrategy[tuple[Any, ...]]:
    """A few items, the false ones among them: 0, None, the empty text."""
    return st.lists(st.one_of(st.integers(0, 3), st.none(), st.just("")), max_size=most).map(tuple)


def sources(*, items: SearchStrategy[tuple[Any, ...]] | None = None) -> SearchStrategy[SourceSpec]:
    """A source that ends, handed over as an iterator or as a collection."""
    given = numbers() if items is None else items
    return st.tuples(given, st.booleans()).map(lambda drawn: SourceSpec(drawn[0], reiterable=drawn[1]))


def endless_sources() -> SearchStrategy[SourceSpec]:
    """A source that never ends."""
    return numbers(most=3).map(lambda items: SourceSpec(items, endless=True))


def raising_sources(*, items: SearchStrategy[tuple[Any, ...]] | None = None) -> SearchStrategy[SourceSpec]:
    """A source that raises in place of one of its items, or behind the last."""

    def raising(given: tuple[Any, ...]) -> SearchStrategy[SourceSpec]:
        return st.integers(0, len(given)).map(lambda at: SourceSpec(given, raises_at=at))

    return (numbers(most=4) if items is None else items).flatmap(raising)


def several(
    source: SearchStrategy[SourceSpec], *, least: int = 0, most: int = 4
) -> SearchStrategy[list[SourceSpec]]:
    """Some sources: none, one, or more."""
    return st.lists(source, min_size=least, max_size=most)
