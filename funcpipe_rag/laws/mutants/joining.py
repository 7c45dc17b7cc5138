"""What people write in place of the keyed join."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from itertools import tee
from typing import Any

from funcpipe_rag.laws.joining import JOIN
from funcpipe_rag.streams.joining import make_keyed_join

from .mutant import mutant
from .stages import Run, wrapped

Key = Callable[[Any], Any]

wrapped(JOIN)


@mutant(of="make_keyed_join", killed_by="make-keyed-join-pairs-each-with-each")
def zips_the_branches(key: Key, left: Run, right: Run, **_: Any) -> Run:
    """Puts the first beside the first and the second beside the second, whatever their keys."""

    def stream(xs: Iterable[Any]) -> Iterator[Any]:
        a, b = tee(xs)
        yield from zip(left(a), right(b), strict=False)

    return stream


@mutant(of="make_keyed_join", killed_by="make-keyed-join-pairs-each-with-each")
def one_partner_for_a_key(key: Key, left: Run, right: Run, **_: Any) -> Run:
    """Keeps the right results in a dict: of several with one key, the last is left."""

    def stream(xs: Iterable[Any]) -> Iterator[Any]:
        a, b = tee(xs)
        partners = {key(item): item for item in right(b)}
        for item in left(a):
            if key(item) in partners:
                yield item, partners[key(item)]

    return stream


@mutant(of="make_keyed_join", killed_by="make-keyed-join-holds-no-more-than-its-window")
def tells_at_the_end(key: Key, left: Run, right: Run, *, on_unmatched: Any = "fail", **_: Any) -> Run:
    """Waits for the end before it tells who has met nobody, and holds them all until then."""

    def stream(xs: Iterable[Any]) -> Iterator[Any]:
        a, b = tee(xs)
        lefts, rights = list(left(a)), list(right(b))
        partners = defaultdict(list)
        for item in rights:
            partners[key(item)].append(item)
        for item in lefts:
            for partner in partners.get(key(item), ()):
                yield item, partner
        there = {key(item) for item in lefts}
        alone = [item for item in lefts if key(item) not in partners]
        alone += [item for item in rights if key(item) not in there]
        for item in alone:
            on_unmatched(item)

    return stream


@mutant(of="make_keyed_join", killed_by="make-keyed-join-fails-or-skips-as-it-was-told")
def skips_in_silence(key: Key, left: Run, right: Run, **_: Any) -> Run:
    """Leaves out what has met nobody, whatever was asked for, and tells nobody."""
    return make_keyed_join(key, left, right, on_unmatched=lambda item: None)
