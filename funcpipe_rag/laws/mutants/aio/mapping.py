"""What people write in place of a function of each item, some calls at a time."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import suppress
from inspect import isawaitable
from typing import Any

from funcpipe_rag.laws.mutants.mutant import mutant
from funcpipe_rag.streams.results import Err
from funcpipe_rag.streams.retrying import RetryPolicy

Fn = Callable[[Any], Any]
Run = Callable[[AsyncIterator[Any]], AsyncIterator[Any]]


async def _called(fn: Fn, x: Any) -> Any:
    value = fn(x)
    return await value if isawaitable(value) else value


async def _stopped(tasks: Iterable[asyncio.Future[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@mutant(of="amap", killed_by="amap-hands-on-what-is-ready")
def gathers(fn: Fn, *, concurrency: int = 1, ordered: bool = True) -> Run:
    """Calls so many at a time with `gather`, and waits for the slowest of them before it hands any on."""

    async def stream(xs: AsyncIterator[Any]) -> AsyncIterator[Any]:
        batch: list[Any] = []
        async for x in xs:
            batch.append(x)
            if len(batch) == concurrency:
                for result in await asyncio.gather(*map(fn, batch)):
                    yield result
                batch.clear()
        for result in await asyncio.gather(*map(fn, batch)):
            yield result

    return stream


@mutant(of="amap", killed_by="amap-hands-on-each-when-it-is-there")
def completes_chunk_by_chunk(fn: Fn, *, concurrency: int = 1, ordered: bool = True) -> Run:
    """Uses `asyncio.as_completed` on so many at a time: a free place stays empty until the whole chunk is done."""

    async def stream(xs: AsyncIterator[Any]) -> AsyncIterator[Any]:
        chunk: list[Any] = []
        async for x in xs:
            chunk.append(x)
            if len(chunk) == concurrency:
                for done in asyncio.as_completed([fn(x) for x in chunk]):
                    yield await done
                chunk.clear()
        for done in asyncio.as_completed([fn(x) for x in chunk]):
            yield await done

    return stream


@mutant(of="amap", killed_by="amap-keeps-the-order")
def hands_on_what_comes_first(fn: Fn, *, concurrency: int = 1, ordered: bool = True) -> Run:
    """Gives results as they are completed, whatever was asked for: "concurrent" read as "in any order"."""

    async def stream(xs: AsyncIterator[Any]) -> AsyncIterator[Any]:
        tasks = {asyncio.ensure_future(_called(fn, x)) async for x in xs}
        while tasks:
            done, tasks = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                yield task.result()

    return stream


@mutant(of="amap", killed_by="amap-keeps-to-its-concurrency")
def a_task_for_every_item(fn: Fn, *, concurrency: int = 1, ordered: bool = True) -> Run:
    """Begins every call at once: a list of tasks is the first thing that every tutorial makes."""

    async def stream(xs: AsyncIterator[Any]) -> AsyncIterator[Any]:
        for task in [asyncio.ensure_future(_called(fn, x)) async for x in xs]:
            yield await task

    return stream


@mutant(of="amap", killed_by="amap-rests-when-you-do")
def a_semaphore_in_every_task(
    fn: Fn, *, concurrency: int = 1, max_ahead: int | None = None, ordered: bool = True
) -> Run:
    """Limits the calls and not the tasks: the whole input is read at once, and its tasks queue at a semaphore."""

    async def stream(xs: AsyncIterator[Any]) -> AsyncIterator[Any]:
        limit = asyncio.Semaphore(concurrency)

        async def in_turn(x: Any) -> Any:
            async with limit:
                return await _called(fn, x)

        for task in [asyncio.ensure_future(in_turn(x)) async for x in xs]:
            yield await task

    return stream


def _a_window(fn: Fn, size: int) -> Run:
    """In order, `size` tasks at a time; what several mutants get wrong is the size."""

    async def stream(xs: AsyncIterator[Any]) -> AsyncIterator[Any]:
        tasks: deque[asyncio.Future[Any]] = deque()
        try:
            async for x in xs:
                tasks.append(asyncio.ensure_future(_called(fn, x)))
                if len(tasks) >= size:
                    yield await tasks.popleft()
            while tasks:
                yield await tasks.popleft()
        finally:
            await _stopped(tasks)
            with suppress(AttributeError):
                await xs.aclose()  # type: ignore[attr-defined]

    return stream


@mutant(of="amap", killed_by="amap-one-at-a-time-is-pull")
def keeps_one_more_in_hand(fn: Fn, *, concurrency: int = 1, ordered: bool = True) -> Run:
    """Begins the next call before it hands on this one: "so that it is there when somebody asks"."""
    return _a_window(fn, concurrency + 1)


@mutant(of="amap", killed_by="amap-goes-on-behind-a-slow-head")
def stops_at_a_slow_head(
    fn: Fn, *, concurrency: int = 1, max_ahead: int | None = None, ordered: bool = True
) -> Run:
    """Counts what is finished and waits as if it were still running: one bound for both, so one slow call stops all."""
    return _a_window(fn, concurrency)


@mutant(of="amap", killed_by="amap-goes-on-behind-a-slow-head")
def looks_one_too_far_ahead(
    fn: Fn, *, concurrency: int = 1, max_ahead: int | None = None, ordered: bool = True
) -> Run:
    """Forgets that the slow one has a place too, and that the one in hand is one: off by one, in memory."""
    return _a_window(fn, (concurrency if max_ahead is None else max_ahead) + 2)


@mutant(of="amap", killed_by="amap-takes-plain-functions-too")
def awaits_whatever_comes(fn: Fn, *, concurrency: int = 1, ordered: bool = True) -> Run:
    """Awaits the value of every call, though only some functions are async."""

    async def stream(xs: AsyncIterator[Any]) -> AsyncIterator[Any]:
        async for x in xs:
            yield await fn(x)

    return stream


@mutant(of="amap", killed_by="amap-begins-nothing-at-birth")
def begins_when_it_is_made(fn: Fn, *, concurrency: int = 1, ordered: bool = True) -> Run:
    """Begins to read in a task as soon as the stream is made: a head start that nobody has asked for."""

    def stream(xs: AsyncIterator[Any]) -> AsyncIterator[Any]:
        results: asyncio.Queue[Any] = asyncio.Queue(concurrency)

        async def feed() -> None:
            async for x in xs:
                await results.put(await _called(fn, x))

        feeder = asyncio.ensure_future(feed())

        async def read() -> AsyncIterator[Any]:
            while not feeder.done() or not results.empty():
                yield await results.get()

        return read()

    return stream


@mutant(of="amap", killed_by="amap-raises-the-first-error-behind-what-came-before")
def swallows_what_fails(fn: Fn, *, concurrency: int = 1, ordered: bool = True) -> Run:
    """Keeps the loop alive with `except Exception: pass`: the item is gone, and nobody is told."""

    async def kept(x: Any) -> list[Any]:
        with suppress(Exception):
            return [await _called(fn, x)]
        return []

    async def stream(xs: AsyncIterator[Any]) -> AsyncIterator[Any]:
        async for results in _a_window(kept, concurrency)(xs):
            for result in results:
                yield result

    return stream


@mutant(of="amap", killed_by="amap-raises-the-first-error-behind-what-came-before")
def raises_before_its_turn(fn: Fn, *, concurrency: int = 1, ordered: bool = True) -> Run:
    """Raises as soon as any call fails, as a TaskGroup does: results that were due before it are thrown away."""

    async def stream(xs: AsyncIterator[Any]) -> AsyncIterator[Any]:
        tasks = [asyncio.ensure_future(_called(fn, x)) async for x in xs]
        try:
            for result in await asyncio.gather(*tasks):
                yield result
        finally:
            await _stopped(tasks)

    return stream


@mutant(of="amap", killed_by="amap-does-with-failures-as-it-is-told")
def stops_at_the_first_failure(
    fn: Fn, *, concurrency: int = 1, on_error: str = "fail", report: Any = None
) -> Run:
    """Has its `try` around the loop: what is skipped is not the item but everything behind it."""

    async def stream(xs: AsyncIterator[Any]) -> AsyncIterator[Any]:
        place = -1
        x: Any = None
        try:
            async for x in xs:
                place += 1
                yield await _called(fn, x)
        except Exception as error:
            if on_error == "collect":
                yield Err(error, x, "amap", place)
            else:
                report(Err(error, x, "amap", place))

    return stream


@mutant(of="amap", killed_by="amap-does-with-failures-as-it-is-told")
def puts_failures_last(fn: Fn, *, concurrency: int = 1, on_error: str = "fail", report: Any = None) -> Run:
    """Collects the failures in a list and hands them on at the end, where nobody knows what they stood for."""

    async def stream(xs: AsyncIterator[Any]) -> AsyncIterator[Any]:
        failed = []
        place = -1
        async for x in xs:
            place += 1
            try:
                yield await _called(fn, x)
            except Exception as error:
                failed.append(Err(error, x, "amap", place))
        for err in failed:
            if on_error == "collect":
                yield err
            else:
                report(err)

    return stream


@mutant(of="amap", killed_by="amap-gives-each-call-its-time")
def stops_waiting_only(
    fn: Fn, *, concurrency: int = 1, timeout: float | None = None, on_error: str = "fail"
) -> Run:
    """Shields the call from its own timeout: nobody waits for it any more, and it goes on all the same."""

    async def stream(xs: AsyncIterator[Any]) -> AsyncIterator[Any]:
        place = -1
        async for x in xs:
            place += 1
            try:
                yield await asyncio.wait_for(asyncio.shield(asyncio.ensure_future(fn(x))), timeout)
            except TimeoutError as error:
                yield Err(error, x, "amap", place)

    return stream


@mutant(of="amap", killed_by="amap-tries-again-as-told")
def counts_the_tries_after_the_first(
    fn: Fn, *, retry: RetryPolicy, concurrency: int = 1, on_error: str = "fail"
) -> Run:
    """Reads `attempts` as "tries again": one call more than was meant, and the last one without a wait."""

    async def tried(x: Any, place: int) -> Any:
        for wait in [*retry.waits(), 0.0]:
            with suppress(Exception):
                return await _called(fn, x)
            await asyncio.sleep(wait)
        try:
            return await _called(fn, x)
        except Exception as error:
            return Err(error, x, "amap", place)

    async def stream(xs: AsyncIterator[Any]) -> AsyncIterator[Any]:
        place = -1
        async for x in xs:
            place += 1
            yield await tried(x, place)

    return stream


@mutant(of="amap", killed_by="amap-gives-each-stream-its-own-run")
def one_queue_for_all_streams(fn: Fn, *, concurrency: int = 1, ordered: bool = True) -> Run:
    """Keeps what is on its way in the stage: the results of one stream come out of another."""
    tasks: deque[Awaitable[Any]] = deque()

    async def stream(xs: AsyncIterator[Any]) -> AsyncIterator[Any]:
        async for x in xs:
            tasks.append(asyncio.ensure_future(_called(fn, x)))
            if len(tasks) > concurrency:
                yield await tasks.popleft()
        while tasks:
            yield await tasks.popleft()

    return stream


@mutant(of="amap", killed_by="amap-keeps-each-call-to-itself")
def calls_in_your_context(fn: Fn, *, concurrency: int = 1, ordered: bool = True) -> Run:
    """Awaits the call where it is asked for its result: what the call sets is set for its reader."""

    async def stream(xs: AsyncIterator[Any]) -> AsyncIterator[Any]:
        async for x in xs:
            yield await _called(fn, x)

    return stream


@mutant(of="amap", killed_by="amap-leaves-nothing-behind")
def ends_while_siblings_run(fn: Fn, *, concurrency: int = 1, ordered: bool = True) -> Run:
    """Closes its source and forgets its calls: when you leave they go on, and nobody will ever ask for them."""

    async def stream(xs: AsyncIterator[Any]) -> AsyncIterator[Any]:
        tasks: deque[asyncio.Future[Any]] = deque()
        try:
            async for x in xs:
                tasks.append(asyncio.ensure_future(_called(fn, x)))
                if len(tasks) >= concurrency:
                    yield await tasks.popleft()
            while tasks:
                yield await tasks.popleft()
        finally:
            await xs.aclose()  # type: ignore[attr-defined]

    return stream


@mutant(of="amap", killed_by="amap-leaves-nothing-behind")
def cancels_and_leaves(fn: Fn, *, concurrency: int = 1, ordered: bool = True) -> Run:
    """Cancels the others and does not wait for them: they clean up behind your back, in what you have closed."""

    async def stream(xs: AsyncIterator[Any]) -> AsyncIterator[Any]:
        tasks: deque[asyncio.Future[Any]] = deque()
        try:
            async for x in xs:
                tasks.append(asyncio.ensure_future(_called(fn, x)))
                if len(tasks) >= concurrency:
                    yield await tasks.popleft()
            while tasks:
                yield await tasks.popleft()
        finally:
            for task in tasks:
                task.cancel()
            await xs.aclose()  # type: ignore[attr-defined]

    return stream


@mutant(of="amap", killed_by="amap-leaves-nothing-behind")
def never_closes_its_source(fn: Fn, *, concurrency: int = 1, ordered: bool = True) -> Run:
    """Leaves the source to the garbage collector: an `async for` that is left does not close what it reads."""

    async def stream(xs: AsyncIterator[Any]) -> AsyncIterator[Any]:
        async for x in xs:
            yield await _called(fn, x)

    return stream
