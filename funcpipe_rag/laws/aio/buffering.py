"""The laws of a buffer between an input and its reader."""

from __future__ import annotations

import asyncio
from typing import Any

from funcpipe_rag.aio.ownership import close
from funcpipe_rag.aio.testing import schedule
from funcpipe_rag.laws.inputs import SourceSpec, choice, integers, items_of, sources, things
from funcpipe_rag.laws.law import holds, law, same, times
from funcpipe_rag.laws.worlds import World
from funcpipe_rag.streams.probe import Boom

from .fan_in import read_and_close

_SECONDS = choice(0.0, 1.0, 2.0, 5.0)


@law(
    "abuffer-changes-nothing",
    about="abuffer",
    promise="same answer",
    says="What comes out is what went in, in the same order, to the last item; an error comes behind all items before it.",
    hint="The input has ended, or failed. What is still in the buffer then?",
    source=sources(things(), "ends", "raises", handed=["iterator"]),
    n=integers(0, 3),
)
async def _(world: World, abuffer: Any, source: SourceSpec, n: int) -> None:
    stream = world.aiterator(abuffer(n)(world.asource(source)()))
    got: list[Any] = []
    raised = False
    try:
        async for item in stream:
            got.append(item)
    except Boom:
        raised = True
    finally:
        await close(stream)
    same(got, source.given)
    raises = source.raises_at is not None
    holds(
        raised == raises, "it raised" if raised else "it ended", "the input's error" if raises else "an end"
    )


@law(
    "abuffer-fills-while-you-are-busy",
    about="abuffer",
    promise="same answer",
    says="While you are busy with an item, the next ones come: you wait only for what has not come by then.",
    hint="You take two seconds for an item, and the input one. What does it do while you are at work?",
    takes=items_of(_SECONDS, least=1),
    n=integers(1, 3),
    busy=_SECONDS,
)
async def _(world: World, abuffer: Any, takes: tuple[float, ...], n: int, busy: float) -> None:
    loop = asyncio.get_running_loop()
    came: list[float] = []
    async for _ in world.aiterator(abuffer(n)(world.asource(SourceSpec(takes), takes=takes)())):
        came.append(loop.time())
        await asyncio.sleep(busy)
    # An item is asked for when the one before it has come, and the one n places before it has been handed on.
    there: list[float] = []
    handed: list[float] = []
    for place, seconds in enumerate(takes):
        asked = max([0.0, *there[-1:], *([handed[place - n]] if place >= n else [])])
        there.append(asked + seconds)
        handed.append(max([there[-1], *(at + busy for at in handed[-1:])]))
    same(came, handed, "items came at {}")


@law(
    "abuffer-reads-n-ahead",
    about="abuffer",
    promise="on demand",
    says="When you have had k items, k + n have been asked for; before your first question, none.",
    hint="How many items wait in the buffer while you are busy, and how many are on their way to it?",
    k=integers(0, 4),
    n=integers(0, 3),
)
async def _(world: World, abuffer: Any, k: int, n: int) -> None:
    source = world.asource(SourceSpec(endless=True))
    stream = world.aiterator(abuffer(n)(source()))
    for _ in range(k):
        await anext(stream)
    await asyncio.sleep(10)
    pulls = source.probe.pulls
    await close(stream)
    same(pulls, k + n if k else 0, f"you had {k} items, and it had asked {{}} times")


@law(
    "abuffer-starts-afresh",
    about="abuffer",
    promise="fresh",
    says="Two streams of one stage do not share a buffer.",
    hint="What is kept outside the function that runs for each stream?",
    items=things(),
    others=things(),
    n=integers(0, 3),
)
async def _(world: World, abuffer: Any, items: tuple[Any, ...], others: tuple[Any, ...], n: int) -> None:
    stage = abuffer(n)
    first = world.aiterator(stage(world.asource(SourceSpec(items))()))
    try:
        begun = [item for item in [await anext(first, close)] if item is not close]
        second = stage(world.asource(SourceSpec(others), "other source")())
        same(await world.aitems(second), list(others), "the second stream gave {}")
        same([*begun, *[item async for item in first]], list(items), "the first stream gave {}")
    finally:
        await close(first)


@law(
    "abuffer-closes-its-input",
    about="abuffer",
    promise="closed",
    says="Stop half-way, and the input is closed, once, whatever is on its way; no task is left.",
    hint="You have stopped. Who stops the one who fills the buffer, and who closes what it reads?",
    source=sources(things(), "ends", "raises", "endless", handed=["iterator"]),
    takes=items_of(_SECONDS, most=4),
    n=integers(0, 3),
    k=integers(1, 5),
)
async def _(world: World, abuffer: Any, source: SourceSpec, takes: tuple[float, ...], n: int, k: int) -> None:
    probe = world.asource(source, takes=takes)
    await read_and_close(world, abuffer(n)(probe()), k, pause=0.25)
    closes = probe.probe.closes
    holds(closes == 1, f"the input was closed {times(closes)}", "once")


@law(
    "abuffer-nought-holds-nothing",
    about="abuffer",
    promise="on demand",
    says="abuffer(0) asks when it is asked: the times add up as if it were not there.",
    hint="Which comparison decides that there is room, and what does it say when n is 0?",
    takes=items_of(_SECONDS),
    k=integers(0, 4),
)
async def _(world: World, abuffer: Any, takes: tuple[float, ...], k: int) -> None:
    spec = SourceSpec(takes)
    came = await schedule(world.aiterator(abuffer(0)(world.asource(spec, takes=takes)())))
    plain = await _shifted(world.asource(spec, "the same", takes=takes)())
    same([item for _, item in came], [item for _, item in plain])
    same([at for at, _ in came], [at for at, _ in plain], "items came at {}")
    budgeted = world.asource(SourceSpec(endless=True), "endless", budget=k)
    await read_and_close(world, abuffer(0)(budgeted()), k, pause=1)


async def _shifted(xs: Any) -> list[tuple[float, Any]]:
    """The schedule of a stream, as if it had been begun at 0."""
    began = asyncio.get_running_loop().time()
    return [(at - began, item) for at, item in await schedule(xs)]
