"""Stages in a row: what `|` and `compose` make."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import filterfalse
from types import FrameType
from typing import Any, TypeVar, cast, overload

from .counting import counted
from .ownership import Owned, named, shielded
from .stages import P, R, Stage, stage

T = TypeVar("T")
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

    __slots__ = ("counts_items", "stages")

    stages: tuple[Stage[Any, Any], ...]
    counts_items: bool

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
        self.set_once(counts_items=any(isinstance(part, Pipeline) and part.counts_items for part in parts))

    def traced(self) -> Pipeline[P, R]:
        """The same pipeline, which also counts the items between its stages, so that an error names its item.

        >>> from funcpipe_rag.streams import as_source, fmap
        >>> halves = as_source([4, 2, 0]) | fmap(lambda n: 8 // n) | fmap(str)
        >>> try:
        ...     list(halves.traced()())
        ... except ZeroDivisionError as error:
        ...     print("\\n".join(error.__notes__))
        raised in stage 2 of 3, fmap(<lambda>), of: as_source([4, 2, 0]) | fmap(<lambda>) | fmap(str)
        at item 2, 0; items so far: as_source 3, fmap 2, fmap 2

        Items are counted from 0, as they come to the stage that failed. A source has none to show.

        >>> broken = as_source([3, 2, 1, 0]) | (lambda xs: (6 // x for x in xs)) | fmap(str)
        >>> try:
        ...     list(broken.traced()())
        ... except ZeroDivisionError as error:
        ...     print(error.__notes__[1])
        at item 3, 0; items so far: as_source 4, <lambda> 3, fmap 3

        Class: pure. Demand and closing: those of the pipeline. Memory: that of the pipeline, and the last item at each
        seam. Cost: one generator more for each stage; about twice the time of a pipeline of small stages.
        Errors: the pipeline's own, of the same type, with a second note.
        """
        traced: Pipeline[P, R] = Pipeline((self,))
        traced.set_once(counts_items=True)
        return traced

    def __repr__(self) -> str:
        return " | ".join(map(repr, self.stages))


def _streamed(pipeline: Pipeline[Any, Any], given: tuple[Iterable[Any], ...]) -> Iterator[Any]:
    with Owned() as owned:
        ran = _Run(pipeline)
        try:
            yield from shielded(ran.joined(pipeline.stages, given, owned))
        except GeneratorExit:
            raise
        except BaseException as error:
            ran.blame(error)
            raise


def _drained(pipeline: Pipeline[Any, Any], given: tuple[Iterable[Any], ...]) -> Any:
    *stages, last = pipeline.stages
    with Owned() as owned:
        ran = _Run(pipeline)
        try:
            return last(ran.joined(stages, given, owned))
        except BaseException as error:
            ran.blame(error)
            raise


class _Run:
    """One run of a pipeline: the frames of its stages, and of the seams between them, by which an error is told."""

    __slots__ = ("frames", "pipeline", "seams")

    def __init__(self, pipeline: Pipeline[Any, Any]) -> None:
        self.pipeline = pipeline
        self.frames: list[FrameType | None] = []
        self.seams: list[_Seam] = []

    def joined(
        self, stages: Iterable[Stage[Any, Any]], given: tuple[Iterable[Any], ...], owned: Owned
    ) -> Iterator[Any]:
        it = tuple(map(self.entered, map(owned.opened, given)))
        for step in stages:
            it = (self.entered(owned.called(step, *it)),)
        return it[0]

    def entered(self, made: Iterator[Any]) -> Iterator[Any]:
        # A generator gives up its frame when it ends, so the frame is kept from before it starts.
        self.frames.append(getattr(made, "gi_frame", None))
        if not self.pipeline.counts_items:
            return made
        self.seams.append(_Seam(made))
        return self.seams[-1].items

    def blame(self, error: BaseException) -> None:
        passed = set()
        trace = error.__traceback__
        while trace is not None:
            passed.add(id(trace.tb_frame))
            trace = trace.tb_next
        # Each stage pulls from the one before it: the first whose frame the error passed is where it came from.
        first = next(
            (place for place, frame in enumerate(self.frames) if id(frame) in passed), len(self.frames)
        )
        stages, place = self.pipeline.stages, first - self.pipeline.takes
        if place < 0:
            error.add_note(f"raised in the input of: {self.pipeline!r}")
        elif place < len(stages):
            error.add_note(
                f"raised in stage {place + 1} of {len(stages)}, {stages[place]!r}, of: {self.pipeline!r}"
            )
        if self.seams and place < len(stages):
            error.add_note(f"{self.at(first)}; items so far: {self.gave()}")

    def at(self, first: int) -> str:
        """Which item had come last to what is first in the way of the error."""
        if not first:
            return f"after {self.seams[0].count()} items"
        seam = self.seams[first - 1]
        return f"at item {seam.count() - 1}, {named(seam.last[0])}" if seam.last else "before its first item"

    def gave(self) -> str:
        seams = self.seams[self.pipeline.takes :]
        return ", ".join(
            f"{step.name} {seam.count()}" for step, seam in zip(self.pipeline.stages, seams, strict=False)
        )


class _Seam:
    """What passes between two stages: how many items, and the last of them."""

    __slots__ = ("count", "items", "last")

    def __init__(self, made: Iterator[Any]) -> None:
        self.last: deque[Any] = deque(maxlen=1)
        passing, self.count = counted(made)
        # append() gives None, which filterfalse() takes for a yes: each item is kept and passed on without a frame.
        self.items = filterfalse(self.last.append, passing)


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
