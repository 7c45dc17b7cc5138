"""An audit read back: what became of each request, stage by stage, and what is missing from the record."""

from __future__ import annotations

import json
import os
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, TypeAlias

from .audit import Record


class Step(NamedTuple):
    """One stage of one request: from when it had its input to when it gave, for an answer in parts the last of them."""

    stage: str
    began: float
    ended: float


@dataclass
class Passage:
    """One request on its way through the stages."""

    run: str
    request_id: str | None
    steps: list[Step] = field(default_factory=list)
    answered: bool = False
    partial: set[str] = field(default_factory=set, repr=False)
    """The stages that have given parts of an answer, and not its last one."""

    @property
    def began(self) -> float:
        return self.steps[0].began

    @property
    def ended(self) -> float:
        return self.steps[-1].ended


GapKind: TypeAlias = Literal["missing", "repeated", "unanswered", "skipped", "killed", "cut"]


class Gap(NamedTuple):
    """Something that the record lacks: of which run, what it is in words, and where in time it shows, if it does.

    `missing`: numbers of a stage, or records that the closing line counts; `repeated`: numbers that came again;
    `unanswered`: a request that came in and was not answered; `skipped`: a request that a stage has no record of,
    and a later one has; `killed`: a run without its closing line; `cut`: a line that breaks off.
    """

    kind: GapKind
    run: str
    says: str
    t: float | None = None
    request_id: str | None = None


@dataclass
class Replayed:
    """What an audit tells: each request's passage, in the order they came in, and the gaps.

    >>> told = [{"run": "monday", "begun": 0.0, "batch": 0}]
    >>> for seq, stages in enumerate(["parse_requests infer write_responses", "parse_requests infer"]):
    ...     for place, stage in enumerate(stages.split()):
    ...         record = Record(seq + place / 10, "monday", stage, seq, f"r{seq}", 0.1)
    ...         told.append(record._asdict())
    >>> print(replay(map(json.dumps, told), stages=["parse_requests", "infer", "write_responses"]))
    2 requests in 1 run, 1 answered; at most 1 at a time in the chain
    unanswered: 'r1' came in, and its last sign is from infer
    killed: run monday has no closing line
    """

    stages: tuple[str, ...]
    passages: list[Passage] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    records: int = 0
    runs: int = 0
    most_at_a_time: int = 0
    """Requests that had come in and were not yet answered, in one run, in the order of its records."""

    @property
    def answered(self) -> int:
        """How many requests were answered."""
        return sum(passage.answered for passage in self.passages)

    @property
    def whole(self) -> bool:
        """Whether nothing is missing."""
        return not self.gaps

    def __str__(self) -> str:
        came = len(self.passages)
        said = [
            f"{came:,} request{'s' * (came != 1)} in {self.runs} run{'s' * (self.runs != 1)}, "
            f"{'all' if came and self.answered == came else f'{self.answered:,}'} answered; "
            f"at most {self.most_at_a_time:,} at a time in the chain"
        ]
        kinds = Counter(gap.kind for gap in self.gaps)
        told: Counter[str] = Counter()
        for gap in self.gaps:
            told[gap.kind] += 1
            if told[gap.kind] <= _SAID:
                said.append(f"{gap.kind}: {gap.says}")
            if told[gap.kind] == kinds[gap.kind] > _SAID:
                said.append(f"{gap.kind}: {kinds[gap.kind] - _SAID:,} more")
        if not self.gaps:
            said.append("nothing is missing")
        return "\n".join(said)


_SAID = 5


def replay(
    source: str | os.PathLike[str] | Iterable[str | Record],
    *,
    stages: Sequence[str] = ("parse_requests", "featurize", "infer", "post_process", "write_responses"),
) -> Replayed:
    """Read an audit, of one run or of several, and say what became of each request and what is missing.

    `source` is the path of a file, its lines, or the records of a `Trail`, which has no lines that begin and end a
    run. `stages` are those that a request goes through, in order: it comes in when the first has given it, and is
    answered when the last has.

    >>> replay([Record(0.0, "", "infer", 0, "r1", 0.1), Record(0.2, "", "infer", 2, "r3", 0.1)], stages=["infer"]).gaps
    [Gap(kind='missing', run='', says='infer: number 1 is not there', t=0.2, request_id=None)]

    Class: pure, but for the file. Demand: every line. Memory: one passage a request. Errors: those of the file;
    ValueError, with the line's number, for what is no record.
    """
    replayed = Replayed(tuple(stages))
    runs: dict[str, _Run] = {}
    for said in _read(source):
        if isinstance(said, Gap):
            replayed.gaps.append(said)
            continue
        name = said.run if isinstance(said, Record) else said["run"]
        if not isinstance(said, Record) and "begun" in said:
            if name in runs:
                # The same name again: whoever bore it before is gone.
                runs.pop(name).close(said["begun"])
            runs[name] = _Run(name, replayed, said["batch"])
        if name not in runs:
            runs[name] = _Run(name, replayed, None)
        if isinstance(said, Record):
            runs[name].take(said)
        elif "ended" in said:
            runs.pop(name).close(said["ended"], said["records"])
    for run in runs.values():
        run.close(None)
    return replayed


class _Run:
    """What is known of one run as its records are read."""

    def __init__(self, name: str, replayed: Replayed, batch: int | None) -> None:
        self._name, self._replayed, self._batch = name, replayed, batch
        """`batch` is what may be lost by a kill; None where the run has no line that begins it."""
        self._seqs: Counter[str] = Counter()
        self._records = self._missed = 0
        self._t = 0.0
        self._on_their_way: dict[str | None, deque[Passage]] = {}
        self._many = 0
        replayed.runs += 1

    def _gap(self, kind: GapKind, says: str, t: float | None, request_id: str | None = None) -> None:
        self._replayed.gaps.append(Gap(kind, self._name, says, t, request_id))

    def take(self, record: Record) -> None:
        self._t = record.t
        self._records += 1
        self._replayed.records += 1
        self._count(record)
        stages = self._replayed.stages
        if record.stage not in stages:
            return
        passage = self._passage(record, stages.index(record.stage))
        step = Step(record.stage, record.t - record.duration, record.t)
        for at, earlier in enumerate(passage.steps):
            if earlier.stage == record.stage:
                passage.steps[at] = earlier._replace(ended=record.t)
                break
        else:
            passage.steps.append(step)
        if not record.last:
            passage.partial.add(record.stage)
            return
        passage.partial.discard(record.stage)
        if record.stage == stages[-1]:
            passage.answered = True
            waiting = self._on_their_way[record.request_id]
            waiting.remove(passage)
            if not waiting:
                del self._on_their_way[record.request_id]
            self._many -= 1

    def _count(self, record: Record) -> None:
        stage, expected = record.stage, self._seqs[record.stage]
        if record.seq > expected:
            self._missed += record.seq - expected
            self._gap("missing", f"{stage}: {_numbers(expected, record.seq)} not there", record.t)
        elif record.seq < expected:
            self._gap("repeated", f"{stage}: number {record.seq} came again", record.t)
        self._seqs[stage] = max(expected, record.seq + 1)

    def _passage(self, record: Record, place: int) -> Passage:
        """Whose record this is: of those with this id, the first that this stage is not done with."""
        waiting = self._on_their_way.setdefault(record.request_id, deque())
        before = self._replayed.stages[:place]
        for passage in waiting:
            seen = {step.stage for step in passage.steps}
            if record.stage in passage.partial:
                return passage
            if place > 0 and record.stage not in seen:
                break
        else:
            seen = set()
            passage = Passage(self._name, record.request_id)
            waiting.append(passage)
            self._replayed.passages.append(passage)
            self._many += 1
            self._replayed.most_at_a_time = max(self._replayed.most_at_a_time, self._many)
        for stage in before:
            # Told once, by the first stage that comes behind it.
            if stage not in seen and not seen.intersection(self._replayed.stages[before.index(stage) :]):
                says = f"{record.request_id!r} has no record of {stage}, and one of {record.stage}"
                self._gap("skipped", says, record.t, record.request_id)
        return passage

    def close(self, t: float | None, records: int | None = None) -> None:
        """The run is over: as its closing line says, or because nothing follows."""
        for passage in sorted(
            (one for waiting in self._on_their_way.values() for one in waiting), key=lambda one: one.began
        ):
            says = f"{passage.request_id!r} came in, and its last sign is from {passage.steps[-1].stage}"
            self._gap("unanswered", says, passage.ended, passage.request_id)
        if records is not None:
            # What the numbers have told already is not told again.
            if records not in (self._records, self._records + self._missed):
                says = f"run {self._name} wrote {records:,} records, and {self._records:,} are there"
                self._gap("missing" if records > self._records else "repeated", says, t)
        elif self._batch is not None:
            lost = (
                f"; what it did last, at most {self._batch:,} records, is not here" if self._batch > 1 else ""
            )
            self._gap("killed", f"run {self._name} has no closing line{lost}", self._t or None)


def _numbers(first: int, stop: int) -> str:
    return f"number {first} is" if stop == first + 1 else f"numbers {first} to {stop - 1} are"


def read_audit(path: str | os.PathLike[str]) -> Iterator[Record]:
    """The records of an audit file, in the order they were written; a line that was cut off is left out.

    Demand: one line a record. Memory: one line. Closing: closes the file. Errors: those of the file; ValueError, with
    the line's number, for what is no record.
    """
    for said in _read(path):
        if isinstance(said, Record):
            yield said


Said: TypeAlias = Record | Gap | dict[str, Any]


def _read(source: str | os.PathLike[str] | Iterable[str | Record]) -> Iterator[Said]:
    if isinstance(source, str | os.PathLike):
        # What is no UTF-8 is no record either, and then its line is named.
        with open(source, encoding="utf-8", errors="backslashreplace", newline="\n") as lines:
            yield from _told(lines, f"{os.fspath(source)}:")
    else:
        yield from _told(source, "line ")


def _told(lines: Iterable[str | Record], where: str) -> Iterator[Said]:
    for number, line in enumerate(lines, start=1):
        if isinstance(line, Record):
            yield line
        elif line.strip():
            yield _said(line.strip(), f"{where}{number}")


def _no_time(name: str) -> float:
    raise ValueError(f"{name} is no time")


def _said(line: str, where: str) -> Said:
    said: Any = None
    try:
        said = json.loads(line, parse_constant=_no_time)
    except (ValueError, RecursionError):
        # An id may hold a "}", and the line may break off behind it.
        if line.startswith("{") and (line.startswith('{"run": "') or not line.endswith("}")):
            return Gap("cut", "", f"{where} breaks off")
    match said:
        case {"run": str(run), "stage": str(stage), "seq": int(seq), "t": int() | float() as t, **rest}:
            match rest:
                case {"request_id": str() | None as request_id, "duration": int() | float() as duration}:
                    return Record(t, run, stage, seq, request_id, duration, rest.get("last") is not False)
        case {"run": str(), "begun": int() | float(), "batch": int()} | {
            "run": str(),
            "ended": int() | float(),
            "records": int(),
        }:
            return dict(said)
    raise ValueError(f"{where} is no record of an audit")
