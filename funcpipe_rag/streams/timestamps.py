"""When something happened, as it is written in files, as a number that can be compared and subtracted."""

from __future__ import annotations

import re
from datetime import datetime, tzinfo

from .ownership import named

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def parse_ts(text: str, *, tz: tzinfo | None = None) -> float:
    """The timestamp that `text` is, in seconds since 1970-01-01T00:00:00Z: what `make_merge` sorts by.

    >>> parse_ts("2024-05-01T12:00:00.25Z")
    1714564800.25
    >>> parse_ts("01/May/2024:14:00:00 +0200")
    1714564800.0

    A text that names no time zone means another instant in each of them, so it needs one: `tz`, which counts for
    such texts alone.

    >>> parse_ts("2024-05-01 12:00:00,250")
    Traceback (most recent call last):
    ...
    ValueError: parse_ts: '2024-05-01 12:00:00,250' names no time zone; say which one it means, as in tz=timezone.utc
    >>> from datetime import timezone
    >>> parse_ts("2024-05-01 12:00:00,250", tz=timezone.utc)
    1714564800.25

    It reads ISO 8601 as `datetime.fromisoformat` does (a date alone is its midnight; digits behind the sixth are cut
    off), dates written with slashes, the year first (`2024/05/01 12:00:00`), and the Common Log Format of web
    servers, in brackets or without. UTC, GMT, Z or an offset may stand behind the time. Neither the machine's own
    zone nor its language has a say. Where a clock goes back, the hour that comes twice is taken for the first.

    Class: pure. Errors: ValueError, showing the text, for one that is no such timestamp (one without a year, a second
    60) and for one without a zone when there is no `tz`; TypeError for what is no text.
    """
    if not isinstance(text, str):
        raise TypeError(f"parse_ts: text must be a str, got {type(text).__name__}")
    if tz is not None and not isinstance(tz, tzinfo):
        raise TypeError(f"parse_ts: tz must be a tzinfo, like timezone.utc, got {tz!r}")
    try:
        moment = datetime.fromisoformat(_as_iso(text.strip()))
    except ValueError as error:
        raise ValueError(
            f"parse_ts: {named(text)} is no timestamp like 2024-05-01T12:00:00Z or "
            f"01/May/2024:12:00:00 +0000 ({str(error).partition(':')[0]})"
        ) from None
    if moment.tzinfo is None:
        if tz is None:
            raise ValueError(
                f"parse_ts: {named(text)} names no time zone; say which one it means, as in tz=timezone.utc"
            )
        moment = moment.replace(tzinfo=tz)
    return moment.timestamp()


# Not strptime: its month names are those of the machine's language.
_COMMON_LOG = re.compile(
    rf"\[?(\d\d)/({'|'.join(_MONTHS)})/(\d{{4}}):(\d\d:\d\d:\d\d)(?: ([+-]\d{{4}}))?\]?", re.ASCII
)
_SLASHED = re.compile(r"(\d{4})/(\d\d)/(\d\d)(?=[ T]|$)", re.ASCII)
_UTC = re.compile(r"(?<=\d) ?(?:UTC|GMT|[zZ])$")
# To fromisoformat the + is what parts date and time, and what stands behind it the time.
_DATE_AND_ZONE = re.compile(r"(\d{4}-\d\d-\d\d|\d{8}|\d{4}-?W\d\d(?:-?\d)?)(\+\d\d(?::?\d\d)?)", re.ASCII)


def _as_iso(text: str) -> str:
    found = _COMMON_LOG.fullmatch(text)
    if found is not None:
        day, month, year, time, offset = found.groups()
        return f"{year}-{_MONTHS.index(month) + 1:02}-{day}T{time}{offset or ''}"
    text = _UTC.sub("+00:00", _SLASHED.sub(r"\1-\2-\3", text, count=1))
    return _DATE_AND_ZONE.sub(r"\1T00\2", text) if _DATE_AND_ZONE.fullmatch(text) else text
