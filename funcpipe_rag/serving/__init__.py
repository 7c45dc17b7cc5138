"""Streaming inference: five stages, one pipeline, and a trail of who handed on what."""

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
