"""A document that cannot be read, as data: the rest of the corpus does not wait for it."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from funcpipe_rag.streams.decoding import UndecodableText
from funcpipe_rag.streams.records import BadRecord

from .types import RawDoc


class Quarantined(NamedTuple):
    """A document that cannot be read: where it is, why, and on which line (from 1) if that is known."""

    source: str
    reason: str
    line: int | None = None


Loaded: TypeAlias = RawDoc | Quarantined


def reading_failed(source: str, error: Exception) -> Quarantined:
    """The error of a text that could not be read, as data.

    >>> reading_failed("a.txt", UndecodableText("docs/a.txt", 2, 7, 0xE9, "utf-8", "unexpected end of data"))
    Quarantined(source='a.txt', reason='not utf-8: byte 0xe9 at offset 7 (unexpected end of data)', line=2)
    >>> reading_failed("a.txt", PermissionError(13, "Permission denied"))
    Quarantined(source='a.txt', reason='Permission denied', line=None)
    """
    if isinstance(error, UndecodableText):
        return Quarantined(source, error.finding, error.line)
    if isinstance(error, BadRecord):
        return Quarantined(source, error.reason, error.line)
    if isinstance(error, OSError):
        return Quarantined(source, error.strerror or str(error))
    return Quarantined(source, str(error) or type(error).__name__)
