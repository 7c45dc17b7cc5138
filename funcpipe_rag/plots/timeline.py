"""The async timeline: a bar a call, on the clock; when it ran, how long its result waited, and when it was handed on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import floor, log10
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
    escaped,
    padded,
    printable,
    room,
    shortened,
    svg,
    text,
)


class Timeline(Picture):
    """Each call of a log whose events have times, in the order in which the calls began; and what you got, when.

    >>> import asyncio
    >>> from funcpipe_rag.aio import amap
    >>> from funcpipe_rag.aio.probe import AsyncLog
    >>> from funcpipe_rag.aio.testing import run
    >>> async def takes(seconds):
    ...     await asyncio.sleep(seconds)
    ...     return seconds
    >>> log = AsyncLog()
    >>> async def main():
    ...     async for seconds in log.seen(amap(log.calls(takes), concurrency=3)([0.1, 0.5, 0.2])):
    ...         pass
    >>> run(main())
    >>> print(Timeline(log, wide=20).to_text())
                0 s               0.5
    takes(0.1)  ####|                 0.1 s
    takes(0.5)  ####################| 0.5 s
    takes(0.2)  ########............| 0.2 s, waited 0.3 s
    you             |               | 3 items
    # runs   . has a result that waits   | handed on

    A log without a call has nothing to draw, and says so.

    >>> print(Timeline(AsyncLog()))
    no call was recorded
    No call was recorded.

    A solid bar is a call that runs; a hatched one, a result that waits for those before it, for the rest of its batch,
    or for whoever is to take it; the mark at its end is where it was handed on. Whatever log it is, the rows that
    are opened and never asked are drawn as calls, and those that are asked as readers.

    Class: observer. Demand: none. Memory: a few numbers for each call, of which it draws the first `most`. Closing:
    nothing to close. Errors: ValueError for a `most` below 1 or a `wide` below 10, which is in characters.
    """

    title = "Timeline"

    def __init__(self, log: Log, *, most: int = 60, wide: int = 60) -> None:
        if most < 1:
            raise ValueError(f"Timeline: most must be >= 1, got {most}")
        if wide < 10:
            raise ValueError(f"Timeline: wide must be >= 10, got {wide}")
        calls, readers = _read(log)
        self.calls: tuple[Call, ...] = tuple(calls[:most])
        self.readers: tuple[Reader, ...] = tuple(readers)
        self.all_calls, self._wide = len(calls), wide
        self.until: float = max((event.t for event in log.events), default=0)
        self.most_running = _most_at_once(calls, self.until)
        self.most_held = _most_at_once(calls, self.until, held=True)

    @property
    def alt(self) -> str:
        """How many calls there were, how many at once, and when each ended and was handed on."""
        if not self.calls:
            return "No call was recorded."
        said = [
            f"{_many(self.all_calls, 'call')} in {_seconds(self.until)}; "
            f"at most {self.most_running} ran at a time; at most {self.most_held} were begun and not handed on"
        ]
        said += [_sentence(call) for call in self.calls[:_SPOKEN]]
        if self.all_calls > _SPOKEN:
            said.append(f"and {_many(self.all_calls - _SPOKEN, 'more call')}")
        for reader in self.readers:
            times = ", ".join(map(_figure, reader.got[:_SPOKEN])) + ", …" * (len(reader.got) > _SPOKEN)
            said.append(
                f"{reader.name} got {_many(len(reader.got), 'item')}" + f" at {times} s" * bool(times)
            )
        return printable("; ".join(said))

    def to_text(self) -> str:
        """A line a call: `#` while it runs, `.` while its result waits, `|` where it was handed on."""
        if not self.calls:
            return "no call was recorded"
        heads = [
            "",
            *(_label(call) for call in self.calls),
            *(shortened(one.name, _NAME) for one in self.readers),
        ]
        margin = max(map(room, heads))
        bars = [self._axis(), *map(self._bar, self.calls), *map(self._ticks, self.readers)]
        ends = ["", *map(_end, self.calls), *(_many(len(reader.got), "item") for reader in self.readers)]
        lines = [
            f"{padded(head, margin)}  {padded(bar, self._wide + 1)} {end}".rstrip()
            for head, bar, end in zip(heads, bars, ends, strict=True)
        ]
        used = set("".join(bars[1:]))
        lines.append("   ".join(f"{sign} {says}" for sign, says in _SIGNS.items() if sign in used))
        return "\n".join([*lines, *filter(None, [self._more()])])

    def _axis(self) -> str:
        first, last = "0 s", _figure(self.until)
        return first + last.rjust(self._wide + 1 - len(first)) if self.until else first

    def _place(self, t: float) -> int:
        return round(t / self.until * self._wide) if self.until else 0

    def _bar(self, call: Call) -> str:
        began, ended, left = (self._place(t) for t in (call.began, *call.span(self.until)))
        bar = " " * began + "#" * (ended - began) + "." * (left - ended)
        return bar + _MARKS[call.outcome]

    def _ticks(self, reader: Reader) -> str:
        places = {self._place(t) for t in reader.got}
        return "".join("|" if place in places else " " for place in range(self._wide + 1)).rstrip()

    def to_svg(self) -> str:
        """A row a call, on a scale of seconds."""
        labels = [_label(call) for call in self.calls]
        names = [shortened(reader.name, _NAME) for reader in self.readers]
        ends = [_end(call) for call in self.calls] + [_many(len(one.got), "item") for one in self.readers]
        left = PAD + CELL * max(map(room, [*labels, *names]), default=0) + 14
        right = left + _ACROSS
        top = PAD + 22
        bottom = top + _ROW * (len(labels) + len(names)) + 4
        parts = list(self._scale(left, top, bottom))
        if not self.calls:
            parts = [text(PAD, top, self.alt, fill=QUIET)]
        y = top + _ROW // 2
        for label, call in zip(labels, self.calls, strict=True):
            parts.append(text(PAD, y + 4, label))
            told = element("title", escaped(_sentence(call)))
            parts.append(element("g", told, *self._drawn(call, left, y)))
            parts.append(text(right + 16, y + 4, _end(call), fill=QUIET))
            y += _ROW
        for name, reader in zip(names, self.readers, strict=True):
            parts.append(text(PAD, y + 4, name, font_weight="bold"))
            parts.append(element("line", x1=left, y1=y, x2=right, y2=y, stroke=FAINT, stroke_dasharray="1 4"))
            for x in dict.fromkeys(left + self._x(t) for t in reader.got):
                parts.append(_mark("handed on", x, y))
            parts.append(text(right + 16, y + 4, _many(len(reader.got), "item"), fill=QUIET))
            y += _ROW
        legend, wide = _legend({call.outcome for call in self.calls}, any(call.waits for call in self.calls))
        if self.calls:
            parts.append(element("g", *legend, transform=f"translate({PAD} {bottom + 20})"))
        more = self._more()
        if more:
            parts.append(text(PAD, bottom + 46, more, fill=QUIET))
        room_of_alt = 0 if self.calls else CELL * room(self.alt)
        width = max(right + 16 + CELL * max(map(room, ends), default=0), PAD + wide, PAD + room_of_alt) + PAD
        return svg(width, bottom + 32 + 26 * bool(more) + PAD // 2, parts, title=self.title, alt=self.alt)

    def _x(self, t: float) -> int:
        return round(t / self.until * _ACROSS) if self.until else 0

    def _scale(self, left: int, top: int, bottom: int) -> Iterator[str]:
        for t in _round_times(self.until):
            x = left + self._x(t)
            yield element("line", x1=x, y1=top, x2=x, y2=bottom, stroke=FAINT)
            yield text(
                x, top - 8, _figure(t) + " s" * (t == 0), font_size=10, fill=QUIET, text_anchor="middle"
            )

    def _drawn(self, call: Call, left: int, y: int) -> Iterator[str]:
        began, ended, gone = (left + self._x(t) for t in (call.began, *call.span(self.until)))
        # A call that took no time is there all the same.
        ran = max(2, ended - began)
        yield element("rect", x=began, y=y - 7, width=ran, height=14, fill=_RUNS)
        if gone > ended:
            yield from _hatched(ended, y - 7, gone - ended, 14)
        yield _mark(call.outcome, gone, y)

    def _more(self) -> str:
        more = self.all_calls - len(self.calls)
        return f"and {_many(more, 'more call')}" if more > 0 else ""


class Call(NamedTuple):
    """One row of the picture: a call, when it began, ended and was handed on, and what became of it."""

    name: str
    item: object
    began: float
    ended: float | None
    left: float | None
    outcome: str

    @property
    def waits(self) -> bool:
        """Whether its result had to wait."""
        return self.ended is not None and self.outcome in _RESULTS and self.left != self.ended

    def span(self, until: float) -> tuple[float, float]:
        """When it ended, and when it left the picture."""
        ended = until if self.ended is None else self.ended
        return ended, (until if self.outcome == "kept" else ended) if self.left is None else self.left


class Reader(NamedTuple):
    """Somebody who asks: when each item came."""

    name: str
    got: tuple[float, ...]


_RESULTS = ("handed on", "kept")
_MARKS = {"handed on": "|", "kept": "", "failed": "!", "cancelled": "x", "runs on": ""}
_SIGNS = {
    "#": "runs",
    ".": "has a result that waits",
    "|": "handed on",
    "!": "failed",
    "x": "cancelled",
}
_SAID = {
    "handed on": "{name} ended at {ended} s and was handed on at {left} s",
    "kept": "{name} ended at {ended} s and was never handed on",
    "failed": "{name} failed at {ended} s",
    "cancelled": "{name} was cancelled at {ended} s",
    "runs on": "{name} never ended",
}
_NAME, _SPOKEN = 28, 16
_ACROSS, _ROW = 560, 24
_RUNS, _WAITS, _WRONG = "#2b6a99", "#6f6f6f", "#8a1c1c"


def _read(log: Log) -> tuple[list[Call], list[Reader]]:
    """The calls in the order in which they began, and the readers in the order of their rows."""
    asked = {event.stage for event in log.events if event.kind == "pull"}
    calls: dict[str, Call] = {}
    got: dict[str, list[float]] = {row: [] for row in log.rows if row in asked}
    for t, stage, kind, item in log.events:
        if stage in got:
            if kind == "yield":
                got[stage].append(t)
        elif stage not in calls:
            if kind == "open":
                calls[stage] = Call(stage, item, t, None, None, "runs on")
        elif kind == "yield":
            calls[stage] = calls[stage]._replace(ended=t, outcome="kept")
        elif kind in ("error", "refuse"):
            calls[stage] = calls[stage]._replace(ended=t, left=t, outcome="failed")
        elif kind == "close" and calls[stage].outcome == "kept":
            calls[stage] = calls[stage]._replace(left=t, outcome="handed on")
        elif kind == "close" and calls[stage].outcome == "runs on":
            calls[stage] = calls[stage]._replace(ended=t, left=t, outcome="cancelled")
    return list(calls.values()), [Reader(row, tuple(times)) for row, times in got.items()]


def _most_at_once(calls: Sequence[Call], until: float, *, held: bool = False) -> int:
    steps: list[tuple[float, int]] = []
    for call in calls:
        ended, left = call.span(until)
        end = left if held else ended
        # At one and the same time, who goes makes room for who comes; but who took no time was there as well.
        steps += [(call.began, 1), (end, -1)] if end > call.began else []
    most = now = 0
    for _, step in sorted(steps):
        now += step
        most = max(most, now)
    return max(most, 1) if calls else 0


def _label(call: Call) -> str:
    """`takes 3` with the item 0.1 is takes(0.1); a row of another kind keeps its name."""
    stage, _, number = call.name.rpartition(" ")
    if not (stage and number.isdecimal()) or call.item is None:
        return shortened(call.name, _NAME, tail=5)
    stage = shortened(stage, _NAME // 2, tail=3)
    return f"{stage}({shortened(repr(call.item), _NAME - 2 - room(stage))})"


def _end(call: Call) -> str:
    if call.ended is None:
        return "never ended"
    if call.outcome not in _RESULTS:
        return f"{call.outcome} at {_seconds(call.ended)}"
    if call.left is None:
        return f"{_seconds(call.ended)}, never handed on"
    waited = call.left - call.ended
    return _seconds(call.ended) + (f", waited {_seconds(waited)}" if waited > 0 else "")


def _sentence(call: Call) -> str:
    ended, left = (_figure(t) if t is not None else "" for t in (call.ended, call.left))
    return _SAID[call.outcome].format(name=_label(call), ended=ended, left=left)


def _figure(t: float) -> str:
    """Four figures are enough for a picture.

    >>> _figure(2.0), _figure(0.30000000000000004), _figure(0.012345)
    ('2', '0.3', '0.01235')
    """
    return f"{t:.4g}"


def _seconds(t: float) -> str:
    return f"{_figure(t)} s"


def _many(n: int, what: str) -> str:
    return f"{n:,} {what}" + "s" * (n != 1)


def _round_times(until: float) -> list[float]:
    """Up to eight round numbers from 0 on.

    >>> _round_times(2.0)
    [0.0, 0.5, 1.0, 1.5, 2.0]
    """
    if until < 1e-9:
        # Shorter than the clock's tick, and too short to be divided.
        return [0.0]
    power = 10.0 ** floor(log10(until))
    step = next(
        step for step in (power / 10, power / 5, power / 4, power / 2, power, 2 * power) if until / step < 7
    )
    return [step * at for at in range(int(until / step + 1e-9) + 1)]


def _hatched(x: int, y: int, width: int, height: int) -> Iterator[str]:
    """A frame with slanting lines, cut off at its sides: what no colour is needed to tell from a solid bar."""
    lines = []
    for start in range(x - height + 6, x + width, 6):
        one, other = max(start, x), min(start + height, x + width)
        lines.append(f"M{one} {y + height - (one - start)}L{other} {y + height - (other - start)}")
    yield element("path", d="".join(lines), fill="none", stroke=_WAITS, stroke_width=1)
    yield element("rect", x=x, y=y, width=width, height=height, fill="none", stroke=_WAITS)


_SHAPES = {
    "handed on": ("M-5 0L0 -8L5 0L0 8Z", INK, PAPER),
    "failed": ("M-6 -6L6 6M-6 6L6 -6", "none", _WRONG),
    "cancelled": ("M-5 -5H5V5H-5Z", PAPER, INK),
}
"""A diamond, a cross, an open square."""


def _mark(outcome: str, x: int, y: int) -> str:
    if outcome not in _SHAPES:
        return element("g")
    path, fill, stroke = _SHAPES[outcome]
    wide = 3 if outcome == "failed" else 2 if outcome == "cancelled" else 1
    return element(
        "path", d=path, transform=f"translate({x} {y})", fill=fill, stroke=stroke, stroke_width=wide
    )


def _legend(outcomes: set[str], waits: bool) -> tuple[list[str], int]:
    """The signs that were used, drawn from (0, 0) to the right, and how wide they are together."""
    drawn = [element("rect", x=0, y=-7, width=24, height=14, fill=_RUNS)]
    x = 32
    drawn.append(text(x, 4, "runs", fill=QUIET))
    x += CELL * 4 + 18
    if waits:
        drawn += [*_hatched(x, -7, 24, 14), text(x + 32, 4, "has a result that waits", fill=QUIET)]
        x += 32 + CELL * 23 + 18
    for outcome in _SHAPES:
        if outcome in outcomes:
            drawn += [_mark(outcome, x + 8, 0), text(x + 22, 4, outcome, fill=QUIET)]
            x += 22 + CELL * len(outcome) + 18
    return drawn, x
