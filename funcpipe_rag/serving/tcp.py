"""JSON lines over TCP: a line is a request, a line is an answer, in the order of the requests.

Every client has its own run of the five stages, so that backpressure is the socket's own: who does not read his answers
is not read either, and holds up nobody else. A model that is shared through `Batched` still batches over all of them.
"""

from __future__ import annotations

import asyncio
import json
import re
from asyncio import Transport
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from socket import socket
from time import perf_counter
from typing import Any, cast

from funcpipe_rag.aio.ownership import stop

from .access import Access
from .connections import Line
from .driver import Service
from .limits import Limits
from .metrics import Metrics
from .requests import Response

_AT_HAND = 65_536
"""In bytes: with this much of whole lines at hand, no more is read."""

_LINGER = 1.0
"""In seconds: so long, what a client still sends is read and dropped, so that its last answers reach it."""

_HTTP = re.compile(rb"[A-Z]+ \S+ HTTP/\d")
_METHOD = re.compile(rb"[A-Z]{1,20} ")
"""How a line of HTTP begins, and none of JSON: for a first line that does not come to its end."""


class Gone(ConnectionError):
    """The client is gone, or does not take its answers."""


class LineConnection(asyncio.Protocol):
    """One client: its lines, numbered from 1, and its answers.

    A line that is too long is answered with 413 as soon as that is known, and the rest of it is read and dropped; the next
    line is a request again. What comes is bytes: what is no JSON gets its answer from the first stage. The last line
    needs no end. A client that has ended its side is answered to the end.

    Where a token is wanted, the first line is {"token": "…"}; it gets no answer if it is right, and 401 if not. A first
    line of HTTP ends the connection: some page is trying to speak through a browser.

    Class: external. Memory: one line of at most `most_bytes`, and 256 KiB; 64 KiB and one answer that wait to be sent.
    Errors: Gone.
    """

    def __init__(
        self,
        limits: Limits | None = None,
        *,
        access: Access | None = None,
        metrics: Metrics | None = None,
        room: asyncio.Semaphore | None = None,
        made: Callable[[LineConnection], None] = lambda client: None,
    ) -> None:
        self._limits = limits or Limits()
        self._access = access
        self._metrics = metrics or Metrics()
        self._room = room or asyncio.Semaphore(self._limits.in_flight)
        self._made = made
        self._begun: deque[tuple[int, float]] = deque()
        self._buffer = bytearray()
        self._whole = 0  # how many ends of lines the buffer has
        self._number = 0
        self._admitted = False
        self._shouts = False  # the first line begins like one of HTTP
        self._dropping = False  # the rest of a line that was too long
        self._eof = False
        self._stopped = False
        self._paused = False
        self._writable = asyncio.Event()
        self._writable.set()
        self._changed = asyncio.Event()  # something came: for who reads
        self.lost = False

    async def read_request(self) -> Line | Response | None:
        """The next line, or the answer to one that is too long; None at the end."""
        # Lines that are at hand would otherwise let this client's pipeline run on while all others wait.
        await asyncio.sleep(0)
        item = await self._next()
        if not self._admitted and item is not None:
            if self._shouts if isinstance(item, Response) else _HTTP.match(cast(bytes, item.text)):
                return self._last_word(400, "this port takes JSON lines, and this is HTTP")
            if self._access is not None and self._access.wants_token:
                if isinstance(item, Response) or not self._access.admits(_token(item.text)):
                    return self._last_word(401, 'the first line must be {"token": "…"}, with the right one')
                item = await self._next()
            self._admitted = True
        if item is not None:
            await self._room.acquire()
            self._begun.append((self._number, perf_counter()))
            self._metrics.begun("tcp")
        return item

    async def write_response(self, request_id: str | None, response: Response) -> None:
        """Send an answer, or a part of one, as a line."""
        if self.lost:
            raise Gone("the client is gone")
        self.transport.write(response.to_json().encode() + b"\n")
        if response.last and self._begun:
            _, since = self._begun.popleft()
            self._metrics.answered("tcp", response.status, perf_counter() - since)
            self._room.release()
        if not self._writable.is_set():
            try:
                async with asyncio.timeout(self._limits.patience):
                    await self._writable.wait()
            except TimeoutError:
                self.transport.abort()
                raise Gone(f"the client took nothing for {self._limits.patience:g} s") from None

    async def fail(self, why: str) -> None:
        """Answer what was read and has no answer: it will get no other."""
        for number, _ in list(self._begun):
            await self.write_response(None, Response(None, status="error", code=500, error=why, line=number))

    def drain(self) -> None:
        """Take no more than the whole lines that are here."""
        self._stopped = True
        self._hold()
        self._changed.set()

    async def aclose(self) -> None:
        """End our side, and wait a moment for the client to end its own."""
        for _ in self._begun:
            self._room.release()
        self._metrics.dropped("tcp", len(self._begun))
        self._begun.clear()
        if self.lost:
            return
        # A socket that is closed with something unread tells the client to forget what it has not read yet.
        self._stopped = self._dropping = True
        self._buffer.clear()
        self._whole = 0
        self._hold()
        try:
            # A client that has reset the connection is not known to be gone before the loop's next turn.
            with suppress(OSError):
                self.transport.write_eof()
            await self._until(lambda: self._eof, _LINGER)
            self.transport.close()
            await self._until(lambda: False, self._limits.patience)
        finally:
            self.transport.abort()

    async def _until(self, so: Callable[[], bool], seconds: float) -> bool:
        """Whether it is `so`, or the client is gone, within so many seconds."""
        try:
            async with asyncio.timeout(seconds):
                while not so() and not self.lost:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            return False
        return True

    async def _next(self) -> Line | Response | None:
        item = self._at_hand()
        if item is None and not (self._eof or self._stopped or self.lost):

            def came() -> bool:
                nonlocal item
                item = self._at_hand()
                return item is not None or self._eof or self._stopped

            if not await self._until(came, self._limits.idle):
                self._stopped = True
                if not self._buffer:
                    return None
                self._buffer.clear()
                return self._refused(408, f"the line did not come whole within {self._limits.idle:g} s")
        if self.lost:
            return None
        if item is None and self._buffer and not self._stopped:
            # The last line, without its end.
            self._number += 1
            item = Line(bytes(self._buffer), self._number)
            self._buffer.clear()
        return item

    def _at_hand(self) -> Line | Response | None:
        most = self._limits.most_bytes
        if not self._number:
            self._shouts = _METHOD.match(self._buffer) is not None
        if self._whole:
            end = self._buffer.index(b"\n")
            text = bytes(self._buffer[:end]) if end <= most else b""
            del self._buffer[: end + 1]
            self._whole -= 1
            self._hold()
            if end > most:
                return self._refused(413, f"a request has at most {most:,} bytes, this one has {end:,}")
            self._number += 1
            return Line(text, self._number)
        if len(self._buffer) > most:
            self._buffer.clear()
            self._dropping = True
            self._hold()
            return self._refused(413, f"a request has at most {most:,} bytes, this one has more")
        return None

    def _refused(self, code: int, why: str) -> Response:
        self._number += 1
        return Response(None, status="error", code=code, error=why, line=self._number)

    def _last_word(self, code: int, why: str) -> Response:
        self._stopped = True
        self._buffer.clear()
        self._whole = 0
        self._metrics.refused("tcp", "denied")
        return Response(None, status="error", code=code, error=why, line=1)

    def _hold(self) -> None:
        """Read on, or do not, as there is room or not."""
        full = len(self._buffer) > (_AT_HAND if self._whole else self._limits.most_bytes)
        hold = full or (self._stopped and not self._dropping)
        if hold != self._paused and not self.lost:
            self._paused = hold
            (self.transport.pause_reading if hold else self.transport.resume_reading)()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """For the loop."""
        self.transport = cast(Transport, transport)
        self.transport.set_write_buffer_limits(high=_AT_HAND)
        self._made(self)

    def data_received(self, data: bytes) -> None:
        """For the loop."""
        if self._dropping:
            end = data.find(b"\n")
            if end < 0 or self._stopped:
                return
            self._dropping = False
            data = data[end + 1 :]
        self._buffer += data
        self._whole += data.count(b"\n")
        self._hold()
        self._changed.set()

    def eof_received(self) -> bool:
        """For the loop: the client has said all, and may still listen."""
        self._eof = True
        self._changed.set()
        return True

    def pause_writing(self) -> None:
        """For the loop."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """For the loop."""
        self._writable.set()

    def connection_lost(self, error: Exception | None) -> None:
        """For the loop."""
        self.lost = True
        self._changed.set()
        self._writable.set()


def _token(line: str | bytes) -> str | None:
    with suppress(ValueError, RecursionError):
        said = json.loads(line)
        if isinstance(said, dict) and said.keys() == {"token"} and isinstance(said["token"], str):
            return said["token"]
    return None


class LineServer:
    """A service over TCP. Use it with `async with`, which begins to listen; leaving it drains.

    >>> from funcpipe_rag.serving import Service
    >>> from funcpipe_rag.serving.access import listening
    >>> class Length:
    ...     def predict(self, features):
    ...         return len(features.request.text)
    >>> async def ask(line):
    ...     bound = listening("127.0.0.1", 0)
    ...     async with LineServer(Service(Length()), bound):
    ...         reader, writer = await asyncio.open_connection(*bound.getsockname())
    ...         writer.write(line)
    ...         writer.write_eof()
    ...         said = await reader.read()
    ...         writer.close()
    ...         await writer.wait_closed()
    ...         return said
    >>> asyncio.run(ask(b'{"request_id": "r1", "text": "four"}'))
    b'{"version": 1, "request_id": "r1", "status": "ok", "code": 200, "value": 4}\\n'

    One client more than `limits.connections` is told to come again, and closed. Class: external. Memory: that of
    `LineConnection` for each client. Closing: reads no more, answers what was read, and ends the connections; when it
    is cancelled meanwhile, they are aborted. Errors: a stage's own end its client's connection, behind an answer that
    says so; the others go on.
    """

    def __init__(
        self,
        service: Service,
        bound: socket,
        *,
        access: Access | None = None,
        limits: Limits | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        self._bound = bound
        self._access = access or Access(bound.getsockname()[0])
        self._limits = limits or Limits()
        self._service = replace(service, most_bytes=self._limits.most_bytes)
        self._metrics = metrics or Metrics()
        self._draining = False
        self._clients: dict[asyncio.Task[None], LineConnection] = {}

    async def __aenter__(self) -> LineServer:
        self._room = asyncio.Semaphore(self._limits.in_flight)
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._client, sock=self._bound, backlog=1024)
        return self

    def drain(self) -> None:
        """Listen no more, and take no more than what was read."""
        self._draining = True
        self._server.close()
        for client in self._clients.values():
            client.drain()

    async def __aexit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        self.drain()
        try:
            if kind is None and self._clients:
                await asyncio.wait(self._clients)
        finally:
            await stop(list(self._clients))

    def _client(self) -> LineConnection:
        return LineConnection(
            self._limits, access=self._access, metrics=self._metrics, room=self._room, made=self._met
        )

    def _met(self, client: LineConnection) -> None:
        # Not before the connection is made: one that is accepted while we end may never be.
        task = asyncio.get_running_loop().create_task(self._served(client), name="a client's lines")
        self._clients[task] = client
        task.add_done_callback(self._gone)
        self._metrics.connections["tcp"] = len(self._clients)
        if self._draining:
            client.drain()

    async def _served(self, client: LineConnection) -> None:
        try:
            # Whoever is gone, or does not take what it is sent, cannot be told.
            with suppress(Gone):
                if len(self._clients) > self._limits.connections:
                    self._metrics.refused("tcp", "shed")
                    why = f"{self._limits.connections:,} clients are connected"
                    shed = Response(None, status="shed", code=503, error=why, retry_after=1.0)
                    await client.write_response(None, shed)
                else:
                    await self._run(client)
            # Also where he is gone in the middle: the room that his requests take is everybody's.
            await client.aclose()
        finally:
            client.transport.abort()

    def _gone(self, task: asyncio.Task[None]) -> None:
        del self._clients[task]
        self._metrics.connections["tcp"] = len(self._clients)

    async def _run(self, client: LineConnection) -> None:
        try:
            await self._service.run(_Lent(client))
        except Gone:
            raise
        except Exception as error:
            await client.fail(f"the service failed ({type(error).__name__})")


class _Lent:
    """A client as its pipeline has it: a pipeline that fails must not close what its failure is told through."""

    def __init__(self, client: LineConnection) -> None:
        self.read_request, self.write_response = client.read_request, client.write_response
