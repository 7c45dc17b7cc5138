"""What people write in place of a buffer between an input and its reader."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

from funcpipe_rag import aio
from funcpipe_rag.aio.ownership import Owned, close, opened, stop
from funcpipe_rag.laws.mutants.mutant import mutant

Run = Callable[[AsyncIterator[Any]], AsyncIterator[Any]]

_END: Any = object()


async def _fill(xs: AsyncIterator[Any], queue: asyncio.Queue[Any]) -> None:
    async for x in xs:
        await queue.put(x)
    await queue.put(_END)


async def _fill_and_tell(xs: AsyncIterator[Any], queue: asyncio.Queue[Any]) -> None:
    try:
        await _fill(xs, queue)
    except Exception:
        await queue.put(_END)


@mutant(of="abuffer", killed_by="abuffer-changes-nothing")
def an_error_is_the_end(n: int) -> Run:
    """Lets the task that fills the buffer put an end mark there when it fails: a truncated stream, and no error."""

    async def stream(xs: AsyncIterator[Any]) -> AsyncIterator[Any]:
        queue: asyncio.Queue[Any] = asyncio.Queue(max(1, n))
        filling = asyncio.ensure_future(_fill_and_tell(xs, queue))
        try:
            while (item := await queue.get()) is not _END:
                yield item
        finally:
            await stop([filling])
            await close(xs)

    return stream


@mutant(of="abuffer", killed_by="abuffer-changes-nothing")
def ends_with_the_task(n: int) -> Run:
    """Looks whether the task has ended before it looks into the buffer: what was left there is lost."""

    async def stream(xs: AsyncIterator[Any]) -> AsyncIterator[Any]:
        queue: asyncio.Queue[Any] = asyncio.Queue()
        filling = asyncio.ensure_future(_fill(xs, queue))
        try:
            while not filling.done():
                item = await queue.get()
                if item is not _END:
                    yield item
            filling.result()
        finally:
            await asyncio.wait([filling])
            await close(xs)

    return stream


@mutant(of="abuffer", killed_by="abuffer-fills-while-you-are-busy")
def fills_only_when_asked(n: int) -> Run:
    """Fills the buffer when it is empty and asked for, so nothing comes while the reader is busy."""
    return aio.abuffer(0)


@mutant(of="abuffer", killed_by="abuffer-fills-while-you-are-busy")
def reads_blocks(n: int) -> Run:
    """Waits until n items are there before it gives the first one."""

    async def stream(xs: AsyncIterator[Any]) -> AsyncIterator[Any]:
        async with Owned() as owned:
            async for block in owned.opened(aio.abatch(max(1, n))(xs)):
                for item in block:
                    yield item

    return stream


@mutant(of="abuffer", killed_by="abuffer-reads-n-ahead")
def one_more_in_hand(n: int) -> Run:
    """A queue of n, and a task that holds one more item while it waits for a place."""
    return aio.abuffer(n + 1) if n else aio.abuffer(0)


@mutant(of="abuffer", killed_by="abuffer-reads-n-ahead")
def no_bound(n: int) -> Run:
    """A queue without a limit: a slow reader keeps all of a fast input in memory."""
    return aio.abuffer(1000)


@mutant(of="abuffer", killed_by="abuffer-starts-afresh")
def one_queue_for_all_streams(n: int) -> Run:
    """Makes the queue once, outside the function that runs for each stream."""
    queue: asyncio.Queue[Any] = asyncio.Queue()

    async def stream(xs: AsyncIterator[Any]) -> AsyncIterator[Any]:
        filling = asyncio.ensure_future(_fill(xs, queue))
        try:
            while (item := await queue.get()) is not _END:
                yield item
        finally:
            await stop([filling])
            await close(xs)

    return stream


@mutant(of="abuffer", killed_by="abuffer-closes-its-input")
def leaves_its_task_behind(n: int) -> Run:
    """Begins the task and forgets it: when the reader stops, it goes on waiting for a place."""

    async def stream(xs: AsyncIterator[Any]) -> AsyncIterator[Any]:
        queue: asyncio.Queue[Any] = asyncio.Queue(max(1, n))
        filling = asyncio.ensure_future(_fill(xs, queue))
        while (item := await queue.get()) is not _END:
            yield item
        await filling

    return stream


@mutant(of="abuffer", killed_by="abuffer-closes-its-input")
def cancels_and_does_not_close(n: int) -> Run:
    """Cancels the task and takes that for closing: what waited for a place never hears of it."""

    async def stream(xs: AsyncIterator[Any]) -> AsyncIterator[Any]:
        shield = aio.abuffer(n)(x async for x in opened(xs))
        try:
            async for item in shield:
                yield item
        finally:
            await shield.aclose()

    return stream


@mutant(of="abuffer", killed_by="abuffer-nought-holds-nothing")
def nought_is_one(n: int) -> Run:
    """Takes 0 for the least that a queue can hold, which is 1: an item is asked for that nobody wanted."""
    return aio.abuffer(max(1, n))
