"""Batches by size and time, and buffers: exact schedules, what is told, and what happens at awkward moments."""

from __future__ import annotations

import asyncio
import gc
import warnings
import weakref
from collections.abc import AsyncIterator
from typing import Any

import pytest

from funcpipe_rag import Report, abatch, abuffer, amap
from funcpipe_rag.aio.probe import AsyncProbe
from funcpipe_rag.aio.testing import run, schedule
from funcpipe_rag.streams.probe import Boom, Probe


def slow(items: Any, *takes: float, **how: Any) -> AsyncProbe:
    return AsyncProbe(Probe(items, **how), takes=takes)


async def every(seconds: float, many: int) -> AsyncIterator[int]:
    for number in range(many):
        await asyncio.sleep(seconds)
        yield number


async def read_slowly(xs: Any, busy: float) -> list[tuple[float, Any]]:
    clock = asyncio.get_running_loop().time
    came = []
    async for item in xs:
        came.append((clock(), item))
        await asyncio.sleep(busy)
    return came


# By size.


def test_a_batch_is_given_when_it_is_full_and_the_tail_at_the_end() -> None:
    source = slow("abcde", 1, 1, 1, 1, 1, 7)
    assert run(schedule(abatch(2)(source()))) == [(2.0, ["a", "b"]), (4.0, ["c", "d"]), (12.0, ["e"])]
    assert (source.probe.pulls, source.probe.closes) == (6, 1)


def test_without_a_clock_nothing_runs_while_the_reader_is_busy() -> None:
    async def reader() -> int:
        source = slow("abcdef")
        async with abatch(2)(source()) as batches:
            await anext(batches)
            await asyncio.sleep(60)
            assert len(asyncio.all_tasks()) == 1
            return source.probe.pulls

    assert run(reader()) == 2


def test_the_error_of_the_input_comes_behind_a_short_batch() -> None:
    async def reader(wait: float | None) -> tuple[list[Any], bool]:
        got = []
        try:
            async for batch in abatch(2, max_wait=wait)(slow("abcd", raises_at=3)()):
                got.append(batch)
        except Boom:
            return got, True
        return got, False

    for wait in None, 1.0:
        assert run(reader(wait)) == ([["a", "b"], ["c"]], True)


# What min_size forbids.


@pytest.mark.parametrize("wait", [None, 0.5])
def test_a_tail_that_is_too_short_is_told_with_item_and_index(wait: float | None) -> None:
    told: list[Any] = []
    stage = abatch(3, min_size=2, max_wait=wait, report=told.append)
    assert run(stage("abcdefg").collect()) == [["a", "b", "c"], ["d", "e", "f"]]
    ((error,),) = [{(type(one.error), one.item, one.index, one.stage) for one in told}]
    shown = "abatch(3, min_size=2)" if wait is None else "abatch(3, min_size=2, max_wait=0.5)"
    assert error == (ValueError, "g", 6, shown)
    assert str(told[0].error) == "abatch: the last batch has 1 items, and min_size is 2"


@pytest.mark.parametrize("wait", [None, 0.5])
def test_without_a_report_one_warning_at_the_end_says_it(wait: float | None) -> None:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        assert run(abatch(4, min_size=3, max_wait=wait)("abcdef").collect()) == [list("abcd")]
    (warning,) = said
    assert warning.category is RuntimeWarning
    assert "dropped 2 items: 2 ValueError in abatch(4, min_size=3" in str(warning.message)


def test_a_batch_below_min_size_waits_on_and_leaves_as_soon_as_it_may() -> None:
    report = Report()
    came = run(schedule(abatch(4, min_size=3, max_wait=1.5, report=report)(every(1, 4))))
    # The first came at 1.0, so the time is over at 2.5, and the third comes at 3.0; the fourth is dropped at the end.
    assert (came, report.total) == ([(3.0, [0, 1, 2])], 1)


def test_a_tail_is_told_before_the_error_that_ends_the_input() -> None:
    told: list[Any] = []
    with pytest.raises(Boom):
        run(abatch(4, min_size=3, report=told.append)(slow("abcdef", raises_at=6)()).collect())
    assert [(one.item, one.index) for one in told] == [("e", 4), ("f", 5)]


# By time.


def test_a_batch_leaves_when_its_oldest_item_has_waited() -> None:
    came = run(schedule(abatch(10, max_wait=2.5)(every(1, 7))))
    assert came == [(3.5, [0, 1, 2]), (6.5, [3, 4, 5]), (7.0, [6])]


def test_nothing_leaves_while_nothing_is_there() -> None:
    assert run(schedule(abatch(3, max_wait=0.1)(slow("a", 100, 100)()))) == [(100.1, ["a"])]


def test_a_pull_on_its_way_when_the_time_is_over_is_not_cancelled() -> None:
    cancelled = []

    async def source() -> AsyncIterator[str]:
        try:
            yield "a"
            await asyncio.sleep(5)
            yield "b"
        except asyncio.CancelledError:
            cancelled.append("b")
            raise

    assert run(schedule(abatch(3, max_wait=1)(source()))) == [(1.0, ["a"]), (5.0, ["b"])]
    assert cancelled == []


def test_an_item_and_the_end_of_the_time_at_one_moment_lose_nothing() -> None:
    came = run(schedule(abatch(3, max_wait=1.0)(every(1, 5))))
    assert [item for _, batch in came for item in batch] == list(range(5))


def test_while_the_reader_is_busy_one_item_waits_and_no_more() -> None:
    async def reader() -> tuple[int, int, list[Any]]:
        source = slow(range(100))
        async with abatch(10, max_wait=1)(source()) as batches:
            await anext(batches)
            await asyncio.sleep(60)
            return source.probe.pulls, len(asyncio.all_tasks()), await anext(batches)

    # The one that waited has waited too long, and what is at hand comes with it.
    assert run(reader()) == (11, 2, list(range(10, 20)))


def test_behind_a_slow_reader_a_buffer_fills_the_batches() -> None:
    async def without() -> list[int]:
        return [len(batch) for _, batch in await read_slowly(abatch(5, max_wait=0.5)(every(0.1, 20)), 1.0)]

    async def buffered() -> list[int]:
        stage = abuffer(5) | abatch(5, max_wait=0.5)
        return [len(batch) for _, batch in await read_slowly(stage(every(0.1, 20)), 1.0)]

    assert run(buffered()) == [5, 5, 5, 5]
    assert run(without())[:3] == [5, 1, 1]


def test_no_wait_at_all_gives_what_is_at_hand() -> None:
    assert run(schedule(abatch(3, max_wait=0)("abcd"))) == [(0.0, ["a", "b", "c"]), (0.0, ["d"])]
    assert run(schedule(abatch(3, max_wait=0)(every(1, 2)))) == [(1.0, [0]), (2.0, [1])]


def test_chunks_with_a_timeout_over_a_source_that_falls_silent() -> None:
    """What was asked of another library: a burst, a silence, a burst, and no batch held back by the silence."""
    burst = slow("abcdef", 0.0, 0.0, 0.0, 0.0, 3600.0, 0.0)
    came = run(schedule(abatch(3, max_wait=0.2)(burst())))
    assert came == [(0.0, ["a", "b", "c"]), (0.2, ["d"]), (3600.0, ["e", "f"])]


def test_a_reader_that_is_cancelled_while_a_batch_fills_leaves_nothing_behind() -> None:
    source = slow("abc", 1, 1, 60)

    async def impatient() -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(10):
                await anext(abatch(3, max_wait=30)(source()))
        assert len(asyncio.all_tasks()) == 1
        return asyncio.get_running_loop().time()

    assert run(impatient()) == 10.0
    assert source.probe.closes == 1


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        ({"max_size": 0}, ValueError, "abatch: max_size must be >= 1, got 0"),
        ({"max_size": "3"}, TypeError, "abatch: max_size must be a whole number, got '3'"),
        (
            {"max_size": 3, "min_size": 4},
            ValueError,
            "abatch: min_size must be <= max_size, which is 3, got 4",
        ),
        ({"max_size": 3, "min_size": 0}, ValueError, "abatch: min_size must be >= 1, got 0"),
        ({"max_size": 3, "max_wait": -1}, ValueError, "abatch: max_wait must be >= 0 and finite, got -1"),
        ({"max_size": 3, "report": "no"}, TypeError, "abatch: report must be a function, got str"),
    ],
)
def test_what_cannot_work_is_refused_at_once(
    given: dict[str, Any], error: type[Exception], said: str
) -> None:
    with pytest.raises(error) as refused:
        abatch(**given)
    assert str(refused.value) == said


def test_it_shows_how_it_is_configured() -> None:
    assert repr(abatch(3)) == "abatch(3)"
    assert (
        repr(abuffer(2) | abatch(3, min_size=2, max_wait=0.5))
        == "abuffer(2) | abatch(3, min_size=2, max_wait=0.5)"
    )


# Buffers.


def test_a_buffer_takes_the_longer_of_two_times_and_not_their_sum() -> None:
    assert run(read_slowly(abuffer(1)(every(1, 3)), 1)) == [(1.0, 0), (2.0, 1), (3.0, 2)]
    assert run(read_slowly(abuffer(0)(every(1, 3)), 1)) == [(1.0, 0), (3.0, 1), (5.0, 2)]


@pytest.mark.parametrize("n", [1, 2, 7])
def test_exactly_n_are_asked_for_beyond_the_ones_handed_on(n: int) -> None:
    async def reader() -> list[int]:
        source = slow((), endless=True)
        pulls = [source.probe.pulls]
        async with abuffer(n)(source()) as stream:
            for _ in range(3):
                await anext(stream)
                await asyncio.sleep(60)
                pulls.append(source.probe.pulls)
        return pulls

    assert run(reader()) == [0, 1 + n, 2 + n, 3 + n]


def test_a_buffer_of_none_begins_no_task() -> None:
    async def reader() -> int:
        async with abuffer(0)(every(1, 3)) as stream:
            await anext(stream)
            return len(asyncio.all_tasks())

    assert run(reader()) == 1


def test_what_is_in_the_buffer_when_the_input_ends_is_given() -> None:
    """A defect that others had: the last results were lost where the end came while they waited."""
    stage = (
        amap(lambda n: n, concurrency=3, ordered=False)
        | abuffer(4)
        | amap(lambda n: n, concurrency=2)
        | abuffer(2)
    )
    assert sorted(run(stage(range(50)).collect())) == list(range(50))


def test_the_error_waits_behind_the_items_before_it() -> None:
    async def reader() -> list[Any]:
        got: list[Any] = []
        try:
            async for item in abuffer(10)(slow("abc", raises_at=3)()):
                got.append(item)
                await asyncio.sleep(60)
        except Boom as boom:
            got.append(str(boom))
        return got

    assert run(reader()) == ["a", "b", "c", "source raised in place of item 3"]


def test_a_refusal_that_is_no_exception_reaches_the_reader_too() -> None:
    class Stop(BaseException):
        pass

    async def source() -> AsyncIterator[str]:
        yield "a"
        raise Stop

    async def reader() -> list[str]:
        got = []
        try:
            async for item in abuffer(2)(source()):
                got.append(item)
        except Stop:
            got.append("raised")
        return got

    assert run(reader()) == ["a", "raised"]


def test_a_cancellation_inside_the_input_is_the_readers_to_see() -> None:
    async def source() -> AsyncIterator[str]:
        yield "a"
        other = asyncio.ensure_future(asyncio.sleep(60))
        other.cancel()
        await other

    async def reader() -> list[str]:
        got = []
        try:
            async for item in abuffer(2)(source()):
                got.append(item)
        except asyncio.CancelledError:
            got.append("raised")
        return got

    assert run(reader()) == ["a", "raised"]


def test_an_input_that_raises_while_it_is_closed_says_so_to_whoever_closes() -> None:
    async def reader() -> None:
        stream = abuffer(2)(slow("abc", raises_on_close=True)())
        await anext(stream)
        await asyncio.sleep(1)
        with pytest.raises(Boom, match="while it was closed"):
            await stream.aclose()

    run(reader())


def test_an_input_that_takes_time_to_close_is_given_it() -> None:
    closed = []

    async def source() -> AsyncIterator[int]:
        try:
            yield 1
            yield 2
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(3)
            closed.append(asyncio.get_running_loop().time())

    async def reader() -> float:
        stream = abuffer(5)(source())
        await anext(stream)
        await asyncio.sleep(1)
        await stream.aclose()
        return asyncio.get_running_loop().time()

    assert (run(reader()), closed) == (4.0, [4.0])


def test_an_exhausted_input_that_is_being_closed_is_not_cancelled() -> None:
    ended: list[str] = []

    class Slow:
        def __init__(self) -> None:
            self.left = 2

        def __aiter__(self) -> Slow:
            return self

        async def __anext__(self) -> int:
            self.left -= 1
            if self.left < 0:
                raise StopAsyncIteration
            return self.left

        async def aclose(self) -> None:
            await asyncio.sleep(5)
            ended.append("closed")

    async def reader() -> float:
        stream = abuffer(3)(Slow())
        await anext(stream)
        await asyncio.sleep(1)
        await stream.aclose()
        return asyncio.get_running_loop().time()

    assert (run(reader()), ended) == (5.0, ["closed"])


def test_an_input_that_does_not_listen_to_being_cancelled_is_waited_for() -> None:
    async def source() -> AsyncIterator[int]:
        yield 1
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            await asyncio.sleep(2)
        while True:
            yield 2

    async def reader() -> float:
        stream = abuffer(5)(source())
        await anext(stream)
        await asyncio.sleep(1)
        await stream.aclose()
        return asyncio.get_running_loop().time()

    assert run(reader()) == 3.0


def test_what_has_been_handed_on_is_not_kept() -> None:
    class Big:
        pass

    async def source() -> AsyncIterator[Big]:
        for _ in range(5):
            yield Big()

    async def reader() -> int:
        alive: list[weakref.ref[Big]] = []
        most = 0
        async for big in abuffer(1)(source()):
            alive.append(weakref.ref(big))
            del big
            gc.collect()
            most = max(most, sum(one() is not None for one in alive))
        return most

    assert run(reader()) == 0


def test_two_streams_of_one_stage_do_not_meet() -> None:
    stage = abuffer(2)

    async def both() -> list[list[int]]:
        return await asyncio.gather(stage(every(1, 3)).collect(), stage(every(2, 2)).collect())

    assert run(both()) == [[0, 1, 2], [0, 1]]


def test_a_buffer_refuses_less_than_none() -> None:
    with pytest.raises(ValueError, match="abuffer: n must be >= 0, got -1"):
        abuffer(-1)
