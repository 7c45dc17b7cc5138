"""How good a ranking is: recall, mean reciprocal rank and nDCG, with intervals, on questions whose answers are known."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from math import log2
from random import Random
from typing import NamedTuple, TypeAlias

from funcpipe_rag.streams.arguments import a_whole_number
from funcpipe_rag.streams.ownership import Owned

from .index import Index
from .retrieve import search

RESAMPLES = 1000


class Question(NamedTuple):
    """A question and the sources of the documents that answer it."""

    text: str
    relevant: frozenset[str]


class Judged(NamedTuple):
    """What a ranking gave for a question, and how good that is; each measure is between 0 and 1.

    `recall` is the share of the relevant documents that were found, `reciprocal_rank` one over the place of the
    first, `ndcg` the discounted gain of their places against that of the best ranking there could be.
    """

    question: Question
    found: tuple[str, ...]
    recall: float
    reciprocal_rank: float
    ndcg: float


class Interval(NamedTuple):
    """A mean (or a ratio of two), and where it lies in 95 of 100 draws of questions like these."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.3f} ({self.low:.3f} to {self.high:.3f})"


class Evaluation(NamedTuple):
    """How good a ranking is over all questions, and each of them by itself."""

    k: int
    recall: Interval
    mrr: Interval
    ndcg: Interval
    judged: tuple[Judged, ...]


Ranker: TypeAlias = Callable[[str, int], Sequence[str]]
"""A question and `k` give the sources of at most `k` documents, best first."""


def evaluate(
    ranker: Index | Ranker, questions: Iterable[Question], *, k: int = 10, seed: int = 0
) -> Evaluation:
    """How well an index (or any ranking of sources) answers questions, in its first `k` documents.

    >>> questions = [Question("one", frozenset({"a"})), Question("two", frozenset({"b", "c"}))]
    >>> found = {"one": ["x", "a"], "two": ["b", "x"]}
    >>> result = evaluate(lambda text, k: found[text], questions, k=2)
    >>> result.recall.mean, result.mrr.mean, round(result.ndcg.mean, 3)
    (0.75, 0.75, 0.622)
    >>> print(result.recall)
    0.750 (0.500 to 1.000)

    Without a question there is nothing to say.

    >>> evaluate(lambda text, k: [], [])
    Traceback (most recent call last):
    ...
    ValueError: evaluate: there are no questions

    The intervals are bootstrapped (Efron 1979) from 1,000 draws, the same ones for the same `seed`.

    Memory: the questions and what was found. Errors: ValueError for k < 1 or no questions; those of the ranking.
    """
    judged = tuple(gen_judged(ranker, questions, k=k))
    if not judged:
        raise ValueError("evaluate: there are no questions")
    measures = [[getattr(one, name) for one in judged] for name in ("recall", "reciprocal_rank", "ndcg")]
    means: list[list[float]] = [[], [], []]
    for draw in _draws(len(judged), seed):
        for sums, measure in zip(means, measures, strict=True):
            sums.append(sum(map(measure.__getitem__, draw)) / len(draw))
    recall, mrr, ndcg = (
        Interval(sum(measure) / len(measure), *_middle(sums))
        for measure, sums in zip(measures, means, strict=True)
    )
    return Evaluation(k, recall, mrr, ndcg, judged)


def gen_judged(ranker: Index | Ranker, questions: Iterable[Question], *, k: int = 10) -> Iterator[Judged]:
    """Ask each question, one at a time, and judge the first `k` documents.

    >>> [one] = gen_judged(lambda text, k: ["x", "a"], [Question("one", frozenset({"a"}))])
    >>> one.found, one.reciprocal_rank, one.recall
    (('x', 'a'), 0.5, 1.0)

    Class: pure. Demand: a question for each judgement, as it is asked for. Memory: one question. Closing: closes the
    questions. Errors: ValueError for k < 1 and for a question that no document answers; those of the ranking.
    """
    a_whole_number("gen_judged", "k", k, least=1)
    rank = _by_search(ranker) if isinstance(ranker, Index) else ranker

    def run() -> Iterator[Judged]:
        with Owned() as owned:
            for question in owned.opened(questions):
                yield _judged(question, rank(question.text, k), k)

    return run()


def ratio_of_means(mine: Sequence[float], theirs: Sequence[float], *, seed: int = 0) -> Interval:
    """The mean of one ranking's measures over another's, on the same questions: a paired bootstrap.

    >>> print(ratio_of_means([1.0, 0.5, 1.0], [0.5, 0.5, 0.5]))
    1.667 (1.000 to 2.000)

    Draws in which the other has nothing are left out: they have no ratio.

    Errors: ValueError for measures that are not of the same questions, or of which none of theirs is above 0.
    """
    if len(mine) != len(theirs) or not mine:
        raise ValueError(
            f"ratio_of_means: wants two measures of each question, got {len(mine)} and {len(theirs)}"
        )
    if not any(theirs):
        raise ValueError("ratio_of_means: theirs are all 0, and nothing is a multiple of that")
    ratios = []
    for draw in _draws(len(mine), seed):
        below = sum(map(theirs.__getitem__, draw))
        if below:
            ratios.append(sum(map(mine.__getitem__, draw)) / below)
    return Interval(sum(mine) / sum(theirs), *_middle(ratios))


def _by_search(index: Index) -> Ranker:
    return lambda text, k: [hit.source for hit in search(index, text, k)]


def _judged(question: Question, found: Sequence[str], k: int) -> Judged:
    if not question.relevant:
        raise ValueError(f"gen_judged: no document is said to answer {question.text!r}")
    # A document that is named twice is found once, at its first place.
    named = tuple(dict.fromkeys(found))[:k]
    places = [place for place, source in enumerate(named, 1) if source in question.relevant]
    best = sum(1 / log2(place + 1) for place in range(1, min(k, len(question.relevant)) + 1))
    return Judged(
        question,
        named,
        recall=len(places) / len(question.relevant),
        reciprocal_rank=1 / places[0] if places else 0.0,
        ndcg=sum(1 / log2(place + 1) for place in places) / best,
    )


def _draws(number: int, seed: int) -> Iterator[list[int]]:
    choose, all_of_them = Random(seed), range(number)
    return (choose.choices(all_of_them, k=number) for _ in range(RESAMPLES))


def _middle(values: list[float]) -> tuple[float, float]:
    """The least and greatest of the middle 95 of 100."""
    ordered = sorted(values)
    aside = len(ordered) * 25 // 1000
    return ordered[aside], ordered[-1 - aside]
