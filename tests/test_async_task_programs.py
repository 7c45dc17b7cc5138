"""Whole programs in the shapes that the documentation of task pipelines shows, each with its exact outcome."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from statistics import mean
from typing import Any

import pytest

from funcpipe_rag import (
    AsyncPipeline,
    CircuitBreakerHandler,
    CollectingErrorHandler,
    ErrorHandler,
    amap,
    amerge,
    as_source,
    asource,
    batch_task,
    fence_k,
    fmap,
    fork2_lockstep,
    fork_lockstep,
    get_current_context,
    make_router,
    single_task,
    source,
    stage,
)
from funcpipe_rag.aio.testing import run, schedule
from funcpipe_rag.streams.probe import Boom


def now() -> float:
    return asyncio.get_running_loop().time()


# Tasks


@single_task
async def multiply_by_two(x: int) -> int:
    await asyncio.sleep(0.01)
    return x * 2


@batch_task(min_size=2, max_size=3)
async def sum_batch(batch: list[int]) -> int:
    await asyncio.sleep(0.05)
    return sum(batch)


@single_task
async def add_ten(x: int) -> int:
    return x + 10


def test_single_then_batch_then_single() -> None:
    pipeline = multiply_by_two | sum_batch | add_ten
    with pytest.warns(
        RuntimeWarning, match=r"sum_batch dropped 1 item: 1 ValueError in abatch\(3, min_size=2\)"
    ):
        assert run(pipeline(range(1, 8)).collect()) == [22, 40]


def test_results_come_while_later_ones_are_still_worked_on() -> None:
    async def program() -> list[tuple[float, int]]:
        return [(now(), result) async for result in (multiply_by_two | add_ten)([1, 2])]

    assert run(program()) == [(0.01, 12), (0.01, 14)]


def test_sub_pipelines_are_used_again_and_made_by_functions() -> None:
    def scaled_by(factor: int) -> AsyncPipeline[int, int]:
        @single_task
        async def scale(x: int) -> int:
            return x * factor

        return scale | add_ten

    prepared = AsyncPipeline().add(multiply_by_two, add_ten)
    assert run((prepared | scaled_by(3))([1]).collect()) == [46]
    assert run((prepared | scaled_by(10))([1]).collect()) == [130]
    assert run(prepared([1]).collect()) == [12]


def test_a_sentence_becomes_words_and_short_ones_are_left_out() -> None:
    @single_task
    async def words(line: str) -> list[str]:
        return line.split()

    @single_task
    async def long_enough(word: str) -> str | None:
        return word if len(word) > 2 else None

    assert run((words | long_enough)(["to be or not", "be that as it may"]).collect()) == [
        "not",
        "that",
        "may",
    ]


def test_records_are_parsed_enriched_with_the_runs_context_and_stored_in_batches() -> None:
    stored: list[list[dict[str, Any]]] = []

    @single_task(on_error="skip_item", error_handler=(errors := CollectingErrorHandler()))
    def parse(line: str) -> dict[str, Any]:
        return dict(json.loads(line))

    @single_task
    async def enrich(row: dict[str, Any], rates: dict[str, float]) -> dict[str, Any]:
        context = get_current_context()
        assert context is not None
        return row | {"total": row["price"] * rates[row["in"]], "by": context.data["user"]}

    @batch_task(max_size=2)
    async def store(rows: list[dict[str, Any]]) -> int:
        stored.append(rows)
        return len(rows)

    async def rates() -> dict[str, float]:
        await asyncio.sleep(1)
        return {"eur": 1.0, "usd": 0.5}

    lines = ['{"price": 2, "in": "eur"}', "{", '{"price": 4, "in": "usd"}', '{"price": 1, "in": "usd"}']
    pipeline = (parse | enrich.with_inputs(rates) | store).with_context(user="Ada", max_parallelism=2)
    assert run(pipeline(lines).collect()) == [2, 1]
    assert [row["total"] for rows in stored for row in rows] == [2.0, 2.0, 0.5]
    assert {row["by"] for rows in stored for row in rows} == {"Ada"}
    assert errors.summary()["rate"] == 0.25


# Streaming


async def sensor(name: str, every: float, readings: list[float]) -> AsyncIterator[tuple[str, float]]:
    for reading in readings:
        await asyncio.sleep(every)
        yield name, reading


def test_alerts_are_raised_while_the_readings_come_in() -> None:
    @single_task
    def alert(reading: tuple[str, float]) -> str | None:
        name, value = reading
        return f"{name} at {value}" if value > 50 else None

    readings = sensor("boiler", 1.0, [40, 60, 45, 90])
    assert run(schedule(alert(readings))) == [(2.0, "boiler at 60"), (4.0, "boiler at 90")]


def test_several_sources_are_read_as_one_and_routed_by_content() -> None:
    @single_task
    async def route(reading: tuple[str, float]) -> str:
        name, value = reading
        handle = handlers[name]
        return await handle(value)

    async def heat(value: float) -> str:
        return f"heat {value}"

    async def pressure(value: float) -> str:
        await asyncio.sleep(0.5)
        return f"pressure {value}"

    handlers = {"a": heat, "b": pressure}
    both = amerge(asource(lambda: sensor("a", 2.0, [1, 2])), asource(lambda: sensor("b", 3.0, [3])))
    assert run(schedule((both | route.with_execution_mode("as_completed"))())) == [
        *((2.0, "heat 1"), (3.5, "pressure 3"), (4.0, "heat 2")),
    ]


def test_progress_is_told_and_a_program_goes_on_where_it_was_stopped() -> None:
    @single_task
    async def work(number: int) -> int:
        await asyncio.sleep(1)
        return number

    checkpoint = 0
    told: list[str] = []

    async def goes_on(stops_after: int) -> None:
        nonlocal checkpoint
        async with work(range(checkpoint, 10)) as results:
            async for done in results:
                checkpoint = done + 1
                told.append(f"{checkpoint * 10} %")
                if len(told) == stops_after:
                    return

    run(goes_on(4))
    run(goes_on(100))
    assert told == [f"{n}0 %" for n in range(1, 11)]


def test_the_first_results_are_shown_before_the_slow_ones_are_there() -> None:
    @single_task
    async def search(engine: tuple[str, float]) -> str:
        name, seconds = engine
        await asyncio.sleep(seconds)
        return name

    engines = [("slow", 3.0), ("quick", 0.2), ("fair", 1.0)]

    async def first_two() -> tuple[list[str], float]:
        shown = []
        async with search.as_completed(engines) as results:
            async for name in results:
                shown.append(name)
                if len(shown) == 2:
                    break
        return shown, now()

    assert run(first_two()) == (["quick", "fair"], 1.0)


def test_larger_batches_cost_less_and_come_later() -> None:
    def cost(size: int) -> tuple[int, float, float]:
        calls = 0

        @batch_task(max_size=size, concurrency_limit=1)
        async def insert(rows: list[int]) -> list[int]:
            nonlocal calls
            calls += 1
            await asyncio.sleep(1 + 0.1 * len(rows))
            return rows

        came = run(schedule(insert(range(10))))
        return calls, round(came[0][0], 9), round(came[-1][0], 9)

    assert [cost(size) for size in (1, 5, 10)] == [(10, 1.1, 11.0), (2, 1.5, 3.0), (1, 2.0, 2.0)]


def test_an_average_wants_all_results_and_collects_them() -> None:
    async def average() -> float:
        return mean(await multiply_by_two([1, 2, 3]).collect())

    assert run(average()) == 4


# Errors


def test_a_handler_that_falls_back_and_one_that_measures() -> None:
    class Fallback(ErrorHandler):
        def __init__(self) -> None:
            self.failed: dict[str, int] = {}

        async def handle_error(
            self, error: Exception, item: Any, task_name: str, attempt: int
        ) -> tuple[bool, Any]:
            await asyncio.sleep(0.5)
            self.failed[task_name] = self.failed.get(task_name, 0) + attempt
            return True, f"cached {item}"

    fallback = Fallback()

    @single_task(error_handler=fallback, retry_attempts=2, retry_delay=0.25)
    async def fetch(page: int) -> str:
        if page % 2:
            raise ConnectionError
        return f"page {page}"

    assert run(schedule(fetch([0, 1, 2]))) == [(0.0, "page 0"), (0.75, "cached 1"), (0.75, "page 2")]
    (name,) = fallback.failed
    assert name.endswith("fetch") and fallback.failed[name] == 2


def test_a_service_that_is_down_is_left_in_peace() -> None:
    async def program() -> tuple[int, int]:
        called = 0
        circuit = CircuitBreakerHandler(failure_threshold=3, reset_timeout=60, clock=now)

        @single_task(
            on_error="collect", error_handler=circuit, concurrency_limit=1, report=list[Any]().append
        )
        async def ask(n: int) -> int:
            nonlocal called
            called += 1
            raise ConnectionError

        return len(await ask(range(100)).collect()), called

    # Two failures are borne and dropped; the third opens, and 97 are refused.
    assert run(program()) == (98, 3)


def test_a_batch_is_saved_in_part() -> None:
    @batch_task(max_size=4, on_error="skip_item", error_handler=(errors := CollectingErrorHandler()))
    def insert(rows: list[int]) -> list[int]:
        if 5 in rows:
            raise Boom("5 is taken")
        return rows

    assert run(insert(range(8)).collect()) == [0, 1, 2, 3, 4, 6, 7]
    assert errors.summary()["failed"] == 1


def test_the_share_of_what_went_well_is_known_while_it_goes_on() -> None:
    errors = CollectingErrorHandler()

    @single_task(error_handler=errors, concurrency_limit=1)
    def parse(text: str) -> int:
        return int(text)

    async def rates() -> list[float]:
        return [errors.summary()["rate"] async for _ in parse(["1", "x", "2", "3"])]

    assert run(rates()) == [0.0, pytest.approx(1 / 3), 0.25]


# Segments


def test_a_source_segments_and_a_function_of_them() -> None:
    @source
    def echo() -> Iterator[str]:
        yield from ("1", "2", "3")

    @stage
    def numbers(texts: Any) -> Iterator[int]:
        for text in texts:
            yield int(text)

    assert list((echo | numbers | fmap(lambda n: n + 1))()) == [2, 3, 4]
    add_one = (numbers | fmap(lambda n: n + 1)).as_function(single_in=True, single_out=True)
    assert add_one("41") == 42
    # And as a task: a function of one item is one, whatever it was made of.
    assert run(single_task(add_one)(["1", "2"]).collect()) == [2, 3]


def test_a_segment_of_a_stream_stands_between_tasks() -> None:
    async def every_second(xs: AsyncIterator[int]) -> AsyncIterator[int]:
        keep = False
        async for x in xs:
            if keep:
                yield x
            keep = not keep

    pipeline = multiply_by_two | every_second | add_ten
    assert run(pipeline(range(6)).collect()) == [12, 16, 20]
    assert run((asource(lambda: range(4)) | every_second | amap(str))().collect()) == ["1", "3"]


def test_a_fork_tells_of_a_short_branch_and_raises_what_a_branch_raises() -> None:
    numbers = as_source(range(1000))
    with pytest.raises(ValueError, match="fence_k\\(3\\), ended before index 3"):
        list((numbers | fork2_lockstep(fmap(abs), fence_k(3)))())

    def fails(n: int) -> int:
        if n == 2:
            raise Boom("branch")
        return n

    rows = (numbers | fork_lockstep(fmap(abs), fmap(fails)))()
    assert [next(rows), next(rows)] == [(0, 0), (1, 1)]
    with pytest.raises(Boom, match="branch"):
        next(rows)
    # None is an item like any other.
    some = as_source([1, 2, None, 3])
    assert [left for left, _ in (some | fork2_lockstep(fmap(lambda x: x), fmap(str)))()] == [1, 2, None, 3]


def test_what_a_fork_gives_goes_on_through_tasks() -> None:
    rows = as_source(["a", "bc"]) | fork2_lockstep(fmap(len), fmap(str.upper))

    @single_task
    async def shown(row: tuple[int, str]) -> str:
        return f"{row[1]} has {row[0]}"

    assert run(shown(rows()).collect()) == ["A has 1", "BC has 2"]
    assert run((asource(rows) | shown)().collect()) == ["A has 1", "BC has 2"]


def test_items_are_routed_by_content_on_their_way_to_a_task() -> None:
    routed = as_source(["n 1", "w two"]) | make_router(
        lambda text: text[0], {"n": lambda text: int(text[2:]), "w": lambda text: text[2:]}
    )
    assert run((asource(routed) | single_task(str))().collect()) == ["1", "two"]


def test_a_pass_over_its_own_output_ends_where_it_should() -> None:
    async def three_times() -> list[int]:
        numbers: list[int] = [1, 2, 3]
        for _ in range(3):
            numbers = await (multiply_by_two | add_ten)(numbers).collect()
        return numbers

    assert run(three_times()) == [78, 86, 94]
