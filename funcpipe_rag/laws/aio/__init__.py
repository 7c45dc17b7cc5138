"""The laws of async streams. Each runs on a loop in virtual time, and none leaves anything behind."""

# In teaching order, as the laws are kept in it.
# isort: off
from . import mapping
from . import batching
from . import buffering
from . import fan_in
from . import fan_out
from . import pacing
from . import taps
from . import bridges
from . import tasks
# isort: on

__all__ = ["batching", "bridges", "buffering", "fan_in", "fan_out", "mapping", "pacing", "taps", "tasks"]
