"""A pipeline's picture: its stages, branches and merges, as SVG, as a Mermaid flowchart and in words.

Drawn from the stages themselves: a fan-in shows what it reads from, a fan-out what it splits into. A picture is a
row of shapes, and a shape may hold rows; nothing is measured but the length of labels.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from html import escape
from itertools import count
from typing import Any

from .ownership import named
from .pipelines import Pipeline
from .stages import Stage

LETTER, TALL, GAP, AISLE, WIDEST = 7.3, 28.0, 26.0, 12.0, 860.0
"""Pixels: the width of a letter, the height of a box, between boxes, between lanes, and before a row is wrapped."""


@dataclass(frozen=True)
class Box:
    """One stage; its kind gives its shape."""

    label: str
    kind: str
    tip: str

    def size(self) -> tuple[float, float]:
        return len(self.label) * LETTER + 20, TALL

    def spoken(self) -> str:
        return self.label

    def drawn(self, x: float, y: float) -> Iterator[str]:
        wide, _ = self.size()
        top, round_ = y - TALL / 2, {"source": 14, "transform": 4}.get(self.kind, 0)
        yield f"<g><title>{escape(self.tip)}</title>"
        yield (
            f'<rect x="{x:g}" y="{top:g}" width="{wide:g}" height="{TALL:g}" rx="{round_}" '
            f'fill="{"#eee" if self.kind == "source" else "#fff"}" stroke="#333"/>'
        )
        if self.kind == "sink":
            yield _line((x + wide - 4, top), (x + wide - 4, top + TALL))
        yield f'<text x="{x + 10:g}" y="{y + 4:g}">{escape(self.label)}</text></g>'


@dataclass(frozen=True)
class Row:
    """What follows on one another, left to right."""

    parts: tuple[Shape, ...]

    def size(self) -> tuple[float, float]:
        sizes = [part.size() for part in self.parts]
        return sum(wide for wide, _ in sizes) + GAP * (len(sizes) - 1), max(tall for _, tall in sizes)

    def spoken(self) -> str:
        return ", then ".join(part.spoken() for part in self.parts)

    def drawn(self, x: float, y: float) -> Iterator[str]:
        for place, part in enumerate(self.parts):
            if place:
                yield from _arrow((x - GAP, y), (x, y))
            yield from part.drawn(x, y)
            x += part.size()[0] + GAP


@dataclass(frozen=True)
class Merge:
    """Several streams that end in one box."""

    lanes: tuple[Shape, ...]
    into: Box

    def size(self) -> tuple[float, float]:
        wide, tall = _stacked(self.lanes)
        return wide + 1.5 * GAP + self.into.size()[0], max(tall, TALL)

    def spoken(self) -> str:
        return f"{self.into.label} of ({'; '.join(lane.spoken() for lane in self.lanes)})"

    def drawn(self, x: float, y: float) -> Iterator[str]:
        widest, _ = _stacked(self.lanes)
        door = x + widest + 1.5 * GAP
        for lane, at in _lanes(self.lanes, y):
            yield from lane.drawn(x, at)
            turn = x + widest + GAP / 2
            yield _line((x + lane.size()[0], at), (turn, at), (turn, y))
        yield from _arrow((x + widest + GAP / 2, y), (door, y))
        yield from self.into.drawn(door, y)


@dataclass(frozen=True)
class Split:
    """One box from which several branches start, and where they come together again."""

    out_of: Box
    lanes: tuple[Shape, ...]

    def size(self) -> tuple[float, float]:
        wide, tall = _stacked(self.lanes)
        return self.out_of.size()[0] + 1.5 * GAP + wide + GAP / 2, max(tall, TALL)

    def spoken(self) -> str:
        return f"{self.out_of.label} into ({'; '.join(lane.spoken() for lane in self.lanes)})"

    def drawn(self, x: float, y: float) -> Iterator[str]:
        yield from self.out_of.drawn(x, y)
        widest, _ = _stacked(self.lanes)
        leaves = x + self.out_of.size()[0]
        turn, start = leaves + GAP / 2, leaves + 1.5 * GAP
        meet = start + widest + GAP / 2
        yield _line((leaves, y), (turn, y))
        for lane, at in _lanes(self.lanes, y):
            yield _line((turn, y), (turn, at))
            yield from _arrow((turn, at), (start, at))
            yield from lane.drawn(start, at)
            yield _line((start + lane.size()[0], at), (meet, at), (meet, y))


Shape = Box | Row | Merge | Split


def to_svg(stage: Stage[Any, Any]) -> str:
    """The picture of a stage or pipeline, as one SVG element.

    >>> from funcpipe_rag.streams import as_source, fmap
    >>> to_svg(as_source("abc") | fmap(str.upper)).count("<rect")
    3

    A row that would be too wide goes on below; labels are shortened, and whole in the tooltip. The words of
    `to_words` are its title, for who cannot see it.

    Class: pure. Memory: the picture. Errors: none.
    """
    shape = _shape(stage)
    rows = _wrapped(shape)
    sizes = [row.size() for row in rows]
    margin = 12.0
    wide = max(w for w, _ in sizes) + 2 * margin + (GAP if len(rows) > 1 else 0)
    tall = sum(h for _, h in sizes) + AISLE * 2 * (len(rows) - 1) + 2 * margin
    words = escape(to_words(stage), quote=True)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{wide:.0f}" height="{tall:.0f}" '
        f'viewBox="0 0 {wide:.0f} {tall:.0f}" role="img" aria-label="{words}" '
        'font-family="DejaVu Sans Mono, Menlo, Consolas, monospace" font-size="12" fill="#111">',
        f"<title>{words}</title>",
        f'<rect width="{wide:.0f}" height="{tall:.0f}" fill="#fff"/>',
    ]
    left = margin + (GAP / 2 if len(rows) > 1 else 0)
    top, last = margin, None
    for row, (_, high) in zip(rows, sizes, strict=True):
        y = top + high / 2
        if last is not None:
            end, between = last[0] + GAP / 2, top - AISLE
            parts.append(_line(last, (end, last[1]), (end, between), (margin / 2, between), (margin / 2, y)))
            parts.extend(_arrow((margin / 2, y), (left, y)))
        parts.extend(row.drawn(left, y))
        last = (left + row.size()[0], y)
        top += high + 2 * AISLE
    return "".join([*parts, "</svg>"])


def to_mermaid(stage: Stage[Any, Any]) -> str:
    """The picture as the source of a Mermaid flowchart.

    >>> from funcpipe_rag.streams import as_source, fmap, sink
    >>> print(to_mermaid(as_source("abc") | fmap(str.upper) | sink(list)))
    flowchart LR
        n0(["as_source(#39;abc#39;)"])
        n1["fmap(str.upper)"]
        n0 --> n1
        n2[["list"]]
        n1 --> n2

    Class: pure. Memory: the text. Errors: none.
    """
    lines = ["flowchart LR"]
    numbers = count()

    def node(box: Box, before: Iterable[str]) -> list[str]:
        name = f"n{next(numbers)}"
        opening, closing = {"source": ('(["', '"])'), "sink": ('[["', '"]]')}.get(box.kind, ('["', '"]'))
        lines.append(f"    {name}{opening}{_for_mermaid(box.label)}{closing}")
        lines.extend(f"    {other} --> {name}" for other in before)
        return [name]

    def walked(shape: Shape, before: list[str]) -> list[str]:
        match shape:
            case Box():
                return node(shape, before)
            case Row(parts):
                for part in parts:
                    before = walked(part, before)
                return before
            case Merge(lanes, into):
                return node(into, [end for lane in lanes for end in walked(lane, [])])
            case Split(out_of, lanes):
                start = node(out_of, before)
                return [end for lane in lanes for end in walked(lane, start)]

    walked(_shape(stage), [])
    return "\n".join(lines)


def to_words(stage: Stage[Any, Any]) -> str:
    """The picture in words.

    >>> from funcpipe_rag.streams import as_source, fmap, fork2_lockstep, make_chain
    >>> to_words(make_chain(as_source("ab"), as_source("c")) | fork2_lockstep(fmap(ord), fmap(str.upper)))
    "make_chain of (as_source('ab'); as_source('c')), then fork2_lockstep into (fmap(ord); fmap(str.upper))"

    Class: pure. Memory: the text. Errors: none.
    """
    return _shape(stage).spoken()


def has_several_boxes(stage: Stage[Any, Any]) -> bool:
    """Whether there is anything to draw: a stage alone says it all in its name."""
    return not isinstance(_shape(stage), Box)


def _shape(thing: object, kind: str = "transform") -> Shape:
    if isinstance(thing, Pipeline):
        shapes = [_shape(step) for step in thing.stages]
        return shapes[0] if len(shapes) == 1 else Row(tuple(shapes))
    if not isinstance(thing, Stage):
        return _box(named(thing), kind, named(thing))
    lanes = tuple(_shape(part, thing.kind) for part in thing.parts)
    # Where failures are counted is no part of what a stage does.
    own = ", ".join(
        f"{option}={named(value)}" for option, value in thing.options.items() if option != "report"
    )
    if not lanes:
        own = ", ".join([*map(named, thing.args), *([own] if own else [])])
        return _box(f"{thing.name}({own})" if own else thing.name, thing.kind, repr(thing))
    box = _box(f"{thing.name}({own})" if own else thing.name, thing.kind, repr(thing))
    return Merge(lanes, box) if thing.kind == "source" else Split(box, lanes)


def _box(label: str, kind: str, tip: str) -> Box:
    label = " ".join(label.split())
    return Box(label if len(label) <= 36 else f"{label[:35]}…", kind, tip)


def _wrapped(shape: Shape) -> list[Shape]:
    if not isinstance(shape, Row) or shape.size()[0] <= WIDEST:
        return [shape]
    rows: list[list[Shape]] = [[]]
    for part in shape.parts:
        if rows[-1] and Row((*rows[-1], part)).size()[0] > WIDEST:
            rows.append([])
        rows[-1].append(part)
    return [Row(tuple(row)) for row in rows]


def _stacked(lanes: tuple[Shape, ...]) -> tuple[float, float]:
    sizes = [lane.size() for lane in lanes]
    return max(wide for wide, _ in sizes), sum(tall for _, tall in sizes) + AISLE * (len(sizes) - 1)


def _lanes(lanes: tuple[Shape, ...], middle: float) -> Iterator[tuple[Shape, float]]:
    top = middle - _stacked(lanes)[1] / 2
    for lane in lanes:
        tall = lane.size()[1]
        yield lane, top + tall / 2
        top += tall + AISLE


Point = tuple[float, float]


def _line(*points: Point) -> str:
    path = " L".join(f"{x:g} {y:g}" for x, y in points)
    return f'<path d="M{path}" fill="none" stroke="#333"/>'


def _arrow(start: Point, end: Point) -> Iterator[str]:
    x, y = end
    yield _line(start, (x - 5, y))
    yield f'<path d="M{x:g} {y:g} l-7 -3.5 v7 z" fill="#333"/>'


def _for_mermaid(label: str) -> str:
    return "".join(char if char.isalnum() or char in " _.,()=-…[]{}" else f"#{ord(char)};" for char in label)
