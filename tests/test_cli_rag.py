"""The command line of the index: what it prints, how it exits, and what it says of a mistake."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

pytest.importorskip("typer")

ROOT = Path(__file__).parent.parent


def run(
    *words: object, cwd: Path = ROOT, first: Sequence[str] = (), **options: object
) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-c", "from funcpipe_rag.cli import main; main()"]
    command = [*first, *program, *map(str, words)]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=env, check=False, **options)  # type: ignore[call-overload,no-any-return]


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "tee.md").write_text("# Tee\n\nA tee splits one stream into two.\n")
    (folder / "chain.md").write_text("# Chain\n\nChain joins streams, one after another.\n")
    return folder


def test_build_ask_search_status(docs: Path, tmp_path: Path) -> None:
    index = tmp_path / "docs.db"
    built = run("build", docs, "--index", index)
    assert (built.returncode, built.stderr) == (0, "")
    lines = built.stdout.splitlines()
    assert lines[0].startswith(f"indexed    2 documents, 2 chunks in {index} (")
    assert lines[-1] == f'next       funcpipe-rag ask "…" --index {index}'
    again = run("build", docs, "--index", index)
    assert "unchanged  2 documents" in again.stdout
    asked = run("ask", "How do I split a stream?", "--index", index)
    assert asked.returncode == 0
    assert asked.stdout.splitlines()[:2] == [
        "A tee splits one stream into two.",
        "    tee.md:7-40  under Tee  (checked against the file)",
    ]
    found = run("search", "joining", "--index", index)
    assert found.stdout.startswith(" 1  chain.md:0-")
    status = run("status", "--index", index)
    assert "holds      2 documents, 2 chunks" in status.stdout
    assert "last run   complete" in status.stdout


def test_no_answer_is_said_plainly(docs: Path, tmp_path: Path) -> None:
    index = tmp_path / "docs.db"
    run("build", docs, "--index", index)
    asked = run("ask", "Who was Ada Lovelace?", "--index", index)
    assert (asked.returncode, asked.stdout.splitlines()[0]) == (0, "No answer found.")


def test_a_reader_that_has_seen_enough_ends_the_command_quietly(docs: Path, tmp_path: Path) -> None:
    index = tmp_path / "docs.db"
    run("build", docs, "--index", index)
    reader, writer = os.pipe()
    os.close(reader)
    command = [
        sys.executable,
        "-c",
        "from funcpipe_rag.cli import main; main()",
        "ask",
        "streams",
        "--index",
        str(index),
    ]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, cwd=ROOT, check=False)
    os.close(writer)
    assert done.stderr == ""


def test_json_is_all_that_stands_on_stdout(docs: Path, tmp_path: Path) -> None:
    index = tmp_path / "docs.db"
    (docs / "bad.txt").write_bytes(b"one\n\xff")
    built = run("build", docs, "--index", index, "--json")
    assert built.returncode == 3
    report = json.loads(built.stdout)
    assert (report["indexed"], report["quarantined"], report["state"]) == (2, 1, "complete")
    assert report["quarantine"] == [
        {"source": "bad.txt", "reason": "not utf-8: byte 0xff at offset 4 (invalid start byte)", "line": 2}
    ]
    asked = json.loads(run("ask", "split a stream", "--index", index, "--json").stdout)
    assert asked["answers"][0]["citation"]["checked"] == "file"
    hits = json.loads(run("search", "chain", "--index", index, "--json").stdout)["hits"]
    assert hits[0]["source"] == "chain.md"
    status = json.loads(run("status", "--index", index, "--json").stdout)
    assert (status["documents"], status["quarantine"]) == (2, report["quarantine"])


def test_what_cannot_be_read_is_listed_and_the_exit_code_is_3(docs: Path, tmp_path: Path) -> None:
    index = tmp_path / "docs.db"
    (docs / "latin.txt").write_bytes("ein Caf\u00e9".encode("latin-1"))
    (docs / "image.txt").write_bytes(bytes(range(256)))
    built = run("build", docs, "--index", index)
    assert built.returncode == 3
    assert "indexed    2 documents" in built.stdout
    assert "quarantine image.txt  not text: " in built.stdout
    assert "latin.txt:1  not utf-8: byte 0xe9 at offset 7" in built.stdout
    assert "(try --encoding NAME, such as latin-1)" in built.stdout
    latin = run("build", docs, "--index", index, "--encoding", "latin-1")
    assert "indexed    1 document, " in latin.stdout
    assert "latin.txt" not in latin.stdout


def test_one_missing_folder_of_several_is_listed_and_the_rest_is_indexed(docs: Path, tmp_path: Path) -> None:
    built = run("build", docs, tmp_path / "none", "--index", tmp_path / "docs.db")
    assert built.returncode == 3
    assert "indexed    2 documents" in built.stdout
    assert "quarantine none/  No such file or directory" in built.stdout


def test_a_folder_without_documents_says_what_was_looked_for(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "paper.pdf").write_bytes(b"%PDF")
    built = run("build", tmp_path / "docs", "--index", tmp_path / "docs.db")
    assert built.returncode == 0
    assert "no .md .markdown .rst .txt .py .html .htm .csv .jsonl .ipynb files there" in built.stdout


def test_the_next_command_can_be_pasted(docs: Path, tmp_path: Path) -> None:
    index = tmp_path / "my docs.db"
    assert run("build", docs, "--index", index).stdout.endswith(f"--index '{index}'\n")
    asked = run("ask", "Who was Ada's father?", "--index", index)
    assert asked.stdout.endswith(f"""search 'Who was Ada'"'"'s father?' --index '{index}'\n""")


def test_a_build_takes_the_settings_of_its_index(docs: Path, tmp_path: Path) -> None:
    index = tmp_path / "docs.db"
    assert run("build", docs, "--index", index, "--chunk-size", 20, "--overlap", 5).returncode == 0
    assert "unchanged  2 documents" in run("build", docs, "--index", index).stdout
    other = run("build", docs, "--index", index, "--chunk-size", 30)
    assert other.returncode == 1
    assert "--rebuild" in other.stderr
    assert run("build", docs, "--index", index, "--chunk-size", 30, "--rebuild").returncode == 0


def test_another_corpus_is_not_mistaken_for_this_one_emptied(docs: Path, tmp_path: Path) -> None:
    index = tmp_path / "docs.db"
    run("build", docs, "--index", index)
    other = tmp_path / "notes"
    other.mkdir()
    refused = run("build", other, "--index", index)
    assert refused.returncode == 1
    assert "corpus ['docs'] there, ['notes'] asked for" in refused.stderr
    docs.rename(tmp_path / "elsewhere")
    (tmp_path / "moved").mkdir()
    (tmp_path / "elsewhere").rename(tmp_path / "moved" / "docs")
    assert "unchanged  2 documents" in run("build", tmp_path / "moved" / "docs", "--index", index).stdout


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["build", "{tmp}/none", "--index", "{tmp}/i.db"], 2, "{tmp}/none: there is no such folder or file"),
        (["build", "{docs}"], 2, "--index"),
        (["build", "--index", "{tmp}/i.db"], 2, "PATHS"),
        (["build", "{docs}", "--index", "{tmp}"], 1, "{tmp} is a folder"),
        (["build", "{docs}", "--index", "{tmp}/no/i.db"], 1, "there is no folder {tmp}/no"),
        (["build", "{docs}", "--index", "{docs}/tee.md"], 1, "is not an index of funcpipe-rag"),
        (["build", "{docs}", "--index", "{tmp}/i.db", "--encoding", "klingon"], 2, "encoding must be one"),
        (["build", "{docs}", "--index", "{tmp}/i.db", "--overlap", "2000"], 2, "overlap must be less than"),
        (["build", "{docs}", "--index", "{tmp}/i.db", "--chunk-size", "0"], 2, "chunk_size must be >= 1"),
        (["build", "{docs}", "{tmp}/docs", "--index", "{tmp}/i.db"], 2, "two paths are called 'docs'"),
        (["build", "", "--index", "{tmp}/i.db"], 2, "empty path"),
        (["build", "{docs}", "--index", ""], 1, "needs a name"),
        (["ask", "why?", "--index", "{tmp}/none.db"], 1, "there is no index at {tmp}/none.db"),
        (["ask", "why?", "--index", "{tmp}"], 1, "{tmp} is a folder"),
        (["ask", "why?", "--index", "{docs}/tee.md"], 1, "is not an index of funcpipe-rag"),
        (["search", "", "--index", "{made}"], 2, "no word to look for"),
        (["ask", "?!", "--index", "{made}"], 2, "no word to look for"),
        (["search", "a", "--index", "{made}", "-k", "0"], 2, "-k"),
        (["status", "--index", "{tmp}/none.db"], 1, "there is no index at"),
        (["no-such-command"], 2, "no-such-command"),
    ],
)
def test_a_mistake_is_one_clear_line(
    docs: Path, tmp_path: Path, words: list[str], code: int, says: str
) -> None:
    names = {"docs": docs, "tmp": tmp_path, "made": tmp_path / "made.db"}
    if any("{made}" in word for word in words):
        run("build", docs, "--index", names["made"])
    done = run(*(word.format(**names) for word in words))
    assert done.returncode == code
    assert says.format(**names) in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


# Root may read and write anything, unless it has laid its capabilities down first.
AS_ANYBODY = (
    []
    if os.name != "posix" or os.geteuid() != 0
    else [shutil.which("setpriv") or "", "--bounding-set=-all", "--inh-caps=-all"]
)


@pytest.mark.skipif(os.name != "posix" or AS_ANYBODY[:1] == [""], reason="wants permissions that hold")
def test_what_may_not_be_read_or_written_is_named(docs: Path, tmp_path: Path) -> None:
    (docs / "sub").mkdir()
    (docs / "sub" / "a.md").write_text("hidden")
    (docs / "secret.md").write_text("secret")
    index = tmp_path / "docs.db"
    assert run("build", docs, "--index", index).returncode == 0
    (docs / "sub").chmod(0)
    (docs / "secret.md").chmod(0)
    try:
        built = run("build", docs, "--index", index, first=AS_ANYBODY)
        assert built.returncode == 3
        assert "quarantine secret.md  Permission denied\n           sub/  Permission denied" in built.stdout
        assert "stale      2 documents, kept as last read" in built.stdout
        index.chmod(0o400)
        refused = run("build", docs, "--index", index, first=AS_ANYBODY)
        assert (refused.returncode, "docs.db cannot be written" in refused.stderr) == (1, True)
        index.chmod(0)
        for words in (["build", docs], ["ask", "tee"], ["status", "--json"]):
            refused = run(*words, "--index", index, first=AS_ANYBODY)
            assert (refused.returncode, refused.stdout) == (1, "")
            assert refused.stderr == f"funcpipe-rag: {index}: Permission denied\n"
        (tmp_path / "closed").mkdir(mode=0o500)
        refused = run("build", docs, "--index", tmp_path / "closed" / "i.db", first=AS_ANYBODY)
        assert (refused.returncode, "i.db cannot be written" in refused.stderr) == (1, True)
    finally:
        (docs / "sub").chmod(0o700)


def test_a_missing_extra_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "typer.py").write_text(
        "raise ModuleNotFoundError(\"No module named 'typer'\", name='typer')\n"
    )
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from funcpipe_rag.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "status"], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 1
    assert done.stderr.strip() == (
        'funcpipe-rag: this command needs typer, which is not installed: pip install "funcpipe-rag[rag]"'
    )


def test_the_rag_room_imports_only_the_standard_library() -> None:
    code = "import sys, funcpipe_rag.rag; print(*(m for m in ('numpy', 'typer', 'rich', 'tqdm') if m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == ""


# Ctrl-C arrives while the 30th document is being read, exactly: the document sends it.
INTERRUPTED = """
import os, signal, sys
from funcpipe_rag.rag import loading

calls = loading.FileText.__call__
count = 0

def call(self):
    global count
    count += 1
    if count == 30:
        os.kill(os.getpid(), signal.SIGINT)
    return calls(self)

loading.FileText.__call__ = call
from funcpipe_rag.cli import main
main()
"""


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_ctrl_c_keeps_what_is_whole_and_the_same_command_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "docs"
    folder.mkdir()
    for n in range(60):
        (folder / f"{n:02}.txt").write_text(f"word{n} " * 4000)
    words = ["build", str(folder), "--index", str(tmp_path / "i.db")]
    (tmp_path / "i.db.rebuild").touch()  # of a rebuild that was given up: this build is none
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, *words], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 130
    assert "what is indexed stays; the same command goes on from here" in done.stdout
    assert "Traceback" not in done.stderr
    kept = int(done.stdout.split()[1])
    assert kept == 30
    again = run(*words)
    assert f"unchanged  {kept} documents" in again.stdout
    assert f"indexed    {60 - kept} documents" in again.stdout


def test_verify_says_what_is_sound_and_what_is_not(docs: Path, tmp_path: Path) -> None:
    index = tmp_path / "docs.db"
    run("build", docs, "--index", index)
    sound = run("verify", "--index", index)
    assert (sound.returncode, sound.stdout) == (0, "sound      2 documents, 2 chunks\n")
    connection = sqlite3.connect(index)
    with connection:
        connection.execute("UPDATE stored_chunk SET text = 'other' WHERE id = 1")
    connection.close()
    broken = run("verify", "--index", index, "--json")
    assert broken.returncode == 1
    report = json.loads(broken.stdout)
    assert (report["sound"], report["problems"][0]) == (
        False,
        "chain.md:0-49: its text is not what was written",
    )
    assert "--rebuild" in run("verify", "--index", index).stdout


def test_an_index_with_vectors_keeps_its_embedder_and_gc_frees_what_is_not_asked_for(
    docs: Path, tmp_path: Path
) -> None:
    index = tmp_path / "docs.db"
    assert run("build", docs, "--index", index, "--embedder", "hash:16").returncode == 0
    assert "vectors    hash:16" in run("status", "--index", index).stdout
    (docs / "tee.md").write_text("# Tee\n\nQuite another text.\n")
    again = run("build", docs, "--index", index)
    assert "indexed    1 document, " in again.stdout
    other = run("build", docs, "--index", index, "--embedder", "hash:32")
    assert (other.returncode, "embedder 'hash:16' there, 'hash:32' asked for" in other.stderr) == (1, True)
    swept = run("gc", "--index", index)
    assert (swept.returncode, swept.stdout.startswith("freed      1 vector, ")) == (0, True)
    assert json.loads(run("gc", "--index", index, "--json").stdout)["vectors"] == 0
    assert "last run   complete" in run("status", "--index", index).stdout


def test_a_pattern_a_boundary_and_every_kind_of_file(docs: Path, tmp_path: Path) -> None:
    (docs / "rows.csv").write_text("name,says\nAda,one\nBob\n")
    index = tmp_path / "docs.db"
    built = run("build", f"{docs}/*.md", f"{docs}/*.csv", "--index", index, "--boundary", "markdown")
    assert built.returncode == 3
    assert "indexed    3 documents" in built.stdout
    assert "quarantine rows.csv#row-2:3  1 field for 2 columns" in built.stdout
    assert "cut by markdown" in run("status", "--index", index).stdout
    assert "unchanged  3 documents" in run("build", f"{docs}/*.md", f"{docs}/*.csv", "--index", index).stdout
    wrong = run("build", docs, "--index", tmp_path / "i.db", "--boundary", "paragraph")
    assert (wrong.returncode, "boundary must be" in wrong.stderr) == (2, True)


def test_an_embedder_that_is_not_there_is_one_clear_line(docs: Path, tmp_path: Path) -> None:
    for spec, code, says in (
        ("word2vec:x", 2, "wants"),
        ("openai:m@nowhere", 2, "MODEL@BASE_URL"),
        (f"model2vec:{tmp_path / 'none'}", 1, "there is no such folder"),
    ):
        done = run("build", docs, "--index", tmp_path / "i.db", "--embedder", spec)
        assert (done.returncode, done.stdout, "Traceback" in done.stderr) == (code, "", False)
        assert says in done.stderr


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_ctrl_c_in_a_rebuild_leaves_the_index_as_it_was_and_the_same_command_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "docs"
    folder.mkdir()
    for n in range(60):
        (folder / f"{n:02}.txt").write_text(f"word{n} " * 4000)
    words = ["build", str(folder), "--index", str(tmp_path / "i.db")]
    assert run(*words).returncode == 0
    before = run("status", "--index", tmp_path / "i.db", "--json").stdout
    words += ["--rebuild", "--chunk-size", "500"]
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, *words], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 130
    assert "the index is as it was; the same command goes on with the new one from here" in done.stdout
    assert run("status", "--index", tmp_path / "i.db", "--json").stdout == before
    again = run(*words)
    assert "unchanged  30 documents" in again.stdout
    assert "indexed    30 documents" in again.stdout
    status = json.loads(run("status", "--index", tmp_path / "i.db", "--json").stdout)
    assert (status["settings"]["chunk_size"], status["documents"]) == (500, 60)


@pytest.mark.slow
def test_demo_answers_from_the_notes_and_the_standard_library() -> None:
    done = run("demo")
    assert done.returncode == 0
    assert "How do I merge sorted iterators?" in done.stdout
    assert "No answer found." in done.stdout


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    for name in ("guide", "log"):
        (folder / name).mkdir(parents=True)
        (folder / name / "tee.md").write_text(
            f"# Tee in the {name}\n\nA tee splits one stream into two, says the {name}.\n"
        )
    (folder / "rows.csv").write_text("about,text\ntee,a tee leaks\nchain,a tee is no chain\n")
    return folder


def test_a_search_and_an_answer_are_about_some_documents_only(folders: Path, tmp_path: Path) -> None:
    index = tmp_path / "docs.db"
    run("build", folders, "--index", index)

    def found(*words: str) -> set[str]:
        done = run("search", "tee", "--index", index, "--json", *words)
        assert done.returncode == 0, done.stderr
        return {hit["source"] for hit in json.loads(done.stdout)["hits"]}

    everything = found()
    assert {"guide/tee.md", "log/tee.md"} < everything
    assert found("--source", "guide/*") == {"guide/tee.md"}
    assert found("--source", "guide/*", "--source", "log/*") == {"guide/tee.md", "log/tee.md"}
    assert found("--source", "nowhere/*") == set()
    asked = run("ask", "What does a tee split?", "--index", index, "--source", "log/*")
    assert "log/tee.md:" in asked.stdout and "guide" not in asked.stdout
    wrong = run("search", "tee", "--index", index, "--where", "about")
    assert (wrong.returncode, wrong.stderr) == (2, "funcpipe-rag: --where wants KEY=VALUE, got 'about'\n")


def test_eval_asks_a_corpus_for_its_own_headings(folders: Path, tmp_path: Path) -> None:
    for n in range(8):
        (folders / f"{n}.md").write_text(
            f"# Parsing number {n} of many things\n\nparsed things{n}, of which there are {n}\n"
        )
    done = run("eval", folders, "-k", "5", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert found["questions"] == len(found["judged"]) == 8  # "Tee in the log" has two telling words
    assert (
        found["k"] == 5
        and 0 <= found["recall"]["low"] <= found["recall"]["mean"] <= found["recall"]["high"] <= 1
    )
    told = run("eval", folders, "--limit", "3")
    assert told.stdout.startswith("questions  3 of the 8 that the documents ask\nrecall@10  ")
    assert list(tmp_path.iterdir()) == [folders]
    (folders / "bad.md").write_bytes(b"caf\xe9")
    done = run("eval", folders, "--limit", "3")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (
        3,
        "quarantine 1 document, not asked for (build lists them)",
    )


def test_eval_asks_an_index_what_somebody_wants_to_know(docs: Path, tmp_path: Path) -> None:
    index, questions = tmp_path / "docs.db", tmp_path / "questions.jsonl"
    run("build", docs, "--index", index)
    questions.write_text(
        '{"question": "How do I split a stream?", "relevant": ["tee.md"]}\n\n'
        '{"question": "Who was Ada Lovelace?", "relevant": "chain.md"}\n'
    )
    told = run("eval", "--index", index, "--questions", questions)
    assert told.returncode == 0, told.stderr
    assert "questions  2 questions\nrecall@10  0.500 (0.000 to 1.000)\n" in told.stdout
    assert "wanted chain.md; found nothing" in told.stdout
    for words, said in (
        ((), "eval wants PATHS, or --index FILE with --questions FILE"),
        (("--index", index), "eval --index wants --questions FILE"),
        ((docs, "--index", index), "eval wants PATHS, or"),
        ((docs, "--questions", docs / "tee.md"), "tee.md:1: wants"),
        ((docs, "--questions", docs / "none"), "No such file"),
        ((docs,), "none with a question of its own"),
        ((tmp_path / "none",), "there is no such folder or file"),
    ):
        wrong = run("eval", *words)
        assert (wrong.returncode in (1, 2), wrong.stdout) == (True, ""), words
        assert said in wrong.stderr and "Traceback" not in wrong.stderr


def test_the_full_text_is_kept_for_tantivy_when_that_is_wanted(docs: Path, tmp_path: Path) -> None:
    pytest.importorskip("tantivy")
    index = tmp_path / "docs.db"
    assert run("build", docs, "--index", index, "--tantivy").returncode == 0
    assert "tantivy    in use\n" in run("status", "--index", index).stdout
    assert run("search", "joining", "--index", index).stdout.startswith(" 1  chain.md:0-")
    assert "unchanged  2 documents" in run("build", docs, "--index", index).stdout
    assert "tantivy    in use\n" in run("status", "--index", index).stdout
    assert run("gc", "--index", index).returncode == 0
    assert "tantivy    in use\n" in run("status", "--index", index).stdout
    run("build", docs, "--index", index, "--no-tantivy")
    assert "tantivy" not in run("status", "--index", index).stdout
    assert not list(tmp_path.glob("*.tantivy*"))


def test_a_build_writes_down_each_document_with_its_time_and_memory(docs: Path, tmp_path: Path) -> None:
    (docs / "bad.md").write_bytes(b"caf\xe9")
    index, log = tmp_path / "docs.db", tmp_path / "log.jsonl"
    assert run("build", docs, "--index", index, "--log", log).returncode == 3
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    assert [(row["kind"], row["source"]) for row in rows] == [
        ("quarantined", "bad.md"),
        ("indexed", "chain.md"),
        ("indexed", "tee.md"),
    ]
    assert all(row["memory"] > 1_000_000 and row["t"] >= 0 for row in rows)
    wrong = run("build", docs, "--index", tmp_path / "no.db", "--log", tmp_path / "none" / "log")
    assert (wrong.returncode, "No such file" in wrong.stderr) == (1, True)
    assert not (tmp_path / "no.db").exists()


@pytest.mark.parametrize("pattern", ["", "/tee.md", "/**/*.log"])
def test_a_log_that_the_build_would_read_is_refused_before_it_is_written(
    docs: Path, tmp_path: Path, pattern: str
) -> None:
    # A line for each document, and a document for each line: such a build did not end.
    log = docs / {"": "build.jsonl", "/tee.md": "tee.md", "/**/*.log": "build.log"}[pattern]
    before = log.read_text() if log.exists() else None
    built = run("build", f"{docs}{pattern}", "--index", tmp_path / "docs.db", "--log", log, timeout=60)
    assert built.returncode == 2, built.stderr
    assert built.stderr.startswith(f"funcpipe-rag: --log {log} would be read as a document")
    assert (log.read_text() if log.exists() else None) == before
    assert run("build", docs, "--index", tmp_path / "docs.db", "--log", docs / "build.log").returncode == 0


def test_a_question_that_is_too_long_is_no_damage(docs: Path, tmp_path: Path) -> None:
    index = tmp_path / "docs.db"
    run("build", docs, "--index", index)
    patterns = [word for number in range(1100) for word in ("--source", f"x{number}")]
    found = run("search", "tee", "--index", index, *patterns)
    assert found.returncode == 1
    assert "damaged" not in found.stderr, "nobody is to delete a good index"
    assert found.stderr.startswith(f"funcpipe-rag: {index}: ")


@pytest.mark.skipif(os.name != "posix", reason="such names are allowed there only")
def test_a_name_stays_on_its_line_and_gives_the_terminal_no_orders(docs: Path, tmp_path: Path) -> None:
    (docs / "two\nlines \x1b[31m.md").write_text("# Fork\n\nA fork splits one stream for many readers.\n")
    (docs / "bad\n\x1b]0;x\x07.txt").write_bytes(b"\xff")
    index = tmp_path / "docs.db"
    built = run("build", docs, "--index", index)
    found = run("search", "fork", "--index", index)
    asked = run("ask", "what does a fork split for readers", "--index", index)
    status = run("status", "--index", index)
    for done in (built, found, asked, status):
        assert not {"\x1b", "\x07"} & {*done.stdout}
    assert r"quarantine bad\n\x1b]0;x\x07.txt:1  not utf-8" in built.stdout
    assert r"quarantine bad\n\x1b]0;x\x07.txt:1  not utf-8" in status.stdout
    assert r" 1  two\nlines \x1b[31m.md:0-" in found.stdout
    assert r"    two\nlines \x1b[31m.md:8-" in asked.stdout
    named = json.loads(run("search", "fork", "--index", index, "--json").stdout)
    assert named["hits"][0]["source"] == "two\nlines \x1b[31m.md", "a machine is given the name itself"


@pytest.mark.parametrize("encoding", ["utf-8:strict", "utf-8:surrogateescape", "latin-1"])
def test_json_is_json_whatever_the_question_and_the_terminal(
    docs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    index = tmp_path / "docs.db"
    run("build", docs, "--index", index)
    monkeypatch.setenv("PYTHONIOENCODING", encoding)
    program = [sys.executable, "-c", "from funcpipe_rag.cli import main; main()"]
    question = "\u20ac \udcff tee"
    done = subprocess.run(
        [*program, "search", os.fsencode(question), "--index", index, "--json"],
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    found = json.loads(done.stdout.decode("utf-8"))
    assert (found["query"], found["hits"][0]["source"]) == (question, "tee.md")


@pytest.mark.parametrize("engine", [(), ("--tantivy",)])
def test_more_documents_than_there_can_be_are_all_there_are(
    docs: Path, tmp_path: Path, engine: tuple[str, ...]
) -> None:
    if engine:
        pytest.importorskip("tantivy")
    index = tmp_path / "docs.db"
    run("build", docs, "--index", index, *engine)
    found = run("search", "stream", "-k", 1 << 80, "--index", index)
    assert (found.returncode, found.stderr) == (0, "")
    assert [line for line in found.stdout.splitlines() if ".md:" in line][1].startswith(" 2  ")
