"""What people write in place of the late merge."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from typing import Any

from funcpipe_rag.streams.lateness import make_merge_late

from .mutant import mutant

Source = Callable[[], Any]


def _told(on_late: Any, report: Any, row: Any, place: int, index: int) -> None:
    if callable(on_late):
        on_late(row)
    elif on_late == "fail":
        raise ValueError(f"source {place} is late at index {index}")
    elif report is not None:
        report(row)


def _merged(
    sources: tuple[Source, ...],
    ts: Any,
    lateness: Any,
    on_late: Any = "fail",
    report: Any = None,
    *,
    asked: Callable[[dict[int, Any], dict[int, Any]], int] = lambda live, latest: min(
        live, key=lambda place: (latest[place], place)
    ),
    mark: Callable[[list[tuple[Any, int]]], Any] = min,
    ties: bool = True,
    told: Callable[..., None] = _told,
) -> Source:
    """A late merge with what it asks, waits for and tells left open; it closes nothing."""

    def run() -> Iterator[Any]:
        live = {place: source() for place, source in enumerate(sources)}
        index = dict.fromkeys(live, -1)
        latest: dict[int, Any] = {}
        held: list[Any] = []
        last: Any = None
        while live or held:
            unread = [place for place in live if place not in latest]
            if held and not unread:
                at = mark([(latest[place], place) for place in live]) if live else None
                bound = None if at is None else (at[0] - lateness, at[1] if ties else len(sources))
                if bound is None or held[0][:2] <= bound:
                    last, _place, _index, row = heapq.heappop(held)
                    yield row
                    continue
            place = unread[0] if unread else asked(live, latest)
            try:
                row = next(live[place])
            except StopIteration:
                del live[place]
                continue
            index[place] += 1
            latest[place] = max(latest.get(place, ts(row)), ts(row))
            if last is not None and ts(row) < last:
                told(on_late, report, row, place, index[place])
            else:
                heapq.heappush(held, (ts(row), place, index[place], row))

    return run


@mutant(of="make_merge_late", killed_by="merge-late-sorts-what-is-in-time")
def trusts_its_sources(*sources: Source, ts: Any, lateness: Any, **_: Any) -> Source:
    """Hands its sources to `heapq.merge`, which takes each for sorted."""

    def run() -> Iterator[Any]:
        yield from heapq.merge(*(source() for source in sources), key=ts)

    return run


@mutant(of="make_merge_late", killed_by="merge-late-gives-before-it-asks")
def sorts_first(*sources: Source, ts: Any, lateness: Any, **_: Any) -> Source:
    """Reads everything and sorts it: nothing is ever late, and nothing comes before the end."""

    def run() -> Iterator[Any]:
        yield from sorted((row for source in sources for row in source()), key=ts)

    return run


@mutant(of="make_merge_late", killed_by="merge-late-sorts-what-is-in-time")
def goes_by_the_fastest(*sources: Source, **how: Any) -> Source:
    """Takes the largest time of all sources for the watermark: whoever is behind is late."""
    return _merged(sources, mark=max, **how)


@mutant(of="make_merge_late", killed_by="merge-late-sorts-what-is-in-time")
def first_come_among_equals(*sources: Source, **how: Any) -> Source:
    """Gives what stands at the watermark at once, though an equal one of an earlier source may still come."""
    return _merged(sources, ties=False, **how)


@mutant(of="make_merge_late", killed_by="merge-late-asks-the-one-furthest-behind")
def asks_the_first_that_lives(*sources: Source, **how: Any) -> Source:
    """Asks the first source that has not ended, and holds all it gives until the others are asked."""
    return _merged(sources, asked=lambda live, latest: min(live), **how)


@mutant(of="make_merge_late", killed_by="merge-late-tells-of-each-late-item")
def drops_the_late_in_silence(*sources: Source, **how: Any) -> Source:
    """Leaves late items out, and tells nobody."""
    return _merged(sources, told=lambda *_: None, **how)


@mutant(of="make_merge_late", killed_by="merge-late-skips-or-fails-as-it-was-told")
def never_fails(*sources: Source, **how: Any) -> Source:
    """Knows "skip" alone: an error that was asked for does not come."""
    kinder = {**how, "on_late": "skip"} if how.get("on_late") == "fail" else how
    return _merged(sources, **kinder)


@mutant(of="make_merge_late", killed_by="merge-late-passes-errors-on")
def loses_what_it_holds(*sources: Source, **how: Any) -> Source:
    """Lets a source's error out at once: what the source gave before it, and is still held, never comes."""
    return _merged(sources, **how)


@mutant(of="make_merge_late", killed_by="merge-late-opens-nothing-at-birth")
def opens_at_birth(*sources: Source, **how: Any) -> Source:
    """Calls every source while the stream is still being built."""
    opened = [source() for source in sources]
    return make_merge_late(*(lambda it=it: it for it in opened), **how)


@mutant(of="make_merge_late", killed_by="merge-late-starts-afresh")
def one_stream_for_all(*sources: Source, **how: Any) -> Source:
    """Makes the stream once and hands it out again and again."""
    kept: list[Any] = []

    def run() -> Iterator[Any]:
        if not kept:
            kept.append(make_merge_late(*sources, **how)())
        yield from (row for row in kept[0])

    return run


@mutant(of="make_merge_late", killed_by="merge-late-closes-what-it-opened-last-first")
def leaves_its_sources_open(*sources: Source, **how: Any) -> Source:
    """Reads each source through a generator of its own, closes that, and takes the source for closed."""
    return make_merge_late(*(lambda source=source: (row for row in source()) for source in sources), **how)


def _again(source: Source) -> Iterator[Any]:
    it = source()
    yield from it
    yield from it


@mutant(of="make_merge_late", killed_by="merge-late-pays-once-for-each-end")
def asks_the_ended_again(*sources: Source, **how: Any) -> Source:
    """Makes sure of each end by asking again."""
    return make_merge_late(*(lambda source=source: _again(source) for source in sources), **how)
