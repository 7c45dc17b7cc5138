"""Leave out passages that have been there before: word for word, or nearly.

Both keep the first of its kind and the order, and say what they leave out.
"""

from __future__ import annotations

import re
import sqlite3
from array import array
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from hashlib import blake2b
from itertools import count
from typing import NamedTuple, TypeAlias
from zlib import crc32

from funcpipe_rag.streams.arguments import a_function, a_whole_number
from funcpipe_rag.streams.ownership import Owned

from .types import ChunkWithoutEmbedding

OnDuplicate: TypeAlias = Callable[[ChunkWithoutEmbedding], object]
"""Told of each passage that is left out, so that they can be counted and looked at."""

# So many hashes are kept in memory; more go into a temporary file of SQLite's.
REMEMBERED = 65536


def structural_dedup(
    chunks: Iterable[ChunkWithoutEmbedding], *, on_drop: OnDuplicate | None = None
) -> Iterator[ChunkWithoutEmbedding]:
    """The passages whose text has not been there before, in order.

    >>> def chunk(text):
    ...     return ChunkWithoutEmbedding("d", text, 0, len(text), 0)
    >>> dropped = []
    >>> [one.text for one in structural_dedup(map(chunk, "abab"), on_drop=dropped.append)], len(dropped)
    (['a', 'b'], 2)

    No passage, nothing.

    >>> list(structural_dedup([]))
    []

    Texts are compared by a hash of 16 bytes, character for character; where they stand and under which heading is
    not compared. Class: pure. Demand: for a passage, those up to it. Memory: 65,536 hashes (8 MB), and 2 MB of
    cache over a temporary file for those beyond. Closing: removes the file, leaves `chunks` as it found them.
    Errors: TypeError for what is no passage; OSError or sqlite3.Error for a full disk.
    """
    _a_teller("structural_dedup", on_drop)

    def run() -> Iterator[ChunkWithoutEmbedding]:
        with Owned() as owned, closing(_Seen()) as seen:
            for chunk in owned.opened(chunks):
                if seen.is_new(_text(chunk, "structural_dedup").encode("utf-8", "surrogatepass")):
                    yield chunk
                elif on_drop is not None:
                    on_drop(chunk)

    return run()


class _Seen:
    """The texts that have been there, as hashes."""

    def __init__(self) -> None:
        self._hashes: set[bytes] = set()
        self._file: sqlite3.Connection | None = None

    def is_new(self, data: bytes) -> bool:
        digest = blake2b(data, digest_size=16).digest()
        if digest in self._hashes:
            return False
        if self._file is not None:
            return self._file.execute("INSERT OR IGNORE INTO seen VALUES (?)", (digest,)).rowcount == 1
        self._hashes.add(digest)
        if len(self._hashes) == REMEMBERED:
            # A database without a name is a temporary file that goes when it is closed.
            self._file = sqlite3.connect("", isolation_level=None)
            self._file.execute("PRAGMA journal_mode = OFF")
            self._file.execute("CREATE TABLE seen (hash BLOB PRIMARY KEY) WITHOUT ROWID")
        return True

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


def near_dedup(
    chunks: Iterable[ChunkWithoutEmbedding],
    *,
    threshold: float = 0.8,
    capacity: int = 10_000,
    on_drop: OnDuplicate | None = None,
) -> Iterator[ChunkWithoutEmbedding]:
    """The passages that say nearly the same as none of the last `capacity` ones that were given, in order.

    >>> def chunk(text):
    ...     return ChunkWithoutEmbedding("d", text, 0, len(text), 0)
    >>> texts = ["a tee splits one stream into two, and holds what lags",
    ...          "a tee splits one stream into two, and holds what lags!",
    ...          "a chain joins two streams, one after the other"]
    >>> [one.text for one in near_dedup(map(chunk, texts))] == [texts[0], texts[2]]
    True

    A threshold of 1 leaves out only what has the same runs of words.

    >>> [one.text for one in near_dedup(map(chunk, ["one two", "One, two", "two one"]), threshold=1)]
    ['one two', 'two one']

    Two passages are near when they share at least `threshold` of their runs of three words (Jaccard's index of
    the two sets, counted, not estimated; case and punctuation do not count). MinHash finds whom to compare with
    (Broder 1997; one permutation, Li, Owen and Zhang 2012), so a near one may be missed, with a probability
    of about 1 % just at the threshold (more if that is below 0.07); the same text never is, and what is left out is always near.

    Class: pure. Demand: for a passage, those up to it. Memory: `capacity` passages as hashes: about 2 KB and
    4 bytes a word for each. Closing: leaves `chunks` as it found them. Errors: TypeError for what is no passage;
    ValueError for a threshold that is not in (0, 1] and a capacity < 1, at construction.
    """
    if isinstance(threshold, bool) or not isinstance(threshold, (int, float)) or not 0 < threshold <= 1:
        raise ValueError(f"near_dedup: threshold must be above 0 and at most 1, got {threshold!r}")
    a_whole_number("near_dedup", "capacity", capacity, least=1)
    _a_teller("near_dedup", on_drop)

    def run() -> Iterator[ChunkWithoutEmbedding]:
        kept = _Near(threshold, capacity)
        with Owned() as owned:
            for chunk in owned.opened(chunks):
                if kept.is_new(_runs(_text(chunk, "near_dedup"))):
                    yield chunk
                elif on_drop is not None:
                    on_drop(chunk)

    return run()


_BINS = 64
_WORD = re.compile(r"\w+")
_ODD = 0x9E3779B97F4A7C15
_64 = (1 << 64) - 1


class _Kept(NamedTuple):
    runs: array[int]
    bands: list[int]


class _Near:
    """The passages to compare with, by the bands of their signatures."""

    def __init__(self, threshold: float, capacity: int) -> None:
        self._threshold, self._capacity = threshold, capacity
        # The longest bands, for the fewest comparisons, that find 99 % of what is just at the threshold.
        self._rows = max(
            (rows for rows in range(1, 9) if (1 - threshold**rows) ** (_BINS // rows) < 0.01), default=1
        )
        self._bands: dict[int, list[int]] = {}
        self._kept: dict[int, _Kept] = {}
        self._order: deque[int] = deque()
        self._numbers = count()

    def is_new(self, runs: set[int]) -> bool:
        bands = self._banded(_signature(runs))
        compared: set[int] = set()
        for band in bands:
            for number in self._bands.get(band, ()):
                if number not in compared:
                    compared.add(number)
                    if self._near(runs, self._kept[number].runs):
                        return False
        if len(self._order) == self._capacity:
            self._forget(self._order.popleft())
        number = next(self._numbers)
        self._order.append(number)
        self._kept[number] = _Kept(array("I", sorted(runs)), bands)
        for band in bands:
            self._bands.setdefault(band, []).append(number)
        return True

    def _near(self, runs: set[int], others: array[int]) -> bool:
        shared = sum(map(runs.__contains__, others))
        return shared >= self._threshold * (len(runs) + len(others) - shared)

    def _forget(self, number: int) -> None:
        for band in self._kept.pop(number).bands:
            numbers = self._bands[band]
            numbers.remove(number)
            if not numbers:
                del self._bands[band]

    def _banded(self, signature: Sequence[int]) -> list[int]:
        rows = self._rows
        # Tuples of whole numbers hash the same in every process.
        return [hash((at, *signature[at : at + rows])) for at in range(0, _BINS - rows + 1, rows)]


def _runs(text: str) -> set[int]:
    """The runs of three words in a text, each as a number; a text with fewer words is one run."""
    words = _WORD.findall(text.lower())
    if not words:
        return {crc32(text.strip().encode("utf-8", "surrogatepass"))}
    runs = zip(words, words[1:], words[2:], strict=False) if len(words) > 2 else [words]
    return {crc32(" ".join(run).encode("utf-8", "surrogatepass")) for run in runs}


def _signature(runs: Iterable[int]) -> list[int]:
    """The least number in each bin; an empty bin takes that of the next one that is not (Shrivastava and Li 2014)."""
    least: list[int | None] = [None] * _BINS
    for run in runs:
        mixed = (run * _ODD) & _64
        bin_, number = mixed >> 58, mixed & ((1 << 58) - 1)
        held = least[bin_]
        if held is None or number < held:
            least[bin_] = number
    # There is at least one run, so going round once finds a number.
    after = next(number for number in least if number is not None)
    distance = 0
    filled = [0] * _BINS
    for place in range(_BINS - 1, -1, -1):
        held = least[place]
        distance = 0 if held is not None else distance + 1
        after = after if held is None else held
        filled[place] = after + (distance << 58)
    return filled


def _text(chunk: ChunkWithoutEmbedding, where: str) -> str:
    try:
        return chunk.text
    except AttributeError:
        raise TypeError(f"{where}: wants passages (see gen_chunks), got {type(chunk).__name__}") from None


def _a_teller(where: str, on_drop: OnDuplicate | None) -> None:
    if on_drop is not None:
        a_function(where, "on_drop", on_drop)
