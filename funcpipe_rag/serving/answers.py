"""Answers that are kept: a request that comes again is answered as before, and the model is not asked twice."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from .requests import Request, Response
from .tables import opened


class Conflict(ValueError):
    """An id that was used before, for another request."""


class Answers:
    """Answers in one table of one file, by request id.

    >>> answers = Answers(":memory:")
    >>> request = Request("r1", text="What is a fence?")
    >>> answers.known(request)
    []
    >>> answers.keep(Response("r1", value="A cap on demand."))
    >>> [response.value for response in answers.known(request)]
    ['A cap on demand.']

    The same id with another request is refused: one of the two senders would get the other's answer.

    >>> answers.known(Request("r1", text="What is a branch?"))
    Traceback (most recent call last):
    ...
    funcpipe_rag.serving.answers.Conflict: request_id 'r1' was used for another request

    Only whole answers that went well are given again: what failed or was shed is worth another try, and of an answer
    that broke off in the middle nobody has the end. Class: external. Memory: SQLite's page cache.
    """

    def __init__(self, path: str) -> None:
        self._connection = opened(
            path,
            "CREATE TABLE IF NOT EXISTS requests (request_id TEXT PRIMARY KEY, digest BLOB NOT NULL, "
            "complete INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID",
            "CREATE TABLE IF NOT EXISTS parts (request_id TEXT, part INTEGER, response TEXT NOT NULL, "
            "PRIMARY KEY (request_id, part)) WITHOUT ROWID",
        )

    def known(self, request: Request) -> list[Response]:
        """The parts of the answer that was given; none where the model must be asked. Notes that it was asked."""
        digest = sha256(request.to_json().encode()).digest()
        row = self._asked(request.request_id)
        if row is None:
            noted = self._connection.execute(
                "INSERT OR IGNORE INTO requests (request_id, digest) VALUES (?, ?)",
                (request.request_id, digest),
            )
            # Another process may have been asked the same in between.
            row = None if noted.rowcount else self._asked(request.request_id)
        if row is None:
            return []
        if row[0] != digest:
            raise Conflict(f"request_id {request.request_id[:60]!r} was used for another request")
        if not row[1]:
            return []
        parts = self._connection.execute(
            "SELECT response FROM parts WHERE request_id = ? ORDER BY part", (request.request_id,)
        )
        return [Response.from_json(text) for (text,) in parts]

    def _asked(self, request_id: str) -> Any:
        return self._connection.execute(
            "SELECT digest, complete FROM requests WHERE request_id = ?", (request_id,)
        ).fetchone()

    def keep(self, *parts: Response) -> None:
        """Store a whole answer, all of its parts or none, before its end is sent."""
        if any(part.request_id is None or part.status != "ok" for part in parts) or not parts[-1].last:
            return
        request_id = parts[-1].request_id
        rows = [(request_id, part.part, part.to_json()) for part in parts]
        with self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            # Two clients may have asked at the same time: the later answer is kept, and nothing of the earlier one.
            self._connection.execute("DELETE FROM parts WHERE request_id = ?", (request_id,))
            self._connection.executemany("INSERT INTO parts VALUES (?, ?, ?)", rows)
            self._connection.execute("UPDATE requests SET complete = 1 WHERE request_id = ?", (request_id,))

    def close(self) -> None:
        """Close the file."""
        self._connection.close()
