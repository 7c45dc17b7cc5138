"""The laws of joining stages, and of making a source of something."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

from .inputs import FUNCTIONS, MAPPINGS, SourceSpec, choice, integers, numbers, several, sources, things
from .law import holds, law, same, times
from .stages import passes_errors_on, read_and_close
from .worlds import World

_STAGES = several(choice(*MAPPINGS[:3]), least=1, most=4)


def _applied(fns: list[str], items: Iterable[Any]) -> list[Any]:
    out = list(items)
    for fn in fns:
        out = [FUNCTIONS[fn](item) for item in out]
    return out


def _stages(world: World, fns: list[str]) -> list[Callable[[Iterable[Any]], Iterator[Any]]]:
    return [world.stage(f"stage {place}", fn) for place, fn in enumerate(fns)]


@law(
    "compose-applies-left-to-right",
    about="compose",
    promise="same answer",
    says="What the first stage gives is what the second one gets, and so on to the last.",
    hint="Follow one item through the diagram. Which stage had it first?",
    fns=_STAGES,
    source=sources(),
)
def _(world: World, compose: Any, fns: list[str], source: SourceSpec) -> None:
    xs, _probe = world.stream(source)
    same(world.items(world.run(compose(*_stages(world, fns)), xs)), _applied(fns, source.items))


@law(
    "compose-starts-nothing-at-birth",
    about="compose",
    promise="on demand",
    says="Building a pipeline pulls nothing, opens nothing and calls no stage.",
    hint="Which line runs before anybody has asked for an item?",
    fns=_STAGES,
    source=sources(numbers(most=3), "endless", handed=["iterator"]),
)
def _(world: World, compose: Any, fns: list[str], source: SourceSpec) -> None:
    called = []

    def stage(xs: Iterable[Any]) -> Iterator[Any]:
        called.append("a stage")
        return iter(xs)

    xs, probe = world.stream(source, budget=0)
    world.iterator(world.run(compose(*[stage] * len(fns)), xs))
    holds(probe.pulls == 0, f"{probe.pulls} pulls before the first question", "0")
    holds(not called, "a stage was called before the first question", "not yet")


@law(
    "compose-takes-each-item-through-before-the-next",
    about="compose",
    promise="on demand",
    says="An item has gone through every stage before the next one is pulled.",
    hint="In the diagram, a column of the source should be followed by one of every stage.",
    fns=_STAGES,
    source=sources(numbers(most=3), "endless", handed=["iterator"]),
    k=integers(0, 4),
)
def _(world: World, compose: Any, fns: list[str], source: SourceSpec, k: int) -> None:
    xs, _probe = world.stream(source, budget=k)
    got = list(islice(world.iterator(world.run(compose(*_stages(world, fns)), xs)), k))
    same(got, _applied(fns, [*source.items, *range(k)][:k]))
    gave = [event.stage for event in world.log.events if event.kind == "yield"]
    same(
        gave,
        ["source", *(f"stage {place}" for place in range(len(fns))), "you"] * k,
        "they gave in the order {}",
    )


@law(
    "compose-starts-afresh",
    about="compose",
    promise="fresh",
    says="Two runs of one pipeline do not know of each other.",
    hint="What is kept outside the function that runs for each stream?",
    fns=_STAGES,
    first=sources(),
    second=sources(),
    ahead=integers(0, 3),
)
def _(world: World, compose: Any, fns: list[str], first: SourceSpec, second: SourceSpec, ahead: int) -> None:
    pipeline = compose(*_stages(world, fns))
    a = world.iterator(world.run(pipeline, world.stream(first)[0]))
    begun = list(islice(a, ahead))
    same(
        world.items(world.run(pipeline, world.stream(second)[0])),
        _applied(fns, second.items),
        "the second run gave {}",
    )
    same([*begun, *a], _applied(fns, first.items), "the first run gave {}")


@law(
    "compose-passes-errors-on",
    about="compose",
    promise="same answer",
    late=True,
    says="An error reaches you as it is, behind every item that came before it.",
    hint="Where is the error caught, or an item kept back?",
    fns=_STAGES,
    source=sources(None, "raises", handed=["iterator"]),
)
def _(world: World, compose: Any, fns: list[str], source: SourceSpec) -> None:
    xs, _probe = world.stream(source)
    passes_errors_on(world.run(compose(*_stages(world, fns)), xs), _applied(fns, source.given))


@law(
    "compose-closes-what-it-made-last-first",
    about="compose",
    promise="closed",
    says="A pipeline closes every stream it made between its stages, once, the last first; not what it was handed.",
    hint="Who called the stages? Who closes what they gave?",
    fns=_STAGES,
    source=sources(None, "ends", "raises", "endless"),
    k=integers(1, 6),
)
def _(world: World, compose: Any, fns: list[str], source: SourceSpec, k: int) -> None:
    xs, probe = world.stream(source)
    read_and_close(world.run(compose(*_stages(world, fns)), xs), k)
    stages = [f"stage {place}" for place in range(len(fns))]
    closed = [event.stage for event in world.log.events if event.kind == "close" and event.stage in stages]
    # A stream that runs out ends itself, from the source on.
    same(
        closed if source.endless else sorted(closed, reverse=True), stages[::-1], "closed, in this order: {}"
    )
    expected = probe.opens if source.reiterable else 0
    holds(probe.closes == expected, f"the input was closed {times(probe.closes)}", times(expected))


@law(
    "as-source-gives-its-items-each-time",
    about="as_source",
    promise="fresh",
    says="Every call starts at the first item, also while an earlier one is half-read.",
    hint="How many iterators are there? How many bookmarks?",
    items=things(),
    ahead=integers(0, 4),
)
def _(world: World, as_source: Any, items: tuple[Any, ...], ahead: int) -> None:
    made = as_source(list(items))
    first = world.iterator(world.run(made))
    begun = list(islice(first, ahead))
    same(world.items(world.run(made)), list(items), "the second call gave {}")
    same([*begun, *first], list(items), "the first call gave {}")


@law(
    "as-source-refuses-what-gives-its-items-once",
    about="as_source",
    promise="same answer",
    says="A one-shot iterator is refused at once: it could not be fresh a second time.",
    hint="What would the second call give?",
    items=things(),
)
def _(world: World, as_source: Any, items: tuple[Any, ...]) -> None:
    try:
        as_source(iter(items))
    except TypeError:
        return
    holds(False, "it took an iterator", "a TypeError that says what to pass instead")


@law(
    "as-source-opens-nothing-at-birth",
    about="as_source",
    promise="on demand",
    says="Making a source opens nothing, and calling it opens nothing before the first question.",
    hint="Which line calls iter()?",
    items=things(),
)
def _(world: World, as_source: Any, items: tuple[Any, ...]) -> None:
    collection, probe = world.stream(SourceSpec(items, reiterable=True))
    world.iterator(world.run(as_source(collection)))
    holds(probe.opens == 0, "it opened the collection before the first question", "not yet")


@law(
    "as-source-closes-what-it-opened",
    about="as_source",
    promise="closed",
    says="The iterator it made of the collection is closed once, whenever you stop.",
    hint="Who called iter() on the collection?",
    items=things(),
    k=integers(0, 6),
)
def _(world: World, as_source: Any, items: tuple[Any, ...], k: int) -> None:
    collection, probe = world.stream(SourceSpec(items, reiterable=True))
    read_and_close(world.run(as_source(collection)), k)
    holds(
        probe.closes == probe.opens,
        f"opened {times(probe.opens)}, closed {times(probe.closes)}",
        "as often closed as opened",
    )


@law(
    "source-to-transform-ignores-its-input",
    about="source_to_transform",
    promise="same answer",
    says="It gives the source's items and never touches what it is handed.",
    hint="Who asked the input for anything?",
    source=sources(things()),
)
def _(world: World, source_to_transform: Any, source: SourceSpec) -> None:
    xs, probe = world.stream(SourceSpec(endless=True), budget=0)
    opened = world.source(source, "inner")
    same(world.items(world.run(source_to_transform(opened), xs)), list(source.items))
    holds(probe.pulls == 0 and probe.closes == 0, "it touched its input", "left alone")


@law(
    "source-to-transform-opens-when-asked",
    about="source_to_transform",
    promise="on demand",
    says="The source is opened by the first question, afresh for each stream, and asked for no more than you get.",
    hint="Which line calls the source?",
    source=sources(numbers(most=3), "endless", handed=["iterator"]),
    k=integers(0, 4),
)
def _(world: World, source_to_transform: Any, source: SourceSpec, k: int) -> None:
    opened = world.source(source, "inner", budget=2 * k)
    stage = source_to_transform(opened)
    for run in (1, 2):
        it = world.iterator(world.run(stage, ()))
        holds(
            opened.opens == (run - 1) * (k > 0), "the source was opened before the first question", "not yet"
        )
        same(list(islice(it, k)), [*source.items, *range(k)][:k], f"run {run} gave {{}}")


@law(
    "source-to-transform-starts-afresh",
    about="source_to_transform",
    promise="fresh",
    says="Each stream opens the source anew, also while an earlier one is half-read.",
    hint="How often is the source called?",
    source=sources(things()),
    ahead=integers(0, 4),
)
def _(world: World, source_to_transform: Any, source: SourceSpec, ahead: int) -> None:
    stage = source_to_transform(world.source(source, "inner"))
    first = world.iterator(world.run(stage, ()))
    begun = list(islice(first, ahead))
    same(world.items(world.run(stage, ())), list(source.items), "the second stream gave {}")
    same([*begun, *first], list(source.items), "the first stream gave {}")


@law(
    "source-to-transform-closes-what-it-opened",
    about="source_to_transform",
    promise="closed",
    says="The source's iterator is closed once, whenever you stop.",
    hint="Who opened the source?",
    source=sources(None, "ends", "raises", "endless"),
    k=integers(0, 6),
)
def _(world: World, source_to_transform: Any, source: SourceSpec, k: int) -> None:
    opened = world.source(source, "inner")
    read_and_close(world.run(source_to_transform(opened), ()), k)
    holds(
        opened.closes == opened.opens,
        f"opened {times(opened.opens)}, closed {times(opened.closes)}",
        "as often closed as opened",
    )
