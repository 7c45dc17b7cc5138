"""What people write in place of the stages over rows."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from funcpipe_rag.laws.rows import CAST, PROJECT, ROLLING_AVG
from funcpipe_rag.streams.results import Err

from .mutant import mutant
from .reports import policed
from .stages import Run, wrapped

for _family in (PROJECT, CAST, ROLLING_AVG):
    wrapped(_family)
for _family in (PROJECT, CAST):
    policed(_family)

Row = Mapping[str, Any]


@mutant(of="make_project", killed_by="make-project-equals-its-eager-twin")
def fills_with_none(*fields: str, rename: Mapping[str, str], **_: Any) -> Run:
    """Writes `row.get(field)`: what is missing comes out as None, and nobody hears of it."""

    def stream(xs: Iterable[Row]) -> Iterator[Any]:
        for row in xs:
            yield {rename.get(field, field): row.get(field) for field in fields}

    return stream


@mutant(of="make_project", killed_by="make-project-equals-its-eager-twin")
def keeps_the_row_s_order(*fields: str, rename: Mapping[str, str], **_: Any) -> Run:
    """Goes through the row, and not through what was asked for: the order is the row's."""

    def stream(xs: Iterable[Row]) -> Iterator[Any]:
        for row in xs:
            yield {rename.get(field, field): value for field, value in row.items() if field in fields}

    return stream


@mutant(of="make_cast", killed_by="make-cast-equals-its-eager-twin")
def loses_the_other_fields(types: Mapping[str, Callable[[Any], Any]], **_: Any) -> Run:
    """Gives the fields that it has cast, and no others."""

    def stream(xs: Iterable[Row]) -> Iterator[Any]:
        for row in xs:
            yield {field: function(row[field]) for field, function in types.items()}

    return stream


@mutant(of="make_cast", killed_by="make-cast-says-what-failed")
def lets_the_error_through(
    types: Mapping[str, Callable[[Any], Any]], *, on_error: str = "fail", report: Any = None
) -> Run:
    """Leaves it at int's own error: invalid literal '?', but in which field of which row?"""

    def stream(xs: Iterable[Row]) -> Iterator[Any]:
        for index, row in enumerate(xs):
            try:
                cast = {field: function(row[field]) for field, function in types.items()}
            except Exception as error:
                if on_error == "fail":
                    raise
                failure = Err(ValueError(str(error)), row, "mine", index)
                if on_error == "collect":
                    yield failure
                else:
                    report(failure)
            else:
                yield {**row, **cast}

    return stream


@mutant(of="make_rolling_avg_by_device", killed_by="make-rolling-avg-by-device-equals-its-eager-twin")
def one_window_for_all(w: int) -> Run:
    """Keeps one window, and puts every device's values into it."""

    def stream(xs: Iterable[Row]) -> Iterator[Any]:
        window: deque[Any] = deque(maxlen=w)
        for row in xs:
            window.append(row["value"])
            yield row["device"], sum(window) / len(window)

    return stream


@mutant(of="make_rolling_avg_by_device", killed_by="make-rolling-avg-by-device-equals-its-eager-twin")
def divides_by_w(w: int) -> Run:
    """Divides by `w` from the first row on: as if the rows that have not come had been zero."""

    def stream(xs: Iterable[Row]) -> Iterator[Any]:
        windows: defaultdict[Any, deque[Any]] = defaultdict(lambda: deque(maxlen=w))
        for row in xs:
            window = windows[row["device"]]
            window.append(row["value"])
            yield row["device"], sum(window) / w

    return stream


@mutant(
    of="make_rolling_avg_by_device", killed_by="make-rolling-avg-by-device-asks-for-no-more-than-it-needs"
)
def waits_for_whole_windows(w: int) -> Run:
    """Is silent until a device has had `w` rows: then it is one result a row no more."""

    def stream(xs: Iterable[Row]) -> Iterator[Any]:
        windows: defaultdict[Any, deque[Any]] = defaultdict(lambda: deque(maxlen=w))
        for row in xs:
            window = windows[row["device"]]
            window.append(row["value"])
            if len(window) == w:
                yield row["device"], sum(window) / w

    return stream


@mutant(of="make_rolling_avg_by_device", killed_by="make-rolling-avg-by-device-equals-its-eager-twin")
def adds_and_takes_away(w: int) -> Run:
    """Adds the new value and takes the old one away: what was rounded off does not come back."""

    def stream(xs: Iterable[Row]) -> Iterator[Any]:
        windows: defaultdict[Any, deque[Any]] = defaultdict(deque)
        totals: defaultdict[Any, float] = defaultdict(float)
        for row in xs:
            device = row["device"]
            windows[device].append(row["value"])
            totals[device] += row["value"]
            if len(windows[device]) > w:
                totals[device] -= windows[device].popleft()
            yield device, totals[device] / len(windows[device])

    return stream
