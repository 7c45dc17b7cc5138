"""The loop in virtual time: schedules are exact, nothing waits, and what is left behind is told."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from contextvars import ContextVar
from math import inf
from time import perf_counter
from typing import TypeVar

import pytest
from hypothesis import given, settings, strategies as st

from funcpipe_rag.aio import abatch, amap, asource
from funcpipe_rag.aio.testing import Deadlock, LeftBehind, VirtualTimeLoop, run, schedule

T = TypeVar("T")

EIGHT = (0.1, 0.2, 0.3, 0.4, 0.5, 2.0, 0.7, 0.8)


async def after(delay: float) -> float:
    await asyncio.sleep(delay)
    return delay


def now() -> float:
    return asyncio.get_running_loop().time()


async def one_by_one(delays: tuple[float, ...]) -> AsyncIterator[float]:
    for delay in delays:
        yield await after(delay)


async def as_they_come(delays: tuple[float, ...]) -> AsyncIterator[float]:
    for done in asyncio.as_completed([asyncio.ensure_future(after(delay)) for delay in delays]):
        yield await done


def test_eight_delays_one_after_another_take_their_sum_and_together_the_longest() -> None:
    came = run(schedule(one_by_one(EIGHT)))
    assert [time for time, _ in came] == [0.1, 0.3, 0.6, 1.0, 1.5, 3.5, 4.2, 5.0]

    async def gathered() -> tuple[float, list[float]]:
        return now(), [*await asyncio.gather(*map(after, EIGHT)), now()]

    began, (*results, ended) = run(gathered())
    assert (began, results, ended) == (0.0, list(EIGHT), 2.0)


def test_each_result_comes_at_its_own_time_as_they_are_completed() -> None:
    assert run(schedule(as_they_come(EIGHT))) == [(delay, delay) for delay in sorted(EIGHT)]


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(0, 10**7), max_size=12))
def test_whatever_the_delays_each_task_ends_exactly_then(milliseconds: list[int]) -> None:
    delays = tuple(number / 1000 for number in milliseconds)

    async def ends(delay: float) -> float:
        await after(delay)
        return now()

    async def together() -> list[float]:
        return await asyncio.gather(*map(ends, delays))

    assert run(together()) == [round(delay, 9) for delay in delays]


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(1, 999), min_size=1, max_size=30))
def test_steps_add_up_as_they_do_on_paper(milliseconds: list[int]) -> None:
    came = run(schedule(one_by_one(tuple(number / 1000 for number in milliseconds))))
    assert [round(time * 1000) for time, _ in came] == [
        sum(milliseconds[: place + 1]) for place in range(len(milliseconds))
    ]
    assert all(time == round(time, 9) for time, _ in came)


def test_a_year_takes_a_moment() -> None:
    began = perf_counter()
    assert run(after(365 * 86_400.0)) == 365 * 86_400.0
    assert perf_counter() - began < 30


def test_a_timeout_comes_before_what_it_cuts_off() -> None:
    async def cut() -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1.5):
                await asyncio.sleep(1.501)
        return now()

    assert run(cut()) == 1.5


def test_code_costs_no_time() -> None:
    async def works() -> float:
        sum(range(200_000))
        await asyncio.sleep(0)
        return now()

    assert run(works()) == 0.0


def test_who_waits_for_nobody_is_told_and_named() -> None:
    async def hangs() -> None:
        asyncio.current_task().set_name("reader")  # type: ignore[union-attr]
        await asyncio.Queue[int]().get()

    with pytest.raises(Deadlock, match="nothing will wake one: task 'reader'"):
        run(hangs())


def test_who_sleeps_for_ever_is_told_too() -> None:
    with pytest.raises(Deadlock, match="nothing will wake one: task 'sleep'"):
        run(asyncio.sleep(inf))

    async def until_ten() -> float:
        with suppress(TimeoutError):
            async with asyncio.timeout(10):
                await asyncio.sleep(inf)
        return now()

    assert run(until_ten()) == 10


def test_a_thread_is_really_waited_for_and_time_stands_still_meanwhile() -> None:
    free = threading.Event()

    async def both() -> tuple[int, float]:
        timer = asyncio.create_task(after(5.0))
        working = asyncio.get_running_loop().run_in_executor(None, free.wait, 30)
        await asyncio.sleep(0)
        free.set()
        assert await working
        then = now()
        await timer
        return then == 0.0, now()

    assert run(both()) == (True, 5.0)


def test_a_task_that_goes_on_is_named_and_ended() -> None:
    ended = []

    async def clings() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append(True)

    async def forgets() -> None:
        asyncio.create_task(clings(), name="clings")  # noqa: RUF006
        await asyncio.sleep(1)

    with pytest.raises(LeftBehind, match="task 'clings' goes on"):
        run(forgets())
    assert ended == [True]


def test_an_open_generator_is_named() -> None:
    kept = []

    async def numbers() -> AsyncIterator[int]:
        yield 1
        yield 2

    async def stops_half_way() -> int:
        kept.append(numbers())
        return await anext(kept[0])

    with pytest.raises(LeftBehind, match=r"async generator '.*numbers' is open"):
        run(stops_half_way())


def test_an_error_that_nobody_looks_at_is_told() -> None:
    async def fails() -> None:
        raise ValueError("lost")

    async def forgets() -> None:
        asyncio.create_task(fails())  # noqa: RUF006
        await asyncio.sleep(1)

    with pytest.raises(LeftBehind, match=r"never retrieved \(ValueError: lost\)"):
        run(forgets())


def test_an_error_of_the_program_comes_out_and_nothing_else_is_said() -> None:
    async def fails() -> None:
        asyncio.create_task(after(60))  # noqa: RUF006
        raise KeyError("here")

    with pytest.raises(KeyError, match="here"):
        run(fails())


def test_a_schedule_closes_the_stream_when_it_fails() -> None:
    closed = []

    async def breaks() -> AsyncIterator[int]:
        try:
            yield 1
            raise ValueError("third")
        finally:
            closed.append(now())

    async def scheduled() -> None:
        with pytest.raises(ValueError, match="third"):
            await schedule(breaks())

    run(scheduled())
    assert closed == [0.0]


def test_the_loop_is_one_for_asyncio_s_own_runner() -> None:
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        assert runner.run(after(10)) == 10
        assert runner.get_loop().time() == 10.0
        assert runner.run(after(2)) == 2
        assert runner.get_loop().time() == 12.0


def in_a_cell(cell: Callable[[], T]) -> T:
    """What a notebook does: call a function while a loop runs in this very thread."""

    async def calling() -> T:
        return cell()

    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(calling())
    finally:
        loop.close()


def test_where_a_loop_runs_already_the_program_gets_a_thread_and_a_loop_of_its_own() -> None:
    async def where() -> tuple[float, float, bool]:
        began = now()
        await after(3600)
        return began, now(), threading.current_thread() is threading.main_thread()

    assert in_a_cell(lambda: run(where())) == (0.0, 3600.0, False)
    assert run(where()) == (0.0, 3600.0, True)
    assert not [thread for thread in threading.enumerate() if thread.name == "virtual time"]


def test_in_a_thread_of_its_own_errors_context_and_what_is_left_behind_are_as_ever() -> None:
    who: ContextVar[str] = ContextVar("who", default="nobody")

    async def fails() -> None:
        raise ValueError("no such page")

    async def forgets() -> None:
        asyncio.create_task(after(60), name="a minute")  # noqa: RUF006

    async def waits() -> None:
        await asyncio.Event().wait()

    async def asks() -> str:
        said = who.get()
        who.set("the program")
        return said

    def cell() -> tuple[str, str]:
        who.set("the cell")
        return run(asks()), who.get()

    assert in_a_cell(cell) == ("the cell", "the cell")
    for program, kind, words in (
        (fails, ValueError, "no such page"),
        (forgets, LeftBehind, "task 'a minute' goes on"),
        (waits, Deadlock, "every task waits"),
    ):
        with pytest.raises(kind, match=words):
            in_a_cell(lambda program=program: run(program()))


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="needs POSIX signals")
def test_who_interrupts_the_waiting_cancels_the_program_in_its_thread() -> None:
    ended: list[float] = []

    async def for_ever() -> None:
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        try:
            while True:
                await asyncio.sleep(1)
        finally:
            await asyncio.sleep(2)
            ended.append(now())

    with pytest.raises(KeyboardInterrupt):
        in_a_cell(lambda: run(for_ever()))
    assert len(ended) == 1
    assert not [thread for thread in threading.enumerate() if thread.name == "virtual time"]


def test_a_stream_in_the_place_of_a_program_and_a_stage_in_that_of_a_stream_are_told_how_to_write_it() -> (
    None
):
    stage = amap(str, concurrency=2)
    with pytest.raises(
        TypeError, match=r"run: wants a coroutine, got <async stream of amap\(str, concurrency=2\)>"
    ):
        run(stage([1]))  # type: ignore[arg-type]
    with pytest.raises(
        TypeError, match="schedule: wants an async stream, got _Mapped; call it with its input first"
    ):
        run(schedule(stage))  # type: ignore[arg-type]


def test_a_stream_is_shown_as_what_it_is_a_stream_of() -> None:
    stage = amap(str, concurrency=2)
    assert repr((stage | abatch(2))([1])) == "<async stream of amap(str, concurrency=2) | abatch(2)>"
    assert repr((asource(lambda: [1]) | stage)()).endswith("| amap(str, concurrency=2)>")
