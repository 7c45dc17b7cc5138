"""What the tasks of one run may know of it: its context, which no other run and no consumer sees."""

from __future__ import annotations

import asyncio
import os
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Mapping
from contextvars import Context, ContextVar, copy_context
from copy import copy
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

from funcpipe_rag.streams.arguments import a_whole_number

Mode: TypeAlias = Literal["ordered", "as_completed"]
MODES: tuple[Mode, ...] = ("ordered", "as_completed")


@dataclass(frozen=True)
class PipelineContext:
    """What a run of tasks is told, and what each of its calls can look up with `get_current_context`.

    >>> PipelineContext(max_parallelism=4, data={"user": "Ada"})
    PipelineContext(execution_mode='ordered', max_parallelism=4, pipeline_id=None, data={'user': 'Ada'})

    `max_parallelism` caps the calls in flight over all stages of a run together. A run has its own `pipeline_id`,
    unless one was set, and its own `data`, which its tasks may change: dicts, lists and sets in it, and those of
    `collections`, are copied for each run, all the way down, and what they hold is shared.

    >>> PipelineContext(execution_mode="fastest")
    Traceback (most recent call last):
    ...
    ValueError: PipelineContext: execution_mode must be "ordered" or "as_completed", got 'fastest'
    """

    execution_mode: Mode = "ordered"
    max_parallelism: int | None = None
    pipeline_id: str | None = None
    data: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.execution_mode not in MODES:
            raise ValueError(
                'PipelineContext: execution_mode must be "ordered" or "as_completed", '
                f"got {self.execution_mode!r}"
            )
        if self.max_parallelism is not None:
            a_whole_number("PipelineContext", "max_parallelism", self.max_parallelism, least=1)
        if self.pipeline_id is not None and not isinstance(self.pipeline_id, str):
            raise TypeError(
                f"PipelineContext: pipeline_id must be text, got {type(self.pipeline_id).__name__}"
            )
        if not isinstance(self.data, Mapping):
            raise TypeError(f"PipelineContext: data must be a dict, got {type(self.data).__name__}")


_CURRENT: ContextVar[PipelineContext | None] = ContextVar("funcpipe_rag pipeline context", default=None)


def get_current_context() -> PipelineContext | None:
    """The context of the run in which the calling code is a task; None outside of tasks.

    >>> from funcpipe_rag.aio import single_task
    >>> from funcpipe_rag.aio.testing import run
    >>> @single_task
    ... async def greeted(name):
    ...     return f"{get_current_context().data['greeting']}, {name}"
    >>> run(greeted.with_context(greeting="Hello")(["Ada", "Grace"]).collect())
    ['Hello, Ada', 'Hello, Grace']

    Whoever reads the stream is no task.

    >>> print(get_current_context())
    None

    Class: observer. Demand: none. Memory: none of its own. Closing: nothing is open. Errors: none.
    """
    return _CURRENT.get()


@dataclass(frozen=True)
class Run:
    """What the stages of one run share: nothing of it outlives the run, and no other run sees it."""

    mode: Mode = "ordered"
    context: Context | None = None
    """Every call begins in a copy of it; where there is none, in a copy of the reader's."""
    limit: asyncio.Semaphore | None = None
    """How many calls may be in flight over all stages together."""


Settings: TypeAlias = Mapping[str, Any]
"""The fields of a `PipelineContext` that somebody has set, and no others: so that two can be joined."""

NO_SETTINGS: Settings = MappingProxyType({})


def told(where: str, context: PipelineContext | None, settings: Mapping[str, Any]) -> Settings:
    """What was set; names that are no field of a context belong into its data."""
    if context is not None and not isinstance(context, PipelineContext):
        raise TypeError(
            f"{where}: wants a PipelineContext, or settings by name, got {type(context).__name__}"
        )
    given = {} if context is None else {name: getattr(context, name) for name in _FIELDS}
    fields = {name: value for name, value in settings.items() if name in _FIELDS}
    loose = {name: value for name, value in settings.items() if name not in _FIELDS}
    # Made once to be checked.
    PipelineContext(**fields)
    return joined(given, fields, {"data": loose} if loose else {})


_FIELDS = ("execution_mode", "max_parallelism", "pipeline_id", "data")


def joined(*several: Settings) -> Settings:
    """All settings together; where two say something of one thing, the later one is right."""
    together: dict[str, Any] = {}
    for settings in several:
        data = {**together.get("data", {}), **settings.get("data", {})}
        together |= settings
        if data:
            together["data"] = data
    return MappingProxyType(together)


def begun(settings: Settings) -> Run:
    """A run with these settings: its own context, its own data, its own limit."""
    fields = {"pipeline_id": None, **settings, "data": _own(settings.get("data", {}))}
    if fields["pipeline_id"] is None:
        fields["pipeline_id"] = os.urandom(8).hex()
    current = PipelineContext(**fields)
    context = copy_context()
    context.run(_CURRENT.set, current)
    most = current.max_parallelism
    return Run(current.execution_mode, context, None if most is None else asyncio.Semaphore(most))


def _own(value: Any, seen: dict[int, Any] | None = None) -> Any:
    """A copy of the containers in `value`; what they hold is shared, for a connection cannot be copied."""
    seen = {} if seen is None else seen
    if id(value) in seen:
        return seen[id(value)]
    if type(value) in (dict, defaultdict, OrderedDict, Counter):
        # A shallow copy first: it is of the same kind, and the same default.
        copied = seen[id(value)] = copy(value)
        for key, each in value.items():
            copied[key] = _own(each, seen)
        return copied
    if type(value) in (list, deque):
        copied = seen[id(value)] = copy(value)
        for place, each in enumerate(value):
            copied[place] = _own(each, seen)
        return copied
    if type(value) is tuple:
        return tuple(_own(each, seen) for each in value)
    return set(value) if type(value) is set else value
