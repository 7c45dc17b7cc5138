"""What a service takes from its clients: bytes, connections, requests, and time."""

from __future__ import annotations

from dataclasses import dataclass

from funcpipe_rag.streams.arguments import a_number, a_whole_number

from .stages import MOST_BYTES


@dataclass(frozen=True)
class Limits:
    """The most that a service takes.

    >>> Limits(in_flight=8).most_bytes
    1000000
    >>> Limits(idle=0)
    Traceback (most recent call last):
    ...
    ValueError: Limits: idle must be > 0 and finite, got 0

    `most_bytes` is for one request, `connections` for TCP and for HTTP each, `in_flight` for the requests that have been
    read and not answered, over all clients of one of the two. A request has `idle` seconds to come whole, and a
    client `patience` seconds to take what it was sent; then its connection is closed.
    """

    most_bytes: int = MOST_BYTES
    connections: int = 1024
    in_flight: int = 64
    idle: float = 60.0
    patience: float = 10.0

    def __post_init__(self) -> None:
        for name in ("most_bytes", "connections", "in_flight"):
            a_whole_number("Limits", name, getattr(self, name), least=1)
        for name in ("idle", "patience"):
            a_number("Limits", name, getattr(self, name), above=0)
