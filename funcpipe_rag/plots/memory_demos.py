"""One job done two ways: one holds all its items, the other a few. Point a memory profiler at them.

They are functions of a module because `%mprun -f` refuses those of a cell: `%mprun -f average_with_tee
average_with_tee(100_000)` names the line that holds. `memory_usage((average_with_tee, (100_000,)))` measures one, and
`mprof run python -m funcpipe_rag.plots.memory_demos average_with_tee 1000000` records it against time.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise, tee

from funcpipe_rag.streams import Source, make_merge, multicast_bounded, source


def total_from_list(items: int) -> int:
    """Add up readings, once all of them are in a list.

    >>> total_from_list(10)
    10045

    Memory: every reading; about 40 bytes an item.
    """
    readings = list(_readings(items))
    return sum(readings)


def total_from_generator(items: int) -> int:
    """Add up readings as they come.

    >>> total_from_generator(10)
    10045

    Memory: one reading, however many there are.
    """
    readings = (reading for reading in _readings(items))
    return sum(readings)


def average_with_tee(items: int) -> float:
    """Split the readings with `tee`, read one branch to its end for the sum, then the other for the count.

    >>> average_with_tee(10)
    1004.5

    Memory: every reading, held for the branch that waits; about 40 bytes an item.
    """
    left, right = tee(_readings(items))
    total = sum(left)
    return total / sum(1 for _ in right)


def average_in_turns(items: int) -> float:
    """Split the readings with a bound of one, and read the branches in turns.

    >>> average_in_turns(10)
    1004.5

    Memory: one reading for the branch that waits, however many there are.
    """
    left, right = multicast_bounded(_readings(items), 2, maxlen=1)
    total = count = 0
    for reading, _ in zip(left, right, strict=True):
        total += reading
        count += 1
    return total / count


def longest_gap_by_sorting(items: int) -> int:
    """Put two logs in one list, sort it, and look for the longest time in which nothing was logged.

    >>> longest_gap_by_sorting(10)
    2

    Memory: every entry of both logs; about 40 bytes an item.
    """
    entries = sorted(entry for log in _two_logs(items) for entry in log())
    return _longest_gap(entries)


def longest_gap_by_merging(items: int) -> int:
    """Merge two logs, each in order of time already, and look at two entries at a time.

    >>> longest_gap_by_merging(10)
    2

    Memory: one entry of each log, and the one before, however many there are.
    """
    entries = make_merge(*_two_logs(items))()
    return _longest_gap(entries)


MEMORY_DEMOS: tuple[tuple[Callable[[int], float], Callable[[int], float]], ...] = (
    (total_from_list, total_from_generator),
    (average_with_tee, average_in_turns),
    (longest_gap_by_sorting, longest_gap_by_merging),
)
"""Each pair gives the same answer: the first holds all of its items, the second a few of them."""


def _readings(items: int) -> Iterator[int]:
    """Numbers that each take memory of their own: CPython shares those below 257."""
    return iter(range(1000, 1000 + items))


def _two_logs(items: int) -> tuple[Source[int], Source[int]]:
    """Two logs of `items` entries together: the minutes at which something happened, in order."""
    half = items // 2
    web = source(lambda: iter(range(1000, 1000 + 3 * half, 3)))
    db = source(lambda: iter(range(1001, 1001 + 3 * (items - half), 3)))
    return web, db


def _longest_gap(entries: Iterable[int]) -> int:
    return max((later - earlier for earlier, later in pairwise(entries)), default=0)


def main(arguments: list[str]) -> None:
    """`NAME ITEMS`: run one of them."""
    demos = {demo.__name__: demo for pair in MEMORY_DEMOS for demo in pair}
    if len(arguments) != 2 or arguments[0] not in demos or not arguments[1].isdecimal():
        sys.exit(f"wants NAME ITEMS, where NAME is {', '.join(demos)}; got {' '.join(arguments)!r}")
    print(demos[arguments[0]](int(arguments[1])))


if __name__ == "__main__":
    main(sys.argv[1:])
