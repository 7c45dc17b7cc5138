"""What a type checker must refuse: every line that ends in `# refused`, and no other."""

from __future__ import annotations

from funcpipe_rag import (
    amap,
    as_source,
    batch_task,
    compose,
    fmap,
    fork2_lockstep,
    make_batched,
    make_router,
    ok_only,
    single_task,
    sink,
    try_map,
)


def length(word: str) -> int:
    return len(word)


def half(n: int) -> float:
    return n / 2


@single_task
async def measured(word: str) -> int:
    return len(word)


@single_task(on_error="skip_item")
def found(word: str) -> str | None:
    return word or None


@single_task(on_error="collect")
def tried(word: str) -> int:
    return len(word)


@single_task
def split(line: str) -> list[str]:
    return line.split()


@batch_task(max_size=2)
async def total(ns: list[int]) -> int:
    return sum(ns)


class Service:
    @single_task(retry_attempts=2)
    async def fetch(self, page: int) -> str:
        return str(page)


words = as_source(["tee", "skew"])


def never_called() -> None:
    words | fmap(length) | fmap(half)
    words | fmap(half)  # refused
    words | fmap(length) | fmap(length)  # refused
    words | make_batched(2) | fmap(length)  # refused
    words | try_map(length) | fmap(half)  # refused
    words | try_map(length) | ok_only() | fmap(half)
    words | fork2_lockstep(fmap(length), fmap(half))  # refused
    words | make_router(length, {"a": length})  # refused
    words | 3  # refused
    compose(fmap(length), fmap(length))  # refused
    compose(fmap(half), fmap(half), fmap(length))  # refused
    sink(sum)(3)  # refused
    fmap("word")  # refused
    fmap(length)(3)  # refused
    split | measured | total
    found | measured
    measured | measured  # refused
    measured | found  # refused
    split | total  # refused
    found | total  # refused
    tried | total  # refused
    total | split  # refused
    (split | measured) | split  # refused
    amap(length) | measured  # refused
    measured | amap(length)  # refused
    measured([1])  # refused
    total(["a"])  # refused
    measured.as_completed([1])  # refused
    (split | measured)([1])  # refused
    Service().fetch(["a"])  # refused
    Service().fetch | total  # refused
    measured | 3  # refused
    single_task(on_error="ignore")(length)  # refused
    single_task(retries=3)(length)  # refused
    single_task(3)  # refused
