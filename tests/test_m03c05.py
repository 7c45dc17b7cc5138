"""What M03C05 accepts and refuses: every right fence, near misses, and laws that look at a probe."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from funcpipe_rag import fence_k
from funcpipe_rag.course import check
from funcpipe_rag.course.exercises import EXERCISES
from funcpipe_rag.laws import Remote, judge


def first_by_loop(xs: Iterable[Any], default: Any) -> Any:
    for item in xs:
        return item
    return default


def first_by_error(xs: Iterable[Any], default: Any) -> Any:
    try:
        return next(iter(xs))
    except StopIteration:
        return default


def first_by_unpacking(xs: Iterable[Any], default: Any) -> Any:
    return [*islice(xs, 1), default][0]


@pytest.mark.parametrize("first", [first_by_loop, first_by_error, first_by_unpacking])
def test_the_first_item_may_be_found_in_any_way(first: Callable[..., Any]) -> None:
    assert check("m03c05e1", first).passed


def fence_by_hand(xs: Iterable[Any], k: int) -> Iterator[Any]:
    it = iter(xs)
    while k > 0:
        try:
            yield next(it)
        except StopIteration:
            return
        k -= 1


def fence_that_counts_before_it_asks(xs: Iterable[Any], k: int) -> Iterator[Any]:
    if k:
        for i, item in enumerate(xs, start=1):
            yield item
            if i == k:
                return


class Fence:
    def __init__(self, xs: Iterable[Any], k: int) -> None:
        self.it, self.left = iter(xs), k

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        if not self.left:
            raise StopIteration
        self.left -= 1
        return next(self.it)


@pytest.mark.parametrize(
    "fence",
    [
        fence_by_hand,
        fence_that_counts_before_it_asks,
        Fence,
        lambda xs, k: (item for _, item in zip(range(k), xs, strict=False)),
        lambda xs, k: fence_k(k)(xs),
    ],
)
def test_a_fence_may_be_built_in_any_way(fence: Callable[..., Any]) -> None:
    card = check("m03c05e2", fence)
    assert card.passed, card


def fence_that_gives_once_more(xs: Iterable[Any], k: int) -> Iterator[Any]:
    yield from islice(xs, k + 1)


def fence_that_reads_at_birth_for_nothing(xs: Iterable[Any], k: int) -> Iterator[Any]:
    it = iter(xs)
    item = next(it, None)
    return iter([item, *islice(it, k - 1)]) if k else iter(())


@pytest.mark.parametrize(
    ("fence", "came"),
    [
        (lambda xs, k: list(islice(xs, k)), "it returned a list"),
        (fence_that_gives_once_more, "[0]; expected []"),
        (fence_that_reads_at_birth_for_nothing, "[None]; expected []"),
    ],
)
def test_a_near_miss_of_a_fence_is_told_what_came(fence: Callable[..., Any], came: str) -> None:
    assert came in repr(check("m03c05e2", fence))


def test_a_fence_of_zero_that_asks_is_found() -> None:
    def fence(xs: Iterable[Any], k: int) -> Iterator[Any]:
        it = iter(xs)
        if k == 0:
            next(it, None)
        return islice(it, k)

    card = check("m03c05e2", fence)
    assert not card.passed
    assert "k = 0" in repr(card)


def counts_the_pulls(fence: Any, k: int, probe: Any) -> bool:
    list(fence(probe(), k))
    return bool(probe.pulls <= k)


def asks_the_stream_itself(fence: Any, k: int, probe: Any) -> bool:
    numbers = probe()
    list(fence(numbers, k))
    return bool(next(numbers) == k)


def expects_exactly_k(fence: Any, k: int, probe: Any) -> bool:
    return list(fence(probe(), k)) == list(range(k)) and bool(probe.pulls == k)


RIGHT_LAWS = [counts_the_pulls, asks_the_stream_itself, expects_exactly_k]


@pytest.mark.parametrize("law", RIGHT_LAWS)
def test_every_law_that_sees_the_pull_too_many_passes(law: Callable[..., bool]) -> None:
    assert check("m03c05e3", law).passed


@pytest.mark.parametrize(
    ("law", "came"),
    [
        (
            lambda fence, k, probe: list(fence(probe(), k)) == list(range(k)),
            "it never says False, and law(one_pull_too_many, 2, probe) says True",
        ),
        (
            lambda fence, k, probe: bool(fence(probe(), k)) and probe.pulls <= k,
            "it never says False, and law(one_pull_too_many, 2, probe) says True",
        ),
        (
            lambda fence, k, probe: len(list(fence(probe(), k))) == k and probe.pulls < k,
            "law(fence, 0, probe) says False",
        ),
        (lambda fence, k, probe: list(probe())[:k] == [], "probe was asked 31 times"),
        (lambda fence, k, probe: list(fence(probe, k)) == [], "it raised TypeError"),
    ],
)
def test_a_law_that_is_blind_or_wrong_is_told_where(law: Callable[..., bool], came: str) -> None:
    card = check("m03c05e3", law)
    assert not card.passed
    assert came in repr(card)


@pytest.mark.parametrize(("returns", "passed"), [("probe.pulls <= k", [True, True]), ("True", [True, False])])
def test_a_law_in_another_process_sees_what_the_probe_counted(
    tmp_path: Path, returns: str, passed: list[bool]
) -> None:
    file = tmp_path / "theirs.py"
    file.write_text(
        f"def law(fence, k, probe):\n    list(fence(probe(), k))\n    return {returns}\n", encoding="utf-8"
    )
    with Remote(f"{file}:law") as remote:
        laws = EXERCISES["m03c05e3"].laws
        verdicts = judge(laws, remote.impl, world=remote.world, examples=20)
    assert [bool(verdict) for verdict in verdicts] == passed
