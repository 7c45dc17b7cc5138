"""Fan-out: one stream, several readers, and a bound on how far they may drift apart."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Any, Generic, SupportsIndex, TypeVar

from .arguments import a_function, a_whole_number
from .counting import counted
from .ownership import Owned, close, named
from .stages import Stage

A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
T = TypeVar("T")


def multicast_bounded(
    xs: Iterable[T], n: SupportsIndex, maxlen: SupportsIndex = 1024
) -> tuple[Branch[T], ...]:
    """Split one stream into `n` independent iterators that never drift more than `maxlen` items apart.

    >>> left, right = multicast_bounded("abc", 2, maxlen=1)
    >>> next(left), next(right), next(left)
    ('a', 'a', 'b')

    The pull that would drift further is refused before the stream is touched, so nothing is lost: let the
    slower branch catch up, and go on.

    >>> next(left)
    Traceback (most recent call last):
    ...
    BufferError: multicast_bounded: branch 0 is 1 ahead of branch 1, the most that maxlen=1 allows; read branch 1 first, or close it
    >>> next(right), next(left), list(right)
    ('b', 'c', ['c'])

    A branch that is closed, or garbage-collected, holds nobody back. A closed one gives no more items.

    Class: pure. Demand: one pull an item, by the branch that is ahead; the others read what it left for them. Memory: the
    items between the slowest and the fastest branch, at most `maxlen`. Closing: takes its stream over, since
    a second reader would break its promise, and closes it with the last branch. Errors: the stream's error
    reaches every branch after the items before it; BufferError as above; ValueError for n < 1 or maxlen < 1.
    """
    many = a_whole_number("multicast_bounded", "n", n, least=1)
    bound = a_whole_number("multicast_bounded", "maxlen", maxlen, least=1)
    if not hasattr(xs, "__iter__") and not hasattr(xs, "__getitem__"):
        raise TypeError(f"multicast_bounded: wants an iterable, got {type(xs).__name__}")

    def overflow(ahead: int, behind: int) -> str:
        return (
            f"multicast_bounded: branch {ahead} is {bound} ahead of branch {behind}, the most that "
            f"maxlen={bound} allows; read branch {behind} first, or close it"
        )

    feed = _Feed(xs, bound, overflow, takes_over=True)
    return tuple(feed.branch() for _ in range(many))


class Branch(Iterator[T]):
    """One of the iterators that `multicast_bounded` gives: closable, and of no account once dropped."""

    __slots__ = ("__weakref__", "_feed", "_waiting", "place")

    def __init__(self, feed: _Feed[T], place: int, waiting: deque[T]) -> None:
        self._feed: _Feed[T] | None = feed
        self._waiting = waiting
        self.place = place

    def __next__(self) -> T:
        if self._waiting:
            return self._waiting.popleft()
        if self._feed is None:
            raise StopIteration
        return self._feed.pull(self.place)

    def close(self) -> None:
        """Take this branch out of the reckoning; the last one to go closes the stream."""
        feed, self._feed = self._feed, None
        if feed is not None:
            self._waiting.clear()
            feed.leave(self.place)

    def __del__(self) -> None:
        self.close()


class _Feed(Generic[T]):
    """The one reader of a stream, and for each live branch what it has not read yet."""

    def __init__(
        self, xs: Iterable[T], bound: int, overflow: Callable[[int, int], str], *, takes_over: bool
    ) -> None:
        self._xs = xs
        self._it: Iterator[T] | None = None
        self._bound = bound
        self._overflow = overflow
        self._takes_over = takes_over
        # The waiting items, not the branches, so that a branch nobody else holds can go.
        self._waiting: dict[int, deque[T]] = {}
        self._ended = False
        self._error: Exception | None = None

    def branch(self) -> Branch[T]:
        place = len(self._waiting)
        waiting = self._waiting[place] = deque()
        return Branch(self, place, waiting)

    def pull(self, place: int) -> T:
        """The next item of the stream for the branch at `place`, which has read all that waited for it."""
        if self._ended:
            # Without its traceback, which would grow with each branch and hold on to whoever met it first.
            raise StopIteration if self._error is None else self._error.with_traceback(None)
        # A copy: a branch that is collected while this runs leaves by itself.
        for behind, waiting in tuple(self._waiting.items()):
            if len(waiting) >= self._bound and behind != place:
                raise BufferError(self._overflow(place, behind))
        if self._it is None:
            self._it = iter(self._xs)
        try:
            item = next(self._it)
        except BaseException as error:
            if isinstance(error, Exception):
                self._error = None if isinstance(error, StopIteration) else error
            else:
                # Ctrl-C was meant for whoever was reading, not for a branch that is read later.
                self._error = RuntimeError(f"the stream was stopped by {type(error).__name__}")
            self._close()
            raise
        for other, waiting in tuple(self._waiting.items()):
            if other != place:
                waiting.append(item)
        return item

    def leave(self, place: int) -> None:
        del self._waiting[place]
        if not self._waiting:
            self._close()

    def _close(self) -> None:
        if self._ended:
            return
        self._ended = True
        if not self._takes_over:
            return
        if self._it is not None:
            close(self._it)
        elif hasattr(self._xs, "__next__"):
            close(self._xs)


def fork_lockstep(
    *transforms: Callable[[Iterable[A]], Iterable[Any]], max_skew: SupportsIndex = 1024
) -> Stage[[Iterable[A]], Iterator[tuple[Any, ...]]]:
    """Send one stream through several transforms at once; give their outputs side by side, as tuples.

    >>> from funcpipe_rag.streams import fmap
    >>> list(fork_lockstep(fmap(len), fmap(str.upper), fmap(str.isalpha))(["tee", "57"]))
    [(3, 'TEE', True), (2, '57', False)]

    The branches must keep in step: the same number of outputs each.

    >>> from funcpipe_rag.streams import fence_k
    >>> list(fork_lockstep(fmap(len), fence_k(1))(["tee", "57"]))
    Traceback (most recent call last):
    ...
    ValueError: fork_lockstep: branch 1, fence_k(1), ended before index 1, and branch 0, fmap(len), did not; lockstep branches give one output each for the same input

    A transform may read some items before its first output, and so run ahead of another that does not; never
    by more than `max_skew` items.

    Class: pure. Demand: with 1:1 transforms, one pull a tuple, and one for the end. Memory: the items that one branch has
    read and another has not, at most `max_skew`, and one tuple. Closing: closes its branches' iterators, last
    first, and the iterator it made of its input; one that it was handed stays open. Errors: a transform's or
    the input's, after the tuples before it; BufferError, before the input is touched, where `max_skew` would
    be passed; ValueError, naming branch and index, where a branch ends early or late, and for no transforms.
    """
    return _fork("fork_lockstep", transforms, max_skew)


def fork2_lockstep(
    t: Callable[[Iterable[A]], Iterable[B]],
    u: Callable[[Iterable[A]], Iterable[C]],
    *,
    max_skew: SupportsIndex = 1024,
) -> Stage[[Iterable[A]], Iterator[tuple[B, C]]]:
    """Send one stream through two transforms at once; give their outputs in pairs.

    >>> from funcpipe_rag.streams import fmap
    >>> list(fork2_lockstep(fmap(len), fmap(str.upper))(["tee", "skew"]))
    [(3, 'TEE'), (4, 'SKEW')]

    Neither branch runs ahead, so an endless stream is no trouble.

    >>> from itertools import count
    >>> next(fork2_lockstep(fmap(lambda n: n + 1), fmap(lambda n: n * n))(count(7)))
    (8, 49)

    Class: pure. Demand, memory, closing and errors: those of `fork_lockstep`.
    """
    return _fork("fork2_lockstep", (t, u), max_skew)


def _fork(
    where: str, transforms: tuple[Callable[[Iterable[Any]], Iterable[Any]], ...], max_skew: SupportsIndex
) -> Stage[[Iterable[Any]], Iterator[Any]]:
    if not transforms:
        raise ValueError(f"{where}: wants at least one transform")
    for place, transform in enumerate(transforms):
        a_function(where, f"transform {place}", transform)
    bound = a_whole_number(where, "max_skew", max_skew, least=1)

    def branch(place: int) -> str:
        return f"branch {place}, {named(transforms[place])},"

    def overflow(ahead: int, behind: int) -> str:
        return (
            f"{where}: {branch(ahead)} has read {bound} more than {branch(behind)} which is all that "
            f"max_skew={bound} allows"
        )

    def run(xs: Iterable[Any], /) -> Iterator[Any]:
        with Owned() as owned:
            feed = _Feed(owned.opened(xs), bound, overflow, takes_over=False)
            ended: list[int] = []
            branches = [owned.take(feed.branch()) for _ in transforms]
            outputs = [owned.called(t, xs) for t, xs in zip(transforms, branches, strict=True)]
            rows, count = counted(
                zip(*(chain(out, _noting(ended, place)) for place, out in enumerate(outputs)), strict=False)
            )
            yield from rows
            # zip stopped at the first branch that ended. The ones before it gave one output more; the ones
            # behind it have not been asked.
            first = ended[0]
            odd = (
                [0]
                if first
                else [place for place, out in enumerate(outputs[1:], 1) if next(out, _END) is not _END]
            )
            if odd:
                raise ValueError(
                    f"{where}: {branch(first)} ended before index {count()}, and {branch(odd[0])} did not; "
                    "lockstep branches give one output each for the same input"
                )

    return Stage(run, "transform", where, *transforms, **({} if bound == 1024 else {"max_skew": bound}))


_END: Any = object()


def _noting(ended: list[int], place: int) -> Iterator[Any]:
    """Nothing, and a note of who got as far as asking for it."""
    ended.append(place)
    yield from ()
