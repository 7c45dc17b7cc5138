"""Grades as a table: a row a learner and a column a law, and the columns that a learning platform takes in."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from enum import StrEnum
from io import StringIO

from .grading import Graded
from .submissions import HandedInError, Roster


class Platform(StrEnum):
    """The platforms whose import has columns of its own."""

    canvas = "canvas"
    moodle = "moodle"


UNDERSTANDING = "understanding"
"""The column for the two written sentences: nobody fills it but the instructor."""


def grades_csv(graded: Sequence[Graded], roster: Roster | None = None) -> str:
    """A row a learner: points a law, an exercise and in all, out of how many, and an empty column to be filled by hand.

    With a roster its columns come first, and whoever handed in nothing has a row, too.
    """
    first = next(iter(graded), None)
    results = first.results if first else ()
    laws = [f"{result.exercise} {law.law}" for result in results for law in result.laws if law.of]
    sums = [f"{result.exercise} of {result.of}" for result in results]
    of = first.of if first else 0
    columns = [*(roster.columns if roster else ()), "learner", f"points of {of}", *sums, *laws]
    rows = []
    for learner, one in _everybody(graded, roster):
        known = list(roster.row(learner).values()) if roster else []
        if one is None:
            rows.append([*known, learner, 0, *(0 for _ in sums), *(0 for _ in laws), ""])
            continue
        earned = [law.points for result in one.results for law in result.laws if law.of]
        rows.append([*known, learner, one.points, *(result.points for result in one.results), *earned, ""])
    return _csv([[*columns, UNDERSTANDING], *rows])


def platform_csv(graded: Sequence[Graded], roster: Roster, platform: Platform, assignment: str) -> str:
    """The same grades with the columns that a platform takes in; the roster is the platform's own export.

    HandedInError names the column that the roster lacks.
    """
    wanted = _COLUMNS[platform]
    for column in wanted:
        if column not in roster.columns:
            raise HandedInError(
                f"the class list has no column {column!r}, which {platform.value} wants: export it from there "
                f"(columns: {', '.join(roster.columns)})"
            )
    of = max((one.of for one in graded), default=0)
    head: list[list[object]] = [[*wanted, assignment]]
    if platform is Platform.canvas:
        head.append(["    Points Possible", *([""] * (len(wanted) - 1)), of])
    rows = [
        [*(roster.row(learner)[column] for column in wanted), one.points if one else 0]
        for learner, one in _everybody(graded, roster)
        if any(roster.row(learner).values())
    ]
    return _csv([*head, *rows])


_COLUMNS = {
    Platform.canvas: ("Student", "ID", "SIS User ID", "SIS Login ID", "Section"),
    Platform.moodle: ("First name", "Last name", "ID number", "Email address"),
}


def _everybody(graded: Iterable[Graded], roster: Roster | None) -> list[tuple[str, Graded | None]]:
    by_name: dict[str, Graded | None] = {}
    if roster:
        by_name |= {row[roster.key]: None for row in roster.rows if row[roster.key]}
    by_name |= {one.learner: one for one in sorted(graded, key=lambda one: one.learner)}
    return list(by_name.items())


def _csv(rows: Iterable[Sequence[object]]) -> str:
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    writer.writerows([[_harmless(value) for value in row] for row in rows])
    return text.getvalue()


def _harmless(value: object) -> object:
    """A value that no spreadsheet takes for a formula: a name is somebody's, and may begin with anything."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value
