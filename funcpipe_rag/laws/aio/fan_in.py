"""The laws of async fan-in: what becomes of several sources when they are read as one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from itertools import accumulate
from typing import Any, NamedTuple

from funcpipe_rag.aio.ownership import close
from funcpipe_rag.aio.probe import AsyncProbe
from funcpipe_rag.aio.testing import schedule
from funcpipe_rag.laws.inputs import (
    Ending,
    Input,
    Items,
    SourceSpec,
    booleans,
    choice,
    integers,
    items_of,
    numbers,
    several,
    sources,
    things,
)
from funcpipe_rag.laws.law import holds, law, same, times
from funcpipe_rag.laws.worlds import World
from funcpipe_rag.streams.probe import Boom

_GONE = object()
_SECONDS = choice(1.0, 2.0, 5.0)


class FanIn(NamedTuple):
    """A fan-in: what it gives, eagerly, and how often it may ask each source for k outputs, and then some time."""

    name: str
    items: Callable[..., Input[Items]]
    eager: Callable[[list[list[Any]]], list[Any]]
    costs: Callable[[list[Any], int], list[int]]
    """`costs(outputs, n)`: how often it may have asked each of n endless sources that count 0, 1, 2 ..."""
    says: str
    hint: str


def _chained(lists: list[list[Any]]) -> list[Any]:
    return [item for items in lists for item in items]


def _in_rounds(lists: list[list[Any]]) -> list[Any]:
    most = max(map(len, lists), default=0)
    return [items[at] for at in range(most) for items in lists if at < len(items)]


def _rows(lists: list[list[Any]]) -> list[Any]:
    return list(zip(*lists, strict=False))


def _sorted(lists: list[list[Any]]) -> list[Any]:
    return sorted(_chained(lists))


def _merged(outputs: list[Any], n: int) -> list[int]:
    # Everything counts alike, so that all may have given the same; one item ahead.
    return [len(outputs) + 1 if n == 1 else len(outputs) // n + 2] * n


def _turns(outputs: list[Any], n: int) -> list[int]:
    return [len(range(place, len(outputs), n)) for place in range(n)]


def _heads(outputs: list[Any], n: int) -> list[int]:
    # In the order of the sources, so k outputs have cost the first heads and k - 1 more.
    if not outputs:
        return [0] * n
    return [1 + cost for cost in _turns(outputs[:-1], n)]


FAN_INS = (
    FanIn(
        "amerge",
        things,
        _in_rounds,
        _merged,
        "Where all sources have their items at once, they come in turns: none is served twice before another.",
        "Which source was waiting with an item when another had its second turn?",
    ),
    FanIn(
        "achain",
        things,
        _chained,
        lambda outputs, n: [len(outputs)] + [0] * (n - 1),
        "All of the first source comes first, then all of the second, and so on.",
        "Which item is missing, or came before its turn?",
    ),
    FanIn(
        "aroundrobin",
        things,
        _in_rounds,
        _turns,
        "One item from each live source in turn, until every source has ended.",
        "What happens to the others when the first source ends? And is None an item?",
    ),
    FanIn(
        "azip",
        things,
        _rows,
        lambda outputs, n: [len(outputs)] * n,
        "One item of each source makes a row, and the stream ends with the first source that ends.",
        "Which row is missing, or too much? Work the smallest input through with zip.",
    ),
    FanIn(
        "amerge_sorted",
        partial(numbers, rising=True),
        _sorted,
        _heads,
        "Sorted sources come out as the one sorted list of all their items.",
        "Which item was given while a smaller one was waiting?",
    ),
)

IDS = {
    "amerge": "amerge-takes-turns-among-the-ready",
    "achain": "achain-keeps-source-order",
    "aroundrobin": "aroundrobin-takes-turns",
    "azip": "azip-gives-rows",
    "amerge_sorted": "amerge-sorted-gives-one-sorted-stream",
}


def _probes(
    world: World, specs: list[SourceSpec], takes: list[tuple[float, ...]] | None = None
) -> list[AsyncProbe]:
    seconds = [()] * len(specs) if takes is None else takes
    return [
        world.asource(spec, f"source {place}", takes=waits)
        for place, (spec, waits) in enumerate(zip(specs, seconds, strict=True))
    ]


async def read_and_close(world: World, made: Any, k: int, *, pause: float = 0.0) -> list[Any]:
    """Up to `k` items, a pause, and then the stream is closed; what a source raises on the way is passed over."""
    it = world.aiterator(made)
    got: list[Any] = []
    with suppress(Boom):
        try:
            while len(got) < k:
                got.append(await anext(it))
        except StopAsyncIteration:
            pass
        finally:
            await asyncio.sleep(pause)
            await close(it)
    return got


def _laws_of(fan: FanIn) -> None:
    name = fan.name
    slug = name.replace("_", "-")

    @law(
        IDS[name],
        about=name,
        promise="same answer",
        says=fan.says,
        hint=fan.hint,
        sources=several(sources(fan.items(), handed=["iterator"])),
    )
    async def _(world: World, factory: Any, sources: list[SourceSpec]) -> None:
        made = factory(*_probes(world, sources))
        same(await world.aitems(world.run(made)), fan.eager([list(spec.items) for spec in sources]))

    @law(
        f"{slug}-opens-nothing-at-birth",
        about=name,
        promise="on demand",
        says="Building the stream opens no source and begins no task: the first question does.",
        hint="Which line calls the sources before anybody has asked for an item?",
        sources=several(sources(numbers(most=3), "endless", handed=["iterator"]), least=1),
    )
    async def _(world: World, factory: Any, sources: list[SourceSpec]) -> None:
        probes = _probes(world, sources)
        stream = world.aiterator(world.run(factory(*probes)))
        await asyncio.sleep(10)
        opened = [probe.probe.name for probe in probes if probe.probe.opens]
        await close(stream)
        holds(not opened, f"{', '.join(opened)} opened before the first question", "none")

    @law(
        f"{slug}-asks-for-no-more",
        about=name,
        promise="on demand",
        says={
            "amerge": "While you are busy, each source is asked until one item of it waits, and no further.",
            "azip": "k rows cost k pulls of each source, and nothing is asked for between two rows.",
            "amerge_sorted": "k items cost one pull for each source and one for each item after the first.",
        }.get(name, "k items cost k pulls, over all sources together."),
        hint="Count the items in the diagram that were given and have not reached you.",
        many=integers(1, 3),
        k=integers(0, 6),
    )
    async def _(world: World, factory: Any, many: int, k: int) -> None:
        probes = _probes(world, [SourceSpec(endless=True)] * many)
        stream = world.run(factory(*probes))
        if not k:
            await close(world.aiterator(stream))
        got = await read_and_close(world, stream, k, pause=10) if k else []
        holds(len(got) == k, f"it ended after {len(got)} items", f"{k} items of sources that never end")
        for probe, most in zip(probes, fan.costs(got, many) if k else [0] * many, strict=True):
            pulls = probe.probe.pulls
            holds(
                pulls <= most,
                f"{probe.probe.name} was asked {times(pulls)} for {k} of your own items",
                f"at most {times(most)}",
            )

    @law(
        f"{slug}-starts-afresh",
        about=name,
        promise="fresh",
        says="Two runs of one source do not know of each other.",
        hint="What is kept outside the function that runs for each stream?",
        sources=several(sources(fan.items(), handed=["iterator"]), least=1, most=3),
        ahead=integers(0, 4),
    )
    async def _(world: World, factory: Any, sources: list[SourceSpec], ahead: int) -> None:
        made = factory(*_probes(world, sources))
        expected = fan.eager([list(spec.items) for spec in sources])
        first = world.aiterator(world.run(made))
        try:
            begun = []
            for _ in range(ahead):
                begun.append(await anext(first, _GONE))
            begun = [item for item in begun if item is not _GONE]
            same(await world.aitems(world.run(made)), expected, "the second stream gave {}")
            same([*begun, *[item async for item in first]], expected, "the first stream gave {}")
        finally:
            await close(first)

    @law(
        f"{slug}-closes-what-it-opened-last-first",
        about=name,
        promise="closed",
        says="Stop half-way, and every source that was opened is closed: once, and the last opened first.",
        hint="A pull may be on its way, or an item may wait to be taken. Who closes that source, and when?",
        sources=several(sources(fan.items(least=1), *_endings(name), handed=["iterator"]), least=1),
        takes=items_of(_SECONDS, least=4, most=4),
        k=integers(0, 8),
    )
    async def _(
        world: World, factory: Any, sources: list[SourceSpec], takes: tuple[float, ...], k: int
    ) -> None:
        # Half of the sources have their items at once; of the others, pulls are on their way.
        waits = [takes if place % 2 else () for place, _ in enumerate(sources)]
        probes = _probes(world, sources, waits)
        await read_and_close(world, world.run(factory(*probes)), k, pause=0.25)
        for probe in (probe.probe for probe in probes):
            holds(
                probe.closes == probe.opens,
                f"{probe.name} was opened {times(probe.opens)} and closed {times(probe.closes)}",
                "closed as often as opened",
                "It had been closed already. Which two of your lines close it?"
                if probe.closes > probe.opens
                else "",
            )
        # The sources that had not ended when the stream was closed went together, last opened first.
        opened = [event.stage for event in world.log.events if event.kind == "open"]
        live = [probe.probe.name for probe in probes if probe.probe.opens and not _ran_out(probe)]
        closed = [event.stage for event in world.log.events if event.kind == "close" and event.stage in live]
        in_reverse = [stage for stage in reversed(opened) if stage in live]
        hint = "All are closed. Which of them did you open last, and which do you close first?"
        holds(closed == in_reverse, f"closed in the order {closed}", f"{in_reverse}", hint)

    @law(
        f"{slug}-closes-the-rest-when-one-cannot-be-closed",
        about=name,
        promise="closed",
        says="A source that raises while it is closed does not keep the others open.",
        hint="What happens to the lines after the aclose() that raised?",
        sources=several(sources(fan.items(), handed=["iterator"]), least=1),
        stubborn=integers(0, 3),
        k=integers(0, 4),
    )
    async def _(world: World, factory: Any, sources: list[SourceSpec], stubborn: int, k: int) -> None:
        at = stubborn % len(sources)
        specs = [spec._replace(raises_on_close=place == at) for place, spec in enumerate(sources)]
        probes = _probes(world, specs)
        await read_and_close(world, world.run(factory(*probes)), k, pause=0.25)
        open_still = [probe.probe.name for probe in probes if probe.probe.opens != probe.probe.closes]
        holds(not open_still, f"{', '.join(open_still)} left open", "all closed, once")

    @law(
        f"{slug}-passes-errors-on",
        about=name,
        promise="same answer",
        late=True,
        says="A source's error reaches you as it is, behind the items before it.",
        hint="Where is the error caught, or raised too early?",
        sources=several(sources(fan.items(), handed=["iterator"]), most=3),
        raising=sources(fan.items(most=4), "raises", handed=["iterator"]),
        at=integers(0, 3),
    )
    async def _(world: World, factory: Any, sources: list[SourceSpec], raising: SourceSpec, at: int) -> None:
        specs = [*sources[:at], raising, *sources[at:]]
        expected, raises = _until_the_error(fan, specs)
        got: list[Any] = []
        came: BaseException | None = None
        stream = world.aiterator(world.run(factory(*_probes(world, specs))))
        try:
            async for item in stream:
                got.append(item)
        except Boom as boom:
            came = boom
        finally:
            await close(stream)
        same(got, expected, "before the error it gave {}" if raises else "{}")
        holds(
            (came is not None) == raises, f"{came!r} was raised", "the source's error" if raises else "none"
        )


def _endings(name: str) -> tuple[Ending, ...]:
    # Where tasks read, an error ends the stream while others are about to ask, and those are not told in one moment.
    return ("ends", "raises") if name in ("achain", "aroundrobin") else ("ends",)


def _ran_out(probe: AsyncProbe) -> bool:
    of = probe.probe
    return bool(of.iterators and (of.iterators[-1].pulls > len(of.items) or of.raises_at is not None))  # type: ignore[arg-type]


def _until_the_error(fan: FanIn, specs: list[SourceSpec]) -> tuple[list[Any], bool]:
    """What comes before the error, and whether it comes at all."""
    bad = next(place for place, spec in enumerate(specs) if spec.raises_at is not None)
    rounds = len(specs[bad].given)
    if fan.name == "achain":
        return _chained([spec.given for spec in specs[: bad + 1]]), True
    if fan.name in ("aroundrobin", "amerge"):
        whole = [list(spec.items[:rounds]) for spec in specs]
        last = [list(spec.items[rounds : rounds + 1]) for spec in specs[:bad]]
        return _in_rounds(whole) + _chained(last), True
    if fan.name == "azip":
        # All are asked for the row side by side; whoever answers first decides.
        shortest = min((len(spec.given), place) for place, spec in enumerate(specs))
        return _rows([spec.given for spec in specs]), shortest[1] == bad
    # A merge needs the next item of a source as soon as it has given the one before.
    if not rounds:
        return [], True
    order = sorted(
        (item, place, at) for place, spec in enumerate(specs) for at, item in enumerate(spec.given)
    )
    last_given = order.index((specs[bad].given[-1], bad, rounds - 1))
    return [item for item, _, _ in order[: last_given + 1]], True


for _fan in FAN_INS:
    _laws_of(_fan)


@law(
    "amerge-hands-on-what-is-there",
    about="amerge",
    promise="same answer",
    says="Each item comes at the moment when its source has it, in the order of its source, and none is lost.",
    hint="An item is there and you are waiting. Whom else does the stream wait for?",
    takes=several(items_of(_SECONDS, most=4)),
)
async def _(world: World, amerge: Any, takes: list[tuple[float, ...]]) -> None:
    specs = [SourceSpec(tuple((place, at) for at in range(len(waits)))) for place, waits in enumerate(takes)]
    came = await schedule(world.aiterator(world.run(amerge(*_probes(world, specs, takes)))))
    due = sorted((at, place) for place, waits in enumerate(takes) for at in accumulate(waits))
    same([at for at, _ in came], [at for at, _ in due], "items came at {}")
    for place, spec in enumerate(specs):
        got = [item for _, item in came if item[0] == place]
        same(got, list(spec.items), f"source {place} gave {{}}")


@law(
    "amerge-lets-nobody-wait-twice",
    about="amerge",
    promise="same answer",
    says="While an item of one source waits, no other source is served twice, however slow you are.",
    hint="You were busy, and several items were waiting. Which of them had waited longest?",
    takes=several(items_of(choice(0.0, 1.0, 2.0), most=4), least=2),
    busy=choice(0.0, 1.5, 3.5),
)
async def _(world: World, amerge: Any, takes: list[tuple[float, ...]], busy: float) -> None:
    specs = [SourceSpec(tuple((place, at) for at in range(len(waits)))) for place, waits in enumerate(takes)]
    waiting: dict[int, list[int]] = {}
    stream = world.aiterator(world.run(amerge(*_probes(world, specs, takes))))
    read = 0
    async for place, _at in stream:
        # Who had given an item before this one was handed on, and has not been served since.
        ready = [event.stage for event in world.log.events[read:] if event.kind == "yield"]
        read = len(world.log.events)
        served = waiting.pop(place, None)
        del served
        for stage in ready:
            other = int(stage.rpartition(" ")[2])
            if other != place:
                waiting.setdefault(other, [])
        for other, others in waiting.items():
            holds(
                place not in others,
                f"source {place} was served twice while an item of source {other} was waiting",
                "whoever has waited longest",
            )
            others.append(place)
        await asyncio.sleep(busy)


@law(
    "achain-closes-each-before-the-next",
    about="achain",
    promise="closed",
    says="A source is opened when the one before it has ended and been closed.",
    hint="How many sources are open at once in the diagram?",
    sources=several(sources(things(), handed=["iterator"]), least=2),
)
async def _(world: World, achain: Any, sources: list[SourceSpec]) -> None:
    probes = _probes(world, sources)
    await world.aitems(world.run(achain(*probes)))
    told = [(event.stage, event.kind) for event in world.log.events if event.kind in ("open", "close")]
    same(told, [(probe.probe.name, kind) for probe in probes for kind in ("open", "close")])


@law(
    "azip-takes-as-long-as-its-slowest",
    about="azip",
    promise="same answer",
    says="A row comes when the slowest of its sources has its item: all are asked at the same time.",
    hint="Three sources need a second each. When is the row there, and whom did you ask first?",
    takes=several(items_of(_SECONDS, least=1, most=3), least=1),
)
async def _(world: World, azip: Any, takes: list[tuple[float, ...]]) -> None:
    specs = [SourceSpec(waits) for waits in takes]
    came = await schedule(world.aiterator(world.run(azip(*_probes(world, specs, takes)))))
    slowest = [max(row) for row in zip(*takes, strict=False)]
    same([at for at, _ in came], list(accumulate(slowest)), "rows came at {}")


@law(
    "azip-strict-refuses-unequal-sources",
    about="azip",
    promise="same answer",
    late=True,
    says="With strict, sources of different lengths are a ValueError, behind the rows that all of them have.",
    hint="One source has ended, and another has given an item for the same row. Who tells you?",
    sources=several(sources(things(), handed=["iterator"]), least=1),
)
async def _(world: World, azip: Any, sources: list[SourceSpec]) -> None:
    stream = world.aiterator(world.run(azip(*_probes(world, sources), strict=True)))
    got: list[Any] = []
    refused = False
    try:
        async for row in stream:
            got.append(row)
    except ValueError:
        refused = True
    finally:
        await close(stream)
    same(got, _rows([list(spec.items) for spec in sources]))
    unequal = len({len(spec.items) for spec in sources}) > 1
    holds(
        refused == unequal,
        "it raised ValueError" if refused else "it ended",
        "ValueError" if unequal else "an end",
    )


@law(
    "amerge-sorted-asks-for-the-heads-together",
    about="amerge_sorted",
    promise="same answer",
    says="The first item comes when the slowest source has its first; after that, one source is waited for at a time.",
    hint="Each source needs a second for its first item. Whom did you ask first, and when?",
    takes=several(items_of(_SECONDS, least=1, most=3), least=1),
)
async def _(world: World, amerge_sorted: Any, takes: list[tuple[float, ...]]) -> None:
    # An item is how long its source has been asked, so each source is in order.
    specs = [SourceSpec(tuple(accumulate(waits))) for waits in takes]
    came = await schedule(world.aiterator(world.run(amerge_sorted(*_probes(world, specs, takes)))))
    now = max(waits[0] for waits in takes)
    due: list[float] = []
    heads = [(spec.items[0], place, 0) for place, spec in enumerate(specs)]
    while heads:
        heads.sort()
        _, place, at = heads.pop(0)
        due.append(now)
        if at + 1 < len(takes[place]):
            now += takes[place][at + 1]
            heads.append((specs[place].items[at + 1], place, at + 1))
    same([at for at, _ in came], due, "items came at {}")


@law(
    "amerge-sorted-is-stable",
    about="amerge_sorted",
    promise="same answer",
    says="Items with equal keys come in the order of their sources, and so does their order within one.",
    hint="Two items have the same key. What decides which comes first?",
    keys=several(numbers(most=5)),
    reverse=booleans(),
    check=booleans(),
)
async def _(
    world: World, amerge_sorted: Any, keys: list[tuple[int, ...]], reverse: bool, check: bool
) -> None:
    lists = [
        [(key, place, at) for at, key in enumerate(sorted(given, reverse=reverse))]
        for place, given in enumerate(keys)
    ]
    probes = _probes(world, [SourceSpec(tuple(items)) for items in lists])
    made = amerge_sorted(*probes, key=lambda item: item[0], reverse=reverse, check=check)
    expected = sorted(_chained(lists), key=lambda item: item[0], reverse=reverse)
    same(await world.aitems(world.run(made)), expected)


@law(
    "amerge-sorted-says-who-is-out-of-order",
    about="amerge_sorted",
    promise="same answer",
    late=True,
    says="A source that is not sorted is a ValueError that names it and the place, before its item is given.",
    hint="Which two items of one source would you compare, and when?",
    before=several(numbers(rising=True), most=2),
    unsorted=numbers(least=2),
)
async def _(
    world: World, amerge_sorted: Any, before: list[tuple[int, ...]], unsorted: tuple[int, ...]
) -> None:
    falls = next((at for at in range(1, len(unsorted)) if unsorted[at] < unsorted[at - 1]), None)
    probes = _probes(world, [*map(SourceSpec, before), SourceSpec(unsorted)])
    stream = world.aiterator(world.run(amerge_sorted(*probes)))
    got: list[Any] = []
    said = "it ended"
    try:
        async for item in stream:
            got.append(item)
    except ValueError as error:
        said = str(error)
    finally:
        await close(stream)
    wanted = "it ended" if falls is None else f"source {len(before)} is out of order at index {falls}"
    holds(wanted in said, said, wanted)
    same(got, sorted(got), "in the order {}")
