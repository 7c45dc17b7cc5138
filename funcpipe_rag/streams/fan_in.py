"""Fan-in: many sources, one stream, in sequence or in turns (in sorted order: merging.py).

These open their sources, so they close them. No source gives an empty stream; ten thousand do not recurse.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from operator import length_hint
from types import WrapperDescriptorType
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
            live: list[tuple[Iterator[Any], Iterator[Any]]] = []
            for source in sources:
                it = owned.called(source)
                turns = _iterated_cheaply(it)
                for item in turns:
                    yield item
                    del item
                    live.append((it, turns))
                    break
                else:
                    owned.release(it)
            while live:
                # Many rounds in one row; how much of the row has been asked tells whose turn it was when somebody
                # ended.
                row = [turns for _, turns in live] * max(1, _TURNS // len(live))
                ended = None
                while ended is None:
                    asking = iter(row)
                    for turns in asking:
                        # Not next(): a call, and an end that would have to be caught.
                        for item in turns:
                            yield item
                            del item
                            break
                        else:
                            ended = (len(row) - length_hint(asking) - 1) % len(live)
                            break
                owned.release(live[ended][0])
                live = live[ended + 1 :] + live[:ended]

    return Stage(run, "source", "make_roundrobin", *sources).made_of(*sources)


_TURNS = 512


def _iterated_cheaply(it: Iterator[T]) -> Iterator[T]:
    """`it`, or a guise of it whose `__iter__`, which `for` calls at each turn, does not run Python code."""
    return it if isinstance(getattr(type(it), "__iter__", None), WrapperDescriptorType) else islice(it, None)
