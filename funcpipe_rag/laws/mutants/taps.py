"""What people write in place of a tap, and of a sampler."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import chain, count, islice
from random import Random
from typing import Any

from funcpipe_rag.laws.taps import FAMILIES
from funcpipe_rag.streams import taps

from .mutant import mutant
from .stages import Run, wrapped

Callback = Callable[[Any], object]


for _family in FAMILIES:
    wrapped(_family)


@mutant(of="make_tap", killed_by="tap-equals-its-eager-twin")
def tap_consumes(cb: Callback, *, on_error: str = "fail") -> Run:
    """Looks at all items first, and then gives what is left of the stream: nothing."""

    def stream(xs: Iterable[Any]) -> Iterator[Any]:
        for x in xs:
            cb(x)
        yield from xs

    return stream


@mutant(of="make_tap", killed_by="tap-equals-its-eager-twin")
def map_not_tap(cb: Callback, *, on_error: str = "fail") -> Run:
    """Gives what the callback returns in place of the item."""

    def stream(xs: Iterable[Any]) -> Iterator[Any]:
        for x in xs:
            yield cb(x)

    return stream


@mutant(of="make_tap", killed_by="tap-fails-when-its-callback-does")
def swallows(cb: Callback, *, on_error: str = "fail") -> Run:
    """Keeps every failure of the callback to itself, whatever `on_error` says."""

    def stream(xs: Iterable[Any]) -> Iterator[Any]:
        for x in xs:
            with suppress(Exception):
                cb(x)
            yield x

    return stream


@mutant(of="make_tap", killed_by="tap-sees-an-item-before-you-do")
def tells_afterwards(cb: Callback, *, on_error: str = "fail") -> Run:
    """Gives the item first: the callback hears of it when the next one is asked for, or never."""

    def stream(xs: Iterable[Any]) -> Iterator[Any]:
        for x in xs:
            yield x
            try:
                cb(x)
            except Exception:
                if on_error == "fail":
                    raise

    return stream


@mutant(of="make_tap", killed_by="tap-skips-the-failure-and-not-the-item")
def skips_the_item(cb: Callback, *, on_error: str = "fail") -> Run:
    """Drops the item whose callback failed."""

    def stream(xs: Iterable[Any]) -> Iterator[Any]:
        for x in xs:
            try:
                cb(x)
            except Exception:
                if on_error == "fail":
                    raise
                continue
            yield x

    return stream


@mutant(of="make_counter", killed_by="counter-tells-each-run-its-count")
def one_count_for_all_runs(*, emit: Callback | None = None) -> Run:
    """Keeps the number in the stage, and adds the runs up."""
    seen = 0

    def stream(xs: Iterable[Any]) -> Iterator[Any]:
        nonlocal seen
        try:
            for x in xs:
                seen += 1
                yield x
        finally:
            if emit:
                emit(seen)

    return stream


@mutant(of="make_counter", killed_by="counter-tells-each-run-its-count")
def tells_at_the_end_only(*, emit: Callback | None = None) -> Run:
    """Tells the number behind its loop, where a run that fails or is closed never comes."""

    def stream(xs: Iterable[Any]) -> Iterator[Any]:
        seen = 0
        for seen, x in enumerate(xs, start=1):  # noqa: B007
            yield x
        if emit:
            emit(seen)

    return stream


@mutant(of="make_peek", killed_by="peek-shows-the-first-n-as-they-come")
def shows_within_the_first_n(n: int, emit: Callback, *, stride: int = 1) -> Run:
    """Stops behind n items, where n were to be shown: with a stride these are fewer."""

    def stream(xs: Iterable[Any]) -> Iterator[Any]:
        for place, x in enumerate(xs):
            if place < n and place % stride == 0:
                emit(x)
            yield x

    return stream


@mutant(of="make_peek", killed_by="peek-asks-for-no-more-than-it-needs")
def reads_the_first_n(n: int, emit: Callback, *, stride: int = 1) -> Run:
    """Reads the first items into a list to show them, and chains the list before the rest."""

    def stream(xs: Iterable[Any]) -> Iterator[Any]:
        it = iter(xs)
        head = list(islice(it, (n - 1) * stride + 1 if n else 0))
        for x in head[::stride]:
            emit(x)
        yield from chain(head, islice(it, None))

    return stream


@mutant(of="make_sampler_bernoulli", killed_by="sampler-bernoulli-chooses-by-place-alone")
def one_generator_for_all_runs(rate: float, *, seed: int) -> Run:
    """Seeds its random numbers once, in the factory: the second run goes on where the first stopped."""
    draw = Random(seed).random

    def stream(xs: Iterable[Any]) -> Iterator[Any]:
        for x in xs:
            if draw() < rate:
                yield x

    return stream


@mutant(of="make_sampler_periodic", killed_by="sampler-periodic-goes-on-for-ever")
def skips_k_between(k: int, *, offset: int = 0) -> Run:
    """Leaves out k items between two, where k - 1 make every k-th."""

    def stream(xs: Iterable[Any]) -> Iterator[Any]:
        yield from islice(xs, offset, None, k + 1)

    return stream


@mutant(of="make_sampler_stable", killed_by="sampler-stable-chooses-the-same-in-every-process")
def hash_sample(rate: float, *, key: Callback) -> Run:
    """Uses `hash()`, which is another number for the same text in every process."""

    def stream(xs: Iterable[Any]) -> Iterator[Any]:
        for x in xs:
            if hash(key(x)) % 1000 < rate * 1000:
                yield x

    return stream


@mutant(of="make_sampler_stable", killed_by="sampler-stable-does-not-mind-the-order")
def counts_places(rate: float, *, key: Callback) -> Run:
    """Takes an item whenever the share of those taken has fallen behind: a matter of place, not of key."""

    def stream(xs: Iterable[Any]) -> Iterator[Any]:
        for place, x in zip(count(1), xs, strict=False):
            if int(place * rate) > int((place - 1) * rate):
                yield x

    return stream


@mutant(of="make_sampler_stable", killed_by="sampler-stable-keeps-items-of-one-key-together")
def hashes_the_item(rate: float, *, key: Callback) -> Run:
    """Takes a key and hashes the whole item all the same."""
    return taps.make_sampler_stable(rate, key=lambda item: item)


@mutant(of="make_sampler_stable", killed_by="sampler-stable-grows-with-the-rate")
def hashes_the_rate_too(rate: float, *, key: Callback) -> Run:
    """Mixes the rate into the hash: each rate draws a sample of its own."""
    return taps.make_sampler_stable(rate, key=lambda item: (key(item), rate))
