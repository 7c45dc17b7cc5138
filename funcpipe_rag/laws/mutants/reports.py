"""What people write in place of a report."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import wraps
from typing import Any

from funcpipe_rag import streams
from funcpipe_rag.laws.stages import Family
from funcpipe_rag.streams import reports
from funcpipe_rag.streams.results import Err, Ok

from .mutant import mutant
from .stages import Run

Factory = Callable[..., Run]


def policed(family: Family) -> None:
    """Register the mutants of a stage with `on_error` and `report`."""
    right = getattr(streams, family.name)
    for wrong, law in ((tells_nobody, "reports-every-drop"), (shows_nothing, "says-what-failed")):
        mutant(of=family.name, killed_by=f"{family.slug}-{law}")(wraps(wrong)(wrong(right)))


def tells_nobody(right: Factory) -> Factory:
    """Takes a report, and drops without a word."""

    def factory(*given: Any, report: Any = None, **options: Any) -> Run:
        return right(*given, report=None if report is None else lambda failure: None, **options)

    return factory


def shows_nothing(right: Factory) -> Factory:
    """Raises an error that says that something failed, and not what."""

    def factory(*given: Any, on_error: str = "fail", report: Any = None, **options: Any) -> Run:
        if on_error != "fail":
            return right(*given, on_error=on_error, report=report, **options)

        def stream(xs: Iterable[Any]) -> Iterator[Any]:
            for out in right(*given, on_error="collect", **options)(xs):
                if isinstance(out, Err):
                    raise type(out.error)("bad data")
                yield out

        return stream

    return factory


@mutant(of="ok_only", killed_by="ok-only-reports-every-drop")
def drops_in_silence(*, report: Any = None) -> Run:
    """Filters, and tells nobody what is gone."""

    def stream(xs: Iterable[Any]) -> Iterator[Any]:
        for x in xs:
            if isinstance(x, Ok):
                yield x.value

    return stream


def _counted(items: Iterable[Any], examples: int) -> dict[str, Any]:
    report = reports.Report(examples=examples)
    good = 0
    for x in items:
        if isinstance(x, Err):
            report(x)
        else:
            good += 1
    return {"ok": good, **report.as_dict()}


@mutant(of="error_report", killed_by="error-report-counts-by-stage-and-kind")
def counts_by_kind_alone(*, examples: int = 3) -> Callable[[Iterable[Any]], Any]:
    """Counts the kinds of error, wherever they happened: 400 ValueErrors, but in which stage?"""

    def run(xs: Iterable[Any]) -> Any:
        return _counted((x._replace(stage="") if isinstance(x, Err) else x for x in xs), examples)

    return run


@mutant(of="error_report", killed_by="error-report-asks-once-for-each-result")
def goes_through_twice(*, examples: int = 3) -> Callable[[Iterable[Any]], Any]:
    """Counts the good ones in one loop and the others in a second: an iterator has nothing left for that."""

    def run(xs: Iterable[Any]) -> Any:
        good = sum(isinstance(x, Ok) for x in xs)
        return {**_counted((x for x in xs if isinstance(x, Err)), examples), "ok": good}

    return run


@mutant(of="error_report", killed_by="error-report-passes-errors-on")
def reports_what_it_got(*, examples: int = 3) -> Callable[[Iterable[Any]], Any]:
    """Takes an error of the input for its end, and reports as if that had been all."""

    def run(xs: Iterable[Any]) -> Any:
        got = []
        try:
            for x in xs:
                got.append(x)
        except Exception:
            pass
        return _counted(got, examples)

    return run


@mutant(of="error_report", killed_by="error-report-closes-what-it-opened")
def leaves_its_input_open(*, examples: int = 3) -> Callable[[Iterable[Any]], Any]:
    """Loops with `for`, which closes nothing when the input raises or a collection was opened."""
    return lambda xs: _counted(iter(xs), examples)


@mutant(of="error_report", killed_by="error-report-starts-afresh")
def goes_on_counting(*, examples: int = 3) -> Callable[[Iterable[Any]], Any]:
    """Makes the counter when the stage is made: the second run begins where the first one ended."""
    seen: list[Any] = []

    def run(xs: Iterable[Any]) -> Any:
        seen.extend(xs)
        return _counted(seen, examples)

    return run
