"""From one kind of stream to the other, and from a stream to a list."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Iterable, Iterator
from concurrent.futures import Executor
from threading import Thread
from typing import Any, TypeVar

from funcpipe_rag.streams.arguments import a_function
from funcpipe_rag.streams.ownership import close

from .fan_out import AsyncBranch, abroadcast
from .mapping import in_executor
from .ownership import Lifted, Owned
from .stages import AsyncStream, Items, iterable

T = TypeVar("T")


def collect(xs: Items[T]) -> Coroutine[Any, Any, list[T]]:
    """All items of a stream as a list, to be awaited.

    >>> from funcpipe_rag.aio import amap
    >>> from funcpipe_rag.aio.testing import run
    >>> run(collect(amap(abs)([-1, -2])))
    [1, 2]

    What fails half-way gives no list, and is closed as well.

    >>> run(collect(amap(int)(["1", "x"])))
    Traceback (most recent call last):
    ...
    ValueError: invalid literal for int() with base 10: 'x'
    in amap(int), at item 1: 'x'

    Class: pure. Demand: all items, and the end. Memory: all items. Closing: closes the stream, whatever happens; what
    is not awaited touches nothing. Errors: those of the stream; TypeError for what cannot be iterated.
    """
    return _collected(iterable("collect", xs))


async def _collected(xs: Items[T]) -> list[T]:
    async with Owned() as owned:
        return [item async for item in owned.opened(xs)]


def from_sync(xs: Iterable[T], *, executor: Executor | None = None) -> AsyncStream[T]:
    """An async stream over a sync iterable, if need be with its work done in a thread.

    >>> from funcpipe_rag.aio.testing import run
    >>> run(from_sync("ab").collect())
    ['a', 'b']

    Without an executor each item is made in the loop's own thread, and as long as that takes nothing else happens.
    In an executor of threads it is made elsewhere, one item at a time; the iterator is opened and closed there too.

    >>> from concurrent.futures import ThreadPoolExecutor
    >>> from threading import current_thread, main_thread
    >>> with ThreadPoolExecutor() as pool:
    ...     run(from_sync((current_thread() is main_thread() for _ in "ab"), executor=pool).collect())
    [False, False]

    Class: pure. Demand: one pull an item. Memory: O(1). Closing: closes the iterator, whoever made it; a thread cannot
    be cancelled, so whoever is cancelled waits until the item that is being made is there, and drops it. Errors: those
    of the iterable, as they are; TypeError for what cannot be iterated, and for an executor that is none.
    """
    if not hasattr(xs, "__iter__"):
        hint = (
            "; it is async already" if hasattr(xs, "__aiter__") else "; call it first" if callable(xs) else ""
        )
        raise TypeError(f"from_sync: wants a sync iterable, got {type(xs).__name__}{hint}")
    if executor is None:
        return AsyncStream(_at_hand(xs))
    if not isinstance(executor, Executor):
        raise TypeError(f"from_sync: executor must be an Executor, got {type(executor).__name__}")
    return AsyncStream(_from_a_thread(xs, executor))


async def _at_hand(xs: Iterable[T]) -> AsyncGenerator[T, None]:
    async with Owned() as owned:
        async for item in owned.take(Lifted(iter(xs))):
            yield item


async def _from_a_thread(xs: Iterable[T], executor: Executor) -> AsyncGenerator[T, None]:
    async with Owned() as owned:
        worked = owned.take(_Worked(xs, executor))
        while (item := await worked.next()) is not _END:
            yield item


_END: Any = object()


class _Worked:
    """A sync iterator whose every step is made by an executor."""

    def __init__(self, xs: Iterable[Any], executor: Executor) -> None:
        self._xs = xs
        # What has to be opened is opened there too.
        self._it: Any = xs if hasattr(xs, "__next__") else None
        self._pull, self._shut = in_executor(self._pulled, executor), in_executor(self._closed, executor)

    async def next(self) -> Any:
        return await self._pull(_END)

    def _pulled(self, end: Any) -> Any:
        if self._it is None:
            self._it = iter(self._xs)
        return next(self._it, end)

    async def aclose(self) -> None:
        if self._it is None:
            return
        try:
            await self._shut(self._it)
        except (RuntimeError, asyncio.CancelledError) as error:
            # The executor was shut down, or had no thread free until we were cancelled: then here.
            if self._it is None:
                raise
            self._closed(self._it)
            if isinstance(error, asyncio.CancelledError):
                raise

    def _closed(self, it: Iterator[Any]) -> None:
        self._it = None
        close(it)


def to_sync(
    xs: Items[T], *, loop_factory: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop
) -> Generator[T, None, None]:
    """A sync iterator over an async iterable, for programs that know nothing of asyncio.

    >>> from funcpipe_rag.aio import amap
    >>> async def negated(n):
    ...     await asyncio.sleep(0)
    ...     return -n
    >>> for n in to_sync(amap(negated, concurrency=4)(range(1000))):
    ...     print(n)
    ...     if n == -1:
    ...         break
    0
    -1

    It has a loop of its own, which runs while it is asked and stands still in between, with all tasks. Where a loop
    is running already there is no need of it, and no room for it.

    >>> async def inside():
    ...     to_sync(amap(abs)([-1]))
    >>> asyncio.run(inside())
    Traceback (most recent call last):
    ...
    RuntimeError: to_sync: a loop is running in this thread, and a second one cannot; write `async for item in stream:`, in a notebook too

    `loop_factory` makes another loop: uvloop's, or one in virtual time.

    Class: pure. Demand: one pull an item. Memory: as the stream, and one loop. Closing: closes the stream and the loop
    when it ends, fails, is closed, or is collected. Errors: those of the stream as they are; RuntimeError as above;
    TypeError for what cannot be iterated.
    """
    iterable("to_sync", xs)
    a_function("to_sync", "loop_factory", loop_factory)
    _alone()
    return _stepped(xs, loop_factory)


def _alone() -> None:
    """RuntimeError where a loop is running in this thread."""
    if _loop_is_running():
        raise RuntimeError(
            "to_sync: a loop is running in this thread, and a second one cannot; write `async for item in stream:`, "
            "in a notebook too"
        )


def _loop_is_running() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _stepped(xs: Items[T], loop_factory: Callable[[], asyncio.AbstractEventLoop]) -> Generator[T, None, None]:
    # Every step is a task of its own, but a branch has one task that opens the stream, reads it and closes it: what
    # has entered a timeout or a task group must leave it there. And Ctrl-C stops the step alone, so that it can close.
    (branch,) = abroadcast(xs, 1, maxlen=1)
    runner = asyncio.Runner(loop_factory=loop_factory)
    try:
        while True:
            _alone()
            item = runner.run(_next(branch))
            if item is _END:
                return
            yield item
            del item
    finally:
        _where_no_loop_runs(lambda: _shut(runner, branch))


async def _next(branch: AsyncBranch[T]) -> T:
    return await anext(branch, _END)


def _shut(runner: asyncio.Runner, branch: AsyncBranch[Any]) -> None:
    with runner:
        runner.run(branch.aclose())


def _where_no_loop_runs(act: Callable[[], None]) -> None:
    """Do it here, or in another thread where a loop runs here: a generator may be collected at any time."""
    if not _loop_is_running():
        act()
        return
    raised: list[BaseException] = []

    def carry_out() -> None:
        try:
            act()
        except BaseException as error:
            raised.append(error)

    thread = Thread(target=carry_out, name="to_sync, closing")
    thread.start()
    thread.join()
    if raised:
        raise raised[0]
