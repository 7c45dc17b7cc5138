"""The laws of one-stream transforms: one set of sentences, true of each of them.

A transform here gives, for a longer input, more of the same: so its eager twin on a prefix tells how many pulls
an output may cost. What is special to one function stands below the family.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import count, islice
from typing import Any, NamedTuple

from funcpipe_rag.streams.probe import Boom

from .inputs import (
    EXPANSIONS,
    FUNCTIONS,
    MAPPINGS,
    PREDICATES,
    Input,
    SourceSpec,
    booleans,
    choice,
    integers,
    numbers,
    several,
    sources,
)
from .law import Broken, holds, law, same, times
from .worlds import World


class Family(NamedTuple):
    """A factory of transforms: what it is configured with, and its eager twin."""

    name: str
    parameter: str
    config: Input[Any]
    by_name: bool
    eager: Callable[[Any, list[Any]], list[Any]]
    settled: Callable[[Any, list[Any]], int] | None = None
    """how many outputs a beginning of the input settles; all of its twin's, unless said otherwise"""
    takes_both: bool = False
    """a plain function of stream and configuration, not a factory"""

    @property
    def configured(self) -> dict[str, Any]:
        """The configuration as an input of a law, under its own name."""
        return {self.parameter: self.config}

    def make(self, world: World, factory: Callable[..., Any], config: Any) -> Any:
        if self.takes_both:
            return lambda xs: factory(xs, config)
        return factory(world.fn(config) if self.by_name else config)

    def settles(self, config: Any, items: Iterable[Any]) -> int:
        given = list(items)
        return len(self.twin(config, given)) if self.settled is None else self.settled(config, given)

    def twin(self, config: Any, items: Iterable[Any]) -> list[Any]:
        return self.eager(FUNCTIONS[config] if self.by_name else config, list(items))

    def pulls_for(self, config: Any, items: Iterator[Any], k: int) -> int:
        """The length of the shortest beginning of `items` that settles the first `k` outputs."""
        seen: list[Any] = []
        while self.settles(config, seen) < k:
            seen.append(next(items))
        return len(seen)


def _taken(pred: Callable[[Any], object], xs: list[Any]) -> list[Any]:
    ends = next((at for at, x in enumerate(xs) if not pred(x)), len(xs))
    return xs[:ends]


def _dropped(pred: Callable[[Any], object], xs: list[Any]) -> list[Any]:
    return xs[len(_taken(pred, xs)) :]


def _batches(n: int, xs: list[Any]) -> list[Any]:
    return [tuple(xs[at : at + n]) for at in range(0, len(xs), n)]


FAMILIES = (
    Family("fmap", "fn", choice(*MAPPINGS), True, lambda fn, xs: [fn(x) for x in xs]),
    Family("ffilter", "pred", choice(*PREDICATES), True, lambda pred, xs: [x for x in xs if pred(x)]),
    Family("fflat_map", "fn", choice(*EXPANSIONS), True, lambda fn, xs: [y for x in xs for y in fn(x)]),
    Family("ftake_while", "pred", choice(*PREDICATES), True, _taken),
    Family("fdrop_while", "pred", choice(*PREDICATES), True, _dropped),
    Family("fence_k", "k", integers(0, 5), False, lambda k, xs: xs[:k]),
    Family("make_batched", "n", integers(1, 4), False, _batches, lambda n, xs: len(xs) // n),
    Family("batched", "n", integers(1, 4), False, _batches, lambda n, xs: len(xs) // n, takes_both=True),
)


def _laws_of(family: Family) -> None:
    name = family.name
    slug = name.replace("_", "-")

    @law(
        f"{slug}-equals-its-eager-twin",
        about=name,
        promise="same answer",
        says="Listed, the lazy result is the list that a loop would have built.",
        hint="Work the smallest input through by hand. Which item is missing, extra, or in the wrong place?",
        **family.configured,
        source=sources(),
    )
    def _(world: World, factory: Any, source: SourceSpec, **given: Any) -> None:
        config = given[family.parameter]
        xs, _probe = world.stream(source)
        same(
            world.items(world.run(family.make(world, factory, config), xs)), family.twin(config, source.items)
        )

    @law(
        f"{slug}-starts-nothing-at-birth",
        about=name,
        promise="on demand",
        says="Building a stream pulls nothing and opens nothing: work begins with the first question.",
        hint="Which line runs before anybody has asked for an item?",
        **family.configured,
        source=sources(numbers(most=3), "endless", handed=["iterator"]),
        reiterable=booleans(),
    )
    def _(world: World, factory: Any, source: SourceSpec, reiterable: bool, **given: Any) -> None:
        config = given[family.parameter]
        xs, probe = world.stream(source._replace(reiterable=reiterable), budget=0)
        opened = probe.opens
        world.iterator(world.run(family.make(world, factory, config), xs))
        holds(probe.pulls == 0, f"{probe.pulls} pulls before the first question", "0")
        holds(probe.opens == opened, "it opened its input before the first question", "not yet")

    @law(
        f"{slug}-asks-for-no-more-than-it-needs",
        about=name,
        promise="on demand",
        says="k outputs cost the items that settle them, and not one pull more.",
        hint="Count the questions in the row `source`. Which answer was not needed yet?",
        **family.configured,
        items=numbers(),
        taken=integers(0, 4),
    )
    def _(world: World, factory: Any, items: tuple[int, ...], taken: int, **given: Any) -> None:
        config = given[family.parameter]
        k = min(taken, family.settles(config, items))
        needed = family.pulls_for(config, iter(items), k)
        xs, probe = world.stream(SourceSpec(items, endless=True), budget=needed)
        got = list(islice(world.iterator(world.run(family.make(world, factory, config), xs)), k))
        same(got, family.twin(config, items)[:k])
        holds(probe.pulls <= needed, f"{probe.pulls} pulls for {k} outputs", f"{needed}")

    @law(
        f"{slug}-passes-errors-on",
        about=name,
        promise="same answer",
        late=True,
        says="An error of the input reaches you as it is, behind every item that came before it.",
        hint="Where is the error caught, or an item kept back?",
        **family.configured,
        source=sources(None, "raises", handed=["iterator"]),
    )
    def _(world: World, factory: Any, source: SourceSpec, **given: Any) -> None:
        config = given[family.parameter]
        expected = family.twin(config, source.given)
        settled = family.twin(config, [*source.given, *range(9)]) == expected
        xs, _probe = world.stream(source)
        passes_errors_on(world.run(family.make(world, factory, config), xs), expected, may_end=settled)

    @law(
        f"{slug}-closes-what-it-opened",
        about=name,
        promise="closed",
        says="What the stream opened, it closes, once: when it ends, fails, or is closed half-way.",
        hint="Who called iter() on the collection? Who closes what that gave?",
        **family.configured,
        source=sources(numbers(least=1), "ends", "raises", handed=["collection"]),
        taken=integers(1, 6),
    )
    def _(world: World, factory: Any, source: SourceSpec, taken: int, **given: Any) -> None:
        config = given[family.parameter]
        xs, probe = world.stream(source)
        read_and_close(world.run(family.make(world, factory, config), xs), taken)
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
        **family.configured,
        source=sources(numbers(least=1), "ends", "raises", handed=["iterator"]),
        taken=integers(1, 6),
    )
    def _(world: World, factory: Any, source: SourceSpec, taken: int, **given: Any) -> None:
        config = given[family.parameter]
        xs, probe = world.stream(source)
        read_and_close(world.run(family.make(world, factory, config), xs), taken)
        holds(probe.closes == 0, "it closed the iterator that it was handed", "left open")


def _freshness_of(family: Family) -> None:
    name = family.name
    slug = name.replace("_", "-")

    @law(
        f"{slug}-starts-afresh",
        about=name,
        promise="fresh",
        says="Two runs of one stage do not know of each other.",
        hint="What is kept outside the function that runs for each stream?",
        **family.configured,
        first=sources(),
        second=sources(),
    )
    def _(world: World, factory: Any, first: SourceSpec, second: SourceSpec, **given: Any) -> None:
        config = given[family.parameter]
        stage = family.make(world, factory, config)
        a, b = (world.run(stage, world.stream(spec)[0]) for spec in (first, second))
        got_a, got_b = _in_turns(world.iterator(a), world.iterator(b))
        same(got_a, family.twin(config, first.items), "the first run gave {}")
        same(got_b, family.twin(config, second.items), "the second run gave {}")


def _in_turns(a: Iterator[Any], b: Iterator[Any]) -> tuple[list[Any], list[Any]]:
    got: tuple[list[Any], list[Any]] = ([], [])
    live = {0: a, 1: b}
    while live:
        for place, it in list(live.items()):
            for item in it:
                got[place].append(item)
                holds(len(got[place]) <= 200, "it gave more than 200 items", "an end")
                break
            else:
                del live[place]
    return got


def passes_errors_on(made: Iterator[Any], expected: list[Any], *, may_end: bool = False) -> None:
    """Break the law unless `made` gives `expected` and then raises `Boom`, or ends where it may."""
    got = []
    try:
        for item in made:
            got.append(item)
            holds(len(got) <= 200, "it gave more than 200 items", "the error")
    except Boom:
        same(got, expected, "before the error it gave {}")
        return
    except Exception as error:
        raise Broken(f"{type(error).__name__} came out", "Boom, the source's own error") from error
    holds(
        may_end, f"it gave {got} and then ended as if nothing had happened", f"{expected} and then the error"
    )
    same(got, expected)


def read_and_close(made: Any, k: int) -> None:
    """Read at most `k` items of `made`, then close it, whether it ended, failed, or could go on."""
    with suppress(Boom):
        deque(zip(range(k), made, strict=False), maxlen=0)
    holds(hasattr(made, "close"), f"a {type(made).__name__} came, which cannot be closed", "a close()")
    with suppress(Boom):
        made.close()


for _family in FAMILIES:
    _laws_of(_family)
    if not _family.takes_both:
        _freshness_of(_family)


@law(
    "fence-k-never-asks-again",
    about="fence_k",
    promise="on demand",
    says="A fence of k never asks for item k + 1, not even to learn that it may stop.",
    hint="Your loop gave item k. What does it do before it notices that this was the last?",
    k=integers(0, 5),
    items=numbers(),
)
def _(world: World, fence_k: Any, k: int, items: tuple[int, ...]) -> None:
    xs, probe = world.stream(SourceSpec(items, endless=True), budget=k)
    expected = [item for item, _ in zip([*items, *range(k)], range(k), strict=False)]
    same(world.items(world.run(fence_k(k), xs)), expected)
    holds(probe.pulls <= k, f"{probe.pulls} pulls", f"{k}")


@law(
    "fence-k-goes-on-where-it-stopped",
    about="fence_k",
    promise="same answer",
    says="Behind a fence the stream goes on with the next item: nothing is lost.",
    hint="Which item was pulled and not given?",
    k=integers(0, 5),
    items=numbers(),
)
def _(world: World, fence_k: Any, k: int, items: tuple[int, ...]) -> None:
    xs, _probe = world.stream(SourceSpec(items))
    got = world.items(world.run(fence_k(k), xs))
    same([*got, *xs], list(items), "the fence, and the stream behind it, gave {}")


@law(
    "fflat-map-reads-each-result-as-it-is-asked-for",
    about="fflat_map",
    promise="on demand",
    says="A result that never ends is read only as far as you ask.",
    hint="Which line turns a result into a list?",
    k=integers(0, 5),
)
def _(world: World, fflat_map: Any, k: int) -> None:
    inner = world.source(SourceSpec(endless=True), "result", budget=k)
    outer, probe = world.stream(SourceSpec(("x",), endless=True), budget=1)
    got = list(islice(world.iterator(world.run(fflat_map(lambda _: inner()), outer)), k))
    same(got, list(islice(count(), k)))
    holds(probe.pulls <= 1, f"{probe.pulls} pulls", "1")


@law(
    "fflat-map-closes-each-result",
    about="fflat_map",
    promise="closed",
    says="Each result is closed before the next one is made, and the last one with the stream.",
    hint="What happens to a half-read result when you stop?",
    sizes=several(integers(0, 3), least=1, most=3),
    k=integers(1, 6),
)
def _(world: World, fflat_map: Any, sizes: list[int], k: int) -> None:
    results = {
        at: world.source(SourceSpec(tuple(range(size))), f"result {at}") for at, size in enumerate(sizes)
    }

    def result(at: int) -> Any:
        still_open = [probe.name for probe in results.values() if probe.opens > probe.closes]
        holds(not still_open, f"{still_open} still open when result {at} was made", "closed")
        return results[at]()

    xs, _probe = world.stream(SourceSpec(tuple(range(len(sizes)))))
    read_and_close(world.run(fflat_map(result), xs), k)
    for probe in results.values():
        holds(
            probe.closes == probe.opens,
            f"{probe.name}: {probe.opens} opened, {probe.closes} closed",
            "the same",
        )


@law(
    "batched-strict-refuses-a-short-tail",
    about="batched",
    promise="same answer",
    says="With strict=True a short tail is a ValueError, behind the full batches; otherwise it is a short batch.",
    hint="How many items are left when the input ends?",
    items=numbers(),
    n=integers(1, 4),
    strict=booleans(),
)
def _(world: World, batched: Any, items: tuple[int, ...], n: int, strict: bool) -> None:
    xs, _probe = world.stream(SourceSpec(items))
    expected = _batches(n, list(items))
    short = bool(expected) and len(expected[-1]) < n
    got = []
    try:
        for batch in batched(xs, n, strict=strict):
            got.append(batch)
            holds(len(got) <= len(items), f"it gave more than {len(items)} batches", "an end")
    except ValueError as error:
        holds(strict and short, f"ValueError: {error}", "no error")
        same(got, expected[:-1], "before the error it gave {}")
    else:
        holds(not (strict and short), f"{got} and then an end in silence", "a ValueError for the short tail")
        same(got, expected)
