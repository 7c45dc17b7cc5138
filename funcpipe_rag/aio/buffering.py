"""A buffer between an input and its reader: what comes while the reader is busy is ready when it asks."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextvars import copy_context
from functools import partial
from typing import SupportsIndex, TypeVar

from funcpipe_rag.streams.arguments import a_whole_number

from .ownership import Owned
from .read_ahead import ReadAhead, Signal
from .stages import AsyncPassingStage, Items, Run

T = TypeVar("T")


class _Buffered(AsyncPassingStage):
    """What `abuffer` makes."""

    __slots__ = ("_n",)

    _n: int

    async def opening(self, xs: Items[T], run: Run) -> AsyncGenerator[T, None]:
        async with Owned() as owned:
            if not self._n:
                async for item in owned.opened(xs):
                    yield item
                    del item
                return
            came = Signal()
            context = copy_context() if run.context is None else run.context.copy()
            reader: ReadAhead[T] = ReadAhead(
                partial(Owned.opened, xs=xs),
                self._n,
                lambda _: came.ring(),
                name=repr(self),
                context=context,
            )
            owned.take(reader)
            while True:
                if reader.ready:
                    yield reader.take()
                elif reader.ended:
                    break
                else:
                    await came.wait()
            reader.check()


def abuffer(n: SupportsIndex) -> AsyncPassingStage:
    """Keep up to `n` items ready: a task asks for them while the reader is busy.

    >>> import asyncio
    >>> from funcpipe_rag.aio.probe import AsyncProbe
    >>> from funcpipe_rag.aio.testing import run
    >>> from funcpipe_rag.streams.probe import Probe
    >>> async def slow_reader(items):
    ...     async for item in items:
    ...         await asyncio.sleep(1)
    ...     return asyncio.get_running_loop().time()
    >>> slow_source = AsyncProbe(Probe("abc"), takes=[1, 1, 1])
    >>> run(slow_reader(slow_source())), run(slow_reader(abuffer(1)(slow_source())))
    (6.0, 4.0)

    `abuffer(0)` holds nothing: it begins no task and asks for an item when it is asked for one.

    >>> run(slow_reader(abuffer(0)(slow_source())))
    6.0

    Class: clocked. Demand: nothing before the first question; from then on the input is asked until `n` items beyond the
    ones handed on have come, and no further. Memory: `n` items. Closing: cancels the pull on its way, waits for the
    task, which closes the input. Errors: those of the input, behind all items before it; ValueError for n < 0.
    """
    many = a_whole_number("abuffer", "n", n, least=0)
    buffered = _Buffered("abuffer", many)
    buffered.set_once(_n=many)
    return buffered
