"""What flows through the pipeline: documents, chunks and the settings that make one of the other.

The values are immutable. Offsets count code points of the *raw text*: the file decoded with its line ends
kept and its byte order mark left out.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, NamedTuple, TypeAlias, get_args

from funcpipe_rag.streams.arguments import a_whole_number

TextStream: TypeAlias = Callable[[], Iterator[str]]
"""A text that can be opened again: every call gives its blocks from the beginning."""

Tail: TypeAlias = Literal["emit", "drop", "pad"]
Boundary: TypeAlias = Literal["char", "word", "sentence", "markdown", "code"]

TAILS: tuple[str, ...] = get_args(Tail)
BOUNDARIES: tuple[str, ...] = get_args(Boundary)

FORMAT = "format"
"""The key of a document's metadata that says what kind of text it is, as a file name's end: ".md", ".py"."""

NOTHING_MORE: Mapping[str, str] = MappingProxyType({})


class RawDoc(NamedTuple):
    """A document as it was found. `source` says where, relative to the folder that was given."""

    doc_id: str
    text: str | TextStream
    source: str
    metadata: Mapping[str, str] = NOTHING_MORE


class CleanBlock(NamedTuple):
    """A piece of clean text, and the way back to the raw text it came from.

    `start` is the raw offset of its first character. `edits` holds, for each character that stands for
    several raw ones, the place behind it in `text` and how many raw characters the block has lost up to
    there.
    """

    text: str
    start: int
    edits: tuple[tuple[int, int], ...] = ()

    def raw(self, place: int) -> int:
        r"""The raw offset of a place between two characters of `text`.

        >>> block = CleanBlock("a\nb", start=10, edits=((2, 3),))  # it was "a  \r\nb"
        >>> [block.raw(place) for place in range(4)]
        [10, 11, 15, 16]
        """
        edit = bisect_right(self.edits, place, key=lambda edit: edit[0])
        return self.start + place + (self.edits[edit - 1][1] if edit else 0)


class CleanDoc(NamedTuple):
    """A document with its text made regular, block by block, each with its way back to the raw text."""

    doc_id: str
    blocks: Callable[[], Iterator[CleanBlock]]
    source: str
    metadata: Mapping[str, str] = NOTHING_MORE

    @property
    def text(self) -> str:
        """The whole clean text; reads all of it into memory."""
        return "".join(block.text for block in self.blocks())


class ChunkWithoutEmbedding(NamedTuple):
    """A passage of a document: `raw[start:stop]`, made regular, is `text`.

    `ordinal` counts the document's chunks from 0. `metadata` is the document's, and `heading` where the
    document has headings: the ones that hold where the chunk begins, outermost first.
    """

    doc_id: str
    text: str
    start: int
    stop: int
    ordinal: int
    metadata: Mapping[str, str] = NOTHING_MORE


class Chunk(NamedTuple):
    """A passage with its vector."""

    doc_id: str
    text: str
    start: int
    stop: int
    ordinal: int
    metadata: Mapping[str, str]
    embedding: Sequence[float]


@dataclass(frozen=True, slots=True)
class RagEnv:
    """How documents are cut: sizes in characters of clean text.

    >>> RagEnv(chunk_size=512, overlap=64)
    RagEnv(chunk_size=512, overlap=64, tail='emit', boundary='char')

    Consecutive chunks share `overlap` characters (at most that many with any boundary but "char"). `tail` says
    what becomes of a last chunk shorter than `chunk_size`: it comes as it is, is dropped, or is filled up with
    blanks. `boundary` says what the text is taken for, and so where a cut falls if there is such a place in the
    second half of the chunk: anywhere, between words, between sentences; "markdown" also begins a chunk at each
    heading, and cuts between paragraphs first; "code" does so at each outermost definition of Python.

    >>> RagEnv(chunk_size=512, overlap=512)
    Traceback (most recent call last):
    ...
    ValueError: RagEnv: overlap must be less than chunk_size (512), got 512
    """

    chunk_size: int
    overlap: int = 0
    tail: Tail = "emit"
    boundary: Boundary = "char"

    def __post_init__(self) -> None:
        check_window("RagEnv", "chunk_size", self.chunk_size, self.overlap)
        check_name("RagEnv", "tail", self.tail, TAILS)
        check_name("RagEnv", "boundary", self.boundary, BOUNDARIES)


def check_window(where: str, size_name: str, size: int, overlap: int) -> None:
    """ValueError or TypeError, naming the argument, unless windows of `size` can overlap by `overlap`."""
    a_whole_number(where, size_name, size, least=1)
    a_whole_number(where, "overlap", overlap, least=0)
    if overlap >= size:
        raise ValueError(f"{where}: overlap must be less than {size_name} ({size}), got {overlap}")


def check_name(where: str, argument: str, value: object, known: Sequence[str]) -> None:
    """ValueError, listing what there is, unless `value` is one of `known`."""
    if value not in known:
        *most, last = (f'"{name}"' for name in known)
        raise ValueError(f"{where}: {argument} must be {', '.join(most)} or {last}, got {value!r}")
