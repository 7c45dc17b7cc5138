"""Programs of async stages, broken off at every await point that they reach, in every way: nothing is left behind.

Each program is drawn at random and run once as it is, which counts its steps: how often any of its tasks came to
wait. Then it is run again for each step and each way of breaking off. All in virtual time, so a step is a step.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import pytest
from hypothesis import Phase, given, settings, strategies as st

from funcpipe_rag.aio import (
    AsyncSource,
    abatch,
    abroadcast,
    abuffer,
    achain,
    amap,
    amerge,
    amerge_sorted,
    aprogress,
    arate_limit,
    aroundrobin,
    asource,
    athrottle,
    atimeout,
    azip,
    batch_task,
    single_task,
)
from funcpipe_rag.aio.probe import AsyncProbe
from funcpipe_rag.aio.testing import run
from funcpipe_rag.streams.probe import Boom, Probe
from funcpipe_rag.streams.results import Err
from funcpipe_rag.streams.retrying import Backoff, RetryPolicy

pytestmark = pytest.mark.filterwarnings("error")

Options = Mapping[str, Any]


def flat(thing: Any) -> list[int]:
    """The items in whatever a stage has made of them: batches, failures, items."""
    if isinstance(thing, Err):
        return flat(thing.item)
    return [item for part in thing for item in flat(part)] if isinstance(thing, list | tuple) else [thing]


class Calls:
    """What the stages of a program call: each call takes its time, and one of them may fail."""

    def __init__(self, delays: tuple[float, ...], fails_at: int | None) -> None:
        self.delays, self.fails_at = delays, fails_at
        self.began = self.live = 0
        self.failed = False
        self.told: list[Err[Any]] = []

    def plain(self, thing: Any) -> Any:
        self.began += 1
        if self.began - 1 == self.fails_at:
            self.failed = True
            raise Boom(f"call {self.fails_at} failed")
        return thing

    async def __call__(self, thing: Any) -> Any:
        self.live += 1
        delay = self.delays[sum(flat(thing)) % len(self.delays)]
        try:
            self.plain(thing)
            if delay is not None:
                await asyncio.sleep(delay)
            return thing
        except asyncio.CancelledError:
            # Whoever is cancelled may take its time about it.
            await asyncio.sleep(0.25)
            raise
        finally:
            self.live -= 1


async def split_and_zipped(xs: AsyncIterator[Any], *, maxlen: int) -> AsyncIterator[Any]:
    left, right = abroadcast(xs, 2, maxlen=maxlen)
    async with azip(lambda: left, lambda: right)() as both:
        async for one, other in both:
            assert one is other
            yield one


def mapped(calls: Calls, *, plain: bool, **options: Any) -> Any:
    return amap(calls.plain if plain else calls, report=calls.told.append, **options)


_CONCURRENT = {"concurrency": st.integers(1, 3), "max_ahead": st.none() | st.integers(0, 3)}

STAGES: dict[str, tuple[Callable[..., Any], Options]] = {
    "amap": (mapped, {"plain": st.just(False), "ordered": st.booleans(), **_CONCURRENT}),
    "amap, forgiving": (
        mapped,
        {
            "plain": st.booleans(),
            "ordered": st.booleans(),
            "timeout": st.sampled_from([None, 0.4, 5.0]),
            "retry": st.sampled_from([None, RetryPolicy(attempts=2, backoff=Backoff(base=0.5))]),
            "on_error": st.sampled_from(["skip", "collect"]),
            **_CONCURRENT,
        },
    ),
    "abatch": (
        lambda calls, **options: abatch(**options),
        {"max_size": st.integers(1, 3), "max_wait": st.sampled_from([None, 0.75])},
    ),
    "abuffer": (lambda calls, n: abuffer(n), {"n": st.integers(1, 3)}),
    "abroadcast": (
        lambda calls, **options: partial(split_and_zipped, **options),
        {"maxlen": st.integers(1, 2)},
    ),
    "aprogress": (lambda calls: aprogress(), {}),
    "arate_limit": (lambda calls, rate: arate_limit(rate, 1), {"rate": st.sampled_from([1.0, 4.0])}),
    "athrottle": (lambda calls, gap: athrottle(gap), {"gap": st.sampled_from([0.25, 1.0])}),
    "batch_task": (
        lambda calls, **options: batch_task(calls, **options),
        {
            "max_size": st.integers(1, 3),
            "max_wait": st.sampled_from([None, 0.75]),
            "concurrency_limit": st.integers(1, 3),
        },
    ),
    "single_task": (
        lambda calls, **options: single_task(calls, **options),
        {"concurrency_limit": st.integers(1, 3), "timeout": st.sampled_from([None, 50.0])},
    ),
    "atimeout": (lambda calls, seconds: atimeout(seconds), {"seconds": st.just(100.0)}),
}
"""A line a stage: how it is made of the calls and its options, and what these may be."""

FAN_INS: dict[str, Callable[..., AsyncSource[Any]]] = {
    "achain": achain,
    "amerge": amerge,
    "amerge_sorted": amerge_sorted,
    "aroundrobin": aroundrobin,
    "azip": azip,
}
"""A line a function that makes one source of several."""

NOT_TO_THE_END = ("azip",)
"""The shortest source ends it, so the others are not read to theirs."""


class Program(NamedTuple):
    """A pipeline as data: its sources by what each item takes, how they become one, its stages and their options."""

    sources: tuple[tuple[float, ...], ...]
    joined: str
    stages: tuple[tuple[str, Options], ...]
    delays: tuple[float | None, ...]
    rest: float | None
    """How long the reader rests behind each item."""

    @property
    def items(self) -> list[int]:
        return [100 * place + at for place, takes in enumerate(self.sources) for at in range(len(takes))]

    @property
    def in_order(self) -> bool:
        return len(self.sources) == 1 and all(options.get("ordered", True) for _, options in self.stages)

    @property
    def to_the_end(self) -> bool:
        return self.joined not in NOT_TO_THE_END

    @property
    def strict(self) -> bool:
        """Whether an error in a call ends it."""
        return not any("forgiving" in name for name, _ in self.stages)


_SECONDS = st.sampled_from([0.0, 0.5, 1.0, 1.5])


@st.composite
def programs(draw: Any, *, about: str, most_items: int = 4, most_stages: int = 3) -> Program:
    many = draw(st.integers(2 if about in FAN_INS else 1, 3))
    takes = st.lists(_SECONDS, max_size=max(1, most_items // many)).map(tuple)
    names = draw(st.lists(st.sampled_from(list(STAGES)), max_size=most_stages))
    if about in STAGES:
        names.insert(draw(st.integers(0, len(names))), about)
    joined = st.just(about) if about in FAN_INS else st.sampled_from(list(FAN_INS))
    return Program(
        tuple(draw(takes) for _ in range(many)),
        draw(joined) if many > 1 else "",
        tuple((name, draw(st.fixed_dictionaries(dict(STAGES[name][1])))) for name in names),
        tuple(draw(st.lists(st.none() | _SECONDS, min_size=1, max_size=3))),
        draw(st.sampled_from([None, 0.0, 1.0])),
    )


@dataclass
class Ran:
    """What came of one run."""

    steps: int = 0
    got: list[Any] = field(default_factory=list)
    outcome: str = "read"
    left_live: int = 0
    left_tasks: int = 0
    failed: bool = False
    acted: bool = False
    probes: list[Probe] = field(default_factory=list)


class Steps:
    """Counts the steps of all tasks that are made from now on, and acts at one of them."""

    def __init__(self, at: int | None) -> None:
        self.at, self.count = at, 0
        self.act: Callable[[], object] = lambda: None

    def factory(
        self, loop: asyncio.AbstractEventLoop, coro: Coroutine[Any, Any, Any], **options: Any
    ) -> asyncio.Task[Any]:
        return asyncio.Task(_Watched(coro, self), loop=loop, **options)

    def one_more(self) -> None:
        self.count += 1
        if self.count == self.at:
            self.act()


class _Watched(Coroutine[Any, Any, Any]):
    """A coroutine that tells whenever it comes to wait."""

    def __init__(self, coro: Coroutine[Any, Any, Any], steps: Steps) -> None:
        self._coro, self._steps = coro, steps

    def send(self, value: Any) -> Any:
        waits_for = self._coro.send(value)
        self._steps.one_more()
        return waits_for

    def throw(self, *error: Any) -> Any:
        waits_for = self._coro.throw(*error)
        self._steps.one_more()
        return waits_for

    def close(self) -> None:
        self._coro.close()

    def __await__(self) -> Any:
        raise TypeError("only a task steps it")


WAYS = ("cancel", "cancel twice", "time out", "close")


def ran(
    program: Program,
    *,
    way: str = "",
    at: int | None = None,
    leave_after: int | None = None,
    source_fails_at: int | None = None,
    call_fails_at: int | None = None,
) -> Ran:
    """Run a program; break it off at step `at` in some `way`, or after so many items, or by an error."""
    told = Ran()
    calls = Calls(program.delays, call_fails_at)  # type: ignore[arg-type]
    for place, takes in enumerate(program.sources):
        fails = source_fails_at if place == 0 else None
        told.probes.append(
            Probe([100 * place + n for n in range(len(takes))], name=f"s{place}", raises_at=fails)
        )
    sources = [
        asource(AsyncProbe(probe, takes=takes))
        for probe, takes in zip(told.probes, program.sources, strict=True)
    ]
    pipeline: Any = FAN_INS[program.joined](*sources) if program.joined else sources[0]
    for name, options in program.stages:
        pipeline = pipeline | STAGES[name][0](calls, **options)

    async def read(limit: asyncio.Timeout, stop: asyncio.Event) -> None:
        async with limit, pipeline() as stream:
            if leave_after == 0:
                return
            async for item in stream if way != "close" else until(stop, stream):
                told.got.append(item)
                if len(told.got) == leave_after:
                    return
                if program.rest is not None:
                    await asyncio.sleep(program.rest)

    async def main() -> None:
        loop, steps = asyncio.get_running_loop(), Steps(at)
        loop.set_task_factory(steps.factory)
        others, limit, stop = asyncio.all_tasks(), asyncio.timeout(None), asyncio.Event()
        reader = loop.create_task(read(limit, stop), name="reader")

        def cancels() -> None:
            told.acted = told.acted or reader.cancel()
            if way == "cancel twice" and steps.at is not None:
                steps.at += 2
                steps.act = reader.cancel

        def times_out() -> None:
            if limit.when() is None and not reader.done() and reader_is_in(limit):
                told.acted = True
                limit.reschedule(loop.time())

        steps.act = {"time out": times_out, "close": stop.set}.get(way, cancels)
        await asyncio.wait([reader])
        told.left_live, told.left_tasks = calls.live, len(asyncio.all_tasks() - others - {reader})
        told.steps, told.failed = steps.count, calls.failed
        if reader.cancelled():
            told.outcome = "cancelled"
        elif (error := reader.exception()) is not None:
            told.outcome = type(error).__name__

    run(main())
    return told


def reader_is_in(limit: asyncio.Timeout) -> bool:
    # What has not been entered, or has been left, cannot be moved.
    with suppress(RuntimeError):
        limit.reschedule(None)
        return True
    return False


async def until(stop: asyncio.Event, stream: Any) -> AsyncIterator[Any]:
    """The items of a stream until somebody says stop: then it is closed while an item is on its way."""
    stopped = asyncio.ensure_future(stop.wait())
    coming: asyncio.Future[Any] = asyncio.ensure_future(next_of(stream))
    try:
        while True:
            await asyncio.wait([coming, stopped], return_when=asyncio.FIRST_COMPLETED)
            if not coming.done():
                return
            for item in coming.result():
                yield item
            if not coming.result():
                return
            coming = asyncio.ensure_future(next_of(stream))
    finally:
        for task in coming, stopped:
            task.cancel()
            while not task.done():
                with suppress(asyncio.CancelledError):
                    await asyncio.wait([task])
            if not task.cancelled():
                task.exception()
        await stream.aclose()


async def next_of(stream: Any) -> list[Any]:
    async for item in stream:
        return [item]
    return []


def nothing_is_left(program: Program, told: Ran) -> None:
    """What must be true however a run has ended; `run` itself sees to tasks, generators and the loop's log."""
    assert told.left_live == 0
    assert told.left_tasks == 0
    for probe in told.probes:
        assert probe.opens <= 1
        assert probe.closes == probe.opens, f"{probe} was opened {probe.opens}, closed {probe.closes} times"
    items = [item for thing in told.got for item in flat(thing)]
    assert len(items) == len(set(items)), f"an item was given twice: {items}"
    assert set(items) <= set(program.items)
    if program.in_order:
        assert items == sorted(items)


def every_way_of_breaking_off(program: Program) -> int:
    """Run it once as it is and once for each step and way; how many runs that were."""
    whole = ran(program)
    nothing_is_left(program, whole)
    runs = 1
    assert whole.outcome == "read"
    items = [item for thing in whole.got for item in flat(thing)]
    if program.strict and program.to_the_end:
        assert sorted(items) == program.items
    for at in range(1, whole.steps + 1):
        for way in WAYS:
            told = ran(program, way=way, at=at)
            runs += 1
            nothing_is_left(program, told)
            if told.acted:
                assert told.outcome == ("TimeoutError" if way == "time out" else "cancelled"), (way, at)
            else:
                assert told.outcome == "read", (way, at)
    for many in range(len(whole.got) + 1):
        told = ran(program, leave_after=many)
        runs += 1
        nothing_is_left(program, told)
        assert told.outcome == "read"
        assert len(told.got) == many
    for at in range(len(program.sources[0]) + 1):
        told = ran(program, source_fails_at=at)
        runs += 1
        nothing_is_left(program, told)
        assert told.outcome == "Boom" or not program.to_the_end
    for at in range(len(program.items)):
        told = ran(program, call_fails_at=at)
        runs += 1
        nothing_is_left(program, told)
        if program.strict:
            assert told.outcome == ("Boom" if told.failed else "read")
    return runs


# Programs are small as they are drawn, and to make a hundred runs smaller takes minutes.
DRAWN = settings(deadline=None, derandomize=True, database=None, phases=[Phase.generate])


ABOUT = pytest.mark.parametrize("about", [*STAGES, *FAN_INS])


@ABOUT
@settings(DRAWN, max_examples=6)
@given(data=st.data())
def test_a_program_broken_off_anywhere_leaves_nothing_behind(about: str, data: st.DataObject) -> None:
    every_way_of_breaking_off(data.draw(programs(about=about, most_stages=1)))


@pytest.mark.slow
@ABOUT
@settings(DRAWN, max_examples=20)
@given(data=st.data())
def test_and_so_do_many_longer_ones(about: str, data: st.DataObject) -> None:
    every_way_of_breaking_off(data.draw(programs(about=about, most_items=5, most_stages=2)))
