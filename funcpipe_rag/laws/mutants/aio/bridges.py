"""What people write in place of going from one kind of stream to the other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

from funcpipe_rag import aio
from funcpipe_rag.laws.mutants.mutant import mutant

_END = object()


@mutant(of="collect", killed_by="collect-gives-all-items")
async def leaves_the_empty_out(xs: AsyncIterator[Any]) -> list[Any]:
    """Asks `if item` where it means `if there is one`: 0 and the empty text are gone."""
    return [item for item in await aio.collect(xs) if item]


@mutant(of="collect", killed_by="collect-gives-no-part-for-the-whole")
async def makes_do_with_what_it_got(xs: Any) -> list[Any]:
    """Takes an error for the end, as if that had been all."""
    got = []
    try:
        async for item in xs:
            got.append(item)
    except Exception:
        pass
    await xs.aclose()
    return got


@mutant(of="collect", killed_by="collect-asks-when-it-is-awaited")
def begins_at_once(xs: Any) -> Any:
    """Begins a task, which is what `ensure_future` gives in place of something to await."""
    return asyncio.ensure_future(aio.collect(xs))


@mutant(of="collect", killed_by="collect-closes-the-stream")
async def comprehends(xs: Any) -> list[Any]:
    """Writes `[x async for x in xs]`, which closes nothing when it is left early."""
    return [x async for x in xs]


@mutant(of="from_sync", killed_by="from-sync-gives-what-it-is-given")
async def stops_at_none(xs: Any, executor: Any = None) -> AsyncIterator[Any]:
    """Calls `next(it, None)`, because a StopIteration cannot leave a thread; and meets a None that was an item."""
    it = iter(xs)
    while (item := next(it, None)) is not None:
        yield item


@mutant(of="from_sync", killed_by="from-sync-passes-errors-on")
async def ends_when_it_fails(xs: Any, executor: Any = None) -> AsyncIterator[Any]:
    """Takes whatever comes out of the thread in place of an item for the end."""
    it = iter(xs)
    while True:
        try:
            item = await asyncio.get_running_loop().run_in_executor(executor, next, it, _END)
        except Exception:
            return
        if item is _END:
            return
        yield item


@mutant(of="from_sync", killed_by="from-sync-works-in-the-threads-it-is-given")
async def blocks_the_loop(xs: Any, executor: Any = None) -> AsyncIterator[Any]:
    """Puts `async` before a plain loop: while an item is made, nothing else happens."""
    for item in xs:
        yield item


@mutant(of="from_sync", killed_by="from-sync-asks-once-for-each-item")
async def lists_in_a_thread(xs: Any, executor: Any = None) -> AsyncIterator[Any]:
    """Sends `list(xs)` to a thread: one trip in place of many, and the whole stream in memory."""
    for item in await asyncio.get_running_loop().run_in_executor(executor, list, xs):
        yield item


@mutant(of="from_sync", killed_by="from-sync-closes-the-iterator")
async def forgets_the_iterator(xs: Any, executor: Any = None) -> AsyncIterator[Any]:
    """Reads to the end in threads, and when the reader goes, lets the iterator go as it is."""
    it = iter(xs)
    while (item := await asyncio.get_running_loop().run_in_executor(executor, next, it, _END)) is not _END:
        yield item


@mutant(of="to_sync", killed_by="to-sync-gives-what-it-is-given")
def stops_at_what_is_false(xs: Any) -> Iterator[Any]:
    """Writes `while item := ...`, and takes the first 0 for the end."""
    it = aio.to_sync(xs)
    while item := next(it, None):
        yield item


@mutant(of="to_sync", killed_by="to-sync-passes-errors-on")
def swallows_the_error(xs: Any) -> Iterator[Any]:
    """Catches every exception around its loop, to be sure that the loop is closed."""
    try:
        yield from aio.to_sync(xs)
    except Exception:
        return


@mutant(of="to_sync", killed_by="to-sync-keeps-what-runs-beside-it")
def runs_each_item_anew(xs: Any) -> Iterator[Any]:
    """Calls `asyncio.run` for each item: a new loop each time, and the tasks of the last one are cancelled with it."""

    async def pull() -> Any:
        return await anext(xs, _END)

    while (item := asyncio.run(pull())) is not _END:
        yield item


@mutant(of="to_sync", killed_by="to-sync-asks-once-for-each-item")
def collects_first(xs: Any) -> Iterator[Any]:
    """Runs a coroutine that collects everything, and hands on the list: an endless stream never comes to that."""
    yield from asyncio.run(aio.collect(xs))


@mutant(of="to_sync", killed_by="to-sync-closes-the-stream-and-its-loop")
def leaves_its_loop_open(xs: Any) -> Iterator[Any]:
    """Makes a loop and asks it for item after item: whoever leaves early leaves stream and loop as they are."""
    loop = asyncio.new_event_loop()

    async def pull() -> Any:
        return await anext(xs, _END)

    while (item := loop.run_until_complete(pull())) is not _END:
        yield item
    loop.close()
