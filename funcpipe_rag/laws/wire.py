"""Two processes that use each other's objects: calls, pulls and closes over a pair of pipes, data only.

Plain values go over by value; anything else stays where it is, and the other side gets a proxy that asks for it.
What comes in is never executed: it is JSON, and names operations from a short list.
"""

from __future__ import annotations

import builtins
import json
import os
import select
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import astuple
from functools import lru_cache
from operator import attrgetter
from time import monotonic
from types import MappingProxyType
from typing import Any

from funcpipe_rag.streams.ownership import close
from funcpipe_rag.streams.pages import Page
from funcpipe_rag.streams.probe import Boom, OverPulled
from funcpipe_rag.streams.results import Err, Nothing, Ok, Some
from funcpipe_rag.streams.retrying import Backoff, RetryPolicy


class WireError(BaseException):
    """The other side is gone or silent. Not an `Exception`: no law and no implementation should swallow it."""


class Wire:
    """One end of a connection; the other process holds the other end.

    A request is answered before the next one is sent, but answering may take requests in return: while one
    side waits, it serves. A round trip costs some fifty microseconds. Memory: what the other side still refers
    to, until `reset`.
    """

    def __init__(self, incoming: int, outgoing: int) -> None:
        self._incoming, self._outgoing = incoming, outgoing
        self._buffer = b""
        self._mine: dict[int, Any] = {}
        self._ids: dict[int, int] = {}
        self._shown: Counter[int] = Counter()
        self._next_id = 0
        self._dropped: list[int] = []
        self.deadline: float | None = None

    def request(self, op: str, target: int, *arguments: Any) -> Any:
        """Ask the other side to do `op` with its object `target`; its answer, or the error it raised."""
        dropped, self._dropped = self._dropped, []
        self._send([op, target, [self._encode(value) for value in arguments], dropped])
        while True:
            kind, *content = self._receive()
            if kind == "gave":
                return self._understood(self._decode, content)
            if kind == "end":
                raise StopIteration
            if kind == "raised":
                raise self._understood(self._decode_error, content)
            self._serve(kind, *content)

    def _understood(self, read: Callable[[Any], Any], content: list[Any]) -> Any:
        try:
            return read(content[0])
        except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError):
            raise WireError("an answer came that makes no sense") from None

    def serve_forever(self) -> None:
        """Answer requests until the other side hangs up."""
        while True:
            try:
                kind, *content = self._receive()
            except WireError:
                return
            self._serve(kind, *content)

    def export(self, thing: Any) -> int:
        """The number under which the other side may ask for `thing`."""
        number = self._ids.get(id(thing))
        if number is None:
            number = self._ids[id(thing)] = self._next_id
            self._next_id += 1
            self._mine[number] = thing
        # Every proxy that the other side makes of it will be dropped once.
        self._shown[number] += 1
        return number

    def reset(self, *, keep: int = 0) -> None:
        """Forget everything that was exported, but the first `keep`."""
        for number in [number for number in self._mine if number >= keep]:
            self._forget(number)
        self._dropped.clear()

    def drop(self, number: int) -> None:
        """Nobody here refers to the other side's object any more; it is told with the next request."""
        self._dropped.append(number)

    def _forget(self, number: int) -> None:
        # Popped first: the last reference may run a finalizer that asks for things over this same wire.
        thing = self._mine.pop(number, None)
        self._ids.pop(id(thing), None)
        del self._shown[number]

    def _serve(self, op: str, *content: Any) -> None:
        try:
            target, arguments, dropped = content
            for number in dropped:
                self._shown[number] -= 1
                if not self._shown[number]:
                    self._forget(number)
        except (TypeError, ValueError):
            raise WireError("what came is no message") from None
        try:
            if op == "reset":
                self.reset(keep=target)
                answer: list[Any] = ["gave", None]
            else:
                doing = _OPERATIONS[op]
                values = [self._decode(value) for value in arguments]
                answer = ["gave", self._encode(doing(self._mine[target], *values))]
        except StopIteration:
            answer = ["end"]
        except WireError:
            raise
        except BaseException as error:
            answer = ["raised", self._encode_error(error)]
        self._send(answer)

    def _encode(self, value: Any) -> Any:
        kind = type(value)
        if value is None or kind in (bool, int, float, str):
            return value
        if kind in (list, tuple, set, frozenset):
            return [kind.__name__, [self._encode(item) for item in value]]
        if kind is dict:
            return ["dict", [[self._encode(key), self._encode(item)] for key, item in value.items()]]
        if kind is MappingProxyType:
            return self._encode(dict(value))
        if kind in _RECORDS.values() or kind.__module__ in _LATE:
            fields = value if isinstance(value, tuple) else astuple(value)
            return [kind.__name__, [self._encode(field) for field in fields]]
        if isinstance(value, Exception):
            return ["error", self._encode_error(value)]
        if isinstance(value, type) and issubclass(value, Exception):
            return ["error type", value.__name__]
        if isinstance(value, Proxy) and value._wire is self:
            return ["yours", value._number]
        return ["mine", self.export(value), *_facts(value)]

    def _decode(self, text: Any) -> Any:
        # Asked at every item: a set of many with the same hash is hours of work.
        self._in_time()
        if not isinstance(text, list):
            return text
        kind, content, *facts = text
        if kind in _COLLECTIONS:
            return _COLLECTIONS[kind](self._decode(item) for item in content)
        if kind == "dict":
            return {self._decode(key): self._decode(item) for key, item in content}
        if kind in _RECORDS or kind in _LATE_RECORDS:
            return _record(kind)(*(self._decode(field) for field in content))
        if kind == "error":
            return self._decode_error(content)
        if kind == "error type":
            return _error_type(content)
        if kind == "yours":
            return self._mine[content]
        return _proxy_type(*(str(fact)[:_LONGEST_NAME] for fact in facts))(self, content)

    def _encode_error(self, error: BaseException) -> list[Any]:
        home = getattr(error, "_home", None)
        if home is not None and home[0] is self:
            return ["yours", home[1]]
        notes = [str(note) for note in getattr(error, "__notes__", ())]
        return ["mine", self.export(error), type(error).__name__, str(error), notes]

    def _decode_error(self, text: list[Any]) -> BaseException:
        whose, number, *facts = text
        if whose == "yours":
            error: BaseException = self._mine[number]
            return error
        name, message, notes = facts
        error = _error_type(name)(message)
        for note in notes:
            error.add_note(note)
        error._home = (self, number)  # type: ignore[attr-defined]
        return error

    def _send(self, message: list[Any]) -> None:
        data = json.dumps(message, separators=(",", ":")).encode() + b"\n"
        try:
            while data:
                # So many bytes at once never block where the system says that it is ready.
                self._wait([], [self._outgoing])
                data = data[os.write(self._outgoing, data[:_AT_ONCE]) :]
        except OSError:
            raise WireError("the other process has ended") from None

    def _receive(self) -> list[Any]:
        # Asked at every message: who talks without end is out of time as well.
        self._in_time()
        while b"\n" not in self._buffer:
            self._wait([self._incoming], [])
            data = os.read(self._incoming, 65536)
            if not data:
                raise WireError("the process has ended")
            if len(self._buffer) > LONGEST_MESSAGE:
                raise WireError(f"an answer came of more than {LONGEST_MESSAGE:,} bytes")
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        try:
            message = json.loads(line)
        except (ValueError, RecursionError):
            message = None
        if not isinstance(message, list) or not message:
            raise WireError("what came is no message")
        return message

    def _in_time(self) -> None:
        if self.deadline is not None and monotonic() > self.deadline:
            raise WireError("no answer in time")

    def _wait(self, reads: list[int], writes: list[int]) -> None:
        # Pipes can be waited for on POSIX alone; elsewhere there is no time limit while nothing moves.
        if self.deadline is None or os.name != "posix":
            return
        if not any(select.select(reads, writes, [], max(0.0, self.deadline - monotonic()))):
            raise WireError("no answer in time")


LONGEST_MESSAGE = 16_000_000
"""Bytes of one message: no law has inputs or answers of such a size."""

_LONGEST_NAME = 80

_AT_ONCE = getattr(select, "PIPE_BUF", 512)


_COLLECTIONS: dict[str, Callable[[Iterator[Any]], Any]] = {
    "list": list,
    "tuple": tuple,
    "set": set,
    "frozenset": frozenset,
}
# Results, pages and policies are data, and so is the error in a result; the class of an error goes over by its name.
_RECORDS: dict[str, Callable[..., Any]] = {
    record.__name__: record for record in (Ok, Err, Some, Nothing, Page, RetryPolicy, Backoff)
}
# What the RAG builder's documents and passages are made of: its room is not loaded for who does not use it.
_LATE = ("funcpipe_rag.rag.types", "funcpipe_rag.rag.ingest")
_LATE_RECORDS = ("RawDoc", "CleanDoc", "CleanBlock", "ChunkWithoutEmbedding", "RagEnv", "Event")


def _record(name: str) -> Callable[..., Any]:
    if name in _RECORDS:
        return _RECORDS[name]
    from funcpipe_rag import rag

    record: Callable[..., Any] = getattr(rag, name)
    return record


READABLE = ("position", "pulls")
"""The attributes that go over: where an iterator is, and how often a probe was asked. They are numbers, and only read."""

_OPERATIONS: dict[str, Callable[..., Any]] = {
    "call": lambda thing, args, options: thing(*args, **options),
    "next": next,
    "iter": iter,
    "close": close,
    **{name: attrgetter(name) for name in READABLE},
}


def _facts(thing: Any) -> tuple[str, str, str]:
    """What a proxy must be able to pretend: its type's name, its own name, and what it can do."""
    # A class has the methods of its instances, and can be called alone.
    live = not isinstance(thing, type)
    can = [
        word
        for word, able in (
            ("call", callable(thing)),
            ("next", live and hasattr(thing, "__next__")),
            ("iter", live and hasattr(thing, "__iter__")),
            ("close", live and hasattr(thing, "close")),
            *((name, live and hasattr(thing, name)) for name in READABLE),
        )
        if able
    ]
    if "next" in can and "iter" in can and iter(thing) is thing:
        can.append("itself")
    name = getattr(thing, "__qualname__", None)
    return type(thing).__name__, name if isinstance(name, str) else "", " ".join(can)


class Proxy:
    """Stands here for an object of the other side."""

    def __init__(self, wire: Wire, number: int) -> None:
        self._wire, self._number = wire, number

    def __del__(self) -> None:
        self._wire.drop(self._number)


@lru_cache(maxsize=256)
def _proxy_type(type_name: str, name: str, can: str) -> type[Proxy]:
    able = can.split()
    methods: dict[str, Any] = {}
    if "call" in able:
        methods["__call__"] = lambda self, *args, **options: self._wire.request(
            "call", self._number, args, options
        )
    if "next" in able:
        methods["__next__"] = lambda self: self._wire.request("next", self._number)
    if "itself" in able:
        # The other side is asked all the same: a wrong iterator does something there, rewind for instance.
        methods["__iter__"] = lambda self: (self._wire.request("iter", self._number), self)[1]
    elif "iter" in able:
        methods["__iter__"] = lambda self: self._wire.request("iter", self._number)
    if "close" in able:
        methods["close"] = lambda self: self._wire.request("close", self._number)
    for readable in READABLE:
        if readable in able:
            methods[readable] = property(_reading(readable))
    if name:
        methods["__repr__"] = lambda self: f"<{type_name} {name}>"
    return type(type_name, (Proxy,), methods)


def _reading(name: str) -> Callable[[Proxy], Any]:
    return lambda self: self._wire.request(name, self._number)


class RemoteError(Exception):
    """An error of the other side whose type is not known on this one; a type of the same name is made for it."""


def _error_type(name: str) -> Callable[[str], BaseException]:
    if name == "OverPulled":
        return lambda message: OverPulled(message, 0)
    known = Boom if name == "Boom" else getattr(builtins, name, None)
    try:
        # No KeyboardInterrupt and no SystemExit: a child's wish to stop is not this process's.
        if isinstance(known, type) and isinstance(known("?"), Exception):
            return known
    except TypeError:
        # UnicodeDecodeError and its like want more than a message.
        pass
    return type(name, (RemoteError,), {})
