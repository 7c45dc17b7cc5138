"""How much a stage puts up with: time limits, tries, a breaker, and how many calls at a time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeGuard, TypeVar

from funcpipe_rag.aio.mapping import patient
from funcpipe_rag.streams import BreakerOpen, RetryPolicy, make_breaker
from funcpipe_rag.streams.arguments import a_number, a_whole_number

from .features import MissingSignal, UnknownEntity
from .requests import Response

_LOG = logging.getLogger("funcpipe_rag.serving")

A = TypeVar("A")
B = TypeVar("B")


class Shed(Exception):
    """A request that is turned away because there are too many; `retry_after` is in seconds."""

    def __init__(self, why: str, retry_after: float) -> None:
        super().__init__(why)
        self.retry_after = retry_after


class NoSpecialist(LookupError):
    """A kind of request for which no model is named."""


REQUESTS_OWN = (UnknownEntity, MissingSignal, NoSpecialist)
"""What is wrong with one request, and says nothing of how the stage is."""


@dataclass(frozen=True)
class Policy:
    """What one stage puts up with.

    >>> Policy(timeout=2, retry=RetryPolicy(attempts=3), breaker_failures=5).concurrency
    1
    >>> Policy(timeout=0)
    Traceback (most recent call last):
    ...
    ValueError: Policy: timeout must be > 0 and finite, got 0

    `timeout` is in seconds for each try. After `breaker_failures` failures in a row the breaker is open for
    `reset_after` seconds: requests are then shed at once, with the time after which it is worth to come back. A request
    that asks for what is not there is no failure of the stage.
    """

    timeout: float | None = None
    retry: RetryPolicy | None = None
    breaker_failures: int | None = None
    reset_after: float = 30.0
    concurrency: int = 1

    def __post_init__(self) -> None:
        if self.timeout is not None:
            a_number("Policy", "timeout", self.timeout, above=0)
        if self.breaker_failures is not None:
            a_whole_number("Policy", "breaker_failures", self.breaker_failures, least=1)
        a_number("Policy", "reset_after", self.reset_after, least=0)
        a_whole_number("Policy", "concurrency", self.concurrency, least=1)

    @property
    def is_plain(self) -> bool:
        """Whether a call is one try, of any length, that nobody counts."""
        return self.timeout is None and self.retry is None and self.breaker_failures is None


DEFAULT = Policy()


def to_await(value: object) -> TypeGuard[Awaitable[Any]]:
    """Whether a stage must wait for this; a tenth of what `isawaitable` takes to say no."""
    return hasattr(value, "__await__")


def guarded(
    where: str, fn: Callable[[A], Coroutine[Any, Any, B]], policy: Policy
) -> Callable[[A], Awaitable[B]]:
    """`fn` under a policy: each call has its tries, each try its time, and the breaker counts calls.

    Errors: those of `fn`; TimeoutError; BreakerOpen, without a call.
    """
    call: Callable[[A], Awaitable[B]] = fn
    if policy.timeout is not None or policy.retry is not None:
        call = patient(where, fn, policy.timeout, policy.retry or RetryPolicy(attempts=1))
    if policy.breaker_failures is None:
        return call
    return _with_breaker(where, call, policy.breaker_failures, policy.reset_after)


def answering(
    where: str, fn: Callable[[A], Coroutine[Any, Any, B]], policy: Policy
) -> Callable[[A], Awaitable[B | Response]]:
    """`fn` under a policy; what fails becomes the answer to its request.

    What is wrong with the request itself, asking for what is not there, is no failure of the stage: it is not
    tried again, and no breaker counts it.
    """

    async def asked(item: Any) -> B | Response:
        try:
            return await fn(item)
        except REQUESTS_OWN as error:
            # The request's own fault: a second try would say the same, and a breaker would turn others away for it.
            return answer_for(item.request_id, where, error)

    # Where nothing is tried again and nothing counted, it makes no difference who answers.
    call: Callable[[A], Awaitable[B | Response]] = fn if policy.is_plain else guarded(where, asked, policy)

    async def answered(item: Any) -> B | Response:
        try:
            return await call(item)
        except Exception as error:
            return answer_for(item.request_id, where, error)

    return answered


def _with_breaker(
    where: str, call: Callable[[A], Awaitable[B]], failures: int, reset_after: float
) -> Callable[[A], Awaitable[B]]:
    def settled(outcome: Callable[[], Any]) -> Any:
        return outcome()

    settled.__qualname__ = where
    # The sync breaker keeps the count: it is told what became of each call when that is known.
    breaker = make_breaker(
        failures=failures, reset_after=reset_after, clock=lambda: asyncio.get_running_loop().time()
    )(settled)

    async def tried(item: A) -> B:
        if breaker.state == "open":
            breaker(lambda: None)
        try:
            value = await call(item)
        except Exception as error:
            if breaker.state == "open":
                raise
            failure = error

            def fails() -> Any:
                raise failure

            breaker(fails)
            raise
        # Other calls, begun at the same time, have opened it meanwhile: this one was let in, and has its answer.
        return value if breaker.state == "open" else breaker(lambda: value)

    return tried


def answer_for(request_id: str | None, where: str, error: Exception) -> Response:
    """The answer to a request that failed: what happened, and nothing of the host; why it failed is in the log.

    >>> answer_for("r1", "infer", FileNotFoundError("/srv/models/secret.bin")).error
    'infer failed (FileNotFoundError)'
    >>> answer_for("r1", "infer", BreakerOpen("infer", 12.5)).retry_after
    12.5
    """
    if isinstance(error, BreakerOpen):
        return _shed(request_id, f"{where} is resting after failures", error.retry_in)
    if isinstance(error, Shed):
        return _shed(request_id, str(error), error.retry_after)
    if isinstance(error, TimeoutError):
        return Response(request_id, status="error", code=504, error=f"{where} gave no answer in time")
    if isinstance(error, REQUESTS_OWN):
        code = 404 if isinstance(error, UnknownEntity) else 422
        return Response(request_id, status="error", code=code, error=str(error))
    _LOG.info("%s failed on %r", where, request_id, exc_info=error)
    return Response(request_id, status="error", code=500, error=f"{where} failed ({type(error).__name__})")


def _shed(request_id: str | None, why: str, retry_after: float) -> Response:
    return Response(
        request_id, status="shed", code=503, error=why, retry_after=round(max(retry_after, 0.001), 3)
    )
