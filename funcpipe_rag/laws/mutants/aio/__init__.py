"""The known wrong answers about async streams."""

from . import batching, bridges, buffering, fan_in, fan_out, mapping, pacing, taps, tasks

__all__ = ["batching", "bridges", "buffering", "fan_in", "fan_out", "mapping", "pacing", "taps", "tasks"]
