"""Find the passages that a question is about.

Two full-text rankings are fused: one of passages with their headings, one of whole documents (a document over 1 Mi
characters as sections, of which the best one counts). A passage that is good in a document that is good stands
above either alone. Nearness of vectors is a third ranking where the index was built with an embedder and it is given.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache, partial
from typing import Literal, NamedTuple, TypeAlias
from unicodedata import normalize

from funcpipe_rag.streams.arguments import a_whole_number

from .embedding import Embedder
from .fast_views import fast_views
from .filters import EVERYTHING, Filter
from .index import Index
from .nearest import nearest

# Reciprocal-rank fusion (Cormack et al. 2009): the constant keeps one first place from deciding all.
RRF = 60

# How many documents of each ranking are fused, at least.
DEPTH = 100

# No index has more documents than this, and SQLite counts no further than a bit.
DEEPEST = 1 << 40

# Passages of one long document may fill a ranking of passages, so it is read on until enough documents are in it, or
# so many times as many rows.
PASSAGES = 5

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


View: TypeAlias = Literal["chunk", "section"]


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


def search(
    index: Index,
    query: str,
    k: int = 10,
    *,
    where: Filter = EVERYTHING,
    embedder: Embedder | None = None,
) -> list[Hit]:
    """The `k` documents that fit a query best, each with its best passage, best first.

    >>> import os
    >>> from tempfile import TemporaryDirectory
    >>> from funcpipe_rag.rag import Filter, Index, RagEnv, RawDoc, build_index
    >>> docs = [RawDoc(name, text, name) for name, text in
    ...         {"tee.md": "Splitting a stream.", "chain.md": "Joining streams, in turn."}.items()]
    >>> with TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "docs.db")
    ...     _ = build_index(path, docs, RagEnv(chunk_size=1000))
    ...     with Index(path) as index:
    ...         [hit.source for hit in search(index, "how do I split streams?")]
    ...         [hit.source for hit in search(index, "streams", where=Filter(sources=["c*"]))]
    ['tee.md', 'chain.md']
    ['chain.md']

    Any text is a query; what is no word in it is ignored. A query without words says so.

    >>> query_words("...?!")
    Traceback (most recent call last):
    ...
    funcpipe_rag.rag.retrieve.QueryError: the query has no word to look for: '...?!'

    Words are compared by their stem and without accents, stop words left out (unless there is nothing else). A run of
    letters is one word: in Chinese, Japanese and Thai, which set no blanks, only a whole run is found by words. With
    the `embedder` that the index was built with, nearness of vectors is a third ranking; each vector is read for it.
    `where` says which documents may be found, and changes nothing in the order of those.

    Memory: O(k). Errors: QueryError (a ValueError); ValueError for k < 1; IndexMismatch for another embedder.
    """
    a_whole_number("search", "k", k, least=1)
    words = query_words(query)
    with index.snapshot():
        depth = min(max(DEPTH, 5 * k), DEEPEST)
        rankings = [
            _ranked(index, "chunk", words, depth, where),
            _ranked(index, "section", words, depth, where),
        ]
        if embedder is not None:
            rows = nearest(index, embedder, query, limit=PASSAGES * depth, where=where)
            rankings.append(_by_document(rows, depth))
        return _fused(index, words, rankings, k)


Ranking: TypeAlias = dict[int, int]
"""Documents, best first, each with its best row of a view."""


def _fused(index: Index, words: Sequence[str], rankings: Sequence[Ranking], k: int) -> list[Hit]:
    scores: dict[int, float] = {}
    for ranking in rankings:
        for place, document in enumerate(ranking, 1):
            scores[document] = scores.get(document, 0.0) + 1 / (RRF + place)
    order = sorted(scores, key=lambda document: (-scores[document], document))[:k]
    chunks, _, *others = rankings  # a section is no passage to be shown
    return [
        _hit(index, _best_row(index, words, document, [chunks, *others]), scores[document])
        for document in order
    ]


def _best_row(index: Index, words: Sequence[str], document: int, rankings: Sequence[Ranking]) -> int:
    for ranking in rankings:
        if document in ranking:
            return ranking[document]
    return passages(index, words, document, 1)[0]


def _by_document(rows: Iterable[tuple[int, int]], depth: int) -> Ranking:
    ranking: Ranking = {}
    for row, document in rows:
        ranking.setdefault(document, row)
        if len(ranking) == depth:
            break
    return ranking


def _ranked(index: Index, view: View, words: Sequence[str], depth: int, where: Filter) -> Ranking:
    """The first `depth` documents of a view that fit the words and may be found."""
    views = fast_views(index)
    rows = partial(_in_full_text, index) if views is None else views.ranked
    may_be_found = _asked_once(index, where)
    wanted = PASSAGES * depth if view == "chunk" else depth
    # A condition inside the full-text query would make it slow, so what may not be found is left out afterwards. As
    # many rows are read as are wanted; where that was too few, the next time as many as it takes.
    for most in (wanted, None):
        read = found = 0
        ranking: Ranking = {}
        for row, document in rows(view, words, most):
            read += 1
            if document is not None and may_be_found(document):
                found += 1
                ranking.setdefault(document, row)
                if found == wanted or len(ranking) == depth:
                    return ranking
        if read < wanted:
            break
    return ranking


def _in_full_text(
    index: Index, view: View, words: Sequence[str], most: int | None
) -> Iterator[tuple[int, int | None]]:
    """The rows of a view that fit any of some words, best first; no document for what is not to be seen yet."""
    return index.rows(
        f"SELECT found.id, (SELECT document FROM {view} WHERE {view}.id = found.id) "
        f"FROM (SELECT rowid AS id, rank FROM {view}_words "
        f"WHERE {view}_words MATCH ? ORDER BY rank, rowid LIMIT ?) AS found ORDER BY found.rank, found.id",
        (any_of(words), -1 if most is None else most),
    )


def _asked_once(index: Index, where: Filter) -> Callable[[int], bool]:
    """Whether a document, by its row, may be found; the index is asked once about each."""
    if where == EVERYTHING:
        return lambda document: True
    condition, values = where.condition()
    sql = f"SELECT 1 FROM document WHERE id = ? AND {condition}"
    return cache(lambda document: next(index.rows(sql, (document, *values)), None) is not None)


def best_passages(
    index: Index, query: str, *, documents: int, each: int, where: Filter, embedder: Embedder | None
) -> Iterator[Hit]:
    """The `each` best passages of the `documents` best documents; a passage has its document's score."""
    words = query_words(query)
    for hit in search(index, query, documents, where=where, embedder=embedder):
        [(document,)] = index.rows("SELECT document FROM chunk WHERE id = ?", (hit.row,))
        rows = passages(index, words, document, each)
        yield from (_hit(index, row, hit.score) for row in dict.fromkeys([hit.row, *rows]))


def passages(index: Index, words: Sequence[str], document: int, limit: int) -> list[int]:
    """The rows of a document's best passages for some words."""
    # A document's chunks have consecutive ids: full text can skip to a range of ids, but not to a list.
    [(first, last)] = index.rows("SELECT min(id), max(id) FROM chunk WHERE document = ?", (document,))
    found = index.rows(
        "SELECT rowid FROM chunk_words WHERE chunk_words MATCH ? AND rowid BETWEEN ? AND ? "
        "ORDER BY rank LIMIT ?",
        (any_of(words), first, last, limit),
    )
    # A word may be in the document's name alone, or stand across a cut.
    return [row for (row,) in found] or [first]


def any_of(words: Iterable[str]) -> str:
    """Words as FTS5 wants to hear of them: any will do, and none is an operator.

    >>> any_of(["heapq", "OR"])
    '"heapq" OR "OR"'
    """
    return " OR ".join(f'"{word}"' for word in words)


def query_words(query: str) -> list[str]:
    """The words of a query that are looked for; QueryError if it has none.

    >>> query_words('How do I use "heapq.merge" (or NOT)?')
    ['heapq', 'merge']
    >>> query_words("make_chain")
    ['make_chain', 'make', 'chain']
    >>> query_words("to be or not to be")
    ['to', 'be', 'or', 'not']
    """
    wanted = content_words(query) or list(dict.fromkeys(_with_parts(_words(query))))
    if not wanted:
        raise QueryError(f"the query has no word to look for: {query!r}")
    return wanted[:LONGEST_QUERY]


def content_words(text: str) -> list[str]:
    """The words of a text that say something, each once, with the parts of names.

    >>> content_words("How do I use heapq.merge, or make_chain?")
    ['heapq', 'merge', 'make_chain', 'make', 'chain']
    """
    words = dict.fromkeys(_with_parts(_words(text)))
    return [word for word in words if word.lower() not in STOP_WORDS]


_WORD = re.compile(r"[^\W_](?:\w*[^\W_])?")


def _words(text: str) -> list[str]:
    # An accent that is a character of its own is no letter, and would cut the word in two.
    return _WORD.findall(normalize("NFC", text))


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
