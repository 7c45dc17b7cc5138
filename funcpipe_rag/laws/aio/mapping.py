"""The laws of a function of each item, some calls at a time."""

from __future__ import annotations

from typing import Any

from funcpipe_rag.aio.probe import CallProbe
from funcpipe_rag.aio.testing import schedule
from funcpipe_rag.laws.inputs import SourceSpec, booleans, choice, integers, items_of
from funcpipe_rag.laws.law import holds, law, same
from funcpipe_rag.laws.worlds import World

_SECONDS = choice(0.0, 1.0, 2.0, 5.0)
"""How long a call takes; an item is its own delay."""


@law(
    "amap-keeps-the-order",
    about="amap",
    promise="same answer",
    says="Results come in the order of their items, however long each call takes.",
    hint="Which result may be handed on next: the one that is there, or the one whose turn it is?",
    items=items_of(_SECONDS),
    concurrency=integers(1, 4),
)
async def _(world: World, amap: Any, items: tuple[float, ...], concurrency: int) -> None:
    calls = CallProbe(takes={seconds: seconds for seconds in items})
    stream = amap(calls, concurrency=concurrency)(world.asource(SourceSpec(items))())
    same(await world.aitems(stream), list(items))


@law(
    "amap-hands-on-what-is-ready",
    about="amap",
    promise="same answer",
    says="A result is handed on at the moment when it and all before it are there.",
    hint="The first result is there and the others are not. What is the loop still waiting for?",
    items=items_of(_SECONDS, least=1),
    concurrency=integers(2, 4),
)
async def _(world: World, amap: Any, items: tuple[float, ...], concurrency: int) -> None:
    calls = CallProbe(takes={seconds: seconds for seconds in items})
    came = await schedule(amap(calls, concurrency=concurrency)(world.asource(SourceSpec(items))()))
    # A call begins when one of `concurrency` places is free: that of the result handed on so many items before.
    handed: list[float] = []
    for place, seconds in enumerate(items):
        begun = handed[place - concurrency] if place >= concurrency else 0.0
        handed.append(max([begun + seconds, *handed[-1:]]))
    same([at for at, _ in came], handed, "results came at {}")


@law(
    "amap-keeps-to-its-concurrency",
    about="amap",
    promise="on demand",
    says="There are never more calls in flight than `concurrency`, in either order.",
    hint="Where is it counted how many calls are running, and who waits when there are enough?",
    items=items_of(_SECONDS),
    concurrency=integers(1, 3),
    ordered=booleans(),
)
async def _(world: World, amap: Any, items: tuple[float, ...], concurrency: int, ordered: bool) -> None:
    calls = CallProbe(takes={seconds: seconds for seconds in items})
    stream = amap(calls, concurrency=concurrency, ordered=ordered)(world.asource(SourceSpec(items))())
    await world.aitems(stream)
    holds(calls.most <= concurrency, f"{calls.most} calls were in flight", f"at most {concurrency}")
