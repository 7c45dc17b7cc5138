"""Answer a question with sentences of the corpus, each with its place, checked.

Nothing is made up: an answer is sentences as they stand, best first. Before one is given, its passage is
compared with the raw text again: with the file if it is still there and unchanged at that place, else with
the raw text that the index keeps.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from math import log
from typing import NamedTuple

from funcpipe_rag.streams.arguments import a_whole_number

from .chunking import HEADING_JOINT
from .citing import Citation, cite_sentence
from .embedding import Embedder
from .filters import EVERYTHING, Filter
from .index import Index
from .outline import Outline, markdown_headings, reader_of
from .retrieve import Hit, best_passages, query_words
from .sentences import gen_sentences
from .types import FORMAT

NO_ANSWER = "No answer found."

# An answer's best sentence, with its headings, has at least this share of what the question asks about.
ENOUGH = 0.45

# Sentences that fall below this share of the best one's score add noise, not detail.
NEAR_BEST = 0.6

# A sentence of the next best document counts for so much less.
DECAY = 0.9

# What is longer, in characters, is no sentence but a table (a third of it if it does not read like prose).
LONGEST = 600


class Answer(NamedTuple):
    """A sentence that answers, its headings, where it stands, and how well it fits (0 to 1)."""

    text: str
    heading: str
    citation: Citation
    score: float


def gen_answers(
    index: Index,
    query: str,
    *,
    sentences: int = 3,
    where: Filter = EVERYTHING,
    embedder: Embedder | None = None,
) -> Iterator[Answer]:
    """The sentences that answer a question best, at most `sentences`, best first; none if nothing does.

    >>> import os
    >>> from tempfile import TemporaryDirectory
    >>> from funcpipe_rag.rag import Index, RagEnv, RawDoc, build_index
    >>> text = "Streams flow. A tee splits one stream into two.  \\r\\nIt keeps what lags."
    >>> doc = RawDoc("tee", text, "tee.md")
    >>> with TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "docs.db")
    ...     _ = build_index(path, [doc], RagEnv(chunk_size=1000))
    ...     with Index(path) as index:
    ...         for answer in gen_answers(index, "How do I split a stream?", sentences=1):
    ...             print(answer.text, answer.citation, answer.citation.checked)
    ...         list(gen_answers(index, "Who was Ada Lovelace?"))
    A tee splits one stream into two. tee.md:14-47 index
    []

    `where` and `embedder` are for `search`.

    Demand: the passages are read when the first sentence is asked for; each further one costs its check.
    Memory: the passages of eight documents. Closing: leaves the index open; until then it shows one commit.
    Errors: QueryError for a question without words, ValueError for `sentences` < 1, IndexMismatch for an embedder that is not the index's. A passage that fails
    its check is left out.
    """
    a_whole_number("gen_answers", "sentences", sentences, least=1)
    words = query_words(query)

    def run() -> Iterator[Answer]:
        with index.snapshot():
            hits = best_passages(index, query, documents=8, each=3, where=where, embedder=embedder)
            yield from _chosen(index, words, hits, sentences)

    return run()


def _chosen(index: Index, words: Sequence[str], hits: Iterable[Hit], sentences: int) -> Iterator[Answer]:
    given: list[frozenset[str]] = []
    best = 0.0
    for candidate in _ranked(index, words, hits):
        if candidate.score < best * NEAR_BEST or (not given and candidate.covers < ENOUGH):
            return
        # The next passage of a document begins with the end of this one, and files quote each other.
        if any(len(candidate.words & other) > 0.7 * len(candidate.words | other) for other in given):
            continue
        citation = cite_sentence(index, candidate.hit, candidate.start, candidate.stop)
        if citation is None:
            continue
        given.append(candidate.words)
        best = best or candidate.score
        yield Answer(candidate.text, candidate.heading, citation, round(candidate.score, 3))
        if len(given) == sentences:
            return


class _Candidate(NamedTuple):
    hit: Hit
    start: int
    stop: int
    text: str
    heading: str
    prose: bool
    first: bool
    words: frozenset[str] = frozenset()
    covers: float = 0.0
    score: float = 0.0


def _ranked(index: Index, words: Sequence[str], hits: Iterable[Hit]) -> list[_Candidate]:
    found = {
        (candidate.hit.source, candidate.hit.start + candidate.start): candidate
        for hit in hits
        for candidate in _candidates(index, hit)
    }
    candidates = list(found.values())
    if not candidates:
        return []
    wanted, *stems = _stems(
        [
            " ".join(words),
            *(part for one in candidates for part in (one.text, f"{one.hit.source} {one.heading}")),
        ]
    )
    weights = _weights(index, wanted)
    whole = sum(weights.values())
    places = {
        source: place for place, source in enumerate(dict.fromkeys(one.hit.source for one in candidates))
    }
    ranked = []
    for candidate, own, above in zip(candidates, stems[::2], stems[1::2], strict=True):
        said = sum(weight for word, weight in weights.items() if word in own)
        implied = sum(weight for word, weight in weights.items() if word in above - own)
        # Where a heading asks the question, the sentence right below it is the answer, whatever its words.
        covers = (
            (said + (0.95 if candidate.first else 0.6) * implied) / whole if said or candidate.first else 0.0
        )
        length = 1 / (1 + max(0, len(own) - 25) / 50)
        score = covers * (1.0 if candidate.prose else 0.5) * length * DECAY ** places[candidate.hit.source]
        ranked.append(candidate._replace(words=own, covers=covers, score=score))
    # Code answers only where no prose does: it says how, seldom what.
    ranked.sort(key=lambda one: (not one.prose or one.covers < ENOUGH, -one.score, one.hit.source, one.start))
    return ranked


def _candidates(index: Index, hit: Hit) -> Iterator[_Candidate]:
    [(last,)] = index.rows(
        "SELECT ordinal + 1 = chunks FROM chunk JOIN document ON document.id = document WHERE chunk.id = ?",
        (hit.row,),
    )
    inside = _headings_inside(index, hit)
    heading = hit.heading
    length = len(hit.text.rstrip())
    first = False
    for start, stop, prose in gen_sentences(hit.text):
        # What touches a cut may be half a sentence; its other half is whole in the passage next to it.
        if (start == 0 and hit.start > 0) or (stop == length and not last):
            continue
        while inside and inside[0][0] <= start:
            _, path = inside.pop(0)
            heading, first = HEADING_JOINT.join(path), True
        if stop - start <= (LONGEST if prose else LONGEST // 3):
            yield _Candidate(hit, start, stop, hit.text[start:stop], heading, prose, first and prose)
            first = first and not prose


def _headings_inside(index: Index, hit: Hit) -> list[tuple[int, tuple[str, ...]]]:
    """Where in a passage a heading stands, and the headings that hold from there, outermost first."""
    [(kind, section, ordinal, shared)] = index.rows(
        "SELECT coalesce((SELECT value FROM json_each(metadata) WHERE key = ?), source), section, ordinal, shared "
        "FROM chunk JOIN document ON document.id = chunk.document WHERE chunk.id = ?",
        (FORMAT, hit.row),
    )
    reader = reader_of(kind)
    if reader is None or not any(True for _ in reader(f"{hit.text}\n", [])):
        return []
    # What stands before says which headings are further out, and whether "#" begins a heading or, in a program, a
    # comment.
    [(before,)] = index.rows(
        "SELECT group_concat(fresh, '') FROM (SELECT substr(text, shared + 1) AS fresh FROM chunk "
        "WHERE section = ? AND ordinal < ? ORDER BY ordinal)",
        (section, ordinal),
    )
    before = (before or "")[: len(before or "") - shared]
    [(first, above)] = index.rows(
        "SELECT ordinal, heading FROM chunk WHERE section = ? ORDER BY ordinal LIMIT 1", (section,)
    )
    if first and above and reader is markdown_headings:
        # A later section of a long document: its titles are known, and their levels are taken to follow each other.
        titles = enumerate(above.split(HEADING_JOINT), 1)
        before = "".join(f"{'#' * min(level, 6)} {title}\n" for level, title in titles) + before
    outline = Outline(kind)
    outline.feed(before + hit.text)
    outline.finish()
    found, at = [], len(before)
    outline.path(at - 1)
    if before == "" or before.endswith("\n"):
        at -= 1  # a heading may be the first thing in the passage
    while (begins := outline.next(at)) is not None:
        found.append((max(0, begins - len(before)), outline.path(begins)))
        at = begins
    return found


def _stems(texts: Sequence[str]) -> list[frozenset[str]]:
    """The words of texts as the index has them: its own tokenizer is asked, so the two cannot differ."""
    stems: list[set[str]] = [set() for _ in texts]
    connection = sqlite3.connect(":memory:")
    try:
        connection.execute("CREATE VIRTUAL TABLE words USING fts5(text, tokenize='porter unicode61')")
        connection.execute("CREATE VIRTUAL TABLE terms USING fts5vocab(words, instance)")
        connection.executemany("INSERT INTO words (rowid, text) VALUES (?, ?)", enumerate(texts))
        for term, row in connection.execute("SELECT term, doc FROM terms"):
            stems[row].add(term)
    finally:
        connection.close()
    return [frozenset(words) for words in stems]


def _weights(index: Index, words: frozenset[str]) -> dict[str, float]:
    """How much each word says: the rarer in the corpus, the more (BM25's inverse document frequency)."""
    index.rows("CREATE VIRTUAL TABLE IF NOT EXISTS temp.chunk_terms USING fts5vocab(main, chunk_words, row)")
    [(chunks,)] = index.rows("SELECT coalesce(sum(chunks), 0) FROM document")
    weights = {}
    for word in sorted(words):
        [(having,)] = index.rows("SELECT coalesce(sum(doc), 0) FROM temp.chunk_terms WHERE term = ?", (word,))
        weights[word] = log(1 + (chunks - having + 0.5) / (having + 0.5))
    return weights
