"""M03C03 takes every right answer, whatever it is made of, and refuses the near misses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate, chain, groupby, repeat, starmap
from pathlib import Path
from typing import Any

import pytest

from funcpipe_rag.course import check
from funcpipe_rag.course.exercises import EXERCISES
from funcpipe_rag.laws import Remote, judge

Key = Callable[[Any], Any]
Runs = list[tuple[Any, int]]


class Totals:
    def __init__(self, sizes: Iterable[int]) -> None:
        self.sizes, self.total = iter(sizes), 0

    def __iter__(self) -> Totals:
        return self

    def __next__(self) -> int:
        self.total += next(self.sizes)
        return self.total


def totals_in_a_loop(sizes: Iterable[int]) -> Iterator[int]:
    total = 0
    for size in sizes:
        yield (total := total + size)


def totals_one_late(sizes: Iterable[int]) -> Iterator[int]:
    it = iter(sizes)
    total = next(it, 0)
    for size in it:
        yield total
        total += size
    yield total


@pytest.mark.parametrize("answer", [Totals, totals_in_a_loop, accumulate])
def test_each_way_to_add_up_on_demand_is_right(answer: Callable[..., Any]) -> None:
    assert check("m03c03e1", answer).passed


@pytest.mark.parametrize("answer", [totals_one_late, sum, sorted, lambda sizes: list(accumulate(sizes))])
def test_no_other_is(answer: Callable[..., Any]) -> None:
    assert not check("m03c03e1", answer).passed


def runs_in_an_expression(xs: Iterable[Any], *, key: Key) -> Iterator[tuple[Any, int]]:
    return ((value, sum(1 for _ in group)) for value, group in groupby(xs, key))


def runs_by_their_lists(xs: Iterable[Any], *, key: Key) -> Iterator[tuple[Any, int]]:
    for value, group in groupby(xs, key):
        yield value, len(list(group))


def runs_of_keys(xs: Iterable[Any], *, key: Key) -> Iterator[list[Any]]:
    for value, group in groupby(map(key, xs)):
        yield [value, sum(1 for _ in group)]


def runs_in_a_loop(xs: Iterable[Any], *, key: Key) -> Iterator[tuple[Any, int]]:
    value, length = None, 0
    for x in xs:
        now = key(x)
        if length and now != value:
            yield value, length
            length = 0
        value, length = now, length + 1
    if length:
        yield value, length


def runs_that_forget_the_last(xs: Iterable[Any], *, key: Key) -> Iterator[tuple[Any, int]]:
    previous: tuple[Any, int] | None = None
    for run in runs_in_a_loop(xs, key=key):
        if previous is not None:
            yield previous
        previous = run


def runs_one_late(xs: Iterable[Any], *, key: Key) -> Iterator[tuple[Any, int]]:
    yield from runs_that_forget_the_last(chain(xs, []), key=key)
    yield from list(runs_in_a_loop(xs, key=key))[-1:]


def each_item_a_run(xs: Iterable[Any], *, key: Key) -> Iterator[tuple[Any, int]]:
    return ((key(x), 1) for x in xs)


def lengths_first(xs: Iterable[Any], *, key: Key) -> Iterator[tuple[int, Any]]:
    return ((length, value) for value, length in runs_in_a_loop(xs, key=key))


@pytest.mark.parametrize("answer", [runs_in_an_expression, runs_by_their_lists, runs_of_keys, runs_in_a_loop])
def test_each_way_to_count_runs_on_demand_is_right(answer: Callable[..., Any]) -> None:
    assert check("m03c03e2", answer).passed


@pytest.mark.parametrize(
    "answer", [runs_that_forget_the_last, runs_one_late, each_item_a_run, lengths_first, groupby]
)
def test_a_near_miss_is_not(answer: Callable[..., Any]) -> None:
    assert not check("m03c03e2", answer).passed


def expanded(xs: list[Any], runs: Runs) -> bool:
    return [value for value, length in runs for _ in range(length)] == xs


def expanded_by_itertools(xs: list[Any], runs: Runs) -> bool:
    return list(chain.from_iterable(starmap(repeat, runs))) == xs


def walked(xs: list[Any], runs: Runs) -> bool:
    rest = list(xs)
    for value, length in runs:
        if rest[:length] != [value] * length:
            return False
        del rest[:length]
    return not rest


def counted_again(xs: list[Any], runs: Runs) -> bool:
    return runs == [(value, len(list(group))) for value, group in groupby(xs)]


def as_many_runs_as_changes(xs: list[Any], runs: Runs) -> bool:
    return len(runs) == sum(1 for _ in groupby(xs))


@pytest.mark.parametrize(
    "law", [expanded, expanded_by_itertools, walked, counted_again, as_many_runs_as_changes]
)
def test_each_law_that_catches_the_mutant_is_taken(law: Callable[..., bool]) -> None:
    assert check("m03c03e3", law).passed


def same_lengths(xs: list[Any], runs: Runs) -> bool:
    return sum(length for _, length in runs) == len(xs)


def same_keys(xs: list[Any], runs: Runs) -> bool:
    return {value for value, _ in runs} == set(xs)


def same_counts(xs: list[Any], runs: Runs) -> bool:
    return Counter(xs) == Counter(dict(runs)) or len(runs) > len(dict(runs))


def no_key_twice(xs: list[Any], runs: Runs) -> bool:
    return len({value for value, _ in runs}) == len(runs)


@pytest.mark.parametrize(
    ("law", "came"),
    [
        (same_lengths, "it never says False, and law(['a', 'b', 'a'], [('a', 2), ('b', 1)]) says True"),
        (same_keys, "it never says False, and law(['a', 'b', 'a'], [('a', 2), ('b', 1)]) says True"),
        (same_counts, "it never says False, and law(['a', 'b', 'a'], [('a', 2), ('b', 1)]) says True"),
        (no_key_twice, "law(['b', 'a', 'b'], [('b', 1), ('a', 1), ('b', 1)]) says False"),
        (lambda xs, runs: xs == runs, "law(['a'], [('a', 1)]) says False"),
    ],
)
def test_no_other_law_is(law: Callable[..., bool], came: str) -> None:
    card = check("m03c03e3", law)
    assert not card.passed
    assert card.verdicts[-1].came == came


def test_all_three_are_judged_from_another_process_too(tmp_path: Path) -> None:
    file = tmp_path / "theirs.py"
    file.write_text(
        "from itertools import accumulate, groupby\n"
        "running_total = accumulate\n"
        "def gen_runs(xs, *, key):\n"
        "    for value, group in groupby(xs, key):\n        yield value, sum(1 for _ in group)\n"
        "def lists(xs, *, key):\n    return gen_runs(list(xs), key=key)\n"
        "def law(xs, runs):\n    return [value for value, length in runs for _ in range(length)] == xs\n"
        "def weak(xs, runs):\n    return sum(length for _, length in runs) == len(xs)\n",
        encoding="utf-8",
    )
    passed = {}
    for id, name in (
        ("e1", "running_total"),
        ("e2", "gen_runs"),
        ("e2", "lists"),
        ("e3", "law"),
        ("e3", "weak"),
    ):
        with Remote(f"{file}:{name}") as remote:
            laws = EXERCISES[f"m03c03{id}"].laws
            passed[name] = all(judge(laws, remote.impl, world=remote.world, examples=20))
    assert passed == {"running_total": True, "gen_runs": True, "lists": False, "law": True, "weak": False}
