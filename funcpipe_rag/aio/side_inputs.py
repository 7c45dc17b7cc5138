"""What goes to a task's function beside its item: values, what is awaited once a run, and streams."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator
from inspect import (
    CORO_CREATED,
    getcoroutinestate,
    isasyncgenfunction,
    isawaitable,
    iscoroutine,
    iscoroutinefunction,
)
from typing import Any, NamedTuple

from .ownership import Owned
from .stages import AsyncSource


class Given(NamedTuple):
    """One side input, as it was given to a task: by place, where it has no name."""

    name: str | None
    thing: Any
    item_by_item: bool


class SideInputs:
    """The side inputs of one run: found when the first item is there, and opened streams are the run's to close."""

    def __init__(self, task_name: str, inputs: tuple[Given, ...], owned: Owned) -> None:
        self._task_name, self._inputs, self._owned = task_name, inputs, owned
        self._values: list[Any] = []
        self._streams: dict[int, AsyncIterator[Any]] = {}
        self._args: tuple[Any, ...] = ()
        self._kwargs: dict[str, Any] = {}

    async def of(self, index: int) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """What goes beside the item in this place."""
        if not self._inputs:
            return self._args, self._kwargs
        if not self._values:
            for place, given in enumerate(self._inputs):
                self._values.append(await self._found(place, given))
        elif self._streams:
            for place, stream in self._streams.items():
                self._values[place] = await self._next(place, stream, index)
        else:
            return self._args, self._kwargs
        both = list(zip(self._inputs, self._values, strict=True))
        self._args = tuple(value for given, value in both if given.name is None)
        self._kwargs = {given.name: value for given, value in both if given.name is not None}
        return self._args, self._kwargs

    async def _found(self, place: int, given: Given) -> Any:
        thing = given.thing
        if iscoroutine(thing) and getcoroutinestate(thing) != CORO_CREATED:
            raise RuntimeError(
                f"{self._called(place)} is a coroutine that an earlier run has awaited; "
                "give the coroutine function, and each run awaits its own"
            )
        if iscoroutinefunction(thing):
            return await thing()
        if isinstance(thing, AsyncSource) or isasyncgenfunction(thing):
            stream = self._owned.called(thing)
        elif isinstance(thing, AsyncIterable):
            stream = self._owned.opened(thing)
        else:
            return await thing if isawaitable(thing) else thing
        if given.item_by_item:
            self._streams[place] = stream
            return await self._next(place, stream, 0)
        value = await self._next(place, stream, 0)
        await self._owned.release(stream)
        return value

    async def _next(self, place: int, stream: AsyncIterator[Any], index: int) -> Any:
        async for value in stream:
            return value
        once = "" if index else "; a stream gives its items once, an asource is opened anew for each run"
        raise ValueError(f"{self._called(place)} has no item for item {index}{once}")

    def _called(self, place: int) -> str:
        name = self._inputs[place].name
        return f"{self._task_name}: side input {place if name is None else repr(name)}"
