"""Memory does not grow with the number of items: the peak for many is the peak for few, for every public function."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
from samples import SAMPLES, Sample

from funcpipe_rag import streams
from funcpipe_rag.aio import AsyncStage, amap, atimeout

KIB, MIB = 1 << 10, 1 << 20
FEW, MANY, MOST = 10_000, 40_000, 1_000_000


def peak(begin: Callable[[], Iterable[object]]) -> int:
    gc.collect()
    tracemalloc.start()
    try:
        for _ in begin():
            pass
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def growth(sample: Sample, many: int, folder: Path) -> int:
    # What is made once, like a cache of the interpreter, is made by the first run.
    _, few, more = (peak(sample.begin(n, folder)) for n in (1000, FEW, many))
    return more - few


@pytest.mark.parametrize("name", SAMPLES)
def test_many_items_need_the_room_of_few(name: str, tmp_path: Path) -> None:
    sample = SAMPLES[name]
    if sample.most is not None:
        pytest.skip(f"at most {sample.most:,} items: its own tests bound it")
    # The bare reference to each of 30,000 items more is 234 KiB: what leaks the least leaks more than this.
    assert growth(sample, MANY, tmp_path) < 64 * KIB


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    # Under asyncio a traced million takes a minute; MANY items find what grows there, too.
    [name for name, sample in SAMPLES.items() if sample.most is None and hasattr(streams, name)],
)
def test_a_million_items_need_the_room_of_few(name: str, tmp_path: Path) -> None:
    assert growth(SAMPLES[name], MOST, tmp_path) < MIB


async def _at_once(item: int) -> int:
    return item


@pytest.mark.parametrize("limited", [atimeout(60), amap(_at_once, timeout=60)], ids=repr)
def test_time_limits_that_were_not_needed_are_forgotten_where_nobody_ever_waits(
    limited: AsyncStage[int, int],
) -> None:
    async def drain(n: int) -> None:
        async for _ in limited(range(n)):
            pass

    def run(n: int) -> Iterator[object]:
        yield asyncio.run(drain(n))

    _, few, more = (peak(lambda n=n: run(n)) for n in (1000, FEW, MANY))
    assert more - few < 64 * KIB


def _keeps_all(xs: Iterable[int]) -> Iterator[int]:
    kept = []
    for x in xs:
        kept.append(x)
        yield x


def _keeps_one_in_ten(xs: Iterable[int]) -> Iterator[int]:
    kept = []
    for x in xs:
        if x % 10 == 0:
            kept.append(x)
        yield x


def _sorts(xs: Iterable[int]) -> Iterator[int]:
    yield from sorted(xs)


@pytest.mark.parametrize("leak", [_keeps_all, _keeps_one_in_ten, _sorts])
def test_a_leak_is_found(leak: Callable[[Iterable[int]], Iterable[int]], tmp_path: Path) -> None:
    sample = Sample(lambda n, _: lambda: leak(range(n)))
    assert growth(sample, MANY, tmp_path) > 64 * KIB
