"""A function of each item, some calls at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextvars import Context, copy_context
from functools import partial
from inspect import isasyncgenfunction, isawaitable
from itertools import count
from random import Random
from typing import Any, Literal, SupportsIndex, TypeVar, overload

from funcpipe_rag.streams.arguments import a_function, a_number, a_whole_number
from funcpipe_rag.streams.ownership import named
from funcpipe_rag.streams.reports import Failures, OnError, Told, policy
from funcpipe_rag.streams.results import Err
from funcpipe_rag.streams.retrying import RetryPolicy

from .calls import Call, one_by_one, side_by_side
from .stages import AsyncStage, Items, Run

A = TypeVar("A")
B = TypeVar("B")


class _Mapped(AsyncStage[A, B]):
    """What `amap` makes."""

    __slots__ = ("_call", "_failures_of", "_side_by_side")

    _call: Call
    _failures_of: Callable[[], Failures]
    _side_by_side: dict[str, Any] | None

    def opening(self, xs: Items[A], run: Run) -> AsyncGenerator[B, None]:
        failures = self._failures_of()
        if self._side_by_side is None and run.limit is None and run.context is None:
            return one_by_one(xs, self._call, stage=repr(self), failures=failures)
        how = self._side_by_side or {"concurrency": 1, "max_ahead": 0, "in_order": True, "go_on": True}
        call = self._call if run.limit is None else limited(self._call, run.limit)
        return side_by_side(xs, call, stage=repr(self), failures=failures, context=run.context, **how)


@overload
def amap(
    fn: Callable[[A], Awaitable[B]],
    *,
    concurrency: SupportsIndex = 1,
    max_ahead: SupportsIndex | None = None,
    ordered: bool = True,
    timeout: float | None = None,
    retry: RetryPolicy | None = None,
    on_error: Literal["fail", "skip"] = "fail",
    report: Told | None = None,
    executor: None = None,
) -> AsyncStage[A, B]: ...
@overload
def amap(
    fn: Callable[[A], Awaitable[B]],
    *,
    concurrency: SupportsIndex = 1,
    max_ahead: SupportsIndex | None = None,
    ordered: bool = True,
    timeout: float | None = None,
    retry: RetryPolicy | None = None,
    on_error: Literal["collect"],
    report: Told | None = None,
    executor: None = None,
) -> AsyncStage[A, B | Err[A]]: ...
@overload
def amap(
    fn: Callable[[A], B],
    *,
    concurrency: SupportsIndex = 1,
    max_ahead: SupportsIndex | None = None,
    ordered: bool = True,
    timeout: float | None = None,
    retry: RetryPolicy | None = None,
    on_error: Literal["fail", "skip"] = "fail",
    report: Told | None = None,
    executor: Executor | None = None,
) -> AsyncStage[A, B]: ...
@overload
def amap(
    fn: Callable[[A], B],
    *,
    concurrency: SupportsIndex = 1,
    max_ahead: SupportsIndex | None = None,
    ordered: bool = True,
    timeout: float | None = None,
    retry: RetryPolicy | None = None,
    on_error: Literal["collect"],
    report: Told | None = None,
    executor: Executor | None = None,
) -> AsyncStage[A, B | Err[A]]: ...
def amap(
    fn: Callable[[Any], Any],
    *,
    concurrency: SupportsIndex = 1,
    max_ahead: SupportsIndex | None = None,
    ordered: bool = True,
    timeout: float | None = None,
    retry: RetryPolicy | None = None,
    on_error: OnError = "fail",
    report: Told | None = None,
    executor: Executor | None = None,
) -> AsyncStage[Any, Any]:
    """Call a function with each item, some calls at a time; sync or async.

    Results come in the order of the input. What is ready is handed on at once, unless something before it is not.

    >>> import asyncio
    >>> from funcpipe_rag.aio.testing import run, schedule
    >>> async def takes(seconds):
    ...     await asyncio.sleep(seconds)
    ...     return seconds
    >>> run(schedule(amap(takes, concurrency=3)([0.1, 0.5, 0.2])))
    [(0.1, 0.1), (0.5, 0.5), (0.5, 0.2)]

    With `ordered=False` each comes when it is there.

    >>> run(schedule(amap(takes, concurrency=3, ordered=False)([0.1, 0.5, 0.2])))
    [(0.1, 0.1), (0.2, 0.2), (0.5, 0.5)]

    The first error ends the stream, behind the results before it; it says where it happened. `on_error="skip"` drops
    and counts such items, `"collect"` gives an `Err` in their place.

    >>> run(amap(int, on_error="collect")(["1", "x"]).collect())[1].index
    1

    `concurrency` calls are in flight at the most. `max_ahead` results may be finished and wait behind a slow one;
    a call is begun only where its result would have a place, so fewer than `concurrency - 1`, which is what None
    stands for, make fewer calls. `timeout` is in seconds for each try; `retry`, a `RetryPolicy` such as
    `RetryPolicy(attempts=3)`, says how often and when to try again.
    A sync function runs in between; in the `executor`, where one is given, its calls run side by side, and a call
    that has begun there is waited for, because no thread can be cancelled.

    With several calls at a time, it is not one task that asks the input, but whichever is free. An input that holds a
    timeout, a task group or a context variable over its items wants `abuffer(1)` in between: that opens, asks and
    closes it in one task.

    Class: clocked. Demand: with one call at a time, one pull an item, in the reader's own task; otherwise at most
    `max_ahead + 1` items beyond what was given. Memory: O(concurrency + max_ahead). Closing: cancels the calls in
    flight, waits for them, and closes the input. Errors: those of the input, behind the results of every item before
    it; those of `fn` as `on_error` says; TimeoutError; ValueError and TypeError at construction.
    """
    a_function("amap", "fn", fn)
    if isasyncgenfunction(fn):
        raise TypeError(
            f"amap: fn must give one result for an item, and {named(fn)} is an async generator; "
            f"single_task({named(fn)}) hands on each of its items"
        )
    many = a_whole_number("amap", "concurrency", concurrency, least=1)
    ahead = many - 1 if max_ahead is None else a_whole_number("amap", "max_ahead", max_ahead, least=0)
    seconds = None if timeout is None else a_number("amap", "timeout", timeout, above=0)
    if retry is not None:
        if not isinstance(retry, tuple):
            raise TypeError(f"amap: retry must be a RetryPolicy, got {type(retry).__name__}")
        retry = RetryPolicy(*retry)
    if executor is not None and not hasattr(executor, "submit"):
        raise TypeError(
            "amap: executor must be an Executor, such as ThreadPoolExecutor(8), "
            f"got {type(executor).__name__}"
        )
    said: dict[str, object] = {"concurrency": many} if many != 1 else {}
    said |= {} if max_ahead is None else {"max_ahead": ahead}
    said |= {} if ordered else {"ordered": False}
    said |= {} if timeout is None else {"timeout": timeout}
    said |= {} if retry is None else {"retry": retry}
    said |= {} if on_error == "fail" else {"on_error": on_error}
    mapped: _Mapped[Any, Any] = _Mapped("amap", fn, **said)
    call = fn if executor is None else in_executor(fn, executor)
    if seconds is not None or retry is not None:
        call = patient(
            f"amap({named(fn)})", call, seconds, RetryPolicy(attempts=1) if retry is None else retry
        )
    how = {"concurrency": many, "max_ahead": ahead, "in_order": ordered, "go_on": on_error != "fail"}
    mapped.set_once(
        _call=call,
        _failures_of=policy("amap", on_error, stage=f"amap({named(fn)})", report=report),
        _side_by_side=how if ahead or many > 1 else None,
    )
    return mapped


def limited(call: Call, limit: asyncio.Semaphore) -> Call:
    """`call`, under a limit that it shares with others."""

    async def waits_its_turn(item: Any) -> Any:
        async with limit:
            value = call(item)
            return await value if isawaitable(value) else value

    return waits_its_turn


def patient(where: str, call: Call, timeout: float | None, retry: RetryPolicy) -> Call:
    """`call` with a limit of time for each try, and tried again as the policy says."""
    # One for all calls, so that those which fail together do not come back in step.
    chance = Random(0).random
    calls = count(1)

    async def tried(item: Any) -> Any:
        waits = retry.waits(chance)
        if timeout is not None and next(calls) % _TIMERS == 0:
            await asyncio.sleep(0)
        while True:
            try:
                if timeout is not None:
                    return await within(where, partial(call, item), timeout)
                value = call(item)
                return await value if isawaitable(value) else value
            except retry.retry_on as error:
                wait = next(waits, None)
                if wait is None:
                    if retry.attempts > 1:
                        error.add_note(f"that was try {retry.attempts} of {retry.attempts}")
                    raise
            # Outside the except, so that the failed try is not kept alive while we wait.
            await asyncio.sleep(wait)

    return tried


_TIMERS = 1000
"""The loop forgets timers that were not needed when it comes round, so calls that never wait must let it."""


async def within(where: str, call: Callable[[], Any], timeout: float) -> Any:
    """What a call gives, in time; TimeoutError, naming `where`."""
    try:
        async with asyncio.timeout(timeout) as limit:
            value = call()
            return await value if isawaitable(value) else value
    except TimeoutError as error:
        if not limit.expired():
            raise
        raise TimeoutError(f"{where}: no answer within {timeout:g} s") from error


def in_executor(fn: Callable[[A], B], executor: Executor) -> Callable[[A], Awaitable[B]]:
    """`fn` in a thread or process of the executor; whoever cancels a call that has begun waits for its end."""

    async def call(item: A) -> B:
        submitted = _Submitted(executor)
        # A thread wants the caller's context; to another process it cannot travel.
        run = partial(_called, fn)
        if isinstance(executor, ThreadPoolExecutor):
            run = partial(_run_in, copy_context(), run)
        future = asyncio.get_running_loop().run_in_executor(submitted, run, item)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            if future.done():
                raise
            submitted.future.cancel()
            while not future.done():
                try:
                    await asyncio.wait([future])
                except asyncio.CancelledError:
                    continue
            if not future.cancelled():
                # Nobody will ask for its error any more.
                future.exception()
            raise

    return call


def _called(fn: Callable[[A], B], item: A) -> B:
    try:
        return fn(item)
    except StopIteration as error:
        # No future takes one: before Python 3.13, whoever waited would wait for ever.
        raise RuntimeError(f"{named(fn)} raised StopIteration") from error


def _run_in(context: Context, fn: Callable[[A], B], item: A) -> B:
    return context.run(fn, item)


class _Submitted(Executor):
    """An executor that tells what became of the one call it is given."""

    future: Future[Any]

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.future = self._executor.submit(fn, *args, **kwargs)
        return self.future
