"""Filters, three rankings and the fast views: what may be found, in which order, whatever answers."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from array import array
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from funcpipe_rag.rag import (
    EmbedderProblem,
    Filter,
    Index,
    IndexMismatch,
    IndexProblem,
    RagEnv,
    RawDoc,
    Vector,
    build_index,
    fast_views as fast,
    gen_answers,
    gen_ingest,
    make_embedder,
    retrieve,
    search,
    sweep,
)

ENV = RagEnv(40, 0, boundary="word")
WORDS = ("tee", "stream", "fork", "merge", "chain")

# A source, words that are its text, and metadata.
corpora = st.lists(
    st.tuples(
        st.sampled_from(["a/", "b/", "a/c/"]),
        st.lists(st.sampled_from(WORDS), min_size=1, max_size=30),
        st.sampled_from([{}, {"kind": "note"}, {"kind": "log", "year's": '"1"'}]),
    ),
    min_size=1,
    max_size=12,
)
filters = st.builds(
    Filter,
    sources=st.sampled_from([(), ("a/*",), ("b/*", "a/c/*"), ("*1.md",), ("none",)]),
    metadata=st.sampled_from([{}, {"kind": "note"}, {"year's": '"1"'}, {"kind": "log", "year's": "2"}]),
)


def docs_of(corpus: Sequence[tuple[str, list[str], Mapping[str, str]]]) -> Iterator[RawDoc]:
    for number, (folder, words, metadata) in enumerate(corpus):
        source = f"{folder}{number}.md"
        yield RawDoc(source, " ".join(words), source, metadata)


def fits(doc: RawDoc, where: Filter) -> bool:
    from fnmatch import fnmatchcase

    sources = tuple(where.sources)
    return (not sources or any(fnmatchcase(doc.source, pattern) for pattern in sources)) and all(
        doc.metadata.get(key) == value for key, value in where.metadata.items()
    )


def conditioned(path: Path, words: Sequence[str], allowed: set[str]) -> list[str]:
    """What a search should give, by a query with the condition inside it, over all that there is."""
    scores: dict[str, float] = {}
    with sqlite3.connect(path) as connection:
        for view in ("chunk", "section"):
            rows = connection.execute(
                f"SELECT source FROM {view}_words JOIN {view} ON {view}.id = {view}_words.rowid "
                f"JOIN document ON document.id = {view}.document WHERE {view}_words MATCH ? ORDER BY rank, {view}.id",
                (retrieve.any_of(words),),
            )
            ranked = dict.fromkeys(source for (source,) in rows if source in allowed)
            for place, source in enumerate(ranked, 1):
                scores[source] = scores.get(source, 0.0) + 1 / (retrieve.RRF + place)
        order = [source for (source,) in connection.execute("SELECT source FROM document ORDER BY id")]
    return sorted(scores, key=lambda source: (-scores[source], order.index(source)))


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(corpora, filters, st.lists(st.sampled_from(WORDS), min_size=1, max_size=3, unique=True))
def test_a_filter_leaves_out_documents_and_changes_nothing_else(
    tmp_path: Path, corpus: list[tuple[str, list[str], dict[str, str]]], where: Filter, words: list[str]
) -> None:
    docs = list(docs_of(corpus))
    path = tmp_path / "i.db"
    path.unlink(missing_ok=True)
    build_index(path, docs, ENV)
    allowed = {doc.source for doc in docs if fits(doc, where)}
    with Index(path) as index:
        found = [hit.source for hit in search(index, " ".join(words), 20, where=where)]
        assert found == conditioned(path, words, allowed)
        answers = gen_answers(index, " ".join(words), where=where)
        assert {answer.citation.source for answer in answers} <= allowed


def test_the_one_document_that_may_be_found_is_found_behind_a_thousand_others(tmp_path: Path) -> None:
    path = tmp_path / "i.db"
    docs = [RawDoc(str(n), "tee tee tee", f"many/{n}.md") for n in range(1200)]
    docs.append(RawDoc("it", "a tee, and much else that is said here about other things", "one/it.md"))
    build_index(path, docs, ENV)
    with Index(path) as index:
        [hit] = search(index, "tee", where=Filter(sources=["one/*"]))
        assert hit.source == "one/it.md"
        assert search(index, "tee", where=Filter(sources=["none/*"])) == []


def test_a_document_that_is_not_to_be_seen_yet_takes_nobody_s_place(tmp_path: Path) -> None:
    path = tmp_path / "i.db"
    docs = [RawDoc(str(n), "tee tee tee", f"many/{n}.md") for n in range(700)]
    docs.append(RawDoc("it", "a tee, and much else that is said here about other things", "one/it.md"))
    build_index(path, docs, ENV)
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE stored_document SET state = 'arriving' WHERE source LIKE 'many/%'")
    connection.close()
    with Index(path) as index:
        assert [hit.source for hit in search(index, "tee")] == ["one/it.md"]


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda: Filter(sources="a/*"), "the string 'a/\\*'"),
        (lambda: Filter(sources=[1]), "must hold strings, got 1"),  # type: ignore[list-item]
        (lambda: Filter(metadata={"year": 1}), "must hold strings, got 1"),  # type: ignore[dict-item]
    ],
)
def test_a_filter_that_cannot_be_right_says_so(made: object, said: str) -> None:
    with pytest.raises(TypeError, match=said):
        made()  # type: ignore[operator]


class Meaning:
    """An embedder that knows two meanings: of water, and of streams."""

    fingerprint = "meaning:1"
    batch = 8

    def __call__(self, texts: Sequence[str], /) -> list[Vector]:
        about = ("water", "sea", "boils"), ("stream", "iterator", "tee")
        return [array("f", [float(sum(word in text for word in words)) for words in about]) for text in texts]


def test_an_embedder_finds_what_no_word_finds(tmp_path: Path) -> None:
    path = tmp_path / "i.db"
    docs = [RawDoc("s", "The sea is salt.", "s.md"), RawDoc("t", "An iterator is lazy.", "t.md")]
    build_index(path, docs, ENV, embedder=Meaning())
    with Index(path) as index:
        assert search(index, "When does water run?") == []
        assert [hit.source for hit in search(index, "When does water run?", embedder=Meaning())] == ["s.md"]
        assert search(index, "water", embedder=Meaning(), where=Filter(sources=["t.md"])) == []


def test_vectors_and_words_are_fused(tmp_path: Path) -> None:
    path = tmp_path / "i.db"
    docs = [
        RawDoc("a", "A stream of words.", "a.md"),
        RawDoc("b", "A stream of words, and a tee of an iterator.", "b.md"),
        RawDoc("c", "Nothing about it.", "c.md"),
    ]
    build_index(path, docs, RagEnv(200), embedder=Meaning())
    with Index(path) as index:
        lexical = search(index, "stream")
        fused = search(index, "stream", embedder=Meaning())
        assert [hit.source for hit in lexical] == ["a.md", "b.md"]
        # Both point the same way; the word alone ranks the shorter one first, and so do both.
        assert [hit.source for hit in fused] == ["a.md", "b.md"]
        assert fused[0].score == pytest.approx(3 / 61)


def test_another_embedder_than_the_index_was_built_with_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "i.db"
    build_index(path, [RawDoc("a", "one", "a")], ENV, embedder=make_embedder("hash:8"))
    with Index(path) as index:
        with pytest.raises(IndexMismatch, match="vectors of hash:8, the question's is of hash:16"):
            search(index, "one", embedder=make_embedder("hash:16"))
        assert [hit.source for hit in search(index, "one", embedder=make_embedder("hash:8"))] == ["a"]


def test_without_numpy_comparing_vectors_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "i.db"
    build_index(path, [RawDoc("a", "one", "a")], ENV, embedder=make_embedder("hash:8"))
    monkeypatch.setitem(__import__("sys").modules, "numpy", None)
    with Index(path) as index, pytest.raises(EmbedderProblem, match=r'pip install "funcpipe-rag\[rag\]"'):
        search(index, "one", embedder=make_embedder("hash:8"))


def with_views(path: Path, docs: Sequence[RawDoc], **options: bool) -> None:
    build_index(path, docs, ENV, fast_views=True, **options)


def views_of(path: Path) -> fast.FastViews | None:
    with Index(path) as index:
        return fast.fast_views(index)


@pytest.fixture(scope="module")
def tantivy() -> None:
    pytest.importorskip("tantivy")


@pytest.mark.usefixtures("tantivy")
class TestFastViews:
    @settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(corpora, filters, st.lists(st.sampled_from(WORDS), min_size=1, max_size=2, unique=True))
    def test_they_find_the_same_documents(
        self,
        tmp_path: Path,
        corpus: list[tuple[str, list[str], dict[str, str]]],
        where: Filter,
        words: list[str],
    ) -> None:
        path = tmp_path / "i.db"
        path.unlink(missing_ok=True)
        with_views(path, list(docs_of(corpus)))
        with Index(path) as index:
            assert fast.fast_views(index) is not None
            fast_ones = {hit.source for hit in search(index, " ".join(words), 20, where=where)}
        # Moved, not deleted: a thread of tantivy's may still be writing in there.
        os.rename(f"{path}{fast.FOLDER}", tmp_path / uuid4().hex)
        with Index(path) as index:
            assert fast_ones == {hit.source for hit in search(index, " ".join(words), 20, where=where)}

    def test_a_word_that_is_an_operator_there_is_a_word(self, tmp_path: Path) -> None:
        with_views(tmp_path / "i.db", [RawDoc("a", "NOT and OR in field:value", "a.md")])
        with Index(tmp_path / "i.db") as index:
            for query in ("NOT", "OR", "field:value", '"NOT', "value IN [a TO b]", "value^2 ~x *"):
                assert [hit.source for hit in search(index, query)] == ["a.md"], query

    def test_words_are_compared_by_their_stem_and_without_accents(self, tmp_path: Path) -> None:
        with_views(tmp_path / "i.db", [RawDoc("a", "Caf\u00e9s were Merging", "a.md")])
        with Index(tmp_path / "i.db") as index:
            assert fast.fast_views(index) is not None
            for query in ("cafe", "CAF\u00c9", "merges"):
                assert [hit.source for hit in search(index, query)] == ["a.md"], query

    def test_they_are_of_the_last_run(self, tmp_path: Path) -> None:
        path = tmp_path / "i.db"
        docs = [RawDoc(name, f"{name} stream", f"{name}.md") for name in ("a", "b")]
        with_views(path, docs)
        assert views_of(path) is not None
        with_views(path, [docs[0], docs[1]._replace(text="now a tee")])
        with Index(path) as index:
            assert fast.fast_views(index) is not None
            assert [hit.source for hit in search(index, "tee")] == ["b.md"]
            assert [hit.source for hit in search(index, "stream")] == ["a.md"]

    def test_an_unchanged_corpus_leaves_them_as_they_are(self, tmp_path: Path) -> None:
        path = tmp_path / "i.db"
        docs = [RawDoc("a", "stream", "a.md")]
        with_views(path, docs)
        before = sorted(
            (file.name, file.stat().st_mtime_ns) for file in Path(f"{path}.tantivy/chunk").iterdir()
        )
        build_index(path, docs, ENV)
        assert sweep(path).vectors == 0
        after = sorted(
            (file.name, file.stat().st_mtime_ns) for file in Path(f"{path}.tantivy/chunk").iterdir()
        )
        assert before == after
        assert views_of(path) is not None

    def test_while_a_build_goes_on_the_index_answers(self, tmp_path: Path) -> None:
        path = tmp_path / "i.db"
        docs = [RawDoc(name, "stream", f"{name}.md") for name in ("a", "b")]
        with_views(path, docs[:1])
        with Index(path) as index:
            assert fast.fast_views(index) is not None
            events = gen_ingest(path, docs, ENV, clock=iter(range(0, 1000, 10)).__next__)
            assert next(events).kind == "unchanged"
            assert next(events).source == "b.md"
            assert fast.fast_views(index) is None
            assert {hit.source for hit in search(index, "stream")} == {"a.md", "b.md"}
            events.close()  # type: ignore[attr-defined]
            # It was stopped: what it changed is in no view.
            assert fast.fast_views(index) is None
            build_index(path, docs, ENV)
            assert fast.fast_views(index) is not None
            assert {hit.source for hit in search(index, "stream")} == {"a.md", "b.md"}

    def test_views_are_made_anew_though_somebody_writes_into_the_old_ones(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / "i.db"
        with_views(path, [RawDoc("a", "stream", "a.md")])

        def stays_full(folder: str, **_: object) -> None:
            """A deletion that finds a new file whenever it has deleted one."""

        monkeypatch.setattr(shutil, "rmtree", stays_full)
        with_views(path, [RawDoc("a", "stream", "a.md"), RawDoc("b", "stream", "b.md")])
        assert views_of(path) is not None
        assert list(tmp_path.glob("i.db.tantivy.*.old"))
        monkeypatch.undo()
        with_views(path, [RawDoc("a", "stream", "a.md")])
        assert not list(tmp_path.glob("i.db.tantivy.*"))

    @pytest.mark.parametrize("damage", ["stamp.json", "chunk/meta.json", "section"])
    def test_damaged_views_are_not_used(self, tmp_path: Path, damage: str) -> None:
        path = tmp_path / "i.db"
        with_views(path, [RawDoc("a", "stream", "a.md")])
        hurt = Path(f"{path}.tantivy") / damage
        if hurt.is_dir():
            shutil.rmtree(hurt)
        else:
            hurt.write_text("{")
        assert views_of(path) is None
        with Index(path) as index:
            assert [hit.source for hit in search(index, "streams")] == ["a.md"]

    def test_views_of_another_format_are_made_anew(self, tmp_path: Path) -> None:
        path = tmp_path / "i.db"
        docs = [RawDoc("a", "stream", "a.md")]
        with_views(path, docs)
        stamp = Path(f"{path}.tantivy/stamp.json")
        stamp.write_text(json.dumps({**json.loads(stamp.read_text()), "format": fast.FORMAT + 1}))
        assert views_of(path) is None
        build_index(path, docs, ENV)
        assert views_of(path) is not None

    def test_they_go_when_they_are_not_wanted(self, tmp_path: Path) -> None:
        path = tmp_path / "i.db"
        docs = [RawDoc("a", "stream", "a.md")]
        with_views(path, docs)
        build_index(path, docs, ENV, fast_views=False)
        assert not Path(f"{path}.tantivy").exists()
        build_index(path, docs, ENV)
        assert not Path(f"{path}.tantivy").exists()

    def test_a_rebuild_makes_them_anew(self, tmp_path: Path) -> None:
        path = tmp_path / "i.db"
        with_views(path, [RawDoc("a", "stream", "a.md")])
        with_views(path, [RawDoc("b", "stream", "b.md")], rebuild=True)
        assert views_of(path) is not None
        with Index(path) as index:
            assert [hit.source for hit in search(index, "stream")] == ["b.md"]


def test_without_tantivy_fast_views_are_refused_before_anything_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fast, "find_spec", lambda name: None)

    def docs() -> Iterator[RawDoc]:
        raise AssertionError("it was read")
        yield

    with pytest.raises(IndexProblem, match=r'pip install "funcpipe-rag\[tantivy\]"'):
        build_index(tmp_path / "i.db", docs(), ENV, fast_views=True)
    assert not (tmp_path / "i.db").exists()
