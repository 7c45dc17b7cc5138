"""What cannot work is refused before the first pull, and names itself."""

from __future__ import annotations

from operator import index
from typing import SupportsIndex


def a_function(where: str, argument: str, value: object) -> None:
    """TypeError unless `value` can be called."""
    if not callable(value):
        raise TypeError(f"{where}: {argument} must be a function, got {type(value).__name__}")


def a_whole_number(where: str, argument: str, value: SupportsIndex, *, least: int) -> int:
    """`value` as an int; TypeError when it is none, ValueError when it is below `least`.

    >>> a_whole_number("fence_k", "k", -3, least=0)
    Traceback (most recent call last):
    ...
    ValueError: fence_k: k must be >= 0, got -3
    """
    try:
        number = index(value)
    except TypeError:
        raise TypeError(f"{where}: {argument} must be a whole number, got {value!r}") from None
    if number < least:
        raise ValueError(f"{where}: {argument} must be >= {least}, got {number}")
    return number


def sources(where: str, values: tuple[object, ...]) -> None:
    """TypeError, naming the first, unless every value is a source."""
    for place, value in enumerate(values):
        if not callable(value):
            kind = type(value).__name__
            cure = (
                "a one-shot iterator; pass the function that makes it"
                if hasattr(value, "__next__")
                else f"{kind}; write as_source(...) around it"
            )
            raise TypeError(
                f"{where}: source {place} must be a function that opens a fresh iterator, got {cure}"
            )
