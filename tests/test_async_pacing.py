"""What the laws of async pacing and progress do not say: odd sleepers and numbers, cancelling, alarms, what is refused."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Generator
from itertools import count, pairwise
from typing import Any, ClassVar

import pytest

from funcpipe_rag import amap, aprogress, arate_limit, aroundrobin, athrottle, atimeout, single_task
from funcpipe_rag.aio.probe import AsyncProbe
from funcpipe_rag.aio.testing import run, schedule
from funcpipe_rag.streams.pacing import FakeTime
from funcpipe_rag.streams.probe import Boom, Probe


class Time(FakeTime):
    """Virtual time of its own, with an async sleeper."""

    async def wait(self, seconds: float) -> None:
        self.sleep(seconds)


class Drowsy(Time):
    """Sleeps only half of what it is asked, and at least a millisecond."""

    async def wait(self, seconds: float) -> None:
        self.sleep(max(seconds / 2, 0.001))


async def when(stage: Any, time: FakeTime, many: int) -> list[float]:
    return [time.clock() async for _ in stage(range(many))]


@pytest.mark.parametrize("gap", [0.1, 1 / 3, 0.7, 1e-9, 1e3 / 7])
def test_awkward_gaps_are_kept_on_the_loops_own_time(gap: float) -> None:
    came = [at for at, _ in run(schedule(athrottle(gap)(range(300))))]
    assert all(then - at >= gap - 2e-9 for at, then in pairwise(came))
    # The loop's clock goes by nanoseconds. What it is too late adds up, as on any clock; what it is too early does not.
    assert -5e-9 <= came[-1] - 299 * gap <= 300e-9


def test_far_ahead_where_a_float_has_no_nanoseconds_it_waits_all_the_same() -> None:
    came = [at for at, _ in run(schedule(athrottle(1e9 / 7)(range(30))))]
    assert [then - at for at, then in pairwise(came)] == pytest.approx([1e9 / 7] * 29)


@pytest.mark.parametrize("gap", [0.1, 1 / 3, 0.7])
def test_a_sleeper_that_wakes_early_is_asked_for_the_rest(gap: float) -> None:
    time = Drowsy()
    came = run(when(athrottle(gap, clock=time.clock, sleeper=time.wait), time, 100))
    assert all(then - at >= gap - 2e-9 for at, then in pairwise(came))
    assert came[-1] == pytest.approx(99 * gap, abs=99 * 0.001)


@pytest.mark.parametrize(("rate", "burst"), [(3, 1), (3, 4), (0.7, 2), (10, 1)])
def test_a_long_stream_does_not_drift_from_its_rate(rate: float, burst: int) -> None:
    came = [at for at, _ in run(schedule(arate_limit(rate, burst)(range(3000))))]
    assert came[:burst] == [0.0] * burst
    assert came[-1] == pytest.approx((3000 - burst) / rate, rel=1e-9, abs=1e-6)


@pytest.mark.parametrize("make", [lambda **how: athrottle(1, **how), lambda **how: arate_limit(1, 1, **how)])
def test_a_sleeper_that_never_moves_the_clock_is_an_error_and_no_endless_loop(make: Any) -> None:
    probe = AsyncProbe(Probe("ab"))

    async def main() -> None:
        stream = make(clock=lambda: 0.0)(probe())
        assert await anext(stream) == "a"
        with pytest.raises(RuntimeError, match="slept 1000 times and the clock has not moved"):
            await anext(stream)

    run(main())
    assert probe.probe.closes == 1


def test_whoever_is_cancelled_while_an_item_waits_for_its_turn_closes_the_input() -> None:
    probe = AsyncProbe(Probe("abc"))

    async def main() -> float:
        stream = athrottle(10)(probe())
        assert await anext(stream) == "a"
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(stream), 3)
        assert probe.probe.closes == 1
        assert await anext(stream, "the end") == "the end"
        return asyncio.get_running_loop().time()

    assert run(main()) == 3.0


def test_others_go_on_while_an_item_waits_for_its_turn() -> None:
    async def main() -> list[Any]:
        return await asyncio.gather(
            schedule(athrottle(2)("abc")), schedule(amap(asyncio.sleep, concurrency=3)([1, 2, 3]))
        )

    assert run(main()) == [[(0.0, "a"), (2.0, "b"), (4.0, "c")], [(1.0, None), (2.0, None), (3.0, None)]]


def test_a_paced_stage_in_a_pipeline_paces_the_calls_before_it_as_they_are_asked_for() -> None:
    begun: list[float] = []

    async def called(item: str) -> str:
        begun.append(asyncio.get_running_loop().time())
        await asyncio.sleep(0.5)
        return item

    polite = athrottle(1) | amap(called)
    assert run(schedule(polite("abc"))) == [(0.5, "a"), (1.5, "b"), (2.5, "c")]
    assert begun == [0.0, 1.0, 2.0]


class Slow:
    """Waits before each item as it is told, and as long again when it is stopped. Counts who reads it."""

    def __init__(self, *waits: float, cleanup: float = 0.0) -> None:
        self.waits, self.cleanup = waits, cleanup
        self.ended: list[float] = []
        self.tasks: set[asyncio.Task[Any] | None] = set()

    async def __call__(self) -> AsyncIterator[float]:
        try:
            for seconds in self.waits:
                self.tasks.add(asyncio.current_task())
                await asyncio.sleep(seconds)
                yield seconds
        finally:
            await asyncio.sleep(self.cleanup)
            self.ended.append(asyncio.get_running_loop().time())


def alarms() -> list[Any]:
    """The loop's own timer, and a task with a sleeper of one's own."""

    async def sleeps(seconds: float) -> None:
        await asyncio.sleep(seconds)

    return [pytest.param({}, id="the loop's timer"), pytest.param({"sleeper": sleeps}, id="a sleeper")]


@pytest.mark.parametrize("how", alarms())
def test_what_is_late_is_stopped_and_closed_before_it_is_told(how: dict[str, Any]) -> None:
    source = Slow(1, 1.5, 60, cleanup=4)

    async def main() -> float:
        stream = atimeout(2, **how)(source())
        assert await anext(stream) == 1
        await asyncio.sleep(30)
        assert await anext(stream) == 1.5
        with pytest.raises(TimeoutError, match=r"^atimeout\(2.0.*\): item 2 did not come within 2 s$"):
            await anext(stream)
        assert await anext(stream, "the end") == "the end"
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0
        # Whoever reads is whoever works: no task stands between.
        assert source.tasks == {task}
        return asyncio.get_running_loop().time()

    assert run(main()) == 1 + 30 + 1.5 + 2 + 4
    assert source.ended == [38.5]


@pytest.mark.parametrize("how", alarms())
def test_a_reader_that_is_cancelled_is_not_told_of_a_timeout(how: dict[str, Any]) -> None:
    source = Slow(60)

    async def main() -> None:
        reader = asyncio.create_task(anext(atimeout(5, **how)(source())))
        await asyncio.sleep(1)
        reader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reader

    run(main())
    assert source.ended == [1.0]


@pytest.mark.parametrize("how", alarms())
def test_the_end_has_its_limit_too(how: dict[str, Any]) -> None:
    source = Slow(1, cleanup=9)
    with pytest.raises(TimeoutError, match="item 1 did not come within 3 s"):
        run(schedule(atimeout(3, **how)(source())))
    # Its clean-up is what was cancelled.
    assert source.ended == []


def test_an_alarm_on_a_clock_of_its_own() -> None:
    time = Time()

    async def steps(seconds: float) -> None:
        await asyncio.sleep(0.1)
        time.advance(1)

    source = Slow(60)
    with pytest.raises(TimeoutError, match="within 3 s"):
        run(schedule(atimeout(3, clock=time.clock, sleeper=steps)(source())))
    assert (time.clock(), source.ended) == (3.0, [0.3])


def test_an_alarm_that_fails_is_an_error_at_once() -> None:
    async def broken(seconds: float) -> None:
        raise Boom("no clock here")

    source = Slow(60)
    with pytest.raises(Boom, match="no clock here"):
        run(schedule(atimeout(3, sleeper=broken)(source())))
    assert source.ended == [0.0]


class Bar:
    """Stands in for tqdm."""

    made: ClassVar[list[Bar]] = []

    def __init__(self, *, total: int | None) -> None:
        self.total, self.seen, self.closed = total, 0, 0
        Bar.made.append(self)

    def update(self) -> None:
        self.seen += 1

    def close(self) -> None:
        self.closed += 1


def test_the_bar_counts_what_has_come_and_is_closed_with_its_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tqdm", type("tqdm", (), {"tqdm": Bar}))
    monkeypatch.setattr(Bar, "made", [])

    async def main() -> None:
        watched = aprogress(total=3)
        async with watched(Slow(1, 1, 1)()) as half:
            assert Bar.made == []
            assert await anext(half) == 1
            assert [(bar.total, bar.seen, bar.closed) for bar in Bar.made] == [(3, 1, 0)]
        assert await watched("abc").collect() == ["a", "b", "c"]
        with pytest.raises(Boom):
            await aprogress()(AsyncProbe(Probe("ab", raises_at=1))()).collect()

    run(main())
    assert [(bar.total, bar.seen, bar.closed) for bar in Bar.made] == [(3, 1, 1), (3, 3, 1), (None, 1, 1)]


def test_without_tqdm_the_items_go_through(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "tqdm", None)
    assert run(aprogress(total=3)("abc").collect()) == ["a", "b", "c"]
    assert capfd.readouterr() == ("", "")


def test_with_tqdm_there_is_a_bar_on_stderr_alone(capfd: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("tqdm")
    assert run(aprogress(total=2)("ab").collect()) == ["a", "b"]
    out, err = capfd.readouterr()
    assert out == ""
    assert "2/2" in err


def test_each_says_how_it_is_configured() -> None:
    time = Time()
    assert repr(athrottle(1) | arate_limit(2, 3) | atimeout(5) | aprogress(total=7)) == (
        "athrottle(1.0) | arate_limit(2.0, 3) | atimeout(5.0) | aprogress(total=7)"
    )
    assert repr(athrottle(1, sleeper=time.wait)) == "athrottle(1.0, sleeper=Time.wait)"


@pytest.mark.parametrize(
    ("call", "kind", "said"),
    [
        (lambda: athrottle(-1), ValueError, "athrottle: min_delta must be >= 0 and finite, got -1"),
        (lambda: athrottle("1"), TypeError, "athrottle: min_delta must be a number, got '1'"),
        (lambda: athrottle(1, clock=0.0), TypeError, "athrottle: clock must be a function, got float"),
        (
            lambda: athrottle(1, sleeper=None),
            TypeError,
            "athrottle: sleeper must be a function, got NoneType",
        ),
        (lambda: arate_limit(0, 1), ValueError, "arate_limit: rate must be > 0 and finite, got 0"),
        (lambda: arate_limit(1, 0), ValueError, "arate_limit: burst must be >= 1, got 0"),
        (lambda: atimeout(0), ValueError, "atimeout: seconds must be > 0 and finite, got 0"),
        (lambda: atimeout(1)(3), TypeError, "atimeout(1.0): wants an iterable, sync or async, got int"),
        (lambda: aprogress(total=-1), ValueError, "aprogress: total must be >= 0, got -1"),
    ],
)
def test_what_cannot_work_is_refused_at_once(call: Any, kind: type[Exception], said: str) -> None:
    with pytest.raises(kind) as refused:
        call()
    assert said in str(refused.value)


class InTwoSteps:
    """An item that is awaited by an object of its own, and no coroutine: it waits two times."""

    def __init__(self, item: int) -> None:
        self.item = item

    def __await__(self) -> Generator[Any, None, int]:
        for _ in range(2):
            yield from asyncio.sleep(0.5).__await__()
        if self.item == 3:
            raise StopAsyncIteration
        return self.item


class ThatWaits:
    def __init__(self) -> None:
        self.items = count(1)

    def __aiter__(self) -> ThatWaits:
        return self

    def __anext__(self) -> InTwoSteps:
        return InTwoSteps(next(self.items))


@pytest.mark.parametrize(
    "stream",
    [
        lambda: atimeout(2)(ThatWaits()),
        lambda: aroundrobin(ThatWaits)(),
        lambda: single_task(lambda item: ThatWaits())("a"),
    ],
    ids=["atimeout", "aroundrobin", "single_task"],
)
def test_an_item_may_be_awaited_by_any_object(stream: Any) -> None:
    assert run(schedule(stream())) == [(1, 1), (2, 2)]
