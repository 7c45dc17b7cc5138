"""The laws of pacing, on virtual time; and those of every stage that passes items on as they are.

A judge keeps the time: clock and sleeper are functions of its `FakeTime`, so nothing waits, and how long an
implementation waited is known to the last digit. Times are quarters of seconds, which add up exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import redirect_stderr
from functools import wraps
from io import StringIO
from itertools import islice, pairwise
from typing import Any, NamedTuple
from warnings import catch_warnings, simplefilter

from funcpipe_rag.streams.pacing import FakeTime

from .inputs import SourceSpec, booleans, choice, integers, items_of, numbers, sources
from .law import Broken, holds, law, same, times
from .transforms import passes_errors_on, read_and_close
from .worlds import World

Seconds = tuple[float, ...]


class Passing(NamedTuple):
    """A factory of stages that pass items on, all of them or a choice, one for one."""

    name: str
    config: dict[str, Any]
    """what it is configured with, as the inputs of a law"""
    make: Callable[..., Any]
    """`make(world, factory, **config)` gives the stage"""
    gives: Callable[..., list[Any]]
    """`gives(items, **config)`: its eager twin"""
    says: str = "It changes no item and no order: what goes in comes out."
    says_pulls: str = "It adds no pull: k items cost the k pulls that they cost without it."

    @property
    def slug(self) -> str:
        """How the ids of its laws begin."""
        return self.name.removeprefix("make_").replace("_", "-")

    def pulls_for(self, items: Iterator[Any], k: int, config: dict[str, Any]) -> int:
        """The length of the shortest beginning of `items` of which it gives `k`."""
        seen: list[Any] = []
        while len(self.gives(seen, **config)) < k:
            seen.append(next(items))
        return len(seen)


def laws_of(family: Passing) -> None:
    """Register the seven laws that stand for every stage of this kind."""
    name, slug = family.name, family.slug

    @law(
        f"{slug}-equals-its-eager-twin",
        about=name,
        promise="same answer",
        says=family.says,
        hint="Work the smallest input through by hand. Which item is missing, extra, or another one?",
        **family.config,
        source=sources(),
    )
    @in_quiet
    def _(world: World, factory: Any, source: SourceSpec, **config: Any) -> None:
        xs, _probe = world.stream(source)
        made = world.run(family.make(world, factory, **config), xs)
        same(world.items(made), family.gives(list(source.items), **config))

    @law(
        f"{slug}-starts-nothing-at-birth",
        about=name,
        promise="on demand",
        says="Building a stream pulls nothing and opens nothing: work begins with the first question.",
        hint="Which line runs before anybody has asked for an item?",
        **family.config,
        source=sources(numbers(most=3), "endless", handed=["iterator"]),
        reiterable=booleans(),
    )
    @in_quiet
    def _(world: World, factory: Any, source: SourceSpec, reiterable: bool, **config: Any) -> None:
        xs, probe = world.stream(source._replace(reiterable=reiterable), budget=0)
        opened = probe.opens
        world.iterator(world.run(family.make(world, factory, **config), xs))
        holds(probe.pulls == 0, f"{probe.pulls} pulls before the first question", "0")
        holds(probe.opens == opened, "it opened its input before the first question", "not yet")

    @law(
        f"{slug}-asks-for-no-more-than-it-needs",
        about=name,
        promise="on demand",
        says=family.says_pulls,
        hint="Count the questions in the row `source`. Which answer was not needed yet?",
        **family.config,
        items=numbers(),
        taken=integers(0, 4),
    )
    @in_quiet
    def _(world: World, factory: Any, items: tuple[int, ...], taken: int, **config: Any) -> None:
        k = min(taken, len(family.gives(list(items), **config)))
        needed = family.pulls_for(iter(items), k, config)
        xs, probe = world.stream(SourceSpec(items, endless=True), budget=needed)
        made = world.run(family.make(world, factory, **config), xs)
        got = list(islice(world.iterator(made), k))
        same(got, family.gives(list(items), **config)[:k])
        holds(probe.pulls <= needed, f"{probe.pulls} pulls for {k} items", f"{needed}")

    @law(
        f"{slug}-passes-errors-on",
        about=name,
        promise="same answer",
        late=True,
        says="An error of the input reaches you as it is, behind every item that came before it.",
        hint="Where is the error caught, or an item kept back?",
        **family.config,
        source=sources(None, "raises", handed=["iterator"]),
    )
    @in_quiet
    def _(world: World, factory: Any, source: SourceSpec, **config: Any) -> None:
        xs, _probe = world.stream(source)
        made = world.run(family.make(world, factory, **config), xs)
        passes_errors_on(made, family.gives(source.given, **config))

    @law(
        f"{slug}-closes-what-it-opened",
        about=name,
        promise="closed",
        says="What the stream opened, it closes, once: when it ends, fails, or is closed half-way.",
        hint="Who called iter() on the collection? Who closes what that gave?",
        **family.config,
        source=sources(numbers(least=1), "ends", "raises", handed=["collection"]),
        taken=integers(1, 6),
    )
    @in_quiet
    def _(world: World, factory: Any, source: SourceSpec, taken: int, **config: Any) -> None:
        xs, probe = world.stream(source)
        read_and_close(world.run(family.make(world, factory, **config), xs), taken)
        holds(
            probe.closes == probe.opens,
            f"opened {times(probe.opens)}, closed {times(probe.closes)}",
            "as often closed as opened",
        )

    @law(
        f"{slug}-leaves-open-what-it-was-handed",
        about=name,
        promise="closed",
        says="An iterator that was handed in stays open: whoever made it goes on with it.",
        hint="iter(it) is it. So who opened it?",
        **family.config,
        source=sources(numbers(least=1), "ends", "raises", handed=["iterator"]),
        taken=integers(1, 6),
    )
    @in_quiet
    def _(world: World, factory: Any, source: SourceSpec, taken: int, **config: Any) -> None:
        xs, probe = world.stream(source)
        read_and_close(world.run(family.make(world, factory, **config), xs), taken)
        holds(probe.closes == 0, "it closed the iterator that it was handed", "left open")

    @law(
        f"{slug}-starts-afresh",
        about=name,
        promise="fresh",
        says="Two runs of one stage do not know of each other.",
        hint="What is kept outside the function that runs for each stream?",
        **family.config,
        first=sources(),
        second=sources(),
        ahead=integers(0, 3),
    )
    @in_quiet
    def _(
        world: World, factory: Any, first: SourceSpec, second: SourceSpec, ahead: int, **config: Any
    ) -> None:
        stage = family.make(world, factory, **config)
        a = world.iterator(world.run(stage, world.stream(first)[0]))
        begun = list(islice(a, ahead))
        got = world.items(world.run(stage, world.stream(second)[0]))
        same(got, family.gives(list(second.items), **config), "the second run gave {}")
        same([*begun, *islice(a, 200)], family.gives(list(first.items), **config), "the first run gave {}")


def in_quiet(check: Callable[..., None]) -> Callable[..., None]:
    """The check, without what an observer says on the side: a progress bar, a warning."""

    @wraps(check)
    def quiet(*given: Any, **inputs: Any) -> None:
        with redirect_stderr(StringIO()), catch_warnings():
            simplefilter("ignore")
            check(*given, **inputs)

    return quiet


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
    Passing(
        "make_throttle",
        {"gap": _GAPS},
        lambda world, factory, gap: _standing(factory, gap),
        lambda xs, gap: xs,
    ),
    Passing(
        "make_rate_limit",
        {"rate": _RATES, "burst": integers(1, 3)},
        lambda world, factory, rate, burst: _standing(factory, rate, burst),
        lambda xs, rate, burst: xs,
    ),
    Passing(
        "make_timestamp",
        {"now": choice(0.0, 1.5)},
        lambda world, factory, now: factory(clock=FakeTime(now).clock),
        lambda xs, now: [(now, x) for x in xs],
        says="It gives each item, in its order, with the time.",
    ),
)

for _family in FAMILIES:
    laws_of(_family)


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
