"""A StopIteration that escapes somebody's function is an error, and never the end of a stream."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from funcpipe_rag import (
    Err,
    FakeTime,
    as_source,
    ensure_contiguous,
    fdrop_while,
    ffilter,
    fflat_map,
    fmap,
    ftake_while,
    make_accumulate,
    make_cast,
    make_grouped,
    make_keyed_join,
    make_merge,
    make_merge_late,
    make_peek,
    make_rate_limit,
    make_router,
    make_sampler_stable,
    make_tap,
    make_throttle,
    make_timestamp,
    recover,
    split_results,
    try_map,
)
from funcpipe_rag.streams.probe import Probe

Fn = Callable[[Any], Any]
Stream = Callable[[Iterable[Any]], Iterable[Any]]


def as_rows(stage: Stream) -> Stream:
    return lambda xs: stage({"n": x} for x in xs)


def as_failures(stage: Stream) -> Stream:
    return lambda xs: stage(Err(ValueError(x), x, "stage", 0) for x in xs)


def merged(make: Callable[..., Any]) -> Stream:
    return lambda xs: make(lambda: xs)()


def read_late(fn: Fn) -> Callable[[], float]:
    """A clock that asks `fn` for its item: how often it was read."""
    reads: list[int] = []

    def clock() -> float:
        reads.append(0)
        fn(len(reads))
        return float(len(reads))

    return clock


STAGES: dict[str, Callable[[Fn], Stream]] = {
    "fmap": fmap,
    "ffilter": ffilter,
    "fflat_map": lambda fn: fflat_map(lambda x: [fn(x)]),
    "ftake_while": ftake_while,
    "fdrop_while": fdrop_while,
    "ensure_contiguous": ensure_contiguous,
    "make_grouped": make_grouped,
    "make_accumulate": lambda fn: make_accumulate(lambda total, x: fn(total) and fn(x)),
    "make_accumulate by key": lambda fn: make_accumulate(max, key=fn),
    "make_timestamp": lambda fn: make_timestamp(clock=read_late(fn)),
    "make_throttle": lambda fn: make_throttle(0, clock=read_late(fn), sleeper=FakeTime().sleep),
    "make_rate_limit": lambda fn: make_rate_limit(9, 9, clock=read_late(fn), sleeper=FakeTime().sleep),
    "try_map": lambda fn: try_map(fn, errors=ValueError),
    "recover": lambda fn: as_failures(recover(lambda failure: fn(failure.item))),
    "split_results": lambda fn: as_failures(split_results(lambda failure: fn(failure.item))),
    "make_router": lambda fn: make_router(fn, {7.0: str}),
    "make_router's handler": lambda fn: make_router(lambda _: "one", {"one": fn}),
    "make_router's default": lambda fn: make_router(lambda _: "one", {}, default=fn),
    "make_sampler_stable": lambda fn: make_sampler_stable(0.5, key=fn),
    "make_tap": make_tap,
    "make_peek": lambda fn: make_peek(9, fn),
    "make_peek's last": lambda fn: make_peek(3, fn),
    "make_cast": lambda fn: as_rows(make_cast({"n": fn})),
    "make_merge": lambda fn: merged(lambda *sources: make_merge(*sources, key=fn)),
    "make_merge of two": lambda fn: merged(lambda one: make_merge(one, as_source([7]), key=fn)),
    "make_merge of blocks": lambda fn: merged(
        lambda one: make_merge(one, as_source([7]), key=fn, lookahead=9)
    ),
    "make_merge_late": lambda fn: merged(lambda one: make_merge_late(one, ts=fn, lateness=0)),
    "make_keyed_join": lambda fn: make_keyed_join(fn, fmap(abs), fmap(abs)),
}


@pytest.mark.parametrize("name", STAGES)
@pytest.mark.parametrize("where", [1, 2, 3])
def test_it_ends_no_stream_in_silence(name: str, where: int) -> None:
    def third(item: Any) -> Any:
        if item == where:
            next(iter(()))
        return 7.0

    probe = Probe([1, 2, 3, 4, 5])
    with pytest.raises((RuntimeError, ValueError), match=r"raised StopIteration"):
        list(STAGES[name](third)(probe()))


@pytest.mark.parametrize("name", STAGES)
@pytest.mark.parametrize("given", [[], [1, 2, 3]])
def test_an_input_that_ends_is_an_end(name: str, given: list[int]) -> None:
    probe = Probe(given)
    list(STAGES[name](lambda _: 7.0)(probe()))
    assert probe.pulls <= len(given) + 1


def test_what_came_before_it_is_handed_on_and_the_input_closed() -> None:
    closed = []

    class Source:
        def __iter__(self) -> Iterator[int]:
            try:
                yield from [1, 2, 3]
            finally:
                closed.append(True)

    stream = fmap(lambda x: x if x < 2 else next(iter(())))(Source())
    assert next(stream) == 1
    with pytest.raises(RuntimeError, match=r"fmap: .*<lambda> raised StopIteration, which is not the end"):
        next(stream)
    assert closed == [True]
    assert list(stream) == []
