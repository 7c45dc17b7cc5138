"""What people write in place of compose, and of a source made of something."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import reduce
from typing import Any

from .mutant import mutant

Transform = Callable[[Iterable[Any]], Iterable[Any]]
Run = Callable[[Iterable[Any]], Iterator[Any]]


def _applied(transforms: Iterable[Transform], xs: Iterable[Any]) -> Iterator[Any]:
    return iter(reduce(lambda it, transform: transform(it), transforms, xs))


@mutant(of="compose", killed_by="compose-applies-left-to-right")
def backwards(*transforms: Transform) -> Run:
    """Composes as in a mathematics book, right to left."""

    def stream(xs: Iterable[Any]) -> Iterator[Any]:
        yield from _applied(reversed(transforms), xs)

    return stream


@mutant(of="compose", killed_by="compose-takes-each-item-through-before-the-next")
def lists_between(*transforms: Transform) -> Run:
    """Makes a list between the stages: same answer, nothing lazy left."""

    def stream(xs: Iterable[Any]) -> Iterator[Any]:
        for transform in transforms:
            xs = list(transform(xs))
        yield from xs

    return stream


@mutant(of="compose", killed_by="compose-starts-nothing-at-birth")
def calls_its_stages_at_birth(*transforms: Transform) -> Run:
    """Applies every stage at once: right for generators, early for anything else."""
    return lambda xs: (item for item in _applied(transforms, xs))


@mutant(of="compose", killed_by="compose-starts-afresh")
def captured_stages(*transforms: Transform) -> Run:
    """Keeps `ts = iter(transforms)` outside the stage: the second run finds none left."""
    ts = iter(transforms)

    def stream(xs: Iterable[Any]) -> Iterator[Any]:
        yield from _applied(ts, xs)

    return stream


@mutant(of="compose", killed_by="compose-applies-left-to-right")
def late_lambda(*transforms: Transform) -> Run:
    """Builds `f = lambda xs: t(f(xs))` in a loop: by the time it runs, f means itself."""

    def stream(xs: Iterable[Any]) -> Iterator[Any]:
        composed: Transform = iter
        for transform in transforms:
            composed = lambda xs: transform(composed(xs))  # noqa: B023, E731
        yield from composed(xs)

    return stream


@mutant(of="compose", killed_by="compose-passes-errors-on")
def quiet_pipeline(*transforms: Transform) -> Run:
    """Ends quietly when a stage fails."""

    def stream(xs: Iterable[Any]) -> Iterator[Any]:
        try:
            yield from _applied(transforms, xs)
        except Exception:
            return

    return stream


@mutant(of="compose", killed_by="compose-closes-what-it-made-last-first")
def closes_the_last_stage_only(*transforms: Transform) -> Run:
    """Closes what it reads from, and thinks that this closes the stages before it."""

    def stream(xs: Iterable[Any]) -> Iterator[Any]:
        yield from _applied(transforms, xs)

    return stream


@mutant(of="as_source", killed_by="as-source-gives-its-items-each-time")
def one_iterator_for_all(items: Iterable[Any]) -> Callable[[], Iterator[Any]]:
    """Calls iter() once, and hands out the same bookmark again and again."""
    if hasattr(items, "__next__"):
        raise TypeError("one-shot")
    it = iter(items)
    return lambda: it


@mutant(of="as_source", killed_by="as-source-refuses-what-gives-its-items-once")
def takes_anything(items: Iterable[Any]) -> Callable[[], Iterator[Any]]:
    """Accepts an iterator, and is empty the second time."""
    return lambda: iter(items)


@mutant(of="as_source", killed_by="as-source-opens-nothing-at-birth")
def opens_when_called(items: Iterable[Any]) -> Callable[[], Iterator[Any]]:
    """Opens the collection when the stream is built, whether or not anybody reads it."""
    return lambda: iter(items)


@mutant(of="as_source", killed_by="as-source-closes-what-it-opened")
def never_closes(items: Iterable[Any]) -> Callable[[], Iterator[Any]]:
    """Loops with `for`, which closes nothing."""

    def run() -> Iterator[Any]:
        for item in items:  # noqa: UP028
            yield item

    return run


@mutant(of="source_to_transform", killed_by="source-to-transform-ignores-its-input")
def puts_the_input_first(src: Callable[[], Iterable[Any]]) -> Run:
    """Gives the input's items before the source's."""

    def stream(xs: Iterable[Any]) -> Iterator[Any]:
        yield from xs
        yield from src()

    return stream


@mutant(of="source_to_transform", killed_by="source-to-transform-opens-when-asked")
def opens_too_early(src: Callable[[], Iterable[Any]]) -> Run:
    """Calls the source when the stream is built."""

    def stream(xs: Iterable[Any]) -> Iterator[Any]:
        opened = src()
        return (item for item in opened)

    return stream


@mutant(of="source_to_transform", killed_by="source-to-transform-starts-afresh")
def opens_once_for_all(src: Callable[[], Iterable[Any]]) -> Run:
    """Opens the source for the first stream, and goes on with it in the next."""
    opened: list[Iterator[Any]] = []

    def stream(xs: Iterable[Any]) -> Iterator[Any]:
        if not opened:
            opened.append(iter(src()))
        for item in opened[0]:  # noqa: UP028
            yield item

    return stream


@mutant(of="source_to_transform", killed_by="source-to-transform-closes-what-it-opened")
def loops_over_the_source(src: Callable[[], Iterable[Any]]) -> Run:
    """Loops with `for`, which closes nothing."""

    def stream(xs: Iterable[Any]) -> Iterator[Any]:
        for item in src():  # noqa: UP028
            yield item

    return stream
