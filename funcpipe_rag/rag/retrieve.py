"""Find the passages that a question is about.

Two full-text rankings are fused: one of passages with their headings, one of whole documents. A passage
that is good in a document that is good stands above either alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from funcpipe_rag.streams.arguments import a_whole_number

from .index import Index

# Reciprocal-rank fusion (Cormack et al. 2009): the constant keeps one first place from deciding all.
RRF = 60

# How many places of each ranking are fused, at least.
DEPTH = 100

# More words than this say no more about what is wanted, and each costs a scan.
LONGEST_QUERY = 64

STOP_WORDS = frozenset(
    (  # noqa: SIM905 - a list of 150 quoted words would be harder to read
        "a about above after again all also am an and any are as at be because been before being below "
        "between both but by can could did do does doing don down during each few for from further had has "
        "have having he her here hers him his how i if in into is it its itself just let me more most my no "
        "nor not now of off on once only or other our out over own please same she should so some such tell "
        "than that the their them then there these they this those through to too under until up use used "
        "using very was we were what when where which while who whom why will with would you your "
    ).split()
)


class Hit(NamedTuple):
    """A passage that was found: `raw[start:stop]` of `source`. Higher scores are better."""

    source: str
    start: int
    stop: int
    heading: str
    text: str
    score: float
    chunk_id: str
    row: int


class QueryError(ValueError):
    """A question that has no word to look for."""


def search(index: Index, query: str, k: int = 10) -> list[Hit]:
    """The `k` documents that fit a query best, each with its best passage, best first.

    >>> import os
    >>> from tempfile import TemporaryDirectory
    >>> from funcpipe_rag.rag import Index, RagEnv, RawDoc, build_index
    >>> docs = [RawDoc(name, text, name) for name, text in
    ...         {"tee.md": "Splitting a stream.", "chain.md": "Joining streams, in turn."}.items()]
    >>> with TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "docs.db")
    ...     _ = build_index(path, docs, RagEnv(chunk_size=1000))
    ...     with Index(path) as index:
    ...         [hit.source for hit in search(index, "how do I split streams?")]
    ['tee.md', 'chain.md']

    Any text is a query; what is no word in it is ignored. A query without words says so.

    >>> match_expression("...?!")
    Traceback (most recent call last):
    ...
    funcpipe_rag.rag.retrieve.QueryError: the query has no word to look for: '...?!'

    Words are compared by their stem and without accents, stop words left out (unless there is nothing else).
    Memory: O(k). Errors: QueryError (a ValueError); ValueError for k < 1.
    """
    a_whole_number("search", "k", k, least=1)
    words = match_expression(query)
    with index.snapshot():
        return _fused(index, words, k)


def _fused(index: Index, words: str, k: int) -> list[Hit]:
    depth = max(DEPTH, 5 * k)
    best: dict[int, int] = {}
    ranks: dict[int, float] = {}
    # Passages of one long document may fill the ranking, so it is read on until enough documents are in it.
    rank = 0
    for row, document in index.rows(
        "SELECT chunk.id, chunk.document FROM (SELECT rowid AS id, rank FROM chunk_words "
        "WHERE chunk_words MATCH ? ORDER BY rank, rowid LIMIT ?) AS found "
        "JOIN chunk ON chunk.id = found.id ORDER BY found.rank, found.id",
        (words, 5 * depth),
    ):
        if document not in best:
            best[document] = row
            rank += 1
            ranks[document] = 1 / (RRF + rank)
    seen: set[int] = set()
    for (document,) in index.rows(
        "SELECT section.document FROM (SELECT rowid AS id, rank FROM section_words "
        "WHERE section_words MATCH ? ORDER BY rank, rowid LIMIT ?) AS found "
        "JOIN section ON section.id = found.id ORDER BY found.rank, found.id",
        (words, depth),
    ):
        if document not in seen:
            seen.add(document)
            ranks[document] = ranks.get(document, 0.0) + 1 / (RRF + len(seen))
    order = sorted(ranks, key=lambda document: (-ranks[document], document))[:k]
    return [
        _hit(
            index,
            best[document] if document in best else passages(index, words, document, 1)[0],
            ranks[document],
        )
        for document in order
    ]


def best_passages(index: Index, query: str, *, documents: int, each: int) -> Iterator[Hit]:
    """The `each` best passages of the `documents` best documents; a passage has its document's score."""
    words = match_expression(query)
    for hit in search(index, query, documents):
        [(document,)] = index.rows("SELECT document FROM chunk WHERE id = ?", (hit.row,))
        rows = passages(index, words, document, each)
        yield from (_hit(index, row, hit.score) for row in dict.fromkeys([hit.row, *rows]))


def passages(index: Index, words: str, document: int, limit: int) -> list[int]:
    """The rows of a document's best passages for a full-text query."""
    # A document's chunks have consecutive ids: full text can skip to a range of ids, but not to a list.
    [(first, last)] = index.rows("SELECT min(id), max(id) FROM chunk WHERE document = ?", (document,))
    found = index.rows(
        "SELECT rowid FROM chunk_words WHERE chunk_words MATCH ? AND rowid BETWEEN ? AND ? "
        "ORDER BY rank LIMIT ?",
        (words, first, last, limit),
    )
    # A word may be in the document's name alone, or stand across a cut.
    return [row for (row,) in found] or [first]


def match_expression(query: str) -> str:
    """A query as FTS5 wants it: any of its words, none of its operators.

    >>> match_expression('How do I use "heapq.merge" (or NOT)?')
    '"heapq" OR "merge"'
    >>> match_expression("make_chain")
    '"make_chain" OR "make" OR "chain"'
    >>> match_expression("to be or not to be")
    '"to" OR "be" OR "or" OR "not"'
    """
    words = list(dict.fromkeys(_with_parts(_WORD.findall(query))))
    wanted = [word for word in words if word.lower() not in STOP_WORDS] or words
    if not wanted:
        raise QueryError(f"the query has no word to look for: {query!r}")
    return " OR ".join(f'"{word}"' for word in wanted[:LONGEST_QUERY])


_WORD = re.compile(r"[^\W_](?:\w*[^\W_])?")


def _with_parts(words: Iterable[str]) -> Iterator[str]:
    for word in words:
        yield word
        if "_" in word:
            yield from filter(None, word.split("_"))


def _hit(index: Index, row: int, score: float) -> Hit:
    [(source, start, stop, heading, text, name)] = index.rows(
        "SELECT source, start, stop, heading, text, chunk_id FROM chunk "
        "JOIN document ON document.id = chunk.document WHERE chunk.id = ?",
        (row,),
    )
    return Hit(source, start, stop, heading, text, score, name.hex(), row)
