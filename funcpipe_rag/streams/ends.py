"""Telling the end of an input from a StopIteration that escaped somebody's function.

`map` and its like take the second for the first: the stream ends early, and what was behind it is lost in silence.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any, TypeVar

from .ownership import named

T = TypeVar("T")


class End(Iterator[Any]):
    """What stands behind an input: when it is asked, the input has ended.

    >>> numbers, end = ending(iter([1, 0, 2]))
    >>> def check(number):
    ...     if not number:
    ...         raise StopIteration
    ...     return number
    >>> list(map(check, numbers)), end.reached
    ([1], False)
    >>> end.must_be_reached("check", check)
    Traceback (most recent call last):
    ...
    RuntimeError: check: check raised StopIteration, which is not the end of its input
    """

    __slots__ = ("reached",)

    def __init__(self) -> None:
        self.reached = False

    def __next__(self) -> Any:
        self.reached = True
        raise StopIteration

    def must_be_reached(self, where: str, *functions: object) -> None:
        """RuntimeError where a stream has ended and its input has not."""
        if not self.reached:
            raise not_the_end(where, *functions)


def ending(it: Iterator[T]) -> tuple[Iterator[T], End]:
    """`it`, and an object that knows whether its end has come. An item costs no Python call."""
    end = End()
    return chain(it, end), end


def not_the_end(where: str, *functions: object) -> RuntimeError:
    """What to raise for a StopIteration of one of these functions."""
    culprits = " or ".join(map(named, functions)) or "its function"
    return RuntimeError(f"{where}: {culprits} raised StopIteration, which is not the end of its input")
