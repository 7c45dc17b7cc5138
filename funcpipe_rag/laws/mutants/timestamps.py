"""What people write in place of reading timestamps."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from funcpipe_rag.streams.timestamps import parse_ts

from .mutant import mutant


@mutant(of="parse_ts", killed_by="parse-ts-reads-one-instant-from-every-form")
def drops_the_offset(text: str, *, tz: Any = None) -> float:
    """Cuts the zone off before it reads: noon is noon everywhere."""
    cut = text.strip("[]")
    for sign in "+-":
        if len(cut) > 5 and cut[-5] == sign:
            cut = cut[:-5].rstrip()
    return parse_ts(cut, tz=tz or UTC)


@mutant(of="parse_ts", killed_by="parse-ts-reads-one-instant-from-every-form")
def reads_iso_alone(text: str, *, tz: Any = None) -> float:
    """Knows one form, and takes every other for a mistake."""
    return datetime.fromisoformat(text).timestamp()


@mutant(of="parse_ts", killed_by="parse-ts-takes-no-zone-for-granted")
def takes_utc_for_granted(text: str, *, tz: Any = None) -> float:
    """Reads a text without a zone as UTC: it was written in Berlin."""
    return parse_ts(text, tz=tz or UTC)


@mutant(of="parse_ts", killed_by="parse-ts-refuses-what-is-no-time")
def calls_it_nought(text: str, *, tz: Any = None) -> float:
    """Gives 0.0 for what it cannot read: a line of the log from 1970."""
    try:
        return parse_ts(text, tz=tz)
    except ValueError:
        return 0.0


@mutant(of="parse_ts", killed_by="parse-ts-refuses-what-is-no-time")
def shows_no_text(text: str, *, tz: Any = None) -> float:
    """Says that the time is bad, and not which."""
    try:
        return parse_ts(text, tz=tz)
    except ValueError:
        raise ValueError("bad timestamp") from None
