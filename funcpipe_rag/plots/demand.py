"""The demand diagram: a row a stage, a column an event; who was opened, asked and closed, and who gave what."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import accumulate

from funcpipe_rag.streams.probe import Event, EventKind, Log

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


class DemandDiagram(Picture):
    """Who did what, in order, in a log as it is now.

    >>> from funcpipe_rag.streams.probe import Log, Probe
    >>> log = Log()
    >>> letters, never = Probe("ab", name="letters", log=log), Probe("cd", name="never", log=log)
    >>> it = letters()
    >>> for letter in log.reader(map(str.upper, it)):
    ...     break
    >>> it.close()
    >>> print(DemandDiagram(log).to_text())
             1  2  3  4  5    6    7
    letters  [  -  -  ?  'a'  -    ]  closed
    never    .  .  .  .  .    .    .  never opened
    you      .  ?  [  -  -    'A'  -
    [ opened   ? asked   ] closed   - is open

    A question that finds the end is marked: nothing came, and nothing ever will.

    >>> log = Log()
    >>> for letter in log.reader(Probe("a", name="letters", log=log)()):
    ...     pass
    >>> print(DemandDiagram(log).to_text())
             1  2  3  4  5    6    7    8
    letters  [  -  -  ?  'a'  -    -    end  still open
    you      .  ?  [  -  -    'a'  end  -
    [ opened   ? asked   end asked, and it was over   - is open

    A log without an event has rows and no columns.

    >>> print(DemandDiagram(Probe(name="letters").log).to_text())
    letters  never opened

    A bar runs from where a stage was opened to where it was closed; one that runs out of the picture was never
    closed. The thin line leads from each event to the next: a lazy pipeline is a zigzag, an eager one a staircase.

    Class: observer. Demand: none. Memory: the log's events, of which it draws the first `most`. Closing: nothing
    to close. Errors: ValueError for a `most` below 1.
    """

    title = "Demand diagram"

    def __init__(self, log: Log, *, most: int = 240) -> None:
        if most < 1:
            raise ValueError(f"DemandDiagram: most must be >= 1, got {most}")
        self.rows: tuple[str, ...] = tuple(sorted(log.rows, key="you".__eq__))
        self.events: tuple[Event, ...] = tuple(log.events)
        self.most = most
        self._levels = _levels_of(self.rows, self.events)
        self._over = _found_over(self.events)

    @property
    def alt(self) -> str:
        """Who gave what, in order, and what was left open."""
        log = Log()
        log.rows, log.events = dict.fromkeys(self.rows), list(self.events)
        open_at_the_end = [row for row in self.rows if self._end(row) == _STILL_OPEN]
        left = [f"still open: {', '.join(open_at_the_end)}"] if open_at_the_end else []
        ended = dict.fromkeys(self.events[at].stage for at in sorted(self._over))
        over = [f"asked at their end: {', '.join(ended)}"] if ended else []
        return printable("; ".join([log.spoken(), *over, *left]))

    def to_text(self) -> str:
        """The diagram in characters, in bands of about a hundred."""
        events = self._drawn()
        columns = [[str(at + 1), *(self._cell(at, row) for row in self.rows)] for at in range(len(events))]
        widths = [2 + max(map(room, column)) for column in columns]
        heads = ["", *(shortened(row, _NAME, tail=7) for row in self.rows)]
        margin = max(map(room, heads))
        lines: list[str] = []
        for band in _bands(widths, _CHARACTERS - margin):
            ends = ["", *map(self._end, self.rows)] if band.stop == len(events) else [""] * len(heads)
            lines += [""] * bool(lines)
            for place, head in enumerate(heads):
                cells = [padded(f"  {columns[at][place]}", widths[at]) for at in band]
                lines.append(f"{padded(head, margin)}{''.join(cells)}  {ends[place]}".rstrip())
        kinds = {event.kind for event in events}
        asked_in_vain = any(at < len(events) for at in self._over)
        if all(at in self._over for at, event in enumerate(events) if event.kind == "pull"):
            kinds.discard("pull")
        signs = []
        for kind, (sign, says) in _SIGNS.items():
            signs += [f"{sign} {says}"] if kind in kinds - {"yield"} else []
            signs += [f"{_END} {_ENDED}"] if kind == "pull" and asked_in_vain else []
        signs += ["- is open"] if "open" in kinds else []
        notes = ["   ".join(signs), self._more()]
        return "\n".join([*lines[not events :], *filter(None, notes)])

    def _cell(self, at: int, row: str) -> str:
        event = self.events[at]
        if event.stage == row:
            return _END if at in self._over else _label(event)
        return "-" if self._levels[row][at] else "."

    def to_svg(self) -> str:
        """The diagram as SVG; where it is wide, in bands one below the other."""
        events = self._drawn()
        names = [shortened(row, _NAME, tail=7) for row in self.rows]
        left = PAD + CELL * max(map(room, names), default=0) + 14
        right = 20 + CELL * max((room(self._end(row)) for row in self.rows), default=0) + PAD
        widths = [_width(event, at) for at, event in enumerate(events)]
        bands = list(_bands(widths, _WIDE - left - right))
        inner = max(sum(widths[band.start : band.stop]) for band in bands)
        legend = _legend({event.kind for event in events}, over=any(at < len(events) for at in self._over))
        parts: list[str] = []
        top = PAD
        for band in bands:
            parts += self._band(band, widths, names, left, top)
            top += _HEAD + _ROW * len(self.rows) + 12
        x = PAD
        for width, drawn in legend:
            parts.append(element("g", *drawn, transform=f"translate({x} {top + 8})"))
            x += width
        top += 26 if legend else 0
        if more := self._more():
            parts.append(text(PAD, top + 10, more, fill=QUIET))
            top += 22
        wide = max(left + inner + right, x + PAD, PAD + CELL * room(more) + PAD)
        return svg(wide, top + PAD // 2, parts, title=self.title, alt=self.alt)

    def _band(
        self, band: range, widths: Sequence[int], names: Sequence[str], left: int, top: int
    ) -> Iterator[str]:
        """One band: the rows and their bars, then the thread from event to event, then the events upon it."""
        events = self._drawn()
        edges = list(accumulate((widths[at] for at in band), initial=left))
        centres = {at: (edges[place] + edges[place + 1]) // 2 for place, at in enumerate(band)}
        middles = {row: top + _HEAD + _ROW * place + _ROW // 2 for place, row in enumerate(self.rows)}
        for row, name in zip(self.rows, names, strict=True):
            y = middles[row]
            yield element("line", x1=left, y1=y, x2=edges[-1], y2=y, stroke=FAINT, stroke_dasharray="1 4")
            yield text(PAD, y + 4, name, font_weight="bold")
            for start, stop in self._bars(row, band, centres, left, edges[-1]):
                yield element("rect", x=start, y=y - 5, width=stop - start, height=10, fill=FAINT)
            if band.stop == len(events):
                yield from self._ending(row, edges[-1], y)
        here = [(centres[at], middles[events[at].stage]) for at in band]
        points = " ".join(f"{x},{y}" for x, y in here)
        yield element("polyline", points=points, fill="none", stroke=_THREAD, stroke_width=1)
        for at, (x, y) in zip(band, here, strict=True):
            number = text(x, top + 12, str(at + 1), font_size=10, fill=QUIET, text_anchor="middle")
            over = ", and it was over" if at in self._over else ""
            told = element("title", escaped(f"{at + 1}. {_told(events[at])}{over}"))
            mark = element("g", *_mark(events[at], over=at in self._over), transform=f"translate({x} {y})")
            yield element("g", told, number, mark)

    def _ending(self, row: str, x: int, y: int) -> Iterator[str]:
        """What became of a stage, to the right of its row; an arrow for what goes on."""
        end = self._end(row)
        if end == _STILL_OPEN:
            yield element("path", d=f"M{x} {y - 9}L{x + 14} {y}L{x} {y + 9}Z", fill=FAINT)
            yield text(x + 20, y + 4, end, font_weight="bold")
        elif end:
            yield text(x + 20, y + 4, end, fill=QUIET)

    def _bars(
        self, row: str, band: range, centres: dict[int, int], left: int, right: int
    ) -> Iterator[tuple[int, int]]:
        """From where to where `row` is open in this band."""
        levels = self._levels[row]
        start = left if band.start and levels[band.start - 1] else None
        for at in band:
            if start is None and levels[at]:
                start = centres[at]
            elif start is not None and not levels[at]:
                yield start, centres[at]
                start = None
        if start is not None:
            yield start, right

    def _end(self, row: str) -> str:
        """What became of a stage, as far as the log tells."""
        kinds = {event.kind for event in self.events if event.stage == row}
        if not kinds:
            return "" if row == "you" else "never opened"
        if "open" not in kinds:
            return ""
        if not self._levels[row][-1]:
            return "closed"
        # Nobody waits for you to be closed.
        return "" if row == "you" else _STILL_OPEN

    def _drawn(self) -> tuple[Event, ...]:
        return self.events[: self.most]

    def _more(self) -> str:
        more = len(self.events) - self.most
        return f"and {more} more events" if more > 0 else ""


_STILL_OPEN = "still open"
_END, _ENDED = "end", "asked, and it was over"
_NAME, _CHARACTERS = 18, 108
_ITEM = 14
_WIDE, _HEAD, _ROW = 960, 20, 34
_THREAD, _GIVEN, _WRONG = "#8c8c8c", "#cfe3f5", "#8a1c1c"

_SIGNS: dict[EventKind, tuple[str, str]] = {
    "open": ("[", "opened"),
    "pull": ("?", "asked"),
    "yield": ("x", "gave x"),
    "close": ("]", "closed"),
    "error": ("!", "raised"),
    "refuse": ("x!", "asked for x, past the budget"),
}
_TOLD: dict[EventKind, str] = {
    "open": "{stage}: opened",
    "pull": "{stage}: asked",
    "yield": "{stage}: gave {item}",
    "close": "{stage}: closed",
    "error": "{stage}: raised {item}",
    "refuse": "{stage}: asked for {item}, past its budget",
}


def _told(event: Event) -> str:
    return _TOLD[event.kind].format(
        stage=shortened(event.stage, 60, tail=20), item=shortened(repr(event.item), 120)
    )


def _levels_of(rows: Iterable[str], events: Iterable[Event]) -> dict[str, list[int]]:
    """For each row: how many of its iterators are open after each event."""
    levels: dict[str, list[int]] = {row: [] for row in rows}
    now = dict.fromkeys(levels, 0)
    for event in events:
        step = {"open": 1, "close": -1}.get(event.kind, 0)
        # An iterator may be closed more than once, and the log does not say which one was.
        now[event.stage] = max(0, now[event.stage] + step)
        for row, level in now.items():
            levels[row].append(level)
    return levels


def _found_over(events: Sequence[Event]) -> frozenset[int]:
    """The places of the questions that found an end: no item came of them, no error, and no refusal."""
    waiting: dict[str, list[int]] = {}
    for at, event in enumerate(events):
        if event.kind == "pull":
            waiting.setdefault(event.stage, []).append(at)
        elif event.kind in ("yield", "error") and waiting.get(event.stage):
            waiting[event.stage].pop()
        elif event.kind == "refuse":
            # Whoever was waiting for this answer gets none.
            waiting.clear()
    return frozenset(at for places in waiting.values() for at in places)


def _bands(widths: Sequence[int], most: int) -> Iterator[range]:
    """The columns, in runs that are no wider than `most`; at least one run, and at least one column in it."""
    start, wide = 0, 0
    for at, width in enumerate(widths):
        if at > start and wide + width > most:
            yield range(start, at)
            start, wide = at, 0
        wide += width
    yield range(start, len(widths))


def _label(event: Event) -> str:
    """What stands in an event's column, as text."""
    item = shortened(repr(event.item), _ITEM) or "(empty)"
    return {"yield": item, "error": f"!{item}", "refuse": f"{item}!"}.get(event.kind) or _SIGNS[event.kind][0]


def _width(event: Event, at: int) -> int:
    label = CELL * room(_label(event)) + 16 if event.kind in _BOXED else 0
    return max(20, 7 * len(str(at + 1)) + 6, label)


_BOXED: dict[EventKind, dict[str, object]] = {
    "yield": {"fill": _GIVEN, "stroke": INK},
    "error": {"fill": PAPER, "stroke": _WRONG, "stroke_width": 2},
    "refuse": {"fill": PAPER, "stroke": _WRONG, "stroke_width": 2, "stroke_dasharray": "4 2"},
}
_SHAPES: dict[EventKind, tuple[str, str]] = {
    "open": ("M4 -10H-3V10H4", "none"),
    "pull": ("M-6 5H6L0 -6Z", PAPER),
    "close": ("M-4 -10H3V10H-4", "none"),
}
"""A bracket that opens, a triangle that points to where the items come from, a bracket that closes."""


def _mark(event: Event, *, over: bool = False) -> list[str]:
    """An event, drawn around the origin; a question that found the end has a bar above it."""
    if event.kind in _BOXED:
        return _box(event.kind, _label(event))
    path, fill = _SHAPES[event.kind]
    drawn = [element("path", d=path, fill=fill, stroke=INK, stroke_width=2)]
    if over:
        drawn.append(element("path", d="M-8 -9H8", fill="none", stroke=INK, stroke_width=3))
    return drawn


def _box(kind: EventKind, label: str) -> list[str]:
    width = CELL * room(label) + 12
    frame = element("rect", x=-(width // 2), y=-11, width=width, height=22, rx=3, **_BOXED[kind])
    return [frame, text(0, 4, label, text_anchor="middle")]


def _legend(kinds: Collection[EventKind], *, over: bool = False) -> list[tuple[int, list[str]]]:
    """The signs that were used, drawn from (0, 0) to the right, each with its width."""
    legend = []
    for kind, (sign, says) in _SIGNS.items():
        if kind in kinds:
            mark = _box(kind, sign) if kind in _BOXED else _mark(Event(0, "", kind))
            half = (CELL * room(sign) + 12) // 2 if kind in _BOXED else 6
            drawn = [element("g", *mark, transform=f"translate({half} 0)")]
            drawn.append(text(2 * half + 8, 4, says, fill=QUIET))
            legend.append((2 * half + 8 + CELL * room(says) + 18, drawn))
        if kind == "pull" and over:
            drawn = [element("g", *_mark(Event(0, "", kind), over=True), transform="translate(8 0)")]
            drawn.append(text(24, 4, _ENDED, fill=QUIET))
            legend.append((24 + CELL * room(_ENDED) + 18, drawn))
    if "open" in kinds:
        bar = element("rect", x=0, y=-5, width=24, height=10, fill=FAINT)
        legend.append((32 + CELL * 7 + 18, [bar, text(32, 4, "is open", fill=QUIET)]))
    return legend
