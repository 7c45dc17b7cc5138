"""Asyncio without waiting: an event loop whose clock jumps to whatever comes next.

What takes an hour on a real loop takes a moment here and comes out the same in every run, so a test can assert a
schedule to the millisecond and never sleeps. A program that would wait for ever is told so at once.
"""

from __future__ import annotations

import asyncio
import gc
import re
import selectors
import threading
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Coroutine, Iterator, Mapping
from concurrent.futures import Executor, Future
from contextlib import aclosing, contextmanager, suppress
from contextvars import copy_context
from math import inf, nextafter, ulp
from typing import Any, TypeVar, TypeVarTuple, Unpack, cast

__all__ = ["Deadlock", "LeftBehind", "VirtualTimeLoop", "run", "schedule"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_DIGITS = 9
"""Times are rounded to the nanosecond, so that 0.1 + 0.2 is 0.3, as it is on paper."""


class Deadlock(RuntimeError):
    """Every task waits, no timer is set and nothing comes from outside: on a real loop the program would hang."""


class LeftBehind(AssertionError):
    """What a program did not clean up: tasks, open generators, and errors that nobody has looked at."""


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop in virtual time: when nothing is ready, its clock jumps to the next timer.

    >>> import asyncio
    >>> async def an_hour():
    ...     await asyncio.sleep(3600)
    ...     return asyncio.get_running_loop().time()
    >>> with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
    ...     runner.run(an_hour())
    3600.0

    Time stands still while code runs, and while a thread of an executor works: that one is really waited for. Sockets
    are not virtual; a program that waits for one with a timeout sees the timeout first. Class: clocked. Memory: as
    asyncio's own loop. Errors: Deadlock where a real loop would wait for ever.
    """

    def __init__(self) -> None:
        self._now = 0.0
        self._working = 0
        super().__init__(_Jumping(self))
        # A timer is due when it lies no further ahead than this.
        self._clock_resolution = 10.0**-_DIGITS

    def time(self) -> float:
        """Seconds since the loop was made."""
        return self._now

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[Unpack[Ts]], T], *args: *Ts
    ) -> asyncio.Future[T]:
        """As ever; the clock stands still until the thread is done."""
        future = super().run_in_executor(executor, func, *args)
        self._working += 1
        future.add_done_callback(self._worked)
        return future

    async def shutdown_default_executor(self, *timeout: Any) -> None:
        """As ever; the clock stands still until its threads are done."""
        self._working += 1
        try:
            await super().shutdown_default_executor(*timeout)
        finally:
            self._working -= 1

    def _worked(self, future: asyncio.Future[Any]) -> None:
        self._working -= 1

    def _jump(self, seconds: float) -> None:
        self._now = max(round(self._now + seconds, _DIGITS), nextafter(self._now, inf))
        # Far ahead, two neighbouring floats are further apart than a nanosecond.
        self._clock_resolution = max(10.0**-_DIGITS, 2 * ulp(self._now))

    def _never(self) -> bool:
        """Whether the next timer is one that lies at infinity, as that of asyncio.sleep(inf)."""
        timers: list[Any] = self._scheduled  # type: ignore[attr-defined]
        return bool(timers) and timers[0].when() == inf

    def _outside(self, watched: int) -> bool:
        """Whether anybody but the loop's own timers can wake it; it watches one socket of its own."""
        return self._working > 0 or watched > 1


class _Jumping(selectors.BaseSelector):
    """A selector that moves the loop's clock where others wait."""

    def __init__(self, loop: VirtualTimeLoop) -> None:
        self._loop, self._real = loop, selectors.DefaultSelector()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = self._real.select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        if self._loop._never():
            timeout = None
        if self._loop._working or (timeout is None and self._loop._outside(len(self.get_map()))):
            return self._real.select(None)
        if timeout is None:
            raise Deadlock(f"every task waits, and nothing will wake one: {_told(self._loop)}")
        self._loop._jump(timeout)
        return []

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._real.unregister(fileobj)

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.modify(fileobj, events, data)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._real.get_map()

    def close(self) -> None:
        self._real.close()


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in virtual time, and see that it leaves nothing behind.

    >>> async def both():
    ...     return await asyncio.gather(asyncio.sleep(2, "slow"), asyncio.sleep(1, "fast"))
    >>> run(both())
    ['slow', 'fast']

    A task that goes on when the program has ended is nobody's.

    >>> async def forgets():
    ...     asyncio.create_task(asyncio.sleep(60), name="a minute")
    >>> run(forgets())
    Traceback (most recent call last):
    ...
    funcpipe_rag.aio.testing.LeftBehind: task 'a minute' goes on

    Where a loop runs already, as in a notebook's cell, the program gets a thread of its own with a loop of its own; the
    caller waits for it as for any function.

    >>> async def a_cell():
    ...     return run(both())
    >>> asyncio.run(a_cell())
    ['slow', 'fast']

    Class: clocked. Closing: cancels what is left and closes the loop, whatever happens; a program in a thread is
    cancelled, too, when the one who waits for it is interrupted. Errors: as the coroutine; Deadlock; and LeftBehind,
    when it came to its end, for tasks that go on, async generators that are open, and errors that the loop would have
    logged.
    """
    if isinstance(main, AsyncIterable):
        raise TypeError(
            f"run: wants a coroutine, got {main!r}; write run(schedule(...)), or .collect() behind the stream"
        )
    try:
        asyncio.get_running_loop()
        how = _run_in_a_thread
    except RuntimeError:
        how = _run
    # Outside the except: in there, an error would lose its own context to "no running event loop".
    return how(main, VirtualTimeLoop())


async def schedule(xs: AsyncIterable[T]) -> list[tuple[float, T]]:
    """The items of an async stream, each with the loop's time at which it came.

    >>> async def two():
    ...     for delay in 0.1, 0.2:
    ...         await asyncio.sleep(delay)
    ...         yield delay
    >>> run(schedule(two()))
    [(0.1, 0.1), (0.3, 0.2)]

    Demand: one at a time. Memory: all items. Closing: closes the stream, where it can be closed. Errors: as the
    stream's, after it has been closed.
    """
    clock = asyncio.get_running_loop().time
    if not isinstance(xs, AsyncIterable):
        cure = "; call it with its input first" if callable(xs) else ""
        raise TypeError(f"schedule: wants an async stream, got {type(xs).__name__}{cure}")
    it = aiter(xs)
    if not hasattr(it, "aclose"):
        return [(clock(), item) async for item in it]
    async with aclosing(cast("AsyncGenerator[T, None]", it)):
        return [(clock(), item) async for item in it]


def _run(main: Coroutine[Any, Any, T], loop: VirtualTimeLoop) -> T:
    logged: list[str] = []

    def note(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        logged.append(
            f"logged: {context['message']}" + (f" ({type(error).__name__}: {error})" if error else "")
        )

    with _garbage_of_its_own(), asyncio.Runner(loop_factory=lambda: loop) as runner:
        loop.set_exception_handler(note)
        result = runner.run(main)
        # A task that failed and was forgotten says so when it is collected.
        gc.collect()
        left = [f"task {_called(task)!r} goes on" for task in asyncio.all_tasks(loop)]
        left += [f"async generator {name!r} is open" for name in _open_generators(loop)]
    left += logged
    if left:
        raise LeftBehind("; ".join(sorted(left)))
    return result


def _run_in_a_thread(main: Coroutine[Any, Any, T], loop: VirtualTimeLoop) -> T:
    outcome: Future[T] = Future()
    # A daemon: code that never gives way cannot be cancelled, and must not keep the interpreter from ending.
    thread = threading.Thread(
        target=copy_context().run, args=(_carry_out, main, loop, outcome), name="virtual time", daemon=True
    )
    try:
        thread.start()
        return outcome.result()
    except BaseException:
        if not outcome.done():
            # It may come to its end by itself this moment, and close its loop.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(_cancel_all, loop)
        raise
    finally:
        if thread.is_alive():
            thread.join(_PATIENCE)
        # An error's traceback has this frame, and this frame would have the error.
        del outcome


def _carry_out(main: Coroutine[Any, Any, T], loop: VirtualTimeLoop, outcome: Future[T]) -> None:
    try:
        outcome.set_result(_run(main, loop))
    except BaseException as error:
        outcome.set_exception(error)


_PATIENCE = 1.0
"""Seconds, real ones, for an interrupted program to clean up."""


def _cancel_all(loop: asyncio.AbstractEventLoop) -> None:
    for task in asyncio.all_tasks(loop):
        task.cancel()


@contextmanager
def _garbage_of_its_own() -> Iterator[None]:
    """Collect only what is made in here: looking through the whole heap takes longer than most runs."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _open_generators(loop: asyncio.AbstractEventLoop) -> list[str]:
    # asyncio keeps them to close them at its end, and has no public way to ask.
    begun = getattr(loop, "_asyncgens", ())
    return [generator.__qualname__ for generator in begun if generator.ag_frame is not None]


def _told(loop: asyncio.AbstractEventLoop) -> str:
    waiting = sorted(map(_called, asyncio.all_tasks(loop)))
    return ", ".join(f"task {name!r}" for name in waiting) or "there is no task"


def _called(task: asyncio.Task[Any]) -> str:
    """The name that somebody gave it, or that of its coroutine: asyncio's own only counts."""
    name = task.get_name()
    if not re.fullmatch(r"Task-\d+", name):
        return name
    return getattr(task.get_coro(), "__qualname__", name).rpartition("<locals>.")[2]
