"""The laws of a function of each item, some calls at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextvars import ContextVar
from heapq import heappop, heappush
from typing import Any

from funcpipe_rag.aio.ownership import close
from funcpipe_rag.aio.probe import CallProbe
from funcpipe_rag.aio.testing import schedule
from funcpipe_rag.laws.inputs import SourceSpec, booleans, choice, integers, items_of
from funcpipe_rag.laws.law import Broken, holds, law, same, times
from funcpipe_rag.laws.worlds import World
from funcpipe_rag.streams.probe import Boom
from funcpipe_rag.streams.results import Err
from funcpipe_rag.streams.retrying import Backoff, RetryPolicy

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
    same([at for at, _ in came], _handed_in_order(items, concurrency), "results came at {}")


def _handed_in_order(items: Iterable[float], concurrency: int) -> list[float]:
    # A call begins when one of `concurrency` places is free: that of the result handed on so many items before.
    handed: list[float] = []
    for place, seconds in enumerate(items):
        begun = handed[place - concurrency] if place >= concurrency else 0.0
        handed.append(max([begun + seconds, *handed[-1:]]))
    return handed


@law(
    "amap-hands-on-each-when-it-is-there",
    about="amap",
    promise="same answer",
    says="With ordered=False each result is handed on at the moment when it is there, and the same results come.",
    hint="A result is there and a place is free again. Who sees that, and when?",
    items=items_of(_SECONDS, least=1),
    concurrency=integers(2, 4),
)
async def _(world: World, amap: Any, items: tuple[float, ...], concurrency: int) -> None:
    calls = CallProbe(takes={seconds: seconds for seconds in items})
    came = await schedule(
        amap(calls, concurrency=concurrency, ordered=False)(world.asource(SourceSpec(items))())
    )
    same(sorted(item for _, item in came), sorted(items))
    same([at for at, _ in came], sorted(_ends(items, concurrency)), "results came at {}")


def _ends(items: Iterable[float], concurrency: int) -> list[float]:
    # A call begins as soon as fewer than `concurrency` are in flight.
    ends: list[float] = []
    running: list[float] = []
    for seconds in items:
        begun = heappop(running) if len(running) == concurrency else 0.0
        ends.append(begun + seconds)
        heappush(running, ends[-1])
    return ends


@law(
    "amap-takes-plain-functions-too",
    about="amap",
    promise="same answer",
    says="A function that is not async is called with each item just as well.",
    hint="What does a call give that may be awaited, and what if it gives a number?",
    items=items_of(integers(0, 5)),
    concurrency=integers(1, 3),
    ordered=booleans(),
    fn=choice("add1", "to_none"),
)
async def _(
    world: World, amap: Any, items: tuple[int, ...], concurrency: int, ordered: bool, fn: str
) -> None:
    does = world.fn(fn)
    source = world.asource(SourceSpec(items))()
    came = await world.aitems(amap(does, concurrency=concurrency, ordered=ordered)(source))
    expected = [does(item) for item in items]
    same(came if ordered else sorted(came, key=repr), expected if ordered else sorted(expected, key=repr))


@law(
    "amap-raises-the-first-error-behind-what-came-before",
    about="amap",
    promise="same answer",
    late=True,
    says="The first error reaches you, behind the results before it, in either order; nothing comes behind it.",
    hint="A call has failed. Who hears of it, and what of the results that were there before?",
    items=items_of(_SECONDS, least=1),
    bad=integers(0, 5),
    concurrency=integers(1, 3),
    ordered=booleans(),
)
async def _(
    world: World, amap: Any, items: tuple[float, ...], bad: int, concurrency: int, ordered: bool
) -> None:
    bad %= len(items)
    calls = CallProbe(lambda place: items[place], takes=dict(enumerate(items)), fails={bad})
    clock = asyncio.get_running_loop().time
    stream = world.aiterator(
        amap(calls, concurrency=concurrency, ordered=ordered)(
            world.asource(SourceSpec(tuple(range(len(items)))))()
        )
    )
    came: list[Any] = []
    failed = None
    try:
        async for item in stream:
            came.append(item)
    except Boom:
        failed = clock()
    holds(failed is not None, f"it ended with {came} and no error", "the error of the call that failed")
    holds([item async for item in stream] == [], "items came behind the error", "nothing behind it")
    if ordered:
        same(came, list(items[:bad]))
        at = _handed_in_order(items, concurrency)[bad]
    else:
        ends = _ends(items, concurrency)
        at = ends[bad]
        for place, end in enumerate(ends):
            # What ends at the same moment may come before the error or not at all.
            if end < at:
                holds(items[place] in came, f"only {came} came", f"{items[place]}, which was there before")
    same(failed, at, "the error came at {}")


@law(
    "amap-does-with-failures-as-it-is-told",
    about="amap",
    promise="same answer",
    late=True,
    says='With "skip" every failure is dropped and counted once; with "collect" an `Err` stands in its place.',
    hint="What is known of the item whose call failed, and where was its result to stand?",
    items=items_of(_SECONDS),
    bad=items_of(integers(0, 5), most=3),
    concurrency=integers(1, 3),
    on_error=choice("skip", "collect"),
)
async def _(
    world: World,
    amap: Any,
    items: tuple[float, ...],
    bad: tuple[int, ...],
    concurrency: int,
    on_error: str,
) -> None:
    calls = CallProbe(takes=dict(enumerate(items)), fails=bad)
    source = world.asource(SourceSpec(tuple(range(len(items)))))()
    told: list[Err[Any]] = []
    mapped = amap(calls, concurrency=concurrency, on_error=on_error, report=told.append)
    came = await world.aitems(mapped(source))
    failing = sorted({place for place in bad if place < len(items)})
    if on_error == "skip":
        same(came, [place for place in range(len(items)) if place not in bad])
        same(sorted(err.index for err in told), failing, "told of the failures of items {}")
    else:
        same(
            [f"Err at {one.index}" if isinstance(one, Err) else one for one in came],
            [f"Err at {place}" if place in bad else place for place in range(len(items))],
        )


@law(
    "amap-gives-each-call-its-time",
    about="amap",
    promise="same answer",
    late=True,
    says="A call that takes longer than `timeout` is cancelled, and fails with TimeoutError; no other one is.",
    hint="From when to when is the time of a call measured, and what becomes of it then?",
    items=items_of(_SECONDS),
    timeout=choice(3.0, 1.5),
    concurrency=integers(1, 3),
)
async def _(world: World, amap: Any, items: tuple[float, ...], timeout: float, concurrency: int) -> None:
    calls = CallProbe(takes={seconds: seconds for seconds in items})
    source = world.asource(SourceSpec(items))()
    mapped = amap(calls, concurrency=concurrency, timeout=timeout, on_error="collect")
    came = [
        type(one.error).__name__ if isinstance(one, Err) else one
        for one in await world.aitems(mapped(source))
    ]
    same(came, [seconds if seconds < timeout else "TimeoutError" for seconds in items])
    late = [seconds for seconds in items if seconds >= timeout]
    same(sorted(calls.cancelled), sorted(late), "the calls {} were cancelled")


@law(
    "amap-tries-again-as-told",
    about="amap",
    promise="same answer",
    late=True,
    says="A call that fails is tried `attempts` times in all, with the waits of the policy between the tries.",
    hint="How often is a call tried when it never succeeds, and how long are the waits together?",
    n=integers(1, 3),
    failures=integers(0, 3),
    attempts=integers(1, 3),
)
async def _(world: World, amap: Any, n: int, failures: int, attempts: int) -> None:
    tries = [0] * n

    async def shaky(place: int) -> int:
        tries[place] += 1
        if tries[place] <= failures:
            raise Boom(f"try {tries[place]}")
        return place

    policy = RetryPolicy(attempts=attempts, backoff=Backoff(base=1, factor=2), jitter=0.0)
    source = world.asource(SourceSpec(tuple(range(n))))()
    came = await world.aitems(amap(shaky, retry=policy, on_error="collect")(source))
    waited = asyncio.get_running_loop().time()
    good = failures < attempts
    same([not isinstance(one, Err) for one in came], [good] * n, "succeeded: {}")
    same(tries, [min(failures + 1, attempts)] * n, "tries: {}")
    same(waited, n * sum(2.0**wait for wait in range(min(failures, attempts - 1))) + 0.0, "it waited {} s")


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


@law(
    "amap-begins-nothing-at-birth",
    about="amap",
    promise="on demand",
    says="Before you ask for the first result, the source is not asked and no call is made.",
    hint="Which line of yours runs when the stream is made, and which when it is first asked?",
    items=items_of(_SECONDS, least=1),
    concurrency=integers(1, 3),
    ordered=booleans(),
)
async def _(world: World, amap: Any, items: tuple[float, ...], concurrency: int, ordered: bool) -> None:
    calls = CallProbe()
    source = world.asource(SourceSpec(items))
    stream = amap(calls, concurrency=concurrency, ordered=ordered)(source())
    await asyncio.sleep(10)
    pulls, began = source.probe.pulls, list(calls.began)
    await close(stream)
    same((pulls, began), (0, []), "(pulls, calls) before the first question: {}")


@law(
    "amap-one-at-a-time-is-pull",
    about="amap",
    promise="on demand",
    says="With one call at a time, k results cost k pulls and k calls, whenever you look.",
    hint="You have one result and rest. What for is the next item there already?",
    k=integers(1, 4),
    rest=choice(0.0, 10.0),
)
async def _(world: World, amap: Any, k: int, rest: float) -> None:
    calls = CallProbe()
    source = world.asource(SourceSpec(endless=True), budget=k)
    stream = world.aiterator(amap(calls)(source()))
    for place in range(k):
        same(await anext(stream), place)
        await asyncio.sleep(rest)
        same((source.probe.pulls, len(calls.began)), (place + 1, place + 1), "(pulls, calls): {}")
    await close(stream)


@law(
    "amap-goes-on-behind-a-slow-head",
    about="amap",
    promise="on demand",
    says="Behind a result that is not there yet, `max_ahead` others are made ready, and not one more.",
    hint="How many results are finished and wait, and where is that counted?",
    concurrency=integers(2, 4),
    max_ahead=integers(1, 8),
    k=integers(0, 3),
)
async def _(world: World, amap: Any, concurrency: int, max_ahead: int, k: int) -> None:
    calls = CallProbe(takes={k: 100.0})
    source = world.asource(SourceSpec(endless=True), budget=50)
    stream = world.aiterator(amap(calls, concurrency=concurrency, max_ahead=max_ahead)(source()))
    for _ in range(k):
        await anext(stream)
    head = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(50)
    ready = len(calls.ended) - k
    pulled = source.probe.pulls - k
    head.cancel()
    await asyncio.wait([head])
    await close(stream)
    same((ready, pulled), (max_ahead, max_ahead + 1), "(ready, pulled) behind the slow one: {}")


@law(
    "amap-rests-when-you-do",
    about="amap",
    promise="on demand",
    says="While you rest, in either order, it pulls `max_ahead + 1` items beyond what you have, and not one more.",
    hint="Nobody asks any more. What keeps the calls from going on?",
    concurrency=integers(2, 4),
    max_ahead=integers(1, 6),
    k=integers(1, 4),
    ordered=booleans(),
)
async def _(world: World, amap: Any, concurrency: int, max_ahead: int, k: int, ordered: bool) -> None:
    calls = CallProbe(takes=dict.fromkeys(range(20), 1.0))
    source = world.asource(SourceSpec(endless=True), budget=k + max_ahead + 1)
    mapped = amap(calls, concurrency=concurrency, max_ahead=max_ahead, ordered=ordered)
    stream = world.aiterator(mapped(source()))
    for _ in range(k):
        await anext(stream)
    await asyncio.sleep(100)
    pulled = source.probe.pulls - k
    await close(stream)
    same(pulled, max_ahead + 1, "it had pulled {} beyond what was given")


@law(
    "amap-gives-each-stream-its-own-run",
    about="amap",
    promise="fresh",
    says="Two streams of one stage, read in turn, know nothing of each other.",
    hint="What is made once for the stage, and should be made once for each stream?",
    items=items_of(_SECONDS, least=1),
    concurrency=integers(1, 3),
    ordered=booleans(),
)
async def _(world: World, amap: Any, items: tuple[float, ...], concurrency: int, ordered: bool) -> None:
    calls = CallProbe(takes={seconds: seconds for seconds in items})
    mapped = amap(calls, concurrency=concurrency, ordered=ordered)
    alone = await world.aitems(mapped(world.asource(SourceSpec(items))()))
    streams = [world.aiterator(mapped(world.asource(SourceSpec(items))())) for _ in range(2)]
    got: list[list[Any]] = [[], []]
    for _ in alone:
        for place, stream in enumerate(streams):
            got[place].append(await anext(stream, "nothing"))
    for stream in streams:
        await close(stream)
    if not ordered:
        # Whoever rests longer finds more of them there, so the order may differ.
        alone, *got = map(sorted, (alone, *got))
    same(got, [alone, alone], "the two streams gave {}")


_SET_BY = ContextVar("_SET_BY", default="nobody")


@law(
    "amap-keeps-each-call-to-itself",
    about="amap",
    promise="fresh",
    says="A call sees the context variables that you have set; what it sets, neither the next call sees nor you.",
    hint="In whose task does the call run, and in whose context?",
    n=integers(1, 4),
    concurrency=integers(1, 3),
    plain=booleans(),
)
async def _(world: World, amap: Any, n: int, concurrency: int, plain: bool) -> None:
    def sets(item: int) -> str:
        seen = _SET_BY.get()
        _SET_BY.set("a call")
        return seen

    async def sets_and_waits(item: int) -> str:
        seen = sets(item)
        await asyncio.sleep(1)
        return seen

    _SET_BY.set("you")
    source = world.asource(SourceSpec(tuple(range(n))))()
    stream = world.aiterator(amap(sets if plain else sets_and_waits, concurrency=concurrency)(source))
    seen = [(by, _SET_BY.get()) async for by in stream]
    same(seen, [("you", "you")] * n, "what (the calls, you) saw was set by {}")


@law(
    "amap-leaves-nothing-behind",
    about="amap",
    promise="closed",
    says="However it ends, no call is in flight, no task is left, and the source is closed once, when you hear of it.",
    hint="A cancelled call is still there until it has ended. Who waits for it?",
    ending=choice("it is read", "it is left", "a call fails", "the source fails", "you are cancelled"),
    items=items_of(_SECONDS, least=1),
    concurrency=integers(1, 3),
    ordered=booleans(),
)
async def _(
    world: World, amap: Any, ending: str, items: tuple[float, ...], concurrency: int, ordered: bool
) -> None:
    many = len(items)
    calls = CallProbe(
        takes=dict(enumerate(items)), fails={many // 2} if ending == "a call fails" else (), cleanup=1.0
    )
    spec = SourceSpec(tuple(range(many)), raises_at=many // 2 if ending == "the source fails" else None)
    source = world.asource(spec)
    others = asyncio.all_tasks()
    stream = world.aiterator(amap(calls, concurrency=concurrency, ordered=ordered)(source()))
    if ending == "it is left":
        await anext(stream)
        await close(stream)
    elif ending == "you are cancelled":
        reader = asyncio.ensure_future(world.aitems(stream))
        await asyncio.sleep(0.5)
        reader.cancel()
        await asyncio.wait([reader])
    else:
        try:
            await world.aitems(stream)
            holds(ending == "it is read", "it ended without a word", f"an error: {ending}")
        except Boom as boom:
            if ending == "it is read":
                raise Broken(f"it raised {boom}", "no error") from boom
    holds(calls.live == 0, f"{calls.live} calls were in flight", "none")
    left = asyncio.all_tasks() - others
    holds(not left, f"{len(left)} tasks were left", "none")
    probe = source.probe
    holds(probe.closes == 1, f"the source was closed {times(probe.closes)}", "once")
