"""The known wrong answers: a few readable lines each, named after a misconception.

They keep the laws honest: every mutant is killed by the law it names, and every law kills one.
"""

from . import (
    aio,
    chunking,
    dedup,
    fan_in,
    fan_out,
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
    transforms,
    windows,
)
from .mutant import MUTANTS, Mutant, mutant, mutants_of

IMPLEMENTATIONS = {mutant.id: mutant.impl for mutant in MUTANTS}
"""The wrong answers themselves, by `function.name`, for a child process to load."""

__all__ = [
    "IMPLEMENTATIONS",
    "MUTANTS",
    "Mutant",
    "aio",
    "chunking",
    "dedup",
    "fan_in",
    "fan_out",
    "groups",
    "heavy_hitters",
    "ingest",
    "joining",
    "lateness",
    "logs",
    "mutant",
    "mutants_of",
    "pacing",
    "pages",
    "pipelines",
    "recipes",
    "reports",
    "results",
    "retrying",
    "rolling",
    "routing",
    "rows",
    "sources",
    "taps",
    "timestamps",
    "transforms",
    "windows",
]
