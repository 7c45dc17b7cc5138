"""The laws of sources that open files: external, so fresh and lazy, but not deterministic beyond what the disk says."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from io import StringIO
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from funcpipe_rag.streams.results import Err

from .inputs import Input, booleans, choice, integers, several
from .law import law, same
from .worlds import World

Pieces = list[str]
_TEXT: Input[Pieces] = several(choice("a", "b", " ", "é", "\n", "\r\n", "\r"), most=8)
_CELLS: Input[Pieces] = several(choice("a", "é", '""', '"1,2"', '"1\r\n2"', '"1""2"'), most=6)
_VALUES: Input[Pieces] = several(choice("1", '"é"', "", "null", '{"a": [1]}'), most=5)
_NAMES: Input[Pieces] = several(
    choice("a.md", "b.md", "c.txt", "sub/a.md", "sub/deep/d.md", ".hidden.md"), most=5
)


class FileSource(NamedTuple):
    """A source that reads one file: what is written there, what it gives of it, and what a line of it may be."""

    name: str
    read: Callable[[list[Any]], Any]
    twin: Callable[[str], Any]
    pieces: Input[Pieces] = _TEXT
    written: Callable[[Pieces], str] = "".join
    other: str = "new"
    """Another content, for a file that changes between two calls."""
    head: str = ""
    """What stands in front of the lines in `line`."""
    line: str = "{}"
    """A line of the file, around a text of its own."""


def _lines(text: str) -> list[str]:
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return lines if lines[-1] else lines[:-1]


def _table(cells: Pieces) -> str:
    """Two columns of `cells`, under a head."""
    rows = [f"{x},{y}\n" for x, y in zip(cells[::2], cells[1::2], strict=False)]
    return "".join(["x,y\n", *rows])


def _rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(StringIO(text, newline="")))


def _values(text: str) -> list[Any]:
    return [json.loads(line) for line in text.split("\n") if line]


TEXT = FileSource("make_text_source", "".join, lambda text: text)
LINES = FileSource("make_lines_source", list, _lines)
LOG = FileSource("make_log_source", list, _lines)
CSV = FileSource("make_csv_source", list, _rows, _CELLS, _table, "z\nnew\n", head="x\n")
JSONL = FileSource("make_jsonl_source", list, _values, _VALUES, "\n".join, '"new"', line='"{}"')


def _written(world: World, text: str | bytes) -> str:
    path = Path(world.folder()) / "file.txt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


def _laws_of(kind: FileSource) -> None:
    name = kind.name
    slug = name.removeprefix("make_").replace("_", "-")

    @law(
        f"{slug}-gives-the-file-whatever-the-block",
        about=name,
        promise="same answer",
        says="The file comes out as it stands there, however it is cut into blocks.",
        hint="What happens to a character, or a line end, that two blocks share?",
        text=kind.pieces,
        block=integers(1, 5),
    )
    def _(world: World, factory: Any, text: Pieces, block: int) -> None:
        content = kind.written(text)
        path = _written(world, content)
        same(kind.read(world.items(world.run(factory(path, block=block)))), kind.twin(content))

    @law(
        f"{slug}-opens-nothing-at-birth",
        about=name,
        promise="on demand",
        says="The file is opened by the first question: until then it need not even be there.",
        hint="Which line opens the file before anybody has asked?",
        text=kind.pieces,
    )
    def _(world: World, factory: Any, text: Pieces) -> None:
        content = kind.written(text)
        path = Path(world.folder()) / "later.txt"
        it = world.iterator(world.run(factory(str(path))))
        path.write_bytes(content.encode())
        same(kind.read(list(it)), kind.twin(content))

    @law(
        f"{slug}-starts-afresh",
        about=name,
        promise="fresh",
        says="Each call reads the file from its beginning, as it is by then.",
        hint="What is kept from one call to the next?",
        text=kind.pieces,
        ahead=integers(0, 3),
    )
    def _(world: World, factory: Any, text: Pieces, ahead: int) -> None:
        content = kind.written(text)
        path = _written(world, content)
        made = factory(path, block=1)
        begun = world.iterator(world.run(made))
        got = list(islice(begun, ahead))
        same(kind.read(world.items(world.run(made))), kind.twin(content), "the second call gave {}")
        same(kind.read([*got, *begun]), kind.twin(content), "the first call gave {}")
        Path(path).write_bytes(kind.other.encode())
        same(
            kind.read(world.items(world.run(made))),
            kind.twin(kind.other),
            "after the file had changed it gave {}",
        )


def _laws_of_failures(kind: FileSource) -> None:
    name = kind.name
    slug = name.removeprefix("make_").replace("_", "-")

    @law(
        f"{slug}-loses-one-line-to-a-bad-byte",
        about=name,
        promise="same answer",
        late=True,
        says="A byte that the encoding does not have costs the line it stands on: it is told with file and line, and "
        "all others come.",
        hint="How many lines had been read when the byte was met, and where does reading go on?",
        good=several(booleans(), most=5),
        block=integers(1, 5),
        told=booleans(),
    )
    def _(world: World, factory: Any, good: list[bool], block: int, told: bool) -> None:
        first = kind.head.count("\n") + 1
        lines = [kind.line.format(f"n{place}") for place in range(len(good))]
        path = _written(
            world,
            kind.head.encode()
            + b"".join(
                line.encode().replace(b"n", b"n" if fine else b"caf\xe9") + b"\n"
                for line, fine in zip(lines, good, strict=True)
            ),
        )
        kept = [line for line, fine in zip(lines, good, strict=True) if fine]
        expected = kind.twin(kind.head + "".join(f"{line}\n" for line in kept))
        bad = [first + place for place, fine in enumerate(good) if not fine]
        if told:
            dropped: list[Any] = []
            made = factory(path, block=block, on_error="skip", report=dropped.append)
            same(kind.read(world.items(world.run(made))), expected)
            failed = dropped
        else:
            items = world.items(world.run(factory(path, block=block, on_error="collect")))
            same(kind.read([item for item in items if not isinstance(item, Err)]), expected)
            failed = [item for item in items if isinstance(item, Err)]
        same(
            [world.shown(str(failure.error)).partition(": ")[0] for failure in failed],
            [f"folder/file.txt:{line}" for line in bad],
            "the failures were at {}",
        )


for _kind in (TEXT, LINES, CSV, JSONL, LOG):
    _laws_of(_kind)
for _kind in (LINES, CSV, JSONL, LOG):
    _laws_of_failures(_kind)


@law(
    "csv-source-tells-where-a-bad-row-begins",
    about="make_csv_source",
    promise="same answer",
    late=True,
    says="A row that is too short or too long fails with the line it begins on, and the rows around it come.",
    hint="How many lines of the file are the rows before it?",
    rows=several(choice("1,2", '"1\n2",3', "1", "1,2,3", ""), most=5),
)
def _(world: World, make_csv_source: Any, rows: Pieces) -> None:
    path = _written(world, "".join(f"{row}\n" for row in ["x,y", *rows]))
    fields = {"1,2": ["1", "2"], '"1\n2",3': ["1\n2", "3"]}
    line, given, failed = 2, [], []
    for row in rows:
        if row in fields:
            given.append(dict(zip("xy", fields[row], strict=True)))
        elif row:
            failed.append(f"folder/file.txt:{line}")
        line += row.count("\n") + 1
    items = world.items(world.run(make_csv_source(path, on_error="collect")))
    same([item for item in items if not isinstance(item, Err)], given)
    same(
        [world.shown(str(item.error)).partition(": ")[0] for item in items if isinstance(item, Err)],
        failed,
        "the failures were at {}",
    )


@law(
    "jsonl-source-tells-which-line-is-no-json",
    about="make_jsonl_source",
    promise="same answer",
    late=True,
    says="A line that is no JSON fails with its number, empty lines counted, and the values around it come.",
    hint="What does your counter count: lines, or values?",
    lines=several(choice("1", "", "[1,", "NaN", '"a'), most=5),
)
def _(world: World, make_jsonl_source: Any, lines: Pieces) -> None:
    path = _written(world, "".join(f"{line}\n" for line in lines))
    items = world.items(world.run(make_jsonl_source(path, on_error="collect")))
    same([item for item in items if not isinstance(item, Err)], [1 for line in lines if line == "1"])
    same(
        [world.shown(str(item.error)).partition(": ")[0] for item in items if isinstance(item, Err)],
        [f"folder/file.txt:{place}" for place, line in enumerate(lines, 1) if line not in ("1", "")],
        "the failures were at {}",
    )


def _walked(root: str, names: list[str]) -> list[str]:
    shown = [name for name in set(names) if not name.startswith(".")]
    return [f"{root}/{name}" for name in sorted(shown, key=lambda name: name.split("/"))]


def _laid_out(world: World, names: list[str]) -> str:
    root = Path(world.folder())
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name, encoding="utf-8")
    return str(root)


@law(
    "walk-source-gives-each-file-once-in-order",
    about="make_walk_source",
    promise="same answer",
    says="Every file below the folder comes once, sorted by name at every level; hidden ones are left out.",
    hint="In which order does the system list a folder? And what of a folder in a folder?",
    names=_NAMES,
)
def _(world: World, make_walk_source: Any, names: Pieces) -> None:
    root = _laid_out(world, names)
    same(world.items(world.run(make_walk_source(root))), _walked(root, names))


@law(
    "walk-source-goes-round-no-loop",
    about="make_walk_source",
    promise="same answer",
    says="A link that points back at a folder above does not send the walk round in a circle.",
    hint="How would you know that you have been in this folder before, under another name?",
    names=_NAMES,
)
def _(world: World, make_walk_source: Any, names: Pieces) -> None:
    root = _laid_out(world, names)
    (Path(root) / "zz").symlink_to(root, target_is_directory=True)
    same(world.items(world.run(make_walk_source(root))), _walked(root, names))


@law(
    "walk-source-lists-nothing-at-birth",
    about="make_walk_source",
    promise="on demand",
    says="The folder is listed by the first question: until then it need not even be there.",
    hint="Which line looks into the folder before anybody has asked?",
    names=_NAMES,
)
def _(world: World, make_walk_source: Any, names: Pieces) -> None:
    later = Path(world.folder()) / "later"
    it = world.iterator(world.run(make_walk_source(str(later))))
    later.mkdir()
    for name in names:
        (later / name).parent.mkdir(parents=True, exist_ok=True)
        (later / name).touch()
    same(list(it), _walked(str(later), names))


@law(
    "walk-source-starts-afresh",
    about="make_walk_source",
    promise="fresh",
    says="Each call walks anew, and sees what has come since.",
    hint="What is kept from one call to the next?",
    names=_NAMES,
)
def _(world: World, make_walk_source: Any, names: Pieces) -> None:
    root = _laid_out(world, names)
    made = make_walk_source(root)
    world.items(world.run(made))
    (Path(root) / "new.md").touch()
    same(world.items(world.run(made)), _walked(root, [*names, "new.md"]))
