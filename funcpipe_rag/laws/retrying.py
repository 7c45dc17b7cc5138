"""The laws of retries and breakers: how often a function is called, when, and what comes of it.

No clock runs and nobody sleeps: waits go into a list, and time goes on when a law says so.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from funcpipe_rag.streams.probe import Boom
from funcpipe_rag.streams.retrying import Backoff, RetryPolicy

from .inputs import SourceSpec, booleans, choice, integers, several
from .law import holds, law, same, times
from .worlds import World


class Flaky:
    """A function that fails as often as it is told, and then answers with what it was asked."""

    def __init__(self, failures: int, error: Exception) -> None:
        self.failures, self.error, self.calls = failures, error, 0

    def __call__(self, item: Any) -> Any:
        self.calls += 1
        if self.calls <= self.failures:
            raise self.error
        return item


def _outcome(call: Callable[[Any], Any], item: Any) -> Any:
    """What a call gave, or the kind of error that it raised."""
    try:
        return call(item)
    except Exception as error:
        return type(error).__name__


def _called(made: Any, *given: Any) -> Any:
    holds(callable(made), f"the call returned a {type(made).__name__}", "a function")
    return made(*given)


def _waits(base: int, factor: int, most: int, attempts: int) -> list[int]:
    return [min(base * factor**place, most) for place in range(attempts - 1)]


@law(
    "retry-gives-the-first-answer",
    about="retry",
    promise="same answer",
    says="The first answer is the answer: the function is called until it gives one, and not again.",
    hint="Follow the calls one by one. Which one should have been the last?",
    attempts=integers(1, 4),
    failures=integers(0, 3),
    item=choice(0, 1, None),
)
def _(world: World, retry: Any, attempts: int, failures: int, item: Any) -> None:
    failures = min(failures, attempts - 1)
    flaky = Flaky(failures, Boom("busy"))
    patient = _called(retry(RetryPolicy(attempts), sleeper=lambda wait: None), flaky)
    same(_outcome(patient, item), item)
    same(flaky.calls, failures + 1, "it was called {} times")


@law(
    "retry-counts-every-try",
    about="retry",
    promise="on demand",
    says="`attempts` counts every try, the first one too; each call has all of its own.",
    hint="How many calls is attempts = 1?",
    attempts=integers(1, 4),
    calls=integers(1, 3),
)
def _(world: World, retry: Any, attempts: int, calls: int) -> None:
    flaky = Flaky(99, Boom("busy"))
    patient = _called(retry(RetryPolicy(attempts), sleeper=lambda wait: None), flaky)
    for place in range(calls):
        _outcome(patient, 0)
        expected = attempts * (place + 1)
        holds(
            flaky.calls == expected,
            f"your call {place + 1} was over, and the function had been called {times(flaky.calls)}",
            times(expected),
        )


@law(
    "retry-raises-the-last-error",
    about="retry",
    promise="same answer",
    late=True,
    says="When every try has failed, the last error comes out as it is.",
    hint="What does your loop give when it runs out of tries?",
    attempts=integers(1, 3),
)
def _(world: World, retry: Any, attempts: int) -> None:
    patient = _called(
        retry(RetryPolicy(attempts), sleeper=lambda wait: None), Flaky(attempts, LookupError("lost"))
    )
    same(_outcome(patient, 0), "LookupError")


@law(
    "retry-waits-as-its-backoff-says",
    about="retry",
    promise="on demand",
    says="Between tries it waits `base`, then `factor` times as long, never above `max`; behind the last, not at all.",
    hint="Write the waits down in a row. Which one is too long, or too many?",
    attempts=integers(1, 5),
    base=integers(1, 3),
    factor=integers(1, 3),
    most=integers(1, 9),
)
def _(world: World, retry: Any, attempts: int, base: int, factor: int, most: int) -> None:
    waited: list[float] = []
    policy = RetryPolicy(attempts, Backoff(base, factor, most))
    patient = _called(retry(policy, sleeper=waited.append), Flaky(99, Boom("busy")))
    _outcome(patient, 0)
    same([float(wait) for wait in waited], [float(wait) for wait in _waits(base, factor, most, attempts)])


@law(
    "retry-leaves-other-errors-alone",
    about="retry",
    promise="same answer",
    late=True,
    says="An error that is not in `retry_on` comes out at once: trying again would not mend it.",
    hint="What stands behind `except`?",
    attempts=integers(1, 3),
    expected=booleans(),
)
def _(world: World, retry: Any, attempts: int, expected: bool) -> None:
    flaky = Flaky(99, Boom("busy") if expected else ValueError("never"))
    patient = _called(
        retry(RetryPolicy(attempts, retry_on=(Boom, LookupError)), sleeper=lambda wait: None), flaky
    )
    same(_outcome(patient, 0), "Boom" if expected else "ValueError")
    same(flaky.calls, attempts if expected else 1, "it was called {} times")


@law(
    "retry-jitter-comes-from-the-seed",
    about="retry",
    promise="fresh",
    says="The same seed gives the same waits; jitter makes a wait shorter by its share at the most, never longer.",
    hint="Where does your chance come from, and which way does it push?",
    seed=integers(0, 3),
    half=booleans(),
)
def _(world: World, retry: Any, seed: int, half: bool) -> None:
    policy = RetryPolicy(5, Backoff(1, 2, 8), jitter=0.5 if half else 1.0)
    first: list[float] = []
    second: list[float] = []
    for waited in (first, second):
        patient = _called(retry(policy, seed=seed, sleeper=waited.append), Flaky(99, Boom("busy")))
        _outcome(patient, 0)
    holds(second == first, "the second time, the same seed gave other waits", "the same waits")
    for wait, whole in zip(first, [1, 2, 4, 8], strict=True):
        least = whole / 2 if half else 0
        holds(least <= wait < whole, f"a wait of {wait:.3f}", f"from {least} to {whole}")


@law(
    "retry-hands-a-stream-on-untouched",
    about="retry",
    promise="closed",
    says="An answer that is a stream is handed on as it is: not read, not closed.",
    hint="Who asked for the items of the answer?",
    failures=integers(0, 2),
)
def _(world: World, retry: Any, failures: int) -> None:
    xs, probe = world.stream(SourceSpec(endless=True), budget=0)
    patient = _called(retry(RetryPolicy(3), sleeper=lambda wait: None), Flaky(failures, Boom("busy")))
    _untouched(patient(xs), xs, probe)


def _untouched(answer: Any, xs: Any, probe: Any) -> None:
    holds(answer is xs, f"a {type(answer).__name__} came", "the stream that the function gave")
    holds(probe.pulls == 0, f"{probe.pulls} pulls", "0")
    holds(probe.closes == 0, "the answer was closed", "left open")


class Clock:
    """A clock that goes when it is told, and a service that is up or down."""

    def __init__(self) -> None:
        self.now, self.calls, self.error = 0.0, 0, None

    now: float
    error: Exception | None

    def __call__(self) -> float:
        return self.now

    def service(self, item: Any) -> Any:
        """Answers with what it was asked, or raises `error`."""
        self.calls += 1
        if self.error is not None:
            raise self.error
        return item


RESET_AFTER = 10
STEPS: dict[str, tuple[Exception | None, int]] = {
    "answer": (None, 0),
    "failure": (Boom("down"), 0),
    "other": (ValueError("never"), 0),
    "half": (None, RESET_AFTER // 2),
    "whole": (None, RESET_AFTER),
}


def _expected(failures: int, steps: list[str]) -> tuple[list[Any], int]:
    """What a breaker over a service gives, step by step, and how often the service was called."""
    outcomes: list[Any] = []
    row, opened_at, now, calls = 0, None, 0, 0
    for step in steps:
        error, waits = STEPS[step]
        now += waits
        if waits:
            continue
        if opened_at is not None and now - opened_at < RESET_AFTER:
            outcomes.append("BreakerOpen")
            continue
        calls += 1
        outcomes.append("answer" if error is None else type(error).__name__)
        if step != "failure":
            row, opened_at = 0, None
        else:
            row += 1
            if opened_at is not None or row >= failures:
                opened_at = now
    return outcomes, calls


def _played(make_breaker: Any, failures: int, steps: list[str], **how: Any) -> tuple[list[Any], int]:
    clock = Clock()
    made = make_breaker(failures=failures, reset_after=RESET_AFTER, clock=clock, **how)
    guarded = _called(made, clock.service)
    outcomes = []
    for step in steps:
        clock.error, waits = STEPS[step]
        clock.now += waits
        if not waits:
            outcomes.append(_outcome(guarded, "answer"))
    return outcomes, clock.calls


@law(
    "breaker-opens-after-failures-in-a-row",
    about="make_breaker",
    promise="same answer",
    says="So many failures in a row open it, an answer begins the row anew; open, it refuses every call.",
    hint="Count the failures since the last answer. At which number should it open?",
    failures=integers(1, 3),
    steps=several(choice("answer", "failure"), most=8),
)
def _(world: World, make_breaker: Any, failures: int, steps: list[str]) -> None:
    same(_played(make_breaker, failures, steps)[0], _expected(failures, steps)[0])


@law(
    "breaker-leaves-the-function-in-peace",
    about="make_breaker",
    promise="on demand",
    says="An open breaker does not call the function, not even to see how it is.",
    hint="Which line comes first: the call, or the look at the state?",
    failures=integers(1, 2),
    steps=several(choice("answer", "failure"), most=6),
)
def _(world: World, make_breaker: Any, failures: int, steps: list[str]) -> None:
    same(_played(make_breaker, failures, steps)[1], _expected(failures, steps)[1], "it was called {} times")


@law(
    "breaker-waits-the-whole-time",
    about="make_breaker",
    promise="on demand",
    says="Open, it refuses until `reset_after` seconds have gone by on its clock, counted from the last failure.",
    hint="When was it opened last? A failed trial opens it anew.",
    steps=several(choice("failure", "half"), most=9),
)
def _(world: World, make_breaker: Any, steps: list[str]) -> None:
    same(_played(make_breaker, 1, steps), _expected(1, steps), "outcomes and calls: {}")


@law(
    "breaker-makes-one-trial",
    about="make_breaker",
    promise="same answer",
    late=True,
    says="When the time is over, one call is a trial: an answer closes the breaker, a failure opens it again.",
    hint="How many failures does it take to open it during the trial?",
    failures=integers(1, 3),
    steps=several(choice("answer", "failure", "whole"), most=9),
)
def _(world: World, make_breaker: Any, failures: int, steps: list[str]) -> None:
    same(_played(make_breaker, failures, steps), _expected(failures, steps), "outcomes and calls: {}")


@law(
    "breaker-takes-other-errors-for-answers",
    about="make_breaker",
    promise="same answer",
    late=True,
    says="An error that is not among `errors` goes through, and breaks the row of failures: the function was reached.",
    hint="A bad request is answered with an error. Is the service down?",
    failures=integers(1, 2),
    steps=several(choice("failure", "other"), most=6),
)
def _(world: World, make_breaker: Any, failures: int, steps: list[str]) -> None:
    same(_played(make_breaker, failures, steps, errors=Boom)[0], _expected(failures, steps)[0])


@law(
    "breaker-is-one-for-each-function",
    about="make_breaker",
    promise="fresh",
    says="Two functions behind one kind of breaker do not share a circuit: one that is down does not stop the other.",
    hint="What is kept outside the function that guards?",
    failures=integers(1, 2),
)
def _(world: World, make_breaker: Any, failures: int) -> None:
    down, up = Clock(), Clock()
    down.error = Boom("down")
    breaker = make_breaker(failures=failures, reset_after=RESET_AFTER, clock=down)
    first, second = _called(breaker, down.service), _called(breaker, up.service)
    for _ in range(failures):
        _outcome(first, "answer")
    same(_outcome(second, "answer"), "answer", "the other function gave {}")


@law(
    "breaker-hands-a-stream-on-untouched",
    about="make_breaker",
    promise="closed",
    says="An answer that is a stream is handed on as it is: not read, not closed.",
    hint="Who asked for the items of the answer?",
    failures=integers(1, 2),
)
def _(world: World, make_breaker: Any, failures: int) -> None:
    xs, probe = world.stream(SourceSpec(endless=True), budget=0)
    clock = Clock()
    guarded = _called(make_breaker(failures=failures, reset_after=RESET_AFTER, clock=clock), clock.service)
    _untouched(guarded(xs), xs, probe)
