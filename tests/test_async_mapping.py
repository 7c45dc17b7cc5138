"""A function of each item, some calls at a time: exact schedules, bounds, and everything that comes at a bad time."""

from __future__ import annotations

import asyncio
import gc
import threading
import tracemalloc
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest

from funcpipe_rag.aio import amap, single_task
from funcpipe_rag.aio.probe import AsyncProbe, CallProbe
from funcpipe_rag.aio.testing import VirtualTimeLoop, run, schedule
from funcpipe_rag.streams.probe import Boom, Probe
from funcpipe_rag.streams.results import Err

pytestmark = pytest.mark.filterwarnings("error")

EIGHT = (0.1, 0.2, 0.3, 0.4, 0.5, 2.0, 0.7, 0.8)
FOUR = (0.1, 0.5, 2.0, 0.2)
ORDERS = pytest.mark.parametrize("ordered", [True, False], ids=["ordered", "as completed"])


async def takes(seconds: float) -> float:
    await asyncio.sleep(seconds)
    return seconds


def now() -> float:
    return asyncio.get_running_loop().time()


def tasks() -> int:
    return len(asyncio.all_tasks())


def test_eight_delays_side_by_side() -> None:
    eight = amap(takes, concurrency=8)
    assert run(schedule(eight(EIGHT))) == [
        *((0.1, 0.1), (0.2, 0.2), (0.3, 0.3), (0.4, 0.4), (0.5, 0.5)),
        *((2.0, 2.0), (2.0, 0.7), (2.0, 0.8)),
    ]
    as_completed = amap(takes, concurrency=8, ordered=False)
    assert run(schedule(as_completed(EIGHT))) == [(delay, delay) for delay in sorted(EIGHT)]


def test_the_same_eight_gathered_and_one_after_another() -> None:
    async def gathered() -> list[tuple[float, float]]:
        results = await asyncio.gather(*map(takes, EIGHT))
        return [(now(), result) for result in results]

    assert run(gathered()) == [(2.0, delay) for delay in EIGHT]
    assert [at for at, _ in run(schedule(amap(takes)(EIGHT)))] == [0.1, 0.3, 0.6, 1.0, 1.5, 3.5, 4.2, 5.0]


def test_four_delays_in_both_orders() -> None:
    assert run(schedule(amap(takes, concurrency=4)(FOUR))) == [(0.1, 0.1), (0.5, 0.5), (2.0, 2.0), (2.0, 0.2)]
    assert run(schedule(amap(takes, concurrency=4, ordered=False)(FOUR))) == [
        *((0.1, 0.1), (0.2, 0.2), (0.5, 0.5), (2.0, 2.0)),
    ]


def test_two_places_are_passed_on_as_they_become_free() -> None:
    assert run(schedule(amap(takes, concurrency=2)(FOUR))) == [(0.1, 0.1), (0.5, 0.5), (2.1, 2.0), (2.1, 0.2)]
    assert run(schedule(amap(takes, concurrency=2, ordered=False)(FOUR))) == [
        *((0.1, 0.1), (0.5, 0.5), (0.7, 0.2), (2.1, 2.0)),
    ]


def test_room_behind_a_slow_one_lets_the_others_go_on() -> None:
    calls = CallProbe(takes={0: 10.0, **dict.fromkeys(range(1, 9), 1.0)})

    async def read() -> list[tuple[float, int]]:
        return await schedule(amap(calls, concurrency=2, max_ahead=8)(range(9)))

    assert run(read()) == [(10.0, place) for place in range(9)]
    assert calls.most == 2


@ORDERS
def test_after_a_failure_no_call_is_begun(ordered: bool) -> None:
    calls = CallProbe(takes={0: 1.0, 1: 5.0}, fails={0})
    # The third item is on its way when the first call fails, and comes when it has.
    source = AsyncProbe(Probe(range(4)), takes=(0.0, 0.0, 2.0))

    async def read() -> None:
        async with amap(calls, concurrency=3, ordered=ordered)(source()) as stream:
            with pytest.raises(Boom):
                await anext(stream)
            assert now() == 1.0

    run(read())
    assert calls.began == [0, 1]


def test_nor_is_one_begun_while_the_failure_waits_behind_a_slow_head() -> None:
    calls = CallProbe(takes={0: 5.0, 1: 1.0}, fails={1})
    with pytest.raises(Boom):
        run(amap(calls, concurrency=2, max_ahead=9)(range(9)).collect())
    assert calls.began == [0, 1]

    # This source is being asked for the third item when the second call fails.
    slow = AsyncProbe(Probe(range(9)), takes=(0.0, 0.0, 2.0))
    calls = CallProbe(takes={0: 5.0, 1: 1.0}, fails={1})
    with pytest.raises(Boom):
        run(amap(calls, concurrency=3)(slow()).collect())
    assert (calls.began, slow.probe.pulls) == ([0, 1], 3)


@pytest.mark.parametrize("concurrency", [1, 2])
def test_a_timeout_says_whose_it_is(concurrency: int) -> None:
    async def gives_up(seconds: float) -> float:
        await asyncio.sleep(seconds)
        raise TimeoutError("the server says so")

    in_time = amap(gives_up, concurrency=concurrency, timeout=0.5)
    with pytest.raises(TimeoutError) as late:
        run(in_time([1.0]).collect())
    assert str(late.value) == "amap(gives_up): no answer within 0.5 s"
    with pytest.raises(TimeoutError) as told:
        run(in_time([0.25]).collect())
    assert str(told.value) == "the server says so"


def test_of_two_failures_the_first_in_order_is_raised_and_the_other_looked_at() -> None:
    calls = CallProbe(takes={0: 3.0, 1: 1.0}, fails={0, 1})
    with pytest.raises(Boom, match="the call with 0 failed") as caught:
        run(amap(calls, concurrency=2)(range(2)).collect())
    (note,) = caught.value.__notes__
    assert note.startswith("in amap(") and note.endswith(", concurrency=2), at item 0: 0")


# A hundred thousand items.


@ORDERS
def test_the_tasks_alive_are_as_many_as_the_calls_whatever_the_length(ordered: bool) -> None:
    many, most = 100_000, 0

    class Calls(CallProbe):
        async def __call__(self, item: int) -> int:
            nonlocal most
            self.live += 1
            self.most = max(self.most, self.live)
            if item % 1000 == 0:
                most = max(most, tasks())
            await asyncio.sleep(1)
            self.live -= 1
            return item

    calls = Calls()

    async def read() -> int:
        count = 0
        async with amap(calls, concurrency=7, ordered=ordered)(range(many)) as stream:
            async for _ in stream:
                count += 1
                if count % 1000 == 0:
                    assert tasks() <= 8
        return count

    assert run(read()) == many
    assert calls.most == 7
    assert most == 8


@ORDERS
@pytest.mark.parametrize("concurrency", [1, 8])
def test_many_items_need_the_room_of_few(ordered: bool, concurrency: int) -> None:
    async def gives(many: int) -> AsyncIterator[bytes]:
        for _ in range(many):
            yield bytes(100)

    async def same(item: bytes) -> bytes:
        await asyncio.sleep(0)
        return item

    async def peak(many: int) -> int:
        gc.collect()
        tracemalloc.start()
        try:
            async for _ in amap(same, concurrency=concurrency, ordered=ordered)(gives(many)):
                pass
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    run(peak(1000))
    # A byte an item would be 48 KiB.
    assert run(peak(50_000)) - run(peak(1000)) < 32 * 1024


@ORDERS
def test_no_more_results_are_kept_than_was_said(ordered: bool) -> None:
    made: list[weakref.ref[Any]] = []
    most = 0

    class Item:
        pass

    def items() -> Iterator[Item]:
        for _ in range(200):
            item = Item()
            made.append(weakref.ref(item))
            yield item
            del item

    async def first_is_slow(item: Item) -> Item:
        nonlocal most
        if item is made[0]():
            await asyncio.sleep(100)
        await asyncio.sleep(1)
        most = max(most, sum(ref() is not None for ref in made))
        return item

    async def read() -> None:
        async for item in amap(first_is_slow, concurrency=4, max_ahead=20, ordered=ordered)(items()):
            del item
            await asyncio.sleep(2)

    run(read())
    assert len(made) == 200
    # Those ahead, the one that is waited for, and the one that was given last.
    assert most <= 22


# What comes at a bad time.


@ORDERS
@pytest.mark.parametrize("concurrency", [1, 3])
def test_a_source_that_raises_while_it_is_closed_is_heard(ordered: bool, concurrency: int) -> None:
    source = AsyncProbe(Probe(range(9), raises_on_close=True))
    calls = CallProbe(takes={1: 5.0}, cleanup=1.0)

    async def leaves() -> None:
        stream = amap(calls, concurrency=concurrency, ordered=ordered)(source())
        await anext(stream)
        with pytest.raises(Boom, match="while it was closed"):
            await stream.aclose()
        assert tasks() == 1 and calls.live == 0
        await stream.aclose()

    run(leaves())
    assert source.probe.closes == 1


def test_it_is_a_note_where_there_was_an_error_before_it() -> None:
    source = AsyncProbe(Probe(range(9), raises_on_close=True))
    with pytest.raises(Boom, match="the call with 2 failed") as caught:
        run(amap(CallProbe(fails={2}), concurrency=3)(source()).collect())
    assert caught.value.__notes__[-1] == "and while closing: Boom: source raised while it was closed"


@ORDERS
def test_a_call_that_raises_while_it_is_cancelled_is_heard_and_the_source_closed(ordered: bool) -> None:
    source = AsyncProbe(Probe(range(9)))

    async def stubborn(item: int) -> int:
        try:
            await asyncio.sleep(item)
        except asyncio.CancelledError:
            raise ValueError(f"cannot stop {item}") from None
        return item

    async def leaves() -> None:
        stream = amap(stubborn, concurrency=3, ordered=ordered)(source())
        assert await anext(stream) == 0
        with pytest.raises(ValueError, match="cannot stop") as caught:
            await stream.aclose()
        (note,) = caught.value.__notes__
        assert note.startswith("and while closing: ValueError: cannot stop")
        assert tasks() == 1

    run(leaves())
    assert source.probe.closes == 1


def test_a_call_that_will_not_be_cancelled_is_waited_for() -> None:
    ended = []

    async def clings(item: int) -> int:
        try:
            await asyncio.sleep(item)
        except asyncio.CancelledError:
            await asyncio.sleep(7)
            ended.append(item)
        return item

    async def leaves() -> float:
        stream = amap(clings, concurrency=2)([0, 5, 5])
        await anext(stream)
        await asyncio.sleep(1)
        await stream.aclose()
        return now()

    assert run(leaves()) == 8.0
    assert ended == [5, 5]


def test_a_reader_cancelled_again_and_again_while_it_closes_waits_all_the_same_and_is_cancelled() -> None:
    calls = CallProbe(takes={0: 50.0, 1: 50.0}, cleanup=10.0)
    source = AsyncProbe(Probe(range(9)))

    async def impatient() -> None:
        reader = asyncio.ensure_future(amap(calls, concurrency=2)(source()).collect())
        for _ in range(5):
            await asyncio.sleep(1)
            reader.cancel()
        await asyncio.wait([reader])
        assert reader.cancelled()
        assert now() == 11.0
        assert calls.live == 0

    run(impatient())
    assert sorted(calls.cancelled) == [0, 1]
    assert source.probe.closes == 1


def test_who_is_cancelled_while_a_failed_stream_closes_is_cancelled_and_the_failure_a_note() -> None:
    calls = CallProbe(takes={0: 1.0, 1: 50.0}, fails={0}, cleanup=10.0)

    async def cut_off() -> None:
        reader = asyncio.ensure_future(amap(calls, concurrency=2)(range(2)).collect())
        await asyncio.sleep(5)
        reader.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await reader
        assert caught.value.__notes__ == ["while closing after Boom: the call with 0 failed"]
        assert now() == 11.0

    run(cut_off())


def test_a_closing_that_is_cancelled_closes_and_says_so() -> None:
    calls = CallProbe(takes={1: 50.0}, cleanup=10.0)
    source = AsyncProbe(Probe(range(9)))

    async def cut_off() -> None:
        stream = amap(calls, concurrency=2)(source())
        await anext(stream)
        await asyncio.sleep(1)
        closing = asyncio.ensure_future(stream.aclose())
        await asyncio.sleep(1)
        closing.cancel()
        await asyncio.wait([closing])
        assert closing.cancelled()
        assert (now(), calls.live, source.probe.closes) == (11.0, 0, 1)

    run(cut_off())


def test_a_deadline_that_passes_while_a_call_is_awaited_ends_the_stream() -> None:
    calls = CallProbe(takes={2: 50.0}, cleanup=1.0)
    source = AsyncProbe(Probe(range(9)))
    got: list[int] = []

    async def in_time() -> None:
        try:
            async with asyncio.timeout(3):
                async for item in amap(calls, concurrency=2)(source()):
                    got.append(item)
        except TimeoutError:
            got.append(-1)
        assert (now(), calls.live, source.probe.closes) == (4.0, 0, 1)

    run(in_time())
    assert got == [0, 1, -1]


@pytest.mark.parametrize("concurrency", [1, 2])
def test_a_second_reader_is_refused_and_the_first_goes_on(concurrency: int) -> None:
    async def both() -> list[float]:
        stream = amap(takes, concurrency=concurrency)([1.0, 2.0])
        first = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0.5)
        with pytest.raises(RuntimeError, match="already running"):
            await anext(stream)
        with pytest.raises(RuntimeError, match="already running"):
            await stream.aclose()
        return [await first, *await stream.collect()]

    assert run(both()) == [1.0, 2.0]


def test_a_stream_in_a_call_of_a_stream_ends_with_it() -> None:
    inner = CallProbe(takes={1: 50.0}, cleanup=1.0)
    sources = [AsyncProbe(Probe(range(3))) for _ in range(3)]

    async def sums(place: int) -> int:
        return sum(await amap(inner, concurrency=2)(sources[place]()).collect())

    async def leaves() -> None:
        async with amap(sums, concurrency=2)(range(3)) as outer:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(5):
                    await anext(outer)
        assert inner.live == 0 and tasks() == 1

    run(leaves())
    assert [source.probe.closes for source in sources] == [1, 1, 0]


def test_stages_in_a_row_are_closed_from_the_reader_to_the_source() -> None:
    order: list[str] = []

    async def source() -> AsyncIterator[int]:
        try:
            for item in range(9):
                yield item
        finally:
            order.append("source")

    def calls(name: str) -> Callable[[int], Any]:
        async def call(item: int) -> int:
            try:
                await asyncio.sleep(item * 10)
            except asyncio.CancelledError:
                order.append(name)
                raise
            return item

        return call

    async def leaves() -> None:
        async with (amap(calls("first"), concurrency=2) | amap(calls("second"), concurrency=2))(
            source()
        ) as stream:
            assert await anext(stream) == 0
            await asyncio.sleep(15)

    run(leaves())
    assert order == ["second", "first", "first", "source"]


def test_workers_that_somebody_else_cancels_end_the_stream_and_do_not_hang_it() -> None:
    calls = CallProbe(takes={0: 1.0, 1: 1.0, 2: 50.0})

    async def sweeps() -> None:
        stream = amap(calls, concurrency=2, on_error="collect")(range(9))
        assert await anext(stream) == 0
        await asyncio.sleep(10)
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.wait(others)
        assert await anext(stream) == 1
        with pytest.raises(asyncio.CancelledError):
            await stream.collect()

    run(sweeps())


@pytest.mark.parametrize("place", [0, 1, 2])
def test_one_worker_that_somebody_else_cancels_does_not_hang_the_others(place: int) -> None:
    calls = CallProbe(takes=dict.fromkeys(range(9), 1.0))

    async def sweeps() -> None:
        stream = amap(calls, concurrency=3, on_error="skip")(range(9))
        assert await anext(stream) == 0
        await asyncio.sleep(10)
        workers = sorted(asyncio.all_tasks() - {asyncio.current_task()}, key=lambda task: task.get_name())
        workers[place].cancel()
        got = []
        try:
            async for item in stream:
                got.append(item)
        except asyncio.CancelledError:
            got.append("cancelled")
        assert got == [1, 2, 3, "cancelled"]

    run(sweeps())


@pytest.mark.parametrize("on_error", ["fail", "skip", "collect"])
@pytest.mark.parametrize("held", [True, False], ids=["kept", "dropped"])
@ORDERS
def test_an_abandoned_stream_ends_with_the_loop(on_error: Any, held: bool, ordered: bool) -> None:
    kept, said = [], []
    calls = CallProbe(takes=dict.fromkeys(range(1, 9), 3600.0))
    source = AsyncProbe(Probe(range(9)))

    async def forgets() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: said.append(context))
        stream = amap(calls, concurrency=3, ordered=ordered, on_error=on_error)(source())
        assert await anext(stream) == 0
        # On a real loop, too, long enough for every place to be taken.
        for _ in range(10):
            await asyncio.sleep(0)
        if held:
            kept.append(stream)

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(forgets())
    asyncio.run(forgets())
    assert said == []
    assert calls.live == 0
    assert source.probe.closes == source.probe.opens == 2


def test_a_dropped_stream_ends_while_the_program_goes_on() -> None:
    calls = CallProbe(takes=dict.fromkeys(range(1, 9), 3600.0))
    source = AsyncProbe(Probe(range(9)))

    async def drops() -> None:
        assert await anext(amap(calls, concurrency=3)(source())) == 0
        gc.collect()
        await asyncio.sleep(1)
        assert (tasks(), calls.live, source.probe.closes) == (1, 0, 1)

    run(drops())


@pytest.mark.parametrize("concurrency", [1, 3])
@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
def test_ctrl_c_in_a_call_ends_the_program_and_cleans_up(concurrency: int, stop: type[BaseException]) -> None:
    calls = CallProbe(takes=dict.fromkeys(range(2, 9), 3600.0))
    source = AsyncProbe(Probe(range(9)))
    said: list[Any] = []
    others: list[str] = []

    async def stopped(item: int) -> int:
        if item == 1:
            await asyncio.sleep(0)
            raise stop
        return int(await calls(item))

    async def other() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            await asyncio.sleep(0)
            others.append("ended")

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: said.append(context))
        beside = [asyncio.create_task(other()) for _ in range(3)]
        await amap(stopped, concurrency=concurrency)(source()).collect()
        await asyncio.wait(beside)

    with pytest.raises(stop):
        asyncio.run(main())
    gc.collect()
    assert calls.live == 0
    assert source.probe.closes == 1
    assert others == ["ended"] * 3
    assert said == []


# Threads and processes.


def test_calls_in_threads_run_side_by_side_and_keep_their_order() -> None:
    both = threading.Barrier(2, timeout=30)

    def meets(item: int) -> int:
        both.wait()
        return item

    with ThreadPoolExecutor(2) as pool:
        assert run(amap(meets, concurrency=2, executor=pool)(range(6)).collect()) == [*range(6)]


def test_a_call_that_has_begun_in_a_thread_is_waited_for_and_one_that_has_not_never_begins() -> None:
    begun, free = threading.Event(), threading.Event()
    ended: list[int] = []

    def works(item: int) -> int:
        begun.set()
        assert free.wait(30)
        ended.append(item)
        return item

    async def leaves() -> None:
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(1) as pool:
            reader = asyncio.ensure_future(amap(works, concurrency=3, executor=pool)(range(9)).collect())
            await loop.run_in_executor(None, begun.wait, 30)
            reader.cancel()
            for _ in range(5):
                await asyncio.sleep(0)
            assert not reader.done()
            free.set()
            await asyncio.wait([reader])
            assert reader.cancelled()
            assert ended == [0]

    run(leaves())


def _squared(n: int) -> int:
    if n == 3:
        raise ValueError("no three")
    return n * n


def test_calls_in_processes_give_their_values_and_errors() -> None:
    with ProcessPoolExecutor(1) as pool:
        got = run(amap(_squared, concurrency=2, executor=pool, on_error="collect")(range(5)).collect())
    assert [one.index if isinstance(one, Err) else one for one in got] == [0, 1, 4, 3, 16]
    assert isinstance(got[3], Err) and str(got[3].error) == "no three"


def _first(items: list[int]) -> int:
    return next(iter(items))


def test_a_stop_iteration_in_an_executor_is_an_error_and_hangs_nobody() -> None:
    with ThreadPoolExecutor(1) as threads, ProcessPoolExecutor(1) as processes:
        for pool in threads, processes:
            one, nothing = run(amap(_first, executor=pool, on_error="collect")([[1], []]).collect())
            assert one == 1 and isinstance(nothing, Err)
            assert repr(nothing.error) == "RuntimeError('_first raised StopIteration')"


def test_a_plain_tuple_and_any_number_do_for_a_retry_and_a_timeout() -> None:
    calls = CallProbe(fails={1})
    patient = amap(calls, retry=(2, (0.5, 1, 1)), timeout=Decimal("0.5"), on_error="collect")  # type: ignore[call-overload]
    assert [type(one).__name__ for one in run(patient([1, 2]).collect())] == ["Err", "int"]
    assert calls.began == [1, 1, 2]
    with pytest.raises(ValueError, match="attempts must be >= 1"):
        amap(calls, retry=(0,))  # type: ignore[call-overload]


def test_an_async_generator_is_refused_with_the_way_to_use_it() -> None:
    async def pages(word: str) -> AsyncIterator[str]:
        for letter in word:
            yield letter

    with pytest.raises(TypeError, match=r"pages is an async generator; single_task\(.*pages\) hands on each"):
        amap(pages)
    assert run(single_task(pages)(["ab", "c"]).collect()) == ["a", "b", "c"]


@pytest.mark.parametrize("executor", [True, 4, "threads"])
def test_what_is_no_executor_is_refused_at_construction(executor: Any) -> None:
    with pytest.raises(
        TypeError, match=r"amap: executor must be an Executor, such as ThreadPoolExecutor\(8\), got"
    ):
        amap(str, executor=executor)
