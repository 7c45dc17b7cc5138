"""Time the async map against its peers, and against itself on a hundred times as many items.

    python tests/benchmarks/bench_async.py [--rounds 7] [--items 20000] [--only NAME] [--strict]

Each call is `await asyncio.sleep(0)`: what is left is what the machinery costs. Time is CPU time as a ratio to the
peer's, in turns with it, best of several rounds: absolute times mean little, so none are compared. Ours goes through
the public `amap`, and every peer through what its own pages show first. All are given the same list, the one source
that each of them takes item by item; the rows that say so are given the same async generator. It needs streamable,
aiostream, conveyor-streaming and pypeln (which wants a setuptools older than 81); the rest is the standard library. A
bar that is missed is told, and with `--strict` is the exit status.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import sys
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Iterator
from importlib.metadata import version
from time import process_time
from typing import Any, NamedTuple

import aiostream
import conveyor
import pypeln
import streamable

from funcpipe_rag.aio import amap

CONCURRENCY = 16
PEERS = ("streamable", "aiostream", "conveyor-streaming", "pypeln")

Made = Callable[[], Awaitable[int]]
"""Runs a stream to its end and gives the number of its items."""


class Job(NamedTuple):
    """One comparison: ours, the peer, and the bar that the ratio of their times should not pass; none for a floor."""

    name: str
    ours: Made
    peer: Made
    against: str
    bar: float | None = None


async def drained(xs: AsyncIterable[object]) -> int:
    items = 0
    async for _ in xs:
        items += 1
    return items


async def work(n: int) -> int:
    await asyncio.sleep(0)
    return n


async def generated(n: int) -> AsyncIterator[int]:
    for item in range(n):
        yield item


def by_amap(xs: Iterable[int] | AsyncIterable[int], ordered: bool) -> Awaitable[int]:
    return drained(amap(work, concurrency=CONCURRENCY, ordered=ordered)(xs))


def by_streamable(xs: Iterable[int] | AsyncIterable[int], ordered: bool) -> Awaitable[int]:
    made: Any = streamable.stream(xs).map(work, concurrency=CONCURRENCY, as_completed=not ordered)
    return drained(made)


async def by_aiostream(xs: Iterable[int] | AsyncIterable[int], ordered: bool) -> int:
    mapped: Any = aiostream.stream.map(
        aiostream.stream.iterate(xs), work, ordered=ordered, task_limit=CONCURRENCY
    )
    async with mapped.stream() as stream:
        return await drained(stream)


def by_conveyor(xs: Iterable[int] | AsyncIterable[int], ordered: bool) -> Awaitable[int]:
    pipeline: Any = conveyor.Pipeline() | conveyor.single_task(concurrency_limit=CONCURRENCY)(work)
    return drained(pipeline(xs) if ordered else pipeline.as_completed(xs))


def by_pypeln(xs: Iterable[int] | AsyncIterable[int], ordered: bool) -> Awaitable[int]:
    stage: Any = pypeln.task.map(work, xs, workers=CONCURRENCY, maxsize=CONCURRENCY)
    return drained(pypeln.task.ordered(stage) if ordered else stage)


def by_hand(xs: Iterable[int]) -> Awaitable[int]:
    """As few lines as do it in order, in a bounded way: a deque of tasks. It cleans nothing up."""

    async def stream() -> AsyncIterator[int]:
        tasks: list[asyncio.Task[int]] = []
        for item in xs:
            tasks.append(asyncio.create_task(work(item)))
            if len(tasks) == CONCURRENCY:
                yield await tasks.pop(0)
        for task in tasks:
            yield await task

    return drained(stream())


def jobs(n: int) -> Iterator[Job]:
    items = list(range(n))
    for ordered, bars in (
        (True, (0.65, 0.1, 0.2, 0.05)),
        (False, (0.75, 0.15, 0.3, None)),
    ):
        said = "in order" if ordered else "as completed"
        peers = zip(PEERS, (by_streamable, by_aiostream, by_conveyor, by_pypeln), bars, strict=True)
        for name, peer, bar in peers:
            yield Job(
                f"amap, {said}",
                lambda ordered=ordered: by_amap(items, ordered),
                lambda peer=peer, ordered=ordered: peer(items, ordered),
                name,
                bar,
            )
        yield Job(
            f"amap, {said}, of an async generator",
            lambda ordered=ordered: by_amap(generated(n), ordered),
            lambda ordered=ordered: by_streamable(generated(n), ordered),
            "streamable",
        )
    yield Job(
        "amap, in order (the floor)",
        lambda: by_amap(items, True),
        lambda: by_hand(items),
        "a list of tasks, by hand",
    )
    for ordered in (True, False):
        yield Job(
            f"amap, {'in order' if ordered else 'as completed'}, {MANY:,} items",
            lambda ordered=ordered: by_amap(range(MANY), ordered),
            lambda ordered=ordered: in_parts(ordered),
            f"itself, {FEW:,} at a time",
            1.15,
        )


FEW, MANY = 10_000, 1_000_000


async def in_parts(ordered: bool) -> int:
    return sum([await by_amap(range(FEW), ordered) for _ in range(MANY // FEW)])


def ratio(job: Job, rounds: int) -> float:
    """The CPU time for an item that came out, against the peer's: it happens that a peer loses some."""
    best = [float("inf"), float("inf")]
    for _ in range(rounds):
        (ours, items), (theirs, given) = timed(job.ours), timed(job.peer)
        best = [min(best[0], ours / items), min(best[1], theirs / max(given, 1))]
        if given != items:
            print(f"{job.against} gave {given:,} of {items:,} items, {job.name}", file=sys.stderr)
    return best[0] / best[1]


def timed(make: Made) -> tuple[float, int]:
    async def main() -> tuple[float, int]:
        gc.collect()
        start = process_time()
        items = await make()
        return process_time() - start, items

    return asyncio.run(main())


def verdict(found: float, bar: float | None) -> str:
    return "" if bar is None else "met" if found <= bar else "missed"


def told(cells: Iterable[str], widths: tuple[int, ...]) -> None:
    print(
        "| " + " | ".join(f"{cell:{width}}" for cell, width in zip(cells, widths, strict=True)) + " |",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--items", type=int, default=20_000)
    parser.add_argument(
        "--only", default="", metavar="NAME", help="jobs with this in their name or their peer's"
    )
    parser.add_argument("--strict", action="store_true", help="exit with 1 when a bar is missed")
    asked = parser.parse_args()
    peers = ", ".join(f"{name} {version(name)}" for name in PEERS)
    print(
        f"Python {sys.version.split()[0]}, {peers}; {asked.items:,} items, {CONCURRENCY} calls at a time, "
        f"best of {asked.rounds} interleaved rounds\n"
    )
    widths = (42, 24, 5, 6, 7)
    told(("job", "against", "ratio", "bar", "verdict"), widths)
    told(("-" * width for width in widths), widths)
    missed = []
    for job in jobs(asked.items):
        if asked.only in f"{job.name} {job.against}":
            found = ratio(job, asked.rounds)
            met = verdict(found, job.bar)
            bar = "" if job.bar is None else f"≤ {job.bar:.2f}"
            told((job.name, job.against, f"{found:5.2f}", bar, met), widths)
            missed += [f"{job.name} against {job.against}"] * (met == "missed")
    if missed:
        print(f"\n{len(missed)} missed: {'; '.join(missed)}")
    if missed and asked.strict:
        sys.exit(1)


if __name__ == "__main__":
    main()
