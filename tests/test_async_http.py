"""A pipeline over a real server: slow, failing and vanishing answers, on the real loop, and no socket left open.

Nobody sleeps here to let something happen: the server waits for events, and for the client to hang up.
"""

from __future__ import annotations

import asyncio
import gc
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any, TypeVar

import pytest

from funcpipe_rag import Backoff, Err, Report, RetryPolicy
from funcpipe_rag.aio import amap

pytestmark = pytest.mark.filterwarnings("error")

T = TypeVar("T")
ORDERS = pytest.mark.parametrize("ordered", [True, False], ids=["ordered", "as completed"])
PATIENCE = 60.0
"""Seconds after which a test that hangs fails. Nothing depends on them otherwise."""


class Refused(Exception):
    """The server has answered with another status than 200."""

    def __init__(self, status: int) -> None:
        super().__init__(f"status {status}")
        self.status = status


Answer = Callable[["Server", asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Server:
    """Answers each request as a test says, by its path and by how often that was asked for."""

    def __init__(self, answer: Callable[[str, int], Answer]) -> None:
        self._answer = answer
        self.asked: Counter[str] = Counter()
        self.answered: list[str] = []
        self.live = self.most = 0
        self.events: dict[str, asyncio.Event] = {}
        self.port = 0
        self._changed = asyncio.Condition()

    def event(self, name: str) -> asyncio.Event:
        return self.events.setdefault(name, asyncio.Event())

    async def until(self, true: Callable[[], bool]) -> None:
        async with self._changed:
            await self._changed.wait_for(true)

    async def _change(self, live: int) -> None:
        async with self._changed:
            self.live += live
            self.most = max(self.most, self.live)
            self._changed.notify_all()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._change(+1)
        try:
            request = await reader.readuntil(b"\r\n\r\n")
            path = request.split()[1].decode().strip("/")
            self.asked[path] += 1
            await self._change(0)
            await self._answer(path, self.asked[path])(self, reader, writer)
            self.answered.append(path)
        except (ConnectionError, asyncio.IncompleteReadError):
            # The client has hung up, as some of these tests have it do.
            pass
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()
            await self._change(-1)


def says(body: str, *, status: int = 200, length: int | None = None) -> Answer:
    async def answer(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        promised = len(body) if length is None else length
        writer.write(
            f"HTTP/1.1 {status} Told\r\nContent-Length: {promised}\r\nConnection: close\r\n\r\n{body}".encode()
        )
        await writer.drain()

    return answer


async def vanishes(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def never_answers(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    # Until the client hangs up.
    assert await reader.read() == b""
    server.event("hung up").set()


def waits_for(name: str, then: Answer) -> Answer:
    async def answer(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.event(name).wait()
        await then(server, reader, writer)

    return answer


def and_tells(name: str, then: Answer) -> Answer:
    async def answer(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await then(server, reader, writer)
        server.event(name).set()

    return answer


@asynccontextmanager
async def serving(answer: Callable[[str, int], Answer]) -> AsyncIterator[Server]:
    server = Server(answer)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
        # Whatever a test has left open would be waited for here.
        await server.until(lambda: server.live == 0)
    finally:
        listening.close()
        await listening.wait_closed()


async def fetch(port: int, path: str) -> str:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(f"GET /{path} HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        status = int(head.split()[1])
        if status != 200:
            raise Refused(status)
        length = int(head.partition("Content-Length: ")[2].split()[0])
        return (await reader.readexactly(length)).decode()
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


def on_a_real_loop(main: Coroutine[Any, Any, T]) -> T:
    """Run it, and see that the loop had nothing to say and that no task and no socket was left."""
    said: list[Any] = []

    async def watched() -> T:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: said.append(context))
        result = await asyncio.wait_for(main, PATIENCE)
        others = asyncio.all_tasks() - {asyncio.current_task()}
        assert [task.get_name() for task in others if task.get_name().startswith("amap")] == []
        if others:
            # The server may still have to find out that it has been hung up on.
            _, left = await asyncio.wait(others, timeout=PATIENCE)
            assert not left
        return result

    result = asyncio.run(watched())
    # A socket that was forgotten says so when it is collected; warnings are errors here.
    gc.collect()
    assert said == []
    return result


PATHS = ["a", "b", "c", "d", "e", "f"]


@ORDERS
def test_the_order_is_kept_though_the_first_answer_comes_last(ordered: bool) -> None:
    def answer(path: str, tries: int) -> Answer:
        if path == "a":
            return waits_for("d is out", says("A"))
        return and_tells("d is out", says("D")) if path == "d" else says(path.upper())

    async def main() -> tuple[list[str], Server]:
        async with serving(answer) as server:
            mapped = amap(partial(fetch, server.port), concurrency=3, max_ahead=5, ordered=ordered)
            return await mapped(PATHS).collect(), server

    got, server = on_a_real_loop(main())
    assert (got if ordered else sorted(got)) == list("ABCDEF")
    assert server.answered.index("d") < server.answered.index("a")
    if not ordered:
        # One of the two had to be there for the fourth to be asked.
        assert min(got.index("B"), got.index("C")) < got.index("A")
    assert server.asked == Counter(PATHS)


def test_as_many_connections_as_calls_and_never_more() -> None:
    all_three = "three are there"

    def answer(path: str, tries: int) -> Answer:
        async def meets(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            # The first three wait for each other, so they must be in flight together.
            if sum(server.asked.values()) == 3:
                server.event(all_three).set()
            await server.event(all_three).wait()
            await says(path)(server, reader, writer)

        return meets

    async def main() -> int:
        async with serving(answer) as server:
            calls = 0
            most = 0

            async def counted(path: str) -> str:
                nonlocal calls, most
                calls += 1
                most = max(most, calls)
                try:
                    return await fetch(server.port, path)
                finally:
                    calls -= 1

            paths = [f"{place}" for place in range(30)]
            assert await amap(counted, concurrency=3)(paths).collect() == paths
            return most

    assert on_a_real_loop(main()) == 3


RETRIED = RetryPolicy(attempts=3, backoff=Backoff(base=0), retry_on=(Refused, OSError, EOFError))


@ORDERS
def test_what_fails_for_a_while_is_asked_again_as_often_as_was_told(ordered: bool) -> None:
    def answer(path: str, tries: int) -> Answer:
        if path == "b":
            return says("busy", status=503) if tries < 3 else says("B")
        if path == "c":
            return vanishes if tries == 1 else says("C")
        if path == "d":
            return says("half", length=100) if tries == 1 else says("D")
        if path == "e":
            return says("gone", status=503)
        return says(path.upper())

    async def main() -> tuple[list[Any], Server]:
        async with serving(answer) as server:
            mapped = amap(
                partial(fetch, server.port), concurrency=4, ordered=ordered, retry=RETRIED, on_error="collect"
            )
            return await mapped(PATHS).collect(), server

    got, server = on_a_real_loop(main())
    failed = [one for one in got if isinstance(one, Err)]
    good = [one for one in got if not isinstance(one, Err)]
    assert (good if ordered else sorted(good)) == ["A", "B", "C", "D", "F"]
    (err,) = failed
    assert (err.item, err.index, str(err.error)) == ("e", 4, "status 503")
    assert err.error.__notes__[0] == "that was try 3 of 3"
    if ordered:
        assert got[4] is err
    assert server.asked == {"a": 1, "b": 3, "c": 2, "d": 2, "e": 3, "f": 1}


def test_failures_are_skipped_and_counted_by_kind() -> None:
    def answer(path: str, tries: int) -> Answer:
        return {"b": says("", status=404), "c": vanishes, "e": says("", status=404)}.get(path, says(path))

    async def main() -> tuple[list[str], Report]:
        report = Report()
        async with serving(answer) as server:

            async def fetched(path: str) -> str:
                try:
                    return await fetch(server.port, path)
                except (OSError, EOFError) as error:
                    # Whether it is reset or ends too early is the system's affair.
                    raise ConnectionError("vanished") from error

            mapped = amap(fetched, concurrency=3, on_error="skip", report=report)
            return await mapped(PATHS).collect(), report

    got, report = on_a_real_loop(main())
    assert got == ["a", "d", "f"]
    (counts,) = report.counts.values()
    assert counts == {"Refused": 2, "ConnectionError": 1}


@ORDERS
def test_who_does_not_answer_is_left_in_time_and_hung_up_on(ordered: bool) -> None:
    async def main() -> list[Any]:
        async with serving(lambda path, tries: never_answers) as server:
            mapped = amap(
                partial(fetch, server.port), concurrency=3, ordered=ordered, timeout=0.05, on_error="collect"
            )
            return await mapped(PATHS).collect()

    got = on_a_real_loop(main())
    assert [type(one.error) for one in got] == [TimeoutError] * 6
    assert sorted(one.item for one in got) == PATHS


@ORDERS
def test_leaving_hangs_up_on_every_request_in_flight(ordered: bool) -> None:
    def answer(path: str, tries: int) -> Answer:
        return says("A") if path == "a" else never_answers

    async def main() -> Server:
        async with serving(answer) as server:
            async with amap(partial(fetch, server.port), concurrency=4, ordered=ordered)(PATHS) as stream:
                assert await anext(stream) == "A"
                await server.until(lambda: sum(server.asked.values()) == 5)
            return server

    server = on_a_real_loop(main())
    assert server.asked == Counter("abcde")
    assert sorted(server.answered) == [*"abcde"]
    assert server.live == 0


@ORDERS
def test_an_error_hangs_up_on_the_others_and_is_raised_when_they_are_gone(ordered: bool) -> None:
    def answer(path: str, tries: int) -> Answer:
        return waits_for("others", says("", status=500)) if path == "a" else never_answers

    async def main() -> Server:
        async with serving(answer) as server:

            async def lets_it_fail() -> None:
                await server.until(lambda: sum(server.asked.values()) == 3)
                server.event("others").set()

            letting = asyncio.create_task(lets_it_fail())
            with pytest.raises(Refused, match="status 500") as caught:
                await amap(partial(fetch, server.port), concurrency=3, ordered=ordered)(PATHS).collect()
            await letting
            assert caught.value.__notes__[0].endswith("at item 0: 'a'")
            return server

    server = on_a_real_loop(main())
    assert server.asked == Counter("abc")


def test_two_stages_of_requests_feed_each_other() -> None:
    """Whom to ask next is in the answer: pages, and what they point to."""

    def answer(path: str, tries: int) -> Answer:
        return says(path.replace("page", "item")) if path.startswith("page") else says(path.upper())

    async def main() -> list[str]:
        async with serving(answer) as server:
            get = partial(fetch, server.port)
            pages = (f"page-{place}" for place in range(40))
            return await (amap(get, concurrency=4) | amap(get, concurrency=4))(pages).collect()

    assert on_a_real_loop(main()) == [f"ITEM-{place}" for place in range(40)]


@ORDERS
def test_a_client_that_blocks_runs_in_threads(ordered: bool) -> None:
    def answer(path: str, tries: int) -> Answer:
        if path == "a":
            return waits_for("c is out", says("A"))
        if path == "b":
            return says("", status=404)
        return and_tells("c is out", says("C")) if path == "c" else says(path.upper())

    def blocking(port: int, path: str) -> str:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(f"http://127.0.0.1:{port}/{path}", timeout=PATIENCE) as response:
                return str(response.read().decode())
        except urllib.error.HTTPError as error:
            # It is an answer too, and has a socket.
            with error:
                raise Refused(error.code) from None

    async def main() -> list[Any]:
        async with serving(answer) as server:
            with ThreadPoolExecutor(3) as pool:
                mapped = amap(
                    partial(blocking, server.port),
                    concurrency=3,
                    ordered=ordered,
                    on_error="collect",
                    executor=pool,
                )
                return await mapped(PATHS).collect()

    got = on_a_real_loop(main())
    assert {one.item: str(one.error) for one in got if isinstance(one, Err)} == {"b": "status 404"}
    good = [one for one in got if not isinstance(one, Err)]
    assert (good if ordered else sorted(good)) == ["A", "C", "D", "E", "F"]
