"""What goes wrong elsewhere in streaming libraries, named in words, and what happens here instead.

Each was found in a published library by running it; here the same program comes to its end with the right answer.
Where a program would hang, virtual time says so at once.
"""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import AsyncIterator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count, islice
from typing import Any

import pytest

from funcpipe_rag import (
    Ok,
    Report,
    compose,
    fmap,
    fork2_lockstep,
    fork_lockstep,
    multicast_bounded,
    source,
    stage,
    try_map,
)
from funcpipe_rag.aio import abroadcast, abuffer, amap, from_sync, to_sync
from funcpipe_rag.aio.probe import AsyncProbe
from funcpipe_rag.aio.testing import run
from funcpipe_rag.streams.probe import Boom, Probe

pytestmark = pytest.mark.filterwarnings("error")


def identity(xs: Iterable[Any]) -> Iterator[Any]:
    yield from xs


def breaks_at_3(xs: Iterable[Any]) -> Iterator[Any]:
    for x in xs:
        if x == 3:
            raise ValueError("boom on 3")
        yield x


# A branch of a fork raises, stops draining its queue, and everybody waits for ever.


def test_a_branch_that_raises_does_not_hang_the_fork_and_its_error_comes_out() -> None:
    probe = Probe(range(1000))
    got = []
    with pytest.raises(ValueError, match="boom on 3"):  # noqa: PT012
        for pair in fork2_lockstep(breaks_at_3, identity)(probe()):
            got.append(pair)
    assert got == [(0, 0), (1, 1), (2, 2)]
    assert probe.pulls == 4


def test_a_reader_that_fails_does_not_hang_the_others_of_a_broadcast() -> None:
    probe = AsyncProbe(Probe(range(1000)))

    async def bad(xs: AsyncIterator[int]) -> None:
        async for x in xs:
            if x == 3:
                raise ValueError("boom on 3")

    async def good(xs: AsyncIterator[int]) -> list[int]:
        return [x async for x in xs]

    async def both() -> tuple[Any, ...]:
        left, right = abroadcast(probe(), 2, maxlen=10)

        async def fails() -> None:
            async with left:
                await bad(left)

        return tuple(await asyncio.gather(fails(), good(right), return_exceptions=True))

    error, all_of_them = run(both())
    assert repr(error) == "ValueError('boom on 3')"
    assert all_of_them == [*range(1000)]
    assert probe.probe.closes == 1


# A branch that wants only the first item deadlocks the broadcast.


def test_a_branch_that_ends_early_holds_nobody_back() -> None:
    first, rest = multicast_bounded(range(1000), 2, maxlen=10)
    assert next(first) == 0
    first.close()
    assert list(rest) == [*range(1000)]

    async def both() -> list[int]:
        early, late = abroadcast(range(1000), 2, maxlen=10)

        async def takes_one() -> None:
            async with early:
                assert await anext(early) == 0

        return (await asyncio.gather(takes_one(), late.collect()))[1]

    assert run(both()) == [*range(1000)]


# None marks the end of a queue, so everything behind an item that is None is lost.

WITH_NONE = [1, 2, None, 3, 4]


@pytest.mark.parametrize("concurrency", [1, 3])
@pytest.mark.parametrize("ordered", [True, False])
def test_none_is_an_item_like_any_other(concurrency: int, ordered: bool) -> None:
    assert [*fork_lockstep(identity, identity)(WITH_NONE)] == [(item, item) for item in WITH_NONE]
    left, right = multicast_bounded(WITH_NONE, 2, maxlen=9)
    assert [*left] == [*right] == WITH_NONE
    same = amap(lambda item: item, concurrency=concurrency, ordered=ordered)
    assert run(same(WITH_NONE).collect()) == WITH_NONE
    assert run(abuffer(2)(WITH_NONE).collect()) == WITH_NONE

    async def both() -> list[list[Any]]:
        return await asyncio.gather(*(branch.collect() for branch in abroadcast(WITH_NONE, 2, maxlen=1)))

    assert run(both()) == [WITH_NONE, WITH_NONE]


# A stage with a thread or a task of its own swallows the error of its source: it looks like a clean end.


def dies() -> Iterator[int]:
    yield 1
    yield 2
    raise ValueError("source died")


def read_until_it_dies(xs: Iterator[int]) -> list[int]:
    got = []
    with pytest.raises(ValueError, match="source died"):  # noqa: PT012
        for x in xs:
            got.append(x)
    return got


@pytest.mark.parametrize(
    "stage", [abuffer(2), amap(abs, concurrency=3), amap(abs, concurrency=3, ordered=False)], ids=repr
)
def test_the_error_of_a_source_is_raised_behind_its_items(stage: Any) -> None:
    assert read_until_it_dies(to_sync(stage(dies()))) == [1, 2]
    with ThreadPoolExecutor(1) as pool:
        assert read_until_it_dies(to_sync(stage(from_sync(dies(), executor=pool)))) == [1, 2]


# The producer waits for room while the reader that stops waits for the producer.


def test_stopping_early_while_the_producer_waits_for_room_returns() -> None:
    probe = AsyncProbe(Probe(range(9)))

    async def stops() -> None:
        stream = abuffer(1)(probe())
        assert await anext(stream) == 0
        # Long enough for the buffer to be full, and for its task to wait for room.
        await asyncio.sleep(60)
        await stream.aclose()
        assert len(asyncio.all_tasks()) == 1

    run(stops())
    assert probe.probe.closes == 1

    closed = []

    def two() -> Iterator[int]:
        try:
            yield 1
            yield 2
        finally:
            closed.append(True)

    with ThreadPoolExecutor(1) as pool:
        it = to_sync(abuffer(1)(from_sync(two(), executor=pool)))
        assert next(it) == 1
        it.close()
    assert closed == [True]


# What goes through the first stage of a pipeline is dropped by the second; writing `a | b` changes what `a` does.


@pytest.mark.parametrize("many", [1, 2, 5])
def test_everything_goes_through_any_number_of_stages(many: int) -> None:
    flush = object()
    given = source(lambda: iter([1, flush, 2]))
    pipeline = compose(*[fmap(lambda item: item)] * many)
    assert [*(given | pipeline)()] == [1, flush, 2]
    assert run(to_pipeline(many)([1, flush, 2]).collect()) == [1, flush, 2]


def to_pipeline(many: int) -> Any:
    pipeline = amap(lambda item: item)
    for _ in range(many - 1):
        pipeline = pipeline | amap(lambda item: item)
    return pipeline


def test_writing_a_pipe_changes_neither_side() -> None:
    plus, text = amap(lambda n: n + 1), amap(str)
    before = run(plus([1, 2]).collect()), repr(plus)
    _ = plus | text, text | plus
    assert (run(plus([1, 2]).collect()), repr(plus)) == before == ([2, 3], repr(plus))
    sync = fmap(abs)
    shown = repr(sync)
    _ = sync | fmap(str)
    assert ([*sync([-1])], repr(sync)) == ([1], shown)


# Every stage with another behind it goes through a switch of stacks, and a chain of three takes five times as long.


def calls_made_by(xs: Iterable[int]) -> int:
    """How many calls Python makes while it reads `xs`: unlike time, that is the same on every machine."""
    calls = 0

    def counted(frame: Any, event: str, arg: Any) -> None:
        nonlocal calls
        calls += event == "call"

    sys.setprofile(counted)
    try:
        for _ in xs:
            pass
    finally:
        sys.setprofile(None)
    return calls


def calls_an_item(transform: Any) -> float:
    return (calls_made_by(transform(range(2000))) - calls_made_by(transform(range(1000)))) / 1000


def test_a_stage_costs_an_item_one_call_as_a_generator_by_hand_does() -> None:
    same = stage(identity)
    chains = [same | same, same | same | same, same | same | same | same]
    two, three, four = map(calls_an_item, chains)
    assert (three - two, four - three) == (1.0, 1.0)
    # The pipeline itself, which closes what is in it, is one more.
    assert three == calls_an_item(lambda xs: identity(identity(identity(xs)))) + 1.0


# A loop over passes says that each pass feeds the next, and throws the results away.


def test_each_pass_feeds_the_next() -> None:
    add1 = fmap(lambda n: n + 1)
    assert [*compose(add1, add1)([1, 2, 3])] == [3, 4, 5]
    double = fmap(lambda n: n * 2)
    assert [*compose(add1, double)([1, 2, 3])] == [4, 6, 8]
    aplus = amap(lambda n: n + 1)
    assert run((aplus | aplus)([1, 2, 3]).collect()) == [3, 4, 5]


# Nothing closes a source but the garbage collector, and a fork runs a hundred items ahead of one that is asked for.


def test_closing_a_pipeline_closes_its_source_though_somebody_holds_on_to_it() -> None:
    keep: list[Any] = []
    probe = Probe(range(10_000))

    def peeks(xs: Iterable[int]) -> Iterator[int]:
        it = iter(xs)
        keep.append(it)
        yield next(it)
        yield next(it)

    it = (source(probe) | peeks)()
    next(it)
    it.close()
    assert (probe.opens, probe.closes) == (1, 1)

    async def apeeks(xs: AsyncIterator[int]) -> AsyncIterator[int]:
        keep.append(xs)
        yield await anext(xs)
        yield await anext(xs)

    aprobe = AsyncProbe(Probe(range(10_000)))

    async def leaves() -> None:
        async with (amap(abs, concurrency=2) | apeeks)(aprobe()) as stream:
            await anext(stream)

    run(leaves())
    assert (aprobe.probe.opens, aprobe.probe.closes) == (1, 1)


def test_a_fork_asks_for_one_item_to_give_one() -> None:
    probe = Probe(range(10_000))
    pairs = fork2_lockstep(identity, identity)(probe())
    assert next(pairs) == (0, 0)
    assert probe.pulls == 1

    aprobe = AsyncProbe(Probe(range(10_000)))

    async def one_each() -> None:
        branches = abroadcast(aprobe(), 2, maxlen=10)
        for branch in branches:
            assert await anext(branch) == 0
        await asyncio.sleep(60)
        assert aprobe.probe.pulls == 1
        for branch in branches:
            await branch.aclose()

    run(one_each())
    assert aprobe.probe.closes == 1


# An error names neither its stage nor its item, and a cast drops what it cannot read without a word.


@pytest.mark.parametrize("concurrency", [1, 2])
def test_an_error_names_its_stage_and_its_item(concurrency: int) -> None:
    with pytest.raises(ValueError, match="invalid literal") as caught:
        run((amap(str) | amap(int, concurrency=concurrency))(["1", "x"]).collect())
    (note,) = caught.value.__notes__
    assert note.startswith("in amap(int") and note.endswith("at item 1: 'x'")


def test_what_is_dropped_is_counted_or_warned_of() -> None:
    report = Report()
    skipping = amap(int, on_error="skip", report=report)
    assert run(skipping(["1", "x", "3"]).collect()) == [1, 3]
    assert report.counts == {"amap(int)": {"ValueError": 1}}
    with pytest.warns(RuntimeWarning, match="dropped 1 item: 1 ValueError"):
        assert run(amap(int, on_error="skip")(["1", "x", "3"]).collect()) == [1, 3]
    good = [result for result in try_map(int)(["1", "x", "3"]) if isinstance(result, Ok)]
    assert len(good) == 2


# Those that were seen in task pipelines.


def test_a_source_is_not_read_to_its_end_for_one_result() -> None:
    probe = AsyncProbe(Probe(endless=True, budget=5))

    async def takes_one() -> None:
        async with amap(abs, concurrency=4)(probe()) as stream:
            assert await anext(stream) == 0
            await asyncio.sleep(60)
            assert len(asyncio.all_tasks()) <= 5

    run(takes_one())
    assert probe.probe.pulls == 5


def test_as_completed_swallows_no_error() -> None:
    async def breaks(n: int) -> int:
        if n == 3:
            raise Boom("three")
        return n

    with pytest.raises(Boom, match="three"):
        run(amap(breaks, concurrency=2, ordered=False)(range(6)).collect())


@pytest.mark.parametrize(
    "make",
    [
        range,
        lambda n: iter(range(n)),
        lambda n: dict.fromkeys(range(n)).keys(),
        lambda n: {*range(n)},
        lambda n: tuple(range(n)),
        lambda n: from_sync(range(n)),
    ],
    ids=["range", "iterator", "keys", "set", "tuple", "async"],
)
def test_whatever_can_be_iterated_is_a_stream_and_not_one_item(make: Any) -> None:
    assert run(amap(abs)(make(3)).collect()) == [0, 1, 2]


def test_a_reader_that_stops_runs_nothing_to_its_end() -> None:
    began: list[int] = []

    async def notes(n: int) -> int:
        began.append(n)
        await asyncio.sleep(1)
        return n

    async def takes_one() -> None:
        async with amap(notes, concurrency=2, ordered=False)(count()) as stream:
            await anext(stream)

    run(takes_one())
    gc.collect()
    assert began == [*islice(count(), len(began))] and len(began) <= 3
