"""What was dropped, and who is told.

Nothing is dropped in silence: a drop is counted in a `Report` by stage and kind, or told in one RuntimeWarning
at the stream's end. The three policies of the package, "fail", "skip" and "collect", are here, for every stage.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import count
from reprlib import Repr
from types import TracebackType
from typing import Any, Literal, SupportsIndex, TypeAlias, TypeVar
from warnings import warn

from .arguments import a_function, a_whole_number
from .counting import counted
from .ownership import Owned
from .results import Err, Ok, UnwrappingStage, good_values
from .stages import SinkStage, Stage

A = TypeVar("A")
B = TypeVar("B")
T = TypeVar("T")

OnError: TypeAlias = Literal["fail", "skip", "collect"]
"""What to do about an item that fails: raise its error, drop and count it, or give its `Err` in its place."""

POLICIES: tuple[OnError, ...] = ("fail", "skip", "collect")

Told: TypeAlias = Callable[[Err[Any]], object]
"""Who is told of a drop: a `Report`, or any function of an `Err`, as `failures.append`."""


class Report:
    """Failures counted by stage and kind, with the first examples of each. Call it with an `Err` to count one.

    >>> from funcpipe_rag.streams.results import try_map
    >>> report = Report()
    >>> list(ok_only(report=report)(try_map(int)(["1", "x", "3", None])))
    [1, 3]
    >>> report
    Report(1 ValueError in try_map(int), 1 TypeError in try_map(int))

    One report may serve several stages, and several streams.

    >>> list(ok_only(report=report)(try_map(float)([None])))
    []
    >>> report.total, report.counts
    (3, {'try_map(int)': {'ValueError': 1, 'TypeError': 1}, 'try_map(float)': {'TypeError': 1}})

    Memory: a count for each stage and kind, and the first `examples` of each as short texts; no item, no error.
    """

    __slots__ = ("_most", "_stages")

    def __init__(self, *, examples: SupportsIndex = 3) -> None:
        self._most = a_whole_number("Report", "examples", examples, least=0)
        self._stages: dict[str, dict[str, _Found]] = {}

    def __call__(self, failure: Err[Any]) -> None:
        """Count one failure."""
        kinds = self._stages.setdefault(failure.stage, {})
        found = kinds.setdefault(type(failure.error).__name__, _Found())
        found.count += 1
        if len(found.examples) < self._most:
            found.examples.append(
                {
                    "index": failure.index,
                    "item": SHORT.repr(failure.item),
                    "error": _shortened(str(failure.error)),
                }
            )

    @property
    def total(self) -> int:
        """How many failures were counted."""
        return sum(found.count for kinds in self._stages.values() for found in kinds.values())

    @property
    def counts(self) -> dict[str, dict[str, int]]:
        """How many, by stage and by kind of error, in the order they were first met."""
        return {
            stage: {kind: found.count for kind, found in kinds.items()}
            for stage, kinds in self._stages.items()
        }

    def as_dict(self) -> dict[str, Any]:
        """All of it as plain data.

        >>> report = Report(examples=1)
        >>> report(Err(KeyError("age"), {"name": "Ada"}, "parse", 4))
        >>> report.as_dict()["stages"]["parse"]["KeyError"]
        {'count': 1, 'examples': [{'index': 4, 'item': "{'name': 'Ada'}", 'error': "'age'"}]}
        """
        stages = {
            stage: {
                kind: {"count": found.count, "examples": [dict(example) for example in found.examples]}
                for kind, found in kinds.items()
            }
            for stage, kinds in self._stages.items()
        }
        return {"failed": self.total, "stages": stages}

    def to_json(self) -> str:
        """All of it as JSON.

        >>> Report().to_json()
        '{"failed": 0, "stages": {}}'
        """
        # Imported here: most streams never report in JSON.
        from json import dumps

        return dumps(self.as_dict(), ensure_ascii=False)

    def __repr__(self) -> str:
        said = [
            f"{many} {kind} in {stage}"
            for stage, kinds in self.counts.items()
            for kind, many in kinds.items()
        ]
        return f"Report({', '.join(said) or 'nothing failed'})"


class _Found:
    """How many failures of one kind, and the first of them."""

    __slots__ = ("count", "examples")

    def __init__(self) -> None:
        self.count = 0
        self.examples: list[dict[str, Any]] = []


# An item may be a whole document: Repr cuts before it writes out, and bears a __repr__ that raises.
SHORT = Repr()
SHORT.maxstring = SHORT.maxother = 60


def _shortened(text: str) -> str:
    return text if len(text) <= 200 else f"{text[:197]}..."


class Failures:
    """What one stream does about its failures, by its policy; a stage makes one for each stream (see `policy`).

    It is entered with the stream and left with it: that is when what was dropped is told.
    """

    __slots__ = ("_kept", "_on_error", "_stage", "_tell")

    def __init__(self, stage: str, on_error: OnError, report: Told | None) -> None:
        self._stage, self._on_error = stage, on_error
        self._kept = Report(examples=0) if report is None else None
        self._tell: Told = self._kept if report is None else report  # type: ignore[assignment]

    def handle(self, error: Exception, item: A, index: int) -> tuple[Err[A], ...]:
        """What to give in the place of `item`: nothing ("skip"), its `Err` ("collect"); or `error` is raised."""
        if self._on_error == "fail":
            raise error
        failure = Err(error, item, self._stage, index)
        if self._on_error == "collect":
            return (failure,)
        self.drop(failure)
        return ()

    def drop(self, failure: Err[Any]) -> None:
        """Count what is dropped, whatever the policy."""
        self._tell(failure)

    def __enter__(self) -> Failures:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._kept is None or not self._kept.total:
            return
        many = self._kept.total
        said = repr(self._kept).removeprefix("Report(").removesuffix(")")
        try:
            _warn_the_reader(
                f"{self._stage} dropped {many} item{'s' * (many != 1)}: {said}; pass report=Report()"
            )
        except RuntimeWarning as warning:
            # Where warnings are errors, this one must not stand before the stream's own.
            if error is None or isinstance(error, GeneratorExit):
                raise
            error.add_note(str(warning))


def _warn_the_reader(text: str) -> None:
    """A RuntimeWarning at the line that reads the stream, which is the first one outside the stream rooms."""
    level, frame = 1, sys._getframe()
    here = __name__.partition(".")[0]
    # A call that runs ahead has no reader above it, only the loop: behind that is the line that runs the program.
    rooms = (f"{here}.streams", f"{here}.aio", "asyncio.")
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith(rooms):
        level, frame = level + 1, frame.f_back
    warn(text, RuntimeWarning, stacklevel=level)


def policy(
    where: str,
    on_error: OnError,
    *,
    stage: str = "",
    report: Told | None = None,
    of: Sequence[OnError] = POLICIES,
) -> Callable[[], Failures]:
    """The one way in which a stage offers `on_error` and `report`: checked when it is built, one `Failures` a stream.

    >>> from funcpipe_rag.streams import stage
    >>> def make_parsed(*, on_error="fail", report=None):
    ...     failures_of = policy("make_parsed", on_error, report=report)
    ...     @stage
    ...     def parsed(xs):
    ...         with failures_of() as failures:
    ...             for index, x in enumerate(xs):
    ...                 try:
    ...                     value = int(x)
    ...                 except ValueError as error:
    ...                     yield from failures.handle(error, x, index)
    ...                 else:
    ...                     yield value
    ...     return parsed
    >>> list(make_parsed(on_error="collect")(["1", "x"]))[1].index
    1
    >>> dropped = Report()
    >>> list(make_parsed(on_error="skip", report=dropped)(["1", "x"])), dropped
    ([1], Report(1 ValueError in make_parsed))

    A name that is no policy, or that the stage cannot keep, is refused.

    >>> policy("make_tap", "collect", of=("fail", "skip"))
    Traceback (most recent call last):
    ...
    ValueError: make_tap: on_error must be "fail" or "skip", got 'collect'

    `stage` is the name in the `Err` and the report, if it says more than `where`.
    """
    if on_error not in of:
        *others, last = (f'"{name}"' for name in of)
        choice = f"{', '.join(others)} or {last}" if others else last
        raise ValueError(f"{where}: on_error must be {choice}, got {on_error!r}")
    if report is not None:
        a_function(where, "report", report)
    return partial(Failures, stage or where, on_error, report)


def tried(
    where: str,
    fn: Callable[[A, int], B],
    errors: type[Exception],
    on_error: OnError,
    report: Told | None,
    *args: object,
    **options: object,
) -> Stage[[Iterable[A]], Iterator[Any]]:
    """`fn` of each item and its index, and where that raises one of `errors`, what the policy says.

    For the stages of this room: `where` is the name of the stage, `args` and `options` its configuration.

    >>> parsed = tried("parsed", lambda text, index: int(text), ValueError, "collect", None)
    >>> [type(number).__name__ for number in parsed(["1", "x"])], parsed
    (['int', 'Err'], parsed(on_error='collect'))
    """
    failures_of = policy(where, on_error, report=report)

    def run(xs: Iterable[A], /) -> Iterator[B | Err[A]]:
        with Owned() as owned, failures_of() as failures:

            def attempt(item: A, index: int) -> B | Err[A]:
                try:
                    return fn(item, index)
                except errors as error:
                    return next(iter(failures.handle(error, item, index)), _DROPPED)

            yield from filter(_is_there, map(attempt, owned.opened(xs), count()))

    policies = {"on_error": on_error} if on_error != "fail" else {}
    told = {"report": report} if report is not None else {}
    return Stage(run, "transform", where, *args, **options, **policies, **told)


_DROPPED: Any = object()


def _is_there(thing: object) -> bool:
    return thing is not _DROPPED


def ok_only(*, report: Told | None = None) -> UnwrappingStage:
    """Give the values of the good results, and drop the failures: counted, never in silence.

    >>> from funcpipe_rag.streams.results import try_map
    >>> report = Report()
    >>> list(ok_only(report=report)(try_map(int)(["1", "x", "3"]))), report
    ([1, 3], Report(1 ValueError in try_map(int)))

    Without a report, one warning at the stream's end says what was dropped.

    >>> import warnings
    >>> with warnings.catch_warnings(record=True) as told:
    ...     warnings.simplefilter("always")
    ...     list(ok_only()(try_map(int)(["1", "x", "3", "y"])))
    [1, 3]
    >>> [str(warning.message) for warning in told]
    ['ok_only dropped 2 items: 2 ValueError in try_map(int); pass report=Report()']

    Class: observer (pure but for the report). Demand: one pull for each result looked at. Memory: O(1), and a count for each
    stage and kind of failure. Closing: closes the iterator it made of its input; one that it was handed stays
    open. Errors: those of the input; TypeError for an item that is no result.
    """
    failures_of = policy("ok_only", "skip", report=report)

    def run(xs: Iterable[Ok[T] | Err[Any]], /) -> Iterator[T]:
        with Owned() as owned, failures_of() as failures:
            yield from good_values("ok_only", owned.opened(xs), failures.drop)

    return UnwrappingStage(run, "transform", "ok_only", **({} if report is None else {"report": report}))


def error_report(*, examples: SupportsIndex = 3) -> SinkStage[Ok[Any] | Err[Any], dict[str, Any]]:
    """Read results to the end: how many were good, and the failures by stage and kind, as plain data for JSON.

    >>> from funcpipe_rag.streams.results import try_map
    >>> error_report()(try_map(int)(["1", "x", "3"]))["stages"]
    {'try_map(int)': {'ValueError': {'count': 1, 'examples': [{'index': 1, 'item': "'x'", 'error': "invalid literal for int() with base 10: 'x'"}]}}}

    A stream without failures is a report too.

    >>> error_report()([Ok(1), Ok(2)])
    {'ok': 2, 'failed': 0, 'stages': {}}

    Class: pure. Demand: all of the input. Memory: a count for each stage and kind, and the first `examples` of each
    as short texts. Closing: closes the iterator it made of its input; one that it was handed stays open.
    Errors: those of the input; TypeError for an item that is no result; ValueError for examples < 0.
    """
    most = a_whole_number("error_report", "examples", examples, least=0)

    def run(xs: Iterable[Ok[Any] | Err[Any]], /) -> dict[str, Any]:
        report = Report(examples=most)
        with Owned() as owned:
            values, so_far = counted(good_values("error_report", owned.opened(xs), report))
            deque(values, maxlen=0)
        return {"ok": so_far(), **report.as_dict()}

    return SinkStage(run, "sink", "error_report")
