"""Streaming inference: five stages, one pipeline, and a trail of who handed on what."""

from .answers import Answers, Conflict
from .audit import AuditFile, AuditLog, Record, Trail, audited, read_audit
from .connections import Connection, Line, MemoryConnection
from .driver import SCHEMAS, STAGES, SeamBroken, Service
from .features import Features, FeatureStore, MissingSignal, NoFeatures, SQLiteFeatures, UnknownEntity
from .models import Batched, Classifier, IndexModel, NoSpecialist, Specialists
from .policies import Policy, Shed
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
    "IndexModel",
    "Line",
    "MemoryConnection",
    "MissingSignal",
    "ModelClient",
    "NoFeatures",
    "NoSpecialist",
    "Policy",
    "Prediction",
    "Record",
    "Request",
    "Response",
    "SQLiteFeatures",
    "SeamBroken",
    "Service",
    "Shed",
    "Specialists",
    "StreamingModel",
    "Trail",
    "UnknownEntity",
    "Written",
    "audited",
    "featurize",
    "infer",
    "parse_requests",
    "post_process",
    "read_audit",
    "restarting",
    "write_responses",
]
