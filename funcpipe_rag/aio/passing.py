"""Stages that pass items on as they are, so that their type goes through."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable
from typing import TYPE_CHECKING, Any, TypeVar, overload

from .stages import AsyncPipeline, AsyncSource, AsyncStage, AsyncStream, Items

A = TypeVar("A")
B = TypeVar("B")
T = TypeVar("T")


class AsyncPassingStage(AsyncStage[Any, Any]):
    """A stage that gives what it takes: items of any one type."""

    __slots__ = ()

    if TYPE_CHECKING:

        def __call__(self, xs: Items[T], /) -> AsyncStream[T]: ...

        @overload
        def __or__(self, other: AsyncStage[A, B]) -> AsyncPipeline[A, B]: ...
        @overload
        def __or__(self, other: Callable[[AsyncIterator[A]], AsyncIterable[B]]) -> AsyncPipeline[A, B]: ...
        def __or__(self, other: Any) -> Any: ...

        def __ror__(self, other: Callable[[], Items[T]]) -> AsyncSource[T]: ...
