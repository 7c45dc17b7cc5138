"""The index: what a build writes, what it keeps, and what is left when it is stopped."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from itertools import repeat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from funcpipe_rag.rag import (
    Event,
    Index,
    IndexBusy,
    IndexMismatch,
    IndexProblem,
    NoIndex,
    NotAnIndex,
    Quarantined,
    RagEnv,
    RawDoc,
    build_index,
    clean,
    gen_ingest,
    make_docs_source,
    search,
)
from funcpipe_rag.rag.ingest import KEPT

ENV = RagEnv(40, 10, boundary="word")


def doc(source: str, text: object) -> RawDoc:
    return RawDoc(source, text, source)  # type: ignore[arg-type]


def corpus(count: int, words: int = 60) -> list[RawDoc]:
    return [doc(f"{n:03}.txt", " ".join(f"word{n}x{w}" for w in range(words))) for n in range(count)]


def ids(path: Path) -> list[bytes]:
    with Index(path) as index:
        assert list(index.check()) == []
        # FTS5's own check: the words of each passage and section are those that were indexed.
        connection = sqlite3.connect(path)
        for words in ("chunk_words", "section_words"):
            connection.execute(f"INSERT INTO {words} ({words}, rank) VALUES ('integrity-check', 1)")
        connection.close()
        return list(index.chunk_ids())


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "docs.db"


def test_every_stored_passage_is_its_raw_slice(file: Path) -> None:
    raw = "# One\r\n\r\ntwo  \r\nthree \x0c four\r\n" * 20
    build_index(file, [doc("a.md", raw)], ENV)
    with Index(file) as index:
        rows = list(index.rows("SELECT start, stop, text, coalesce(raw, text) FROM chunk ORDER BY ordinal"))
    assert len(rows) > 10
    for start, stop, text, kept in rows:
        assert kept == raw[start:stop]
        assert clean(kept) == text


def test_an_unchanged_corpus_writes_nothing_again(file: Path) -> None:
    first = build_index(file, corpus(5), ENV)
    before = ids(file)
    second = build_index(file, corpus(5), ENV)
    assert (first.indexed, second.indexed, second.unchanged) == (5, 0, 5)
    assert ids(file) == before


def test_a_changed_document_replaces_its_last_version(file: Path) -> None:
    docs = corpus(5)
    build_index(file, docs, ENV)
    docs[2] = doc("002.txt", "quite different words")
    report = build_index(file, docs, ENV)
    assert (report.indexed, report.unchanged) == (1, 4)
    with Index(file) as index:
        assert [hit.source for hit in search(index, "different")] == ["002.txt"]
        assert search(index, "word2x5") == []
    fresh = file.with_name("fresh.db")
    build_index(fresh, docs, ENV)
    assert ids(file) == ids(fresh)


@settings(deadline=None, max_examples=25)
@given(
    st.lists(st.dictionaries(st.sampled_from("abcd"), st.text(alphabet="xy z\n", max_size=30)), max_size=4)
)
def test_after_any_history_the_index_is_that_of_the_last_corpus(
    tmp_path_factory: pytest.TempPathFactory, history: list[dict[str, str]]
) -> None:
    folder = tmp_path_factory.mktemp("history")
    env = RagEnv(6, 2)
    for state in [*history, {"a": "x y", "e": "z"}]:
        docs = [doc(name, text) for name, text in state.items()]
        build_index(folder / "lived.db", docs, env)
    build_index(folder / "fresh.db", docs, env)
    assert ids(folder / "lived.db") == ids(folder / "fresh.db")


class Torn(OSError):
    """A corpus, or a text in it, that breaks off."""


def unreadable() -> Iterator[str]:
    yield "half a text"
    raise Torn(5, "Input/output error")


runs = st.fixed_dictionaries(
    {
        # Few names and texts, so that the same ones come back.
        "docs": st.dictionaries(st.sampled_from("abc"), st.sampled_from([None, "", "x y", "x y zz\n x"])),
        "ends": st.sampled_from(["whole", "torn", "stopped"]),
        "after": st.integers(0, 3),
    }
)


@settings(deadline=None, max_examples=50)
@given(st.lists(runs, min_size=1, max_size=6))
def test_a_build_skips_the_unchanged_keeps_the_unreadable_and_removes_only_at_the_end(
    tmp_path_factory: pytest.TempPathFactory, history: list[dict[str, Any]]
) -> None:
    """A dictionary is the index's model; None is a document that cannot be read."""
    file = tmp_path_factory.mktemp("model") / "docs.db"
    texts: dict[str, str] = {}
    stale: set[str] = set()
    for run in history:
        whole = run["ends"] == "whole"
        names = sorted(run["docs"])
        names = names if whole else names[: run["after"]]

        def docs(names: list[str] = names, run: dict[str, Any] = run) -> Iterator[RawDoc]:
            for name in names:
                text = run["docs"][name]
                yield doc(name, unreadable if text is None else text)
            if run["ends"] == "torn":
                raise Torn(5, "the walk broke off")

        # Every document is asked after; the last of them is where to stop.
        answers = repeat(False) if run["ends"] != "stopped" else iter([*[False] * (len(names) - 1), True])
        events: list[Event] = []
        try:
            events.extend(gen_ingest(file, docs(), RagEnv(6, 2), stop=answers.__next__))
        except Torn:
            assert run["ends"] == "torn"
        # A stop is asked for behind a document: a corpus without any has been read to its end.
        whole = whole or (run["ends"] == "stopped" and not names)
        wanted = []
        for name in names:
            text = run["docs"][name]
            if text is None:
                wanted.append(("quarantined", name))
                stale |= {name} & texts.keys()
            else:
                wanted.append(("unchanged" if texts.get(name) == text else "indexed", name))
                texts[name] = text
                stale.discard(name)
        if whole:
            for name in sorted(texts.keys() - set(names)):
                wanted.append(("removed", name))
                del texts[name]
                stale.discard(name)
        if run["ends"] != "torn":  # what was told before the corpus broke off came with it
            assert [(event.kind, event.source) for event in events] == wanted
        with Index(file) as index:
            rows = index.rows("SELECT source, stale IS NOT NULL FROM document ORDER BY source")
            assert list(rows) == [(name, name in stale) for name in sorted(texts)]
            if whole:
                assert index.counts()["quarantined"] == sum(kind == "quarantined" for kind, _ in wanted)
    fresh = file.with_name("fresh.db")
    build_index(fresh, [doc(name, text) for name, text in sorted(texts.items())], RagEnv(6, 2))
    assert ids(file) == ids(fresh)


def test_what_vanished_is_removed_only_when_the_corpus_was_read_to_its_end(file: Path) -> None:
    build_index(file, corpus(4), ENV)

    def torn() -> Iterator[RawDoc]:
        yield from corpus(2)
        raise RuntimeError("the walk broke off")

    with pytest.raises(RuntimeError):
        build_index(file, torn(), ENV)
    events = gen_ingest(file, iter(corpus(2)), ENV)
    next(events)
    events.close()  # type: ignore[attr-defined]
    with Index(file) as index:
        assert index.counts()["documents"] == 4
        assert [state for (state,) in index.rows("SELECT state FROM run ORDER BY id")] == [
            "complete",
            "failed",
            "interrupted",
        ]
    assert build_index(file, corpus(2), ENV).removed == 2


def test_an_unreadable_document_keeps_its_last_version_and_is_marked_stale(file: Path) -> None:
    build_index(file, corpus(3), ENV)
    before = ids(file)

    def torn() -> Iterator[str]:
        yield "half"
        raise OSError(5, "Input/output error")

    docs = [*corpus(2), doc("002.txt", torn), doc("new.txt", torn)]
    events = list(gen_ingest(file, docs, ENV))
    assert [(event.kind, event.source, event.reason, event.stale) for event in events[2:]] == [
        ("quarantined", "002.txt", "Input/output error", 1),
        ("quarantined", "new.txt", "Input/output error", 0),
    ]
    assert ids(file) == before
    with Index(file) as index:
        assert index.counts()["stale"] == 1
        assert index.counts()["quarantined"] == 2
    build_index(file, corpus(3), ENV)
    with Index(file) as index:
        assert index.counts()["stale"] == index.counts()["quarantined"] == 0


def test_an_unreadable_folder_keeps_all_that_was_in_it(file: Path) -> None:
    docs = [doc("sub/a.md", "one"), doc("sub/b.md", "two"), doc("sub0.md", "three"), doc("t.md", "four")]
    build_index(file, docs, ENV)
    report = build_index(file, [docs[3], Quarantined("sub/", "Permission denied")], ENV)
    assert (report.stale, report.removed) == (2, 1)
    with Index(file) as index:
        assert [source for (source,) in index.rows("SELECT source FROM document ORDER BY source")] == [
            "sub/a.md",
            "sub/b.md",
            "t.md",
        ]


def test_a_folder_of_troubles_is_named_file_by_file_and_the_rest_is_indexed(
    tmp_path: Path, file: Path
) -> None:
    (tmp_path / "docs" / "sub").mkdir(parents=True)
    for name, data in {
        "good.md": "# Caf\u00e9\n\nIt opens.\n".encode(),
        "sub/latin.txt": "ein\nCaf\u00e9".encode("latin-1"),
        "image.txt": bytes(range(256)) * 20,
        "wide.txt": "breit".encode("utf-16"),
        "coded.py": "# coding: latin-1\nname = 'caf\u00e9'\n".encode("latin-1"),
        "wrong.py": b"# coding: no-such\n",
        "empty.md": b"",
    }.items():
        (tmp_path / "docs" / name).write_bytes(data)
    (tmp_path / "docs" / "gone.md").symlink_to(tmp_path / "nowhere")
    events = list(gen_ingest(file, make_docs_source(tmp_path / "docs", on_error="collect")(), ENV))
    bad = {event.source: (event.reason, event.line) for event in events if event.kind == "quarantined"}
    assert bad == {
        "gone.md": ("No such file or directory", None),
        "image.txt": ("not text: 10 % of its first 4,096 bytes are control bytes", None),
        "sub/latin.txt": ("not utf-8: byte 0xe9 at offset 7 (unexpected end of data)", 2),
        "wrong.py": ("its coding line names 'no-such', an encoding that Python does not have", None),
    }
    with Index(file) as index:
        assert [search(index, query)[0].source for query in ("cafe", "breit", "name")] == [
            "good.md",
            "wide.txt",
            "coded.py",
        ]
    latin = make_docs_source(tmp_path / "docs", encoding="latin-1", on_error="collect")
    again = list(gen_ingest(file, latin(), ENV))
    assert "sub/latin.txt" in {event.source for event in again if event.kind == "indexed"}
    assert "image.txt" in {event.source for event in again if event.kind == "quarantined"}


def test_moving_a_corpus_changes_no_id(tmp_path: Path, file: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.md").write_text("some text")
    build_index(file, make_docs_source(tmp_path / "docs")(), ENV)
    before = ids(file)
    (tmp_path / "docs").rename(tmp_path / "moved")
    report = build_index(file, make_docs_source(tmp_path / "moved")(), ENV)
    assert (report.unchanged, ids(file)) == (1, before)


def test_two_documents_of_one_name_are_an_error_of_the_second(file: Path) -> None:
    for _ in range(2):
        report = build_index(file, [doc("a.md", "one"), doc("a.md", "two")], ENV)
        assert (report.quarantined, report.stale) == (1, 0)
        with Index(file) as index:
            assert [hit.text for hit in search(index, "one two")] == ["one"]


def test_a_lone_surrogate_cannot_be_stored_and_says_so(file: Path) -> None:
    [event] = gen_ingest(file, [doc("a.md", "\ud800")], ENV)
    assert (event.kind, "surrogates not allowed" in event.reason) == ("quarantined", True)


def long_text(blocks: int) -> Iterator[str]:
    return iter("".join(f"word{b}x{w}  \r\n" for w in range(6000)) for b in range(blocks))


def test_a_long_document_is_windowed_and_gives_the_same_chunks(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    env = RagEnv(1000, 200)
    assert sum(map(len, long_text(16))) > KEPT
    build_index(file, [doc("a.txt", lambda: long_text(16))], env)
    monkeypatch.setattr("funcpipe_rag.rag.ingest.KEPT", 1 << 40)
    build_index(tmp_path / "kept.db", [doc("a.txt", lambda: long_text(16))], env)
    assert ids(file) == ids(tmp_path / "kept.db")
    with Index(file) as index:
        assert search(index, "word15x77")[0].source == "a.txt"
        [(sections,)] = index.rows("SELECT count(*) FROM section")
        assert sections == 2


def test_a_long_document_that_changes_while_it_is_read_is_not_half_indexed(file: Path) -> None:
    opened = iter(range(99))

    def changing() -> Iterator[str]:
        # The first opening is for the hash; the text then shrinks.
        return long_text(16 if next(opened) == 0 else 15)

    events = list(
        gen_ingest(file, [doc("a.md", "one"), doc("b.txt", changing), doc("c.md", "two")], RagEnv(1000))
    )
    assert [(event.source, event.kind) for event in events] == [
        ("a.md", "indexed"),
        ("b.txt", "quarantined"),
        ("c.md", "indexed"),
    ]
    assert events[1].reason == "it changed while it was read"
    assert len(ids(file)) == 2


def test_memory_does_not_grow_with_the_corpus(tmp_path: Path) -> None:
    def peak(name: str, docs: int) -> int:
        stream = (doc(f"{n}.txt", "some words of text " * 400) for n in range(docs))
        tracemalloc.start()
        build_index(tmp_path / name, stream, RagEnv(1000))
        got = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return got

    peak("warm.db", 10)
    # 7 MB more of text; what grows is CPython's store of used tuples, which ends at 2,000 of each length.
    assert peak("large.db", 1200) - peak("small.db", 300) < 300_000


def test_an_event_is_told_when_its_document_is_durable(file: Path) -> None:
    for seen, _ in enumerate(gen_ingest(file, corpus(20, words=300), ENV), 1):
        with Index(file) as index:
            assert index.counts()["documents"] >= seen


def test_readers_see_the_last_commit_while_a_build_goes_on(file: Path) -> None:
    build_index(file, corpus(3), ENV)
    events = gen_ingest(file, [*corpus(3), doc("z.txt", "later")], ENV)
    next(events)
    with Index(file) as index:
        assert [hit.source for hit in search(index, "word1x3")] == ["001.txt"]
    events.close()  # type: ignore[attr-defined]


def test_another_builder_is_refused_by_name(file: Path) -> None:
    build_index(file, corpus(1), ENV)
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(IndexBusy, match="another build is writing"):
        build_index(file, corpus(2), ENV, patience=0.01)
    other.execute("ROLLBACK")
    other.close()


def test_a_build_that_another_has_overtaken_stops(file: Path) -> None:
    def docs() -> Iterator[RawDoc]:
        yield from corpus(2)
        build_index(file, corpus(1), ENV)
        yield from corpus(4)[2:]

    with pytest.raises(IndexBusy, match="has begun since"):
        build_index(file, docs(), RagEnv(40, 10, boundary="word"), clock=iter(range(0, 999, 5)).__next__)
    with Index(file) as index:
        assert index.counts()["documents"] == 1


def test_other_settings_are_refused_and_rebuild_takes_them(file: Path) -> None:
    build_index(file, corpus(2), ENV)
    with pytest.raises(IndexMismatch, match=r"chunk_size 40 there, 50 asked for.*--rebuild"):
        build_index(file, corpus(2), RagEnv(50, 10, boundary="word"))
    assert build_index(file, corpus(2), RagEnv(50), rebuild=True).indexed == 2
    with Index(file) as index:
        assert index.settings()["chunk_size"] == 50


def test_an_index_of_another_version_names_the_rebuild(file: Path) -> None:
    build_index(file, corpus(1), ENV)
    connection = sqlite3.connect(file)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(IndexMismatch, match="--rebuild"):
        Index(file)
    with pytest.raises(IndexMismatch, match="--rebuild"):
        build_index(file, corpus(1), ENV)
    assert build_index(file, corpus(1), ENV, rebuild=True).indexed == 1


@pytest.mark.parametrize("rebuild", [False, True])
def test_nobody_elses_file_is_ever_written_to(tmp_path: Path, rebuild: bool) -> None:
    theirs = tmp_path / "theirs.db"
    connection = sqlite3.connect(theirs)
    connection.execute("CREATE TABLE mine (x)")
    connection.close()
    note = tmp_path / "note.txt"
    note.write_text("not a database, but long enough to be taken for one " * 40)
    for path in (theirs, note):
        before = path.read_bytes()
        with pytest.raises(NotAnIndex, match="is not an index"):
            build_index(path, corpus(1), ENV, rebuild=rebuild)
        with pytest.raises(NotAnIndex, match="is not an index"):
            Index(path)
        assert path.read_bytes() == before


def test_a_path_that_cannot_hold_an_index_says_so(tmp_path: Path) -> None:
    with pytest.raises(NoIndex, match="there is no index at"):
        Index(tmp_path / "none.db")
    for use in (Index, lambda path: build_index(path, [], ENV)):
        with pytest.raises(NotAnIndex, match="is a folder"):
            use(tmp_path)
    with pytest.raises(NoIndex, match="there is no folder"):
        build_index(tmp_path / "no" / "docs.db", [], ENV)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="wants named pipes")
def test_a_pipe_a_device_or_no_name_is_refused_and_never_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, says in (
        (tmp_path / "pipe", "pipe or a device"),
        (os.devnull, "pipe or a device"),
        ("", "name"),
    ):
        for use in (Index, lambda path: build_index(path, [], ENV)):
            with pytest.raises(IndexProblem, match=says):
                use(path)


def test_a_file_whose_name_means_something_to_sqlite_is_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert build_index(":memory:", corpus(1), ENV).indexed == 1
    assert build_index(":memory:", corpus(1), ENV).unchanged == 1


def test_a_damaged_index_is_named_and_not_called_interrupted(file: Path) -> None:
    build_index(file, corpus(20), ENV)
    connection = sqlite3.connect(file)
    [(page,)] = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'stored_document'")
    [(size,)] = connection.execute("PRAGMA page_size")
    connection.close()
    with open(file, "r+b") as raw:
        raw.seek((page - 1) * size)
        raw.write(b"\xff" * size)
    with pytest.raises(NotAnIndex, match=r"is damaged .*delete it and build it again"):
        build_index(file, corpus(21), ENV)


def test_another_encoding_is_for_the_files_that_are_not_utf8(tmp_path: Path, file: Path) -> None:
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "new.md").write_text("caf\u00e9", encoding="utf-8")
    (folder / "old.md").write_text("th\u00e9", encoding="latin-1")
    (folder / "seven.md").write_text("\u65e5\u672c", encoding="iso2022_jp")
    read = {
        encoding: {doc.source: "".join(doc.text()) for doc in make_docs_source(folder, encoding=encoding)()}  # type: ignore[operator]
        for encoding in ("latin-1", "cp1252")
    }
    for texts in read.values():
        assert (texts["new.md"], texts["old.md"]) == ("caf\u00e9", "th\u00e9")
    for source in make_docs_source(folder / "seven.md", encoding="iso2022_jp")():
        assert "".join(source.text()) == "\u65e5\u672c"  # type: ignore[operator]


def test_one_missing_folder_of_several_is_quarantined_and_what_it_had_is_kept(
    tmp_path: Path, file: Path
) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.md").write_text(f"text {name}")
    paths = (tmp_path / "a", tmp_path / "b")
    build_index(file, make_docs_source(*paths)(), ENV)
    before = ids(file)
    (tmp_path / "b").rename(tmp_path / "unmounted")
    with pytest.raises(FileNotFoundError):
        list(make_docs_source(*paths)())
    assert [found.source for found in make_docs_source(*paths, on_error="skip")()] == ["a/x.md"]
    events = list(gen_ingest(file, make_docs_source(*paths, on_error="collect")(), ENV))
    assert [(event.kind, event.source, event.stale) for event in events] == [
        ("unchanged", "a/x.md", 0),
        ("quarantined", "b/", 1),
    ]
    assert ids(file) == before
    with pytest.raises(FileNotFoundError):
        list(make_docs_source(paths[1], on_error="collect")())


def test_a_full_disk_keeps_what_was_committed(file: Path) -> None:
    build_index(file, corpus(3), ENV)

    def docs() -> Iterator[RawDoc]:
        yield from corpus(3)
        # The build's own connection is the one that this limit holds for; the file may not grow any more.
        import gc

        for thing in gc.get_objects():
            if isinstance(thing, sqlite3.Connection):
                try:
                    thing.execute("PRAGMA max_page_count = 1")
                except sqlite3.ProgrammingError:
                    continue
        yield doc("big.txt", "so many words " * 50_000)

    with pytest.raises(IndexProblem, match=r"full.*run the build again"):
        build_index(file, docs(), ENV)
    with Index(file) as index:
        assert index.counts()["documents"] == 3
    assert build_index(file, corpus(4), ENV).indexed == 1


# A build that says which documents are durable, and before every next document waits to be told to go on.
CHILD = """
import sys
from funcpipe_rag.rag import RagEnv, RawDoc, gen_ingest

def docs():
    for n in range(60):
        print("asks", n, flush=True)
        sys.stdin.readline()
        yield RawDoc(f"{n:03}.txt", " ".join(f"word{n}x{w}" for w in range(400)), f"{n:03}.txt")

for event in gen_ingest(sys.argv[1], docs(), RagEnv(40, 10, boundary="word")):
    print("durable", event.source, flush=True)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="wants SIGKILL")
def test_killed_at_any_moment_nothing_is_lost_or_doubled(tmp_path: Path) -> None:
    whole = tmp_path / "whole.db"
    build_index(whole, corpus(60, words=400), ENV)
    wanted = ids(whole)
    file = tmp_path / "killed.db"
    points = random.Random(3)
    for turn in range(5):
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, os.fspath(file)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parent.parent,
        )
        assert child.stdin is not None
        assert child.stdout is not None
        durable = set()
        stop = points.randrange(5, 60)
        for line in child.stdout:
            word, what = line.split()
            if word == "durable":
                durable.add(what)
            elif int(what) < stop:
                child.stdin.write("\n")
                child.stdin.flush()
            elif turn % 2 == 0:
                break  # killed between two documents, in an open transaction
            else:
                child.stdin.write("\n" * 60)
                child.stdin.flush()
                break  # killed at full speed, wherever it is by now
        child.kill()
        child.communicate()
        kept = ids(file)
        assert set(kept) <= set(wanted)
        assert len(kept) == len(set(kept))
        with Index(file) as index:
            assert durable <= {source for (source,) in index.rows("SELECT source FROM document")}
    report = build_index(file, corpus(60, words=400), ENV)
    assert ids(file) == wanted
    assert report.indexed + report.unchanged == 60
    with Index(file) as index:
        states = [state for (state,) in index.rows("SELECT state FROM run ORDER BY id")]
    assert states[-1] == "complete"
    assert set(states[:-1]) <= {"killed", "complete"}
