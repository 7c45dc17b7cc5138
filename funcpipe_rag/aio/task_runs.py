"""One run of a task: what arrives, what is called with it, and what becomes of the result or the failure."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from functools import partial
from inspect import isawaitable
from random import Random
from types import CoroutineType
from typing import Any, NamedTuple

from funcpipe_rag.streams.reports import SHORT, Failures, OnError, Told
from funcpipe_rag.streams.results import Err
from funcpipe_rag.streams.retrying import RetryPolicy

from .calls import Several
from .handlers import Handling, answered
from .mapping import within
from .ownership import Owned, close, next_of, opened
from .side_inputs import Given, SideInputs
from .stages import AsyncStage, Items, Run


class Rules(NamedTuple):
    """What a task was told, checked."""

    name: str
    concurrency: int
    on_error: OnError
    report: Told | None
    retry: RetryPolicy
    timeout: float | None
    handler: Handling | None
    keep_none: bool
    flatten: bool
    batching: Callable[..., AsyncStage[Any, Any]] | None = None
    """What makes the batches of a run, with its `report` for a short tail."""
    apart: bool = False
    """The items of a batch that failed are tried once more, each alone."""


class Arrived(NamedTuple):
    """An item, or a batch of them, with its place and what goes to the function beside it."""

    item: Any
    place: int
    is_batch: bool
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def __repr__(self) -> str:
        # It stands where an error says on what it came.
        return SHORT.repr(self.item)

    def each(self) -> list[tuple[int, Any]]:
        """The items in it, with their places."""
        return list(enumerate(self.item, self.place)) if self.is_batch else [(self.place, self.item)]


def arriving(
    xs: Items[Any], rules: Rules, inputs: tuple[Given, ...], run: Run, failures: Failures
) -> Items[Any]:
    """What the calls of a task are made with: `Arrived`, or the items as they are where nothing more is wanted."""
    if rules.batching is not None:
        return _arriving(rules.batching(report=failures.drop).opening(xs, run), rules.name, True, inputs)
    return _arriving(xs, rules.name, False, inputs) if inputs or rules.handler is not None else xs


async def _arriving(
    xs: Items[Any], task_name: str, batches: bool, inputs: tuple[Given, ...]
) -> AsyncGenerator[Arrived, None]:
    # Read by one worker at a time, so that the side inputs of an item are taken in its turn.
    async with Owned() as owned:
        beside = SideInputs(task_name, inputs, owned)
        index = 0
        async for item in owned.opened(xs):
            args, kwargs = await beside.of(index)
            yield Arrived(item, index, batches, args, kwargs)
            index += len(item) if batches else 1


class Dropped(Failures):
    """What a run of a task does about its failures: each item of a batch counts."""

    __slots__ = ("_name",)

    def __init__(self, rules: Rules) -> None:
        super().__init__(rules.name, rules.on_error, rules.report)
        self._name = rules.name

    def handle(self, error: Exception, item: Any, index: int) -> tuple[Err[Any], ...]:
        each = item.each() if type(item) is Arrived else [(index, item)]
        return tuple(given for place, one in each for given in super(Dropped, self).handle(error, one, place))

    def drop_all(self, error: Exception, arrived: Arrived) -> None:
        """Count what was dropped, whatever the policy."""
        for place, one in arrived.each():
            self.drop(Err(error, one, self._name, place))


_END: Any = object()
_NOTHING = Several()


class Work:
    """What the workers of one run call: the task's function, within its limits, tried, handled and shaped."""

    __slots__ = ("_chance", "_failures", "_fn", "_limit", "_rules")

    def __init__(
        self, fn: Callable[..., Any], rules: Rules, limit: asyncio.Semaphore | None, failures: Dropped
    ) -> None:
        self._fn, self._rules, self._limit, self._failures = fn, rules, limit, failures
        # One for all calls of a run, so that those which fail together do not come back in step.
        self._chance = Random(0).random

    async def __call__(self, given: Any) -> Any:
        arrived = given if type(given) is Arrived else Arrived(given, 0, False, (), {})
        if not self._rules.apart or len(arrived.item) == 1:
            return self._shaped(await self._handled(arrived))
        try:
            # The handler lets the batch in, and is told when it went well; about failures it is asked item by item.
            self._let_in(arrived)
            result = await self._tried(arrived)
        except Exception:
            # The batch fails for the sake of some of its items: those that fail alone, too.
            return Several(await self._apart(arrived))
        self._went_well(arrived, result)
        return self._shaped(result)

    async def _apart(self, batch: Arrived) -> list[Any]:
        came: list[Any] = []
        for place, item in batch.each():
            alone = batch._replace(item=[item], place=place)
            try:
                result = self._shaped(await self._handled(alone))
                if type(result) is not Several:
                    came.append(result)
                    continue
                came.extend(result.at_hand)
                if result.to_come is not None:
                    async with Owned() as owned:
                        async for one in owned.opened(result.to_come):
                            came.append(one)
            except Exception as error:
                # What it gave before it failed stays.
                self._failures.drop_all(error, alone)
        return came

    def _let_in(self, arrived: Arrived) -> None:
        handler = self._rules.handler
        if handler is not None and handler.admit is not None:
            handler.admit(arrived.item, self._rules.name)

    def _went_well(self, arrived: Arrived, result: Any) -> None:
        handler = self._rules.handler
        # Of results to come it is not known yet.
        to_come = type(result) is Several and result.to_come is not None
        if handler is not None and handler.succeeded is not None and not to_come:
            handler.succeeded(arrived.item, self._rules.name)

    def _shaped(self, result: Any) -> Any:
        if result is None and not self._rules.keep_none:
            return _NOTHING
        return Several(result) if self._rules.flatten and isinstance(result, list) else result

    async def _handled(self, arrived: Arrived) -> Any:
        """The result, or what the error handler puts in its place."""
        handler = self._rules.handler
        if handler is None:
            return await self._tried(arrived)
        tries = [0]
        try:
            self._let_in(arrived)
            result = await self._tried(arrived, tries)
        except Exception as error:
            go_on, result = await self._asked(handler, error, arrived, tries[0])
            if not go_on:
                raise
            return result
        self._went_well(arrived, result)
        return result

    async def _asked(
        self, handler: Handling, error: Exception, arrived: Arrived, attempt: int
    ) -> tuple[bool, Any]:
        answer: Any = handler.error(error, arrived.item, self._rules.name, attempt)
        go_on, result = answered(
            self._rules.name, handler.error, await answer if isawaitable(answer) else answer
        )
        if go_on and result is None and not self._rules.keep_none and not handler.counts:
            self._failures.drop_all(error, arrived)
        return go_on, result

    async def _tried(self, arrived: Arrived, tries: list[int] | None = None) -> Any:
        """The result of as many tries as it takes; `tries` counts them."""
        retry = self._rules.retry
        if retry.attempts == 1:
            if tries is not None:
                tries[0] = 1
            return await self._once(arrived)
        waits = retry.waits(self._chance)
        attempt = 0
        while True:
            attempt += 1
            if tries is not None:
                tries[0] = attempt
            try:
                return await self._once(arrived)
            except retry.retry_on as error:
                wait = next(waits, None)
                if wait is None:
                    error.add_note(f"that was try {attempt} of {retry.attempts}")
                    raise
            # Outside the except, so that the failed try is not kept alive while we wait.
            await asyncio.sleep(wait)

    async def _once(self, arrived: Arrived) -> Any:
        # Every try has a list of its own: a function may change it.
        item = list(arrived.item) if arrived.is_batch else arrived.item
        result = await self._bounded(partial(self._fn, item, *arrived.args, **arrived.kwargs))
        if not isinstance(result, Iterator | AsyncIterator):
            return result
        it = opened(result)
        try:
            # A generator begins to run when it is first asked, and that can still be tried again.
            first = await self._bounded(partial(next_of, it, _END))
            if self._rules.flatten:
                return Several(to_come=self._to_come(it, first, arrived))
            listed = []
            while first is not _END:
                listed.append(first)
                first = await self._bounded(partial(next_of, it, _END))
        except BaseException:
            await close(it)
            raise
        await close(it)
        return listed

    async def _to_come(
        self, it: AsyncIterator[Any], result: Any, arrived: Arrived
    ) -> AsyncGenerator[Any, None]:
        handler = self._rules.handler
        in_its_place: Any = _NOTHING
        async with Owned() as owned:
            owned.take(it)
            while result is not _END:
                yield result
                try:
                    result = await self._bounded(partial(next_of, it, _END))
                except Exception as error:
                    if handler is None:
                        raise
                    go_on, result = await self._asked(handler, error, arrived, 1)
                    if not go_on:
                        raise
                    in_its_place = self._shaped(result)
                    break
            else:
                if handler is not None and handler.succeeded is not None:
                    handler.succeeded(arrived.item, self._rules.name)
        if type(in_its_place) is not Several:
            yield in_its_place
        else:
            for one in in_its_place.at_hand:
                yield one

    async def _bounded(self, call: Callable[[], Any]) -> Any:
        """One call, within the run's limit and the task's time."""
        if self._limit is None:
            return await self._timed(call)
        async with self._limit:
            return await self._timed(call)

    async def _timed(self, call: Callable[[], Any]) -> Any:
        if self._rules.timeout is not None:
            return await within(self._rules.name, call, self._rules.timeout)
        result = call()
        return await result if type(result) is CoroutineType or isawaitable(result) else result
