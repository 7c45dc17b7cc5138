"""Time: how fast items go through, and how long each may take to come.

Clock and sleeper are arguments, as in the sync room; the usual ones are those of the running loop, so that under
`funcpipe_rag.aio.testing.run` everything here takes virtual time and nobody waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from math import inf
from typing import Any, SupportsFloat, SupportsIndex, TypeVar

from funcpipe_rag.streams.arguments import a_function, a_number, a_whole_number
from funcpipe_rag.streams.pacing import MOST_IDLE_SLEEPS

from .ownership import Owned, next_of, stop
from .stages import AsyncPassingStage, Items, Run

T = TypeVar("T")

Clock = Callable[[], float]
Sleeper = Callable[[float], Awaitable[object]]
Turn = Callable[[], Awaitable[None]]
"""Awaited when an item is in hand, it comes back when that may be given."""


def athrottle(
    min_delta: SupportsFloat, *, clock: Clock | None = None, sleeper: Sleeper = asyncio.sleep
) -> AsyncPassingStage:
    """Keep items at least `min_delta` seconds apart, and wait no longer than that takes.

    >>> from funcpipe_rag.aio.testing import run, schedule
    >>> run(schedule(athrottle(1)("abc")))
    [(0.0, 'a'), (1.0, 'b'), (2.0, 'c')]

    Work between two items counts, the source's and yours: only what is left of the gap is waited for.

    >>> async def slow_pages():
    ...     for page, seconds in ("a", 0.75), ("b", 0.75), ("c", 5):
    ...         await asyncio.sleep(seconds)
    ...         yield page
    >>> run(schedule(athrottle(1)(slow_pages())))
    [(0.75, 'a'), (1.75, 'b'), (6.75, 'c')]

    Class: clocked. Each run keeps its own time: the first item comes at once, behind the last nobody waits. `clock`
    is the loop's own unless another is given; it must be one that never goes back. A sleeper that wakes early is asked
    for the rest, down to the nanosecond. Demand: one pull an item. Memory: the one item that waits. Closing: closes
    the input. Errors: those of the input; ValueError for min_delta < 0; RuntimeError for a sleeper that never moves
    the clock.
    """
    gap = a_number("athrottle", "min_delta", min_delta, least=0)
    options = _time_of("athrottle", clock, sleeper)

    def turns() -> Turn:
        now = _clock(clock)
        due = -inf

        async def turn() -> None:
            nonlocal due
            # The item is in hand before anybody waits, so nobody waits behind the last one.
            due = await _waited("athrottle", due, now, sleeper) + gap

        return turn

    return _Paced("athrottle", gap, **options).by(turns)


def arate_limit(
    rate: SupportsFloat,
    burst: SupportsIndex,
    *,
    clock: Clock | None = None,
    sleeper: Sleeper = asyncio.sleep,
) -> AsyncPassingStage:
    """Let through at most `burst + rate * t` items in any t seconds, each as soon as that allows.

    >>> from funcpipe_rag.aio.testing import run, schedule
    >>> run(schedule(arate_limit(2, 3)("abcdef")))
    [(0.0, 'a'), (0.0, 'b'), (0.0, 'c'), (0.5, 'd'), (1.0, 'e'), (1.5, 'f')]

    A token bucket: it starts with `burst` tokens, gains `rate` a second, an item costs one, and it never holds
    more than `burst`, so a long rest earns no more than one burst.

    >>> async def rests():
    ...     yield "a"
    ...     await asyncio.sleep(60)
    ...     for letter in "bcde":
    ...         yield letter
    >>> run(schedule(arate_limit(2, 3)(rests())))
    [(0.0, 'a'), (60.0, 'b'), (60.0, 'c'), (60.0, 'd'), (60.5, 'e')]

    Class: clocked. Each run has a bucket of its own; to share a limit, run one stream. `clock` is the loop's own
    unless another is given; it must be one that never goes back. A sleeper that wakes early is asked for the rest,
    down to the nanosecond. Demand: one pull an item. Memory: the one item that waits. Closing: closes the input.
    Errors: those of the input; ValueError for rate <= 0 and for burst < 1; RuntimeError for a sleeper that never
    moves the clock.
    """
    pace = a_number("arate_limit", "rate", rate, above=0)
    size = a_whole_number("arate_limit", "burst", burst, least=1)
    options = _time_of("arate_limit", clock, sleeper)

    def turns() -> Turn:
        now = _clock(clock)
        # When the bucket was last full, and what has been taken since: no sum of small errors grows with the stream.
        full, taken = -inf, 0

        async def turn() -> None:
            nonlocal full, taken
            at = await _waited("arate_limit", full + (taken + 1 - size) / pace, now, sleeper)
            if at > full + taken / pace:
                full, taken = at, 0
            taken += 1

        return turn

    return _Paced("arate_limit", pace, size, **options).by(turns)


class _Paced(AsyncPassingStage):
    """A stage that holds each item back until it is its turn."""

    __slots__ = ("_turns",)

    _turns: Callable[[], Turn]

    def by(self, turns: Callable[[], Turn]) -> _Paced:
        """With this way of taking turns; every run has one of its own."""
        self.set_once(_turns=turns)
        return self

    async def opening(self, xs: Items[T], run: Run) -> AsyncGenerator[T, None]:
        turn = self._turns()
        async with Owned() as owned:
            async for item in owned.opened(xs):
                await turn()
                yield item


def atimeout(
    seconds: SupportsFloat, *, clock: Clock | None = None, sleeper: Sleeper = asyncio.sleep
) -> AsyncPassingStage:
    """Wait at most so many seconds for each item of the input; then close it and raise TimeoutError.

    >>> from funcpipe_rag.aio.testing import run, schedule
    >>> async def stalls():
    ...     yield "a"
    ...     await asyncio.sleep(4)
    ...     yield "b"
    >>> run(schedule(atimeout(5)(stalls())))
    [(0.0, 'a'), (4.0, 'b')]
    >>> run(schedule(atimeout(3)(stalls())))
    Traceback (most recent call last):
    ...
    TimeoutError: atimeout(3.0): item 1 did not come within 3 s

    It is the input that is timed, its end as well, and not the reader, who may take all day between two items.

    >>> async def dawdles():
    ...     async for letter in atimeout(3)("ab"):
    ...         await asyncio.sleep(60)
    ...         print(letter)
    >>> run(dawdles())
    a
    b

    What the input is waiting for is cancelled. That takes as long as the input makes it take, and so does closing.

    Class: clocked. With a clock or a sleeper of your own, a task a pull does the waiting. Demand: one pull an item, in
    the reader's own task. Memory: O(1). Closing: closes the input. Errors: those of the input, a TimeoutError of its
    own as it is; TimeoutError as above; ValueError for seconds <= 0.
    """
    limit = a_number("atimeout", "seconds", seconds, above=0)
    options = _time_of("atimeout", clock, sleeper)
    stage = _TimedOut("atimeout", limit, **options)
    stage.set_once(_seconds=limit, _alarm=(clock, sleeper) if options else None)
    return stage


class _TimedOut(AsyncPassingStage):
    """What `atimeout` makes."""

    __slots__ = ("_alarm", "_seconds")

    _seconds: float
    _alarm: tuple[Clock | None, Sleeper] | None

    async def opening(self, xs: Items[T], run: Run) -> AsyncGenerator[T, None]:
        async with Owned() as owned:
            it = owned.opened(xs)
            index = 0
            # Each limit is left before its item is given: nothing of it may be seen by the reader.
            while (item := await self._pulled(it, index)) is not _END:
                yield item
                index += 1
                if index % _TIMERS == 0:
                    await asyncio.sleep(0)

    async def _pulled(self, it: AsyncIterator[Any], index: int) -> Any:
        try:
            if self._alarm is None:
                async with asyncio.timeout(self._seconds) as limit:
                    return await next_of(it, _END)
            async with asyncio.timeout(None) as limit:
                alarm = asyncio.create_task(self._alarmed(limit, *self._alarm), name=f"{self!r}, alarm")
                try:
                    return await next_of(it, _END)
                finally:
                    await stop([alarm])
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise TimeoutError(f"{self!r}: item {index} did not come within {self._seconds:g} s") from error

    async def _alarmed(self, limit: asyncio.Timeout, clock: Clock | None, sleeper: Sleeper) -> None:
        now = _clock(clock)
        try:
            await _waited("atimeout", now() + self._seconds, now, sleeper)
        except Exception:
            # Without an alarm nobody would end the waiting. The error is raised when the alarm is stopped.
            limit.reschedule(-inf)
            raise
        limit.reschedule(-inf)


_END: Any = object()
_TIMERS = 1000
"""The loop forgets timers that were not needed when it comes round, so an input that never waits must let it."""


def _clock(clock: Clock | None) -> Clock:
    return asyncio.get_running_loop().time if clock is None else clock


def _time_of(where: str, clock: Clock | None, sleeper: Sleeper) -> dict[str, object]:
    """Clock and sleeper as options of a stage, where they are not the usual ones."""
    if clock is not None:
        a_function(where, "clock", clock)
    a_function(where, "sleeper", sleeper)
    options: dict[str, object] = {} if clock is None else {"clock": clock}
    return options if sleeper is asyncio.sleep else {**options, "sleeper": sleeper}


_NEAR = 1e-9
"""A loop takes a timer for due when it is as near as this; to sleep for less need not move its clock."""


async def _waited(where: str, due: float, clock: Clock, sleeper: Sleeper) -> float:
    """What the clock shows once it has come to `due`."""
    now = clock()
    idle = 0
    while now < due - _NEAR:
        await sleeper(due - now)
        before, now = now, clock()
        # A coarse clock may stand still for a few short sleeps.
        idle = idle + 1 if now == before else 0
        if idle == MOST_IDLE_SLEEPS:
            raise RuntimeError(
                f"{where}: slept {idle} times and the clock has not moved; clock and sleeper must belong together"
            )
    return max(now, due)
