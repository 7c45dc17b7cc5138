"""What people write in place of the stages that make and read results."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from funcpipe_rag.laws.results import FAMILIES
from funcpipe_rag.streams.results import Err, Ok

from .mutant import mutant
from .stages import Run, eager_inside, wrapped

for _family in FAMILIES:
    wrapped(_family, eager_inside)


def _attempt(fn: Callable[[Any], Any], x: Any, index: int) -> Any:
    try:
        return Ok(fn(x))
    except Exception as error:
        return Err(error, x, "mine", index)


@mutant(of="try_map", killed_by="try-map-equals-its-eager-twin")
def drops_failures(fn: Callable[[Any], Any], **how: Any) -> Run:
    """Writes `except: continue`: what fails is gone, and nobody knows."""

    def stream(xs: Iterable[Any]) -> Iterator[Any]:
        for index, x in enumerate(xs):
            result = _attempt(fn, x, index)
            if isinstance(result, Ok):
                yield result

    return stream


@mutant(of="try_map", killed_by="try-map-equals-its-eager-twin")
def stops_at_the_first_failure(fn: Callable[[Any], Any], **how: Any) -> Run:
    """Puts `try` around the loop instead of inside it."""

    def stream(xs: Iterable[Any]) -> Iterator[Any]:
        for index, x in enumerate(xs):
            result = _attempt(fn, x, index)
            yield result
            if isinstance(result, Err):
                return

    return stream


@mutant(of="try_map", killed_by="try-map-catches-only-what-it-is-told")
def catches_everything(fn: Callable[[Any], Any], **how: Any) -> Run:
    """Writes `except Exception`, whatever was asked for: a mistake in the program is taken for bad data."""

    def stream(xs: Iterable[Any]) -> Iterator[Any]:
        for index, x in enumerate(xs):
            yield _attempt(fn, x, index)

    return stream


@mutant(of="try_map", killed_by="try-map-keeps-the-item-and-its-place")
def counts_the_failures(fn: Callable[[Any], Any], **how: Any) -> Run:
    """Numbers the failures instead of the items: nobody finds the line in the file again."""

    def stream(xs: Iterable[Any]) -> Iterator[Any]:
        failed = 0
        for x in xs:
            result = _attempt(fn, x, failed)
            failed += isinstance(result, Err)
            yield result

    return stream


@mutant(of="try_map", killed_by="try-map-passes-errors-on")
def takes_the_input_for_an_item(fn: Callable[[Any], Any], **how: Any) -> Run:
    """Pulls inside the `try`: an error of the input becomes one more failed item."""

    def stream(xs: Iterable[Any]) -> Iterator[Any]:
        it = iter(xs)
        index = 0
        while True:
            try:
                yield Ok(fn(next(it)))
            except StopIteration:
                return
            except Exception as error:
                yield Err(error, None, "mine", index)
            index += 1

    return stream


@mutant(of="recover", killed_by="recover-asks-about-failures-alone")
def asks_about_every_result(fn: Callable[[Any], Any]) -> Run:
    """Computes the replacement first, and then looks whether it is needed."""

    def stream(xs: Iterable[Any]) -> Iterator[Any]:
        for x in xs:
            other = fn(x)
            yield Ok(other) if isinstance(x, Err) else x

    return stream


@mutant(of="recover", killed_by="recover-equals-its-eager-twin")
def replaces_what_is_false(fn: Callable[[Any], Any]) -> Run:
    """Writes `value or fallback`: 0 and None were good values."""

    def stream(xs: Iterable[Any]) -> Iterator[Any]:
        for x in xs:
            yield Ok(getattr(x, "value", None) or fn(x))

    return stream


@mutant(of="recover", killed_by="recover-equals-its-eager-twin")
def wraps_what_was_left(fn: Callable[[Any], Any]) -> Run:
    """Puts Ok around whatever the function gave: an Err inside an Ok passes for good."""

    def stream(xs: Iterable[Any]) -> Iterator[Any]:
        for x in xs:
            yield Ok(fn(x)) if isinstance(x, Err) else x

    return stream


@mutant(of="recover", killed_by="recover-equals-its-eager-twin")
def gives_the_bare_value(fn: Callable[[Any], Any]) -> Run:
    """Gives what the function gave, without Ok: half of the stream are results, and half are not."""

    def stream(xs: Iterable[Any]) -> Iterator[Any]:
        for x in xs:
            yield fn(x) if isinstance(x, Err) else x

    return stream


@mutant(of="split_results", killed_by="split-results-hands-each-failure-over-in-its-turn")
def tells_at_the_end(on_err: Callable[[Any], Any]) -> Run:
    """Collects the failures and hands them over when all is done; whoever stops half-way never hears of them."""

    def stream(xs: Iterable[Any]) -> Iterator[Any]:
        failed = []
        for x in xs:
            if isinstance(x, Ok):
                yield x.value
            else:
                failed.append(x)
        for x in failed:
            on_err(x)

    return stream


@mutant(of="until_n_errors", killed_by="until-n-errors-equals-its-eager-twin")
def hides_the_last_failure(n: int) -> Run:
    """Stops before it gives the n-th failure: nobody can see why the stream has ended."""

    def stream(xs: Iterable[Any]) -> Iterator[Any]:
        failed = 0
        for x in xs:
            failed += isinstance(x, Err)
            if failed == n:
                return
            yield x

    return stream


@mutant(of="until_n_errors", killed_by="until-n-errors-equals-its-eager-twin")
def counts_in_a_row(n: int) -> Run:
    """Begins anew at every good result: that is a breaker's count, not a budget."""

    def stream(xs: Iterable[Any]) -> Iterator[Any]:
        failed = 0
        for x in xs:
            failed = failed + 1 if isinstance(x, Err) else 0
            yield x
            if failed == n:
                return

    return stream


@mutant(of="until_n_errors", killed_by="until-n-errors-equals-its-eager-twin")
def forgives_one_more(n: int) -> Run:
    """Reads "until n errors" as "as long as there are no more than n"."""

    def stream(xs: Iterable[Any]) -> Iterator[Any]:
        failed = 0
        for x in xs:
            failed += isinstance(x, Err)
            yield x
            if failed > n:
                return

    return stream


@mutant(of="until_n_errors", killed_by="until-n-errors-never-asks-again")
def looks_before_it_stops(n: int) -> Run:
    """Checks the count at the top of the loop, and has pulled one more item by then."""

    def stream(xs: Iterable[Any]) -> Iterator[Any]:
        failed = 0
        for x in xs:
            if failed == n:
                return
            failed += isinstance(x, Err)
            yield x

    return stream


@mutant(of="until_error_rate", killed_by="until-error-rate-equals-its-eager-twin")
def never_forgets(rate: float, *, window: int) -> Run:
    """Takes the share of all results: after a million good ones, half a million failures go unnoticed."""

    def stream(xs: Iterable[Any]) -> Iterator[Any]:
        failed = 0
        for seen, x in enumerate(xs, 1):
            failed += isinstance(x, Err)
            yield x
            if isinstance(x, Err) and failed / max(seen, window) >= rate:
                return

    return stream


@mutant(of="until_error_rate", killed_by="until-error-rate-equals-its-eager-twin")
def takes_the_first_for_all(rate: float, *, window: int) -> Run:
    """Divides by what it has seen so far: the first failure is a rate of 100 %."""

    def stream(xs: Iterable[Any]) -> Iterator[Any]:
        recent: deque[bool] = deque(maxlen=window)
        for x in xs:
            recent.append(isinstance(x, Err))
            yield x
            if recent[-1] and sum(recent) / len(recent) >= rate:
                return

    return stream


@mutant(of="until_error_rate", killed_by="until-error-rate-equals-its-eager-twin")
def wants_more_than_the_rate(rate: float, *, window: int) -> Run:
    """Writes `>` for "has come to": a rate of 1.0 is never passed."""

    def stream(xs: Iterable[Any]) -> Iterator[Any]:
        recent: deque[bool] = deque(maxlen=window)
        for x in xs:
            recent.append(isinstance(x, Err))
            yield x
            if sum(recent) / window > rate:
                return

    return stream


@mutant(of="until_error_rate", killed_by="until-error-rate-never-asks-again")
def rates_before_it_stops(rate: float, *, window: int) -> Run:
    """Checks the rate at the top of the loop, and has pulled one more item by then."""

    def stream(xs: Iterable[Any]) -> Iterator[Any]:
        recent: deque[bool] = deque(maxlen=window)
        for x in xs:
            if sum(recent) / window >= rate:
                return
            recent.append(isinstance(x, Err))
            yield x

    return stream
