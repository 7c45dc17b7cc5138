"""Lessons as data: where they live, what a header says, which line each cell stands on.

A lesson is MyST Markdown that jupytext reads as a notebook. This file adds what jupytext leaves open:
a header that must be whole, tags that must be known, and an exercise that is followed by its solution.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

TAGS = frozenset({"exercise", "solution", "instructor", "nbval-ignore-output", "raises-exception"})
SHIPPED = Path(__file__).parent / "shipped"


class LessonError(Exception):
    """What is wrong with a lesson, and where: `modules/03-…/07-….md:12: …`."""

    def __init__(self, message: str, *, path: Path | None = None, line: int | None = None) -> None:
        where = "" if path is None else f"{shown(path)}:{line}: " if line else f"{shown(path)}: "
        super().__init__(where + message)


@dataclass(frozen=True)
class Places:
    """Where the lessons and the notebooks are; `clone` is None in an installed wheel."""

    modules: Path
    notebooks: Path
    clone: Path | None


@dataclass(frozen=True)
class Cell:
    """One cell of a lesson's source; `line` is where it begins in the .md, and its id holds in every edition."""

    id: str
    kind: str
    source: str
    metadata: dict[str, Any]
    line: int

    @property
    def tags(self) -> frozenset[str]:
        return frozenset(self.metadata.get("tags", ()))


@dataclass(frozen=True)
class Lesson:
    """A lesson's header, its cells and its text."""

    path: Path
    text: str = field(repr=False)
    cells: tuple[Cell, ...] = field(repr=False)
    id: str
    title: str
    read_minutes: int
    exercise_minutes: int
    requires: tuple[str, ...]
    requires_planned: tuple[str, ...]
    functions: tuple[str, ...]
    laws: tuple[str, ...]
    exercises: tuple[str, ...]
    browser: bool

    def line_of(self, key: str, item: str = "") -> int:
        """The line of the file on which the header's `key` names `item`."""
        return _header_line(self.text, key, item)


def find_places(start: Path | None = None) -> Places:
    """Find the lessons: in the clone around `start` (by default the current folder), else in the clone around
    this package, else inside the wheel.
    """
    for folder in (start or Path.cwd()).resolve(), Path(__file__).resolve().parent:
        for root in (folder, *folder.parents):
            if (root / "modules").is_dir() and _is_ours(root / "pyproject.toml"):
                return Places(root / "modules", root / "notebooks", root)
    if (SHIPPED / "modules").is_dir():
        return Places(SHIPPED / "modules", SHIPPED / "notebooks", None)
    raise LessonError("no lessons here: run this inside a clone of funcpipe-rag")


def _is_ours(pyproject: Path) -> bool:
    try:
        project = tomllib.loads(pyproject.read_text(encoding="utf-8")).get("project", {})
    except (OSError, ValueError):
        return False
    return bool(project.get("name") == "funcpipe-rag")


def find_lessons(modules: Path, wanted: Sequence[str] = ()) -> list[Lesson]:
    """Read the lessons of `modules` in teaching order: all, or those that `wanted` names.

    A lesson is named by its id (M03C07), its module (M03) or its path.
    """
    paths: list[Path] = []
    for path in sorted(modules.glob("*/*.md")):
        if path.name == "index.md":
            continue
        if not re.fullmatch(r"\d\d-[\w-]+/\d\d-[\w-]+\.md", f"{path.parent.name}/{path.name}"):
            raise LessonError("a lesson is named modules/NN-slug/CC-slug.md", path=path)
        if paths and _id_from(paths[-1]) == _id_from(path):
            raise LessonError(f"{_id_from(path)} is {shown(paths[-1])} already", path=path)
        paths.append(path)
    chosen = set()
    for want in wanted:
        found = {p for p in paths if _id_from(p).startswith(want.upper()) or p == Path(want).resolve()}
        if not found:
            raise LessonError(f"no lesson {want}; there are: {', '.join(map(_id_from, paths)) or 'none yet'}")
        chosen |= found
    return [read_lesson(path) for path in paths if path in chosen or not wanted]


def read_lesson(path: Path) -> Lesson:
    """Read one lesson. Raises LessonError with file and line when header, tags or pairs are not in order."""
    from jupytext.myst import myst_to_notebook

    try:
        text = path.read_text(encoding="utf-8")
        notebook = myst_to_notebook(text, add_source_map=True)
    except Exception as error:  # jupytext's own, yaml's, or the system's
        raise _unreadable(path, error) from None
    header = _checked_header(path, text, notebook.metadata.get("lesson"))
    cells = tuple(
        Cell(
            id=f"{header['id']}-{number:02d}",
            kind=cell.cell_type,
            source=cell.source,
            metadata=dict(cell.metadata),
            line=_first_line(text.splitlines(), start, cell.source.splitlines()),
        )
        for number, (cell, start) in enumerate(
            zip(notebook.cells, notebook.metadata.source_map, strict=True), start=1
        )
    )
    _check_cells(path, cells)
    minutes = header.pop("minutes")
    return Lesson(
        path=path,
        text=text,
        cells=cells,
        read_minutes=minutes["read"],
        exercise_minutes=minutes["exercises"],
        **header,
    )


def shown(path: Path) -> str:
    """A path as a reader wants it: relative to the current folder when it is inside."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def _id_from(path: Path) -> str:
    return f"M{path.parent.name[:2]}C{path.name[:2]}"


def _unreadable(path: Path, error: Exception) -> LessonError:
    message = str(error)
    if cell := re.search(r"at line (\d+)", message):
        line = int(cell[1])
    else:
        # yaml counts from the line below the opening `---`.
        line = max((int(n) + 1 for n in re.findall(r"line (\d+), column", message)), default=1)
    return LessonError(f"cannot be read: {' '.join(message.split())}", path=path, line=line)


def _checked_header(path: Path, text: str, lesson: object) -> dict[str, Any]:
    """The header with every key there, of the right type, and the id that the file's name promises."""

    def wrong(message: str, key: str = "lesson", item: str = "") -> LessonError:
        return LessonError(message, path=path, line=_header_line(text, key, item))

    if not isinstance(lesson, dict):
        raise wrong("the YAML header has no `lesson:` block")
    lists = ("requires", "requires_planned", "functions", "laws", "exercises")
    header = {"requires_planned": [], **lesson}
    for key in ("id", "title", "minutes", *lists, "browser"):
        if key not in header:
            raise wrong(f"header: `{key}` is missing" + (f" (for none: `{key}: []`)" if key in lists else ""))
        value = header[key]
        if key in lists:
            if not (isinstance(value, list) and all(isinstance(item, str) for item in value)):
                raise wrong(f"header: `{key}` wants a list of names, got {value!r}", key)
            header[key] = tuple(value)
        elif key == "minutes":
            if not (isinstance(value, dict) and set(value) == {"read", "exercises"}) or not all(
                isinstance(count, int) for count in value.values()
            ):
                raise wrong(f"header: `minutes` wants {{read: N, exercises: N}}, got {value!r}", key)
        elif not isinstance(value, bool if key == "browser" else str):
            raise wrong(
                f"header: `{key}` wants {'yes or no' if key == 'browser' else 'text'}, got {value!r}", key
            )
    if unknown := set(header) - {"id", "title", "minutes", *lists, "browser"}:
        raise wrong(f"header: `{min(unknown)}` is no key of a lesson", min(unknown))
    if header["id"] != _id_from(path):
        raise wrong(f"header: a file of this name holds lesson {_id_from(path)}, not {header['id']}", "id")
    return header


def _header_line(text: str, key: str, item: str) -> int:
    """The line of `key` in the YAML header, or that of `item` below it; 1 when neither is there."""
    lines = text.splitlines()
    end = lines.index("---", 1) if "---" in lines[1:] else len(lines)
    start = next((n for n in range(end) if re.match(rf"\s*{re.escape(key)}\s*:", lines[n])), 0)
    named = (n for n in range(start, end) if re.search(rf"(?<![\w-]){re.escape(item)}(?![\w-])", lines[n]))
    return 1 + (next(named, start) if item else start)


def _first_line(lines: list[str], start: int, source: list[str]) -> int:
    """The 1-based line where a cell's source begins, below the options at jupytext's start."""
    wanted = [line.rstrip() for line in source]
    for n in range(start, len(lines)):
        if [line.rstrip() for line in lines[n : n + len(wanted)]] == wanted:
            return n + 1
    return start


def _check_cells(path: Path, cells: Iterable[Cell]) -> None:
    """A tag that nobody knows could hand out a solution; so could a solution that has lost its exercise."""
    starter: Cell | None = None
    for cell in cells:
        tags = cell.metadata.get("tags", [])
        if not isinstance(tags, list) or not TAGS.issuperset(tags):
            raise LessonError(
                f"cell {cell.id}: tags are a list of {', '.join(sorted(TAGS))}; got {tags!r}",
                path=path,
                line=cell.line,
            )
        if "exercise" in tags and cell.kind != "code":
            raise LessonError(f"cell {cell.id}: an exercise is a code cell", path=path, line=cell.line)
        solution = cell.kind == "code" and "solution" in tags
        if starter and not solution:
            break
        if solution and not starter:
            raise LessonError(
                f"cell {cell.id}: a solution stands directly below its exercise cell",
                path=path,
                line=cell.line,
            )
        starter = cell if "exercise" in tags else None
    if starter:
        raise LessonError(
            f"cell {starter.id}: an exercise is followed at once by its solution cell",
            path=path,
            line=starter.line,
        )
