"""Sources and functions under observation, for tests: what was asked, when, and what was left behind."""

from __future__ import annotations

import asyncio
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Iterable,
    Mapping,
    Sequence,
)
from inspect import isawaitable
from typing import Any, TypeVar, overload

from funcpipe_rag.streams.ownership import named
from funcpipe_rag.streams.probe import Boom, Log, Probe, ProbeIterator

from .ownership import Owned

A = TypeVar("A")
B = TypeVar("B")
T = TypeVar("T")

__all__ = ["AsyncLog", "AsyncProbe", "AsyncProbeIterator", "CallProbe"]


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


class AsyncLog(Log):
    """A log that knows the time: when each call began, when it ended, and when its result was handed on.

    >>> from funcpipe_rag.aio import amap
    >>> from funcpipe_rag.aio.testing import run
    >>> async def takes(seconds):
    ...     await asyncio.sleep(seconds)
    ...     return seconds
    >>> log = AsyncLog()
    >>> run(amap(log.calls(takes), concurrency=2)([0.5, 0.2]).collect())
    [0.5, 0.2]
    >>> [(event.t, event.stage, event.kind) for event in log.events]
    [(0.0, 'takes 1', 'open'), (0.0, 'takes 2', 'open'), (0.2, 'takes 2', 'yield'), (0.5, 'takes 1', 'yield')]

    A result is handed on when somebody down the line begins with it: the next function that is under observation, also
    where it gets it within a list, or `you`.

    >>> log = AsyncLog()
    >>> async def main():
    ...     async for seconds in log.seen(amap(log.calls(takes), concurrency=2)([0.5, 0.2])):
    ...         pass
    >>> run(main())
    >>> [(event.t, event.stage) for event in log.events if event.kind == "close" and event.stage != "you"]
    [(0.5, 'takes 1'), (0.5, 'takes 2')]

    Each call has a row of its own: `open` with its item, `yield` with its result or `error`, `close` when the result was
    handed on, or the call cancelled. Times are in seconds of the loop's clock since the first event. Memory: the events,
    and the results that are not yet handed on.
    """

    def __init__(self) -> None:
        super().__init__(clock=self._since_the_first_event)
        self._origin: float | None = None
        self._calls: dict[str, int] = {}
        # By identity, for equal results are not one result; the result stands with it, so that its id stays its own.
        self._waiting: dict[int, tuple[object, list[tuple[str, str]]]] = {}

    @overload
    def calls(
        self, fn: Callable[[A], Awaitable[B]], name: str | None = None
    ) -> Callable[[A], Awaitable[B]]: ...
    @overload
    def calls(self, fn: Callable[[A], B], name: str | None = None) -> Callable[[A], Awaitable[B]]: ...
    def calls(self, fn: Callable[[Any], Any], name: str | None = None) -> Callable[[Any], Awaitable[Any]]:
        """`fn`, with a row for each of its calls: `name` and a number. A sync function runs in between."""
        stage = named(fn) if name is None else name

        async def call(item: Any) -> Any:
            self._calls[stage] = number = self._calls.get(stage, 0) + 1
            row = f"{stage} {number}"
            self._taken_up(stage, item)
            self.note(row, "open", item)
            try:
                value = fn(item)
                if isawaitable(value):
                    value = await value
            except asyncio.CancelledError:
                self.note(row, "close")
                raise
            except BaseException as error:
                self.note(row, "error", error)
                raise
            self.note(row, "yield", value)
            self._waiting.setdefault(id(value), (value, []))[1].append((stage, row))
            return value

        return call

    async def seen(self, xs: AsyncIterable[T] | Iterable[T], name: str = "you") -> AsyncGenerator[T, None]:
        """`xs` as you read it: the last row. It takes `xs` over, as a stage does."""
        self.join(name)
        async with Owned() as owned:
            it = owned.opened(xs)
            self.note(name, "open")
            try:
                while True:
                    self.note(name, "pull")
                    try:
                        item = await anext(it)
                    except StopAsyncIteration:
                        break
                    except BaseException as error:
                        self.note(name, "error", error)
                        raise
                    self._taken_up(name, item)
                    self.note(name, "yield", item)
                    yield item
            finally:
                self.note(name, "close")

    def _taken_up(self, by: str, item: object) -> None:
        if self._handed_on(by, item) or not isinstance(item, list | tuple):
            return
        for part in item:
            self._handed_on(by, part)

    def _handed_on(self, by: str, item: object) -> bool:
        _, rows = self._waiting.get(id(item), (None, []))
        for at, (stage, row) in enumerate(rows):
            # What a stage gave is not handed on by its next call, though small numbers are all one.
            if stage != by:
                del rows[at]
                if not rows:
                    del self._waiting[id(item)]
                self.note(row, "close")
                return True
        return False

    def _since_the_first_event(self) -> float:
        now = asyncio.get_running_loop().time()
        if self._origin is None:
            self._origin = now
        return round(now - self._origin, 9)
