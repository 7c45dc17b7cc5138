"""Several sources of documents, one pipeline, one bounded stream of passages."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from funcpipe_rag.streams import Stage, compose, make_chain, make_roundrobin, stage
from funcpipe_rag.streams.arguments import a_whole_number

from .chunking import gen_bounded_chunks
from .cleaning import gen_clean_docs
from .types import ChunkWithoutEmbedding, CleanDoc, RagEnv, RawDoc, check_name


def make_multi_rag_fn(
    env: RagEnv,
    max_chunks: int,
    sources: Iterable[Callable[[], Iterator[RawDoc]]],
    *,
    fan_in: str = "roundrobin",
) -> Stage[[], Iterator[ChunkWithoutEmbedding]]:
    """Documents from several sources as at most `max_chunks` passages: a source itself.

    >>> from funcpipe_rag.streams import as_source
    >>> notes = as_source([RawDoc("n1", "tee fork", "n1.md"), RawDoc("n2", "skew", "n2.md")])
    >>> docs = as_source([RawDoc("d1", "heapq", "d1.md")])
    >>> rag = make_multi_rag_fn(RagEnv(chunk_size=4), 4, [notes, docs])
    >>> [(chunk.doc_id, chunk.text) for chunk in rag()]
    [('n1', 'tee '), ('n1', 'fork'), ('d1', 'heap'), ('d1', 'q')]

    With `fan_in="chain"` a source is read to its end before the next is opened. No source, no passage.

    >>> env = RagEnv(chunk_size=9)
    >>> [chunk.doc_id for chunk in make_multi_rag_fn(env, 4, [notes, docs], fan_in="chain")()]
    ['n1', 'n2', 'd1']
    >>> list(make_multi_rag_fn(env, 4, [])())
    []

    Class: pure in its sources. Demand: one document at a time, none behind the one that the last passage is
    from. Memory: one open source each, one window. Closing: closes the sources that it opened, last first.
    Errors: ValueError and TypeError for bad arguments, at construction; a source's or text's own error after
    the passages before it.
    """
    a_whole_number("make_multi_rag_fn", "max_chunks", max_chunks, least=0)
    check_name("make_multi_rag_fn", "fan_in", fan_in, ("roundrobin", "chain"))
    merged = (make_chain if fan_in == "chain" else make_roundrobin)(*sources)

    @stage
    def bounded(docs: Iterable[CleanDoc]) -> Iterator[ChunkWithoutEmbedding]:
        return gen_bounded_chunks(docs, env, max_chunks)

    return merged | compose(gen_clean_docs, bounded)
