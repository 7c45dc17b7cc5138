"""What people write in place of the plain transforms."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

from funcpipe_rag import streams
from funcpipe_rag.laws.transforms import BATCHED, FAMILIES

from .mutant import mutant
from .stages import Run, eager_inside, wrapped

for _family in (*FAMILIES, BATCHED):
    wrapped(_family, eager_inside)


@mutant(of="fence_k", killed_by="fence-k-never-asks-again")
def one_pull_too_many(k: int) -> Run:
    """Counts after pulling: `for i, x in enumerate(xs): if i >= k: break`."""

    def stream(xs: Iterable[Any]) -> Iterator[Any]:
        for i, x in enumerate(xs):
            if i >= k:
                break
            yield x

    return stream


@mutant(of="fence_k", killed_by="fence-k-goes-on-where-it-stopped")
def zip_wrong_way(k: int) -> Run:
    """Writes `zip(xs, range(k))`: zip asks its first argument first, and loses that answer."""

    def stream(xs: Iterable[Any]) -> Iterator[Any]:
        for x, _ in zip(xs, range(k), strict=False):
            yield x

    return stream


@mutant(of="fence_k", killed_by="fence-k-equals-its-eager-twin")
def zero_is_forever(k: int) -> Run:
    """Stops when the count has come down to zero, after giving: zero never comes."""

    def stream(xs: Iterable[Any]) -> Iterator[Any]:
        left = k
        for x in islice(xs, k or None):
            yield x
            left -= 1
            if left == 0:
                return

    return stream


@mutant(of="fence_k", killed_by="fence-k-never-asks-again")
def fence_after(k: int) -> Run:
    """Fences the list instead of the stream: `iter(list(xs)[:k])`."""

    def stream(xs: Iterable[Any]) -> Iterator[Any]:
        yield from list(xs)[:k]

    return stream


@mutant(of="fflat_map", killed_by="fflat-map-reads-each-result-as-it-is-asked-for")
def lists_each_result(fn: Callable[[Any], Iterable[Any]]) -> Run:
    """Turns each result into a list before it gives the first item of it."""

    def stream(xs: Iterable[Any]) -> Iterator[Any]:
        for x in xs:
            yield from list(fn(x))

    return stream


@mutant(of="fflat_map", killed_by="fflat-map-closes-each-result")
def leaves_results_open(fn: Callable[[Any], Iterable[Any]]) -> Run:
    """Loops over each result with `for`, which closes nothing."""

    def stream(xs: Iterable[Any]) -> Iterator[Any]:
        for x in xs:
            for y in fn(x):  # noqa: UP028
                yield y

    return stream


@mutant(of="make_batched", killed_by="make-batched-equals-its-eager-twin")
def lost_tail(n: int) -> Run:
    """Writes `zip(*[iter(xs)] * n)`: the last items never arrive, and there is no error."""

    def stream(xs: Iterable[Any]) -> Iterator[Any]:
        yield from zip(*[iter(xs)] * n, strict=False)

    return stream


@mutant(of="make_batched", killed_by="make-batched-asks-for-no-more-than-it-needs")
def yields_before_appending(n: int) -> Run:
    """Gives a full batch when the next item comes, and so has to fetch that item first."""

    def stream(xs: Iterable[Any]) -> Iterator[Any]:
        batch: list[Any] = []
        for x in xs:
            if len(batch) == n:
                yield tuple(batch)
                batch = []
            batch.append(x)
        if batch:
            yield tuple(batch)

    return stream


@mutant(of="make_batched", killed_by="make-batched-equals-its-eager-twin")
def reiterates(n: int) -> Run:
    """Slices its input again and again, without iter(): on a list every slice is the first one."""

    def stream(xs: Iterable[Any]) -> Iterator[Any]:
        while batch := tuple(islice(xs, n)):
            yield batch

    return stream


@mutant(of="make_batched", killed_by="make-batched-equals-its-eager-twin")
def window_reuse(n: int) -> Run:
    """Gives the same list each time and clears it: whoever kept a batch finds it empty."""

    def stream(xs: Iterable[Any]) -> Iterator[Any]:
        batch: list[Any] = []
        for x in xs:
            batch.append(x)
            if len(batch) == n:
                yield batch
                batch.clear()
        if batch:
            yield batch

    return stream


@mutant(of="batched", killed_by="batched-strict-refuses-a-short-tail")
def strict_in_name_only(xs: Iterable[Any], n: int, *, strict: bool = False) -> Iterator[Any]:
    """Takes the argument and forgets it."""
    return streams.batched(xs, n)
