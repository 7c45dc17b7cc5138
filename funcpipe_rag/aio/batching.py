"""Batches by size and time: full ones, and what has come when the first of them has waited long enough."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextvars import Context, copy_context
from functools import partial
from typing import SupportsIndex, TypeVar

from funcpipe_rag.streams.arguments import a_number, a_whole_number
from funcpipe_rag.streams.reports import Failures, Told, policy
from funcpipe_rag.streams.results import Err

from .ownership import Owned
from .read_ahead import ReadAhead, Signal
from .stages import AsyncListsStage, Items, Run

T = TypeVar("T")


class _Batched(AsyncListsStage):
    """What `abatch` makes."""

    __slots__ = ("_failures_of", "_max_size", "_max_wait", "_min_size", "_told_as")

    _failures_of: Callable[[], Failures]
    _max_size: int
    _max_wait: float | None
    _min_size: int
    _told_as: str

    def opening(self, xs: Items[T], run: Run) -> AsyncGenerator[list[T], None]:
        if self._max_wait is None:
            return self._by_size(xs)
        return self._by_time(xs, self._max_wait, run.context)

    async def _by_size(self, xs: Items[T]) -> AsyncGenerator[list[T], None]:
        failed: Exception | None = None
        given = 0
        # Left last, so that what was dropped is told when everything is closed.
        with self._failures_of() as failures:
            async with Owned() as owned:
                it = owned.opened(xs)
                batch: list[T] = []
                while True:
                    try:
                        batch.append(await anext(it))
                    except StopAsyncIteration:
                        break
                    except Exception as error:
                        failed = error
                        break
                    if len(batch) == self._max_size:
                        given += len(batch)
                        yield batch
                        batch = []
                if len(batch) >= self._min_size:
                    yield batch
                else:
                    self._drop(batch, given, failures)
                if failed is not None:
                    try:
                        raise failed
                    finally:
                        # The error's traceback has this frame, and this frame would have the error.
                        failed = None

    async def _by_time(
        self, xs: Items[T], max_wait: float, context: Context | None
    ) -> AsyncGenerator[list[T], None]:
        given = 0
        with self._failures_of() as failures:
            async with Owned() as owned:
                wanted = _Wanted()
                reader: ReadAhead[T] = ReadAhead(
                    partial(Owned.opened, xs=xs),
                    self._max_size,
                    wanted.came,
                    name=repr(self),
                    context=copy_context() if context is None else context.copy(),
                )
                owned.take(reader)
                while True:
                    await wanted.batch(reader, self._min_size, self._max_size, max_wait)
                    batch = list(reader.ready)
                    reader.ready.clear()
                    # One item ahead, while the reader of the batches is busy.
                    reader.allow(1)
                    if len(batch) >= self._min_size:
                        given += len(batch)
                        yield batch
                    elif reader.ended:
                        break
                    reader.allow(self._max_size)
                self._drop(batch, given, failures)
                reader.check()

    def _drop(self, tail: Sequence[T], index: int, failures: Failures) -> None:
        for place, item in enumerate(tail):
            few = ValueError(
                f"abatch: the last batch has {len(tail)} items, and min_size is {self._min_size}"
            )
            failures.drop(Err(few, item, self._told_as, index + place))


class _Wanted:
    """What is waited for: so many items, or so many when the time is over. It does not know who waits."""

    __slots__ = ("_many", "_signal", "_time_is_over")

    def __init__(self) -> None:
        self._signal = Signal()
        self._many = 1
        self._time_is_over = False

    def came(self, reader: ReadAhead[T]) -> None:
        """Wake the one who waits, if there is enough for it."""
        if reader.ended or len(reader.ready) >= self._many:
            self._signal.ring()

    async def batch(self, reader: ReadAhead[T], least: int, most: int, max_wait: float) -> None:
        """Wait until a batch may leave."""
        timer: asyncio.TimerHandle | None = None
        self._time_is_over = False
        try:
            while not reader.ended and len(reader.ready) < most:
                if timer is None and reader.ready:
                    timer = asyncio.get_running_loop().call_at(reader.since + max_wait, self._over)
                if self._time_is_over and len(reader.ready) >= least:
                    return
                # Woken for the first item, to set the timer; from then on only for what lets the batch leave.
                self._many = 1 if timer is None else least if self._time_is_over else most
                await self._signal.wait()
        finally:
            if timer is not None:
                timer.cancel()

    def _over(self) -> None:
        self._time_is_over = True
        self._signal.ring()


def abatch(
    max_size: SupportsIndex,
    *,
    min_size: SupportsIndex = 1,
    max_wait: float | None = None,
    report: Told | None = None,
) -> AsyncListsStage:
    """Items in lists of `max_size`, or of what has come when the first of them has waited for `max_wait` seconds.

    >>> from funcpipe_rag.aio.probe import AsyncProbe
    >>> from funcpipe_rag.aio.testing import run, schedule
    >>> from funcpipe_rag.streams.probe import Probe
    >>> letters = AsyncProbe(Probe("abcde"), takes=[0.1, 0.1, 0.1, 0.1, 9])
    >>> run(schedule(abatch(3)(letters())))
    [(0.3, ['a', 'b', 'c']), (9.4, ['d', 'e'])]
    >>> run(schedule(abatch(3, max_wait=0.5)(letters())))
    [(0.3, ['a', 'b', 'c']), (0.9, ['d']), (9.4, ['e'])]

    Where it would be shorter than `min_size`, a batch waits on, whatever the clock says, and the last one is not given:
    its items are dropped, and told to `report` or in one RuntimeWarning at the stream's end.

    >>> from funcpipe_rag.streams import Report
    >>> report = Report()
    >>> run(schedule(abatch(3, min_size=2, max_wait=0.5, report=report)(AsyncProbe(Probe("abcdefg"))())))
    [(0.0, ['a', 'b', 'c']), (0.0, ['d', 'e', 'f'])]
    >>> report
    Report(1 ValueError in abatch(3, min_size=2, max_wait=0.5))

    The time counts from when an item came. While the reader of the batches is busy, one item comes and waits, and what
    else is at hand when the reader asks again comes with it. So a reader that takes longer than `max_wait` wants
    `abuffer(max_size) | abatch(max_size, max_wait=...)`, which gives it full batches; without the buffer they are short.

    Class: clocked. Demand: k * max_size pulls for k full batches and one more for the end, in the reader's own task; with
    `max_wait`, a task asks, at most one item ahead of the batches that were given and the one that is asked for. Memory:
    the batch that is being filled, and with `max_wait` one item while nobody asks. Closing: cancels the pull on its way,
    and closes the input; a batch that is not full goes with a reader that is cancelled. When the time is over, no pull is
    cancelled, and no item lost. Errors: those of the input, behind the items before it, which come as a short batch;
    ValueError and TypeError at construction.
    """
    most = a_whole_number("abatch", "max_size", max_size, least=1)
    least = a_whole_number("abatch", "min_size", min_size, least=1)
    if least > most:
        raise ValueError(f"abatch: min_size must be <= max_size, which is {most}, got {least}")
    wait = None if max_wait is None else a_number("abatch", "max_wait", max_wait, least=0)
    said: dict[str, object] = {"min_size": least} if least != 1 else {}
    said |= {} if max_wait is None else {"max_wait": max_wait}
    # Without the report, which would tell of itself what it has counted.
    told_as = repr(_Batched("abatch", most, **said))
    batched = _Batched("abatch", most, **said, **({} if report is None else {"report": report}))
    batched.set_once(
        _max_size=most,
        _min_size=least,
        _max_wait=wait,
        _told_as=told_as,
        _failures_of=policy("abatch", "skip", stage=told_as, report=report),
    )
    return batched
