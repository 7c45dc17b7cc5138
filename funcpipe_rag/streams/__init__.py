"""The sync stream algebra: standard library only, lazy, and honest about every pull."""

from .branches import Branch
from .fan_in import make_chain, make_roundrobin
from .fan_out import fork2_lockstep, fork_lockstep, multicast_bounded
from .merging import make_merge
from .pipelines import Pipeline, compose
from .sources import UndecodableText, make_lines_source, make_text_source, make_walk_source
from .stages import (
    Sink,
    Source,
    Stage,
    Transform,
    as_source,
    sink,
    source,
    source_to_transform,
    stage,
)
from .transforms import fdrop_while, fence_k, ffilter, fflat_map, fmap, ftake_while
from .windows import batched, make_batched

__all__ = [
    "Branch",
    "Pipeline",
    "Sink",
    "Source",
    "Stage",
    "Transform",
    "UndecodableText",
    "as_source",
    "batched",
    "compose",
    "fdrop_while",
    "fence_k",
    "ffilter",
    "fflat_map",
    "fmap",
    "fork2_lockstep",
    "fork_lockstep",
    "ftake_while",
    "make_batched",
    "make_chain",
    "make_lines_source",
    "make_merge",
    "make_roundrobin",
    "make_text_source",
    "make_walk_source",
    "multicast_bounded",
    "sink",
    "source",
    "source_to_transform",
    "stage",
]
