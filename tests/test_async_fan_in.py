"""Async fan-in: exact schedules, fairness, demand, and closing at awkward moments."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from contextvars import ContextVar
from typing import Any

import pytest

from funcpipe_rag import (
    abatch,
    abuffer,
    achain,
    amap,
    amerge,
    amerge_sorted,
    aroundrobin,
    as_source,
    asource,
    azip,
    make_chain,
)
from funcpipe_rag.aio.probe import AsyncProbe
from funcpipe_rag.aio.testing import LeftBehind, run, schedule
from funcpipe_rag.streams.probe import Boom, Probe

ALL = (amerge, achain, aroundrobin, azip, amerge_sorted)
SIDE_BY_SIDE = (amerge, azip, amerge_sorted)

each = pytest.mark.parametrize("fan_in", ALL, ids=lambda fan_in: fan_in.__name__)
each_side_by_side = pytest.mark.parametrize("fan_in", SIDE_BY_SIDE, ids=lambda fan_in: fan_in.__name__)


def slow(items: Any, *takes: float, **how: Any) -> AsyncProbe:
    return AsyncProbe(Probe(items, **how), takes=takes)


def endless() -> AsyncProbe:
    return slow((), endless=True)


async def first_of(stream: Any, many: int = 1) -> list[Any]:
    async with stream:
        return [await anext(stream) for _ in range(many)]


# What a source may be.


@each
def test_a_source_is_whatever_opens_an_iterable_of_either_kind(fan_in: Callable[..., Any]) -> None:
    async def generator() -> AsyncIterator[int]:
        yield 1

    sources = [
        generator,
        Probe([1]),
        AsyncProbe(Probe([1])),
        lambda: [1],
        as_source([1]),
        make_chain(as_source([1])),
        asource(generator) | amap(abs),
        achain(generator),
    ]
    got = run(fan_in(*sources)().collect())
    assert got == ([(1,) * 8] if fan_in is azip else [1] * 8)


@each
def test_no_source_no_items(fan_in: Callable[..., Any]) -> None:
    assert run(fan_in()().collect()) == []


@each
def test_ten_thousand_sources_are_opened_and_closed(fan_in: Callable[..., Any]) -> None:
    probes = [Probe([place]) for place in range(10_000)]
    got = run(fan_in(*probes)().collect())
    assert got == ([tuple(range(10_000))] if fan_in is azip else list(range(10_000)))
    assert all((probe.opens, probe.closes) == (1, 1) for probe in probes)


@each_side_by_side
def test_ten_thousand_sources_are_closed_when_the_first_item_was_enough(fan_in: Callable[..., Any]) -> None:
    probes = [Probe([place, place + 1]) for place in range(10_000)]
    run(first_of(fan_in(*probes)()))
    assert all(probe.opens == probe.closes for probe in probes)


@each
def test_what_is_no_source_is_refused_by_its_place(fan_in: Callable[..., Any]) -> None:
    with pytest.raises(TypeError, match=f"{fan_in.__name__}: source 1 must be a function that opens"):
        fan_in(as_source([1]), [2])
    with pytest.raises(TypeError, match=rf"write {fan_in.__name__}\(\*...\) with a star"):
        fan_in([as_source([1]), as_source([2])])


@each
def test_what_a_source_gives_must_be_iterable(fan_in: Callable[..., Any]) -> None:
    def nothing() -> None:
        return None

    with pytest.raises(TypeError, match="nothing gave NoneType, which cannot be iterated"):
        run(fan_in(nothing)().collect())


@each
def test_it_shows_its_sources_and_what_was_set(fan_in: Callable[..., Any]) -> None:
    assert repr(fan_in(Probe(name="a"), Probe(name="b"))) == f"{fan_in.__name__}(a, b)"
    assert repr(azip(Probe(name="a"), strict=True)) == "azip(a, strict=True)"
    assert (
        repr(amerge_sorted(Probe(name="a"), key=len, reverse=True))
        == "amerge_sorted(a, key=len, reverse=True)"
    )
    with pytest.raises(TypeError, match="amerge_sorted: key must be a function, got int"):
        amerge_sorted(key=3)  # type: ignore[arg-type]


@each
def test_it_goes_on_into_stages(fan_in: Callable[..., Any]) -> None:
    stream = (fan_in(lambda: [1, 2], lambda: [3, 4]) | abuffer(1) | abatch(2))()
    assert len(run(stream.collect())) == (1 if fan_in is azip else 2)


# As they come.


def test_a_merge_gives_each_item_at_its_own_time() -> None:
    slow_one = slow("ab", 0.1, 0.5)
    fast_one = slow("xyz", 0.25, 0.25, 2.0)
    came = run(schedule(amerge(slow_one, fast_one)()))
    assert came == [(0.1, "a"), (0.25, "x"), (0.5, "y"), (0.6, "b"), (2.5, "z")]


def test_whoever_has_waited_longest_is_served_first() -> None:
    async def reader() -> list[str]:
        busy = slow(["a1", "a2", "a3"])
        late = slow(["b1", "b2"], 1, 1)
        got = []
        async for item in amerge(busy, late)():
            got.append(item)
            await asyncio.sleep(1.5)
        return got

    # b1 comes at 1.0, when a2 has been waiting since 0.0; b2 comes at 4.0 and a3 has waited since 1.5.
    assert run(reader()) == ["a1", "a2", "b1", "a3", "b2"]


def test_one_item_ahead_of_each_source_and_one_task_for_it() -> None:
    async def reader() -> tuple[list[int], int]:
        probes = [endless() for _ in range(3)]
        async with amerge(*probes)() as stream:
            for _ in range(4):
                await anext(stream)
            await asyncio.sleep(60)
            return [probe.probe.pulls for probe in probes], len(asyncio.all_tasks())

    assert run(reader()) == ([3, 2, 2], 4)


def test_the_first_error_comes_behind_the_items_that_were_there() -> None:
    async def reader() -> list[Any]:
        got: list[Any] = []
        fails = slow("x", 0, 1, raises_at=1)
        try:
            async for item in amerge(slow("abc", 0, 0.5, 60), fails)():
                got.append((asyncio.get_running_loop().time(), item))
                await asyncio.sleep(1)
        except Boom:
            got.append("Boom")
        return got

    # At 1.0 the error is there; b was there before it.
    assert run(reader()) == [(0.0, "a"), (1.0, "x"), (2.0, "b"), "Boom"]


def test_a_merge_that_was_never_begun_has_opened_nothing_and_closes_nothing() -> None:
    """A defect that others had: their merge opens its sources when it is made, and never gets to close them."""

    async def never() -> list[int]:
        probes = [endless(), endless()]
        stream = amerge(*probes)()
        assert len(asyncio.all_tasks()) == 1
        await stream.aclose()
        assert [item async for item in stream] == []
        return [probe.probe.opens for probe in probes]

    assert run(never()) == [0, 0]


@each_side_by_side
def test_a_reader_that_is_cancelled_at_its_first_question_leaves_nothing(fan_in: Callable[..., Any]) -> None:
    async def cancelled(turns: int) -> list[tuple[int, int]]:
        probes = [slow("abc", 1, 1), slow("abc", 1, 1)]
        reader = asyncio.ensure_future(fan_in(*probes)().collect())
        for _ in range(turns):
            await asyncio.sleep(0)
        reader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reader
        assert len(asyncio.all_tasks()) == 1
        return [(probe.probe.opens, probe.probe.closes) for probe in probes]

    assert run(cancelled(0)) == [(0, 0), (0, 0)]
    assert run(cancelled(1)) == run(cancelled(3)) == [(1, 1), (1, 1)]


@each_side_by_side
def test_sources_that_take_time_to_close_are_closed_side_by_side_and_awaited(
    fan_in: Callable[..., Any],
) -> None:
    closed: list[tuple[float, int]] = []

    def source(place: int) -> Callable[[], AsyncIterator[int]]:
        async def read() -> AsyncIterator[int]:
            try:
                for number in range(100):
                    yield number
                    await asyncio.sleep(60)
            finally:
                await asyncio.sleep(2)
                closed.append((asyncio.get_running_loop().time(), place))

        return read

    async def reader() -> float:
        async with fan_in(*map(source, range(3)))() as stream:
            await anext(stream)
            await asyncio.sleep(1)
        return asyncio.get_running_loop().time()

    assert (run(reader()), closed) == (3.0, [(3.0, 2), (3.0, 1), (3.0, 0)])


@each
def test_every_error_of_closing_is_told_the_first_as_an_error_and_the_others_as_notes(
    fan_in: Callable[..., Any],
) -> None:
    probes = [slow("abc", raises_on_close=True, name=name) for name in ("one", "two")]

    async def reader() -> None:
        stream = fan_in(*probes)()
        await anext(stream)
        if fan_in is not achain:
            await anext(stream)
        await asyncio.sleep(1)
        await stream.aclose()

    with pytest.raises(Boom) as raised:
        run(reader())
    if fan_in is achain:
        assert str(raised.value) == "one raised while it was closed"
    else:
        assert str(raised.value) == "two raised while it was closed"
        assert raised.value.__notes__ == ["and while closing: Boom: one raised while it was closed"]


@each
def test_an_error_while_closing_does_not_hide_the_one_that_ended_the_stream(
    fan_in: Callable[..., Any],
) -> None:
    fails, stubborn = slow("a", raises_at=0), slow("b", 60, raises_on_close=True, name="stubborn")
    with pytest.raises(Boom, match="in place of item 0") as raised:
        run(fan_in(stubborn if fan_in in SIDE_BY_SIDE else lambda: "b", fails)().collect())
    if fan_in in SIDE_BY_SIDE:
        assert "and while closing: Boom: stubborn raised while it was closed" in raised.value.__notes__


@each
def test_a_stream_that_is_dropped_ends_all_the_same(fan_in: Callable[..., Any]) -> None:
    async def dropped() -> list[tuple[int, int]]:
        probes = [endless(), endless()]
        stream = fan_in(*probes)()
        await anext(stream)
        await asyncio.sleep(1)
        del stream
        gc.collect()
        await asyncio.sleep(1)
        assert len(asyncio.all_tasks()) == 1
        return [(probe.probe.opens, probe.probe.closes) for probe in probes]

    assert run(dropped()) == [(1, 1), (0, 0) if fan_in in (achain, aroundrobin) else (1, 1)]


STAGES = {
    "amap": amap(lambda n: n, concurrency=3),
    "abuffer": abuffer(3),
    "abatch": abatch(2, max_wait=1),
    "amerge": lambda xs: amerge(lambda: xs)(),
}


@pytest.mark.parametrize("stage", STAGES.values(), ids=STAGES)
def test_a_stream_that_is_dropped_within_a_cycle_ends_without_a_word_of_the_loop(stage: Any) -> None:
    class Holder:
        me: Any
        stream: Any

    async def dropped() -> tuple[int, int]:
        source = slow(range(100), *[0.1] * 100)
        holder = Holder()
        holder.me = holder
        holder.stream = stage(source())
        await anext(holder.stream)
        await asyncio.sleep(1)
        del holder
        gc.collect()
        await asyncio.sleep(1)
        return source.probe.closes, len(asyncio.all_tasks())

    assert run(dropped()) == (1, 1)


def test_what_a_source_does_with_its_context_is_its_own_from_beginning_to_end() -> None:
    here: ContextVar[str] = ContextVar("here", default="nobody")

    def source(name: str) -> Callable[[], AsyncIterator[str]]:
        async def read() -> AsyncIterator[str]:
            token = here.set(name)
            try:
                while True:
                    await asyncio.sleep(1)
                    yield here.get()
            finally:
                # ValueError where another task closes it than has opened it.
                here.reset(token)

        return read

    async def reader(fan_in: Callable[..., Any]) -> list[Any]:
        got = []
        async with fan_in(source("a"), source("b"))() as stream:
            for _ in range(2):
                got.append(await anext(stream))
                assert here.get() == "nobody"
        return got

    assert run(reader(amerge)) == ["a", "b"]
    assert run(reader(azip)) == [("a", "b")] * 2
    assert run(reader(amerge_sorted)) == ["a", "a"]


def test_a_timeout_around_the_yields_of_a_source_cuts_that_source_off() -> None:
    async def hurried() -> AsyncIterator[int]:
        async with asyncio.timeout(2.5):
            while True:
                await asyncio.sleep(1)
                yield 1

    async def reader() -> list[Any]:
        got: list[Any] = []
        try:
            async for item in amerge(hurried, slow("a", 60))():
                got.append(item)
        except TimeoutError:
            got.append(asyncio.get_running_loop().time())
        return got

    assert run(reader()) == [1, 1, 2.5]


# In sequence, in turns.


def test_a_chain_opens_each_source_when_the_one_before_is_closed() -> None:
    one, two = slow("ab", 1, 1, 1), slow("c", 5)
    assert run(schedule(achain(one, two)())) == [(1.0, "a"), (2.0, "b"), (8.0, "c")]
    assert (one.probe.closes, two.probe.closes) == (1, 1)


@pytest.mark.parametrize("fan_in", [achain, aroundrobin], ids=["achain", "aroundrobin"])
def test_in_turns_and_in_sequence_nothing_runs_but_the_reader(fan_in: Callable[..., Any]) -> None:
    async def reader() -> tuple[int, int]:
        probes = [endless(), endless()]
        async with fan_in(*probes)() as stream:
            for _ in range(5):
                await anext(stream)
            await asyncio.sleep(60)
            return sum(probe.probe.pulls for probe in probes), len(asyncio.all_tasks())

    assert run(reader()) == (5, 1)


def test_turns_wait_for_a_slow_source_and_a_buffer_in_it_helps() -> None:
    first, second = slow("ab", 2, 2), slow("xy", 2, 2)
    assert [at for at, _ in run(schedule(aroundrobin(first, second)()))] == [2.0, 4.0, 6.0, 8.0]
    ahead = [asource(source) | abuffer(1) for source in (first, second)]
    assert [at for at, _ in run(schedule(aroundrobin(*ahead)()))] == [2.0, 4.0, 4.0, 6.0]


# In rows.


def test_a_row_takes_as_long_as_its_slowest_and_nothing_is_asked_for_in_between() -> None:
    async def reader() -> list[Any]:
        one, two = slow("ab", 1, 1), slow("xy", 3, 0.5)
        got = []
        async for row in azip(one, two)():
            got.append((asyncio.get_running_loop().time(), row, one.probe.pulls, two.probe.pulls))
            await asyncio.sleep(10)
        return got

    assert run(reader()) == [(3.0, ("a", "x"), 1, 1), (14.0, ("b", "y"), 2, 2)]


def test_a_zip_ends_with_the_first_that_ends_and_what_was_taken_for_that_row_is_lost() -> None:
    short, long = slow("a", 1, 1), slow("xyz", 1, 0.5, 60)
    assert run(schedule(azip(short, long)())) == [(1.0, ("a", "x"))]
    assert (short.probe.pulls, long.probe.pulls) == (2, 2)
    assert (short.probe.closes, long.probe.closes) == (1, 1)


def test_a_zip_does_not_wait_for_the_others_when_one_has_ended_or_failed() -> None:
    async def when(other: AsyncProbe) -> float:
        with suppress(Boom):
            await azip(slow("a", 60), other)().collect()
        return asyncio.get_running_loop().time()

    assert run(when(slow("", 1))) == 1.0
    assert run(when(slow("x", 1, raises_at=0))) == 1.0


@pytest.mark.parametrize(
    ("lengths", "said"),
    [
        ((2, 3), "azip: source 0 ended after 2 items, and source 1 went on"),
        ((3, 2, 3), "azip: source 1 ended after 2 items, and source 0 went on"),
        ((1, 0, 0), "azip: source 1 ended after 0 items, and source 0 went on"),
    ],
)
def test_strict_names_who_has_ended_and_who_went_on(lengths: tuple[int, ...], said: str) -> None:
    with pytest.raises(ValueError, match=f"^{said}$"):
        run(azip(*(Probe(range(length)) for length in lengths), strict=True)().collect())


def test_strict_is_content_when_all_end_together() -> None:
    assert run(azip(lambda: "ab", lambda: "xy", strict=True)().collect()) == [("a", "x"), ("b", "y")]
    assert run(azip(lambda: "", lambda: "", strict=True)().collect()) == []


# In sorted order.


def test_the_heads_are_asked_for_side_by_side_and_then_one_at_a_time() -> None:
    one, two, three = slow([1, 4], 1, 1), slow([2, 5], 3, 1), slow([3, 6], 2, 1)
    came = run(schedule(amerge_sorted(one, two, three)()))
    assert came == [(3.0, 1), (4.0, 2), (5.0, 3), (6.0, 4), (6.0, 5), (6.0, 6)]


def test_a_sorted_merge_fails_with_a_note_about_what_it_held() -> None:
    fails = slow([1], raises_at=1)
    with pytest.raises(Boom) as raised:
        run(amerge_sorted(lambda: [5], fails, lambda: [6])().collect())
    assert raised.value.__notes__ == [
        "amerge_sorted: raised by source 1; 2 items held from the other sources were not given"
    ]


def test_a_sorted_merge_reverses_takes_a_key_and_trusts_where_it_is_told_to() -> None:
    assert run(amerge_sorted(lambda: [4, 1], lambda: [3, 2], reverse=True)().collect()) == [4, 3, 2, 1]
    words = run(amerge_sorted(lambda: ["a", "ccc"], lambda: ["b", "dd"], key=len)().collect())
    assert words == ["a", "b", "dd", "ccc"]
    assert run(amerge_sorted(lambda: [2, 1], lambda: [1], check=False)().collect()) == [1, 2, 1]
    with pytest.raises(ValueError, match="source 0 is out of order at index 2: 3 came after 1"):
        run(amerge_sorted(lambda: [4, 1, 3], reverse=True)().collect())


def test_items_that_cannot_be_compared_are_never_compared() -> None:
    got = run(amerge_sorted(lambda: [{"n": 1}], lambda: [{"n": 1}], key=lambda row: row["n"])().collect())
    assert got == [{"n": 1}, {"n": 1}]


# The tests' own eyes.


def test_a_stream_that_is_left_half_read_would_be_seen() -> None:
    async def forgets() -> Any:
        stream = amerge(endless())()
        await anext(stream)
        return stream

    with pytest.raises(LeftBehind, match="task 'amerge, source 0' goes on"):
        run(forgets())
