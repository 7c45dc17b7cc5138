"""What people write in place of tasks joined by `|`."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable
from typing import Any

from funcpipe_rag.aio import batch_task, get_current_context, single_task
from funcpipe_rag.laws.mutants.mutant import mutant
from funcpipe_rag.streams.reports import Report

Fn = Callable[..., Any]
Stream = AsyncGenerator[Any, None]


class _Task:
    """A task as a mutant makes it: a stream over its input, in order and as completed."""

    def __init__(self, stream: Callable[..., Stream], *beside: Any) -> None:
        self.stream, self.beside = stream, beside

    def __call__(self, xs: Any) -> Stream:
        return self.stream(xs, True, *self.beside)

    def as_completed(self, xs: Any) -> Stream:
        return self.stream(xs, False, *self.beside)

    def with_inputs(self, *beside: Any) -> _Task:
        return _Task(self.stream, *beside)


def _given(result: Any) -> list[Any]:
    return [] if result is None else result if isinstance(result, list) else [result]


@mutant(of="single_task", killed_by="single-task-keeps-the-order")
def always_as_completed(**options: Any) -> Any:
    """Hands on what is there first: fast, and in no order."""
    return lambda fn: single_task(**options)(fn).with_execution_mode("as_completed")


@mutant(of="single_task", killed_by="single-task-keeps-the-order", name="newest_first")
def newest_first(*, concurrency_limit: int = 16, **options: Any) -> Any:
    """Keeps the calls in flight on a stack, and takes the one on top."""

    def task(fn: Fn) -> _Task:
        async def stream(xs: Any, in_order: bool) -> Stream:
            flight: deque[Any] = deque()
            async for x in xs:
                flight.append(asyncio.ensure_future(fn(x)))
                if len(flight) == concurrency_limit:
                    yield await flight.pop()
            while flight:
                yield await flight.popleft()

        return _Task(stream)

    return task


def _with_results(into: Callable[[Any], Iterable[Any]]) -> Callable[[Fn], _Task]:
    def task(fn: Fn) -> _Task:
        async def stream(xs: Any, in_order: bool) -> Stream:
            async for x in xs:
                for result in into(await fn(x)):
                    yield result

        return _Task(stream)

    return task


@mutant(of="single_task", killed_by="single-task-drops-none-and-fans-lists-out")
def drops_what_is_false(**options: Any) -> Any:
    """Writes `if result:` where `if result is not None:` is meant, and loses 0 and the empty text."""
    return _with_results(lambda result: _given(result) if result else [])


@mutant(of="single_task", killed_by="single-task-drops-none-and-fans-lists-out")
def drops_none_in_lists(**options: Any) -> Any:
    """Looks for None once more in what was fanned out, where it is an item like any other."""
    return _with_results(lambda result: [one for one in _given(result) if one is not None])


@mutant(of="single_task", killed_by="single-task-drops-none-and-fans-lists-out")
def fans_out_all_the_way(**options: Any) -> Any:
    """Takes lists within lists apart, too."""

    def flat(result: Any) -> Iterable[Any]:
        return [deep for one in _given(result) for deep in (flat(one) if isinstance(one, list) else [one])]

    return _with_results(flat)


@mutant(of="single_task", killed_by="single-task-drops-none-and-fans-lists-out")
def fans_tuples_out(**options: Any) -> Any:
    """Takes a tuple for several results: a record is one."""
    return _with_results(lambda result: result if isinstance(result, tuple) else _given(result))


@mutant(of="single_task", killed_by="single-task-raises-in-either-order")
def swallows_as_completed(**options: Any) -> Any:
    """Reads what is done with `except Exception: pass`, so that one failure does not stop the others."""

    def task(fn: Fn) -> _Task:
        async def stream(xs: Any, in_order: bool) -> Stream:
            if not in_order:
                options["on_error"] = "skip"
            async for result in single_task(report=Report(), **options)(fn)(xs):
                yield result

        return _Task(stream)

    return task


@mutant(of="single_task", killed_by="single-task-counts-what-it-drops")
def drops_in_silence(*, report: Any = None, **options: Any) -> Any:
    """Skips the items that fail, and forgets to tell."""
    return single_task(report=lambda failure: None, **options)


@mutant(of="single_task", killed_by="single-task-counts-what-it-drops")
def counts_what_is_left_out(*, report: Any = None, on_error: str = "fail", **options: Any) -> Any:
    """Takes a None that was meant for a failure, and counts it."""

    def task(fn: Fn) -> Any:
        async def not_none(x: Any) -> Any:
            result = await fn(x)
            if result is None:
                raise ValueError("nothing came")
            return result

        return single_task(report=report, on_error="skip_item", **options)(not_none)

    return task


@mutant(of="single_task", killed_by="single-task-keeps-to-its-limit")
def a_call_more(*, concurrency_limit: int = 16, **options: Any) -> Any:
    """Counts the calls in flight from 0, and lets one more begin than it may."""
    return single_task(concurrency_limit=concurrency_limit + 1, **options)


@mutant(of="single_task", killed_by="single-task-keeps-to-its-limit")
def no_limit(**options: Any) -> Any:
    """Begins every call at once with `gather`."""

    def task(fn: Fn) -> _Task:
        async def stream(xs: Any, in_order: bool) -> Stream:
            for result in await asyncio.gather(*[fn(x) async for x in xs]):
                yield result

        return _Task(stream)

    return task


@mutant(of="single_task", killed_by="single-task-pulls-no-further-than-its-limit")
def a_task_for_each_item(*, concurrency_limit: int = 16, **options: Any) -> Any:
    """Makes a task for every item, and has them wait for each other at a semaphore: the input is read all the same."""

    def task(fn: Fn) -> _Task:
        async def stream(xs: Any, in_order: bool) -> Stream:
            limit = asyncio.Semaphore(concurrency_limit)

            async def call(x: Any) -> Any:
                async with limit:
                    return await fn(x)

            tasks = [asyncio.ensure_future(call(x)) async for x in xs]
            for one in tasks:
                yield await one

        return _Task(stream)

    return task


@mutant(of="single_task", killed_by="single-task-pulls-no-further-than-its-limit")
def reads_far_ahead(*, concurrency_limit: int = 16, **options: Any) -> Any:
    """Has twice as many calls on their way as it may, to be on the safe side."""
    return single_task(concurrency_limit=2 * concurrency_limit, **options)


@mutant(of="single_task", killed_by="single-task-keeps-runs-apart")
def keeps_side_inputs_on_the_task(**options: Any) -> Any:
    """Writes the side inputs into the task itself and gives that back: whoever sets them last sets them for all."""

    class Shared(_Task):
        def with_inputs(self, *beside: Any) -> _Task:
            self.beside = beside
            return self

    def task(fn: Fn) -> _Task:
        async def stream(xs: Any, in_order: bool, *beside: Any) -> Stream:
            async for x in xs:
                yield await fn(x, *shared.beside)

        shared = Shared(stream)
        return shared

    return task


@mutant(of="single_task", killed_by="single-task-leaves-no-call-behind")
def leaves_its_calls(*, concurrency_limit: int = 16, **options: Any) -> Any:
    """Cancels the calls in flight when it is closed, and does not wait until they have ended."""

    def task(fn: Fn) -> _Task:
        async def stream(xs: Any, in_order: bool) -> Stream:
            flight: deque[Any] = deque()
            try:
                async for x in xs:
                    flight.append(asyncio.ensure_future(fn(x)))
                    if len(flight) == concurrency_limit:
                        yield await flight.popleft()
                while flight:
                    yield await flight.popleft()
            finally:
                for call in flight:
                    call.cancel()
                await xs.aclose()

        return _Task(stream)

    return task


@mutant(of="single_task", killed_by="single-task-leaves-no-call-behind")
def leaves_its_input(**options: Any) -> Any:
    """Closes what it has begun, and not what it was given."""

    class Kept:
        def __init__(self, it: Any) -> None:
            self.it = it

        def __aiter__(self) -> Any:
            return self

        async def __anext__(self) -> Any:
            return await self.it.__anext__()

    def task(fn: Fn) -> _Task:
        made = single_task(**options)(fn)
        return _Task(lambda xs, in_order: made(Kept(xs)) if in_order else made.as_completed(Kept(xs)))

    return task


def _batches(
    of: Callable[[Any], AsyncGenerator[list[Any], None]], fn: Fn, **options: Any
) -> Callable[[Any], Any]:
    """A batch task that has its batches from elsewhere."""
    for name in ("min_size", "max_size", "max_wait"):
        options.pop(name, None)
    task = single_task(**options)(fn)
    return lambda xs: task(of(xs))


@mutant(of="batch_task", killed_by="batch-task-takes-full-batches-and-tells-of-a-short-tail")
def drops_a_short_tail(*, report: Any = None, **options: Any) -> Any:
    """Drops what is less than min_size at the end, and tells nobody."""
    return batch_task(report=lambda failure: None, **options)


@mutant(of="batch_task", killed_by="batch-task-takes-full-batches-and-tells-of-a-short-tail")
def gives_a_short_tail(*, min_size: int = 1, **options: Any) -> Any:
    """Calls the function with the tail, however short: it has said that it cannot do with so few."""
    return batch_task(**options)


@mutant(of="batch_task", killed_by="batch-task-takes-full-batches-and-tells-of-a-short-tail")
def a_batch_from_min_size(*, min_size: int = 1, max_size: int | None = None, **options: Any) -> Any:
    """Calls as soon as there are min_size items, and so never with more."""
    return batch_task(min_size=min_size, max_size=min_size, **options)


@mutant(of="batch_task", killed_by="batch-task-calls-side-by-side")
def one_batch_at_a_time(*, concurrency_limit: int = 16, **options: Any) -> Any:
    """Awaits each batch before it fills the next one."""
    return batch_task(concurrency_limit=1, **options)


@mutant(of="batch_task", killed_by="batch-task-calls-side-by-side")
def batches_as_completed(**options: Any) -> Any:
    """Hands on the batch that is done first, whichever it is."""
    return lambda fn: batch_task(**options)(fn).with_execution_mode("as_completed")


@mutant(of="batch_task", killed_by="batch-task-raises-what-a-batch-raises")
def counts_a_batch_as_one(*, report: Any = None, max_size: int = 2, **options: Any) -> Any:
    """Counts the batch that it has dropped, and not the items that were in it."""

    async def in_lists(xs: Any) -> AsyncGenerator[list[Any], None]:
        batch: list[Any] = []
        async for x in xs:
            batch.append(x)
            if len(batch) == max_size:
                yield batch
                batch = []
        if batch:
            yield batch

    on_error = "fail" if options.pop("on_error") == "fail" else "skip"
    return lambda fn: _batches(in_lists, fn, report=report, on_error=on_error, **options)


@mutant(of="batch_task", killed_by="batch-task-raises-what-a-batch-raises")
def never_fails(*, on_error: str = "fail", **options: Any) -> Any:
    """Drops a batch that fails, whatever was asked for."""
    return batch_task(on_error="skip_batch", **options)


@mutant(of="batch_task", killed_by="batch-task-asks-for-what-its-batches-hold")
def reads_all_before_it_batches(**options: Any) -> Any:
    """Makes a list of the input, and cuts that into batches."""

    def task(fn: Fn) -> _Task:
        async def stream(xs: Any, in_order: bool) -> Stream:
            async for result in batch_task(**options)(fn)([x async for x in xs]):
                yield result

        return _Task(stream)

    return task


@mutant(of="batch_task", killed_by="batch-task-begins-every-run-with-nothing")
def keeps_the_open_batch_on_the_task(*, max_size: int = 2, **options: Any) -> Any:
    """Keeps the batch that is being filled on the task: the next run finds what the last one has left."""

    def task(fn: Fn) -> Any:
        batch: list[Any] = []

        async def in_lists(xs: Any) -> AsyncGenerator[list[Any], None]:
            async for x in xs:
                batch.append(x)
                if len(batch) == max_size:
                    yield list(batch)
                    batch.clear()
            if batch:
                yield list(batch)
                batch.clear()

        return _batches(in_lists, fn, **options)

    return task


@mutant(of="batch_task", killed_by="batch-task-leaves-no-call-behind")
def shields_its_batches(**options: Any) -> Any:
    """Shields each call from being cancelled, so that no batch is left half done: it goes on, and nobody waits."""

    def task(fn: Fn) -> Any:
        async def shielded(batch: list[Any]) -> Any:
            return await asyncio.shield(asyncio.ensure_future(fn(batch)))

        return batch_task(**options)(shielded)

    return task


_SEEN: list[Any] = []


@mutant(of="get_current_context", killed_by="context-is-that-of-the-run")
def remembers_the_first_context() -> Any:
    """Looks it up once and keeps it in a global: faster, and everybody's."""
    if not _SEEN and get_current_context() is not None:
        _SEEN.append(get_current_context())
    return _SEEN[0] if _SEEN else None


_LAST: list[Any] = [None]


@mutant(of="get_current_context", killed_by="context-is-that-of-the-run")
def leaks_into_the_reader() -> Any:
    """Sets the context where it is found and never sets it back, so that the reader has it, too."""
    if get_current_context() is not None:
        _LAST[0] = get_current_context()
    return _LAST[0]


@mutant(of="get_current_context", killed_by="context-is-that-of-the-run")
def there_is_none() -> Any:
    """Sets the context in one task and looks for it in another: there is none."""
    return None


_DATA: dict[str, Any] = {}


@mutant(of="get_current_context", killed_by="context-is-new-with-every-run")
def shares_its_data() -> Any:
    """Copies the data once, for the first run, and hands that copy to every run."""
    from dataclasses import replace

    context = get_current_context()
    if context is None:
        return None
    for name, value in context.data.items():
        _DATA.setdefault(name, value)
    return replace(context, data=_DATA)


@mutant(of="get_current_context", killed_by="context-is-new-with-every-run")
def a_copy_for_every_call() -> Any:
    """Gives each call a copy of its own: what one writes, the next one does not see."""
    from copy import deepcopy

    return deepcopy(get_current_context())
