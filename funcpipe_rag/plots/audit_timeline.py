"""The audit timeline: a row a stage, a bar for each request that it had in its hands, and what the record lacks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

from .picture import (
    CELL,
    FAINT,
    INK,
    PAD,
    PAPER,
    QUIET,
    Picture,
    element,
    escaped,
    padded,
    printable,
    room,
    shortened,
    svg,
    text,
)


class Step(Protocol):
    """One stage of one request; times in seconds."""

    @property
    def stage(self) -> str: ...
    @property
    def began(self) -> float: ...
    @property
    def ended(self) -> float: ...


class Passage(Protocol):
    """One request on its way through the stages."""

    @property
    def run(self) -> str: ...
    @property
    def request_id(self) -> str | None: ...
    @property
    def steps(self) -> Sequence[Step]: ...
    @property
    def answered(self) -> bool: ...


class Gap(Protocol):
    """What a record lacks, and when that shows, if it does."""

    @property
    def kind(self) -> str: ...
    @property
    def run(self) -> str: ...
    @property
    def says(self) -> str: ...
    @property
    def t(self) -> float | None: ...
    @property
    def request_id(self) -> str | None: ...


class Audit(Protocol):
    """What an audit tells when it is replayed."""

    @property
    def stages(self) -> Sequence[str]: ...
    @property
    def passages(self) -> Sequence[Passage]: ...
    @property
    def gaps(self) -> Sequence[Gap]: ...


class AuditTimeline(Picture):
    """Which stage had which request when, in one run of an audit that was replayed.

    >>> from funcpipe_rag.serving import Record, replay
    >>> stages = ["parse_requests", "infer", "write_responses"]
    >>> times = [(1, "r1", 0, 1), (5, "r1", 1, 4), (6, "r1", 2, 1), (7, "r2", 0, 1), (11, "r2", 1, 4)]
    >>> records = [Record(t, "", stages[place], int(name == "r2"), name, took) for t, name, place, took in times]
    >>> print(AuditTimeline(replay(records, stages=stages)))
                     0 s                                                                             11 s
    parse_requests   11111111                                      2222222
    infer                    111111111111111111111111111111               2222222222222222222222222222222
    write_responses                                        11111111
    gaps                                                                                                ?
    1 'r1', 2 'r2'
    ? unanswered: 'r2' came in, and its last sign is from infer
    2 requests, 1 answered, in 11 s; of the time in stages infer took 73 %; unanswered: 'r2' came in, and its last sign is from infer

    An audit of nothing is drawn as such.

    >>> print(AuditTimeline(replay([])).to_text())
    no request

    `audit` is what `serving.replay` gives, or anything like it. Of several runs it draws the one that is named, or the
    last. Class: observer. Demand: none. Memory: what it draws: the first `most` requests. Closing: nothing to close.
    Errors: TypeError for anything else; ValueError for a run that is not there and a `most` below 1.
    """

    title = "Audit timeline"

    def __init__(self, audit: Audit, *, run: str | None = None, most: int = 40) -> None:
        if not hasattr(audit, "passages"):
            raise TypeError(
                f"AuditTimeline: wants what was replayed, got {type(audit).__name__}; write AuditTimeline(replay(...))"
            )
        if most < 1:
            raise ValueError(f"AuditTimeline: most must be >= 1, got {most}")
        runs = dict.fromkeys(passage.run for passage in audit.passages)
        if run is not None and run not in runs:
            raise ValueError(
                f"AuditTimeline: no run {run!r} in this audit; it has {', '.join(runs) or 'none'}"
            )
        self.run = next(reversed(runs), "") if run is None else run
        passages = [passage for passage in audit.passages if passage.run == self.run and passage.steps]
        self.stages, self.requests = tuple(audit.stages), len(passages)
        self.answered = sum(passage.answered for passage in passages)
        self._drawn = passages[:most]
        steps = [step for passage in self._drawn for step in passage.steps]
        self._from = min((step.began for step in steps), default=0.0)
        self._to = max((step.ended for step in steps), default=0.0)
        ids = {passage.request_id for passage in self._drawn}
        whole = len(self._drawn) == len(passages)
        self.gaps = tuple(
            gap
            for gap in sorted(audit.gaps, key=_weight)
            if gap.run in (self.run, "")
            and (whole or gap.t is None or gap.t <= self._to)
            and (whole or gap.kind != "unanswered" or gap.request_id in ids)
        )
        self._bars = {stage: tuple(self._bars_of(stage)) for stage in self.stages}

    def _bars_of(self, stage: str) -> Iterator[_Bar]:
        """The requests that a stage had, each in the first lane that is free when it comes."""
        free: list[float] = []
        of_stage = [
            (step.began, step.ended, number, passage)
            for number, passage in enumerate(self._drawn, start=1)
            for step in passage.steps
            if step.stage == stage
        ]
        for began, ended, number, passage in sorted(of_stage, key=lambda bar: bar[:3]):
            lane = next(
                (at for at, until in enumerate(free) if until <= began + self._span * 1e-9), len(free)
            )
            free[lane:] = [ended, *free[lane + 1 :]]
            yield _Bar(began, ended, lane, number, passage)

    @property
    def _span(self) -> float:
        return self._to - self._from

    @property
    def alt(self) -> str:
        """How many requests were answered in what time, which stage took most of it, and what is missing."""
        if not self._drawn:
            return "; ".join(["no request", *self._missing()])
        taken = {stage: sum(bar.ended - bar.began for bar in bars) for stage, bars in self._bars.items()}
        longest, total = max(taken, key=lambda stage: taken[stage]), sum(taken.values())
        said = [f"{_many(self.requests)}, {self.answered} answered", f"in {_time(self._span, self._span)}"]
        if self.requests > len(self._drawn):
            said[1] = f"the first {len(self._drawn)} are drawn, {said[1]}"
        share = f"of the time in stages {longest} took {100 * taken[longest] / (total or 1):.0f} %"
        return printable("; ".join([", ".join(said), *([share] if total else []), *self._missing()]))

    def _missing(self) -> list[str]:
        """The gaps in words."""
        said = [f"{gap.kind}: {gap.says}" for gap in self.gaps[:_GAPS]]
        return said + [f"{len(self.gaps) - _GAPS} more gaps"] * (len(self.gaps) > _GAPS)

    def to_text(self) -> str:
        """The timeline in characters; a request has one column at least, and its own sign."""
        if not self._drawn:
            return "\n".join(["no request", *self._missing()])
        names = [shortened(stage, _NAME, tail=5) for stage in (*self.stages, "gaps")]
        margin = max(map(room, names)) + 2
        first, last = _time(0, self._span), _time(self._span, self._span)
        lines = [" " * margin + first + last.rjust(_COLUMNS - len(first))]
        for stage, name in zip(self.stages, names, strict=False):
            lanes: list[list[str]] = [[" "] * _COLUMNS]
            for bar in self._bars[stage]:
                start = min(_COLUMNS - 1, self._column(bar.began))
                stop = max(start + 1, self._column(bar.ended))
                free = (lane for lane in lanes if set(lane[start:stop]) == {" "})
                lane = next(free, None)
                if lane is None:
                    if len(lanes) == _LANES:
                        lanes[-1][start:stop] = "+" * (stop - start)
                        continue
                    lane = [" "] * _COLUMNS
                    lanes.append(lane)
                lane[start:stop] = _sign(bar.number) * (stop - start)
            for place, lane in enumerate(lanes):
                lines.append(f"{padded('' if place else name, margin)}{''.join(lane)}".rstrip())
        if any(gap.t is not None for gap in self.gaps):
            marks = [" "] * _COLUMNS
            for gap in self.gaps:
                if gap.t is not None:
                    marks[min(_COLUMNS - 1, max(0, self._column(gap.t)))] = _MARKS.get(gap.kind, "!")
            lines.append(f"{padded('gaps', margin)}{''.join(marks)}".rstrip())
        listed = self._drawn[:_LISTED]
        ids = [
            f"{_sign(number)} {shortened(repr(one.request_id), _NAME)}"
            for number, one in enumerate(listed, start=1)
        ]
        more = self.requests - len(listed)
        lines.append(", ".join(ids) + (f", and {more} more" if more else ""))
        signs = [_MARKS.get(gap.kind, "!") for gap in self.gaps[:_GAPS]]
        lines += [" ".join(words) for words in zip(signs, self._missing(), strict=False)]
        return "\n".join(lines + self._missing()[_GAPS:])

    def _column(self, t: float) -> int:
        return min(_COLUMNS, round((t - self._from) / (self._span or 1) * _COLUMNS))

    def to_svg(self) -> str:
        """A row a stage over one axis of time, and the gaps as marks upon it and as lines below."""
        names = [shortened(stage, _NAME, tail=5) for stage in self.stages]
        left = PAD + CELL * max(map(room, names), default=0) + 14
        right = left + _ACROSS
        tops = [PAD + 22]
        for stage in self.stages:
            lanes = 1 + max((bar.lane for bar in self._bars[stage]), default=0)
            tops.append(tops[-1] + _GAP + _lane_height(lanes) * lanes)
        bottom = tops[-1]
        parts: list[str] = []
        for stage, name, top, under in zip(self.stages, names, tops, tops[1:], strict=False):
            middle = (top + under) // 2
            parts.append(element("line", x1=left, y1=under, x2=right, y2=under, stroke=FAINT))
            parts.append(text(PAD, middle + 4, name, font_weight="bold"))
            parts += self._row(stage, top, left)
        parts += self._axis(left, bottom)
        parts += self._marks(dict(zip(self.stages, tops, strict=False)), tops[0], bottom, left)
        y = bottom + 40
        said = self._missing() if self._drawn else ["no request", *self._missing()]
        if self.requests > len(self._drawn):
            said.append(f"the first {len(self._drawn)} of {_many(self.requests)}")
        lines = [shortened(line, 110) for line in said]
        for line in lines:
            parts.append(text(PAD, y, line))
            y += 18
        wide = max(right + PAD, *(PAD + CELL * room(line) + PAD for line in lines), 0)
        return svg(wide, y - 4 if lines else bottom + 34, parts, title=self.title, alt=self.alt)

    def _x(self, t: float, left: int) -> int:
        return left + max(0, min(_ACROSS, round((t - self._from) / (self._span or 1) * _ACROSS)))

    def _row(self, stage: str, top: int, left: int) -> Iterator[str]:
        lanes = 1 + max((bar.lane for bar in self._bars[stage]), default=0)
        height = _lane_height(lanes)
        for bar in self._bars[stage]:
            x = self._x(bar.began, left)
            width = max(2, self._x(bar.ended, left) - x)
            y = top + _GAP // 2 + height * bar.lane
            # Neighbours differ in how light they are, so they can be told apart in grey.
            shade = _SHADES[bar.number % len(_SHADES)]
            told = f"{bar.number}. {bar.passage.request_id!r}: {stage}, {_time(bar.ended - bar.began, self._span)}"
            parts = [
                element("title", escaped(f"{told}, from {_time(bar.began - self._from, self._span)}")),
                element(
                    "rect",
                    x=x,
                    y=y,
                    width=width,
                    height=height - 2,
                    fill=shade,
                    stroke=INK,
                    stroke_width=0.75,
                ),
            ]
            label = str(bar.number)
            if height >= 16 and CELL * len(label) + 2 <= width:
                parts.append(text(x + width // 2, y + height - 6, label, font_size=11, text_anchor="middle"))
            yield element("g", *parts)

    def _axis(self, left: int, bottom: int) -> Iterator[str]:
        for quarter in range(5) if self._drawn else ():
            x = left + quarter * _ACROSS // 4
            yield element("line", x1=x, y1=bottom, x2=x, y2=bottom + 5, stroke=QUIET)
            anchor = {0: "start", 4: "end"}.get(quarter, "middle")
            at = _time(self._span * quarter / 4, self._span)
            yield text(x, bottom + 18, at, font_size=10, fill=QUIET, text_anchor=anchor)

    def _marks(self, tops: dict[str, int], top: int, bottom: int, left: int) -> Iterator[str]:
        """A cross upon the last bar of a request that got no answer; a line through all rows for what concerns them all."""
        label_from = 0
        unanswered = [one for one in self._drawn if not one.answered]
        for one in unanswered:
            stage = one.steps[-1].stage
            bar = next(bar for bar in self._bars[stage] if bar.passage is one)
            height = _lane_height(1 + max(bar.lane for bar in self._bars[stage]))
            x = (self._x(bar.began, left) + self._x(bar.ended, left)) // 2
            y = tops[stage] + _GAP // 2 + height * bar.lane + height // 2 - 1
            path = f"M{x - 5} {y - 5}L{x + 5} {y + 5}M{x - 5} {y + 5}L{x + 5} {y - 5}"
            halo = element("path", d=path, stroke=PAPER, stroke_width=6, fill="none")
            cross = element("path", d=path, stroke=_WRONG, stroke_width=2.5, fill="none")
            yield element("g", element("title", escaped(f"{one.request_id!r} was not answered")), halo, cross)
        for gap in sorted(self.gaps, key=lambda gap: gap.t or 0):
            if gap.t is None or gap.kind not in _THROUGH:
                continue
            x = self._x(gap.t, left)
            dashes = "none" if gap.kind == "killed" else "5 3"
            line = element(
                "line",
                x1=x,
                y1=top - 4,
                x2=x,
                y2=bottom,
                stroke=_WRONG,
                stroke_width=2,
                stroke_dasharray=dashes,
            )
            parts = [element("title", escaped(f"{gap.kind}: {gap.says}")), line]
            width = CELL * room(gap.kind)
            if (start := min(x, left + _ACROSS - width)) >= label_from:
                parts.append(text(start, top - 9, gap.kind, font_size=11, fill=_WRONG, font_weight="bold"))
                label_from = start + width + CELL
            yield element("g", *parts)


class _Bar(NamedTuple):
    began: float
    ended: float
    lane: int
    number: int
    passage: Passage


_ACROSS, _GAP, _COLUMNS, _LANES, _NAME = 640, 10, 84, 4, 18
_GAPS, _LISTED = 6, 8
_SHADES = ("#ffffff", "#cfe3f5", "#8fb4d4")
_WRONG = "#8a1c1c"
_MARKS = {"unanswered": "?", "missing": "#", "skipped": "#", "repeated": "=", "killed": "X", "cut": "/"}
_SIGNS = "123456789abcdefghijklmnopqrstuvwxyz"


_THROUGH = ("killed", "missing", "repeated")


def _weight(gap: Gap) -> int:
    """What concerns the whole run is told first."""
    return {"killed": 0, "cut": 1, "missing": 2, "repeated": 3}.get(gap.kind, 4)


def _lane_height(lanes: int) -> int:
    """Room for a number in each bar, unless there are too many beside each other."""
    return max(3, min(20, 160 // lanes))


def _sign(number: int) -> str:
    return _SIGNS[(number - 1) % len(_SIGNS)]


def _many(requests: int) -> str:
    return f"{requests:,} request{'s' * (requests != 1)}"


def _time(seconds: float, span: float) -> str:
    """In the unit that fits the whole picture."""
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if span >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e6:.3g} µs"
