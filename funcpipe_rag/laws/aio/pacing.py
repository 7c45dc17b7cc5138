"""The laws of async streams and the clock.

The loop's own time is virtual, so whatever an implementation waits is known to the last digit and takes no time.
Times are quarters of seconds, which add up exactly.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import aclosing
from itertools import pairwise
from typing import Any, cast

from funcpipe_rag.aio.testing import schedule
from funcpipe_rag.laws.inputs import SourceSpec, choice, integers, items_of
from funcpipe_rag.laws.law import Broken, holds, law, same, times
from funcpipe_rag.laws.worlds import World
from funcpipe_rag.streams.pacing import FakeTime

from .passing import laws_of_passing

Seconds = tuple[float, ...]

_GAPS = choice(1.0, 0.5, 0.25, 2.0)
_RATES = choice(1.0, 2.0, 4.0, 0.5)
_PAUSES = choice(0.0, 0.25, 0.5, 1.5)
_WORK = items_of(choice(0.0, 0.25, 0.5, 1.0, 1.5, 4.0), most=6)

laws_of_passing("athrottle", {"gap": _GAPS}, lambda athrottle, gap: athrottle(gap))
laws_of_passing(
    "arate_limit",
    {"rate": _RATES, "burst": integers(1, 3)},
    lambda arate_limit, rate, burst: arate_limit(rate, burst),
)
laws_of_passing("atimeout", {"seconds": _GAPS}, lambda atimeout, seconds: atimeout(seconds))


def _now() -> float:
    return asyncio.get_running_loop().time()


async def _came(world: World, stage: Any, work: Seconds, pause: float = 0.0) -> list[float]:
    """When each item came to a reader who pauses after each, from a source that works before each."""
    at = []
    stream = world.aiterator(stage(world.asource(SourceSpec(tuple(range(len(work)))), takes=work)()))
    async for _ in stream:
        at.append(_now())
        holds(len(at) <= len(work), f"it gave more than {len(work)} items", "an end")
        await asyncio.sleep(pause)
    holds(len(at) == len(work), f"{len(at)} items came", f"{len(work)}")
    return at


def _not_later(came: list[float], must: Iterable[float]) -> None:
    for place, (at, latest) in enumerate(zip(came, must, strict=True)):
        holds(at <= latest, f"item {place} came at {at} s", f"at {latest} s at the latest")


async def _asks(world: World, factory: Any, *config: Any) -> None:
    """Break the law unless it reads the clock and awaits the sleeper that it is given."""
    time = FakeTime()

    async def sleeper(seconds: float) -> None:
        time.sleep(seconds)

    await world.aitems(factory(*config, clock=time.clock, sleeper=sleeper)("abc"))
    holds(_now() == 0, f"it waited {_now()} s on the loop's own time", "nothing there")
    holds(bool(time.sleeps), "the sleeper that it was given was never called", "called, to wait")


@law(
    "athrottle-asks-the-clock-it-is-given",
    about="athrottle",
    promise="same answer",
    says="The time comes from the clock that it is given, and it waits with the sleeper that it is given.",
    hint="Whose clock tells the time in a test that must not wait?",
    gap=_GAPS,
)
async def _(world: World, athrottle: Any, gap: float) -> None:
    await _asks(world, athrottle, gap)


@law(
    "athrottle-keeps-the-gap",
    about="athrottle",
    promise="same answer",
    says="Two items are never closer together than the gap.",
    hint="From when to when did it measure: from the last item that came, or from something before it?",
    gap=_GAPS,
    work=_WORK,
)
async def _(world: World, athrottle: Any, gap: float, work: Seconds) -> None:
    came = await _came(world, athrottle(gap), work)
    for place, (at, then) in enumerate(pairwise(came)):
        apart = f"items {place} and {place + 1} came {then - at} s apart"
        holds(then - at >= gap, apart, f"at least {gap} s")


@law(
    "athrottle-waits-only-for-what-is-left",
    about="athrottle",
    promise="same answer",
    says="Work counts, the source's and yours: it waits only for what is left of the gap.",
    hint="How much of the gap had gone by when the next item was there?",
    gap=_GAPS,
    work=_WORK,
    pause=_PAUSES,
)
async def _(world: World, athrottle: Any, gap: float, work: Seconds, pause: float) -> None:
    came = await _came(world, athrottle(gap), work, pause)
    must: list[float] = []
    for seconds in work:
        ready = must[-1] + pause + seconds if must else seconds
        must.append(max(ready, must[-1] + gap) if must else ready)
    _not_later(came, must)


@law(
    "athrottle-waits-only-between-items",
    about="athrottle",
    promise="same answer",
    says="The first item comes at once, and behind the last one nobody waits.",
    hint="How many gaps lie between n items?",
    gap=_GAPS,
    n=integers(0, 4),
)
async def _(world: World, athrottle: Any, gap: float, n: int) -> None:
    await _came(world, athrottle(gap), (0.0,) * n)
    needed = gap * max(n - 1, 0)
    holds(_now() <= needed, f"the end came at {_now()} s", f"at {needed} s")


@law(
    "athrottle-gives-each-run-its-own-time",
    about="athrottle",
    promise="fresh",
    says="The first item of every run comes at once, whatever another run did before.",
    hint="Where is the time of the last item kept: in the stage, or in the run?",
    gap=_GAPS,
    n=integers(1, 3),
)
async def _(world: World, athrottle: Any, gap: float, n: int) -> None:
    stage = athrottle(gap)
    await _came(world, stage, (0.0,) * n)
    now = _now()
    (came,) = await _came(world, stage, (0.0,))
    holds(came == now, f"the second run's first item came {came - now} s late", "at once")


@law(
    "arate-limit-asks-the-clock-it-is-given",
    about="arate_limit",
    promise="same answer",
    says="The time comes from the clock that it is given, and it waits with the sleeper that it is given.",
    hint="Whose clock tells the time in a test that must not wait?",
    rate=_RATES,
)
async def _(world: World, arate_limit: Any, rate: float) -> None:
    await _asks(world, arate_limit, rate, 1)


@law(
    "arate-limit-keeps-the-bound-in-any-window",
    about="arate_limit",
    promise="same answer",
    says="In any t seconds, wherever they begin, at most burst + rate * t items come.",
    hint="What may a long rest earn, and no more?",
    rate=_RATES,
    burst=integers(1, 3),
    work=_WORK,
)
async def _(world: World, arate_limit: Any, rate: float, burst: int, work: Seconds) -> None:
    came = await _came(world, arate_limit(rate, burst), work)
    for last, then in enumerate(came):
        for first, at in enumerate(came[: last + 1]):
            many, most = last - first + 1, burst + rate * (then - at)
            expected = f"at most {burst} + {rate} * {then - at} = {most}"
            holds(many <= most, f"{many} items came from {at} s to {then} s", expected)


@law(
    "arate-limit-waits-no-longer-than-it-must",
    about="arate_limit",
    promise="same answer",
    says="An item comes as soon as the bound allows, and behind the last one nobody waits.",
    hint="How many tokens were in the bucket by then? A whole one is enough.",
    rate=_RATES,
    burst=integers(1, 3),
    work=_WORK,
    pause=_PAUSES,
)
async def _(world: World, arate_limit: Any, rate: float, burst: int, work: Seconds, pause: float) -> None:
    came = await _came(world, arate_limit(rate, burst), work, pause)
    must: list[float] = []
    for place, seconds in enumerate(work):
        ready = must[-1] + pause + seconds if must else seconds
        bounds = [at + (place - first + 1 - burst) / rate for first, at in enumerate(must)]
        must.append(max([ready, *bounds]))
    _not_later(came, must)
    end = came[-1] + pause if came else 0.0
    holds(_now() <= end, f"the end came at {_now()} s", f"at {end} s")


@law(
    "arate-limit-gives-each-run-its-own-bucket",
    about="arate_limit",
    promise="fresh",
    says="Every run begins with a full bucket, whatever another run took before.",
    hint="Where are the tokens kept: in the stage, or in the run?",
    rate=_RATES,
    burst=integers(1, 3),
)
async def _(world: World, arate_limit: Any, rate: float, burst: int) -> None:
    stage = arate_limit(rate, burst)
    for run in (1, 2):
        await _came(world, stage, (0.0,) * burst)
        holds(_now() == 0, f"run {run} waited {_now()} s within its first burst", "not at all")


@law(
    "atimeout-limits-each-item",
    about="atimeout",
    promise="same answer",
    says="An item that is not there in time ends the stream with TimeoutError, at that moment; each has its own time.",
    hint="From when does it count: from the question for this item, or from the beginning?",
    seconds=_GAPS,
    work=_WORK,
    pause=_PAUSES,
)
async def _(world: World, atimeout: Any, seconds: float, work: Seconds, pause: float) -> None:
    # In time, or late: nobody promises what comes of an item that is there at the very moment.
    work = tuple(one for one in work if one != seconds)
    in_time = next((place for place, one in enumerate(work) if one > seconds), len(work))
    stream = world.aiterator(atimeout(seconds)(world.asource(SourceSpec(work), takes=work)()))
    got, ended = [], "the end"
    try:
        async for item in stream:
            got.append(item)
            await asyncio.sleep(pause)
    except TimeoutError:
        ended = "TimeoutError"
    except asyncio.CancelledError:
        hint = "Its limit went off while the reader worked. Whose task was inside the `async with` by then?"
        raise Broken("the reader was cancelled", "TimeoutError, from the stream", hint) from None
    same(got, list(work[:in_time]), "it gave {}")
    same(ended, "the end" if in_time == len(work) else "TimeoutError", "then came {}")
    late = seconds if in_time < len(work) else 0.0
    same(_now(), sum(work[:in_time]) + pause * in_time + late, "that was at {} s")


@law(
    "atimeout-closes-what-is-late",
    about="atimeout",
    promise="closed",
    says="An input that is too late is stopped and closed before you hear of it.",
    hint="The reader has been told. Who is still waiting for the item?",
    seconds=_GAPS,
)
async def _(world: World, atimeout: Any, seconds: float) -> None:
    waits: list[str] = []

    async def late() -> AsyncIterator[int]:
        try:
            await asyncio.sleep(60)
            yield 0
        finally:
            waits.append("ended")

    source = world.asource(SourceSpec((0,)), takes=[60.0])
    for xs in (late(), source()):
        try:
            await schedule(world.aiterator(atimeout(seconds)(xs)))
        except TimeoutError:
            continue
        raise Broken("an item came, or the end", "TimeoutError")
    same(waits, ["ended"], "of the waiting it is known: {}")
    holds(source.probe.closes == 1, f"the input was closed {times(source.probe.closes)}", "once")


@law(
    "atimeout-passes-on-a-timeout-that-is-not-its-own",
    about="atimeout",
    promise="same answer",
    late=True,
    says="A TimeoutError of the input is an error of the input: it comes as it is.",
    hint="How does it know whose limit was passed?",
    seconds=_GAPS,
)
async def _(world: World, atimeout: Any, seconds: float) -> None:
    own = TimeoutError("the database says so")

    async def gives_up() -> AsyncIterator[int]:
        yield 0
        raise own

    stream = cast(Any, world.aiterator(atimeout(seconds)(gives_up())))
    async with aclosing(stream):
        try:
            await anext(stream)
            await anext(stream)
        except TimeoutError as error:
            holds(error is own, f"another error came: {error}", "the input's own")
            return
    raise Broken("an item came, or the end", "the input's own error")
