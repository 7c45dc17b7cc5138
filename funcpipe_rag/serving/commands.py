"""The service on the command line: funcpipe-rag serve.

Facts go to standard output, one a line, the first of them when clients can connect; what went wrong goes to standard error.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from typing import Annotated

import typer

from funcpipe_rag.rag import Index
from funcpipe_rag.rag.console import (
    FAILED,
    INTERRUPTED,
    IndexOption,
    Usage,
    amount,
    err,
    fact,
    give_up,
    mistakes,
)

# Asked for here, so that a missing extra is found before anything is opened.
from . import http as _http, http_server as _http_server  # noqa: F401
from .access import is_here
from .answers import Answers
from .audit import audit_log
from .driver import Service
from .lifetime import Addresses, CutOff, serve as serve_until_told
from .limits import Limits
from .metrics import Metrics
from .models import IndexModel
from .policies import Policy

_MOST = Limits()

_LOG = logging.getLogger("funcpipe_rag.serving")


def serve(
    index: IndexOption,
    host: Annotated[
        str, typer.Option(help="Where to listen. One that others can reach wants a token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="For HTTP; 0 is any that is free.")] = 8000,
    tcp: Annotated[
        int | None,
        typer.Option(min=0, max=65535, metavar="PORT", help="Take lines of JSON over TCP too; 0 is any."),
    ] = None,
    token: Annotated[
        str | None,
        typer.Option(
            envvar="FUNCPIPE_RAG_TOKEN",
            show_envvar=True,
            help='Let in who has it. HTTP: Authorization: Bearer TOKEN. TCP: a first line {"token": "TOKEN"}.',
        ),
    ] = None,
    audit: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Write down each request at each stage, as lines of JSON."),
    ] = None,
    answers: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Keep answers: a request that comes again is answered as before."),
    ] = None,
    sentences: Annotated[int, typer.Option(min=1, help="How many sentences, at most.")] = 3,
    lanes: Annotated[int, typer.Option(min=1, help="How many requests are worked on at a time.")] = 4,
    timeout: Annotated[float, typer.Option(help="Seconds for the index to give a sentence.")] = 30.0,
    in_flight: Annotated[
        int, typer.Option(min=1, help="How many requests wait; more are shed.")
    ] = _MOST.in_flight,
    connections: Annotated[
        int, typer.Option(min=1, help="How many clients are connected, of HTTP and TCP each.")
    ] = _MOST.connections,
    most_bytes: Annotated[int, typer.Option(min=1, help="Bytes of a request.")] = _MOST.most_bytes,
    idle: Annotated[float, typer.Option(help="Seconds for a request to come.")] = _MOST.idle,
    patience: Annotated[
        float, typer.Option(help="Seconds for a client to take its answer.")
    ] = _MOST.patience,
    drain: Annotated[float, typer.Option(help="Seconds to answer what was taken, after Ctrl-C.")] = 30.0,
) -> None:
    """Answer questions with sentences of the corpus, over HTTP and TCP, until Ctrl-C or SIGTERM.

    POST /requests takes {"request_id": "…", "text": "…"}, POST /ask takes {"question": "…"}; with Accept:
    text/event-stream both give the stages and the sentences as they come. GET / is a page to ask on, GET /metrics for
    Prometheus, GET /health. Why a request failed is said on standard error. Over TCP a line is a request, and a line is an answer or a part of one.

    The first signal stops reading and answers what was taken (exit code 0); a second one cuts that short (130).
    """
    with mistakes(index), ExitStack() as stack:
        if token is None and not is_here(host):
            raise Usage(f"others can reach {host}: give --token TOKEN, or FUNCPIPE_RAG_TOKEN")
        stack.enter_context(_failures_said())
        limits = Limits(most_bytes, connections, in_flight, idle, patience)
        policy = Policy(timeout=timeout)
        _handles_for(connections)
        _apart(index=index, audit=audit, answers=answers)
        with Index(index) as opened:
            counts = opened.counts()
        model = IndexModel(index, sentences=sentences)
        kept = None if answers is None else stack.enter_context(closing(_answers(answers)))
        log = None if audit is None else stack.enter_context(audit_log(audit))
        service = Service(model, answers=kept, audit=log, policies={"infer": policy})
        metrics = Metrics()

        def ready(addresses: Addresses) -> None:
            held = f"{amount(counts['documents'], 'document')}, {amount(counts['chunks'], 'chunk')}"
            fact("serving", f"{index}: {held}")
            if token is not None:
                fact("token", "wanted from everybody")
            if audit is not None:
                fact("audit", audit)
            if answers is not None:
                fact("answers", answers)
            if addresses.tcp is not None:
                fact("tcp", addresses.tcp)
            fact("http", f"http://{addresses.http}")
            fact("next", "open that page, or press Ctrl-C to end it")

        def draining(many: int) -> None:
            # Where nobody reads our output any more, what was taken is answered all the same.
            with suppress(SystemExit, OSError):
                fact("ending", f"{amount(many, 'request')} to answer; Ctrl-C cuts that short")

        async def run() -> None:
            async with model:
                await serve_until_told(
                    service,
                    host=host,
                    port=port,
                    tcp_port=tcp,
                    token=token,
                    lanes=lanes,
                    limits=limits,
                    metrics=metrics,
                    drain=drain,
                    ready=ready,
                    draining=draining,
                )

        try:
            asyncio.run(run())
        except CutOff as error:
            _told(metrics)
            give_up(str(error), INTERRUPTED)
        _told(metrics)


class _Failures(logging.Handler):
    """One line on standard error for each failure of the service: its client is told no more than that it failed."""

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        # Where nobody reads it, requests are answered all the same.
        with suppress(SystemExit, OSError):
            err.print(f"trouble    {record.getMessage()}: {type(error).__name__}: {error}".replace("\n", " "))


@contextmanager
def _failures_said() -> Iterator[None]:
    handler, level = _Failures(), _LOG.level
    _LOG.addHandler(handler)
    _LOG.setLevel(logging.INFO)
    try:
        yield
    finally:
        _LOG.removeHandler(handler)
        _LOG.setLevel(level)


def _handles_for(connections: int) -> None:
    """As many file handles as there may be clients, of HTTP and TCP each, where the system lets us have them."""
    if sys.platform == "win32":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * connections + 128
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(ValueError, OSError):
            most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _apart(**files: str | None) -> None:
    """Usage where two of the files are one."""
    seen: dict[str, str] = {}
    for name, path in files.items():
        if path is None:
            continue
        other = seen.setdefault(os.path.realpath(path), name)
        if other != name:
            raise Usage(f"--{other} and --{name} are both {path}; give each a file of its own")


def _answers(path: str) -> Answers:
    try:
        return Answers(path)
    except sqlite3.Error as error:
        give_up(f"answers cannot be kept in {path} ({error}); name a new file", FAILED)


def _told(metrics: Metrics) -> None:
    """What became of what was asked."""
    by_status: dict[str, int] = {}
    for (_, status), many in sorted(metrics.answers.items()):
        by_status[status] = by_status.get(status, 0) + many
    said = ", ".join(f"{many:,} {status}" for status, many in by_status.items())
    fact("answered", f"{amount(sum(by_status.values()), 'request')}{': ' if said else ''}{said}")
