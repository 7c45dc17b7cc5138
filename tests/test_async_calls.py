"""The engine of calls side by side: a call begins at the very time when there is a place for it, and never before."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Sequence
from contextvars import ContextVar
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from funcpipe_rag.aio import abuffer, amap
from funcpipe_rag.aio.testing import VirtualTimeLoop, run, schedule

delays = st.lists(st.integers(0, 4), max_size=16)
few = st.integers(1, 5)
LONG = 100
SET = ContextVar("set", default=0)


def expected(
    delays: Sequence[int], concurrency: int, places: int, ordered: bool
) -> tuple[list[float], list[float]]:
    """When each call begins and when its result is handed on, on paper: for a reader who is always there."""
    began: list[float] = []
    ended: list[float] = []
    handed_on: list[float] = []
    for delay in delays:
        times = sorted({0.0, *began[-1:], *ended, *handed_on})
        begins = next(
            t
            for t in times
            if t >= max(began, default=0)
            and sum(end > t for end in ended) < concurrency
            and sum(left > t for left in handed_on) < places
        )
        began.append(begins)
        ended.append(begins + delay)
        handed_on.append(max([ended[-1], *handed_on]) if ordered else ended[-1])
    return began, handed_on


async def generated(items: Sequence[int]) -> AsyncIterator[int]:
    for item in items:
        yield item


@pytest.mark.parametrize("sets", [False, True], ids=["", "sets a context variable"])
@pytest.mark.parametrize("source", [list, generated], ids=["a list", "an async generator"])
@settings(deadline=None)
@given(delays=delays, concurrency=st.integers(2, 5), max_ahead=st.integers(0, 5), ordered=st.booleans())
def test_a_place_is_taken_the_moment_it_is_free(
    source: type, sets: bool, delays: list[int], concurrency: int, max_ahead: int, ordered: bool
) -> None:
    began: list[float] = []

    async def takes(seconds: int) -> int:
        began.append(asyncio.get_running_loop().time())
        await asyncio.sleep(seconds)
        if sets:
            # Each such call costs its worker, and another one goes on.
            assert SET.get() == 0
            SET.set(1)
        return seconds

    many = amap(takes, concurrency=concurrency, max_ahead=max_ahead, ordered=ordered)
    got = run(schedule(many(source(delays))))
    begins, handed_on = expected(delays, concurrency, max_ahead + 1, ordered)
    assert began == begins
    assert [t for t, _ in got] == sorted(handed_on)
    if ordered:
        assert [item for _, item in got] == delays


@settings(deadline=None)
@given(
    delays=delays,
    pauses=st.lists(st.sampled_from([0, 1, 2, LONG]), min_size=1),
    concurrency=st.integers(2, 5),
    max_ahead=few,
)
def test_while_the_reader_is_busy_the_places_fill_up_and_no_further(
    delays: list[int], pauses: list[int], concurrency: int, max_ahead: int
) -> None:
    begun = given_out = most = 0

    async def takes(seconds: int) -> int:
        nonlocal begun, most
        begun += 1
        most = max(most, begun - given_out)
        await asyncio.sleep(seconds)
        return seconds

    async def read() -> None:
        nonlocal given_out
        async for _ in amap(takes, concurrency=concurrency, max_ahead=max_ahead)(delays):
            given_out += 1
            await asyncio.sleep(pauses[given_out % len(pauses)])
            # Nobody has asked for more, and yet every place is taken again; its call has ended, or it runs.
            if pauses[given_out % len(pauses)] == LONG:
                assert begun - given_out == min(max_ahead + 1, len(delays) - given_out)

    run(read())
    assert most <= max_ahead + 1


def test_with_one_place_a_slow_reader_is_waited_for() -> None:
    async def read() -> list[tuple[int, float]]:
        began: list[tuple[int, float]] = []

        async def takes(item: int) -> None:
            began.append((item, asyncio.get_running_loop().time()))
            await asyncio.sleep(1)

        async for _ in amap(takes, concurrency=4, max_ahead=0)(range(3)):
            await asyncio.sleep(10)
        return began

    assert run(read()) == [(0, 0.0), (1, 11.0), (2, 22.0)]


def test_a_buffer_lets_an_input_hold_a_context_variable_and_a_timeout_over_its_items() -> None:
    async def holds() -> AsyncIterator[int]:
        token = SET.set(1)
        try:
            async with asyncio.timeout(60):
                for item in range(4):
                    await asyncio.sleep(1)
                    yield item
        finally:
            SET.reset(token)

    async def takes(item: int) -> int:
        await asyncio.sleep(3)
        return item

    assert run((abuffer(1) | amap(takes, concurrency=2))(holds()).collect()) == [0, 1, 2, 3]


@pytest.mark.parametrize("stops", [KeyboardInterrupt, SystemExit])
def test_what_stops_the_loop_is_not_logged_as_well_and_ends_the_stream(stops: type[BaseException]) -> None:
    told: list[dict[str, Any]] = []

    async def exits(item: int) -> None:
        await asyncio.sleep(item)
        if item == 1:
            raise stops

    loop = VirtualTimeLoop()
    loop.set_exception_handler(lambda _, context: told.append(context))
    reading = loop.create_task(amap(exits, concurrency=2)([1, 9]).collect())
    with pytest.raises(stops):
        loop.run_until_complete(reading)
    # As in a notebook, whose loop goes on: the reader does not wait for what will never come.
    with pytest.raises(stops):
        loop.run_until_complete(reading)
    assert isinstance(reading.exception(), stops)
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()
    gc.collect()
    assert told == []
