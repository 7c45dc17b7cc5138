"""Sorted fan-in: sources that are each in order become one stream in order."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterator
from itertools import islice
from operator import itemgetter, lt
from typing import Any, Generic, SupportsIndex, TypeVar

from .arguments import a_function, a_whole_number, sources as all_sources
from .counting import counted
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
        if size == 1:
            return _one_by_one(sources, key, reverse, check)
        return _in_blocks(sources, key, reverse, check, size)

    given = {"key": key, "reverse": reverse, "check": check, "lookahead": size}
    usual = {"key": None, "reverse": False, "check": True, "lookahead": 1}
    options = {option: value for option, value in given.items() if value != usual[option]}
    return Stage(run, "source", "make_merge", *sources, **options).made_of(*sources)


_ENDED: Any = object()


def _one_by_one(
    sources: tuple[Source[T], ...], key: Callable[[T], Any] | None, reverse: bool, check: bool
) -> Iterator[T]:
    # The heads stand sorted as (key, rank) or (key, rank, item), the next one to give at the front, or at the
    # back with reverse. Ranks differ, so items are never compared, and ties come in the order of the sources.
    heads: list[Any] = []
    front = -1 if reverse else 0
    place = 0
    with Owned() as owned:
        opened = [owned.called(source) for source in sources]
        counts = [counted(it) for it in opened]
        nexts = [it.__next__ for it, _ in counts]
        try:
            for place, ask in enumerate(nexts):
                rank = -place if reverse else place
                try:
                    item = ask()
                except StopIteration:
                    owned.release(opened[place])
                else:
                    heads.append((item, rank) if key is None else (key(item), rank, item))
            heads.sort()
            pop = heads.pop
            while heads:
                head = pop(front)
                yield head[-1] if key is not None else head[0]
                last, rank = head[0], head[1]
                # A negative rank counts the places from behind, so that of `reverse` must not be one.
                place = -rank if reverse else rank
                try:
                    item = nexts[place]()
                except StopIteration:
                    owned.release(opened[place])
                    continue
                now = item if key is None else key(item)
                if check and (last < now if reverse else now < last):
                    raise _out_of_order(place, counts[place][1]() - 1, now, last)
                insort(heads, (now, rank) if key is None else (now, rank, item))
        except Exception as error:
            if heads:
                error.add_note(_held("make_merge", place, len(heads)))
            raise


class _Block(Generic[T]):
    """What has been read ahead from one source: its rows, each an item or a (key, item)."""

    __slots__ = ("count", "ended", "failure", "it", "key", "last", "place", "rows")

    def __init__(self, place: int, it: Iterator[T], key: Callable[[T], Any] | None) -> None:
        self.place = place
        self.it, self.count = counted(it)
        self.key = key
        self.rows: list[Any] = []
        self.last: Any = _ENDED
        self.failure: Exception | None = None
        self.ended = False

    def keys(self) -> list[Any]:
        return self.rows if self.key is None else list(map(itemgetter(0), self.rows))

    def fill(self, size: int, reverse: bool, check: bool) -> None:
        ahead = islice(self.it, size)
        before = self.count()
        try:
            # extend() keeps what came before an error.
            if self.key is None:
                self.rows.extend(ahead)
            else:
                self.rows.extend((self.key(item), item) for item in ahead)
            self.ended = len(self.rows) < size
        except Exception as error:
            self.failure = error
        keys = self.keys()
        if check and keys:
            seen = keys if self.last is _ENDED else [self.last, *keys]
            # Sorting what is in order is one comparison an item, and comparing what is the same less than that.
            if sorted(seen, reverse=reverse) != seen:
                steps = list(map(lt, seen, seen[1:]) if reverse else map(lt, seen[1:], seen))
                bad = steps.index(True) + len(keys) + 1 - len(seen)
                self.failure = _out_of_order(
                    self.place, before + bad, keys[bad], keys[bad - 1] if bad else self.last
                )
                del self.rows[bad:]
        if self.rows:
            self.last = keys[len(self.rows) - 1]


def _in_blocks(
    sources: tuple[Source[T], ...], key: Callable[[T], Any] | None, reverse: bool, check: bool, size: int
) -> Iterator[T]:
    # Read a block of each source. Whatever no unread item can precede is safe: sort it and give it.
    with Owned() as owned:
        opened = [owned.called(source) for source in sources]
        live = [_Block(place, it, key) for place, it in enumerate(opened)]
        while live:
            for block in live:
                if not block.rows and not block.ended and block.failure is None:
                    block.fill(size, reverse, check)
                if not block.rows and block.failure is not None:
                    block.failure.add_note(
                        _held("make_merge", block.place, sum(len(other.rows) for other in live))
                    )
                    raise block.failure
                if not block.rows:
                    owned.release(opened[block.place])
            live = [block for block in live if block.rows]
            unread = [block for block in live if not block.ended]
            rows: list[Any] = []
            if unread:
                slowest = (max if reverse else min)(unread, key=lambda block: block.last)
                for block in live:
                    safe = _safe(block.keys(), slowest.last, reverse, block.place <= slowest.place)
                    rows += block.rows[:safe]
                    del block.rows[:safe]
            else:
                for block in live:
                    rows += block.rows
                    block.rows = []
            rows.sort(key=None if key is None else itemgetter(0), reverse=reverse)
            yield from rows if key is None else map(itemgetter(1), rows)


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
