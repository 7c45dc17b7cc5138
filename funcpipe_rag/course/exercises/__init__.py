"""The exercises of the course, a file a lesson."""

from importlib import import_module
from itertools import groupby
from pkgutil import iter_modules
from re import match

from .exercise import Exercise

LESSONS = sorted(module.name for module in iter_modules(__path__) if match(r"m\d\dc\d\d_", module.name))

EXERCISES: dict[str, Exercise] = {
    exercise.id: exercise
    for lesson in LESSONS
    for exercise in import_module(f"{__name__}.{lesson}").EXERCISES
}
"""Every exercise by its id, in teaching order."""


def all_ids() -> str:
    """Every id, short enough for an error message.

    >>> all_ids()[:39]
    'm00c01e1, m03c01e1 to e3, m03c02e1 to e'
    """
    groups = [list(group) for _, group in groupby(EXERCISES, key=lambda id: id[:6])]
    return ", ".join(ids[0] if len(ids) == 1 else f"{ids[0]} to {ids[-1][6:]}" for ids in groups)


__all__ = ["EXERCISES", "Exercise", "all_ids"]
