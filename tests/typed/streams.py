"""What a type checker knows of a pipeline: each line is checked by mypy, by pyright, and once more by running it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, assert_type

from funcpipe_rag import (
    Err,
    Ok,
    RetryPolicy,
    as_source,
    batched,
    compose,
    fence_k,
    ffilter,
    fflat_map,
    fmap,
    fork2_lockstep,
    fork_lockstep,
    make_batched,
    make_breaker,
    make_chain,
    make_counter,
    make_grouped,
    make_merge,
    make_peek,
    make_roundrobin,
    make_router,
    make_sliding,
    make_tap,
    make_throttle,
    multicast_bounded,
    ok_only,
    recover,
    retry,
    sink,
    source,
    source_to_transform,
    stage,
    try_map,
    until_n_errors,
    values_after_w,
)
from funcpipe_rag.streams import Branch


def length(word: str) -> int:
    return len(word)


def half(n: int) -> float:
    return n / 2


def letters(words: Iterable[str]) -> Iterator[str]:
    for word in words:
        yield from word


def numbers() -> Iterator[int]:
    yield from range(3)


def parse(word: str) -> int:
    return int(word)


def total(ns: Iterable[int]) -> int:
    return sum(ns)


words = as_source(["57", "1957"])
ns = source(numbers)

# compose
assert_type(list(compose(fmap(length))(["a"])), list[int])
assert_type(list(compose(letters, fmap(length))(["a"])), list[int])
assert_type(list(compose(letters, fmap(length), fmap(half))(["a"])), list[float])
assert_type(list(compose(letters, fmap(length), ffilter(bool), fmap(half))(["a"])), list[float])
assert_type(list(compose(letters, fmap(length), fence_k(3), fmap(half))(["a"])), list[float])
assert_type(list(compose(fmap(length), make_batched(2))(["a"])), list[tuple[int, ...]])
assert_type(list(compose(source_to_transform(words), fmap(length))(())), list[int])

# |
assert_type(list((words | fmap(length))()), list[int])
assert_type(list((words | fmap(length) | fmap(half))()), list[float])
assert_type(list((words | fence_k(2) | fmap(length))()), list[int])
assert_type(list((words | letters | fmap(length))()), list[int])
assert_type(list((ns | fmap(half))()), list[float])
assert_type(list((stage(letters) | fmap(length))(["a"])), list[int])
# mypy never asks the right operand when the left one is a plain function; pyright does. The types are right in both.
assert_type(list((numbers | fmap(half))()), list[float])  # type: ignore[operator]
assert_type(list((letters | fmap(length))(["a"])), list[int])  # type: ignore[operator]
assert_type(list((words | fflat_map(str.split) | fmap(length))()), list[int])
assert_type((words | fmap(length) | sink(total))(), int)
assert_type((fmap(length) | sink(total))(["a"]), int)
assert_type((fence_k(1) | sink(total))([1]), int)
assert_type(list((words | fmap(length)).traced()()), list[int])
assert_type(list((words | fmap(length) | fmap(half)).traced()()), list[float])
assert_type((words | fmap(length)).as_function(), Callable[..., list[int]])
assert_type(fmap(length).as_function(single_in=True, single_out=True), Callable[..., int])

# what keeps the type of the items
assert_type(list((words | make_tap(print) | fmap(length))()), list[int])
assert_type(list((words | make_counter() | fmap(length))()), list[int])
assert_type(list((words | make_peek(1, print) | fmap(length))()), list[int])
assert_type(list((words | make_throttle(0.0) | fmap(length))()), list[int])
assert_type(list(fence_k(1)(["a"])), list[str])

# a lambda's parameter has no type, its result has one (pyright wants to know both)
assert_type(list((words | fmap(lambda word: len(word)))()), list[int])  # pyright: ignore
assert_type(list((words | ffilter(lambda word: len(word) > 3) | fmap(length))()), list[int])  # pyright: ignore
assert_type(list((words | ffilter(bool) | fmap(length))()), list[int])

# windows
assert_type(list(make_batched(2)([1])), list[tuple[int, ...]])
assert_type(list((words | fmap(length) | make_batched(2))()), list[tuple[int, ...]])
assert_type(list((words | make_batched(2) | fmap(len))()), list[int])
assert_type(list(batched(numbers(), 2)), list[tuple[int, ...]])
assert_type(list(make_sliding(2)([1])), list[tuple[int, ...]])
assert_type(list((words | make_sliding(2))()), list[tuple[str, ...]])
assert_type(list((words | make_sliding(2) | make_batched(2))()), list[tuple[tuple[str, ...], ...]])
assert_type(list((words | make_sliding(2) | sink(list[tuple[str, ...]]))()), list[tuple[str, ...]])
assert_type(list((words | make_grouped(length))()), list[tuple[int, tuple[str, ...]]])

# fan-in
assert_type(list(make_chain(words, words)()), list[str])
assert_type(list(make_chain(numbers, ns)()), list[int])
assert_type(list(make_merge(numbers, ns, key=half)()), list[int])
assert_type(list((make_roundrobin(words, words) | fmap(length))()), list[int])
assert_type(list(make_chain(words, ns)()), list[str | int])
assert_type(list(make_roundrobin(words, numbers)()), list[str | int])

# fan-out
assert_type(list(fork2_lockstep(fmap(length), letters)(["a"])), list[tuple[int, str]])
assert_type(list((words | fork2_lockstep(fmap(length), fmap(str.upper)))()), list[tuple[int, str]])
assert_type(list((words | fork_lockstep(fmap(length), fmap(str.upper)))()), list[tuple[Any, ...]])
assert_type(multicast_bounded(["a"], 2), tuple[Branch[str], ...])
assert_type(list((words | make_router(str.upper, {"A": length}, default=length))()), list[int])

# failures as data
tried = words | try_map(parse)
assert_type(list(tried()), list[Ok[int] | Err[str]])
assert_type(list((tried | ok_only())()), list[int])
assert_type(list((tried | ok_only() | fmap(half))()), list[float])
assert_type(list((tried | until_n_errors(3))()), list[Ok[int] | Err[str]])
assert_type(list((words | try_map(length) | recover(lambda failure: 0) | ok_only())()), list[int])
assert_type(list((words | fmap(retry(RetryPolicy())(length)))()), list[int])
assert_type(make_breaker(failures=1, reset_after=1)(length)("a"), int)

# rolling
assert_type(list(values_after_w(2)([1])), list[int])
