"""The field notes: the corpus of every lesson, the same bytes on every machine."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from typing import NamedTuple

from funcpipe_rag.streams import source


class Note(NamedTuple):
    """One field note: its name and its text."""

    name: str
    text: str


@source
def notes() -> Iterator[Note]:
    """The field notes in the order of their names, read one at a time.

    >>> first = next(notes())
    >>> first.name, first.text.splitlines()[0]
    ('accumulate', '# Accumulate: a running fold')
    """
    folder = files("funcpipe_rag.course") / "data" / "notes"
    for name in sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".md")):
        yield Note(name.removesuffix(".md"), (folder / name).read_text(encoding="utf-8"))
