"""What is read from files: every kind, every encoding, and every way in which a file can be bad."""

from __future__ import annotations

import gzip
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from funcpipe_rag.rag import (
    Index,
    NotText,
    Quarantined,
    RagEnv,
    RawDoc,
    build_index,
    gen_ingest,
    make_docs_source,
)
from funcpipe_rag.rag.pages import gen_page_text

ROOT = Path(__file__).parent.parent
ENV = RagEnv(400, 50, boundary="sentence")


def read(*paths: object, **options: object) -> dict[str, str]:
    """The texts below some paths by their source; what cannot be read, by its reason in angles."""
    found = {}
    for item in make_docs_source(*paths, on_error="collect", **options)():  # type: ignore[arg-type]
        if isinstance(item, Quarantined):
            found[item.source] = f"<{item.reason}{f', line {item.line}' if item.line else ''}>"
            continue
        try:
            found[item.source] = item.text if isinstance(item.text, str) else "".join(item.text())
        except ValueError as error:
            found[item.source] = f"<{error}>"
    return found


def write(folder: Path, files: dict[str, bytes | str]) -> Path:
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return folder


def test_every_kind_of_file_is_read(tmp_path: Path) -> None:
    cells = [
        {"cell_type": "markdown", "source": ["# Tee\n", "splits"]},
        {"cell_type": "code", "source": "", "outputs": []},
        {"cell_type": "code", "source": "left, right = tee(xs)", "outputs": [{"text": "not this"}]},
    ]
    write(
        tmp_path,
        {
            "a.md": "# A",
            "b.rst": "B\n=\n",
            "c.txt": "c",
            "d.py": "d = 1",
            "e.html": "<h1>E</h1><p>one<p>two",
            "f.csv": 'name,says\nAda,"one\ntwo"\n',
            "g.jsonl": '{"id": 7, "text": "seven"}\n\n"eight"\n{"n": 9, "ok": true}\n[1]\n',
            "h.ipynb": json.dumps({"cells": cells, "metadata": {}, "nbformat": 4}),
            "i.png": b"\x89PNG",
        },
    )
    assert read(tmp_path) == {
        "a.md": "# A",
        "b.rst": "B\n=\n",
        "c.txt": "c",
        "d.py": "d = 1",
        "e.html": "# E\n\none\n\ntwo\n",
        "f.csv#row-1": "name: Ada\nsays: one\ntwo\n",
        "g.jsonl#line-1": "seven",
        "g.jsonl#line-2": "eight",
        "g.jsonl#line-3": "n: 9\nok: true\n",
        "g.jsonl#line-4": "[1]",
        "h.ipynb#cell-1": "# Tee\nsplits",
        "h.ipynb#cell-3": "left, right = tee(xs)",
    }
    docs = {doc.source: doc for doc in make_docs_source(tmp_path)()}
    assert docs["g.jsonl#line-1"].metadata == {"id": "7"}
    assert docs["h.ipynb#cell-1"].metadata == {"cell": "markdown", "format": ".md"}


def test_a_notebooks_headings_are_those_of_its_markdown_and_its_code(tmp_path: Path) -> None:
    cells = [
        {"cell_type": "markdown", "source": "# Tee\nsplits"},
        {"cell_type": "code", "source": "# no heading\ndef split(xs):\n    return tee(xs)\n"},
    ]
    write(tmp_path, {"n.ipynb": json.dumps({"cells": cells})})
    build_index(tmp_path / "i.db", make_docs_source(tmp_path)(), RagEnv(20))
    with Index(tmp_path / "i.db") as index:
        rows = dict(
            index.rows(
                "SELECT source, max(heading) FROM chunk JOIN document ON document.id = document GROUP BY 1"
            )
        )
    assert rows == {"n.ipynb#cell-1": "Tee", "n.ipynb#cell-2": "split"}


@pytest.mark.parametrize(
    ("patterns", "sources"),
    [
        (["docs/*.md"], ["a.md"]),
        (["docs/**/*.md"], ["a.md", "sub/b.md"]),
        (["docs/**/*.md", "docs/*.log"], ["a.md", "c.log", "sub/b.md"]),
        (["docs/sub/[a-b]?*"], ["b.md", "b.rst"]),
        (["docs/c.log"], ["c.log"]),
        (["docs/*.none"], []),
    ],
)
def test_a_pattern_names_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, patterns: list[str], sources: list[str]
) -> None:
    write(tmp_path / "docs", {"a.md": "a", "c.log": "c", "sub/b.md": "b", "sub/b.rst": "r", ".h/d.md": "d"})
    monkeypatch.chdir(tmp_path)
    assert list(read(*patterns)) == sources


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(tmp_path: Path) -> None:
    write(tmp_path, {"a[1].md": "one", "a1.md": "other"})
    assert read(tmp_path / "a[1].md") == {"a[1].md": "one"}


@pytest.mark.parametrize(
    ("data", "encoding", "text"),
    [
        ("café".encode(), "utf-8", "café"),
        ("café".encode("utf-8-sig"), "utf-8", "café"),
        ("café".encode("latin-1"), "latin-1", "café"),
        (
            "café".encode("latin-1"),
            "utf-8",
            "<a.txt:1: not utf-8: byte 0xe9 at offset 3 (unexpected end of data)>",
        ),
        ("café\n".encode("utf-16"), "utf-8", "café\n"),
        ("café\n".encode("utf-16-le"), "utf-8", "café\n"),
        ("café\n".encode("utf-16-be"), "utf-8", "café\n"),
        ("café".encode("utf-32"), "utf-8", "café"),
        ("日本".encode("utf-16-le"), "utf-16-le", "日本"),
        (b"one\x00two " * 200, "utf-8", "<not text: 12 % of its first 1,600 bytes are control bytes>"),
        (b"one\x00" + b"two " * 50, "utf-8", "one\0" + "two " * 50),
        (bytes(4096), "utf-8", "<not text: 100 % of its first 4,096 bytes are control bytes>"),
        (os.urandom(3) + bytes(range(256)) * 9, "utf-8", None),
        (b"", "utf-8", ""),
        (gzip.compress(b"text " * 99), "utf-8", "<not text: it is compressed (gzip); unpack it first>"),
        (gzip.compress(b"text " * 99)[:40], "utf-8", "<not text: it is compressed (gzip); unpack it first>"),
        (
            "café".encode("utf-16")[:-1],
            "utf-8",
            "<a.txt:1: not utf-16: byte 0xe9 at offset 8 (truncated data)>",
        ),
    ],
    ids=lambda value: None,
)
def test_bytes_are_text_as_they_show_or_as_declared_or_no_text(
    tmp_path: Path, data: bytes, encoding: str, text: str | None
) -> None:
    write(tmp_path, {"a.txt": data})
    got = read(tmp_path, encoding=encoding)["a.txt"].replace(f"{tmp_path}/", "")
    assert got == text if text is not None else got.startswith("<not text: ")


def test_a_page_says_its_charset(tmp_path: Path) -> None:
    page = '<meta http-equiv="Content-Type" content="text/html; charset=iso-8859-1"><p>café'
    write(tmp_path, {"a.html": page.encode("latin-1"), "b.html": page.replace("iso-8859-1", "klingon")})
    assert read(tmp_path) == {
        "a.html": "café\n",
        "b.html": "<its header declares 'klingon', an encoding that Python does not have>",
    }


PAGE = (
    "<!doctype html><html><head><title>T&amp;T</title><style>p{}</style></head><body><h2>Two  <b>words</b></h2>"
    "<p>a\n b<br>c &lt;d&gt;<!-- no --><ul><li>x<li>y</ul><pre>  def f():\n    1\n</pre><script>var a = '<p>';</script>"
    "<table><tr><td>1<td>2</table>"
)


@given(st.lists(st.integers(0, len(PAGE)), max_size=8))
def test_a_pages_text_does_not_depend_on_the_blocks(cuts: list[int]) -> None:
    def blocks() -> Iterator[str]:
        edges = [0, *sorted(cuts), len(PAGE)]
        return (PAGE[a:b] for a, b in pairwise(edges))

    text = "".join(gen_page_text(blocks))
    assert text == ("T&T\n\n## Two words\n\na b\nc <d>\n\n- x\n- y\n\n```\n  def f():\n    1\n```\n\n1 2\n")


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ("<pre># a comment</pre>", "```\n# a comment\n```\n"),
        ("<pre><span># a</span>\n<b>x</b></pre>y", "```\n# a\nx\n```\n\ny\n"),
        ("<pre></pre>x<pre>\n</pre>", "x\n\n```\n\n```\n"),
        ("a<pre>b", "a\n\n```\nb\n```\n"),
        ('<h2>Tee<a class="headerlink" href="#tee">\u00b6</a></h2>', "## Tee\n"),
    ],
)
def test_a_program_in_a_page_is_fenced_and_the_mark_of_a_heading_is_no_word(page: str, text: str) -> None:
    assert "".join(gen_page_text(lambda: iter([page]))) == text
    assert "".join(gen_page_text(lambda: iter(page))) == text


def test_a_comment_in_a_page_s_program_is_no_heading(tmp_path: Path) -> None:
    page = "<h1>Tee</h1><pre># a comment\nx = 1</pre><p>It splits.</p>"
    build_index(
        tmp_path / "i.db", [RawDoc("p", "".join(gen_page_text(lambda: iter([page]))), "p.html")], RagEnv(30)
    )
    with Index(tmp_path / "i.db") as index:
        assert {heading for (heading,) in index.rows("SELECT heading FROM chunk")} == {"Tee"}


def test_a_comment_that_nobody_closes_is_not_held_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("funcpipe_rag.rag.pages.LONGEST_TAG", 1000)
    with pytest.raises(NotText, match="of more than 1,000 characters is not closed"):
        list(gen_page_text(lambda: iter(["<p>a<!-- ", *["x" * 600] * 9])))


def test_a_bad_record_costs_itself_alone(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "rows.csv": 'a,b\n1,2\n3\n"x"y,4\n5,6\n',
            "twice.csv": "a,a\n1,2\n",
            "lines.jsonl": b'{"text": "one"}\n{"text": \n"caf\xe9"\n"four"\n',
            "nested.jsonl": "[" * 100_000,
            "no.ipynb": "{cells: []}",
            "list.ipynb": "[]",
            "cell.ipynb": '{"cells": [{"cell_type": "code"}, 3, {"cell_type": "raw", "source": "kept"}]}',
        },
    )
    assert read(tmp_path) == {
        "cell.ipynb#cell-1": "<not a cell: it has no type, or no source>",
        "cell.ipynb#cell-2": "<not a cell: it has no type, or no source>",
        "cell.ipynb#cell-3": "kept",
        "lines.jsonl#line-1": "one",
        "lines.jsonl#line-2": "<Expecting value at column 10, line 2>",
        "lines.jsonl#line-3": "<not utf-8: byte 0xe9 at offset 30 (invalid continuation byte), line 3>",
        "lines.jsonl#line-4": "four",
        "list.ipynb": "<not a notebook: it has no list of cells (nbformat 4)>",
        "nested.jsonl#line-1": "<nested too deeply, line 1>",
        "no.ipynb": "<not a notebook: no JSON, Expecting property name enclosed in double quotes at column 2, line 1>",
        "rows.csv#row-1": "a: 1\nb: 2\n",
        "rows.csv#row-2": "<1 field for 2 columns, line 3>",
        "rows.csv#row-3": "<',' expected after '\"', line 4>",
        "rows.csv#row-4": "a: 5\nb: 6\n",
        "twice.csv": "<two columns are called 'a', and a row is a dict by column, line 1>",
    }


def test_under_fail_a_bad_record_is_an_error_and_under_skip_it_is_left_out(tmp_path: Path) -> None:
    write(tmp_path, {"rows.csv": "a,b\n1,2\n3\n4,5\n"})
    with pytest.raises(NotText, match=r"rows.csv#row-2:3: 1 field for 2 columns"):
        list(make_docs_source(tmp_path)())
    assert [doc.source for doc in make_docs_source(tmp_path, on_error="skip")()] == [
        "rows.csv#row-1",
        "rows.csv#row-3",
    ]


def test_a_file_of_records_that_cannot_be_read_keeps_all_its_records(tmp_path: Path) -> None:
    docs = write(tmp_path / "docs", {"rows.csv": "a\n1\n2\n", "rows.csv.md": "x"})
    build_index(tmp_path / "i.db", make_docs_source(docs)(), ENV)
    write(docs, {"rows.csv": "a,a\n1,2\n"})
    events = list(gen_ingest(tmp_path / "i.db", make_docs_source(docs, on_error="collect")(), ENV))
    assert [(event.kind, event.source, event.stale) for event in events] == [
        ("quarantined", "rows.csv", 2),
        ("unchanged", "rows.csv.md", 0),
    ]
    write(docs, {"rows.csv": "a\n1\n3\n4\n"})
    events = list(gen_ingest(tmp_path / "i.db", make_docs_source(docs, on_error="collect")(), ENV))
    assert [event.kind for event in events] == ["unchanged", "indexed", "indexed", "unchanged"]


def test_what_is_no_file_is_passed_over(tmp_path: Path) -> None:
    docs = write(tmp_path / "docs", {"a.md": "a", "sub/b.md": "b"})
    os.mkfifo(docs / "pipe.md")
    (docs / "sub" / "up.md").symlink_to(docs, target_is_directory=True)
    (docs / "self.md").symlink_to(docs / "self.md")
    assert read(docs) == {"a.md": "a", "self.md": "<Too many levels of symbolic links>", "sub/b.md": "b"}
    with pytest.raises(OSError, match="Neither a folder nor a file"):
        read(docs / "pipe.md")


def test_a_name_that_is_not_utf8_is_told(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"caf\xe9.md")).write_text("a")
    assert read(tmp_path) == {r"caf\xe9.md": "<its name is not UTF-8>"}


def peak_rss(code: str, *words: object) -> int:
    """The peak memory of a Python process, in bytes."""
    # What getrusage() says begins with the process that this one was forked from.
    script = f"import sys\n{code}\nprint(*(line.split()[1] for line in open('/proc/self/status') if line[:6] == 'VmHWM:'))"
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, words)], capture_output=True, text=True, cwd=ROOT, check=True
    )
    return int(done.stdout.split()[-1]) * 1024


INGEST = """
from funcpipe_rag.rag import RagEnv, build_index, make_docs_source
report = build_index(sys.argv[2], make_docs_source(sys.argv[1], on_error="collect")(), RagEnv(2000, 200, boundary="sentence"))
assert (report.indexed, report.quarantined) == tuple(map(int, sys.argv[3:])), report
"""


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="reads /proc")
def test_a_line_of_200_mb_takes_no_more_memory_than_a_short_one(tmp_path: Path) -> None:
    def one_line(name: str, size: int) -> Path:
        with open(tmp_path / name, "w") as file:
            for n in range(size // 20):
                file.write(f"word {n:013d}. "[:20])
        return tmp_path / name

    small = peak_rss(INGEST, one_line("small.txt", 20_000_000), tmp_path / "small.db", 1, 0)
    large = peak_rss(INGEST, one_line("large.txt", 200_000_000), tmp_path / "large.db", 1, 0)
    assert large < 60_000_000
    assert large - small < 6_000_000


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="reads /proc")
@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.html", "a.ipynb"])
def test_200_mb_without_a_line_end_is_refused_where_a_record_must_be_held(tmp_path: Path, name: str) -> None:
    with open(tmp_path / name, "wb") as file:
        file.write(b"<!--" if name == "a.html" else b'"')
        for _ in range(200):
            file.write(b"x" * 1_000_000)
    assert peak_rss(INGEST, tmp_path, tmp_path.with_suffix(".db"), 0, 1) < 100_000_000


def limited(size: int) -> Callable[[], None]:
    """For a child: no file may grow larger than `size` bytes, as on a disk that is full."""

    def limit() -> None:
        import signal

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    return limit


def test_a_disk_that_is_full_is_one_clear_line_and_loses_nothing(tmp_path: Path) -> None:
    docs = write(tmp_path / "docs", {f"{n:02}.txt": f"word{n} " * 3000 for n in range(60)})
    index = tmp_path / "i.db"
    command = [
        sys.executable,
        "-c",
        "from funcpipe_rag.cli import main; main()",
        "build",
        str(docs),
        "--index",
        str(index),
    ]
    full = subprocess.run(
        command, capture_output=True, text=True, cwd=ROOT, check=False, preexec_fn=limited(1_000_000)
    )
    assert full.returncode == 1
    assert "Traceback" not in full.stderr
    assert "run the build again" in full.stderr
    with Index(index) as opened:
        kept = opened.counts()["documents"]
        assert list(opened.check()) == []
    again = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert again.returncode == 0
    assert f"indexed    {60 - kept} documents" in again.stdout


@pytest.mark.parametrize("bad", [RawDoc("a", 3, "a"), RawDoc("a", lambda: 3, "a")])  # type: ignore[arg-type, list-item, return-value]
def test_a_text_that_is_no_text_is_a_type_error(tmp_path: Path, bad: RawDoc) -> None:
    with pytest.raises(TypeError):
        build_index(tmp_path / "i.db", [bad], ENV)


def test_a_value_that_is_too_deep_costs_its_own_line(tmp_path: Path) -> None:
    # Just what the parser of JSON takes is too much for its writer.
    lines = [f'{{"x": {"[" * depth}{"]" * depth}}}\n' for depth in range(900, 1001)]
    path = tmp_path / "deep.jsonl"
    path.write_text("".join([*lines, '{"text": "still here"}\n']))
    found = list(make_docs_source(path, on_error="collect")())
    assert len(found) == len(lines) + 1
    reasons = {one.reason for one in found if isinstance(one, Quarantined)}
    assert reasons <= {"nested too deeply"}  # how much is too deep differs between Pythons
    assert isinstance(found[-1], RawDoc)


def test_a_file_whose_name_is_all_ending_is_read(tmp_path: Path) -> None:
    path = tmp_path / ".csv"
    path.write_text("name\nAda\n")
    assert [doc.source for doc in make_docs_source(path)()] == [".csv#row-1"]


@pytest.mark.parametrize(
    ("pattern", "names"),
    [("[ab].md", ["a.md"]), ("[!a].md", ["^.md", "d.md"]), (r"[\d].md", ["d.md"]), ("[^].md", ["^.md"])],
)
def test_brackets_hold_characters_and_nothing_else(tmp_path: Path, pattern: str, names: list[str]) -> None:
    for name in ("a.md", "d.md", "^.md"):
        (tmp_path / name).write_text("text")
    assert [doc.source for doc in make_docs_source(f"{tmp_path}/{pattern}")()] == names


def test_a_pattern_that_is_none_is_said_at_construction(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"make_docs_source: '\[z-a\]\.md' is no pattern"):
        make_docs_source(f"{tmp_path}/[z-a].md")
