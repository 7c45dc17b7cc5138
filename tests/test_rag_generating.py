"""A model's answer over a real server: words as they come, numbers that are checked, and every way to break off."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from funcpipe_rag.rag import (
    Cited,
    Filter,
    Index,
    LLMProblem,
    RagEnv,
    RawDoc,
    Words,
    build_index,
    gen_llm_answer,
    make_docs_source,
    make_llm,
)
from funcpipe_rag.rag.answer import NO_ANSWER
from funcpipe_rag.rag.generating import OpenAIChat
from funcpipe_rag.rag.index import content_hash
from funcpipe_rag.rag.openai_server import LONGEST_LINE, ServerProblem, gen_server_events

ROOT = Path(__file__).parent.parent
DONE = b"data: [DONE]\n\n"


def piece(words: str | None, ended: str | None = None) -> bytes:
    delta = {} if words is None else {"content": words}
    return f"data: {json.dumps({'choices': [{'delta': delta, 'finish_reason': ended}]})}\n\n".encode()


class Server(ThreadingHTTPServer):
    """Answers a chat with a status and blocks of bytes that a test gives; an Event among the blocks is waited for."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: list[tuple[int, str, Sequence[bytes | Event]]] = []
        self.asked: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.gone = Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def will_say(self, *blocks: bytes | Event, status: int = 200, kind: str = "text/event-stream") -> None:
        self.answers.append((status, kind, blocks))


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.server.asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.server.keys.append(self.headers.get("Authorization"))
        assert self.path == "/v1/chat/completions"
        status, kind, blocks = self.server.answers.pop(0)
        self.send_response(status)
        self.send_header("Content-Type", kind)
        if 300 <= status < 400:
            self.send_header("Location", f"{self.server.url}/elsewhere")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        try:
            for block in blocks:
                if isinstance(block, Event):
                    block.wait(30)
                    # Writing to a reader that has left fails at the second time.
                    for _ in range(100):
                        self.wfile.write(b": still there\n" * 1000)
                else:
                    self.wfile.write(block)
                self.wfile.flush()
        except OSError:
            self.server.gone.set()

    def do_GET(self) -> None:
        self.server.keys.append(f"GET {self.path} {self.headers.get('Authorization')}")
        self.send_error(404)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as made:
        thread = Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield made
        made.shutdown()
        thread.join()


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "tee.md").write_bytes(
        b"# Tee\r\n\r\nA tee splits one stream into two.  \r\nIt holds what lags.\r\n"
    )
    (docs / "chain.md").write_text("# Chain\n\nChain joins streams, one after another.\n")
    made = {"roots": {"docs": str(docs)}, "encoding": "utf-8"}
    build_index(tmp_path / "i.db", make_docs_source(docs)(), RagEnv(1000), settings=made)
    with Index(tmp_path / "i.db") as opened:
        yield opened


def said(events: Sequence[Words | Cited]) -> str:
    return "".join(event.text for event in events if isinstance(event, Words))


def cited(events: Sequence[Words | Cited]) -> list[Cited]:
    return [event for event in events if isinstance(event, Cited)]


def chat(server: Server, *waited: list[float]) -> OpenAIChat:
    return OpenAIChat("m", server.url, sleeper=waited[0].append if waited else lambda _: None)


def test_words_come_as_they_are_said_and_citations_are_checked(
    server: Server, index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    server.will_say(piece("A tee "), piece("splits ["), piece("1"), piece("]."), piece(None, "stop"), DONE)
    events = list(gen_llm_answer(index, "What splits a stream?", chat(server)))
    assert said(events) == "A tee splits [1]."
    [first] = cited(events)
    raw = (tmp_path / "docs" / "tee.md").read_bytes().decode()
    assert first.citation is not None
    assert first.citation.checked == "file"
    assert content_hash(raw[first.citation.start : first.citation.stop]).hex() == first.citation.hash
    assert (first.citation.source, first.citation.start) == ("tee.md", 0)
    [asked] = server.asked
    assert (asked["model"], asked["stream"]) == ("m", True)
    assert "[1] tee.md, under Tee\n# Tee\n\nA tee splits one stream" in asked["messages"][1]["content"]
    assert asked["messages"][1]["content"].endswith("Question: What splits a stream?")
    assert server.keys == ["Bearer secret"]


def test_nothing_is_asked_before_the_first_event_and_leaving_ends_the_answer(
    server: Server, index: Index
) -> None:
    go_on = Event()
    server.will_say(piece("A tee "), go_on, piece("and more", "stop"), DONE)
    events = gen_llm_answer(index, "tee", chat(server))
    assert server.asked == []
    with closing(events):  # type: ignore[type-var]
        assert next(events) == Words("A tee ")  # the server has not said the rest, and waits
    go_on.set()
    assert server.gone.wait(30)


def test_where_nothing_is_found_the_model_is_not_asked(server: Server, index: Index) -> None:
    assert list(gen_llm_answer(index, "Ada Lovelace", chat(server))) == []
    assert list(gen_llm_answer(index, "tee", chat(server), where=Filter(["none/*"]))) == []
    assert server.asked == []


@settings(deadline=None, max_examples=150)
@given(
    st.lists(st.sampled_from(["A tee ", "[", "1", "2", "9", "]", ", ", "[1]", "[2, 1]", "[x]", "\n", "["])),
    st.data(),
)
def test_the_words_are_the_model_s_own_and_each_number_is_cited_once(pieces: list[str], data: Any) -> None:
    import re

    from funcpipe_rag.rag.generating import _with_citations

    text = "".join(pieces)
    known = [Cited(1, None, "one"), Cited(2, None, "two")]
    cuts = sorted(data.draw(st.sets(st.integers(0, len(text)))) | {0, len(text)})
    events = list(_with_citations(iter([text[a:b] for a, b in pairwise(cuts)]), known))
    assert said(events) == text
    marks = re.findall(r"\[\d{1,4}(?:\s*[,;]\s*\d{1,4})*\]", text)
    numbers = [int(number) for mark in marks for number in re.findall(r"\d+", mark)]
    assert [event.number for event in cited(events)] == list(dict.fromkeys(numbers))
    assert all(event.heading == {1: "one", 2: "two"}.get(event.number, "") for event in cited(events))


def test_a_number_that_no_passage_has_is_not_verified(server: Server, index: Index) -> None:
    server.will_say(piece("So it is [7], and [1; 2].", "stop"), DONE)
    events = list(gen_llm_answer(index, "tee and chain", chat(server)))
    assert [(event.number, event.citation is None) for event in cited(events)] == [
        (7, True),
        (1, False),
        (2, False),
    ]


def test_a_passage_that_is_not_what_was_indexed_is_not_handed_over(
    server: Server, index: Index, tmp_path: Path
) -> None:
    import sqlite3

    (tmp_path / "docs" / "tee.md").write_text("something else")
    with sqlite3.connect(index.path) as connection:
        connection.execute("UPDATE stored_chunk SET raw_hash = x'00' WHERE text LIKE '%tee%'")
    connection.close()
    server.will_say(piece("Chains [1].", "stop"), DONE)
    events = list(gen_llm_answer(index, "tee chain", chat(server)))
    assert [event.citation.source for event in cited(events) if event.citation] == ["chain.md"]
    assert "splits" not in server.asked[0]["messages"][1]["content"]


def test_passages_and_characters_are_bounded(server: Server, tmp_path: Path) -> None:
    docs = [RawDoc(str(n), f"tee {n} " + "x" * 500, f"{n}.md") for n in range(30)]
    build_index(tmp_path / "many.db", docs, RagEnv(1000))
    with Index(tmp_path / "many.db") as index:
        for passages, budget in ((3, 8000), (30, 1200), (1, 1)):
            server.will_say(piece("[1]", "stop"), DONE)
            list(gen_llm_answer(index, "tee", chat(server), passages=passages, budget=budget))
            *given, _question = server.asked[-1]["messages"][1]["content"].split("\n\n")
            assert len(given) <= passages
            assert sum(len(one.partition("\n")[2]) for one in given) <= budget
        for wrong in ({"passages": 0}, {"budget": 0}):
            with pytest.raises(ValueError, match="gen_llm_answer: "):
                gen_llm_answer(index, "tee", chat(server), **wrong)  # type: ignore[arg-type]


def answer_of(server: Server, *waited: list[float]) -> str:
    return "".join(chat(server, *waited)([{"role": "user", "content": "?"}]))


def test_a_busy_server_is_asked_again_and_a_refusal_is_not(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    waited: list[float] = []
    server.will_say(b"busy", status=503)
    server.will_say(b"slow down", status=429)
    server.will_say(piece("yes", "stop"), DONE)
    assert answer_of(server, waited) == "yes"
    assert len(waited) == 2
    server.will_say(b'{"error": "no model m for sk-secret"}', status=404, kind="application/json")
    with pytest.raises(LLMProblem, match=r"/chat/completions answered 404 .*no model m") as told:
        answer_of(server)
    assert "sk-secret" not in str(told.value)
    for _ in range(5):
        server.will_say(b"", status=500)
    with pytest.raises(LLMProblem, match=r"answered 500 .*asked 5 times"):
        answer_of(server)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirection_is_said_and_not_followed(
    server: Server, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    server.will_say(b"moved", status=status)
    with pytest.raises(
        LLMProblem, match=rf"answered {status} .*: it is at {server.url}/elsewhere, and is not followed"
    ):
        answer_of(server)
    assert server.keys == ["Bearer sk-secret"], "nobody else is given the key"


def test_a_server_that_is_not_there_is_named() -> None:
    llm = OpenAIChat("m", "http://127.0.0.1:9/v1", sleeper=lambda _: None)
    with pytest.raises(LLMProblem, match=r"http://127.0.0.1:9/v1/chat/completions cannot be reached"):
        list(llm([]))


@pytest.mark.parametrize(
    ("blocks", "words", "problem"),
    [
        ((piece("half"),), "half", "broke off; what came before is not the whole answer"),
        ((piece("half"), b"data: {"), "half", "broke off"),
        ((piece("long", "length"), DONE), "long", "stopped at the length"),
        ((piece("one"), b'data: {"error": {"message": "out of memory"}}\n\n'), "one", "out of memory"),
        ((piece("one"), b"data: <html>\n\n"), "one", "not one of a chat: <html>"),
        ((piece("one"), b'data: {"choices": [{"delta": {"content": 1}}]}\n\n'), "one", "not one of a chat"),
        ((piece("one"), b"data: " + b"[" * 200_000 + b"\n\n"), "one", "not one of a chat"),
        ((piece("one"), b"data: caf\xe9\n\n"), "one", "not UTF-8"),
        ((piece("one"), b"x" * (LONGEST_LINE + 1)), "one", "more than 1 MiB"),
    ],
)
def test_an_answer_that_is_not_whole_is_said_to_be_so(
    server: Server, blocks: tuple[bytes, ...], words: str, problem: str
) -> None:
    server.will_say(*blocks)
    got: list[str] = []
    with pytest.raises(LLMProblem, match=problem):
        got.extend(chat(server)([]))
    assert "".join(got) == words


@pytest.mark.parametrize(
    ("blocks", "kind"),
    [
        (
            (piece("yes").replace(b"\n", b"\r\n"), b": a comment\r\n\r\n", piece(None, "stop")),
            "text/event-stream",
        ),
        ((b"event: x\nid: 1\n" + piece("yes"), DONE), "text/event-stream; charset=utf-8"),
        ((piece("yes", "stop"), b'data: {"choices": [], "usage": {}}\n\n', DONE), "text/event-stream"),
        ((b"\xef\xbb\xbf" + piece("yes", "stop"),), "text/event-stream"),
        (
            (b'{"choices": [{"message": {"content": "yes"}, "finish_reason": "stop"}]}',),
            "application/json",
        ),
    ],
)
def test_servers_speak_in_several_ways(server: Server, blocks: tuple[bytes, ...], kind: str) -> None:
    server.will_say(*blocks, kind=kind)
    assert answer_of(server) == "yes"


lines = st.sampled_from(
    ["data: one", "data:two", "data", ": said", "event: x", "", "", "data: caf\u00e9 \u2713"]
)


@settings(deadline=None, max_examples=200)
@given(st.lists(lines), st.sampled_from(["\n", "\r\n", "\r"]), st.data())
def test_events_are_the_same_whatever_the_blocks_and_line_ends(said: list[str], end: str, data: Any) -> None:
    text = "".join(line + end for line in said).encode()
    cuts = sorted(data.draw(st.sets(st.integers(0, len(text)))) | {0, len(text)})
    blocks = [text[a:b] for a, b in pairwise(cuts)]
    expected, event = [], []
    for line in said:
        if line:
            event += [line.partition(":")[2].removeprefix(" ")] if line.startswith("data") else []
        else:
            expected += ["\n".join(event)] if event else []
            event = []
    assert list(gen_server_events(blocks)) == expected


def test_an_event_without_an_end_is_bounded() -> None:
    def blocks() -> Iterator[bytes]:
        while True:
            yield b"data: " + b"x" * 60_000 + b"\n"

    with pytest.raises(ServerProblem, match="an event of more than 1 MiB"):
        list(gen_server_events(blocks()))


@pytest.mark.parametrize("spec", ["openai:m", "openai:@http://x", "openai:m@nowhere", "gpt", "", "hash:3"])
def test_a_bad_specification_says_what_is_wanted(spec: str) -> None:
    with pytest.raises(ValueError, match=r"make_llm: .*openai:"):
        make_llm(spec)


def ask(index: Index, *words: str, key: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from funcpipe_rag.cli import main; main()", "ask", *words]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OPENAI_API_KEY": key}
    return subprocess.run(
        [*command, "--index", str(index.path)], capture_output=True, text=True, env=env, check=False
    )


def test_on_the_command_line_each_number_has_its_place(server: Server, index: Index) -> None:
    pytest.importorskip("typer")
    spec = f"openai:m@{server.url}"
    server.will_say(piece("A tee \x1b[31msplits [1]. Or not [9].", "stop"), DONE)
    done = ask(index, "What splits a stream?", "--llm", spec)
    assert (done.returncode, done.stderr) == (0, "")
    words, first, second = done.stdout.splitlines()
    assert words == "A tee \N{REPLACEMENT CHARACTER}[31msplits [1]. Or not [9]."
    assert first.startswith("    [1] tee.md:0-") and first.endswith("(checked against the file)")
    assert second == "    [9] is the number of no passage: not verified"
    server.will_say(piece("I think so.", "stop"), DONE)
    assert "it cites no passage: none of this is verified" in ask(index, "tee", "--llm", spec).stdout
    server.will_say(piece(NO_ANSWER, "stop"), DONE)
    assert ask(index, "tee", "--llm", spec).stdout == f"{NO_ANSWER}\n"
    assert ask(index, "Ada Lovelace", "--llm", spec).stdout == f"{NO_ANSWER}\n"
    server.will_say(piece("Yes [1] [9].", "stop"), DONE)
    found = json.loads(ask(index, "tee", "--llm", spec, "--json").stdout)
    assert (found["text"], found["unverified"]) == ("Yes [1] [9].", [9])
    [citation] = found["citations"]
    assert (citation["number"], citation["source"], citation["checked"]) == (1, "tee.md", "file")


def test_on_the_command_line_what_came_before_an_error_is_kept(server: Server, index: Index) -> None:
    pytest.importorskip("typer")
    server.will_say(piece("A tee splits [1] and"))
    done = ask(index, "tee", "--llm", f"openai:m@{server.url}")
    assert done.returncode == 1
    assert done.stdout.startswith("A tee splits [1] and\n    [1] tee.md:")
    assert done.stderr.startswith("funcpipe-rag: http://127.0.0.1") and "broke off" in done.stderr
    server.will_say(b"no key sk-1", status=401)
    done = ask(index, "tee", "--llm", f"openai:m@{server.url}", key="sk-1")
    assert (done.returncode, "sk-1" in done.stdout + done.stderr) == (1, False)
    assert ask(index, "tee", "--llm", "llama").returncode == 2


def test_a_model_that_cannot_be_asked_has_not_said_that_there_is_no_answer(
    server: Server, index: Index
) -> None:
    server.answers = [(400, "text/plain", [b"no such model"])]
    command = ["ask", "what splits a stream", "--index", index.path, "--llm", f"openai:m@{server.url}"]
    program = [sys.executable, "-c", "from funcpipe_rag.cli import main; main()"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([*program, *command], capture_output=True, text=True, env=env, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "answered 400" in done.stderr
