"""Streams under asyncio. Standard library only; every schedule is proved on a clock that nobody waits for."""

from .mapping import amap
from .stages import AsyncPipeline, AsyncSource, AsyncStage, AsyncStream, asource

__all__ = ["AsyncPipeline", "AsyncSource", "AsyncStage", "AsyncStream", "amap", "asource"]
