"""A service that gives its items page by page, on this machine alone: for the gallery, and for its tests.

A real HTTP server on a port of the loopback interface, and a real client. Nothing leaves the machine.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.request import urlopen

from funcpipe_rag.streams import Page

SECONDS = 10
"""What a client waits for an answer."""


class Service:
    """A paging service that runs: its address, and the cursors it was asked for, in order."""

    def __init__(self, port: int) -> None:
        self.address = f"http://127.0.0.1:{port}/"
        self.asked: list[str] = []

    def fetch(self, cursor: str | None) -> Page[Any, str]:
        """Ask for a page: what `make_pager_source` wants.

        Errors: urllib.error.HTTPError for an answer other than 200, URLError when nobody answers.
        """
        with urlopen(f"{self.address}{cursor or ''}", timeout=SECONDS) as answer:
            page = json.load(answer)
        return Page(page["items"], page["next"])


@contextmanager
def paging_service(
    items: Sequence[Any], *, size: int = 2, failing: Collection[int] = ()
) -> Iterator[Service]:
    """Serve `items`, `size` a page, while the block runs; the requests that `failing` numbers get a 503.

    >>> with paging_service("abc", failing=[1]) as service:
    ...     page = service.fetch(None)
    ...     print(page)
    ...     try:
    ...         service.fetch(page.next)
    ...     except OSError as error:
    ...         print(error)
    ...     print(service.fetch(page.next), service.asked)
    Page(items=['a', 'b'], next='2')
    HTTP Error 503: Service Unavailable
    Page(items=['c'], next=None) ['', '2', '2']

    Requests count from 0. Class: external. Closing: the server and its thread end with the block.
    """

    class Pages(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            cursor = self.path.removeprefix("/")
            service.asked.append(cursor)
            if len(service.asked) - 1 in failing:
                self.send_error(503)
                return
            start = int(cursor or 0)
            following = str(start + size) if start + size < len(items) else None
            body = json.dumps({"items": list(items[start : start + size]), "next": following}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing on the terminal: `asked` tells."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Pages) as server:
        service = Service(server.server_port)
        serving = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        serving.start()
        try:
            yield service
        finally:
            server.shutdown()
            serving.join()
