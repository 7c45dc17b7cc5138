"""The laws of what is dropped and counted: nothing goes in silence, and the report adds up."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from funcpipe_rag.streams.probe import Boom
from funcpipe_rag.streams.reports import Report
from funcpipe_rag.streams.results import Err

from .inputs import Items, SourceSpec, integers, sources
from .law import holds, law, same
from .results import good_values, results
from .stages import Case, Family, clause, laws_of, only_its_own_is_closed
from .worlds import World


@law(
    "ok-only-reports-every-drop",
    about="ok_only",
    promise="same answer",
    says="Every failure that is dropped is in the report, under its stage and its kind.",
    hint="Who is told of what the stream leaves out?",
    source=sources(results()),
)
def _(world: World, ok_only: Any, source: SourceSpec) -> None:
    report, expected = Report(), Report()
    xs, _probe = world.stream(source)
    world.items(world.run(ok_only(report=report), xs))
    for result in source.items:
        if isinstance(result, Err):
            expected(result)
    same(report, expected)


@law(
    "error-report-counts-by-stage-and-kind",
    about="error_report",
    promise="same answer",
    says="The report counts the good results, and the failures by stage and kind, with the first of each.",
    hint="Two failures of different stages: are they told apart?",
    items=results(),
    examples=integers(0, 2),
)
def _(world: World, error_report: Any, items: Items, examples: int) -> None:
    xs, _probe = world.stream(SourceSpec(items))
    stages: dict[str, Any] = {}
    for result in items:
        if isinstance(result, Err):
            kinds = stages.setdefault(result.stage, {})
            found = kinds.setdefault(type(result.error).__name__, {"count": 0, "examples": []})
            found["count"] += 1
            example = {"index": result.index, "item": repr(result.item), "error": str(result.error)}
            found["examples"] = [*found["examples"], example][:examples]
    good = len(good_values(items))
    same(
        world.run(error_report(examples=examples), xs),
        {"ok": good, "failed": len(items) - good, "stages": stages},
    )


@law(
    "error-report-asks-once-for-each-result",
    about="error_report",
    promise="on demand",
    says="The report reads each result once, and the end once; nothing is asked for before it runs.",
    hint="How often does your report go through the input?",
    items=results(),
)
def _(world: World, error_report: Any, items: Items) -> None:
    xs, probe = world.stream(SourceSpec(items, reiterable=True), budget=len(items) + 1)
    sink = error_report()
    holds(probe.opens == 0, "it opened its input before it ran", "not yet")
    world.run(sink, xs)
    holds(probe.pulls == len(items) + 1, f"{probe.pulls} pulls", f"{len(items) + 1}")


@law(
    "error-report-passes-errors-on",
    about="error_report",
    promise="same answer",
    late=True,
    says="An error of the input is no item's failure: it comes out, and there is no report.",
    hint="Which errors does your loop take for data?",
    source=sources(results(), "raises"),
)
def _(world: World, error_report: Any, source: SourceSpec) -> None:
    xs, _probe = world.stream(source)
    came: Any = None
    try:
        came = world.run(error_report(), xs)
    except Boom:
        return
    holds(False, f"{came}", "the error")


@law(
    "error-report-closes-what-it-opened",
    about="error_report",
    promise="closed",
    says="What the report opened, it closes, once; what it was handed, it leaves open.",
    hint="Who called iter() on the collection? Who closes what that gave?",
    source=sources(results(), "ends", "raises"),
)
def _(world: World, error_report: Any, source: SourceSpec) -> None:
    xs, probe = world.stream(source)
    try:
        world.run(error_report(), xs)
    except Boom:
        holds(source.raises_at is not None, "Boom", "a report")
    only_its_own_is_closed(probe, source)


@law(
    "error-report-starts-afresh",
    about="error_report",
    promise="fresh",
    says="Each run of the report counts from zero.",
    hint="What is kept outside the function that runs for each stream?",
    items=results(),
)
def _(world: World, error_report: Any, items: Items) -> None:
    stage = error_report()
    first, second = (world.run(stage, world.stream(SourceSpec(items))[0]) for _ in range(2))
    same(second, first, "the second run of the same gave {}")


def by_policy(items: Iterable[Any], attempt: Callable[[Any], Any], kind: str, on_error: str) -> list[Any]:
    """What becomes of the items, told; `attempt` gives None for one that fails, with an error of this kind."""
    out: list[Any] = []
    for item in items:
        made = attempt(item)
        if made is not None:
            out.append(made)
        elif on_error == "collect":
            out.append(("Err", kind, item))
    return out


def policy_laws_of(family: Family, shown: Callable[[Any, int], tuple[str, ...]]) -> None:
    """Register what is true of a stage with `on_error` and `report`, which is how it is configured too.

    `shown(item, index)` is what an error's text must show of the item that failed.
    """

    def failures(case: Case, items: Items) -> list[tuple[int, str]]:
        """The places of the items that fail, and the kinds of their errors."""
        collected = family.twin(list(items), **{**case.config, "on_error": "collect"})
        return [
            (at, told[1]) for at, told in enumerate(collected) if isinstance(told, tuple) and told[0] == "Err"
        ]

    @clause(
        "reports-every-drop",
        promise="same answer",
        says='With "skip", every item that is left out is in the report, under its stage and its kind.',
        hint="Who is told of what the stream leaves out?",
        source=lambda family: sources(family.items()),
    )
    def reports_every_drop(case: Case, source: SourceSpec) -> None:
        report = Report()
        xs, _probe = case.world.stream(source)
        case.world.items(case.world.run(case.made(on_error="skip", report=report), xs))
        kinds = [kind for _at, kind in failures(case, source.items)]
        expected = {kind: kinds.count(kind) for kind in dict.fromkeys(kinds)}
        same(report.counts, {family.name: expected} if expected else {}, "the report has {}")

    @clause(
        "says-what-failed",
        promise="same answer",
        late=True,
        says='With "fail", the first failure is raised behind the items before it, and shows which item it was.',
        hint="Somebody has a million items and this error. Where do they look?",
        source=lambda family: sources(family.items()),
    )
    def says_what_failed(case: Case, source: SourceSpec) -> None:
        failed = failures(case, source.items)
        xs, _probe = case.world.stream(source)
        got = 0
        try:
            for _ in case.world.iterator(case.world.run(case.made(on_error="fail"), xs)):
                got += 1
                holds(got <= len(source.items), f"it gave more than {len(source.items)} items", "an end")
        except Exception as error:
            holds(bool(failed), f"{type(error).__name__}: {error}", "no error")
            at, kind = failed[0]
            same(type(error).__name__, kind, "a failure raised {}")
            for words in shown(source.items[at], at):
                holds(words in str(error), f"{kind}: {error}", f"an error that shows {words!r}")
            same(got, at, "before the error came {} items")
        else:
            holds(not failed, f"{got} items and no error", f"an error at index {failed[:1]}")

    laws_of(family, (reports_every_drop, says_what_failed))
