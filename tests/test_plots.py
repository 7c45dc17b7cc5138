"""The pictures: every event once, nothing over anything else, readable without eyes, whole whatever the items look like."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import combinations, islice, pairwise, tee
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings, strategies as st

from funcpipe_rag import fmap, fork2_lockstep, make_roundrobin, multicast_bounded
from funcpipe_rag.aio import amap
from funcpipe_rag.aio.probe import AsyncLog
from funcpipe_rag.aio.testing import run
from funcpipe_rag.course import watch
from funcpipe_rag.plots import (
    DemandDiagram,
    IngestDashboard,
    MemoryCurve,
    Picture,
    SkewPlot,
    Timeline,
    Usage,
    curves,
    memory_curve,
    read_log,
)
from funcpipe_rag.plots.async_memory_demos import total_from_amap, total_from_tasks
from funcpipe_rag.plots.memory_demos import MEMORY_DEMOS, average_in_turns, total_from_list
from funcpipe_rag.plots.picture import escaped
from funcpipe_rag.plots.pipeline_demos import chunks_from_lists, chunks_from_stream
from funcpipe_rag.plots.rag_memory_demos import ingest_from_lists, ingest_from_stream
from funcpipe_rag.plots.timeline_demos import DELAYS, FOUR_WAYS, as_completed, backpressured, batched, ordered
from funcpipe_rag.rag import Event as Built, Logged, RagEnv, gen_ingest, make_docs_source, read_build_log
from funcpipe_rag.rag.build_log import log_line
from funcpipe_rag.streams.ownership import close
from funcpipe_rag.streams.probe import Event, Log, OverPulled, Probe

WORDS = ["tee", "skew", "fence"]
MIB = 2**20


def read(log: Log, stream: Iterable[object], take: int = 3) -> None:
    """Take some items, then close."""
    you = log.reader(stream)
    list(islice(you, take))
    close(you)


def eager(log: Log, words: Probe) -> None:
    read(log, log.watch("upper", lambda xs: iter([x.upper() for x in list(xs)]))(words()))


def lazy(log: Log, words: Probe) -> None:
    read(log, fork_of_one(log)(words()))


def leaking(log: Log, words: Probe) -> None:
    read(log, log.watch("upper", lambda xs: (x.upper() for x in xs))(words()))


def fork_of_one(log: Log) -> Callable[[Iterable[str]], Iterator[str]]:
    def upper(xs: Iterable[str]) -> Iterator[str]:
        try:
            for x in xs:
                yield x.upper()
        finally:
            close(xs)

    return log.watch("upper", upper)


def lockstep(log: Log, words: Probe) -> None:
    stream = words()
    read(log, fork2_lockstep(log.watch("left", fmap(len)), log.watch("right", fmap(str.upper)))(stream))
    stream.close()


def skewed(log: Log, words: Probe) -> None:
    left, right = log.watch("left", fmap(len)), log.watch("right", fmap(str.upper))
    stream = words()
    first, second = tee(stream)
    read(log, zip(list(left(first)), list(right(second)), strict=True))
    stream.close()


PIPELINES = [eager, lazy, lockstep, skewed, leaking]


def log_of(pipeline: Callable[[Log, Probe], None]) -> Log:
    log = Log()
    pipeline(log, Probe(WORDS, name="words", log=log))
    return log


class Looks:
    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


HOSTILE = [
    "<script>alert('x')</script>",
    "a\nb\r\n\tc\x00\x1b[31m",
    "x" * 10_000,
    "]]>&amp;\"'<!--",
    "\ud800\uffff\u202e\u2028",
    "日本語のとても長いテキストです",
    "",
    "{stage} {item} %s",
]
looks = st.one_of(st.sampled_from(HOSTILE), st.text(max_size=40)).map(Looks)
stages = st.one_of(
    st.sampled_from(["source", "left", "you"]), st.text(min_size=1, max_size=30), st.sampled_from(HOSTILE[:6])
)
kinds = st.sampled_from(["open", "pull", "yield", "close", "error", "refuse"])


@st.composite
def logs(draw: st.DrawFn) -> Log:
    log = Log()
    rows = draw(st.lists(stages, min_size=1, max_size=5, unique=True))
    for row in rows:
        log.join(row)
    for stage, kind, item in draw(st.lists(st.tuples(st.sampled_from(rows), kinds, looks), max_size=60)):
        log.note(stage, kind, item if kind in ("yield", "error", "refuse") else None)
    return log


class Box(NamedTuple):
    """Where a text stands; wider than any font of one width draws it."""

    left: float
    top: float
    right: float
    bottom: float
    words: str

    def meets(self, other: Box) -> bool:
        return (
            self.left < other.right
            and other.left < self.right
            and self.top < other.bottom
            and other.top < self.bottom
        )


SVG = "{http://www.w3.org/2000/svg}"


def parsed(picture: Picture) -> ElementTree.Element:
    drawn = picture.to_svg()
    drawn.encode("utf-8")
    return ElementTree.fromstring(drawn)


def texts(element: ElementTree.Element, dx: int = 0, dy: int = 0) -> Iterator[Box]:
    """Every text of a picture, with what its groups have moved it by."""
    moved = re.fullmatch(r"translate\((-?\d+) (-?\d+)\)", element.get("transform", ""))
    if moved:
        dx, dy = dx + int(moved[1]), dy + int(moved[2])
    if element.tag == f"{SVG}text":
        words, size = element.text or "", int(element.get("font-size", 12))
        width = sum(2 if char >= "\u1100" and char != "…" else 1 for char in words) * size * 0.61
        before = {"middle": width / 2, "end": width}.get(element.get("text-anchor", ""), 0)
        x, y = int(element.get("x", 0)) + dx - before, int(element.get("y", 0)) + dy
        yield Box(x, y - 0.8 * size, x + width, y + 0.2 * size, words)
    for inside in element:
        yield from texts(inside, dx, dy)


def assert_well_drawn(picture: Picture) -> None:
    """Well-formed, spoken, harmless, inside its frame, in whole pixels, and no text upon another."""
    svg = parsed(picture)
    assert svg.get("role") == "img" and svg.get("aria-label")
    assert [svg[0].tag, svg[1].tag] == [f"{SVG}title", f"{SVG}desc"]
    assert svg[0].text == picture.title and svg[1].text == svg.get("aria-label")
    tags = {element.tag.removeprefix(SVG) for element in svg.iter()}
    assert tags <= {"svg", "title", "desc", "rect", "line", "polyline", "path", "text", "g"}
    attributes = {name for element in svg.iter() for name in element.attrib}
    assert not {
        name for name in attributes if name.startswith("on") or name in ("id", "class", "style", "href")
    }
    for element in svg.iter():
        for name in ("x", "y", "x1", "x2", "y1", "y2", "width", "height", "points", "d", "transform"):
            assert "." not in element.get(name, "")
    boxes = [box for box in texts(svg) if box.words]
    width, height = int(svg.get("width", 0)), int(svg.get("height", 0))
    assert [
        box for box in boxes if box.left < 0 or box.top < 0 or box.right > width or box.bottom > height
    ] == []
    assert [(one.words, two.words) for one, two in combinations(boxes, 2) if one.meets(two)] == []
    assert all(line == line.rstrip() and line.isprintable() for line in picture.to_text().splitlines())
    assert picture.alt and picture.alt.isprintable()


# The event format, read back


@given(logs())
def test_a_log_comes_back_as_it_was_written(log: Log) -> None:
    lines = log.to_jsonl()
    back = read_log(lines)
    assert back.to_jsonl() == lines
    assert read_log(lines.splitlines(keepends=True)).to_jsonl() == lines
    told = [event._replace(kind="error") if event.kind == "refuse" else event for event in log.events]
    assert [event[:3] for event in back.events] == [event[:3] for event in told]


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_a_log_that_was_read_back_gives_the_same_picture(pipeline: Callable[[Log, Probe], None]) -> None:
    log = log_of(pipeline)
    back = read_log(log.to_jsonl())
    assert DemandDiagram(back).to_svg() == DemandDiagram(log).to_svg()
    assert repr(DemandDiagram(back)) == repr(DemandDiagram(log))


def test_times_of_a_clock_come_back() -> None:
    log = read_log('{"t": 0.25, "stage": "a", "item": null, "kind": "pull"}\n\n')
    assert log.events == [Event(0.25, "a", "pull", None)]


GOOD = '{"t": 0, "stage": "a", "item": "1", "kind": "yield"}'


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ('{"t": 0, "stage"', "line 3: not JSON: "),
        ("[1, 2]", "line 3: wants an object with t, stage, item and kind, got [1, 2]"),
        ('{"t": 0, "kind": "pull"}', "line 3: stage, item is missing"),
        (GOOD.replace('"t": 0', '"t": "0"'), "line 3: t must be a number, got '0'"),
        (GOOD.replace('"t": 0', '"t": NaN'), "line 3: t must be a number, got nan"),
        (GOOD.replace('"t": 0', '"t": true'), "line 3: t must be a number, got True"),
        (GOOD.replace('"a"', "7"), "line 3: stage must be a name, got 7"),
        (GOOD.replace('"a"', '""'), "line 3: stage must be a name, got ''"),
        (GOOD.replace('"1"', "1"), "line 3: item must be a text (the item's repr) or null, got 1"),
        (GOOD.replace('"1"', "null"), "line 3: item must be a text where kind is yield, got null"),
        (
            GOOD.replace("yield", "refuse"),
            "line 3: kind must be open, pull, yield, close or error, got 'refuse'",
        ),
        (GOOD.replace('"yield"', "[]"), "line 3: kind must be open, pull, yield, close or error, got []"),
        ("[" * 100_000, "line 3: not "),
        (GOOD.replace('"a"', f'["{"x" * 9000}"]'), "line 3: stage must be a name, got ['xxx"),
    ],
)
def test_a_bad_line_is_refused_by_its_number(line: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"read_log: {complaint}")) as caught:
        read_log(f"{GOOD}\n\n{line}\n{GOOD}\n")
    assert len(str(caught.value)) < 200


# The demand diagram


def events_told(picture: Picture) -> list[str]:
    """What the groups of a diagram say of themselves: one for each event."""
    return [title.text or "" for title in parsed(picture).findall(f"{SVG}g/{SVG}title")]


def test_every_pipeline_looks_different() -> None:
    pictures = [DemandDiagram(log_of(pipeline)) for pipeline in PIPELINES]
    assert len({picture.to_svg() for picture in pictures}) == len(PIPELINES)
    assert len({picture.to_text() for picture in pictures}) == len(PIPELINES)
    assert len({picture.alt for picture in pictures}) == len(PIPELINES)


def climbs(picture: Picture) -> int:
    """How often the thin line comes up to the top row."""
    line = parsed(picture).find(f"{SVG}polyline")
    assert line is not None
    heights = [int(point.split(",")[1]) for point in line.get("points", "").split()]
    return sum(here == min(heights) < before for before, here in pairwise(heights))


def test_lazy_is_a_zigzag_and_eager_is_not() -> None:
    def drawn(transform: Callable[[Iterable[str]], Iterable[str]]) -> Picture:
        return watch(lambda words, upper: upper(words()), {"words": "abcd"}, {"upper": transform}, take=4)

    assert climbs(drawn(lambda xs: (x.upper() for x in xs))) == 4
    assert climbs(drawn(lambda xs: iter([x.upper() for x in list(xs)]))) == 1


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_each_event_is_there_once(pipeline: Callable[[Log, Probe], None]) -> None:
    log = log_of(pipeline)
    picture = DemandDiagram(log)
    verbs = {"open": "opened", "pull": "asked", "close": "closed"}
    wanted = [
        f"{at}. {event.stage}: {verbs.get(event.kind) or f'gave {event.item!r}'}"
        for at, event in enumerate(log.events, start=1)
    ]
    for row in log.rows:
        pulls = [at for at, event in enumerate(log.events) if (event.stage, event.kind) == (row, "pull")]
        given = sum((event.stage, event.kind) == (row, "yield") for event in log.events)
        for at in pulls[given:]:
            wanted[at] += ", and it was over"
    assert events_told(picture) == wanted
    over = sum("it was over" in one for one in wanted)
    assert picture.to_text().count(" end") == over + bool(over)  # once more in the key
    cells = {"open": "[", "pull": "?", "close": "]"}
    found: dict[int, tuple[str, str]] = {}
    bands = picture.to_text().rpartition("\n")[0].split("\n\n")
    for band in bands:
        numbers, *rows = band.splitlines()
        for number in re.finditer(r"\d+", numbers):
            column = [(row.split()[0], row[number.start() :].split("  ")[0].strip()) for row in rows]
            (cell,) = [(row, cell) for row, cell in column if cell not in ("-", ".", "")]
            assert int(number[0]) not in found
            found[int(number[0])] = cell
    assert found == {
        at: (
            event.stage,
            "end" if "it was over" in wanted[at - 1] else cells.get(event.kind) or repr(event.item),
        )
        for at, event in enumerate(log.events, start=1)
    }


def test_what_was_left_open_is_said_three_times() -> None:
    picture = DemandDiagram(log_of(leaking))
    assert picture.to_text().splitlines()[-4].startswith("words") and "still open" in picture.to_text()
    assert picture.alt.endswith("; still open: words")
    assert [box.words for box in texts(parsed(picture))].count("still open") == 1
    for pipeline in (lazy, lockstep):
        assert "still open" not in repr(DemandDiagram(log_of(pipeline)))


def test_a_name_without_end_leaves_room_for_the_events() -> None:
    log = Log()
    for name in ("documents_" * 1000 + end for end in "ab"):
        list(Probe("xy", name=name, log=log)())
    picture = DemandDiagram(log)
    assert int(parsed(picture).get("width", 0)) <= 1100
    names = [box.words for box in texts(parsed(picture)) if box.words.startswith("documents_")]
    assert len(set(names)) == 2 and max(map(len, names)) == 18


def test_an_iterator_closed_twice_hides_no_other() -> None:
    log = Log()
    for kind in ("open", "close", "close", "open"):
        log.note("source", kind)  # type: ignore[arg-type]
    assert DemandDiagram(log).alt.endswith("still open: source")


def test_closing_shows_who_is_closed_with_you() -> None:
    sources = {"a": "12", "b": "34"}
    open_still = watch(lambda a, b: make_roundrobin(a, b)(), sources, take=3)
    closed = watch(lambda a, b: make_roundrobin(a, b)(), sources, take=3, closing=True)
    assert open_still.alt.endswith("still open: a, b")
    assert closed.alt.endswith("you closed it; b was closed; a was closed")


@settings(deadline=None)
@given(logs(), st.integers(1, 70))
def test_a_diagram_is_well_drawn_whatever_stands_in_it(log: Log, most: int) -> None:
    picture = DemandDiagram(log, most=most)
    assert_well_drawn(picture)
    assert int(parsed(picture).get("width", 0)) <= 1100
    assert max(map(len, picture.to_text().splitlines())) <= 140
    told = events_told(picture)
    assert [int(line.partition(".")[0]) for line in told] == [*range(1, min(most, len(log.events)) + 1)]
    assert ("more events" in picture.to_text().splitlines()[-1]) == (len(log.events) > most)


def test_marks_and_boxes_keep_clear_of_each_other() -> None:
    log = Log()
    read(
        log,
        make_roundrobin(*(Probe(range(10**at, 10**at + 40), name=f"s{at}", log=log) for at in range(8)))(),
        60,
    )
    svg = parsed(DemandDiagram(log))
    spans = []
    for group in svg.findall(f"{SVG}g"):
        mark = group.find(f"{SVG}g")
        if mark is not None and group.find(f"{SVG}title") is not None:
            x, y = map(int, re.findall(r"\d+", mark.get("transform", "")))
            frame = mark.find(f"{SVG}rect")
            half = 8 if frame is None else int(frame.get("width", 0)) // 2
            spans.append((y, x - half, x + half))
    assert len(spans) == 240
    for (y, _, right), (other, left, _) in zip(sorted(spans), sorted(spans)[1:], strict=False):
        assert right <= left if y == other else other - y > 22


def test_a_diagram_is_of_the_log_as_it_was() -> None:
    log = log_of(lazy)
    picture = DemandDiagram(log)
    before = picture.to_svg()
    log.note("late", "open")
    assert picture.to_svg() == before


def test_a_refused_pull_is_marked() -> None:
    log = Log()
    with pytest.raises(OverPulled):
        list(Probe(range(9), budget=1, log=log)())
    picture = DemandDiagram(log)
    assert "1!" in picture.to_text() and "1!" in [box.words for box in texts(parsed(picture))]
    assert events_told(picture)[-1] == "5. source: asked for 1, past its budget"


def test_an_address_in_memory_is_left_out() -> None:
    pictures = [watch(lambda xs: xs(), {"xs": [object(), (n for n in "")]}, take=2) for _ in range(2)]
    assert pictures[0].to_svg() == pictures[1].to_svg() and " at 0x" not in pictures[0].to_svg()


def test_a_notebook_is_given_the_picture_and_the_text() -> None:
    picture = DemandDiagram(log_of(lazy))
    shown = picture._repr_mimebundle_()
    assert shown == {"image/svg+xml": picture.to_svg(), "text/plain": f"{picture.to_text()}\n{picture.alt}"}


@given(st.one_of(st.sampled_from(HOSTILE), st.text()))
def test_no_text_can_break_out_of_its_element(words: str) -> None:
    held = ElementTree.fromstring(f'<a b="{escaped(words)}">{escaped(words)}</a>')
    assert held.text == (held.get("b") or None) and len(held) == 0


def test_no_events_at_the_most_are_refused() -> None:
    with pytest.raises(ValueError, match="most must be >= 1, got 0"):
        DemandDiagram(Log(), most=0)


# The skew plot

schedules = st.lists(st.integers(0, 2), max_size=60)


def split_by(schedule: list[int], bound: int, items: int = 15) -> Log:
    """Ask three branches in this order; one that was refused, or is at its end, stays silent."""
    log = Log()
    parts = multicast_bounded(Probe(range(items), name="words", log=log)(), 3, maxlen=bound)
    branches = [log.reader(part, name) for part, name in zip(parts, "abc", strict=True)]
    for place in schedule:
        with suppress(BufferError):
            next(branches[place], None)
    return log


@settings(deadline=None)
@given(schedules, st.integers(1, 5))
def test_the_bound_of_a_split_is_never_passed(schedule: list[int], bound: int) -> None:
    log = split_by(schedule, bound)
    plot = SkewPlot(log, source="words", branches=["a", "b", "c"], bound=bound)
    assert plot.most_held <= bound and "past the bound" not in plot.alt
    read_by = [sum(e.stage == name and e.kind == "yield" for e in log.events) for name in "abc"]
    if plot.moments:
        assert [*plot.moments[-1].places.values()] == read_by
    assert_well_drawn(plot)


def test_a_drained_branch_is_a_ramp() -> None:
    log = Log()
    parts = tee(Probe(range(20), name="words", log=log)())
    for part, name in zip(parts, ("left", "right"), strict=True):
        list(log.reader(part, name))
    plot = SkewPlot(log, source="words", branches=["left", "right"], bound=5)
    held = [moment.held for moment in plot.moments]
    top = held.index(20)
    assert held[:top] == sorted(held[:top]) and held[top:] == sorted(held[top:], reverse=True)
    assert (held[0], plot.most_held, held[-1]) == (1, 20, 0)
    assert "held at most: 20 items, at step 39; past the bound of 5" in plot.alt


def test_a_closed_branch_waits_for_nothing() -> None:
    log = Log()
    parts = multicast_bounded(Probe(range(9), name="words", log=log)(), 2, maxlen=2)
    ahead, behind = (log.reader(part, name) for part, name in zip(parts, ("ahead", "behind"), strict=True))
    next(ahead), next(behind), next(ahead)
    behind.close()
    list(ahead)
    plot = SkewPlot(log, source="words", branches=["ahead", "behind"], bound=2)
    assert [moment.held for moment in plot.moments if moment.kind == "close"] == [0]
    assert plot.most_held == 1


def test_a_refusal_is_told_and_marked() -> None:
    plot = SkewPlot(split_by([0, 0, 0], 2), source="words", branches=["a", "b", "c"], bound=2)
    assert plot.alt.endswith("the bound is 2; a met BufferError at step 5")


def test_a_long_log_makes_a_short_picture() -> None:
    log = Log()
    log.join("words"), log.join("left")
    for _ in range(20_000):
        log.note("words", "yield", 1)
        log.note("left", "yield", 1)
    plot = SkewPlot(log, source="words", branches=["left"])
    assert len(plot.to_svg()) < 60_000
    assert max(map(len, plot.to_text().splitlines())) < 250
    assert_well_drawn(plot)


@given(st.lists(stages, min_size=2, max_size=20, unique=True), st.integers(0, 30))
def test_a_skew_plot_is_well_drawn_whatever_the_names(names: list[str], steps: int) -> None:
    log = Log()
    for name in names:
        log.join(name)
    for step in range(steps):
        log.note(names[step % len(names)], "error" if step % 7 == 6 else "yield", Looks(HOSTILE[step % 6]))
    assert_well_drawn(SkewPlot(log, source=names[0], branches=names[1:], bound=steps % 4))


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"source": "wrds", "branches": ["a"]}, "no stage 'wrds' in this log; it has words, a, b, c"),
        ({"source": "words", "branches": []}, "branches must be names of stages, at least one, got []"),
        ({"source": "words", "branches": "ab"}, "branches must be names of stages, at least one, got 'ab'"),
        ({"source": "words", "branches": ["a"], "bound": -1}, "bound must be >= 0, got -1"),
    ],
)
def test_a_skew_plot_refuses_what_it_cannot_draw(arguments: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"SkewPlot: {complaint}")):
        SkewPlot(split_by([0], 1), **arguments)  # type: ignore[arg-type]


# The async timeline


def spans(timeline: Timeline) -> list[tuple[object, float, float | None, float | None]]:
    """Of each call: its item, and when it began, ended and was handed on."""
    return [(call.item, *call[2:5]) for call in timeline.calls]


def test_in_order_the_last_two_wait_for_the_slow_one() -> None:
    handed_on = (0.1, 0.2, 0.3, 0.4, 0.5, 2.0, 2.0, 2.0)
    assert spans(ordered()) == [(d, 0.0, d, left) for d, left in zip(DELAYS, handed_on, strict=True)]
    assert ordered().readers == (("you", handed_on),)


def test_as_completed_nobody_waits() -> None:
    assert spans(as_completed()) == [(d, 0.0, d, d) for d in DELAYS]
    assert as_completed().readers == (("you", tuple(sorted(DELAYS))),)
    assert not any(call.waits for call in as_completed().calls)


def test_in_batches_the_first_waits_for_the_last_of_its_batch() -> None:
    full = {0.1: 0.3, 0.2: 0.3, 0.3: 0.3, 0.4: 0.7, 0.5: 0.7, 0.7: 0.7, 0.8: 2.0, 2.0: 2.0}
    assert spans(batched())[:8] == [(d, 0.0, d, full[d]) for d in DELAYS]
    assert spans(batched())[8:] == [
        ([0.1, 0.2, 0.3], 0.3, 0.6, 0.6),
        ([0.4, 0.5, 0.7], 0.7, 1.0, 1.0),
        ([0.8, 2.0], 2.0, 2.3, 2.3),
    ]


def test_a_slow_reader_keeps_calls_from_beginning() -> None:
    timeline = backpressured()
    got = (0.1, 0.6, 1.1, 1.6, 2.1, 3.1, 3.6, 4.1)
    # Two may wait behind the next one: the n-th begins when the one three before it has been handed on.
    began = (0.0, 0.0, 0.0, *got[:5])
    ended = [round(at + d, 9) for at, d in zip(began, DELAYS, strict=True)]
    assert spans(timeline) == [*zip(DELAYS, began, ended, got, strict=True)]
    assert (timeline.most_running, timeline.most_held) == (3, 3)
    assert ordered().most_held == as_completed().most_running == 8


@pytest.mark.parametrize("way", FOUR_WAYS.values(), ids=FOUR_WAYS)
def test_each_way_is_well_drawn_and_reads_the_same_from_its_lines(way: Callable[[], Timeline]) -> None:
    timeline = way()
    assert_well_drawn(timeline)
    told = [title.text for title in parsed(timeline).findall(f"{SVG}g/{SVG}title")]
    assert told == timeline.alt.split("; ")[3:-1]
    log = AsyncLog()

    async def read() -> None:
        async for _ in log.seen(amap(log.calls(asyncio.sleep), concurrency=2)(DELAYS)):
            pass

    run(read())
    back = Timeline(read_log(log.to_jsonl()))
    assert (back.to_svg(), repr(back)) == (Timeline(log).to_svg(), repr(Timeline(log)))


def test_the_four_ways_look_different() -> None:
    for look in (Timeline.to_svg, Timeline.to_text, lambda timeline: timeline.alt):
        assert len({look(way()) for way in FOUR_WAYS.values()}) == 4


def test_how_long_a_bar_is_says_how_long_it_took() -> None:
    bars = [line[12:73] for line in ordered().to_text().splitlines()[1:9]]
    for bar, delay in zip(bars, DELAYS, strict=True):
        assert bar.count("#") == round(delay * 30) and bar.strip()[-1] == "|"
    assert [bar.count(".") for bar in bars] == [0, 0, 0, 0, 0, 0, 39, 36]
    svg = parsed(ordered())
    widths = [int(rect.get("width", 0)) for rect in svg.findall(f"{SVG}g/{SVG}rect[@height='14']")][:8]
    assert widths == [28, 56, 84, 112, 140, 560, 196, 364]


def test_calls_that_came_to_another_end_say_which() -> None:
    async def does(item: str) -> str:
        await asyncio.sleep({"first": 0.25, "early": 0.5, "fails": 1}.get(item, 2))
        if item == "fails":
            raise LookupError(item)
        return item

    async def read(log: AsyncLog, items: list[str], breaks_off: bool) -> None:
        stream = log.seen(amap(log.calls(does), concurrency=3)(items))
        with suppress(LookupError):
            async for _ in stream:
                if breaks_off:
                    await asyncio.sleep(1)
                    break
        await stream.aclose()

    log = AsyncLog()
    run(read(log, ["first", "slow", "early"], True))
    log.events.append(Event(1.25, "does 9", "open", "late"))
    broken_off = Timeline(log)
    assert [call.outcome for call in broken_off.calls] == ["handed on", "cancelled", "kept", "runs on"]
    assert broken_off.alt.split("; ")[4:7] == [
        "does('slow') was cancelled at 1.25 s",
        "does('early') ended at 0.5 s and was never handed on",
        "does('late') never ended",
    ]
    log = AsyncLog()
    run(read(log, ["first", "fails", "slow"], False))
    failed = Timeline(log)
    assert [call.outcome for call in failed.calls] == ["handed on", "failed", "cancelled"]
    assert "! failed" in failed.to_text() and "x cancelled" in broken_off.to_text()
    for picture in (failed, broken_off):
        assert_well_drawn(picture)


def test_the_same_number_from_two_calls_is_two_results() -> None:
    log = AsyncLog()

    async def read() -> None:
        halves = amap(log.calls(lambda n: n // 2, "half")) | amap(log.calls(lambda n: n, "same"))
        async for _ in log.seen(halves([2, 3, 1])):
            await asyncio.sleep(1)

    run(read())
    assert [(call.name, call.left) for call in Timeline(log).calls] == [
        ("half 1", 0), ("same 1", 0), ("half 2", 1), ("same 2", 1), ("half 3", 2), ("same 3", 2),
    ]  # fmt: skip


def test_a_number_that_a_stage_gave_is_not_handed_on_by_its_own_next_call() -> None:
    async def half(n: int) -> int:
        await asyncio.sleep(2 if n == 4 else 0)
        return n // 2

    log = AsyncLog()

    async def read() -> None:
        async for _ in log.seen(amap(log.calls(half), concurrency=2, max_ahead=2)([4, 2, 1])):
            pass

    run(read())
    # The call with 1 begins while the 1 that came of 2 waits for the slow one.
    assert [call[1:5] for call in Timeline(log).calls] == [(4, 0, 2, 2), (2, 0, 0, 2), (1, 0, 0, 2)]


def test_what_is_hatched_stays_in_its_frame() -> None:
    hatched = parsed(ordered()).findall(f"{SVG}g/{SVG}path[@d]")
    frames = parsed(ordered()).findall(f"{SVG}g/{SVG}rect[@fill='none']")
    lines = [path.get("d", "") for path in hatched if path.get("d", "").count("M") > 2]
    assert len(lines) == len(frames) == 3  # two results that wait, and the key
    for drawn, frame in zip(lines, frames, strict=True):
        x, y, width, height = (int(frame.get(name, 0)) for name in ("x", "y", "width", "height"))
        points = re.findall(r"(-?\d+) (-?\d+)", drawn)
        assert points and all(x <= int(h) <= x + width and y <= int(v) <= y + height for h, v in points)


@st.composite
def timed(draw: st.DrawFn) -> Log:
    """A log as it might be: what is opened may be with an item, time goes on, and nothing else is sure."""
    now = 0.0
    log = Log(clock=lambda: now)
    rows = draw(st.lists(stages, min_size=1, max_size=5, unique=True))
    steps = st.tuples(st.sampled_from(rows), st.integers(1, 3), kinds, looks, st.floats(0, 1e6))
    for row, number, kind, item, step in draw(st.lists(steps, max_size=60)):
        now += step
        log.note(f"{row} {number}" if kind != "pull" else row, kind, None if kind == "close" else item)
    return log


@settings(deadline=None)
@given(timed(), st.integers(1, 20), st.integers(10, 80))
def test_a_timeline_is_well_drawn_whatever_stands_in_it(log: Log, most: int, wide: int) -> None:
    picture = Timeline(log, most=most, wide=wide)
    assert_well_drawn(picture)
    opened = {event.stage for event in log.events if event.kind == "open"}
    asked = {event.stage for event in log.events if event.kind == "pull"}
    assert picture.all_calls == len(opened - asked) and len(picture.calls) == min(most, picture.all_calls)
    assert max(map(len, picture.to_text().splitlines())) <= 28 + wide + 45


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [({"most": 0}, "most must be >= 1, got 0"), ({"wide": 9}, "wide must be >= 10, got 9")],
)
def test_a_timeline_refuses_what_it_cannot_draw(arguments: dict[str, int], complaint: str) -> None:
    with pytest.raises(ValueError, match=f"Timeline: {complaint}"):
        Timeline(Log(), **arguments)


def test_a_log_has_the_times_of_its_clock() -> None:
    log = Log(clock=iter([0.5, 0.75]).__next__)
    log.note("a", "open"), log.note("a", "close")
    assert [event.t for event in log.events] == [0.5, 0.75]


# The memory curve

MEASURED = {
    "eager": [Usage(n, 40 * n + 100, 44 * n) for n in (1000, 2000, 4000)],
    "<lazy> & $x^2$": [Usage(n, 816, 0) for n in (1000, 2000, 4000)],
}


def test_the_same_measurements_give_the_same_curve() -> None:
    one, two = MemoryCurve(MEASURED), MemoryCurve({name: usages[::-1] for name, usages in MEASURED.items()})
    assert one.to_svg() == two.to_svg()
    svg = parsed(one)
    assert svg.get("role") == "img" and svg.get("aria-label") == svg[1].text == one.alt
    written = {"".join(text.itertext()).strip() for text in svg.iter(f"{SVG}text")}
    assert {"eager grows by 40.0 bytes an item", "<lazy> & $x^2$ grows by 0.0 bytes an item"} <= written
    assert "3,000" in written  # the axis reaches as far as the measurements
    assert not re.search(r"20\d\d-\d\d-\d\d|matplotlib v", one.to_svg())


def test_the_slope_is_in_bytes_an_item() -> None:
    curve = MemoryCurve(MEASURED)
    assert curve.slope("eager") == pytest.approx(40) and curve.slope("<lazy> & $x^2$") == pytest.approx(0)
    assert "eager grows by 40.0 bytes an item" in curve.to_text() and "40.0 bytes an item" in curve.alt


def test_a_missing_extra_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(curves, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=re.escape("pip install 'funcpipe-rag[course]'")):
        MemoryCurve(MEASURED).to_svg()
    with pytest.raises(ModuleNotFoundError, match="needs memory-profiler"):
        memory_curve(total_from_list)


def test_both_measures_see_what_is_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Held for as long as a search takes, so that whoever looks now and then sees it as well.
    text = "def holds(items):\n    held = b'x' * (100 * items)\n    return sum(held.count(b'y') for _ in range(60))\n"
    (tmp_path / "holding_demo.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    import holding_demo

    curve = memory_curve(holding_demo.holds, average_in_turns, items=(50_000, 150_000))
    assert curve.slope("holds") == pytest.approx(100, abs=1)
    assert curve.slope("average_in_turns") == pytest.approx(0, abs=1)
    held, lazy_end = (usages[-1] for usages in curve.measured.values())
    assert held.rss > 12 * MIB > MIB > lazy_end.rss


@pytest.mark.parametrize(
    ("ways", "items", "complaint"),
    [
        ([], (1, 2), "wants functions that differ in name, at least one, got []"),
        ([total_from_list, total_from_list], (1, 2), "wants functions that differ in name"),
        ([total_from_list], (5, 5), "items must be at least two different sizes, got [5, 5]"),
        ([total_from_list], (0, 5), "items must be >= 1, got 0"),
        ([lambda items: items], (1, 2), "<lambda> must stand in a module"),
    ],
)
def test_a_curve_refuses_what_it_cannot_measure(
    ways: list[Callable[[int], object]], items: tuple[int, ...], complaint: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(f"memory_curve: {complaint}")):
        memory_curve(*ways, items=items)


def test_a_function_that_fails_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "failing_demo.py").write_text("def fails(items):\n    raise LookupError(f'not {items}')\n")
    monkeypatch.syspath_prepend(tmp_path)
    import failing_demo

    with pytest.raises(RuntimeError, match="memory_curve: fails failed with 3 items: LookupError: not 3"):
        memory_curve(failing_demo.fails, items=(3, 4))


# The memory demos


def peak(demo: Callable[[int], object], items: int) -> int:
    tracemalloc.start()
    try:
        demo(items)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("pair", MEMORY_DEMOS, ids=[lazy.__name__ for _, lazy in MEMORY_DEMOS])
def test_the_lazy_one_stays_flat_and_the_eager_one_grows(
    pair: tuple[Callable[[int], float], Callable[[int], float]],
) -> None:
    eager_demo, lazy_demo = pair
    assert eager_demo(1000) == lazy_demo(1000)  # also brings in what they import
    assert peak(lazy_demo, 10**6) - peak(lazy_demo, 10**4) < MIB
    assert peak(eager_demo, 10**6) - peak(eager_demo, 10**4) > 30 * MIB


@pytest.mark.parametrize("demo", [demo for pair in MEMORY_DEMOS for demo in pair])
def test_each_states_its_bound(demo: Callable[[int], float]) -> None:
    assert "Memory: " in (demo.__doc__ or "")


def test_the_pipeline_holds_one_document_as_a_stream_and_all_of_them_in_lists() -> None:
    assert chunks_from_lists(20) == chunks_from_stream(20) > 20
    assert peak(chunks_from_stream, 400) - peak(chunks_from_stream, 100) < MIB // 64
    # A document is more than a thousand characters long.
    assert peak(chunks_from_lists, 400) - peak(chunks_from_lists, 100) > 300 * 2000


@pytest.mark.parametrize("demo", [chunks_from_lists, chunks_from_stream])
def test_each_of_the_pipelines_states_its_bound(demo: Callable[[int], int]) -> None:
    assert "Memory: " in (demo.__doc__ or "")


def test_side_by_side_holds_what_may_run_and_a_task_for_every_item_holds_them_all() -> None:
    assert total_from_tasks(1000) == total_from_amap(1000) == sum(range(1000, 2000))
    assert peak(total_from_amap, 50_000) - peak(total_from_amap, 1000) < MIB
    assert peak(total_from_tasks, 10_000) - peak(total_from_tasks, 1000) > 9_000 * 1024


@pytest.mark.parametrize("demo", [total_from_tasks, total_from_amap])
def test_each_of_the_two_ways_side_by_side_states_its_bound(demo: Callable[[int], int]) -> None:
    assert "Memory: " in (demo.__doc__ or "")


def test_a_line_profiler_finds_their_lines() -> None:
    from memory_profiler import LineProfiler

    profiler = LineProfiler()
    assert profiler(total_from_list)(1000) == total_from_list(1000)
    ((_, lines),) = profiler.code_map.items()
    assert len([line for line, measured in lines if measured]) >= 2


def test_mprof_records_them(tmp_path: Path) -> None:
    mprof = Path(sys.executable).with_name("mprof")
    demo = [sys.executable, "-m", "funcpipe_rag.plots.memory_demos", "average_in_turns", "20000"]
    command = [mprof, "run", "--interval", "0.01", "--output", "usage.dat", *demo]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "10999.5" in done.stdout
    assert (tmp_path / "usage.dat").read_text().count("MEM ") > 1


def test_a_demo_that_is_not_there_is_said_to_be() -> None:
    command = [sys.executable, "-m", "funcpipe_rag.plots.memory_demos", "total_from_lsit", "10"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "NAME is total_from_list" in done.stderr


# The ingest dashboard


def logged(n: int, *, every: float = 0.5) -> Iterator[Logged]:
    """Documents that are indexed in groups of ten, every seventh unreadable; then one removed."""
    for at in range(n):
        kind = "quarantined" if at % 7 == 6 else "indexed"
        yield Logged(every * (at // 10 + 1), (30 + at % 5) * MIB, Built(kind, f"{at}.md", chunks=2))  # type: ignore[arg-type]
    yield Logged(every * (n // 10 + 2), 31 * MIB, Built("removed", "gone.md"))


def test_a_dashboard_counts_what_the_log_tells() -> None:
    board = IngestDashboard(logged(700))
    last = board.samples[-1]
    assert (last.documents, last.chunks, last.failures) == (700, 1400, 100)
    assert board.alt == (
        "700 documents in 36.0 seconds, 19 a second; 1,400 chunks; 100 could not be read; at most 34 MiB of memory"
    )
    svg = parsed(board)
    written = {"".join(text.itertext()).strip() for text in svg.iter(f"{SVG}text")}
    assert {"documents a second", "chunks so far", "memory of the process, MiB", "seconds"} <= written
    assert svg[1].text == svg.get("aria-label") == board.alt
    assert any(label in written for label in ("30", "35")) and any(
        label in written for label in ("1,250", "1,400")
    )
    # Ten documents come at a time, every half second: that is 20 a second, whenever one looks.
    rates = [float(line.split()[2]) for line in board.to_text().splitlines()[1:-1]]
    assert all(15 <= rate <= 25 for rate in rates)


def test_a_dashboard_holds_as_much_of_a_long_build_as_of_a_short_one() -> None:
    long = IngestDashboard(logged(200_000, every=0.01))
    assert len(long.samples) <= 242
    assert long.samples[-1].documents == 200_000
    gaps = [b.t - a.t for a, b in pairwise(long.samples[:-1])]
    assert max(gaps) < 10 * long.samples[-1].t / 120


def test_a_dashboard_of_nothing_says_so() -> None:
    board = IngestDashboard()
    assert board.alt == "No document has been seen."
    assert board.to_text().startswith("seconds  documents")
    parsed(board)


def test_a_build_is_watched_as_it_goes_and_its_log_draws_the_same(tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    for n in range(30):
        (docs / f"{n:02}.md").write_bytes(
            b"caf\xe9" if n == 7 else b"# One\n\nA tee splits a stream.\n" * (n + 1)
        )
    board, lines = IngestDashboard(), []
    events = gen_ingest(tmp_path / "i.db", make_docs_source(docs, on_error="collect")(), RagEnv(200))
    times = iter(range(100))
    for event in board.watch(events, clock=lambda: float(next(times)), memory=lambda: 40 * MIB):
        lines.append(log_line(Logged(float(len(lines) + 1), 40 * MIB, event)))
    (tmp_path / "log.jsonl").write_text("\n".join(lines))
    again = IngestDashboard(read_build_log(tmp_path / "log.jsonl"))
    assert board.samples == again.samples and board.to_svg() == again.to_svg()
    assert board.samples[-1].failures == 1
    (tmp_path / "log.jsonl").write_text(f"{lines[0]}\n{lines[1][:20]}")
    with pytest.raises(ValueError, match=r"log.jsonl:2: is no line of a build's log"):
        IngestDashboard(read_build_log(tmp_path / "log.jsonl"))


def peak_of(way: Callable[[int], object], items: int) -> int:
    tracemalloc.start()
    way(items)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak


def test_an_index_is_made_in_memory_that_does_not_grow_with_the_documents() -> None:
    # From one megabyte of text to ten.
    assert peak_of(ingest_from_stream, 1000) - peak_of(ingest_from_stream, 100) < 1 * MIB
    # The other holds what it has read: the measure can tell the two apart.
    assert peak_of(ingest_from_lists, 200) - peak_of(ingest_from_lists, 100) > 2 * MIB
