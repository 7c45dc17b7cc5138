"""Rows: mappings of fields, as `csv.DictReader` and `json.loads` give them. What comes out is always a new one.

What may fail for one row and not for the next does so under the three policies of `on_error`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from itertools import count
from typing import Any, SupportsIndex, TypeAlias

from .arguments import a_function, a_whole_number
from .ownership import Owned, named
from .reports import OnError, Told, tried
from .rolling import WindowTotal
from .stages import Stage

Row: TypeAlias = Mapping[str, Any]


def make_project(
    *fields: str,
    rename: Mapping[str, str] | None = None,
    on_error: OnError = "fail",
    report: Told | None = None,
) -> Stage[[Iterable[Row]], Iterator[Any]]:
    """Of each row, the named fields alone, in this order; `rename` gives some of them another name.

    >>> rows = [{"device": "a", "ts": 3, "note": "..."}]
    >>> list(make_project("ts", "device", rename={"ts": "seconds"})(rows))
    [{'seconds': 3, 'device': 'a'}]

    A row without one of the fields has failed.

    >>> list(make_project("ts")([{"ts": 3}, {"time": 4}]))
    Traceback (most recent call last):
    ...
    ValueError: make_project: item 1 has no field 'ts'; it has 'time'

    Class: observer (pure but for the report). Demand: one pull a row, and with "skip" one for each row left out.
    Memory: O(1). Closing: closes the iterator it made of its input; one that it was handed stays open. Errors: those of
    the input; ValueError, naming field and index, under `on_error`; TypeError for an item that is no mapping. At
    construction, ValueError for no fields, for two of one name, and for a `rename` of a field that is not chosen.
    """
    names = _new_names(fields, rename or {})

    def project(row: Row, index: int) -> dict[str, Any]:
        _has("make_project", row, names, index)
        return {new: row[field] for field, new in names.items()}

    options = {"rename": dict(rename)} if rename else {}
    return tried("make_project", project, ValueError, on_error, report, *fields, **options)


def _new_names(fields: tuple[str, ...], rename: Mapping[str, str]) -> dict[str, str]:
    if not fields:
        raise ValueError("make_project: wants the name of at least one field")
    for name in (*fields, *rename, *rename.values()):
        if not isinstance(name, str):
            raise TypeError(f"make_project: a field's name must be a str, got {name!r}")
    for field in rename:
        if field not in fields:
            raise ValueError(f"make_project: rename must name chosen fields, got {field!r}")
    new = [rename.get(field, field) for field in fields]
    for name in new:
        if new.count(name) > 1:
            raise ValueError(f"make_project: two fields would have the name {name!r}")
    return dict(zip(fields, new, strict=True))


def _has(where: str, row: Row, fields: Iterable[str], index: int) -> None:
    """ValueError, naming the first, for a field that the row has not; TypeError for what is no row."""
    if not isinstance(row, Mapping):
        raise TypeError(f"{where}: item {index} must be a mapping of fields, got {type(row).__name__}")
    for field in fields:
        # Not by row[field]: a defaultdict would grow the field.
        if field not in row:
            there = ", ".join(map(repr, row)) or "none"
            raise ValueError(f"{where}: item {index} has no field {field!r}; it has {there}")


def make_cast(
    types: Mapping[str, Callable[[Any], Any]], *, on_error: OnError = "fail", report: Told | None = None
) -> Stage[[Iterable[Row]], Iterator[Any]]:
    """In each row, the named fields through their functions: `int`, `float`, `parse_ts`, or one of yours.

    >>> list(make_cast({"age": int})([{"name": "Ada", "age": "36"}]))
    [{'name': 'Ada', 'age': 36}]

    A value that its function cannot take has failed, and so has a row without the field.

    >>> list(make_cast({"age": int})([{"age": "36"}, {"age": "?"}]))
    Traceback (most recent call last):
    ...
    ValueError: make_cast: item 1, field 'age': int('?') raised ValueError: invalid literal for int() with base 10: '?'
    >>> from funcpipe_rag.streams import Report
    >>> report = Report()
    >>> list(make_cast({"age": int}, on_error="skip", report=report)([{"age": "?"}, {}, {"age": "3"}])), report
    ([{'age': 3}], Report(2 ValueError in make_cast))

    Class: observer (pure but for the report). Demand: one pull a row, and with "skip" one for each row left out.
    Memory: O(1); `types` is copied. Closing: closes the iterator it made of its input; one that it was handed stays
    open. Errors: those of the input; ValueError, naming field, value and index, under `on_error`, whatever the function
    raised (its error is the cause); TypeError for an item that is no mapping.
    """
    if not isinstance(types, Mapping):
        raise TypeError(f"make_cast: types must map fields to functions, got {type(types).__name__}")
    for field, function in types.items():
        a_function("make_cast", f"the function of field {field!r}", function)
    casts = dict(types)

    def cast(row: Row, index: int) -> dict[str, Any]:
        _has("make_cast", row, casts, index)
        made = dict(row)
        for field, function in casts.items():
            try:
                made[field] = function(row[field])
            except Exception as error:
                raise ValueError(
                    f"make_cast: item {index}, field {field!r}: {named(function)}({named(row[field])}) "
                    f"raised {type(error).__name__}: {error}"
                ) from error
        return made

    return tried("make_cast", cast, ValueError, on_error, report, casts)


def make_rolling_avg_by_device(
    w: SupportsIndex, *, device: str = "device", value: str = "value"
) -> Stage[[Iterable[Row]], Iterator[tuple[Any, Any]]]:
    """For each row its device, and the mean of the device's last `w` values, this one among them.

    >>> rows = [{"device": d, "value": v} for d, v in [("a", 1), ("b", 5), ("a", 2), ("a", 6)]]
    >>> list(make_rolling_avg_by_device(2)(rows))
    [('a', 1.0), ('b', 5.0), ('a', 1.5), ('a', 4.0)]

    One result a row, also while a device has had fewer than `w` rows: their mean, then. So it goes in lockstep with
    anything else that is asked about the rows.

    >>> from funcpipe_rag.streams import fmap, fork2_lockstep
    >>> next(fork2_lockstep(make_rolling_avg_by_device(2), fmap(lambda row: row["value"]))(rows))
    (('a', 1.0), 1)

    Class: pure. Demand: one pull a result. Memory: O(devices * w): the last `w` values of every device that has been
    seen; none is forgotten. Each step is O(1), and exact as `make_rolling_mean` is. Closing: closes the iterator it
    made of its input; one that it was handed stays open. Errors: those of the input; ValueError, naming field and
    index, for a row without one of the fields; TypeError for an item that is no mapping, and for a value that cannot
    be added (`make_cast` makes numbers of texts); ValueError for `w` < 1.
    """
    width = a_whole_number("make_rolling_avg_by_device", "w", w, least=1)

    def run(xs: Iterable[Row], /) -> Iterator[tuple[Any, Any]]:
        totals: defaultdict[Any, WindowTotal] = defaultdict(partial(WindowTotal, width))

        def step(row: Row, index: int) -> tuple[Any, Any]:
            _has("make_rolling_avg_by_device", row, (device, value), index)
            total = totals[row[device]]
            return row[device], total.step(row[value]) / len(total.window)

        with Owned() as owned:
            yield from map(step, owned.opened(xs), count())

    chosen = {"device": device} if device != "device" else {}
    options = {**chosen, "value": value} if value != "value" else chosen
    return Stage(run, "transform", "make_rolling_avg_by_device", width, **options)
