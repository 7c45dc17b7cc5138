"""Streaming inference: five stages, one pipeline, and a trail of who handed on what.

What do you need for a model of your own? A method.

>>> from funcpipe_rag.aio.testing import run
>>> class Length:
...     def predict(self, features):
...         return len(features.request.text)
>>> trail = Trail()
>>> service = Service(Length(), audit=trail)

In memory, for a test:

>>> connection = MemoryConnection([Request("r1", text="four").to_json()])
>>> run(service.run(connection))
Counter({'ok': 1})
>>> connection.written[0].value
4

What became of each request:

>>> print(replay(trail.records))
1 request in 1 run, all answered; at most 1 at a time in the chain
nothing is missing

`print(funcpipe_rag.plots.AuditTimeline(replay(...)))` draws it, as text here and as a picture in a notebook. `AuditFile`
keeps it on disk, and `replay` takes the path of that file.

Over HTTP and TCP, until Ctrl-C, with the extra `serve`:

    from funcpipe_rag.serving.lifetime import serve
    asyncio.run(serve(service, port=8000, tcp_port=9000, ready=print))

A model may have an async `predict`, or a `stream` that yields parts. `Service` says what else there is: features,
answers that are kept, time limits and tries. `tcp`, `http`, `access`, `limits` and `metrics` hold what `serve` puts together.
"""

from .answers import Answers, Conflict
from .audit import AuditFile, AuditLog, Record, StructlogAudit, Trail, audit_log, audited
from .connections import Connection, Line, MemoryConnection
from .driver import SCHEMAS, STAGES, SeamBroken, Service
from .features import Features, FeatureStore, MissingSignal, NoFeatures, SQLiteFeatures, UnknownEntity
from .models import Batched, Classifier, IndexModel, NoSpecialist, Specialists
from .policies import Policy, Shed
from .replay import Gap, Passage, Replayed, Step, read_audit, replay
from .requests import BadRequest, Request, Response
from .restarting import restarting
from .stages import (
    ModelClient,
    Prediction,
    StreamingModel,
    Written,
    featurize,
    infer,
    parse_requests,
    post_process,
    write_responses,
)

__all__ = [
    "SCHEMAS",
    "STAGES",
    "Answers",
    "AuditFile",
    "AuditLog",
    "BadRequest",
    "Batched",
    "Classifier",
    "Conflict",
    "Connection",
    "FeatureStore",
    "Features",
    "Gap",
    "IndexModel",
    "Line",
    "MemoryConnection",
    "MissingSignal",
    "ModelClient",
    "NoFeatures",
    "NoSpecialist",
    "Passage",
    "Policy",
    "Prediction",
    "Record",
    "Replayed",
    "Request",
    "Response",
    "SQLiteFeatures",
    "SeamBroken",
    "Service",
    "Shed",
    "Specialists",
    "Step",
    "StreamingModel",
    "StructlogAudit",
    "Trail",
    "UnknownEntity",
    "Written",
    "audit_log",
    "audited",
    "featurize",
    "infer",
    "parse_requests",
    "post_process",
    "read_audit",
    "replay",
    "restarting",
    "write_responses",
]
