"""The laws of failures as data: what fails goes down the stream, and nothing else changes.

What a law compares is told in plain data (`told`), so it reads the same whichever process made the results.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import accumulate, islice
from typing import Any, NamedTuple

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
    numbers,
    sources,
)
from .law import holds, law, same, times
from .transforms import passes_errors_on, read_and_close
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


class Family(NamedTuple):
    """A stage that makes or reads results: how it is configured, its input, and its eager twin, told."""

    name: str
    configured: dict[str, Any]
    items: Callable[..., Input[Items]]
    make: Callable[..., Any]
    twin: Callable[..., list[Any]]


FAMILIES = (
    Family(
        "try_map",
        {"fn": choice(*MAPPINGS, "boom_at_3")},
        numbers,
        lambda world, try_map, fn: try_map(world.fn(fn)),
        lambda items, fn: _tried(fn, items),
    ),
    Family(
        "recover",
        {"fn": choice(*RECOVERIES)},
        results,
        lambda world, recover, fn: recover(RECOVERIES[fn]),
        lambda items, fn: _recovered(fn, items),
    ),
    Family(
        "ok_only",
        {},
        results,
        lambda world, ok_only: ok_only(report=Report()),
        lambda items: good_values(items),
    ),
    Family(
        "split_results",
        {},
        results,
        lambda world, split_results: split_results(lambda failure: None),
        lambda items: good_values(items),
    ),
    Family(
        "until_n_errors",
        {"n": integers(1, 3)},
        results,
        lambda world, until_n_errors, n: until_n_errors(n),
        lambda items, n: _until(items, lambda failed: sum(failed) >= n),
    ),
    Family(
        "until_error_rate",
        {"rate": choice(0.5, 0.3, 1.0), "window": integers(1, 4)},
        results,
        lambda world, until_error_rate, rate, window: until_error_rate(rate, window=window),
        lambda items, rate, window: _until(items, lambda failed: sum(failed[-window:]) / window >= rate),
    ),
)


def _laws_of(family: Family) -> None:
    name = family.name
    slug = name.replace("_", "-")

    def stream(world: World, factory: Any, spec: SourceSpec, given: Any, **how: Any) -> tuple[Any, Any]:
        xs, probe = world.stream(spec, **how)
        return world.run(family.make(world, factory, **given), xs), probe

    @law(
        f"{slug}-equals-its-eager-twin",
        about=name,
        promise="same answer",
        says="Listed, the lazy result is the list that a loop would have built.",
        hint="Work the smallest input through by hand. Which item is missing, extra, or in the wrong place?",
        **family.configured,
        source=sources(family.items()),
    )
    def _(world: World, factory: Any, source: SourceSpec, **given: Any) -> None:
        made, _probe = stream(world, factory, source, given)
        same([told(item) for item in world.items(made)], family.twin(source.items, **given))

    @law(
        f"{slug}-starts-nothing-at-birth",
        about=name,
        promise="on demand",
        says="Building a stream pulls nothing and opens nothing: work begins with the first question.",
        hint="Which line runs before anybody has asked for an item?",
        **family.configured,
        source=sources(family.items(most=3), "endless"),
    )
    def _(world: World, factory: Any, source: SourceSpec, **given: Any) -> None:
        made, probe = stream(world, factory, source, given, budget=0)
        world.iterator(made)
        holds(probe.pulls == 0, f"{probe.pulls} pulls before the first question", "0")
        holds(
            probe.opens == (not source.reiterable), "it opened its input before the first question", "not yet"
        )

    @law(
        f"{slug}-asks-for-no-more-than-it-needs",
        about=name,
        promise="on demand",
        says="k outputs cost the items that settle them, and not one pull more.",
        hint="Count the questions in the row `source`. Which answer was not needed yet?",
        **family.configured,
        items=family.items(),
        taken=integers(0, 4),
    )
    def _(world: World, factory: Any, items: Items, taken: int, **given: Any) -> None:
        expected = family.twin(items, **given)[:taken]
        k = len(expected)
        needed = next(n for n in range(len(items) + 1) if len(family.twin(items[:n], **given)) >= k)
        made, probe = stream(world, factory, SourceSpec(items, endless=True), given, budget=needed)
        same([told(item) for item in islice(world.iterator(made), k)], expected)
        holds(probe.pulls <= needed, f"{probe.pulls} pulls for {k} outputs", f"{needed}")

    @law(
        f"{slug}-passes-errors-on",
        about=name,
        promise="same answer",
        late=True,
        says="An error of the input is no item's failure: it reaches you as it is, behind what came before it.",
        hint="Where is the error caught, or an item kept back?",
        **family.configured,
        source=sources(family.items(), "raises", handed=["iterator"]),
    )
    def _(world: World, factory: Any, source: SourceSpec, **given: Any) -> None:
        expected = family.twin(source.given, **given)
        more = [*FAILURES, *FAILURES, *FAILURES] if family.items is results else [0]
        ended = family.twin([*source.given, *more], **given) == expected and name.startswith("until")
        made, _probe = stream(world, factory, source, given)
        passes_errors_on(map(told, world.iterator(made)), expected, may_end=ended)

    @law(
        f"{slug}-closes-what-it-opened",
        about=name,
        promise="closed",
        says="What the stream opened, it closes, once; what it was handed, it leaves open.",
        hint="Who called iter() on the collection? Who closes what that gave?",
        **family.configured,
        source=sources(family.items(least=1), "ends", "raises"),
        taken=integers(1, 6),
    )
    def _(world: World, factory: Any, source: SourceSpec, taken: int, **given: Any) -> None:
        made, probe = stream(world, factory, source, given)
        read_and_close(made, taken)
        closes_what_it_opened(probe, source)

    @law(
        f"{slug}-starts-afresh",
        about=name,
        promise="fresh",
        says="Two runs of one stage do not know of each other.",
        hint="What is kept outside the function that runs for each stream?",
        **family.configured,
        first=sources(family.items()),
        second=sources(family.items()),
        ahead=integers(0, 3),
    )
    def _(
        world: World, factory: Any, first: SourceSpec, second: SourceSpec, ahead: int, **given: Any
    ) -> None:
        stage = family.make(world, factory, **given)
        a = world.iterator(world.run(stage, world.stream(first)[0]))
        begun = list(islice(a, ahead))
        b = world.items(world.run(stage, world.stream(second)[0]))
        rest = list(islice(a, 200))
        same([told(item) for item in b], family.twin(second.items, **given), "the second run gave {}")
        same(
            [told(item) for item in [*begun, *rest]],
            family.twin(first.items, **given),
            "the first run gave {}",
        )


def closes_what_it_opened(probe: Any, source: SourceSpec) -> None:
    """Break the law unless what the implementation opened is closed, once, and what it was handed is open."""
    expected = probe.opens if source.reiterable else 0
    holds(
        probe.closes == expected,
        f"opened {times(probe.opens)}, {'here' if source.reiterable else 'by you'}; closed {times(probe.closes)}",
        times(expected),
    )


for _family in FAMILIES:
    _laws_of(_family)


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
