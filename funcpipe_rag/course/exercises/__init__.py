"""The exercises of the course, a file a lesson."""

from . import m03c07_fan_in_and_fan_out as m03c07
from .exercise import Exercise

EXERCISES: dict[str, Exercise] = {exercise.id: exercise for exercise in m03c07.EXERCISES}
"""Every exercise by its id, in teaching order."""

__all__ = ["EXERCISES", "Exercise"]
