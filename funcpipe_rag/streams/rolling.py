"""Running results: of the last few items, or of all since the key changed, in one step an item."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import reduce
from itertools import accumulate, islice
from math import fsum, isfinite
from numbers import Rational
from sys import maxsize
from typing import Any, SupportsIndex, TypeVar

from .arguments import a_function, a_whole_number
from .ends import ending
from .ownership import Owned
from .stages import Stage

T = TypeVar("T")


def make_rolling_sum(w: SupportsIndex) -> Stage[[Iterable[Any]], Iterator[Any]]:
    """The sum of every `w` neighbours.

    >>> list(make_rolling_sum(2)([1, 2, 3, 4]))
    [3, 5, 7]

    Whole numbers are exact, and so is what floats leave behind: nothing remains of a large one that has gone.

    >>> list(make_rolling_sum(2)([1e100, 1.0, 2.0]))
    [1e+100, 3.0]

    Only whole windows are summed: fewer than `w` items give no sum. Class: pure. Demand: the first sum costs `w` pulls, every
    other one a pull. Each step is O(1); while a window adds up to inf or nan, O(w). Memory: the last `w` items, and
    as many sums of those that round in their own way (Decimal, complex, numpy's float32). Of these a step is O(1) on average.
    Closing: closes the iterator it made of its input; one that it was handed stays open. Errors: those of the
    input, and TypeError for what cannot be added, after the sums before them; ValueError for `w` < 1.

    The floats of a window are added without loss (Shewchuk's partial sums, as in `math.fsum`) and rounded once.
    """
    return _rolling("make_rolling_sum", w, mean=False)


def make_rolling_mean(w: SupportsIndex) -> Stage[[Iterable[Any]], Iterator[Any]]:
    """The mean of every `w` neighbours.

    >>> list(make_rolling_mean(2)([1, 2, 4]))
    [1.5, 3.0]

    Only whole windows have a mean.

    >>> list(make_rolling_mean(3)([1, 2]))
    []

    Class: pure. Demand, memory, closing and errors: those of `make_rolling_sum`, of whose sum this is the `w`-th part.
    """
    return _rolling("make_rolling_mean", w, mean=True)


def _rolling(where: str, w: SupportsIndex, *, mean: bool) -> Stage[[Iterable[Any]], Iterator[Any]]:
    width = a_whole_number(where, "w", w, least=1)

    def run(xs: Iterable[Any], /) -> Iterator[Any]:
        total = WindowTotal(width)
        with Owned() as owned:
            sums = islice(map(total.step, owned.opened(xs)), min(width - 1, maxsize), None)
            yield from (total / width for total in sums) if mean else sums

    return Stage(run, "transform", where, width)


class WindowTotal:
    """The sum of the last `width` numbers: whole numbers and fractions exactly, floats as partial sums without loss,
    and of all others nothing is ever taken away.

    >>> total = WindowTotal(2)
    >>> total.step(1e100), total.step(1.0), total.step(2.0), len(total.window)
    (1e+100, 1e+100, 3.0, 2)
    """

    __slots__ = ("floats", "others", "partials", "whole", "width", "window")

    def __init__(self, width: int) -> None:
        self.width = width
        self.window: deque[Any] = deque()
        self.whole: Any = 0
        self.partials: list[float] = []
        self.floats = 0
        self.others: _Others | None = None

    def step(self, item: Any) -> Any:
        """The sum with `item` in it; fewer than `width` numbers have been given at first."""
        if len(self.window) == self.width:
            gone = self.window.popleft()
            if isinstance(gone, float):
                self.floats -= 1
                self.partials = _grown(self.partials, -gone)
            elif isinstance(gone, (int, Rational)):
                self.whole -= gone
            elif self.others is not None and self.others.drop():
                self.others = None
        self.window.append(item)
        if isinstance(item, float):
            self.floats += 1
            self.partials = _grown(self.partials, item)
        elif isinstance(item, (int, Rational)):
            self.whole += item
        else:
            self.others = self.others or _Others()
            self.others.add(item)
        if not self.floats:
            self.partials = []
            return self.whole if self.others is None else self.whole + self.others.total()
        if not isfinite(self.partials[-1]):
            # An inf or nan came, or it overflowed, and nothing can be taken away from that.
            held = [number for number in self.window if isinstance(number, float)]
            self.partials = reduce(_grown, held, [])
            if not isfinite(self.partials[-1]):
                return sum(self.window)
        total = fsum(self.partials)
        if self.others is not None:
            return self.whole + total + self.others.total()
        return self.whole + total if self.whole else total


class _Others:
    """The sum of numbers that come and go in their order, without a subtraction.

    What rounds, or is nan or inf, cannot be taken away from a sum. So those that go first stand as sums of themselves
    and all behind them, and the newer ones as one sum, until the first are used up.
    """

    __slots__ = ("first", "newer", "newer_total")

    def __init__(self) -> None:
        self.first: list[Any] = []
        self.newer: list[Any] = []
        self.newer_total: Any = 0

    def add(self, item: Any) -> None:
        self.newer.append(item)
        self.newer_total = self.newer_total + item

    def drop(self) -> bool:
        """The oldest goes; whether none is left."""
        if not self.first:
            total: Any = 0
            while self.newer:
                total = self.newer.pop() + total
                self.first.append(total)
            self.newer_total = 0
        self.first.pop()
        return not self.first and not self.newer

    def total(self) -> Any:
        return self.first[-1] + self.newer_total if self.first else self.newer_total


def _grown(partials: list[float], x: float) -> list[float]:
    """Partial sums, the smallest first, that together are `partials` and `x`, without loss."""
    grown = []
    for y in partials:
        if abs(x) < abs(y):
            x, y = y, x
        high = x + y
        low = y - (high - x)
        if low:
            grown.append(low)
        x = high
    grown.append(x)
    return grown


def make_accumulate(
    fn: Callable[[Any, Any], Any], *, key: Callable[[Any], object] | None = None
) -> Stage[[Iterable[Any]], Iterator[Any]]:
    """The running result of `fn` over all items so far: `fn(result, item)`, begun with the first item.

    >>> list(make_accumulate(max)([2, 1, 3]))
    [2, 2, 3]

    With `key` it begins anew whenever the key changes.

    >>> from operator import add
    >>> list(make_accumulate(add, key=str.isdigit)("ab12"))
    ['a', 'ab', '1', '12']

    Class: pure. Demand: one pull a result. Memory: the last result, and with `key` the last key. Closing: closes the iterator it
    made of its input; one that it was handed stays open. Errors: those of `fn`, `key` and the input, after the
    results before them.
    """
    a_function("make_accumulate", "fn", fn)
    if key is not None:
        a_function("make_accumulate", "key", key)

    def run(xs: Iterable[Any], /) -> Iterator[Any]:
        with Owned() as owned:
            it, end = ending(owned.opened(xs))
            yield from accumulate(it, fn) if key is None else map(_since(fn, key), it)
            end.must_be_reached("make_accumulate", fn, *([] if key is None else [key]))

    return Stage(run, "transform", "make_accumulate", fn, **({} if key is None else {"key": key}))


def _since(fn: Callable[[Any, Any], Any], key: Callable[[Any], object]) -> Callable[[Any], Any]:
    begun = False
    now: object = None
    result: Any = None

    def step(item: Any) -> Any:
        nonlocal begun, now, result
        found = key(item)
        same = begun and (found is now or found == now)
        result = fn(result, item) if same else item
        begun, now = True, found
        return result

    return step
