"""The laws of rows: which fields come out, under which names, as what, and what a bad row leads to."""

from __future__ import annotations

from collections.abc import Callable
from math import fsum
from typing import Any

from funcpipe_rag.streams.reports import Report

from .inputs import Input, Items, choice, integers, items_of
from .reports import by_policy, policy_laws_of
from .results import told
from .stages import WHOLE, Family, laws_of

Row = dict[str, Any]


def _rows(*rows: Row) -> Callable[..., Input[Items]]:
    return lambda **how: items_of(choice(*rows), **how)


def _projected(rows: list[Row], fields: tuple[str, ...], rename: dict[str, str], on_error: str) -> list[Any]:
    def attempt(row: Row) -> Row | None:
        if not all(field in row for field in fields):
            return None
        return {rename.get(field, field): row[field] for field in fields}

    return by_policy(rows, attempt, "ValueError", on_error)


def _cast(rows: list[Row], on_error: str) -> list[Any]:
    def attempt(row: Row) -> Row | None:
        return {**row, "age": int(row["age"])} if row.get("age", "?").isdigit() else None

    return by_policy(rows, attempt, "ValueError", on_error)


def _means(rows: list[Row], w: int) -> list[Any]:
    out = []
    for at, row in enumerate(rows):
        values = [r["value"] for r in rows[: at + 1] if r["device"] == row["device"]][-w:]
        out.append((row["device"], fsum(values) / len(values)))
    return out


_POLICIES = choice("skip", "collect")

PROJECT = Family(
    "make_project",
    {
        "fields": choice(("ts",), ("value", "ts")),
        "rename": choice({}, {"ts": "seconds"}),
        "on_error": _POLICIES,
    },
    lambda world, make_project, fields, rename, on_error, report=None: make_project(
        *fields, rename=rename, on_error=on_error, report=report or Report()
    ),
    _projected,
    items=_rows({"ts": 0, "value": 1}, {"ts": 1, "value": None, "note": ""}, {"value": 2}),
    told=told,
)

CAST = Family(
    "make_cast",
    {"on_error": _POLICIES},
    lambda world, make_cast, on_error, report=None: make_cast(
        {"age": int}, on_error=on_error, report=report or Report()
    ),
    _cast,
    items=_rows({"age": "0"}, {"age": "7", "name": "b"}, {"age": "?"}, {"name": "c"}),
    told=told,
)

ROLLING_AVG = Family(
    "make_rolling_avg_by_device",
    {"w": integers(1, 3)},
    lambda world, make_rolling_avg_by_device, w: make_rolling_avg_by_device(w),
    _means,
    items=_rows(
        *({"device": device, "value": value} for value in (0.0, 1.0, 0.1, 1e16) for device in ("a", "b"))
    ),
)

for _family in (PROJECT, CAST, ROLLING_AVG):
    laws_of(_family, WHOLE)

policy_laws_of(PROJECT, lambda row, index: (f"item {index}", "'ts'"))
policy_laws_of(
    CAST, lambda row, index: (f"item {index}", "'age'", repr(row["age"]) if "age" in row else "no field")
)
