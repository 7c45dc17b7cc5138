"""`funcpipe-rag eval`: how well a corpus answers questions, its own or somebody's."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from time import perf_counter
from typing import Any, NamedTuple

from rich.progress import track

from .building import Corpus
from .console import Usage, amount, err, fact, one_line, out, shortened
from .embedding import Embedder
from .evaluating import Evaluation, Question, evaluate
from .index import Index
from .known_items import known_items
from .quarantine import Loaded, Quarantined
from .retrieve import search

# So many questions that were not answered are shown.
SHOWN = 5


class KnownItemCorpus(Corpus):
    """A corpus that takes a question out of each document as it goes by."""

    asked: list[Question]

    def loaded(self) -> Iterator[Loaded]:
        """The documents without their questions, which are gathered in `asked`."""
        self.asked = []
        for loaded in self.docs():
            if isinstance(loaded, Quarantined):
                yield loaded
                continue
            for question, doc in known_items([loaded]):
                if question is not None:
                    self.asked.append(Question(question, frozenset({doc.source})))
                yield doc


class Sample(NamedTuple):
    """Questions to ask; of how many, and how many were left out because several documents ask them."""

    questions: list[Question]
    asked: int
    doubled: int


def sample(asked: Sequence[Question], limit: int, seed: int) -> Sample:
    """At most `limit` of the questions that one document alone asks; the same ones for the same seed."""
    times = Counter(question.text for question in asked)
    once = [question for question in asked if times[question.text] == 1]
    chosen = sorted(
        once,
        key=lambda question: blake2b(f"{seed}\0{question.text}".encode("utf-8", "surrogatepass")).digest(),
    )
    return Sample(chosen[:limit], len(asked), len(asked) - len(once))


def read_questions(path: str) -> list[Question]:
    """The questions of a file of JSON lines, each with "question" and "relevant"; Usage, with the line, for another."""
    questions = []
    with open(path, encoding="utf-8-sig") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
                text, relevant = row["question"], row["relevant"]
            except (ValueError, TypeError, KeyError):
                text = relevant = None
            relevant = [relevant] if isinstance(relevant, str) else relevant
            if not (
                isinstance(text, str)
                and isinstance(relevant, list)
                and relevant
                and all(isinstance(source, str) for source in relevant)
            ):
                raise Usage(
                    f'{path}:{number}: wants {{"question": "…", "relevant": ["SOURCE", …]}} on a line, '
                    f"got {shortened(line.strip(), 80)}"
                )
            questions.append(Question(text, frozenset(relevant)))
    if not questions:
        raise Usage(f"{path} has no questions")
    return questions


class Measured(NamedTuple):
    """An evaluation, and the seconds that each question took, in order of length."""

    evaluation: Evaluation
    seconds: list[float]


def measure(
    index: Index, questions: Sequence[Question], *, k: int, seed: int, embedder: Embedder | None, shown: bool
) -> Measured:
    """Ask an index all questions, with a progress bar where somebody can see it."""
    seconds: list[float] = []

    def rank(text: str, k: int) -> list[str]:
        began = perf_counter()
        hits = search(index, text, k, embedder=embedder)
        seconds.append(perf_counter() - began)
        return [hit.source for hit in hits]

    asked = track(questions, "asking", console=err, disable=not (shown and err.is_terminal))
    found = evaluate(rank, asked, k=k, seed=seed)
    return Measured(found, sorted(seconds))


def tell_measured(measured: Measured, questions: str) -> None:
    """What was found, one line a fact."""
    evaluation, seconds = measured
    fact("questions", questions)
    fact(f"recall@{evaluation.k}", str(evaluation.recall))
    fact(f"MRR@{evaluation.k}", str(evaluation.mrr))
    fact(f"nDCG@{evaluation.k}", str(evaluation.ndcg))
    median, slow = seconds[len(seconds) // 2], seconds[len(seconds) * 95 // 100]
    fact("time", f"{1000 * median:.1f} ms in the middle, {1000 * slow:.1f} ms for the slowest 5 in 100")
    missed = [one for one in evaluation.judged if not one.recall]
    if missed:
        fact("not found", amount(len(missed), "question"))
    for one in missed[:SHOWN]:
        out.print(one_line(f"           {shortened(one.question.text, 100)}"))
        found = f"             wanted {', '.join(sorted(one.question.relevant))}; found {', '.join(one.found[:3]) or 'nothing'}"
        out.print(one_line(found), style="dim")


def as_dict(measured: Measured) -> dict[str, Any]:
    """What was found, for machines."""
    evaluation, seconds = measured
    return {
        "k": evaluation.k,
        **{name: getattr(evaluation, name)._asdict() for name in ("recall", "mrr", "ndcg")},
        "seconds": {"median": seconds[len(seconds) // 2], "p95": seconds[len(seconds) * 95 // 100]},
        "judged": [
            {
                "question": one.question.text,
                "relevant": sorted(one.question.relevant),
                "found": list(one.found),
                "recall": one.recall,
                "reciprocal_rank": one.reciprocal_rank,
                "ndcg": one.ndcg,
            }
            for one in evaluation.judged
        ],
    }
