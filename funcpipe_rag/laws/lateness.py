"""The laws of late fan-in: sources that are nearly in order, one stream that is."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate, islice
from typing import Any

from funcpipe_rag.streams.probe import Probe

from .inputs import Items, SourceSpec, choice, integers, numbers, several, sources
from .law import holds, law, same, times
from .stages import passes_errors_on, read_and_close
from .worlds import World

Row = tuple[int, int, int]
"""An item here: its time, its source, its place in the source."""


def _time(row: Row) -> int:
    return row[0]


def _rows(times_of: list[Items]) -> list[list[Row]]:
    return [[(when, place, at) for at, when in enumerate(given)] for place, given in enumerate(times_of)]


def _specs(rows: list[list[Row]], **how: Any) -> list[SourceSpec]:
    return [SourceSpec(tuple(given), **how) for given in rows]


def _disorder(rows: list[list[Row]]) -> int:
    """How far an item lags behind the latest before it, at most: the lateness with which nothing is late."""
    behind = [0]
    for given in rows:
        behind += [
            latest - _time(row) for latest, row in zip(accumulate(map(_time, given), max), given, strict=True)
        ]
    return max(behind)


TIMES = several(numbers(most=5), most=3)


@law(
    "merge-late-sorts-what-is-in-time",
    about="make_merge_late",
    promise="same answer",
    says="Sources that are out of order by no more than `lateness` come out sorted, ties in the order of the sources.",
    hint="Which item was given while an older one could still come? Where does an equal one belong?",
    times=TIMES,
    more=integers(0, 2),
)
def _(world: World, make_merge_late: Any, times: list[Items], more: int) -> None:
    rows = _rows(times)
    made = make_merge_late(*world.sources(_specs(rows)), ts=_time, lateness=_disorder(rows) + more)
    same(world.items(world.run(made)), sorted(row for given in rows for row in given))


@law(
    "merge-late-tells-of-each-late-item",
    about="make_merge_late",
    promise="same answer",
    says="Every item is given in order or told as late, once; and late is what is older than an item given before.",
    hint="Add up what was given and what was told. Which item is in neither, or in both?",
    times=TIMES,
    lateness=integers(0, 3),
)
def _(world: World, make_merge_late: Any, times: list[Items], lateness: int) -> None:
    rows = _rows(times)
    late: list[Row] = []
    given: list[Row] = []

    def told(row: Row) -> None:
        holds(
            bool(given) and _time(row) < _time(given[-1]),
            f"{row} was told as late after {given[-1:]}",
            "in time",
        )
        late.append(row)

    made = make_merge_late(*world.sources(_specs(rows)), ts=_time, lateness=lateness, on_late=told)
    for row in world.iterator(world.run(made)):
        holds(not given or _time(given[-1]) <= _time(row), f"{row} came after {given[-1:]}", "a rising order")
        given.append(row)
        holds(len(given) <= 99, "it gave more than 99 items", "an end")
    same(
        sorted([*given, *late]),
        sorted(row for source in rows for row in source),
        "given and told together: {}",
    )


@law(
    "merge-late-skips-or-fails-as-it-was-told",
    about="make_merge_late",
    promise="same answer",
    says='"skip" gives the rest and reports each late item; "fail" is a ValueError that names the source and the index.',
    hint="What became of the late item? Who was told?",
    times=several(numbers(most=5), most=2),
    on_late=choice("skip", "fail"),
)
def _(world: World, make_merge_late: Any, times: list[Items], on_late: str) -> None:
    rows = _rows(times)
    late: list[Row] = []
    made = make_merge_late(*world.sources(_specs(rows)), ts=_time, lateness=0, on_late=late.append)
    in_time = world.items(world.run(made))
    reported: list[object] = []
    options = {"report": reported.append} if on_late == "skip" else {}
    made = make_merge_late(*world.sources(_specs(rows)), ts=_time, lateness=0, on_late=on_late, **options)
    got = []
    try:
        for row in islice(world.iterator(world.run(made)), 99):
            got.append(row)
    except ValueError as error:
        holds(on_late == "fail" and bool(late), f"ValueError: {error}", "no error")
        _when, place, at = late[0]
        named = f"source {place}" in str(error) and f"index {at}" in str(error)
        holds(named, f"ValueError: {error}", f"a ValueError that names source {place} and index {at}")
        same(got, in_time[: len(got)], "before the error it gave {}")
    else:
        holds(on_late == "skip" or not late, f"{got} and no error", f"a ValueError for {late[:1]}")
        same(got, in_time)
        same(len(reported), len(late) if on_late == "skip" else 0, "{} were reported")


@law(
    "merge-late-opens-nothing-at-birth",
    about="make_merge_late",
    promise="on demand",
    says="Building the stream opens no source: the first question does.",
    hint="Which line calls the sources before anybody has asked for an item?",
    sources=several(sources(numbers(most=3), "endless", handed=["iterator"]), least=1, most=3),
)
def _(world: World, make_merge_late: Any, sources: list[SourceSpec]) -> None:
    probes = world.sources(sources)
    world.iterator(world.run(make_merge_late(*probes, ts=abs, lateness=1)))
    opened = [probe.name for probe in probes if probe.opens]
    holds(not opened, f"{', '.join(opened)} opened before the first question", "none")


def _pulls(
    world: World, probes: list[Probe], rows: list[list[Row]]
) -> Iterator[tuple[int, list[list[Row]], list[Row]]]:
    """Each pull, as it was: of which source, what each live source had given, and what you had got."""
    places = {probe.name: place for place, probe in enumerate(probes)}
    known: list[list[Row]] = [[] for _ in rows]
    got: list[Row] = []
    for event in world.log.events:
        place = places.get(event.stage)
        if event.kind == "pull" and place is not None:
            yield place, known, got
        elif event.kind == "yield" and place is not None:
            known[place].append(rows[place][len(known[place])])
        elif event.kind == "yield":
            got.append(tuple(event.item))  # type: ignore[arg-type]


def _latest(known: list[list[Row]], place: int) -> tuple[int, int]:
    return max(map(_time, known[place])), place


@law(
    "merge-late-asks-the-one-furthest-behind",
    about="make_merge_late",
    promise="on demand",
    says="The source that is asked is the one whose latest item is the oldest; of equals, the first.",
    hint="Whose clock holds the watermark back? Who was asked in its place?",
    times=several(numbers(least=1, most=4), least=1, most=3),
    lateness=integers(0, 3),
)
def _(world: World, make_merge_late: Any, times: list[Items], lateness: int) -> None:
    rows = _rows(times)
    probes = world.sources(_specs(rows))
    made = make_merge_late(*probes, ts=_time, lateness=lateness, on_late=_nothing)
    world.items(world.run(made))
    ended: set[int] = set()
    for place, known, _got in _pulls(world, probes, rows):
        waiting = [p for p in range(len(rows)) if not known[p]]
        live = [_latest(known, p) for p in range(len(rows)) if p not in ended and known[p]]
        expected = waiting[0] if waiting else min(live)[1] if live else None
        holds(place == expected, f"source {place} was asked", f"source {expected}")
        if len(known[place]) == len(rows[place]):
            ended.add(place)


def _nothing(row: Row) -> None:
    return None


@law(
    "merge-late-gives-before-it-asks",
    about="make_merge_late",
    promise="on demand",
    says="No source is asked while an item is held that nothing in time could come before.",
    hint="What did you hold when you asked? Compare it with the watermark.",
    times=several(numbers(least=1, most=4), least=1, most=3),
    lateness=integers(0, 3),
    k=integers(1, 6),
)
def _(world: World, make_merge_late: Any, times: list[Items], lateness: int, k: int) -> None:
    rows = _rows(times)
    probes = world.sources(_specs(rows))
    late: list[Row] = []
    made = make_merge_late(*probes, ts=_time, lateness=lateness, on_late=late.append)
    list(islice(world.iterator(world.run(made)), k))
    ended: set[int] = set()
    for place, known, got in _pulls(world, probes, rows):
        live = [_latest(known, p) for p in range(len(rows)) if p not in ended and known[p]]
        held = [row for given in known for row in given if row not in got and row not in late]
        if all(known) and held:
            when, slowest = min(live)
            row = min(held)
            holds(
                row[:2] > (when - lateness, slowest),
                f"source {place} was asked while {row} could be given",
                "given",
            )
        if len(known[place]) == len(rows[place]):
            ended.add(place)


@law(
    "merge-late-pays-once-for-each-end",
    about="make_merge_late",
    promise="on demand",
    says="Read to its end, the stream costs one pull for each item and one for each source's end.",
    hint="Which source is asked again after it has said that it is at its end?",
    times=TIMES,
)
def _(world: World, make_merge_late: Any, times: list[Items]) -> None:
    rows = _rows(times)
    probes = world.sources(_specs(rows))
    world.items(world.run(make_merge_late(*probes, ts=_time, lateness=_disorder(rows))))
    for probe, given in zip(probes, rows, strict=True):
        holds(
            probe.pulls <= len(given) + 1,
            f"{probe.name} was asked {_often(probe.pulls)}",
            "once for each item and the end",
        )


_often = times


@law(
    "merge-late-starts-afresh",
    about="make_merge_late",
    promise="fresh",
    says="Two runs of one source do not know of each other.",
    hint="What is kept outside the function that runs for each stream?",
    times=several(numbers(most=4), least=1, most=2),
    ahead=integers(0, 4),
)
def _(world: World, make_merge_late: Any, times: list[Items], ahead: int) -> None:
    rows = _rows(times)
    made = make_merge_late(*world.sources(_specs(rows)), ts=_time, lateness=_disorder(rows))
    expected = sorted(row for given in rows for row in given)
    first = world.iterator(world.run(made))
    begun = list(islice(first, ahead))
    same(world.items(world.run(made)), expected, "the second stream gave {}")
    same([*begun, *islice(first, 99)], expected, "the first stream gave {}")


@law(
    "merge-late-closes-what-it-opened-last-first",
    about="make_merge_late",
    promise="closed",
    says="Stop half-way, and every source that was opened is closed: once, the last opened first, and though one cannot be.",
    hint="Who closes the sources, and what happens to the lines after a close() that raises?",
    sources=several(sources(numbers(least=1), "ends", "raises"), least=1, most=3),
    stubborn=integers(0, 3),
    k=integers(0, 6),
)
def _(world: World, make_merge_late: Any, sources: list[SourceSpec], stubborn: int, k: int) -> None:
    specs = [spec._replace(raises_on_close=place == stubborn) for place, spec in enumerate(sources)]
    probes = world.sources(specs)
    read_and_close(world.run(make_merge_late(*probes, ts=abs, lateness=5)), k)
    for probe in probes:
        holds(
            probe.closes == probe.opens,
            f"{probe.name} was opened {times(probe.opens)} and closed {times(probe.closes)}",
            "closed as often as opened",
        )
    ran_out = [
        probe.name
        for probe, spec in zip(probes, specs, strict=True)
        if probe.pulls > len(spec.items) or spec.raises_at is not None
    ]
    opened = [event.stage for event in world.log.events if event.kind == "open"]
    closed = [event.stage for event in world.log.events if event.kind == "close" and event.stage != "you"]
    live = [stage for stage in closed if stage not in ran_out]
    same(live, [stage for stage in reversed(opened) if stage in live], "closed in the order {}")


@law(
    "merge-late-passes-errors-on",
    about="make_merge_late",
    promise="same answer",
    late=True,
    says="A source's error reaches you as it is, behind the items that this source gave before it.",
    hint="Which items of that source were still held when the error came?",
    times=several(numbers(most=4), most=2),
    raising=numbers(most=4),
    at=integers(0, 2),
    more=integers(0, 2),
)
def _(world: World, make_merge_late: Any, times: list[Items], raising: Items, at: int, more: int) -> None:
    bad = min(at, len(times))
    rows = _rows([*times[:bad], raising, *times[bad:]])
    specs = _specs(rows)
    specs[bad] = specs[bad]._replace(raises_at=len(raising))
    in_order = sorted(row for given in rows for row in given)
    expected = in_order[: in_order.index(max(rows[bad])) + 1] if raising else []
    made = make_merge_late(*world.sources(specs), ts=_time, lateness=_disorder(rows) + more)
    passes_errors_on(world.run(made), expected)
