"""The laws of going from one kind of stream to the other.

What is sync is read in another thread, because a loop is running in this one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from itertools import islice
from threading import get_ident
from typing import Any, TypeVar

from funcpipe_rag.laws.inputs import SourceSpec, booleans, integers, numbers, sources, things
from funcpipe_rag.laws.law import Broken, WrongKind, holds, law, same, times
from funcpipe_rag.laws.worlds import World, kind_of
from funcpipe_rag.streams.probe import Boom

from .passing import gives_then_fails, read_some

T = TypeVar("T")


@law(
    "collect-gives-all-items",
    about="collect",
    promise="same answer",
    says="What it gives is the list of all items, in order.",
    hint="Work the smallest input through by hand. Which item is missing, extra, or another one?",
    source=sources(things()),
)
async def _(world: World, collect: Any, source: SourceSpec) -> None:
    same(await collect(world.asource(source)()), list(source.items))


@law(
    "collect-gives-no-part-for-the-whole",
    about="collect",
    promise="same answer",
    late=True,
    says="An error of the stream reaches you as it is; there is no list of what came before it.",
    hint="Which errors does your loop take for the end?",
    source=sources(None, "raises"),
)
async def _(world: World, collect: Any, source: SourceSpec) -> None:
    try:
        got = await collect(world.asource(source)())
    except Boom:
        return
    raise Broken(f"{got!r}", "the error")


@law(
    "collect-asks-when-it-is-awaited",
    about="collect",
    promise="on demand",
    says="Nothing is asked before it is awaited; then each item is asked for once, and the end once.",
    hint="What runs before anybody has awaited it: a task, perhaps?",
    items=numbers(),
)
async def _(world: World, collect: Any, items: tuple[int, ...]) -> None:
    source = world.asource(SourceSpec(items))
    later = collect(source())
    await asyncio.sleep(10)
    early = source.probe.pulls
    await later
    holds(early == 0, f"{early} pulls before it was awaited", "0")
    holds(source.probe.pulls == len(items) + 1, f"{source.probe.pulls} pulls", f"{len(items) + 1}")


@law(
    "collect-closes-the-stream",
    about="collect",
    promise="closed",
    says="The stream is closed, once: when it ends, fails, or when whoever collects is cancelled.",
    hint="Who closes the stream when the reader goes?",
    source=sources(numbers(least=1), "ends", "raises"),
    cancelled=booleans(),
)
async def _(world: World, collect: Any, source: SourceSpec, cancelled: bool) -> None:
    probe = world.asource(source, takes=[1.0])
    task = asyncio.ensure_future(collect(probe()))
    await asyncio.sleep(0.5)
    if cancelled:
        task.cancel()
    with suppress(Boom, asyncio.CancelledError):
        await task
    holds(probe.probe.closes == 1, f"the stream was closed {times(probe.probe.closes)}", "once")


def _where(threads: bool, stack: ExitStack) -> dict[str, Any]:
    return {"executor": stack.enter_context(ThreadPoolExecutor(2))} if threads else {}


@law(
    "from-sync-gives-what-it-is-given",
    about="from_sync",
    promise="same answer",
    says="What comes is what the sync stream gives, in order, whichever thread makes it.",
    hint="Work the smallest input through by hand. Which item is missing, extra, or another one?",
    source=sources(things()),
    threads=booleans(),
)
async def _(world: World, from_sync: Any, source: SourceSpec, threads: bool) -> None:
    with ExitStack() as stack:
        xs, _probe = world.stream(source)
        same(await world.aitems(from_sync(xs, **_where(threads, stack))), list(source.items))


@law(
    "from-sync-passes-errors-on",
    about="from_sync",
    promise="same answer",
    late=True,
    says="An error of the sync stream reaches you as it is, behind every item that came before it.",
    hint="What does a future do with an error, and with a StopIteration?",
    source=sources(None, "raises"),
    threads=booleans(),
)
async def _(world: World, from_sync: Any, source: SourceSpec, threads: bool) -> None:
    with ExitStack() as stack:
        xs, _probe = world.stream(source)
        await gives_then_fails(world, from_sync(xs, **_where(threads, stack)), source.given)


@law(
    "from-sync-works-in-the-threads-it-is-given",
    about="from_sync",
    promise="same answer",
    says="With an executor every item is made in one of its threads, one item at a time, and the loop goes on meanwhile.",
    hint="In which thread does next() run, and what does the loop do while it takes long?",
    n=integers(1, 4),
)
async def _(world: World, from_sync: Any, n: int) -> None:
    here, made_in = get_ident(), []

    def items() -> Iterator[int]:
        for number in range(n):
            made_in.append(get_ident())
            yield number

    with ThreadPoolExecutor(2) as pool:
        same(await world.aitems(from_sync(items(), executor=pool)), list(range(n)))
    holds(here not in made_in, "an item was made in the loop's own thread", "in a thread of the executor")


@law(
    "from-sync-asks-once-for-each-item",
    about="from_sync",
    promise="on demand",
    says="k items cost k pulls, and nothing is opened before the first question.",
    hint="Who has asked for the items that nobody has read?",
    taken=integers(0, 4),
    threads=booleans(),
    reiterable=booleans(),
)
async def _(world: World, from_sync: Any, taken: int, threads: bool, reiterable: bool) -> None:
    with ExitStack() as stack:
        xs, probe = world.stream(SourceSpec(endless=True, reiterable=reiterable))
        opened = probe.opens
        stream: Any = world.aiterator(from_sync(xs, **_where(threads, stack)))
        await asyncio.sleep(1)
        holds(probe.opens == opened, "it opened its input before the first question", "not yet")
        same(await read_some(stream, taken), list(range(taken)))
        await asyncio.sleep(1)
        holds(probe.pulls <= taken, f"{probe.pulls} pulls for {taken} items", f"{taken}")
        await stream.aclose()


@law(
    "from-sync-closes-the-iterator",
    about="from_sync",
    promise="closed",
    says="The sync stream is closed, once: when it ends, fails, or when the stream is closed half-way.",
    hint="Who closes the generator when the async reader goes?",
    source=sources(numbers(least=1), "ends", "raises"),
    taken=integers(1, 6),
    threads=booleans(),
)
async def _(world: World, from_sync: Any, source: SourceSpec, taken: int, threads: bool) -> None:
    with ExitStack() as stack:
        xs, probe = world.stream(source)
        stream: Any = world.aiterator(from_sync(xs, **_where(threads, stack)))
        await read_some(stream, taken)
        holds(hasattr(stream, "aclose"), f"a {type(stream).__name__} came", "something with an aclose()")
        await stream.aclose()
    holds(probe.closes == 1, f"the iterator was closed {times(probe.closes)}", "once")


async def _elsewhere(act: Callable[[], T]) -> T:
    """What `act` gives in a thread without a loop."""
    return await asyncio.to_thread(act)


def _iterator(made: object) -> Any:
    if not hasattr(made, "__next__"):
        hint = "Who asks for the next item here, a `for` or an `async for`?"
        raise WrongKind(f"it returned {kind_of(made)}", "a sync iterator, which gives items on demand", hint)
    return made


@law(
    "to-sync-gives-what-it-is-given",
    about="to_sync",
    promise="same answer",
    says="A `for` loop gets what an `async for` would get, in order.",
    hint="Work the smallest input through by hand. Which item is missing, extra, or another one?",
    source=sources(things()),
)
async def _(world: World, to_sync: Any, source: SourceSpec) -> None:
    xs = world.asource(source)()
    same(await _elsewhere(lambda: list(islice(_iterator(to_sync(xs)), 200))), list(source.items))


@law(
    "to-sync-passes-errors-on",
    about="to_sync",
    promise="same answer",
    late=True,
    says="An error of the stream reaches you as it is, behind every item that came before it.",
    hint="Where is the error caught, or an item kept back?",
    source=sources(None, "raises"),
)
async def _(world: World, to_sync: Any, source: SourceSpec) -> None:
    xs = world.asource(source)()
    got: list[Any] = []
    try:
        await _elsewhere(lambda: got.extend(_iterator(to_sync(xs))))
    except Boom:
        same(got, source.given, "before the error it gave {}")
        return
    raise Broken(f"it gave {got} and ended as if nothing had happened", "the error")


@law(
    "to-sync-keeps-what-runs-beside-it",
    about="to_sync",
    promise="same answer",
    says="All items are read on one loop, so that a task which the stream has begun is still there for the next item.",
    hint="On which loop does the second item come? And the task that was begun with the first?",
    n=integers(1, 4),
)
async def _(world: World, to_sync: Any, n: int) -> None:
    async def from_a_task() -> Any:
        queue: asyncio.Queue[int] = asyncio.Queue(1)

        async def fill() -> None:
            for number in range(n):
                await queue.put(number)

        task = asyncio.create_task(fill())
        for _ in range(n):
            yield await queue.get()
        await task

    try:
        got = await _elsewhere(lambda: list(islice(_iterator(to_sync(from_a_task())), 200)))
    except (RuntimeError, asyncio.CancelledError) as error:
        raise Broken(f"it raised {type(error).__name__}: {error}", "all items") from error
    same(got, list(range(n)))


@law(
    "to-sync-asks-once-for-each-item",
    about="to_sync",
    promise="on demand",
    says="k items cost k pulls, and nothing is opened before the first question.",
    hint="Who has asked for the items that nobody has read?",
    taken=integers(0, 4),
)
async def _(world: World, to_sync: Any, taken: int) -> None:
    source = world.asource(SourceSpec(endless=True))

    def read() -> tuple[list[Any], int]:
        it = _iterator(to_sync(source()))
        got = list(islice(it, taken))
        pulls = source.probe.pulls
        it.close()
        return got, pulls

    got, pulls = await _elsewhere(read)
    same(got, list(range(taken)))
    holds(pulls <= taken, f"{pulls} pulls for {taken} items", f"{taken}")


@law(
    "to-sync-closes-the-stream-and-its-loop",
    about="to_sync",
    promise="closed",
    says="The stream and the loop are closed: when it ends, fails, when you leave early, and when you drop it.",
    hint="You left the loop with `break`. Who runs the stream's own clean-up, and on which loop?",
    source=sources(numbers(least=1), "ends", "raises"),
    taken=integers(1, 6),
    dropped=booleans(),
)
async def _(world: World, to_sync: Any, source: SourceSpec, taken: int, dropped: bool) -> None:
    probe = world.asource(source)
    loops: list[asyncio.AbstractEventLoop] = []
    closed: list[bool] = []

    async def watched() -> Any:
        loops.append(asyncio.get_running_loop())
        xs = probe()
        try:
            async for item in xs:
                yield item
        finally:
            await asyncio.sleep(0)
            await xs.aclose()

    def read() -> None:
        it = _iterator(to_sync(watched()))
        with suppress(Boom, StopIteration):
            for _ in range(taken):
                next(it)
        if not dropped:
            it.close()
        del it
        closed.extend(loop.is_closed() for loop in loops)

    await _elsewhere(read)
    holds(probe.probe.closes == 1, f"the stream was closed {times(probe.probe.closes)}", "once")
    holds(all(closed), "its loop is still open", "closed")
