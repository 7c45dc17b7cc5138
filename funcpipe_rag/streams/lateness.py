"""Late fan-in: sources that are each nearly in order become one stream in order, and what comes too late is told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from heapq import heappop, heappush, heapreplace
from itertools import count
from typing import Any, Literal, TypeVar

from .arguments import a_function, sources as all_sources
from .counting import counted
from .ownership import Owned, named
from .reports import Failures, Told
from .stages import Source, Stage

T = TypeVar("T")


def make_merge_late(
    *sources: Source[T],
    ts: Callable[[T], Any],
    lateness: Any,
    on_late: Literal["fail", "skip"] | Callable[[T], object] = "fail",
    report: Told | None = None,
) -> Stage[[], Iterator[T]]:
    """Merge sources that are nearly sorted by `ts`: an item may come up to `lateness` after a later one.

    >>> from funcpipe_rag.streams.stages import as_source
    >>> seconds = as_source([1, 3, 2, 5]), as_source([2, 4])
    >>> list(make_merge_late(*seconds, ts=lambda t: t, lateness=1)())
    [1, 2, 2, 3, 4, 5]

    An item that is older than the last one given is late. `on_late="fail"` is an error, "skip" drops it and counts
    it, and a function is called with it in its place.

    >>> late = []
    >>> list(make_merge_late(as_source([1, 5, 9, 2, 10]), ts=lambda t: t, lateness=2, on_late=late.append)()), late
    ([1, 5, 9, 10], [2])

    The watermark is what no punctual item can come before: the least, over the sources that have not ended, of the
    largest `ts` seen, less `lateness`. What lies before it is given; ties come in the order of the sources, and of
    each source's items. Where nothing can be given yet, the source whose largest `ts` is least is asked (ties: the
    first). `ts` may give numbers with `lateness` a number, or datetimes with a timedelta.

    Class: pure. Demand: no source is asked while an item can be given; with `lateness=0`, that of `make_merge`. Memory:
    what each source has given within `lateness` of the watermark, and one item a source. Closing: closes every source
    it opened, last first; an exhausted one at once. Errors: an error of a source, or of `ts`, is raised behind that
    source's items before it, with a note that counts the items held from the others. So is the ValueError for a late
    item, which names source and index. A skipped item goes to `report` as an `Err`; without one, a RuntimeWarning at the
    stream's end tells how many there were. ValueError for `lateness` < 0 and another `on_late`.
    """
    all_sources("make_merge_late", sources)
    a_function("make_merge_late", "ts", ts)
    _a_span("make_merge_late", "lateness", lateness)
    if not callable(on_late) and on_late not in ("fail", "skip"):
        raise ValueError(f"make_merge_late: on_late must be 'fail', 'skip' or a function, got {on_late!r}")
    if report is not None:
        a_function("make_merge_late", "report", report)

    def run() -> Iterator[T]:
        with Failures("make_merge_late", "fail" if on_late == "fail" else "skip", report) as failures:

            def late(item: T, error: ValueError, index: int) -> None:
                if callable(on_late):
                    on_late(item)
                else:
                    failures.handle(error, item, index)

            yield from _in_time(sources, ts, lateness, late)

    options: dict[str, Any] = {"ts": ts, "lateness": lateness}
    if on_late != "fail":
        options["on_late"] = on_late
    return Stage(run, "source", "make_merge_late", *sources, **options).made_of(*sources)


def _in_time(
    sources: tuple[Source[T], ...],
    ts: Callable[[T], Any],
    lateness: Any,
    late: Callable[[T, ValueError, int], None],
) -> Iterator[T]:
    # Held items stand as (ts, place, arrival, item), live sources as (largest ts, place); arrivals differ, so
    # items are never compared.
    held: list[tuple[Any, int, int, T]] = []
    many = [0] * len(sources)
    live: list[tuple[Any, int]] = []
    unread = list(range(len(sources)))[::-1]
    failed: dict[int, Exception] = {}
    arrivals = count()
    last: Any = _NONE_YET
    with Owned() as owned:
        opened = [owned.called(source) for source in sources]
        streams = [counted(it) for it in opened]
        while held or live or unread:
            if held and not unread and (not live or held[0][:2] <= (live[0][0] - lateness, live[0][1])):
                last, place, _, item = heappop(held)
                many[place] -= 1
                yield item
                del item
                if place in failed and not many[place]:
                    _note(failed[place], place, len(held))
                    raise failed[place]
                continue
            # The source that is asked: one of which nothing is known yet, or the one that is furthest behind.
            newest: Any = _NONE_YET
            if unread:
                place = unread.pop()
            else:
                newest, place = live[0]
            it, so_far = streams[place]
            try:
                item = next(it, _NONE_YET)
                if item is not _NONE_YET:
                    when = ts(item)
                    if last is not _NONE_YET and when < last:
                        late(item, _late(place, so_far() - 1, when, last), so_far() - 1)
                    else:
                        heappush(held, (when, place, next(arrivals), item))
                        many[place] += 1
                    if newest is _NONE_YET:
                        heappush(live, (when, place))
                    elif newest < when:
                        heapreplace(live, (when, place))
                    del item
                    continue
                owned.release(opened[place])
            except Exception as error:
                failed[place] = error
                if not many[place]:
                    _note(error, place, len(held))
                    raise
            if newest is not _NONE_YET:
                heappop(live)


_NONE_YET: Any = object()


def _note(error: Exception, place: int, many: int) -> None:
    error.add_note(
        f"make_merge_late: raised by source {place}; {many} items held from the other sources were not given"
    )


def _late(place: int, index: int, when: object, last: object) -> ValueError:
    return ValueError(
        f"make_merge_late: source {place} is late at index {index}: {named(when)} came after {named(last)} had "
        "been given"
    )


def _a_span(where: str, argument: str, value: Any) -> None:
    """TypeError unless `value` is a number or another difference, ValueError when it is negative."""
    try:
        negative = isinstance(value - value, type(value)) and value < type(value)()
    except TypeError:
        raise TypeError(f"{where}: {argument} must be a number or a timedelta, got {value!r}") from None
    if negative or value != value:
        raise ValueError(f"{where}: {argument} must be >= 0, got {value!r}")
