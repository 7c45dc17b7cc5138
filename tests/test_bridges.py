"""What the laws of the bridges do not say: threads and cancelling, loops and interrupts, what is left behind."""

from __future__ import annotations

import asyncio
import gc
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import funcpipe_rag
from funcpipe_rag import amap, athrottle, collect, from_sync, to_sync
from funcpipe_rag.aio.probe import AsyncProbe, CallProbe
from funcpipe_rag.aio.testing import Deadlock, VirtualTimeLoop, run
from funcpipe_rag.streams.probe import Boom, Probe

ROOT = Path(funcpipe_rag.__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def nothing_is_left_for_the_collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A loop, a task or a coroutine that nobody has closed says so when it is collected."""
    before = set(threading.enumerate())
    said: list[str] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda told: said.append(repr(told.exc_value)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield
        gc.collect()
    assert said == []
    assert set(threading.enumerate()) <= before


def test_what_is_collected_is_a_coroutine_and_touches_nothing_before_it_is_awaited() -> None:
    probe = AsyncProbe(Probe("ab"))
    later = collect(probe())
    later.close()
    assert (probe.probe.pulls, probe.probe.closes) == (0, 0)
    assert run(collect("ab")) == ["a", "b"]


class Steps:
    """A sync iterator whose items are made when the test says so. Counts who makes them, and how many at a time."""

    def __init__(self) -> None:
        self.begun, self.go_on = threading.Semaphore(0), threading.Semaphore(0)
        self.made = self.closed = self.running = self.most = 0
        self.threads: set[str] = set()

    def __iter__(self) -> Iterator[int]:
        return self

    def __next__(self) -> int:
        self.running += 1
        self.most = max(self.most, self.running)
        self.threads.add(threading.current_thread().name)
        self.begun.release()
        self.go_on.acquire()
        self.made += 1
        self.running -= 1
        return self.made

    def close(self) -> None:
        assert not self.running, "closed while an item was being made"
        self.threads.add(threading.current_thread().name)
        self.closed += 1


def test_whoever_is_cancelled_waits_for_the_item_that_is_being_made_and_closes_behind_it() -> None:
    steps = Steps()

    async def main(pool: ThreadPoolExecutor) -> None:
        reader = asyncio.create_task(anext(from_sync(steps, executor=pool)))
        await asyncio.to_thread(steps.begun.acquire)
        for _ in range(3):
            reader.cancel()
            await asyncio.sleep(0)
        assert (reader.done(), steps.closed) == (False, 0)
        steps.go_on.release()
        with pytest.raises(asyncio.CancelledError):
            await reader
        assert (steps.made, steps.closed, steps.most) == (1, 1, 1)

    with ThreadPoolExecutor(3, thread_name_prefix="pool") as pool:
        run(main(pool))
    assert all(name.startswith("pool") for name in steps.threads)


def test_the_loop_goes_on_while_an_item_is_made() -> None:
    steps = Steps()

    async def main(pool: ThreadPoolExecutor) -> list[str]:
        said = []
        stream = from_sync(steps, executor=pool)
        reader = asyncio.create_task(anext(stream))
        await asyncio.to_thread(steps.begun.acquire)
        said.append("the loop goes on")
        steps.go_on.release()
        said.append(f"item {await reader}")
        await stream.aclose()
        return said

    with ThreadPoolExecutor(1) as pool:
        assert run(main(pool)) == ["the loop goes on", "item 1"]
    assert steps.closed == 1


def test_an_executor_that_was_shut_down_meanwhile_leaves_nothing_open() -> None:
    probe = Probe("abc")

    async def main() -> None:
        with ThreadPoolExecutor(1) as pool:
            stream = from_sync(probe(), executor=pool)
            assert await anext(stream) == "a"
        await stream.aclose()

    run(main())
    assert probe.closes == 1


def test_a_close_that_finds_no_thread_free_and_is_cancelled_is_done_here() -> None:
    probe = Probe("abc")
    busy = threading.Event()

    async def main(pool: ThreadPoolExecutor) -> None:
        stream = from_sync(probe(), executor=pool)
        assert await anext(stream) == "a"
        blocked = pool.submit(busy.wait)
        closing = asyncio.create_task(stream.aclose())
        for _ in range(5):
            await asyncio.sleep(0)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        assert probe.closes == 1
        busy.set()
        assert blocked.result()

    with ThreadPoolExecutor(1) as pool:
        run(main(pool))
    assert probe.closes == 1


@pytest.mark.parametrize("threads", [False, True])
def test_an_error_of_the_closing_is_told_and_the_iterator_is_closed_once(threads: bool) -> None:
    probe = Probe("ab", raises_on_close=True)

    async def main(pool: ThreadPoolExecutor) -> None:
        stream = from_sync(probe(), executor=pool if threads else None)
        assert await anext(stream) == "a"
        with pytest.raises(Boom):
            await stream.aclose()

    with ThreadPoolExecutor(1) as pool:
        run(main(pool))
    assert probe.closes == 1


class Watched:
    """Numbers without end. Says which loop it lived on, and when it was closed."""

    def __init__(self, takes: float = 0.0) -> None:
        self.takes = takes
        self.closed = 0
        self.loops: list[asyncio.AbstractEventLoop] = []

    async def __call__(self) -> AsyncIterator[int]:
        self.loops.append(asyncio.get_running_loop())
        number = 0
        try:
            while True:
                await asyncio.sleep(self.takes)
                yield number
                number += 1
        finally:
            await asyncio.sleep(self.takes)
            self.closed += 1

    def gone(self) -> bool:
        return self.closed == len(self.loops) == 1 and self.loops[0].is_closed()


def test_leaving_early_closes_the_stream_on_its_loop_and_the_loop() -> None:
    watched = Watched()
    for number in to_sync(watched()):
        if number == 2:
            break
    assert watched.gone()


def test_what_is_dropped_in_a_cycle_is_closed_when_it_is_collected() -> None:
    watched = Watched()
    owner: list[Any] = [to_sync(watched())]
    owner.append(owner)
    assert next(owner[0]) == 0
    del owner
    gc.collect()
    assert watched.gone()


def test_an_error_of_yours_thrown_in_closes_as_well() -> None:
    watched = Watched()
    it = to_sync(watched())
    assert next(it) == 0
    with pytest.raises(Boom):
        it.throw(Boom("mine"))
    assert watched.gone()


def test_calls_that_run_ahead_go_on_between_items_and_are_cancelled_with_it() -> None:
    calls = CallProbe(takes=dict.fromkeys(range(3, 10), 100.0), cleanup=2.0)
    loops: list[VirtualTimeLoop] = []

    def virtual() -> VirtualTimeLoop:
        loops.append(VirtualTimeLoop())
        return loops[0]

    it = to_sync(amap(calls, concurrency=4)(range(10)), loop_factory=virtual)
    assert [next(it) for _ in range(3)] == [0, 1, 2]
    assert (calls.began[:4], loops[0].time()) == ([0, 1, 2, 3], 0.0)
    assert calls.live
    it.close()
    assert (calls.live, sorted(calls.cancelled), loops[0].time()) == (0, calls.began[3:], 2.0)
    assert loops[0].is_closed()


def test_it_takes_the_time_that_the_stream_takes() -> None:
    clock = VirtualTimeLoop()
    came = [(clock.time(), item) for item in to_sync(athrottle(1)("abc"), loop_factory=lambda: clock)]
    assert came == [(0.0, "a"), (1.0, "b"), (2.0, "c")]


def test_two_side_by_side_in_one_thread_do_not_disturb_each_other() -> None:
    left, right = Watched(), Watched()
    pairs = zip(to_sync(left()), to_sync(right()), strict=True)
    assert [next(pairs), next(pairs)] == [(0, 0), (1, 1)]
    del pairs
    assert left.gone()
    assert right.gone()


def test_what_hangs_in_virtual_time_says_so_and_is_closed() -> None:
    ended: list[str] = []

    async def hangs() -> AsyncIterator[int]:
        try:
            await asyncio.get_running_loop().create_future()
            yield 0
        finally:
            ended.append("closed")

    with pytest.raises(Deadlock):
        next(to_sync(hangs(), loop_factory=VirtualTimeLoop))
    assert ended == ["closed"]


def test_inside_a_running_loop_it_is_refused_and_names_the_way_out() -> None:
    watched = Watched()
    begun = to_sync(watched())
    assert next(begun) == 0

    async def main() -> None:
        probe = AsyncProbe(Probe("ab"))
        with pytest.raises(
            RuntimeError, match=r"to_sync: a loop is running .* write `async for item in stream:`"
        ):
            to_sync(probe())
        assert probe.probe.pulls == 0
        # One that was begun outside is closed all the same: its loop runs in another thread for that.
        with pytest.raises(RuntimeError, match="to_sync: a loop is running"):
            next(begun)
        assert watched.gone()

    run(main())


def test_what_is_collected_inside_a_running_loop_is_closed() -> None:
    watched = Watched()
    held = [to_sync(watched())]
    assert next(held[0]) == 0

    async def main() -> None:
        held.clear()
        assert watched.gone()

    run(main())


def test_an_error_of_the_closing_comes_out_and_the_loop_is_closed() -> None:
    loops: list[asyncio.AbstractEventLoop] = []

    async def breaks() -> AsyncIterator[int]:
        loops.append(asyncio.get_running_loop())
        try:
            yield 0
        finally:
            raise Boom("the connection was gone")

    it = to_sync(breaks())
    assert next(it) == 0
    with pytest.raises(Boom, match="the connection was gone"):
        it.close()
    assert loops[0].is_closed()


def test_an_error_comes_as_it_is_with_the_place_where_it_was_raised() -> None:
    failure = Boom("as it is")

    async def fails() -> AsyncIterator[int]:
        yield 0
        raise failure

    it = to_sync(fails())
    assert next(it) == 0
    with pytest.raises(Boom) as raised:
        next(it)
    assert raised.value is failure
    assert "fails" in [entry.name for entry in raised.traceback]
    assert list(it) == []


def test_a_task_that_the_stream_leaves_behind_is_cancelled_with_the_loop() -> None:
    ended: list[str] = []

    async def forever() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            ended.append("cancelled")

    async def forgets() -> AsyncIterator[Any]:
        yield asyncio.create_task(forever())
        await asyncio.sleep(0)

    assert [task.done() for task in to_sync(forgets())] == [False]
    assert ended == ["cancelled"]


def test_the_threads_own_loop_is_left_alone() -> None:
    policy = asyncio.get_event_loop_policy()
    mine = asyncio.new_event_loop()
    asyncio.set_event_loop(mine)
    try:
        for _ in to_sync("ab"):
            assert policy.get_event_loop() is mine
        assert policy.get_event_loop() is mine
    finally:
        asyncio.set_event_loop(None)
        mine.close()


@pytest.mark.skipif(not hasattr(signal, "raise_signal"), reason="needs signals")
def test_an_interrupt_while_it_waits_closes_the_stream_and_comes_through() -> None:
    closed: list[str] = []

    async def interrupted() -> AsyncIterator[int]:
        try:
            yield 0
            signal.raise_signal(signal.SIGINT)
            await asyncio.sleep(3600)
            yield 1
        finally:
            await asyncio.sleep(0)
            closed.append("closed")

    # A process in the background is born deaf to Ctrl-C.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        it = to_sync(interrupted())
        assert next(it) == 0
        with pytest.raises(KeyboardInterrupt):
            next(it)
    finally:
        signal.signal(signal.SIGINT, before)
    assert closed == ["closed"]


def test_what_a_program_holds_to_its_end_says_nothing() -> None:
    program = (
        "from funcpipe_rag import amap, to_sync\n"
        "it = to_sync(amap(abs, concurrency=4)(range(-9, 0)))\n"
        "print(next(it))\n"
    )
    ended = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (ended.stdout, ended.stderr, ended.returncode) == ("9\n", "", 0)


def test_there_and_back_again() -> None:
    with ThreadPoolExecutor(1) as pool:
        assert list(to_sync(from_sync(iter("abc"), executor=pool))) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("call", "kind", "said"),
    [
        (lambda: collect(3), TypeError, "collect: wants an iterable, sync or async, got int"),
        (lambda: collect(Watched()), TypeError, "got Watched; call it first"),
        (lambda: to_sync(3), TypeError, "to_sync: wants an iterable, sync or async, got int"),
        (
            lambda: to_sync("a", loop_factory=3),
            TypeError,
            "to_sync: loop_factory must be a function, got int",
        ),
        (lambda: from_sync(3), TypeError, "from_sync: wants a sync iterable, got int"),
        (
            lambda: from_sync(Watched()),
            TypeError,
            "from_sync: wants a sync iterable, got Watched; call it first",
        ),
        (lambda: from_sync(amap(abs)("a")), TypeError, "got AsyncStream; it is async already"),
        (lambda: from_sync("a", executor=3), TypeError, "from_sync: executor must be an Executor, got int"),
    ],
)
def test_what_cannot_work_is_refused_at_once(call: Any, kind: type[Exception], said: str) -> None:
    with pytest.raises(kind) as refused:
        call()
    assert said in str(refused.value)
