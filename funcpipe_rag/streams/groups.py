"""Groups: neighbours with the same key, together; and a check that no key comes back."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from itertools import groupby
from operator import itemgetter
from typing import Any, TypeVar

from .arguments import a_function
from .counting import counted
from .ends import ending
from .ownership import Owned, named
from .stages import Stage

K = TypeVar("K")
T = TypeVar("T")
H = TypeVar("H", bound=Hashable)


def make_grouped(key: Callable[[T], K]) -> Stage[[Iterable[T]], Iterator[tuple[K, tuple[T, ...]]]]:
    """Neighbours with the same key as one group: the key, and its items in a tuple.

    >>> list(make_grouped(str.isdigit)("ab12c"))
    [(False, ('a', 'b')), (True, ('1', '2')), (False, ('c',))]

    A group is yours: it may be kept and read at any time. (Those of `itertools.groupby` are empty once the next
    one has been asked for.) A key that comes back begins a new group; `ensure_contiguous` refuses that.

    >>> groups = list(make_grouped(len)(["a", "b", "cc"]))
    >>> groups[0]
    (1, ('a', 'b'))

    Class: pure. Demand: a group is whole when the next one begins, so it costs its items and one more, or the end. Memory: one
    group and the item behind it; for results over groups too long to hold there is `make_accumulate(fn,
    key=...)`. Closing: closes the iterator it made of its input; one that it was handed stays open. Errors: those
    of `key` and of the input, behind the items before them, the last of which come as a short group.
    """
    a_function("make_grouped", "key", key)

    def run(xs: Iterable[T], /) -> Iterator[tuple[K, tuple[T, ...]]]:
        failed: list[Exception] = []
        with Owned() as owned:
            pairs = _keyed(key, owned.opened(xs), failed)
            yield from map(_whole, groupby(pairs, itemgetter(0)))
            if failed:
                raise failed[0]

    return Stage(run, "transform", "make_grouped", key)


def _keyed(key: Callable[[T], K], it: Iterator[T], failed: list[Exception]) -> Iterator[tuple[K, T]]:
    try:
        for item in it:
            yield key(item), item
    except Exception as error:
        failed.append(error)


def _whole(group: tuple[Any, Iterator[tuple[Any, Any]]]) -> tuple[Any, tuple[Any, ...]]:
    key, pairs = group
    return key, tuple(map(itemgetter(1), pairs))


def ensure_contiguous(key: Callable[[T], H]) -> Stage[[Iterable[T]], Iterator[T]]:
    """Let items through as long as each key's items stand together.

    >>> list(ensure_contiguous(str.upper)("aAb"))
    ['a', 'A', 'b']

    A key that comes back after another one is an error, behind the items before it.

    >>> list(ensure_contiguous(str.upper)("aba"))
    Traceback (most recent call last):
    ...
    ValueError: ensure_contiguous: key 'A' returns at index 2; its items ended at index 0; sort by the key first

    Class: pure. Demand: one pull an item. Memory: O(distinct keys), each key once: it grows with their number. Closing: closes
    the iterator it made of its input; one that it was handed stays open. Errors: those of `key` and of the input;
    ValueError, naming key and index, where a key returns; TypeError for a key that cannot be hashed.
    """
    a_function("ensure_contiguous", "key", key)

    def run(xs: Iterable[T], /) -> Iterator[T]:
        ended: dict[Any, int] = {}
        now: Any = _NONE_YET
        with Owned() as owned:
            it, count = counted(owned.opened(xs))

            def checked(item: T) -> T:
                nonlocal now
                found = key(item)
                if found is not now and found != now:
                    index = count() - 1
                    if found in ended:
                        raise ValueError(
                            f"ensure_contiguous: key {named(found)} returns at index {index}; its items ended "
                            f"at index {ended[found]}; sort by the key first"
                        )
                    if now is not _NONE_YET:
                        ended[now] = index - 1
                    now = found
                return item

            it, end = ending(it)
            yield from map(checked, it)
            end.must_be_reached("ensure_contiguous", key)

    return Stage(run, "transform", "ensure_contiguous", key)


_NONE_YET: Any = object()
