"""Streams under asyncio. Standard library only; every schedule is proved on a clock that nobody waits for.

A stage is called with an iterable, sync or async, and gives a stream: read it with `async for`, or collect it.

>>> import asyncio
>>> async def fetch(number):
...     await asyncio.sleep(0.01)
...     return f"page {number}"
>>> pages = amap(fetch, concurrency=8)
>>> asyncio.run(pages([1, 2]).collect())
['page 1', 'page 2']

Leave a stream early by an `async with`, which cancels the calls in flight and waits for them.

>>> async def first():
...     async with pages(range(100)) as stream:
...         async for page in stream:
...             return page
>>> asyncio.run(first())
'page 0'

Stages join with `|`, behind a source of `asource` or behind each other.

>>> asyncio.run((asource(lambda: range(3)) | pages | abatch(2))().collect())
[['page 0', 'page 1'], ['page 2']]

`single_task` and `batch_task` are for functions with tries, time limits, error handlers and a context. `from_sync` and
`to_sync` cross over to streams that are not async. `funcpipe_rag.aio.testing` has `run` and `schedule`, for the timetable
of a stream without its waiting.
"""

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
