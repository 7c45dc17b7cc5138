"""Streams under asyncio. Standard library only; every schedule is proved on a clock that nobody waits for."""

from .batching import abatch
from .bridges import collect, from_sync, to_sync
from .buffering import abuffer
from .fan_in import achain, amerge, amerge_sorted, aroundrobin, azip
from .fan_out import AsyncBranch, abroadcast
from .mapping import amap
from .pacing import arate_limit, athrottle, atimeout
from .stages import AsyncPipeline, AsyncSource, AsyncStage, AsyncStream, asource
from .taps import aprogress

__all__ = [
    "AsyncBranch",
    "AsyncPipeline",
    "AsyncSource",
    "AsyncStage",
    "AsyncStream",
    "abatch",
    "abroadcast",
    "abuffer",
    "achain",
    "amap",
    "amerge",
    "amerge_sorted",
    "aprogress",
    "arate_limit",
    "aroundrobin",
    "asource",
    "athrottle",
    "atimeout",
    "azip",
    "collect",
    "from_sync",
    "to_sync",
]
