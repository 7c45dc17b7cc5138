"""Sources and functions under observation, for tests: what was asked, when, and what was left behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from typing import Any

from funcpipe_rag.streams.probe import Boom, Probe, ProbeIterator

__all__ = ["AsyncProbe", "AsyncProbeIterator", "CallProbe"]


class AsyncProbe:
    """A `Probe` as an async source: item i is there `takes[i]` seconds after it was asked for.

    >>> from funcpipe_rag.aio.testing import run, schedule
    >>> probe = AsyncProbe(Probe("ab"), takes=(0.5, 2))
    >>> run(schedule(probe()))
    [(0.5, 'a'), (2.5, 'b')]
    >>> probe.probe.pulls, probe.probe.opens, probe.probe.closes
    (3, 1, 1)

    Items beyond `takes` are there without any waiting. Asked a second time before it has answered, it raises
    RuntimeError, as an async generator does.
    """

    def __init__(self, probe: Probe, *, takes: Sequence[float] = ()) -> None:
        self.probe, self.takes = probe, tuple(takes)

    def __call__(self) -> AsyncProbeIterator:
        return AsyncProbeIterator(self.probe(), self.takes)

    def __repr__(self) -> str:
        return repr(self.probe)


class AsyncProbeIterator(AsyncIterator[Any]):
    """One reading of an `AsyncProbe`."""

    def __init__(self, it: ProbeIterator, takes: Sequence[float]) -> None:
        self.it, self._takes = it, takes
        self._asked = False

    async def __anext__(self) -> Any:
        if self._asked:
            raise RuntimeError(f"{self.it.probe.name} was asked again before it had answered")
        self._asked = True
        try:
            if self.it.pulls < len(self._takes):
                await asyncio.sleep(self._takes[self.it.pulls])
            for item in self.it:
                return item
            raise StopAsyncIteration
        finally:
            self._asked = False

    async def aclose(self) -> None:
        """Count the closing; what is closed gives no more items."""
        self.it.close()

    def __repr__(self) -> str:
        return "an async iterator"


class CallProbe:
    """An async function under observation: how many calls are in flight, how many were at most, how each one ended.

    >>> from funcpipe_rag.aio import amap
    >>> from funcpipe_rag.aio.testing import run
    >>> double = CallProbe(lambda n: n * 2, takes={3: 0.5})
    >>> run(amap(double, concurrency=2)([1, 2, 3, 4]).collect()), double.most
    ([2, 4, 6, 8], 2)

    `takes` says how long the call with an item waits; `fails` with which items it raises `Boom`; `cleanup`, how long
    a cancelled call takes to end. `began`, `ended` and `cancelled` are the items, in that order; `live` is the
    number of calls in flight.
    """

    def __init__(
        self,
        does: Callable[[Any], Any] = lambda item: item,
        *,
        takes: Mapping[Any, float] | None = None,
        fails: Collection[Any] = (),
        cleanup: float = 0.0,
    ) -> None:
        self.does, self.takes, self.fails, self.cleanup = does, dict(takes or {}), fails, cleanup
        self.live = self.most = 0
        self.began: list[Any] = []
        self.ended: list[Any] = []
        self.cancelled: list[Any] = []

    async def __call__(self, item: Any) -> Any:
        self.began.append(item)
        self.live += 1
        self.most = max(self.most, self.live)
        try:
            await asyncio.sleep(self.takes.get(item, 0))
            if item in self.fails:
                raise Boom(f"the call with {item!r} failed")
            return self.does(item)
        except asyncio.CancelledError:
            await asyncio.sleep(self.cleanup)
            self.cancelled.append(item)
            raise
        finally:
            self.live -= 1
            self.ended.append(item)
