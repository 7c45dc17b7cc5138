"""uvicorn, with limits of its own for those who connect and say nothing, or ask and do not listen."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, contextmanager
from socket import socket
from typing import TYPE_CHECKING, Any

import uvicorn
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from funcpipe_rag.aio.ownership import stop

from .http import ASGIApp
from .limits import Limits
from .metrics import Metrics

_FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\n"
    b"content-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
)

_LAST_WORDS = 1.0
"""In seconds: so long, clients have to be told that they are cut off."""

if TYPE_CHECKING:
    from uvicorn.protocols.http.h11_impl import H11Protocol as _Protocol
else:
    _Protocol = AutoHTTPProtocol


def make_server(app: ASGIApp, limits: Limits, metrics: Metrics) -> uvicorn.Server:
    """A server that is told when to end, and leaves signals to whoever runs it.

    A connection without a request for `limits.idle` seconds is closed, at the latest after twice that; one that takes
    nothing for `limits.patience` seconds is aborted; one too many is told to come again. A client that has ended its
    side is answered to the end.
    """

    class Protocol(_Protocol):
        stalled: asyncio.TimerHandle | None = None
        look: asyncio.TimerHandle | None = None
        seen: object = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            metrics.connections["http"] = len(self.connections)
            if len(self.connections) > limits.connections:
                metrics.refused("http", "shed")
                why = b'{"version": 1, "request_id": null, "status": "shed", "code": 503, "error": "too many clients"}'
                transport.write(_FULL % (len(why), why))
                transport.close()
            self._look_later()

        def _look_later(self) -> None:
            self.look = self.loop.call_later(limits.idle, self._look)

        def _look(self) -> None:
            if self.cycle is None or self.cycle.response_complete:
                # The same as at the last look: nothing came in between, or not enough for a request.
                now = self.cycle or self
                if now is self.seen:
                    self.transport.close()
                    return
                self.seen = now
            else:
                self.seen = None
            self._look_later()

        def eof_received(self) -> bool:  # type: ignore[override]
            if self.cycle is None or self.cycle.response_complete:
                return False
            self.cycle.keep_alive = False
            return True

        def pause_writing(self) -> None:
            super().pause_writing()
            self.stalled = self.loop.call_later(limits.patience, self.transport.abort)

        def resume_writing(self) -> None:
            super().resume_writing()
            if self.stalled is not None:
                self.stalled.cancel()

        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            metrics.connections["http"] = len(self.connections)
            for timer in (self.look, self.stalled):
                if timer is not None:
                    timer.cancel()

    config = uvicorn.Config(
        app,
        http=Protocol,
        ws="none",
        lifespan="off",
        log_level="critical",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=max(1, round(limits.idle)),
        backlog=1024,
    )
    return _Server(config)


@asynccontextmanager
async def running(server: uvicorn.Server, bound: socket) -> AsyncGenerator[asyncio.Task[None], None]:
    """A server that is at work, as its task; leaving this ends it, whoever it still has,
    and closes the socket."""
    task = asyncio.create_task(server.serve(sockets=[bound]))
    try:
        yield task
    finally:
        server.should_exit = server.force_exit = True
        state = server.server_state
        if state.tasks:
            await asyncio.wait(state.tasks, timeout=_LAST_WORDS)
        for connection in list(state.connections):
            connection.transport.abort()
        await stop([task, *state.tasks])
        drain(server)
        bound.close()


def drain(server: uvicorn.Server) -> None:
    """Listen no more, and end when what was taken is answered."""
    server.should_exit = True
    # It would do so by itself within a tenth of a second; not where it is cancelled.
    for listener in getattr(server, "servers", ()):
        listener.close()


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[Any]:
        yield
