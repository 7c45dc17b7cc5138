"""What people write in place of a function of each item, some calls at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

from funcpipe_rag.laws.mutants.mutant import mutant

Run = Callable[[AsyncIterator[Any]], AsyncIterator[Any]]


@mutant(of="amap", killed_by="amap-hands-on-what-is-ready")
def gathers(fn: Callable[[Any], Any], *, concurrency: int = 1, ordered: bool = True) -> Run:
    """Calls so many at a time with `gather`, and waits for the slowest of them before it hands any on."""

    async def stream(xs: AsyncIterator[Any]) -> AsyncIterator[Any]:
        batch: list[Any] = []
        async for x in xs:
            batch.append(x)
            if len(batch) == concurrency:
                for result in await asyncio.gather(*map(fn, batch)):
                    yield result
                batch.clear()
        for result in await asyncio.gather(*map(fn, batch)):
            yield result

    return stream
