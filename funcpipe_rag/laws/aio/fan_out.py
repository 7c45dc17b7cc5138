"""The laws of one async stream into many."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from funcpipe_rag.laws.inputs import SourceSpec, booleans, choice, integers, numbers, several, sources, things
from funcpipe_rag.laws.law import Broken, holds, law, same, times
from funcpipe_rag.laws.worlds import World
from funcpipe_rag.streams.probe import Boom

from .passing import gives_then_fails

_SECONDS = choice(0.0, 1.0, 2.0)
_LONG = 60.0
"""Longer than anything here takes, in virtual time."""


async def _came(branch: Any) -> str:
    """What the next question gives, in words; `nothing` where it waits for ever."""
    try:
        async with asyncio.timeout(_LONG):
            return repr(await anext(branch))
    except TimeoutError:
        return "nothing"
    except StopAsyncIteration:
        return "the end"
    except (BufferError, Boom) as error:
        return type(error).__name__


async def _closed(branches: Sequence[Any]) -> None:
    for branch in branches:
        with suppress(Boom):
            await branch.aclose()


@law(
    "abroadcast-gives-every-branch-every-item",
    about="abroadcast",
    promise="same answer",
    says="However fast each reader is, each gets every item, in order; nobody waits longer than the bound makes it.",
    hint="One reader is slow. What has become of the items that it has not read yet?",
    items=things(),
    paces=several(_SECONDS, least=1, most=3),
    maxlen=integers(1, 3),
)
async def _(world: World, abroadcast: Any, items: tuple[Any, ...], paces: list[float], maxlen: int) -> None:
    branches = abroadcast(world.asource(SourceSpec(items))(), len(paces), maxlen=maxlen)
    holds(len(branches) == len(paces), f"{len(branches)} branches", f"{len(paces)}")

    async def read(branch: Any, pace: float) -> list[Any]:
        got = []
        async for item in world.aiterator(branch):
            got.append(item)
            holds(len(got) <= len(items), f"it gave more than {len(items)} items", "an end")
            await asyncio.sleep(pace)
        return got

    async with asyncio.TaskGroup() as group:
        readers = [group.create_task(read(*one)) for one in zip(branches, paces, strict=True)]
    for place, reader in enumerate(readers):
        same(reader.result(), list(items), f"branch {place} gave {{}}")
    # The slowest reader sets the pace, and is itself never kept waiting.
    now = asyncio.get_running_loop().time()
    same(now, max(paces) * len(items), "that took {} s")


@law(
    "abroadcast-starts-nothing-at-birth",
    about="abroadcast",
    promise="on demand",
    says="Splitting a stream asks for nothing and begins nothing, however long you wait.",
    hint="What runs before anybody has asked for an item: a task, perhaps?",
    n=integers(1, 3),
)
async def _(world: World, abroadcast: Any, n: int) -> None:
    source = world.asource(SourceSpec(endless=True))
    branches = abroadcast(source(), n, maxlen=2)
    await asyncio.sleep(_LONG)
    pulls = source.probe.pulls
    await _closed(branches)
    holds(pulls == 0, f"{pulls} pulls before the first question", "0")


@law(
    "abroadcast-asks-once-for-each-item",
    about="abroadcast",
    promise="on demand",
    says="The stream is asked once for each item, when the branch that is ahead asks; the others read what is left there.",
    hint="In the row `source`, which item had nobody asked for yet?",
    n=integers(1, 3),
    asked=several(integers(0, 2), most=8),
)
async def _(world: World, abroadcast: Any, n: int, asked: list[int]) -> None:
    source = world.asource(SourceSpec(endless=True))
    branches = abroadcast(source(), n, maxlen=10)
    read = [0] * n
    for step, one in enumerate(asked):
        same(await _came(branches[one % n]), repr(read[one % n]), f"step {step} gave {{}}")
        read[one % n] += 1
        await asyncio.sleep(1)
        holds(source.probe.pulls == max(read), f"{source.probe.pulls} pulls by now", f"{max(read)}")
    await _closed(branches)


@law(
    "abroadcast-makes-the-leader-wait",
    about="abroadcast",
    promise="on demand",
    says="With nobody beside it, a branch gets maxlen items and waits; it goes on when the slower one has read.",
    hint="Which queue is full, and who looks before the stream is asked again?",
    n=integers(2, 3),
    maxlen=integers(1, 3),
)
async def _(world: World, abroadcast: Any, n: int, maxlen: int) -> None:
    # One item a second: where nothing bounds the leader, time does.
    source = world.asource(SourceSpec(endless=True), takes=[1.0] * 30)
    leader, *others = branches = abroadcast(source(), n, maxlen=maxlen)
    got: list[int] = []

    async def read() -> None:
        async for item in leader:
            got.append(item)

    reader = asyncio.create_task(read(), name="the leader")
    for behind in range(3):
        await asyncio.sleep(_LONG)
        same(got, list(range(maxlen + behind)), "the leader got {}")
        pulls = source.probe.pulls
        holds(pulls == maxlen + behind, f"{pulls} pulls", f"{maxlen + behind}")
        for place, other in enumerate(others, 1):
            same(await _came(other), repr(behind), f"branch {place} gave {{}}")
    await _closed(branches)
    await reader


@law(
    "abroadcast-refuses-before-it-pulls",
    about="abroadcast",
    promise="same answer",
    says='With when_full="raise", the pull that would drift further is refused, and all goes on when the slower one has read.',
    hint="A generator that has raised is finished. What was raised inside it, and what was in its hand?",
    maxlen=integers(1, 3),
)
async def _(world: World, abroadcast: Any, maxlen: int) -> None:
    source = world.asource(SourceSpec(endless=True))
    leader, other = branches = abroadcast(source(), 2, maxlen=maxlen, when_full="raise")
    expected = [*map(repr, range(maxlen)), "BufferError", "BufferError"]
    same([await _came(leader) for _ in expected], expected, "the leader got {}")
    holds(source.probe.pulls == maxlen, f"{source.probe.pulls} pulls", f"{maxlen}")
    same(await _came(other), "0", "the other one got {}")
    same(await _came(leader), repr(maxlen), "then the leader got {}")
    same([await _came(other) for _ in range(maxlen)], [*map(repr, range(1, maxlen + 1))], "the other got {}")
    await _closed(branches)


@law(
    "abroadcast-counts-what-it-drops",
    about="abroadcast",
    promise="same answer",
    says='With when_full="drop_oldest", a slow branch keeps the newest maxlen items, and every other one is counted.',
    hint="Which end of the queue loses an item, and who hears of it?",
    items=numbers(least=1),
    maxlen=integers(1, 3),
    read=integers(0, 2),
)
async def _(world: World, abroadcast: Any, items: tuple[int, ...], maxlen: int, read: int) -> None:
    lost: list[Any] = []
    fast, slow = abroadcast(
        world.asource(SourceSpec(items))(), 2, maxlen=maxlen, when_full="drop_oldest", report=lost.append
    )
    early = min(read, len(items))
    begun = [(await anext(fast), await anext(slow)) for _ in range(early)]
    same([*(item for item, _ in begun), *await world.aitems(fast)], list(items), "the fast one got {}")
    kept = await world.aitems(slow)
    same(kept, list(items[early:][-maxlen:]), "the slow one got {}")
    dropped = items[early : len(items) - len(kept)]
    same([failure.item for failure in lost], list(dropped), "reported: {}")
    same((fast.dropped, slow.dropped), (0, len(dropped)), "counted: {}")


@law(
    "abroadcast-loses-nothing-to-a-cancelled-reader",
    about="abroadcast",
    promise="same answer",
    says="A reader that is cancelled while it waits takes no item with it, from nobody: who asks next goes on.",
    hint="In whose task does the stream work on the item, and what becomes of it when that task is cancelled?",
    items=numbers(least=1),
    n=integers(1, 2),
    place=integers(0, 5),
    again=booleans(),
)
async def _(world: World, abroadcast: Any, items: tuple[int, ...], n: int, place: int, again: bool) -> None:
    branches = abroadcast(world.asource(SourceSpec(items), takes=[2.0] * len(items))(), n, maxlen=10)
    first = branches[0]
    got = [await anext(first) for _ in range(min(place, len(items) - 1))]
    for _ in range(1 + again):
        reader = asyncio.ensure_future(anext(first))
        await asyncio.sleep(0.5)
        reader.cancel()
        with suppress(asyncio.CancelledError):
            await reader
    same([*got, *await world.aitems(first)], list(items), "branch 0 gave {}")
    for other in branches[1:]:
        same(await world.aitems(other), list(items), "branch 1 gave {}")


@law(
    "abroadcast-forgets-a-branch-that-is-gone",
    about="abroadcast",
    promise="closed",
    says="A branch that is closed or dropped, also one never begun, holds nobody back and gives no more.",
    hint="Who still counts the branch that nobody reads?",
    read=integers(0, 2),
    how=choice("close", "drop"),
    when_full=choice("wait", "raise"),
    items=things(most=5),
)
async def _(
    world: World, abroadcast: Any, read: int, how: str, when_full: str, items: tuple[Any, ...]
) -> None:
    leader, follower = abroadcast(world.asource(SourceSpec(items))(), 2, maxlen=2, when_full=when_full)
    for _ in range(read):
        await _came(leader)
        await _came(follower)
    if how == "close":
        await follower.aclose()
        same(await _came(follower), "the end", "the closed branch gave {}")
    else:
        del follower
        gc.collect(0)
    rest = [await _came(leader) for _ in range(max(len(items) - read, 0) + 1)]
    same(rest, [*map(repr, items[read:]), "the end"], "the other branch gave {}")


@law(
    "abroadcast-closes-its-stream-with-the-last-branch",
    about="abroadcast",
    promise="closed",
    says="The stream is stopped and closed, once, when the last branch is closed or it has ended; not before.",
    hint="All branches are closed. Who is still waiting for an item, and who closes the stream they shared?",
    source=sources(things(), "ends", "raises", "endless"),
    n=integers(1, 3),
    taken=integers(0, 4),
    waiting=booleans(),
)
async def _(world: World, abroadcast: Any, source: SourceSpec, n: int, taken: int, waiting: bool) -> None:
    probe = world.asource(source, takes=[1.0] * 20)
    branches = abroadcast(probe(), n, maxlen=5)
    over = False
    for _ in range(taken):
        over = over or await _came(branches[0]) in ("the end", "Boom")
    if not over:
        holds(probe.probe.closes == 0, "the stream was closed while branches were open", "open")
    if waiting:
        reader = asyncio.ensure_future(_came(branches[-1]))
        await asyncio.sleep(0.5)
        reader.cancel()
        with suppress(asyncio.CancelledError):
            await reader
    await _closed(branches)
    holds(probe.probe.closes == 1, f"the stream was closed {times(probe.probe.closes)}", "once")


@law(
    "abroadcast-tells-every-branch-of-the-error",
    about="abroadcast",
    promise="same answer",
    late=True,
    says="The stream's error reaches every branch, behind the items before it.",
    hint="One branch met the error. What do the others meet?",
    source=sources(None, "raises"),
    n=integers(1, 3),
)
async def _(world: World, abroadcast: Any, source: SourceSpec, n: int) -> None:
    for place, branch in enumerate(abroadcast(world.asource(source)(), n, maxlen=10)):
        try:
            await gives_then_fails(world, branch, source.given)
        except Broken as broke:
            raise Broken(f"branch {place}: {broke.came}", broke.expected) from None
