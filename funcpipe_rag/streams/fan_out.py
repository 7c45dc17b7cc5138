"""Fan-out: one stream, several readers, and a bound on how far they may drift apart."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Any, SupportsIndex, TypeVar

from .arguments import a_function, a_whole_number
from .branches import Branch, abreast, split
from .counting import counted
from .ownership import Owned, named
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

    Class: pure. Demand: one pull an item, by the branch that is ahead; the others read what it left for them.
    Memory: the items between the slowest and the fastest branch, at most `maxlen`; from `maxlen` 32 on up to 56
    more, which the faster form keeps until all have left their block. Closing: takes its stream over, since
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

    return split(xs, many, bound, overflow)


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

    Class: pure. Demand: with 1:1 transforms, one pull a tuple, and one for the end. Memory: the items that one
    branch has read and another has not, at most `max_skew`, and one tuple; from `max_skew` 32 on up to 56 items
    more. Closing: closes its branches' iterators, last
    first, and the iterator it made of its input; one that it was handed stays open. Errors: a transform's or
    the input's, after the tuples before it (a transform that catches it has it to itself: the others find the
    stream at its end); BufferError, before the input is touched, where `max_skew` would
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
        ended: list[int] = []

        def end(place: int) -> Iterator[Any]:
            """No items: what stands behind a branch's last output."""
            ended.append(place)
            yield from ()

        with Owned() as owned:
            branches = abreast(owned.opened(xs), len(transforms), bound, overflow)
            outputs: list[Iterator[Any]] = [
                chain(owned.called(t, owned.take(xs)), end(place))
                for place, (t, xs) in enumerate(zip(transforms, branches, strict=True))
            ]
            outputs[-1], given = counted(outputs[-1])
            yield from zip(*outputs, strict=False)
            # zip stopped at the first branch that ended. The ones before it have given one output more than the
            # others, which have not been asked.
            first, index = ended[0], given()
            odd = (
                [0]
                if first
                else [
                    place for place, output in enumerate(outputs) if place and next(output, _END) is not _END
                ]
            )
            if odd:
                raise ValueError(
                    f"{where}: {branch(first)} ended before index {index}, and {branch(odd[0])} did not; "
                    "lockstep branches give one output each for the same input"
                )

    options = {} if bound == 1024 else {"max_skew": bound}
    return Stage(run, "transform", where, *transforms, **options).made_of(*transforms)


_END: Any = object()
