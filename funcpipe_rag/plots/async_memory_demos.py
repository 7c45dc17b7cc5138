"""Calls side by side in two ways, for a memory curve: a task for every item, or as many as are allowed at a time.

They wait on a clock that nobody waits for, so that what they hold is seen at once: `memory_curve(total_from_tasks,
total_from_amap, items=(1_000, 50_000))`.
"""

from __future__ import annotations

import asyncio

from funcpipe_rag.aio import amap
from funcpipe_rag.aio.testing import run


def total_from_tasks(items: int) -> int:
    """Look up readings, each in a task of its own, and add up what comes, as it comes: `asyncio.as_completed`.

    >>> total_from_tasks(10)
    10045

    Memory: a task, a coroutine and a timer for every item, all at once; more than a kilobyte an item.
    """

    async def total() -> int:
        tasks = [asyncio.create_task(_looked_up(place)) for place in range(items)]
        readings = [await done for done in asyncio.as_completed(tasks)]
        return sum(readings)

    return run(total())


def total_from_amap(items: int) -> int:
    """Look up readings, sixteen at a time, and add up what comes, as it comes.

    >>> total_from_amap(10)
    10045

    Memory: sixteen calls and their results, however many items there are.
    """

    async def total() -> int:
        added = 0
        async with amap(_looked_up, concurrency=16, ordered=False)(range(items)) as readings:
            async for reading in readings:
                added += reading
        return added

    return run(total())


async def _looked_up(place: int) -> int:
    """A reading that takes some milliseconds, and memory of its own: CPython shares numbers below 257."""
    await asyncio.sleep(0.001 * (place % 7))
    return 1000 + place
