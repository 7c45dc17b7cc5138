"""Who handed on what, when: one record for each item at each stage, at the moment of the yield."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterator
from functools import wraps
from time import perf_counter, time
from typing import Any, NamedTuple, Protocol

from funcpipe_rag.aio.ownership import Owned


class Record(NamedTuple):
    """One item that left one stage. Times in seconds; `t` counts from 1970, `duration` from when the stage had its input."""

    t: float
    run: str
    stage: str
    seq: int
    request_id: str | None
    duration: float


class AuditLog(Protocol):
    """What `audited` writes to."""

    def note(self, stage: str, seq: int, request_id: str | None, duration: float) -> None: ...


def audited(
    stage: Callable[..., AsyncIterable[Any]],
    log: AuditLog,
    *,
    name: str = "",
    clock: Callable[[], float] = perf_counter,
) -> Callable[..., AsyncGenerator[Any, None]]:
    """A stage that does what it did, and is written down.

    >>> from funcpipe_rag.aio.testing import run
    >>> from funcpipe_rag.serving.requests import Response
    >>> async def echo(requests):
    ...     async for request in requests:
    ...         yield request
    >>> async def two():
    ...     yield Response("r1")
    ...     yield Response("r2")
    >>> trail = Trail()
    >>> async def go():
    ...     return [item.request_id async for item in audited(echo, trail)(two())]
    >>> run(go())
    ['r1', 'r2']
    >>> [(record.stage, record.seq, record.request_id) for record in trail.records]
    [('echo', 0, 'r1'), ('echo', 1, 'r2')]

    Class: observer: items, order and demand are those of the stage. Memory: a time for each request that the stage has
    taken and not given. Closing and errors: those of the stage.
    """
    called = name or stage.__name__

    @wraps(stage)
    async def watched(items: Any, *given: Any, **settings: Any) -> AsyncGenerator[Any, None]:
        taken: dict[str | None, float] = {}
        note = log.note
        seq = 0
        asked = 0.0

        async def tap(upstream: AsyncIterable[Any]) -> AsyncGenerator[Any, None]:
            async with Owned() as owned:
                async for item in owned.opened(upstream):
                    taken[item.request_id] = clock()
                    yield item

        async with Owned() as owned:
            begins = not isinstance(items, AsyncIterable)
            stream = owned.opened(stage(items if begins else tap(items), *given, **settings))
            asked = clock()
            async for item in stream:
                request_id = item.request_id
                now = clock()
                since = asked if begins else taken.get(request_id, now)
                note(called, seq, request_id, now - since)
                seq += 1
                if getattr(item, "last", True):
                    taken.pop(request_id, None)
                yield item
                if begins:
                    asked = clock()

    return watched


class Trail:
    """An audit log in memory: for tests, and to look at."""

    def __init__(self) -> None:
        self.records: list[Record] = []

    def note(self, stage: str, seq: int, request_id: str | None, duration: float) -> None:
        """Keep one record."""
        self.records.append(Record(time(), "", stage, seq, request_id, duration))


class AuditFile:
    """An audit log on disk, as lines of JSON, written in batches.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "audit.jsonl")
    ...     with AuditFile(path, run="monday") as log:
    ...         log.note("infer", 0, "r1", 0.25)
    ...     [(record.run, record.stage, record.duration) for record in read_audit(path)]
    [('monday', 'infer', 0.25)]

    A batch is written when it has `batch` records or when `every` seconds have passed since the last one, by the
    thread that notes; `flush` writes at once. Whoever is killed loses at most one batch, and the gap shows: a run that
    ended well has a last line that says so. Class: external. Memory: one batch. Errors: those of the file.
    """

    def __init__(self, path: str, *, run: str = "", batch: int = 512, every: float = 1.0) -> None:
        self._file = open(path, "a", encoding="utf-8")  # noqa: SIM115  (closed by close)
        self.run = run or f"{os.getpid()}-{time():.3f}"
        self._batch, self._every = batch, every
        self._waiting: list[tuple[float, str, int, str | None, float]] = []
        self._next = 0.0
        self._total = 0
        self._line(begun=time())

    def note(self, stage: str, seq: int, request_id: str | None, duration: float) -> None:
        """Take one record down."""
        now = time()
        waiting = self._waiting
        waiting.append((now, stage, seq, request_id, duration))
        if len(waiting) >= self._batch or now >= self._next:
            self.flush()

    def flush(self) -> None:
        """Write what waits."""
        waiting, self._waiting = self._waiting, []
        run = json.dumps(self.run)
        quoted = json.dumps
        self._file.write(
            "".join(
                f'{{"t": {t:.6f}, "run": {run}, "stage": "{stage}", "seq": {seq}, '
                f'"request_id": {quoted(request_id)}, "duration": {duration:.9f}}}\n'
                for t, stage, seq, request_id, duration in waiting
            )
        )
        self._file.flush()
        self._total += len(waiting)
        self._next = time() + self._every

    def close(self) -> None:
        """Write what waits, and the line that says that nothing is missing."""
        if not self._file.closed:
            self.flush()
            self._line(ended=time(), records=self._total)
            self._file.close()

    def _line(self, **said: object) -> None:
        self._file.write(json.dumps({"run": self.run, **said}) + "\n")
        self._file.flush()

    def __enter__(self) -> AuditFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def read_audit(path: str) -> Iterator[Record]:
    """The records of an audit file, in the order they were written; a last line that was cut off is left out.

    Demand: one line a record. Memory: one line. Errors: those of the file; ValueError, with the line's number, for what
    is no record.
    """
    with open(path, encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.endswith("\n"):
                return
            try:
                said = json.loads(line)
                if "stage" in said:
                    yield Record(**said)
            except (ValueError, TypeError):
                raise ValueError(f"{path}:{number} is no record of an audit") from None
