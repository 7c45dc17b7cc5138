"""The exercises of M03C08, Time-aware streams.

Nothing here waits: clock and sleeper are those of a `FakeTime`, and times are quarters of seconds, which add up exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate, combinations, islice, pairwise
from math import inf
from time import monotonic
from typing import Any, TypeAlias

from funcpipe_rag.laws import Law, World, holds, law, other_shape, same
from funcpipe_rag.laws.inputs import SourceSpec, choice, integers, items_of, numbers
from funcpipe_rag.laws.mutants import Mutant, mutant, mutants_of
from funcpipe_rag.streams import FakeTime

from .exercise import Exercise

LAWS: dict[str, Law] = {}
MUTANTS: list[Mutant] = []

Clock: TypeAlias = Callable[[], float]
Sleeper: TypeAlias = Callable[[float], object]
Seconds: TypeAlias = tuple[float, ...]

_GAPS = choice(1.0, 0.5, 2.0)
_WORK = items_of(choice(0.0, 0.25, 0.5, 1.0, 1.5), most=5)


class _Day:
    """Virtual time, and how often it was asked for."""

    def __init__(self) -> None:
        self.time, self.reads = FakeTime(), 0

    def clock(self) -> float:
        self.reads += 1
        return self.time.clock()

    def work(self, xs: Iterable[float]) -> Iterator[float]:
        """A source that works as many seconds before each item as its number says."""
        for seconds in xs:
            self.time.advance(seconds)
            yield seconds

    def throttled(self, throttle: Any, xs: Iterable[float], gap: float) -> Any:
        return throttle(xs, gap=gap, clock=self.clock, sleeper=self.time.sleep)

    def came(self, world: World, throttle: Any, gap: float, work: Seconds, pause: float = 0.0) -> list[float]:
        """When each item came to a reader who pauses after each."""
        xs, _probe = world.stream(SourceSpec(work))
        items, at = [], []
        for item in world.iterator(self.throttled(throttle, self.work(xs), gap)):
            items.append(item)
            at.append(self.time.clock())
            holds(len(at) <= len(work), f"it gave more than {len(work)} items", "an end")
            self.time.advance(pause)
        same(items, list(work), "it gave the items {}")
        return at


@law(
    "stamps-ask-the-clock-they-are-given",
    about="with_time",
    promise="same answer",
    says="The time comes from the clock that it is given.",
    hint="Whose clock tells the time in a test?",
    among=LAWS,
    n=integers(1, 3),
)
def _(world: World, with_time: Any, n: int) -> None:
    day = _Day()
    xs, _probe = world.stream(SourceSpec(tuple(range(n))))
    world.items(with_time(xs, clock=day.clock))
    holds(day.reads > 0, "the clock that it was given was never read", "read")


@law(
    "stamps-tell-when-the-item-came",
    about="with_time",
    promise="same answer",
    says="Each item comes as a pair, the time at which it was there and the item.",
    hint="The source works before it gives an item. Do you look at the clock before that, or behind it?",
    among=LAWS,
    work=_WORK,
)
def _(world: World, with_time: Any, work: Seconds) -> None:
    day = _Day()
    xs, _probe = world.stream(SourceSpec(work))
    letters = (letter for _, letter in zip(day.work(xs), "abcde", strict=False))
    expected = list(zip(accumulate(work), "abcde", strict=False))
    same(world.items(with_time(letters, clock=day.clock)), expected)


@law(
    "stamps-cost-one-pull-each",
    about="with_time",
    promise="on demand",
    says="k pairs cost k pulls.",
    hint="Which line asks for an item before its pair is wanted?",
    among=LAWS,
    items=numbers(most=3),
    k=integers(0, 3),
)
def _(world: World, with_time: Any, items: tuple[int, ...], k: int) -> None:
    xs, _probe = world.stream(SourceSpec(items, endless=True), budget=k)
    given = list(islice(world.iterator(with_time(xs, clock=_Day().clock)), k))
    same([item for _, item in given], [*items, *range(k)][:k])


@law(
    "spaced-by-the-clock-it-is-given",
    about="throttle",
    promise="same answer",
    says="The time comes from the clock that it is given, and it waits with the sleeper that it is given.",
    hint="Whose clock tells the time in a test that must not wait?",
    among=LAWS,
    gap=choice(1 / 1024, 1 / 512),
)
def _(world: World, throttle: Any, gap: float) -> None:
    # A tiny gap: what waits in earnest is found out in no time.
    day = _Day()
    day.came(world, throttle, gap, (0.0, 0.0, 0.0))
    holds(day.reads > 0, "the clock that it was given was never read", "read, whenever it wants the time")
    holds(bool(day.time.sleeps), "the sleeper that it was given was never called", "called, to wait")


@law(
    "spaced-by-the-gap",
    about="throttle",
    promise="same answer",
    says="Two items are never closer together than the gap.",
    hint="From which moment on did it measure: was that when the last item went? And if the gap is over already?",
    among=LAWS,
    gap=_GAPS,
    work=_WORK,
)
def _(world: World, throttle: Any, gap: float, work: Seconds) -> None:
    came = _Day().came(world, throttle, gap, work)
    for place, (then, now) in enumerate(pairwise(came)):
        holds(
            now - then >= gap,
            f"items {place} and {place + 1} came {now - then} s apart, at {then} s and {now} s",
            f"at least {gap} s",
        )


@law(
    "spaced-at-one-pull-each",
    about="throttle",
    promise="on demand",
    says="k items cost k pulls: nobody looks ahead.",
    hint="Why would it want to know the next item before it gives this one?",
    among=LAWS,
    work=items_of(choice(0.0, 0.25, 1.5), most=3),
    k=integers(0, 3),
)
def _(world: World, throttle: Any, work: Seconds, k: int) -> None:
    day = _Day()
    xs, _probe = world.stream(SourceSpec(work, endless=True), budget=k)
    stream = world.iterator(day.throttled(throttle, day.work(xs), 1.0))
    same(list(islice(stream, k)), [*work, *range(k)][:k])


@law(
    "spaced-between-items-alone",
    about="throttle",
    promise="same answer",
    says="The first item comes at once, and behind the last one nobody waits.",
    hint="How many gaps lie between n items?",
    among=LAWS,
    gap=_GAPS,
    n=integers(0, 4),
)
def _(world: World, throttle: Any, gap: float, n: int) -> None:
    day = _Day()
    day.came(world, throttle, gap, (0.0,) * n)
    slept, least = sum(day.time.sleeps, 0.0), gap * max(n - 1, 0)
    holds(slept <= least, f"it waited {slept} s in all", f"{least} s")


@law(
    "spaced-by-what-is-left-of-the-gap",
    about="throttle",
    promise="same answer",
    says="Work counts, the source's and yours: it waits for what is left of the gap, and no longer.",
    hint="How much of the gap had gone by when the next item was there?",
    among=LAWS,
    gap=_GAPS,
    work=_WORK,
    pause=choice(0.0, 0.25, 0.5, 1.5),
)
def _(world: World, throttle: Any, gap: float, work: Seconds, pause: float) -> None:
    came = _Day().came(world, throttle, gap, work, pause)
    soonest: list[float] = []
    for seconds in work:
        ready = soonest[-1] + pause + seconds if soonest else seconds
        soonest.append(max(ready, soonest[-1] + gap) if soonest else ready)
    for place, (at, best) in enumerate(zip(came, soonest, strict=True)):
        holds(at <= best, f"item {place} came at {at} s", f"at {best} s")


@mutant(of="with_time", killed_by="stamps-ask-the-clock-they-are-given", among=MUTANTS, laws=LAWS)
def asks_the_real_clock(xs: Iterable[Any], *, clock: Clock) -> Iterator[tuple[float, Any]]:
    """Takes a clock and asks `time.monotonic()` all the same."""
    return ((monotonic(), x) for x in xs)


@mutant(of="with_time", killed_by="stamps-tell-when-the-item-came", among=MUTANTS, laws=LAWS)
def stamps_the_question(xs: Iterable[Any], *, clock: Clock) -> Iterator[tuple[float, Any]]:
    """Zips clock readings with items: zip asks the clock first, and leaves the work out."""
    return zip(iter(clock, None), xs, strict=False)


@mutant(of="with_time", killed_by="stamps-tell-when-the-item-came", among=MUTANTS, laws=LAWS)
def reads_the_clock_once(xs: Iterable[Any], *, clock: Clock) -> Iterator[tuple[float, Any]]:
    """Reads the clock before the loop, and gives every item that time."""
    now = clock()
    for x in xs:
        yield now, x


@mutant(of="with_time", killed_by="stamps-tell-when-the-item-came", among=MUTANTS, laws=LAWS)
def item_first(xs: Iterable[Any], *, clock: Clock) -> Iterator[tuple[Any, float]]:
    """Puts the item before the time: the pairs then sort by item."""
    for x in xs:
        yield x, clock()


@mutant(of="with_time", killed_by="stamps-cost-one-pull-each", among=MUTANTS, laws=LAWS)
def stamps_in_advance(xs: Iterable[Any], *, clock: Clock) -> Iterator[tuple[float, Any]]:
    """Builds the list of all pairs, and gives them one by one."""
    yield from [(clock(), x) for x in xs]


@mutant(of="throttle", killed_by="spaced-by-the-clock-it-is-given", among=MUTANTS, laws=LAWS)
def real_clock(xs: Iterable[Any], *, gap: float, clock: Clock, sleeper: Sleeper) -> Iterator[Any]:
    """Takes a clock and asks `time.monotonic()` all the same: no test can tell the time."""
    last = -inf
    for x in xs:
        sleeper(max(0.0, last + gap - monotonic()))
        last = monotonic()
        yield x


@mutant(of="throttle", killed_by="spaced-by-the-gap", among=MUTANTS, laws=LAWS)
def stale_time(xs: Iterable[Any], *, gap: float, clock: Clock, sleeper: Sleeper) -> Iterator[Any]:
    """Reads the clock once for each item, before it waits: what it keeps is not the time at which the item went."""
    last = -inf
    for x in xs:
        now = clock()
        sleeper(max(0.0, last + gap - now))
        last = now
        yield x


@mutant(of="throttle", killed_by="spaced-by-the-gap", among=MUTANTS, laws=LAWS)
def catches_up(xs: Iterable[Any], *, gap: float, clock: Clock, sleeper: Sleeper) -> Iterator[Any]:
    """Keeps a timetable from the start, and after a slow stretch hurries to be in time again."""
    start = None
    for place, x in enumerate(xs):
        start = clock() if start is None else start
        sleeper(max(0.0, start + place * gap - clock()))
        yield x


@mutant(of="throttle", killed_by="spaced-by-the-gap", among=MUTANTS, laws=LAWS)
def owes_time(xs: Iterable[Any], *, gap: float, clock: Clock, sleeper: Sleeper) -> Iterator[Any]:
    """Forgets that the gap may be over already, and sleeps less than nothing."""
    last = None
    for x in xs:
        if last is not None:
            sleeper(last + gap - clock())
        last = clock()
        yield x


@mutant(of="throttle", killed_by="spaced-at-one-pull-each", among=MUTANTS, laws=LAWS)
def looks_ahead(xs: Iterable[Any], *, gap: float, clock: Clock, sleeper: Sleeper) -> Iterator[Any]:
    """Fetches the next item first, to learn whether it will have to wait for one."""
    it = iter(xs)
    end = object()
    item = next(it, end)
    while item is not end:
        following = next(it, end)
        at = clock()
        yield item
        if following is not end:
            sleeper(max(0.0, at + gap - clock()))
        item = following


@mutant(of="throttle", killed_by="spaced-between-items-alone", among=MUTANTS, laws=LAWS)
def sleeps_after_last(xs: Iterable[Any], *, gap: float, clock: Clock, sleeper: Sleeper) -> Iterator[Any]:
    """Gives the item, then waits: behind the last one too, though nobody comes."""
    for x in xs:
        at = clock()
        yield x
        sleeper(max(0.0, at + gap - clock()))


@mutant(of="throttle", killed_by="spaced-by-what-is-left-of-the-gap", among=MUTANTS, laws=LAWS)
def ignores_the_work(xs: Iterable[Any], *, gap: float, clock: Clock, sleeper: Sleeper) -> Iterator[Any]:
    """Waits the whole gap between two items, however long the work between them took."""
    last = None
    for x in xs:
        if last is not None:
            sleeper(gap)
        last = clock()
        yield x


WITH_TIME = Exercise(
    id="m03c08e1",
    title="When did it come?",
    function="with_time",
    starter="""\
def with_time(xs, *, clock):
    ...
""",
    laws=(
        LAWS["stamps-ask-the-clock-they-are-given"],
        LAWS["stamps-tell-when-the-item-came"],
        LAWS["stamps-cost-one-pull-each"],
    ),
    hints=(
        "When is the item there: before your loop asks for it, or behind?",
        "One `for x in xs`, and in it one `yield` of a pair: `clock()` first, then `x`.",
    ),
    mutants=tuple(m for m in MUTANTS if m.of == "with_time"),
    withheld=("make_timestamp",),
)

THROTTLE = Exercise(
    id="m03c08e2",
    title="Never closer than the gap",
    function="throttle",
    starter="""\
def throttle(xs, *, gap, clock, sleeper):
    ...
""",
    laws=(
        LAWS["spaced-by-the-clock-it-is-given"],
        LAWS["spaced-by-the-gap"],
        LAWS["spaced-at-one-pull-each"],
        LAWS["spaced-between-items-alone"],
        LAWS["spaced-by-what-is-left-of-the-gap"],
    ),
    hints=(
        "The item is in your hand. When did the last one go, when may this one go, and what time is it now?",
        "Before the `yield`: call `sleeper` with `max(0, last + gap - clock())`, then read the clock anew for `last`. "
        "For the first item there is no `last`.",
    ),
    mutants=tuple(m for m in MUTANTS if m.of == "throttle"),
    withheld=("make_throttle", "make_rate_limit"),
)

RATE, BURST = 1, 2
"""The limit that the learner plays against: two visits at once, and one a second."""

DEBT = mutants_of("make_rate_limit", "burst_debt")
burst_debt = DEBT[0].impl
"""The wrong limit that the learner unmasks: its bucket never overflows."""


def let_through(limit: Callable[..., Any], visits: object) -> list[float]:
    """When `limit`, at one visit a second with bursts of two, lets each of the visits at these times through.

    >>> from funcpipe_rag import make_rate_limit
    >>> let_through(make_rate_limit, [0, 0, 0, 5])
    [0.0, 0.0, 1.0, 5.0]

    TypeError for anything but a list of times from 0 on, none before the one in front of it.
    """
    fit = isinstance(visits, list) and all(type(at) in (int, float) and 0 <= at < inf for at in visits)
    if not fit or not isinstance(visits, list) or visits != sorted(visits):
        raise TypeError(f"let_through: wants a list of rising times, in seconds, got {visits!r}")
    time = FakeTime()

    def coming() -> Iterator[float]:
        for at in visits:
            time.advance(max(0.0, at - time.clock()))
            yield at

    return [time.clock() for _ in limit(RATE, BURST, clock=time.clock, sleeper=time.sleep)(coming())]


def _crowded(served: list[float]) -> bool:
    """Whether more than burst + rate * t came through in some t seconds."""
    crowds = combinations(enumerate(served, start=1), 2)
    return any(last - first + 1 > BURST + RATE * (to - since) + 1e-6 for (first, since), (last, to) in crowds)


def _check_visits(world: World, visits: Callable[[], list[float]]) -> None:
    times = visits()
    short = isinstance(times, list) and len(times) <= 20
    if not short:
        raise other_shape(times, "a list of at most 20 times, in seconds")
    try:
        served = let_through(burst_debt, times)
    except TypeError:
        raise other_shape(times, "a list of rising times, in seconds, like [0, 0, 5]") from None
    holds(
        _crowded(served),
        f"the visits at {times} are let through at {served}, as they should be",
        f"more than {BURST} + t visits in some t seconds",
    )


VISITS = Exercise(
    id="m03c08e3",
    title="Unmask the limit that saves up",
    function="visits",
    starter="""\
def visits() -> list[float]:
    ...
""",
    laws=(
        Law(
            id="visits-unmask-the-flood",
            about="visits",
            promise="same answer",
            says="With these visits the wrong limit lets more than burst + rate * t through, in some t seconds.",
            hint="Its bucket never overflows. When does a bucket fill, and who empties it at one blow?",
            inputs={},
            label="your input",
            check=_check_visits,
        ),
    ),
    hints=(
        "The right bucket holds two tokens at most. When would the wrong one hold more?",
        "Let one visit come at the start, then nobody for a long time, then three at once.",
    ),
    mutants=DEBT,
)

EXERCISES = (WITH_TIME, THROTTLE, VISITS)
