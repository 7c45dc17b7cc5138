"""Five stages on the virtual clock: how many requests are in the chain, when each answer leaves, and what is left behind."""

from __future__ import annotations

import asyncio
import gc
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import aclosing
from itertools import accumulate
from types import AsyncGeneratorType
from typing import Any

import pytest

from funcpipe_rag.aio import abroadcast
from funcpipe_rag.aio.testing import run, schedule
from funcpipe_rag.serving import (
    STAGES,
    Answers,
    Features,
    Line,
    MemoryConnection,
    NoSpecialist,
    Policy,
    Prediction,
    Request,
    Response,
    SeamBroken,
    Service,
    Shed,
    Specialists,
    SQLiteFeatures,
    Trail,
    UnknownEntity,
    Written,
    featurize,
    infer,
    parse_requests,
    post_process,
    replay,
    write_responses,
)
from funcpipe_rag.serving.features import combined
from funcpipe_rag.serving.stages import as_it_is
from funcpipe_rag.streams import RetryPolicy


def lines(many: int) -> list[str]:
    return [json.dumps({"request_id": f"r{place}"}) for place in range(many)]


class SlowConnection(MemoryConnection):
    """A connection that takes its time, and counts the requests that were read and not yet answered."""

    def __init__(
        self, given: Iterable[str | bytes], *, reading: float = 0, writing: float = 0, **fails: int
    ) -> None:
        super().__init__(given)
        self.reading, self.writing, self.fails = reading, writing, fails
        self.read = self.most = self.closed = 0
        self.began: list[float] = []

    async def read_request(self) -> Line | None:
        await asyncio.sleep(self.reading)
        if self.read == self.fails.get("reading_fails"):
            raise ConnectionResetError("the reader is gone")
        line = await super().read_request()
        if line is not None:
            self.read += 1
            self.most = max(self.most, self.read - self.count)
        return line

    async def write_response(self, request_id: str | None, response: Response) -> None:
        self.began.append(asyncio.get_running_loop().time())
        await asyncio.sleep(self.writing)
        if self.count == self.fails.get("writing_fails"):
            raise BrokenPipeError("nobody listens")
        await super().write_response(request_id, response)

    async def aclose(self) -> None:
        self.closed += 1
        await super().aclose()


class Slow:
    """Features, a model and a post-processor, each of which takes its time."""

    signals: Sequence[str] = ()

    def __init__(self, looking_up: float = 0, predicting: float = 0, finishing: float = 0) -> None:
        self.looking_up, self.predicting, self.finishing = looking_up, predicting, finishing
        self.live: Counter[str] = Counter()
        self.most_live = 0
        self.asked: list[str] = []

    async def _takes(self, what: str, seconds: float) -> None:
        self.live[what] += 1
        self.most_live = max(self.most_live, self.live.total())
        try:
            await asyncio.sleep(seconds)
        finally:
            self.live[what] -= 1

    async def stored(self, entity_id: str) -> Sequence[float]:
        await self._takes("featurize", self.looking_up)
        return ()

    async def predict(self, features: Features) -> Any:
        self.asked.append(features.request_id)
        await self._takes("infer", self.predicting)
        return features.request_id.upper()

    async def finish(self, prediction: Prediction) -> Any:
        await self._takes("post_process", self.finishing)
        return prediction.value.lower()


def service(slow: Slow, **settings: Any) -> Service:
    return Service(slow, features=slow, post=slow.finish, **settings)


def ids(connection: MemoryConnection) -> list[str | None]:
    return [response.request_id for response in connection.written]


@pytest.mark.parametrize("checked", [False, True])
def test_by_default_exactly_one_request_is_in_the_chain(checked: bool) -> None:
    trail = Trail(clock=lambda: asyncio.get_running_loop().time())
    connection, slow = SlowConnection(lines(6), reading=1, writing=3), Slow(2, 5, 1)
    whole = service(slow, audit=trail, check_schemas=checked)
    assert run(whole.run(connection)) == {"ok": 6}
    assert connection.most == slow.most_live == 1
    told = replay(trail.records)
    assert (told.most_at_a_time, told.answered, told.gaps) == (1, 6, [])
    # To the record: nothing of a request before the last of the one ahead of it.
    assert [(record.request_id, record.stage) for record in trail.records] == [
        (f"r{place}", stage) for place in range(6) for stage in STAGES
    ]
    first = [(record.stage, record.t, record.duration) for record in trail.records[:5]]
    assert first == [
        (stage, t, takes)
        for stage, t, takes in zip(STAGES, accumulate([1, 2, 5, 1, 3]), [1, 2, 5, 1, 3], strict=True)
    ]


def test_with_overlap_each_stage_has_one_and_five_are_in_the_chain() -> None:
    trail = Trail(clock=lambda: asyncio.get_running_loop().time())
    connection, slow = SlowConnection(lines(9), reading=1, writing=1), Slow(1, 1, 1)
    assert run(service(slow, overlap=True, audit=trail).run(connection)) == {"ok": 9}
    # Three stages are at work and the connection is read and written at the same time.
    assert slow.most_live == 3
    assert replay(trail.records).most_at_a_time == 5 - 1  # what is being read is in no record yet
    assert ids(connection) == [f"r{place}" for place in range(9)]


@pytest.mark.parametrize(
    ("slowest", "held"),
    # One in the hands of the slowest stage, one at each seam in front of it, none behind it.
    [("reading", 0), ("featurize", 2), ("infer", 3), ("post_process", 4), ("writing", 5)],
)
def test_with_overlap_the_seams_fill_up_in_front_of_the_slowest_stage_and_no_further(
    slowest: str, held: int
) -> None:
    takes = dict.fromkeys(["reading", "featurize", "infer", "post_process", "writing"], 0) | {slowest: 60}
    connection = SlowConnection(lines(9), reading=takes["reading"], writing=takes["writing"])
    slow = Slow(takes["featurize"], takes["infer"], takes["post_process"])

    async def looked_at() -> list[int]:
        task = asyncio.create_task(service(slow, overlap=True).run(connection))
        seen = []
        for _ in range(5):
            await asyncio.sleep(30)
            seen.append(connection.read - connection.count)
            await asyncio.sleep(30)
        await task
        return seen

    assert run(looked_at()) == [held] * 5


@pytest.mark.parametrize("times", [(1, 2, 5, 1, 3), (4, 1, 1, 1, 1), (1, 1, 1, 1, 6)])
def test_pure_pull_takes_the_sum_and_overlap_the_slowest_stage(times: tuple[int, ...]) -> None:
    reading, *inside, writing = times

    def answers_leave(**settings: Any) -> list[float]:
        connection = SlowConnection(lines(5), reading=reading, writing=writing)
        return [t for t, _ in run(schedule(service(Slow(*inside), **settings).wire(connection)))]

    assert answers_leave() == [sum(times) * (place + 1) for place in range(5)]
    assert answers_leave(overlap=True) == [sum(times) + max(times) * place for place in range(5)]


def test_nothing_is_read_before_somebody_asks() -> None:
    connection = SlowConnection(lines(2))

    async def made_and_closed() -> None:
        for overlap in False, True:
            stream = service(Slow(), overlap=overlap).wire(connection)
            await asyncio.sleep(60)
            await stream.aclose()

    run(made_and_closed())
    assert connection.read == 0


async def given(items: Iterable[Any]) -> AsyncIterator[Any]:
    for item in items:
        yield item


async def drained(stream: AsyncIterator[Any]) -> list[Any]:
    return [item async for item in stream]


def test_each_stage_works_alone() -> None:
    request, slow = Request("r1", text="why"), Slow()
    features = combined(request, (), ())
    refused = Response(None, status="error", code=400, error="no")
    assert run(drained(parse_requests(MemoryConnection([request.to_json()])))) == [request]
    (joined, passed) = run(drained(featurize(given([request, refused]), slow)))
    assert (joined.request_id, joined.request, passed) == ("r1", request, refused)
    prediction = Prediction("r1", "R1", request)
    assert run(drained(infer(given([features, refused]), slow))) == [prediction, refused]
    assert run(drained(post_process(given([prediction, refused]), slow.finish))) == [
        Response("r1", "r1"),
        refused,
    ]
    connection = MemoryConnection()
    assert run(drained(write_responses(given([refused]), connection))) == [Written(None, "error")]
    assert connection.written == [refused]


def test_each_stage_is_timed_alone() -> None:
    vectors = [combined(Request(f"r{place}"), (), ()) for place in range(3)]
    stream = infer(given(vectors), Slow(predicting=2))
    assert [t for t, _ in run(schedule(stream))] == [2, 4, 6]


@pytest.mark.parametrize("name", STAGES)
def test_each_stage_is_swapped_alone(name: str) -> None:
    seen: list[Any] = []

    def spy(items: Any, *given: Any, **settings: Any) -> Any:
        async def watched() -> AsyncIterator[Any]:
            async for item in STAGES[name](items, *given, **settings):
                seen.append(item)
                yield item

        return watched()

    connection = MemoryConnection(lines(3))
    assert run(service(Slow(), stages={name: spy}).run(connection)) == {"ok": 3}
    assert [item.request_id for item in seen] == ids(connection) == ["r0", "r1", "r2"]


def test_without_an_audit_the_stages_are_the_very_functions() -> None:
    plain = Service(Slow())
    assert [plain.stage(name) for name in STAGES] == list(STAGES.values())
    other = Service(Slow(), stages={"infer": featurize})
    assert other.stage("infer") is featurize
    assert Service(Slow(), audit=Trail()).stage("infer") is not infer


async def another_thing(items: Any, *given: Any, **settings: Any) -> AsyncIterator[Any]:
    yield object()


@pytest.mark.parametrize("name", STAGES)
@pytest.mark.parametrize("overlap", [False, True])
def test_a_broken_seam_is_named(name: str, overlap: bool) -> None:
    whole = service(Slow(), stages={name: another_thing}, check_schemas=True, overlap=overlap)
    with pytest.raises(SeamBroken, match=f"behind {name}: got object, declared is "):
        run(whole.run(MemoryConnection(lines(1))))


def test_what_cannot_be_read_is_answered_with_its_line_and_the_stream_goes_on() -> None:
    good = json.dumps({"request_id": "ok", "text": "ü" * 10})
    given = [good, "", "[", '{"request_id": ""}', b"\xff\xfe", '{"request_id": "r5", "kind": 3}', "x" * 101]
    connection = MemoryConnection([*given, good])
    assert run(Service(Slow(), most_bytes=100).run(connection)) == {"ok": 2, "error": 6}
    refused = [(one.line, one.code, one.request_id) for one in connection.written if one.status == "error"]
    assert refused == [
        (2, 400, None),
        (3, 400, None),
        (4, 400, None),
        (5, 400, None),
        (6, 400, "r5"),
        (7, 413, None),
    ]
    assert [one.status for one in connection.written][::7] == ["ok", "ok"]


def test_the_limit_is_in_bytes_and_not_in_characters() -> None:
    line = json.dumps({"request_id": "r", "text": "漢" * 30}, ensure_ascii=False)
    assert len(line) < 100 < len(line.encode())
    for one in line, line.encode():
        connection = MemoryConnection([one])
        run(Service(Slow(), most_bytes=100).run(connection))
        assert connection.written[0].code == 413


class Uneven:
    """A model that takes longer for earlier requests, fails for some, and hangs for one."""

    def __init__(self, fails: Iterable[str] = (), hangs: Iterable[str] = ()) -> None:
        self.fails, self.hangs = set(fails), set(hangs)
        self.asked: list[str] = []
        self.live = self.most = 0

    async def predict(self, features: Features) -> Any:
        request_id = features.request_id
        self.asked.append(request_id)
        self.live += 1
        self.most = max(self.most, self.live)
        try:
            await asyncio.sleep(3600 if request_id in self.hangs else 10 - int(request_id[1:]))
            if request_id in self.fails:
                raise OSError("/srv/models/secret.bin")
            return 1
        finally:
            self.live -= 1


@pytest.mark.parametrize("overlap", [False, True])
def test_side_by_side_answers_leave_in_the_order_of_the_requests(overlap: bool) -> None:
    model = Uneven()
    policies = {"infer": Policy(concurrency=4)}
    connection = MemoryConnection([*lines(3), "nonsense", *lines(8)[4:]])
    run(Service(model, policies=policies, overlap=overlap).run(connection))
    assert ids(connection) == ["r0", "r1", "r2", None, "r4", "r5", "r6", "r7"]
    assert model.most == 4


def test_a_model_that_hangs_costs_its_own_request_alone() -> None:
    connection = MemoryConnection(lines(3))
    policies = {"infer": Policy(timeout=60)}
    written = run(schedule(Service(Uneven(hangs=["r1"]), policies=policies).wire(connection)))
    assert [(t, one.status) for t, one in written] == [(10, "ok"), (70, "error"), (78, "ok")]
    assert (connection.written[1].code, connection.written[1].error) == (504, "infer gave no answer in time")


def test_a_model_that_fails_is_asked_again_and_then_answered_for_without_a_word_of_the_host() -> None:
    model = Uneven(fails=["r0"])
    policies = {"infer": Policy(retry=RetryPolicy(attempts=3))}
    connection = MemoryConnection(lines(2))
    run(Service(model, policies=policies).run(connection))
    assert model.asked == ["r0", "r0", "r0", "r1"]
    failed, went_well = connection.written
    assert (failed.code, failed.error, went_well.status) == (500, "infer failed (OSError)", "ok")


def test_behind_a_breaker_requests_are_shed_with_the_time_to_come_back() -> None:
    model = Uneven(fails=["r0", "r1", "r2"])
    policies = {"infer": Policy(breaker_failures=2, reset_after=30)}
    connection = SlowConnection(lines(6), reading=5)
    run(Service(model, policies=policies).run(connection))
    told = [(one.status, one.code, one.retry_after) for one in connection.written]
    # r0 fails at 15, r1 at 29; r2 to r5 come at 34, 39, 44 and 49, and it is worth to come back at 59.
    assert told == [
        ("error", 500, None),
        ("error", 500, None),
        ("shed", 503, 25),
        ("shed", 503, 20),
        ("shed", 503, 15),
        ("shed", 503, 10),
    ]
    assert model.asked == ["r0", "r1"]


def test_what_is_wrong_with_the_requests_themselves_opens_no_breaker() -> None:
    tiring = Policy(breaker_failures=2, reset_after=30)
    kinds = ["sport", "sport", "sport", "weather", "sport"]
    asked = [json.dumps({"request_id": f"r{place}", "kind": kind}) for place, kind in enumerate(kinds)]
    team = MemoryConnection(asked)
    run(Service(Specialists({"weather": Says("rain")}), policies={"infer": tiring}).run(team))
    assert [one.code for one in team.written] == [422, 422, 422, 200, 422]
    strangers = MemoryConnection(asked)
    store = SQLiteFeatures(":memory:")
    run(Service(Says("rain"), store, policies={"featurize": tiring}).run(strangers))
    assert [one.code for one in strangers.written] == [404] * 5


def test_a_breaker_lets_one_request_try_when_it_has_rested() -> None:
    model = Uneven(fails=["r0"])
    policies = {"infer": Policy(breaker_failures=1, reset_after=30)}
    connection = SlowConnection(lines(4), reading=20)
    run(Service(model, policies=policies).run(connection))
    assert [one.status for one in connection.written] == ["error", "shed", "ok", "ok"]


def test_each_stage_has_its_own_policy() -> None:
    slow = Slow(looking_up=5, predicting=1, finishing=5)
    for name in "featurize", "post_process":
        connection = MemoryConnection(lines(1))
        run(service(slow, policies={name: Policy(timeout=2)}).run(connection))
        assert connection.written[0].error == f"{name} gave no answer in time"


def test_a_policy_of_a_stage_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match="policies has no 'inver'; there are parse_requests, featurize"):
        Service(Slow(), policies={"inver": Policy()})
    with pytest.raises(TypeError, match=r"model must have predict\(\) or stream\(\), got int"):
        Service(3)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"model": Slow}, r"model must be an object, got the class Slow; write Slow\(\)"),
        ({"audit": "audit.jsonl"}, r"audit must have note\(\), such as AuditFile\(path\), got str"),
        ({"answers": "answers.db"}, r"answers must have known\(\), such as Answers\(path\), got str"),
        ({"features": None}, r"features must have stored\(\), such as SQLiteFeatures\(path\), got NoneType"),
        ({"policies": {"infer": {"timeout": 1}}}, r"policies\['infer'\] must be a Policy, got dict"),
    ],
)
def test_what_a_service_cannot_use_is_refused_before_the_first_request(
    given: dict[str, Any], says: str
) -> None:
    with pytest.raises(TypeError, match=says):
        Service(**{"model": Slow(), **given})


def test_what_is_no_connection_and_what_is_no_line_is_told_what_makes_one() -> None:
    with pytest.raises(TypeError, match=r"got list; MemoryConnection\(lines\) makes one of lines"):
        run(Service(Slow()).run(lines(1)))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"lines must be several, got one str; write \[...\] around it"):
        MemoryConnection(lines(1)[0])
    with pytest.raises(TypeError, match=r"line 1 must be text or bytes, got dict; json.dumps\(...\) makes"):
        run(Service(Slow()).run(MemoryConnection([{"request_id": "r1"}])))  # type: ignore[list-item]
    with pytest.raises(TypeError, match=r"line 2 must be text or bytes, got Request; .to_json\(\) makes"):
        run(Service(Slow()).run(MemoryConnection([lines(1)[0], Request("r1")])))  # type: ignore[list-item]


def test_why_a_model_failed_is_in_the_log_and_not_in_the_answer(caplog: pytest.LogCaptureFixture) -> None:
    class Secretive:
        def predict(self, features: Features) -> Any:
            raise OSError("/srv/models/secret.bin")

    caplog.set_level("INFO", "funcpipe_rag.serving")
    connection = MemoryConnection(lines(1))
    run(Service(Secretive()).run(connection))
    assert [record.getMessage() for record in caplog.records] == ["infer failed on 'r0'"]
    assert caplog.records[0].exc_info is not None
    assert str(caplog.records[0].exc_info[1]) == "/srv/models/secret.bin"
    assert connection.written[0].error == "infer failed (OSError)"


class Speaks:
    """A model that answers in parts, a second each."""

    def __init__(self, parts: int = 3, *, fails_at: int | None = None, first_after: float = 1) -> None:
        self.parts, self.fails_at, self.first_after = parts, fails_at, first_after
        self.closed = 0

    async def stream(self, features: Features) -> AsyncIterator[Any]:
        try:
            for place in range(self.parts):
                await asyncio.sleep(1 if place else self.first_after)
                if place == self.fails_at:
                    raise OSError("the line is dead")
                yield f"{features.request_id}.{place}"
        finally:
            self.closed += 1


@pytest.mark.parametrize("overlap", [False, True])
def test_parts_leave_when_they_are_there(overlap: bool) -> None:
    model, connection = Speaks(), SlowConnection(lines(2))
    run(Service(model, overlap=overlap).run(connection))
    told = [(one.request_id, one.part, one.last, one.value) for one in connection.written]
    of_one = [(0, False, "{}.0"), (1, False, "{}.1"), (2, False, "{}.2"), (3, True, None)]
    assert told == [
        (name, part, last, value and value.format(name))
        for name in ("r0", "r1")
        for part, last, value in of_one
    ]
    assert connection.began == [1, 2, 3, 3, 4, 5, 6, 6]
    assert model.closed == 2


def test_a_stream_that_breaks_off_ends_with_an_error_as_its_last_part() -> None:
    model, connection = Speaks(fails_at=2), MemoryConnection(lines(2))
    assert run(Service(model).run(connection)) == {"error": 2}
    told = [(one.part, one.last, one.status, one.error) for one in connection.written[:3]]
    assert told == [(0, False, "ok", ""), (1, False, "ok", ""), (2, True, "error", "infer failed (OSError)")]
    assert model.closed == 2


def test_a_stream_that_stalls_is_given_up_and_closed() -> None:
    model, connection = Speaks(first_after=3600), MemoryConnection(lines(1))
    run(Service(model, policies={"infer": Policy(timeout=5)}).run(connection))
    assert (connection.written[0].code, model.closed) == (504, 1)


def test_an_answer_in_parts_that_nobody_reads_to_its_end_closes_the_models_stream() -> None:
    model, connection = Speaks(), SlowConnection(lines(2))

    async def two_parts() -> None:
        async with Service(model).wire(connection) as written:
            for _ in range(2):
                await anext(written)

    run(two_parts())
    assert (model.closed, connection.closed, connection.count) == (1, 1, 2)


def test_an_answer_in_parts_is_one_request_in_the_audit() -> None:
    trail = Trail(clock=lambda: asyncio.get_running_loop().time())
    run(Service(Speaks(), audit=trail).run(MemoryConnection([*lines(2), *lines(2)])))
    told = replay(trail.records)
    assert (len(told.passages), told.answered, told.most_at_a_time, told.gaps) == (4, 4, 1, [])
    spoken = {step.stage: (step.began, step.ended) for step in told.passages[0].steps}
    assert spoken["infer"] == (0, 3)


def test_a_model_that_answers_in_parts_is_asked_one_at_a_time() -> None:
    with pytest.raises(ValueError, match="one request at a time"):
        Service(Speaks(), policies={"infer": Policy(concurrency=2)})


class Says:
    def __init__(self, word: str) -> None:
        self.word = word

    def predict(self, features: Features) -> str:
        return self.word


def test_a_team_answers_each_by_the_one_who_knows() -> None:
    team = Specialists({"prices": Says("dear"), "weather": Says("rain")})
    kinds = ["weather", "prices", "sport", "weather"]
    given = [
        json.dumps({"request_id": f"r{place}", "kind": kind, "entity_id": "e"})
        for place, kind in enumerate(kinds)
    ]
    connection = MemoryConnection(given)
    assert run(Service(team).run(connection)) == {"ok": 3, "error": 1}
    assert [one.value for one in connection.written] == ["rain", "dear", None, "rain"]
    refused = connection.written[2]
    assert (refused.code, refused.error) == (422, "nobody is named for 'sport'; there are prices, weather")
    with pytest.raises(NoSpecialist):
        team.predict(combined(Request("r1"), (), ()))


@pytest.mark.parametrize("maxlen", [1, 4])
def test_one_stream_of_features_goes_to_several_models(maxlen: int) -> None:
    connection, models = SlowConnection(lines(6)), [Slow(predicting=seconds) for seconds in (1, 2, 5)]

    async def fanned_out() -> list[list[Any]]:
        vectors = featurize(parse_requests(connection), Slow())
        branches = abroadcast(vectors, 3, maxlen=maxlen)
        ran = (drained(infer(branch, model)) for branch, model in zip(branches, models, strict=True))
        return await asyncio.gather(*ran)

    async def timed() -> tuple[list[list[Any]], float]:
        return await fanned_out(), asyncio.get_running_loop().time()

    said, took = run(timed())
    assert [[one.value for one in branch] for branch in said] == [[f"R{place}" for place in range(6)]] * 3
    assert took == 30  # the slowest; the others do not add to it
    assert connection.read == 6


def test_one_audited_stream_goes_to_several_readers() -> None:
    trail, connection = Trail(), MemoryConnection(lines(5))

    async def both() -> list[Any]:
        written = service(Slow(), audit=trail).wire(connection)
        counts, keeps = abroadcast(written, 2, maxlen=2)

        async def counted() -> Counter[str]:
            return Counter([one.status async for one in counts])

        return await asyncio.gather(counted(), drained(keeps))

    count, kept = run(both())
    assert (count, [one.request_id for one in kept]) == ({"ok": 5}, [f"r{place}" for place in range(5)])
    assert replay(trail.records).most_at_a_time == 1


STEPS = (1.0, 2.0, 4.0, 8.0, 16.0)
"""Reading, looking up, predicting, finishing, writing: no two ways through two requests end at the same time."""

MOMENTS = sorted({0.0, *(t + off for t in accumulate(STEPS * 2) for off in (-0.5, 0.0))})


@pytest.mark.parametrize("overlap", [False, True])
@pytest.mark.parametrize("concurrency", [1, 3])
@pytest.mark.parametrize("ends", ["cancelled", "closed"])
def test_whenever_it_ends_nothing_is_left_behind(overlap: bool, concurrency: int, ends: str) -> None:
    policies = {name: Policy(concurrency=concurrency, timeout=100) for name in ("featurize", "infer")}
    for moment in MOMENTS:
        connection, slow = SlowConnection(lines(3), reading=1, writing=16), Slow(2, 4, 8)
        trail = Trail()
        whole = service(slow, overlap=overlap, policies=policies, audit=trail)

        async def ended_early(
            whole: Service = whole, connection: SlowConnection = connection, moment: float = moment
        ) -> None:
            if ends == "cancelled":
                task = asyncio.create_task(whole.run(connection))
                await asyncio.sleep(moment)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            else:
                written = whole.wire(connection)
                reading = asyncio.create_task(anext(written))
                await asyncio.sleep(moment)
                reading.cancel()
                await asyncio.wait([reading])
                await written.aclose()

        run(ended_early())
        assert slow.live.total() == 0
        assert connection.closed == 1
        # Whatever was read and got no answer is told by the audit, and nothing else is.
        gaps = [gap.kind for gap in replay(trail.records).gaps]
        assert gaps == ["unanswered"] * (connection.read - connection.count), moment


@pytest.mark.parametrize("overlap", [False, True])
@pytest.mark.parametrize(
    ("fails", "error"),
    [({"reading_fails": 2}, ConnectionResetError), ({"writing_fails": 2}, BrokenPipeError)],
)
def test_a_connection_that_fails_ends_the_service_and_leaves_nothing_behind(
    overlap: bool, fails: dict[str, int], error: type[Exception]
) -> None:
    connection = SlowConnection(lines(9), reading=1, writing=2, **fails)

    async def failed() -> None:
        with pytest.raises(error):
            await service(Slow(1, 1, 1), overlap=overlap).run(connection)

    run(failed())
    assert connection.closed == 1
    # What had been read before its end was answered; what could not be written was not called answered.
    assert ids(connection) == ["r0", "r1"]


@pytest.mark.parametrize("overlap", [False, True])
@pytest.mark.parametrize("name", STAGES)
def test_a_stage_that_dies_ends_the_service_and_leaves_nothing_behind(name: str, overlap: bool) -> None:
    connection = SlowConnection(lines(9), reading=1, writing=2)

    def dies(items: Any, *given: Any, **settings: Any) -> Any:
        async def stage() -> AsyncIterator[Any]:
            many = 0
            async with aclosing(STAGES[name](items, *given, **settings)) as stream:
                async for item in stream:
                    yield item
                    many += 1
                    if many == 2:
                        raise MemoryError("no more")

        return stage()

    async def failed() -> None:
        with pytest.raises(MemoryError):
            await service(Slow(1, 1, 1), overlap=overlap, stages={name: dies}).run(connection)

    run(failed())
    assert connection.closed == 1


@pytest.mark.parametrize("overlap", [False, True])
def test_what_stands_in_for_a_stage_need_not_close_what_it_reads(overlap: bool) -> None:
    async def plain(items: Any, *given: Any, **settings: Any) -> AsyncIterator[Any]:
        async for item in items:
            yield item
            raise MemoryError("no more")

    async def failed() -> None:
        with pytest.raises(MemoryError):
            await service(Slow(), overlap=overlap, stages={"write_responses": plain}).run(
                SlowConnection(lines(3))
            )

    run(failed())


def test_an_audit_that_cannot_be_written_ends_the_service() -> None:
    class Full(Trail):
        def note(self, *record: Any) -> None:
            if len(self.records) == 7:
                raise OSError(28, "No space left on device")
            super().note(*record)

    connection = SlowConnection(lines(3))
    with pytest.raises(OSError, match="No space"):
        run(service(Slow(), audit=Full()).run(connection))
    assert (ids(connection), connection.closed) == (["r0"], 1)


def test_answers_are_stored_before_they_are_sent(tmp_path: Any) -> None:
    answers, slow = Answers(str(tmp_path / "answers.db")), Slow()

    class Sees(SlowConnection):
        async def write_response(self, request_id: str | None, response: Response) -> None:
            assert answers.known(Request(str(request_id))) == [response]
            raise BrokenPipeError("gone at the last moment")

    with pytest.raises(BrokenPipeError):
        run(service(slow, answers=answers).run(Sees(lines(1))))
    again = MemoryConnection([*lines(2), *lines(1)])
    run(service(slow, answers=answers).run(again))
    assert [(one.request_id, one.value) for one in again.written] == [
        ("r0", "r0"),
        ("r1", "r1"),
        ("r0", "r0"),
    ]
    assert slow.asked == ["r0", "r1"]  # once each
    answers.close()


def test_a_model_that_sheds_says_when_to_come_back() -> None:
    class Full:
        def predict(self, features: Features) -> Any:
            raise Shed("1,024 requests are waiting", 0.25)

    connection = MemoryConnection(lines(1))
    run(Service(Full()).run(connection))
    (shed,) = connection.written
    assert (shed.status, shed.code, shed.retry_after, shed.error) == (
        "shed",
        503,
        0.25,
        "1,024 requests are waiting",
    )


def test_features_that_are_stored_meet_those_of_the_moment(tmp_path: Any) -> None:
    store = SQLiteFeatures(str(tmp_path / "features.db"), signals=["clicks", "age"])
    store.put({"u1": [0.5, 1.5]})

    class Shows:
        def predict(self, features: Features) -> Any:
            assert str(features.feature_vec.dtype) == "float32"
            return [list(features.feature_vec.shape), features.feature_vec.tolist()]

    asked: list[dict[str, Any]] = [
        {"entity_id": "u1", "live_signals": {"age": 7, "clicks": 3}},
        {"entity_id": "u2", "live_signals": {"age": 7, "clicks": 3}},
        {"entity_id": "u1", "live_signals": {"age": 7}},
    ]
    connection = MemoryConnection([json.dumps({"request_id": f"r{n}"} | one) for n, one in enumerate(asked)])
    run(Service(Shows(), features=store).run(connection))
    told = [(one.code, one.value or one.error) for one in connection.written]
    assert told == [
        (200, [[4], [0.5, 1.5, 3.0, 7.0]]),
        (404, "no features are stored for 'u2'"),
        (422, "live_signals has no 'clicks'; it has age"),
    ]
    store.close()


def test_the_value_of_an_answer_is_what_the_post_processor_says() -> None:
    sync: Callable[[Prediction], Any] = as_it_is
    for post, value in ((sync, "R0"), (Slow().finish, "r0")):
        connection = MemoryConnection(lines(1))
        run(Service(Slow(), post=post).run(connection))
        assert connection.written[0].value == value


class Countdown:
    """A model that answers in parts, and notes how many async generators there are at each request."""

    def __init__(self) -> None:
        self.there: list[int] = []

    def stream(self, features: Features) -> AsyncIterator[int]:
        if features.request.text == "no":
            raise LookupError("no stream for this one")
        self.there.append(sum(type(thing) is AsyncGeneratorType for thing in gc.get_objects()))
        return self._parts()

    async def _parts(self) -> AsyncIterator[int]:
        yield 1
        yield 0


def test_the_parts_of_an_answer_are_gone_with_it_however_long_the_connection_lasts() -> None:
    model = Countdown()
    connection = MemoryConnection((Request(f"r{place}").to_json() for place in range(50)), keep=False)
    assert run(Service(model).run(connection)) == {"ok": 50}
    assert connection.count == 150
    assert model.there[-1] <= model.there[1], model.there


def test_a_model_that_raises_before_its_first_part_costs_that_request_alone() -> None:
    sent = [Request("r0", text="no").to_json(), Request("r1").to_json()]
    connection = MemoryConnection(sent)
    assert run(Service(Countdown()).run(connection)) == {"error": 1, "ok": 1}
    assert connection.written[0].error == "infer failed (LookupError)"


class Words:
    async def stream(self, features: Features) -> AsyncIterator[Any]:
        for word in features.request.text.split():
            yield word


@pytest.mark.parametrize("concurrency", [1, 3])
def test_an_answer_whose_part_cannot_be_made_ends_there_and_once(concurrency: int) -> None:
    def post(said: Prediction) -> Any:
        if said.value == "bad":
            raise ValueError("secret")
        return said.value

    connection = MemoryConnection([Request(f"r{place}", text="a bad c bad").to_json() for place in (1, 2)])
    policies = {"post_process": Policy(concurrency=concurrency)}
    count = run(Service(Words(), post=post, policies=policies).run(connection))
    assert count == {"error": 2}
    said = [(one.request_id, one.status, one.part, one.last) for one in connection.written]
    assert said == [
        ("r1", "ok", 0, False),
        ("r1", "error", 1, True),
        ("r2", "ok", 0, False),
        ("r2", "error", 1, True),
    ]


@pytest.mark.parametrize("value", [float("nan"), {"a": [float("inf")]}, {1, 2}, "\ud800", object()])
def test_a_value_that_json_has_not_is_one_requests_failure(value: Any) -> None:
    class Model:
        def predict(self, features: Features) -> Any:
            return value if features.request_id == "r1" else 1

    connection = MemoryConnection([Request(f"r{place}").to_json() for place in (1, 2)])
    assert run(Service(Model()).run(connection)) == {"error": 1, "ok": 1}
    failed, well = connection.written
    assert failed.error.startswith("post_process failed (")
    assert json.loads(well.to_json().encode())["value"] == 1


def test_a_breaker_and_retries_are_not_for_what_is_wrong_with_the_request() -> None:
    asked: list[str] = []

    class Store:
        signals = ("clicks",)

        def stored(self, entity_id: str) -> Sequence[float]:
            asked.append(entity_id)
            if entity_id != "user 7":
                raise UnknownEntity(f"no features are stored for {entity_id!r}")
            return (1.0,)

    sent = [
        Request("r1", "user 8"),
        Request("r2", "user 7"),
        Request("r3", "user 7", {"clicks": 1e300}),
        Request("r4", "user 7", {"clicks": 2.0}),
    ]
    policy = Policy(retry=RetryPolicy(attempts=3), breaker_failures=1)
    connection = MemoryConnection([one.to_json() for one in sent])
    run(Service(Words(), features=Store(), policies={"featurize": policy}).run(connection))
    assert [one.code for one in connection.written if one.last] == [404, 422, 422, 200]
    assert asked == ["user 8", "user 7", "user 7", "user 7"]


def test_calls_that_a_breaker_let_in_have_their_answers_though_it_opens_meanwhile() -> None:
    class Mixed:
        async def predict(self, features: Features) -> Any:
            place = int(features.request_id[1:])
            await asyncio.sleep(place)
            if place % 2:
                raise OSError(place) if place == 1 else KeyError(place)
            return place

    connection = MemoryConnection([Request(f"r{place}").to_json() for place in (1, 2, 3)])
    policies = {"infer": Policy(breaker_failures=1, concurrency=3)}
    run(Service(Mixed(), policies=policies).run(connection))
    assert [one.error or one.value for one in connection.written] == [
        "infer failed (OSError)",
        2,
        "infer failed (KeyError)",
    ]
