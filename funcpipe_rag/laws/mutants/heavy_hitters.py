"""What people write in place of counting with a bound."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from itertools import groupby
from typing import Any

from funcpipe_rag.laws.heavy_hitters import DISTINCT, TOPK
from funcpipe_rag.streams.heavy_hitters import HeavyHitter, topk

from .mutant import mutant
from .stages import drained

for _family in (TOPK, DISTINCT):
    drained(_family)

Sink = Callable[[Iterable[Any]], Any]
Held = dict[Any, list[int]]
"""Of each item, its count and its error, in the order in which they came in."""


def _counting(replace: Callable[[Held, Any], None], k: int, capacity: int) -> Sink:
    """Counts with `capacity` places; `replace` says what becomes of an item for which there is none."""

    def run(xs: Iterable[Any]) -> list[HeavyHitter[Any]]:
        held: Held = {}
        for x in xs:
            if x in held:
                held[x][0] += 1
            elif len(held) < capacity:
                held[x] = [1, 0]
            else:
                replace(held, x)
        ranked = sorted(held.items(), key=lambda one: (-one[1][0], one[1][1]))
        return [HeavyHitter(x, count, error, not error) for x, (count, error) in ranked[:k]]

    return run


def _least(held: Held) -> Any:
    return min(held, key=lambda x: held[x][0])


@mutant(of="topk", killed_by="topk-never-reports-too-little")
def begins_at_one(k: int, *, capacity: int) -> Sink:
    """Throws the least frequent item out, and counts the new one from one: it may have come before."""

    def replace(held: Held, x: Any) -> None:
        del held[_least(held)]
        held[x] = [1, 0]

    return _counting(replace, k, capacity)


@mutant(of="topk", killed_by="topk-never-reports-too-little")
def takes_one_from_each(k: int, *, capacity: int) -> Sink:
    """Takes one from every count when there is no place, as Misra and Gries do: that errs on the other side."""

    def replace(held: Held, x: Any) -> None:
        for item in list(held):
            held[item][0] -= 1
            if not held[item][0]:
                del held[item]

    return _counting(replace, k, capacity)


@mutant(of="topk", killed_by="topk-says-how-far-it-may-be-off")
def calls_its_counts_exact(k: int, *, capacity: int) -> Sink:
    """Takes the count over, and forgets whose it was."""
    return lambda xs: [hit._replace(error=0) for hit in topk(k, capacity=capacity)(xs)]


@mutant(of="topk", killed_by="topk-keeps-its-error-small")
def replaces_the_oldest(k: int, *, capacity: int) -> Sink:
    """Gives the place of whoever has had it longest, however often that one has come."""

    def replace(held: Held, x: Any) -> None:
        count, _ = held.pop(next(iter(held)))
        held[x] = [count + 1, count]

    return _counting(replace, k, capacity)


@mutant(of="topk", killed_by="topk-is-exact-while-there-is-room")
def breaks_ties_by_the_item(k: int, *, capacity: int) -> Sink:
    """Sorts pairs of count and item: of equal counts the items decide, if they can be compared at all."""

    def run(xs: Iterable[Any]) -> list[HeavyHitter[Any]]:
        ranked = sorted(((count, x) for x, count in Counter(xs).items()), reverse=True)
        return [HeavyHitter(x, count, 0, True) for count, x in ranked[:k]]

    return run


@mutant(of="topk", killed_by="topk-misses-no-heavy-hitter")
def lets_nobody_in(k: int, *, capacity: int) -> Sink:
    """Counts the first items that it sees, and no others once the places are taken."""
    return _counting(lambda held, x: None, k, capacity)


@mutant(of="topk", killed_by="topk-guarantees-only-what-is-true")
def guarantees_all_of_it(k: int, *, capacity: int) -> Sink:
    """Takes the list for the truth: with an error in it, somebody outside may have come more often."""
    return lambda xs: [hit._replace(guaranteed=True) for hit in topk(k, capacity=capacity)(xs)]


@mutant(of="topk", killed_by="topk-equals-its-eager-twin")
def replaces_the_latest(k: int, *, capacity: int) -> Sink:
    """Of several least frequent items, gives the place of the one that came in last."""

    def replace(held: Held, x: Any) -> None:
        least = min(reversed(held), key=lambda item: held[item][0])
        count, _ = held.pop(least)
        held[x] = [count + 1, count]

    return _counting(replace, k, capacity)


@mutant(of="count_distinct", killed_by="count-distinct-equals-its-eager-twin")
def counts_changes() -> Sink:
    """Counts runs of equal neighbours, as `uniq` does: that needs a sorted stream."""
    return lambda xs: sum(1 for _ in groupby(xs))
