"""What people write in place of batches by size and time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any

from funcpipe_rag import aio
from funcpipe_rag.aio.ownership import Owned, close, opened
from funcpipe_rag.laws.mutants.mutant import mutant

Run = Callable[[AsyncIterator[Any]], AsyncIterator[Any]]


@mutant(of="abatch", killed_by="abatch-is-a-list-cut-in-pieces")
def the_tail_is_dropped_in_silence(
    max_size: int, *, min_size: int = 1, max_wait: float | None = None, report: Any = None
) -> Run:
    """Keeps to min_size, and tells nobody what that cost."""
    return aio.abatch(max_size, min_size=min_size, max_wait=max_wait, report=lambda _: None)


@mutant(of="abatch", killed_by="abatch-is-a-list-cut-in-pieces")
def whole_batches_only(
    max_size: int, *, min_size: int = 1, max_wait: float | None = None, report: Any = None
) -> Run:
    """Forgets the last batch when the input ends before it is full."""
    return aio.abatch(max_size, min_size=max_size, report=report or (lambda _: None))


@mutant(of="abatch", killed_by="abatch-leaves-when-the-oldest-has-waited")
def looks_at_the_clock_when_an_item_comes(
    max_size: int, *, min_size: int = 1, max_wait: float | None = None, report: Any = None
) -> Run:
    """Compares the time when the next item is there: while nothing comes, nothing leaves."""

    async def stream(xs: AsyncIterator[Any]) -> AsyncIterator[Any]:
        clock = asyncio.get_running_loop().time
        async with Owned() as owned:
            batch: list[Any] = []
            since = 0.0
            async for x in owned.opened(xs):
                since = since if batch else clock()
                batch.append(x)
                if len(batch) == max_size or (max_wait is not None and clock() - since >= max_wait):
                    yield batch
                    batch = []
            if batch:
                yield batch

    return stream


@mutant(of="abatch", killed_by="abatch-leaves-when-the-oldest-has-waited")
def waits_anew_for_each_item(
    max_size: int, *, min_size: int = 1, max_wait: float | None = None, report: Any = None
) -> Run:
    """Sets the timer anew with each item, so a steady trickle keeps the first one waiting."""

    async def stream(xs: AsyncIterator[Any]) -> AsyncIterator[Any]:
        async with Owned() as owned:
            it = owned.opened(xs)
            batch: list[Any] = []
            pull: asyncio.Future[Any] | None = None
            try:
                while True:
                    pull = pull or asyncio.ensure_future(anext(it, owned))
                    await asyncio.wait([pull], timeout=max_wait if batch else None)
                    if not pull.done():
                        yield batch
                        batch = []
                        continue
                    item, pull = pull.result(), None
                    if item is owned:
                        break
                    batch.append(item)
                    if len(batch) == max_size:
                        yield batch
                        batch = []
            finally:
                if pull is not None:
                    pull.cancel()
                    await asyncio.wait([pull])
            if batch:
                yield batch

    return stream


@mutant(of="abatch", killed_by="abatch-leaves-when-the-oldest-has-waited")
def the_clock_beats_min_size(
    max_size: int, *, min_size: int = 1, max_wait: float | None = None, report: Any = None
) -> Run:
    """Gives what is there when the time is over, however little that is."""
    return aio.abatch(max_size, max_wait=max_wait, report=report)


@mutant(of="abatch", killed_by="abatch-loses-nothing-to-the-clock")
def cancels_the_pull(
    max_size: int, *, min_size: int = 1, max_wait: float | None = None, report: Any = None
) -> Run:
    """Waits for the next item with `wait_for`, which cancels it when the time is over: an item on its way is lost."""

    async def stream(xs: AsyncIterator[Any]) -> AsyncIterator[Any]:
        clock = asyncio.get_running_loop().time
        async with Owned() as owned:
            it = owned.opened(xs)
            batch: list[Any] = []
            over: float | None = None
            while True:
                try:
                    item = await asyncio.wait_for(anext(it), None if over is None else over - clock())
                except TimeoutError:
                    yield batch
                    batch, over = [], None
                    continue
                except StopAsyncIteration:
                    break
                batch.append(item)
                over = over if over is not None or max_wait is None else clock() + max_wait
                if len(batch) == max_size:
                    yield batch
                    batch, over = [], None
            if batch:
                yield batch

    return stream


@mutant(of="abatch", killed_by="abatch-passes-errors-on")
def loses_what_came_before_an_error(
    max_size: int, *, min_size: int = 1, max_wait: float | None = None, report: Any = None
) -> Run:
    """Lets an error through at once, with the half-full batch in its hands."""

    async def stream(xs: AsyncIterator[Any]) -> AsyncIterator[Any]:
        async with Owned() as owned:
            batch: list[Any] = []
            async for x in owned.opened(xs):
                batch.append(x)
                if len(batch) == max_size:
                    yield batch
                    batch = []
            if batch:
                yield batch

    return stream


@mutant(of="abatch", killed_by="abatch-asks-for-no-more-than-it-needs")
def one_item_more_to_know_the_end(
    max_size: int, *, min_size: int = 1, max_wait: float | None = None, report: Any = None
) -> Run:
    """Gives a batch when the item behind it has come, and so keeps a full one waiting."""

    async def stream(xs: AsyncIterator[Any]) -> AsyncIterator[Any]:
        async with Owned() as owned:
            batch: list[Any] = []
            async for x in owned.opened(xs):
                if len(batch) == max_size:
                    yield batch
                    batch = []
                batch.append(x)
            if batch:
                yield batch

    return stream


@mutant(of="abatch", killed_by="abatch-asks-for-no-more-than-it-needs")
def a_queue_without_a_bound(
    max_size: int, *, min_size: int = 1, max_wait: float | None = None, report: Any = None
) -> Run:
    """Lets a task read ahead as it likes while the reader is busy with a batch."""
    batches = aio.abatch(max_size, min_size=min_size, max_wait=max_wait, report=report)
    return lambda xs: batches(aio.abuffer(1000)(xs))


@mutant(of="abatch", killed_by="abatch-starts-afresh")
def clears_the_list_it_gave(
    max_size: int, *, min_size: int = 1, max_wait: float | None = None, report: Any = None
) -> Run:
    """Hands over the list that it goes on filling: what you were given is emptied under your hands."""

    async def stream(xs: AsyncIterator[Any]) -> AsyncIterator[Any]:
        async with Owned() as owned:
            batch: list[Any] = []
            async for x in owned.opened(xs):
                batch.append(x)
                if len(batch) == max_size:
                    yield batch
                    batch.clear()
            if batch:
                yield batch

    return stream


@mutant(of="abatch", killed_by="abatch-closes-its-input")
def closes_nothing(
    max_size: int, *, min_size: int = 1, max_wait: float | None = None, report: Any = None
) -> Run:
    """Stops asking, and leaves the input as it is."""
    batches = aio.abatch(max_size, min_size=min_size, max_wait=max_wait, report=report)

    async def stream(xs: AsyncIterator[Any]) -> AsyncIterator[Any]:
        given = batches(x async for x in opened(xs))
        try:
            async for batch in given:
                yield batch
        finally:
            await given.aclose()

    return stream


@mutant(of="abatch", killed_by="abatch-closes-its-input")
def closes_it_twice(
    max_size: int, *, min_size: int = 1, max_wait: float | None = None, report: Any = None
) -> Run:
    """Closes the input in the task that reads it, and once more in the stream."""
    batches = aio.abatch(max_size, min_size=min_size, max_wait=max_wait, report=report)

    async def stream(xs: AsyncIterator[Any]) -> AsyncIterator[Any]:
        given = batches(xs)
        try:
            async for batch in given:
                yield batch
        finally:
            with suppress(Exception):
                await given.aclose()
            await close(xs)

    return stream
