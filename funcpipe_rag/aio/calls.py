"""Calls side by side: the one engine behind `amap` and the tasks.

Workers share one input: each takes an item, awaits the call, puts the result down and takes the next. Items on their
way and results not yet handed on are counted together, so memory stays bounded however slow one call is.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Generator, Iterable, Iterator
from contextlib import aclosing
from contextvars import Context, copy_context
from inspect import isawaitable
from types import CoroutineType, coroutine
from typing import Any

from funcpipe_rag.streams.reports import SHORT, Failures

from .ownership import Lifted, Owned, begin, stop
from .stages import Items

Call = Callable[[Any], Any]
"""What is called with an item: it gives a value, or something to await for one."""


class Several:
    """What a call side by side may give in place of one result: those that are there, or those still to come.

    Those to come are made where the call was made, each when the one before it has been handed on.
    """

    __slots__ = ("at_hand", "to_come")

    def __init__(self, at_hand: Iterable[Any] = (), to_come: AsyncGenerator[Any, None] | None = None) -> None:
        self.at_hand, self.to_come = at_hand, to_come


_END: Any = object()


class Slot:
    """One item on its way through a call."""

    done = False
    """The reader can take something: the result, the error, or with `more` one of several results."""
    error: BaseException | None = None
    value: Any
    index: int
    item: Any
    more: asyncio.Future[None] | None = None
    """There are several results, and whoever makes them waits until this one is taken."""

    def fail(self, error: BaseException, index: int, item: Any) -> None:
        """The call came to this; which item it was matters only now."""
        self.error, self.index, self.item = error, index, item


async def one_by_one(
    xs: Items[Any], call: Call, *, stage: str, failures: Failures
) -> AsyncGenerator[Any, None]:
    """Each call when its result is asked for, in the reader's own task: nothing runs ahead of demand."""
    # Left last, so that what was dropped is told when everything is closed.
    with failures:
        async with Owned() as owned:
            index = -1
            async for item in owned.opened(xs):
                index += 1
                # A copy for each call: what it sets is its own affair, though it runs in the reader's task.
                context = copy_context()
                try:
                    value = context.run(call, item)
                    if type(value) is CoroutineType or isawaitable(value):
                        value = await _confined(value, context)
                except Exception as error:
                    slot = Slot()
                    slot.fail(error, index, item)
                    for given in _settled(slot, stage, failures):
                        yield given
                else:
                    yield value


@coroutine
def _confined(made: Any, context: Context) -> Generator[Any, Any, Any]:
    """Await what was made, every step of it in `context`, and in the task that asks."""
    steps = made if type(made) is CoroutineType else _awaiting(made)
    step, given = steps.send, None
    while True:
        try:
            waits_for = context.run(step, given)
        except StopIteration as end:
            return end.value
        finally:
            # An error's traceback has this frame, and this frame would have the error.
            given = None
        try:
            given = yield waits_for
            step = steps.send
        except BaseException as thrown:
            step, given = steps.throw, thrown


async def _awaiting(made: Any) -> Any:
    return await made


async def side_by_side(
    xs: Items[Any],
    call: Call,
    *,
    stage: str,
    failures: Failures,
    concurrency: int,
    max_ahead: int,
    in_order: bool,
    go_on: bool,
    context: Context | None = None,
) -> AsyncGenerator[Any, None]:
    """At most `concurrency` calls at a time, and at most `max_ahead` results waiting behind the next one.

    Results come in the order of the input, or as they are there. After a failure no call is begun, unless it should
    `go_on`. Every call begins in a copy of `context`, or of the reader's where there is none.
    """
    with failures:
        async with Owned() as owned:
            it = owned.opened(xs)
            crew = owned.take(_Crew(it, call, stage, concurrency, max_ahead + 1, in_order, go_on, context))
            taken, leave = crew.taken, crew.leave
            # With one place, an item in the reader's hands still has it: that is demand one at a time.
            early = max_ahead > 0
            crew.wake()
            while True:
                if taken and taken[0].done:
                    more = taken[0].more
                    if more is not None:
                        slot = taken[0] if in_order else taken.popleft()
                        slot.done, slot.more = False, None
                        if early:
                            _go_on(more)
                        yield slot.value
                        if not early:
                            _go_on(more)
                        continue
                    slot = taken.popleft()
                    if early:
                        leave()
                    if slot.error is not None:
                        for given in _settled(slot, stage, failures):
                            yield given
                    elif type(slot.value) is Several:
                        for given in slot.value.at_hand:
                            yield given
                    else:
                        yield slot.value
                    if not early:
                        leave()
                elif crew.ended and not crew.held:
                    break
                else:
                    await crew.next_done()
            if crew.failure is not None:
                raise crew.failure


class _Crew:
    """The workers of one stream, and what they share. It does not know the reader, so that a reader can be dropped."""

    __slots__ = (
        *(
            "_again",
            "_at_hand",
            "_beginning",
            "_call",
            "_call_soon",
            "_closing",
            "_coming",
            "_concurrency",
            "_context",
            "_count",
            "_create_future",
            "_go_on",
        ),
        *("_in_order", "_name", "_places", "_pull", "_pulling", "_tasks", "_waking", "_wanted", "_workers"),
        *("ended", "failure", "held", "idle", "taken"),
    )

    def __init__(
        self,
        xs: Any,
        call: Call,
        name: str,
        concurrency: int,
        places: int,
        in_order: bool,
        go_on: bool,
        context: Context | None,
    ) -> None:
        self._pull, self._call, self._name = xs.__anext__, call, name
        # A sync iterator can be asked without the detour through a coroutine: a tenth of the time for an item.
        self._at_hand: Iterator[Any] | None = xs.it if isinstance(xs, Lifted) else None
        self._concurrency, self._places = concurrency, places
        self._in_order, self._go_on = in_order, go_on
        self._context = copy_context() if context is None else context
        loop = asyncio.get_running_loop()
        self._create_future, self._call_soon = loop.create_future, loop.call_soon
        self.taken: deque[Slot] = deque()
        """In order: every item not yet handed on. As completed: those that are done."""
        self.held = 0
        """Items pulled, or being pulled, and not yet handed on."""
        self.ended = False
        self.failure: BaseException | None = None
        self.idle: deque[asyncio.Future[None]] = deque()
        """Workers that wait for a place, or for their turn to pull."""
        # A dict keeps them in the order in which they began, and that is the order in which they are cancelled.
        self._tasks: dict[asyncio.Task[None], None] = {}
        self._wanted: asyncio.Future[None] | None = None
        self._pulling = self._closing = self._waking = False
        self._beginning = self._again = False
        self._coming = self._count = self._workers = 0
        """Workers on their way to look for a place, items so far, and workers."""

    def leave(self) -> None:
        """A result is handed on, and its place is free.

        Who gets it is settled at the loop's next turn: a worker who is done by then takes it in passing, and nobody
        need be woken.
        """
        self.held -= 1
        if not self._waking:
            self._waking = True
            self._call_soon(self.wake)

    def wake(self) -> None:
        """Have somebody look where there are more places than workers who will look by themselves."""
        self._waking = False
        if self._beginning:
            self._again = True
            return
        while not (self._pulling or self.ended):
            while self.idle and self.held + self._coming < self._places:
                sleeper = self.idle.popleft()
                if sleeper.done():
                    continue
                self._coming += 1
                sleeper.set_result(None)
                if self._at_hand is None:
                    # Only one can ask the input, and wakes the next when it has answered.
                    return
            if self._workers >= self._concurrency or self.held + self._coming >= self._places:
                return
            # One at a time, for there may not be an item for each. Counted first: it may begin to work, and come back
            # here, before the task is handed over (asyncio.eager_task_factory). Then the next one is begun behind it
            # and not within it, or many would stand in one stack.
            self._coming += 1
            self._workers += 1
            self._beginning, self._again = True, False
            name = f"{self._name}, worker {self._workers}"
            try:
                worker = begin(self._work(), name=name, context=self._context.copy())
            finally:
                self._beginning = False
            worker.add_done_callback(self._gone)
            if not worker.done():
                self._tasks[worker] = None
            if not self._again:
                return

    async def next_done(self) -> None:
        """Wait until the next result is there, or the end."""
        self._wanted = self._create_future()
        try:
            await self._wanted
        finally:
            self._wanted = None

    def _tell(self) -> None:
        if self._wanted is not None and not self._wanted.done():
            self._wanted.set_result(None)

    def _end(self, failure: BaseException | None = None) -> None:
        self.ended, self.failure = True, self.failure or failure
        for sleeper in self.idle:
            # One is done already where somebody else has cancelled the worker.
            if not sleeper.done():
                sleeper.set_result(None)
        self.idle.clear()
        self._tell()

    def _gone(self, worker: asyncio.Task[None]) -> None:
        """Somebody else may have cancelled it, and the reader must not wait for it then."""
        self._tasks.pop(worker, None)
        if self._closing:
            return
        # An error is one that has come out of the loop; once looked at, it is not logged as well.
        if worker.cancelled() or worker.exception() is not None:
            self._end(asyncio.CancelledError())

    async def _work(self) -> None:
        # What is looked up once need not be looked up for every item.
        pull, call, taken, in_order = self._pull, self._call, self.taken, self._in_order
        create_future, idle, places = self._create_future, self.idle, self._places
        at_hand, base = self._at_hand, copy_context()
        self._coming -= 1
        while not self.ended:
            if self._pulling or self.held >= places:
                sleeper = create_future()
                idle.append(sleeper)
                await sleeper
                self._coming -= 1
                continue
            self._pulling = True
            self.held += 1
            try:
                item = await pull() if at_hand is None else next(at_hand, _END)
                if item is _END:
                    raise StopAsyncIteration
            except BaseException as error:
                self.held -= 1
                if self._closing:
                    raise
                self._end(None if isinstance(error, StopAsyncIteration) else error)
                return
            finally:
                self._pulling = False
            if self.ended:
                # A call has failed meanwhile, and this one must not begin.
                self.held -= 1
                return
            slot = Slot()
            index = self._count
            self._count = index + 1
            if in_order:
                taken.append(slot)
            if self.held + self._coming < places:
                self.wake()
            try:
                value = call(item)
                slot.value = await value if type(value) is CoroutineType or isawaitable(value) else value
                if type(slot.value) is Several and slot.value.to_come is not None:
                    await self._one_after_another(slot, slot.value.to_come)
            except BaseException as error:
                if self._closing:
                    raise
                slot.fail(error, index, item)
                # Who is cancelled from elsewhere must end, whatever is done about calls that fail.
                if not (self._go_on and isinstance(error, Exception)):
                    self._end()
                if isinstance(error, KeyboardInterrupt | SystemExit):
                    # It comes out of the loop, and is told to the reader as well: in a notebook the loop goes on.
                    slot.done = True
                    if not in_order:
                        taken.append(slot)
                    self._tell()
                    raise
            slot.done = True
            if not in_order:
                taken.append(slot)
            if self._wanted is not None and taken[0] is slot:
                self._tell()
            if _differs(base):
                # The call has set a context variable, which is its own affair: a fresh worker goes on.
                self._workers -= 1
                self.wake()
                return
            if self.held >= places:
                # A quick reader has made room by the loop's next turn, and then nobody need be put to sleep and woken.
                self._coming += 1
                await _next_turn()
                self._coming -= 1

    async def _one_after_another(self, slot: Slot, to_come: AsyncGenerator[Any, None]) -> None:
        """Put results down one at a time; none is made before the one before it has been taken."""
        several = slot.value
        async with aclosing(to_come):
            async for value in to_come:
                taken = self._create_future()
                slot.value, slot.more, slot.done = value, taken, True
                if not self._in_order:
                    self.taken.append(slot)
                if self._wanted is not None and self.taken[0] is slot:
                    self._tell()
                try:
                    await taken
                finally:
                    slot.more = None
        slot.value = several

    async def aclose(self) -> None:
        """Cancel what runs, and wait for it."""
        self._closing = self.ended = True
        await stop(tuple(self._tasks))


def _go_on(waiting: asyncio.Future[None]) -> None:
    # It is done already where somebody else has cancelled the worker.
    if not waiting.done():
        waiting.set_result(None)


@coroutine
def _next_turn() -> Generator[None, None, None]:
    """Let everybody else who is ready go first; `asyncio.sleep(0)` without the detour."""
    yield


def _settled(slot: Slot, stage: str, failures: Failures) -> Iterable[Any]:
    """What the policy gives in the place of a call that failed; or its error is raised."""
    error = slot.error
    try:
        if not isinstance(error, Exception):
            assert error is not None
            raise error
        return failures.handle(error, slot.item, slot.index)
    except BaseException as raised:
        if raised is error:
            raised.add_note(f"in {stage}, at item {slot.index}: {SHORT.repr(slot.item)}")
        raise
    finally:
        # The error's traceback has this frame, and this frame would have the error.
        del error


def _differs(base: Context) -> bool:
    try:
        return copy_context() != base
    except Exception:
        # A value that cannot be compared is there, so something was set.
        return True
