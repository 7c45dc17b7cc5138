"""Building again: what is embedded anew, what is left behind, what is kept when something fails."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from funcpipe_rag.rag import (
    EmbedderProblem,
    Index,
    IndexBusy,
    IndexMismatch,
    IndexProblem,
    NoIndex,
    RagEnv,
    RawDoc,
    Vector,
    build_index,
    gen_chunks,
    gen_clean_docs,
    gen_ingest,
    make_embedder,
    search,
    sweep,
)
from funcpipe_rag.rag.writer import LARGE

ENV = RagEnv(80, 20, boundary="markdown")


class Counting:
    """A real embedder that notes what it is given, and may fail."""

    batch = 16

    def __init__(self, *, fails_after: int | None = None, fingerprint: str = "hash:16") -> None:
        self.fingerprint = fingerprint
        self.texts: list[str] = []
        self._embed = make_embedder("hash:16")
        self._fails_after = fails_after

    def __call__(self, texts: Sequence[str], /) -> list[Vector]:
        if self._fails_after is not None and len(self.texts) + len(texts) > self._fails_after:
            raise ConnectionError("the server is gone")
        self.texts += texts
        return self._embed(texts)


def page(name: str, sections: int = 8, **changed: str) -> RawDoc:
    """A page of sections, each of a few chunks; some of them say something else."""
    bodies = {f"s{n}": " ".join(f"{name}{n}w{w}." for w in range(20)) for n in range(sections)} | changed
    text = "".join(f"# {title}\n{body}\n" for title, body in bodies.items())
    return RawDoc(name, text, f"{name}.md")


def texts_of(docs: Sequence[RawDoc]) -> set[str]:
    return {chunk.text for chunk in gen_chunks(gen_clean_docs(docs), ENV)}


def stored(path: Path) -> dict[str, set[str]]:
    """The texts of each document, after a check that each has its vector and all is as it should be."""
    with Index(path) as index:
        assert list(index.check()) == []
        found: dict[str, set[str]] = {}
        for source, text in index.rows(
            "SELECT source, text FROM chunk JOIN document ON document.id = document"
        ):
            found.setdefault(source, set()).add(text)
        return found


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "docs.db"


@pytest.fixture
def docs() -> list[RawDoc]:
    return [page(f"p{n}x") for n in range(30)]


def test_an_unchanged_corpus_embeds_nothing_again(file: Path, docs: list[RawDoc]) -> None:
    first, second = Counting(), Counting()
    build_index(file, docs, ENV, embedder=first)
    assert sorted(first.texts) == sorted(texts_of(docs))
    report = build_index(file, docs, ENV, embedder=second)
    assert (second.texts, report.unchanged, report.indexed) == ([], 30, 0)


def test_one_edited_document_embeds_only_its_changed_texts_and_leaves_none_stale(
    file: Path, docs: list[RawDoc]
) -> None:
    build_index(file, docs, ENV, embedder=Counting())
    before = texts_of(docs)
    docs[7] = page(
        "p7x", s3="something quite different. And more of it, so that there are two chunks of this text here."
    )
    again = Counting()
    report = build_index(file, docs, ENV, embedder=again)
    assert report.indexed == 1
    assert set(again.texts) == texts_of(docs) - before
    assert 1 <= len(again.texts) <= 3
    assert stored(file)["p7x.md"] == texts_of([docs[7]])


def test_a_removed_document_leaves_no_chunk(file: Path, docs: list[RawDoc]) -> None:
    build_index(file, docs, ENV, embedder=Counting())
    report = build_index(file, docs[:-1], ENV, embedder=Counting())
    assert report.removed == 1
    assert set(stored(file)) == {doc.source for doc in docs[:-1]}
    with Index(file) as index:
        assert search(index, "p29x3w5") == []


def test_a_document_that_was_renamed_embeds_nothing(file: Path, docs: list[RawDoc]) -> None:
    build_index(file, docs, ENV, embedder=Counting())
    docs[3] = docs[3]._replace(source="renamed.md")
    again = Counting()
    report = build_index(file, docs, ENV, embedder=again)
    assert (report.indexed, report.removed, again.texts) == (1, 1, [])
    assert "renamed.md" in stored(file)


def test_an_embedder_that_fails_midway_keeps_what_was_committed_and_what_it_made(
    file: Path, docs: list[RawDoc]
) -> None:
    docs = [page(f"p{n}x", sections=24) for n in range(30)]
    wanted = len(texts_of(docs))
    failing = Counting(fails_after=wanted * 2 // 3)
    with pytest.raises(EmbedderProblem, match="hash:16 failed: ConnectionError: the server is gone"):
        build_index(file, docs, ENV, embedder=failing)
    kept = stored(file)
    assert 0 < len(kept) < 30
    with Index(file) as index:
        assert list(index.rows("SELECT state FROM run")) == [("failed",)]
    again = Counting()
    report = build_index(file, docs, ENV, embedder=again)
    assert report.unchanged == len(kept)
    # Nothing that was made is made twice.
    assert len(again.texts) + len(failing.texts) == wanted
    assert set(stored(file)) == {doc.source for doc in docs}


def test_other_metadata_is_another_version_and_embeds_nothing(file: Path) -> None:
    docs = [page("p")._replace(metadata={"tag": "old"}), page("q")]
    build_index(file, docs, ENV, embedder=Counting())
    again = Counting()
    docs[0] = docs[0]._replace(metadata={"tag": "new"})
    report = build_index(file, docs, ENV, embedder=again)
    assert (report.indexed, report.unchanged, again.texts) == (1, 1, [])
    with Index(file) as index:
        assert list(index.rows("SELECT metadata FROM document ORDER BY source")) == [
            ('{"tag": "new"}',),
            ("{}",),
        ]


def test_the_same_text_in_many_documents_is_embedded_once(file: Path) -> None:
    docs = [RawDoc(str(n), "# Licence\nthe same words everywhere", f"{n}.md") for n in range(50)]
    counting = Counting()
    build_index(file, docs, ENV, embedder=counting)
    assert counting.texts == ["# Licence\nthe same words everywhere"]


def test_another_embedder_is_refused_by_name_and_a_rebuild_takes_it(file: Path, docs: list[RawDoc]) -> None:
    build_index(file, docs, ENV, embedder=Counting())
    for other in (None, Counting(fingerprint="hash:17")):
        with pytest.raises(IndexMismatch, match=r"embedder 'hash:16' there, .* asked for.*--rebuild"):
            build_index(file, docs, ENV, embedder=other)
    other = Counting(fingerprint="hash:17")
    build_index(file, docs, ENV, embedder=other, rebuild=True)
    assert len(other.texts) == len(texts_of(docs))
    assert set(stored(file)) == {doc.source for doc in docs}


def test_a_rebuild_leaves_the_old_index_to_readers_until_the_new_one_is_whole(
    file: Path, docs: list[RawDoc]
) -> None:
    build_index(file, docs, ENV, embedder=Counting())
    old = stored(file)
    env = RagEnv(60, 0, boundary="markdown")
    asked: list[int] = []

    def watched() -> Iterator[RawDoc]:
        for n, doc in enumerate(docs):
            asked.append(n)
            assert stored(file) == old
            yield doc

    with Index(file) as reader:
        report = build_index(file, watched(), env, embedder=Counting(), rebuild=True)
        # A reader that was open sees the new index with its next question, and no mixture.
        assert {source for (source,) in reader.rows("SELECT source FROM document")} == set(old)
        assert reader.settings()["chunk_size"] == 60
    assert (report.indexed, len(asked)) == (30, 30)
    assert stored(file) != old
    assert [path.name for path in file.parent.glob("*.rebuild*")] == []


def test_a_rebuild_that_was_stopped_leaves_the_old_index_and_goes_on(file: Path, docs: list[RawDoc]) -> None:
    build_index(file, docs, ENV, embedder=Counting())
    old = stored(file)
    env = RagEnv(60, 0, boundary="markdown")

    def torn() -> Iterator[RawDoc]:
        yield from docs[:20]
        raise OSError(5, "Input/output error")

    first = Counting()
    with pytest.raises(OSError, match="Input/output error"):
        build_index(file, torn(), env, embedder=first, rebuild=True)
    assert stored(file) == old
    second = Counting()
    report = build_index(file, docs, env, embedder=second, rebuild=True)
    assert (report.unchanged, report.indexed) == (20, 10)
    assert not set(first.texts) & set(second.texts)
    # Other settings are another rebuild, and begin at the beginning.
    with pytest.raises(OSError, match="Input/output error"):
        build_index(file, torn(), RagEnv(50), rebuild=True)
    assert build_index(file, docs, RagEnv(70), rebuild=True).indexed == 30


def test_a_rebuild_with_the_same_embedder_borrows_the_vectors_it_has(file: Path, docs: list[RawDoc]) -> None:
    build_index(file, docs, ENV, embedder=Counting())
    again = Counting()
    assert build_index(file, docs, ENV, embedder=again, rebuild=True).indexed == 30
    assert again.texts == []
    assert set(stored(file)) == {doc.source for doc in docs}


def test_a_rebuild_waits_for_no_other_builder(file: Path, docs: list[RawDoc]) -> None:
    build_index(file, docs, ENV)
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(IndexBusy, match="another build is writing"):
        build_index(file, docs, RagEnv(50), rebuild=True, patience=0.01)
    other.close()


def large(version: int = 1, words: int = 40_000) -> RawDoc:
    return RawDoc("large", " ".join(f"w{w if w % 999 else version}." for w in range(words)), "large.txt")


def test_a_large_document_is_not_there_until_it_is_whole(file: Path) -> None:
    build_index(file, [large(1), page("p")], ENV)
    old = stored(file)
    assert len(old["large.txt"]) > LARGE
    seen: list[bool] = []

    class Looking(Counting):
        def __call__(self, texts: Sequence[str], /) -> list[Vector]:
            with Index(file) as index:
                sources = {source for (source,) in index.rows("SELECT source FROM document")}
                [(chunks,)] = index.rows("SELECT count(*) FROM chunk WHERE text LIKE '%w2.%'")
                hits = [hit.source for hit in search(index, "w3")]
            seen.append((sources, chunks, hits) == ({"large.txt", "p.md"}, old_chunks, ["large.txt"]))
            return super().__call__(texts)

    with Index(file) as index:
        [(old_chunks,)] = index.rows("SELECT count(*) FROM chunk WHERE text LIKE '%w2.%'")
    # The embedder is asked while the document is staged, and the old version is what is found.
    build_index(file.with_name("v.db"), [large(1), page("p")], ENV, embedder=Counting())
    file = file.with_name("v.db")
    report = build_index(file, [large(2), page("p")], ENV, embedder=Looking())
    assert (report.indexed, report.unchanged) == (1, 1)
    assert len(seen) >= 2
    assert all(seen)
    assert stored(file)["large.txt"] == texts_of([large(2)])


def test_no_transaction_of_a_large_document_is_large(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted in statements between two commits, for staging, moving, replacing and removing."""
    from funcpipe_rag.rag import writer

    opened = writer._opened
    lengths: list[int] = []

    def watched(path: str, patience: float) -> sqlite3.Connection:
        connection = opened(path, patience)
        count = 0

        def counted(statement: str) -> None:
            nonlocal count
            count += 1
            if statement == "COMMIT":
                lengths.append(count)
                count = 0

        connection.set_trace_callback(counted)
        return connection

    monkeypatch.setattr(writer, "_opened", watched)
    for docs in ([large(1)], [large(2)], []):
        build_index(file, docs, ENV)
    assert len(lengths) > 3 * LARGE // writer.GROUP_CHUNKS
    # What a chunk costs is a few statements of ours and FTS5's own.
    assert max(lengths) < 40 * writer.GROUP_CHUNKS


def test_a_large_document_that_cannot_be_read_to_its_end_keeps_its_last_version(file: Path) -> None:
    build_index(file, [large()], ENV)
    old = stored(file)

    def torn() -> Iterator[str]:
        yield str(large(2).text)
        raise OSError(5, "Input/output error")

    opened: list[int] = []

    def shrinks() -> Iterator[str]:
        opened.append(1)
        return iter([str(large(2).text) * 6][: 2 - len(opened)])

    for text, reason in ((torn, "Input/output error"), (shrinks, "it changed while it was read")):
        [event] = gen_ingest(file, [RawDoc("large", text, "large.txt")], ENV)
        assert (event.kind, event.reason, event.stale) == ("quarantined", reason, 1)
        assert stored(file) == old
        with Index(file) as index:
            assert list(index.rows("SELECT count(*) FROM staged_chunk")) == [(0,)]


def test_a_sweep_takes_only_what_nobody_asks_for(file: Path, docs: list[RawDoc]) -> None:
    build_index(file, [*docs, large()], ENV, embedder=Counting())
    build_index(file, docs[:10], ENV, embedder=Counting())
    with pytest.raises(OSError, match="torn"):
        build_index(file, torn_corpus(docs), RagEnv(50), rebuild=True)
    before = stored(file)
    swept = sweep(file)
    assert swept.vectors == len(texts_of([*docs, large()]) - texts_of(docs[:10]))
    assert swept.bytes > 500_000
    assert stored(file) == before
    assert [path.name for path in file.parent.glob("*.rebuild*")] == []
    assert sweep(file).vectors == 0
    again = Counting()
    assert build_index(file, docs[:10], ENV, embedder=again).unchanged == 10
    with pytest.raises(NoIndex, match="there is no index"):
        sweep(file.with_name("none.db"))


def torn_corpus(docs: Sequence[RawDoc]) -> Iterator[RawDoc]:
    yield docs[0]
    raise OSError("torn")


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        ("UPDATE stored_chunk SET text = 'other' WHERE id = 3", "its text is not what was written"),
        ("UPDATE stored_chunk SET start = start + 1 WHERE id = 3", "its id is not that of its text"),
        ("UPDATE stored_chunk SET ordinal = 9999 WHERE id = 3", "it does not follow the chunk before it"),
        ("DELETE FROM stored_chunk WHERE id = 3", "chunks, wants"),
        (
            "DELETE FROM vector WHERE text_hash = (SELECT text_hash FROM stored_chunk WHERE id = 3)",
            "1 chunks have no vector",
        ),
        (
            "UPDATE vector SET numbers = x'00' WHERE text_hash = (SELECT text_hash FROM stored_chunk WHERE id = 3)",
            "2 different lengths",
        ),
        ("DELETE FROM stored_section", "only in the full text"),
        ("UPDATE stored_chunk SET document = 999 WHERE id = 3", "belong to no document"),
        ("UPDATE stored_chunk SET heading = 'other' WHERE id = 3", "not that of the index"),
    ],
)
def test_every_damage_is_found(file: Path, docs: list[RawDoc], damage: str, says: str) -> None:
    build_index(file, docs[:3], ENV, embedder=Counting())
    connection = sqlite3.connect(file)
    with connection:
        connection.execute(damage)
    connection.close()
    with Index(file) as index:
        assert any(says in problem for problem in index.check())


def test_two_builders_at_once_do_not_mix(file: Path, docs: list[RawDoc]) -> None:
    events = gen_ingest(file, iter(docs), ENV)
    next(events)
    assert build_index(file, docs[:5], ENV).removed >= 0
    with pytest.raises(IndexBusy, match="has begun since"):
        list(events)
    assert set(stored(file)) == {doc.source for doc in docs[:5]}


def test_an_index_of_a_newer_format_is_left_as_it_is(file: Path, docs: list[RawDoc]) -> None:
    build_index(file, docs[:3], ENV)
    connection = sqlite3.connect(file)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    uses: list[Callable[[], object]] = [
        lambda: build_index(file, docs, ENV),
        lambda: Index(file),
        lambda: sweep(file),
    ]
    before = file.read_bytes()
    for use in uses:
        with pytest.raises(
            IndexMismatch, match="has the format 99, this version writes 2; build it anew with --rebuild"
        ):
            use()
    assert file.read_bytes() == before
    assert build_index(file, docs, ENV, rebuild=True).indexed == 30


def test_a_read_only_index_is_named(
    tmp_path: Path, docs: list[RawDoc], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As SQLite says it; `test_cli_rag` does it with permissions."""
    from funcpipe_rag.rag import writer

    file = tmp_path / "docs.db"
    build_index(file, docs[:3], ENV)
    address = writer.reading_address
    monkeypatch.setattr(
        writer, "reading_address", lambda path: address(path).replace("?mode=ro", "?immutable=1&x=")
    )
    with pytest.raises(IndexProblem, match="cannot be written"):
        build_index(file, docs, ENV)
