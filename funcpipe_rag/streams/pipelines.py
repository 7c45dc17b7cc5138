"""Stages in a row: what `|` and `compose` make."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from types import FrameType
from typing import Any, TypeVar, cast, overload

from .ownership import Owned, shielded
from .stages import P, R, Stage, stage

A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")
E = TypeVar("E")
F = TypeVar("F")
G = TypeVar("G")


class Pipeline(Stage[P, R]):
    """Stages in a row, joined by `|` or `compose`: itself a source, a transform or (behind a sink) a sink.

    >>> from funcpipe_rag.streams import as_source, ffilter, fmap, sink
    >>> evens = as_source(range(10)) | ffilter(lambda n: n % 2 == 0)
    >>> list(evens()), list(evens())
    ([0, 2, 4, 6, 8], [0, 2, 4, 6, 8])
    >>> (evens | sink(sum))()
    20

    An error names the stage it came from, in a note; its type and traceback stay as they are.

    >>> halves = as_source([4, 2, 0]) | fmap(lambda n: 8 // n) | fmap(str)
    >>> try:
    ...     list(halves())
    ... except ZeroDivisionError as error:
    ...     print(error.__notes__[0])
    raised in stage 2 of 3, fmap(<lambda>), of: as_source([4, 2, 0]) | fmap(<lambda>) | fmap(str)

    Class: pure. Demand: what its stages ask for; nothing runs, opens or is called before the first pull. Memory: one
    iterator a stage, and what the stages hold. Closing: closes every iterator it made, last first; an
    iterator that was handed in stays open. Errors: TypeError for stages that cannot stand where they are put.
    """

    __slots__ = ("stages",)

    stages: tuple[Stage[Any, Any], ...]

    def __init__(self, parts: tuple[Stage[Any, Any], ...]) -> None:
        stages = tuple(
            step for part in parts for step in (part.stages if isinstance(part, Pipeline) else (part,))
        )
        for step in stages[1:]:
            if step.kind == "source":
                raise TypeError(
                    f"{step!r} is a source and can only stand first; "
                    "source_to_transform(...) makes a transform of it"
                )
        for step in stages[:-1]:
            if step.kind == "sink":
                raise TypeError(f"{step!r} is a sink: nothing can follow it")
        run: Callable[..., Any] = _drained if stages[-1].kind == "sink" else _streamed
        kind = stages[-1].kind if stages[-1].kind == "sink" else stages[0].kind
        super().__init__(cast("Callable[P, R]", lambda *given: run(self, given)), kind, "pipeline")
        self.set_once(stages=stages, takes=stages[0].takes)

    def __repr__(self) -> str:
        return " | ".join(map(repr, self.stages))


def _streamed(pipeline: Pipeline[Any, Any], given: tuple[Iterable[Any], ...]) -> Iterator[Any]:
    with Owned() as owned:
        frames: list[FrameType | None] = []
        try:
            yield from shielded(_joined(pipeline.stages, given, owned, frames))
        except GeneratorExit:
            raise
        except BaseException as error:
            _blame(error, pipeline, frames)
            raise


def _drained(pipeline: Pipeline[Any, Any], given: tuple[Iterable[Any], ...]) -> Any:
    *stages, last = pipeline.stages
    with Owned() as owned:
        frames: list[FrameType | None] = []
        try:
            return last(_joined(stages, given, owned, frames))
        except BaseException as error:
            _blame(error, pipeline, frames)
            raise


def _joined(
    stages: Iterable[Stage[Any, Any]],
    given: tuple[Iterable[Any], ...],
    owned: Owned,
    frames: list[FrameType | None],
) -> Iterator[Any]:
    it: tuple[Iterable[Any], ...] = tuple(map(owned.opened, given))
    for step in stages:
        made = owned.called(step, *it)
        # A generator gives up its frame when it ends, so the frame is kept from before it starts.
        frames.append(getattr(made, "gi_frame", None))
        it = (made,)
    return it[0]  # type: ignore[return-value]


def _blame(error: BaseException, pipeline: Pipeline[Any, Any], frames: list[FrameType | None]) -> None:
    seen = set()
    trace = error.__traceback__
    while trace is not None:
        seen.add(id(trace.tb_frame))
        trace = trace.tb_next
    # Each stage pulls from the one before it: the first whose frame the error passed is where it came from.
    place = next((place for place, frame in enumerate(frames) if id(frame) in seen), len(frames))
    if place < len(pipeline.stages):
        error.add_note(
            f"raised in stage {place + 1} of {len(pipeline.stages)}, "
            f"{pipeline.stages[place]!r}, of: {pipeline!r}"
        )


@overload
def compose(a: Callable[[Iterable[A]], Iterable[B]], /) -> Pipeline[[Iterable[A]], Iterator[B]]: ...
@overload
def compose(
    a: Callable[[Iterable[A]], Iterable[B]], b: Callable[[Iterable[B]], Iterable[C]], /
) -> Pipeline[[Iterable[A]], Iterator[C]]: ...
@overload
def compose(
    a: Callable[[Iterable[A]], Iterable[B]],
    b: Callable[[Iterable[B]], Iterable[C]],
    c: Callable[[Iterable[C]], Iterable[D]],
    /,
) -> Pipeline[[Iterable[A]], Iterator[D]]: ...
@overload
def compose(
    a: Callable[[Iterable[A]], Iterable[B]],
    b: Callable[[Iterable[B]], Iterable[C]],
    c: Callable[[Iterable[C]], Iterable[D]],
    d: Callable[[Iterable[D]], Iterable[E]],
    /,
) -> Pipeline[[Iterable[A]], Iterator[E]]: ...
@overload
def compose(
    a: Callable[[Iterable[A]], Iterable[B]],
    b: Callable[[Iterable[B]], Iterable[C]],
    c: Callable[[Iterable[C]], Iterable[D]],
    d: Callable[[Iterable[D]], Iterable[E]],
    e: Callable[[Iterable[E]], Iterable[F]],
    /,
) -> Pipeline[[Iterable[A]], Iterator[F]]: ...
@overload
def compose(
    a: Callable[[Iterable[A]], Iterable[B]],
    b: Callable[[Iterable[B]], Iterable[C]],
    c: Callable[[Iterable[C]], Iterable[D]],
    d: Callable[[Iterable[D]], Iterable[E]],
    e: Callable[[Iterable[E]], Iterable[F]],
    f: Callable[[Iterable[F]], Iterable[G]],
    /,
    *more: Callable[[Iterable[Any]], Iterable[Any]],
) -> Pipeline[[Iterable[A]], Iterator[Any]]: ...
def compose(
    *transforms: Callable[[Iterable[Any]], Iterable[Any]],
) -> Pipeline[[Iterable[Any]], Iterator[Any]]:
    """One transform out of several, applied left to right.

    >>> from funcpipe_rag.streams import fence_k, fmap
    >>> first_three_squares = compose(fmap(lambda n: n * n), fence_k(3))
    >>> list(first_three_squares(range(1_000_000)))
    [0, 1, 4]

    Nothing to compose is a mistake, not an identity.

    >>> compose()
    Traceback (most recent call last):
    ...
    ValueError: compose: wants at least one transform

    Class: pure. Demand: what its stages ask for. Memory: one iterator a stage. Closing: closes every iterator it made,
    last first; an iterator that was handed in stays open. Errors: ValueError when empty; an error from a
    stage carries a note that names the stage.
    """
    if not transforms:
        raise ValueError("compose: wants at least one transform")
    steps = []
    for place, transform in enumerate(transforms):
        if not callable(transform):
            raise TypeError(
                f"compose: transform {place} must be a function of one stream, got {type(transform).__name__}"
            )
        step = transform if isinstance(transform, Stage) else stage(transform)
        if step.kind != "transform":
            raise TypeError(f"compose: transform {place}, {step!r}, is a {step.kind}; join it with |")
        steps.append(step)
    return Pipeline(tuple(steps))
