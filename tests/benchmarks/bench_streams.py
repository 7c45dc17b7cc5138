"""Time the stream algebra against its peers: ratios in one interleaved run, best of several rounds.

`python tests/benchmarks/bench_streams.py [--rounds 7] [--only NAME]` prints a Markdown table. It needs more-itertools
(`pip install more-itertools`); the rest is the standard library. Absolute times mean little, so none are compared.
"""

from __future__ import annotations

import argparse
import gc
import heapq
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice, tee
from time import process_time
from typing import NamedTuple

import more_itertools

from funcpipe_rag import (
    Stage,
    as_source,
    fence_k,
    fmap,
    fork2_lockstep,
    make_batched,
    make_chain,
    make_merge,
    make_roundrobin,
    multicast_bounded,
    source,
)


class Job(NamedTuple):
    """One comparison: ours, the peer, the bar that the ratio of their times must stay below, and floors to show."""

    name: str
    ours: Callable[[], Iterable[object]]
    peer: Callable[[], Iterable[object]]
    against: str
    bar: float | None = None


def drain(made: Iterable[object]) -> None:
    deque(made, maxlen=0)


def chained_by_hand(sources: Iterable[Callable[[], Iterator[int]]]) -> Iterator[int]:
    for opens in sources:
        yield from opens()


def deque_branches(xs: Iterable[int], n: int, maxlen: int) -> tuple[Iterator[int], ...]:
    """A bounded multicast as it is usually written: a deque a branch, and a bound on each pull; not recoverable."""
    it = iter(xs)
    queues: list[deque[int]] = [deque() for _ in range(n)]

    def branch(mine: deque[int]) -> Iterator[int]:
        while True:
            if not mine:
                for queue in queues:
                    if len(queue) >= maxlen:
                        raise BufferError
                try:
                    item = next(it)
                except StopIteration:
                    return
                for queue in queues:
                    queue.append(item)
            yield mine.popleft()

    return tuple(map(branch, queues))


def batches_by_hand(xs: Iterable[int], n: int) -> Iterator[tuple[int, ...]]:
    it = iter(xs)
    while batch := tuple(islice(it, n)):
        yield batch


def add1(n: int) -> int:
    return n + 1


def fork_over_tee(t: Stage, u: Stage, xs: Iterable[int]) -> Iterator[tuple[int, int]]:
    left, right = tee(xs)
    for pair in zip(t(left), u(right), strict=False):  # noqa: UP028
        yield pair


def mapped(xs: Iterable[int]) -> Iterator[int]:
    for x in xs:
        yield x + 1


def kept(xs: Iterable[int]) -> Iterator[int]:
    for x in xs:
        if x % 3:
            yield x


def fenced(xs: Iterable[int], k: int) -> Iterator[int]:
    yield from islice(xs, k)


def jobs(n: int) -> Iterator[Job]:
    parts = [range(at, n, 10) for at in range(10)]
    lists = [as_source(part) for part in parts]
    yield Job(
        "make_chain, 10 sources",
        lambda: make_chain(*lists)(),
        lambda: chained_by_hand(lists),
        "for s in sources: yield from s()",
        1.0,
    )
    yield Job(
        "make_chain, 10 sources (the floor)",
        lambda: make_chain(*lists)(),
        lambda: chain.from_iterable(source() for source in lists),
        "itertools.chain.from_iterable",
    )
    for many, bar in ((2, 1.0), (16, 0.9)):
        turns = [as_source(range(n // many)) for _ in range(many)]
        yield Job(
            f"make_roundrobin, {many} sources",
            lambda turns=turns: make_roundrobin(*turns)(),
            lambda turns=turns: more_itertools.roundrobin(*(source() for source in turns)),
            "more_itertools.roundrobin",
            bar,
        )
    for many, bar in ((2, 0.8), (16, 1.0)):
        rising = [as_source(range(at, n // 2, many)) for at in range(many)]
        yield Job(
            f"make_merge, {many} sources, checked",
            lambda rising=rising: make_merge(*rising)(),
            lambda rising=rising: heapq.merge(*(source() for source in rising)),
            "heapq.merge",
            bar,
        )
        yield Job(
            f"make_merge, {many} sources, checked, with key",
            lambda rising=rising: make_merge(*rising, key=add1)(),
            lambda rising=rising: heapq.merge(*(source() for source in rising), key=add1),
            "heapq.merge(key=)",
            1.1,
        )
        yield Job(
            f"make_merge, {many} sources, checked, lookahead=512",
            lambda rising=rising: make_merge(*rising, lookahead=512)(),
            lambda rising=rising: heapq.merge(*(source() for source in rising)),
            "heapq.merge",
            0.6,
        )
    for many in (2, 3):
        for maxlen, bar in ((1, 1.2), (64, 0.5), (1024, 0.5)):
            yield Job(
                f"multicast_bounded, {many} branches in step, maxlen={maxlen}",
                lambda many=many, maxlen=maxlen: zip(
                    *multicast_bounded(range(n // 4), many, maxlen), strict=True
                ),
                lambda many=many, maxlen=maxlen: zip(
                    *deque_branches(range(n // 4), many, maxlen), strict=True
                ),
                "a deque a branch",
                bar,
            )
    yield Job(
        "fork2_lockstep",
        lambda: fork2_lockstep(fmap(add1), fmap(abs))(range(n // 2)),
        lambda: fork_over_tee(fmap(add1), fmap(abs), range(n // 2)),
        "a generator over tee",
        1.1,
    )
    for size, bar in ((2, 0.5), (10, 0.6), (100, 0.7)):
        yield Job(
            f"make_batched({size})",
            lambda size=size: make_batched(size)(range(n)),
            lambda size=size: batches_by_hand(range(n), size),
            "while b := tuple(islice(it, n))",
            bar,
        )

    def numbers() -> Iterator[int]:
        yield from range(n // 2)

    five = source(numbers) | mapped | kept | mapped | fence_k(n)
    yield Job(
        "a pipeline of five generators",
        lambda: five(),
        lambda: fenced(mapped(kept(mapped(numbers()))), n),
        "the same five nested by hand",
        1.15,
    )
    traced = five.traced()
    yield Job(
        "a pipeline of five generators, traced()",
        lambda: traced(),
        lambda: fenced(mapped(kept(mapped(numbers()))), n),
        "the same five nested by hand",
        2.2,
    )


def ratio(job: Job, rounds: int) -> tuple[float, float]:
    best = [float("inf"), float("inf")]
    for _ in range(rounds):
        for side, make in enumerate((job.ours, job.peer)):
            gc.collect()
            start = process_time()
            drain(make())
            best[side] = min(best[side], process_time() - start)
    return best[0] / best[1], best[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--items", type=int, default=400_000)
    parser.add_argument("--only", default="")
    asked = parser.parse_args()
    print(
        f"Python {sys.version.split()[0]}, {asked.items:,} items, best of {asked.rounds} interleaved rounds\n"
    )
    print("| job | against | time, as a ratio | bar | |")
    print("|---|---|---|---|---|")
    for job in jobs(asked.items):
        if asked.only in job.name:
            found, _ = ratio(job, asked.rounds)
            bar = "" if job.bar is None else f"≤ {job.bar:.2f}"
            met = "" if job.bar is None else "met" if found <= job.bar else "missed"
            print(f"| {job.name} | {job.against} | {found:.2f} | {bar} | {met} |", flush=True)


if __name__ == "__main__":
    main()
