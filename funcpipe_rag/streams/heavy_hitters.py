"""What comes most often, and how much comes at all: counts of a stream, with what they hold stated beforehand."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterable
from heapq import heapify, heapreplace, nsmallest
from typing import Any, Generic, NamedTuple, SupportsIndex, TypeVar

from .arguments import a_whole_number
from .ownership import Owned
from .stages import SinkStage

H = TypeVar("H", bound=Hashable)
T_co = TypeVar("T_co", covariant=True)


class HeavyHitter(NamedTuple, Generic[T_co]):
    """An item that comes often: between `count - error` and `count` times.

    `guaranteed` is true when no item that is not in the list can have come more often than this one.
    """

    item: T_co
    count: int  # type: ignore[assignment]  # tuple.count, of which a result has no need
    error: int
    guaranteed: bool


def topk(k: SupportsIndex, *, capacity: SupportsIndex) -> SinkStage[Any, list[HeavyHitter[Any]]]:
    """Read a stream to its end: its `k` most frequent items with their counts, and how far each count may be off.

    >>> for hit in topk(2, capacity=10)("abracadabra"):
    ...     print(hit)
    HeavyHitter(item='a', count=5, error=0, guaranteed=True)
    HeavyHitter(item='b', count=2, error=0, guaranteed=True)

    No more than `capacity` items are held, however many there are. The counts are exact as long as there are no more
    different items than that. Beyond it a new item takes over the place and the count of the least frequent one,
    and that count is its `error`.

    >>> topk(2, capacity=3)("abracadabra")
    [HeavyHitter(item='a', count=5, error=0, guaranteed=True), HeavyHitter(item='b', count=3, error=2, guaranteed=False)]

    The true number never exceeds `count` and is never below `count - error`. No `error` exceeds N / capacity for N
    items in all, and every item that comes more often than that is held: with `k` = `capacity`, it is in the list.
    (Space-saving: Metwally, Agrawal and El Abbadi, Efficient Computation of Frequent and Top-k Elements in Data
    Streams, 2005.) Ties: the smaller error first, then who came first; of the least frequent items, the one that
    has been held longest gives way.

    Class: pure. Demand: all of the input. Memory: at most `capacity` items, each with three numbers and a place in a
    heap. Time: O(1) for an item that is held, O(log capacity) on average for one that is not. Closing: closes the
    iterator it made of its input; one that it was handed stays open. Errors: those of the input; TypeError for an item
    that cannot be hashed; ValueError for `k` < 1 and for `capacity` < `k`.
    """
    many = a_whole_number("topk", "k", k, least=1)
    places = a_whole_number("topk", "capacity", capacity, least=1)
    if places < many:
        raise ValueError(f"topk: capacity must be >= k = {many}, got {places}")

    def run(xs: Iterable[Any], /) -> list[HeavyHitter[Any]]:
        summary: SpaceSaving[Any] = SpaceSaving(places)
        with Owned() as owned:
            deque(map(summary.add, owned.opened(xs)), maxlen=0)
        return summary.top(many)

    return SinkStage(run, "sink", "topk", many, capacity=places)


class SpaceSaving(Generic[H]):
    """The counts behind `topk`, one item at a time: for a stream that something else is reading too.

    A sink reads its stream alone. Of two branches of one stream, neither may be read to its end before the other, so
    they are read in turns, and each item is added as it comes.

    >>> from funcpipe_rag.streams import multicast_bounded
    >>> counts, different = SpaceSaving(10), set()
    >>> for one, other in zip(*multicast_bounded("abracadabra", 2, maxlen=1)):
    ...     counts.add(one)
    ...     different.add(other)
    >>> counts.top(1)[0].item, counts.total, len(different)
    ('a', 11, 5)

    Before the first item there is no top.

    >>> SpaceSaving(10).top(3)
    []

    Memory, time and bounds: those of `topk`. Errors: TypeError for an item that cannot be hashed; ValueError for
    `capacity` < 1 and for `k` < 1.
    """

    __slots__ = ("_entered", "_heap", "_held", "capacity", "total")

    def __init__(self, capacity: SupportsIndex) -> None:
        self.capacity = a_whole_number("SpaceSaving", "capacity", capacity, least=1)
        self.total = 0
        """How many items were added."""
        self._held: dict[H, _Held] = {}
        self._entered = 0
        # A count, when its item entered, and the item. Made when the first item has to give way, and corrected only
        # where it is looked at: an entry may tell an older count, never a larger one.
        self._heap: list[tuple[int, int, H]] = []

    def add(self, item: H) -> None:
        """Count one item."""
        found = self._held.get(item)
        if found is not None:
            found.count += 1
        elif len(self._held) < self.capacity:
            self._held[item] = _Held(1, 0, self._entered)
            self._entered += 1
        else:
            self._replace(item)
        self.total += 1

    def top(self, k: SupportsIndex) -> list[HeavyHitter[H]]:
        """The `k` most frequent of the items so far; fewer, if there are fewer."""
        many = a_whole_number("SpaceSaving.top", "k", k, least=1)
        first = nsmallest(many + 1, self._held.items(), key=_rank)
        # What no item outside the list can have come more often than.
        others = 0
        if len(first) > many:
            others = first.pop()[1].count
        elif self._heap:
            others = first[-1][1].count
        return [
            HeavyHitter(item, held.count, held.error, held.count - held.error >= others)
            for item, held in first
        ]

    def _replace(self, item: H) -> None:
        heap = self._heap
        if not heap:
            heap += [(held.count, held.entered, held_item) for held_item, held in self._held.items()]
            heapify(heap)
        while True:
            told, entered, least = heap[0]
            count = self._held[least].count
            if count == told:
                break
            heapreplace(heap, (count, entered, least))
        del self._held[least]
        self._held[item] = _Held(count + 1, count, self._entered)
        heapreplace(heap, (count + 1, self._entered, item))
        self._entered += 1

    def __repr__(self) -> str:
        return f"<SpaceSaving: {len(self._held)} of {self.capacity} places taken, {self.total} items>"


class _Held:
    """One item's count, how much of it may be another's, and when the item entered."""

    __slots__ = ("count", "entered", "error")

    def __init__(self, count: int, error: int, entered: int) -> None:
        self.count, self.error, self.entered = count, error, entered


def _rank(pair: tuple[object, _Held]) -> tuple[int, int, int]:
    held = pair[1]
    return -held.count, held.error, held.entered


def count_distinct() -> SinkStage[Any, int]:
    """Read a stream to its end: how many different items it has, exactly.

    >>> count_distinct()("abracadabra")
    5

    What is equal is one item, as in a set.

    >>> count_distinct()([1, 1.0, True])
    1

    Class: pure. Demand: all of the input. Memory: O(different items), each once: it grows with their number. Closing:
    closes the iterator it made of its input; one that it was handed stays open. Errors: those of the input; TypeError
    for an item that cannot be hashed.
    """

    def run(xs: Iterable[Hashable], /) -> int:
        with Owned() as owned:
            return len(set(owned.opened(xs)))

    return SinkStage(run, "sink", "count_distinct")
