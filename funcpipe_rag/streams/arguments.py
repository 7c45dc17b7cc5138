"""What cannot work is refused before the first pull, and names itself."""

from __future__ import annotations

from math import inf
from operator import index
from typing import SupportsFloat, SupportsIndex


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


def a_number(
    where: str,
    argument: str,
    value: SupportsFloat,
    *,
    least: float | None = None,
    above: float | None = None,
    most: float | None = None,
) -> float:
    """`value` as a float; TypeError when it is no number, ValueError when it is not finite or beyond a bound.

    >>> a_number("make_throttle", "min_delta", -1, least=0)
    Traceback (most recent call last):
    ...
    ValueError: make_throttle: min_delta must be >= 0 and finite, got -1

    `above` is a bound that is not reached.

    >>> a_number("until_error_rate", "rate", 0, above=0, most=1)
    Traceback (most recent call last):
    ...
    ValueError: until_error_rate: rate must be > 0 and <= 1, got 0
    """
    # float() alone would take text.
    if not hasattr(value, "__float__") and not hasattr(value, "__index__"):
        raise TypeError(f"{where}: {argument} must be a number, got {value!r}")
    number = float(value)
    # A nan compares with nothing, so it is never between.
    between = -inf < number < inf
    if least is not None:
        between = between and number >= least
    if above is not None:
        between = between and number > above
    if most is not None:
        between = between and number <= most
    if not between:
        wanted = [f">= {least}"] * (least is not None) + [f"> {above}"] * (above is not None)
        wanted.append("finite" if most is None else f"<= {most}")
        raise ValueError(f"{where}: {argument} must be {' and '.join(wanted)}, got {value!r}")
    return number


def sources(where: str, values: tuple[object, ...]) -> None:
    """TypeError, naming the first, unless every value is a source."""
    for place, value in enumerate(values):
        if not callable(value):
            kind = type(value).__name__
            if hasattr(value, "__next__") or hasattr(value, "__anext__"):
                cure = "a one-shot iterator; pass the function that makes it"
            elif isinstance(value, list | tuple) and value and all(map(callable, value)):
                cure = f"a {kind} of them; write {where}(*...) with a star in front of it"
            else:
                cure = f"{kind}; write as_source(...) around it"
            raise TypeError(
                f"{where}: source {place} must be a function that opens a fresh iterator, got {cure}"
            )
