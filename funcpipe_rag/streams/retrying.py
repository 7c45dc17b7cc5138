"""Guards around a function that may fail for a while: try again, or stop asking.

A stage that reads results comes too late for either: by then the call has been made. So these guard the function,
and the guarded function goes into any stage: `try_map(breaker(retry(policy)(fetch)))`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import wraps
from time import monotonic, sleep
from typing import Generic, Literal, NamedTuple, ParamSpec, SupportsIndex, TypeAlias, TypeVar

from .arguments import a_function, a_number, a_whole_number
from .ownership import named
from .results import error_kinds

P = ParamSpec("P")
R = TypeVar("R")


class _Backoff(NamedTuple):
    base: float
    factor: float
    max: float


class Backoff(_Backoff):
    """How long to wait between tries: `base` seconds, then `factor` times as long each time, never above `max`.

    >>> Backoff(base=1, factor=3, max=10)
    Backoff(base=1, factor=3, max=10)
    >>> Backoff(factor=0.5)
    Traceback (most recent call last):
    ...
    ValueError: Backoff: factor must be >= 1 and finite, got 0.5
    """

    __slots__ = ()

    def __new__(cls, base: float = 0.1, factor: float = 2.0, max: float = 60.0) -> Backoff:
        a_number("Backoff", "base", base, least=0)
        a_number("Backoff", "factor", factor, least=1)
        a_number("Backoff", "max", max, least=0)
        return super().__new__(cls, base, factor, max)


class _RetryPolicy(NamedTuple):
    attempts: int
    backoff: Backoff
    jitter: float
    retry_on: tuple[type[Exception], ...]


class RetryPolicy(_RetryPolicy):
    """How to try again, as data: how often in all, how long to wait, and after which errors.

    >>> policy = RetryPolicy(attempts=5, backoff=Backoff(base=1, factor=3, max=10))
    >>> list(policy.waits())
    [1, 3, 9, 10]

    `attempts` counts every try, so 1 means: once, and never again.

    >>> list(RetryPolicy(attempts=1).waits())
    []

    `jitter` is the share of each wait, from 0 to 1, that is left to chance; it makes a wait shorter, never longer.
    ValueError and TypeError, naming the field, for what cannot be.
    """

    __slots__ = ()

    def __new__(
        cls,
        attempts: SupportsIndex = 3,
        backoff: tuple[float, float, float] = Backoff(),
        jitter: float = 0.0,
        retry_on: type[Exception] | tuple[type[Exception], ...] = (Exception,),
    ) -> RetryPolicy:
        if not isinstance(backoff, tuple):
            raise TypeError(f"RetryPolicy: backoff must be a Backoff, got {type(backoff).__name__}")
        return super().__new__(
            cls,
            a_whole_number("RetryPolicy", "attempts", attempts, least=1),
            Backoff(*backoff),
            a_number("RetryPolicy", "jitter", jitter, least=0, most=1),
            error_kinds("RetryPolicy", "retry_on", retry_on),
        )

    def waits(self, random: Callable[[], float] = lambda: 0.0) -> Iterator[float]:
        """The seconds between the tries; `random` gives the chance for `jitter`, from 0 up to 1.

        >>> list(RetryPolicy(attempts=3, backoff=Backoff(base=8), jitter=0.5).waits(lambda: 0.5))
        [6.0, 12.0]
        """
        wait = min(self.backoff.base, self.backoff.max)
        for _ in range(self.attempts - 1):
            yield wait * (1 - self.jitter * random()) if self.jitter else wait
            wait = min(wait * self.backoff.factor, self.backoff.max)


def retry(
    policy: RetryPolicy, *, seed: int = 0, sleeper: Callable[[float], object] = sleep
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Make a function try again when it fails, as `policy` says; use it as a decorator.

    >>> answers = iter([ConnectionError("busy"), ConnectionError("busy"), "page 1"])
    >>> def fetch(page):
    ...     answer = next(answers)
    ...     if isinstance(answer, Exception):
    ...         raise answer
    ...     return answer
    >>> waited = []
    >>> patient = retry(RetryPolicy(attempts=3, backoff=Backoff(base=1)), sleeper=waited.append)
    >>> patient(fetch)(1), waited
    ('page 1', [1, 2.0])

    The error of the last try comes out as it is, with a note; an error that is not in `retry_on`, at once.

    >>> once_more = retry(RetryPolicy(attempts=2, retry_on=(OSError,)), sleeper=waited.append)
    >>> once_more(int)("x")
    Traceback (most recent call last):
    ...
    ValueError: invalid literal for int() with base 10: 'x'

    Class: clocked (pure in the function, the seed and the sleeper). `seed` decides the jitter: the same seed, the
    same waits; give workers that start together one each, or they will wait in step. Demand: that of the stage
    it stands in; every call has all of its tries. Memory: O(1). Closing: nothing is open. Errors: those of the
    function and of the sleeper; TypeError at construction.
    """
    if not isinstance(policy, tuple):
        raise TypeError(f"retry: policy must be a RetryPolicy, got {type(policy).__name__}")
    rules = RetryPolicy(*policy)
    a_function("retry", "sleeper", sleeper)

    def patient(fn: Callable[P, R]) -> Callable[P, R]:
        a_function("retry", "fn", fn)
        chance = _chance(seed) if rules.jitter else lambda: 0.0

        @wraps(fn, updated=())
        def tried(*args: P.args, **kwargs: P.kwargs) -> R:
            waits = rules.waits(chance)
            while True:
                try:
                    return fn(*args, **kwargs)
                except rules.retry_on as error:
                    wait = next(waits, None)
                    if wait is None:
                        error.add_note(f"retry: that was try {rules.attempts} of {rules.attempts}")
                        raise
                # Outside the except, so that the failed try is not kept alive while we wait.
                sleeper(wait)

        return tried

    return patient


def _chance(seed: int) -> Callable[[], float]:
    # Imported here: random costs more than all of this room, and most policies have no jitter.
    from random import Random

    return Random(seed).random


State: TypeAlias = Literal["closed", "open", "half-open"]


class BreakerOpen(Exception):
    """A call that a breaker has refused: the function was not called. `retry_in` is the wait, in seconds."""

    def __init__(self, function: str, retry_in: float) -> None:
        super().__init__(function, retry_in)
        self.function, self.retry_in = function, retry_in

    def __str__(self) -> str:
        return f"{self.function} was not called: its breaker is open for another {self.retry_in:g} s"


class Breaker(Generic[P, R]):
    """A function behind a breaker (see `make_breaker`): call it like the function; `state` says how it stands."""

    __slots__ = ("_clock", "_errors", "_failed", "_fn", "_limit", "_opened_at", "_reset_after", "_trying")

    def __init__(
        self,
        fn: Callable[P, R],
        limit: int,
        reset_after: float,
        clock: Callable[[], float],
        errors: tuple[type[Exception], ...],
    ) -> None:
        self._fn, self._limit, self._reset_after = fn, limit, reset_after
        self._clock, self._errors = clock, errors
        self._failed = 0
        self._opened_at: float | None = None
        self._trying = False

    @property
    def state(self) -> State:
        """ "closed": calls go through. "open": they are refused. "half-open": the next one is a trial."""
        if self._opened_at is None:
            return "closed"
        return "half-open" if self._wait(self._opened_at) <= 0 else "open"

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        trial = self._opened_at is not None
        if self._opened_at is not None:
            wait = self._wait(self._opened_at)
            if wait > 0 or self._trying:
                raise BreakerOpen(named(self._fn), max(wait, 0))
        self._trying = trial
        try:
            answer = self._fn(*args, **kwargs)
        except self._errors:
            self._failed += 1
            if trial or self._failed >= self._limit:
                self._opened_at = self._clock()
            raise
        except Exception:
            self._close()
            raise
        finally:
            self._trying = False
        self._close()
        return answer

    def _wait(self, opened_at: float) -> float:
        return opened_at + self._reset_after - self._clock()

    def _close(self) -> None:
        self._failed, self._opened_at = 0, None

    def __repr__(self) -> str:
        return f"breaker({named(self._fn)})"


def make_breaker(
    *,
    failures: SupportsIndex,
    reset_after: float,
    clock: Callable[[], float] = monotonic,
    errors: type[Exception] | tuple[type[Exception], ...] = (Exception,),
) -> Callable[[Callable[P, R]], Breaker[P, R]]:
    """Stop calling a function that keeps failing, and try it again after a while; use it as a decorator.

    Closed: calls go through. After so many `failures` in a row it is open: calls are refused with `BreakerOpen`,
    and the function is left in peace. `reset_after` seconds later it is half-open: the next call goes through as
    a trial. If that is answered, the breaker is closed; if it fails, open anew for the whole time.

    >>> now = 0.0
    >>> breaker = make_breaker(failures=2, reset_after=30, clock=lambda: now)
    >>> guarded = breaker(int)
    >>> from funcpipe_rag.streams.results import try_map
    >>> for result in try_map(guarded)(["x", "y", "3"]):
    ...     print(type(result.error).__name__, guarded.state)
    ValueError closed
    ValueError open
    BreakerOpen open
    >>> now = 30.0
    >>> guarded.state, guarded("3"), guarded.state
    ('half-open', 3, 'closed')

    An error that is not among `errors` is an answer all the same: the function was reached. It goes through, and
    the row of failures is broken.

    >>> only_io = make_breaker(failures=1, reset_after=30, errors=OSError)(int)
    >>> try_map(only_io).as_function()(["x", "3"])[1]
    Ok(3)

    Class: clocked. Every function that it is put on has a circuit of its own; streams that share the guarded
    function share its circuit, for they call the same thing. Demand: that of the stage it stands in. Memory:
    O(1). Closing: nothing is open. Errors: those of the function, and BreakerOpen; ValueError and TypeError at
    construction. One thread at a time.
    """
    limit = a_whole_number("make_breaker", "failures", failures, least=1)
    a_number("make_breaker", "reset_after", reset_after, least=0)
    a_function("make_breaker", "clock", clock)
    kinds = error_kinds("make_breaker", "errors", errors)

    def breaker(fn: Callable[P, R]) -> Breaker[P, R]:
        a_function("make_breaker", "fn", fn)
        return Breaker(fn, limit, reset_after, clock, kinds)

    return breaker
