"""Sources that open files: what they give, when they open, and what they say about what they cannot read."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings, strategies as st

from funcpipe_rag import Err, Report
from funcpipe_rag.streams.decoding import UndecodableText
from funcpipe_rag.streams.sources import make_lines_source, make_text_source, make_walk_source

names = st.text(alphabet="abAB_-1", min_size=1, max_size=3)


@settings(deadline=None, max_examples=60)
@given(st.sets(st.lists(names, min_size=1, max_size=3).map(tuple), max_size=12))
def test_walk_gives_every_file_once_in_the_order_of_its_parts(wanted: set[tuple[str, ...]]) -> None:
    with TemporaryDirectory() as folder:
        made = set()
        for parts in wanted:
            path = Path(folder, *parts)
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text("x")
            except OSError:  # one name wanted as file and as folder
                continue
            made.add(parts)
        walked = [Path(path).relative_to(folder).parts for path in make_walk_source(folder)()]
    assert walked == sorted(made)


def test_walk_leaves_out_hidden_and_skipped_names_and_other_suffixes(tmp_path: Path) -> None:
    for name in ("a.md", "b.TXT", "c.png", ".d.md", ".git/e.md", "__pycache__/f.md", "sub/g.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")

    def walked(**options: object) -> list[str]:
        paths = make_walk_source(tmp_path, **options)()  # type: ignore[arg-type]
        return [os.path.relpath(path, tmp_path) for path in paths]

    assert walked(suffixes=[".md", ".txt"], skip=["__pycache__"]) == ["a.md", "b.TXT", "sub/g.md"]
    assert ".git/e.md" in walked(hidden=True)


def test_walk_enters_each_real_folder_once(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "file.md").write_text("x")
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    (tmp_path / "b").symlink_to(tmp_path / "a")
    assert [os.path.relpath(path, tmp_path) for path in make_walk_source(tmp_path)()] == ["a/file.md"]


def test_walk_opens_nothing_before_the_first_pull_and_each_folder_when_it_is_reached(tmp_path: Path) -> None:
    walk = make_walk_source(tmp_path / "later")
    it = walk()
    (tmp_path / "later" / "z").mkdir(parents=True)
    (tmp_path / "later" / "a.md").write_text("x")
    assert next(it).endswith("a.md")
    (tmp_path / "later" / "z" / "new.md").write_text("x")
    assert [os.path.basename(path) for path in it] == ["new.md"]


def test_walk_tells_of_a_folder_it_cannot_list_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bad").mkdir()
    (tmp_path / "good.md").write_text("x")
    listed = os.listdir

    def listdir(path: str) -> list[str]:
        if path.endswith("bad"):
            raise PermissionError(13, "Permission denied", path)
        return listed(path)

    monkeypatch.setattr(os, "listdir", listdir)
    told = Report()
    walk = make_walk_source(tmp_path, on_error="skip", report=told)
    assert [os.path.basename(path) for path in walk()] == ["good.md"]
    assert repr(told) == "Report(1 PermissionError in make_walk_source)"
    with pytest.warns(RuntimeWarning, match="make_walk_source dropped 1 item"):
        assert len(list(make_walk_source(tmp_path, on_error="skip")())) == 1
    failure, good = make_walk_source(tmp_path, on_error="collect")()
    assert isinstance(failure, Err)
    assert (os.path.basename(failure.item), failure.index, os.path.basename(good)) == ("bad", 0, "good.md")
    with pytest.raises(PermissionError):
        list(make_walk_source(tmp_path)())


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="wants named pipes")
def test_walk_gives_no_pipe_and_refuses_one_as_its_root(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.md")
    assert list(make_walk_source(tmp_path)()) == []
    with pytest.raises(OSError, match="Neither a folder nor a file"):
        next(make_walk_source(tmp_path / "pipe.md")())


def test_walk_reports_a_link_to_nowhere(tmp_path: Path) -> None:
    (tmp_path / "gone.md").symlink_to(tmp_path / "nothing")
    with pytest.raises(FileNotFoundError):
        list(make_walk_source(tmp_path, suffixes=[".md"])())
    assert list(make_walk_source(tmp_path, suffixes=[".txt"])()) == []


def until_error(pieces: Iterator[str]) -> tuple[list[str], Exception | None]:
    """What a stream gives before its error, and the error."""
    got: list[str] = []
    try:
        for piece in pieces:
            got.append(piece)
    except Exception as error:
        return got, error
    return got, None


texts = st.text(alphabet=st.sampled_from("ab \n\ré€😀\ufeff"), max_size=60)


@settings(deadline=None)
@given(texts, st.sampled_from(["utf-8", "utf-16", "utf-32", "utf-16-le"]), st.integers(1, 9))
def test_text_is_the_file_decoded_without_its_mark_whatever_the_block(
    text: str, encoding: str, block: int
) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder, "a.txt")
        path.write_bytes(text.encode(encoding))
        got = list(make_text_source(path, encoding=encoding, block=block)())
    assert "".join(got) == text.removeprefix("\ufeff")
    assert all(got)


@settings(deadline=None)
@given(
    st.text(alphabet="ab\né€", max_size=40),
    st.sampled_from([b"\xff", b"\xc3(", b"\xe2\x82"]),
    st.integers(1, 9),
)
def test_a_bad_byte_is_named_with_line_and_offset_after_all_text_before_it(
    before: str, bad: bytes, block: int
) -> None:
    data = before.encode()
    with TemporaryDirectory() as folder:
        path = Path(folder, "a.txt")
        path.write_bytes(data + bad)
        got, error = until_error(make_text_source(path, block=block)())
    assert isinstance(error, UndecodableText)
    assert f"a.txt:{error.line}: not utf-8: byte {bad[0]:#04x}" in str(error)
    assert error.offset == len(data)
    assert error.line == before.count("\n") + 1
    assert error.byte == bad[0]
    assert "".join(got) == before


def test_a_marked_files_bad_byte_counts_the_mark(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xef\xbb\xbfab\xff")
    for encoding in ("utf-8", "utf-8-sig", "UTF_8_SIG"):
        with pytest.raises(UndecodableText) as caught:
            list(make_text_source(path, encoding=encoding)())
        assert caught.value.offset == 5


def test_utf16_without_a_mark_is_undecodable_not_a_crash(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("plain".encode("utf-16-le"))
    with pytest.raises(UndecodableText):
        list(make_text_source(path, encoding="utf-16")())


@settings(deadline=None)
@given(st.text(alphabet="ab\n\r", max_size=40), st.integers(1, 5))
def test_lines_are_those_of_universal_newlines(text: str, block: int) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder, "a.txt")
        path.write_bytes(text.encode())
        lines = list(make_lines_source(path, block=block)())
    assert lines == [line.rstrip("\n") for line in io.StringIO(text, newline=None)]


def test_a_file_opens_at_the_first_pull_and_closes_at_the_last_or_earlier(tmp_path: Path) -> None:
    psutil = pytest.importorskip("psutil")
    path = tmp_path / "a.txt"
    path.write_text("one\ntwo\n" * 100)

    def open_files() -> int:
        return sum(file.path == str(path) for file in psutil.Process().open_files())

    for make in (make_text_source, make_lines_source):
        it = make(path, block=8)()
        assert open_files() == 0
        next(it)
        assert open_files() == 1
        it.close()  # type: ignore[attr-defined]
        assert open_files() == 0
        list(make(path)())
        assert open_files() == 0
    path.write_bytes(b"ok\n\xff")
    with pytest.raises(UndecodableText):
        list(make_text_source(path)())
    assert open_files() == 0


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: make_walk_source(""), "root must be a path"),
        (lambda: make_walk_source(3), "expected str, bytes or os.PathLike"),
        (lambda: make_walk_source(".", suffixes=".md"), "not one str"),
        (lambda: make_walk_source(".", suffixes=["md"]), "begins with a dot"),
        (lambda: make_walk_source(".", on_error="ignore"), "on_error must be"),
        (lambda: make_text_source(""), "path must be a file's path"),
        (lambda: make_text_source(7), "path must be a path"),
        (lambda: make_text_source("a", encoding="no-such"), "encoding must be one that Python knows"),
        (lambda: make_text_source("a", encoding="base64"), "encoding must be one that Python knows"),
        (lambda: make_text_source("a", block=0), "block must be >= 1"),
        (lambda: make_lines_source("a", block=1.5), "block must be a whole number"),
    ],
)
def test_bad_arguments_are_refused_at_construction(make: object, says: str) -> None:
    with pytest.raises((ValueError, TypeError), match=says):
        make()  # type: ignore[operator]
