"""What people write in place of pacing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from time import monotonic
from typing import Any

from funcpipe_rag.laws.pacing import FAMILIES

from .mutant import mutant
from .stages import Run, wrapped

Clock = Callable[[], float]
Sleeper = Callable[[float], object]


for _family in FAMILIES:
    wrapped(_family)


@mutant(of="make_throttle", killed_by="throttle-asks-the-clock-it-is-given", name="real_clock")
def real_clock(gap: float, *, clock: Clock, sleeper: Sleeper) -> Run:
    """Takes a clock and asks `time.monotonic()` all the same: no test can tell the time."""

    def stream(xs: Iterable[Any]) -> Iterator[Any]:
        last = None
        for x in xs:
            if last is not None:
                sleeper(max(0.0, last + gap - monotonic()))
            last = monotonic()
            yield x

    return stream


@mutant(of="make_throttle", killed_by="throttle-waits-only-between-items")
def sleeps_after_last(gap: float, *, clock: Clock, sleeper: Sleeper) -> Run:
    """Gives the item, then waits: behind the last one too, though nobody comes."""

    def stream(xs: Iterable[Any]) -> Iterator[Any]:
        for x in xs:
            at = clock()
            yield x
            sleeper(max(0.0, at + gap - clock()))

    return stream


@mutant(of="make_throttle", killed_by="throttle-waits-only-for-what-is-left")
def ignores_the_work(gap: float, *, clock: Clock, sleeper: Sleeper) -> Run:
    """Waits the whole gap between two items, however long the work between them took."""

    def stream(xs: Iterable[Any]) -> Iterator[Any]:
        for place, x in enumerate(xs):
            if place:
                sleeper(gap)
            clock()
            yield x

    return stream


@mutant(of="make_throttle", killed_by="throttle-keeps-the-gap")
def catches_up(gap: float, *, clock: Clock, sleeper: Sleeper) -> Run:
    """Keeps a timetable from the start, and after a slow stretch hurries to be in time again."""

    def stream(xs: Iterable[Any]) -> Iterator[Any]:
        start = None
        for place, x in enumerate(xs):
            if start is None:
                start = clock()
            sleeper(max(0.0, start + place * gap - clock()))
            yield x

    return stream


@mutant(of="make_throttle", killed_by="throttle-gives-each-run-its-own-time")
def one_time_for_all_runs(gap: float, *, clock: Clock, sleeper: Sleeper) -> Run:
    """Keeps the time of the last item in the stage, so that a new run waits for an old one."""
    last: list[float] = []

    def stream(xs: Iterable[Any]) -> Iterator[Any]:
        for x in xs:
            if last:
                sleeper(max(0.0, last[-1] + gap - clock()))
            last[:] = [clock()]
            yield x

    return stream


def bucket_with(
    refilled: Callable[[float, float, int], float],
    start: Callable[[int], float] = float,
    clock_of: Callable[[Clock], Clock] = lambda clock: clock,
) -> Callable[..., Run]:
    """The usual token bucket: what it holds at the start, and after so many tokens came in."""

    def make(rate: float, burst: int, *, clock: Clock, sleeper: Sleeper) -> Run:
        now = clock_of(clock)

        def stream(xs: Iterable[Any]) -> Iterator[Any]:
            tokens, at = start(burst), now()
            for x in xs:
                tokens, at = refilled(tokens, rate * (now() - at), burst), now()
                if tokens < 1:
                    sleeper((1 - tokens) / rate)
                    tokens, at = 1.0, now()
                tokens -= 1
                yield x

        return stream

    return make


@mutant(of="make_rate_limit", killed_by="rate-limit-asks-the-clock-it-is-given", name="real_clock")
def real_clock_for_tokens(*given: Any, **options: Any) -> Run:
    """Takes a clock and asks `time.monotonic()` all the same: no test can tell the time."""
    bucket = bucket_with(lambda tokens, came, burst: min(burst, tokens + came), clock_of=lambda _: monotonic)
    return bucket(*given, **options)


@mutant(of="make_rate_limit", killed_by="rate-limit-keeps-the-bound-in-any-window")
def burst_debt(*given: Any, **options: Any) -> Run:
    """Forgets `min(burst, ...)`: a long rest is paid back in one flood."""
    return bucket_with(lambda tokens, came, burst: tokens + came)(*given, **options)


@mutant(of="make_rate_limit", killed_by="rate-limit-waits-no-longer-than-it-must")
def starts_empty(*given: Any, **options: Any) -> Run:
    """Begins with an empty bucket, so that the first item waits although nobody came before it."""
    bucket = bucket_with(lambda tokens, came, burst: min(burst, tokens + came), start=lambda burst: 0.0)
    return bucket(*given, **options)


@mutant(of="make_rate_limit", killed_by="rate-limit-waits-no-longer-than-it-must")
def whole_tokens(*given: Any, **options: Any) -> Run:
    """Rounds down to whole tokens at each visit, and loses the rest."""
    return bucket_with(lambda tokens, came, burst: min(burst, tokens + int(came)))(*given, **options)


@mutant(of="make_rate_limit", killed_by="rate-limit-keeps-the-bound-in-any-window")
def counts_by_the_calendar(rate: float, burst: int, *, clock: Clock, sleeper: Sleeper) -> Run:
    """Allows `burst` in each stretch of time: at its end and at the next one's start, twice as many."""

    def stream(xs: Iterable[Any]) -> Iterator[Any]:
        length = burst / rate
        stretch, given = 0.0, 0
        for x in xs:
            if clock() // length > stretch:
                stretch, given = clock() // length, 0
            if given == burst:
                sleeper((stretch + 1) * length - clock())
                stretch, given = stretch + 1, 0
            given += 1
            yield x

    return stream


@mutant(of="make_rate_limit", killed_by="rate-limit-gives-each-run-its-own-bucket")
def one_bucket_for_all_runs(rate: float, burst: int, *, clock: Clock, sleeper: Sleeper) -> Run:
    """Keeps the tokens in the stage, so that one run pays for another."""
    kept: list[float] = [float(burst), clock()]

    def stream(xs: Iterable[Any]) -> Iterator[Any]:
        for x in xs:
            tokens, at = kept
            tokens = min(burst, tokens + rate * (clock() - at))
            if tokens < 1:
                sleeper((1 - tokens) / rate)
                tokens = 1.0
            kept[:] = [tokens - 1, clock()]
            yield x

    return stream


@mutant(of="make_timestamp", killed_by="timestamp-tells-when-the-item-came")
def stamps_the_question(*, clock: Clock) -> Run:
    """Looks at the clock before it gets the item, and so leaves out the wait for it."""

    def stream(xs: Iterable[Any]) -> Iterator[Any]:
        it = iter(xs)
        while True:
            at = clock()
            for x in it:
                yield at, x
                break
            else:
                return

    return stream
