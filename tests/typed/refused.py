"""What a type checker must refuse: every line that ends in `# refused`, and no other."""

from __future__ import annotations

from funcpipe_rag import (
    as_source,
    compose,
    fmap,
    fork2_lockstep,
    make_batched,
    make_router,
    ok_only,
    sink,
    try_map,
)


def length(word: str) -> int:
    return len(word)


def half(n: int) -> float:
    return n / 2


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
