"""Time: how fast items go through, and when they came.

Clock and sleeper are arguments, so that a test waits on virtual time and takes none of its own: `FakeTime` is
both. Each stage is *clocked*: what it gives depends on its input, its clock and its configuration alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from math import inf
from time import monotonic, sleep
from typing import Any, SupportsFloat, SupportsIndex, TypeVar

from .arguments import a_function, a_number, a_whole_number
from .ends import ending
from .ownership import Owned
from .stages import PassingStage, Stage

T = TypeVar("T")

MOST_IDLE_SLEEPS = 1000
"""How often a sleeper may come back without its clock having moved."""


def make_throttle(
    min_delta: SupportsFloat,
    *,
    clock: Callable[[], float] = monotonic,
    sleeper: Callable[[float], object] = sleep,
) -> PassingStage:
    """Keep items at least `min_delta` seconds apart, and wait no longer than that takes.

    >>> time = FakeTime()
    >>> polite = make_throttle(1, clock=time.clock, sleeper=time.sleep)
    >>> [(time.clock(), page) for page in polite("abc")]
    [(0.0, 'a'), (1.0, 'b'), (2.0, 'c')]

    Work between two items counts, the source's and yours: only what is left of the gap is waited for.

    >>> time = FakeTime()
    >>> for page in make_throttle(1, clock=time.clock, sleeper=time.sleep)("abc"):
    ...     time.advance(0.75)
    >>> time.sleeps
    [0.25, 0.25]

    Class: clocked. Each run keeps its own time: the first item comes at once, behind the last nobody waits.
    The clock must be one that never goes back; a sleeper that wakes early is asked for the rest.

    Demand: one pull an item. Memory: the one item that waits. Closing: closes the iterator it made of its
    input; one that it was handed stays open. Errors: those of the input; ValueError for min_delta < 0;
    RuntimeError for a sleeper that never moves the clock.
    """
    gap = a_number("make_throttle", "min_delta", min_delta, least=0)
    options = _time_of("make_throttle", clock, sleeper)

    def run(xs: Iterable[T], /) -> Iterator[T]:
        due = -inf

        def paced(item: T) -> T:
            nonlocal due
            # The item is in hand before anybody waits, so nobody waits behind the last one.
            due = _waited("make_throttle", due, clock, sleeper) + gap
            return item

        with Owned() as owned:
            it, end = ending(owned.opened(xs))
            yield from map(paced, it)
            end.must_be_reached("make_throttle", clock, sleeper)

    return PassingStage(run, "transform", "make_throttle", gap, **options)


def make_rate_limit(
    rate: SupportsFloat,
    burst: SupportsIndex,
    *,
    clock: Callable[[], float] = monotonic,
    sleeper: Callable[[float], object] = sleep,
) -> PassingStage:
    """Let through at most `burst + rate * t` items in any t seconds, each as soon as that allows.

    >>> time = FakeTime()
    >>> limit = make_rate_limit(2, 3, clock=time.clock, sleeper=time.sleep)
    >>> [time.clock() for _ in limit(range(6))]
    [0.0, 0.0, 0.0, 0.5, 1.0, 1.5]

    A token bucket: it starts with `burst` tokens, gains `rate` a second, an item costs one, and it never holds
    more than `burst`, so a long rest earns no more than one burst.

    >>> time = FakeTime()
    >>> limit = make_rate_limit(2, 3, clock=time.clock, sleeper=time.sleep)
    >>> items = limit(range(9))
    >>> next(items), time.advance(60)
    (0, None)
    >>> [time.clock() for _ in items]
    [60.0, 60.0, 60.0, 60.5, 61.0, 61.5, 62.0, 62.5]

    Class: clocked. Each run has a bucket of its own; to share a limit, run one stream. The clock must be one
    that never goes back; a sleeper that wakes early is asked for the rest.

    Demand: one pull an item. Memory: the one item that waits. Closing: closes the iterator it made of its
    input; one that it was handed stays open. Errors: those of the input; ValueError for rate <= 0 and for
    burst < 1; RuntimeError for a sleeper that never moves the clock.
    """
    pace = a_number("make_rate_limit", "rate", rate, above=0)
    size = a_whole_number("make_rate_limit", "burst", burst, least=1)
    options = _time_of("make_rate_limit", clock, sleeper)

    def run(xs: Iterable[T], /) -> Iterator[T]:
        # When the bucket was last full, and what has been taken since: no sum of small errors grows with the stream.
        full, taken = -inf, 0

        def limited(item: T) -> T:
            nonlocal full, taken
            now = _waited("make_rate_limit", full + (taken + 1 - size) / pace, clock, sleeper)
            if now > full + taken / pace:
                full, taken = now, 0
            taken += 1
            return item

        with Owned() as owned:
            it, end = ending(owned.opened(xs))
            yield from map(limited, it)
            end.must_be_reached("make_rate_limit", clock, sleeper)

    return PassingStage(run, "transform", "make_rate_limit", pace, size, **options)


def make_timestamp(
    *, clock: Callable[[], float] = monotonic
) -> Stage[[Iterable[Any]], Iterator[tuple[float, Any]]]:
    """Pair each item with the time at which it came: `(seconds, item)`.

    >>> time = FakeTime()
    >>> stamped = make_timestamp(clock=time.clock)("ab")
    >>> next(stamped), time.advance(1.5), next(stamped)
    ((0.0, 'a'), None, (1.5, 'b'))

    The time stands first and the usual clock never goes back, so what it gives is sorted, ready for `make_merge`.

    >>> from operator import itemgetter
    >>> from funcpipe_rag.streams import as_source, make_merge
    >>> a, b = (as_source("ab") | make_timestamp(), as_source("c") | make_timestamp())
    >>> sorted(item for _, item in make_merge(a, b, key=itemgetter(0))())
    ['a', 'b', 'c']

    Class: clocked. Seconds of `time.monotonic` count from an arbitrary start; pass `clock=time.time` for the
    time of day.

    Demand: one pull an item; the clock is read when the item is there. Memory: O(1). Closing: closes the
    iterator it made of its input; one that it was handed stays open. Errors: those of the input.
    """
    a_function("make_timestamp", "clock", clock)

    def run(xs: Iterable[T], /) -> Iterator[tuple[float, T]]:
        def stamped(item: T) -> tuple[float, T]:
            return clock(), item

        # Not zip(): it would hold the last pair.
        with Owned() as owned:
            it, end = ending(owned.opened(xs))
            yield from map(stamped, it)
            end.must_be_reached("make_timestamp", clock)

    options = {} if clock is monotonic else {"clock": clock}
    return Stage(run, "transform", "make_timestamp", **options)


class FakeTime:
    """Virtual time: a clock, and a sleeper that moves it. Nothing waits, and every run comes out the same.

    >>> time = FakeTime()
    >>> time.sleep(0.5)
    >>> time.clock(), time.sleeps
    (0.5, [0.5])

    `advance` is time that passes because somebody works: it moves the clock and is no sleep.

    >>> time.advance(2)
    >>> time.clock(), time.sleeps
    (2.5, [0.5])

    Hand on the two methods: `clock=time.clock, sleeper=time.sleep`. Memory: one number a sleep. Errors:
    ValueError for negative seconds, as `time.sleep` has it.
    """

    __slots__ = ("_now", "sleeps")

    def __init__(self, start: SupportsFloat = 0.0) -> None:
        self._now = a_number("FakeTime", "start", start)
        self.sleeps: list[float] = []
        """What was slept, in seconds, in order."""

    def clock(self) -> float:
        """The time now, in seconds."""
        return self._now

    def sleep(self, seconds: SupportsFloat) -> None:
        """Wait: move the clock, and write it down."""
        length = self._moved("sleep", seconds)
        self.sleeps.append(length)

    def advance(self, seconds: SupportsFloat) -> None:
        """Work: move the clock."""
        self._moved("advance", seconds)

    def _moved(self, how: str, seconds: SupportsFloat) -> float:
        length = a_number(f"FakeTime.{how}", "seconds", seconds, least=0)
        self._now += length
        return length

    def __repr__(self) -> str:
        return f"<FakeTime at {self._now} s, slept {sum(self.sleeps, 0.0)} s>"


def _time_of(where: str, clock: Callable[[], float], sleeper: Callable[[float], object]) -> dict[str, object]:
    """Clock and sleeper as options of a stage, where they are not the usual ones."""
    a_function(where, "clock", clock)
    a_function(where, "sleeper", sleeper)
    options: dict[str, object] = {} if clock is monotonic else {"clock": clock}
    return options if sleeper is sleep else {**options, "sleeper": sleeper}


def _waited(where: str, due: float, clock: Callable[[], float], sleeper: Callable[[float], object]) -> float:
    """What the clock shows once it has come to `due`."""
    now = clock()
    idle = 0
    while now < due:
        sleeper(due - now)
        before, now = now, clock()
        # A coarse clock may stand still for a few short sleeps.
        idle = idle + 1 if now == before else 0
        if idle == MOST_IDLE_SLEEPS:
            raise RuntimeError(
                f"{where}: slept {idle} times and the clock has not moved; "
                "clock and sleeper must belong together, as those of one FakeTime do"
            )
    return now
