"""Windows and groups: several items at a time, and no more of them held than one window needs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, SupportsIndex, TypeVar

from .arguments import a_whole_number
from .ownership import Owned
from .stages import Stage

T = TypeVar("T")


def batched(xs: Iterable[T], n: SupportsIndex, *, strict: bool = False) -> Iterator[tuple[T, ...]]:
    """Items in tuples of `n`; the last one may be shorter. (`itertools.batched`, which came with Python 3.12.)

    >>> list(batched("abcdefg", 3))
    [('a', 'b', 'c'), ('d', 'e', 'f'), ('g',)]

    With `strict`, a short tail is an error.

    >>> list(batched("abcd", 3, strict=True))
    Traceback (most recent call last):
    ...
    ValueError: batched: the last batch has 1 of 3 items

    Class: pure. Demand, memory, closing and errors: those of `make_batched`.
    """
    return _batches("batched", n, strict)(xs)


def make_batched(
    n: SupportsIndex, *, strict: bool = False
) -> Stage[[Iterable[Any]], Iterator[tuple[Any, ...]]]:
    """Items in tuples of `n`; the last one may be shorter.

    >>> list(make_batched(2)("abc"))
    [('a', 'b'), ('c',)]

    A batch is given when it is full: no item of the next one is asked for.

    >>> numbers = iter(range(10))
    >>> next(make_batched(3)(numbers)), next(numbers)
    ((0, 1, 2), 3)

    Class: pure. Demand: k batches cost k * n pulls, and the end one more. Memory: one batch. Closing: closes the iterator it
    made of its input; one that it was handed stays open. Errors: an error of the input is raised behind the
    items before it, which come as a short batch; ValueError for n < 1 and, with `strict`, for a short tail.
    """
    return Stage(
        _batches("make_batched", n, strict),
        "transform",
        "make_batched",
        n,
        **{"strict": True} if strict else {},
    )


def _batches(where: str, n: SupportsIndex, strict: bool) -> Callable[[Iterable[T]], Iterator[tuple[T, ...]]]:
    size = a_whole_number(where, "n", n, least=1)

    def run(xs: Iterable[T], /) -> Iterator[tuple[T, ...]]:
        failed: list[Exception] = []
        with Owned() as owned:
            it = owned.opened(xs)

            def batch() -> tuple[T, ...]:
                items: list[T] = []
                if not failed:
                    try:
                        # extend() keeps what came before an error.
                        items.extend(islice(it, size))
                    except Exception as error:
                        failed.append(error)
                if strict and not failed and 0 < len(items) < size:
                    raise ValueError(f"{where}: the last batch has {len(items)} of {size} items")
                return tuple(items)

            # Not `while items := batch()`: that would hold the batch that has been given.
            yield from iter(batch, ())
            if failed:
                raise failed[0]

    return run
