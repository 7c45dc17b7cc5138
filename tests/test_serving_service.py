"""A real process that serves on loopback: what it says, how it ends, and what is left after it was killed."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest

pytest.importorskip("typer")
pytest.importorskip("uvicorn")

from funcpipe_rag.cli import main
from funcpipe_rag.serving import Request, read_audit

ROOT = Path(__file__).parent.parent
STAGES = ["parse_requests", "featurize", "infer", "post_process", "write_responses"]

# A service whose model is elsewhere: it answers when, and what, the test says.
PROGRAM = """
import asyncio, sys
from funcpipe_rag.serving import Answers, AuditFile, Service
from funcpipe_rag.serving.lifetime import CutOff, serve

class Elsewhere:
    async def predict(self, features):
        reader, writer = await asyncio.open_connection("127.0.0.1", int(sys.argv[1]))
        try:
            writer.write(features.request_id.encode() + b"\\n")
            line = await reader.readline()
            if not line:
                raise ConnectionError("the model has died")
            return line.decode().strip()
        finally:
            writer.close()
            await writer.wait_closed()

answers = Answers(sys.argv[2])
service = Service(Elsewhere(), answers=answers)
try:
    with AuditFile(sys.argv[3], batch=1) as log:
        service = Service(Elsewhere(), answers=answers, audit=log)
        draining = lambda many: print("ending", many, flush=True)
        ready = lambda at: print("tcp", at.tcp, "http", at.http, flush=True)
        asyncio.run(serve(service, tcp_port=0, lanes=4, drain=600, ready=ready, draining=draining))
except CutOff:
    sys.exit(130)
finally:
    answers.close()
"""

CLI = "from funcpipe_rag.cli import main; main()"


class Process(NamedTuple):
    """A process that says where it listens."""

    process: asyncio.subprocess.Process
    said: list[str]
    http: int
    tcp: int

    async def next_line(self) -> str:
        """What it says next."""
        assert self.process.stdout is not None
        return (await self.process.stdout.readline()).decode().rstrip("\n")

    async def ended(self) -> tuple[int, str]:
        """Its exit code, and what it had to complain of."""
        out, err = await self.process.communicate()
        self.said.extend(out.decode().splitlines())
        assert self.process.returncode is not None
        return self.process.returncode, err.decode()


@asynccontextmanager
async def begun(program: str, *words: object) -> AsyncIterator[Process]:
    process = await asyncio.create_subprocess_exec(
        # What it leaves open is complained of.
        *(sys.executable, "-W", "always::ResourceWarning", "-c", program, *map(str, words)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    try:
        assert process.stdout is not None
        said: list[str] = []
        ports = {"http": 0, "tcp": 0}
        while not ports["http"]:
            line = (await process.stdout.readline()).decode()
            assert line, (await process.communicate())[1].decode()
            said.append(line.rstrip("\n"))
            words_said = line.split()
            for name in ports:
                if name in words_said:
                    ports[name] = int(words_said[words_said.index(name) + 1].rsplit(":", 1)[1])
        yield Process(process, said, **ports)
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


class Model:
    """What the service's model client asks: it notes who asks, and answers once it may."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.go_on = asyncio.Event()
        self._news = asyncio.Event()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request_id = (await reader.readline()).decode().strip()
        self.asked.append(request_id)
        self._news.set()
        gone = asyncio.ensure_future(reader.read())
        may = asyncio.ensure_future(self.go_on.wait())
        await asyncio.wait([gone, may], return_when=asyncio.FIRST_COMPLETED)
        gone.cancel()
        may.cancel()
        if request_id != "dies":
            writer.write(f"answer {len(self.asked)} to {request_id}\n".encode())
        writer.close()

    async def until_asked(self, many: int) -> None:
        while len(self.asked) < many:
            self._news.clear()
            await self._news.wait()


@asynccontextmanager
async def a_model() -> AsyncIterator[tuple[Model, int]]:
    model = Model()
    server = await asyncio.start_server(model.answer, "127.0.0.1", 0)
    try:
        yield model, server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def posted(port: int, path: str, given: Any, *headers: str) -> tuple[int, Any]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        body = json.dumps(given).encode()
        head = [
            f"POST {path} HTTP/1.1",
            "host: localhost",
            "connection: close",
            f"content-length: {len(body)}",
            *headers,
        ]
        writer.write("\r\n".join([*head, "", ""]).encode() + body)
        said, _, rest = (await reader.read()).partition(b"\r\n\r\n")
        return int(said.split()[1]), json.loads(rest)
    finally:
        writer.close()


async def sent(port: int, *lines: str) -> list[Any]:
    """The answers to these lines, to the end of the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write("".join(f"{line}\n" for line in lines).encode())
        return [json.loads(line) for line in (await reader.read()).splitlines()]
    finally:
        writer.close()


def asking(request_id: str) -> dict[str, Any]:
    asked: dict[str, Any] = json.loads(Request(request_id, text="How do I split a stream?").to_json())
    return asked


def line(request_id: str) -> str:
    return json.dumps(asking(request_id))


def within_a_minute(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(60):
            await test()

    asyncio.run(limited())


def stages_of(audit: Path, request_id: str) -> list[str]:
    return [record.stage for record in read_audit(str(audit)) if record.request_id == request_id]


def test_sigterm_answers_all_that_was_taken_and_takes_no_more(tmp_path: Path) -> None:
    async def test() -> None:
        audit = tmp_path / "audit.jsonl"
        async with (
            a_model() as (model, port),
            begun(PROGRAM, port, tmp_path / "answers.db", audit) as service,
        ):
            asked = [
                asyncio.ensure_future(posted(service.http, "/requests", asking(f"h{n}"))) for n in (1, 2)
            ]
            lines = asyncio.ensure_future(sent(service.tcp, line("t1"), line("t2"), line("t3")))
            await model.until_asked(3)
            service.process.send_signal(signal.SIGTERM)
            # One that TCP has not read on is not in flight, but is read.
            assert await service.next_line() == "ending 3"
            for nobody in (service.http, service.tcp):
                with pytest.raises(ConnectionRefusedError):
                    await asyncio.open_connection("127.0.0.1", nobody)
            model.go_on.set()
            assert [code for code, _ in await asyncio.gather(*asked)] == [200, 200]
            assert [answer["request_id"] for answer in await lines] == ["t1", "t2", "t3"]
            assert await service.ended() == (0, "")
            for request_id in ("h1", "h2", "t1", "t2", "t3"):
                assert stages_of(audit, request_id) == STAGES
            assert "ended" in json.loads(audit.read_text().splitlines()[-1])

    within_a_minute(test)


def test_a_request_that_was_half_sent_when_the_end_began_is_answered(tmp_path: Path) -> None:
    async def test() -> None:
        files = tmp_path / "answers.db", tmp_path / "audit.jsonl"
        async with a_model() as (model, port), begun(PROGRAM, port, *files) as service:
            model.go_on.set()
            body = line("h1").encode()
            head = f"POST /requests HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(body)}\r\n"
            reader, writer = await asyncio.open_connection("127.0.0.1", service.http)
            writer.write(f"{head}expect: 100-continue\r\n\r\n".encode())
            # It waits for the rest of us.
            assert b"100" in await reader.readuntil(b"\r\n\r\n")
            service.process.send_signal(signal.SIGTERM)
            assert await service.next_line() == "ending 0"
            writer.write(body)
            assert (await reader.read()).startswith(b"HTTP/1.1 200")
            writer.close()
            assert await service.ended() == (0, "")

    within_a_minute(test)


def test_a_second_signal_cuts_that_short_and_says_so(tmp_path: Path) -> None:
    async def test() -> None:
        files = tmp_path / "answers.db", tmp_path / "audit.jsonl"
        async with a_model() as (model, port), begun(PROGRAM, port, *files) as service:
            asked = asyncio.ensure_future(posted(service.http, "/requests", asking("h1")))
            lines = asyncio.ensure_future(sent(service.tcp, line("t1")))
            await model.until_asked(2)
            service.process.send_signal(signal.SIGTERM)
            assert await service.next_line() == "ending 2"
            service.process.send_signal(signal.SIGTERM)
            code, said = await asked
            assert (code, said["status"], said["error"]) == (503, "shed", "the service has ended")
            assert await service.ended() == (130, "")
            with suppress(ConnectionResetError):
                assert await lines == []

    within_a_minute(test)


def test_after_sigkill_the_same_keys_are_answered_once_and_the_audit_shows_the_gap(tmp_path: Path) -> None:
    async def test() -> None:
        answers, audit = tmp_path / "answers.db", tmp_path / "audit.jsonl"
        async with a_model() as (model, port):
            async with begun(PROGRAM, port, answers, audit) as service:
                model.go_on.set()
                first = await posted(service.http, "/requests", asking("done"))
                assert first[1]["value"] == "answer 1 to done"
                model.go_on.clear()
                asked = asyncio.ensure_future(posted(service.http, "/requests", asking("cut")))
                lines = asyncio.ensure_future(sent(service.tcp, line("cut too")))
                await model.until_asked(3)
                service.process.kill()
                await service.process.wait()
                lost = await asyncio.gather(asked, lines, return_exceptions=True)
                assert not any(isinstance(one, tuple) for one in lost)
            assert stages_of(audit, "done") == STAGES
            assert stages_of(audit, "cut") == stages_of(audit, "cut too") == STAGES[:2]
            assert not any("ended" in json.loads(one) for one in audit.read_text().splitlines())

            model.go_on.set()
            async with begun(PROGRAM, port, answers, audit) as service:
                assert await posted(service.http, "/requests", asking("done")) == first
                again = await posted(service.http, "/requests", asking("cut"))
                assert again == await posted(service.http, "/requests", asking("cut"))
                assert (await posted(service.http, "/requests", asking("cut too")))[0] == 200
                assert sorted(model.asked) == ["cut", "cut", "cut too", "cut too", "done"]
                service.process.send_signal(signal.SIGTERM)
                assert await service.ended() == (0, "")

    within_a_minute(test)


def test_a_model_that_dies_costs_its_request_and_says_nothing_of_the_host(tmp_path: Path) -> None:
    async def test() -> None:
        files = tmp_path / "answers.db", tmp_path / "audit.jsonl"
        async with a_model() as (model, port), begun(PROGRAM, port, *files) as service:
            model.go_on.set()
            code, said = await posted(service.http, "/requests", asking("dies"))
            assert (code, said["error"]) == (500, "infer failed (ConnectionError)")
            assert (await posted(service.http, "/requests", asking("lives")))[0] == 200

    within_a_minute(test)


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("served")
    (folder / "docs").mkdir()
    (folder / "docs" / "tee.md").write_text("# Tee\n\nA tee splits one stream into two.\n")
    (folder / "docs" / "chain.md").write_text("# Chain\n\nChain joins streams, one after another.\n")
    made = folder / "docs.db"
    done = said("build", folder / "docs", "--index", made)
    assert done.returncode == 0, done.stderr
    return made


def said(*words: object, program: str = CLI) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program, *map(str, words)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
        timeout=60,
    )


def test_an_index_is_served_and_ctrl_c_ends_it(index: Path, tmp_path: Path) -> None:
    async def test() -> None:
        audit, answers = tmp_path / "audit.jsonl", tmp_path / "answers.db"
        words = ["serve", "--index", index, "--port", 0, "--tcp", 0, "--token", "rosebud"]
        async with begun(CLI, *words, "--audit", audit, "--answers", answers) as service:
            question = {"question": "How do I split a stream?"}
            bearer = "authorization: Bearer rosebud"
            code, told = await posted(service.http, "/ask", question, bearer)
            assert code == 200
            assert (told["value"][0]["text"], told["value"][0]["citation"]) == (
                "A tee splits one stream into two.",
                "tee.md:7-40",
            )
            for wrong in ((), ("authorization: Bearer snowball",)):
                assert (await posted(service.http, "/ask", question, *wrong))[0] == 401
            assert [one["code"] for one in await sent(service.tcp, '{"token": "snowball"}', line("t1"))] == [
                401
            ]
            reader, writer = await asyncio.open_connection("127.0.0.1", service.tcp)
            writer.write(f'{{"token": "rosebud"}}\n{line("t1")}\n'.encode())
            writer.write_eof()
            parts = [json.loads(one) for one in (await reader.read()).splitlines()]
            writer.close()
            assert parts[-1]["last"] is True and parts[-1]["status"] == "ok"
            service.process.send_signal(signal.SIGINT)
            assert await service.ended() == (0, "")
            assert service.said[:4] == [
                f"serving    {index}: 2 documents, 2 chunks",
                "token      wanted from everybody",
                f"audit      {audit}",
                f"answers    {answers}",
            ]
            assert service.said[-1] == "answered   5 requests: 3 denied, 2 ok"
            assert set(stages_of(audit, "t1")) == set(STAGES)

    within_a_minute(test)


def test_wrong_input_is_one_line_and_an_exit_code(
    index: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nowhere, garbage = tmp_path / "no.db", tmp_path / "garbage.db"
    garbage.write_text("garbage, and enough of it to be no empty file" * 100)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for words, code, complaint in [
            (["--index", nowhere], 1, f"there is no index at {nowhere}; make one: funcpipe-rag build FOLDER"),
            (
                ["--index", index, "--port", port],
                1,
                f"127.0.0.1:{port}: Address already in use; choose another",
            ),
            (
                ["--index", index, "--tcp", port],
                1,
                f"127.0.0.1:{port}: Address already in use; choose another",
            ),
            (["--index", index, "--host", "0.0.0.0"], 2, "others can reach 0.0.0.0: give --token TOKEN"),
            (["--index", index, "--host", "no such host"], 2, "'no such host' is no address"),
            (["--index", index, "--token", "two words"], 2, "token must be of visible ASCII characters"),
            (["--index", index, "--answers", index], 2, "--index and --answers are both"),
            (["--index", index, "--answers", garbage], 1, f"answers cannot be kept in {garbage}"),
            (["--index", index, "--audit", tmp_path / "no" / "audit"], 1, "No such file or directory"),
            (["--index", index, "--timeout", 0], 2, "timeout must be > 0"),
            (["--index", index, "--idle", -1], 2, "idle must be > 0"),
        ]:
            with pytest.raises(SystemExit) as ended:
                main(["serve", "--port", "0", *map(str, words)])
            out, err = capsys.readouterr()
            assert (ended.value.code, out) == (code, ""), err
            assert complaint in err
            assert err.startswith("funcpipe-rag: ") and err.count("\n") == 1


def test_where_nobody_reads_what_it_says_it_ends_well_all_the_same(index: Path) -> None:
    async def test() -> None:
        ours, its = os.pipe()
        # As `serve | head -3` does.
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", CLI, "serve", "--index", index, "--port", "0"),
            stdout=its,
            stderr=subprocess.PIPE,
            cwd=ROOT,
        )
        os.close(its)
        with open(ours) as said:
            while not (await asyncio.to_thread(said.readline)).startswith("next "):
                pass
        process.send_signal(signal.SIGTERM)
        assert process.stderr is not None
        assert (await process.stderr.read()).decode() == ""
        await process.wait()

    within_a_minute(test)


def test_why_a_request_failed_is_said_where_the_service_runs_and_nowhere_else(
    index: Path, tmp_path: Path
) -> None:
    broken = shutil.copy(index, tmp_path / "broken.db")

    async def test() -> None:
        async with begun(CLI, "serve", "--index", broken, "--port", 0) as service:
            with closing(sqlite3.connect(broken)) as connection:
                connection.execute("DROP TABLE stored_chunk")
            code, answer = await posted(service.http, "/ask", {"question": "a stream?"})
            assert (code, answer["error"]) == (500, "infer failed (OperationalError)")
            service.process.send_signal(signal.SIGTERM)
            code, said = await service.ended()
            assert code == 0
            assert re.fullmatch(
                r"trouble    infer failed on '\w+': OperationalError: no such table.*\n", said
            ), said

    within_a_minute(test)


@pytest.mark.skipif(sys.platform == "win32", reason="has no such limit")
@pytest.mark.parametrize(("soft", "hard"), [(64, 64), (64, 4096)])
def test_more_clients_than_file_handles_wait_and_nothing_is_logged(index: Path, soft: int, hard: int) -> None:
    limited = f"import resource; resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard})); {CLI}"

    async def test() -> None:
        async with begun(limited, "serve", "--index", index, "--port", 0, "--tcp", 0) as service:
            clients = []
            for port in [service.tcp, service.http] * 50:
                client = socket.create_connection(("127.0.0.1", port))
                clients.append(client)
            if hard > soft:
                # It asks for what it may have, and nobody waits.
                assert (await posted(service.http, "/ask", {"question": "a stream?"}))[0] == 200
            for client in clients:
                client.close()
            assert (await posted(service.http, "/ask", {"question": "a stream?"}))[0] == 200
            service.process.send_signal(signal.SIGTERM)
            assert await service.ended() == (0, "")

    within_a_minute(test)


def test_a_missing_extra_is_one_sentence() -> None:
    missing = "import sys; sys.modules['uvicorn'] = None; from funcpipe_rag.cli import main; main()"
    done = said("serve", "--index", "any.db", program=missing)
    assert done.returncode == 1
    assert done.stderr == (
        'funcpipe-rag: this command needs uvicorn, which is not installed: pip install "funcpipe-rag[serve]"\n'
    )
