"""The exercises of the course, a file a lesson."""

from importlib import import_module
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

__all__ = ["EXERCISES", "Exercise"]
