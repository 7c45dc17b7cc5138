"""Which documents a search is about: by where they are, and by what is known of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Filter:
    """The documents whose source fits one of the patterns, and whose metadata says all of this.

    >>> Filter(sources=["guide/*"], metadata={"kind": "note"})
    Filter(sources=('guide/*',), metadata=mappingproxy({'kind': 'note'}))

    A pattern is a shell's, where `*` stands for "/" too; upper and lower case differ. Without patterns, and without
    metadata, all fit. One string is no list of patterns.

    >>> Filter(sources="guide/*")
    Traceback (most recent call last):
    ...
    TypeError: Filter: sources must be a list of patterns, got the string 'guide/*'
    """

    sources: Iterable[str] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if isinstance(self.sources, str):
            raise TypeError(f"Filter: sources must be a list of patterns, got the string {self.sources!r}")
        sources = tuple(self.sources)
        for what, values in (("sources", sources), ("metadata", [*self.metadata, *self.metadata.values()])):
            for value in values:
                if not isinstance(value, str):
                    raise TypeError(f"Filter: {what} must hold strings, got {value!r}")
        object.__setattr__(self, "sources", sources)
        object.__setattr__(self, "metadata", MappingProxyType(dict(self.metadata)))

    def condition(self) -> tuple[str, list[str]]:
        """What SQLite is to ask of a row of `document`, and the values that stand for its question marks."""
        parts: list[str] = []
        values: list[str] = []
        sources = tuple(self.sources)
        if sources:
            parts.append(f"({' OR '.join(['document.source GLOB ?'] * len(sources))})")
            values += sources
        for key, value in self.metadata.items():
            parts.append(
                "EXISTS (SELECT 1 FROM json_each(document.metadata) AS known WHERE known.key = ? AND known.value = ?)"
            )
            values += [key, value]
        return " AND ".join(parts) or "1", values


EVERYTHING = Filter()
