"""Tasks joined by `|`: schedules, bounds, and what other task pipelines do wrong."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections import Counter, defaultdict, deque
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from contextvars import ContextVar
from typing import Any

import pytest

import funcpipe_rag
from funcpipe_rag import (
    AsyncPipeline,
    BreakerOpen,
    CircuitBreakerHandler,
    CollectingErrorHandler,
    Err,
    ErrorHandler,
    LoggingErrorHandler,
    PipelineContext,
    Report,
    amap,
    asource,
    batch_task,
    get_current_context,
    single_task,
)
from funcpipe_rag.aio.probe import AsyncProbe, CallProbe
from funcpipe_rag.aio.testing import VirtualTimeLoop, run, schedule
from funcpipe_rag.streams.probe import Boom, Probe

EIGHT = (0.1, 0.2, 0.3, 0.4, 0.5, 2.0, 0.7, 0.8)


@single_task
async def waits(seconds: float) -> float:
    await asyncio.sleep(seconds)
    return seconds


def now() -> float:
    return asyncio.get_running_loop().time()


async def read_into(got: list[Any], stream: AsyncIterator[Any]) -> None:
    async for item in stream:
        got.append(item)


# What other task pipelines do wrong


def test_a_source_is_pulled_as_far_as_the_calls_in_flight_and_no_further() -> None:
    pulled = 0

    @single_task
    async def numbers(n: int) -> AsyncIterator[int]:
        nonlocal pulled
        for number in range(n):
            pulled += 1
            yield number
            if number % 50 == 0:
                await asyncio.sleep(0)

    @single_task(concurrency_limit=4)
    async def work(number: int) -> int:
        await asyncio.sleep(0.05)
        return number

    async def first() -> tuple[int, int]:
        async with (numbers | work)([20_000]) as results:
            async for result in results:
                return result, len(asyncio.all_tasks())
        raise AssertionError("nothing came")

    result, tasks = run(first())
    assert result == 0
    # Four calls, one item that waits for its call, one on its way; a worker for the generator, four for the calls, us.
    assert pulled <= 6
    assert tasks <= 6


@pytest.mark.parametrize("mode", ["ordered", "as_completed"])
def test_the_work_for_an_item_does_not_grow_with_the_number_in_flight(mode: str) -> None:
    def steps_an_item(many: int) -> float:
        steps = 0

        class Counting(VirtualTimeLoop):
            def call_soon(self, callback: Any, *args: Any, context: Any = None) -> asyncio.Handle:
                nonlocal steps
                steps += 1
                return super().call_soon(callback, *args, context=context)

        slow = single_task(concurrency_limit=many)(lambda number: asyncio.sleep(1.0, number))
        stream = slow.with_execution_mode(mode)(range(many))  # type: ignore[arg-type]
        with asyncio.Runner(loop_factory=Counting) as runner:
            assert len(runner.run(stream.collect())) == many
        return steps / many

    few, many = steps_an_item(100), steps_an_item(1600)
    assert many == pytest.approx(few, rel=0.1)


@pytest.mark.parametrize("mode", ["ordered", "as_completed"])
def test_an_error_is_raised_in_either_order_and_names_its_task_and_item(mode: str) -> None:
    @single_task
    async def work(number: int) -> int:
        if number == 3:
            raise ValueError("boom on 3")
        return number

    async def reads() -> list[int]:
        got: list[int] = []
        stream = work.with_execution_mode(mode)(range(6))  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="boom on 3") as raised:
            await read_into(got, stream)
        assert any("work, at item 3: 3" in note for note in raised.value.__notes__)
        return got

    assert run(reads())[:3] == [0, 1, 2]


def numbers_as_they_are() -> list[Any]:
    async def agen() -> AsyncIterator[int]:
        for number in range(3):
            yield number

    return [
        [0, 1, 2],
        range(3),
        (n for n in range(3)),
        (0, 1, 2),
        {0, 1, 2},
        {0: 1, 1: 1, 2: 1}.keys(),
        agen(),
    ]


@pytest.mark.parametrize("place", range(7))
def test_every_iterable_is_a_stream_of_items_and_never_one_argument(place: int) -> None:
    @single_task
    async def given(*args: object) -> str:
        return repr(args)

    assert run(given(numbers_as_they_are()[place]).collect()) == ["(0,)", "(1,)", "(2,)"]


def test_a_tail_below_min_size_is_told_and_what_is_in_a_list_stays_as_it_is() -> None:
    report = Report()

    @batch_task(min_size=3, max_size=4, report=report)
    async def total(batch: list[int]) -> int:
        return sum(batch)

    assert run(total([1] * 10).collect()) == [4, 4]
    assert report.total == 2

    with pytest.warns(RuntimeWarning, match="dropped 2 items"):
        assert run(batch_task(min_size=3, max_size=4)(sum)([1] * 10).collect()) == [4, 4]

    things = [1, None, [2, 3], (4, 5), {}]
    same = single_task(keep_none=True, flatten=False)(lambda thing: thing)
    assert run(same(things).collect()) == things
    # Fanned out once, and nothing in a list is looked into.
    assert run(single_task(lambda thing: [thing])(things).collect()) == things


@pytest.mark.parametrize("mode", ["ordered", "as_completed"])
def test_stopping_early_ends_all_work_before_the_close_returns(mode: str) -> None:
    calls = CallProbe(takes={n: 0.01 * (n + 1) for n in range(20)}, cleanup=0.5)
    source = Probe(range(20))

    async def stops_early() -> tuple[list[int], int, float]:
        stream = single_task(calls).with_execution_mode(mode)(AsyncProbe(source)())  # type: ignore[arg-type]
        got = [await anext(stream)]
        await stream.aclose()
        return got, len(asyncio.all_tasks()), now()

    # The cleanup of the calls is awaited, so the close returns half a second later.
    assert run(stops_early()) == ([0], 1, 0.51)
    assert calls.live == 0
    assert sorted(calls.ended) == sorted(calls.began)
    assert len(calls.began) < 20
    assert source.closes == 1


def test_an_error_is_raised_when_the_cleanup_of_the_other_calls_has_ended() -> None:
    cleaned: list[str] = []

    @single_task
    async def work(number: int) -> int:
        try:
            await asyncio.sleep(0.01 if number == 0 else 0.2)
            if number == 0:
                raise ValueError("boom")
        finally:
            if number:
                await asyncio.sleep(0.05)
                cleaned.append(f"cleanup {number}")
        return number

    async def reads() -> tuple[list[str], int, float]:
        with pytest.raises(ValueError, match="boom"):
            await work([0, 1, 2]).collect()
        return sorted(cleaned), len(asyncio.all_tasks()), now()

    assert run(reads()) == (["cleanup 1", "cleanup 2"], 1, 0.06)


def test_two_pipelines_read_in_turns_see_each_its_own_context_and_the_reader_none() -> None:
    @single_task
    async def who(x: int) -> tuple[int, str]:
        await asyncio.sleep(0)
        context = get_current_context()
        assert context is not None
        return x, context.data["name"]

    @single_task(concurrency_limit=1)
    async def slow(x: int) -> int:
        await asyncio.sleep(0.001)
        return x

    async def in_turns() -> list[tuple[str, str]]:
        a = (slow | who).with_context(name="A")([1, 2, 3, 4])
        b = (slow | who).with_context(name="B")([1, 2, 3, 4])
        saw = []
        async with a, b:
            for _ in range(4):
                saw.append(("A", (await anext(a))[1]))
                assert get_current_context() is None
                saw.append(("B", (await anext(b))[1]))
                assert get_current_context() is None
        return saw

    assert all(pipeline == saw for pipeline, saw in run(in_turns()))


def test_side_inputs_of_one_run_are_not_those_of_the_next() -> None:
    @single_task
    async def add(x: int, k: int = 0) -> int:
        return x + k

    ten, hundred = add.with_inputs(k=10), add.with_inputs(k=100)
    assert run((ten | ten)([1]).collect()) == [21]
    assert run((hundred | hundred)([1]).collect()) == [201]
    assert run((ten | ten)([1]).collect()) == [21]
    assert run((add | add)([1]).collect()) == [1]


def test_batches_run_side_by_side_and_one_that_is_not_full_leaves_in_time() -> None:
    @batch_task(max_size=2)
    async def total(batch: list[int]) -> int:
        await asyncio.sleep(0.1)
        return sum(batch)

    assert run(schedule(total(range(8)))) == [(0.1, 1), (0.1, 5), (0.1, 9), (0.1, 13)]

    @batch_task(max_size=4, max_wait=0.5)
    async def listed(batch: list[str]) -> str:
        return "".join(batch)

    letters = AsyncProbe(Probe("abc"), takes=[0.1, 0.1, 9])
    assert run(schedule(listed(letters()))) == [(0.6, "ab"), (9.2, "c")]


def test_a_task_has_a_limit_of_time_and_jitter() -> None:
    @single_task(timeout=0.5, retry_attempts=2, retry_delay=1, jitter=1, on_error="collect")
    async def slow(seconds: float) -> float:
        await asyncio.sleep(seconds)
        return seconds

    (at, failure), (_, quick) = run(schedule(slow([9.0, 0.1])))
    assert isinstance(failure, Err)
    assert isinstance(failure.error, TimeoutError)
    assert str(failure.error) == "slow: no answer within 0.5 s"
    assert 1.0 < at < 2.0
    assert quick == 0.1


NAMES = (
    *("AsyncPipeline", "AsyncSource", "AsyncStage", "AsyncStream", "PipelineContext", "RetryPolicy"),
    *("batch_task", "get_current_context", "single_task"),
    *("CircuitBreakerHandler", "CollectingErrorHandler", "ErrorHandler", "LoggingErrorHandler"),
)


@pytest.mark.parametrize("name", NAMES)
def test_every_name_that_the_docs_name_exists(name: str) -> None:
    assert name in funcpipe_rag.__all__
    assert getattr(funcpipe_rag, name).__doc__


def test_a_lone_task_a_pipeline_and_what_they_stream_have_the_methods_of_the_docs() -> None:
    @single_task
    async def t(x: int) -> int:
        return x

    for one in (t, t | t, AsyncPipeline(t), AsyncPipeline().add(t), AsyncPipeline(t).add(t, t)):
        assert run(one([1, 2]).collect()) == [1, 2]
        assert run(one.as_completed([1, 2]).collect()) == [1, 2]
        assert run(one.with_context(data={"a": 1})([1]).collect()) == [1]
        assert run(one.with_execution_mode("as_completed")([1]).collect()) == [1]
    with pytest.raises(TypeError, match="not a list"):
        AsyncPipeline([t])  # type: ignore[arg-type]


# Schedules


def test_eight_delays_come_as_their_mode_says() -> None:
    came = run(schedule(waits(EIGHT)))
    assert came == [*((delay, delay) for delay in EIGHT[:5]), (2.0, 2.0), (2.0, 0.7), (2.0, 0.8)]
    assert run(schedule(waits.as_completed(EIGHT))) == [(delay, delay) for delay in sorted(EIGHT)]
    one_by_one = single_task(concurrency_limit=1)(lambda seconds: asyncio.sleep(seconds, seconds))
    assert run(schedule(one_by_one(EIGHT)))[-1] == (5.0, 0.8)


def test_generators_run_side_by_side_and_come_in_order_or_as_completed() -> None:
    @single_task
    async def twice(seconds: float) -> AsyncIterator[float]:
        for _ in range(2):
            await asyncio.sleep(seconds)
            yield seconds

    assert run(schedule(twice([0.3, 0.1]))) == [(0.3, 0.3), (0.6, 0.3), (0.6, 0.1), (0.7, 0.1)]
    assert run(schedule(twice.as_completed([0.3, 0.1]))) == [(0.1, 0.1), (0.2, 0.1), (0.3, 0.3), (0.6, 0.3)]


@pytest.mark.parametrize("mode", ["ordered", "as_completed"])
def test_a_generator_is_one_item_ahead_of_its_reader_and_with_one_call_at_a_time_none(mode: str) -> None:
    def given_when_two_were_taken(limit: int) -> int:
        given = 0

        def endless(start: int) -> Iterator[int]:
            nonlocal given
            while True:
                given += 1
                yield start

        async def takes_two() -> None:
            async with single_task(concurrency_limit=limit)(endless).with_execution_mode(mode)([1]) as xs:  # type: ignore[arg-type]
                await anext(xs)
                await anext(xs)
                await asyncio.sleep(1)

        run(takes_two())
        return given

    assert given_when_two_were_taken(1) == 2
    assert given_when_two_were_taken(16) == 3


def test_retries_wait_as_they_were_told_and_the_last_error_says_which_try_it_was() -> None:
    tried: list[float] = []

    @single_task(retry_attempts=4, retry_delay=1, retry_exponential_backoff=True, retry_max_delay=3)
    async def never(x: int) -> int:
        tried.append(now())
        raise OSError("busy")

    async def reads() -> None:
        with pytest.raises(OSError, match="busy") as raised:
            await never([1]).collect()
        assert "that was try 4 of 4" in raised.value.__notes__

    run(reads())
    assert tried == [0.0, 1.0, 3.0, 6.0]


def test_an_error_that_is_not_to_be_tried_again_is_raised_at_once() -> None:
    calls = CallProbe(fails=[1])
    with pytest.raises(Boom):
        run(single_task(retry_attempts=3, retry_on=OSError)(calls)([1]).collect())
    assert calls.began == [1]


def test_a_generator_is_tried_again_before_its_first_item_and_never_behind_it() -> None:
    tries = 0

    @single_task(retry_attempts=3, retry_delay=0)
    async def early(x: int) -> AsyncIterator[int]:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise OSError
        yield x

    assert run(early([7]).collect()) == [7]

    report = Report()

    @single_task(retry_attempts=3, retry_delay=0, on_error="skip_item", report=report)
    async def late(x: int) -> AsyncIterator[int]:
        yield x
        raise OSError

    assert run(late([7, 8]).collect()) == [7, 8]
    assert report.counts == {"late": {"OSError": 2}}


# What a function gives


def test_none_drops_lists_and_iterators_fan_out_and_what_is_in_them_stays() -> None:
    given: dict[int, Any] = {0: None, 1: [1, None], 2: iter([2, [2]]), 3: (3, 3), 4: [], 5: "five"}
    assert run(single_task(given.get)(range(6)).collect()) == [1, None, 2, [2], (3, 3), "five"]


def test_what_is_left_out_on_purpose_is_no_error_and_nobody_is_told(recwarn: pytest.WarningsRecorder) -> None:
    report = Report()
    even = single_task(report=report, on_error="skip_item")(lambda n: n if n % 2 == 0 else None)
    assert run(even(range(5)).collect()) == [0, 2, 4]
    assert report.total == 0
    assert not recwarn.list


def test_an_iterator_that_is_kept_whole_is_a_list() -> None:
    @single_task(flatten=False)
    async def twice(x: int) -> AsyncIterator[int]:
        yield x
        yield x

    assert run(twice([1, 2]).collect()) == [[1, 1], [2, 2]]
    assert run(single_task(flatten=False)(range)([2, 1]).collect()) == [range(2), range(1)]


def test_a_task_may_give_what_another_pipeline_streams() -> None:
    upper = single_task(str.upper)
    assert run(single_task(lambda word: upper(word))(["ab", "c"]).collect()) == ["A", "B", "C"]


@pytest.mark.parametrize("mode", ["ordered", "as_completed"])
def test_a_failure_within_a_generator_comes_behind_what_it_gave(mode: str) -> None:
    @single_task(on_error="collect")
    def counts(n: int) -> Iterator[int]:
        yield from range(n)
        raise Boom(f"after {n}")

    one, two, failed = run(counts.with_execution_mode(mode)([2]).collect())  # type: ignore[arg-type]
    assert (one, two) == (0, 1)
    assert (failed.item, failed.index, failed.stage) == (2, 0, "counts")


# Policies and handlers


def test_every_policy_counts_what_it_drops() -> None:
    report = Report()
    for name in ("skip_item", "skip"):
        task = single_task(on_error=name, report=report)(int)  # type: ignore[call-overload]
        assert run(task(["1", "x", "3"]).collect()) == [1, 3]
    assert report.counts == {"int": {"ValueError": 2}}
    with pytest.warns(RuntimeWarning, match="int dropped 1 item: 1 ValueError in int"):
        assert run(single_task(on_error="skip_item")(int)(["1", "x"]).collect()) == [1]


def fails_on_three(batch: list[int]) -> int:
    if 3 in batch:
        raise Boom("three")
    return sum(batch)


def test_a_batch_that_failed_is_dropped_whole_or_item_by_item_or_given_as_its_failures() -> None:
    def total(on_error: str, report: Report) -> list[Any]:
        task = batch_task(max_size=2, on_error=on_error, report=report)(fails_on_three)  # type: ignore[call-overload]
        return run(task(range(1, 7)).collect())

    whole, single, collected = Report(), Report(), Report()
    assert total("skip_batch", whole) == [3, 11]
    assert whole.total == 2
    assert total("skip_item", single) == [3, 4, 11]
    assert single.as_dict()["stages"]["fails_on_three"]["Boom"]["examples"] == [
        {"index": 2, "item": "3", "error": "three"}
    ]
    first, *failures, last = total("collect", collected)
    assert (first, last) == (3, 11)
    assert [(failure.item, failure.index) for failure in failures] == [(3, 2), (4, 3)]


def test_an_item_that_fails_half_way_alone_keeps_what_it_gave_and_takes_no_other_with_it() -> None:
    def each(batch: list[int]) -> Iterator[int]:
        if len(batch) > 1:
            raise Boom("together")
        yield batch[0]
        if batch == [2]:
            raise Boom("two")

    report = Report()
    task = batch_task(max_size=3, on_error="skip_item", report=report)(each)
    assert run(task([1, 2, 3]).collect()) == [1, 2, 3]
    assert report.as_dict()["stages"]["each"]["Boom"]["examples"] == [
        {"index": 1, "item": "2", "error": "two"}
    ]


def test_with_skip_item_a_handler_lets_whole_batches_in_and_is_told_when_they_go_well() -> None:
    errors = CollectingErrorHandler()
    task = batch_task(max_size=2, on_error="skip_item", error_handler=errors)(fails_on_three)
    assert run(task(range(1, 7)).collect()) == [3, 4, 11]
    summary = errors.summary()
    # [1, 2], [5, 6] and, alone, [4]; and [3], which failed alone.
    assert (summary["succeeded"], summary["failed"], summary["rate"]) == (3, 1, 0.25)

    called: list[list[int]] = []

    def down(batch: list[int]) -> None:
        called.append(batch)
        raise Boom("down")

    circuit = CircuitBreakerHandler(failure_threshold=1, reset_timeout=60, clock=lambda: 0.0)
    report = Report()
    fetch = batch_task(
        max_size=2, on_error="skip_item", error_handler=circuit, concurrency_limit=1, report=report
    )
    assert run(fetch(down)(range(6)).collect()) == []
    # Open from the first item alone on, and nothing is called.
    assert called == [[0, 1], [0]]
    assert report.counts == {"down": {"Boom": 1, "BreakerOpen": 5}}


def test_a_batch_is_a_list_of_its_own_for_each_try() -> None:
    seen: list[list[int]] = []

    @batch_task(max_size=3, retry_attempts=2, retry_delay=0)
    def spoils(batch: list[int]) -> int:
        seen.append(list(batch))
        batch.clear()
        if len(seen) == 1:
            raise Boom
        return len(seen[-1])

    assert run(spoils([1, 2, 3]).collect()) == [3]
    assert seen == [[1, 2, 3], [1, 2, 3]]


class Noted(ErrorHandler):
    def __init__(self, *answer: Any) -> None:
        self.answer, self.asked = answer, []  # type: ignore[var-annotated]

    async def handle_error(self, error: Exception, item: Any, task_name: str, attempt: int) -> Any:
        self.asked.append((type(error), item, task_name, attempt))
        return self.answer


def test_a_handler_is_asked_once_behind_the_last_try_and_before_the_policy() -> None:
    handler = Noted(False, "not used")
    failing = single_task(error_handler=handler, retry_attempts=3, retry_delay=0, task_name="read")
    with pytest.raises(ValueError, match="invalid literal"):
        run(failing(int)(["1", "x"]).collect())
    assert handler.asked == [(ValueError, "x", "read", 3)]

    report = Report()
    dropping = single_task(error_handler=handler, on_error="skip_item", report=report)(int)
    assert run(dropping(["x", "2"]).collect()) == [2]
    assert report.total == 1


@pytest.mark.parametrize(
    ("value", "came", "dropped"), [(0, [1, 0], 0), (None, [1], 1), ([7, 8], [1, 7, 8], 0), ([], [1], 0)]
)
def test_what_a_handler_gives_stands_for_the_result(value: Any, came: list[Any], dropped: int) -> None:
    report = Report()
    task = single_task(error_handler=Noted(True, value), report=report)(int)
    assert run(task(["1", "x"]).collect()) == came
    assert report.total == dropped


@pytest.mark.parametrize("answer", [None, 0, True, "no", (True,), (True, 1, 2)])
def test_an_answer_of_a_handler_that_is_none_names_the_handler_and_what_is_wanted(answer: object) -> None:
    class Careless(ErrorHandler):
        def handle_error(self, error: Exception, item: Any, task_name: str, attempt: int) -> Any:
            return answer

    with pytest.raises(
        TypeError, match=r"int: Careless.handle_error must give \(True, value\) to go on or \(False"
    ):
        run(single_task(error_handler=Careless())(int)(["x"]).collect())


def test_the_class_of_a_handler_in_its_place_is_refused_before_the_first_item() -> None:
    with pytest.raises(
        TypeError, match=r"got the class CollectingErrorHandler; write CollectingErrorHandler\(\)"
    ):
        single_task(error_handler=CollectingErrorHandler)


def test_a_handler_may_keep_none_where_the_task_does_and_may_raise_another_error() -> None:
    task = single_task(error_handler=Noted(True, None), keep_none=True)(int)
    assert run(task(["x", "2"]).collect()) == [None, 2]

    class Raises:
        def handle_error(self, error: Exception, item: Any, task_name: str, attempt: int) -> Any:
            raise LookupError(item)

    with pytest.raises(LookupError, match="x") as raised:
        run(single_task(error_handler=Raises())(int)(["x"]).collect())
    assert isinstance(raised.value.__context__, ValueError)


def test_failures_are_logged_and_replaced_or_left_to_the_policy(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("test of tasks")
    replaced = single_task(error_handler=LoggingErrorHandler(logger, replacement=-1), task_name="parse")(int)
    assert run(replaced(["1", "x"]).collect()) == [1, -1]
    assert [(record.name, record.levelname) for record in caplog.records] == [("test of tasks", "WARNING")]
    assert caplog.messages[0].startswith("parse failed on 'x', try 1: ValueError(")
    with pytest.raises(ValueError, match="invalid literal"):
        run(single_task(error_handler=LoggingErrorHandler(logger))(int)(["x"]).collect())


def test_an_item_without_a_repr_is_logged_all_the_same(caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        def __repr__(self) -> str:
            raise Boom("no repr")

    parse = single_task(error_handler=LoggingErrorHandler(replacement=0))(int)
    assert run(parse([Broken(), "100%s" * 1000]).collect()) == [0, 0]
    broken, long = caplog.messages
    assert broken.startswith("int failed on <Broken instance at ")
    assert long.startswith("int failed on '100%s") and len(long) < 400


def test_a_collecting_handler_tells_the_rate_and_examples_and_no_warning_follows(
    recwarn: pytest.WarningsRecorder,
) -> None:
    errors = CollectingErrorHandler(examples=2)
    assert errors.summary()["rate"] is None
    task = single_task(error_handler=errors, task_name="parse")(int)
    assert run(task(["1", "x", "3", "y", "5", "z", "7", "8"]).collect()) == [1, 3, 5, 7, 8]
    summary = errors.summary()
    assert (summary["succeeded"], summary["failed"], summary["rate"]) == (5, 3, 0.375)
    kept = summary["stages"]["parse"]["ValueError"]
    assert (kept["count"], [example["item"] for example in kept["examples"]]) == (3, ["'x'", "'y'"])
    assert not recwarn.list


def test_a_circuit_opens_refuses_and_tries_again() -> None:
    called: list[int] = []
    states: list[str] = []
    report = Report()

    async def program() -> list[Any]:
        circuit = CircuitBreakerHandler(failure_threshold=2, reset_timeout=10, clock=now)

        @single_task(error_handler=circuit, on_error="collect", concurrency_limit=1, report=report)
        async def fetch(page: int) -> int:
            called.append(page)
            if now() < 25:
                raise OSError("down")
            return page

        async def a_page_each_5_seconds() -> AsyncIterator[int]:
            for page in range(8):
                states.append(circuit.state)
                yield page
                await asyncio.sleep(5)

        return await fetch(a_page_each_5_seconds()).collect()

    came = run(program())
    # The first is borne, the second opens; then one is refused and one is a trial, until a trial goes well.
    assert called == [0, 1, 3, 5, 6, 7]
    assert states == ["closed", "closed", "open", "half-open", "open", "half-open", "closed", "closed"]
    assert [type(each.error).__name__ if isinstance(each, Err) else each for each in came] == [
        *("OSError", "BreakerOpen", "OSError", "BreakerOpen"),
        *(5, 6, 7),
    ]
    assert report.counts == {"fetch": {"OSError": 1}}


def test_a_call_that_was_in_flight_when_the_circuit_opened_neither_closes_it_nor_keeps_it_open() -> None:
    called: dict[int, float] = {}
    circuit = CircuitBreakerHandler(failure_threshold=2, reset_timeout=10, clock=now)

    @single_task(error_handler=circuit, on_error="collect", report=Report())
    async def fetch(page: int) -> int:
        called[page] = now()
        await asyncio.sleep({0: 1, 1: 1, 2: 2, 3: 3}.get(page, 4))
        if page in (0, 1, 3):
            raise OSError("down")
        return page

    async def pages() -> AsyncIterator[int]:
        for page, wait in enumerate([0, 0, 0, 6, 5.5, 5, 0]):
            yield page
            await asyncio.sleep(wait)

    run(fetch(pages()).collect())
    # Open at 1, though page 2 went well at 2, until 11, though page 3 failed at 3; page 5 is the trial.
    assert called == {0: 0, 1: 0, 2: 0, 3: 0, 5: 11.5, 6: 16.5}
    assert circuit.state == "closed"


def test_a_circuit_that_is_open_ends_a_stream_that_fails_on_errors() -> None:
    circuit = CircuitBreakerHandler(failure_threshold=2, reset_timeout=60, clock=lambda: 0.0)
    report = Report()
    fetch = single_task(error_handler=circuit, concurrency_limit=1, report=report)(int)
    with pytest.raises(ValueError, match="'y'"):
        run(fetch(["x", "y", "z"]).collect())
    assert report.total == 1
    with pytest.raises(BreakerOpen, match="int was not called"):
        run(fetch(["1"]).collect())


# Contexts


def test_a_context_is_seen_in_every_kind_of_function_in_handlers_and_side_inputs_and_never_by_the_reader() -> (
    None
):
    def user() -> Any:
        context = get_current_context()
        return None if context is None else context.data["user"]

    @single_task
    def plain(x: int) -> Any:
        return user()

    @single_task
    async def awaited(x: int) -> Any:
        await asyncio.sleep(0)
        return user()

    @single_task
    def generated(x: int) -> Iterator[Any]:
        yield user()
        yield user()

    @single_task
    async def streamed(x: int) -> AsyncIterator[Any]:
        yield user()
        await asyncio.sleep(0)
        yield user()

    @batch_task(max_size=1)
    async def batched(batch: list[int]) -> Any:
        return user()

    class Handles(ErrorHandler):
        def handle_error(self, error: Exception, item: Any, task_name: str, attempt: int) -> Any:
            return True, user()

    @single_task(error_handler=Handles())
    def handled(x: int) -> Any:
        raise Boom

    async def late() -> Any:
        return user()

    @single_task
    def beside(x: int, side: Any) -> Any:
        return side

    async def reads() -> None:
        for task in (
            plain,
            awaited,
            generated,
            streamed,
            batched,
            handled,
            beside.with_inputs(late),
            amap(plain._fn),
        ):
            for mode in ("ordered", "as_completed"):
                pipeline = AsyncPipeline(task).with_execution_mode(mode).with_context(user="Ada")  # type: ignore[arg-type]
                async with pipeline([1, 2]) as xs:
                    async for x in xs:
                        assert x == "Ada", task
                        assert get_current_context() is None

    run(reads())


def test_each_run_has_its_own_id_and_its_own_data_down_to_the_containers_in_it() -> None:
    shared = object()

    @single_task(concurrency_limit=1)
    def notes(x: int) -> Any:
        context = get_current_context()
        assert context is not None
        context.data["seen"].append(x)
        return context.pipeline_id, list(context.data["seen"]), context.data["shared"] is shared

    pipeline = (notes | single_task(lambda seen: seen)).with_context(seen=[], shared=shared)
    first, second = run(pipeline([1, 2]).collect()), run(pipeline([3]).collect())
    assert [seen for _, seen, _ in (*first, *second)] == [[1], [1, 2], [3]]
    assert len({name for name, _, _ in first}) == 1
    assert first[0][0] != second[0][0]
    assert all(same for _, _, same in (*first, *second))


def test_counters_and_the_like_in_the_data_are_each_run_s_own() -> None:
    @single_task(concurrency_limit=1, flatten=False)
    def notes(x: str) -> Any:
        context = get_current_context()
        assert context is not None
        context.data["many"][x] += 1
        context.data["by"][x].append(x)
        context.data["last"].append(x)
        return [sum(context.data["many"].values()), *context.data["by"][x], *context.data["last"]]

    pipeline = notes.with_context(many=Counter(), by=defaultdict(list), last=deque(maxlen=1))
    for _ in range(2):
        assert run(pipeline("ab").collect()) == [[1, "a", "a"], [2, "b", "b"]]


def test_a_set_id_is_kept_and_what_was_set_on_both_sides_of_a_pipe_is_joined() -> None:
    @single_task
    def tells(x: int) -> PipelineContext | None:
        return get_current_context()

    left = tells.with_context(a=1, b=1, pipeline_id="nightly").with_execution_mode("as_completed")
    right = single_task(lambda context: context).with_context(b=2, data={"c": 3}, max_parallelism=2)
    (context,) = run((left | right)([1]).collect())
    assert context == PipelineContext("as_completed", 2, "nightly", {"a": 1, "b": 2, "c": 3})
    (context,) = run((asource(lambda: [1]) | left | right)().collect())
    assert context == PipelineContext("as_completed", 2, "nightly", {"a": 1, "b": 2, "c": 3})
    (context,) = run(left.with_context(PipelineContext(data={"z": 0}))([1]).collect())
    assert context.data == {"a": 1, "b": 1, "z": 0} and context.execution_mode == "ordered"


def test_what_is_set_makes_a_new_pipeline_and_never_changes_one() -> None:
    @single_task
    def name(x: int, k: int = 0) -> Any:
        context = get_current_context()
        assert context is not None
        return context.data.get("name"), k

    pipeline = AsyncPipeline(name)
    pipeline.with_context(name="A")
    pipeline.as_completed([1])
    pipeline.add(name)
    name.with_inputs(5)
    assert run(pipeline([1]).collect()) == [(None, 0)]
    with pytest.raises(AttributeError, match="immutable"):
        name.name = "other"


@pytest.mark.parametrize("most", [1, 2, 3])
def test_max_parallelism_caps_the_calls_in_flight_over_all_tasks_of_a_run(most: int) -> None:
    calls = CallProbe(takes=dict.fromkeys(range(6), 1.0))
    stream = (single_task(calls) | single_task(calls) | amap(calls, concurrency=9)).with_context(
        max_parallelism=most
    )
    assert run(stream(range(6)).collect()) == list(range(6))
    assert calls.most == most


def test_one_call_at_a_time_is_enough_for_generators_that_feed_a_task() -> None:
    @single_task
    async def four(x: int) -> AsyncIterator[int]:
        for n in range(4):
            await asyncio.sleep(1)
            yield n

    @single_task
    async def work(x: int) -> int:
        await asyncio.sleep(1)
        return x

    stream = (four | work).with_context(max_parallelism=1)
    assert run(stream([0, 1]).collect()) == [0, 1, 2, 3] * 2
    assert sorted(run(stream.as_completed([0, 1]).collect())) == sorted([0, 1, 2, 3] * 2)


SECRET: ContextVar[str] = ContextVar("secret", default="nobody's")


def test_what_a_task_sets_is_its_own_and_what_its_caller_set_it_sees() -> None:
    @single_task(concurrency_limit=1)
    async def tells(name: str) -> str:
        seen = SECRET.get()
        SECRET.set(name)
        return seen

    async def reads() -> None:
        SECRET.set("the reader's")
        assert await tells(["a", "b", "c"]).collect() == ["the reader's"] * 3
        assert SECRET.get() == "the reader's"

    run(reads())


# Side inputs


def test_a_side_input_is_a_value_or_awaited_once_a_run_or_the_first_item_of_a_stream() -> None:
    loads = 0

    async def load() -> int:
        nonlocal loads
        loads += 1
        await asyncio.sleep(1)
        return loads

    opened = Probe([10, 20])

    @single_task
    async def all_of(x: int, a: int, b: int, *, c: int) -> tuple[int, int, int, int]:
        return x, a, b, c

    task = all_of.with_inputs(7, load, c=asource(AsyncProbe(opened)))
    assert run(task([1, 2]).collect()) == [(1, 7, 1, 10), (2, 7, 1, 10)]
    assert run(task([3]).collect()) == [(3, 7, 2, 10)]
    assert (loads, opened.opens, opened.closes) == (2, 2, 2)


@pytest.mark.parametrize("mode", ["ordered", "as_completed"])
def test_side_inputs_come_item_by_item_in_the_order_of_the_items(mode: str) -> None:
    side = Probe("abcdef")

    @single_task
    async def pair(seconds: float, letter: str, k: int) -> tuple[float, str, int]:
        await asyncio.sleep(seconds)
        return seconds, letter, k

    task = pair.with_inputs(AsyncProbe(side)(), zip_inputs=True).with_inputs(k=5)
    came = run(task.with_execution_mode(mode)([0.3, 0.1, 0.2]).collect())  # type: ignore[arg-type]
    assert sorted(came, key=lambda one: one[1]) == [(0.3, "a", 5), (0.1, "b", 5), (0.2, "c", 5)]
    assert side.closes == 1


def test_a_side_stream_that_is_too_short_or_used_up_and_a_coroutine_that_was_awaited_are_told() -> None:
    @single_task(on_error="skip_item")
    async def pair(x: int, side: Any) -> Any:
        return x, side

    async def short() -> AsyncIterator[str]:
        yield "a"

    async def load() -> str:
        return "loaded"

    async def reads() -> None:
        with pytest.raises(ValueError, match="pair: side input 0 has no item for item 1"):
            await pair.with_inputs(short, zip_inputs=True)([1, 2]).collect()
        once = pair.with_inputs(short())
        assert await once([1]).collect() == [(1, "a")]
        with pytest.raises(ValueError, match="a stream gives its items once"):
            await once([1]).collect()
        loaded = pair.with_inputs(load())
        assert await loaded([1, 2]).collect() == [(1, "loaded"), (2, "loaded")]
        with pytest.raises(RuntimeError, match="give the coroutine function"):
            await loaded([1]).collect()

    run(reads())


def test_a_side_input_that_the_function_does_not_take_is_refused_at_once() -> None:
    @single_task
    def one(x: int, k: int = 0) -> int:
        return x + k

    with pytest.raises(TypeError, match="one: with_inputs: got an unexpected keyword argument 'j'"):
        one.with_inputs(j=1)
    with pytest.raises(TypeError, match="one: with_inputs: too many positional arguments"):
        one.with_inputs(1, 2)


def test_an_error_on_an_item_with_side_inputs_names_the_item_alone() -> None:
    @single_task
    def fails(x: int, k: int) -> int:
        raise Boom("no")

    with pytest.raises(Boom) as raised:
        run(fails.with_inputs(3)([7]).collect())
    assert raised.value.__notes__ == ["in fails, at item 0: 7"]


def test_two_runs_read_in_turns_have_each_their_own_side_inputs_and_data() -> None:
    numbers = iter(range(100))

    async def number() -> int:
        return next(numbers)

    @single_task(concurrency_limit=1)
    async def tells(x: int, mine: int, letter: str) -> tuple[int, str, int]:
        context = get_current_context()
        assert context is not None
        await asyncio.sleep(0.01)
        context.data["count"] = context.data.get("count", 0) + 1
        return mine, letter, context.data["count"]

    async def letters() -> AsyncIterator[str]:
        for letter in "abc":
            yield letter

    async def in_turns() -> list[Any]:
        task = AsyncPipeline(tells.with_inputs(number).with_inputs(letters, zip_inputs=True))
        a, b = task(range(3)), task(range(3))
        async with a, b:
            return [await anext(one) for _ in range(3) for one in (a, b)]

    assert run(in_turns()) == [(n, letter, k) for k, letter in enumerate("abc", 1) for n in (0, 1)]


# Methods


class Shop:
    def __init__(self, name: str) -> None:
        self.name = name

    @single_task
    async def price(self, item: str) -> str:
        """What it costs."""
        return f"{self.name}: {item}"

    @batch_task(max_size=2)
    def total(self, items: list[str]) -> str:
        return f"{self.name}: {len(items)}"

    @single_task(on_error="collect")
    def fails(self, item: str) -> str:
        raise Boom(item)

    @single_task
    @classmethod
    def kind(cls, item: str) -> str:
        return f"{cls.__name__} {item}"

    @staticmethod
    @single_task
    def plain(item: str) -> str:
        return item


def test_a_task_in_a_class_is_bound_to_its_object_and_objects_share_nothing() -> None:
    one, two = Shop("one"), Shop("two")
    both = [one.price, two.price]
    assert [run(task(["a"]).collect()) for task in both] == [["one: a"], ["two: a"]]
    assert run((one.price | two.total)(["a", "b", "c"]).collect()) == ["two: 2", "two: 1"]
    assert run(one.price.with_inputs()(["a"]).collect()) == ["one: a"]
    assert Shop.price is Shop.__dict__["price"]
    assert Shop.price.__doc__ == "What it costs."
    assert run(one.fails(["a"]).collect())[0].stage == "Shop.fails"
    assert run(one.kind(["a"]).collect()) == ["Shop a"]  # type: ignore[attr-defined]
    assert run(one.plain(["a"]).collect()) == ["a"]
    assert vars(one) == {"name": "one"}


# Closing


@pytest.mark.parametrize("mode", ["ordered", "as_completed"])
def test_closing_ends_generators_and_closes_side_inputs_and_input(mode: str) -> None:
    source, side = Probe(range(9)), Probe(range(9))
    ended: list[int] = []

    @single_task(concurrency_limit=3)
    async def endless(x: int, k: int) -> AsyncIterator[int]:
        try:
            while True:
                await asyncio.sleep(0.1)
                yield x
        finally:
            await asyncio.sleep(1)
            ended.append(x)

    task = endless.with_inputs(asource(AsyncProbe(side)), zip_inputs=True)

    async def stops() -> float:
        async with task.with_execution_mode(mode)(AsyncProbe(source)()) as stream:  # type: ignore[arg-type]
            for _ in range(4):
                await anext(stream)
        return now()

    # In order it is always the first that gives; as completed they take turns, and the second round begins at once.
    assert run(stops()) == (1.4 if mode == "ordered" else 1.2)
    assert sorted(ended) == [0, 1, 2]
    assert (source.closes, side.closes) == (1, 1)


def test_a_stream_that_is_dropped_ends_too() -> None:
    calls = CallProbe(takes=dict.fromkeys(range(9), 1.0))

    async def drops() -> None:
        stream = (single_task(calls) | single_task(calls))(range(9))
        with suppress(asyncio.TimeoutError):
            async with asyncio.timeout(0.5):
                await anext(stream)
        stream = (single_task(calls) | single_task(calls))(range(9))
        await anext(stream)
        del stream
        gc.collect()
        await asyncio.sleep(0.1)
        assert len(asyncio.all_tasks()) == 1

    run(drops())
    assert calls.live == 0


def test_nothing_is_opened_and_nothing_called_before_a_stream_is_asked() -> None:
    source, calls = Probe(range(3)), CallProbe()
    stream = (single_task(calls) | batch_task(sum)).with_context(a=1)(AsyncProbe(source)())  # type: ignore[call-overload]
    run(stream.aclose())
    assert (source.pulls, source.closes, calls.began) == (0, 0, [])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"on_error": "ignore"}, 'on_error must be "fail", "skip_item", "skip" or "collect", got \'ignore\''),
        ({"on_error": "skip_batch"}, "on_error must be"),
        ({"retry_attempts": 0}, "retry_attempts must be >= 1, got 0"),
        ({"retry_delay": -1}, "retry_delay must be >= 0"),
        ({"retry_max_delay": float("nan")}, "retry_max_delay must be >= 0"),
        ({"jitter": 2}, "jitter must be >= 0 and <= 1, got 2"),
        ({"retry_on": KeyboardInterrupt}, "retry_on must be kinds of Exception"),
        ({"concurrency_limit": 0}, "concurrency_limit must be >= 1, got 0"),
        ({"timeout": 0}, "timeout must be > 0"),
        ({"error_handler": print}, "error_handler must have handle_error"),
        ({"task_name": 3}, "task_name must be text"),
        ({"report": 3}, "report must be a function"),
    ],
)
def test_what_cannot_be_is_refused_when_the_task_is_made(options: dict[str, Any], said: str) -> None:
    with pytest.raises((TypeError, ValueError), match=r"^single_task: ") as raised:
        single_task(**options)
    assert said in str(raised.value)


def test_a_task_says_what_it_is_in_the_words_it_was_made_of() -> None:
    assert repr(waits) == "single_task(waits)"
    assert (
        repr(batch_task(max_size=3, on_error="skip_batch")(sum))
        == "batch_task(sum, max_size=3, on_error='skip_batch')"
    )
