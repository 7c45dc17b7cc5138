"""Pictures of recorded events, and functions whose memory is worth a picture.

The names are fetched when first asked for: a diagram needs the standard library alone, and only a curve needs more.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .audit_timeline import AuditTimeline as AuditTimeline
    from .demand import DemandDiagram as DemandDiagram
    from .events import read_log as read_log
    from .ingest import IngestDashboard as IngestDashboard
    from .memory import MemoryCurve as MemoryCurve, Usage as Usage, memory_curve as memory_curve
    from .picture import Picture as Picture
    from .skew import SkewPlot as SkewPlot
    from .timeline import Timeline as Timeline

_HOME = {
    "audit_timeline": ("AuditTimeline",),
    "demand": ("DemandDiagram",),
    "events": ("read_log",),
    "ingest": ("IngestDashboard",),
    "memory": (
        "MemoryCurve",
        "Usage",
        "memory_curve",
    ),
    "picture": ("Picture",),
    "skew": ("SkewPlot",),
    "timeline": ("Timeline",),
}
_FILE = {name: file for file, names in _HOME.items() for name in names}
__all__ = sorted(_FILE)


def __getattr__(name: str) -> object:
    if name not in _FILE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value: object = getattr(import_module(f"{__name__}.{_FILE[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
