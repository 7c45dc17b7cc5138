"""The exercises of the course, a file a lesson."""

from . import (
    m00c01_start_here as m00c01,
    m03c01_iterator_protocol_and_generators as m03c01,
    m03c07_fan_in_and_fan_out as m03c07,
)
from .exercise import Exercise

EXERCISES: dict[str, Exercise] = {
    exercise.id: exercise for lesson in (m00c01, m03c01, m03c07) for exercise in lesson.EXERCISES
}
"""Every exercise by its id, in teaching order."""

__all__ = ["EXERCISES", "Exercise"]
