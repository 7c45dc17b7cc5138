"""Who handed on what, when: one record for each item at each stage, at the moment of the yield."""

from __future__ import annotations

import asyncio
import json
import os
from collections import Counter, deque
from collections.abc import AsyncGenerator, AsyncIterable, Callable
from functools import wraps
from importlib.util import find_spec
from time import perf_counter, time
from typing import Any, NamedTuple, Protocol, Self

from funcpipe_rag.aio import AsyncStream
from funcpipe_rag.aio.ownership import Owned
from funcpipe_rag.streams.arguments import a_number, a_whole_number


class Record(NamedTuple):
    """One item that left one stage. Times in seconds; `t` counts from 1970, `duration` from when the stage had its input.

    `seq` counts what this stage has given in this run, over all connections. `last` is False for a part of an answer
    that has more parts to come.
    """

    t: float
    run: str
    stage: str
    seq: int
    request_id: str | None
    duration: float
    last: bool = True


class AuditLog(Protocol):
    """What `audited` writes to."""

    @property
    def clock(self) -> Callable[[], float]:
        """What says the time, in seconds from any beginning."""
        ...

    def note(self, stage: str, request_id: str | None, began: float, ended: float, last: bool) -> None:
        """Take down one item: `stage` had its request when the clock said `began`, and gives it now."""
        ...


class OpenAudit(AuditLog, Protocol):
    """An audit log that is open, and must be closed for its run to end well; or use it with `with`."""

    run: str

    def close(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *_: object) -> None: ...


def audited(
    stage: Callable[..., AsyncIterable[Any]], log: AuditLog, *, name: str = ""
) -> Callable[..., AsyncStream[Any]]:
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

    A stage that reads no stream, such as the first one, is timed from when it was asked. Class: observer: items, order
    and demand are those of the stage. Memory: a time for each request that the stage has taken and not given.
    Closing and errors: those of the stage, and those of the log.
    """
    called = name or stage.__name__

    @wraps(stage)
    def watched(items: Any, *given: Any, **settings: Any) -> AsyncStream[Any]:
        taken = None
        if isinstance(items, AsyncIterable):
            taken = _Taken()
            if isinstance(items, _Watched):
                # What it gives goes straight to this stage, so it can put down the time, and no tap is needed.
                items.told.append(taken)
            else:
                items = _tapped(items, taken, log.clock)
        told: list[_Taken] = []
        return _Watched(_watched(stage(items, *given, **settings), called, log, taken, told), told)

    return watched


class _Taken:
    """When a stage took the requests that it has not given yet."""

    __slots__ = ("_again", "_at", "_in_parts")

    def __init__(self) -> None:
        self._at: dict[str | None, float] = {}
        self._in_parts: set[str | None] = set()
        """Of which a part was taken, and not the last one: what follows is no other request."""
        self._again: dict[str | None, deque[float]] = {}
        """The same id on its way more than once: a retry that came early, or lines without an id."""

    def put(self, request_id: str | None, now: float, last: bool) -> None:
        if request_id in self._in_parts:
            if last:
                self._in_parts.discard(request_id)
            return
        if not last:
            self._in_parts.add(request_id)
        if request_id in self._at:
            self._again.setdefault(request_id, deque()).append(now)
        else:
            self._at[request_id] = now

    def since(self, request_id: str | None, now: float, last: bool) -> float:
        at = self._at
        if not last:
            return at.get(request_id, now)
        began = at.pop(request_id, now)
        if self._again and (later := self._again.get(request_id)):
            at[request_id] = later.popleft()
            if not later:
                del self._again[request_id]
        return began


class _Watched(AsyncStream[Any]):
    """A stream that tells when it gives what, to those who take it."""

    __slots__ = ("told",)

    def __init__(self, it: AsyncGenerator[Any, None], told: list[_Taken]) -> None:
        super().__init__(it)
        self.told = told


async def _tapped(
    upstream: AsyncIterable[Any], taken: _Taken, clock: Callable[[], float]
) -> AsyncGenerator[Any, None]:
    async with Owned() as owned:
        async for item in owned.opened(upstream):
            taken.put(item.request_id, clock(), getattr(item, "last", True))
            yield item


async def _watched(
    stream: AsyncIterable[Any], called: str, log: AuditLog, taken: _Taken | None, told: list[_Taken]
) -> AsyncGenerator[Any, None]:
    note, clock = log.note, log.clock
    async with Owned() as owned:
        it = owned.opened(stream)
        now = clock()
        async for item in it:
            request_id, last = item.request_id, getattr(item, "last", True)
            asked, now = now, clock()
            note(called, request_id, taken.since(request_id, now, last) if taken else asked, now, last)
            for one in told:
                one.put(request_id, now, last)
            yield item
            if taken is None:
                now = clock()


class Trail:
    """An audit log in memory: for tests, and to look at.

    `t` is what its clock says, which may be that of a loop. Class: observer. Memory: every record.
    """

    def __init__(self, *, clock: Callable[[], float] = perf_counter) -> None:
        self.clock = clock
        self.records: list[Record] = []
        self._seqs: Counter[str] = Counter()

    def note(self, stage: str, request_id: str | None, began: float, ended: float, last: bool) -> None:
        """Keep one record."""
        self.records.append(Record(ended, "", stage, self._seqs[stage], request_id, ended - began, last))
        self._seqs[stage] += 1


class AuditFile:
    """An audit log on disk, as lines of JSON, written in batches.

    >>> from tempfile import TemporaryDirectory
    >>> from funcpipe_rag.serving import read_audit
    >>> with TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "audit.jsonl")
    ...     with AuditFile(path, run="monday") as log:
    ...         log.note("infer", "r1", began=1.5, ended=1.75, last=True)
    ...     [(record.run, record.stage, record.duration) for record in read_audit(path)]
    [('monday', 'infer', 0.25)]

    A batch is written when it has `batch` records or is `every` seconds old, with one call to the system; `flush`
    writes at once. Whoever is killed loses at most one batch, and the gap shows: a run that ended well has a last
    line that says so. Several processes may write to one file. `run` names this process there; nobody else may have
    the same name at the same time. For one thread. Class: external. Memory: one batch. Errors: those of the file;
    ValueError at construction.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        run: str = "",
        batch: int = 512,
        every: float = 1.0,
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        self._batch = a_whole_number("AuditFile", "batch", batch, least=1)
        self._every = a_number("AuditFile", "every", every, above=0)
        self.clock = clock
        self._waiting: list[tuple[str, str | None, float, float, bool]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._failure: OSError | None = None
        self._lines = _Lines(path, run, lost=self._batch)
        self.run = self._lines.run

    def note(self, stage: str, request_id: str | None, began: float, ended: float, last: bool) -> None:
        """Take one record down."""
        if self._failure is not None:
            raise self._failure
        waiting = self._waiting
        waiting.append((stage, request_id, began, ended, last))
        if len(waiting) == 1:
            self._in_time()
        if len(waiting) >= self._batch:
            self.flush()

    def _in_time(self) -> None:
        """See that this batch is written in time even if nothing follows; where no loop runs, the next one does that."""
        try:
            self._timer = asyncio.get_running_loop().call_later(self._every, self._flush_later)
        except RuntimeError:
            self._timer = None

    def _flush_later(self) -> None:
        try:
            self.flush()
        except OSError as error:
            # Nobody but the loop would hear it here.
            self._failure = error

    def flush(self) -> None:
        """Write what waits."""
        if self._timer is not None:
            self._timer.cancel()
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        # Anew for each batch: the clock of a run that lasts for months drifts from that of the wall.
        epoch = time() - self.clock()
        numbered = self._lines.numbered
        fields: list[object] = []
        for stage, request_id, began, ended, last in waiting:
            fields += (
                *numbered(stage),
                _quoted(request_id),
                ended + epoch,
                ended - began,
                _LAST if last else _PART,
            )
        # One template for the batch takes three quarters of the time of one for each line.
        self._lines.write(_RECORD * len(waiting) % tuple(fields))

    def close(self) -> None:
        """Write what waits, and the line that says that nothing is missing."""
        try:
            self.flush()
        finally:
            self._lines.close()
        if self._failure is not None:
            raise self._failure

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


_RECORD = '%s%d, "request_id": %s, "t": %.6f, "duration": %.6f%s\n'
_LAST, _PART = "}", ', "last": false}'
_quoted = json.JSONEncoder().encode


def _this_run() -> str:
    return f"{os.getpid()}-{time():.6f}"


class _Lines:
    """The file of an audit: whole lines, behind those of whoever writes there too."""

    def __init__(self, path: str | os.PathLike[str], run: str, *, lost: int) -> None:
        self.run = run or _this_run()
        self._path = os.fspath(path)
        # For its owner alone: who asked for what is nobody else's business.
        self._file: int | None = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
        self._heads: dict[str, str] = {}
        self.seqs: Counter[str] = Counter()
        self._failed = False
        size = os.fstat(self._file).st_size
        if size and os.pread(self._file, 1, size - 1) != b"\n":
            # Somebody was killed in the middle of a line.
            self._failed = True
        try:
            self.say(begun=time(), batch=lost)
        except BaseException:
            os.close(self._file)
            raise

    def numbered(self, stage: str) -> tuple[str, int]:
        """How a record of this stage begins, and its number."""
        seq = self.seqs[stage]
        self.seqs[stage] = seq + 1
        if not seq:
            self._heads[stage] = f'{{"run": {_quoted(self.run)}, "stage": {_quoted(stage)}, "seq": '
        return self._heads[stage], seq

    def say(self, **said: object) -> None:
        self.write(_quoted({"run": self.run, **said}) + "\n")

    def write(self, text: str) -> None:
        if self._file is None:
            raise ValueError(f"the audit of run {self.run} is closed")
        left = text.encode()
        if self._failed:
            left = b"\n" + left
        # What a full disk has cut off must not run into what comes when there is room again.
        self._failed = True
        while left:
            try:
                left = left[os.write(self._file, left) :]
            except OSError as error:
                raise OSError(error.errno, error.strerror, self._path) from None
        self._failed = False

    def close(self) -> None:
        if self._file is not None:
            try:
                self.say(ended=time(), records=self.seqs.total())
            finally:
                os.close(self._file)
                self._file = None


class StructlogAudit:
    """An audit log of structlog: an event for each item, in the file before the item is handed on.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "audit.jsonl")
    ...     with StructlogAudit(path, run="monday") as log:
    ...         log.note("infer", "r1", began=1.5, ended=1.75, last=True)
    ...     with open(path) as lines:
    ...         _, handed_on, ended = map(json.loads, lines)
    >>> handed_on["event"], handed_on["stage"], handed_on["duration"], ended["records"]
    ('handed on', 'infer', 0.25, 1)

    Whoever is killed loses nothing that was noted. With a `logger` in place of a file, events go where it sends them,
    through its own processors. Class: external. Memory: O(1). Errors: those of the file or the logger;
    ModuleNotFoundError, naming the extra, where structlog is missing.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        logger: Any = None,
        run: str = "",
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        if (path is None) == (logger is None):
            raise TypeError("StructlogAudit: wants a path or a logger, one of the two")
        self.clock = clock
        self._lines: _Lines | None = None
        if path is not None:
            _needs_structlog()
            self._lines = _Lines(path, run, lost=0)
            logger = _logger_of(self._lines)
        self.run = self._lines.run if self._lines is not None else run or _this_run()
        self._logger = logger.bind(run=self.run)
        self._seqs: Counter[str] = self._lines.seqs if self._lines is not None else Counter()
        if self._lines is None:
            self._logger.info("audit begun", begun=time(), batch=0)

    def note(self, stage: str, request_id: str | None, began: float, ended: float, last: bool) -> None:
        """Log one record."""
        seq = self._seqs[stage]
        self._seqs[stage] = seq + 1
        self._logger.info(
            "handed on",
            stage=stage,
            seq=seq,
            request_id=request_id,
            t=time(),
            duration=ended - began,
            last=last,
        )

    def close(self) -> None:
        """Write the line that says that nothing is missing."""
        if self._lines is not None:
            self._lines.close()
        else:
            self._logger.info("audit ended", ended=time(), records=self._seqs.total())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Written:
    """What structlog hands a finished line to."""

    def __init__(self, lines: _Lines) -> None:
        self.info = lines.write


def _logger_of(lines: _Lines) -> Any:
    # Imported here, so that serving needs it only where it is used.
    from structlog import make_filtering_bound_logger, wrap_logger

    run = _quoted(lines.run)

    def line(logger: object, method: str, event: Any) -> str:
        # By hand: a JSON encoder made for each event takes twice as long, and nobody else's fields come here.
        return (
            f'{{"run": {run}, "event": "handed on", "stage": {_quoted(event["stage"])}, "seq": {event["seq"]}, '
            f'"request_id": {_quoted(event["request_id"])}, "t": {event["t"]:.6f}, '
            f'"duration": {event["duration"]:.6f}{_LAST if event["last"] else _PART}\n'
        )

    plain = make_filtering_bound_logger(0)
    return wrap_logger(_Written(lines), processors=[line], wrapper_class=plain, context_class=dict)


def _needs_structlog() -> None:
    if find_spec("structlog") is None:
        raise ModuleNotFoundError(
            'this audit needs structlog, which is not installed: pip install "funcpipe-rag[serve]"',
            name="structlog",
        )


def audit_log(path: str | os.PathLike[str], *, run: str = "") -> OpenAudit:
    """The audit log for a file: structlog's where structlog is installed, otherwise the batched one.

    Both write lines that `read_audit` and `replay` read. Errors: those of the two.
    """
    return AuditFile(path, run=run) if find_spec("structlog") is None else StructlogAudit(path, run=run)
