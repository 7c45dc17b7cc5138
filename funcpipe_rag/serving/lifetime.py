"""A service from its first breath to its last answer: listen, say where, serve, drain."""

from __future__ import annotations

import asyncio
import errno
import signal
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, closing, contextmanager
from dataclasses import replace
from socket import socket
from typing import Any, NamedTuple

from funcpipe_rag.aio.ownership import stop
from funcpipe_rag.streams.arguments import a_number

from .access import Access, address_of, listening
from .driver import Service
from .limits import Limits
from .metrics import CountedLog, Metrics

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Addresses(NamedTuple):
    """Where a service listens."""

    http: str
    tcp: str | None = None


class CutOff(Exception):
    """A service that was ended before all that it had taken was answered."""


async def serve(
    service: Service,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    tcp_port: int | None = None,
    token: str | None = None,
    lanes: int = 1,
    limits: Limits | None = None,
    metrics: Metrics | None = None,
    drain: float = 30.0,
    ready: Callable[[Addresses], object] | None = None,
    draining: Callable[[int], object] | None = None,
) -> None:
    """Serve over HTTP, and over TCP where a port is given, until SIGTERM or SIGINT; to be run in the main thread.

    `ready` is called once clients can connect. The first signal ends the service well: no more is taken, and what was
    taken is answered; `draining` is called with how many requests that are. A second one cuts that short, and so do `drain` seconds. `metrics` are counted as it goes.

    Class: external. Memory: that of `HttpConnection` and `LineServer`. Closing: ends every connection and every run of the
    stages; the model, features, answers and audit trail are the caller's. Errors: ValueError for an address that others
    can reach, without a token; OSError for one that cannot be had; CutOff; those of a service that cannot run.
    """
    a_number("serve", "drain", drain, least=0)
    access, limits, metrics = Access(host, token=token), limits or Limits(), metrics or Metrics()
    with (
        closing(listening(host, port)) as bound,
        closing(listening(host, tcp_port) if tcp_port is not None else socket()) as bound_tcp,
        _signals() as (ending, hurry),
        _more_clients_than_handles(),
    ):
        addresses = Addresses(address_of(bound), address_of(bound_tcp) if tcp_port is not None else None)
        served = asyncio.create_task(
            _served(
                service,
                access,
                limits,
                metrics,
                lanes,
                bound,
                bound_tcp if tcp_port is not None else None,
                lambda: ready(addresses) if ready is not None else None,
                draining or (lambda many: None),
                ending,
            )
        )
        impatient = asyncio.create_task(_impatient(ending, hurry, drain))
        try:
            await asyncio.wait([served, impatient], return_when=asyncio.FIRST_COMPLETED)
            cut = not served.done()
        finally:
            await stop([impatient])
            await stop([served])
        if cut:
            raise CutOff("what was not answered yet was cut off")


async def _impatient(ending: asyncio.Event, hurry: asyncio.Event, drain: float) -> None:
    await ending.wait()
    try:
        async with asyncio.timeout(drain):
            await hurry.wait()
    except TimeoutError:
        pass


async def _served(
    service: Service,
    access: Access,
    limits: Limits,
    metrics: Metrics,
    lanes: int,
    bound: socket,
    bound_tcp: socket | None,
    ready: Callable[[], object],
    draining: Callable[[int], object],
    ending: asyncio.Event,
) -> None:
    # Imported here, so that the pipeline is there without them.
    from .http import HttpConnection, make_app
    from .http_server import drain, make_server, running
    from .tcp import LineServer

    if service.audit is not None:
        service = replace(service, audit=CountedLog(service.audit, metrics))
    door = HttpConnection(service, lanes=lanes, limits=limits, metrics=metrics)
    server = make_server(make_app(door, access), limits, metrics)
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(running(server, bound))
        await stack.enter_async_context(door)
        lines = None
        if bound_tcp is not None:
            lines = LineServer(service, bound_tcp, access=access, limits=limits, metrics=metrics)
            await stack.enter_async_context(lines)
        ready()
        asked = asyncio.create_task(ending.wait())
        try:
            # A lane ends by itself only where the service cannot run.
            await asyncio.wait([asked, http, *door.runs], return_when=asyncio.FIRST_COMPLETED)
        finally:
            await stop([asked])
        drain(server)
        if lines is not None:
            lines.drain()
        draining(sum(metrics.in_flight.values()))
        await http


@contextmanager
def _more_clients_than_handles() -> Iterator[None]:
    """Where the system has no handle for one more client, he waits: asyncio says so a thousand times a second."""
    loop = asyncio.get_running_loop()
    before = loop.get_exception_handler()

    def heard(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE) and "socket" in context:
            return
        if before is not None:
            before(loop, context)
        else:
            loop.default_exception_handler(context)

    loop.set_exception_handler(heard)
    try:
        yield
    finally:
        loop.set_exception_handler(before)


@contextmanager
def _signals() -> Iterator[tuple[asyncio.Event, asyncio.Event]]:
    """Two events: a first signal has come, and a second."""
    loop = asyncio.get_running_loop()
    first, second = asyncio.Event(), asyncio.Event()

    def came() -> None:
        (second if first.is_set() else first).set()

    def handled(*_: Any) -> None:
        loop.call_soon_threadsafe(came)

    before = {number: signal.signal(number, handled) for number in SIGNALS}
    try:
        yield first, second
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
