"""The laws of the plain transforms: those of every stage, and what is special to one of them."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count, islice
from typing import Any

from .inputs import (
    EXPANSIONS,
    FUNCTIONS,
    MAPPINGS,
    PREDICATES,
    SourceSpec,
    booleans,
    choice,
    integers,
    numbers,
    several,
)
from .law import holds, law, same
from .stages import ONCE, Family, laws_of, read_and_close
from .worlds import World


def _by_function(
    name: str,
    parameter: str,
    names: tuple[str, ...],
    eager: Callable[[Any, list[Any]], list[Any]],
    **more: Any,
) -> Family:
    """A transform that is configured with one function, which its laws name."""
    return Family(
        name,
        {parameter: choice(*names)},
        lambda world, factory, **config: factory(world.fn(config[parameter])),
        lambda xs, **config: eager(FUNCTIONS[config[parameter]], xs),
        **more,
    )


def _taken(pred: Callable[[Any], object], xs: list[Any]) -> list[Any]:
    ends = next((at for at, x in enumerate(xs) if not pred(x)), len(xs))
    return xs[:ends]


def _dropped(pred: Callable[[Any], object], xs: list[Any]) -> list[Any]:
    return xs[len(_taken(pred, xs)) :]


def _batches(n: int, xs: list[Any]) -> list[Any]:
    return [tuple(xs[at : at + n]) for at in range(0, len(xs), n)]


_MORE = tuple(range(9))

FAMILIES = (
    _by_function("fmap", "fn", MAPPINGS, lambda fn, xs: [fn(x) for x in xs]),
    _by_function("ffilter", "pred", PREDICATES, lambda pred, xs: [x for x in xs if pred(x)]),
    _by_function("fflat_map", "fn", EXPANSIONS, lambda fn, xs: [y for x in xs for y in fn(x)]),
    _by_function("ftake_while", "pred", PREDICATES, _taken, goes_on=_MORE),
    _by_function("fdrop_while", "pred", PREDICATES, _dropped),
    Family(
        "fence_k",
        {"k": integers(0, 5)},
        lambda world, fence_k, k: fence_k(k),
        lambda xs, k: xs[:k],
        goes_on=_MORE,
    ),
    Family(
        "make_batched",
        {"n": integers(1, 4)},
        lambda world, make_batched, n: make_batched(n),
        lambda xs, n: _batches(n, xs),
        settled=lambda xs, n: len(xs) // n,
    ),
)
BATCHED = Family(
    "batched",
    {"n": integers(1, 4)},
    lambda world, batched, n: lambda xs: batched(xs, n),
    lambda xs, n: _batches(n, xs),
    settled=lambda xs, n: len(xs) // n,
    plain=True,
)

for _family in FAMILIES:
    laws_of(_family)
laws_of(BATCHED, ONCE)


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
