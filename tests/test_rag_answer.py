"""Search and answers: real questions on a real corpus, any text as a query, and citations that hold."""

from __future__ import annotations

import sqlite3
import sysconfig
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from funcpipe_rag.rag import (
    Index,
    QueryError,
    RagEnv,
    RawDoc,
    build_index,
    clean,
    gen_answers,
    make_docs_source,
    search,
)
from funcpipe_rag.rag.index import content_hash
from funcpipe_rag.rag.retrieve import any_of, query_words
from funcpipe_rag.rag.sentences import gen_sentences

ENV = RagEnv(1000, 200, boundary="word")


@pytest.fixture(scope="module")
def stdlib(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index of this Python's standard library: some 2,000 files, 30 MB."""
    file = tmp_path_factory.mktemp("stdlib") / "stdlib.db"
    root = sysconfig.get_path("stdlib")
    report = build_index(
        file,
        make_docs_source(root, on_error="collect")(),
        ENV,
        settings={"roots": {"stdlib": root}, "encoding": "utf-8"},
    )
    assert report.size > 10_000_000
    return file


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("small")
    docs = folder / "docs"
    docs.mkdir()
    (docs / "tee.md").write_bytes(
        b"# Tee\r\n\r\n## How do I split a stream?\r\n\r\nUse `tee`.  \r\nIt keeps what lags behind.\r\n"
    )
    (docs / "chain.md").write_text(
        "# Chain\n\nChain joins streams, one after another. Caf\u00e9s have chains, too.\n"
    )
    file = folder / "docs.db"
    made = {"roots": {"docs": str(docs)}, "encoding": "utf-8"}
    build_index(file, make_docs_source(docs)(), ENV, settings=made)
    return file


def test_merging_sorted_iterators_finds_heapq_merge(stdlib: Path) -> None:
    with Index(stdlib) as index:
        hits = search(index, "how do I merge sorted iterators", 5)
        assert "heapq.py" in [hit.source for hit in hits[:3]]
        [best] = [hit for hit in hits if hit.source == "heapq.py"]
        assert "def merge(" in best.text
        answers = list(gen_answers(index, "how do I merge sorted iterators"))
    first = answers[0]
    assert first.text == "Merge multiple sorted inputs into a single sorted output."
    assert (first.citation.source, first.heading, first.citation.checked) == ("heapq.py", "merge", "file")
    raw = Path(sysconfig.get_path("stdlib"), "heapq.py").read_bytes().decode()
    assert raw[first.citation.start : first.citation.stop] == first.text


@pytest.mark.parametrize(
    ("question", "source"),
    [
        ("parser for command line options", "getopt.py"),
        ("how do I open a zip file", "zipfile.py"),
        ("least recently used cache decorator", "functools.py"),
        ("generate a random UUID", "uuid.py"),
        ("binary search in a sorted list", "bisect.py"),
        ("pretty print a dictionary", "pprint.py"),
    ],
)
def test_plain_questions_find_their_module(stdlib: Path, question: str, source: str) -> None:
    with Index(stdlib) as index:
        assert any(hit.source.startswith(source.removesuffix(".py")) for hit in search(index, question, 10))


def test_every_citation_is_the_raw_text_at_its_place(stdlib: Path) -> None:
    root = Path(sysconfig.get_path("stdlib"))
    with Index(stdlib) as index:
        for question in ("merge sorted iterators", "temporary directory", "parse a date", "close a file"):
            for answer in gen_answers(index, question):
                cited = answer.citation
                with open(root / cited.source, encoding="utf-8", newline="") as file:
                    raw = file.read()[cited.start : cited.stop]
                assert clean(raw) == answer.text
                assert content_hash(raw).hex() == cited.hash


def test_the_sentence_below_a_heading_that_asks_the_question_answers_it(small: Path) -> None:
    with Index(small) as index:
        [answer, *_] = gen_answers(index, "How can I split streams?")
    assert answer.text == "Use `tee`."
    assert answer.heading == "Tee > How do I split a stream?"
    assert str(answer.citation) == "tee.md:40-50"
    assert answer.citation.checked == "file"


def test_a_citation_says_what_it_was_checked_against(small: Path) -> None:
    tee = small.parent / "docs" / "tee.md"
    before = tee.read_bytes()

    def checked() -> str:
        with Index(small) as index:
            return next(gen_answers(index, "How can I split streams?")).citation.checked

    try:
        assert checked() == "file"
        tee.write_bytes(before + b"more behind it\n")
        assert checked() == "file"
        tee.write_bytes(b"\r\n" + before)
        assert checked() == "index"
        tee.write_bytes(b"\xff")
        assert checked() == "index"
        tee.unlink()
        assert checked() == "index"
    finally:
        tee.write_bytes(before)


def test_a_passage_that_is_no_longer_what_was_indexed_is_never_cited(tmp_path: Path) -> None:
    file = tmp_path / "docs.db"
    build_index(file, [RawDoc("a", "A tee splits one stream into two.", "a.md")], ENV)
    connection = sqlite3.connect(file)
    connection.execute("UPDATE stored_chunk SET text = 'A tee splits one stream into ten.'")
    connection.commit()
    connection.close()
    with Index(file) as index:
        assert list(gen_answers(index, "What splits a stream?")) == []


def test_a_sentence_right_below_its_heading_is_found_and_an_introduction_is_none(tmp_path: Path) -> None:
    file = tmp_path / "docs.db"
    text = (
        "# Tee\nA tee splits one stream into two.\n\nHow a tee splits a stream:\n\n    left, right = tee(x)\n"
    )
    build_index(file, [RawDoc("a", text, "a.md")], ENV)
    with Index(file) as index:
        [answer, *rest] = gen_answers(index, "What splits a stream?")
    assert answer.text == "A tee splits one stream into two."
    assert rest == []


def test_no_answer_is_no_answer(small: Path, stdlib: Path) -> None:
    for file in (small, stdlib):
        with Index(file) as index:
            assert list(gen_answers(index, "What is the boiling point of water?")) == []


def test_an_answer_is_of_one_commit_whatever_is_written_meanwhile(tmp_path: Path) -> None:
    file = tmp_path / "docs.db"
    old = "A tee splits one stream into two. Splitting streams costs memory. A split stream keeps its order."
    build_index(file, [RawDoc("a", old, "a.md")], ENV)
    with Index(file) as index:
        answers = gen_answers(index, "split a stream")
        texts = [next(answers).text]
        build_index(file, [RawDoc("b", "Nothing here.", "b.md")], ENV)
        texts += [answer.text for answer in answers]
        assert len(texts) == 3
        assert all(text in old for text in texts)
        assert search(index, "split") == []


def test_answers_may_be_dropped_after_their_index_is_closed(small: Path) -> None:
    with Index(small) as index:
        answers = gen_answers(index, "How can I split streams?")
        next(answers)
    answers.close()  # type: ignore[attr-defined]


def test_an_empty_index_answers_nothing(tmp_path: Path) -> None:
    file = tmp_path / "docs.db"
    build_index(file, [RawDoc("a", "", "a.md"), RawDoc("b", " \n", "b.md")], ENV)
    with Index(file) as index:
        assert search(index, "anything") == []
        assert list(gen_answers(index, "anything")) == []


@settings(deadline=None, max_examples=200)
@given(st.one_of(st.text(max_size=40), st.text(alphabet='"*^:(){}+-ab \0_', max_size=20)))
def test_any_text_is_a_query(small: Path, query: str) -> None:
    with Index(small) as index:
        try:
            words = any_of(query_words(query))
        except QueryError:
            assert not any(char.isalnum() for char in query)
        else:
            assert words
            search(index, query)
            list(gen_answers(index, query))


@pytest.mark.parametrize(
    "query", ['"', "a AND", "NEAR(a b)", "tee*", "body:tee", "-", "a" * 10_000, "x " * 5_000]
)
def test_what_looks_like_an_operator_is_only_text(small: Path, query: str) -> None:
    with Index(small) as index:
        if any(map(str.isalnum, query)):
            search(index, query)
        else:
            with pytest.raises(QueryError, match="no word to look for"):
                search(index, query)


def test_words_meet_by_stem_without_accents_and_identifiers_by_their_parts(small: Path) -> None:
    with Index(small) as index:
        for query in ("joining", "cafe", "CAF\u00c9S", "make_chain", "chain.md"):
            assert search(index, query)[0].source == "chain.md"


def test_a_search_gives_a_document_once_and_at_most_k(tmp_path: Path) -> None:
    file = tmp_path / "docs.db"
    docs = [RawDoc(str(n), f"stream {n} " * 400, f"{n}.md") for n in range(30)]
    build_index(file, docs, RagEnv(50))
    with Index(file) as index:
        for k in (1, 5, 40):
            sources = [hit.source for hit in search(index, "stream", k)]
            assert len(sources) == len(set(sources)) == min(k, 30)
        with pytest.raises(ValueError, match="k must be >= 1"):
            search(index, "stream", 0)
        with pytest.raises(ValueError, match="sentences must be >= 1"):
            gen_answers(index, "stream", sentences=0)


@given(st.text(alphabet=st.sampled_from("ab.!? \n#-'\"`>@A1"), max_size=80))
def test_sentences_go_forward_and_are_stripped(text: str) -> None:
    at = 0
    for sentence in gen_sentences(text):
        assert at <= sentence.start < sentence.stop <= len(text)
        words = text[sentence.start : sentence.stop]
        assert words == words.strip()
        at = sentence.stop


@pytest.mark.parametrize("chunk_size", [80, 120, 200])
def test_a_comment_in_a_program_is_no_heading_wherever_the_passage_begins(
    tmp_path: Path, chunk_size: int
) -> None:
    text = (
        "# Tee\n\n```\n"
        + "x = 1\n" * 20
        + "# a comment about frogs\ny = 2\n```\n\nA tee splits frogs into two.\n"
    )
    build_index(tmp_path / "i.db", [RawDoc("t", text, "t.md")], RagEnv(chunk_size, 20, boundary="word"))
    with Index(tmp_path / "i.db") as index:
        [answer, *_] = gen_answers(index, "What splits frogs?")
        assert (answer.text, answer.heading) == ("A tee splits frogs into two.", "Tee")


FILLER = "Filler goes on and on here. " * 50


@pytest.mark.parametrize(
    ("source", "metadata", "text", "heading"),
    [
        ("a.md", {}, "## Apples\n\nOne grows.\n\n## Pears\n\n{}\n", "Pears"),
        ("a.md", {}, "# Top\n\n### Apples\n\nOne grows.\n\n### Pears\n\n{}\n", "Top > Pears"),
        ("a.md", {}, "# Top\n\n## Apples\n\n" + FILLER + "\n\n## Pears\n\n{}\n", "Top > Pears"),
        ("a.md", {}, "# Top\n\n## Apples\n\n" + FILLER * 1000 + "\n\n## Pears\n\n{}\n", "Top > Pears"),
        ("n.ipynb#cell-1", {"format": ".md"}, "# Apples\n\nOne grows.\n\n# Pears\n\n{}\n", "Pears"),
        (
            "a.rst",
            {},
            "Top\n===\n\n" + FILLER + "\n\nPears\n-----\n\n{}\n\nMore\n----\n\nAnd on.\n",
            "Top > Pears",
        ),
    ],
)
def test_an_answer_names_the_headings_that_hold_at_its_place(
    tmp_path: Path, source: str, metadata: dict[str, str], text: str, heading: str
) -> None:
    file = tmp_path / "a.db"
    said = "A pear tastes sweet in autumn, they say."
    build_index(file, [RawDoc("a", text.format(said), source, metadata)], ENV)
    with Index(file) as index:
        [answer] = gen_answers(index, "how does a pear taste in autumn?", sentences=1)
    assert (answer.text, answer.heading) == (said, heading)


def test_an_accent_may_be_a_character_of_its_own(tmp_path: Path) -> None:
    texts = {"one.md": "Le re\u0301sume\u0301 est long.", "two.md": "Le r\u00e9sum\u00e9 est court."}
    file = tmp_path / "a.db"
    build_index(file, [RawDoc(name, text, name) for name, text in texts.items()], ENV)
    assert query_words("re\u0301sume\u0301") == ["r\u00e9sum\u00e9"]
    with Index(file) as index:
        for query in ("re\u0301sume\u0301", "r\u00e9sum\u00e9", "resume"):
            assert {hit.source for hit in search(index, query)} == set(texts)
