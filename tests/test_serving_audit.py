"""The audit: it changes nothing, loses nothing that it says it has, and says what it lacks."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from funcpipe_rag.aio.probe import AsyncProbe
from funcpipe_rag.aio.testing import run
from funcpipe_rag.serving import (
    STAGES,
    AuditFile,
    Features,
    MemoryConnection,
    Record,
    Request,
    Response,
    Service,
    StructlogAudit,
    Trail,
    audit_log,
    audited,
    read_audit,
    replay,
)
from funcpipe_rag.streams.probe import Probe


class Echo:
    def predict(self, features: Features) -> Any:
        return features.request_id


def lines(many: int) -> list[str]:
    return [Request(f"r{place}").to_json() for place in range(many)]


async def passed(items: Any) -> AsyncIterator[Any]:
    async for item in items:
        yield item


LOGS: list[Callable[..., Any]] = [AuditFile, StructlogAudit]


def served(path: Path, log: Callable[..., Any], many: int = 5, **settings: Any) -> MemoryConnection:
    connection = MemoryConnection(lines(many))
    with log(path, **settings) as audit:
        asyncio.run(Service(Echo(), audit=audit).run(connection))
    return connection


@pytest.mark.parametrize("log", LOGS)
def test_a_run_is_written_and_read_back_whole(tmp_path: Path, log: Callable[..., Any]) -> None:
    path = tmp_path / "audit.jsonl"
    served(path, log, run="monday")
    records = list(read_audit(path))
    assert [(one.run, one.request_id, one.stage, one.seq, one.last) for one in records] == [
        ("monday", f"r{place}", stage, place, True) for place in range(5) for stage in STAGES
    ]
    times = [one.t for one in records]
    # As the wall's clock is anchored anew for each batch, neighbours may differ by what it was corrected by.
    assert all(later >= earlier - 0.01 for earlier, later in pairwise(times))
    assert all(0 <= one.duration < 60 for one in records)
    told = replay(path)
    assert (told.records, told.runs, told.answered, told.most_at_a_time, told.gaps) == (25, 1, 5, 1, [])
    assert [[step.stage for step in one.steps] for one in told.passages] == [list(STAGES)] * 5
    assert (
        str(told) == "5 requests in 1 run, all answered; at most 1 at a time in the chain\nnothing is missing"
    )


@pytest.mark.parametrize("log", LOGS)
def test_the_file_is_its_owners_alone_and_each_line_is_json(tmp_path: Path, log: Callable[..., Any]) -> None:
    path = tmp_path / "audit.jsonl"
    served(path, log)
    assert path.stat().st_mode & 0o777 == 0o600
    said = [json.loads(line) for line in path.read_text().splitlines()]
    assert set(said[1]) >= {"t", "run", "stage", "seq", "request_id", "duration"}
    assert said[0]["begun"] <= said[1]["t"] + 0.01 <= said[-1]["ended"] + 0.02


def test_structlog_is_taken_where_it_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with audit_log(tmp_path / "one") as log:
        assert isinstance(log, StructlogAudit)
    monkeypatch.setattr("funcpipe_rag.serving.audit.find_spec", lambda name: None)
    with audit_log(tmp_path / "two", run="tuesday") as log:
        assert isinstance(log, AuditFile) and log.run == "tuesday"
    with pytest.raises(ModuleNotFoundError, match=r'pip install "funcpipe-rag\[serve\]"'):
        StructlogAudit(tmp_path / "three")


def test_events_go_through_the_processors_of_a_logger_that_is_there() -> None:
    import structlog

    with structlog.testing.capture_logs() as events:
        with StructlogAudit(logger=structlog.get_logger("audit"), run="monday") as log:
            asyncio.run(Service(Echo(), audit=log).run(MemoryConnection(lines(2))))
        with pytest.raises(TypeError, match="a path or a logger"):
            StructlogAudit()
    assert [one["event"] for one in events] == ["audit begun", *["handed on"] * 10, "audit ended"]
    assert replay(json.dumps(one) for one in events).gaps == []


def test_it_is_an_observer_of_items_demand_and_closing() -> None:
    async def asked(stage: Any, log: Trail | None) -> tuple[list[Any], Any]:
        probe = Probe([Response(f"r{place}") for place in range(5)])
        if log is not None:
            stage = audited(stage, log)
        stream = stage(AsyncProbe(probe)())
        got = [await anext(stream) for _ in range(3)]
        pulls = probe.pulls
        await stream.aclose()
        return got, (pulls, probe.closes)

    from funcpipe_rag.aio import amap

    def owning(items: Any) -> Any:
        return amap(lambda item: item)(items)

    assert run(asked(owning, None)) == run(asked(owning, Trail()))


def test_a_stage_is_timed_from_when_it_had_its_input_not_from_when_it_was_asked() -> None:
    trail = Trail(clock=lambda: asyncio.get_running_loop().time())

    async def source() -> AsyncIterator[Any]:
        for request_id in ("r0", "r0", "r1"):
            await asyncio.sleep(10)
            yield Response(request_id)

    async def works(items: Any) -> AsyncIterator[Any]:
        async for item in items:
            await asyncio.sleep(2)
            yield item

    def straight(items: Any) -> Any:
        return audited(works, trail)(items)

    def chained(items: Any) -> Any:
        # What comes from another audited stage is timed without a tap between the two.
        return audited(works, trail)(audited(passed, trail)(items))

    for wired in straight, chained:
        trail.records.clear()

        async def read(wired: Any = wired) -> None:
            async for _ in wired(source()):
                await asyncio.sleep(5)

        run(read())
        assert [(one.t, one.duration) for one in trail.records if one.stage == "works"] == [
            (12, 2),
            (29, 2),
            (46, 2),
        ]


def test_a_stage_that_runs_ahead_is_timed_for_each_of_those_in_its_hands() -> None:
    from funcpipe_rag.aio import amap

    trail = Trail(clock=lambda: asyncio.get_running_loop().time())

    async def takes(item: Any) -> Any:
        await asyncio.sleep(int(item.request_id[1:]))
        return item

    async def source() -> AsyncIterator[Any]:
        for seconds in 5, 1, 1, 3:
            yield Response(f"r{seconds}")

    def crew(items: Any) -> Any:
        return amap(takes, concurrency=4)(items)

    async def go() -> None:
        async for _ in audited(crew, trail)(source()):
            pass

    run(go())
    # In order, so those behind the slow one wait for it: each was in the stage's hands from the beginning.
    assert [(one.request_id, one.t, one.duration) for one in trail.records] == [
        ("r5", 5, 5),
        ("r1", 5, 5),
        ("r1", 5, 5),
        ("r3", 5, 5),
    ]


def test_a_batch_is_written_when_it_is_full_and_when_it_is_old(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"

    async def go() -> list[int]:
        seen = []
        clock = asyncio.get_running_loop().time
        with AuditFile(path, batch=3, every=10, clock=clock) as log:
            for place in range(4):
                log.note("infer", f"r{place}", clock(), clock(), True)
                seen.append(len(list(read_audit(path))))
            for seconds in 9, 2:
                await asyncio.sleep(seconds)
                seen.append(len(list(read_audit(path))))
        return seen

    # The third fills a batch; the fourth waits until it is ten seconds old, though nothing comes behind it.
    assert run(go()) == [0, 0, 3, 3, 3, 4]


def test_each_batch_has_a_time_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"

    async def go() -> list[int]:
        seen = []
        with AuditFile(path, batch=2, every=10) as log:
            for wait, notes in ((5, 2), (6, 1), (5, 0)):
                for _ in range(notes):
                    log.note("infer", "r", 0, 0, True)
                await asyncio.sleep(wait)
                seen.append(len(list(read_audit(path))))
        return seen

    # The third record came at 5 and is written at 15: the time of the full batch before it, at 10, is nothing to it.
    assert run(go()) == [2, 2, 3]


def test_without_a_loop_a_batch_waits_for_the_next_one_or_the_end(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    log = AuditFile(path)
    log.note("infer", "r1", 0, 0, True)
    assert list(read_audit(path)) == []
    log.flush()
    assert len(list(read_audit(path))) == 1
    log.close()
    log.close()
    log.note("infer", "r2", 0, 0, True)
    with pytest.raises(ValueError, match="is closed"):
        log.flush()


def test_records_are_kept_in_batches_and_not_beyond(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="AuditFile: batch must be >= 1, got 0"):
        AuditFile(tmp_path / "audit.jsonl", batch=0)
    with pytest.raises(ValueError, match="AuditFile: every must be > 0"):
        AuditFile(tmp_path / "audit.jsonl", every=0)
    assert not (tmp_path / "audit.jsonl").exists()


@pytest.mark.parametrize("log", LOGS)
def test_any_id_and_any_name_survive_the_file(tmp_path: Path, log: Callable[..., Any]) -> None:
    path = tmp_path / "audit.jsonl"
    names = ['"', "\n", "\u2028", "\ud800", "%s{}", "", None, "é" * 200]
    with log(path, run='a "run"\n') as audit:
        for name in names:
            audit.note('a "stage"\n%', name, 0.0, 0.0, True)
    assert [one.request_id for one in read_audit(path)] == names
    assert {(one.run, one.stage) for one in read_audit(path)} == {('a "run"\n', 'a "stage"\n%')}


WRITER = """
import asyncio, sys
from funcpipe_rag.serving import AuditFile, MemoryConnection, Request, Service, StructlogAudit

class Hangs:
    async def predict(self, features):
        if features.request_id == "r7":
            log.flush() if hasattr(log, "flush") else None
            print("hanging", flush=True)
            await asyncio.sleep(3600)
        return 1

log = {"AuditFile": AuditFile, "StructlogAudit": StructlogAudit}[sys.argv[1]](sys.argv[2], run=sys.argv[3])
lines = [Request(f"r{place}").to_json() for place in range(9)]
asyncio.run(Service(Hangs(), audit=log).run(MemoryConnection(lines)))
"""


def killed(path: Path, log: str, name: str) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, log, str(path), name], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "hanging\n"
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


@pytest.mark.parametrize("log", ["AuditFile", "StructlogAudit"])
def test_a_run_that_was_killed_says_whom_it_did_not_answer(tmp_path: Path, log: str) -> None:
    path = tmp_path / "audit.jsonl"
    killed(path, log, "monday")
    told = replay(path)
    assert [(gap.kind, gap.request_id) for gap in told.gaps] == [("unanswered", "r7"), ("killed", None)]
    lost = "; what it did last, at most 512 records, is not here" if log == "AuditFile" else ""
    assert str(told).splitlines() == [
        "8 requests in 1 run, 7 answered; at most 1 at a time in the chain",
        "unanswered: 'r7' came in, and its last sign is from featurize",
        f"killed: run monday has no closing line{lost}",
    ]


@pytest.mark.parametrize("cut", [1, 10, 60])
@pytest.mark.parametrize("log", LOGS)
def test_a_line_that_breaks_off_is_told_and_the_next_run_begins_on_a_line_of_its_own(
    tmp_path: Path, log: Callable[..., Any], cut: int
) -> None:
    path = tmp_path / "audit.jsonl"
    served(path, log, run="monday")
    *whole, _ = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(whole)[:-cut])
    told = replay(path)
    assert [gap.kind for gap in told.gaps] == (["cut", "unanswered", "killed"] if cut > 1 else ["killed"]), (
        told
    )
    served(path, log, run="tuesday")
    told = replay(path)
    assert told.runs == 2 and told.answered == (9 if cut > 1 else 10)
    assert {gap.run for gap in told.gaps} <= {"monday", ""}
    assert [gap.says for gap in told.gaps if gap.kind == "cut"] == [f"{path}:26 breaks off"] * (cut > 1)


def test_the_same_name_again_is_another_run(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    killed(path, "StructlogAudit", "monday")
    served(path, StructlogAudit, run="monday")
    told = replay(path)
    assert (told.runs, told.answered) == (2, 12)
    assert [gap.kind for gap in told.gaps] == ["unanswered", "killed"]


def test_two_runs_may_write_to_one_file_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    with AuditFile(path, run="one", batch=2) as one, StructlogAudit(path, run="two") as two:

        async def both() -> None:
            services = (Service(Echo(), audit=log).run(MemoryConnection(lines(20))) for log in (one, two))
            await asyncio.gather(*services)

        asyncio.run(both())
    told = replay(path)
    assert (told.runs, told.answered, told.most_at_a_time, told.gaps) == (2, 40, 1, [])


def test_several_connections_of_one_run_share_its_numbers(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"

    class Waits:
        async def predict(self, features: Features) -> Any:
            await asyncio.sleep(1)
            return 1

    with AuditFile(path) as log:
        whole = Service(Waits(), audit=log)
        given = [[Request(f"c{c}r{place}").to_json() for place in range(4)] for c in range(3)]

        async def go() -> None:
            await asyncio.gather(*(whole.run(MemoryConnection(one)) for one in given))

        run(go())
    told = replay(path)
    assert (told.runs, told.answered, told.most_at_a_time, told.gaps) == (1, 12, 3, [])


def monday(many: int = 3) -> list[str]:
    trail = Trail()
    asyncio.run(Service(Echo(), audit=trail).run(MemoryConnection(lines(many))))
    records = [json.dumps(one._asdict() | {"run": "monday"}) for one in trail.records]
    first, last = (
        {"run": "monday", "begun": 0, "batch": 0},
        {"run": "monday", "ended": 9, "records": len(records)},
    )
    return [json.dumps(first), *records, json.dumps(last)]


def test_a_record_that_was_taken_out_is_missed() -> None:
    told = monday()
    del told[8]  # r1 at infer
    replayed = replay(told)
    assert [(gap.kind, gap.says) for gap in replayed.gaps] == [
        ("skipped", "'r1' has no record of infer, and one of post_process"),
        ("missing", "infer: number 1 is not there"),
    ]
    assert replayed.answered == 3


def test_the_last_records_that_were_taken_out_are_missed_by_the_closing_line() -> None:
    told = monday()
    del told[-3:-1]
    kinds = [(gap.kind, gap.says) for gap in replay(told).gaps]
    assert kinds == [
        ("unanswered", "'r2' came in, and its last sign is from infer"),
        ("missing", "run monday wrote 15 records, and 13 are there"),
    ]


def test_a_record_that_is_there_twice_is_told() -> None:
    told = monday()
    told.insert(9, told[8])
    assert "repeated" in {gap.kind for gap in replay(told).gaps}


@given(st.data())
@settings(max_examples=60)
def test_no_record_can_be_taken_out_unnoticed(data: st.DataObject) -> None:
    told = monday(4)
    out = data.draw(st.sets(st.integers(0, len(told) - 1), min_size=1))
    left = [line for place, line in enumerate(told) if place not in out]
    gone = [json.loads(told[place]) for place in out]
    if not left or all("begun" in one for one in gone):
        return
    assert replay(left).gaps or len(left) == 0


@pytest.mark.parametrize(
    "line",
    [
        "nonsense",
        "[]",
        "{}",
        '{"run": "monday"}',
        '{"run": 1, "stage": "infer", "seq": 0, "t": 0, "request_id": "r", "duration": 0}',
        '{"run": "a", "stage": "infer", "seq": "0", "t": 0, "request_id": "r", "duration": 0}',
        '{"run": "a", "stage": "infer", "seq": 0, "t": null, "request_id": "r", "duration": 0}',
        '{"run": "a", "stage": "infer", "seq": 0, "t": 0, "request_id": 7, "duration": 0}',
        '{"run": "a", "stage": "infer", "seq": 0, "t": 0, "request_id": "r"}',
    ],
)
def test_what_is_no_record_is_refused_by_its_line(tmp_path: Path, line: str) -> None:
    path = tmp_path / "audit.jsonl"
    path.write_text("\n".join([*monday(1)[:3], line, ""]))
    for reads in (lambda: list(read_audit(path)), lambda: replay(path)):
        with pytest.raises(ValueError, match=r"audit\.jsonl:4 is no record of an audit"):
            reads()


def test_ids_that_come_again_and_lines_without_one_are_told_apart() -> None:
    trail = Trail()
    given = [*lines(2), "nonsense", *lines(1), "more nonsense"]
    for overlap in False, True:
        trail.records.clear()
        trail = Trail()
        asyncio.run(Service(Echo(), audit=trail, overlap=overlap).run(MemoryConnection(given)))
        told = replay(trail.records)
        assert [one.request_id for one in told.passages] == ["r0", "r1", None, "r0", None]
        assert told.answered == 5 and told.gaps == []
        assert all([step.stage for step in one.steps] == list(STAGES) for one in told.passages)


def test_many_gaps_are_counted_and_not_all_recited() -> None:
    records = [Record(place, "", "parse_requests", place, f"r{place}", 0.1) for place in range(9)]
    said = str(replay(records)).splitlines()
    assert said[0] == "9 requests in 1 run, 0 answered; at most 9 at a time in the chain"
    assert len(said) == 7 and said[-1] == "unanswered: 4 more"


def test_nothing_is_nothing() -> None:
    assert (
        str(replay([]))
        == "0 requests in 0 runs, 0 answered; at most 0 at a time in the chain\nnothing is missing"
    )


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no device that is always full")
def test_a_full_disk_is_an_error_and_not_a_silence() -> None:
    with pytest.raises(OSError, match="No space left"):
        AuditFile("/dev/full")


def test_what_a_full_disk_cut_off_does_not_run_into_what_follows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "audit.jsonl"
    write = os.write

    def half(file: int, data: bytes) -> int:
        write(file, data[: len(data) // 2])
        raise OSError(28, "No space left on device")

    with AuditFile(path, run="monday", batch=1) as log:
        log.note("infer", "r0", 0, 0, True)
        with monkeypatch.context() as full:
            full.setattr(os, "write", half)
            with pytest.raises(OSError, match="No space"):
                log.note("infer", "r1", 0, 0, True)
        log.note("infer", "r2", 0, 0, True)
    told = replay(path, stages=["infer"])
    assert [one.request_id for one in told.passages] == ["r0", "r2"]
    assert [gap.kind for gap in told.gaps] == ["cut", "missing"]


def test_an_answer_in_parts_leaves_no_time_behind() -> None:
    class Words:
        async def stream(self, features: Features) -> AsyncIterator[Any]:
            for word in features.request.text.split():
                yield word

    async def twice() -> AsyncIterator[str]:
        for place in 0, 1:
            await asyncio.sleep(100 * place)
            yield Request("r1", text="one two three").to_json()

    async def served() -> list[Record]:
        trail = Trail(clock=asyncio.get_running_loop().time)
        await Service(Words(), audit=trail).run(MemoryConnection(twice(), keep=False))
        return trail.records

    records = run(served())
    assert len([one for one in records if one.stage == "write_responses"]) == 8
    # A time that the first answer had left behind would be where the second one is said to have begun.
    assert {one.duration for one in records if one.stage != "parse_requests"} == {0.0}


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="wants a disk that is full")
@pytest.mark.parametrize("log", LOGS)
def test_a_full_disk_is_named(log: Callable[..., Any]) -> None:
    before = len(os.listdir("/dev/fd"))
    with pytest.raises(OSError, match="'/dev/full'"):
        log("/dev/full")
    assert len(os.listdir("/dev/fd")) == before


def test_what_a_timer_could_not_write_is_said_to_who_notes_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, heard = tmp_path / "audit.jsonl", []

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    async def test() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: heard.append(context))
        log = AuditFile(path, every=0.25)
        log.note("infer", "r1", 0.0, 0.0, True)
        with monkeypatch.context() as disk:
            disk.setattr(os, "write", full)
            await asyncio.sleep(1)
        for said in lambda: log.note("infer", "r2", 0.0, 0.0, True), log.close:
            with pytest.raises(OSError, match=r"No space left on device: '.*audit\.jsonl'"):
                said()

    run(test())
    assert heard == []
    assert [gap.says.partition(" wrote ")[2] for gap in replay(path).gaps] == ["1 records, and 0 are there"]


def test_a_line_that_breaks_off_behind_a_brace_in_an_id_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    with AuditFile(path, run="monday", batch=1) as log:
        log.note("infer", "a}b", 0.0, 0.0, True)
    whole = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(whole[0] + whole[1].partition(b"}")[0] + b"}")
    assert [gap.kind for gap in replay(path, stages=["infer"]).gaps] == ["cut", "killed"]


@pytest.mark.parametrize(
    "line",
    [
        b'{"run":"x","begun":1,"batch":"many"}',
        b'{"run":"x","stage":"infer","seq":0,"request_id":"a","t":NaN,"duration":1}',
        b'{"run":"x","stage":"infer","seq":0,"request_id":"a","t":1,"duration":-Infinity}',
        b"\xff\xfe",
    ],
)
def test_what_is_no_record_is_named_with_its_line(line: bytes, tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    path.write_bytes(b'{"run":"y","begun":1,"batch":0}\n' + line + b"\n")
    with pytest.raises(ValueError, match=r"audit\.jsonl:2 is no record of an audit"):
        replay(path)
