"""What people write in place of the sources that open files."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from funcpipe_rag.streams import ffilter, fmap
from funcpipe_rag.streams.records import make_csv_source, make_jsonl_source
from funcpipe_rag.streams.results import Err

from .mutant import mutant

Source = Callable[[], Iterator[Any]]


@mutant(of="make_text_source", killed_by="text-source-gives-the-file-whatever-the-block")
def decodes_each_block(path: str, *, block: int = 65536) -> Source:
    """Decodes every block on its own: a letter of two bytes may lie in two of them."""

    def run() -> Iterator[str]:
        with open(path, "rb") as file:
            while data := file.read(block):
                yield data.decode("utf-8")

    return run


@mutant(of="make_text_source", killed_by="text-source-gives-the-file-whatever-the-block")
def translates_line_ends(path: str, *, block: int = 65536) -> Source:
    """Opens the file as text with the usual settings, which turn every line end into a newline."""

    def run() -> Iterator[str]:
        with open(path, encoding="utf-8") as file:
            while text := file.read(block):
                yield text

    return run


@mutant(of="make_text_source", killed_by="text-source-opens-nothing-at-birth")
def opens_at_once(path: str, *, block: int = 65536) -> Source:
    """Opens the file when the stream is built, and keeps it open until somebody reads."""

    def run() -> Iterator[str]:
        file = open(path, encoding="utf-8", newline="")  # noqa: SIM115
        return iter(lambda: file.read(block), "")

    return run


@mutant(of="make_text_source", killed_by="text-source-starts-afresh")
def reads_once_and_remembers(path: str, *, block: int = 65536) -> Source:
    """Keeps the text of the first reading."""
    kept: list[str] = []

    def run() -> Iterator[str]:
        if not kept:
            kept.append(Path(path).read_bytes().decode())
        yield kept[0]

    return run


@mutant(of="make_lines_source", killed_by="lines-source-gives-the-file-whatever-the-block")
def cuts_lines_at_blocks(path: str, *, block: int = 65536) -> Source:
    """Splits each block into lines: a line that goes on in the next block becomes two."""

    def run() -> Iterator[str]:
        with open(path, encoding="utf-8") as file:
            while text := file.read(block):
                yield from text.splitlines()

    return run


@mutant(of="make_lines_source", killed_by="lines-source-opens-nothing-at-birth")
def reads_lines_at_once(path: str, *, block: int = 65536) -> Source:
    """Reads the file when the stream is built."""

    def run() -> Iterator[str]:
        return iter(Path(path).read_text(encoding="utf-8").splitlines())

    return run


@mutant(of="make_lines_source", killed_by="lines-source-starts-afresh")
def one_file_for_all_runs(path: str, *, block: int = 65536) -> Source:
    """Opens the file once and goes on where the last reader stopped."""
    opened: list[Iterator[str]] = []

    def run() -> Iterator[str]:
        if not opened:
            opened.append(open(path, encoding="utf-8"))  # noqa: SIM115
        yield from (line.removesuffix("\n") for line in opened[0])

    return run


@mutant(of="make_lines_source", killed_by="lines-source-loses-one-line-to-a-bad-byte")
def leaves_bad_bytes_out(
    path: str, *, block: int = 65536, on_error: str = "fail", report: Any = None
) -> Source:
    """Opens the file with errors="ignore": the line comes, with less in it than was written, and nobody is told."""

    def run() -> Iterator[str]:
        with open(path, encoding="utf-8", errors="ignore") as file:
            yield from (line.removesuffix("\n") for line in file)

    return run


def _table(path: str) -> Iterator[dict[str, str]]:
    with open(path, encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)


@mutant(of="make_csv_source", killed_by="csv-source-gives-the-file-whatever-the-block")
def splits_at_commas(path: str, **how: Any) -> Source:
    """Splits each line at its commas: a comma or a line end in quotes is data."""

    def run() -> Iterator[Any]:
        with open(path, encoding="utf-8") as file:
            names = next(file).rstrip("\n").split(",")
            for line in file:
                yield dict(zip(names, line.rstrip("\n").split(","), strict=False))

    return run


@mutant(of="make_csv_source", killed_by="csv-source-gives-the-file-whatever-the-block")
def translates_line_ends_in_quotes(path: str, **how: Any) -> Source:
    """Opens the file without newline="": a "\\r\\n" in quotes comes out as "\\n"."""

    def run() -> Iterator[Any]:
        with open(path, encoding="utf-8") as file:
            yield from csv.DictReader(file)

    return make_csv_source(path, **how) if "on_error" in how else run


@mutant(of="make_csv_source", killed_by="csv-source-opens-nothing-at-birth")
def reads_the_header_at_once(path: str, **how: Any) -> Source:
    """Reads the names of the columns when the stream is built."""
    with open(path, encoding="utf-8", newline="") as file:
        names = next(csv.reader(file))

    def run() -> Iterator[Any]:
        with open(path, encoding="utf-8", newline="") as file:
            next(file)
            yield from csv.DictReader(file, names)

    return run


@mutant(of="make_csv_source", killed_by="csv-source-starts-afresh")
def one_reader_for_all_runs(path: str, **how: Any) -> Source:
    """Makes one reader, and goes on where the last run stopped."""
    opened: list[Iterator[Any]] = []

    def run() -> Iterator[Any]:
        if not opened:
            opened.append(_table(path))
        yield from opened[0]

    return run


@mutant(of="make_csv_source", killed_by="csv-source-loses-one-line-to-a-bad-byte")
def knows_no_bad_byte(path: str, **how: Any) -> Source:
    """Reads everything as Latin-1, where every byte is a letter: nothing fails, and é comes out as Ã©."""
    return make_csv_source(path, encoding="latin-1", **how)


@mutant(of="make_csv_source", killed_by="csv-source-tells-where-a-bad-row-begins")
def counts_rows_for_lines(path: str, **how: Any) -> Source:
    """Numbers the rows and calls that the line: a row with a line end in its quotes puts all others out."""
    return make_csv_source(path, **how) | fmap(partial(_renumbered, path, 2))


@mutant(of="make_csv_source", killed_by="csv-source-tells-where-a-bad-row-begins")
def fills_short_rows(path: str, **how: Any) -> Source:
    """Leaves it to DictReader, which fills a short row with None and puts what is too much under None."""
    return lambda: _table(path)


def _renumbered(path: str, first: int, item: Any) -> Any:
    if not isinstance(item, Err):
        return item
    return item._replace(error=ValueError(f"{path}:{item.index + first}: {item.error}"))


def _parsed(path: str) -> Iterator[Any]:
    with open(path, encoding="utf-8") as file:
        yield from (json.loads(line) for line in file if line.strip())


@mutant(of="make_jsonl_source", killed_by="jsonl-source-gives-the-file-whatever-the-block")
def chokes_on_an_empty_line(path: str, **how: Any) -> Source:
    """Parses every line: the empty one at the end of many files is no JSON."""

    def run() -> Iterator[Any]:
        with open(path, encoding="utf-8") as file:
            yield from (json.loads(line) for line in file)

    return run


@mutant(of="make_jsonl_source", killed_by="jsonl-source-gives-the-file-whatever-the-block")
def drops_null(path: str, **how: Any) -> Source:
    """Filters for what is true: null, 0 and "" are values too."""
    return make_jsonl_source(path, **how) | ffilter(bool)


@mutant(of="make_jsonl_source", killed_by="jsonl-source-opens-nothing-at-birth")
def parses_at_once(path: str, **how: Any) -> Source:
    """Parses the file when the stream is built."""
    values = list(_parsed(path))
    return lambda: iter(values)


@mutant(of="make_jsonl_source", killed_by="jsonl-source-starts-afresh")
def parses_once_and_remembers(path: str, **how: Any) -> Source:
    """Keeps the values of the first reading."""
    kept: list[Any] = []

    def run() -> Iterator[Any]:
        if not kept:
            kept.extend(_parsed(path))
        yield from kept

    return run


@mutant(of="make_jsonl_source", killed_by="jsonl-source-loses-one-line-to-a-bad-byte")
def json_in_latin_1(path: str, **how: Any) -> Source:
    """Reads everything as Latin-1, where every byte is a letter: JSON does not mind what stands in a text."""
    return make_jsonl_source(path, encoding="latin-1", **how)


@mutant(of="make_jsonl_source", killed_by="jsonl-source-tells-which-line-is-no-json")
def counts_values_for_lines(path: str, **how: Any) -> Source:
    """Leaves the empty lines out first, and numbers what is left."""
    return make_jsonl_source(path, **how) | fmap(partial(_renumbered, path, 1))


@mutant(of="make_jsonl_source", killed_by="jsonl-source-tells-which-line-is-no-json")
def takes_nan_for_json(path: str, **how: Any) -> Source:
    """Leaves it to json.loads, which takes NaN: most other parsers do not."""
    return make_jsonl_source(path, allow_nan=True, **how)


@mutant(of="make_walk_source", killed_by="walk-source-gives-each-file-once-in-order")
def files_before_folders(root: str) -> Source:
    """Uses os.walk, which gives a folder's files first and its folders afterwards, hidden ones among them."""

    def run() -> Iterator[str]:
        for folder, _, names in os.walk(root):
            yield from (os.path.join(folder, name) for name in sorted(names))

    return run


@mutant(of="make_walk_source", killed_by="walk-source-goes-round-no-loop")
def follows_every_link(root: str) -> Source:
    """Goes into every folder it sees: a link to a folder above leads round in a circle."""

    def walk(folder: str) -> Iterator[str]:
        for name in sorted(os.listdir(folder)):
            path = os.path.join(folder, name)
            if name.startswith("."):
                continue
            if os.path.isdir(path):
                yield from walk(path)
            else:
                yield path

    return lambda: walk(root)


@mutant(of="make_walk_source", killed_by="walk-source-lists-nothing-at-birth")
def lists_at_once(root: str) -> Source:
    """Lists the folder when the stream is built."""

    def run() -> Iterator[str]:
        names = sorted(path for path in os.listdir(root) if not path.startswith("."))
        return (os.path.join(root, name) for name in names)

    return run


@mutant(of="make_walk_source", killed_by="walk-source-starts-afresh")
def walks_once(root: str) -> Source:
    """Keeps the paths of the first walk."""
    kept: list[str] = []

    def run() -> Iterator[str]:
        if not kept:
            kept.extend(follows_every_link(root)())
        yield from kept

    return run
