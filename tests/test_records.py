"""CSV rows and JSON lines: what they give, and what they say about a record that cannot be read."""

from __future__ import annotations

import csv
import io
import json
import os
import threading
import tracemalloc
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from funcpipe_rag import Err, Report, make_csv_source, make_jsonl_source, make_lines_source, make_log_source
from funcpipe_rag.streams.decoding import UndecodableText
from funcpipe_rag.streams.records import BadRecord

MAKERS = (make_lines_source, make_csv_source, make_jsonl_source, make_log_source)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data"


def places(items: list[Any]) -> list[str]:
    """Where the failures among the items were, and what they say, without the folder."""
    return [str(item.error).rpartition("/")[2] for item in items if isinstance(item, Err)]


def good(items: list[Any]) -> list[Any]:
    return [item for item in items if not isinstance(item, Err)]


cells = st.text(alphabet=st.sampled_from('ab,"\n\r é😀\0\u2028\x85'), max_size=6)


@settings(deadline=None)
@given(
    st.lists(st.tuples(cells, cells), max_size=5),
    st.sampled_from(["utf-8", "utf-16", "utf-8-sig"]),
    st.data(),
)
def test_csv_gives_what_the_csv_module_wrote(rows: list[tuple[str, str]], encoding: str, data: Any) -> None:
    """Line ends in quotes, separators that are no line ends, NUL, marks: all of it comes back."""
    text = io.StringIO(newline="")
    ends = data.draw(st.sampled_from(["\n", "\r\n", "\r"]))
    writer = csv.writer(text, lineterminator=ends, quoting=csv.QUOTE_ALL)
    writer.writerow(["x", "y"])
    writer.writerows(rows)
    with TemporaryDirectory() as folder:
        path = Path(folder, "a.csv")
        path.write_bytes(text.getvalue().encode(encoding))
        block = data.draw(st.integers(1, 9))
        got = list(make_csv_source(path, encoding=encoding, block=block)())
    assert got == [{"x": x, "y": y} for x, y in rows]


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=5,
)


@settings(deadline=None)
@given(st.lists(values, max_size=5), st.sampled_from(["\n", "\r\n", "\n\n"]), st.integers(1, 9))
def test_jsonl_gives_what_json_wrote(written: list[Any], ends: str, block: int) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder, "a.jsonl")
        text = ends.join(json.dumps(value, ensure_ascii=False) for value in written)
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
        assert list(make_jsonl_source(path, block=block)()) == written


def test_a_row_fails_with_the_line_it_begins_on(path: Path) -> None:
    path.write_bytes(b'x,y\r\n1,"a\r\nb"\r\n\r\n2\r\n3,4,5\r\n"6"7,8\r\n9,10\r\n')
    items = list(make_csv_source(path, on_error="collect")())
    assert good(items) == [{"x": "1", "y": "a\r\nb"}, {"x": "9", "y": "10"}]
    assert places(items) == [
        "data:5: 1 field for 2 columns",
        "data:6: 3 fields for 2 columns",
        "data:7: ',' expected after '\"'",
    ]
    assert [(item.item, item.index) for item in items if isinstance(item, Err)] == [
        ("2\r\n", 1),
        ("3,4,5\r\n", 2),
        ('"6"7,8\r\n', 3),
    ]


def test_a_quote_that_nobody_closes_is_one_failure_that_tells_its_lines(path: Path) -> None:
    path.write_text('x\n1\n"2\n3\n')
    items = list(make_csv_source(path, on_error="collect")())
    assert good(items) == [{"x": "1"}]
    assert places(items) == ["data:3: unexpected end of data (the row goes on to line 4)"]
    assert items[1].item == '"2\n3\n'


def test_a_field_above_the_limit_of_the_csv_module_is_a_failure_and_reading_goes_on(path: Path) -> None:
    limit = csv.field_size_limit()
    path.write_text(f'x\n{"a" * (limit + 1)}\nb\n"{"c" * limit}')
    items = list(make_csv_source(path, on_error="collect")())
    assert good(items) == [{"x": "b"}]
    assert places(items)[0] == f"data:2: field larger than field limit ({limit})"


def test_a_bad_byte_in_a_quoted_field_costs_the_row_and_not_the_rows_behind_it(path: Path) -> None:
    path.write_bytes(b'x,y\n1,"a\ncaf\xe9\n,\n"\n2,b\n')
    items = list(make_csv_source(path, on_error="collect")())
    assert good(items) == [{"x": "2", "y": "b"}]
    assert items[0].item == '1,"a\ncaf\\xe9\n,\n"\n'
    assert type(items[0].error) is UndecodableText
    assert (items[0].error.line, items[0].error.offset) == (3, 12)


def test_columns_name_the_columns_of_a_file_that_does_not(path: Path) -> None:
    path.write_text("1\t'a\n2\tb\n")
    rows = make_csv_source(path, columns=["n", "says"], delimiter="\t", quotechar=None)
    assert list(rows()) == [{"n": "1", "says": "'a"}, {"n": "2", "says": "b"}]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"x,x\n1,2\n", "data:1: two columns are called 'x'"),
        (b"\n\nx,\xe9\n1,2\n", "data:3: not utf-8: byte 0xe9"),
        (b'x,"y\n1,2\n', "data:1: unexpected end of data"),
    ],
)
@pytest.mark.parametrize("on_error", ["fail", "skip", "collect"])
def test_a_file_whose_columns_have_no_names_fails_whatever_the_policy(
    path: Path, data: bytes, says: str, on_error: Any
) -> None:
    path.write_bytes(data)
    with pytest.raises(ValueError, match=says):
        list(make_csv_source(path, on_error=on_error)())


def test_json_lines_says_what_is_wrong_and_where(path: Path) -> None:
    lines = ["1", "", "{", "NaN", "[" * 100_000, "9" * 5000, "\ufeff2", "1 2", '"\u2028"', "nul\0l"]
    path.write_bytes("\n".join(lines).encode())
    items = list(make_jsonl_source(path, on_error="collect")())
    assert good(items) == [1, "\u2028"]
    said = places(items)
    assert said[:3] == [
        "data:3: Expecting property name enclosed in double quotes at column 2",
        "data:4: NaN is no JSON; allow_nan=True takes it",
        "data:5: nested too deeply",
    ]
    assert said[3].startswith("data:6: Exceeds the limit")
    assert [one.partition(": ")[0] for one in said[4:]] == ["data:7", "data:8", "data:10"]
    assert [item.index for item in items if isinstance(item, Err)] == [1, 2, 3, 4, 5, 6, 8]


def test_json_lines_takes_nan_where_it_is_allowed_and_the_last_of_two_keys(path: Path) -> None:
    path.write_text('[NaN, -Infinity]\n{"a": 1, "a": 2}\n')
    nan, twice = make_jsonl_source(path, allow_nan=True)()
    assert str(nan) == "[nan, -inf]"
    assert twice == {"a": 2}


@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)
def test_a_latin_1_byte_under_each_policy(make: Any, path: Path) -> None:
    path.write_bytes(b'"a"\n"b\xe9"\n"c"\n')
    options = {"columns": ["x"]} if make is make_csv_source else {}
    whole = list(make(path, encoding="latin-1", **options)())
    assert len(whole) == 3

    it = make(path, **options)()
    assert next(it) == whole[0]
    with pytest.raises(UndecodableText, match=r"data:2: not utf-8: byte 0xe9 at offset 6 \(invalid"):
        next(it)

    dropped = Report()
    assert list(make(path, on_error="skip", report=dropped, **options)()) == [whole[0], whole[2]]
    assert dropped.counts == {make.__name__: {"UndecodableText": 1}}
    with pytest.warns(RuntimeWarning, match=f"{make.__name__} dropped 1 item: 1 UndecodableText"):
        list(make(path, on_error="skip", **options)())

    items = list(make(path, on_error="collect", **options)())
    assert good(items) == [whole[0], whole[2]]
    assert (items[1].item.rstrip("\n"), items[1].index, items[1].stage) == ('"b\\xe9"', 1, make.__name__)


@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)
def test_an_empty_file_and_one_with_nothing_but_a_mark_give_nothing(make: Any, path: Path) -> None:
    for data in (b"", b"\xef\xbb\xbf"):
        path.write_bytes(data)
        assert list(make(path)()) == []
    path.write_bytes(b"\xff\xfe")
    assert list(make(path, encoding="utf-16")()) == []


@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)
@pytest.mark.parametrize("on_error", ["fail", "skip", "collect"])
def test_utf_16_without_its_mark_cannot_be_read_whatever_the_policy(
    make: Any, on_error: Any, path: Path
) -> None:
    path.write_bytes("1\n2\n".encode("utf-16-le"))
    with pytest.raises(UndecodableText, match="it has no byte order mark"):
        list(make(path, encoding="utf-16", on_error=on_error)())
    assert len(list(make(path, encoding="utf-16-le")())) == (1 if make is make_csv_source else 2)


@settings(deadline=None)
@given(
    st.lists(st.sampled_from(["", "ab", "é€", "ਊ\u0d00\u000b", "BAD"]), max_size=6),
    st.sampled_from(["utf-16", "utf-16-be", "utf-16-le", "utf-32"]),
    st.integers(1, 7),
)
def test_a_bad_unit_of_utf_16_costs_its_line_alone(lines: list[str], encoding: str, block: int) -> None:
    """U+0A0A and U+0D00 have the bytes of line ends in them."""
    text = "".join(f"{line}\n" for line in lines)
    with TemporaryDirectory() as folder:
        path = Path(folder, "data")
        path.write_bytes(text.replace("BAD", "x\udc00y").encode(encoding, "surrogatepass"))
        items = list(make_lines_source(path, encoding=encoding, block=block, on_error="collect")())
    assert good(items) == [line for line in lines if line != "BAD"]
    bad = [place for place, line in enumerate(lines) if line == "BAD"]
    assert [place for place, item in enumerate(items) if isinstance(item, Err)] == bad
    assert [item.error.line for item in items if isinstance(item, Err)] == [place + 1 for place in bad]


@settings(deadline=None)
@given(
    st.lists(st.sampled_from(["a", "é", "b\xff", "\xc3", "\n", "\r", "\r\n"]), max_size=12), st.integers(1, 9)
)
def test_every_line_is_given_or_told_and_its_bad_bytes_have_their_offset(
    pieces: list[str], block: int
) -> None:
    data = b"".join(piece.encode("latin-1" if piece in ("b\xff", "\xc3") else "utf-8") for piece in pieces)
    with TemporaryDirectory() as folder:
        path = Path(folder, "data")
        path.write_bytes(data)
        items = list(make_lines_source(path, block=block, on_error="collect")())
    lines = data.splitlines()
    assert len(items) == len(lines)
    for number, (item, line) in enumerate(zip(items, lines, strict=True)):
        if isinstance(item, Err):
            with pytest.raises(UnicodeDecodeError) as caught:
                line.decode()
            assert item.error.line == number + 1
            assert data[item.error.offset] == item.error.byte == line[caught.value.start]
            assert item.item == line.decode("utf-8", "backslashreplace")
        else:
            assert item == line.decode()


def test_a_stateful_encoding_keeps_its_state_from_line_to_line(path: Path) -> None:
    text = "가\n나다\nx\n"
    path.write_bytes(text.encode("iso2022_kr"))
    for block in (3, 100):
        source = make_lines_source(path, encoding="iso2022_kr", block=block)
        assert list(source()) == text.split()
    # What was switched on ahead of the bad line still holds behind it.
    path.write_bytes(b'\x1b$B$"\n\xff\n$$\x1b(B$$\n')
    for block in (3, 100):
        items = list(make_lines_source(path, encoding="iso2022_jp", block=block, on_error="collect")())
        assert good(items) == ["あ", "い$$"]
        assert [item.error.line for item in items if isinstance(item, Err)] == [2]


@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)
def test_a_line_of_20_mb_costs_its_own_size_and_not_more_the_longer_the_file(make: Any, path: Path) -> None:
    """csv takes no field of that size, so it gets a row of many."""
    size = 20_000_000
    cell = "x" * 999
    line = {
        make_csv_source: f"{cell}," * (size // 1000) + cell,
        make_jsonl_source: json.dumps("x" * size),
    }.get(make, "x" * size)
    path.write_text(f"{line}\n" * 2)
    options = {"columns": map(str, range(size // 1000 + 1))} if make is make_csv_source else {}
    source = make(path, **options)
    tracemalloc.start()
    assert sum(1 for _ in source()) == 2
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # The bytes, the text, and what the line becomes; the csv reader's own list has each cell once more.
    assert peak < 6.5 * size


@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)
def test_memory_does_not_grow_with_the_file(make: Any, path: Path) -> None:
    def peak(lines: int) -> int:
        path.write_text("12345\n" * lines)
        tracemalloc.start()
        for _ in make(path, block=4096)():
            pass
        high = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return high

    peak(10)
    assert peak(100_000) < peak(5_000) + 20_000


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)
def test_the_file_is_closed_on_exhaustion_early_stop_and_error(make: Any, path: Path) -> None:
    """A file that nobody closed would say so when it is collected."""
    path.write_bytes(b"1\n2\n\xff\n")
    handles = open_handles(path)
    it = make(path)()
    assert open_handles(path) == handles
    next(it)
    assert open_handles(path) == handles + 1
    it.close()
    assert open_handles(path) == handles
    held = make(path)()
    with pytest.raises(UndecodableText):
        list(held)
    assert open_handles(path) == handles
    held = make(path, on_error="collect")()
    list(held)
    assert open_handles(path) == handles


def open_handles(path: Path) -> int:
    psutil = pytest.importorskip("psutil")
    return sum(file.path == str(path) for file in psutil.Process().open_files())


@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)
def test_a_missing_file_and_a_folder_are_errors_at_the_first_pull(make: Any, tmp_path: Path) -> None:
    missing, folder = make(tmp_path / "missing")(), make(tmp_path)()
    with pytest.raises(FileNotFoundError):
        next(missing)
    with pytest.raises((IsADirectoryError, PermissionError)):
        next(folder)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="wants named pipes")
@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)
def test_a_pipe_is_read_as_it_is_written(make: Any, path: Path) -> None:
    os.mkfifo(path)
    read = threading.Event()

    def write() -> None:
        with path.open("wb", buffering=0) as pipe:
            pipe.write(b"1\n2\n")
            # A reader that waits for a whole block would wait for ever.
            assert read.wait(10)
            pipe.write(b"\xff\n")

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    it = make(path)()
    next(it)
    read.set()
    with pytest.raises(UndecodableText, match="data:3"):
        list(it)
    writer.join(10)
    assert not writer.is_alive()


def test_a_warning_names_what_was_dropped_when_there_is_no_report(path: Path) -> None:
    path.write_text("x\n1\n2,3\n4,5\n")
    with pytest.warns(
        RuntimeWarning, match="make_csv_source dropped 2 items: 2 BadRecord in make_csv_source"
    ):
        assert list(make_csv_source(path, on_error="skip")()) == [{"x": "1"}]


def test_an_error_is_raised_without_the_ones_that_led_to_it(path: Path) -> None:
    path.write_text("{\n")
    with pytest.raises(BadRecord) as caught:
        list(make_jsonl_source(path)())
    assert caught.value.__context__ is None
    assert (caught.value.path, caught.value.line) == (str(path), 1)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: make_csv_source(""), "path must be a file's path"),
        (lambda: make_csv_source("a", columns="id"), "columns is a list of names"),
        (lambda: make_csv_source("a", columns=[]), "at least one column"),
        (lambda: make_csv_source("a", columns=["x", 1]), "columns must be text, got 1"),
        (lambda: make_csv_source("a", columns=["x", "x"]), "columns: two columns are called 'x'"),
        (lambda: make_csv_source("a", delimiter="--"), "delimiter must be one character"),
        (lambda: make_csv_source("a", delimiter="\n"), "no line end"),
        (lambda: make_csv_source("a", delimiter=None), "delimiter must be one character, got NoneType"),
        (lambda: make_csv_source("a", quotechar=","), "must differ"),
        (lambda: make_csv_source("a", quotechar=""), "quotechar must be one character"),
        (lambda: make_csv_source("a", on_error="ignore"), "on_error must be"),
        (lambda: make_csv_source("a", encoding="no-such"), "encoding must be one that Python knows"),
        (lambda: make_jsonl_source("a", block=0), "block must be >= 1"),
        (lambda: make_jsonl_source("a", report=3), "report must be a function"),
        (lambda: make_lines_source("a", on_error="ignore"), "on_error must be"),
    ],
)
def test_bad_arguments_are_refused_at_construction(make: Any, says: str) -> None:
    with pytest.raises((ValueError, TypeError), match=says):
        make()
