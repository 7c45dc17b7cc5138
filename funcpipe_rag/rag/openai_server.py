"""Ask a server that speaks as OpenAI's does, and read what it sends as it comes."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from funcpipe_rag.streams.ownership import Owned

# In bytes: a server that sends so much without a line end sends something else.
LONGEST_LINE = 1 << 20


class ServerProblem(Exception):
    """A server that does not answer as it should; the message says which, and what it said."""


class ServerBusy(ServerProblem):
    """A server that may answer if it is asked again."""


def check_address(where: str, kind: str, model: str, base_url: str) -> None:
    """ValueError, with an example, unless there is a model and the address of a server."""
    if not model or not base_url.startswith(("http://", "https://")):
        raise ValueError(
            f'{where}: "openai:" wants MODEL@BASE_URL, such as "openai:{kind}@http://localhost:8080/v1", '
            f"got {f'{model}@{base_url}'!r}"
        )


@contextmanager
def asked(where: str, body: Mapping[str, Any], *, timeout: float) -> Iterator[Any]:
    """The open answer to a request, with OPENAI_API_KEY if that is set; ServerProblem, at any time, if there is none.

    A server that cannot be reached, or is busy, is a ServerBusy. The key is in no message, and no redirection is followed.
    """
    # Imported here: what speaks HTTP takes longer to load, and more memory, than all the rest of the room.
    from http.client import HTTPException
    from urllib.error import HTTPError, URLError
    from urllib.request import HTTPRedirectHandler, Request, build_opener

    class Stay(HTTPRedirectHandler):
        # It would ask with GET and without the question, and hand the key to whoever it was sent to.
        def redirect_request(self, *_: Any) -> None:
            return None

    headers = {"Content-Type": "application/json"}
    key = os.environ.get("OPENAI_API_KEY")
    if key:
        headers["Authorization"] = f"Bearer {key}"
    data = json.dumps(body).encode("utf-8", "surrogatepass")
    try:
        request = Request(where, data=data, headers=headers, method="POST")
        with build_opener(Stay).open(request, timeout=timeout) as answer:
            yield answer
    except HTTPError as error:
        with error:
            said = error.read(300).decode("utf-8", "replace").strip()
        if 300 <= error.code < 400 and error.headers.get("Location"):
            said = f"it is at {error.headers['Location']}, and is not followed there"
        said = said.replace(key, "…") if key else said
        message = f"{where} answered {error.code} {error.reason}{f': {said}' if said else ''}"
        if error.code in (408, 409, 429) or error.code >= 500:
            raise ServerBusy(message) from None
        raise ServerProblem(message) from None
    except (URLError, HTTPException, OSError) as error:
        reason = getattr(error, "reason", None) or error or type(error).__name__
        raise ServerBusy(f"{where} cannot be reached ({reason})") from None


def gen_server_events(blocks: Iterable[bytes]) -> Iterator[str]:
    r"""The data of server-sent events, from the bytes of a stream, whatever its blocks and line ends.

    >>> list(gen_server_events([b": hello\r\ndata: {\"a\": 1}\r", b"\n\r\ndata: one\ndata: two\n\n"]))
    ['{"a": 1}', 'one\ntwo']

    An event that has begun and not ended when the stream ends is none, as the standard says.

    >>> list(gen_server_events([b"data: one\n"]))
    []

    Class: pure. Demand: the blocks up to an event's end. Memory: one event. Closing: closes the blocks. Errors:
    theirs; ServerProblem for what is not UTF-8, and for a line or an event of more than 1 MiB.
    """
    data: list[str] = []
    size = 0
    with Owned() as owned:
        for line in owned.take(_lines(blocks)):
            if not line:
                if data:
                    yield "\n".join(data)
                data, size = [], 0
                continue
            name, _, value = line.partition(":")
            if name == "data":
                data.append(value.removeprefix(" "))
                size += len(value)
                if size > LONGEST_LINE:
                    raise ServerProblem("an event of more than 1 MiB")


def _lines(blocks: Iterable[bytes]) -> Iterator[str]:
    rest, after_return, first = b"", False, True
    with Owned() as owned:
        for block in owned.opened(blocks):
            # Of "\r\n" the first may end one block and the second begin the next.
            if after_return and block:
                block, after_return = block.removeprefix(b"\n"), False
            after_return = after_return or block.endswith(b"\r")
            *whole, rest = (rest + block).replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
            for line in whole:
                try:
                    yield line.decode("utf-8-sig" if first else "utf-8")
                except UnicodeDecodeError as error:
                    raise ServerProblem(f"what it sends is not UTF-8 ({error.reason})") from None
                first = False
            if len(rest) > LONGEST_LINE:
                raise ServerProblem("a line of more than 1 MiB")
