"""Reading ahead: a task opens one input, asks it, and closes it, while somebody else reads what has come.

One task for all of that, so that what an input does with context variables, timeouts and task groups finds them
again where it left them. It does not know the reader, so that a reader can be dropped.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from contextvars import Context
from functools import partial
from typing import Any, Generic, TypeVar

from .ownership import Lifted, Owned, begin, ended
from .stages import Items

T = TypeVar("T")

_END: Any = object()


class Signal:
    """One waits, and any number ring."""

    __slots__ = ("_waiter",)

    def __init__(self) -> None:
        self._waiter: asyncio.Future[None] | None = None

    def ring(self) -> None:
        """Wake the one who waits, if there is one."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def wait(self) -> None:
        """Wait until it rings; what rang before does not count."""
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None


class ReadAhead(Generic[T]):
    """One input, read by a task of its own: it asks while fewer than `room` items are `ready`.

    `came` is called with it after each item and at the end, which is told when the input has been closed. Memory:
    `room` items. Closing: cancels a pull on its way, and waits until the task has closed the input.
    """

    __slots__ = (
        *("_came", "_closing", "_ending", "_opening", "_room", "_space"),
        *("count", "ended", "error", "place", "ready", "since", "task"),
    )

    def __init__(
        self,
        opening: Callable[[Owned], Any],
        room: int,
        came: Callable[[ReadAhead[T]], object],
        *,
        name: str,
        context: Context,
        place: int = 0,
    ) -> None:
        self._opening, self._room, self._came = opening, room, came
        self._space = Signal()
        self._closing = self._ending = False
        self.place = place
        self.ready: deque[T] = deque()
        """What has come and was not taken."""
        self.since = 0.0
        """When the first of them came, by the loop's clock."""
        self.count = 0
        """How many items have come so far."""
        self.ended = False
        """No more will come: behind what is ready stands the end, or `error`."""
        self.error: BaseException | None = None
        self.task = begin(self._read(), name=name, context=context)

    def allow(self, room: int) -> None:
        """Ask while fewer than `room` are ready, from now on."""
        self._room = room
        if len(self.ready) < room:
            self._space.ring()

    def take(self) -> T:
        """The first of what is ready."""
        item = self.ready.popleft()
        if len(self.ready) < self._room:
            self._space.ring()
        return item

    def check(self) -> None:
        """Raise what ended the input, if that was an error."""
        error, self.error = self.error, None
        if error is not None:
            try:
                raise error
            finally:
                # The error's traceback has this frame, and this frame would have the error.
                del error

    async def _read(self) -> None:
        try:
            async with Owned() as owned:
                it = self._opening(owned)
                # A sync iterator can be asked without the detour through a coroutine.
                at_hand: Iterator[T] | None = it.it if isinstance(it, Lifted) else None
                pull, ready, clock = it.__anext__, self.ready, asyncio.get_running_loop().time
                try:
                    while not self._closing:
                        if len(ready) >= self._room:
                            await self._space.wait()
                            continue
                        try:
                            item = await pull() if at_hand is None else next(at_hand, _END)
                        except StopAsyncIteration:
                            break
                        if item is _END:
                            break
                        if not ready:
                            self.since = clock()
                        self.count += 1
                        ready.append(item)
                        del item
                        self._came(self)
                except asyncio.CancelledError:
                    if not self._closing:
                        raise
                    # Asked to end, and not broken off: what goes wrong while the input is closed is an error of its own.
                    self.task.uncancel()
                finally:
                    self._ending = True
        except BaseException as error:
            if self._closing:
                raise
            self.error = error
        self.ended = True
        self._came(self)

    def cancel(self) -> None:
        """Begin to end it; an input that is being closed already is left to that."""
        self._closing = True
        if not self._ending:
            self.task.cancel()

    async def aclose(self) -> None:
        """End it, and wait until the input is closed."""
        self.cancel()
        await ended([self.task])


class ReadersAhead(Generic[T]):
    """Several sources, each read by a task of its own, opened side by side."""

    __slots__ = ("readers",)

    def __init__(
        self,
        sources: tuple[Callable[[], Items[T]], ...],
        room: int,
        came: Callable[[ReadAhead[T]], object],
        *,
        name: str,
        context: Context,
    ) -> None:
        self.readers = [
            ReadAhead(
                partial(Owned.called, source=source),
                room,
                came,
                name=f"{name}, source {place}",
                context=context.copy(),
                place=place,
            )
            for place, source in enumerate(sources)
        ]

    async def aclose(self) -> None:
        """Begin to end them, the last one first; they end side by side, and this waits for all."""
        for reader in reversed(self.readers):
            reader.cancel()
        await ended([reader.task for reader in reversed(self.readers)])
