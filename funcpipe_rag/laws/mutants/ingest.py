"""What people write in place of bringing an index up to date."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from funcpipe_rag import rag
from funcpipe_rag.rag import Event

from .mutant import mutant


@mutant(of="gen_ingest", killed_by="ingest-ends-in-the-last-corpus")
def only_adds(path: str, docs: list[Any], env: Any, **options: Any) -> Iterator[Event]:
    """Indexes what it is given, and never takes out what is gone."""
    known = list(docs)
    if os.path.exists(path):
        with rag.Index(path) as index:
            named = {doc.source for doc in known}
            gone = [source for (source,) in index.rows("SELECT source FROM document") if source not in named]
        known += [rag.Quarantined(source, "not looked at") for source in gone]
    return (event for event in rag.gen_ingest(path, known, env, **options) if event.kind != "quarantined")


@mutant(of="gen_ingest", killed_by="ingest-writes-nothing-at-birth")
def builds_when_called(path: str, docs: Any, env: Any, **options: Any) -> Iterator[Event]:
    """Does its work where it is called: a stream that is a list in disguise."""
    return iter(list(rag.gen_ingest(path, docs, env, **options)))


@mutant(of="gen_ingest", killed_by="ingest-does-nothing-twice")
def begins_anew_each_time(path: str, docs: Any, env: Any, **options: Any) -> Iterator[Event]:
    """Deletes the index first: everything is cut, and paid for, again."""
    if os.path.exists(path):
        os.remove(path)
    yield from rag.gen_ingest(path, docs, env, **options)


@mutant(of="gen_ingest", killed_by="ingest-removes-nothing-half-way")
def removes_what_it_has_not_seen(
    path: str, docs: Any, env: Any, *, stop: Any = None, **options: Any
) -> Iterator[Event]:
    """Takes the end of its own loop for the end of the corpus."""
    yield from rag.gen_ingest(path, docs, env, **options)
