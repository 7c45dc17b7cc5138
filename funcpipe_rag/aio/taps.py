"""Taps: looking at an async stream without touching it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from itertools import repeat
from typing import Any, SupportsIndex, TypeVar

from funcpipe_rag.streams.arguments import a_whole_number
from funcpipe_rag.streams.taps import make_progress

from .ownership import Owned
from .stages import AsyncPassingStage, Items, Run

T = TypeVar("T")


def aprogress(*, total: SupportsIndex | None = None) -> AsyncPassingStage:
    """Show a tqdm bar while items go through, where tqdm is installed; nothing otherwise.

    >>> from funcpipe_rag.aio.testing import run
    >>> run(aprogress(total=3)("abc").collect())
    ['a', 'b', 'c']

    `total` is the number of items to come: with it the bar shows how much is left, without it how many came.

    >>> aprogress(total=3)
    aprogress(total=3)

    The bar is that of `make_progress`. It stands on stderr, one a run, from the first item until the run ends.
    Class: observer. Demand: one pull an item. Memory: O(1). Closing: closes the bar and the input. Errors: those of
    the input; ValueError for total < 0.
    """
    whole = None if total is None else a_whole_number("aprogress", "total", total, least=0)
    watched = _Watched("aprogress", **({} if whole is None else {"total": whole}))
    watched.set_once(_watch=make_progress(total=whole))
    return watched


class _Watched(AsyncPassingStage):
    """A sync tap, shown each item when that has come."""

    __slots__ = ("_watch",)

    _watch: Callable[[Iterable[Any]], Iterator[Any]]

    async def opening(self, xs: Items[T], run: Run) -> AsyncGenerator[T, None]:
        async with Owned() as owned:
            it = owned.opened(xs)
            hand: list[T] = []
            # A sync stream of what is in hand: it is never asked when there is nothing.
            seen = owned.take(self._watch(hand.pop() for _ in repeat(None)))
            async for item in it:
                hand.append(item)
                yield next(seen)
