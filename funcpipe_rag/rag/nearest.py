"""The passages whose vectors point the way a question's does."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import Any

from funcpipe_rag.streams import batched

from .embedding import Embedder, EmbedderProblem
from .filters import Filter
from .index import Index, IndexMismatch

# So many vectors are multiplied at a time.
BLOCK = 1024


def nearest(
    index: Index, embedder: Embedder, query: str, *, limit: int, where: Filter
) -> list[tuple[int, int]]:
    """The passages nearest to a question by the cosine of their vectors: (row, row of its document), nearest first.

    Every vector is compared. Memory: O(limit) and one block of vectors. Errors: IndexMismatch unless the index was
    built with this embedder; EmbedderProblem where numpy is missing, or the embedder fails.
    """
    built = index.settings().get("embedder")
    if built != embedder.fingerprint:
        raise IndexMismatch(
            f"{index.path} has vectors of {built or 'no embedder'}, the question's is of {embedder.fingerprint}; "
            "build the index with this embedder, or search without"
        )
    numpy = _numpy()
    [wanted] = embedder([query])
    direction = numpy.frombuffer(wanted, dtype=numpy.float32)
    best = heapq.nlargest(limit, _scored(index, numpy, direction, where, built))
    return [(-row, -document) for score, row, document in best if score > 0]


def _scored(
    index: Index, numpy: Any, direction: Any, where: Filter, embedder: str
) -> Iterator[tuple[float, int, int]]:
    condition, values = where.condition()
    rows = index.rows(
        "SELECT chunk.id, chunk.document, numbers FROM chunk JOIN document ON document.id = chunk.document "
        f"JOIN vector ON vector.text_hash = chunk.text_hash AND vector.embedder = ? WHERE {condition}",
        (embedder, *values),
    )
    for block in batched(rows, BLOCK):
        matrix = numpy.frombuffer(b"".join(numbers for _, _, numbers in block), dtype=numpy.float32)
        matrix = matrix.reshape(len(block), -1)
        if matrix.shape[1] != len(direction):
            raise IndexMismatch(
                f"{index.path} has vectors of {matrix.shape[1]} numbers, the question's has {len(direction)}"
            )
        lengths = numpy.linalg.norm(matrix, axis=1)
        lengths[lengths == 0] = 1.0
        for score, (row, document, _) in zip((matrix @ direction / lengths).tolist(), block, strict=True):
            # Of two that are equally near, the one that was written first comes first.
            yield score, -row, -document


def _numpy() -> Any:
    try:
        import numpy
    except ModuleNotFoundError:
        raise EmbedderProblem(
            'comparing vectors needs numpy, which is not installed: pip install "funcpipe-rag[rag]"'
        ) from None
    return numpy
