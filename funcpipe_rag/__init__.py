"""funcpipe_rag: streaming Python, taught and tested.

The names that a lesson uses are importable from here. They are fetched when first asked for, so that importing
the package itself costs next to nothing and needs the standard library alone.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .streams import (
        Pipeline as Pipeline,
        Sink as Sink,
        Source as Source,
        Stage as Stage,
        Transform as Transform,
        as_source as as_source,
        batched as batched,
        compose as compose,
        fdrop_while as fdrop_while,
        fence_k as fence_k,
        ffilter as ffilter,
        fflat_map as fflat_map,
        fmap as fmap,
        fork2_lockstep as fork2_lockstep,
        fork_lockstep as fork_lockstep,
        ftake_while as ftake_while,
        make_batched as make_batched,
        make_chain as make_chain,
        make_lines_source as make_lines_source,
        make_merge as make_merge,
        make_roundrobin as make_roundrobin,
        make_text_source as make_text_source,
        make_walk_source as make_walk_source,
        multicast_bounded as multicast_bounded,
        sink as sink,
        source as source,
        source_to_transform as source_to_transform,
        stage as stage,
    )

__version__ = "0.1.0"

_FACE = {
    "streams": (
        "Pipeline",
        "Sink",
        "Source",
        "Stage",
        "Transform",
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
    ),
}
_ROOM = {name: room for room, names in _FACE.items() for name in names}
__all__ = sorted(_ROOM)


def __getattr__(name: str) -> object:
    if name not in _ROOM:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value: object = getattr(import_module(f"{__name__}.{_ROOM[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
