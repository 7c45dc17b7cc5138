"""Traced peaks of the memory demos from 10⁴ to 10⁷ items: python tests/benchmarks/bench_memory.py [ITEMS]

The lazy demos promise to grow by less than 1 MiB; exit code 1 says that one did not. Bytes are the same on every
machine of a kind, unlike times, so here a bound can be kept. Standard library only; about a minute.
"""

from __future__ import annotations

import sys
import tracemalloc
from collections.abc import Callable

from funcpipe_rag.plots.memory_demos import MEMORY_DEMOS

BOUND = 2**20


def peak(demo: Callable[[int], object], items: int) -> int:
    tracemalloc.start()
    try:
        demo(items)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def main(most: int) -> None:
    print(f"Python {sys.version.split()[0]}, peaks traced by tracemalloc\n")
    print(f"| demo | 10,000 items | {most:,} items | bytes an item | bound | |")
    print("|---|---|---|---|---|---|")
    missed = False
    for eager, lazy in MEMORY_DEMOS:
        for demo in (eager, lazy):
            demo(1000)  # brings in what it imports
            small, large = peak(demo, 10_000), peak(demo, most)
            kept = large - small < BOUND
            missed |= demo is lazy and not kept
            bound = "1 MiB more" if demo is lazy else ""
            met = "" if demo is eager else "met" if kept else "missed"
            slope = round((large - small) / (most - 10_000), 1) + 0  # no -0.0
            print(
                f"| {demo.__name__} | {small / 2**20:.3f} MiB | {large / 2**20:.3f} MiB | {slope:.1f} | {bound} | {met} |",
                flush=True,
            )
    sys.exit(missed)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10**7)
