"""What people write in place of running results."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate
from typing import Any

from funcpipe_rag.laws.rolling import ROLLING

from .mutant import mutant
from .stages import Run, wrapped

for _family in ROLLING:
    wrapped(_family)


def _running(w: int, start: Any, part: Callable[[Any, int], Any], least: int) -> Run:
    def stream(xs: Iterable[Any]) -> Iterator[Any]:
        window: deque[Any] = deque()
        total = start
        for x in xs:
            window.append(x)
            total += x
            if len(window) > w:
                total -= window.popleft()
            if len(window) >= least:
                yield part(total, len(window))

    return stream


@mutant(of="make_rolling_sum", killed_by="make-rolling-sum-forgets-what-has-gone")
def adds_and_takes_away(w: int) -> Run:
    """Adds the new float and takes the old one away: what was rounded off does not come back."""
    return _running(w, 0, lambda total, many: total, w)


@mutant(of="make_rolling_sum", killed_by="make-rolling-sum-keeps-whole-numbers-whole")
def begins_with_a_float(w: int) -> Run:
    """Begins with 0.0: from then on every sum is a float, and a large one is rounded."""
    return _running(w, 0.0, lambda total, many: total, w)


@mutant(of="make_rolling_mean", killed_by="make-rolling-mean-forgets-what-has-gone")
def drifts(w: int) -> Run:
    """Adds the new float and takes the old one away: what was rounded off does not come back."""
    return _running(w, 0, lambda total, many: total / many, w)


@mutant(of="make_rolling_mean", killed_by="make-rolling-mean-equals-its-eager-twin")
def means_of_less(w: int) -> Run:
    """Gives a mean from the first item on, when the window is not yet full."""
    return _running(w, 0, lambda total, many: total / many, 1)


@mutant(of="make_rolling_mean", killed_by="make-rolling-mean-equals-its-eager-twin")
def whole_division(w: int) -> Run:
    """Writes `//` for `/`."""
    return _running(w, 0, lambda total, many: total // many, w)


@mutant(of="make_rolling_mean", killed_by="make-rolling-mean-equals-its-eager-twin")
def means_of_all(w: int) -> Run:
    """Takes nothing away: the mean of everything since the beginning."""

    def stream(xs: Iterable[Any]) -> Iterator[Any]:
        for many, total in enumerate(accumulate(xs), 1):
            if many >= w:
                yield total / many

    return stream


@mutant(of="make_accumulate", killed_by="make-accumulate-equals-its-eager-twin")
def never_begins_anew(fn: Callable[[Any, Any], Any], *, key: Any = None) -> Run:
    """Takes the key and forgets it."""

    def stream(xs: Iterable[Any]) -> Iterator[Any]:
        yield from accumulate(xs, fn)

    return stream


@mutant(of="make_accumulate", killed_by="make-accumulate-equals-its-eager-twin")
def goes_on_with_an_old_key(fn: Callable[[Any, Any], Any], *, key: Any = None) -> Run:
    """Keeps a result for every key, and goes on with it when the key comes back."""

    def stream(xs: Iterable[Any]) -> Iterator[Any]:
        results: dict[Any, Any] = {}
        for x in xs:
            found = key(x) if key else None
            results[found] = fn(results[found], x) if found in results else x
            yield results[found]

    return stream
