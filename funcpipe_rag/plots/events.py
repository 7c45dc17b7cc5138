"""A log read back from its JSON lines, so that a run recorded elsewhere can be drawn here."""

from __future__ import annotations

from collections.abc import Iterable
from json import JSONDecodeError, loads
from math import isfinite
from typing import get_args

from funcpipe_rag.streams.probe import Event, EventKind, Log


def read_log(lines: str | Iterable[str]) -> Log:
    """The log that these JSON lines record: the text itself, or an open file.

    >>> from funcpipe_rag.streams.probe import Probe
    >>> letters = Probe("ab")
    >>> list(letters())
    ['a', 'b']
    >>> print(read_log(letters.log.to_jsonl()).spoken())
    source gave 'a'; source gave 'b'

    An item comes back as something that looks like it, and is nothing but its looks. A line that is no event
    is refused by its number; empty lines are passed by.

    >>> read_log('{"t": 0, "stage": "source", "item": null, "kind": "opened"}')
    Traceback (most recent call last):
    ...
    ValueError: read_log: line 1: kind must be open, pull, yield, close or error, got 'opened'

    Class: pure. Demand: every line. Memory: one event a line. Closing: leaves a file open. Errors: ValueError
    with the number of the line; those of a file.
    """
    log = Log()
    # Not splitlines(): a text may hold other line ends than JSON lines know.
    for number, line in enumerate(lines.split("\n") if isinstance(lines, str) else lines, start=1):
        if line.strip():
            try:
                event = _event(line)
            except ValueError as wrong:
                raise ValueError(f"read_log: line {number}: {wrong}") from None
            log.join(event.stage)
            log.events.append(event)
    return log


class Looks:
    """An item of a log that was read back: all that is known of it is how it looked."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


_KINDS = tuple(kind for kind in get_args(EventKind) if kind != "refuse")


def _event(line: str) -> Event:
    try:
        told = loads(line)
    except JSONDecodeError as wrong:
        raise ValueError(f"not JSON: {wrong.msg} at column {wrong.colno}") from None
    except RecursionError:
        raise ValueError("not an event: nested too deep") from None
    if not isinstance(told, dict):
        raise ValueError(f"wants an object with t, stage, item and kind, got {_cut(told)}")
    if missing := [key for key in ("t", "stage", "item", "kind") if key not in told]:
        raise ValueError(f"{', '.join(missing)} is missing")
    t, stage, item, kind = told["t"], told["stage"], told["item"], told["kind"]
    if not isinstance(t, int | float) or isinstance(t, bool) or not isfinite(t):
        raise ValueError(f"t must be a number, got {_cut(t)}")
    if not isinstance(stage, str) or not stage:
        raise ValueError(f"stage must be a name, got {_cut(stage)}")
    if item is not None and not isinstance(item, str):
        raise ValueError(f"item must be a text (the item's repr) or null, got {_cut(item)}")
    if kind not in _KINDS:
        raise ValueError(f"kind must be {', '.join(_KINDS[:-1])} or {_KINDS[-1]}, got {_cut(kind)}")
    if item is None and kind in ("yield", "error"):
        raise ValueError(f"item must be a text where kind is {kind}, got null")
    return Event(t, stage, kind, None if item is None else Looks(item))


def _cut(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
