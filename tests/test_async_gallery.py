"""The async gallery: its two stages, and the claims of its page that a reader would rely on, on exact schedules."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from funcpipe_rag.aio import AsyncStage, abatch, abuffer, amap, amerge, amerge_sorted, asource, collect
from funcpipe_rag.aio.gallery import amap_resumed, aroute
from funcpipe_rag.aio.probe import AsyncProbe, CallProbe
from funcpipe_rag.aio.testing import run, schedule
from funcpipe_rag.streams.probe import Boom, Probe


def now() -> float:
    return asyncio.get_running_loop().time()


async def takes(seconds: float) -> float:
    await asyncio.sleep(seconds)
    return seconds


async def first(n: int, stream: Any) -> list[Any]:
    async with stream:
        return [await anext(stream) for _ in range(n)]


# a checkpoint


@pytest.mark.parametrize("concurrency", [1, 3])
@pytest.mark.parametrize("killed_at", range(1, 8))
def test_a_later_run_goes_on_and_what_was_in_hand_comes_again(
    tmp_path: Path, killed_at: int, concurrency: int
) -> None:
    calls = CallProbe(takes=dict.fromkeys(range(8), 1))
    stage = amap_resumed(calls, tmp_path / "done", concurrency=concurrency)
    before = run(first(killed_at, stage(range(8))))
    began = len(calls.began)
    after = run(stage(range(8)).collect())
    assert before == list(range(killed_at))
    assert after == list(range(killed_at - 1, 8))
    assert calls.began[began:] == after, "what is done is not called again"
    assert run(stage(range(8)).collect()) == []
    assert calls.live == 0


def test_a_failure_stops_it_there_and_the_next_run_begins_with_it(tmp_path: Path) -> None:
    calls = CallProbe(fails={3})
    stage = amap_resumed(calls, tmp_path / "done", concurrency=2)
    with pytest.raises(Boom):
        run(stage(range(5)).collect())
    assert (tmp_path / "done").read_text() == "3"
    calls.fails = ()
    assert run(stage(range(5)).collect()) == [3, 4]


def test_the_number_is_written_every_so_often_and_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "done"

    async def seen() -> list[str]:
        says = []
        async for _ in amap_resumed(abs, path, every=3)(range(8)):
            says.append(path.read_text() if path.exists() else "")
        return says

    assert run(seen()) == ["", "", "", "3", "3", "3", "6", "6"]
    assert path.read_text() == "8"
    assert [each.name for each in tmp_path.iterdir()] == ["done"]


def test_a_checkpoint_that_is_none_or_stands_behind_the_end_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "done"
    source = Probe(range(2))
    for text in ("", "-1", "two", "1.5", "²"):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(ValueError, match="the checkpoint done holds"):
            run(amap_resumed(abs, path)(range(2)).collect())
    path.write_text("3")
    with pytest.raises(ValueError, match=r"3 items are done, .* and the input ended after 2"):
        run(amap_resumed(abs, path)(source()).collect())
    assert source.closes == 1
    assert path.read_text() == "3"


def test_what_cannot_work_is_refused_when_it_is_made(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="amap_resumed: fn"):
        amap_resumed(3, tmp_path)
    with pytest.raises(ValueError, match="every must be >= 1"):
        amap_resumed(abs, tmp_path, every=0)
    with pytest.raises(TypeError, match="aroute: choose"):
        aroute(3, {True: amap(abs)})
    with pytest.raises(TypeError, match="routes must be stages by name"):
        aroute(abs, {1: abs})
    with pytest.raises(ValueError, match="no routes"):
        aroute(abs, {})
    with pytest.raises(ValueError, match="maxlen must be >= 1"):
        aroute(abs, {1: amap(abs)}, maxlen=0)


# routes


def routed(**how: Any) -> AsyncStage[float, float]:
    return aroute(lambda n: n > 2, {True: amap(takes), False: amap(takes, concurrency=2)}, **how)


def test_each_item_goes_its_own_way_and_a_slow_way_holds_up_nobody_else() -> None:
    assert run(schedule(routed()([5, 1, 2, 3, 1]))) == [(1, 1), (2, 2), (2, 1), (5, 5), (8, 3)]


@pytest.mark.parametrize(("maxlen", "before"), [(1, 1), (4, 4), (64, 20)])
def test_no_way_is_further_ahead_of_the_slowest_than_the_bound(maxlen: int, before: int) -> None:
    came = run(schedule(routed(maxlen=maxlen)([5, *[0.1] * 20])))
    assert sorted(item for _, item in came) == [*[0.1] * 20, 5]
    assert sum(at < 5 for at, _ in came) == before


def test_an_item_without_a_way_is_an_error_behind_the_results_before_it() -> None:
    source = Probe(["1", "2", "x", "3"])
    got = []

    async def reads() -> None:
        async for item in aroute(str.isdigit, {True: amap(int)}, maxlen=1)(source()):
            got.append(item)

    with pytest.raises(ValueError, match="there is no route False, which 'x' chose; there are: True"):
        run(reads())
    assert got == [1, 2]
    assert source.closes == 1


@pytest.mark.parametrize("taken", range(4))
def test_leaving_early_cancels_the_calls_and_closes_the_source(taken: int) -> None:
    source = Probe([5, 1, 2, 3, 1], endless=True, budget=100)
    slow, quick = CallProbe(takes={n: n for n in range(200)}), CallProbe(takes={n: n for n in range(200)})
    stage = aroute(lambda n: n > 2, {True: amap(slow, concurrency=2), False: amap(quick)}, maxlen=5)
    run(first(taken, stage(source())))
    assert (slow.live, quick.live) == (0, 0)
    assert source.closes == source.opens == 1 if taken else source.pulls == 0


def test_a_failure_in_one_way_ends_the_others() -> None:
    source = Probe([5, 1, 3, 2])
    slow = CallProbe(takes={5: 5, 3: 3})
    stage = aroute(lambda n: n > 2, {True: amap(slow), False: amap(CallProbe(fails={1}))})
    with pytest.raises(Boom):
        run(stage(source()).collect())
    assert slow.cancelled == [5]
    assert source.closes == 1


def test_an_error_of_the_source_or_of_the_choice_reaches_the_reader() -> None:
    with pytest.raises(Boom):
        run(routed()(Probe([1, 5], raises_at=1)()).collect())
    with pytest.raises(TypeError):
        run(routed()([1, "x"]).collect())


# what the page claims


class Record:
    """One that counts how many of its kind there are."""

    alive = most = 0

    def __init__(self) -> None:
        Record.alive += 1
        Record.most = max(Record.most, Record.alive)

    def __del__(self) -> None:
        Record.alive -= 1


async def itself(record: Record) -> Record:
    await asyncio.sleep(0)
    return record


@pytest.mark.parametrize(
    ("pipeline", "most"),
    [
        (lambda: amap(lambda record: record) | abatch(100), 2 * 100),
        (lambda: abuffer(50) | abatch(10), 50 + 2 * 10 + 2),
        (lambda: amap(itself, concurrency=8), 2 * 8),
    ],
)
@pytest.mark.parametrize("many", [2_000, 20_000])
def test_what_is_held_does_not_grow_with_the_number_of_items(
    pipeline: Callable[[], Any], most: int, many: int
) -> None:
    Record.alive = Record.most = 0

    @asource
    async def records() -> AsyncIterator[Record]:
        for _ in range(many):
            yield Record()

    async def drained() -> None:
        async for _ in (records | pipeline())():
            pass

    run(drained())
    assert 0 < Record.most <= most


def feed(name: str, pace: float, stamps: list[int]) -> AsyncProbe:
    return AsyncProbe(Probe([(stamp, name) for stamp in stamps]), takes=[pace] * len(stamps))


def test_feeds_come_as_they_come_or_in_order_of_their_stamps() -> None:
    feeds = feed("news", 1, [1, 4]), feed("mail", 0.25, [2, 3, 6]), feed("chat", 1.5, [0, 5])
    assert [at for at, _ in run(schedule(amerge(*feeds)()))] == [0.25, 0.5, 0.75, 1, 1.5, 2, 3]
    assert [stamp for stamp, _ in run(collect(amerge_sorted(*feeds)()))] == list(range(7))


@pytest.mark.parametrize(("size", "rate"), [(1, 1 / 0.51), (8, 10), (64, 10)])
def test_a_batch_that_is_large_enough_keeps_up_and_a_larger_one_makes_its_rows_wait(
    size: int, rate: float
) -> None:
    async def store(times: list[float]) -> list[float]:
        await asyncio.sleep(0.5 + 0.01 * len(times))
        return [now() - came for came in times]

    @asource
    async def arrivals() -> AsyncIterator[float]:
        for _ in range(192):
            await asyncio.sleep(0.1)
            yield now()

    came = run(schedule((arrivals | abuffer(200) | abatch(size) | amap(store))()))
    waits = [wait for _, batch in came for wait in batch]
    assert len(waits) == 192
    assert 192 / came[-1][0] == pytest.approx(rate, rel=0.06)
    # Who keeps up waits for its batch to fill and for the call; who does not, for all that were there before.
    full = 0.1 * (size - 1) / 2 + 0.5 + 0.01 * size
    assert sum(waits) / 192 == pytest.approx(full, rel=0.1) if size > 5 else sum(waits) / 192 > 30


def test_a_share_that_was_dealt_out_waits_for_its_own_and_a_free_place_takes_the_next() -> None:
    delays = [0.1, 0.2, 0.3, 0.4, 0.5, 2.0, 0.7, 0.8]
    shares = [asource(lambda n=n: delays[n : n + 2]) | amap(takes) for n in (0, 2, 4, 6)]
    assert run(schedule(amerge(*shares)()))[-1] == (2.5, 2.0)
    four = amap(takes, concurrency=4, ordered=False)
    assert [at for at, _ in run(schedule(four(delays)))] == [0.1, 0.2, 0.3, 0.4, 0.6, 1.0, 1.2, 2.2]


def test_a_first_page_comes_as_early_as_it_can_and_the_rest_is_cancelled() -> None:
    mirrors = CallProbe(takes={"a": 3, "b": 0.5, "c": 9, "d": 1, "e": 0.25, "f": 7})
    assert run(first(3, amap(mirrors, concurrency=6, ordered=False)("abcdef"))) == ["e", "b", "d"]
    assert sorted(mirrors.cancelled) == ["a", "c", "f"]


def test_alerts_come_in_the_second_in_which_they_are_read() -> None:
    hot = asource(lambda: AsyncProbe(Probe([21, 35, 36, 22]), takes=[1] * 4)())

    async def too_hot(readings: AsyncIterator[int]) -> AsyncIterator[int]:
        async for degrees in readings:
            if degrees > 30:
                yield degrees

    endless = asource(lambda: AsyncProbe(Probe([40], endless=True), takes=[1])())
    assert run(schedule((hot | too_hot)())) == [(2, 35), (3, 36)]
    assert run(first(1, (endless | too_hot)())) == [40], "though the sensor never ends"
