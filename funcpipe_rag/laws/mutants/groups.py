"""What people write in place of grouping, and of the check that groups are whole."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from typing import Any

from funcpipe_rag.laws.groups import GROUPS

from .mutant import mutant
from .stages import Run, wrapped

for _family in GROUPS:
    wrapped(_family)

Key = Callable[[Any], Any]


@mutant(of="make_grouped", killed_by="make-grouped-loses-no-saved-group")
def saved_groups(key: Key) -> Run:
    """Hands out the groups of `itertools.groupby`: each is empty once the next one has been asked for."""

    def stream(xs: Iterable[Any]) -> Iterator[Any]:
        yield from groupby(xs, key)

    return stream


@mutant(of="make_grouped", killed_by="make-grouped-equals-its-eager-twin")
def sorts_first(key: Key) -> Run:
    """Sorts by the key, as one does before `groupby`: the runs of one key become one, and the order is gone."""

    def stream(xs: Iterable[Any]) -> Iterator[Any]:
        for found, items in groupby(sorted(xs, key=lambda x: repr(key(x))), key):
            yield found, tuple(items)

    return stream


@mutant(of="make_grouped", killed_by="make-grouped-equals-its-eager-twin")
def gathers_in_a_dict(key: Key) -> Run:
    """Gathers all items of a key, wherever they stand: that is another question."""

    def stream(xs: Iterable[Any]) -> Iterator[Any]:
        groups: dict[Any, list[Any]] = {}
        for x in xs:
            groups.setdefault(key(x), []).append(x)
        for found, items in groups.items():
            yield found, tuple(items)

    return stream


@mutant(of="ensure_contiguous", killed_by="ensure-contiguous-refuses-a-key-that-returns")
def remembers_one_key(key: Key) -> Run:
    """Keeps the last key alone, and so never knows that this one has been there before."""

    def stream(xs: Iterable[Any]) -> Iterator[Any]:
        last = None
        for x in xs:
            if key(x) != last:
                last = key(x)
            yield x

    return stream


@mutant(of="ensure_contiguous", killed_by="ensure-contiguous-refuses-a-key-that-returns")
def leaves_out_what_returns(key: Key) -> Run:
    """Drops the items whose key has been there before, and tells nobody."""

    def stream(xs: Iterable[Any]) -> Iterator[Any]:
        ended: set[Any] = set()
        last = None
        for x in xs:
            if key(x) != last:
                ended.add(last)
                last = key(x)
            if last not in ended:
                yield x

    return stream


@mutant(of="ensure_contiguous", killed_by="ensure-contiguous-refuses-a-key-that-returns")
def refuses_every_repeat(key: Key) -> Run:
    """Takes a key that goes on for a key that comes back."""

    def stream(xs: Iterable[Any]) -> Iterator[Any]:
        seen: set[Any] = set()
        for at, x in enumerate(xs):
            if key(x) in seen:
                raise ValueError(f"key {key(x)!r} at index {at}")
            seen.add(key(x))
            yield x

    return stream
