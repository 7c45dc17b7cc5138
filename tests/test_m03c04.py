"""What M03C04 accepts and refuses: every right way to batch, near misses, and laws of the learner's own."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from itertools import islice, pairwise, tee, zip_longest
from pathlib import Path
from typing import Any

import pytest

from funcpipe_rag import make_batched
from funcpipe_rag.course import check, notes
from funcpipe_rag.course.exercises import EXERCISES
from funcpipe_rag.course.exercises.m03c04_chunks_windows_groups import overlapping, redundant_tail
from funcpipe_rag.laws import Remote, judge


def pairs_by_tee(xs: Iterable[Any]) -> Any:
    left, right = tee(xs)
    next(right, None)
    return zip(left, right, strict=False)


class Pairs:
    def __init__(self, xs: Iterable[Any]) -> None:
        self.it, self.before = iter(xs), []

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        return self

    def __next__(self) -> tuple[Any, Any]:
        self.before = self.before or [next(self.it)]
        item, before = next(self.it), self.before[0]
        self.before = [item]
        return before, item


@pytest.mark.parametrize("pairs", [pairwise, pairs_by_tee, Pairs])
def test_pairs_may_be_made_in_any_way(pairs: Callable[..., Any]) -> None:
    assert check("m03c04e1", pairs).passed


@pytest.mark.parametrize(
    ("pairs", "came"),
    [
        (lambda xs: list(pairwise(xs)), "it returned a list"),
        (lambda xs: (list(pair) for pair in pairwise(xs)), "[[0, 0]]; expected [(0, 0)]"),
        (lambda xs: ((item, before) for before, item in pairwise(xs)), "[(1, 0)]; expected [(0, 1)]"),
    ],
)
def test_a_near_miss_of_pairs_is_told_what_came(pairs: Callable[..., Any], came: str) -> None:
    assert came in repr(check("m03c04e1", pairs))


GONE = object()


def batches_in_a_list(xs: Iterable[Any], n: int) -> Iterator[tuple[Any, ...]]:
    batch: list[Any] = []
    for item in xs:
        batch.append(item)
        if len(batch) == n:
            yield tuple(batch)
            batch = []
    if batch:
        yield tuple(batch)


def batches_without_the_filling(xs: Iterable[Any], n: int) -> Iterator[tuple[Any, ...]]:
    for row in zip_longest(*[iter(xs)] * n, fillvalue=GONE):
        yield tuple(item for item in row if item is not GONE)


def batches_until_empty(xs: Iterable[Any], n: int) -> Iterator[tuple[Any, ...]]:
    it = iter(xs)
    return iter(lambda: tuple(islice(it, n)), ())


@pytest.mark.parametrize(
    "batched",
    [
        batches_in_a_list,
        batches_without_the_filling,
        batches_until_empty,
        lambda xs, n: make_batched(n)(xs),
    ],
)
def test_batches_may_be_made_in_any_way(batched: Callable[..., Any]) -> None:
    assert check("m03c04e2", batched).passed


def test_a_batch_is_a_tuple() -> None:
    def lists(xs: Iterable[Any], n: int) -> Iterator[list[Any]]:
        return map(list, batches_in_a_list(xs, n))

    assert "[[0]]; expected [(0,)]" in repr(check("m03c04e2", lists))


@pytest.mark.parametrize("name", ["batches_in_a_list", "window_reuse"])
def test_the_answer_may_live_in_another_process(tmp_path: Path, name: str) -> None:
    home = "funcpipe_rag.course.exercises.m03c04_chunks_windows_groups"
    if name == "batches_in_a_list":
        home = str(tmp_path / "theirs.py")
        Path(home).write_text("from funcpipe_rag import batched as batches_in_a_list\n", encoding="utf-8")
    with Remote(f"{home}:{name}") as remote:
        verdicts = judge(EXERCISES["m03c04e2"].laws, remote.impl, world=remote.world, examples=30)
    assert all(verdicts) == (name == "batches_in_a_list")


RIGHT_LAWS: dict[str, Callable[..., bool]] = {
    "every chunk brings a new letter": lambda text, size, overlap, chunks: all(
        len(chunk) > overlap for chunk in chunks[1:]
    ),
    "the last chunk brings a new letter": lambda text, size, overlap, chunks: (
        len(chunks) < 2 or len(chunks[-1]) > overlap
    ),
    "as many as it takes": lambda text, size, overlap, chunks: (
        not text or len(chunks) == max(1, -(-(len(text) - overlap) // (size - overlap)))
    ),
    "without its last chunk something is missing": lambda text, size, overlap, chunks: (
        not chunks or sum(map(len, chunks[:-1])) - overlap * max(len(chunks) - 2, 0) < len(text)
    ),
    "the right chunks": lambda text, size, overlap, chunks: chunks == overlapping(text, size, overlap),
}


@pytest.mark.parametrize("law", RIGHT_LAWS.values(), ids=RIGHT_LAWS)
def test_every_law_that_sees_the_redundant_tail_passes(law: Callable[..., bool]) -> None:
    card = check("m03c04e3", law)
    assert card.passed, card


@pytest.mark.parametrize(
    ("law", "came"),
    [
        (
            lambda text, size, overlap, chunks: (
                "".join(chunks[:1] + [chunk[overlap:] for chunk in chunks[1:]]) == text
            ),
            "it never says False, and law('abcdefgh', 4, 2, ['abcd', 'cdef', 'efgh', 'gh']) says True",
        ),
        (
            lambda text, size, overlap, chunks: all(b not in a for a, b in pairwise(chunks)),
            "law('aaaa', 3, 0, ['aaa', 'a']) says False",
        ),
        (lambda text, size, overlap, chunks: len(chunks[-1]) > overlap, "it raised IndexError"),
        (lambda text, size, overlap, chunks: len(chunks[-1:]) > overlap, "says False"),
    ],
)
def test_a_law_that_is_blind_or_too_strict_is_told_where(law: Callable[..., bool], came: str) -> None:
    card = check("m03c04e3", law)
    assert not card.passed
    assert came in repr(card)


def test_the_two_programs_differ_only_in_a_tail_that_is_inside_the_chunk_before_it() -> None:
    for length in range(12):
        text = "abcdefghijkl"[:length]
        for size in range(1, 5):
            for overlap in range(size):
                right, wrong = overlapping(text, size, overlap), redundant_tail(text, size, overlap)
                assert wrong[: len(right)] == right
                assert all(chunk in right[-1] for chunk in wrong[len(right) :])


def test_the_problem_of_the_lesson_is_one() -> None:
    lesson = Path(__file__).parents[1] / "modules/03-lazy-iteration/04-chunks-windows-groups.md"
    (size,) = re.findall(r"zip_batches\(counted\(notes\(\)\), (\d+)\)", lesson.read_text(encoding="utf-8"))
    assert sum(1 for _ in notes()) % int(size), "zip loses no note: choose another size for the lesson"
