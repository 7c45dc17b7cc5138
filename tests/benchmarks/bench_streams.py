"""Time the stream algebra against its peers, and weigh it on ten million items.

    python tests/benchmarks/bench_streams.py [--rounds 7] [--items 400000] [--only NAME] [--strict] [--memory]

Time is CPU time as a ratio to the peer's, in turns with it, best of several rounds: absolute times mean little, so none
are compared. It needs more-itertools; the rest is the standard library. With `--memory`, what a process that runs
10,000,000 items needs more than one that runs 10,000 (POSIX only). A bar that is missed is told, and with `--strict`
is the exit status.
"""

from __future__ import annotations

import argparse
import gc
import heapq
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import version
from itertools import chain, islice, tee
from random import Random
from time import process_time
from typing import NamedTuple

import more_itertools

from funcpipe_rag import (
    Source,
    Stage,
    as_source,
    fence_k,
    fmap,
    fork2_lockstep,
    make_batched,
    make_chain,
    make_merge,
    make_roundrobin,
    make_sliding,
    multicast_bounded,
    source,
)


class Job(NamedTuple):
    """One comparison: ours, the peer, and the bar that the ratio of their times should not pass; none for a floor."""

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
    # Sources of the interpreter's own iterators: what a source costs itself would blur what the fan-in costs.
    lists = [range(at, n, 10).__iter__ for at in range(10)]
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
        turns = [range(n // many).__iter__ for _ in range(many)]
        yield Job(
            f"make_roundrobin, {many} sources",
            lambda turns=turns: make_roundrobin(*turns)(),
            lambda turns=turns: more_itertools.roundrobin(*(source() for source in turns)),
            "more_itertools.roundrobin",
            bar,
        )
    for many, bar in ((2, 0.8), (16, 1.0)):
        rising = [range(at, n // 2, many).__iter__ for at in range(many)]
        random = Random(many)
        drawn = [sorted(random.randrange(n**2) for _ in range(n // 2 // many)).__iter__ for _ in range(many)]
        merges: list[tuple[str, list[Source[int]], dict[str, object], float | None]] = [
            ("", rising, {}, bar),
            (", random", drawn, {}, None),
            (", with key", rising, {"key": add1}, 1.1),
            (", lookahead=512", rising, {"lookahead": 512}, 0.6),
        ]
        for said, sources, options, most in merges:
            key = {"key": add1} if "key" in options else {}
            yield Job(
                f"make_merge, {many} sources, checked{said}",
                lambda sources=sources, options=options: make_merge(*sources, **options)(),
                lambda sources=sources, key=key: heapq.merge(*(source() for source in sources), **key),
                "heapq.merge(key=)" if key else "heapq.merge",
                most,
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
        # A generator may fail, and then the short batch comes first: that guard is what the second row pays for.
        inputs = (("", lambda: range(n), bar), (", of a generator", lambda: mapped(range(n)), None))
        for said, xs, most in inputs:
            yield Job(
                f"make_batched({size}){said}",
                lambda size=size, xs=xs: make_batched(size)(xs()),
                lambda size=size, xs=xs: batches_by_hand(xs(), size),
                "while b := tuple(islice(it, n))",
                most,
            )
    for width in (2, 5, 20):
        yield Job(
            f"make_sliding({width})",
            lambda width=width: make_sliding(width)(range(n)),
            lambda width=width: more_itertools.sliding_window(range(n), width),
            "more_itertools.sliding_window",
            1.0,
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


def ratio(job: Job, rounds: int) -> float:
    best = [float("inf"), float("inf")]
    for _ in range(rounds):
        for side, make in enumerate((job.ours, job.peer)):
            gc.collect()
            start = process_time()
            drain(make())
            best[side] = min(best[side], process_time() - start)
    return best[0] / best[1]


FEW, MANY = 10_000, 10_000_000
ROOM = 1.0
"""MiB that MANY items may need more than FEW."""

WEIGHED: dict[str, Callable[[int], Iterable[object]]] = {
    "make_chain, 10 sources": lambda n: make_chain(*[as_source(range(n // 10))] * 10)(),
    "make_roundrobin, 16 sources": lambda n: make_roundrobin(*[as_source(range(n // 16))] * 16)(),
    "make_merge, 2 sources": lambda n: make_merge(*[as_source(range(n // 2))] * 2)(),
    "make_merge, 16 sources": lambda n: make_merge(*[as_source(range(n // 16))] * 16)(),
    "make_merge, 16 sources, with key": lambda n: make_merge(*[as_source(range(n // 16))] * 16, key=add1)(),
    "make_merge, 16 sources, lookahead=512": lambda n: make_merge(
        *[as_source(range(n // 16))] * 16, lookahead=512
    )(),
    "multicast_bounded, 3 branches, maxlen=1": lambda n: zip(*multicast_bounded(range(n), 3, 1), strict=True),
    "multicast_bounded, 3 branches, maxlen=1024": lambda n: zip(*multicast_bounded(range(n), 3), strict=True),
    "fork2_lockstep": lambda n: fork2_lockstep(fmap(add1), fmap(abs))(range(n)),
    "make_batched(10)": lambda n: make_batched(10)(range(n)),
    "make_sliding(20)": lambda n: make_sliding(20)(range(n)),
    "a pipeline of five stages": lambda n: (
        source(lambda: iter(range(n))) | mapped | kept | fmap(add1) | fence_k(n)
    )(),
}


def room(name: str, n: int) -> float:
    """The MiB that a process of its own needs at most, in which n items go through."""
    command = [sys.executable, __file__, "--weigh", name, "--items", str(n)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def weigh(name: str, n: int) -> float:
    from resource import RUSAGE_SELF, getrusage

    drain(WEIGHED[name](n))
    return getrusage(RUSAGE_SELF).ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def verdict(found: float, bar: float | None) -> str:
    return "" if bar is None else "met" if found <= bar else "missed"


def told(cells: Iterable[str], widths: tuple[int, ...]) -> None:
    print(
        "| " + " | ".join(f"{cell:{width}}" for cell, width in zip(cells, widths, strict=True)) + " |",
        flush=True,
    )


def timed(items: int, rounds: int, only: str) -> list[str]:
    """Print the table of times; give the names of the jobs that missed their bar."""
    python, peers = sys.version.split()[0], version("more-itertools")
    print(f"Python {python}, more-itertools {peers}, {items:,} items, best of {rounds} interleaved rounds\n")
    widths = (50, 32, 5, 6, 7)
    told(("job", "against", "ratio", "bar", "verdict"), widths)
    told(("-" * width for width in widths), widths)
    missed = []
    for job in jobs(items):
        if only in job.name:
            found = ratio(job, rounds)
            met = verdict(found, job.bar)
            bar = "" if job.bar is None else f"≤ {job.bar:.2f}"
            told((job.name, job.against, f"{found:5.2f}", bar, met), widths)
            missed += [job.name] * (met == "missed")
    return missed


def weighed(only: str) -> list[str]:
    """Print the table of what MANY items need more than FEW; give the names of those that missed their bar."""
    names = [name for name in WEIGHED if only in name]
    print(f"Python {sys.version.split()[0]}, peak of a process for {MANY:,} items above that for {FEW:,}\n")
    widths = (50, 8, 8, 7, 7)
    told(("stream", "few", "many", "bar", "verdict"), widths)
    told(("-" * width for width in widths), widths)
    missed = []
    for at, name in enumerate(names, 1):
        if sys.stderr.isatty():
            print(f"{at} of {len(names)}: {name} ...", end="\r", file=sys.stderr, flush=True)
        few, many = room(name, FEW), room(name, MANY)
        met = verdict(many - few, ROOM)
        told((name, f"{few:5.1f} MiB", f"{many - few:+.1f} MiB", f"≤ {ROOM:.0f} MiB", met), widths)
        missed += [name] * (met == "missed")
    return missed


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--items", type=int, default=400_000)
    parser.add_argument("--only", default="", metavar="NAME", help="jobs with this in their name")
    parser.add_argument("--strict", action="store_true", help="exit with 1 when a bar is missed")
    parser.add_argument("--memory", action="store_true", help=f"weigh {MANY:,} items in place of timing")
    parser.add_argument("--weigh", choices=WEIGHED, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.weigh:
        print(weigh(asked.weigh, asked.items))
        return
    missed = weighed(asked.only) if asked.memory else timed(asked.items, asked.rounds, asked.only)
    if missed:
        print(f"\n{len(missed)} missed: {'; '.join(missed)}")
    if missed and asked.strict:
        sys.exit(1)


if __name__ == "__main__":
    main()
