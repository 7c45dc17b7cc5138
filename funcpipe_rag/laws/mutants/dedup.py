"""What people write in place of leaving out what has been there before."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from funcpipe_rag import rag
from funcpipe_rag.laws.dedup import EXACT, NEAR
from funcpipe_rag.rag import ChunkWithoutEmbedding

from .mutant import mutant
from .stages import wrapped

Chunks = Iterator[ChunkWithoutEmbedding]

for _family in (EXACT, NEAR):
    wrapped(_family)


@mutant(of="structural_dedup", killed_by="structural-dedup-equals-its-eager-twin")
def compares_with_the_last_one(chunks: Iterable[ChunkWithoutEmbedding], **options: Any) -> Chunks:
    """Leaves out neighbours that are equal: what comes back later comes again."""
    last = None
    for chunk in chunks:
        if chunk.text != last:
            yield chunk
        last = chunk.text


@mutant(of="structural_dedup", killed_by="structural-dedup-equals-its-eager-twin")
def puts_them_into_a_set(chunks: Iterable[ChunkWithoutEmbedding], **options: Any) -> Chunks:
    """Keeps the last of its kind, and the order of the alphabet."""
    yield from (chunk for _, chunk in sorted({chunk.text: chunk for chunk in chunks}.items()))


@mutant(of="structural_dedup", killed_by="structural-dedup-tells-of-each-that-it-leaves-out")
def leaves_out_in_silence(chunks: Iterable[ChunkWithoutEmbedding], *, on_drop: Any = None) -> Chunks:
    """Nobody learns how much is missing."""
    return rag.structural_dedup(chunks)


@mutant(of="near_dedup", killed_by="near-dedup-leaves-out-only-what-is-near")
def compares_words_not_runs(
    chunks: Iterable[ChunkWithoutEmbedding], *, threshold: float = 0.8, capacity: int = 10_000, **options: Any
) -> Chunks:
    """Forgets the order of the words: "dog bites man" is "man bites dog"."""
    kept: list[set[str]] = []
    for chunk in chunks:
        words = set(chunk.text.lower().split())
        if not any(len(words & other) >= threshold * len(words | other) for other in kept[-capacity:]):
            kept.append(words)
            yield chunk


@mutant(of="near_dedup", killed_by="near-dedup-equals-its-eager-twin")
def remembers_all(
    chunks: Iterable[ChunkWithoutEmbedding], *, capacity: int = 10_000, **options: Any
) -> Chunks:
    """Takes the capacity for a hint: its memory grows with the corpus."""
    return rag.near_dedup(chunks, **options)
