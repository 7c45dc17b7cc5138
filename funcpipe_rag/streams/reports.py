"""What was dropped, and who is told.

Nothing is dropped in silence: a drop is counted in a `Report` by stage and kind, or told in one RuntimeWarning
at the stream's end. The three policies of the package, "fail", "skip" and "collect", are here, for every stage.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from reprlib import Repr
from types import FrameType, TracebackType
from typing import Any, Literal, SupportsIndex, TypeAlias, TypeVar
from warnings import warn

from .arguments import a_function, a_whole_number
from .counting import counted
from .ownership import Owned
from .results import Err, Ok, UnwrappingStage, good_values
from .stages import SinkStage

A = TypeVar("A")
T = TypeVar("T")

OnError: TypeAlias = Literal["fail", "skip", "collect"]
"""What to do about an item that fails: raise its error, drop and count it, or give its `Err` in its place."""

POLICIES: tuple[OnError, ...] = ("fail", "skip", "collect")

Told: TypeAlias = Callable[[Err[Any]], object]
"""Who is told of a drop: a `Report`, or any function of an `Err`, as `failures.append`."""


class Report:
    """Failures counted by stage and kind, with the first examples of each. Call it with an `Err` to count one.

    >>> from funcpipe_rag.streams.results import try_map
    >>> report = Report()
    >>> list(ok_only(report=report)(try_map(int)(["1", "x", "3", None])))
    [1, 3]
    >>> report
    Report(1 ValueError and 1 TypeError in try_map(int))
    >>> report.as_dict()["stages"]["try_map(int)"]["TypeError"]["count"]
    1

    One report may serve several stages, and several streams.

    >>> list(ok_only(report=report)(try_map(float)([None])))
    []
    >>> report.total, report.counts()
    (3, {'try_map(int)': {'ValueError': 1, 'TypeError': 1}, 'try_map(float)': {'TypeError': 1}})

    Memory: a count for each stage and kind, and of each the first `examples` as short texts; no item and no error.
    """

    __slots__ = ("_examples", "_found")

    def __init__(self, *, examples: SupportsIndex = 3) -> None:
        self._examples = a_whole_number("Report", "examples", examples, least=0)
        self._found: dict[str, dict[str, tuple[list[dict[str, Any]], Iterator[int], list[int]]]] = {}

    def __call__(self, failure: Err[Any]) -> None:
        """Count one failure."""

    @property
    def total(self) -> int:
        """How many failures were counted."""
        return 0

    def counts(self) -> dict[str, dict[str, int]]:
        """How many, by stage and by kind of error."""
        return {}
