"""Embedders: the double, a real server on this machine, and real models made here."""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from funcpipe_rag.rag import EmbedderProblem, Index, RagEnv, RawDoc, build_index, make_embedder
from funcpipe_rag.rag.embedding import OpenAIEmbedder, gen_vectors


def test_the_double_knows_shared_words_and_no_more() -> None:
    embed = make_embedder("hash:256")
    one, two, other = embed(["a tee splits streams", "streams, a TEE splits!", "boiling water"])
    assert one == two
    assert abs(sum(a * a for a in one) - 1) < 1e-6
    assert sum(a * b for a, b in zip(one, other, strict=True)) == pytest.approx(0, abs=1e-6)
    assert make_embedder("hash:256")(["x"]) == embed(["x"])
    assert embed([""]) == [array("f", [0.0] * 256)]
    assert embed.fingerprint == "hash:256"


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("hash:", "wants"),
        ("hash:many", "number of dimensions"),
        ("hash:0", "DIMENSION must be >= 1"),
        ("openai:model", "MODEL@BASE_URL"),
        ("openai:@http://x", "MODEL@BASE_URL"),
        ("", "wants"),
        (3, "wants"),
    ],
)
def test_a_bad_specification_names_itself(spec: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        make_embedder(spec)


class Server(ThreadingHTTPServer):
    """A real server with OpenAI's /embeddings: a text's vector is its length and its number of words."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[list[str]] = []
        self.headers: list[dict[str, str]] = []
        self.answers: list[tuple[int, Any]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert self.path == "/v1/embeddings"
        self.server.headers.append(dict(self.headers))
        self.server.asked.append(body["input"])
        rows = [
            {"index": n, "embedding": [float(len(text)), float(len(text.split()))]}
            for n, text in enumerate(body["input"])
        ]
        code, answer = self.server.answers.pop(0) if self.server.answers else (200, {"data": rows[::-1]})
        data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

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


def test_a_server_is_asked_in_batches_and_its_rows_are_put_in_order(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    embed = make_embedder(f"openai:m@{server.url}/")
    texts = [f"{'x' * n} y" for n in range(150)]
    vectors = dict(gen_vectors(embed, texts))
    assert [list(vectors[text]) for text in texts] == [
        [len(text), 2 if n else 1] for n, text in enumerate(texts)
    ]
    assert [len(batch) for batch in server.asked] == [64, 64, 22]
    assert server.headers[0]["Authorization"] == "Bearer secret"
    assert embed.fingerprint == f"openai:m@{server.url}"


def test_a_busy_server_is_asked_again_and_a_refusal_is_not(server: Server) -> None:
    waited: list[float] = []
    embed = OpenAIEmbedder("m", server.url, sleeper=waited.append)
    server.answers = [(503, b"busy"), (429, b"slow down")]
    assert embed(["ab"]) == [array("f", [2, 1])]
    assert len(waited) == 2
    server.answers = [(401, b"no key")]
    with pytest.raises(EmbedderProblem, match=r"/v1/embeddings answered 401 .*no key"):
        embed(["ab"])
    server.answers = [(500, b"")] * 5
    with pytest.raises(EmbedderProblem, match=r"answered 500 .*asked 5 times"):
        embed(["ab"])


@pytest.mark.parametrize(
    "answer",
    [
        b"<html>",
        b"[" * 200_000,
        {"data": [{"index": 0}]},
        {"data": None},
        [1],
        {"data": [{"index": 1, "embedding": [1.0]}]},
        {"data": [{"index": 0, "embedding": [1.0, float("nan")]}]},
        {"data": [{"index": 0, "embedding": [1e300]}]},
        {"data": [{"index": 0, "embedding": [10**400]}]},
    ],
)
def test_an_answer_that_is_none_is_told(server: Server, answer: Any) -> None:
    server.answers = [(200, answer)]
    with pytest.raises(EmbedderProblem, match="its answer is no"):
        OpenAIEmbedder("m", server.url)(["ab"])


def test_a_server_that_is_not_there_is_named() -> None:
    embed = OpenAIEmbedder("m", "http://127.0.0.1:9/v1", sleeper=lambda _: None)
    with pytest.raises(EmbedderProblem, match=r"http://127.0.0.1:9/v1/embeddings cannot be reached"):
        embed(["ab"])


def test_as_many_vectors_as_texts_and_all_of_one_length() -> None:
    class Odd:
        fingerprint, batch = "odd", 2
        answers = iter([[array("f", [1])], [array("f", [1]), array("f", [1, 2])]])

        def __call__(self, texts: object) -> Any:
            return next(self.answers)

    with pytest.raises(EmbedderProblem, match="odd: gave 1 vectors for 2 texts"):
        list(gen_vectors(Odd(), ["a", "b"]))
    with pytest.raises(EmbedderProblem, match="odd: gave a vector of 2 numbers, and before of 1"):
        list(gen_vectors(Odd(), ["a", "b"]))


@pytest.mark.parametrize(("spec", "extra"), [("model2vec:x", "model2vec"), ("sentence-transformers:x", "st")])
def test_a_package_that_is_not_there_names_the_command(
    monkeypatch: pytest.MonkeyPatch, spec: str, extra: str
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, spec.partition(":")[0].replace("-", "_"), None)
    with pytest.raises(EmbedderProblem, match=rf'pip install "funcpipe-rag\[{extra}\]"'):
        make_embedder(spec)


def test_an_index_is_built_with_the_vectors_of_a_server(server: Server, tmp_path: Path) -> None:
    docs = [RawDoc("a", "one two three four", "a.md"), RawDoc("b", "one two", "b.md")]
    embed = make_embedder(f"openai:m@{server.url}")
    build_index(tmp_path / "i.db", docs, RagEnv(8, boundary="word"), embedder=embed)
    with Index(tmp_path / "i.db") as index:
        assert list(index.check()) == []
        assert {
            text: list(index.vector(id_) or [])
            for id_, text in index.rows("SELECT chunk_id, text FROM chunk")
        } == {"one two ": [8, 2], "three ": [6, 1], "four": [4, 1], "one two": [7, 2]}
    assert sum(map(len, server.asked)) == 4


@pytest.fixture
def model2vec_folder(tmp_path: Path) -> Path:
    """A tiny model of five words, made here."""
    model2vec = pytest.importorskip("model2vec")
    np = pytest.importorskip("numpy")
    tokenizers = pytest.importorskip("tokenizers")
    words = {"[UNK]": 0, "tee": 1, "splits": 2, "stream": 3, "water": 4}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    vectors = np.eye(5, 4, k=-1, dtype="float32") + 0.01
    model = model2vec.StaticModel(vectors=vectors, tokenizer=tokenizer, config={"normalize": True})
    model.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def test_a_model2vec_model_is_loaded_from_its_folder(model2vec_folder: Path, tmp_path: Path) -> None:
    embed = make_embedder(f"model2vec:{model2vec_folder}")
    tee, water, both = embed(["tee", "water", "tee water"])
    assert len(tee) == 4
    assert both[0] == pytest.approx((tee[0] + water[0]) / 2, rel=0.5)
    model2vec_folder.rename(tmp_path / "moved")
    assert make_embedder(f"model2vec:{tmp_path / 'moved'}").fingerprint == embed.fingerprint
    with pytest.raises(EmbedderProblem, match="cannot be loaded"):
        make_embedder(f"model2vec:{tmp_path / 'none'}")


def test_a_sentence_transformers_model_is_loaded_from_its_folder(tmp_path: Path) -> None:
    package = pytest.importorskip("sentence_transformers")
    from sentence_transformers import models  # type: ignore[import-not-found]
    from tokenizers import Tokenizer, models as words, pre_tokenizers  # type: ignore[import-not-found]

    known = {"[UNK]": 0, "[PAD]": 1, "tee": 2, "water": 3}
    tokenizer = Tokenizer(words.WordLevel(known, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    made = package.SentenceTransformer(modules=[models.StaticEmbedding(tokenizer, embedding_dim=8)])
    made.save(str(tmp_path / "model"))
    embed = make_embedder(f"sentence-transformers:{tmp_path / 'model'}")
    tee, again, water = embed(["tee", "tee", "water"])
    assert tee == again != water
    assert sum(one * one for one in tee) == pytest.approx(1, rel=1e-5)
