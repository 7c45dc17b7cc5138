"""An index made two ways: one has all documents, passages and vectors in lists, the other lets them go as it writes.

For `%mprun -f`, `memory_usage` and `mprof run`, as the demos of `memory_demos`; here an item is a document of ten
thousand characters, so a hundred are one megabyte.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from random import Random
from tempfile import TemporaryDirectory

from funcpipe_rag.rag import RagEnv, RawDoc, build_index, gen_chunks, gen_clean_docs, make_embedder

CHARACTERS = 10_000
"""Of one document."""

_ENV = RagEnv(1000, 200, boundary="word")
_WORDS = [
    f"{a}{b}{c}"
    for a in ("st", "ch", "f", "m")
    for b in ("rea", "ain", "en", "er")
    for c in ("m", "ed", "ce", "ge")
]


def ingest_from_lists(items: int) -> int:
    """Read all documents, cut all of them, make all vectors; then write what is in the lists. Gives the chunks.

    >>> ingest_from_lists(2)
    26

    Memory: every document, its chunks and their vectors; about 40 kB a document.
    """
    docs = list(_documents(items))
    embed = make_embedder("hash:256")
    chunks = list(gen_chunks(gen_clean_docs(docs), _ENV))
    vectors = embed([chunk.text for chunk in chunks])
    return _written(iter(docs)) if len(vectors) == len(chunks) else 0


def ingest_from_stream(items: int) -> int:
    """Read, cut, embed and write one group of documents after the other. Gives the chunks.

    >>> ingest_from_stream(2)
    26

    Memory: one group of chunks, however many documents there are.
    """
    return _written(_documents(items))


def _written(docs: Iterator[RawDoc]) -> int:
    with TemporaryDirectory(prefix="funcpipe-rag-") as folder:
        path = os.path.join(folder, "demo.db")
        return build_index(path, docs, _ENV, embedder=make_embedder("hash:256")).chunks


def _documents(items: int) -> Iterator[RawDoc]:
    """Documents of words in an order of their own, the same ones every time."""
    for number in range(items):
        choose = Random(number)
        text = " ".join(choose.choices(_WORDS, k=CHARACTERS // 4))[:CHARACTERS]
        yield RawDoc(str(number), text, f"{number}.txt")


RAG_MEMORY_DEMOS = (ingest_from_lists, ingest_from_stream)
"""Both make the same index: the first holds all of its documents, the second a group of them."""
