"""The serving gallery: the claims of its page that a reader would rely on, at other places and sizes than the page's."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from funcpipe_rag import Backoff, Report, RetryPolicy
from funcpipe_rag.aio import abroadcast, collect
from funcpipe_rag.aio.testing import run
from funcpipe_rag.course import notes
from funcpipe_rag.plots import AuditTimeline
from funcpipe_rag.rag import Index, RagEnv, RawDoc, build_index, search
from funcpipe_rag.serving import (
    STAGES,
    Answers,
    AuditFile,
    Batched,
    Features,
    IndexModel,
    MemoryConnection,
    NoFeatures,
    Policy,
    Prediction,
    Request,
    Response,
    SeamBroken,
    Service,
    Specialists,
    Trail,
    featurize,
    infer,
    parse_requests,
    post_process,
    replay,
    restarting,
    write_responses,
)
from funcpipe_rag.serving.access import listening
from funcpipe_rag.serving.tcp import LineServer

TEXTS = {note.name: note.text for note in notes()}
WORDS = {name: len(text.split()) for name, text in TEXTS.items()}
QUESTION = Request("r1", text="What is backpressure?").to_json()


def now() -> float:
    return asyncio.get_running_loop().time()


def lines_of(*texts: str) -> list[str]:
    return [Request(f"r{n}", text=text).to_json() for n, text in enumerate(texts, start=1)]


class Words:
    """How many words a note has; it takes its time."""

    def __init__(self, takes: float = 0) -> None:
        self.takes = takes
        self.asked: list[str] = []

    async def predict(self, features: Features) -> Any:
        self.asked.append(features.request.text)
        await asyncio.sleep(self.takes)
        return WORDS.get(features.request.text)


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = str(tmp_path_factory.mktemp("index") / "notes.db")
    build_index(path, (RawDoc(name, text, f"{name}.md") for name, text in TEXTS.items()), RagEnv(600))
    return path


# a question, and the same again


@pytest.mark.parametrize("question", ["What is backpressure?", "What is a fence?", "Who closes the file?"])
def test_each_part_is_a_sentence_of_a_note_and_stands_where_it_says(index: str, question: str) -> None:
    connection = MemoryConnection([Request("r1", text=question).to_json()])

    async def asked() -> list[int]:
        async with IndexModel(index) as model:
            return [len(connection.written) async for _ in Service(model).wire(connection)]

    assert asyncio.run(asked()) == [1, 2, 3, 4], "each part is yours before the next is sent"
    *parts, end = connection.written
    for part in parts:
        place, _, span = part.value["citation"].rpartition(":")
        start, stop = map(int, span.split("-"))
        assert TEXTS[place.removesuffix(".md")][start:stop] == part.value["text"]
    assert (end.value, end.last, end.part) == (None, True, 3)


class BreaksOff(MemoryConnection):
    """A client that goes at its n-th part."""

    def __init__(self, lines: Sequence[str], at: int) -> None:
        super().__init__(lines)
        self.at = at

    async def write_response(self, request_id: str | None, response: Response) -> None:
        if self.count == self.at:
            raise ConnectionResetError("the client has gone")
        await super().write_response(request_id, response)


@pytest.mark.parametrize(("goes_at", "times"), [(0, 2), (2, 2), (3, 1)])
def test_what_was_whole_when_the_client_went_is_not_asked_for_again(
    index: str, tmp_path: Path, goes_at: int, times: int
) -> None:
    asked = []

    class Counted(IndexModel):
        def stream(self, features: Features) -> Any:
            asked.append(features.request_id)
            return super().stream(features)

    async def served(connection: MemoryConnection) -> list[Response]:
        with closing(Answers(str(tmp_path / "answers.db"))) as answers:
            async with Counted(index) as model:
                await Service(model, answers=answers).run(connection)
        return connection.written

    broken = BreaksOff([QUESTION], goes_at)
    with pytest.raises(ConnectionResetError):
        asyncio.run(served(broken))
    again = asyncio.run(served(MemoryConnection([QUESTION])))
    assert again[:goes_at] == broken.written
    assert again[-1].last
    assert len(asked) == times
    assert asyncio.run(served(MemoryConnection([QUESTION]))) == again
    assert len(asked) == times
    (conflict,) = asyncio.run(served(MemoryConnection(lines_of("What is a fence?"))))
    assert conflict.code == 409


# lines, seams, restarts


@pytest.mark.parametrize("garbage", range(3))
def test_a_garbage_line_is_named_and_the_others_are_answered(index: str, garbage: int) -> None:
    lines = lines_of("What is backpressure?", "What is a fence?")
    lines.insert(garbage, "GARBAGE")

    async def said() -> list[Response]:
        bound = listening("127.0.0.1", 0)
        service = Service(model, post=lambda said: None if said.last else said.value["citation"])
        async with model, LineServer(service, bound):
            reader, writer = await asyncio.open_connection(*bound.getsockname())
            with closing(writer):
                writer.write("\n".join(lines).encode())
                writer.write_eof()
                return [Response.from_json(line) for line in (await reader.read()).splitlines()]

    model = IndexModel(index, sentences=1)
    came = asyncio.run(said())
    assert [one.line for one in came if one.status == "error"] == [garbage + 1]
    assert [one.request_id for one in came if one.status == "ok"] == ["r1", "r1", "r2", "r2"]
    assert came[2 * garbage].status == "error", "in its place"


async def bare(items: Any, *_: Any, **__: Any) -> AsyncIterator[int]:
    async for _ in items:
        yield 7


@pytest.mark.parametrize("name", ["featurize", "infer", "post_process"])
def test_unchecked_a_broken_seam_shows_elsewhere(name: str) -> None:
    with pytest.raises(AttributeError, match="'int' object has no attribute 'request_id'"):
        run(Service(Words(), stages={name: bare}).run(MemoryConnection(lines_of("tee"))))
    with pytest.raises(SeamBroken, match=f"behind {name}: got int"):
        run(Service(Words(), stages={name: bare}, check_schemas=True).run(MemoryConnection(lines_of("tee"))))


class Server:
    """Its sessions break once at `bad_luck`, and at `poison` every time."""

    def __init__(self, bad_luck: str, poison: str) -> None:
        self.bad_luck, self.poison = bad_luck, poison
        self.sessions = 0
        self.asked: list[str] = []

    def predict(self, features: Features) -> int:
        name = features.request.text
        self.asked.append(name)
        if name == self.poison or (name == self.bad_luck and self.asked.count(name) == 1):
            raise ConnectionResetError(f"the session broke at {name}")
        return WORDS[name]


async def in_a_session(vectors: Any, model: Server, *, policy: Policy) -> AsyncIterator[Any]:
    model.sessions += 1
    async for item in vectors:
        if isinstance(item, Features):
            item = Prediction(item.request_id, model.predict(item), item.request)
        yield item


@pytest.mark.parametrize("overlap", [False, True])
@pytest.mark.parametrize("bad_luck", ["tee", "law", "skew"])
@pytest.mark.parametrize("poison", ["fence", "demand"])
def test_all_are_answered_once_and_the_poison_costs_itself(poison: str, bad_luck: str, overlap: bool) -> None:
    names = ["tee", "fence", "law", "skew", "demand"]
    server, connection = Server(bad_luck, poison), MemoryConnection([*lines_of(*names), "GARBAGE"])
    stages = {"infer": restarting(in_a_session, name="infer")}
    run(Service(server, stages=stages, overlap=overlap).run(connection))
    assert [one.request_id for one in connection.written] == ["r1", "r2", "r3", "r4", "r5", None]
    assert [one.code for one in connection.written] == [500 if name == poison else 200 for name in names] + [
        400
    ]
    assert server.asked == [name for name in names for _ in range(2 if name in (poison, bad_luck) else 1)], (
        "what was answered is not asked for again"
    )
    assert server.sessions == 4


# the record


def leaving_out(name: str, place: int) -> Any:
    """A stage that loses its n-th item."""

    async def stage(items: Any, *given: Any, **settings: Any) -> AsyncIterator[Any]:
        number = 0
        async for item in STAGES[name](items, *given, **settings):
            number += 1
            if number != place:
                yield item

    return stage


@pytest.mark.parametrize("place", [1, 3, 4])
@pytest.mark.parametrize(
    ("name", "before"),
    [("featurize", "parse_requests"), ("infer", "featurize"), ("post_process", "infer")],
)
def test_who_got_no_answer_and_who_had_it_last(name: str, before: str, place: int) -> None:
    trail = Trail(clock=now)
    lossy = Service(Words(takes=2), audit=trail, stages={name: leaving_out(name, place)})
    assert run(lossy.run(MemoryConnection(lines_of("tee", "skew", "fence", "law")))) == {"ok": 3}
    told = replay(trail.records)
    lost = f"'r{place}' came in, and its last sign is from {before}"
    assert [(gap.kind, gap.request_id, gap.says) for gap in told.gaps] == [("unanswered", f"r{place}", lost)]
    assert [one.request_id for one in told.passages if not one.answered] == [f"r{place}"]
    assert lost in AuditTimeline(told).alt


DIES = """
import asyncio, os, sys
from funcpipe_rag.serving import AuditFile, MemoryConnection, Request, Service
class Dies:
    def predict(self, features):
        return os._exit(1) if features.request_id == sys.argv[2] else 0
lines = [Request(f"r{n}").to_json() for n in range(1, 6)]
log = AuditFile(sys.argv[1], run="monday", batch=int(sys.argv[3]))
asyncio.run(Service(Dies(), audit=log).run(MemoryConnection(lines)))
"""


@pytest.mark.parametrize("dies_at", ["r1", "r5"])
def test_a_process_that_is_gone_leaves_word_of_who_waits(tmp_path: Path, dies_at: str) -> None:
    path = tmp_path / "audit.jsonl"
    assert subprocess.run([sys.executable, "-c", DIES, str(path), dies_at, "1"]).returncode == 1
    with AuditFile(path, run="tuesday") as log:
        run(Service(Words(), audit=log).run(MemoryConnection(lines_of("tee", "law"))))
    told = replay(path)
    assert [(gap.kind, gap.run, gap.request_id) for gap in told.gaps] == [
        ("unanswered", "monday", dies_at),
        ("killed", "monday", None),
    ]
    assert (len(told.passages), told.answered) == (int(dies_at[1:]) + 2, int(dies_at[1:]) + 1)


# one call for many, and none at all


class Costly:
    def __init__(self) -> None:
        self.calls = 0

    async def predict_many(self, features: Sequence[Features]) -> list[int]:
        self.calls += 1
        await asyncio.sleep(0.05 + 0.001 * len(features))
        return [WORDS[one.request.text] for one in features]


async def asked_by(many: int, costly: Costly, max_size: int) -> float:
    clients = [MemoryConnection(lines_of("tee", "law", "skew")) for _ in range(many)]
    async with Batched(costly, max_size=max_size, max_wait=0.01) as model:
        await asyncio.gather(*(Service(model).run(client) for client in clients))
    assert all([one.value for one in client.written] == [425, 460, 465] for client in clients)
    return now()


@pytest.mark.parametrize("max_size", [1, 2, 8, 32])
def test_a_crowd_waits_for_as_many_calls_as_there_are(max_size: int) -> None:
    costly = Costly()
    took = run(asked_by(32, costly, max_size))
    assert costly.calls == 3 * 32 / max_size
    assert took == pytest.approx(costly.calls * (0.05 + 0.001 * max_size))


def test_one_client_alone_waits_for_others_who_do_not_come() -> None:
    assert run(asked_by(1, Costly(), 1)) == pytest.approx(3 * 0.051)
    assert run(asked_by(1, Costly(), 32)) == pytest.approx(3 * (0.051 + 0.01))


@pytest.mark.parametrize(("many", "waiting"), [(6, 4), (9, 2), (3, 3)])
def test_beyond_those_who_may_wait_everybody_is_told_when_to_come_again(many: int, waiting: int) -> None:
    async def crowd() -> list[Response]:
        clients = [MemoryConnection(lines_of("tee")) for _ in range(many)]
        async with Batched(Costly(), max_size=2, max_wait=0.01, waiting=waiting) as model:
            await asyncio.gather(*(Service(model).run(client) for client in clients))
        return [said for client in clients for said in client.written]

    said = run(crowd())
    assert [one.code for one in said] == [200] * waiting + [503] * (many - waiting)
    assert all((one.retry_after is not None) == (one.status == "shed") for one in said)


def test_a_model_that_stalls_is_tried_twice_left_alone_and_tried_again() -> None:
    class Stalls(Words):
        async def predict(self, features: Features) -> Any:
            if 2 < now() < 2.5 or 3 < now() < 9:
                await asyncio.sleep(3600)
            return await super().predict(features)

    async def each_second() -> AsyncIterator[str]:
        for line in lines_of(*list(WORDS)[:10]):
            await asyncio.sleep(1)
            yield line

    async def told(service: Service) -> list[tuple[float, int, float | None]]:
        connection = MemoryConnection(each_second())
        return [
            (now(), connection.written[-1].code, connection.written[-1].retry_after)
            async for _ in service.wire(connection)
        ]

    twice = RetryPolicy(attempts=2, backoff=Backoff(base=0.125))
    patience = Policy(timeout=0.5, retry=twice, breaker_failures=2, reset_after=4)
    model = Stalls(takes=0.125)
    assert run(told(Service(model, policies={"infer": patience}))) == [
        (1.125, 200, None),
        (2.875, 200, None),
        (5, 504, None),
        (7.125, 504, None),
        (8.125, 503, 3),
        (9.125, 503, 2),
        (10.125, 503, 1),
        (11.25, 200, None),
        (12.375, 200, None),
        (13.5, 200, None),
    ]
    assert model.asked == [list(WORDS)[place] for place in (0, 1, 7, 8, 9)]


# whom to ask, and who listens


def test_each_kind_has_its_model_and_none_is_guessed(index: str) -> None:
    class Finds(Index):
        def predict(self, features: Features) -> list[str]:
            return [hit.source for hit in search(self, features.request.text, 3)]

    kinds = ["length", "find", "rhyme", "length"]
    lines = [Request(f"r{n}", text="tee", kind=kind).to_json() for n, kind in enumerate(kinds)]
    with Finds(index) as finds:
        team: dict[str, Any] = {"length": Words(), "find": finds}
        connection = MemoryConnection(lines)
        assert asyncio.run(Service(Specialists(team)).run(connection)) == {"ok": 3, "error": 1}
        assert connection.written[1].value[0] == "tee.md"
        assert connection.written[2].error == "nobody is named for 'rhyme'; there are length, find"
        everybody = MemoryConnection(lines)
        assert asyncio.run(Service(Specialists(team, default=Words())).run(everybody)) == {"ok": 4}


class Reader(MemoryConnection):
    def __init__(self, pace: float, leaves: int | None = None) -> None:
        super().__init__()
        self.pace, self.leaves = pace, leaves
        self.times: list[float] = []

    async def write_response(self, request_id: str | None, response: Response) -> None:
        if self.count == self.leaves:
            raise ConnectionResetError("the reader has left")
        await asyncio.sleep(self.pace)
        await super().write_response(request_id, response)
        self.times.append(now())


async def read_by(readers: Sequence[Reader], when_full: Any, maxlen: int, model: Words) -> list[int]:
    requests = parse_requests(MemoryConnection(lines_of(*list(WORDS)[:20])))
    answers = post_process(infer(featurize(requests, NoFeatures()), model))
    branches = abroadcast(answers, len(readers), maxlen=maxlen, when_full=when_full, report=Report())
    writing = map(collect, map(write_responses, branches, readers))
    ended = await asyncio.gather(*writing, return_exceptions=True)
    assert [type(end) for end in ended] == [
        list if reader.leaves is None else ConnectionResetError for reader in readers
    ]
    return [branch.dropped for branch in branches]


@pytest.mark.parametrize(("maxlen", "most"), [(1, 2), (4, 5), (30, 16)])
def test_who_is_ahead_waits_for_the_slow_one_and_nothing_is_lost(maxlen: int, most: int) -> None:
    client, log, model = Reader(0), Reader(1), Words(takes=0.25)
    assert run(read_by([client, log], "wait", maxlen, model)) == [0, 0]
    assert client.written == log.written
    assert [one.value for one in log.written] == list(WORDS.values())[:20]
    assert len(model.asked) == 20
    ahead = [sum(at <= when for at in client.times) - place for place, when in enumerate(log.times)]
    # One more than the bound: what the log writes, it has taken already. Without a bound the model sets the pace.
    assert max(ahead) == most


def test_who_loses_the_oldest_knows_how_many_and_holds_up_nobody() -> None:
    client, log = Reader(0), Reader(1)
    lost = run(read_by([client, log], "drop_oldest", 4, Words(takes=0.25)))
    assert client.times == [0.25 * n for n in range(1, 21)], "as fast as the model"
    assert lost == [0, 20 - log.count]
    assert lost[1] > 0
    assert log.written[-1] == client.written[-1]


@pytest.mark.parametrize("leaves", [0, 3, 19])
@pytest.mark.parametrize("when_full", ["wait", "drop_oldest"])
def test_who_leaves_holds_nobody_back(when_full: str, leaves: int) -> None:
    client, dashboard = Reader(0), Reader(0.125, leaves)
    assert run(read_by([client, dashboard], when_full, 4, Words(takes=0.25))) == [0, 0]
    assert (client.count, dashboard.count) == (20, leaves)
    assert client.times[-1] == 5
