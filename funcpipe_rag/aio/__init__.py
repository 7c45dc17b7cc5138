"""Streams under asyncio. Standard library only; every schedule is proved on a clock that nobody waits for."""

from .batching import abatch
from .bridges import collect, from_sync, to_sync
from .buffering import abuffer
from .contexts import PipelineContext, get_current_context
from .fan_in import achain, amerge, amerge_sorted, aroundrobin, azip
from .fan_out import AsyncBranch, abroadcast
from .handlers import CircuitBreakerHandler, CollectingErrorHandler, ErrorHandler, LoggingErrorHandler
from .mapping import amap
from .pacing import arate_limit, athrottle, atimeout
from .stages import AsyncPipeline, AsyncSource, AsyncStage, AsyncStream, asource
from .taps import aprogress
from .tasks import batch_task, single_task

__all__ = [
    "AsyncBranch",
    "AsyncPipeline",
    "AsyncSource",
    "AsyncStage",
    "AsyncStream",
    "CircuitBreakerHandler",
    "CollectingErrorHandler",
    "ErrorHandler",
    "LoggingErrorHandler",
    "PipelineContext",
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
    "batch_task",
    "collect",
    "from_sync",
    "get_current_context",
    "single_task",
    "to_sync",
]
