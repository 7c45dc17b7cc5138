"""The laws of tasks joined by `|`."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any

from funcpipe_rag.aio import single_task as task_of_the_package
from funcpipe_rag.aio.probe import CallProbe
from funcpipe_rag.aio.testing import schedule
from funcpipe_rag.laws.inputs import SourceSpec, booleans, choice, integers, items_of, sources, things
from funcpipe_rag.laws.law import Broken, holds, law, same
from funcpipe_rag.laws.worlds import World
from funcpipe_rag.streams.probe import Boom
from funcpipe_rag.streams.reports import Report

_SECONDS = choice(0.0, 1.0, 2.0, 5.0)
"""How long a call takes; an item is its own delay."""

_GIVEN = choice(1, None, 0, "", [], [2, 3], [None], [[4]], (5, 6))
"""What a function gives; an item is its own result."""


def _waits() -> CallProbe:
    return CallProbe(takes={0.0: 0.0, 1.0: 1.0, 2.0: 2.0, 5.0: 5.0})


async def _as_it_is(item: Any) -> Any:
    return item


@law(
    "single-task-keeps-the-order",
    about="single_task",
    promise="same answer",
    says="Results come in the order of their items, however long each call takes.",
    hint="Which result may be handed on next: the one that is there, or the one whose turn it is?",
    items=items_of(_SECONDS),
    limit=integers(1, 4),
)
async def _(world: World, single_task: Any, items: tuple[float, ...], limit: int) -> None:
    task = single_task(concurrency_limit=limit)(_waits())
    same(await world.aitems(task(world.asource(SourceSpec(items))())), list(items))


@law(
    "single-task-drops-none-and-fans-lists-out",
    about="single_task",
    promise="same answer",
    says="None gives no item and a list gives its own; anything else, and anything in a list, is an item as it is.",
    hint="What is asked about a result: whether it is None, or whether it is true? And about what is in a list?",
    items=items_of(_GIVEN),
)
async def _(world: World, single_task: Any, items: tuple[Any, ...]) -> None:
    task = single_task()(_as_it_is)
    expected: list[Any] = []
    for item in items:
        expected += item if isinstance(item, list) else [] if item is None else [item]
    same(await world.aitems(task(world.asource(SourceSpec(items))())), expected)


@law(
    "single-task-raises-in-either-order",
    about="single_task",
    promise="same answer",
    says="Under on_error='fail' the error of a call reaches the reader, in order and as completed.",
    hint="Where does the error go when the call has failed and nobody is waiting for that one?",
    many=integers(1, 5),
    failing=integers(0, 4),
    completed=booleans(),
)
async def _(world: World, single_task: Any, many: int, failing: int, completed: bool) -> None:
    task = single_task(concurrency_limit=2)(CallProbe(fails=[failing]))
    source = world.asource(SourceSpec(tuple(range(many))))()
    stream = task.as_completed(source) if completed else task(source)
    try:
        got = await world.aitems(stream)
    except Boom:
        holds(failing < many, "an error came", "none: no call has failed")
        return
    holds(failing >= many, f"{got} and a clean end", f"the error of the call with {failing}")
    same(sorted(got), list(range(many)))


@law(
    "single-task-counts-what-it-drops",
    about="single_task",
    promise="same answer",
    says="Under on_error='skip_item' an item that failed is dropped and counted; what was left out with None is not.",
    hint="There are two ways for an item to go. Which of them is a failure, and who hears of it?",
    items=things(),
    failing=things(most=2),
)
async def _(world: World, single_task: Any, items: tuple[Any, ...], failing: tuple[Any, ...]) -> None:
    report = Report()
    task = single_task(on_error="skip_item", report=report)(CallProbe(fails=failing))
    got = await world.aitems(task(world.asource(SourceSpec(items))()))
    same(got, [item for item in items if item not in failing and item is not None])
    same(report.total, sum(item in failing for item in items), "the report counts {}")


@law(
    "single-task-keeps-to-its-limit",
    about="single_task",
    promise="on demand",
    says="There are never more calls in flight than concurrency_limit.",
    hint="Who counts the calls that run, and who waits when there are enough?",
    items=items_of(_SECONDS),
    limit=integers(1, 3),
    completed=booleans(),
)
async def _(world: World, single_task: Any, items: tuple[float, ...], limit: int, completed: bool) -> None:
    calls = _waits()
    task = single_task(concurrency_limit=limit)(calls)
    source = world.asource(SourceSpec(items))()
    await world.aitems(task.as_completed(source) if completed else task(source))
    holds(calls.most <= limit, f"{calls.most} calls were in flight", f"at most {limit}")


@law(
    "single-task-pulls-no-further-than-its-limit",
    about="single_task",
    promise="on demand",
    says="To give k results, a task asks its input for at most k + concurrency_limit items.",
    hint="The reader has taken so many. Who takes items from the input, and what makes that one wait?",
    taken=integers(1, 3),
    limit=integers(1, 3),
    completed=booleans(),
)
async def _(world: World, single_task: Any, taken: int, limit: int, completed: bool) -> None:
    source = world.asource(SourceSpec(endless=True), budget=taken + limit)()
    task = single_task(concurrency_limit=limit)(CallProbe())
    stream = world.aiterator(task.as_completed(source) if completed else task(source))
    async with aclosing(stream):  # type: ignore[type-var]
        for _ in range(taken):
            await anext(stream)
        # Whoever reads ahead has all the time to do so.
        await asyncio.sleep(1)


@law(
    "single-task-keeps-runs-apart",
    about="single_task",
    promise="fresh",
    says="Two runs that are read in turns, each with its own side input, never see the other's.",
    hint="with_inputs gives a task. Is it a new one? Where is the side input kept while a run goes on?",
    items=items_of(integers(0, 3), least=1, most=3),
    one=integers(1, 2),
    other=integers(3, 4),
)
async def _(world: World, single_task: Any, items: tuple[int, ...], one: int, other: int) -> None:
    async def with_beside(item: int, beside: int) -> tuple[int, int]:
        await asyncio.sleep(0)
        return item, beside

    task = single_task(concurrency_limit=1)(with_beside)
    first = task.with_inputs(one)(world.asource(SourceSpec(items), "source 0")())
    second = task.with_inputs(other)(world.asource(SourceSpec(items), "source 1")())
    got = []
    async with aclosing(world.aiterator(first)) as first, aclosing(world.aiterator(second)) as second:  # type: ignore[type-var]
        for _ in items:
            got += [await anext(first), await anext(second)]
    same(got, [(item, beside) for item in items for beside in (one, other)])


@law(
    "single-task-leaves-no-call-behind",
    about="single_task",
    promise="closed",
    says="When a reader stops early, every call has ended and the input is closed before the close returns.",
    hint="Who ends the calls that nobody waits for any more, and who waits until they have ended?",
    many=integers(1, 5),
    limit=integers(1, 3),
    completed=booleans(),
)
async def _(world: World, single_task: Any, many: int, limit: int, completed: bool) -> None:
    calls = CallProbe(takes={item: float(item) for item in range(many)}, cleanup=1.0)
    source = world.asource(SourceSpec(tuple(range(many))))
    task = single_task(concurrency_limit=limit)(calls)
    stream = world.aiterator(task.as_completed(source()) if completed else task(source()))
    async with aclosing(stream):  # type: ignore[type-var]
        await anext(stream)
    holds(not calls.live, f"{calls.live} calls were still running after the close", "none")
    holds(source.probe.closes == 1, f"the input was closed {source.probe.closes} times", "once")


@law(
    "batch-task-takes-full-batches-and-tells-of-a-short-tail",
    about="batch_task",
    promise="same answer",
    says="Each call gets max_size items, the last one what is left; what is less than min_size is counted instead.",
    hint="At the end some items are left over. Who gets them, and if nobody does, who is told?",
    items=items_of(integers(0, 5)),
    least=integers(1, 3),
    more=integers(0, 2),
)
async def _(world: World, batch_task: Any, items: tuple[int, ...], least: int, more: int) -> None:
    report = Report()
    most = least + more
    task = batch_task(min_size=least, max_size=most, flatten=False, report=report)(_as_it_is)
    expected = [list(items[place : place + most]) for place in range(0, len(items), most)]
    short = expected.pop() if expected and len(expected[-1]) < least else []
    same(await world.aitems(task(world.asource(SourceSpec(items))())), expected)
    same(report.total, len(short), "the report counts {}")


@law(
    "batch-task-calls-side-by-side",
    about="batch_task",
    promise="same answer",
    says="Up to concurrency_limit batches are in their calls together, and results come in the order of the batches.",
    hint="The second batch is full and the first call has not ended. What does the second one wait for?",
    items=items_of(_SECONDS, least=1),
    limit=integers(2, 4),
)
async def _(world: World, batch_task: Any, items: tuple[float, ...], limit: int) -> None:
    async def slowest(batch: list[float]) -> float:
        await asyncio.sleep(max(batch))
        return max(batch)

    task = batch_task(max_size=2, concurrency_limit=limit)(slowest)
    came = await schedule(task(world.asource(SourceSpec(items))()))
    handed: list[tuple[float, float]] = []
    for place in range(0, len(items), 2):
        seconds = max(items[place : place + 2])
        begun = handed[place // 2 - limit][0] if place // 2 >= limit else 0.0
        handed.append((max([begun + seconds, *(at for at, _ in handed[-1:])]), seconds))
    same(came, handed, "it gave, each with its time, {}")


@law(
    "batch-task-raises-what-a-batch-raises",
    about="batch_task",
    promise="same answer",
    says="Under on_error='skip_batch' a batch that failed is dropped, and each of its items counted; under 'fail' it is raised.",
    hint="How many items does the stream lose with a batch, and how many is the reader told of?",
    items=items_of(integers(0, 3)),
    skips=booleans(),
)
async def _(world: World, batch_task: Any, items: tuple[int, ...], skips: bool) -> None:
    async def total(batch: list[int]) -> int:
        if 3 in batch:
            raise Boom("a batch with a 3")
        return sum(batch)

    report = Report()
    task = batch_task(max_size=2, on_error="skip_batch" if skips else "fail", report=report)(total)
    batches = [items[place : place + 2] for place in range(0, len(items), 2)]
    failed = [batch for batch in batches if 3 in batch]
    try:
        got = await world.aitems(task(world.asource(SourceSpec(items))()))
    except Boom:
        holds(bool(failed) and not skips, "an error came", "none")
        return
    holds(skips or not failed, f"{got} and a clean end", "the error of the batch that failed")
    same(got, [sum(batch) for batch in batches if 3 not in batch])
    same(report.total, sum(map(len, failed)), "the report counts {}")


@law(
    "batch-task-asks-for-what-its-batches-hold",
    about="batch_task",
    promise="on demand",
    says="To give k results, a task asks for at most k + concurrency_limit batches of items.",
    hint="How many batches are wanted now, and how many items is that?",
    taken=integers(1, 2),
    size=integers(1, 3),
    limit=integers(1, 2),
)
async def _(world: World, batch_task: Any, taken: int, size: int, limit: int) -> None:
    source = world.asource(SourceSpec(endless=True), budget=(taken + limit) * size)()
    stream = world.aiterator(batch_task(max_size=size, concurrency_limit=limit)(_as_it_is)(source))
    async with aclosing(stream):  # type: ignore[type-var]
        for _ in range(taken):
            await anext(stream)
        await asyncio.sleep(1)


@law(
    "batch-task-begins-every-run-with-nothing",
    about="batch_task",
    promise="fresh",
    says="A run that was left in the middle of a batch leaves nothing to the next one.",
    hint="Where are the items kept that wait for their batch to be full? Does that live longer than the stream?",
    spec=sources(),
    size=integers(2, 3),
)
async def _(world: World, batch_task: Any, spec: SourceSpec, size: int) -> None:
    task = batch_task(max_size=size, flatten=False)(_as_it_is)
    broken = SourceSpec((7,), raises_at=1)
    try:
        await world.aitems(task(world.asource(broken, "source 0")()))
    except Boom:
        pass
    else:
        raise Broken("the error of the input was lost", "the error")
    items = list(spec.items)
    got = await world.aitems(task(world.asource(spec, "source 1")()))
    same(got, [items[place : place + size] for place in range(0, len(items), size)])


@law(
    "batch-task-leaves-no-call-behind",
    about="batch_task",
    promise="closed",
    says="When a reader stops early, every call has ended and the input is closed before the close returns.",
    hint="Who ends the calls that nobody waits for any more, and who waits until they have ended?",
    many=integers(1, 5),
    limit=integers(1, 3),
)
async def _(world: World, batch_task: Any, many: int, limit: int) -> None:
    live = 0

    async def waits(batch: list[int]) -> int:
        nonlocal live
        live += 1
        try:
            await asyncio.sleep(batch[0])
        except asyncio.CancelledError:
            await asyncio.sleep(1)
            raise
        finally:
            live -= 1
        return batch[0]

    source = world.asource(SourceSpec(tuple(range(1, many + 1))))
    stream = world.aiterator(batch_task(max_size=1, concurrency_limit=limit)(waits)(source()))
    async with aclosing(stream):  # type: ignore[type-var]
        await anext(stream)
    holds(not live, f"{live} calls were still running after the close", "none")
    holds(source.probe.closes == 1, f"the input was closed {source.probe.closes} times", "once")


@law(
    "context-is-that-of-the-run",
    about="get_current_context",
    promise="same answer",
    says="Two pipelines that are read in turns see each its own context, and their reader sees none.",
    hint="Two runs are on their way in one loop. Whose context is in force while the other's call runs?",
    turns=integers(1, 3),
    limit=integers(1, 2),
)
async def _(world: World, get_current_context: Any, turns: int, limit: int) -> None:
    @task_of_the_package(concurrency_limit=limit)
    async def name(item: int) -> str:
        await asyncio.sleep(0)
        context = get_current_context()
        return "none" if context is None else str(context.data.get("name"))

    items = range(turns)
    got = []
    async with name.with_context(name="A")(items) as a, name.with_context(name="B")(items) as b:
        for _ in items:
            got += [await anext(a), await anext(b)]
            holds(get_current_context() is None, "the reader has a context", "None, it is no task")
    same(got, ["A", "B"] * turns)


@law(
    "context-is-new-with-every-run",
    about="get_current_context",
    promise="fresh",
    says="All calls of a run share one context, and the next run of the same pipeline has another, with data of its own.",
    hint="What did the first run write into its data? And where does the second one read it?",
    first=integers(1, 3),
    second=integers(1, 3),
)
async def _(world: World, get_current_context: Any, first: int, second: int) -> None:
    @task_of_the_package(concurrency_limit=1, flatten=False)
    async def seen(item: int) -> list[int]:
        context = get_current_context()
        if context is None:
            return []
        context.data["seen"].append(item)
        return list(context.data["seen"])

    pipeline = seen.with_context(seen=[])
    for many in (first, second):
        got = await pipeline(range(many)).collect()
        same(got, [list(range(item + 1)) for item in range(many)])
