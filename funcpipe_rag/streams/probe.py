"""The one window onto demand: sources that keep a diary, and the diagram drawn from it.

A `Log` holds what happened, in order. A `Probe` is a source that writes into one; `Log.watch` makes a stage of
yours write into it too, and `Log.reader` notes what you got. Laws, pictures and lessons all look through here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, count
from json import dumps
from typing import Any, Literal, NamedTuple, TypeAlias, TypeVar

from .ownership import close

A = TypeVar("A")
B = TypeVar("B")
T = TypeVar("T")

EventKind: TypeAlias = Literal["open", "pull", "yield", "refuse", "close", "error"]


SHOWN: Sequence[EventKind] = ("yield", "refuse", "error", "close")
"""What a diagram shows unless told otherwise: openings and pulls stand behind the items they led to."""


class Event(NamedTuple):
    """One thing that happened: at step `t`, or at that time of a clock, `stage` did `kind` with `item`."""

    t: float
    stage: str
    kind: EventKind
    item: object = None


class OverPulled(BaseException):
    """A probe was asked for more than its budget allows.

    Not an `Exception`, so that code which swallows errors does not swallow this one by accident.
    """

    def __init__(self, name: str, budget: int) -> None:
        super().__init__(f"{name} was asked {budget + 1} times; its budget is {budget}")
        self.name, self.budget = name, budget


class Boom(Exception):
    """The error that a probe raises when it was told to."""


class Log:
    """What happened, in order, at the probes and stages that share this log.

    >>> log = Log()
    >>> letters = Probe("ab", log=log)
    >>> for letter in log.reader(log.watch("upper", lambda xs: map(str.upper, xs))(letters())):
    ...     pass
    >>> print(log.diagram())
            1    2    3    4    5    6
    source  'a'  .    .    'b'  .    .
    upper   .    'A'  .    .    'B'  .
    you     .    .    'A'  .    .    'B'
    >>> print(log.spoken())
    source gave 'a'; upper gave 'A'; you got 'A'; source gave 'b'; upper gave 'B'; you got 'B'

    The events are numbered; with a `clock`, a function without arguments, each has the time at which it happened.

    Memory: one event for each pull, item, opening and closing, and the item with it.
    """

    def __init__(self, *, clock: Callable[[], float] | None = None) -> None:
        self.events: list[Event] = []
        self.rows: dict[str, None] = {}
        self.clock = clock

    def note(self, stage: str, kind: EventKind, item: object = None) -> None:
        """Write down one event."""
        self.join(stage)
        t = len(self.events) if self.clock is None else self.clock()
        self.events.append(Event(t, stage, kind, item))

    def join(self, stage: str) -> None:
        """Give `stage` a row, also if nothing ever happens there."""
        self.rows.setdefault(stage)

    def watch(
        self, name: str, transform: Callable[[Iterable[A]], Iterable[B]]
    ) -> Callable[[Iterable[A]], Iterator[B]]:
        """`transform`, with its own row: what it is asked for and what it gives."""
        self.join(name)
        return lambda xs: Watched(self, name, lambda: iter(transform(xs)))

    def reader(self, xs: Iterable[T], name: str = "you") -> Iterator[T]:
        """`xs` as you read it: the last row."""
        self.join(name)
        return Watched(self, name, lambda: iter(xs))

    def diagram(self, *, most: int = 14, shown: Sequence[EventKind] = SHOWN) -> str:
        """Who gave what when, as text: a row a stage, a column an event, `most` columns at the most."""
        events = [event for event in self.events if event.kind in shown]
        rows = self._order()
        table = [["", *map(str, range(1, len(events[:most]) + 1))]]
        table += [[row, *(_cell(event, row) for event in events[:most])] for row in rows]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        lines = ["  ".join(map(str.ljust, line, widths)).rstrip() for line in table]
        if len(events) > most:
            lines.append(f"and {len(events) - most} more events")
        kinds = {event.kind for event in events[:most]}
        return "\n".join([*lines, *(line for kind, line in _LEGEND.items() if kind in kinds)])

    def spoken(self, *, most: int = 14, shown: Sequence[EventKind] = SHOWN) -> str:
        """The same in words, for a reader who does not see the diagram."""
        events = [event for event in self.events if event.kind in shown]
        said = [_sentence(event) for event in events[:most]]
        silent = [row for row in self._order() if row not in {event.stage for event in events}]
        said += ["you have nothing" if row == "you" else f"{row} has given nothing" for row in silent]
        if len(events) > most:
            said.append(f"and {len(events) - most} more events")
        return "; ".join(said)

    def to_jsonl(self) -> str:
        """One JSON object a line: t, stage, item and kind, which is open, pull, yield, close or error.

        The item is the repr of what was given or raised; of what a call was opened with; and null for the other
        kinds. A refused pull is an error: its item names `OverPulled`, and what was asked for.
        """
        return "".join(map(_line, self.events))

    def _order(self) -> list[str]:
        return sorted(self.rows, key="you".__eq__)


_LEGEND = {
    "open": "open = opened here",
    "refuse": "! = asked for past the budget, and refused here",
    "error": "error = raised here",
    "close": "close = closed here",
}
_SAID = {
    "open": "{stage} was opened",
    "pull": "{stage} was asked",
    "yield": "{stage} gave {item}",
    "refuse": "{stage} was asked for {item}, past its budget",
    "error": "{stage} raised an error",
    "close": "{stage} was closed",
}
_SAID_OF_YOU = {
    "open": "you began",
    "yield": "you got {item}",
    "error": "you got an error",
    "close": "you closed it",
}


def _line(event: Event) -> str:
    kind, item = event.kind, repr(event.item)
    if kind == "refuse":
        kind, item = "error", f"OverPulled({item})"
    told = item if kind in ("yield", "error") or event.item is not None else None
    return dumps({"t": event.t, "stage": event.stage, "item": told, "kind": kind}) + "\n"


def _sentence(event: Event) -> str:
    said = _SAID_OF_YOU.get(event.kind) if event.stage == "you" else None
    return (said or _SAID[event.kind]).format(stage=event.stage, item=_short(event.item))


def _cell(event: Event, row: str) -> str:
    if event.stage != row:
        return "."
    return {"yield": _short(event.item), "refuse": f"{_short(event.item)}!"}.get(event.kind, event.kind)


def _short(item: object) -> str:
    text = repr(item)
    return text if len(text) <= 18 else f"{text[:15]}..."


class Watched(Iterator[T]):
    """An iterator that notes what it is asked for and what it gives; it opens what it watches at its first pull."""

    def __init__(self, log: Log, name: str, opening: Callable[[], Iterator[T]]) -> None:
        self._log, self._name, self._opening = log, name, opening
        self._it: Iterator[T] | None = None
        self._done = False

    def __next__(self) -> T:
        if self._done:
            raise StopIteration
        self._log.note(self._name, "pull")
        try:
            if self._it is None:
                self._log.note(self._name, "open")
                self._it = self._opening()
            item = next(self._it)
        except BaseException as error:
            self._done = True
            if not isinstance(error, StopIteration | OverPulled):
                self._log.note(self._name, "error", error)
            raise
        self._log.note(self._name, "yield", item)
        return item

    def __repr__(self) -> str:
        return "an iterator"

    def close(self) -> None:
        """Close what is watched."""
        self._done = True
        it, self._it = self._it, None
        if it is not None:
            self._log.note(self._name, "close")
            close(it)


class Probe:
    """A source under observation: it counts its pulls, openings and closings, and stops at its budget.

    >>> numbers = Probe([7, 8, 9])
    >>> it = numbers()
    >>> next(it), next(it), numbers.pulls
    (7, 8, 2)
    >>> it.close(); numbers.opens, numbers.closes
    (1, 1)

    A pull is a question, answered or not: finding the end is one more. A budget is the number of questions it
    bears; past it, this and every later pull raises `OverPulled`, and `over` remembers.

    >>> lazy = Probe(range(10), budget=2)
    >>> list(lazy())
    Traceback (most recent call last):
    ...
    funcpipe_rag.streams.probe.OverPulled: source was asked 3 times; its budget is 2
    >>> lazy.over
    True

    `raises_at=i` raises `Boom` in place of item i, `raises_on_close=True` when closed, `endless=True` counts on
    behind the items, 0, 1, 2 ... Each call opens a fresh iterator; the counts are those of all of them.
    """

    def __init__(
        self,
        items: Iterable[Any] = (),
        *,
        name: str = "source",
        log: Log | None = None,
        budget: int | None = None,
        raises_at: int | None = None,
        raises_on_close: bool = False,
        endless: bool = False,
    ) -> None:
        self.items, self.name, self.budget = items, name, budget
        self.raises_at, self.raises_on_close, self.endless = raises_at, raises_on_close, endless
        self.log = Log() if log is None else log
        self.log.join(name)
        self.pulls = self.opens = self.closes = 0
        self.over = False
        self.iterators: list[ProbeIterator] = []

    def __call__(self) -> ProbeIterator:
        self.opens += 1
        self.log.note(self.name, "open")
        it = ProbeIterator(self)
        # Kept, so that no iterator can be closed behind our back by its last reference going away.
        self.iterators.append(it)
        return it

    def __repr__(self) -> str:
        return self.name


class ProbeIterator(Iterator[Any]):
    """One reading of a `Probe`, with counts of its own."""

    def __init__(self, probe: Probe) -> None:
        self.probe = probe
        self.pulls = self.closes = 0
        self.ended = False
        self._rest = iter(chain(probe.items, count()) if probe.endless else probe.items)

    def __next__(self) -> Any:
        probe = self.probe
        at = self.pulls
        self.pulls += 1
        probe.pulls += 1
        probe.log.note(probe.name, "pull")
        if probe.over or (probe.budget is not None and probe.pulls > probe.budget):
            probe.over = True
            probe.log.note(probe.name, "refuse", self._wanted(at))
            raise OverPulled(probe.name, probe.budget or 0)
        if self.ended:
            raise StopIteration
        if at == probe.raises_at:
            self.ended = True
            boom = Boom(f"{probe.name} raised in place of item {at}")
            probe.log.note(probe.name, "error", boom)
            raise boom
        try:
            item = next(self._rest)
        except StopIteration:
            self.ended = True
            raise
        probe.log.note(probe.name, "yield", item)
        return item

    def __repr__(self) -> str:
        return "an iterator"

    def close(self) -> None:
        """Count the closing; what is closed gives no more items."""
        self.closes += 1
        self.probe.closes += 1
        self.ended = True
        self.probe.log.note(self.probe.name, "close")
        if self.probe.raises_on_close:
            raise Boom(f"{self.probe.name} raised while it was closed")

    def _wanted(self, at: int) -> object:
        return next(self._rest, _Nothing())


class _Nothing:
    def __repr__(self) -> str:
        return "more"
