"""The laws of failures as data: what fails goes down the stream, and nothing else changes.

What a law compares is told in plain data (`told`), so it reads the same whichever process made the results.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import accumulate
from typing import Any

from funcpipe_rag.streams.probe import Boom
from funcpipe_rag.streams.reports import Report
from funcpipe_rag.streams.results import Err, Ok

from .inputs import (
    FUNCTIONS,
    MAPPINGS,
    Input,
    Items,
    SourceSpec,
    booleans,
    choice,
    integers,
    items_of,
    sources,
)
from .law import holds, law, same
from .stages import (
    Case,
    Family,
    asks_for_no_more_than_it_needs,
    clause,
    equals_its_eager_twin,
    laws_of,
    only_its_own_is_closed,
    passes_errors_on,
    passes_errors_on_to_you,
    read_and_close,
    starts_afresh,
    starts_nothing_at_birth,
)
from .worlds import World

FAILURES = (Err(Boom("no"), 0, "parse", 0), Err(LookupError("lost"), 1, "read", 4))
"""Two failures, of different kinds and stages."""


def results(*, least: int = 0, most: int = 6) -> Input[Items]:
    """A few results, good and bad; false values among the good."""
    return items_of(choice(Ok(0), Ok(1), Ok(None), *FAILURES), least=least, most=most)


def told(thing: Any) -> Any:
    """A result as plain data; anything else as it is.

    >>> told(Ok(1)), told(FAILURES[0]), told(2)
    (('Ok', 1), ('Err', 'Boom', 0), 2)
    """
    kind = type(thing).__name__
    if kind == "Ok":
        (value,) = thing
        return "Ok", value
    if kind == "Err":
        error, item, *_ = thing
        return "Err", type(error).__name__, item
    return thing


def _tried(fn: str, items: Iterable[Any]) -> list[Any]:
    """What try_map gives, told."""

    def answer(item: Any) -> tuple[Any, ...]:
        try:
            return "Ok", FUNCTIONS[fn](item)
        except Boom:
            return "Err", "Boom", item

    return [answer(item) for item in items]


def good_values(results: Iterable[Any]) -> list[Any]:
    """The values of the good results."""
    return [result.value for result in results if isinstance(result, Ok)]


def _until(results: Iterable[Any], enough: Callable[[list[bool]], bool]) -> list[Any]:
    """The results up to the first failure at which `enough` is true of the past, told."""
    out, failed = [], []
    for result in results:
        out.append(told(result))
        failed.append(isinstance(result, Err))
        if failed[-1] and enough(failed):
            break
    return out


def _recovered(does: str, results: Iterable[Any]) -> list[Any]:
    answers: dict[str, Callable[[Err[Any]], Any]] = {
        "to_none": lambda failure: ("Ok", None),
        "its_item": lambda failure: ("Ok", failure.item),
        "leaves_it": told,
    }
    return [told(result) if isinstance(result, Ok) else answers[does](result) for result in results]


RECOVERIES: dict[str, Callable[[Any], Any]] = {
    "to_none": lambda failure: None,
    "its_item": lambda failure: failure.item,
    "leaves_it": lambda failure: failure,
}
"""What `recover` may be given, by name."""


_MORE = FAILURES * 3

FAMILIES = (
    Family(
        "try_map",
        {"fn": choice(*MAPPINGS, "boom_at_3")},
        lambda world, try_map, fn: try_map(world.fn(fn)),
        lambda items, fn: _tried(fn, items),
        told=told,
    ),
    Family(
        "recover",
        {"fn": choice(*RECOVERIES)},
        lambda world, recover, fn: recover(RECOVERIES[fn]),
        lambda items, fn: _recovered(fn, items),
        items=results,
        told=told,
    ),
    Family(
        "ok_only",
        {},
        lambda world, ok_only: ok_only(report=Report()),
        good_values,
        items=results,
    ),
    Family(
        "split_results",
        {},
        lambda world, split_results: split_results(lambda failure: None),
        good_values,
        items=results,
    ),
    Family(
        "until_n_errors",
        {"n": integers(1, 3)},
        lambda world, until_n_errors, n: until_n_errors(n),
        lambda items, n: _until(items, lambda failed: sum(failed) >= n),
        items=results,
        told=told,
        goes_on=_MORE,
    ),
    Family(
        "until_error_rate",
        {"rate": choice(0.5, 0.3, 1.0), "window": integers(1, 4)},
        lambda world, until_error_rate, rate, window: until_error_rate(rate, window=window),
        lambda items, rate, window: _until(items, lambda failed: sum(failed[-window:]) / window >= rate),
        items=results,
        told=told,
        goes_on=_MORE,
    ),
)


@clause(
    "closes-what-it-opened",
    promise="closed",
    says="What the stream opened, it closes, once; what it was handed, it leaves open.",
    hint="Who called iter() on the collection? Who closes what that gave?",
    source=lambda family: sources(family.items(least=1), "ends", "raises"),
    taken=lambda family: integers(1, 6),
)
def closes_its_own_alone(case: Case, source: SourceSpec, taken: int) -> None:
    made, probe = case.run(source)
    read_and_close(made, taken)
    only_its_own_is_closed(probe, source)


RESULTS = (
    equals_its_eager_twin,
    starts_nothing_at_birth,
    asks_for_no_more_than_it_needs,
    passes_errors_on_to_you._replace(
        says="An error of the input is no item's failure: it reaches you as it is, behind what came before it."
    ),
    closes_its_own_alone,
    starts_afresh,
)
"""What every stage over results owes."""

for _family in FAMILIES:
    laws_of(_family, RESULTS)


@law(
    "try-map-keeps-the-item-and-its-place",
    about="try_map",
    promise="same answer",
    says="A failure says which item it was, and at which place of the input, counted from 0.",
    hint="What is counted: the items, or the failures?",
    source=sources(),
)
def _(world: World, try_map: Any, source: SourceSpec) -> None:
    xs, _probe = world.stream(source)
    got = world.items(world.run(try_map(world.fn("boom_at_3")), xs))
    failures = [tuple(result) for result in got if type(result).__name__ == "Err"]
    same(
        [(item, index) for _, item, _, index in failures],
        [(item, index) for index, item in enumerate(source.items) if item == 3],
        "the failures' items and places were {}",
    )


@law(
    "try-map-catches-only-what-it-is-told",
    about="try_map",
    promise="same answer",
    says="An error that is not among `errors` is nobody's data: it comes out as it is.",
    hint="What stands behind `except`?",
    source=sources(),
    expected=booleans(),
)
def _(world: World, try_map: Any, source: SourceSpec, expected: bool) -> None:
    xs, _probe = world.stream(source)
    made = world.run(try_map(world.fn("boom_at_3"), errors=Boom if expected else LookupError), xs)
    answers = _tried("boom_at_3", source.items)
    failed = [place for place, answer in enumerate(answers) if answer[0] == "Err"]
    if expected or not failed:
        same([told(item) for item in world.items(made)], answers)
    else:
        passes_errors_on(map(told, world.iterator(made)), answers[: failed[0]])


@law(
    "recover-asks-about-failures-alone",
    about="recover",
    promise="on demand",
    says="The function is asked once about each failure, in its turn, and never about a good result.",
    hint="Which results reach your function?",
    source=sources(results()),
)
def _(world: World, recover: Any, source: SourceSpec) -> None:
    asked: list[Any] = []

    def answer(result: Any) -> Any:
        asked.append(told(result))
        return 0

    xs, _probe = world.stream(source)
    seen = [len(asked) for _ in world.iterator(world.run(recover(answer), xs))]
    failed = [isinstance(result, Err) for result in source.items]
    same(asked, [told(result) for result in source.items if isinstance(result, Err)], "it was asked about {}")
    same(seen, list(accumulate(failed, initial=0))[1:], "after each result, so often had it been asked: {}")


@law(
    "split-results-hands-each-failure-over-in-its-turn",
    about="split_results",
    promise="on demand",
    says="A failure is handed over when it is reached: before the next value, and not before it is asked for.",
    hint="When does on_err hear of the first failure?",
    source=sources(results()),
)
def _(world: World, split_results: Any, source: SourceSpec) -> None:
    heard: list[Any] = []
    xs, _probe = world.stream(source)
    made = world.run(split_results(lambda failure: heard.append(told(failure))), xs)
    got: list[Any] = []
    for value in world.iterator(made):
        got.append((value, len(heard)))
    failed = list(accumulate((isinstance(result, Err) for result in source.items), initial=0))[1:]
    same(
        got,
        [
            (result.value, before)
            for result, before in zip(source.items, failed, strict=True)
            if isinstance(result, Ok)
        ],
        "the values, and how many failures had been handed over: {}",
    )
    same(heard, [told(result) for result in source.items if isinstance(result, Err)], "on_err heard {}")


@law(
    "until-n-errors-never-asks-again",
    about="until_n_errors",
    promise="on demand",
    says="The n-th failure is the last result that is given, and the last that is asked for.",
    hint="Your loop has given the n-th failure. What does it do before it stops?",
    n=integers(1, 3),
    items=results(),
)
def _(world: World, until_n_errors: Any, n: int, items: Items) -> None:
    expected = _until(items, lambda failed: sum(failed) >= n)
    if sum(isinstance(result, Err) for result in items) < n:
        # These are not failures enough: the law above sees to it that everything goes through.
        return
    xs, probe = world.stream(SourceSpec(items, endless=True), budget=len(expected))
    same([told(item) for item in world.items(world.run(until_n_errors(n), xs))], expected)
    holds(probe.pulls <= len(expected), f"{probe.pulls} pulls", f"{len(expected)}")


@law(
    "until-error-rate-never-asks-again",
    about="until_error_rate",
    promise="on demand",
    says="The failure that makes up the rate is the last result that is given, and the last that is asked for.",
    hint="Your loop has given that failure. What does it do before it stops?",
    rate=choice(0.5, 1.0, 0.3),
    window=integers(1, 4),
    items=results(),
)
def _(world: World, until_error_rate: Any, rate: float, window: int, items: Items) -> None:
    def enough(failed: list[bool]) -> bool:
        return sum(failed[-window:]) / window >= rate

    expected = _until(items, enough)
    if len(_until([*items, Ok(0)], enough)) > len(expected):
        # These are not failures enough: the law above sees to it that everything goes through.
        return
    xs, probe = world.stream(SourceSpec(items, endless=True), budget=len(expected))
    same([told(item) for item in world.items(world.run(until_error_rate(rate, window=window), xs))], expected)
    holds(probe.pulls <= len(expected), f"{probe.pulls} pulls", f"{len(expected)}")
