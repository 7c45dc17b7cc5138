"""Five stages, five async generators: each takes the one before it, and only what it needs besides.

    parse_requests -> featurize -> infer -> post_process -> write_responses

A request that has its answer already, because it could not be read, failed on the way, or was answered before, goes
through the later stages as it is: nothing is lost, and answers leave in the order in which requests came.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable
from dataclasses import replace
from inspect import isawaitable
from typing import Any, NamedTuple, Protocol, TypeAlias

from funcpipe_rag.aio import amap
from funcpipe_rag.aio.ownership import Owned

from .answers import Answers, Conflict
from .connections import Connection, Line
from .features import Features, FeatureStore, combined
from .policies import DEFAULT, Policy, answer_for, guarded
from .requests import BadRequest, Request, Response

MOST_BYTES = 1_000_000


class Prediction(NamedTuple):
    """What the model said of a request, or one part of it."""

    request_id: str
    value: Any
    request: Request
    part: int = 0
    last: bool = True


class Written(NamedTuple):
    """An answer that has been sent."""

    request_id: str | None
    status: str
    last: bool = True


class ModelClient(Protocol):
    """What the third stage calls: one prediction a request, as JSON values."""

    def predict(self, features: Features) -> Any | Awaitable[Any]: ...


class StreamingModel(Protocol):
    """A model that answers in parts, each handed on when it is there."""

    def stream(self, features: Features) -> AsyncIterator[Any]: ...


Model: TypeAlias = ModelClient | StreamingModel

PostProcessor: TypeAlias = Callable[[Prediction], Any | Awaitable[Any]]
"""What makes the answer's value of a prediction."""


def as_it_is(prediction: Prediction) -> Any:
    """A post-processor that changes nothing."""
    return prediction.value


async def parse_requests(
    connection: Connection, *, answers: Answers | None = None, most_bytes: int = MOST_BYTES
) -> AsyncGenerator[Request | Response, None]:
    """Read requests to the end of the connection.

    >>> from funcpipe_rag.aio.testing import run
    >>> from funcpipe_rag.serving.connections import MemoryConnection
    >>> connection = MemoryConnection(['{"request_id": "r1"}', "nonsense"])
    >>> async def parsed():
    ...     return [item async for item in parse_requests(connection)]
    >>> request, refused = run(parsed())
    >>> request.request_id, refused.code, refused.line
    ('r1', 400, 2)

    A line that cannot be read becomes an answer that names it, and the stream goes on. Where `answers` knows the
    request, its stored answer comes in its place. Demand: one line an item.
    """
    while (line := await connection.read_request()) is not None:
        for item in [line] if isinstance(line, Response) else _parsed(line, answers, most_bytes):
            yield item


def _parsed(line: Line, answers: Answers | None, most_bytes: int) -> list[Request | Response]:
    size = len(line.text)
    if size > most_bytes:
        why = f"a request has at most {most_bytes:,} bytes, got {size:,}"
        return [Response(None, status="error", code=413, error=why, line=line.number)]
    try:
        request = Request.from_json(line.text)
    except BadRequest as error:
        return [Response(error.request_id, status="error", code=400, error=str(error), line=line.number)]
    try:
        known = answers.known(request) if answers is not None else []
    except Conflict as error:
        return [Response(request.request_id, status="error", code=409, error=str(error))]
    return [*known] or [request]


async def featurize(
    requests: AsyncIterable[Request | Response], features: FeatureStore, *, policy: Policy = DEFAULT
) -> AsyncGenerator[Features | Response, None]:
    """Join each request with what is stored for its entity and with its live signals. Demand: one pull an item."""

    async def joined(request: Request) -> Features:
        stored = features.stored(request.entity_id)
        return combined(request, await stored if isawaitable(stored) else stored, features.signals)

    async with Owned() as owned:
        async for item in owned.opened(_each(requests, Request, joined, policy, "featurize")):
            yield item


async def infer(
    vectors: AsyncIterable[Features | Response], model: Model, *, policy: Policy = DEFAULT
) -> AsyncGenerator[Prediction | Response, None]:
    """Ask the model. One that answers in parts has each of them handed on when it is there. Demand: one pull a request."""
    async with Owned() as owned:
        if not hasattr(model, "predict"):
            # A stream that has failed has no second try in it.
            following = guarded("infer", _next, replace(policy, retry=None))
            async for item in owned.opened(vectors):
                if not isinstance(item, Features):
                    yield item
                    continue
                async for part in owned.opened(_in_parts(item, model.stream(item), following)):
                    yield part
            return

        async def predicted(item: Features) -> Prediction:
            value = model.predict(item)
            value = await value if isawaitable(value) else value
            return Prediction(item.request_id, value, item.request)

        async for item in owned.opened(_each(vectors, Features, predicted, policy, "infer")):
            yield item


async def post_process(
    predictions: AsyncIterable[Prediction | Response],
    post: PostProcessor = as_it_is,
    *,
    policy: Policy = DEFAULT,
) -> AsyncGenerator[Response, None]:
    """Make answers of predictions. Demand: one pull an item."""

    async def answered(said: Prediction) -> Response:
        value = post(said)
        value = await value if isawaitable(value) else value
        return Response(said.request_id, value, part=said.part, last=said.last)

    async with Owned() as owned:
        async for item in owned.opened(_each(predictions, Prediction, answered, policy, "post_process")):
            yield item


async def write_responses(
    responses: AsyncIterable[Response], connection: Connection, *, answers: Answers | None = None
) -> AsyncGenerator[Written, None]:
    """Send each answer; stored in `answers` before its end is sent, so that a retry is answered alike.

    Demand: one pull an item. Memory: the parts of one answer, where they are stored.
    """
    parts: list[Response] = []
    async with Owned() as owned:
        async for response in owned.opened(responses):
            if answers is not None:
                parts.append(response)
                if response.last:
                    answers.keep(*parts)
                    parts.clear()
            await connection.write_response(response.request_id, response)
            yield Written(response.request_id, response.status, response.last)


def _each(
    items: AsyncIterable[Any], kind: type[Any], one: Callable[[Any], Any], policy: Policy, where: str
) -> AsyncIterator[Any]:
    """`one` of every item of this kind, under the policy; what fails becomes its answer, and answers pass."""
    call = guarded(where, one, policy)

    async def answered(item: Any) -> Any:
        if not isinstance(item, kind):
            return item
        try:
            return await call(item)
        except Exception as error:
            return answer_for(item.request_id, where, error)

    return amap(answered, concurrency=policy.concurrency)(items)


async def _in_parts(
    features: Features, parts: AsyncIterator[Any], following: Callable[[Any], Awaitable[Any]]
) -> AsyncGenerator[Prediction | Response, None]:
    part = 0
    async with Owned() as owned:
        it = owned.opened(parts)
        try:
            while (value := await following(it)) is not _END:
                yield Prediction(features.request_id, value, features.request, part, last=False)
                part += 1
        except Exception as error:
            yield replace(answer_for(features.request_id, "infer", error), part=part)
            return
    yield Prediction(features.request_id, None, features.request, part)


async def _next(it: AsyncIterator[Any]) -> Any:
    return await anext(it, _END)


_END: Any = object()
