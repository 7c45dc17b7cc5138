"""Fan-out: one async stream, several readers, and a bound on how far they may drift apart."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from contextvars import copy_context
from types import TracebackType
from typing import Any, Generic, Literal, SupportsIndex, TypeAlias, TypeVar, cast

from funcpipe_rag.streams.arguments import a_whole_number
from funcpipe_rag.streams.reports import Failures, Told, policy
from funcpipe_rag.streams.results import Err

from .ownership import Owned, begin, close, stop
from .stages import AsyncStream, Items, iterable

T = TypeVar("T")

WhenFull: TypeAlias = Literal["wait", "raise", "drop_oldest"]
"""What to do when a branch is as far behind as it may be, and another one asks for more."""


def abroadcast(
    xs: Items[T],
    n: SupportsIndex,
    *,
    maxlen: SupportsIndex,
    when_full: WhenFull = "wait",
    report: Told | None = None,
) -> tuple[AsyncBranch[T], ...]:
    """Split one stream into `n` independent streams that never drift more than `maxlen` items apart.

    >>> import asyncio
    >>> from funcpipe_rag.aio.testing import run
    >>> async def both():
    ...     left, right = abroadcast("abc", 2, maxlen=1)
    ...     return await asyncio.gather(left.collect(), right.collect())
    >>> run(both())
    [['a', 'b', 'c'], ['a', 'b', 'c']]

    Whoever is ahead waits for the others. So they need a task each: one task that reads one branch to its end before
    it begins the next waits for itself.

    >>> async def one_after_the_other():
    ...     left, right = abroadcast("abc", 2, maxlen=1)
    ...     return await left.collect(), await right.collect()
    >>> run(one_after_the_other())
    Traceback (most recent call last):
    ...
    funcpipe_rag.aio.testing.Deadlock: every task waits, and nothing will wake one: task 'abroadcast', task 'one_after_the_other'

    With `when_full="raise"` the pull that would drift further is refused before the stream is touched, so nothing is
    lost: let the slower branch catch up, and go on. With `"drop_oldest"` nobody waits, and the slower branch loses
    its oldest items: it counts them in `dropped`, and they go to the `report`, or into one RuntimeWarning when the
    branch is left.

    >>> async def slow():
    ...     fast, slow = abroadcast("abcd", 2, maxlen=2, when_full="drop_oldest", report=print)
    ...     return await fast.collect(), await slow.collect(), slow.dropped
    >>> run(slow())  # doctest: +ELLIPSIS
    Err(BufferError(...), item='a', stage='abroadcast, branch 1', index=0)
    Err(BufferError(...), item='b', stage='abroadcast, branch 1', index=1)
    (['a', 'b', 'c', 'd'], ['c', 'd'], 2)

    A branch that is closed, has ended or was garbage-collected holds nobody back. A closed one gives no more items,
    also not to a task that waits for one. A reader that is cancelled while it waits ends nothing, neither for itself
    nor for the others: what it has asked for is there when somebody asks again.

    Class: clocked. Demand: one pull an item, by the branch that is ahead; the others read what it left for them.
    Memory: the items that somebody has still to read, at most `maxlen`. Closing: one task opens the stream, reads it
    and closes it, when it ends or with the last branch, which waits for that. Errors: the stream's error reaches
    every branch after the items before it; BufferError as above; RuntimeError for two tasks that read one branch at
    the same time; ValueError for n < 1, maxlen < 1 and another `when_full`.
    """
    many = a_whole_number("abroadcast", "n", n, least=1)
    bound = a_whole_number("abroadcast", "maxlen", maxlen, least=1)
    if when_full not in ("wait", "raise", "drop_oldest"):
        raise ValueError(f'abroadcast: when_full must be "wait", "raise" or "drop_oldest", got {when_full!r}')
    shared: _Shared[T] = _Shared(iterable("abroadcast", xs), bound, when_full)
    readers = []
    for place in range(many):
        failures_of = policy("abroadcast", "skip", stage=f"abroadcast, branch {place}", report=report)
        readers.append(_Reader(shared, place, failures_of()))
    shared.readers = tuple(readers)
    return tuple(map(AsyncBranch, readers))


class AsyncBranch(AsyncStream[T]):
    """One of the streams that `abroadcast` gives: of no account once it is closed or dropped.

    A reader that is cancelled while it waits does not end it.
    """

    __slots__ = ()

    _it: Any

    def __init__(self, reader: _Reader[T]) -> None:
        super().__init__(cast("AsyncGenerator[T, None]", reader))

    async def __anext__(self) -> T:
        # A coroutine of the branch itself: while somebody waits for an item, the branch is not dropped.
        item: T = await self._it.__anext__()
        return item

    @property
    def dropped(self) -> int:
        """How many items it has lost."""
        return cast(int, self._it.dropped)

    def __del__(self) -> None:
        # It may never have been made.
        reader = getattr(self, "_it", None)
        if reader is not None:
            reader.drop()


class _Reader(AsyncIterator[T]):
    """What one branch has still to read. It does not know the branch, so that a branch can be dropped."""

    __slots__ = ("_failures", "_place", "_shared", "_waiting", "dropped", "items", "open")

    def __init__(self, shared: _Shared[T], place: int, failures: Failures) -> None:
        self._shared, self._place, self._failures = shared, place, failures
        self._waiting: asyncio.Future[None] | None = None
        self.items: deque[T] = deque()
        self.open = True
        self.dropped = 0

    async def __anext__(self) -> T:
        shared, items = self._shared, self.items
        if self._waiting is not None:
            raise RuntimeError(f"abroadcast: branch {self._place} is read by two tasks at the same time")
        while not items:
            if not self.open:
                raise StopAsyncIteration
            if shared.ended:
                self._end()
            if not shared.pulling:
                full = shared.full()
                if full is None:
                    shared.pull()
                    if items or shared.ended:
                        # Its task has run within that already (asyncio.eager_task_factory).
                        continue
                elif shared.when_full == "raise":
                    raise BufferError(
                        f"abroadcast: branch {self._place} is {shared.bound} ahead of branch {full._place}, the most "
                        f"that maxlen={shared.bound} allows; read branch {full._place} first, or close it"
                    )
            self._waiting = asyncio.get_running_loop().create_future()
            try:
                await self._waiting
            finally:
                self._waiting = None
        item = items.popleft()
        if len(items) + 1 == shared.bound:
            shared.stir()
        return item

    def put(self, item: T, index: int) -> None:
        """An item has come, which has this number in the stream."""
        if not self.open:
            return
        bound = self._shared.bound
        if len(self.items) == bound and self._shared.when_full == "drop_oldest":
            lost = self.items.popleft()
            self.dropped += 1
            late = BufferError(f"abroadcast: branch {self._place} is more than {bound} items behind")
            self._failures.drop(Err(late, lost, f"abroadcast, branch {self._place}", index - bound))
        self.items.append(item)
        self.wake()

    def wake(self) -> None:
        """Something has changed: if the branch waits, it should look."""
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    def _end(self) -> None:
        """The stream is at its end, and this branch is there: leave it, and say so."""
        error = self._shared.outcome()
        self._leave()
        # What was dropped is told last, and stands before no error.
        with self._failures:
            if error is not None:
                raise error
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Leave; the last one closes the stream, and waits until that has been done."""
        if not self._leave():
            await self._shared.closed()
            return
        self.wake()
        self._shared.stir()
        with self._failures:
            await self._shared.closed()

    def drop(self) -> None:
        """Leave because nobody holds the branch any more. That may be found out anywhere, in any thread."""
        if self._leave():
            self._shared.stir_from_anywhere()
            with self._failures:
                pass

    def _leave(self) -> bool:
        was_open, self.open = self.open, False
        self.items.clear()
        self._shared.leave(self)
        return was_open

    def __repr__(self) -> str:
        return f"abroadcast, branch {self._place}"


class _Shared(Generic[T]):
    """What the branches have in common: the stream, the task that reads it, and how it came to its end.

    The task is one for all of the stream's life, and not that of a reader. So a cancelled reader interrupts nothing,
    and what the stream has entered, a timeout for example, it leaves in the same task.
    """

    def __init__(self, xs: Items[T], bound: int, when_full: WhenFull) -> None:
        self.bound, self.when_full = bound, when_full
        # A tuple, made anew when one leaves: a branch may be collected in the middle of a loop over it.
        self.readers: tuple[_Reader[T], ...] = ()
        self.pulling = False
        """Whether an item has been asked for that is not there yet."""
        self.ended = False
        self._xs = xs
        self._given = 0
        self._error: BaseException | None = None
        self._trace: TracebackType | None = None
        self._raised = False
        self._begun = self._closing = False
        self._task: asyncio.Task[None] | None = None
        self._wanted: asyncio.Future[None] | None = None

    def full(self) -> _Reader[T] | None:
        """A branch that has no room for another item, where that keeps the others from asking for one."""
        if self.when_full == "drop_oldest":
            return None
        return next((reader for reader in self.readers if len(reader.items) >= self.bound), None)

    def pull(self) -> None:
        """Ask the stream for an item, for everybody."""
        self.pulling = True
        if self._wanted is None:
            self._task = begin(self._read(), name="abroadcast", context=copy_context())
        elif not self._wanted.done():
            # Done it is where somebody has cancelled the task; then the end is on its way.
            self._wanted.set_result(None)

    def stir(self) -> None:
        """There may be room, or fewer branches: whoever waits should look."""
        for reader in self.readers:
            reader.wake()

    async def _read(self) -> None:
        self._begun = True
        create_future = asyncio.get_running_loop().create_future
        try:
            async with Owned() as owned:
                try:
                    async for item in owned.opened(self._xs):
                        self._wanted = create_future()
                        self._give(item)
                        # Nobody may ask for a long time; until then, the item is the branches' alone.
                        del item
                        await self._wanted
                except asyncio.CancelledError:
                    # To be closed is what it was cancelled for; an error of the closing must not be a note on that.
                    if not self._closing:
                        raise
        except BaseException as error:
            if self._closing:
                raise
            self._error, self._trace = error, error.__traceback__
        self.ended, self.pulling = True, False
        self.stir()

    def _give(self, item: T) -> None:
        self.pulling = False
        for reader in self.readers:
            reader.put(item, self._given)
        self._given += 1

    def outcome(self) -> BaseException | None:
        """What a branch that has read everything is told beside the end: the error, the first one as it came."""
        error = self._error
        if error is None or isinstance(error, Exception) or not self._raised:
            self._raised = True
            # Without the frames of those who were told before, as futures have it.
            return error and error.with_traceback(self._trace)
        # Ctrl-C was meant for whoever was reading, not for a branch that is read later.
        return RuntimeError(f"the stream was stopped by {type(error).__name__}")

    def leave(self, one: _Reader[T]) -> None:
        """This branch is of no account any more."""
        self.readers = tuple(reader for reader in self.readers if reader is not one)
        if not self.readers:
            # Its traceback has the frame of the task, and that has this.
            self._error = self._trace = None

    async def closed(self) -> None:
        """Close the stream if no branch is left, and wait until that has been done."""
        if self.readers:
            return
        if self._task is None:
            ended, self.ended = self.ended, True
            if not ended:
                await self._close_untouched()
        elif self._closing:
            await asyncio.wait([self._task])
        elif not self._task.done():
            self._closing = True
            try:
                await stop([self._task])
            finally:
                # A task that is cancelled before its first step has not taken the stream over.
                if not self._begun:
                    await self._close_untouched()

    async def _close_untouched(self) -> None:
        """What was handed over half-read is closed also if nobody asked; what would have to be opened is not."""
        if hasattr(self._xs, "__anext__") or hasattr(self._xs, "__next__"):
            await close(self._xs)

    def stir_from_anywhere(self) -> None:
        """The same as `stir`, by whoever collects garbage; the last branch takes the task with it."""
        if self._task is None or self._task.done() or (loop := self._task.get_loop()).is_closed():
            return
        if self.readers:
            loop.call_soon_threadsafe(self.stir)
        else:
            self._closing = True
            loop.call_soon_threadsafe(self._task.cancel)
