"""What a type checker knows of tasks: each line is checked by mypy, by pyright, and once more by running it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import assert_type

from funcpipe_rag import (
    AsyncPipeline,
    AsyncSource,
    AsyncStage,
    AsyncStream,
    Err,
    PipelineContext,
    amap,
    asource,
    batch_task,
    get_current_context,
    single_task,
)


@single_task
async def length(word: str) -> int:
    return len(word)


@single_task
def half(n: int) -> float:
    return n / 2


@single_task
async def long_ones(word: str) -> str | None:
    return word if len(word) > 3 else None


@single_task
def first_letter(word: str) -> str | None:
    return word[0] if word else None


@single_task
def words(line: str) -> list[str]:
    return line.split()


@single_task
async def pages(site: str) -> list[str]:
    return [site]


@single_task
def letters(word: str) -> Iterator[str]:
    yield from word


@single_task
async def lines(name: str) -> AsyncIterator[str]:
    yield name


@single_task(on_error="skip_item", retry_attempts=3, retry_on=OSError, timeout=1)
async def patient(word: str) -> int:
    return len(word)


@single_task(on_error="collect")
async def collected(word: str) -> int:
    return len(word)


@single_task(on_error="collect")
def collected_words(line: str) -> list[str]:
    return line.split()


@single_task(keep_none=True)
async def looked_up(word: str) -> int | None:
    return None


@single_task(flatten=False)
async def row(line: str) -> list[str]:
    return line.split()


@single_task(flatten=False)
def listed(word: str) -> Iterator[str]:
    yield from word


@single_task
async def scaled(n: int, factor: float, *, offset: float = 0) -> float:
    return n * factor + offset


@batch_task
async def total(ns: list[int]) -> int:
    return sum(ns)


@batch_task(min_size=2, max_size=4, max_wait=0.1, on_error="skip_batch")
def joined(batch: list[str]) -> str:
    return "".join(batch)


@batch_task(max_size=4)
async def doubled(ns: list[int]) -> list[int]:
    return [2 * n for n in ns]


class Service:
    @single_task
    async def fetch(self, page: int) -> str:
        return str(page)

    @single_task(retry_attempts=2)
    def names(self, page: int) -> Iterator[str]:
        yield str(page)

    @batch_task(max_size=3)
    async def store(self, rows: list[str]) -> int:
        return len(rows)

    @batch_task
    def count(self, rows: list[str]) -> int:
        return len(rows)

    @single_task
    async def times(self, n: int, factor: int) -> int:
        return n * factor


service = Service()


@asource
async def notes() -> AsyncIterator[str]:
    yield "one two"


# a task of a function of one item
assert_type(length(["a"]), AsyncStream[int])
assert_type(half([1]), AsyncStream[float])
assert_type(long_ones(["a"]), AsyncStream[str])
assert_type(first_letter(["a"]), AsyncStream[str])
assert_type(words(["a"]), AsyncStream[str])
assert_type(pages(["a"]), AsyncStream[str])
assert_type(letters(["a"]), AsyncStream[str])
assert_type(lines(["a"]), AsyncStream[str])
assert_type(patient(["a"]), AsyncStream[int])
assert_type(collected(["a"]), AsyncStream[int | Err[str]])
assert_type(collected_words(["a"]), AsyncStream[str | Err[str]])
assert_type(looked_up(["a"]), AsyncStream[int | None])
assert_type(row(["a"]), AsyncStream[list[str]])
assert_type(listed(["a"]), AsyncStream[list[str]])
assert_type(scaled.with_inputs(2.0, offset=1)([1]), AsyncStream[float])

# of a batch
assert_type(total([1]), AsyncStream[int])
assert_type(joined(["a"]), AsyncStream[str])
assert_type(doubled([1]), AsyncStream[int])

# methods
assert_type(service.fetch([1]), AsyncStream[str])
assert_type(service.names([1]), AsyncStream[str])
assert_type(service.store(["a"]), AsyncStream[int])
assert_type(service.count(["a"]), AsyncStream[int])
assert_type(service.times.with_inputs(3)([1]), AsyncStream[int])

# |
assert_type((words | length | half)(["a b"]), AsyncStream[float])
assert_type((words | joined | length)(["a b"]), AsyncStream[int])
assert_type((service.fetch | service.store)([1]), AsyncStream[int])
assert_type((amap(len) | half)(["a"]), AsyncStream[float])
assert_type((length | amap(str))(["a"]), AsyncStream[str])
assert_type(notes | words | length, AsyncSource[int])
assert_type(notes | (words | length), AsyncSource[int])

# what runs them
assert_type(length.as_completed(["a"]), AsyncStream[int])
assert_type((words | length).as_completed(["a"]), AsyncStream[int])
assert_type(length.with_execution_mode("as_completed"), AsyncPipeline[str, int])
assert_type((words | length).with_context(user="Ada", max_parallelism=2)(["a"]), AsyncStream[int])
assert_type(get_current_context(), PipelineContext | None)
stage: AsyncStage[str, int] = length
