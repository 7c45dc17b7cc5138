"""Who opened it closes it, and who began it ends it: the rule of the sync room, and of tasks.

What a stream opens or takes over stands in an `Owned`, and leaving that closes all of it. Tasks that it began are
cancelled and awaited before it ends, whatever ends it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable, Collection, Coroutine, Iterable, Iterator
from contextvars import Context
from types import TracebackType
from typing import Any, TypeVar

from funcpipe_rag.streams.ownership import named

T = TypeVar("T")
C = TypeVar("C")


class Owned:
    """The iterators that a stream has taken over and must close.

    Every async stage takes its input over: calls that run ahead have asked for more than was given, so nobody else
    could go on where the stage stopped.

    >>> from funcpipe_rag.aio.testing import run
    >>> async def letters():
    ...     try:
    ...         yield "a"
    ...         yield "b"
    ...     finally:
    ...         print("closed")
    >>> async def first():
    ...     async with Owned() as owned:
    ...         return await anext(owned.opened(letters()))
    >>> run(first())
    closed
    'a'

    Last opened, first closed. One that raises while it is closed does not keep the others from being closed. The
    first error is raised, the later ones are notes on it. Memory: one reference an open iterator.
    """

    __slots__ = ("_open",)

    def __init__(self) -> None:
        self._open: dict[int, Any] = {}

    def opened(self, xs: AsyncIterable[T] | Iterable[T]) -> AsyncIterator[T]:
        """An async iterator over `xs`, which is closed with the rest."""
        return self.take(opened(xs))

    def take(self, thing: C) -> C:
        """Own whatever can be closed."""
        self._open[id(thing)] = thing
        return thing

    def called(self, source: Callable[[], AsyncIterable[T] | Iterable[T]]) -> AsyncIterator[T]:
        """Call a source, and own the iterator that it made; TypeError, naming it, when that is none."""
        made = source()
        if not (hasattr(made, "__aiter__") or hasattr(made, "__iter__")):
            close_coroutine(made)
            raise TypeError(
                f"{named(source)} gave {type(made).__name__}, which cannot be iterated; a source yields its items, "
                "or returns an iterator over them"
            )
        return self.opened(made)

    async def release(self, it: object) -> None:
        """Close `it` now, ahead of the rest."""
        if self._open.pop(id(it), None) is not None:
            await close(it)

    async def __aenter__(self) -> Owned:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        first = None if isinstance(error, GeneratorExit) else error
        while self._open:
            _, it = self._open.popitem()
            try:
                await close(it)
            except BaseException as failure:
                first = noted(first, failure)
        if first is not None and first is not error:
            raise first


def noted(first: BaseException | None, failure: BaseException) -> BaseException:
    """The error to raise when a second one came while the first was being cleaned up behind: the first, with a note.

    But whoever is told to stop stops: a cancellation is never a mere note on an error.
    """
    if first is None:
        return failure
    if isinstance(first, Exception) and not isinstance(failure, Exception):
        failure.add_note(f"while closing after {type(first).__name__}: {first}")
        return failure
    if failure is not first:
        first.add_note(f"and while closing: {type(failure).__name__}: {failure}")
    return first


class Lifted(AsyncIterator[T]):
    """A sync iterator as an async one: each item is there at once."""

    __slots__ = ("it",)

    def __init__(self, it: Iterator[T]) -> None:
        self.it = it

    async def __anext__(self) -> T:
        for item in self.it:
            return item
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Close the iterator, if it can be closed."""
        closing = getattr(self.it, "close", None)
        if closing is not None:
            closing()


def opened(xs: AsyncIterable[T] | Iterable[T]) -> AsyncIterator[T]:
    """An async iterator over what can be iterated either way."""
    if isinstance(xs, AsyncIterable):
        return aiter(xs)
    return Lifted(iter(xs))


async def next_of(it: AsyncIterator[T], end: C) -> T | C:
    """The next item, or `end`.

    `anext(it, end)` would be that, but it awaits anew at each step: what is no coroutine, and has an `__await__` that
    is a generator, begins again each time and never comes to its end.
    """
    try:
        return await anext(it)
    except StopAsyncIteration:
        return end


async def close(it: object) -> None:
    """Close `it` if it can be closed, either way."""
    closing = getattr(it, "aclose", None)
    if closing is not None:
        await closing()
        return
    closing = getattr(it, "close", None)
    if closing is not None:
        closing()


def close_coroutine(made: object) -> None:
    """Close a coroutine that nobody will await, so that nothing is said about it at the end."""
    if asyncio.iscoroutine(made):
        made.close()


_BEGUN: set[asyncio.Task[Any]] = set()


def begin(coroutine: Coroutine[Any, Any, T], *, name: str, context: Context) -> asyncio.Task[T]:
    """A task that is there until it has ended, whoever drops it.

    The loop itself holds a task by a weak reference. One that waits for nobody but its own stream would be collected
    with a stream that is dropped within a cycle of references, before that stream could be closed.
    """
    task = asyncio.get_running_loop().create_task(coroutine, name=name, context=context)
    _BEGUN.add(task)
    task.add_done_callback(_BEGUN.discard)
    return task


async def stop(tasks: Collection[asyncio.Task[Any]]) -> None:
    """Cancel tasks and wait until each has ended; the first error that one of them raises on its way is raised.

    Whoever is cancelled while waiting goes on waiting: tasks that are left behind are worse than a late end.
    """
    for task in tasks:
        task.cancel()
    await ended(tasks)


async def ended(tasks: Collection[asyncio.Task[Any]]) -> None:
    """Wait until each of the tasks has ended, as `stop` does, and cancel none."""
    first: BaseException | None = None
    while running := [task for task in tasks if not task.done()]:
        try:
            await asyncio.wait(running)
        except asyncio.CancelledError as cancelled:
            first = cancelled
    for task in tasks:
        if not task.cancelled() and (failure := task.exception()) is not None:
            first = noted(first, failure)
    if first is not None:
        raise first
