"""Failures as data: a result is an `Ok` or an `Err`, and goes down the stream like any other item.

`try_map` makes results of a function's answers; the other stages read them. What failed keeps its item, its stage
and its place, so nothing has to be looked up afterwards.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import count, repeat
from math import ceil
from operator import attrgetter
from sys import maxsize
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, NoReturn, SupportsIndex, TypeAlias, TypeVar

from .arguments import a_function, a_number, a_whole_number
from .ends import ending, not_the_end
from .ownership import Owned, named
from .stages import L, PassingStage, Stage

if TYPE_CHECKING:
    from .pipelines import Pipeline

A = TypeVar("A")
B = TypeVar("B")
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
A_co = TypeVar("A_co", covariant=True)
Kind = TypeVar("Kind")


def _of_its_kind(cls: type[Kind]) -> type[Kind]:
    """Equal to its own kind alone: as tuples, `Ok(1)`, `Some(1)` and `(1,)` would be the same."""

    def eq(self: Any, other: object) -> bool:
        return type(other) is cls and tuple.__eq__(self, other)

    def ne(self: Any, other: object) -> bool:
        return not eq(self, other)

    for name, method in (("__eq__", eq), ("__ne__", ne)):
        setattr(cls, name, method)
    return cls


@_of_its_kind
class Ok(NamedTuple, Generic[T_co]):
    """What went well: a value.

    >>> Ok(3)
    Ok(3)
    >>> match Ok(3):
    ...     case Ok(value):
    ...         print(value)
    ...     case Err(error):
    ...         print("failed:", error)
    3
    """

    value: T_co

    def __repr__(self) -> str:
        return f"Ok({self.value!r})"


@_of_its_kind
class Err(NamedTuple, Generic[A_co]):
    """What failed: the error, the item that it failed on, the stage, and the item's place there, from 0.

    >>> Err(ValueError("not a number"), "x", "try_map(int)", 7)
    Err(ValueError('not a number'), item='x', stage='try_map(int)', index=7)

    Memory: the item, and the error with its traceback, which holds the local variables of what failed; a `Report`
    keeps text alone.
    """

    error: Exception
    item: A_co
    stage: str
    index: int  # type: ignore[assignment]  # tuple.index, of which a result has no need

    def __repr__(self) -> str:
        return f"Err({self.error!r}, item={self.item!r}, stage={self.stage!r}, index={self.index})"


Result: TypeAlias = Ok[B] | Err[A]
"""`Result[int, str]`: an int, or a failure on a str."""


@_of_its_kind
class Some(NamedTuple, Generic[T_co]):
    """A value that is there, also where it is None or false itself.

    >>> next(map(Some, [None]), Nothing()), next(map(Some, []), Nothing())
    (Some(None), Nothing())
    """

    value: T_co

    def __repr__(self) -> str:
        return f"Some({self.value!r})"


@_of_its_kind
class Nothing(NamedTuple):
    """No value. It is false, and every `Some` is true.

    >>> found = Nothing()
    >>> match found:
    ...     case Some(value):
    ...         print(value)
    ...     case Nothing():
    ...         print("not found")
    not found
    """


Option: TypeAlias = Some[T] | Nothing
"""`Option[int]`: an int, or none."""


def try_map(
    fn: Callable[[A], B], *, errors: type[Exception] | tuple[type[Exception], ...] = (Exception,)
) -> Stage[[Iterable[A]], Iterator[Ok[B] | Err[A]]]:
    """Apply `fn` to each item, and make a result of what comes: `Ok(answer)`, or `Err` where it raised.

    >>> for result in try_map(int)(["1", "x", "3"]):
    ...     print(result)
    Ok(1)
    Err(ValueError("invalid literal for int() with base 10: 'x'"), item='x', stage='try_map(int)', index=1)
    Ok(3)

    An error that is not among `errors` is nobody's data: it comes out as it is.

    >>> list(try_map(int, errors=ValueError)(["1", None]))
    Traceback (most recent call last):
    ...
    TypeError: int() argument must be a string, a bytes-like object or a real number, not 'NoneType'

    Class: pure. Demand: one pull an item, one result an item. Memory: O(1). Closing: closes the iterator it made
    of its input; one that it was handed stays open. Errors: those of the input, behind the results before them;
    those of `fn` that are not among `errors`. A StopIteration of `fn` is an error like any other, never the
    end. TypeError at construction for `errors` that are not kinds of Exception: what is not (KeyboardInterrupt)
    is never data.
    """
    a_function("try_map", "fn", fn)
    caught = error_kinds("try_map", "errors", errors)
    said = {} if caught == (Exception,) else {"errors": caught}
    label = f"try_map({named(fn)})"

    def attempt(item: A, index: int) -> Ok[B] | Err[A]:
        try:
            return Ok(fn(item))
        except caught as error:
            return Err(error, item, label, index)
        except StopIteration as error:
            # map() would take it for the end of the input.
            raise RuntimeError(f"{label}: it raised StopIteration at index {index}") from error

    def run(xs: Iterable[A], /) -> Iterator[Ok[B] | Err[A]]:
        with Owned() as owned:
            yield from map(attempt, owned.opened(xs), count())

    return Stage(run, "transform", "try_map", fn, **said)


def recover(
    fn: Callable[[Err[Any]], B | Ok[B] | Err[Any]],
) -> Stage[[Iterable[Ok[B] | Err[Any]]], Iterator[Ok[B] | Err[Any]]]:
    """Ask `fn` about each failure: its answer takes the failure's place, as an `Ok`.

    >>> list(recover(lambda failure: 0)(try_map(int)(["1", "x"])))
    [Ok(1), Ok(0)]

    `fn` may leave a failure one: the `Err` that it gives back stays an `Err`.

    >>> def blank_is_none(failure):
    ...     return None if failure.item == "" else failure
    >>> for result in recover(blank_is_none)(try_map(int)(["", "x"])):
    ...     print(result)
    Ok(None)
    Err(ValueError("invalid literal for int() with base 10: 'x'"), item='x', stage='try_map(int)', index=1)

    Class: pure. Demand: one pull a result; `fn` is called for failures alone. Memory: O(1). Closing: closes the
    iterator it made of its input; one that it was handed stays open. Errors: those of `fn` and of the input;
    TypeError for an item that is no result.
    """
    a_function("recover", "fn", fn)

    def recovered(result: Ok[B] | Err[Any]) -> Ok[B] | Err[Any]:
        if isinstance(result, Ok):
            return result
        if not isinstance(result, Err):
            not_a_result("recover", result)
        answer = fn(result)
        return answer if isinstance(answer, (Ok, Err)) else Ok(answer)

    def run(xs: Iterable[Ok[B] | Err[Any]], /) -> Iterator[Ok[B] | Err[Any]]:
        with Owned() as owned:
            it, end = ending(owned.opened(xs))
            yield from map(recovered, it)
            end.must_be_reached("recover", fn)

    return Stage(run, "transform", "recover", fn)


class UnwrappingStage(Stage[[Iterable[Any]], Iterator[Any]]):
    """A transform from results to the values of the good ones, so that their type goes through it."""

    __slots__ = ()

    if TYPE_CHECKING:

        def __call__(self, xs: Iterable[Ok[T] | Err[Any]], /) -> Iterator[T]: ...

        def __ror__(self, other: Callable[L, Iterable[Ok[A] | Err[Any]]]) -> Pipeline[L, Iterator[A]]: ...


def split_results(on_err: Callable[[Err[Any]], object]) -> UnwrappingStage:
    """Give the values of the good results, and hand each failure to `on_err`.

    >>> quarantine = []
    >>> list(split_results(quarantine.append)(try_map(int)(["1", "x", "3"])))
    [1, 3]
    >>> quarantine
    [Err(ValueError("invalid literal for int() with base 10: 'x'"), item='x', stage='try_map(int)', index=1)]

    A failure is handed over in its turn: before the next value is given, and not before it is reached.

    >>> quarantine.clear()
    >>> values = split_results(quarantine.append)(try_map(int)(["1", "x", "3"]))
    >>> next(values), len(quarantine), next(values), len(quarantine)
    (1, 0, 3, 1)

    Class: observer (pure but for what `on_err` does). Demand: one pull for each result looked at. Memory: O(1). Closing: closes the
    iterator it made of its input; one that it was handed stays open. Errors: those of `on_err` and of the input;
    TypeError for an item that is no result.
    """
    a_function("split_results", "on_err", on_err)

    def run(xs: Iterable[Ok[T] | Err[Any]], /) -> Iterator[T]:
        with Owned() as owned:
            yield from good_values("split_results", owned.opened(xs), on_err)

    return UnwrappingStage(run, "transform", "split_results", on_err)


def until_n_errors(n: SupportsIndex) -> PassingStage:
    """Pass results on up to the n-th failure, which is the last one given.

    >>> numbers = iter(["1", "x", "3", "y", "5"])
    >>> [type(result).__name__ for result in until_n_errors(2)(try_map(int)(numbers))], next(numbers)
    (['Ok', 'Err', 'Ok', 'Err'], '5')

    Fewer failures, and everything goes through.

    >>> list(until_n_errors(1)([Ok(1), Ok(2)]))
    [Ok(1), Ok(2)]

    Class: pure. Demand: one pull a result, and none behind the n-th failure. What was pulled is given: nothing
    is lost, and the last result tells why it ended. Memory: O(1). Closing: closes the iterator it made of its
    input; one that it was handed stays open. Errors: those of the input; TypeError for an item that is no
    result; ValueError for n < 1.
    """
    limit = a_whole_number("until_n_errors", "n", n, least=1)

    def run(xs: Iterable[Any], /) -> Iterator[Any]:
        left = repeat(None, min(limit, maxsize))

        def watched(_: int, result: Any) -> Any:
            if isinstance(result, Err):
                next(left)
            elif not isinstance(result, Ok):
                not_a_result("until_n_errors", result)
            return result

        with Owned() as owned:
            # The count stands first, so that map() asks it before it pulls.
            yield from map(watched, iter(left.__length_hint__, 0), owned.opened(xs))

    return PassingStage(run, "transform", "until_n_errors", limit)


def until_error_rate(rate: float, *, window: SupportsIndex) -> PassingStage:
    """Pass results on until the share of failures among the last `window` results has come to `rate`.

    >>> answers = try_map(int)(["x", "2", "3", "4", "x", "x", "7"])
    >>> [type(result).__name__ for result in until_error_rate(0.5, window=4)(answers)]
    ['Err', 'Ok', 'Ok', 'Ok', 'Err', 'Err']

    As long as there are fewer than `window` results, those that are missing count as good: one failure at the
    beginning is not a rate of 100 %.

    >>> [type(result).__name__ for result in until_error_rate(0.5, window=4)(try_map(int)(["x", "y", "3"]))]
    ['Err', 'Err']

    Class: pure. Demand: one pull a result, and none behind the failure that makes up the rate; that failure is
    given. Memory: the places of at most rate * window failures. Closing: closes the iterator it made of its
    input; one that it was handed stays open. Errors: those of the input; TypeError for an item that is no
    result; ValueError for a rate that is not above 0 and at most 1, and for window < 1.
    """
    a_number("until_error_rate", "rate", rate, above=0, most=1)
    span = a_whole_number("until_error_rate", "window", window, least=1)
    enough = ceil(rate * span)
    if enough > 1 and (enough - 1) / span >= rate:
        # 0.1 * 30 is a little more than 3.
        enough -= 1

    def run(xs: Iterable[Any], /) -> Iterator[Any]:
        going = [True]
        recent: deque[int] = deque(maxlen=min(enough, maxsize))

        def watched(_: int, index: int, result: Any) -> Any:
            if isinstance(result, Err):
                recent.append(index)
                if len(recent) == enough and index - recent[0] < span:
                    going.clear()
            elif not isinstance(result, Ok):
                not_a_result("until_error_rate", result)
            return result

        with Owned() as owned:
            # Whether it goes on stands first, so that map() asks that before it pulls.
            yield from map(watched, iter(going.__len__, 0), count(), owned.opened(xs))

    return PassingStage(run, "transform", "until_error_rate", rate, window=span)


def good_values(
    where: str, results: Iterator[Ok[T] | Err[Any]], on_err: Callable[[Err[Any]], object]
) -> Iterator[T]:
    """The values of the good results; each failure goes to `on_err` in its turn. For the stages of this room."""

    def good(result: Ok[T] | Err[Any]) -> bool:
        if isinstance(result, Ok):
            return True
        if not isinstance(result, Err):
            not_a_result(where, result)
        try:
            on_err(result)
        except StopIteration as error:
            raise not_the_end(where, on_err) from error
        return False

    return map(attrgetter("value"), filter(good, results))


def not_a_result(where: str, thing: object) -> NoReturn:
    """TypeError: a stage over results met something else."""
    raise TypeError(
        f"{where}: wants Ok or Err, got {type(thing).__name__}; try_map(fn) makes results of fn's answers"
    )


def error_kinds(where: str, argument: str, kinds: object) -> tuple[type[Exception], ...]:
    """`kinds` as a tuple of exception classes, as an `except` takes them; TypeError or ValueError otherwise."""
    given = kinds if isinstance(kinds, tuple) else (kinds,)
    for kind in given:
        if not (isinstance(kind, type) and issubclass(kind, Exception)):
            raise TypeError(f"{where}: {argument} must be kinds of Exception, got {named(kind)}")
    if not given:
        raise ValueError(f"{where}: {argument} must name at least one kind of Exception, got ()")
    return given
