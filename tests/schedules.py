"""What the async room does, as JSON, for any Python without anything installed: its doctests, and many schedules.

Run by `test_async_pythons.py`, with the checkout on the path.
"""

from __future__ import annotations

import asyncio
import doctest
import importlib
import json
import pkgutil
from collections.abc import AsyncIterator
from itertools import product
from random import Random
from typing import Any

import funcpipe_rag.aio
from funcpipe_rag.aio import abatch, abroadcast, abuffer, amap, amerge, aroundrobin, asource, azip, to_sync
from funcpipe_rag.aio.probe import AsyncProbe, CallProbe
from funcpipe_rag.aio.testing import VirtualTimeLoop, run, schedule
from funcpipe_rag.streams.probe import Boom, Probe


def doctests() -> dict[str, list[int]]:
    """By module of the room: how many examples there are, and how many fail."""
    found = {}
    for info in pkgutil.iter_modules(funcpipe_rag.aio.__path__):
        tested = doctest.testmod(importlib.import_module(f"funcpipe_rag.aio.{info.name}"))
        found[info.name] = [tested.attempted, tested.failed]
    return found


def mapped(seed: int, concurrency: int, max_ahead: int | None, ordered: bool, ending: str) -> list[Any]:
    """When each result came, how it ended and when, and in which order the calls began and were cancelled."""
    chance = Random(seed)
    takes = {item: chance.randrange(0, 8) / 4 for item in range(12)}
    calls = CallProbe(takes=takes, fails={7} if ending == "fails" else (), cleanup=0.25)
    source = AsyncProbe(Probe(range(12)), takes=[chance.randrange(0, 4) / 4 for _ in range(12)])
    came: list[Any] = []

    async def read() -> None:
        clock = asyncio.get_running_loop().time
        try:
            async with asyncio.timeout(3.1 if ending == "too late" else None):
                stream = amap(calls, concurrency=concurrency, max_ahead=max_ahead, ordered=ordered)(source())
                async with stream:
                    async for item in stream:
                        came.append([clock(), item])
                        if ending == "left" and len(came) == 5:
                            break
        except (Boom, TimeoutError) as error:
            came.append([clock(), repr(error), getattr(error, "__notes__", [])[1:]])
        came.append([clock(), calls.live, source.probe.closes])

    run(read())
    return [came, calls.began, sorted(calls.cancelled)]


def eager(concurrency: int, max_ahead: int, ordered: bool) -> list[Any]:
    """When results came, and how many calls were in flight at most, where tasks begin at once (from 3.12 on)."""
    calls = CallProbe(takes={item: 1 + item * 7 % 5 / 2 for item in range(30)})

    async def read() -> list[float]:
        asyncio.get_running_loop().set_task_factory(getattr(asyncio, "eager_task_factory", None))
        stream = amap(calls, concurrency=concurrency, max_ahead=max_ahead, ordered=ordered)(range(30))
        return [at for at, _ in await schedule(stream)]

    return [run(read()), calls.most]


def at_once(name: str) -> Any:
    """What comes where tasks begin at once: of a branch whose first item is there at once, and of many calls."""

    class Eager(VirtualTimeLoop):
        def __init__(self) -> None:
            super().__init__()
            self.set_task_factory(getattr(asyncio, "eager_task_factory", None))

    many = CallProbe(takes=dict.fromkeys(range(500), 1))
    stream: Any = {
        "one branch": lambda: abroadcast("abc", 1, maxlen=1)[0],
        "an error at once": lambda: abroadcast(amap(int)("x"), 1, maxlen=1)[0],
        "500 calls": lambda: amap(many, concurrency=500)(range(500)),
        "to_sync": lambda: to_sync("abc", loop_factory=Eager),
    }[name]()
    if name == "to_sync":
        return list(stream)

    async def read() -> list[Any]:
        try:
            return await asyncio.wait_for(schedule(stream), 60)
        except ValueError as error:
            return [str(error)]

    with asyncio.Runner(loop_factory=Eager) as runner:
        return [runner.run(read()), many.began, many.most]


def joined(name: str) -> list[Any]:
    """The schedule of several streams that become one, or of one that becomes several."""

    async def ticks(seconds: float, many: int) -> AsyncIterator[str]:
        for place in range(many):
            await asyncio.sleep(seconds)
            yield f"{seconds}:{place}"

    fast, slow = asource(lambda: ticks(0.25, 6)), asource(lambda: ticks(0.75, 3))
    if name == "abroadcast":

        async def both() -> list[Any]:
            return await asyncio.gather(*map(schedule, abroadcast(fast(), 2, maxlen=2)))

        return run(both())
    streams: dict[str, Any] = {
        "amerge": amerge(fast, slow),
        "aroundrobin": aroundrobin(fast, slow),
        "azip": azip(fast, slow),
        "abatch": fast | abatch(4, max_wait=0.6),
        "abuffer": fast | abuffer(2),
    }
    return run(schedule(streams[name]()))


def everything() -> dict[str, Any]:
    runs = product(range(4), (1, 2, 4), (None, 0, 3), (True, False), ("read", "fails", "left", "too late"))
    return {
        "doctests": doctests(),
        "mapped": {" ".join(map(str, how)): mapped(*how) for how in runs},
        "eager": {
            " ".join(map(str, how)): eager(*how) for how in product((1, 2, 3), (0, 1, 10), (True, False))
        },
        "at once": {
            name: at_once(name) for name in ("one branch", "an error at once", "500 calls", "to_sync")
        },
        "joined": {
            name: joined(name)
            for name in ("amerge", "aroundrobin", "azip", "abatch", "abuffer", "abroadcast")
        },
    }


if __name__ == "__main__":
    print(json.dumps(everything()))
