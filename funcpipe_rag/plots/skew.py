"""The skew plot: how far each branch of a split stream has read, what is held for the slowest, and the bound."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import cycle, groupby, pairwise
from typing import NamedTuple

from funcpipe_rag.streams.probe import Log

from .picture import (
    CELL,
    FAINT,
    INK,
    PAD,
    PAPER,
    QUIET,
    Picture,
    element,
    padded,
    printable,
    room,
    shortened,
    svg,
    text,
)


class SkewPlot(Picture):
    """Where the source and its branches stand after each step of a log, and how many items are held.

    >>> from funcpipe_rag.streams import multicast_bounded
    >>> from funcpipe_rag.streams.probe import Log, Probe
    >>> log = Log()
    >>> numbers = Probe(range(4), name="numbers", log=log)
    >>> ahead, behind = multicast_bounded(numbers(), 2, maxlen=3)
    >>> ahead, behind = log.reader(ahead, "ahead"), log.reader(behind, "behind")
    >>> for branch in (ahead, ahead, ahead, behind, behind, behind):
    ...     item = next(branch)
    >>> print(SkewPlot(log, source="numbers", branches=["ahead", "behind"], bound=3))
    step     1  2  3  4  5  6  7  8  9
    numbers  1  1  2  2  3  3  3  3  3
    ahead    0  1  1  2  2  3  3  3  3
    behind   0  0  0  0  0  0  1  2  3
    held     1  1  2  2  3  3  2  1  0
    held at most: 3 items, at step 5; the bound is 3
    numbers gave 3 items; ahead read 3, behind read 3; held at most: 3 items, at step 5; the bound is 3

    A stage that is not in the log is refused by its name.

    >>> SkewPlot(log, source="numbers", branches=["left"])
    Traceback (most recent call last):
    ...
    ValueError: SkewPlot: no stage 'left' in this log; it has numbers, ahead, behind

    A step is an item from the source or a branch, the closing of a branch, or its error. Held are the items
    that the source gave and the slowest branch has not; a closed branch waits for nothing. A branch's row must
    note one item for each that it reads: watch the branch itself, or a stage that gives one for one.

    Class: observer. Demand: none. Memory: a few numbers for each step. Closing: nothing to close. Errors:
    ValueError for a stage that the log does not have, no branch, and a negative bound.
    """

    title = "Skew plot"

    def __init__(self, log: Log, *, source: str, branches: Sequence[str], bound: int | None = None) -> None:
        if isinstance(branches, str) or not branches:
            raise ValueError(f"SkewPlot: branches must be names of stages, at least one, got {branches!r}")
        for stage in (source, *branches):
            if stage not in log.rows:
                raise ValueError(f"SkewPlot: no stage {stage!r} in this log; it has {', '.join(log.rows)}")
        if bound is not None and bound < 0:
            raise ValueError(f"SkewPlot: bound must be >= 0, got {bound}")
        self.source, self.branches, self.bound = source, tuple(branches), bound
        self.moments: tuple[Moment, ...] = tuple(_moments(log, source, self.branches))

    @property
    def most_held(self) -> int:
        """The largest number of items held after any step."""
        return max((moment.held for moment in self.moments), default=0)

    @property
    def alt(self) -> str:
        """How far each branch came, and how much was held for it."""
        given, places = 0, dict.fromkeys(self.branches, 0)
        if self.moments:
            given, places = self.moments[-1].given, self.moments[-1].places
        read = ", ".join(f"{branch} read {place}" for branch, place in places.items())
        return printable(f"{self.source} gave {_items(given)}; {read}; {self._summary()}")

    def to_text(self) -> str:
        """The same as a table; of a long log every n-th step, with the most that was held up to there."""
        moments = self.moments
        step = max(1, -(-len(moments) // _COLUMNS))
        ends = sorted({*range(step - 1, len(moments), step), *range(len(moments))[-1:]})
        parts = [moments[max(0, end - step + 1) : end + 1] for end in ends]
        table = [["step", *(str(end + 1) for end in ends)]]
        table.append([shortened(self.source, _NAME, tail=5), *(str(moments[end].given) for end in ends)])
        for branch in self.branches:
            places = (str(moments[end].places[branch]) for end in ends)
            table.append([shortened(branch, _NAME, tail=5), *places])
        table.append(["held", *(str(max(moment.held for moment in part)) for part in parts)])
        widths = [max(map(room, column)) for column in zip(*table, strict=True)]
        lines = ["  ".join(map(padded, line, widths)).rstrip() for line in table]
        return "\n".join([*lines, self._summary()])

    def to_svg(self) -> str:
        """Two panels over one row of steps: the steps of source and branches, and what is held below its bound."""
        names = [shortened(name, _NAME, tail=5) for name in (self.source, *self.branches)]
        top_of_held = max(self.most_held, self.bound or 0, 1)
        read = max((moment.given for moment in self.moments), default=0) or 1
        left = PAD + CELL * max(len(str(read)), len(str(top_of_held))) + 10
        right = left + _ACROSS
        margin = max(18 + CELL * max(map(room, names)), CELL * room(f"bound {self.bound}") + 8)
        upper = _Panel(left, PAD + 24, max(180, 16 * len(names)), len(self.moments), read)
        lower = _Panel(left, upper.bottom + 46, 90, len(self.moments), top_of_held)
        parts = [text(left, upper.top - 12, "items read", fill=QUIET), *upper.frame()]
        parts += [text(left, lower.top - 12, "items held for the slowest", fill=QUIET), *lower.frame()]
        parts += self._steps(upper, names)
        parts += self._held(lower)
        parts.append(text(left, lower.bottom + 16, "step 1", font_size=10, fill=QUIET))
        if len(self.moments) > 1:
            last = f"step {len(self.moments)}"
            parts.append(text(right, lower.bottom + 16, last, font_size=10, fill=QUIET, text_anchor="end"))
        summary = self._summary()
        parts.append(text(PAD, lower.bottom + 40, summary))
        wide = max(right + margin, PAD + CELL * room(summary)) + PAD
        return svg(wide, lower.bottom + 40 + PAD, parts, title=self.title, alt=self.alt)

    def _steps(self, panel: _Panel, names: Sequence[str]) -> Iterator[str]:
        """The source as a broad band, the branches as lines upon it, each with its own dashes and marks."""
        given = [moment.given for moment in self.moments]
        yield element("path", d=panel.steps(given), fill="none", stroke=FAINT, stroke_width=8)
        labels = [(panel.y(given[-1] if given else 0), names[0], _Style(QUIET, "none", ""))]
        for branch, name, style in zip(self.branches, names[1:], cycle(_STYLES)):
            places = [moment.places[branch] for moment in self.moments]
            yield element(
                "path",
                d=panel.steps(places),
                fill="none",
                stroke=style.colour,
                stroke_width=2,
                stroke_dasharray=style.dashes,
            )
            mine = [(at, moment) for at, moment in enumerate(self.moments) if moment.stage == branch]
            given_here = [at for at, moment in mine if moment.kind == "yield"]
            for at in given_here if len(self.moments) <= _MARKED else ():
                yield _mark(style.mark, panel.x(at), panel.y(places[at]), style)
            stopped = [at for at, moment in mine if moment.kind == "error"]
            for x, y in dict.fromkeys((panel.x(at), panel.y(places[at])) for at in stopped):
                yield _mark(_CROSS, x, y, _Style(INK, "none", ""))
            labels.append((panel.y(places[-1] if places else 0), name, style))
        labels.sort(key=lambda label: label[0])
        above = panel.top - 16
        for place, (y, name, style) in enumerate(labels):
            # Clear of the label above, and high enough to leave room for those below.
            y = above = min(max(y, above + 16), panel.bottom - 16 * (len(labels) - 1 - place))
            if style.mark:
                yield _mark(style.mark, panel.right + 12, y, style)
            else:
                yield element("rect", x=panel.right + 6, y=y - 4, width=12, height=8, fill=FAINT)
            yield text(panel.right + 22, y + 4, name, fill=style.colour)

    def _held(self, panel: _Panel) -> Iterator[str]:
        """The area of what is held, and the bound above it."""
        held = [moment.held for moment in self.moments]
        if held:
            area = f"{panel.steps(held)}V{panel.bottom}H{panel.left}Z"
            yield element("path", d=area, fill="#b8b8b8", stroke=INK, stroke_width=1)
        if self.bound is not None:
            y = panel.y(self.bound)
            yield element(
                "line",
                x1=panel.left,
                y1=y,
                x2=panel.right,
                y2=y,
                stroke=_BOUND,
                stroke_width=2,
                stroke_dasharray="8 4",
            )
            yield text(panel.right + 8, y + 4, f"bound {self.bound}", fill=_BOUND, font_weight="bold")

    def _summary(self) -> str:
        most = self.most_held
        said = [f"held at most: {_items(most)}"]
        if most:
            said[0] += f", at step {[moment.held for moment in self.moments].index(most) + 1}"
        if self.bound is not None:
            said.append(
                f"the bound is {self.bound}" if most <= self.bound else f"past the bound of {self.bound}"
            )
        stopped = [(at, moment) for at, moment in enumerate(self.moments, start=1) if moment.kind == "error"]
        said += [f"{moment.stage} met {moment.error} at step {at}" for at, moment in stopped[:_ERRORS]]
        if len(stopped) > _ERRORS:
            said.append(f"and {len(stopped) - _ERRORS} more errors")
        return printable("; ".join(said))


class Moment(NamedTuple):
    """How things stand after one step: what the source gave, where each branch is, how much is held."""

    given: int
    places: dict[str, int]
    held: int
    stage: str
    kind: str
    error: str


def _moments(log: Log, source: str, branches: Sequence[str]) -> Iterator[Moment]:
    given, places = 0, dict.fromkeys(branches, 0)
    live = dict.fromkeys(branches)
    for event in log.events:
        kind = "error" if event.kind == "refuse" else event.kind
        if event.stage == source and kind == "yield":
            given += 1
        elif event.stage in places and kind == "yield":
            places[event.stage] += 1
        elif event.stage in places and kind == "close":
            live.pop(event.stage, None)
        elif event.stage not in places or kind != "error":
            continue
        held = max(0, given - min((places[branch] for branch in live), default=given))
        error = shortened(repr(event.item).partition("(")[0], _NAME) if kind == "error" else ""
        yield Moment(given, dict(places), held, event.stage, kind, error)


def _items(many: int) -> str:
    return f"{many} item" if many == 1 else f"{many} items"


class _Panel:
    """A rectangle with a scale: steps across, whole numbers upwards. Whole pixels, the same on every machine."""

    def __init__(self, left: int, top: int, height: int, events: int, most: int) -> None:
        self.left, self.top, self.events, self.most = left, top, events, most
        self.right, self.bottom = left + _ACROSS, top + height

    def x(self, at: int) -> int:
        return self.left + (at + 1) * _ACROSS // max(1, self.events)

    def y(self, value: int) -> int:
        return self.bottom - value * (self.bottom - self.top) // self.most

    def steps(self, values: Sequence[int]) -> str:
        """A path from zero, level between the steps and upright at each."""
        path, now = [f"M{self.left} {self.bottom}"], self.bottom
        for x, column in groupby(enumerate(values), lambda item: self.x(item[0])):
            ys = [self.y(value) for _, value in column]
            # A column of pixels may stand for many steps: how far it reaches, and where it ends.
            wanted = [y for y in (min(ys), max(ys), ys[-1]) if len(ys) > 1 or y != now]
            turns = [y for last, y in pairwise([now, *wanted]) if y != last]
            if turns:
                path.append(f"H{x}" + "".join(f"V{y}" for y in turns))
                now = turns[-1]
        return "".join([*path, f"H{self.right}"])

    def frame(self) -> Iterator[str]:
        """The axes, and a line at the bottom, the middle and the top of the scale."""
        for value in sorted({0, self.most // 2, self.most}):
            y = self.y(value)
            yield element("line", x1=self.left, y1=y, x2=self.right, y2=y, stroke=FAINT)
            yield text(self.left - 8, y + 4, str(value), fill=QUIET, text_anchor="end")


class _Style(NamedTuple):
    """How a branch's line is told from the others, in colour and without."""

    colour: str
    dashes: str
    mark: str


_DISC = "M-4 0A4 4 0 1 0 4 0A4 4 0 1 0 -4 0Z"
_SQUARE = "M-4 -4H4V4H-4Z"
_TRIANGLE = "M-5 4H5L0 -5Z"
_DIAMOND = "M-5 0L0 -5L5 0L0 5Z"
_CROSS = "M-6 -6L6 6M-6 6L6 -6"
_STYLES = (
    _Style("#00568f", "none", _DISC),
    _Style("#a84300", "7 3", _SQUARE),
    _Style("#00604a", "2 3", _TRIANGLE),
    _Style("#6b3d8f", "9 3 2 3", _DIAMOND),
)
_BOUND = "#8a1c1c"
_ACROSS, _COLUMNS, _MARKED, _NAME, _ERRORS = 560, 24, 64, 16, 3


def _mark(path: str, x: int, y: int, style: _Style) -> str:
    return element(
        "path", d=path, transform=f"translate({x} {y})", fill=PAPER, stroke=style.colour, stroke_width=2
    )
