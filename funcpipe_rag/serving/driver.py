"""The driver: it owns the connection, the features and the model, and hands each stage what it needs."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from funcpipe_rag.aio import AsyncStream, abuffer
from funcpipe_rag.aio.ownership import Owned

from .answers import Answers
from .audit import AuditLog, audited
from .connections import Connection
from .features import Features, FeatureStore, NoFeatures
from .policies import DEFAULT, Policy
from .requests import Request, Response
from .stages import (
    MOST_BYTES,
    Model,
    PostProcessor,
    Prediction,
    Written,
    as_it_is,
    featurize,
    infer,
    parse_requests,
    post_process,
    write_responses,
)

STAGES: Mapping[str, Callable[..., AsyncIterable[Any]]] = MappingProxyType(
    {
        "parse_requests": parse_requests,
        "featurize": featurize,
        "infer": infer,
        "post_process": post_process,
        "write_responses": write_responses,
    }
)
"""The five, in order."""

SCHEMAS: Mapping[str, tuple[type[Any], ...]] = MappingProxyType(
    {
        "parse_requests": (Request, Response),
        "featurize": (Features, Response),
        "infer": (Prediction, Response),
        "post_process": (Response,),
        "write_responses": (Written,),
    }
)
"""What each stage declares that it yields."""


class SeamBroken(TypeError):
    """A stage has yielded something else than it declares."""


@dataclass(frozen=True)
class Service:
    """Five stages and what they need; `run` wires them to a connection.

    >>> from funcpipe_rag.aio.testing import run
    >>> from funcpipe_rag.serving.connections import MemoryConnection
    >>> class Length:
    ...     def predict(self, features):
    ...         return len(features.request.text)
    >>> connection = MemoryConnection(['{"request_id": "r1", "text": "four"}', "nonsense"])
    >>> run(Service(Length()).run(connection))
    Counter({'ok': 1, 'error': 1})
    >>> [response.value for response in connection.written if response.status == "ok"]
    [4]

    It is pure pull: a request goes through all five stages before the next is read. `overlap=True` buffers one item
    at each seam, so that every stage may have a request in its hands: the throughput of the slowest stage in place of the
    sum. `check_schemas=True` looks at every item at every seam. `stages` puts another in the place of one of the
    five, `policies` says what each puts up with, `audit` writes each item down at each stage, and `answers` keeps what
    was answered.

    The answer to what a model cannot do says nothing of the host: "infer failed (ZeroDivisionError)". Why it failed is in
    the log `funcpipe_rag.serving`, at the level INFO, with its traceback: `logging.basicConfig(level="INFO")` shows it.

    Over HTTP and TCP it is served by `lifetime.serve`, over TCP alone by `tcp.LineServer`.

    Class: external. Demand: one request; with `overlap` one a stage, in its hands or ready behind it, so
    five. Memory: the same, and as many as a policy's concurrency says. Closing: closes every
    stage and the connection. Errors: what fails for one request is that request's answer; SeamBroken; those of
    the connection.
    """

    model: Model
    features: FeatureStore = field(default_factory=NoFeatures)
    post: PostProcessor = as_it_is
    overlap: bool = False
    check_schemas: bool = False
    audit: AuditLog | None = None
    answers: Answers | None = None
    policies: Mapping[str, Policy] = field(default_factory=dict)
    stages: Mapping[str, Callable[..., AsyncIterable[Any]]] = field(default_factory=dict)
    most_bytes: int = MOST_BYTES

    def __post_init__(self) -> None:
        for what, given in (("policies", self.policies), ("stages", self.stages)):
            if unknown := given.keys() - STAGES.keys():
                raise ValueError(f"Service: {what} has no {min(unknown)!r}; there are {', '.join(STAGES)}")
        if isinstance(self.model, type):
            name = self.model.__name__
            raise TypeError(f"Service: model must be an object, got the class {name}; write {name}()")
        if not (hasattr(self.model, "predict") or hasattr(self.model, "stream")):
            raise TypeError(
                f"Service: model must have predict() or stream(), got {type(self.model).__name__}"
            )
        for what, part, method, cure in (
            ("features", self.features, "stored", ", such as SQLiteFeatures(path)"),
            ("audit", self.audit, "note", ", such as AuditFile(path)"),
            ("answers", self.answers, "known", ", such as Answers(path)"),
        ):
            if not hasattr(part, method) and (what == "features" or part is not None):
                raise TypeError(f"Service: {what} must have {method}(){cure}, got {type(part).__name__}")
        for name, policy in self.policies.items():
            if not isinstance(policy, Policy):
                raise TypeError(f"Service: policies[{name!r}] must be a Policy, got {type(policy).__name__}")
        if not hasattr(self.model, "predict") and self._policy("infer").concurrency > 1:
            raise ValueError("Service: a model that answers in parts is asked one request at a time")

    def stage(self, name: str) -> Callable[..., AsyncIterable[Any]]:
        """What is called for one of the five: its own function, or another in its place, and audited if that is wanted."""
        stage = self.stages.get(name, STAGES[name])
        return stage if self.audit is None else audited(stage, self.audit, name=name)

    def wire(self, connection: Connection) -> AsyncStream[Written]:
        """The five stages over a connection, not begun: what each answer that was sent was."""
        _can_be_read(connection)
        return AsyncStream(self._wired(connection))

    async def run(self, connection: Connection) -> Counter[str]:
        """Answer every request of a connection; how many answers there were of each status."""
        _can_be_read(connection)
        count: Counter[str] = Counter()
        async with Owned() as owned:
            async for one in owned.opened(self._wired(connection)):
                if one.last:
                    count[one.status] += 1
        return count

    async def _wired(self, connection: Connection) -> AsyncGenerator[Written, None]:
        needs: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
            "parse_requests": ((), {"answers": self.answers, "most_bytes": self.most_bytes}),
            "featurize": ((self.features,), {"policy": self._policy("featurize")}),
            "infer": ((self.model,), {"policy": self._policy("infer")}),
            "post_process": ((self.post,), {"policy": self._policy("post_process")}),
            "write_responses": ((connection,), {"answers": self.answers}),
        }
        stream: Any = connection
        async with Owned() as owned:
            owned.take(connection)
            for name in STAGES:
                given, settings = needs[name]
                # Each is owned here too: what is put in the place of a stage need not close what it reads.
                stream = owned.take(self.stage(name)(stream, *given, **settings))
                if self.check_schemas:
                    stream = owned.take(_checked(stream, name))
                if self.overlap and name != "write_responses":
                    stream = owned.take(abuffer(1)(stream))
            async for written in stream:
                yield written

    def _policy(self, name: str) -> Policy:
        return self.policies.get(name, DEFAULT)


def _can_be_read(connection: object) -> None:
    if not (hasattr(connection, "read_request") and hasattr(connection, "write_response")):
        raise TypeError(
            "Service: a connection must have read_request() and write_response(), "
            f"got {type(connection).__name__}; MemoryConnection(lines) makes one of lines"
        )


async def _checked(items: AsyncIterable[Any], name: str) -> AsyncGenerator[Any, None]:
    declared = SCHEMAS[name]
    async with Owned() as owned:
        async for item in owned.opened(items):
            if not isinstance(item, declared):
                wanted = " or ".join(one.__name__ for one in declared)
                raise SeamBroken(f"behind {name}: got {type(item).__name__}, declared is {wanted}")
            yield item


__all__ = ["SCHEMAS", "STAGES", "SeamBroken", "Service"]
