"""HTTP: one request, one answer, or its stages and parts as server-sent events; health, metrics, and a page to ask on.

All clients' requests stand in one bounded queue, which one or several runs of the five stages read. A client that has
gone away stops nothing: its answer is made, and stored where answers are.
"""

from __future__ import annotations

import asyncio
import json
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, MutableMapping
from contextlib import suppress
from dataclasses import replace
from functools import cache, partial
from hashlib import sha256
from importlib.resources import files
from math import ceil
from re import DOTALL, findall
from time import perf_counter
from types import TracebackType
from typing import Any, TypeAlias
from uuid import uuid4

from starlette.applications import Starlette
from starlette.routing import Route

from funcpipe_rag.aio.ownership import stop
from funcpipe_rag.streams.arguments import a_whole_number

from .access import Access
from .answers import Conflict
from .connections import Line
from .driver import Service
from .limits import Limits
from .metrics import Metrics
from .policies import Shed, answer_for
from .requests import BadRequest, Request, Response

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
ASGIApp: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

_COME_AGAIN = 1.0
"""In seconds: after this it is worth to ask a full service again."""

_LINGER = 1.0
"""In seconds: so long, what a refused client still sends is read and dropped, so that our answer reaches it."""

_SIGN_OF_LIFE = 15.0
"""In seconds: so long an event stream is silent at the most."""


class HttpConnection:
    """The requests of many clients as one connection, which `lanes` runs of a service read.

    >>> class Length:
    ...     def predict(self, features):
    ...         return len(features.request.text)
    >>> async def twice():
    ...     async with HttpConnection(Service(Length())) as door:
    ...         first = door.offer(b'{"request_id": "r1", "text": "four"}')
    ...         second = door.offer(b'{"request_id": "r1", "text": "four"}')
    ...         print(first is second, (await first.answered()).value)
    ...         return [event for event, _ in first.events]
    >>> asyncio.run(twice())
    True 4
    ['stage', 'stage', 'stage', 'stage', 'part', 'stage', 'done']

    The same request that is sent again while it is on its way is answered once, and all who sent it get that answer. What
    does not fit into the queue is shed. A run of the stages that fails answers what it had in its hands, and is begun
    anew.

    Class: external. Memory: `limits.in_flight` requests that wait, a request in the hands of each lane, and all parts of
    their answers. Closing: answers what it has taken, then ends; when it is cancelled meanwhile, what is left is
    answered with 503. Errors: Shed, BadRequest (TooLong is one), Conflict from `offer`; those of a service whose run fails unread.
    """

    def __init__(
        self,
        service: Service,
        *,
        lanes: int = 1,
        limits: Limits | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        self._lanes = a_whole_number("HttpConnection", "lanes", lanes, least=1)
        self.limits = limits or Limits()
        self.metrics = metrics or Metrics()
        self._log = service.audit
        self.clock = perf_counter if self._log is None else self._log.clock
        # Every stage is watched, as its events are what an event stream consists of.
        self._service = replace(service, audit=self, most_bytes=self.limits.most_bytes)
        self.in_parts = not hasattr(service.model, "predict")
        self._waiting: asyncio.Queue[Ticket | None] = asyncio.Queue()
        self._open: dict[str, Ticket] = {}
        self.runs: list[asyncio.Task[None]] = []
        self._closed = False

    def offer(self, body: bytes) -> Ticket:
        """Take a request, or join the one that is on its way under the same id."""
        if len(body) > self.limits.most_bytes:
            # The first stage would refuse it unread, in an answer without an id that would reach nobody.
            raise TooLong(
                f"a request has at most {self.limits.most_bytes:,} bytes, this one has {len(body):,}"
            )
        request = Request.from_json(body)
        ticket = self._open.get(request.request_id)
        if ticket is not None:
            if ticket.request != request:
                raise Conflict(f"request_id {request.request_id[:60]!r} is in use for another request")
            return ticket
        if self._closed:
            raise Shed("the service is ending", _COME_AGAIN)
        if self._waiting.qsize() >= self.limits.in_flight:
            raise Shed(f"{self.limits.in_flight:,} requests are waiting", _COME_AGAIN)
        ticket = self._open[request.request_id] = Ticket(request, body)
        self._waiting.put_nowait(ticket)
        self.metrics.begun("http")
        return ticket

    def note(self, stage: str, request_id: str | None, began: float, ended: float, last: bool) -> None:
        """For the stages: one of them has handed a request on."""
        if self._log is not None:
            self._log.note(stage, request_id, began, ended, last)
        ticket = self._open.get(request_id) if request_id is not None else None
        if ticket is not None:
            ticket.tell("stage", (stage, ended - began))
            if stage == "write_responses" and ticket.answer is not None:
                self._end(ticket)

    def written(self, response: Response) -> None:
        """For the lanes: an answer, or a part of one."""
        ticket = self._open.get(response.request_id or "")
        if ticket is None:
            return
        if response.status == "ok" and response.last == (not self.in_parts):
            ticket.tell("part", response)
        if response.last:
            ticket.give(response)

    async def next(self) -> Ticket | None:
        """For the lanes: what has waited longest; None at the end."""
        return await self._waiting.get()

    def _end(self, ticket: Ticket) -> None:
        del self._open[ticket.request.request_id]
        answer = ticket.answer
        assert answer is not None
        ticket.tell("done", answer)
        self.metrics.answered("http", answer.status, perf_counter() - ticket.since)

    def fail(self, tickets: list[Ticket], answer: Callable[[str], Response]) -> None:
        """Answer what nobody will answer any more."""
        for ticket in tickets:
            request_id = ticket.request.request_id
            if self._open.get(request_id) is ticket:
                if ticket.answer is None:
                    ticket.give(answer(request_id))
                self._end(ticket)

    async def _run(self) -> None:
        while True:
            lane = _Lane(self)
            try:
                await self._service.run(lane)
            except Exception as failure:
                if not lane.held:
                    # It cannot even begin, and would not the next time.
                    self._closed = True
                    self._fail_all(failure)
                    raise
                error = failure
            else:
                return
            self.fail(lane.held, lambda request_id: answer_for(request_id, "the service", error))  # noqa: B023

    async def __aenter__(self) -> HttpConnection:
        self.runs = [asyncio.create_task(self._run(), name=f"lane {number}") for number in range(self._lanes)]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed = True
        try:
            if kind is None:
                for _ in self.runs:
                    self._waiting.put_nowait(None)
                await asyncio.wait(self.runs)
        finally:
            try:
                await stop(self.runs)
            finally:
                self._fail_all(Shed("the service has ended", _COME_AGAIN))

    def _fail_all(self, error: Exception) -> None:
        self.fail([*self._open.values()], lambda request_id: answer_for(request_id, "the service", error))


class TooLong(BadRequest):
    """A request of more bytes than the service takes."""


class Ticket:
    """A request on its way, its answer, and what became of it: for any number of readers, also late ones."""

    __slots__ = ("_answer_waited_for", "_told", "answer", "body", "events", "request", "since")

    def __init__(self, request: Request, body: bytes) -> None:
        self.request = request
        self.body = body
        self.since = perf_counter()
        self.answer: Response | None = None
        self.events: list[tuple[str, Any]] = []
        self._answer_waited_for: list[asyncio.Future[None]] = []
        self._told: list[asyncio.Future[None]] = []

    def tell(self, event: str, what: Any) -> None:
        """Something has happened."""
        self.events.append((event, what))
        if self._told:
            _wake(self._told)

    def give(self, answer: Response) -> None:
        """This is the answer, or its end."""
        self.answer = answer
        _wake(self._answer_waited_for)

    async def answered(self) -> Response:
        """The answer, or its end."""
        while self.answer is None:
            await _woken(self._answer_waited_for)
        return self.answer

    @property
    def values(self) -> list[Any]:
        """The parts that there are, in order."""
        return [what.value for event, what in self.events if event == "part"]

    async def follow(self) -> AsyncIterator[tuple[str, Any]]:
        """What has happened from the beginning, as it happens, to the end; None where nothing has for a while."""
        told = 0
        while True:
            while told < len(self.events):
                event, what = self.events[told]
                yield event, what
                if event == "done":
                    return
                told += 1
            if not await _woken(self._told, _SIGN_OF_LIFE):
                yield "nothing", None


def _wake(waiting: list[asyncio.Future[None]]) -> None:
    for future in waiting:
        if not future.done():
            future.set_result(None)
    waiting.clear()


async def _woken(waiting: list[asyncio.Future[None]], seconds: float | None = None) -> bool:
    # A future for each who waits: who is cancelled takes his own along, and nobody else's.
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    waiting.append(future)
    if seconds is None:
        await future
        return True
    try:
        async with asyncio.timeout(seconds):
            await future
    except TimeoutError:
        return False
    return True


class _Lane:
    """What one run of the stages reads and writes."""

    def __init__(self, door: HttpConnection) -> None:
        self._door = door
        self._number = 0
        self.held: list[Ticket] = []

    async def read_request(self) -> Line | None:
        ticket = await self._door.next()
        if ticket is None:
            return None
        self.held = [*(one for one in self.held if one.answer is None), ticket]
        self._number += 1
        return Line(ticket.body, self._number)

    async def write_response(self, request_id: str | None, response: Response) -> None:
        self._door.written(response)


def make_app(door: HttpConnection, access: Access) -> ASGIApp:
    """What uvicorn serves: the paths below, for those who are let in.

    `POST /requests` takes a request as JSON and gives its answer; `POST /ask` the same for {"question": "…"}. With
    `Accept: text/event-stream` they give events: `stage` each time a stage hands the request on, `part` for each part of the
    answer, and `done`. `GET /health`, `GET /metrics`, `GET /`.

    A token is given as `Authorization: Bearer …`. Only the page at `/`, which holds nothing, is there without it.
    """

    async def requests(scope: Scope, receive: Receive, send: Send) -> None:
        await _answer(door, scope, receive, send, bytes)

    async def ask(scope: Scope, receive: Receive, send: Send) -> None:
        await _answer(door, scope, receive, send, _asked)

    async def health(scope: Scope, receive: Receive, send: Send) -> None:
        await _reply(send, 200, b'{"status": "ok"}')

    async def metrics(scope: Scope, receive: Receive, send: Send) -> None:
        await _reply(send, 200, door.metrics.text().encode(), b"text/plain; version=0.0.4; charset=utf-8")

    async def page(scope: Scope, receive: Receive, send: Send) -> None:
        body, policy = _page()
        await _reply(send, 200, body, b"text/html; charset=utf-8", [(b"content-security-policy", policy)])

    app = Starlette(
        routes=[
            Route("/requests", _Endpoint(requests), methods=["POST"]),
            Route("/ask", _Endpoint(ask), methods=["POST"]),
            Route("/health", _Endpoint(health), methods=["GET"]),
            Route("/metrics", _Endpoint(metrics), methods=["GET"]),
            Route("/", _Endpoint(page), methods=["GET"]),
        ]
    )

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (refused := _refused(door, access, scope)) is not None:
            await _refuse(door, send, refused)
            return
        await app(scope, receive, send)

    return guarded


class _Endpoint:
    """A path that speaks ASGI itself: Starlette takes a function for one that wants its own requests."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)


def _refused(door: HttpConnection, access: Access, scope: Scope) -> Response | None:
    host, origin, token = (_header(scope, name) for name in (b"host", b"origin", b"authorization"))
    if not access.is_meant(host):
        return _error(421, "Host names another service; ask for 127.0.0.1 or localhost")
    if not access.is_ours(origin, host):
        return _error(403, "a page of another origin may not ask here")
    if scope["path"] != "/":
        kind, _, given = (token or "").partition(" ")
        if not access.admits(given.strip() if kind.lower() == "bearer" else None):
            return _error(401, "the header must be Authorization: Bearer …, with the right token")
    return None


def _header(scope: Scope, wanted: bytes) -> str | None:
    for name, value in scope["headers"]:
        if name == wanted:
            return str(value, "latin-1")
    return None


def _error(code: int, why: str) -> Response:
    return Response(None, status="error", code=code, error=why)


async def _answer(
    door: HttpConnection, scope: Scope, receive: Receive, send: Send, made: Callable[[bytes], bytes]
) -> None:
    body = await _body(door.limits, scope, receive)
    if body is None:
        return
    if isinstance(body, Response):
        await _refuse(door, send, body, partial(_dropped, receive))
        return
    try:
        ticket = door.offer(made(body))
    except BadRequest as error:
        code = 413 if isinstance(error, TooLong) else 400
        refused = Response(error.request_id, status="error", code=code, error=str(error))
        await _refuse(door, send, refused)
    except Conflict as error:
        await _refuse(door, send, _error(409, str(error)))
    except Shed as error:
        await _refuse(door, send, answer_for(None, "", error))
    else:
        if "text/event-stream" in (_header(scope, b"accept") or ""):
            await _stream(ticket, send)
        else:
            answer = await ticket.answered()
            if door.in_parts and answer.status == "ok":
                answer = replace(answer, value=ticket.values, part=0)
            elif answer.part:
                answer = replace(answer, part=0)
            await _reply(send, answer.code, answer.to_json().encode(), more=_retry(answer))


async def _body(limits: Limits, scope: Scope, receive: Receive) -> bytes | Response | None:
    """What a client sends; the answer to one that is too long or too late; None where it has gone."""
    most = limits.most_bytes
    said = _header(scope, b"content-length") or "0"
    too_long = _error(413, f"a request has at most {most:,} bytes, this one has more")
    if said.isdecimal() and int(said[:20]) > most:
        return too_long
    body = b""
    try:
        async with asyncio.timeout(limits.idle):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return None
                part: bytes = message.get("body", b"")
                body = body + part if body else part
                if len(body) > most:
                    return too_long
                if not message.get("more_body", False):
                    return body
    except TimeoutError:
        return _error(408, f"the request did not come whole within {limits.idle:g} s")


def _asked(body: bytes) -> bytes:
    """A question as a request, with an id of its own."""
    try:
        given = json.loads(body)
    except (ValueError, RecursionError):
        raise BadRequest('a question is a JSON object: {"question": "…"}') from None
    question = given.get("question") if isinstance(given, dict) and given.keys() == {"question"} else None
    if not isinstance(question, str) or not question.strip():
        raise BadRequest('a question is a JSON object: {"question": "…"}')
    return Request(uuid4().hex, text=question).to_json().encode("utf-8", "replace")


async def _dropped(receive: Receive) -> None:
    """Read what a client still sends, for a moment: a socket that is closed with something unread takes our answer along."""
    with suppress(TimeoutError):
        async with asyncio.timeout(_LINGER):
            while (await receive()).get("more_body", False):
                pass


async def _refuse(
    door: HttpConnection,
    send: Send,
    refused: Response,
    before_the_end: Callable[[], Awaitable[None]] | None = None,
) -> None:
    denied = refused.code in (401, 403, 421)
    door.metrics.refused("http", "denied" if denied else refused.status)
    more = _retry(refused)
    if refused.code == 401:
        more.append((b"www-authenticate", b"Bearer"))
    if refused.code in (408, 413):
        # What it still sends is not read.
        more.append((b"connection", b"close"))
    await _reply(send, refused.code, refused.to_json().encode(), more=more, before_the_end=before_the_end)


def _retry(answer: Response) -> list[tuple[bytes, bytes]]:
    return [] if answer.retry_after is None else [(b"retry-after", b"%d" % ceil(answer.retry_after))]


async def _reply(
    send: Send,
    code: int,
    body: bytes,
    kind: bytes = b"application/json",
    more: list[tuple[bytes, bytes]] | None = None,
    before_the_end: Callable[[], Awaitable[None]] | None = None,
) -> None:
    headers = [
        (b"content-type", kind),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
        *(more or ()),
    ]
    await send({"type": "http.response.start", "status": code, "headers": headers})
    if before_the_end is not None:
        await send({"type": "http.response.body", "body": body, "more_body": True})
        await before_the_end()
        body = b""
    await send({"type": "http.response.body", "body": body})


async def _stream(ticket: Ticket, send: Send) -> None:
    headers = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    async for event, what in ticket.follow():
        await send({"type": "http.response.body", "body": _event(event, what), "more_body": event != "done"})


def _event(event: str, what: Any) -> bytes:
    if event == "nothing":
        return b": still there\n\n"
    if event == "stage":
        stage, seconds = what
        data = json.dumps({"stage": stage, "seconds": round(seconds, 6)})
    else:
        data = (replace(what, value=None) if event == "done" else what).to_json()
    return f"event: {event}\ndata: {data}\n\n".encode()


@cache
def _page() -> tuple[bytes, bytes]:
    """The page, and a policy that lets it run its own script and ask its own host, and nothing else."""
    text = files("funcpipe_rag.serving").joinpath("page.html").read_text("utf-8")

    def hashes(tag: str) -> Iterator[str]:
        for inside in findall(f"<{tag}>(.*?)</{tag}>", text, DOTALL):
            yield f"'sha256-{b64encode(sha256(inside.encode()).digest()).decode()}'"

    policy = (
        f"default-src 'none'; script-src {' '.join(hashes('script'))}; style-src {' '.join(hashes('style'))}; "
        "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return text.encode(), policy.encode()
