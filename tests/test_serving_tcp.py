"""JSON lines over TCP, on loopback: order, limits, faults, and an end that answers what was read."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

pytest.importorskip("numpy")

from serving_samples import Length, Waits, leaves_nothing

from funcpipe_rag.serving import Answers, Batched, Policy, Request, Service
from funcpipe_rag.serving.access import Access, listening
from funcpipe_rag.serving.limits import Limits
from funcpipe_rag.serving.metrics import Metrics
from funcpipe_rag.serving.tcp import LineServer


@asynccontextmanager
async def served(service: Service, **settings: Any) -> AsyncIterator[tuple[LineServer, int]]:
    bound = listening("127.0.0.1", 0)
    port = bound.getsockname()[1]
    async with LineServer(service, bound, **settings) as server:
        yield server, port


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def say(self, *lines: str | bytes, end: bytes = b"\n") -> None:
        for line in lines:
            self.writer.write((line.encode() if isinstance(line, str) else line) + end)
        await self.writer.drain()

    async def hear(self) -> dict[str, Any]:
        line = await self.reader.readline()
        assert line, "the connection has ended"
        said: dict[str, Any] = json.loads(line)
        return said

    async def rest(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (await self.reader.read()).splitlines()]


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[Client]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**22)
    try:
        yield Client(reader, writer)
    finally:
        writer.transport.abort()


def asking(request_id: str, text: str = "four") -> str:
    return Request(request_id, text=text).to_json()


def test_a_line_is_a_request_and_answers_come_in_order() -> None:
    async def test() -> None:
        async with served(Service(Length())) as (_, port), connected(port) as client:
            await client.say(asking("r1", "a"), asking("r2", "bb"), asking("r3", "ccc"))
            said = [await client.hear() for _ in range(3)]
            assert [(one["request_id"], one["value"]) for one in said] == [("r1", 1), ("r2", 2), ("r3", 3)]

    leaves_nothing(test)


def test_garbage_is_answered_with_its_line_and_the_stream_goes_on() -> None:
    async def test() -> None:
        async with served(Service(Length())) as (_, port), connected(port) as client:
            await client.say(
                b"\x00\xff\xfe\x80", "[1, 2]", b"", '{"request_id": "r4"}', b'{"request_id": "\xff"}'
            )
            said = [await client.hear() for _ in range(5)]
            assert [(one["code"], one.get("line")) for one in said] == [
                (400, 1),
                (400, 2),
                (400, 3),
                (200, None),
                (400, 5),
            ]

    leaves_nothing(test)


def test_a_side_that_has_ended_is_answered_to_the_end_and_the_last_line_needs_none() -> None:
    async def test() -> None:
        model = Waits()
        async with served(Service(model)) as (_, port), connected(port) as client:
            await client.say(asking("r1"), asking("r2"))
            await client.say(asking("r3"), end=b"")
            client.writer.write_eof()
            await model.asked.wait()
            model.go_on.set()
            assert [one["request_id"] for one in await client.rest()] == ["r1", "r2", "r3"]

    leaves_nothing(test)


def test_a_line_of_100_mb_is_refused_with_its_number_and_never_held() -> None:
    async def test() -> None:
        limits = Limits(most_bytes=100_000)
        async with served(Service(Length()), limits=limits) as (_, port), connected(port) as client:
            piece = b"x" * 2**18
            await client.say(asking("r1"))
            assert (await client.hear())["code"] == 200
            tracemalloc.start()
            try:
                for _ in range(400):
                    client.writer.write(piece)
                    await client.writer.drain()
                _, peak = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
            refused = await client.hear()
            assert (refused["code"], refused["line"]) == (413, 2)
            # Some buffers of the loop's on either side, each of 256 KiB.
            assert peak < 4_000_000
            await client.say(b"the end of it", asking("r3"))
            assert (await client.hear())["request_id"] == "r3"
            await client.say("[]")
            assert (await client.hear())["line"] == 4

    leaves_nothing(test)


def test_what_cannot_be_answered_yet_is_not_read() -> None:
    async def test() -> None:
        model = Waits()
        async with served(Service(model)) as (_, port), connected(port) as client:
            lines = (asking("r1").encode() + b"\n") * 2_000_000
            # Some megabytes go into the system's own buffers, the rest stays with the client.
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(client.say(lines, end=b""), 1.0)
            assert model.now == 1
            client.writer.transport.abort()
            model.go_on.set()

    leaves_nothing(test)


def test_who_has_sent_much_waits_its_turn() -> None:
    async def test() -> None:
        model = Length()
        async with (
            served(Service(model)) as (_, port),
            connected(port) as much,
            connected(port) as little,
        ):
            for client in (much, little):
                await client.say(asking("first"))
                await client.hear()
            much.writer.write(b"".join(asking(f"r{n}").encode() + b"\n" for n in range(1000)))
            little.writer.write(asking("s1").encode() + b"\n")
            assert (await little.hear())["request_id"] == "s1"
            assert model.asked.index("s1") < 100

    leaves_nothing(test)


def test_a_line_is_measured_to_the_byte() -> None:
    async def test() -> None:
        line = asking("r1")
        limits = Limits(most_bytes=len(line))
        async with served(Service(Length()), limits=limits) as (_, port), connected(port) as client:
            await client.say(line, line + " ", line)
            assert [(await client.hear())["code"] for _ in range(3)] == [200, 413, 200]

    leaves_nothing(test)


def test_who_does_not_read_holds_up_only_himself_and_is_given_up() -> None:
    class Long(Length):
        def predict(self, features: Any) -> Any:
            super().predict(features)
            return "x" * 200_000

    async def test() -> None:
        metrics, model = Metrics(), Long()
        limits = Limits(patience=0.3)
        async with (
            served(Service(model), limits=limits, metrics=metrics) as (_, port),
            connected(port) as other,
        ):
            deaf = socket.create_connection(("127.0.0.1", port))
            with deaf:
                deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                deaf.sendall(b"".join(asking(f"r{n}").encode() + b"\n" for n in range(500)))
                for n in range(20):
                    await other.say(asking(f"s{n}"))
                    assert (await other.hear())["request_id"] == f"s{n}"
                while metrics.connections["tcp"] > 1:
                    await other.say(asking("again"))
                    await other.hear()
                # Far from all of its answers were made: it was not read while it did not read.
                assert 0 < sum(asked.startswith("r") for asked in model.asked) < 100

    leaves_nothing(test)


def test_who_goes_before_his_answer_leaves_his_room_to_others() -> None:
    async def test() -> None:
        model, metrics = Waits(), Metrics()
        limits = Limits(in_flight=2)
        async with served(Service(model), limits=limits, metrics=metrics) as (server, port):
            for place in range(3):
                async with connected(port) as client:
                    await client.say(asking(f"r{place}"), asking("more"))
                    await model.asked.wait()
                    # He does not say goodbye.
                    its = client.writer.get_extra_info("socket")
                    its.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                # What he asked is answered, to nobody.
                while not all(one.lost for one in server._clients.values()):
                    await asyncio.sleep(0)
                model.go_on.set()
                while server._clients:
                    await asyncio.sleep(0)
                assert metrics.in_flight["tcp"] == 0
                assert metrics.answers["tcp", "dropped"] == place + 1
                model.asked.clear()
                model.go_on.clear()
            model.go_on.set()
            async with connected(port) as client:
                await client.say(asking("last"))
                assert (await client.hear())["value"] == 4

    leaves_nothing(test)


def test_a_thousand_idle_clients_cost_nobody_anything() -> None:
    resource = pytest.importorskip("resource")
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] < 2500:
        pytest.skip("this system lets a process open fewer than 2,500 files")

    async def test() -> None:
        metrics = Metrics()
        async with served(Service(Length()), metrics=metrics) as (_, port):
            idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(1000)]
            async with connected(port) as client:
                await client.say(asking("r1"))
                assert (await client.hear())["code"] == 200
                assert metrics.connections["tcp"] == 1001
            for _, writer in idle:
                writer.close()
            await asyncio.gather(*(writer.wait_closed() for _, writer in idle))
        assert metrics.connections["tcp"] == 0

    leaves_nothing(test)


def test_one_client_too_many_is_told_when_to_come_again() -> None:
    async def test() -> None:
        limits = Limits(connections=1)
        async with served(Service(Length()), limits=limits) as (_, port), connected(port) as client:
            await client.say(asking("r1"))
            await client.hear()
            async with connected(port) as second:
                (told,) = await second.rest()
                assert (told["status"], told["code"], told["retry_after"]) == ("shed", 503, 1.0)
            await client.say(asking("r2"))
            assert (await client.hear())["request_id"] == "r2"

    leaves_nothing(test)


def test_who_says_nothing_is_let_go_and_who_says_half_is_told() -> None:
    async def test() -> None:
        limits = Limits(idle=0.1)
        async with (
            served(Service(Length()), limits=limits) as (_, port),
            connected(port) as silent,
            connected(port) as half,
        ):
            await half.say('{"request', end=b"")
            assert await silent.rest() == []
            (late,) = await half.rest()
            assert (late["code"], late["line"]) == (408, 1)

    leaves_nothing(test)


@pytest.mark.parametrize(
    "first", ['{"token": "snowball"}', '{"token": 7}', asking("r0"), "rosebud", "x" * 500, b"\xff"]
)
def test_without_the_token_nothing_is_asked(first: str | bytes) -> None:
    async def test() -> None:
        model = Length()
        settings = {"access": Access("127.0.0.1", token="rosebud"), "limits": Limits(most_bytes=200)}
        async with served(Service(model), **settings) as (_, port), connected(port) as client:
            await client.say(first, asking("r1"))
            (refused,) = await client.rest()
            assert (refused["code"], refused["line"]) == (401, 1)
            assert model.asked == []

    leaves_nothing(test)


def test_with_the_token_lines_count_as_they_are_sent() -> None:
    async def test() -> None:
        access = Access("127.0.0.1", token="rosebud")
        async with served(Service(Length()), access=access) as (_, port), connected(port) as client:
            await client.say('{"token": "rosebud"}', asking("r1"), "[]")
            assert (await client.hear())["request_id"] == "r1"
            assert (await client.hear())["line"] == 3

    leaves_nothing(test)


def test_a_page_cannot_speak_through_a_browser() -> None:
    async def test() -> None:
        model = Length()
        async with served(Service(model)) as (_, port), connected(port) as client:
            await client.say("POST / HTTP/1.1", "Host: 127.0.0.1", "", asking("r1"))
            (refused,) = await client.rest()
            assert refused["code"] == 400
            assert model.asked == []

    leaves_nothing(test)


def test_a_page_cannot_speak_through_a_browser_behind_a_line_that_is_too_long() -> None:
    async def test() -> None:
        model = Length()
        async with served(Service(model), limits=Limits(most_bytes=200)) as (_, port):
            for end in b"\n", b"":
                async with connected(port) as client:
                    # With its end and without, as the bytes may come.
                    await client.say(b"POST /" + b"x" * 300, end=end)
                    await client.say(b" HTTP/1.1", "Host: 127.0.0.1", "", asking("r1"))
                    (refused,) = await client.rest()
                    assert (refused["code"], refused["error"]) == (
                        400,
                        "this port takes JSON lines, and this is HTTP",
                    )
        assert model.asked == []

    leaves_nothing(test)


def test_half_a_character_is_one_lines_mistake() -> None:
    async def test() -> None:
        async with served(Service(Length())) as (_, port), connected(port) as client:
            for field in "request_id", "text", "kind", "entity_id":
                await client.say(json.dumps({"request_id": "r1", "text": "a", field: "\ud800"}))
                said = await client.hear()
                assert (said["code"], said["error"].partition(" ")[0]) == (400, field)
            await client.say(json.dumps({"request_id": "r1", "live_signals": {"\udfff": 1}}))
            assert (await client.hear())["error"].startswith("live_signals")
            await client.say(asking("r2"))
            assert (await client.hear())["value"] == 4

    leaves_nothing(test)


def test_draining_answers_the_whole_lines_that_were_read_and_no_more() -> None:
    async def test() -> None:
        model = Waits()
        async with (
            served(Service(model)) as (server, port),
            connected(port) as client,
            connected(port) as idle,
        ):
            await client.say(asking("r1"), asking("r2"), asking("r3"))
            await client.say('{"request_id": "half', end=b"")
            await model.asked.wait()
            server.drain()
            model.go_on.set()
            assert [one["request_id"] for one in await client.rest()] == ["r1", "r2", "r3"]
            assert await idle.rest() == []
            with pytest.raises(OSError, match="Connect"):
                await asyncio.open_connection("127.0.0.1", port)

    leaves_nothing(test)


def test_a_server_that_is_cancelled_leaves_nothing_behind() -> None:
    async def test() -> None:
        model = Waits()
        entered = asyncio.Event()

        async def serving() -> None:
            async with served(Service(model)) as (_, port), connected(port) as client:
                await client.say(asking("r1"))
                await model.asked.wait()
                entered.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(serving())
        await entered.wait()
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert model.now == 0

    leaves_nothing(test)


def test_a_model_that_hangs_or_raises_costs_its_own_request() -> None:
    class Bad:
        async def predict(self, features: Any) -> int:
            if features.request.text == "hangs":
                await asyncio.Event().wait()
            if features.request.text == "raises":
                raise FileNotFoundError("/srv/secret/model.bin")
            return 1

    async def test() -> None:
        service = Service(Bad(), policies={"infer": Policy(timeout=0.05)})
        async with served(service) as (_, port), connected(port) as client:
            await client.say(asking("r1", "hangs"), asking("r2", "raises"), asking("r3", "works"))
            said = [await client.hear() for _ in range(3)]
            assert [one["code"] for one in said] == [504, 500, 200]
            assert "secret" not in json.dumps(said)

    leaves_nothing(test)


def test_a_stage_that_dies_ends_its_own_client_who_is_told() -> None:
    async def dies(predictions: Any, post: Any, *, policy: Any) -> AsyncIterator[Any]:
        async for one in predictions:
            if one.request.text == "poison":
                raise OSError("/srv/secret is on fire")
            yield post(one)

    async def test() -> None:
        from funcpipe_rag.serving import Response

        metrics = Metrics()
        service = Service(
            Length(), post=lambda said: Response(said.request_id, said.value), stages={"post_process": dies}
        )
        async with (
            served(service, metrics=metrics) as (_, port),
            connected(port) as other,
            connected(port) as client,
        ):
            await other.say(asking("s1"))
            await other.hear()
            await client.say(asking("r1"), asking("r2", "poison"))
            assert (await client.hear())["request_id"] == "r1"
            (failed,) = await client.rest()
            assert (failed["code"], failed["line"], failed["error"]) == (
                500,
                2,
                "the service failed (OSError)",
            )
            await other.say(asking("s2"))
            assert (await other.hear())["request_id"] == "s2"
            assert metrics.in_flight["tcp"] == 0

    leaves_nothing(test)


def test_no_more_are_in_flight_than_the_limit_over_all_clients() -> None:
    async def test() -> None:
        model = Waits()
        limits = Limits(in_flight=2)
        async with served(Service(model), limits=limits) as (_, port):

            async def ask(n: int) -> Any:
                async with connected(port) as client:
                    await client.say(asking(f"r{n}"), asking(f"s{n}"))
                    return [(await client.hear())["code"], (await client.hear())["code"]]

            asked = [asyncio.ensure_future(ask(n)) for n in range(6)]
            await model.asked.wait()
            model.go_on.set()
            assert await asyncio.gather(*asked) == [[200, 200]] * 6
            assert model.most <= 2

    leaves_nothing(test)


def test_calls_of_several_clients_go_to_the_model_as_one() -> None:
    class Many:
        sizes: list[int]

        def predict_many(self, features: Any) -> list[int]:
            self.sizes.append(len(features))
            return [len(one.request.text) for one in features]

    async def test() -> None:
        many = Many()
        many.sizes = []
        async with Batched(many, max_size=4, max_wait=5.0) as model, served(Service(model)) as (_, port):

            async def ask(n: int) -> Any:
                async with connected(port) as client:
                    await client.say(asking(f"r{n}"))
                    return (await client.hear())["value"]

            assert await asyncio.gather(*map(ask, range(4))) == [4] * 4
            assert many.sizes == [4]

    leaves_nothing(test)


def test_a_client_that_is_gone_finds_its_answer_when_it_comes_again() -> None:
    async def test() -> None:
        model, answers, metrics = Waits(), Answers(":memory:"), Metrics()
        async with served(Service(model, answers=answers), metrics=metrics) as (_, port):
            async with connected(port) as client:
                await client.say(asking("r1"))
                await model.asked.wait()
            model.go_on.set()
            model.asked.clear()
            async with connected(port) as client:
                # The first run has stored it before it found that nobody is there.
                while metrics.connections["tcp"] > 1:
                    await asyncio.sleep(0)
                await client.say(asking("r1"))
                assert (await client.hear())["value"] == 4
                assert not model.asked.is_set()
        answers.close()

    leaves_nothing(test)
