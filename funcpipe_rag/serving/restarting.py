"""A stage that failed is rebuilt and put in its place again."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable
from functools import wraps
from typing import Any

from funcpipe_rag.aio.ownership import Owned
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

    A stage that fails `in_a_row` times without giving anything is beyond that: its error is raised. Class: as the
    stage. Demand: that of the stage. Memory: the requests it has taken and not given. Closing: closes the input,
    which the stage itself only borrows. Errors: those of the input; the stage's last one.
    """
    a_whole_number("restarting", "tries", tries, least=1)
    a_whole_number("restarting", "in_a_row", in_a_row, least=1)
    called = name or stage.__name__

    @wraps(stage)
    async def restarted(items: AsyncIterable[Any], *given: Any, **settings: Any) -> AsyncGenerator[Any, None]:
        failures = 0
        async with Owned() as owned:
            lent = _Lent(owned.opened(items))
            while True:
                try:
                    async with Owned() as these:
                        async for item in these.opened(stage(lent, *given, **settings)):
                            failures = 0
                            lent.given(item)
                            yield item
                    return
                except Exception as error:
                    failures += 1
                    if lent.failed is error or failures == in_a_row:
                        raise
                    hopeless = lent.again(tries)
                    answers = [answer_for(request_id, called, error) for request_id in hopeless]
                for answer in answers:
                    failures = 0
                    yield answer

    return restarted


class _Lent(AsyncIterator[Any]):
    """An input that a stage may read and may not close; it remembers what the stage has in its hands."""

    def __init__(self, it: AsyncIterator[Any]) -> None:
        self._it = it
        self._again: deque[Any] = deque()
        self._out: dict[str | None, list[Any]] = {}
        self.failed: BaseException | None = None

    async def __anext__(self) -> Any:
        if self._again:
            item = self._again.popleft()
        else:
            try:
                item = await anext(self._it)
            except StopAsyncIteration:
                raise
            except BaseException as error:
                # The input's own failure: no new stage would help.
                self.failed = error
                raise
            self._out.setdefault(item.request_id, [item, 0])
        return item

    def given(self, item: Any) -> None:
        """The stage has given this: its request is through, unless more parts are to come."""
        if getattr(item, "last", True):
            self._out.pop(item.request_id, None)

    def again(self, tries: int) -> list[str | None]:
        """Give what is out once more; the ids of what has had its tries."""
        hopeless = []
        self._again.clear()
        for request_id, out in list(self._out.items()):
            out[1] += 1
            if out[1] < tries:
                self._again.append(out[0])
            else:
                hopeless.append(request_id)
                del self._out[request_id]
        return hopeless
