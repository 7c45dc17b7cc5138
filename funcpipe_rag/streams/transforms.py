"""The plain transforms: one item in, some items out, nothing pulled before it is asked for.

Each runs on the C functions of the standard library (`map`, `filter`, `islice` ...) inside a generator, which
adds what those lack: a `close()`, and the rule of ownership. An item that has gone through is not held.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import dropwhile, islice, takewhile
from sys import maxsize
from typing import Any, SupportsIndex, TypeVar, overload

from .arguments import a_function, a_whole_number
from .ends import ending, not_the_end
from .ownership import Owned, shielded
from .stages import PassingStage, Stage

A = TypeVar("A")
B = TypeVar("B")


# The second form of each is for a lambda, whose parameter has no type that mypy could start from.
@overload
def fmap(fn: Callable[[A], B]) -> Stage[[Iterable[A]], Iterator[B]]: ...
@overload
def fmap(fn: Callable[[Any], B]) -> Stage[[Iterable[Any]], Iterator[B]]: ...
def fmap(fn: Callable[[Any], Any]) -> Stage[[Iterable[Any]], Iterator[Any]]:
    """Apply `fn` to each item.

    >>> list(fmap(len)(["fence", "tee"]))
    [5, 3]

    Nothing is computed before it is asked for, so the stream may be endless.

    >>> from itertools import count
    >>> next(fmap(lambda n: n * n)(count(7)))
    49

    Class: pure. Demand: one pull an item. Memory: O(1). Closing: closes the iterator it made of its input; one that it
    was handed stays open. Errors: those of `fn` and of the input, after the items before them. A StopIteration of `fn` is
    one too, and not the end: a RuntimeError says so, here and in every stage that calls a function of yours.
    """
    a_function("fmap", "fn", fn)

    def run(xs: Iterable[Any], /) -> Iterator[Any]:
        with Owned() as owned:
            it, end = ending(owned.opened(xs))
            yield from map(fn, it)
            end.must_be_reached("fmap", fn)

    return Stage(run, "transform", "fmap", fn)


@overload
def ffilter(pred: type[bool]) -> PassingStage: ...
@overload
def ffilter(pred: Callable[[A], object]) -> Stage[[Iterable[A]], Iterator[A]]: ...
@overload
def ffilter(pred: Callable[[Any], object]) -> PassingStage: ...
def ffilter(pred: Callable[[Any], object]) -> Stage[[Iterable[Any]], Iterator[Any]]:
    """Keep the items for which `pred` is true.

    >>> list(ffilter(str.isalpha)(["tee", "57", "skew"]))
    ['tee', 'skew']

    An item that is false itself is kept when `pred` says so.

    >>> list(ffilter(lambda n: n < 1)([2, 0, 1]))
    [0]

    Class: pure. Demand: one pull for each item looked at, kept or not. Memory: O(1). Closing: closes the iterator it made
    of its input; one that it was handed stays open. Errors: those of `pred` and of the input.
    """
    a_function("ffilter", "pred", pred)

    def run(xs: Iterable[A], /) -> Iterator[A]:
        with Owned() as owned:
            it, end = ending(owned.opened(xs))
            yield from filter(pred, it)
            end.must_be_reached("ffilter", pred)

    return PassingStage(run, "transform", "ffilter", pred)


@overload
def fflat_map(fn: Callable[[A], Iterable[B]]) -> Stage[[Iterable[A]], Iterator[B]]: ...
@overload
def fflat_map(fn: Callable[[Any], Iterable[B]]) -> Stage[[Iterable[Any]], Iterator[B]]: ...
def fflat_map(fn: Callable[[Any], Iterable[Any]]) -> Stage[[Iterable[Any]], Iterator[Any]]:
    """Replace each item by the items that `fn` gives for it.

    >>> list(fflat_map(str.split)(["one stream", "two questions"]))
    ['one', 'stream', 'two', 'questions']

    What `fn` gives may be lazy: it is read as far as it is asked for, and closed before the next one is made.

    >>> next(fflat_map(range)([1_000_000, 2]))
    0

    Class: pure. Demand: one pull for each item whose results are needed. Memory: one open result. Closing: closes each
    result of `fn`, and the iterator it made of its input; one that it was handed stays open. Errors: those of
    `fn`, of its results and of the input; TypeError when `fn` gives something that cannot be iterated.
    """
    a_function("fflat_map", "fn", fn)

    def run(xs: Iterable[A], /) -> Iterator[B]:
        with Owned() as owned:
            it, end = ending(owned.opened(xs))
            # Not `for x in xs`: that would hold x while its results go through.
            for inner in map(partial(owned.called, fn), it):
                yield from shielded(inner)
                owned.release(inner)
            end.must_be_reached("fflat_map", fn)

    return Stage(run, "transform", "fflat_map", fn)


def ftake_while(pred: Callable[[A], object]) -> Stage[[Iterable[A]], Iterator[A]]:
    """Give items as long as `pred` is true of them, and then no more.

    >>> list(ftake_while(lambda n: n < 3)([1, 2, 3, 1]))
    [1, 2]

    The item that ends it has been pulled and is gone: an iterator that you hand in goes on behind it.

    >>> numbers = iter([1, 2, 3, 4])
    >>> list(ftake_while(lambda n: n < 3)(numbers)), list(numbers)
    ([1, 2], [4])

    Class: pure. Demand: one pull an item, and one for the item that ends it. Memory: O(1). Closing: closes the iterator it
    made of its input; one that it was handed stays open. Errors: those of `pred` and of the input.
    """
    a_function("ftake_while", "pred", pred)

    def holds(item: A) -> object:
        # Unlike the others it may end before its input does, so its end tells nothing.
        try:
            return pred(item)
        except StopIteration as error:
            raise not_the_end("ftake_while", pred) from error

    def run(xs: Iterable[A], /) -> Iterator[A]:
        with Owned() as owned:
            yield from takewhile(holds, owned.opened(xs))

    return Stage(run, "transform", "ftake_while", pred)


def fdrop_while(pred: Callable[[A], object]) -> Stage[[Iterable[A]], Iterator[A]]:
    """Leave out items as long as `pred` is true of them, then give all the rest.

    >>> list(fdrop_while(lambda n: n < 3)([1, 2, 3, 1]))
    [3, 1]

    `pred` is not asked again after its first false.

    >>> list(fdrop_while(str.islower)("abCd"))
    ['C', 'd']

    Class: pure. Demand: the first item costs a pull for each item left out and one more, every other item one. Memory:
    O(1). Closing: closes the iterator it made of its input; one that it was handed stays open. Errors: those
    of `pred` and of the input.
    """
    a_function("fdrop_while", "pred", pred)

    def run(xs: Iterable[A], /) -> Iterator[A]:
        with Owned() as owned:
            it, end = ending(owned.opened(xs))
            yield from dropwhile(pred, it)
            end.must_be_reached("fdrop_while", pred)

    return Stage(run, "transform", "fdrop_while", pred)


def fence_k(k: SupportsIndex) -> PassingStage:
    """Let at most `k` items through, and never ask for another.

    >>> numbers = iter(range(5))
    >>> list(fence_k(2)(numbers)), next(numbers)
    ([0, 1], 2)

    A fence of zero asks for nothing at all.

    >>> list(fence_k(0)(numbers)), next(numbers)
    ([], 3)

    Class: pure. Demand: at most `k` pulls, not one more: the end is known without asking. Memory: O(1). Closing: closes
    the iterator it made of its input; one that it was handed stays open and goes on where the fence stopped.
    Errors: those of the input; ValueError for `k` < 0.
    """
    limit = a_whole_number("fence_k", "k", k, least=0)

    def run(xs: Iterable[A], /) -> Iterator[A]:
        with Owned() as owned:
            yield from islice(owned.opened(xs), min(limit, maxsize))

    return PassingStage(run, "transform", "fence_k", limit)
