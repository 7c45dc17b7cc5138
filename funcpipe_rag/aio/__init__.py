"""Streams under asyncio. Standard library only; every schedule is proved on a clock that nobody waits for."""

from .batching import abatch
from .buffering import abuffer
from .fan_in import achain, amerge, amerge_sorted, aroundrobin, azip
from .mapping import amap
from .stages import AsyncPipeline, AsyncSource, AsyncStage, AsyncStream, asource

__all__ = [
    "AsyncPipeline",
    "AsyncSource",
    "AsyncStage",
    "AsyncStream",
    "abatch",
    "abuffer",
    "achain",
    "amap",
    "amerge",
    "amerge_sorted",
    "aroundrobin",
    "asource",
    "azip",
]
