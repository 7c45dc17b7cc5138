"""What people write in place of the sources that open files."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from .mutant import mutant

Source = Callable[[], Iterator[str]]


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
