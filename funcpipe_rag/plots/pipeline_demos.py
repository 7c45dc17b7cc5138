"""The RAG builder's pipeline done two ways, for a memory curve: a list behind each stage, or one document at a time."""

from __future__ import annotations

from collections.abc import Iterator

from funcpipe_rag.rag import RagEnv, RawDoc, gen_chunks, gen_clean_docs
from funcpipe_rag.streams import make_counter

_ENV = RagEnv(chunk_size=200)


def chunks_from_lists(items: int) -> int:
    """Read, clean and cut documents, each stage into a list of its own, and count the chunks.

    >>> chunks_from_lists(10)
    60

    Memory: every document, and every chunk.
    """
    docs = list(_documents(items))
    cleaned = list(gen_clean_docs(docs))
    chunks = list(gen_chunks(cleaned, _ENV))
    return len(chunks)


def chunks_from_stream(items: int) -> int:
    """Read, clean and cut documents, and count the chunks while they go by.

    >>> chunks_from_stream(10)
    60

    Memory: one document and one chunk, however many there are.
    """
    passed = make_counter()
    for _chunk in passed(gen_chunks(gen_clean_docs(_documents(items)), _ENV)):
        pass
    return passed.counts[0]


def _documents(items: int) -> Iterator[RawDoc]:
    """Documents of one length, each with a text of its own in memory."""
    for place in range(items):
        yield RawDoc(f"doc-{place}", f"{place:08} " + "a stream is read once. " * 50, f"doc-{place}.md")
