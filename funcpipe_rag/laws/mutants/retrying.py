"""What people write in place of a retry and a breaker."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from funcpipe_rag.streams.ownership import close
from funcpipe_rag.streams.retrying import BreakerOpen

from .mutant import mutant

Guard = Callable[[Callable[[Any], Any]], Callable[[Any], Any]]


@mutant(of="retry", killed_by="retry-counts-every-try")
def reads_attempts_as_retries(policy: Any, *, seed: int = 0, sleeper: Any) -> Guard:
    """Tries once, and then `attempts` times again."""

    def patient(fn: Any) -> Any:
        def tried(item: Any) -> Any:
            for _ in range(policy.attempts):
                try:
                    return fn(item)
                except policy.retry_on:
                    sleeper(0)
            return fn(item)

        return tried

    return patient


@mutant(of="retry", killed_by="retry-counts-every-try")
def spends_its_tries_once(policy: Any, *, seed: int = 0, sleeper: Any) -> Guard:
    """Keeps the count outside the call: the first bad hour uses up the tries of all later calls."""

    def patient(fn: Any) -> Any:
        waits = policy.waits()

        def tried(item: Any) -> Any:
            while True:
                try:
                    return fn(item)
                except policy.retry_on:
                    wait = next(waits, None)
                    if wait is None:
                        raise
                    sleeper(wait)

        return tried

    return patient


@mutant(of="retry", killed_by="retry-raises-the-last-error")
def gives_none_in_the_end(policy: Any, *, seed: int = 0, sleeper: Any) -> Guard:
    """Runs out of tries, and of the function: what comes is None, and nobody asks why."""

    def patient(fn: Any) -> Any:
        def tried(item: Any) -> Any:
            for _ in range(policy.attempts):
                try:
                    return fn(item)
                except policy.retry_on:
                    sleeper(0)
            return None

        return tried

    return patient


@mutant(of="retry", killed_by="retry-waits-as-its-backoff-says")
def sleeps_after_the_last_try(policy: Any, *, seed: int = 0, sleeper: Any) -> Guard:
    """Sleeps in every `except`, also behind the try after which there is nothing to wait for."""

    def patient(fn: Any) -> Any:
        def tried(item: Any) -> Any:
            wait = policy.backoff.base
            for place in range(policy.attempts):
                try:
                    return fn(item)
                except policy.retry_on:
                    sleeper(min(wait, policy.backoff.max))
                    wait *= policy.backoff.factor
                    if place == policy.attempts - 1:
                        raise
            return None

        return tried

    return patient


@mutant(of="retry", killed_by="retry-waits-as-its-backoff-says")
def grows_without_a_bound(policy: Any, *, seed: int = 0, sleeper: Any) -> Guard:
    """Doubles and doubles: the tenth wait is a night."""

    def patient(fn: Any) -> Any:
        def tried(item: Any) -> Any:
            for place in range(policy.attempts):
                try:
                    return fn(item)
                except policy.retry_on:
                    if place == policy.attempts - 1:
                        raise
                    sleeper(policy.backoff.base * policy.backoff.factor**place)
            return None

        return tried

    return patient


@mutant(of="retry", killed_by="retry-leaves-other-errors-alone")
def retries_everything(policy: Any, *, seed: int = 0, sleeper: Any) -> Guard:
    """Writes `except Exception`: a wrong password is tried three times, and the account is locked."""

    def patient(fn: Any) -> Any:
        def tried(item: Any) -> Any:
            chance = Random(seed).random
            for wait in policy.waits(chance):
                try:
                    return fn(item)
                except Exception:
                    sleeper(wait)
            return fn(item)

        return tried

    return patient


@mutant(of="retry", killed_by="retry-jitter-comes-from-the-seed")
def one_chance_for_all(policy: Any, *, seed: int = 0, sleeper: Any) -> Guard:
    """Draws from a generator that the whole program shares: no run can be run again."""

    def patient(fn: Any) -> Any:
        def tried(item: Any) -> Any:
            waits = policy.waits(_SHARED.random)
            while True:
                try:
                    return fn(item)
                except policy.retry_on:
                    wait = next(waits, None)
                    if wait is None:
                        raise
                    sleeper(wait)

        return tried

    return patient


_SHARED = Random(7)


@mutant(of="retry", killed_by="retry-gives-the-first-answer")
def tries_until_it_is_true(policy: Any, *, seed: int = 0, sleeper: Any) -> Guard:
    """Takes a false answer, 0 or None, for a failure, and asks again."""

    def patient(fn: Any) -> Any:
        def tried(item: Any) -> Any:
            answer = None
            waits = policy.waits(Random(seed).random)
            while not answer:
                try:
                    answer = fn(item)
                except policy.retry_on:
                    wait = next(waits, None)
                    if wait is None:
                        raise
                    sleeper(wait)
                else:
                    if next(waits, None) is None:
                        break
            return answer

        return tried

    return patient


@mutant(of="retry", killed_by="retry-hands-a-stream-on-untouched")
def reads_the_answer_to_be_sure(policy: Any, *, seed: int = 0, sleeper: Any) -> Guard:
    """Lists the answer inside the `try`, for a generator fails only when it is read: and reads it to the end."""

    def patient(fn: Any) -> Any:
        def tried(item: Any) -> Any:
            waits = policy.waits(Random(seed).random)
            while True:
                try:
                    answer = fn(item)
                    return list(answer) if hasattr(answer, "__next__") else answer
                except policy.retry_on:
                    wait = next(waits, None)
                    if wait is None:
                        raise
                    sleeper(wait)

        return tried

    return patient


class _Circuit:
    """A right breaker's parts, for the wrong ones below to put together."""

    def __init__(self, failures: int, reset_after: float, clock: Any, errors: Any = Exception) -> None:
        self.limit, self.reset_after, self.clock, self.errors = failures, reset_after, clock, errors
        self.row = 0
        self.opened_at: float | None = None

    def refuses(self) -> bool:
        return self.opened_at is not None and self.clock() - self.opened_at < self.reset_after

    def failed(self) -> None:
        self.row += 1
        if self.opened_at is not None or self.row >= self.limit:
            self.opened_at = self.clock()

    def answered(self) -> None:
        self.row, self.opened_at = 0, None

    def call(self, fn: Any, item: Any) -> Any:
        if self.refuses():
            raise BreakerOpen("it", 0)
        try:
            answer = fn(item)
        except Exception as error:
            if isinstance(error, self.errors):
                self.failed()
            else:
                self.answered()
            raise
        self.answered()
        return answer


def _guarding(kind: type[_Circuit], **settings: Any) -> Guard:
    def breaker(fn: Any) -> Any:
        circuit = kind(**settings)
        return lambda item: circuit.call(fn, item)

    return breaker


@mutant(of="make_breaker", killed_by="breaker-opens-after-failures-in-a-row")
def counts_all_failures(**settings: Any) -> Guard:
    """Never begins the count anew: three failures in a year open it."""

    class Circuit(_Circuit):
        def answered(self) -> None:
            self.opened_at = None

    return _guarding(Circuit, **settings)


@mutant(of="make_breaker", killed_by="breaker-opens-after-failures-in-a-row")
def opens_one_too_late(**settings: Any) -> Guard:
    """Writes `>` where the count has come to the limit."""
    return _guarding(_Circuit, **{**settings, "failures": settings["failures"] + 1})


@mutant(of="make_breaker", killed_by="breaker-leaves-the-function-in-peace")
def calls_all_the_same(**settings: Any) -> Guard:
    """Calls first and looks at the state afterwards: the service that is down gets every call."""

    class Circuit(_Circuit):
        def call(self, fn: Any, item: Any) -> Any:
            if self.refuses():
                try:
                    fn(item)
                finally:
                    raise BreakerOpen("it", 0)
            return super().call(fn, item)

    return _guarding(Circuit, **settings)


@mutant(of="make_breaker", killed_by="breaker-waits-the-whole-time")
def keeps_the_first_hour(**settings: Any) -> Guard:
    """Notes when it was opened first, and not when a trial failed: then every call is a trial."""

    class Circuit(_Circuit):
        def failed(self) -> None:
            since = self.opened_at
            super().failed()
            self.opened_at = self.opened_at if since is None else since

    return _guarding(Circuit, **settings)


@mutant(of="make_breaker", killed_by="breaker-makes-one-trial")
def closes_when_the_time_is_over(**settings: Any) -> Guard:
    """Knows open and closed alone: after the wait, a service that is still down gets as many calls as ever."""

    class Circuit(_Circuit):
        def refuses(self) -> bool:
            refused = super().refuses()
            if self.opened_at is not None and not refused:
                self.answered()
            return refused

    return _guarding(Circuit, **settings)


@mutant(of="make_breaker", killed_by="breaker-makes-one-trial")
def never_closes(**settings: Any) -> Guard:
    """Opens for good: no trial, until somebody restarts the program."""

    class Circuit(_Circuit):
        def refuses(self) -> bool:
            return self.opened_at is not None

    return _guarding(Circuit, **settings)


@mutant(of="make_breaker", killed_by="breaker-takes-other-errors-for-answers")
def counts_every_error(**settings: Any) -> Guard:
    """Takes a bad request for a service that is down."""
    return _guarding(_Circuit, **{**settings, "errors": Exception})


@mutant(of="make_breaker", killed_by="breaker-is-one-for-each-function")
def one_circuit_for_all(**settings: Any) -> Guard:
    """Keeps the count where the breaker is configured, not where it is put on."""
    circuit = _Circuit(**settings)
    return lambda fn: lambda item: circuit.call(fn, item)


@mutant(of="make_breaker", killed_by="breaker-hands-a-stream-on-untouched")
def closes_the_answer(**settings: Any) -> Guard:
    """Takes the answer for a thing of its own: `with closing(fn(item))`, and hands on what is closed."""

    class Circuit(_Circuit):
        def call(self, fn: Any, item: Any) -> Any:
            answer = super().call(fn, item)
            close(answer)
            return answer

    return _guarding(Circuit, **settings)
