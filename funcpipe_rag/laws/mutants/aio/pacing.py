"""What people write in place of async streams and the clock."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from funcpipe_rag import aio
from funcpipe_rag.laws.mutants.mutant import mutant

from .passing import wrapped

Run = Callable[[AsyncIterator[Any]], AsyncIterator[Any]]
Sleeper = Callable[[float], Awaitable[Any]]

for _name in ("athrottle", "arate_limit", "atimeout"):
    wrapped(_name)


def _now() -> float:
    return asyncio.get_running_loop().time()


@mutant(of="athrottle", killed_by="athrottle-asks-the-clock-it-is-given", name="real_clock")
def throttles_by_the_loop(gap: float, **_: Any) -> Run:
    """Takes a clock and a sleeper, and asks the loop all the same."""
    return aio.athrottle(gap)


@mutant(of="athrottle", killed_by="athrottle-keeps-the-gap")
def catches_up(gap: float) -> Run:
    """Keeps a timetable from the start, and after a slow stretch hurries to be in time again."""

    async def stream(xs: AsyncIterator[Any]) -> AsyncIterator[Any]:
        due = _now()
        async for x in xs:
            await asyncio.sleep(due - _now())
            due += gap
            yield x

    return stream


@mutant(of="athrottle", killed_by="athrottle-waits-only-for-what-is-left")
def ignores_the_work(gap: float) -> Run:
    """Sleeps the whole gap between two items, however long the work between them took."""

    async def stream(xs: AsyncIterator[Any]) -> AsyncIterator[Any]:
        first = True
        async for x in xs:
            if not first:
                await asyncio.sleep(gap)
            first = False
            yield x

    return stream


@mutant(of="athrottle", killed_by="athrottle-waits-only-between-items")
def sleeps_after_the_last(gap: float) -> Run:
    """Gives the item, then sleeps: behind the last one too, though nobody comes."""

    async def stream(xs: AsyncIterator[Any]) -> AsyncIterator[Any]:
        async for x in xs:
            yield x
            await asyncio.sleep(gap)

    return stream


@mutant(of="athrottle", killed_by="athrottle-gives-each-run-its-own-time")
def one_time_for_all_runs(gap: float) -> Run:
    """Keeps the time of the last item in the stage, so that a new run waits for an old one."""
    due = 0.0

    async def stream(xs: AsyncIterator[Any]) -> AsyncIterator[Any]:
        nonlocal due
        async for x in xs:
            await asyncio.sleep(due - _now())
            due = _now() + gap
            yield x

    return stream


@mutant(of="arate_limit", killed_by="arate-limit-asks-the-clock-it-is-given", name="real_clock")
def limits_by_the_loop(rate: float, burst: int, **_: Any) -> Run:
    """Takes a clock and a sleeper, and asks the loop all the same."""
    return aio.arate_limit(rate, burst)


@mutant(of="arate_limit", killed_by="arate-limit-keeps-the-bound-in-any-window")
def a_new_burst_every_window(rate: float, burst: int) -> Run:
    """Counts items by window and begins each window anew: at the seam of two, twice as many come."""

    async def stream(xs: AsyncIterator[Any]) -> AsyncIterator[Any]:
        length = burst / rate
        window, taken = 0, 0
        async for x in xs:
            if int(_now() / length) > window:
                window, taken = int(_now() / length), 0
            if taken == burst:
                window, taken = window + 1, 0
                await asyncio.sleep(window * length - _now())
            taken += 1
            yield x

    return stream


@mutant(of="arate_limit", killed_by="arate-limit-waits-no-longer-than-it-must")
def no_burst(rate: float, burst: int) -> Run:
    """Spaces the items evenly, which keeps the rate and forgets the burst."""
    return aio.athrottle(1 / rate)


@mutant(of="arate_limit", killed_by="arate-limit-gives-each-run-its-own-bucket")
def one_bucket_for_all_runs(rate: float, burst: int) -> Run:
    """Keeps the tokens in the stage: what one run takes, another one lacks."""
    given: list[float] = []

    async def stream(xs: AsyncIterator[Any]) -> AsyncIterator[Any]:
        async for x in xs:
            if len(given) >= burst:
                await asyncio.sleep(given[-burst] + burst / rate - _now())
            given.append(_now())
            yield x

    return stream


@mutant(of="atimeout", killed_by="atimeout-limits-each-item")
def one_limit_for_all(seconds: float) -> Run:
    """Puts one `asyncio.timeout` around the whole loop, so that the reader's own time counts as well."""

    async def stream(xs: AsyncIterator[Any]) -> AsyncIterator[Any]:
        async with asyncio.timeout(seconds):
            async for x in xs:
                yield x

    return stream


@mutant(of="atimeout", killed_by="atimeout-limits-each-item")
def ends_when_late(seconds: float) -> Run:
    """Takes a late item for the end: the reader never learns that something is missing."""

    async def stream(xs: AsyncIterator[Any]) -> AsyncIterator[Any]:
        try:
            while True:
                yield await asyncio.wait_for(anext(xs), seconds)
        except (StopAsyncIteration, TimeoutError):
            return

    return stream


@mutant(of="atimeout", killed_by="atimeout-closes-what-is-late")
def leaves_the_late_one_waiting(seconds: float) -> Run:
    """Shields the pull from its limit, so that nothing is cancelled; and so nothing ever ends it."""

    async def stream(xs: AsyncIterator[Any]) -> AsyncIterator[Any]:
        end = object()
        while True:
            pull: asyncio.Future[Any] = asyncio.ensure_future(anext(xs, end))
            item = await asyncio.wait_for(asyncio.shield(pull), seconds)
            if item is end:
                return
            yield item

    return stream


@mutant(of="atimeout", killed_by="atimeout-passes-on-a-timeout-that-is-not-its-own")
def takes_every_timeout_for_its_own(seconds: float) -> Run:
    """Catches TimeoutError around the pull and says that the limit was passed, whoever raised it."""

    async def stream(xs: AsyncIterator[Any]) -> AsyncIterator[Any]:
        end = object()
        while True:
            try:
                item = await asyncio.wait_for(anext(xs, end), seconds)
            except TimeoutError:
                raise TimeoutError(f"no item within {seconds} s") from None
            if item is end:
                return
            yield item

    return stream
