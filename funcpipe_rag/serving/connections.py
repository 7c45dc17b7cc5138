"""Where requests come from and answers go to."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable, Mapping
from typing import NamedTuple, Protocol

from funcpipe_rag.aio.ownership import close, opened

from .requests import Response


class Line(NamedTuple):
    """A request as it came: its text, and the number of its line, from 1."""

    text: str | bytes
    number: int


class Connection(Protocol):
    """What the first stage reads and the last one writes; the driver owns it."""

    async def read_request(self) -> Line | Response | None:
        """The next request as it came, or the answer to what is too much to be taken at all; None at the end."""
        ...

    async def write_response(self, request_id: str | None, response: Response) -> None:
        """Send an answer, or a part of one; None is the id of a request that had none that could be read."""
        ...


class MemoryConnection:
    """Requests from an iterable, answers into a list or a function.

    >>> from funcpipe_rag.aio.testing import run
    >>> async def both():
    ...     connection = MemoryConnection(["one", "two"])
    ...     print(await connection.read_request(), await connection.read_request(), await connection.read_request())
    ...     await connection.write_response("r1", Response("r1", value=1))
    ...     return connection.written
    >>> run(both())
    Line(text='one', number=1) Line(text='two', number=2) None
    [Response(request_id='r1', value=1, status='ok', code=200, error='', part=0, last=True, retry_after=None, line=None, version=1)]

    With `keep=False` answers are counted and not kept: for as many as there may be.
    """

    def __init__(
        self, lines: AsyncIterable[str | bytes] | Iterable[str | bytes] = (), *, keep: bool = True
    ) -> None:
        if isinstance(lines, str | bytes | Mapping):
            raise TypeError(
                f"MemoryConnection: lines must be several, got one {type(lines).__name__}; write [...] around it"
            )
        self._lines = opened(lines)
        self._keep = keep
        self.written: list[Response] = []
        self.count = 0
        self._number = 0

    async def read_request(self) -> Line | None:
        """The next line; None at the end."""
        async for text in self._lines:
            self._number += 1
            if not isinstance(text, str | bytes | bytearray):
                cure = ".to_json()" if hasattr(text, "to_json") else "json.dumps(...)"
                raise TypeError(
                    f"MemoryConnection: line {self._number} must be text or bytes, got {type(text).__name__}; "
                    f"{cure} makes a line of it"
                )
            return Line(text, self._number)
        return None

    async def write_response(self, request_id: str | None, response: Response) -> None:
        """Keep the answer, or count it."""
        self.count += 1
        if self._keep:
            self.written.append(response)

    async def aclose(self) -> None:
        """Close what the lines come from."""
        await close(self._lines)
