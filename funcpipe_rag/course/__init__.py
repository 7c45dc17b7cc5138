"""Lessons and exercises as data, and the words a lesson is written in.

The words are fetched when first asked for: building and listing lessons needs none of what judging does.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .cards import Card as Card, check as check
    from .field_notes import Note as Note, notes as notes
    from .watching import expect as expect, predict as predict, watch as watch

_WORDS = {
    "Card": "cards",
    "Note": "field_notes",
    "check": "cards",
    "expect": "watching",
    "notes": "field_notes",
    "predict": "watching",
    "watch": "watching",
}
__all__ = sorted(_WORDS)


def __getattr__(name: str) -> object:
    if name not in _WORDS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.{_WORDS[name]}"), name)
    globals()[name] = value
    return value
