"""What people write in place of one async stream into many."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Any

from funcpipe_rag import aio
from funcpipe_rag.laws.mutants.mutant import mutant


class _Queues:
    """A bounded broadcast as it is usually written: a deque a branch, and a lock for the stream. Mutants change a line."""

    def __init__(
        self, xs: AsyncIterator[Any], n: int, maxlen: int, when_full: str = "wait", report: Any = None
    ):
        self.xs, self.maxlen, self.when_full = xs, maxlen, when_full
        self.queues: list[deque[Any]] = [deque() for _ in range(n)]
        self.dropped = [0] * n
        self.room = asyncio.Condition()
        self.gone: set[int] = set()
        self.pump: asyncio.Future[None] | None = None

    def full(self) -> bool:
        return any(len(queue) >= self.maxlen for queue in self.queues)

    async def pull(self) -> None:
        while self.full():
            if self.when_full == "raise":
                raise BufferError("a branch is full")
            await self.room.wait()
        item = await anext(self.xs)
        for queue in self.queues:
            queue.append(item)

    async def next(self, place: int) -> Any:
        if place in self.gone:
            raise StopAsyncIteration
        async with self.room:
            if not self.queues[place]:
                await self.pull()
            self.room.notify_all()
            return self.queues[place].popleft()

    async def close(self, place: int) -> None:
        self.gone.add(place)

    def branches(self) -> tuple[_Branch, ...]:
        return tuple(_Branch(self, place) for place in range(len(self.queues)))


class _Branch(AsyncIterator[Any]):
    def __init__(self, queues: _Queues, place: int) -> None:
        self.queues, self.place = queues, place

    async def __anext__(self) -> Any:
        return await self.queues.next(self.place)

    async def aclose(self) -> None:
        await self.queues.close(self.place)

    @property
    def dropped(self) -> int:
        return self.queues.dropped[self.place]


@mutant(of="abroadcast", killed_by="abroadcast-gives-every-branch-every-item")
def shares_the_work(xs: AsyncIterator[Any], n: int, *, maxlen: int) -> Any:
    """Hands the same stream to everybody: each item goes to whoever asks first, and to nobody else."""
    return (aio.amap(lambda item: item)(xs),) * n


@mutant(of="abroadcast", killed_by="abroadcast-gives-every-branch-every-item")
def ends_at_none(xs: AsyncIterator[Any], n: int, *, maxlen: int) -> Any:
    """Puts a None into the queues for the end, and meets one that was an item."""

    async def until_none(branch: Any) -> AsyncIterator[Any]:
        async for item in branch:
            if item is None:
                await branch.aclose()
                return
            yield item

    return tuple(map(until_none, aio.abroadcast(xs, n, maxlen=maxlen)))


@mutant(of="abroadcast", killed_by="abroadcast-starts-nothing-at-birth")
def begins_to_pump(xs: AsyncIterator[Any], n: int, *, maxlen: int) -> Any:
    """Begins a task that fills the queues as soon as the stream is split."""
    queues = _Queues(xs, n, maxlen)
    queues.pump = asyncio.ensure_future(queues.pull())
    return queues.branches()


@mutant(of="abroadcast", killed_by="abroadcast-asks-once-for-each-item")
def keeps_one_in_stock(xs: AsyncIterator[Any], n: int, *, maxlen: int) -> Any:
    """Fetches the next item before anybody asks, so that it is there when somebody does."""
    return aio.abroadcast(aio.abuffer(1)(xs), n, maxlen=maxlen)


@mutant(of="abroadcast", killed_by="abroadcast-makes-the-leader-wait")
def unbounded(xs: AsyncIterator[Any], n: int, *, maxlen: int) -> Any:
    """Gives every branch a queue without a bound: the slowest reader keeps the whole stream in memory."""
    return _Queues(xs, n, 10**9).branches()


@mutant(of="abroadcast", killed_by="abroadcast-makes-the-leader-wait")
def one_too_many(xs: AsyncIterator[Any], n: int, *, maxlen: int) -> Any:
    """Asks for the item first and waits for a place to put it: one more is in hand than may be."""

    class Pulls(_Queues):
        async def pull(self) -> None:
            item = await anext(self.xs)
            while self.full():
                await self.room.wait()
            for queue in self.queues:
                queue.append(item)

    return Pulls(xs, n, maxlen).branches()


@mutant(of="abroadcast", killed_by="abroadcast-refuses-before-it-pulls")
def loses_the_item_it_refuses(xs: AsyncIterator[Any], n: int, *, maxlen: int, when_full: str) -> Any:
    """Asks the stream first and looks for room behind it: the item in hand is gone for everybody."""

    class Pulls(_Queues):
        async def pull(self) -> None:
            item = await anext(self.xs)
            if self.full():
                raise BufferError("a branch is full")
            for queue in self.queues:
                queue.append(item)

    return Pulls(xs, n, maxlen).branches()


@mutant(of="abroadcast", killed_by="abroadcast-refuses-before-it-pulls")
def ends_after_a_refusal(xs: AsyncIterator[Any], n: int, *, maxlen: int, when_full: str) -> Any:
    """Raises BufferError inside an async generator, which is finished from then on."""

    async def through(branch: Any) -> AsyncIterator[Any]:
        async for item in branch:
            yield item

    return tuple(map(through, aio.abroadcast(xs, n, maxlen=maxlen, when_full="raise")))


@mutant(of="abroadcast", killed_by="abroadcast-counts-what-it-drops")
def drops_in_silence(xs: AsyncIterator[Any], n: int, *, maxlen: int, when_full: str, report: Any) -> Any:
    """Uses deque(maxlen=...): a full queue throws its oldest item away and tells nobody."""
    queues = _Queues(xs, n, 10**9)
    queues.queues = [deque(maxlen=maxlen) for _ in range(n)]
    return queues.branches()


@mutant(of="abroadcast", killed_by="abroadcast-counts-what-it-drops")
def drops_the_newest(xs: AsyncIterator[Any], n: int, *, maxlen: int, when_full: str, report: Any) -> Any:
    """Catches QueueFull and lets the new item go: the slow reader learns the news last."""

    class Drops(_Queues):
        async def pull(self) -> None:
            item = await anext(self.xs)
            for place, queue in enumerate(self.queues):
                if len(queue) < maxlen:
                    queue.append(item)
                else:
                    self.dropped[place] += 1

    return Drops(xs, n, maxlen).branches()


@mutant(of="abroadcast", killed_by="abroadcast-loses-nothing-to-a-cancelled-reader")
def pulls_in_the_readers_task(xs: AsyncIterator[Any], n: int, *, maxlen: int) -> Any:
    """Asks an async generator in the task of whoever is ahead: cancel that reader, and the stream is over for all."""

    async def generator() -> AsyncIterator[Any]:
        async for item in xs:
            yield item

    return _Queues(generator(), n, maxlen).branches()


@mutant(of="abroadcast", killed_by="abroadcast-loses-nothing-to-a-cancelled-reader")
def takes_the_item_along(xs: AsyncIterator[Any], n: int, *, maxlen: int) -> Any:
    """Shields the pull, so that the stream lives on, and puts down what came only if the reader is still there."""

    class Shields(_Queues):
        pulling: asyncio.Future[Any] | None = None

        async def pull(self) -> None:
            if self.pulling is not None:
                await asyncio.wait([self.pulling])
            self.pulling = asyncio.ensure_future(anext(self.xs))
            item = await asyncio.shield(self.pulling)
            for queue in self.queues:
                queue.append(item)

    return Shields(xs, n, maxlen).branches()


@mutant(of="abroadcast", killed_by="abroadcast-forgets-a-branch-that-is-gone")
def remembers_the_gone(xs: AsyncIterator[Any], n: int, *, maxlen: int, when_full: str) -> Any:
    """Keeps filling the queue of a branch that was closed, until that stops everybody else."""
    return _Queues(xs, n, maxlen, when_full).branches()


@mutant(of="abroadcast", killed_by="abroadcast-closes-its-stream-with-the-last-branch")
def closes_with_the_first(xs: AsyncIterator[Any], n: int, *, maxlen: int) -> Any:
    """Closes the stream with whichever branch is closed first, and again with each of the others."""

    class Closes(_Queues):
        async def close(self, place: int) -> None:
            await self.xs.aclose()  # type: ignore[attr-defined]

    return Closes(xs, n, maxlen).branches()


@mutant(of="abroadcast", killed_by="abroadcast-closes-its-stream-with-the-last-branch")
def leaves_the_stream_open(xs: AsyncIterator[Any], n: int, *, maxlen: int) -> Any:
    """Closes branches and never the stream behind them."""
    return _Queues(xs, n, maxlen).branches()


@mutant(of="abroadcast", killed_by="abroadcast-tells-every-branch-of-the-error")
def tells_one_branch_only(xs: AsyncIterator[Any], n: int, *, maxlen: int) -> Any:
    """Lets the error out of the branch that met it; the others see a stream that has ended."""

    async def generator() -> AsyncIterator[Any]:
        async for item in xs:
            yield item

    return _Queues(generator(), n, maxlen).branches()
