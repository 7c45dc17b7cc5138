"""Fan-in: many sources, one stream, in sequence or in turns (in sorted order: merging.py).

These open their sources, so they close them. No source gives an empty stream; ten thousand do not recurse.
"""

from __future__ import annotations

from collections.abc import Iterator
from operator import length_hint
from typing import Any, TypeVar, overload

from .arguments import sources as all_sources
from .ownership import Owned, shielded
from .stages import Source, Stage

T = TypeVar("T")
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")


@overload
def make_chain(a: Source[A], b: Source[B], /) -> Stage[[], Iterator[A | B]]: ...
@overload
def make_chain(a: Source[A], b: Source[B], c: Source[C], /) -> Stage[[], Iterator[A | B | C]]: ...
@overload
def make_chain(*sources: Source[T]) -> Stage[[], Iterator[T]]: ...
def make_chain(*sources: Source[Any]) -> Stage[[], Iterator[Any]]:
    """Give all of the first source, then all of the second, and so on.

    >>> from funcpipe_rag.streams import as_source
    >>> abc, d, ef = (as_source(s) for s in ("abc", "d", "ef"))
    >>> "".join(make_chain(abc, d, ef)())
    'abcdef'

    A source is opened when its turn has come, and closed before the next one is opened.

    >>> def endless():
    ...     while True:
    ...         yield "x"
    >>> next(make_chain(endless, lambda: 1 / 0)())
    'x'

    Class: pure. Demand: one pull an item, plus one for each source found exhausted. Memory: one open iterator. Closing:
    closes every source it opened. Errors: a source's error is raised after the items before it.
    """
    all_sources("make_chain", sources)

    def run() -> Iterator[Any]:
        with Owned() as owned:
            for source in sources:
                it = owned.called(source)
                yield from shielded(it)
                owned.release(it)

    return Stage(run, "source", "make_chain", *sources).made_of(*sources)


@overload
def make_roundrobin(a: Source[A], b: Source[B], /) -> Stage[[], Iterator[A | B]]: ...
@overload
def make_roundrobin(a: Source[A], b: Source[B], c: Source[C], /) -> Stage[[], Iterator[A | B | C]]: ...
@overload
def make_roundrobin(*sources: Source[T]) -> Stage[[], Iterator[T]]: ...
def make_roundrobin(*sources: Source[Any]) -> Stage[[], Iterator[Any]]:
    """Interleave sources: one item from each live source in turn.

    >>> from funcpipe_rag.streams import as_source
    >>> abc, d, ef = (as_source(s) for s in ("abc", "d", "ef"))
    >>> "".join(make_roundrobin(abc, d, ef)())
    'adebfc'

    A source that ends is dropped and the others go on; no source, no items.

    >>> list(make_roundrobin()())
    []

    Class: pure. Demand: one pull an item, plus one for each source found exhausted; a source is opened at its first turn.
    Memory: one open iterator a source. Closing: closes every source it opened, last first; an exhausted one
    at once. Errors: a source's error is raised after the items before it.
    """
    all_sources("make_roundrobin", sources)

    def run() -> Iterator[Any]:
        with Owned() as owned:
            live: list[Iterator[Any]] = []
            for source in sources:
                it = owned.called(source)
                asking = iter((it, _ENDED))
                yield from map(next, asking)
                if _gave_out(asking, 2) == 0:
                    owned.release(it)
                else:
                    live.append(it)
            while live:
                # Many rounds in one row, so that a turn costs no Python step; how much of the row has been asked
                # tells whose turn it was when somebody ended.
                rounds = (*live * max(1, _TURNS // len(live)), _ENDED)
                turn = last = len(rounds) - 1
                while turn == last:
                    asking = iter(rounds)
                    yield from map(next, asking)
                    turn = _gave_out(asking, len(rounds))
                turn %= len(live)
                owned.release(live[turn])
                live = live[turn + 1 :] + live[:turn]

    return Stage(run, "source", "make_roundrobin", *sources).made_of(*sources)


_ENDED: Iterator[Any] = iter(())
_TURNS = 512


def _gave_out(asking: Iterator[object], many: int) -> int:
    """The place, in a tuple of `many` iterators, of the one whose end ended `map(next, asking)`."""
    return many - length_hint(asking) - 1
