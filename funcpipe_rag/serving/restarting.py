"""A stage that failed is rebuilt and put in its place again."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable
from dataclasses import replace
from functools import wraps
from typing import Any

from funcpipe_rag.aio.ownership import Owned, stop
from funcpipe_rag.streams.arguments import a_whole_number

from .policies import answer_for


def restarting(
    stage: Callable[..., AsyncIterable[Any]], *, name: str = "", tries: int = 2, in_a_row: int = 8
) -> Callable[..., AsyncGenerator[Any, None]]:
    """A stage that is built anew when it raises, over the same input.

    A generator that has raised is finished: asked again it only says that it has ended, and what comes before it
    waits for nobody. So a new one is made. The request that the old one had in its hands is given to it once more; what
    fails `tries` times is answered with an error, and the stream goes on.

    >>> from funcpipe_rag.aio.testing import run
    >>> from funcpipe_rag.serving.requests import Request
    >>> async def weak(requests):
    ...     async for request in requests:
    ...         if request.request_id == "r2":
    ...             raise OSError("no more handles")
    ...         yield request
    >>> async def three():
    ...     for place in 1, 2, 3:
    ...         yield Request(f"r{place}")
    >>> async def go():
    ...     return [(item.request_id, getattr(item, "error", "")) async for item in restarting(weak)(three())]
    >>> run(go())
    [('r1', ''), ('r2', 'weak failed (OSError)'), ('r3', '')]

    A stage that fails `in_a_row` times without giving anything is beyond that: its error is raised. Of several that it
    had in its hands nobody knows which one it was, so each gets a stage to itself, and only those that fail alone have
    had a try. An answer that broke off behind its first part ends with an error: a second try could say something else.

    Class: as the stage. Demand: that of the stage; the question to the input that a stage has on its way when it fails
    goes on, and the next stage has its answer. Memory: the requests it has taken and not given. Closing: closes the
    input, which the stage itself only borrows. Errors: those of the input; the stage's last one.
    """
    a_whole_number("restarting", "tries", tries, least=1)
    a_whole_number("restarting", "in_a_row", in_a_row, least=1)
    called = name or stage.__name__

    @wraps(stage)
    async def restarted(items: AsyncIterable[Any], *given: Any, **settings: Any) -> AsyncGenerator[Any, None]:
        failures = 0
        async with Owned() as owned:
            hands = owned.take(_Hands(owned.opened(items)))
            while True:
                try:
                    async with Owned() as these:
                        async for item in these.opened(stage(hands.lent(), *given, **settings)):
                            failures = 0
                            hands.gave(item)
                            yield item
                    if not hands.alone:
                        return
                    continue
                except Exception as error:
                    failures += 1
                    if hands.failed or failures == in_a_row:
                        raise
                    answers = [
                        replace(answer_for(one.item.request_id, called, error), part=one.parts)
                        for one in hands.died(tries)
                    ]
                for answer in answers:
                    failures = 0
                    yield answer

    return restarted


class _Taken:
    """A request that the stage has taken and not given: how often it killed it, and how many parts were given."""

    __slots__ = ("item", "parts", "tries")

    def __init__(self, item: Any) -> None:
        self.item = item
        self.tries = self.parts = 0


class _Lent(AsyncIterator[Any]):
    """The input as one stage sees it: without an end of its own to be closed."""

    def __init__(self, hands: _Hands) -> None:
        self._hands = hands

    def __anext__(self) -> Any:
        return self._hands.take()


class _Hands:
    """An input that one stage after the other may read, and none may close; it knows what each has in its hands."""

    def __init__(self, it: AsyncIterator[Any]) -> None:
        self._it = it
        self._pull: asyncio.Task[Any] | None = None
        self._out: list[_Taken] = []
        self._begun = False
        self._again: deque[_Taken] = deque()
        """What the stage that died had in its hands, for the next one."""
        self.alone = False
        """Whether the stage reads no more than one request, because one of several was the bad one."""
        self.failed = False
        """The input itself has failed, and no new stage would help."""

    def lent(self) -> AsyncIterator[Any]:
        """What the next stage reads; it may not close it."""
        self._out.clear()
        self._begun = False
        self.alone = self.alone and bool(self._again)
        return _Lent(self)

    async def take(self) -> Any:
        """The next request."""
        if self.alone and self._begun:
            raise StopAsyncIteration
        self._begun = True
        one = self._again.popleft() if self._again else _Taken(await self._pulled())
        self._out.append(one)
        return one.item

    async def _pulled(self) -> Any:
        # In a task: a stage that dies cancels what it waits for, and an input that is cancelled is at its end.
        if self._pull is None:
            self._pull = asyncio.create_task(_next(self._it), name="a restarting stage's input")
        await asyncio.wait([self._pull])
        pull, self._pull = self._pull, None
        if pull.cancelled() or pull.exception() is not None:
            self.failed = True
        item = pull.result()
        if item is _END:
            raise StopAsyncIteration
        return item

    def gave(self, item: Any) -> None:
        """The stage has given this: its request is through, unless more parts are to come."""
        for place, one in enumerate(self._out):
            if one.item.request_id == item.request_id:
                one.parts += 1
                if getattr(item, "last", True):
                    del self._out[place]
                return

    def died(self, tries: int) -> list[_Taken]:
        """What the stage had in its hands is for the next one; those that must be answered for."""
        lost, self._out = self._out, []
        if len(lost) == 1:
            lost[0].tries += 1
        else:
            self.alone = self.alone or bool(lost)
        hopeless = [one for one in lost if one.parts or one.tries >= tries]
        self._again.extendleft(reversed([one for one in lost if one not in hopeless]))
        return hopeless

    async def aclose(self) -> None:
        """End the question that is on its way."""
        if self._pull is not None:
            await stop([self._pull])


async def _next(it: AsyncIterator[Any]) -> Any:
    # A task cannot end with StopAsyncIteration.
    return await anext(it, _END)


_END: Any = object()
