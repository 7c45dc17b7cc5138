"""The laws of windows: stages whose outputs each rest on several inputs."""

from __future__ import annotations

from typing import Any

from .inputs import integers
from .stages import WHOLE, Family, laws_of


def _windows(xs: list[Any], w: int, step: int) -> list[Any]:
    return [tuple(xs[at : at + w]) for at in range(0, len(xs) - w + 1, step)]


WINDOWS = (
    Family(
        "make_sliding",
        {"w": integers(1, 4), "step": integers(1, 5)},
        lambda world, make_sliding, w, step: make_sliding(w, step=step),
        _windows,
    ),
    Family(
        "values_after_w",
        {"w": integers(1, 4)},
        lambda world, values_after_w, w: values_after_w(w),
        lambda xs, w: xs[w - 1 :],
    ),
)

for _family in WINDOWS:
    laws_of(_family, WHOLE)
