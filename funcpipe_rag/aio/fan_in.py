"""Fan-in: many sources, one stream; as they come, in sequence, in turns, row by row, or in sorted order.

These open their sources, so they close them. No source gives an empty stream; ten thousand do not recurse. Where
sources are asked side by side, each is opened, asked and closed by one task of its own.
"""

from __future__ import annotations

from bisect import insort
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextvars import copy_context
from typing import Any, TypeAlias, TypeVar, overload

from funcpipe_rag.streams.arguments import a_function, sources as all_sources
from funcpipe_rag.streams.ownership import named

from .ownership import Owned
from .read_ahead import ReadAhead, ReadersAhead, Signal
from .stages import AsyncSource, Items

T = TypeVar("T")
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")

Source: TypeAlias = Callable[[], Items[T]]
"""What opens a fresh iterator, of either kind."""


@overload
def amerge(a: Source[A], b: Source[B], /) -> AsyncSource[A | B]: ...
@overload
def amerge(a: Source[A], b: Source[B], c: Source[C], /) -> AsyncSource[A | B | C]: ...
@overload
def amerge(*sources: Source[T]) -> AsyncSource[T]: ...
def amerge(*sources: Source[Any]) -> AsyncSource[Any]:
    """Give the items of all sources as they come.

    >>> from funcpipe_rag.aio.probe import AsyncProbe
    >>> from funcpipe_rag.aio.testing import run, schedule
    >>> from funcpipe_rag.streams.probe import Probe
    >>> slow = AsyncProbe(Probe("ab"), takes=[2, 2])
    >>> fast = AsyncProbe(Probe("xyz"), takes=[1.5, 1.5, 1.5])
    >>> run(schedule(amerge(slow, fast)()))
    [(1.5, 'x'), (2.0, 'a'), (3.0, 'y'), (4.0, 'b'), (4.5, 'z')]

    What is ready waits in one queue, so a source that always has something passes nobody over.

    >>> "".join(run(amerge(lambda: "aaaa", lambda: "bb", lambda: "c")().collect()))
    'abcabaa'

    Class: clocked. Demand: nothing before the first question, which opens all sources side by side; from then on each is
    asked until one item of it waits, and again when that has been given. Memory: one item and one task a source. Closing:
    cancels the pulls on their way; the sources are closed side by side, begun with the last; an exhausted one at once.
    Errors: the first one, behind the items that were there before it.
    """
    all_sources("amerge", sources)

    async def run() -> AsyncGenerator[Any, None]:
        async with Owned() as owned:
            answers = _Answers()
            owned.take(ReadersAhead(sources, 1, answers.note, name="amerge", context=copy_context()))
            live = len(sources)
            while live:
                reader = await answers.next()
                if reader.ready:
                    item = reader.take()
                    reader.allow(1)
                    yield item
                    del item
                else:
                    reader.check()
                    live -= 1

    return AsyncSource(run, "amerge", *sources)


@overload
def achain(a: Source[A], b: Source[B], /) -> AsyncSource[A | B]: ...
@overload
def achain(a: Source[A], b: Source[B], c: Source[C], /) -> AsyncSource[A | B | C]: ...
@overload
def achain(*sources: Source[T]) -> AsyncSource[T]: ...
def achain(*sources: Source[Any]) -> AsyncSource[Any]:
    """Give all of the first source, then all of the second, and so on.

    >>> from funcpipe_rag.aio.testing import run
    >>> async def letters():
    ...     yield "a"
    ...     yield "b"
    >>> run(achain(letters, lambda: "cd")().collect())
    ['a', 'b', 'c', 'd']

    A source is opened when its turn has come, and closed before the next one is opened.

    >>> async def first():
    ...     async with achain(letters, lambda: 1 / 0)() as stream:
    ...         return await anext(stream)
    >>> run(first())
    'a'

    Class: pure. Demand: one pull an item, plus one for each source found exhausted, in the reader's own task. Memory: one
    open iterator. Closing: closes every source it opened. Errors: a source's error is raised after the items before it.
    """
    all_sources("achain", sources)

    async def run() -> AsyncGenerator[Any, None]:
        async with Owned() as owned:
            for source in sources:
                it = owned.called(source)
                async for item in it:
                    yield item
                    del item
                await owned.release(it)

    return AsyncSource(run, "achain", *sources)


@overload
def aroundrobin(a: Source[A], b: Source[B], /) -> AsyncSource[A | B]: ...
@overload
def aroundrobin(a: Source[A], b: Source[B], c: Source[C], /) -> AsyncSource[A | B | C]: ...
@overload
def aroundrobin(*sources: Source[T]) -> AsyncSource[T]: ...
def aroundrobin(*sources: Source[Any]) -> AsyncSource[Any]:
    """Interleave sources: one item from each live source in turn.

    >>> from funcpipe_rag.aio.testing import run
    >>> "".join(run(aroundrobin(lambda: "abc", lambda: "d", lambda: "ef")().collect()))
    'adebfc'

    A source that ends is dropped and the others go on; no source, no items.

    >>> run(aroundrobin()().collect())
    []

    One source is asked at a time, when it is its turn, so a slow one holds the others up: `amerge` takes what is there,
    and `abuffer` in a source, as in `asource(slow) | abuffer(1)`, asks ahead of its turn.

    Class: pure. Demand: one pull an item, plus one for each source found exhausted, in the reader's own task; a source is
    opened at its first turn. Memory: one open iterator a source. Closing: closes every source it opened, last first; an
    exhausted one at once. Errors: a source's error is raised after the items before it.
    """
    all_sources("aroundrobin", sources)

    async def run() -> AsyncGenerator[Any, None]:
        async with Owned() as owned:
            waiting: deque[Source[Any] | AsyncIterator[Any]] = deque(sources)
            unopened = len(sources)
            while waiting:
                turn: Any = waiting.popleft()
                if unopened:
                    unopened -= 1
                    turn = owned.called(turn)
                try:
                    item = await anext(turn)
                except StopAsyncIteration:
                    await owned.release(turn)
                    continue
                waiting.append(turn)
                yield item
                del item

    return AsyncSource(run, "aroundrobin", *sources)


@overload
def azip(a: Source[A], /, *, strict: bool = False) -> AsyncSource[tuple[A]]: ...
@overload
def azip(a: Source[A], b: Source[B], /, *, strict: bool = False) -> AsyncSource[tuple[A, B]]: ...
@overload
def azip(
    a: Source[A], b: Source[B], c: Source[C], /, *, strict: bool = False
) -> AsyncSource[tuple[A, B, C]]: ...
@overload
def azip(*sources: Source[T], strict: bool = False) -> AsyncSource[tuple[T, ...]]: ...
def azip(*sources: Source[Any], strict: bool = False) -> AsyncSource[tuple[Any, ...]]:
    """Give one item of each source together, as a tuple; a row takes as long as its slowest.

    >>> from funcpipe_rag.aio.probe import AsyncProbe
    >>> from funcpipe_rag.aio.testing import run, schedule
    >>> from funcpipe_rag.streams.probe import Probe
    >>> names = AsyncProbe(Probe("ab"), takes=[1, 1])
    >>> sizes = AsyncProbe(Probe([3, 4, 5]), takes=[2, 0.5, 0.5])
    >>> run(schedule(azip(names, sizes)()))
    [(2.0, ('a', 3)), (3.0, ('b', 4))]

    It ends as soon as one of them ends. What the others have given for that row is lost, as with `zip`, and so is what
    they were about to give. With `strict`, one that ends before the others is an error.

    >>> run(azip(names, sizes, strict=True)().collect())
    Traceback (most recent call last):
    ...
    ValueError: azip: source 0 ended after 2 items, and source 1 went on

    Class: clocked. Demand: k rows cost k pulls of each source, side by side, and the end one more; nothing is asked for
    between two rows. Memory: one row, and one task a source. Closing: cancels the pulls on their way; the sources are
    closed side by side, begun with the last. Errors: the first one, as soon as it is there; ValueError with `strict`, as
    soon as one source has ended and another has given an item for the same row.
    """
    all_sources("azip", sources)

    async def run() -> AsyncGenerator[tuple[Any, ...], None]:
        if not sources:
            return
        async with Owned() as owned:
            row = _Row(len(sources), strict)
            readers = ReadersAhead(sources, 1, row.note, name="azip", context=copy_context())
            owned.take(readers)
            while await row.complete():
                yield tuple([reader.take() for reader in readers.readers])
                row.begin()
                for reader in readers.readers:
                    reader.allow(1)

    return AsyncSource(run, "azip", *sources, **({"strict": True} if strict else {}))


class _Row:
    """What has come of one row."""

    __slots__ = ("_came", "_ended", "_gave", "_many", "_strict")

    def __init__(self, many: int, strict: bool) -> None:
        self._many, self._strict = many, strict
        self._came = Signal()
        self._ended: list[ReadAhead[Any]] = []
        self._gave: list[ReadAhead[Any]] = []

    def begin(self) -> None:
        """The next row."""
        self._gave = []

    def note(self, reader: ReadAhead[Any]) -> None:
        """A source has given its item, or has ended."""
        reader.allow(0)
        (self._ended if reader.ended else self._gave).append(reader)
        if self._ended or len(self._gave) == self._many:
            self._came.ring()

    async def complete(self) -> bool:
        """Wait until the row is there: True; or until it is known that it will not be: False, or an error."""
        while len(self._gave) < self._many:
            # Without strict, the first to end decides: what came behind that is as if it had not been asked for.
            for reader in self._ended[: None if self._strict else 1]:
                reader.check()
            if self._ended and not self._strict:
                return False
            if self._ended and self._gave:
                first = min(self._ended, key=_place)
                other = min(self._gave, key=_place)
                raise ValueError(
                    f"azip: source {first.place} ended after {first.count} items, and source {other.place} went on"
                )
            if len(self._ended) == self._many:
                return False
            await self._came.wait()
        return True


def _place(reader: ReadAhead[Any]) -> int:
    return reader.place


def amerge_sorted(
    *sources: Source[T], key: Callable[[T], Any] | None = None, reverse: bool = False, check: bool = True
) -> AsyncSource[T]:
    """Merge sorted sources into one sorted stream.

    >>> from funcpipe_rag.aio.testing import run
    >>> run(amerge_sorted(lambda: [1, 4, 6], lambda: [2, 4])().collect())
    [1, 2, 4, 4, 6]

    A source that is not sorted is an error.

    >>> run(amerge_sorted(lambda: [3, 1], lambda: [2])().collect())
    Traceback (most recent call last):
    ...
    ValueError: amerge_sorted: source 0 is out of order at index 1: 1 came after 3

    Stable: equal items come in the order of their sources. With `reverse` the sources descend and so does the result.
    `check=False` trusts the sources.

    Class: clocked. Demand: the first items are asked for side by side, and from then on one pull an item: k items cost at
    most n + k - 1 pulls of n sources, and one for each source found exhausted. Memory: one item and one task a source.
    Closing: cancels the pulls on their way; the sources are closed side by side, begun with the last; an exhausted one at
    once. Errors: a source's error is raised when the next item is needed from it, with a note that counts the items held
    from the others; ValueError for a source out of order, naming source and index.
    """
    all_sources("amerge_sorted", sources)
    if key is not None:
        a_function("amerge_sorted", "key", key)

    async def run() -> AsyncGenerator[T, None]:
        # The heads stand sorted as (key, rank, reader, item), the next one to give at the front, or at the back with
        # reverse. Ranks differ, so items are never compared, and ties come in the order of the sources.
        heads: list[tuple[Any, int, ReadAhead[T], T]] = []
        front = -1 if reverse else 0
        place = 0

        def head(reader: ReadAhead[T]) -> tuple[Any, int, ReadAhead[T], T]:
            item = reader.take()
            return (
                item if key is None else key(item),
                -reader.place if reverse else reader.place,
                reader,
                item,
            )

        async with Owned() as owned:
            answers = _Answers()
            owned.take(ReadersAhead(sources, 1, answers.note, name="amerge_sorted", context=copy_context()))
            try:
                for _ in sources:
                    reader = await answers.next()
                    place = reader.place
                    if reader.ready:
                        heads.append(head(reader))
                    else:
                        reader.check()
                heads.sort()
                while heads:
                    last, _, reader, item = heads.pop(front)
                    yield item
                    del item
                    place = reader.place
                    reader.allow(1)
                    await answers.next()
                    if not reader.ready:
                        reader.check()
                        continue
                    entry = head(reader)
                    if check and (last < entry[0] if reverse else entry[0] < last):
                        raise ValueError(
                            f"amerge_sorted: source {place} is out of order at index {reader.count - 1}: "
                            f"{named(entry[0])} came after {named(last)}"
                        )
                    insort(heads, entry)
                    del entry
            except Exception as error:
                if held := len(heads) + answers.items:
                    error.add_note(
                        f"amerge_sorted: raised by source {place}; {held} items held from the other sources were not given"
                    )
                raise

    given = {"key": key, "reverse": reverse, "check": check}
    usual = {"key": None, "reverse": False, "check": True}
    options = {option: value for option, value in given.items() if value != usual[option]}
    return AsyncSource(run, "amerge_sorted", *sources, **options)


class _Answers:
    """What sources have answered, each once for each time that it was asked, in the order in which they did."""

    __slots__ = ("_came", "_waiting")

    def __init__(self) -> None:
        self._came = Signal()
        self._waiting: deque[ReadAhead[Any]] = deque()

    @property
    def items(self) -> int:
        """How many items have not been looked at."""
        return sum(bool(reader.ready) for reader in self._waiting)

    def note(self, reader: ReadAhead[Any]) -> None:
        """A source has given an item, or has ended."""
        reader.allow(0)
        self._waiting.append(reader)
        self._came.ring()

    async def next(self) -> ReadAhead[Any]:
        """The one that has answered first of those that were not looked at."""
        while not self._waiting:
            await self._came.wait()
        return self._waiting.popleft()
