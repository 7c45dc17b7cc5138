"""The laws of leaving out what has been there before."""

from __future__ import annotations

from typing import Any

from funcpipe_rag.rag import ChunkWithoutEmbedding

from .inputs import Input, Items, choice, integers, items_of
from .law import holds, law, same
from .stages import ONCE, Family, laws_of
from .worlds import World


def _texts(**how: Any) -> Input[Items]:
    return items_of(choice("a b", "A, b!", "c", ""), **how)


def _chunks(world: World, texts: Items) -> Items:
    return tuple(ChunkWithoutEmbedding("d", text, 0, len(text), n) for n, text in enumerate(texts))


def _told(chunk: ChunkWithoutEmbedding) -> tuple[int, str]:
    return chunk.ordinal, chunk.text


def _once(chunks: list[ChunkWithoutEmbedding]) -> list[tuple[int, str]]:
    first: dict[str, ChunkWithoutEmbedding] = {}
    for chunk in chunks:
        first.setdefault(chunk.text, chunk)
    return [_told(chunk) for chunk in first.values()]


def _recent(chunks: list[ChunkWithoutEmbedding], capacity: int) -> list[tuple[int, str]]:
    words: list[str] = []
    kept = []
    for chunk in chunks:
        said = chunk.text.lower().replace(",", "").replace("!", "")
        if said not in words[-capacity:]:
            words.append(said)
            kept.append(_told(chunk))
    return kept


EXACT = Family(
    "structural_dedup",
    {},
    lambda world, structural_dedup: lambda chunks: structural_dedup(chunks),
    _once,
    items=_texts,
    live=_chunks,
    told=_told,
    plain=True,
)
NEAR = Family(
    "near_dedup",
    {"capacity": integers(1, 3)},
    lambda world, near_dedup, capacity: lambda chunks: near_dedup(chunks, threshold=1, capacity=capacity),
    _recent,
    items=_texts,
    live=_chunks,
    told=_told,
    plain=True,
)

for _family in (EXACT, NEAR):
    laws_of(_family, ONCE)

_WORDS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]


@law(
    "near-dedup-leaves-out-only-what-is-near",
    about="near_dedup",
    promise="same answer",
    says="What is left out shares at least that part of its runs of three words with a passage that came.",
    hint="Do you count what the two share, or believe what the signatures say?",
    first=items_of(choice(*_WORDS), least=3, most=8),
    second=items_of(choice(*_WORDS), least=3, most=8),
    threshold=choice(0.2, 0.5, 0.8),
)
def _(world: World, near_dedup: Any, first: Items, second: Items, threshold: float) -> None:
    chunks = [ChunkWithoutEmbedding("d", " ".join(words), 0, 0, n) for n, words in enumerate((first, second))]
    kept = world.items(near_dedup(chunks, threshold=threshold))
    one, other = ({tuple(words[at : at + 3]) for at in range(len(words) - 2)} for words in (first, second))
    if len(one & other) < threshold * len(one | other):
        same([chunk.ordinal for chunk in kept], [0, 1], "passages {} were kept")


@law(
    "structural-dedup-tells-of-each-that-it-leaves-out",
    about="structural_dedup",
    promise="same answer",
    says="What came and what was told of are together all that went in.",
    hint="Which passage is neither in the stream nor in the count?",
    texts=_texts(),
)
def _(world: World, structural_dedup: Any, texts: Items) -> None:
    chunks = _chunks(world, texts)
    dropped: list[Any] = []
    kept = world.items(structural_dedup(chunks, on_drop=dropped.append))
    holds(
        len(kept) + len(dropped) == len(chunks),
        f"{len(kept)} came and {len(dropped)} were told of, of {len(chunks)}",
        f"{len(chunks)}",
    )
