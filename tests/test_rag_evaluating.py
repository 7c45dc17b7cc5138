"""Evaluation: measures against their definitions, intervals that hold, and questions that nobody labelled."""

from __future__ import annotations

import sysconfig
from collections.abc import Iterator
from math import log2
from pathlib import Path
from statistics import mean

import pytest
from hypothesis import given, settings, strategies as st

from funcpipe_rag.rag import (
    Index,
    Question,
    RagEnv,
    RawDoc,
    build_index,
    evaluate,
    gen_judged,
    known_items,
    make_docs_source,
    ratio_of_means,
    search,
)
from funcpipe_rag.rag.known_items import FEWEST_WORDS, LONGEST_DOCUMENT
from funcpipe_rag.rag.retrieve import content_words

sources = st.sampled_from("abcdefgh")
rankings = st.lists(sources, unique=True, max_size=8)
relevants = st.frozensets(sources, min_size=1)


@settings(deadline=None)
@given(rankings, relevants, st.integers(1, 10))
def test_the_measures_are_those_of_their_definitions(
    ranking: list[str], relevant: frozenset[str], k: int
) -> None:
    [one] = gen_judged(lambda text, k: ranking, [Question("q", relevant)], k=k)
    found = ranking[:k]
    gains = [1.0 if source in relevant else 0.0 for source in found]
    ideal = [1.0] * min(k, len(relevant))

    def discounted(gains: list[float]) -> float:
        return sum(gain / log2(place + 2) for place, gain in enumerate(gains))

    assert one.recall == sum(gains) / len(relevant)
    assert one.reciprocal_rank == (1 / (gains.index(1.0) + 1) if 1.0 in gains else 0.0)
    assert one.ndcg == pytest.approx(discounted(gains) / discounted(ideal))
    assert 0 <= one.ndcg <= 1.0000001


@settings(deadline=None)
@given(rankings.filter(bool), relevants)
def test_a_better_place_is_never_worth_less(ranking: list[str], relevant: frozenset[str]) -> None:
    best = sorted(ranking, key=lambda source: source not in relevant)
    as_found, sorted_so = (
        next(gen_judged(lambda text, k, order=order: order, [Question("q", relevant)])).ndcg  # type: ignore[misc]
        for order in (ranking, best)
    )
    assert sorted_so >= as_found


def test_a_document_that_is_named_twice_is_found_once() -> None:
    question = Question("q", frozenset({"a", "b"}))
    [one] = gen_judged(lambda text, k: ["a", "a", "b"], [question], k=2)
    assert one.found == ("a", "b")
    assert one.ndcg == pytest.approx(1)


@settings(deadline=None, max_examples=20)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=30), st.integers(0, 9))
def test_an_interval_holds_its_mean_and_is_the_same_again(values: list[float], seed: int) -> None:
    # A ranking whose reciprocal ranks are anything: its interval lies between the least and the greatest.
    places = [round(1 / value) if value > 0.1 else 11 for value in values]
    found = {str(n): [f"x{i}" for i in range(place - 1)] + ["it"] for n, place in enumerate(places)}
    questions = [Question(str(n), frozenset({"it"})) for n in range(len(places))]
    first, again = (evaluate(lambda text, k: found[text], questions, seed=seed) for _ in range(2))
    assert first == again
    ranks = [one.reciprocal_rank for one in first.judged]
    assert first.mrr.mean == pytest.approx(mean(ranks))
    assert min(ranks) - 1e-9 <= first.mrr.low <= first.mrr.mean + 1e-9
    assert first.mrr.mean - 1e-9 <= first.mrr.high <= max(ranks) + 1e-9


def test_more_questions_make_the_interval_narrow() -> None:
    def width(number: int) -> float:
        questions = [Question(str(n), frozenset({"it"})) for n in range(number)]
        measured = evaluate(lambda text, k: ["it"] if int(text) % 2 else [], questions)
        return measured.recall.high - measured.recall.low

    assert width(400) < width(100) / 1.7 < width(25) / 3


def test_a_ranking_is_once_itself_and_twice_one_half_as_good() -> None:
    mine = [1.0, 0.5, 0.25, 1.0] * 20
    assert ratio_of_means(mine, mine) == (1, 1, 1)
    assert ratio_of_means(mine, [one / 2 for one in mine]) == (2, 2, 2)
    for wrong in ([], [1.0], [0.0] * 80):
        with pytest.raises(ValueError, match="ratio_of_means: "):
            ratio_of_means(mine, wrong)


def test_questions_are_asked_one_at_a_time() -> None:
    asked: list[str] = []

    def questions() -> Iterator[Question]:
        for name in "abc":
            asked.append(name)
            yield Question(name, frozenset({name}))

    judged = gen_judged(lambda text, k: [text], questions())
    assert asked == []
    next(judged)
    assert asked == ["a"]


@pytest.mark.parametrize("k", [0, -1, 1.5])
def test_a_wrong_k_is_refused_before_a_question_is_asked(k: int) -> None:
    with pytest.raises((ValueError, TypeError), match="gen_judged: k"):
        gen_judged(lambda text, k: [], [], k=k)


def test_a_question_that_nothing_answers_is_an_error_that_names_it() -> None:
    with pytest.raises(ValueError, match="no document is said to answer 'why'"):
        list(gen_judged(lambda text, k: [], [Question("why", frozenset())]))


def test_a_known_item_s_question_is_no_longer_in_its_document() -> None:
    folder = Path(sysconfig.get_path("stdlib")) / "asyncio"
    asked = 0
    for item, doc in zip(known_items(make_docs_source(folder)()), make_docs_source(folder)(), strict=True):
        before = "".join(doc.text() if callable(doc.text) else [doc.text])
        after = item.doc.text
        assert isinstance(after, str)
        assert (item.doc.source, item.doc.doc_id, item.doc.metadata) == (doc.source, doc.doc_id, doc.metadata)
        if item.question is None:
            assert after == before
            continue
        asked += 1
        assert len(set(content_words(item.question))) >= FEWEST_WORDS
        words = item.question.split()
        assert " ".join(words) in " ".join(before.split())
        assert " ".join(words) not in " ".join(after.split())
        assert 0 < len(before) - len(after) < 1000
    assert asked > 20


def test_known_items_are_the_same_again_and_in_another_order() -> None:
    docs = [RawDoc(name, f"# One two three\n\n## Four {name} six\n", f"{name}.md") for name in "abcd"]
    asked = {item.doc.source: item.question for item in known_items(docs)}
    assert asked == {item.doc.source: item.question for item in known_items(docs[::-1])}
    assert len(set(asked.values())) > 1


@pytest.mark.parametrize(
    ("title", "question"),
    [
        ("Chapter 45. Logical Decoding Concepts", "Logical Decoding Concepts"),
        ("F.45. Postgres full text module", "Postgres full text module"),
        ("12.3.1 Parsing of documents twice", "Parsing documents twice"),
        ("A stream of many parts", "A stream of many parts"),
        ("Streams of text parts ¶", "Streams of text parts"),
    ],
)
def test_numbers_and_marks_are_no_part_of_a_question(title: str, question: str) -> None:
    [item] = known_items([RawDoc("d", f"# {title}\ntext\n", "d.md")])
    assert item.question is not None
    assert set(content_words(item.question)) == set(content_words(question))


def test_a_document_too_long_or_unreadable_is_handed_on_as_it_is(tmp_path: Path) -> None:
    long = RawDoc("l", lambda: iter(["# One two three\n", "x" * LONGEST_DOCUMENT]), "l.md")
    (tmp_path / "bad.md").write_bytes(b"# One two three \xff\n")
    [bad] = make_docs_source(tmp_path)()
    assert [(item.question, item.doc) for item in known_items([long, bad])] == [(None, long), (None, bad)]


def test_a_program_that_does_not_compile_has_no_question() -> None:
    doc = RawDoc("p", 'def f(:\n    "One two three."\n', "p.py")
    assert list(known_items([doc])) == [(None, doc)]


def test_the_field_notes_are_found_by_what_they_are_called(tmp_path: Path) -> None:
    import funcpipe_rag

    folder = Path(funcpipe_rag.__file__).parent / "course" / "data" / "notes"
    questions: list[Question] = []

    def without() -> Iterator[RawDoc]:
        for item in known_items(make_docs_source(folder)()):
            if item.question is not None:
                questions.append(Question(item.question, frozenset({item.doc.source})))
            yield item.doc

    build_index(tmp_path / "i.db", without(), RagEnv(1000, 200, boundary="word"))
    assert len(questions) > 40
    with Index(tmp_path / "i.db") as index:
        measured = evaluate(index, questions, k=10)
        assert measured.judged[0].found == tuple(hit.source for hit in search(index, questions[0].text))
    assert measured.recall.mean > 0.7
    assert measured.recall.low <= measured.recall.mean <= measured.recall.high
