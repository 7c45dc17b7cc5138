"""The laws of fan-in: what becomes of several sources when they are read as one."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import islice, zip_longest
from typing import Any, NamedTuple

from .inputs import Input, Items, SourceSpec, booleans, integers, numbers, several, sources, things
from .law import holds, law, same, times
from .stages import passes_errors_on, read_and_close
from .worlds import World

_GONE = object()


class FanIn(NamedTuple):
    """A fan-in: what it gives, eagerly, and what its k-th item may cost."""

    name: str
    items: Callable[..., Input[Items]]
    eager: Callable[[list[list[Any]]], list[Any]]
    cost: Callable[[int, int], int]
    """pulls that k items of n endless sources may cost"""


def _chained(lists: list[list[Any]]) -> list[Any]:
    return [item for items in lists for item in items]


def _in_rounds(lists: list[list[Any]]) -> list[Any]:
    rows = zip_longest(*lists, fillvalue=_GONE)
    return [item for row in rows for item in row if item is not _GONE]


def _sorted(lists: list[list[Any]]) -> list[Any]:
    return sorted(_chained(lists))


FAN_INS = (
    FanIn("make_chain", things, _chained, lambda k, n: k),
    FanIn("make_roundrobin", things, _in_rounds, lambda k, n: k),
    FanIn("make_merge", partial(numbers, rising=True), _sorted, lambda k, n: n + k - 1 if k else 0),
)

SAYS = {
    "make_chain": (
        "chain-keeps-source-order",
        "All of the first source comes first, then all of the second, and so on.",
        "Which item is missing, or came before its turn?",
    ),
    "make_roundrobin": (
        "roundrobin-takes-turns",
        "One item from each live source in turn, until every source has ended.",
        "What happens to the others when the first source ends? And is None an item?",
    ),
    "make_merge": (
        "merge-gives-one-sorted-stream",
        "Sorted sources come out as the one sorted list of all their items.",
        "Which item was given while a smaller one was waiting?",
    ),
}


def _laws_of(fan: FanIn) -> None:
    name = fan.name
    slug = name.removeprefix("make_")
    id, says, hint = SAYS[name]

    @law(id, about=name, promise="same answer", says=says, hint=hint, sources=several(sources(fan.items())))
    def _(world: World, factory: Any, sources: list[SourceSpec]) -> None:
        made = factory(*world.sources(sources))
        same(world.items(world.run(made)), fan.eager([list(spec.items) for spec in sources]))

    @law(
        f"{slug}-opens-nothing-at-birth",
        about=name,
        promise="on demand",
        says="Building the stream opens no source: the first question does.",
        hint="Which line calls the sources before anybody has asked for an item?",
        sources=several(sources(numbers(most=3), "endless", handed=["iterator"]), least=1),
    )
    def _(world: World, factory: Any, sources: list[SourceSpec]) -> None:
        probes = world.sources(sources)
        world.iterator(world.run(factory(*probes)))
        opened = [probe.name for probe in probes if probe.opens]
        holds(not opened, f"{', '.join(opened)} opened before the first question", "none")

    @law(
        f"{slug}-asks-for-no-more-than-it-gives",
        about=name,
        promise="on demand",
        says={
            "make_merge": "k items cost at most one pull for each source and one for each item after the first.",
        }.get(name, "k items cost k pulls, over all sources together."),
        hint="Count the items in the diagram that were given and have not reached you.",
        sources=several(sources(numbers(most=3), "endless", handed=["iterator"]), least=1),
        k=integers(0, 8),
    )
    def _(world: World, factory: Any, sources: list[SourceSpec], k: int) -> None:
        if name == "make_merge":
            sources = [spec._replace(items=()) for spec in sources]
        most = fan.cost(k, len(sources))
        probes = world.sources(sources, budget=most)
        got = list(islice(world.iterator(world.run(factory(*probes))), k))
        pulls = sum(probe.pulls for probe in probes)
        holds(len(got) == k, f"it ended after {len(got)} items", f"{k} items of sources that never end")
        holds(pulls <= most, f"{pulls} questions to the sources for {k} of your own", f"at most {most}")

    @law(
        f"{slug}-pays-once-for-each-end",
        about=name,
        promise="on demand",
        says="Read to its end, the stream costs one pull for each item and one for each source's end.",
        hint="Which source is asked again after it has said that it is at its end?",
        sources=several(sources(fan.items())),
    )
    def _(world: World, factory: Any, sources: list[SourceSpec]) -> None:
        probes = world.sources(sources)
        world.items(world.run(factory(*probes)))
        for probe, spec in zip(probes, sources, strict=True):
            most = len(spec.items) + 1
            holds(
                probe.pulls <= most, f"{probe.name} was asked {times(probe.pulls)}", f"at most {times(most)}"
            )

    @law(
        f"{slug}-starts-afresh",
        about=name,
        promise="fresh",
        says="Two runs of one source do not know of each other.",
        hint="What is kept outside the function that runs for each stream?",
        sources=several(sources(fan.items()), least=1, most=3),
        ahead=integers(0, 4),
    )
    def _(world: World, factory: Any, sources: list[SourceSpec], ahead: int) -> None:
        made = factory(*world.sources(sources))
        expected = fan.eager([list(spec.items) for spec in sources])
        first = world.iterator(world.run(made))
        begun = list(islice(first, ahead))
        same(world.items(world.run(made)), expected, "the second stream gave {}")
        same([*begun, *first], expected, "the first stream gave {}")

    @law(
        f"{slug}-closes-what-it-opened-last-first",
        about=name,
        promise="closed",
        says="Stop half-way, and every source that was opened is closed: once, and the last opened first.",
        hint="CPython closes a forgotten generator for you. The check forgets no source: who closes it?",
        sources=several(sources(fan.items(least=1), "ends", "raises"), least=1),
        k=integers(0, 8),
    )
    def _(world: World, factory: Any, sources: list[SourceSpec], k: int) -> None:
        probes = world.sources(sources)
        read_and_close(world.run(factory(*probes)), k)
        for probe in probes:
            ended = " had ended, and it" if _ran_out(probe) else ""
            holds(
                probe.closes == probe.opens,
                f"{probe.name}{ended} was opened {times(probe.opens)} and closed {times(probe.closes)}",
                "closed as often as opened",
                "It had been closed already. Which two of your lines close it?"
                if probe.closes > probe.opens
                else "",
            )
        # The sources that had not ended when the stream was closed went together, last opened first.
        opened = [event.stage for event in world.log.events if event.kind == "open"]
        live = [probe.name for probe in probes if probe.opens and not _ran_out(probe)]
        closed = [event.stage for event in world.log.events if event.kind == "close" and event.stage in live]
        in_reverse = [stage for stage in reversed(opened) if stage in live]
        hint = "All are closed. Which of them did you open last, and which do you close first?"
        holds(closed == in_reverse, f"closed in the order {closed}", f"{in_reverse}", hint)

    @law(
        f"{slug}-closes-the-rest-when-one-cannot-be-closed",
        about=name,
        promise="closed",
        says="A source that raises while it is closed does not keep the others open.",
        hint="What happens to the lines after the close() that raised?",
        sources=several(sources(fan.items()), least=1),
        stubborn=integers(0, 3),
        k=integers(0, 4),
    )
    def _(world: World, factory: Any, sources: list[SourceSpec], stubborn: int, k: int) -> None:
        at = stubborn % len(sources)
        specs = [spec._replace(raises_on_close=place == at) for place, spec in enumerate(sources)]
        probes = world.sources(specs)
        read_and_close(world.run(factory(*probes)), k)
        open_still = [probe.name for probe in probes if probe.opens != probe.closes]
        holds(not open_still, f"{', '.join(open_still)} left open", "all closed, once")

    @law(
        f"{slug}-passes-errors-on",
        about=name,
        promise="same answer",
        late=True,
        says="A source's error reaches you as it is, when its item is needed, behind the items before it.",
        hint="Where is the error caught, or raised too early?",
        sources=several(sources(fan.items()), most=3),
        raising=sources(fan.items(most=4), "raises"),
        at=integers(0, 3),
    )
    def _(world: World, factory: Any, sources: list[SourceSpec], raising: SourceSpec, at: int) -> None:
        specs = [*sources[:at], raising, *sources[at:]]
        passes_errors_on(world.run(factory(*world.sources(specs))), _until_the_error(fan, specs))


def _ran_out(probe: Any) -> bool:
    return bool(
        probe.iterators and (probe.iterators[-1].pulls > len(probe.items) or probe.raises_at is not None)
    )


def _until_the_error(fan: FanIn, specs: list[SourceSpec]) -> list[Any]:
    """What comes before the first needed item that is an error."""
    bad = next(place for place, spec in enumerate(specs) if spec.raises_at is not None)
    if fan.name == "make_chain":
        return _chained([spec.given for spec in specs[: bad + 1]])
    rounds = len(specs[bad].given)
    if fan.name == "make_roundrobin":
        whole = [list(spec.items[:rounds]) for spec in specs]
        last = [list(spec.items[rounds : rounds + 1]) for spec in specs[:bad]]
        return _in_rounds(whole) + _chained(last)
    # A merge needs the next item of a source as soon as it has given the one before.
    if not rounds:
        return []
    order = sorted(
        (item, place, at) for place, spec in enumerate(specs) for at, item in enumerate(spec.given)
    )
    last_given = order.index((specs[bad].given[-1], bad, rounds - 1))
    return [item for item, _, _ in order[: last_given + 1]]


for _fan in FAN_INS:
    _laws_of(_fan)


@law(
    "chain-opens-the-next-only-when-needed",
    about="make_chain",
    promise="on demand",
    says="A source is opened when the one before it has ended, not earlier.",
    hint="In the diagram, which source is open while another one is still giving?",
    sources=several(sources(things()), least=1),
)
def _(world: World, make_chain: Any, sources: list[SourceSpec]) -> None:
    probes = world.sources(sources)
    world.items(world.run(make_chain(*probes)))
    given = dict.fromkeys((probe.name for probe in probes), 0)
    for event in world.log.events:
        if event.kind == "yield" and event.stage in given:
            given[event.stage] += 1
        if event.kind == "open" and event.stage in given:
            place = next(place for place, probe in enumerate(probes) if probe.name == event.stage)
            for before, spec in zip(probes[:place], sources, strict=False):
                ended = given[before.name] == len(spec.items)
                holds(ended, f"{event.stage} was opened while {before.name} had items left", "opened later")


@law(
    "chain-closes-each-before-the-next",
    about="make_chain",
    promise="closed",
    says="A source that has ended is closed before the next one is opened.",
    hint="How many sources are open at once in the diagram?",
    sources=several(sources(things()), least=2),
)
def _(world: World, make_chain: Any, sources: list[SourceSpec]) -> None:
    probes = world.sources(sources)
    world.items(world.run(make_chain(*probes)))
    told = [(event.stage, event.kind) for event in world.log.events if event.kind in ("open", "close")]
    told = [event for event in told if event[0] != "you"]
    same(told, [(probe.name, kind) for probe in probes for kind in ("open", "close")])


@law(
    "roundrobin-passes-nobody-over",
    about="make_roundrobin",
    promise="same answer",
    says="While a source still has items, no other source is served twice before it.",
    hint="Which source was live and waiting when another had its second turn?",
    sizes=several(integers(0, 4), least=1, most=5),
)
def _(world: World, make_roundrobin: Any, sizes: list[int]) -> None:
    specs = [SourceSpec(tuple((place, at) for at in range(size))) for place, size in enumerate(sizes)]
    left = dict(enumerate(sizes))
    waiting: dict[int, list[int]] = {place: [] for place in left}
    known = {repr(item) for spec in specs for item in spec.items}
    for item in world.items(world.run(make_roundrobin(*world.sources(specs)))):
        holds(repr(item) in known, f"it gave {item!r}", "one item of one source at a time")
        place = item[0]
        for other, served in waiting.items():
            if other != place and left[other]:
                served.append(place)
                holds(
                    served.count(place) < 2,
                    f"source {place} had two turns while source {other} was waiting",
                    "one turn each",
                )
        waiting[place] = []
        left[place] -= 1
    never = [f"source {place}" for place, many in left.items() if many]
    holds(
        not never,
        f"the stream ended with items left in {', '.join(never)}",
        "every item",
        "Who ended your loop: the first source that was at its end, or the last?",
    )


@law(
    "merge-is-stable",
    about="make_merge",
    promise="same answer",
    says="Items with equal keys come in the order of their sources, and so does their order within one.",
    hint="Two items have the same key. What decides which comes first?",
    keys=several(numbers(most=5)),
    reverse=booleans(),
    lookahead=integers(1, 4),
    check=booleans(),
)
def _(
    world: World, make_merge: Any, keys: list[tuple[int, ...]], reverse: bool, lookahead: int, check: bool
) -> None:
    lists = [
        [(key, place, at) for at, key in enumerate(sorted(given, reverse=reverse))]
        for place, given in enumerate(keys)
    ]
    probes = world.sources([SourceSpec(tuple(items)) for items in lists])
    options = {"key": _first, "reverse": reverse, "check": check, "lookahead": lookahead}
    expected = sorted(_chained(lists), key=_first, reverse=reverse)
    same(world.items(world.run(make_merge(*probes, **options))), expected)


def _first(item: tuple[Any, ...]) -> Any:
    return item[0]


@law(
    "merge-refuses-a-source-out-of-order",
    about="make_merge",
    promise="same answer",
    says="A source that is not sorted is an error that names the source and the place, never a wrong order.",
    hint="Your merge trusts its sources. Which two neighbours could it have compared?",
    sources=several(sources(), least=1, most=3),
    lookahead=integers(1, 3),
    reverse=booleans(),
)
def _(world: World, make_merge: Any, sources: list[SourceSpec], lookahead: int, reverse: bool) -> None:
    lists = [[-item if reverse else item for item in spec.items] for spec in sources]
    breaks = {
        place: next(
            (at for at in range(1, len(items)) if sources[place].items[at] < sources[place].items[at - 1]),
            None,
        )
        for place, items in enumerate(lists)
    }
    named = {
        f"source {place} is out of order at index {at}" for place, at in breaks.items() if at is not None
    }
    probes = world.sources([SourceSpec(tuple(items)) for items in lists])
    try:
        got = world.items(world.run(make_merge(*probes, reverse=reverse, lookahead=lookahead)))
    except ValueError as error:
        said = any(name in str(error) for name in named)
        holds(said, f"ValueError: {error}", f"one of: {'; '.join(sorted(named)) or 'no error'}")
    else:
        holds(not named, f"{got}", f"an error: {'; '.join(sorted(named))}")


@law(
    "merge-looks-no-further-ahead-than-it-may",
    about="make_merge",
    promise="on demand",
    says="With lookahead=n a source is read at most n items ahead of what you have got.",
    hint="How many items of one source were pulled and not given?",
    many=integers(1, 3),
    lookahead=integers(1, 4),
    k=integers(0, 8),
)
def _(world: World, make_merge: Any, many: int, lookahead: int, k: int) -> None:
    probes = world.sources([SourceSpec(endless=True)] * many)
    got = list(islice(world.iterator(world.run(make_merge(*probes, lookahead=lookahead))), k))
    same(got, sorted([*range(k)] * many)[:k])
    most = k + many * lookahead
    pulls = sum(probe.pulls for probe in probes)
    holds(pulls <= most, f"{pulls} questions to the sources for {k} of your own", f"at most {most}")
