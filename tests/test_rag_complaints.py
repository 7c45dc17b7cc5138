"""What people have reported of other RAG builders, one test each: the name says the complaint, the test that it is not ours.

Crashes are in test_rag_crash, the incremental matrix is in test_rag_incremental, bad files are in test_rag_loading.
"""

from __future__ import annotations

import sqlite3
import tracemalloc
from array import array
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from time import process_time

import pytest

from funcpipe_rag.rag import (
    EmbedderProblem,
    Event,
    Filter,
    Index,
    RagEnv,
    RawDoc,
    build_index,
    gen_answers,
    gen_chunks,
    gen_clean_docs,
    gen_ingest,
    gen_overlapping_chunks,
    make_docs_source,
    make_embedder,
    search,
)

ENV = RagEnv(100, 20, boundary="sentence")
BOUNDARIES = ("char", "word", "sentence", "markdown", "code")


def doc(name: str, text: object) -> RawDoc:
    return RawDoc(name, text, name)  # type: ignore[arg-type]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "docs.db"


def test_memory_grows_with_each_document_that_is_inserted(file: Path) -> None:
    def peak(count: int) -> int:
        docs = (doc(f"{n}.md", f"word{n} goes on. " * 300) for n in range(count))
        tracemalloc.start()
        build_index(file.with_name(f"{count}.db"), docs, ENV, embedder=make_embedder("hash:64"))
        got = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return got

    peak(5)
    assert peak(400) < peak(100) + 500_000


def test_an_index_cannot_be_built_from_a_generator(file: Path) -> None:
    asked: list[int] = []

    def docs() -> Iterator[RawDoc]:
        for n in range(300):
            asked.append(n)
            yield doc(f"{n}.md", f"text {n}. " * 100)

    next(gen_ingest(file, docs(), ENV))
    assert len(asked) < 100


def test_a_rebuild_buffers_the_corpus(file: Path) -> None:
    build_index(file, [doc("a.md", "one")], ENV)

    def docs() -> Iterator[RawDoc]:
        return (doc(f"{n}.md", f"word{n} goes on. " * 300) for n in range(400))

    tracemalloc.start()
    build_index(file, docs(), RagEnv(50), rebuild=True)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2_500_000


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("text", ["x", "x ", "x.\n", "# \n", "```", "\n\n", "def f(", "  \t"])
def test_the_splitter_takes_the_square_of_the_length(boundary: str, text: str) -> None:
    def seconds(length: int) -> float:
        whole = text * (length // len(text))
        began = process_time()
        docs = gen_clean_docs([doc("a.md", whole)])
        for _ in gen_chunks(docs, RagEnv(1000, 200, boundary=boundary)):  # type: ignore[arg-type]
            pass
        return process_time() - began

    seconds(100_000)
    # Eight times the text takes eight times as long; the square would be 64 times.
    assert min(seconds(1_600_000) for _ in range(2)) < 24 * min(seconds(200_000) for _ in range(3)) + 0.05


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_the_start_of_a_repeated_passage_is_that_of_the_first(boundary: str) -> None:
    text = "The same words. " * 200
    chunks = list(gen_overlapping_chunks("d", text, size=100, overlap=30, boundary=boundary))  # type: ignore[arg-type]
    assert [chunk.start for chunk in chunks] == sorted({chunk.start for chunk in chunks})
    assert all(text[chunk.start : chunk.stop] == chunk.text for chunk in chunks)


def test_an_offset_counts_bytes_and_not_characters() -> None:
    text = "日本語のテキスト。" * 30 + "🙂 é" * 30
    for chunk in gen_overlapping_chunks("d", text, size=17, overlap=3):
        assert text[chunk.start : chunk.stop] == chunk.text


def test_a_stripped_separator_moves_every_offset_behind_it() -> None:
    text = "\n\n  one  \n\n\n two\r\n\r\n   three \n" * 20
    for boundary in BOUNDARIES:
        env = RagEnv(25, 5, boundary=boundary)  # type: ignore[arg-type]
        chunks = list(gen_chunks(gen_clean_docs([doc("a.md", text)]), env))
        assert chunks[0].start == 0
        assert chunks[-1].stop == len(text)


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_a_chunk_is_longer_than_its_size(boundary: str) -> None:
    text = "x" * 5000 + "\n" + "word " * 900 + "# " * 500
    for chunk in gen_overlapping_chunks("d", text, size=100, overlap=30, boundary=boundary):  # type: ignore[arg-type]
        assert len(chunk.text) <= 100


def test_an_incremental_run_adds_what_stands_at_the_edge_of_a_batch_again(file: Path) -> None:
    docs = [doc(f"{n:03}.md", f"text {n} goes on. " * 37) for n in range(200)]
    for size in (1, 7, 16, 200):
        embed = make_embedder("hash:16")
        embed.batch = size
        report = build_index(file, docs, ENV, embedder=embed)
        assert report.indexed in (200, 0)
        with Index(file) as index:
            ids = list(index.chunk_ids())
            assert len(ids) == len(set(ids)) == index.counts()["chunks"]


def test_the_record_and_the_store_part_for_ever_when_the_embedder_fails(file: Path) -> None:
    """What is recorded as done and what can be found are one transaction."""

    class Failing:
        fingerprint, batch = "hash:16", 8
        left = 40

        def __call__(self, texts: Sequence[str], /) -> list[array[float]]:
            self.left -= 1
            if self.left < 0:
                raise TimeoutError("no answer")
            return make_embedder("hash:16")(texts)

    docs = [doc(f"{n:03}.md", f"word{n} goes on. " * 60) for n in range(150)]
    with pytest.raises(EmbedderProblem):
        build_index(file, docs, ENV, embedder=Failing())
    with Index(file) as index:
        recorded = {source for (source,) in index.rows("SELECT source FROM document")}
        assert list(index.check()) == []
        found = {hit.source for n in range(150) for hit in search(index, f"word{n}", 1)}
    assert recorded == found
    report = build_index(file, docs, ENV, embedder=make_embedder("hash:16"))
    assert report.unchanged == len(recorded)
    assert report.indexed == 150 - len(recorded)


def test_chunk_ids_are_random(tmp_path: Path) -> None:
    docs = [doc(f"{n}.md", f"text {n}. " * 50) for n in range(5)]
    found = []
    for name in ("a.db", "b.db"):
        build_index(tmp_path / name, docs if name == "a.db" else docs[::-1], ENV)
        with Index(tmp_path / name) as index:
            found.append(list(index.chunk_ids()))
    assert found[0] == found[1]


def test_an_upsert_keeps_only_the_last_chunk_of_a_document(file: Path) -> None:
    build_index(file, [doc("a.md", "First. " * 50)], ENV)
    build_index(file, [doc("a.md", "First. " * 50 + "Second. " * 50)], ENV)
    with Index(file) as index:
        assert "".join(t[s:] for t, s in index.rows("SELECT text, shared FROM chunk ORDER BY ordinal")) == (
            "First. " * 50 + "Second. " * 50
        )


def test_a_second_index_call_replaces_the_first_in_silence(file: Path) -> None:
    """What is left out of a corpus is removed, and that is told, document by document."""
    build_index(file, [doc("a.md", "one"), doc("b.md", "two")], ENV)
    events = list(gen_ingest(file, [doc("b.md", "two")], ENV))
    assert events == [Event("unchanged", "b.md", size=3), Event("removed", "a.md")]


def test_one_bad_document_ends_the_run_or_is_left_out_in_silence(tmp_path: Path, file: Path) -> None:
    folder = tmp_path / "docs"
    folder.mkdir()
    for name, data in {
        "a.md": b"good",
        "b.md": b"caf\xe9",
        "c.txt": bytes(range(256)),
        "d.md": b"good too",
    }.items():
        (folder / name).write_bytes(data)
    report = build_index(
        file, make_docs_source(folder, on_error="collect")(), ENV, embedder=make_embedder("hash:8")
    )
    assert (report.indexed, report.quarantined) == (2, 2)
    with Index(file) as index:
        assert [source for (source,) in index.rows("SELECT source FROM quarantine ORDER BY 1")] == [
            "b.md",
            "c.txt",
        ]
        assert list(index.check()) == []


def test_a_failed_document_leaves_a_row_without_chunks(file: Path) -> None:
    def torn() -> Iterator[str]:
        yield "half"
        raise OSError(5, "Input/output error")

    build_index(file, [doc("a.md", torn), doc("b.md", "whole")], ENV)
    with Index(file) as index:
        assert list(index.rows("SELECT source FROM document")) == [("b.md",)]
        assert list(index.rows("SELECT source FROM stored_document")) == [("b.md",)]


def test_a_document_is_stored_without_its_vectors_when_the_embedder_fails(file: Path) -> None:
    class Silent:
        fingerprint, batch = "silent", 8

        def __call__(self, texts: Sequence[str], /) -> list[array[float]]:
            return []

    with pytest.raises(EmbedderProblem, match="gave 0 vectors for 1 texts"):
        build_index(file, [doc("a.md", "text")], ENV, embedder=Silent())
    with Index(file) as index:
        assert index.counts()["documents"] == 0


def test_bytes_that_do_not_decode_are_dropped(tmp_path: Path, file: Path) -> None:
    (tmp_path / "a.txt").write_bytes("café, naïve".encode("latin-1"))
    [event] = gen_ingest(file, make_docs_source(tmp_path / "a.txt", on_error="collect")(), ENV)
    assert (event.kind, event.line) == ("quarantined", 1)
    [event] = gen_ingest(file, make_docs_source(tmp_path / "a.txt", encoding="latin-1")(), ENV)
    with Index(file) as index:
        assert list(index.rows("SELECT text FROM chunk")) == [("café, naïve",)]


def test_progress_cannot_be_read_by_a_program(file: Path) -> None:
    events = list(gen_ingest(file, [doc("a.md", "one two"), doc("b.md", "three")], ENV))
    assert [(event.kind, event.source, event.chunks, event.size) for event in events] == [
        ("indexed", "a.md", 1, 7),
        ("indexed", "b.md", 1, 5),
    ]


def test_an_extension_of_sqlite_is_needed_for_vectors(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Vectors are plain blobs: nothing is loaded into SQLite, which many a Python could not do."""
    from funcpipe_rag.rag import writer

    loaded: list[str] = []
    opened = writer._opened

    def watched(path: str, patience: float) -> sqlite3.Connection:
        connection = opened(path, patience)
        connection.set_authorizer(
            lambda action, *names: loaded.append(str(names)) or 1 if "load_extension" in names else 0
        )
        return connection

    monkeypatch.setattr(writer, "_opened", watched)
    build_index(file, [doc("a.md", "one")], ENV, embedder=make_embedder("hash:4"))
    with Index(file) as index:
        [(chunk_id,)] = index.rows("SELECT chunk_id FROM chunk")
        assert index.vector(chunk_id) == make_embedder("hash:4")(["one"])[0]
    assert loaded == []


def test_a_filter_makes_a_full_text_search_collapse(file: Path) -> None:
    """tobi/qmd#455: a condition joined to the full-text query took 50 times as long as the query."""
    docs = [
        RawDoc(str(n), f"tee stream {n} " * 20, f"{'many' if n % 50 else 'few'}/{n}.md") for n in range(2000)
    ]
    build_index(file, docs, RagEnv(1000))
    with Index(file) as index:

        def steps_of(where: Filter) -> int:
            steps = 0

            def count() -> int:
                nonlocal steps
                steps += 1
                return 0

            index.connection.set_progress_handler(count, 100)
            assert search(index, "tee stream", where=where)
            index.connection.set_progress_handler(None, 0)
            return steps

        plain, few, one = (steps_of(Filter(sources)) for sources in ((), ("few/*",), ("many/1999.md",)))
    # At most one more ranking, and a question about each document in it.
    assert few < 6 * plain and one < 6 * plain


def test_a_quotation_is_not_checked_against_its_source(tmp_path: Path, file: Path) -> None:
    """archestra#7161, langchain#5972: what an answer cites need not be there, and nobody looks."""
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "tee.md").write_text("# Tee\n\nA tee splits one stream into two.\n")
    build_index(file, make_docs_source(docs)(), RagEnv(1000), settings={"roots": {"docs": str(docs)}})
    with Index(file) as index:
        [answer] = gen_answers(index, "What does a tee split?")
        assert (docs / "tee.md").read_text()[answer.citation.start : answer.citation.stop] == answer.text
        # The file has changed: the index's own copy is what it says, and says that it is that.
        (docs / "tee.md").write_text("# Tee\n\nA tee splits nothing any more at all.\n")
        [answer] = gen_answers(index, "What does a tee split?")
        assert answer.citation.checked == "index"
        # The copy has changed, too: nothing vouches for the sentence, so it is not said.
        index.close()
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("UPDATE stored_chunk SET raw = 'A tee splits hairs.'")
    with Index(file) as index:
        assert list(gen_answers(index, "What does a tee split?")) == []


def test_a_search_does_not_say_which_passage_it_found(file: Path) -> None:
    """raglite#50: what comes back has no id to ask for it again."""
    build_index(file, [RawDoc("a", "one tee. " * 40, "a.md"), RawDoc("b", "two forks", "b.md")], RagEnv(50))
    with Index(file) as index:
        ids = {id_.hex() for id_ in index.chunk_ids()}
        found = [hit.chunk_id for query in ("tee", "forks") for hit in search(index, query)]
        assert len(found) == 2 and set(found) <= ids
