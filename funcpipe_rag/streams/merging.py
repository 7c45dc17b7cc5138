"""Sorted fan-in: sources that are each in order become one stream in order."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from itertools import chain, islice
from operator import lt
from sys import maxsize
from typing import Any, Generic, SupportsIndex, TypeVar

from .arguments import a_function, a_whole_number, sources as all_sources
from .counting import counted
from .ends import not_the_end
from .ownership import Owned, named
from .stages import Source, Stage

T = TypeVar("T")


def make_merge(
    *sources: Source[T],
    key: Callable[[T], Any] | None = None,
    reverse: bool = False,
    check: bool = True,
    lookahead: SupportsIndex = 1,
) -> Stage[[], Iterator[T]]:
    """Merge sorted sources into one sorted stream.

    >>> from funcpipe_rag.streams import as_source
    >>> list(make_merge(as_source([1, 4, 6]), as_source([2, 4]))())
    [1, 2, 4, 4, 6]

    A source that is not sorted is an error, where `heapq.merge` gives a wrong order in silence.

    >>> list(make_merge(as_source([3, 1]), as_source([2]))())
    Traceback (most recent call last):
    ...
    ValueError: make_merge: source 0 is out of order at index 1: 1 came after 3

    Stable: equal items come in the order of their sources. With `reverse` the sources descend and so does the
    result. `check=False` trusts the sources.

    Class: pure. Demand: k items cost at most n + k - 1 pulls of n sources, and one for each source found exhausted. With
    `lookahead` > 1 a source is read that many items at a time: faster, and up to that many items ahead.
    Memory: one item a source (`lookahead` items). Closing: closes every source it opened, last first; an
    exhausted one at once. Errors: a source's error is raised when the next item is needed from it, with a
    note that counts the items held from the others; ValueError for a source out of order, naming source and
    index.
    """
    all_sources("make_merge", sources)
    if key is not None:
        a_function("make_merge", "key", key)
    size = a_whole_number("make_merge", "lookahead", lookahead, least=1)

    def run() -> Iterator[T]:
        if size > 1:
            return _in_blocks(sources, key, reverse, check, size)
        if len(sources) <= (_TREE_UPTO if key is None and not reverse else 2):
            return _Tree(sources, key, reverse, check).merged()
        return _one_by_one(sources, key, reverse, check)

    given = {"key": key, "reverse": reverse, "check": check, "lookahead": size}
    usual = {"key": None, "reverse": False, "check": True, "lookahead": 1}
    options = {option: value for option, value in given.items() if value != usual[option]}
    return Stage(run, "source", "make_merge", *sources, **options).made_of(*sources)


_ENDED: Any = object()
_TREE_UPTO = 32
"""From so many sources on, a floor of the tree costs more than a step of a binary search in C."""
_ELSEWHERE = nullcontext()
"""For a merge in a tree: what the sources open is owned by the root."""


def _one_by_one(
    sources: tuple[Source[T], ...], key: Callable[[T], Any] | None, reverse: bool, check: bool
) -> Iterator[T]:
    # The heads stand sorted as (key, rank, items, item), the next one to give at the front, or at the back with
    # reverse. Ranks differ, so items are never compared, and ties come in the order of the sources.
    heads: list[tuple[Any, int, Iterator[T], T]] = []
    front = -1 if reverse else 0
    rank = 0
    with Owned() as owned:
        opened = [owned.called(source) for source in sources]
        counts = [counted(it) for it in opened]
        try:
            for place, (items, _) in enumerate(counts):
                rank = -place if reverse else place
                for item in items:
                    heads.append((item if key is None else key(item), rank, items, item))
                    break
                else:
                    owned.release(opened[place])
            heads.sort()
            pop, put = heads.pop, insort
            while heads:
                last, rank, items, item = pop(front)
                yield item
                # Not next(): a call, and an end that would have to be caught.
                for item in items:
                    now = item if key is None else key(item)
                    if check and (last < now if reverse else now < last):
                        raise _out_of_order(abs(rank), counts[abs(rank)][1]() - 1, now, last)
                    put(heads, (now, rank, items, item))
                    break
                else:
                    owned.release(opened[abs(rank)])
        except Exception as error:
            if heads:
                error.add_note(_held("make_merge", abs(rank), len(heads)))
            raise


class _Tree(Generic[T]):
    """The same two at a time, with the heads in local variables: a third of what a sorted list costs.

    Two sources are one such merge. Some more are a tree of them, where there is neither a key nor `reverse`: to look
    at those again on each floor would cost more than the tree saves.
    """

    def __init__(
        self, sources: tuple[Source[T], ...], key: Callable[[T], Any] | None, reverse: bool, check: bool
    ) -> None:
        self.sources, self.key, self.reverse, self.check = sources, key, reverse, check
        self.owned = Owned()
        self.counts: dict[int, Callable[[], int]] = {}
        """How many items each source that is open has given, by its place."""

    def merged(self) -> Iterator[T]:
        many = len(self.sources)
        if many <= 2:
            return self.pair(0, self.owned)
        # Neighbours, so that ties come in the order of the sources.
        floor: list[Iterator[T]] = [self.pair(place) for place in range(0, many, 2)]
        while len(floor) > 2:
            above = [_lower(left, right) for left, right in zip(floor[::2], floor[1::2], strict=False)]
            floor = above + floor[2 * len(above) :]
        left, right = floor
        return _lower(left, right, self.owned)

    def opened(self, place: int) -> Iterator[T]:
        if place >= len(self.sources):
            return iter(())
        it = self.owned.called(self.sources[place])
        items, self.counts[place] = counted(it)
        return chain(items, self.closed(place, it))

    def closed(self, place: int, it: Iterator[T]) -> Iterator[T]:
        """No items: what stands behind the last one."""
        del self.counts[place]
        self.owned.release(it)
        yield from ()

    def pair(self, place: int, owning: AbstractContextManager[object] = _ELSEWHERE) -> Iterator[T]:
        """The sources at `place` and behind it, merged and checked."""
        key, reverse, check = self.key, self.reverse, self.check
        left, right = place, place + 1
        asked = left
        with owning:
            try:
                lefts = self.opened(left)
                a: Any = next(lefts, _ENDED)
                ka = a if key is None or a is _ENDED else key(a)
                asked = right
                rights = self.opened(right)
                b: Any = next(rights, _ENDED)
                kb = b if key is None or b is _ENDED else key(b)
                if a is not _ENDED and b is not _ENDED:
                    right_first = ka < kb if reverse else kb < ka
                    # Each side has its run, until the head of the other one comes first.
                    while True:
                        if not right_first:
                            asked = left
                            yield a
                            for a in lefts:
                                now = a if key is None else key(a)
                                if check and (ka < now if reverse else now < ka):
                                    raise self.out_of_order(left, now, ka)
                                ka = now
                                if ka < kb if reverse else kb < ka:
                                    break
                                yield a
                            else:
                                a = _ENDED
                                break
                        right_first = False
                        asked = right
                        yield b
                        for b in rights:
                            now = b if key is None else key(b)
                            if check and (kb < now if reverse else now < kb):
                                raise self.out_of_order(right, now, kb)
                            kb = now
                            if not (ka < kb if reverse else kb < ka):
                                break
                            yield b
                        else:
                            b = _ENDED
                            break
                # One of them has ended: the rest is the other one's.
                asked, rest, item, last = (right, rights, b, kb) if a is _ENDED else (left, lefts, a, ka)
                a = b = ka = kb = now = None
                if item is not _ENDED:
                    yield item
                    for item in rest:
                        now = item if key is None else key(item)
                        if check and (last < now if reverse else now < last):
                            raise self.out_of_order(asked, now, last)
                        last = now
                        yield item
            except Exception as error:
                # Of every other source that is open and has been asked, one item is held.
                held = sum(count() > 0 for other, count in self.counts.items() if other != asked)
                if held:
                    error.add_note(_held("make_merge", asked, held))
                raise

    def out_of_order(self, place: int, now: object, last: object) -> ValueError:
        return _out_of_order(place, self.counts[place]() - 1, now, last)


def _lower(
    lefts: Iterator[Any], rights: Iterator[Any], owning: AbstractContextManager[object] = _ELSEWHERE
) -> Iterator[Any]:
    """Two sorted streams as one."""
    with owning:
        a = next(lefts, _ENDED)
        b = next(rights, _ENDED)
        if a is not _ENDED and b is not _ENDED:
            right_first = b < a
            while True:
                if not right_first:
                    yield a
                    for a in lefts:
                        if b < a:
                            break
                        yield a
                    else:
                        a = _ENDED
                        break
                right_first = False
                yield b
                for b in rights:
                    if not b < a:
                        break
                    yield b
                else:
                    b = _ENDED
                    break
        rest, item = (rights, b) if a is _ENDED else (lefts, a)
        a = b = None
        if item is not _ENDED:
            yield item
            del item
            yield from rest


class _Block(Generic[T]):
    """What has been read ahead from one source: its items, and their keys: without a key the very same list."""

    __slots__ = ("ended", "failure", "it", "items", "key", "keys", "last", "place", "read")

    def __init__(self, place: int, it: Iterator[T], key: Callable[[T], Any] | None) -> None:
        self.place, self.it, self.key = place, it, key
        self.read = 0
        self.items: list[T] = []
        self.keys: list[Any] = self.items if key is None else []
        self.last: Any = _ENDED
        self.failure: Exception | None = None
        self.ended = False

    def fill(self, size: int, reverse: bool, check: bool) -> None:
        """Read on until `size` items are held."""
        wanted = size - len(self.items)
        items: list[T] = []
        keys: list[Any] = items if self.key is None else []
        try:
            # extend() keeps what came before an error.
            try:
                items.extend(islice(self.it, min(wanted, maxsize)))
            finally:
                if self.key is not None:
                    keys.extend(map(self.key, items))
            self.ended = len(items) < wanted
        except Exception as error:
            self.failure = error
        if len(keys) < len(items) and self.failure is None:
            self.failure = not_the_end("make_merge", self.key)
        del items[len(keys) :]
        if check and keys:
            bad = self.out_of_order(keys, reverse)
            if bad is not None:
                before = keys[bad - 1] if bad else self.last
                self.failure = _out_of_order(self.place, self.read + bad, keys[bad], before)
                del items[bad:]
                del keys[bad:]
        if keys:
            self.last = keys[-1]
            self.read += len(keys)
            self.items += items
            if self.key is not None:
                self.keys += keys

    def take(self, many: int, items: list[T], keys: list[Any]) -> None:
        """Move the first so many to `items` and `keys`."""
        items += self.items[:many]
        del self.items[:many]
        if self.key is not None:
            keys += self.keys[:many]
            del self.keys[:many]

    def out_of_order(self, keys: list[Any], reverse: bool) -> int | None:
        """The place of the first of `keys` that comes too late."""
        if self.last is not _ENDED and (self.last < keys[0] if reverse else keys[0] < self.last):
            return 0
        # Sorting what is in order is one comparison an item, and comparing what is the same less than that.
        if sorted(keys, reverse=reverse) == keys:
            return None
        return list(map(lt, keys, keys[1:]) if reverse else map(lt, keys[1:], keys)).index(True) + 1


def _in_blocks(
    sources: tuple[Source[T], ...], key: Callable[[T], Any] | None, reverse: bool, check: bool, size: int
) -> Iterator[T]:
    # Read a block of each source. Whatever no unread item can precede is safe: sort it and give it.
    with Owned() as owned:
        opened = [owned.called(source) for source in sources]
        live = [_Block(place, it, key) for place, it in enumerate(opened)]
        while live:
            for block in live:
                # The others as well, once one has to be read: what is left of a block settles little.
                if not block.ended and block.failure is None:
                    block.fill(size, reverse, check)
                if not block.items:
                    if block.failure is not None:
                        held = sum(len(other.items) for other in live)
                        block.failure.add_note(_held("make_merge", block.place, held))
                        raise block.failure
                    owned.release(opened[block.place])
            live = [block for block in live if block.items]
            unread = [block for block in live if not block.ended]
            slowest = (max if reverse else min)(unread, key=lambda block: block.last, default=None)
            items: list[T] = []
            keys: list[Any] = []
            for block in live:
                safe = len(block.items)
                if slowest is not None:
                    safe = _safe(block.keys, slowest.last, reverse, block.place <= slowest.place)
                block.take(safe, items, keys)
            # sort() asks for the keys in the order of the items, and next(keys, item) is the next one.
            by: Any = None if key is None else partial(next, iter(keys))
            items.sort(key=by, reverse=reverse)
            yield from items


def _safe(keys: list[Any], bound: Any, reverse: bool, ties: bool) -> int:
    """How many of the sorted `keys` come before `bound`, or with it when `ties`."""
    if reverse:
        rising = keys[::-1]
        return len(keys) - (bisect_left if ties else bisect_right)(rising, bound)
    return (bisect_right if ties else bisect_left)(keys, bound)


def _held(where: str, place: int, many: int) -> str:
    return f"{where}: raised by source {place}; {many} items held from the other sources were not given"


def _out_of_order(place: int, index: int, key: object, last: object) -> ValueError:
    return ValueError(
        f"make_merge: source {place} is out of order at index {index}: {named(key)} came after {named(last)}"
    )
