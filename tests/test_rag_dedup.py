"""Passages that have been there before: exactly, and nearly."""

from __future__ import annotations

import random
import tracemalloc
from collections.abc import Callable

import pytest
from hypothesis import given, strategies as st

from funcpipe_rag.rag import ChunkWithoutEmbedding, near_dedup, structural_dedup

WORDS = "stream fork chain merge skew fence probe lag tee law item pull close open edge"


def chunk(text: str, ordinal: int = 0) -> ChunkWithoutEmbedding:
    return ChunkWithoutEmbedding("d", text, 0, len(text), ordinal)


texts = st.lists(st.text(alphabet="ab ", max_size=4), max_size=30)


@given(texts)
def test_each_text_comes_once_the_first_and_in_order(texts: list[str]) -> None:
    chunks = [chunk(text, n) for n, text in enumerate(texts)]
    dropped: list[ChunkWithoutEmbedding] = []
    kept = list(structural_dedup(chunks, on_drop=dropped.append))
    assert [one.text for one in kept] == list(dict.fromkeys(texts))
    assert sorted([*kept, *dropped], key=lambda one: one.ordinal) == chunks
    assert kept == [chunks[texts.index(text)] for text in dict.fromkeys(texts)]


@given(texts)
def test_what_does_not_fit_into_memory_is_remembered_all_the_same(texts: list[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("funcpipe_rag.rag.dedup.REMEMBERED", 2)
        kept = [one.text for one in structural_dedup(map(chunk, texts))]
    assert kept == list(dict.fromkeys(texts))


def test_exact_dedup_holds_no_more_for_more_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("funcpipe_rag.rag.dedup.REMEMBERED", 1000)

    def peak(count: int) -> int:
        tracemalloc.start()
        assert sum(1 for _ in structural_dedup(chunk(f"text {n}") for n in range(count))) == count
        got = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return got

    peak(10)
    assert peak(20_000) < peak(2000) + 20_000


def runs(text: str) -> set[tuple[str, ...]]:
    words = text.lower().split()
    return set(zip(words, words[1:], words[2:], strict=False)) or {tuple(words)}


def jaccard(one: str, other: str) -> float:
    return len(runs(one) & runs(other)) / len(runs(one) | runs(other))


sentences = st.lists(st.sampled_from(WORDS.split()[:4]), min_size=1, max_size=9).map(" ".join)


@given(st.lists(sentences, max_size=12), st.sampled_from([0.3, 0.5, 0.8, 1.0]))
def test_what_is_left_out_is_near_something_that_was_given(texts: list[str], threshold: float) -> None:
    dropped: list[ChunkWithoutEmbedding] = []
    chunks = [chunk(text, n) for n, text in enumerate(texts)]
    kept = list(near_dedup(chunks, threshold=threshold, on_drop=dropped.append))
    assert sorted([*kept, *dropped], key=lambda one: one.ordinal) == chunks
    for one in dropped:
        before = [other for other in kept if other.ordinal < one.ordinal]
        assert any(jaccard(one.text, other.text) >= threshold for other in before)
    assert len({one.text for one in kept}) == len(kept)


@pytest.mark.parametrize("threshold", [0.5, 0.8, 0.9])
def test_what_is_just_near_enough_is_found_99_times_of_100(threshold: float) -> None:
    """Both texts have 300 words; the second keeps as many runs as the threshold asks for. The seed is fixed."""
    choose = random.Random(7)
    found = 0
    for turn in range(200):
        words = [f"w{turn}x{choose.randrange(10_000)}" for _ in range(300)]
        shared = int(2 * threshold / (1 + threshold) * 300) + 3
        other = words[:shared] + [f"v{turn}x{n}" for n in range(300 - shared)]
        one, near = " ".join(words), " ".join(other)
        assert threshold <= jaccard(one, near) < threshold + 0.02
        found += len(list(near_dedup(map(chunk, [one, near]), threshold=threshold))) == 1
    assert found >= 196


def test_only_the_last_ones_are_remembered_and_memory_is_bounded() -> None:
    texts = [f"{word} {word}s and {word}ed again" for word in WORDS.split()]
    again = [*texts, texts[0]]
    assert len(list(near_dedup(map(chunk, again), capacity=len(texts)))) == len(texts)
    assert len(list(near_dedup(map(chunk, again), capacity=len(texts) - 1))) == len(texts) + 1

    def peak(count: int) -> int:
        tracemalloc.start()
        stream = (chunk(" ".join(f"w{n}x{m}" for m in range(60))) for n in range(count))
        assert sum(1 for _ in near_dedup(stream, capacity=50)) == count
        got = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return got

    peak(10)
    assert peak(600) < 1.3 * peak(150)


def test_case_and_punctuation_do_not_count() -> None:
    assert len(list(near_dedup(map(chunk, ["One, two: three!", "one two THREE"])))) == 1


def test_a_bad_argument_names_itself_before_the_first_pull() -> None:
    bad: list[tuple[Callable[[], object], str]] = [
        (lambda: near_dedup([], threshold=0), "threshold must be above 0 and at most 1, got 0"),
        (lambda: near_dedup([], threshold=True), "threshold must be"),
        (lambda: near_dedup([], capacity=0), "capacity must be >= 1, got 0"),
        (lambda: structural_dedup([], on_drop=3), "on_drop must be a function"),  # type: ignore[arg-type]
        (lambda: next(structural_dedup(["text"])), "wants passages"),  # type: ignore[list-item]
        (lambda: next(near_dedup(["text"])), "wants passages"),  # type: ignore[list-item]
    ]
    for make, says in bad:
        with pytest.raises((ValueError, TypeError), match=says):
            make()
