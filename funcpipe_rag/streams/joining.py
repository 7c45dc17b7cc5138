"""Joining by key: two branches of one stream that do not keep step, put together again."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator
from itertools import islice
from typing import Any, Literal, SupportsIndex, TypeVar

from .arguments import a_function, a_whole_number
from .counting import counted
from .fan_out import multicast_bounded
from .ownership import Owned, named
from .reports import Failures, Told
from .stages import Stage

A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")

SIDES = ("left", "right")


def make_keyed_join(
    key: Callable[[Any], Hashable],
    left: Callable[[Iterable[A]], Iterable[B]],
    right: Callable[[Iterable[A]], Iterable[C]],
    *,
    window: SupportsIndex = 1024,
    on_unmatched: Literal["fail", "skip"] | Callable[[Any], object] = "fail",
    report: Told | None = None,
) -> Stage[[Iterable[A]], Iterator[tuple[B, C]]]:
    """Send one stream through two transforms; give each pair of their results that have the same key.

    >>> from funcpipe_rag.streams.transforms import fflat_map, fmap
    >>> words = fflat_map(lambda line: [(line, word) for word in line.split()])
    >>> sizes = fmap(lambda line: (line, len(line)))
    >>> join = make_keyed_join(lambda row: row[0], words, sizes)
    >>> [(word, size) for (_, word), (_, size) in join(["one fence", "tee"])]
    [('one', 9), ('fence', 9), ('tee', 3)]

    The branches need not keep step, as those of `fork2_lockstep` must: one may give several results for an item
    and the other one. A result waits for others while fewer than `window` newer ones of its branch have come. One
    that goes, or is left at the end, and has met nobody is unmatched: `on_unmatched="fail"` is an error, "skip"
    drops it and counts it, and a function is called with it.

    >>> from funcpipe_rag.streams.transforms import ffilter
    >>> alone = []
    >>> list(make_keyed_join(abs, fmap(abs), ffilter(bool), on_unmatched=alone.append)([0, 1])), alone
    ([(1, 1)], [0])

    Class: pure. Demand: the branch that has read less of the stream is asked, `left` first; so with 1:1 transforms a pair
    costs one pull. Memory: `window` results of each branch, and at most `window` items that one branch has read and the
    other has not. Closing: closes its branches' iterators, last first, and the iterator it made of its input; one that
    it was handed stays open. Errors: a transform's, `key`'s or the input's, when it is met: what the other branch had
    still to give is not waited for; ValueError, naming branch, index and key, for an unmatched result; BufferError,
    before the input is touched, where one branch would read more than `window` items that the other has not; ValueError for `window` < 1 and another `on_unmatched`. A skipped
    result goes to `report` as an `Err`; without one, a RuntimeWarning at the end tells how many there were.
    """
    where = "make_keyed_join"
    for argument, function in (("key", key), ("left", left), ("right", right)):
        a_function(where, argument, function)
    bound = a_whole_number(where, "window", window, least=1)
    if not callable(on_unmatched) and on_unmatched not in ("fail", "skip"):
        raise ValueError(f"{where}: on_unmatched must be 'fail', 'skip' or a function, got {on_unmatched!r}")
    if report is not None:
        a_function(where, "report", report)

    def run(xs: Iterable[A], /) -> Iterator[tuple[B, C]]:
        with Failures(where, "fail" if on_unmatched == "fail" else "skip", report) as failures:

            def unmatched(one: _Waiting) -> None:
                if callable(on_unmatched):
                    on_unmatched(one.item)
                else:
                    error = ValueError(
                        f"{where}: {SIDES[one.side]} result {one.index} has met no other with its key, "
                        f"{named(one.key)}, within a window of {bound}"
                    )
                    failures.handle(error, one.item, one.index)

            yield from _joined(xs, key, left, right, bound, unmatched)

    options: dict[str, Any] = {} if bound == 1024 else {"window": bound}
    if on_unmatched != "fail":
        options["on_unmatched"] = on_unmatched
    return Stage(run, "transform", where, key, left, right, **options).made_of(left, right)


def _joined(
    xs: Iterable[A],
    key: Callable[[Any], Hashable],
    left: Callable[[Iterable[A]], Iterable[B]],
    right: Callable[[Iterable[A]], Iterable[C]],
    bound: int,
    unmatched: Callable[[_Waiting], None],
) -> Iterator[tuple[B, C]]:
    with Owned() as owned:
        # islice: the multicast takes over what it is given, and this is not its to close.
        feeds = multicast_bounded(islice(owned.opened(xs), None), 2, maxlen=bound)
        read = [counted(owned.take(feed)) for feed in feeds]
        outputs: list[Iterator[Any]] = [
            owned.called(t, it) for t, (it, _) in zip((left, right), read, strict=True)
        ]
        sides = (_Side(bound), _Side(bound))
        live = [0, 1]
        while live:
            side = min(live, key=lambda side: read[side][1]())
            item = next(outputs[side], _END)
            if item is _END:
                live.remove(side)
                owned.release(outputs[side])
                owned.release(feeds[side])
                continue
            one = _Waiting(side, sides[side].seen, key(item), item)
            gone = sides[side].add(one)
            if gone is not None and not gone.met:
                unmatched(gone)
            for other in sides[1 - side].with_key(one.key):
                one.met = other.met = True
                yield (other.item, item) if side else (item, other.item)
        for one in (*sides[0].rows, *sides[1].rows):
            if not one.met:
                unmatched(one)


_END: Any = object()


class _Waiting:
    """A result that waits for results of the other side."""

    __slots__ = ("index", "item", "key", "met", "side")

    def __init__(self, side: int, index: int, key: Hashable, item: Any) -> None:
        self.side, self.index, self.key, self.item = side, index, key, item
        self.met = False


class _Side:
    """The last results of one branch, by key."""

    def __init__(self, bound: int) -> None:
        self.bound = bound
        self.seen = 0
        self.rows: deque[_Waiting] = deque()
        self._by_key: dict[Hashable, deque[_Waiting]] = {}

    def add(self, one: _Waiting) -> _Waiting | None:
        """Take `one` in, and give back the one that has to go for it."""
        gone = None
        if len(self.rows) == self.bound:
            gone = self.rows.popleft()
            same = self._by_key[gone.key]
            same.popleft()
            if not same:
                del self._by_key[gone.key]
        self.seen += 1
        self.rows.append(one)
        self._by_key.setdefault(one.key, deque()).append(one)
        return gone

    def with_key(self, key: Hashable) -> tuple[_Waiting, ...]:
        return tuple(self._by_key.get(key, ()))
