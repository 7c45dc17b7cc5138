"""HTTP on loopback: answers, events, the queue, who is let in, faults, and the counts."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import pytest

pytest.importorskip("numpy")
pytest.importorskip("uvicorn")

from serving_samples import Length, Waits, leaves_nothing

from funcpipe_rag.serving import Answers, Policy, Request, Service, Trail
from funcpipe_rag.serving.access import Access, listening
from funcpipe_rag.serving.http import HttpConnection, TooLong, make_app
from funcpipe_rag.serving.http_server import make_server, running
from funcpipe_rag.serving.limits import Limits
from funcpipe_rag.serving.metrics import CountedLog, Metrics

STAGES = ["parse_requests", "featurize", "infer", "post_process", "write_responses"]


class Said(NamedTuple):
    code: int
    headers: dict[str, str]
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)

    @property
    def events(self) -> list[tuple[str, Any]]:
        found = re.findall(r"event: (\w+)\ndata: (.*)\n\n", self.text)
        return [(event, json.loads(data)) for event, data in found]


class Served(NamedTuple):
    port: int
    door: HttpConnection
    metrics: Metrics

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            yield reader, writer
        finally:
            writer.transport.abort()

    async def ask(self, path: str = "/requests", body: str | bytes | None = None, **headers: str) -> Said:
        async with self.connected() as (reader, writer):
            writer.write(request(path, body, **headers))
            return await heard(reader)


def request(path: str, body: str | bytes | None = None, **headers: str) -> bytes:
    data = body.encode() if isinstance(body, str) else body or b""
    named = {"host": "127.0.0.1", "connection": "close", "content-length": str(len(data)), **headers}
    head = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in named.items())
    method = "GET" if body is None else "POST"
    return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + data


async def heard(reader: asyncio.StreamReader) -> Said:
    head, _, rest = (await reader.read()).partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    if headers.get("transfer-encoding") == "chunked":
        whole = b""
        while rest:
            size, _, rest = rest.partition(b"\r\n")
            whole, rest = whole + rest[: int(size, 16)], rest[int(size, 16) + 2 :]
        rest = whole
    return Said(int(first.split()[1]), headers, rest.decode())


@asynccontextmanager
async def served(
    service: Service, *, lanes: int = 1, token: str | None = None, limits: Limits | None = None
) -> AsyncIterator[Served]:
    bound = listening("127.0.0.1", 0)
    limits, metrics = limits or Limits(), Metrics()
    door = HttpConnection(service, lanes=lanes, limits=limits, metrics=metrics)
    server = make_server(make_app(door, Access("127.0.0.1", token=token)), limits, metrics)
    async with running(server, bound), door:
        yield Served(bound.getsockname()[1], door, metrics)


def asking(request_id: str, text: str = "four") -> str:
    return Request(request_id, text=text).to_json()


class Parts:
    """A model that answers in words."""

    async def stream(self, features: Any) -> AsyncIterator[Any]:
        for word in features.request.text.split():
            if word == "fails":
                raise FileNotFoundError("/srv/secret")
            yield word


def test_one_request_one_answer() -> None:
    async def test() -> None:
        async with served(Service(Length())) as here:
            said = await here.ask(body=asking("r1"))
            assert said.code == 200
            assert said.json == {
                "version": 1,
                "request_id": "r1",
                "status": "ok",
                "code": 200,
                "value": 4,
            }

    leaves_nothing(test)


def test_an_answer_in_parts_is_one_list() -> None:
    async def test() -> None:
        async with served(Service(Parts())) as here:
            assert (await here.ask(body=asking("r1", "one two"))).json["value"] == ["one", "two"]
            assert (await here.ask(body=asking("r2", ""))).json["value"] == []
            failed = await here.ask(body=asking("r3", "one fails"))
            assert (failed.code, failed.json["error"]) == (500, "infer failed (FileNotFoundError)")
            assert "part" not in failed.json

    leaves_nothing(test)


def test_events_are_the_stages_the_parts_and_the_end() -> None:
    async def test() -> None:
        async with served(Service(Parts())) as here:
            said = await here.ask(body=asking("r1", "one two"), accept="text/event-stream")
            assert said.headers["content-type"].startswith("text/event-stream")
            told = [what["stage"] if event == "stage" else event for event, what in said.events]
            part = ["infer", "post_process", "part", "write_responses"]
            end = ["infer", "post_process", "write_responses", "done"]
            assert told == ["parse_requests", "featurize", *part, *part, *end]
            assert [what["value"] for event, what in said.events if event == "part"] == ["one", "two"]
            assert said.events[-1][1]["status"] == "ok"

    leaves_nothing(test)


def test_events_come_while_the_model_still_works() -> None:
    async def test() -> None:
        model = Waits()
        async with served(Service(model)) as here, here.connected() as (reader, writer):
            writer.write(request("/requests", asking("r1"), accept="text/event-stream"))
            await reader.readuntil(b'"stage": "featurize"')
            assert not model.go_on.is_set()
            model.go_on.set()
            rest = await reader.read()
            assert b"event: part" in rest and b"event: done" in rest

    leaves_nothing(test)


def test_an_error_ends_the_events() -> None:
    async def test() -> None:
        async with served(Service(Parts())) as here:
            said = await here.ask(body=asking("r1", "one fails"), accept="text/event-stream")
            event, what = said.events[-1]
            assert (event, what["status"], what["code"]) == ("done", "error", 500)
            assert "secret" not in said.text

    leaves_nothing(test)


def test_a_question_needs_no_id() -> None:
    async def test() -> None:
        async with served(Service(Length())) as here:
            assert (await here.ask("/ask", '{"question": "four"}')).json["value"] == 4
            for wrong in ("four", "[]", '{"question": 4}', '{"question": " "}', '{"question": "a", "b": 1}'):
                assert (await here.ask("/ask", wrong)).code == 400

    leaves_nothing(test)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"\x00\xff garbage", 400),
        ("[1]", 400),
        ('{"request_id": 7}', 400),
        ('{"request_id": "r1", "text": "%s"}' % ("x" * 2000), 413),
    ],
)
def test_what_cannot_be_read_says_why(body: str | bytes, code: int) -> None:
    async def test() -> None:
        async with served(Service(Length()), limits=Limits(most_bytes=1000)) as here:
            said = await here.ask(body=body)
            assert said.code == said.json["code"] == code
            assert said.json["error"]
            assert here.metrics.answers["http", "error"] == 1

    leaves_nothing(test)


def test_a_body_without_a_length_is_measured_as_it_comes() -> None:
    async def test() -> None:
        limits = Limits(most_bytes=1000)
        async with served(Service(Length()), limits=limits) as here, here.connected() as (reader, writer):
            writer.write(b"POST /requests HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n")
            for _ in range(3):
                writer.write(b"190\r\n" + b"x" * 400 + b"\r\n")
            assert (await heard(reader)).code == 413

    leaves_nothing(test)


def test_the_same_request_at_the_same_time_is_answered_once_and_all_get_it() -> None:
    async def test() -> None:
        model = Waits()
        trail = Trail()
        async with served(Service(model, audit=trail), lanes=3) as here:
            asked = [asyncio.ensure_future(here.ask(body=asking("r1"))) for _ in range(4)]
            stream = asyncio.ensure_future(here.ask(body=asking("r1"), accept="text/event-stream"))
            other = asyncio.ensure_future(here.ask(body=asking("r1", "another text")))
            assert (await other).code == 409
            await model.asked.wait()
            while here.metrics.connections["http"] < 5:
                await asyncio.sleep(0)
            model.go_on.set()
            assert [said.json["value"] for said in await asyncio.gather(*asked)] == [4] * 4
            assert [event for event, _ in (await stream).events] == ["stage"] * 4 + ["part", "stage", "done"]
            assert [record.stage for record in trail.records] == STAGES

    leaves_nothing(test)


def test_a_full_queue_sheds_and_says_when_to_come_again() -> None:
    async def test() -> None:
        model = Waits()
        async with served(Service(model), limits=Limits(in_flight=2)) as here:
            first = asyncio.ensure_future(here.ask(body=asking("r1")))
            await model.asked.wait()
            rest = [asyncio.ensure_future(here.ask(body=asking(f"r{n}"))) for n in range(2, 7)]
            await asyncio.wait(rest, return_when=asyncio.FIRST_COMPLETED)
            while sum(task.done() for task in rest) < 3:
                await asyncio.sleep(0)
            shed = [task.result() for task in rest if task.done()]
            assert [(said.code, said.headers["retry-after"], said.json["status"]) for said in shed] == [
                (503, "1", "shed")
            ] * 3
            model.go_on.set()
            assert [said.code for said in await asyncio.gather(first, *rest)].count(200) == 3

    leaves_nothing(test)


def test_lanes_are_how_many_are_worked_on_at_a_time() -> None:
    async def test() -> None:
        model = Waits()
        async with served(Service(model), lanes=3) as here:
            asked = [asyncio.ensure_future(here.ask(body=asking(f"r{n}"))) for n in range(8)]
            while model.now < 3 or here.metrics.in_flight["http"] < 8:
                await asyncio.sleep(0)
            model.go_on.set()
            assert [said.code for said in await asyncio.gather(*asked)] == [200] * 8
            assert model.most == 3

    leaves_nothing(test)


def test_a_client_that_has_gone_stops_nothing_and_finds_its_answer() -> None:
    async def test() -> None:
        model, answers = Waits(), Answers(":memory:")
        async with served(Service(model, answers=answers)) as here:
            for accept in ("*/*", "text/event-stream"):
                async with here.connected() as (_, writer):
                    writer.write(request("/requests", asking(accept), accept=accept))
                    await model.asked.wait()
            model.go_on.set()
            assert (await here.ask(body=asking("r2"))).code == 200
            model.asked.clear()
            assert (await here.ask(body=asking("*/*"))).json["value"] == 4
            assert (await here.ask(body=asking("text/event-stream"))).json["value"] == 4
            assert not model.asked.is_set()
        answers.close()

    leaves_nothing(test)


def test_a_side_that_has_ended_is_answered() -> None:
    async def test() -> None:
        model = Waits()
        async with served(Service(model)) as here, here.connected() as (reader, writer):
            writer.write(request("/requests", asking("r1"), connection="keep-alive"))
            writer.write_eof()
            await model.asked.wait()
            model.go_on.set()
            assert (await heard(reader)).json["value"] == 4

    leaves_nothing(test)


def test_who_does_not_read_is_given_up_and_holds_up_nobody() -> None:
    class Long:
        async def stream(self, features: Any) -> AsyncIterator[Any]:
            for _ in range(40):
                yield "x" * 200_000

    async def test() -> None:
        limits = Limits(patience=0.3)
        async with served(Service(Long()), limits=limits) as here, here.connected() as (reader, writer):
            writer.write(request("/requests", asking("r1"), accept="text/event-stream"))
            await reader.readuntil(b"event: stage")
            assert (await here.ask(body=asking("r2"))).code == 200
            # Ours is read no further than the reader's own limit; the other's is over.
            while here.metrics.connections["http"] > 0:
                await asyncio.sleep(0.01)
            assert here.metrics.answers["http", "ok"] == 2

    leaves_nothing(test)


def test_who_says_nothing_or_half_is_let_go() -> None:
    async def test() -> None:
        async with (
            served(Service(Length()), limits=Limits(idle=0.2)) as here,
            here.connected() as (silent, _),
            here.connected() as (half, half_writer),
            here.connected() as (body, body_writer),
        ):
            half_writer.write(b"POST /requests HTTP/1.1\r\nhost:")
            body_writer.write(request("/requests", "{}")[:-1])
            assert await silent.read() == b""
            assert await half.read() == b""
            assert (await heard(body)).code == 408

    leaves_nothing(test)


def test_one_client_too_many_is_told_when_to_come_again() -> None:
    async def test() -> None:
        async with (
            served(Service(Length()), limits=Limits(connections=1)) as here,
            here.connected() as (_, writer),
        ):
            writer.write(b"POST")
            await asyncio.sleep(0)
            told = await here.ask(body=asking("r1"))
            assert (told.code, told.headers["retry-after"]) == (503, "1")

    leaves_nothing(test)


@pytest.mark.parametrize(
    "given", [None, "Bearer snowball", "rosebud", "Basic rosebud", "Bearer", "Bearer rosebud2"]
)
def test_without_the_token_there_is_only_the_page(given: str | None) -> None:
    async def test() -> None:
        model = Length()
        async with served(Service(model), token="rosebud") as here:
            headers = {} if given is None else {"authorization": given}
            for path, body in (
                ("/requests", asking("r1")),
                ("/metrics", None),
                ("/health", None),
                ("/nothing", None),
            ):
                said = await here.ask(path, body, **headers)
                assert (said.code, said.headers["www-authenticate"]) == (401, "Bearer")
            assert (await here.ask("/", **headers)).code == 200
            assert model.asked == []
            assert here.metrics.answers["http", "denied"] == 4

    leaves_nothing(test)


def test_with_the_token_it_opens() -> None:
    async def test() -> None:
        async with served(Service(Length()), token="rosebud") as here:
            for word in ("Bearer", "bearer"):
                said = await here.ask(body=asking("r1"), authorization=f"{word} rosebud", host="a.name:80")
                assert said.code == 200

    leaves_nothing(test)


def test_a_page_elsewhere_cannot_ask() -> None:
    async def test() -> None:
        model = Length()
        async with served(Service(model)) as here:
            for host in ("rebound.example", "127.0.0.1.rebound.example", "192.168.0.7", ""):
                assert (await here.ask(body=asking("r1"), host=host)).code == 421
            for origin in ("http://rebound.example", "null", "http://127.0.0.1:1"):
                assert (await here.ask(body=asking("r1"), origin=origin)).code == 403
            assert model.asked == []
            assert (await here.ask(body=asking("r1"), origin="http://127.0.0.1")).code == 200
            assert (await here.ask(body=asking("r1"), host=f"localhost:{here.port}")).code == 200

    leaves_nothing(test)


def test_a_model_that_hangs_costs_its_own_request() -> None:
    async def test() -> None:
        service = Service(Waits(), policies={"infer": Policy(timeout=0.05)})
        async with served(service) as here:
            assert (await here.ask(body=asking("r1"))).code == 504

    leaves_nothing(test)


def test_a_run_that_fails_is_begun_anew() -> None:
    async def dies(vectors: Any, model: Any, *, policy: Any) -> AsyncIterator[Any]:
        from funcpipe_rag.serving import Prediction

        async for one in vectors:
            if one.request.text == "poison":
                raise OSError("/srv/secret is on fire")
            yield Prediction(one.request_id, model.predict(one), one.request)

    async def test() -> None:
        async with served(Service(Length(), stages={"infer": dies})) as here:
            assert (await here.ask(body=asking("r1"))).code == 200
            failed = await here.ask(body=asking("r2", "poison"))
            assert (failed.code, failed.json["error"]) == (500, "the service failed (OSError)")
            assert (await here.ask(body=asking("r3"))).code == 200
            assert here.metrics.in_flight["http"] == 0

    leaves_nothing(test)


def test_a_service_that_cannot_run_says_so_and_its_clients_are_told() -> None:
    def broken(connection: Any, **settings: Any) -> Any:
        raise OSError("no stage")

    async def test() -> None:
        async def go() -> None:
            async with served(Service(Length(), stages={"parse_requests": broken})) as here:
                assert (await here.ask(body=asking("r1"))).code in (500, 503)
                assert (await here.ask(body=asking("r2"))).code == 503

        with pytest.raises(OSError, match="no stage"):
            await go()

    leaves_nothing(test)


def test_the_end_answers_what_was_taken_and_a_cut_says_so() -> None:
    async def test() -> None:
        model = Waits()
        async with served(Service(model)) as here:
            taken = here.door.offer(asking("r1").encode()), here.door.offer(asking("r2").encode())
            model.go_on.set()
        assert [ticket.answer.value for ticket in taken if ticket.answer] == [4, 4]

        model = Waits()

        async def cut() -> asyncio.Future[Said]:
            asked: asyncio.Future[Said]
            try:
                async with served(Service(model)) as here:
                    asked = asyncio.ensure_future(here.ask(body=asking("r1")))
                    await model.asked.wait()
                    raise ZeroDivisionError
            except ZeroDivisionError:
                return asked

        assert (await (await cut())).code == 503
        assert model.now == 0

    leaves_nothing(test)


def test_the_counts_are_those_of_what_happened() -> None:
    async def test() -> None:
        metrics = Metrics()
        trail = Trail()
        async with served(Service(Length(), audit=CountedLog(trail, metrics))) as here:
            for n in range(3):
                await here.ask(body=asking(f"r{n}"))
            await here.ask(body="nonsense")
            text = (await here.ask("/metrics")).text
            assert 'funcpipe_requests_total{connection="http",status="ok"} 3\n' in text
            assert 'funcpipe_requests_total{connection="http",status="error"} 1\n' in text
            assert 'funcpipe_request_seconds_count{connection="http"} 3\n' in text
            assert 'le="+Inf"} 3\n' in text
            assert (await here.ask("/health")).json == {"status": "ok"}
        assert metrics.audit_records == len(trail.records) == 15

    leaves_nothing(test)


def test_the_page_asks_no_other_host_and_runs_no_other_script() -> None:
    async def test() -> None:
        async with served(Service(Length())) as here:
            page = await here.ask("/")
            assert "http://" not in page.text.replace("http://HOST", "") and "https://" not in page.text
            assert "//" not in re.sub(r"http://HOST|\\n", "", page.text).replace("://", "")
            policy = page.headers["content-security-policy"]
            assert policy.startswith("default-src 'none'; script-src 'sha256-") and "unsafe" not in policy
            assert (await here.ask("/nothing")).code == 404

    leaves_nothing(test)


def test_a_question_that_is_too_long_as_a_request_is_refused_and_nobody_waits() -> None:
    async def test() -> None:
        async with served(Service(Length()), limits=Limits(most_bytes=200)) as here:
            question = json.dumps({"question": "?" * 180})
            assert len(question) < 200
            refused = await here.ask("/ask", question)
            assert (refused.code, refused.json["status"]) == (413, "error")
            with pytest.raises(TooLong, match="at most 200 bytes, this one has 300"):
                here.door.offer(b" " * 300)
            assert here.metrics.in_flight["http"] == 0
            assert (await here.ask("/ask", '{"question": "four"}')).json["value"] == 4

    leaves_nothing(test)


def test_who_sends_too_much_at_once_hears_it() -> None:
    async def test() -> None:
        async with served(Service(Length())) as here:
            async with here.connected() as (reader, writer):
                # All of it, before the first look at the answer.
                writer.write(request("/ask", b"x" * 20_000_000))
                await writer.drain()
                assert (await heard(reader)).code == 413
            assert (await here.ask(body=asking("r1"))).code == 200

    leaves_nothing(test)


def test_an_origin_that_is_none_is_not_ours() -> None:
    async def test() -> None:
        async with served(Service(Length())) as here:
            for origin in "http://[x", "http://[::1", "null", "":
                refused = await here.ask("/ask", '{"question": "four"}', origin=origin)
                assert (refused.code, refused.json["code"]) == (403, 403)

    leaves_nothing(test)
