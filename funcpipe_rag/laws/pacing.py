"""The laws of pacing, on virtual time.

A judge keeps the time: clock and sleeper are functions of its `FakeTime`, so nothing waits, and how long an
implementation waited is known to the last digit. Times are quarters of seconds, which add up exactly.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice, pairwise
from typing import Any

from funcpipe_rag.streams.pacing import FakeTime

from .inputs import SourceSpec, choice, integers, items_of
from .law import Broken, holds, law, same
from .stages import PASSING, laws_of, passing, saying
from .worlds import World

Seconds = tuple[float, ...]


_GAPS = choice(1.0, 0.5, 0.25, 2.0)
_RATES = choice(1.0, 2.0, 4.0, 0.5)
_PAUSES = choice(0.0, 0.25, 0.5, 1.5)
_WORK = items_of(choice(0.0, 0.25, 0.5, 1.0, 1.5, 4.0), most=6)


class _Observed:
    """Virtual time, and what was asked of it."""

    def __init__(self, world: World) -> None:
        self.world, self.time, self.reads = world, FakeTime(), 0

    def clock(self) -> float:
        self.reads += 1
        return self.time.clock()

    def given(self) -> dict[str, Any]:
        """As the arguments of a factory."""
        return {"clock": self.clock, "sleeper": self.time.sleep}

    def working(self, xs: Iterable[float]) -> Iterator[float]:
        """A source that works as many seconds before each item as its number says."""
        for seconds in xs:
            self.time.advance(seconds)
            yield seconds

    def came(self, stage: Any, work: Seconds, pause: float = 0.0) -> list[float]:
        """When each item came to a reader who pauses after each, from a source that works before each."""
        xs, _probe = self.world.stream(SourceSpec(work))
        at = []
        for _ in self.world.iterator(self.world.run(stage, self.working(xs))):
            at.append(self.time.clock())
            holds(len(at) <= len(work), f"it gave more than {len(work)} items", "an end")
            self.time.advance(pause)
        holds(len(at) == len(work), f"{len(at)} items came", f"{len(work)}")
        return at


def _not_later(came: list[float], must: Iterable[float]) -> None:
    for place, (at, latest) in enumerate(zip(came, must, strict=True)):
        holds(at <= latest, f"item {place} came at {at} s", f"at {latest} s at the latest")


def _asks(factory: Any, world: World, *config: Any) -> None:
    """Break the law unless it reads the clock and calls the sleeper that it is given."""
    seen = _Observed(world)
    seen.came(factory(*config, **seen.given()), (0.0,) * 3)
    holds(seen.reads > 0, "the clock that it was given was never read", "read, whenever it wants the time")
    holds(bool(seen.time.sleeps), "the sleeper that it was given was never called", "called, to wait")


def _standing(factory: Any, *config: Any, **names: Any) -> Any:
    """The stage on a time that only sleeping moves."""
    time = FakeTime()
    return factory(*config, clock=time.clock, sleeper=time.sleep, **names)


@law(
    "throttle-asks-the-clock-it-is-given",
    about="make_throttle",
    promise="same answer",
    says="The time comes from the clock that it is given, and it waits with the sleeper that it is given.",
    hint="Whose clock tells the time in a test that must not wait?",
    gap=choice(1 / 1024, 1 / 512),
)
def _(world: World, make_throttle: Any, gap: float) -> None:
    # A tiny gap: what waits in earnest is found out in no time.
    _asks(make_throttle, world, gap)


@law(
    "rate-limit-asks-the-clock-it-is-given",
    about="make_rate_limit",
    promise="same answer",
    says="The time comes from the clock that it is given, and it waits with the sleeper that it is given.",
    hint="Whose clock tells the time in a test that must not wait?",
    rate=choice(1024.0, 512.0),
)
def _(world: World, make_rate_limit: Any, rate: float) -> None:
    _asks(make_rate_limit, world, rate, 1)


FAMILIES = (
    passing(
        "make_throttle",
        {"gap": _GAPS},
        lambda world, factory, gap: _standing(factory, gap),
        lambda xs, gap: xs,
    ),
    passing(
        "make_rate_limit",
        {"rate": _RATES, "burst": integers(1, 3)},
        lambda world, factory, rate, burst: _standing(factory, rate, burst),
        lambda xs, rate, burst: xs,
    ),
    passing(
        "make_timestamp",
        {"now": choice(0.0, 1.5)},
        lambda world, factory, now: factory(clock=FakeTime(now).clock),
        lambda xs, now: [(now, x) for x in xs],
    ),
)
_THROTTLE, _RATE_LIMIT, _TIMESTAMP = FAMILIES

laws_of(_THROTTLE, PASSING)
laws_of(_RATE_LIMIT, PASSING)
laws_of(_TIMESTAMP, saying("It gives each item, in its order, with the time."))


@law(
    "throttle-keeps-the-gap",
    about="make_throttle",
    promise="same answer",
    says="Two items are never closer together than the gap.",
    hint="From when to when did it measure: from the last item that came, or from something before it?",
    gap=_GAPS,
    work=_WORK,
)
def _(world: World, make_throttle: Any, gap: float, work: Seconds) -> None:
    seen = _Observed(world)
    came = seen.came(make_throttle(gap, **seen.given()), work)
    for place, (at, then) in enumerate(pairwise(came)):
        holds(
            then - at >= gap, f"items {place} and {place + 1} came {then - at} s apart", f"at least {gap} s"
        )


@law(
    "throttle-waits-only-for-what-is-left",
    about="make_throttle",
    promise="same answer",
    says="Work counts, the source's and yours: it waits only for what is left of the gap.",
    hint="How much of the gap had gone by when the next item was there?",
    gap=_GAPS,
    work=_WORK,
    pause=_PAUSES,
)
def _(world: World, make_throttle: Any, gap: float, work: Seconds, pause: float) -> None:
    seen = _Observed(world)
    came = seen.came(make_throttle(gap, **seen.given()), work, pause)
    must: list[float] = []
    for seconds in work:
        ready = must[-1] + pause + seconds if must else seconds
        must.append(max(ready, must[-1] + gap) if must else ready)
    _not_later(came, must)


@law(
    "throttle-waits-only-between-items",
    about="make_throttle",
    promise="same answer",
    says="The first item comes at once, and behind the last one nobody waits.",
    hint="How many gaps lie between n items?",
    gap=_GAPS,
    n=integers(0, 4),
)
def _(world: World, make_throttle: Any, gap: float, n: int) -> None:
    seen = _Observed(world)
    seen.came(make_throttle(gap, **seen.given()), (0.0,) * n)
    slept = sum(seen.time.sleeps, 0.0)
    needed = gap * max(n - 1, 0)
    holds(slept <= needed, f"it waited {slept} s in all", f"{needed} s")


@law(
    "throttle-gives-each-run-its-own-time",
    about="make_throttle",
    promise="fresh",
    says="The first item of every run comes at once, whatever another run did before.",
    hint="Where is the time of the last item kept: in the stage, or in the run?",
    gap=_GAPS,
    n=integers(1, 3),
)
def _(world: World, make_throttle: Any, gap: float, n: int) -> None:
    seen = _Observed(world)
    stage = make_throttle(gap, **seen.given())
    seen.came(stage, (0.0,) * n)
    now = seen.time.clock()
    (came,) = seen.came(stage, (0.0,))
    holds(came == now, f"the second run's first item came {came - now} s late", "at once")


@law(
    "rate-limit-keeps-the-bound-in-any-window",
    about="make_rate_limit",
    promise="same answer",
    says="In any t seconds, wherever they begin, at most burst + rate * t items come.",
    hint="What may a long rest earn, and no more?",
    rate=_RATES,
    burst=integers(1, 3),
    work=_WORK,
)
def _(world: World, make_rate_limit: Any, rate: float, burst: int, work: Seconds) -> None:
    seen = _Observed(world)
    came = seen.came(make_rate_limit(rate, burst, **seen.given()), work)
    for last, then in enumerate(came):
        for first, at in enumerate(came[: last + 1]):
            many, most = last - first + 1, burst + rate * (then - at)
            holds(
                many <= most,
                f"{many} items came from {at} s to {then} s",
                f"at most {burst} + {rate} * {then - at} = {most}",
            )


@law(
    "rate-limit-waits-no-longer-than-it-must",
    about="make_rate_limit",
    promise="same answer",
    says="An item comes as soon as the bound allows, and behind the last one nobody waits.",
    hint="How many tokens were in the bucket by then? A whole one is enough.",
    rate=_RATES,
    burst=integers(1, 3),
    work=_WORK,
    pause=_PAUSES,
)
def _(world: World, make_rate_limit: Any, rate: float, burst: int, work: Seconds, pause: float) -> None:
    seen = _Observed(world)
    came = seen.came(make_rate_limit(rate, burst, **seen.given()), work, pause)
    must: list[float] = []
    for place, seconds in enumerate(work):
        ready = must[-1] + pause + seconds if must else seconds
        bounds = [at + (place - first + 1 - burst) / rate for first, at in enumerate(must)]
        must.append(max([ready, *bounds]))
    _not_later(came, must)
    end = came[-1] + pause if came else 0.0
    holds(seen.time.clock() <= end, f"the end came at {seen.time.clock()} s", f"at {end} s")


@law(
    "rate-limit-gives-each-run-its-own-bucket",
    about="make_rate_limit",
    promise="fresh",
    says="Every run begins with a full bucket, whatever another run took before.",
    hint="Where are the tokens kept: in the stage, or in the run?",
    rate=_RATES,
    burst=integers(1, 3),
)
def _(world: World, make_rate_limit: Any, rate: float, burst: int) -> None:
    seen = _Observed(world)
    stage = make_rate_limit(rate, burst, **seen.given())
    for run in (1, 2):
        seen.came(stage, (0.0,) * burst)
        slept = sum(seen.time.sleeps, 0.0)
        holds(slept == 0, f"run {run} waited {slept} s within its first burst", "not at all")


@law(
    "timestamp-tells-when-the-item-came",
    about="make_timestamp",
    promise="same answer",
    says="The time is that at which the item was there, not that at which it was asked for.",
    hint="Which comes first in your loop: looking at the clock, or getting the item?",
    work=_WORK,
    pause=_PAUSES,
)
def _(world: World, make_timestamp: Any, work: Seconds, pause: float) -> None:
    seen = _Observed(world)
    xs, _probe = world.stream(SourceSpec(work))
    stamped = world.run(make_timestamp(clock=seen.clock), seen.working(xs))
    for pair in islice(world.iterator(stamped), len(work)):
        if not isinstance(pair, tuple) or len(pair) != 2:
            raise Broken(f"{pair!r} came", "a pair: the time, and the item")
        same(pair[0], seen.time.clock(), f"item {pair[1]!r} was stamped {{}} s")
        seen.time.advance(pause)
