"""What comes in and what goes out: requests and responses, immutable, as versioned JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

VERSION = 1
LONGEST_ID = 200
"""In characters. An id is a key in a table, not a place for data."""

Status: TypeAlias = Literal["ok", "error", "shed"]
STATUSES: tuple[Status, ...] = ("ok", "error", "shed")


class BadRequest(ValueError):
    """A request that cannot be read. `request_id` is its id, where that much could be read."""

    def __init__(self, message: str, request_id: str | None = None) -> None:
        super().__init__(message)
        self.request_id = request_id


@dataclass(frozen=True, slots=True)
class Request:
    """One question to the model.

    >>> request = Request.from_json('{"request_id": "r1", "entity_id": "user 7", "live_signals": {"clicks": 3}}')
    >>> request.entity_id, request.live_signals["clicks"]
    ('user 7', 3.0)
    >>> Request.from_json(request.to_json()) == request
    True

    What cannot be read says what and where, with the id if there was one.

    >>> Request.from_json('{"request_id": "r2", "entity_id": 7}')
    Traceback (most recent call last):
    ...
    funcpipe_rag.serving.requests.BadRequest: entity_id must be a text, got 7

    `request_id` is the key under which the request is answered once, however often it is sent. `entity_id` is what
    features are stored for, `live_signals` are numbers of this moment by name, `text` is a question in words,
    `kind` says who should answer where there are several.
    """

    request_id: str
    entity_id: str = ""
    live_signals: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    text: str = ""
    kind: str = ""
    version: int = VERSION

    @classmethod
    def from_json(cls, line: str | bytes) -> Request:
        """Read one; BadRequest for anything else than one JSON object of this version's fields."""
        try:
            given = json.loads(line, parse_constant=_no_number)
        except (ValueError, RecursionError) as error:
            said = "is nested too deeply" if isinstance(error, RecursionError) else f"is not JSON: {error}"
            raise BadRequest(f"the request {said}") from None
        if not isinstance(given, dict):
            raise BadRequest(f"a request is a JSON object, got {_kind(given)}")
        request_id = given.get("request_id")
        known = request_id if isinstance(request_id, str) and len(request_id) <= LONGEST_ID else None
        known = known if known and _writable(known) else None
        try:
            return cls(**_checked(given))
        except ValueError as error:
            raise BadRequest(str(error), known) from None

    def to_json(self) -> str:
        """As one line of JSON; what is not set is left out."""
        said: dict[str, Any] = {"version": self.version, "request_id": self.request_id}
        said |= {"entity_id": self.entity_id} if self.entity_id else {}
        # In order of their names and as floats: the same request is the same line, however it came.
        signals = {name: float(value) for name, value in sorted(self.live_signals.items())}
        said |= {"live_signals": signals} if signals else {}
        said |= {"text": self.text} if self.text else {}
        said |= {"kind": self.kind} if self.kind else {}
        return json.dumps(said, ensure_ascii=False)

    def __hash__(self) -> int:
        return hash(
            (self.request_id, self.entity_id, self.text, self.kind, *sorted(self.live_signals.items()))
        )


@dataclass(frozen=True, slots=True)
class Response:
    """One answer, or one part of it.

    >>> Response("r1", value=0.5).to_json()
    '{"version": 1, "request_id": "r1", "status": "ok", "code": 200, "value": 0.5}'

    An answer that comes in parts counts them; its last one is `last`. What could not be answered says why: `status`
    "error", or "shed" for what was turned away unread, with `retry_after` in seconds. `code` is that of HTTP. `line`
    is the number of a line that could not be read.

    >>> Response(None, status="error", code=400, error="a request is a JSON object, got a list", line=3).to_json()
    '{"version": 1, "request_id": null, "status": "error", "code": 400, "error": "a request is a JSON object, got a list", "line": 3}'
    """

    request_id: str | None
    value: Any = None
    status: Status = "ok"
    code: int = 200
    error: str = ""
    part: int = 0
    last: bool = True
    retry_after: float | None = None
    line: int | None = None
    version: int = VERSION

    @classmethod
    def from_json(cls, line: str | bytes) -> Response:
        """Read what `to_json` wrote; ValueError for anything else."""
        given = json.loads(line)
        if not isinstance(given, dict) or given.get("status") not in STATUSES:
            raise ValueError("a response is a JSON object with a status")
        try:
            return cls(**given)
        except TypeError:
            raise ValueError(
                f"a response of version {VERSION} has not these fields: {_short(given)}"
            ) from None

    def to_json(self) -> str:
        """As one line of JSON; what says nothing is left out."""
        said: dict[str, Any] = {"version": self.version, "request_id": self.request_id}
        said |= {"status": self.status, "code": self.code}
        said |= {"value": self.value} if self.status == "ok" else {"error": self.error}
        said |= {"part": self.part, "last": self.last} if self.part or not self.last else {}
        said |= {} if self.retry_after is None else {"retry_after": self.retry_after}
        said |= {} if self.line is None else {"line": self.line}
        return json.dumps(said, ensure_ascii=False)


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no number in JSON")


_KINDS = {dict: "an object", list: "a list", str: "a text", bool: "a truth value", type(None): "null"}


def _kind(value: object) -> str:
    return _KINDS.get(type(value), "a number")


def _checked(given: dict[str, Any]) -> dict[str, Any]:
    """The fields, each of its kind; ValueError naming the first that is not."""
    unknown = given.keys() - {"request_id", "entity_id", "live_signals", "text", "kind", "version"}
    version = given.get("version", VERSION)
    if version != VERSION or not isinstance(version, int) or isinstance(version, bool):
        raise ValueError(f"version must be {VERSION}, got {_short(version)}")
    if unknown:
        raise ValueError(f"there is no field {_short(min(unknown))} in a request of version {VERSION}")
    if "request_id" not in given:
        raise ValueError("request_id is missing")
    for name in ("request_id", "entity_id", "text", "kind"):
        if name in given and not isinstance(given[name], str):
            raise ValueError(f"{name} must be a text, got {_short(given[name])}")
        if name in given and not _writable(given[name]):
            raise ValueError(f"{name} must be Unicode; half of a pair (\\ud800 to \\udfff) is no character")
    if not given["request_id"] or len(given["request_id"]) > LONGEST_ID:
        raise ValueError(f"request_id must have 1 to {LONGEST_ID} characters, got {len(given['request_id'])}")
    signals = given.get("live_signals", {})
    if not isinstance(signals, dict):
        raise ValueError(f"live_signals must be an object of numbers, got {_kind(signals)}")
    for name, value in signals.items():
        if not _writable(name):
            raise ValueError(f"live_signals: {_short(name)} is not Unicode, so it is no name")
        if isinstance(value, bool) or not isinstance(value, int | float) or not _finite(value):
            raise ValueError(f"live_signals: {_short(name)} must be a finite number, got {_short(value)}")
    return {
        **given,
        "live_signals": MappingProxyType({name: float(value) for name, value in signals.items()}),
    }


def _finite(value: float) -> bool:
    try:
        return isfinite(value)
    except OverflowError:
        return False


def _writable(text: str) -> bool:
    """Whether a text can be written as UTF-8: JSON can escape half of a surrogate pair, which is no character."""
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            return False
    return True


def _short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    text = text if len(text) <= 60 else f"{text[:57]}..."
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
