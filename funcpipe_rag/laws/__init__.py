"""What must be true of each public function, and the known wrong answers.

One suite, four users: it proves the package, answers the learner, judges the submission, and is there for
whoever writes combinators of their own.
"""

# Laws are kept in teaching order, which is that of these lines.
# isort: off
from . import transforms
from . import fan_in, fan_out, windows

# isort: on
from . import (
    aio,
    chunking,
    dedup,
    groups,
    heavy_hitters,
    ingest,
    joining,
    lateness,
    logs,
    pacing,
    pages,
    pipelines,
    recipes,
    reports,
    results,
    retrying,
    rolling,
    routing,
    rows,
    sources,
    taps,
    timestamps,
)
from .confinement import Limits, protections
from .inputs import SourceSpec
from .law import (
    LAWS,
    OWED,
    PROMISES,
    Broken,
    Class,
    Law,
    Promise,
    WrongKind,
    class_of,
    holds,
    law,
    of,
    other_shape,
    same,
)
from .proving import Proof, assert_kept, each_law, prove
from .remote import Remote, RemoteWorld
from .running import Verdict, attempt, judge, run
from .worlds import LocalWorld, World, kind_of

__all__ = [
    "LAWS",
    "OWED",
    "PROMISES",
    "Broken",
    "Class",
    "Law",
    "Limits",
    "LocalWorld",
    "Promise",
    "Proof",
    "Remote",
    "RemoteWorld",
    "SourceSpec",
    "Verdict",
    "World",
    "WrongKind",
    "aio",
    "assert_kept",
    "attempt",
    "chunking",
    "class_of",
    "dedup",
    "each_law",
    "fan_in",
    "fan_out",
    "groups",
    "heavy_hitters",
    "holds",
    "ingest",
    "joining",
    "judge",
    "kind_of",
    "lateness",
    "law",
    "logs",
    "of",
    "other_shape",
    "pacing",
    "pages",
    "pipelines",
    "protections",
    "prove",
    "recipes",
    "reports",
    "results",
    "retrying",
    "rolling",
    "routing",
    "rows",
    "run",
    "same",
    "sources",
    "taps",
    "timestamps",
    "transforms",
    "windows",
]
