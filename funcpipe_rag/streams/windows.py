"""Windows and groups: several items at a time, and no more of them held than one window needs."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice, takewhile, tee, zip_longest
from sys import maxsize
from typing import Any, SupportsIndex, TypeVar

from .arguments import a_whole_number
from .ownership import Owned, shielded
from .stages import PassingStage, TuplesStage

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


def make_batched(n: SupportsIndex, *, strict: bool = False) -> TuplesStage:
    """Items in tuples of `n`; the last one may be shorter.

    >>> list(make_batched(2)("abc"))
    [('a', 'b'), ('c',)]

    A batch is given when it is full: no item of the next one is asked for.

    >>> numbers = iter(range(10))
    >>> next(make_batched(3)(numbers)), next(numbers)
    ((0, 1, 2), 3)

    Class: pure. Demand: k batches cost k * n pulls, and the end one more. Memory: the batch that is being filled, and
    one that has been given. Closing: closes the iterator it made of its input; one that it was handed stays open. Errors: an error of the input is raised behind the
    items before it, which come as a short batch; ValueError for n < 1 and, with `strict`, for a short tail.
    """
    return TuplesStage(
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
            if size <= _LARGE and type(it) in _CANNOT_FAIL:
                rows = _padded(it, size)
            elif size <= _SMALL:
                rows = _padded(_until_it_fails(it, failed), size)
            else:
                rows = _rows(it, size, failed)
            for row in rows:
                if row[-1] is _NOTHING:
                    # By identity: `in` and index() would ask the items whether they are equal to it.
                    row = tuple(takewhile(lambda item: item is not _NOTHING, row))
                    if strict and not failed:
                        raise ValueError(f"{where}: the last batch has {len(row)} of {size} items")
                yield row
                del row
            if failed:
                raise failed[0]

    return run


# zip_longest is two to four times as fast as tuple(islice(...)), but it loses the items that it has in hand when
# its input fails. These cannot: no code of anybody's runs when they are asked.
_COLLECTIONS: tuple[Iterable[Any], ...] = ([], (), "", "\u00e9", b"", range(1), range(2**65))
_CANNOT_FAIL = frozenset(type(iter(collection)) for collection in _COLLECTIONS)
# For batches up to this size, catching the error of any other input first costs less than zip_longest saves.
_SMALL = 16
# zip and zip_longest take as much memory as a full batch has, however short the stream is.
_LARGE = 1024
_NOTHING: Any = object()


def _padded(it: Iterator[T], size: int) -> Iterator[tuple[T, ...]]:
    return zip_longest(*[it] * size, fillvalue=_NOTHING)


def _until_it_fails(it: Iterator[T], failed: list[Exception]) -> Iterator[T]:
    """`it`, ended by an error in place of raising it."""
    try:
        yield from shielded(it)
    except Exception as error:
        failed.append(error)


def _rows(it: Iterator[T], size: int, failed: list[Exception]) -> Iterator[tuple[T, ...]]:
    """What `_padded` gives, of an input that may fail."""
    row: list[T] = []
    try:
        while True:
            # extend() keeps what came before an error.
            row.extend(islice(it, min(size, maxsize)))
            if len(row) < size:
                break
            items = tuple(row)
            row.clear()
            yield items
            del items
    except Exception as error:
        failed.append(error)
    if row:
        yield (*row, _NOTHING)


def make_sliding(w: SupportsIndex, *, step: SupportsIndex = 1) -> TuplesStage:
    """Every `w` neighbours as a tuple; a new window begins at every `step`-th item.

    >>> list(make_sliding(3)("abcde"))
    [('a', 'b', 'c'), ('b', 'c', 'd'), ('c', 'd', 'e')]
    >>> list(make_sliding(2, step=3)("abcdefg"))
    [('a', 'b'), ('d', 'e')]

    Only whole windows are given: fewer than `w` items give none.

    >>> list(make_sliding(3)("ab"))
    []

    Class: pure. Demand: the first window costs `w` pulls, each later one `step`, and the end one more. Memory: the window; with step=1
    also up to 57 items that it has passed (`tee` keeps them in blocks) and one window that was given (`zip` keeps
    its first). Closing: closes the iterator it made of its input; one that it was handed stays open. Errors: those of the input, after
    the windows before them; ValueError for `w` < 1 and for `step` < 1.
    """
    width = a_whole_number("make_sliding", "w", w, least=1)
    stride = a_whole_number("make_sliding", "step", step, least=1)

    def run(xs: Iterable[T], /) -> Iterator[tuple[T, ...]]:
        with Owned() as owned:
            it = owned.opened(xs)
            if stride >= width:
                yield from _apart(it, width, stride)
            elif stride > 1:
                yield from _overlapping(it, width, stride)
            else:
                yield from _neighbours(it, width)

    return TuplesStage(run, "transform", "make_sliding", width, **({} if stride == 1 else {"step": stride}))


def _apart(it: Iterator[T], width: int, stride: int) -> Iterator[tuple[T, ...]]:
    if width > _LARGE:
        return _far_apart(it, width, stride)
    # Every place of the row asks the one iterator, from left to right; the first one skips what lies between.
    between = min(stride - width + 1, maxsize)
    return zip(islice(it, 0, None, between), *[it] * (width - 1), strict=False)


def _far_apart(it: Iterator[T], width: int, stride: int) -> Iterator[tuple[T, ...]]:
    skipped = 0
    while True:
        row = tuple(islice(it, min(skipped, maxsize), min(skipped + width, maxsize)))
        if len(row) < width:
            return
        yield row
        del row
        skipped = stride - width


def _overlapping(it: Iterator[T], width: int, stride: int) -> Iterator[tuple[T, ...]]:
    window: deque[T] = deque(maxlen=min(width, maxsize))
    for _ in islice(map(window.append, it), min(width - 1, maxsize), None, min(stride, maxsize)):
        yield tuple(window)


def _neighbours(it: Iterator[T], width: int) -> Iterator[tuple[T, ...]]:
    (lead,) = tee(it, 1)
    places: list[Iterator[T]] = []
    for _ in range(width - 1):
        place, lead = tee(lead)
        places.append(place)
        # Not once for every place: an input that has ended is not asked again.
        if next(lead, _NOTHING) is _NOTHING:
            return iter(())
    rows: Iterator[tuple[T, ...]] = zip(*places, lead, strict=False)
    return rows


def values_after_w(w: SupportsIndex) -> PassingStage:
    """The items from the `w`-th on: each is the last of a whole window of `w`.

    >>> list(values_after_w(3)([1, 2, 3, 4]))
    [3, 4]

    So it goes in lockstep with anything that gives one result for each whole window.

    >>> from funcpipe_rag.streams.fan_out import fork2_lockstep
    >>> list(fork2_lockstep(make_sliding(2), values_after_w(2))([1, 2, 4]))
    [((1, 2), 2), ((2, 4), 4)]

    Class: pure. Demand: the first item costs `w` pulls, every other item one. Memory: O(1). Closing: closes the iterator it
    made of its input; one that it was handed stays open. Errors: those of the input; ValueError for `w` < 1.
    """
    width = a_whole_number("values_after_w", "w", w, least=1)

    def run(xs: Iterable[T], /) -> Iterator[T]:
        with Owned() as owned:
            yield from islice(owned.opened(xs), min(width - 1, maxsize), None)

    return PassingStage(run, "transform", "values_after_w", width)
