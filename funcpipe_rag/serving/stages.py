"""Five stages, five async generators: each takes the one before it, and only what it needs besides.

    parse_requests -> featurize -> infer -> post_process -> write_responses

A request that has its answer already, because it could not be read, failed on the way, or was answered before, goes
through the later stages as it is: nothing is lost, and answers leave in the order in which requests came.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable
from dataclasses import replace
from math import isfinite
from typing import Any, NamedTuple, Protocol, TypeAlias

from funcpipe_rag.aio import amap
from funcpipe_rag.aio.ownership import Owned

from .answers import Answers, Conflict
from .connections import Connection, Line
from .features import Features, FeatureStore, combined
from .policies import DEFAULT, Policy, answer_for, answering, guarded, to_await
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
    """What the third stage calls: one prediction a request, as JSON values; sync or async.

    `features.request` is the request, `features.feature_vec` the vector. A sync `predict` keeps the loop while it works.
    """

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
    request, its stored answer comes in its place.

    Class: external. Demand: one line an item. Memory: one line. Closing: leaves the connection to the driver. Errors:
    those of the connection.
    """
    while (line := await connection.read_request()) is not None:
        for item in [line] if isinstance(line, Response) else _parsed(line, answers, most_bytes):
            yield item


def _parsed(line: Line, answers: Answers | None, most_bytes: int) -> list[Request | Response]:
    size = len(line.text)
    if isinstance(line.text, str) and most_bytes // 4 < size <= most_bytes:
        # A character may be four bytes; what is short enough all the same need not be encoded to be measured.
        size = len(line.text.encode("utf-8", "surrogatepass"))
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
    """Join each request with what is stored for its entity and with its live signals.

    >>> from funcpipe_rag.aio import collect, from_sync
    >>> from funcpipe_rag.aio.testing import run
    >>> from funcpipe_rag.serving.features import SQLiteFeatures
    >>> store = SQLiteFeatures(":memory:", signals=["clicks"])
    >>> store.put({"user 7": [0.5]})
    >>> requests = [Request("r1", "user 7", {"clicks": 3.0}), Request("r2", "user 9")]
    >>> joined, refused = run(collect(featurize(from_sync(requests), store)))
    >>> joined.feature_vec, refused.code, refused.error
    (array([0.5, 3. ], dtype=float32), 404, "no features are stored for 'user 9'")

    Class: external. Demand: one pull an item; with a policy's concurrency of n, n - 1 further. Memory: so many requests.
    Closing: closes the requests. Errors: those of the requests; what fails for one of them becomes its answer.
    """
    names = features.signals

    async def joined(request: Request) -> Features:
        stored: Any = features.stored(request.entity_id)
        return combined(request, await stored if to_await(stored) else stored, names)

    call = answering("featurize", joined, policy)
    async with Owned() as owned:
        async for item in owned.opened(_ahead(requests, Request, call, policy)):
            yield await call(item) if isinstance(item, Request) else item


async def infer(
    vectors: AsyncIterable[Features | Response], model: Model, *, policy: Policy = DEFAULT
) -> AsyncGenerator[Prediction | Response, None]:
    """Ask the model. One that answers in parts has each of them handed on when it is there.

    >>> from funcpipe_rag.aio import collect, from_sync
    >>> from funcpipe_rag.aio.testing import run
    >>> from funcpipe_rag.serving.features import combined
    >>> class Words:
    ...     async def stream(self, features):
    ...         for word in features.request.text.split():
    ...             yield word
    >>> vectors = from_sync([combined(Request("r1", text="one two"), [], [])])
    >>> [(said.part, said.value, said.last) for said in run(collect(infer(vectors, Words())))]
    [(0, 'one', False), (1, 'two', False), (2, None, True)]

    Class: external. Demand: one pull a request; with a policy's concurrency of n, n - 1 further. Memory: so many
    requests. Closing: closes the vectors, and the parts of the answer in hand. Errors: those of the vectors; what
    fails for one request becomes its answer, or the end of it.
    """
    async with Owned() as owned:
        if not hasattr(model, "predict"):
            # A stream that has failed has no second try in it.
            following = guarded("infer", _next, replace(policy, retry=None))
            async for item in owned.opened(vectors):
                if not isinstance(item, Features):
                    yield item
                    continue
                # Closed with its request: the stage lives as long as the connection.
                async with Owned() as these:
                    async for part in these.opened(_in_parts(item, model.stream, following)):
                        yield part
            return

        async def predicted(item: Features) -> Prediction:
            value: Any = model.predict(item)
            return Prediction(item.request_id, await value if to_await(value) else value, item.request)

        call = answering("infer", predicted, policy)
        async for item in owned.opened(_ahead(vectors, Features, call, policy)):
            yield await call(item) if isinstance(item, Features) else item


async def post_process(
    predictions: AsyncIterable[Prediction | Response],
    post: PostProcessor = as_it_is,
    *,
    policy: Policy = DEFAULT,
) -> AsyncGenerator[Response, None]:
    """Make answers of predictions.

    >>> from funcpipe_rag.aio import collect, from_sync
    >>> from funcpipe_rag.aio.testing import run
    >>> said = [Prediction("r1", 0.75, Request("r1")), Prediction("r2", "high", Request("r2"))]
    >>> rounded, failed = run(collect(post_process(from_sync(said), lambda one: round(one.value))))
    >>> rounded.value, failed.code, failed.error
    (1, 500, 'post_process failed (TypeError)')

    Class: pure in `post`. Demand: one pull an item; with a policy's concurrency of n, n - 1 further. Memory: so many
    predictions. Closing: closes the predictions. Errors: those of the predictions; what fails for one becomes its answer,
    or the end of it, and so does a value that JSON has not, such as NaN.
    """

    async def answered(said: Prediction) -> Response:
        value: Any = post(said)
        value = await value if to_await(value) else value
        if not _is_surely_json(value):
            # Here it is one request's failure; where answers are sent it would be that of all.
            _as_json(value).encode()
        return Response(said.request_id, value, part=said.part, last=said.last)

    call = answering("post_process", answered, policy)

    async def made(said: Prediction) -> _Made:
        return _Made(await call(said), said)

    broken: str | None = None
    async with Owned() as owned:
        async for item in owned.opened(_ahead(predictions, Prediction, made, policy)):
            if isinstance(item, Prediction):
                answer, said = await call(item), item
            elif isinstance(item, _Made):
                answer, said = item
            else:
                yield item
                continue
            if said.part and broken is None and answer.status != "ok":
                answer = replace(answer, part=said.part)
            gone, broken = broken, None if said.last else broken
            if gone is None:
                if answer.last and not said.last:
                    # The answer has ended with this part: those behind it are nobody's.
                    broken = said.request_id
                yield answer


async def write_responses(
    responses: AsyncIterable[Response], connection: Connection, *, answers: Answers | None = None
) -> AsyncGenerator[Written, None]:
    """Send each answer; stored in `answers` before its end is sent, so that a retry is answered alike.

    >>> from funcpipe_rag.aio import collect, from_sync
    >>> from funcpipe_rag.aio.testing import run
    >>> from funcpipe_rag.serving.connections import MemoryConnection
    >>> connection = MemoryConnection()
    >>> run(collect(write_responses(from_sync([Response("r1", 0.5)]), connection)))
    [Written(request_id='r1', status='ok', last=True)]
    >>> connection.written[0].value
    0.5

    Class: external. Demand: one pull an item. Memory: the parts of one answer, where they are stored. Closing: closes
    the responses, and leaves the connection to the driver. Errors: those of the responses, of the connection, and of
    `answers`.
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


class _Made(NamedTuple):
    """An answer, or a part of one, and what it was made of."""

    answer: Response
    said: Prediction


def _is_surely_json(value: Any) -> bool:
    """What costs less than writing it down; False says that somebody must."""
    kind = type(value)
    if kind is dict:
        for name, inner in value.items():
            if type(name) is not str or not name.isascii() or not _is_surely_json(inner):
                return False
        return True
    if kind is str:
        return bool(value.isascii())
    if kind is float:
        return isfinite(value)
    return kind in _PLAIN


_PLAIN = frozenset({int, bool, type(None)})
_as_json = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode


def _ahead(
    items: AsyncIterable[Any], kind: type[Any], call: Callable[[Any], Awaitable[Any]], policy: Policy
) -> AsyncIterable[Any]:
    """The items themselves, for a stage that calls one at a time; for one that runs ahead, what the calls gave."""
    if policy.concurrency == 1:
        return items

    async def called(item: Any) -> Any:
        return await call(item) if isinstance(item, kind) else item

    return amap(called, concurrency=policy.concurrency)(items)


async def _in_parts(
    features: Features,
    stream: Callable[[Features], AsyncIterator[Any]],
    following: Callable[[Any], Awaitable[Any]],
) -> AsyncGenerator[Prediction | Response, None]:
    part = 0
    async with Owned() as owned:
        try:
            it = owned.opened(stream(features))
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
