"""Eight calls in four ways, drawn: handed on in order, as completed, in batches, and to a reader who is slow.

The calls take 0.1 0.2 0.3 0.4 0.5 2.0 0.7 0.8 seconds, eight at a time, on a clock that nobody waits for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from funcpipe_rag.aio import abatch, amap
from funcpipe_rag.aio.probe import AsyncLog
from funcpipe_rag.aio.testing import run

from .timeline import Timeline

DELAYS = (0.1, 0.2, 0.3, 0.4, 0.5, 2.0, 0.7, 0.8)


def ordered() -> Timeline:
    """In the order of the input: who is done waits for those before.

    >>> ordered().readers[0].got
    (0.1, 0.2, 0.3, 0.4, 0.5, 2.0, 2.0, 2.0)
    """
    return _drawn(lambda log: amap(log.calls(takes), concurrency=8))


def as_completed() -> Timeline:
    """Each as it is there: nobody waits.

    >>> as_completed().readers[0].got
    (0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 0.8, 2.0)
    """
    return _drawn(lambda log: amap(log.calls(takes), concurrency=8, ordered=False))


def batched() -> Timeline:
    """As completed, and stored three at a time: who is done waits for a full batch, and the last for the end.

    >>> batched().readers[0].got
    (0.6, 1.0, 2.3)
    """
    return _drawn(
        lambda log: amap(log.calls(takes), concurrency=8, ordered=False) | abatch(3) | amap(log.calls(stores))
    )


def backpressured() -> Timeline:
    """In order to a reader who needs half a second an item; at most two results may wait, so calls begin later.

    >>> backpressured().readers[0].got
    (0.1, 0.6, 1.1, 1.6, 2.1, 3.1, 3.6, 4.1)
    """
    return _drawn(lambda log: amap(log.calls(takes), concurrency=8, max_ahead=2), busy=0.5)


FOUR_WAYS: dict[str, Callable[[], Timeline]] = {
    "ordered": ordered,
    "as completed": as_completed,
    "batched": batched,
    "backpressured": backpressured,
}


async def takes(seconds: float) -> float:
    """Give the number of seconds that it took."""
    await asyncio.sleep(seconds)
    return seconds


async def stores(batch: list[float]) -> int:
    """Take 0.3 seconds for any batch."""
    await asyncio.sleep(0.3)
    return len(batch)


def _drawn(build: Callable[[AsyncLog], Any], *, busy: float = 0.0) -> Timeline:
    log = AsyncLog()

    async def read() -> None:
        async for _ in log.seen(build(log)(DELAYS)):
            if busy:
                await asyncio.sleep(busy)

    run(read())
    return Timeline(log)
