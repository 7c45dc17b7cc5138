"""The laws of windows, groups and running results: transforms whose outputs each rest on several inputs.

One set of sentences, true of each of them. A longer input settles more outputs, so the eager twin on a prefix tells
how many pulls an output may cost. What is special to one function stands in the file that bears its name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import count, islice
from typing import Any, NamedTuple, TypeAlias

from .inputs import Input, Items, SourceSpec, booleans, integers, numbers, sources
from .law import holds, law, same, times
from .transforms import passes_errors_on, read_and_close
from .worlds import World

Given: TypeAlias = Mapping[str, Any]
"""The configuration of a stage, by the names of its inputs."""


class Family(NamedTuple):
    """A factory of transforms with any configuration: how it is called, and its eager twin."""

    name: str
    config: dict[str, Any]
    """its inputs, by name"""
    make: Callable[[World, Any, Given], Any]
    eager: Callable[[Given, list[Any]], list[Any]]
    settled: Callable[[Given, list[Any]], int] | None = None
    """how many outputs a beginning of the input settles; all of its twin's, unless said otherwise"""
    items: Callable[..., Input[Items]] = numbers

    def settles(self, given: Given, items: list[Any]) -> int:
        return len(self.eager(given, items)) if self.settled is None else self.settled(given, items)


def laws_of(family: Family) -> None:
    """Register what is true of every stage of this kind."""
    name, items = family.name, family.items
    slug = name.replace("_", "-")

    @law(
        f"{slug}-equals-its-eager-twin",
        about=name,
        promise="same answer",
        says="Listed, the lazy result is the list that a loop would have built.",
        hint="Work the smallest input through by hand. Which item is missing, extra, or in the wrong place?",
        **family.config,
        source=sources(items()),
    )
    def _(world: World, factory: Any, source: SourceSpec, **given: Any) -> None:
        xs, _probe = world.stream(source)
        made = world.run(family.make(world, factory, given), xs)
        same(world.items(made), family.eager(given, list(source.items)))

    @law(
        f"{slug}-starts-nothing-at-birth",
        about=name,
        promise="on demand",
        says="Building a stream pulls nothing and opens nothing: work begins with the first question.",
        hint="Which line runs before anybody has asked for an item?",
        **family.config,
        source=sources(items(most=3), "endless", handed=["iterator"]),
        reiterable=booleans(),
    )
    def _(world: World, factory: Any, source: SourceSpec, reiterable: bool, **given: Any) -> None:
        xs, probe = world.stream(source._replace(reiterable=reiterable), budget=0)
        opened = probe.opens
        world.iterator(world.run(family.make(world, factory, given), xs))
        holds(probe.pulls == 0, f"{probe.pulls} pulls before the first question", "0")
        holds(probe.opens == opened, "it opened its input before the first question", "not yet")

    @law(
        f"{slug}-asks-for-no-more-than-it-needs",
        about=name,
        promise="on demand",
        says="k outputs cost the items that settle them, and not one pull more.",
        hint="Count the questions in the row `source`. Which answer was not needed yet?",
        **family.config,
        items=items(),
        taken=integers(0, 4),
    )
    def _(world: World, factory: Any, items: Items, taken: int, **given: Any) -> None:
        given_items = list(items)
        k = min(taken, family.settles(given, given_items))
        needed = next(at for at in count() if family.settles(given, given_items[:at]) >= k)
        xs, probe = world.stream(SourceSpec(items, endless=True), budget=needed)
        got = list(islice(world.iterator(world.run(family.make(world, factory, given), xs)), k))
        same(got, family.eager(given, given_items)[:k])
        holds(probe.pulls <= needed, f"{probe.pulls} pulls for {k} outputs", f"{needed}")

    @law(
        f"{slug}-pays-once-for-the-end",
        about=name,
        promise="on demand",
        says="Read to its end, the stream costs one pull for each item and one for the end.",
        hint="Who asks again after the input has said that it is at its end?",
        **family.config,
        source=sources(items()),
    )
    def _(world: World, factory: Any, source: SourceSpec, **given: Any) -> None:
        xs, probe = world.stream(source)
        world.items(world.run(family.make(world, factory, given), xs))
        most = len(source.items) + 1
        holds(probe.pulls <= most, f"the source was asked {times(probe.pulls)}", f"at most {times(most)}")

    @law(
        f"{slug}-starts-afresh",
        about=name,
        promise="fresh",
        says="Two runs of one stage do not know of each other.",
        hint="What is kept outside the function that runs for each stream?",
        **family.config,
        first=sources(items()),
        second=sources(items()),
    )
    def _(world: World, factory: Any, first: SourceSpec, second: SourceSpec, **given: Any) -> None:
        stage = family.make(world, factory, given)
        expected = [family.eager(given, list(spec.items)) for spec in (first, second)]
        begun, other = (world.iterator(world.run(stage, world.stream(spec)[0])) for spec in (first, second))
        got = list(islice(begun, 1))
        same(world.items(other), expected[1], "the second run gave {}")
        same([*got, *islice(begun, 200)], expected[0], "the first run gave {}")

    @law(
        f"{slug}-passes-errors-on",
        about=name,
        promise="same answer",
        late=True,
        says="An error of the input reaches you as it is, behind every item that came before it.",
        hint="Where is the error caught, or an item kept back?",
        **family.config,
        source=sources(items(), "raises", handed=["iterator"]),
    )
    def _(world: World, factory: Any, source: SourceSpec, **given: Any) -> None:
        xs, _probe = world.stream(source)
        made = world.run(family.make(world, factory, given), xs)
        passes_errors_on(made, family.eager(given, source.given))

    @law(
        f"{slug}-closes-what-it-opened",
        about=name,
        promise="closed",
        says="What the stream opened, it closes, once: when it ends, fails, or is closed half-way.",
        hint="Who called iter() on the collection? Who closes what that gave?",
        **family.config,
        source=sources(items(least=1), "ends", "raises", handed=["collection"]),
        taken=integers(1, 6),
    )
    def _(world: World, factory: Any, source: SourceSpec, taken: int, **given: Any) -> None:
        xs, probe = world.stream(source)
        read_and_close(world.run(family.make(world, factory, given), xs), taken)
        holds(
            probe.closes == probe.opens,
            f"opened {times(probe.opens)}, closed {times(probe.closes)}",
            "as often closed as opened",
        )

    @law(
        f"{slug}-leaves-open-what-it-was-handed",
        about=name,
        promise="closed",
        says="An iterator that was handed in stays open: whoever made it goes on with it.",
        hint="iter(it) is it. So who opened it?",
        **family.config,
        source=sources(items(least=1), "ends", "raises", handed=["iterator"]),
        taken=integers(1, 6),
    )
    def _(world: World, factory: Any, source: SourceSpec, taken: int, **given: Any) -> None:
        xs, probe = world.stream(source)
        read_and_close(world.run(family.make(world, factory, given), xs), taken)
        holds(probe.closes == 0, "it closed the iterator that it was handed", "left open")


def _windows(given: Given, xs: list[Any]) -> list[Any]:
    w, step = given["w"], given["step"]
    return [tuple(xs[at : at + w]) for at in range(0, len(xs) - w + 1, step)]


WINDOWS = (
    Family(
        "make_sliding",
        {"w": integers(1, 4), "step": integers(1, 5)},
        lambda world, make, given: make(given["w"], step=given["step"]),
        _windows,
    ),
    Family(
        "values_after_w",
        {"w": integers(1, 4)},
        lambda world, make, given: make(given["w"]),
        lambda given, xs: xs[given["w"] - 1 :],
    ),
)

for _family in WINDOWS:
    laws_of(_family)
