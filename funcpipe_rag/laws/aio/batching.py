"""The laws of batches by size and time."""

from __future__ import annotations

import asyncio
from itertools import accumulate
from typing import Any

from funcpipe_rag.aio.ownership import close
from funcpipe_rag.aio.testing import schedule
from funcpipe_rag.laws.inputs import SourceSpec, choice, integers, items_of, sources, things
from funcpipe_rag.laws.law import holds, law, same, times
from funcpipe_rag.laws.worlds import World
from funcpipe_rag.streams.probe import Boom
from funcpipe_rag.streams.results import Err

from .fan_in import read_and_close

_SECONDS = choice(0.0, 1.0, 2.0, 5.0)
# Never a whole number of seconds, so that no item comes at the moment when the time is over.
_WAITS = choice(None, 0.5, 2.5)


@law(
    "abatch-is-a-list-cut-in-pieces",
    about="abatch",
    promise="same answer",
    says="Batches of max_size, in order; the last may be shorter, but not than min_size: then it is told, item by item.",
    hint="Count the items that went in, those that came out, and those that were told. Who is missing?",
    items=things(),
    max_size=integers(1, 4),
    min_size=integers(1, 4),
    max_wait=_WAITS,
)
async def _(
    world: World, abatch: Any, items: tuple[Any, ...], max_size: int, min_size: int, max_wait: float | None
) -> None:
    least = min(min_size, max_size)
    told: list[Err[Any]] = []
    stage = abatch(max_size, min_size=least, max_wait=max_wait, report=told.append)
    got = await world.aitems(stage(world.asource(SourceSpec(items))()))
    pieces = [list(items[at : at + max_size]) for at in range(0, len(items), max_size)]
    tail = pieces.pop() if pieces and len(pieces[-1]) < least else []
    same(got, pieces)
    same([one.item for one in told], tail, "it told of {}")


@law(
    "abatch-leaves-when-the-oldest-has-waited",
    about="abatch",
    promise="same answer",
    says="A batch leaves when it is full, or when its oldest item has waited max_wait and it has min_size items.",
    hint="When did the first item of that batch come? Who looks at the clock while nothing comes?",
    takes=items_of(_SECONDS, least=1),
    max_size=integers(1, 4),
    min_size=integers(1, 3),
    max_wait=choice(0.5, 2.5),
)
async def _(
    world: World, abatch: Any, takes: tuple[float, ...], max_size: int, min_size: int, max_wait: float
) -> None:
    least = min(min_size, max_size)
    # The last of the times is that of the end.
    spec = SourceSpec(tuple(range(len(takes) - 1)))
    stage = abatch(max_size, min_size=least, max_wait=max_wait, report=lambda _: None)
    came = await schedule(world.aiterator(stage(world.asource(spec, takes=takes)())))
    same(came, _due(takes, max_size, least, max_wait))


def _due(takes: tuple[float, ...], most: int, least: int, wait: float) -> list[tuple[float, list[int]]]:
    due: list[tuple[float, list[int]]] = []
    batch: list[int] = []
    over = 0.0
    *arrivals, end = accumulate(takes)
    for item, at in enumerate(arrivals):
        if len(batch) >= least and over < at:
            due.append((over, batch))
            batch = []
        over = over if batch else at + wait
        batch = [*batch, item]
        if len(batch) == most or (len(batch) >= least and over < at):
            due.append((at, batch))
            batch = []
    return [*due, (min(over, end), batch)] if len(batch) >= least else due


@law(
    "abatch-loses-nothing-to-the-clock",
    about="abatch",
    promise="same answer",
    says="However busy you are and whenever the time is over, every item comes, once and in its turn.",
    hint="The time was over while an item was on its way. What became of the one who was waiting for it?",
    takes=items_of(_SECONDS),
    max_size=integers(1, 4),
    max_wait=choice(0.5, 2.5),
    busy=_SECONDS,
)
async def _(
    world: World, abatch: Any, takes: tuple[float, ...], max_size: int, max_wait: float, busy: float
) -> None:
    spec = SourceSpec(tuple(range(len(takes))))
    stage = abatch(max_size, max_wait=max_wait)
    got: list[int] = []
    # A generator, as most inputs are: one that is cancelled in the middle of a pull has ended.
    async for batch in world.aiterator(stage(x async for x in world.asource(spec, takes=takes)())):
        holds(1 <= len(batch) <= max_size, f"a batch of {len(batch)}", f"1 to {max_size} items")
        got += batch
        await asyncio.sleep(busy)
    same(got, list(spec.items))


@law(
    "abatch-passes-errors-on",
    about="abatch",
    promise="same answer",
    late=True,
    says="An error of the input comes behind the items before it, which are a short batch.",
    hint="The error comes when a batch is half full. Who gets the items that are there?",
    source=sources(things(), "raises", handed=["iterator"]),
    max_size=integers(1, 4),
    max_wait=_WAITS,
)
async def _(world: World, abatch: Any, source: SourceSpec, max_size: int, max_wait: float | None) -> None:
    stream = world.aiterator(abatch(max_size, max_wait=max_wait)(world.asource(source)()))
    got: list[Any] = []
    raised = False
    try:
        async for batch in stream:
            got.append(batch)
    except Boom:
        raised = True
    finally:
        await close(stream)
    given = source.given
    same(
        got, [given[at : at + max_size] for at in range(0, len(given), max_size)], "before the error came {}"
    )
    holds(raised, "it ended", "the input's error")


@law(
    "abatch-asks-for-no-more-than-it-needs",
    about="abatch",
    promise="on demand",
    says="k batches cost k * max_size pulls; with max_wait, one item more may come while you are busy.",
    hint="Is the next item needed to know that this batch is full?",
    max_size=integers(1, 4),
    max_wait=_WAITS,
    k=integers(0, 3),
)
async def _(world: World, abatch: Any, max_size: int, max_wait: float | None, k: int) -> None:
    source = world.asource(SourceSpec(endless=True))
    stream = world.aiterator(abatch(max_size, max_wait=max_wait)(source()))
    for _ in range(k):
        await anext(stream)
    await asyncio.sleep(10)
    pulls = source.probe.pulls
    await close(stream)
    most = k * max_size + (max_wait is not None) if k else 0
    holds(pulls <= most, f"you had {k} batches, and it had asked {times(pulls)}", f"at most {times(most)}")


@law(
    "abatch-starts-afresh",
    about="abatch",
    promise="fresh",
    says="Two streams of one stage do not share a batch, and a batch that was given does not change.",
    hint="Which list do you hand over, and which one do you go on filling?",
    items=things(),
    others=things(),
    max_size=integers(1, 3),
    max_wait=_WAITS,
)
async def _(
    world: World,
    abatch: Any,
    items: tuple[Any, ...],
    others: tuple[Any, ...],
    max_size: int,
    max_wait: float | None,
) -> None:
    stage = abatch(max_size, max_wait=max_wait)

    def pieces(of: tuple[Any, ...]) -> list[list[Any]]:
        return [list(of[at : at + max_size]) for at in range(0, len(of), max_size)]

    first = world.aiterator(stage(world.asource(SourceSpec(items))()))
    try:
        begun = [batch for batch in [await anext(first, close)] if batch is not close]
        second = stage(world.asource(SourceSpec(others), "other source")())
        same(await world.aitems(second), pieces(others), "the second stream gave {}")
        same([*begun, *[batch async for batch in first]], pieces(items), "the first stream gave {}")
    finally:
        await close(first)


@law(
    "abatch-closes-its-input",
    about="abatch",
    promise="closed",
    says="Stop half-way, and the input is closed, once, whatever is on its way; no task and no timer is left.",
    hint="You have stopped. Who stops the one who asks for the next item, and who closes what it reads?",
    source=sources(things(), "ends", "raises", "endless", handed=["iterator"]),
    takes=items_of(_SECONDS, most=4),
    max_size=integers(1, 3),
    max_wait=_WAITS,
    k=integers(1, 4),
)
async def _(
    world: World,
    abatch: Any,
    source: SourceSpec,
    takes: tuple[float, ...],
    max_size: int,
    max_wait: float | None,
    k: int,
) -> None:
    probe = world.asource(source, takes=takes)
    await read_and_close(world, abatch(max_size, max_wait=max_wait)(probe()), k, pause=0.25)
    closes = probe.probe.closes
    holds(closes == 1, f"the input was closed {times(closes)}", "once")
