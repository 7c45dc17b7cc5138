"""What people write in place of windows."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from funcpipe_rag import streams
from funcpipe_rag.laws.windows import WINDOWS

from .mutant import mutant
from .stages import Run, wrapped

for _family in WINDOWS:
    wrapped(_family)


@mutant(of="make_sliding", killed_by="make-sliding-equals-its-eager-twin")
def redundant_tail(w: int, *, step: int = 1) -> Run:
    """Gives what is left at the end as a window too, shorter than the others."""

    def stream(xs: Iterable[Any]) -> Iterator[Any]:
        items = list(xs)
        for at in range(0, len(items), step):
            yield tuple(items[at : at + w])

    return stream


@mutant(of="make_sliding", killed_by="make-sliding-equals-its-eager-twin")
def window_reuse(w: int, *, step: int = 1) -> Run:
    """Gives the same window each time and moves it on: whoever kept one finds the last in all of them."""

    def stream(xs: Iterable[Any]) -> Iterator[Any]:
        window: list[Any] = []
        for at, x in enumerate(xs):
            window.append(x)
            del window[:-w]
            if len(window) == w and (at + 1 - w) % step == 0:
                yield window

    return stream


@mutant(of="make_sliding", killed_by="make-sliding-equals-its-eager-twin")
def batches_instead(w: int, *, step: int = 1) -> Run:
    """Takes `w` fresh items for each window: they stand side by side and never overlap."""
    return lambda xs: iter(streams.make_batched(w)(xs))


@mutant(of="make_sliding", killed_by="make-sliding-asks-for-no-more-than-it-needs")
def steps_before_giving(w: int, *, step: int = 1) -> Run:
    """Moves on to the next window before it gives this one."""

    def stream(xs: Iterable[Any]) -> Iterator[Any]:
        it = iter(xs)
        window = deque(islice(it, w), maxlen=w)
        whole = len(window) == w
        while whole:
            given = tuple(window)
            new = list(islice(it, step))
            window.extend(new)
            whole = len(new) == step
            yield given

    return stream


@mutant(of="values_after_w", killed_by="values-after-w-equals-its-eager-twin")
def skips_a_whole_window(w: int) -> Run:
    """Skips `w` items: but the `w`-th is the last of the first window."""

    def stream(xs: Iterable[Any]) -> Iterator[Any]:
        yield from islice(xs, w, None)

    return stream
