"""Lessons and pages as data: where they live, what a header says, which line each cell stands on.

Both are MyST Markdown that jupytext reads as a notebook. This file adds what jupytext leaves open:
a header that must be whole, tags that must be known, and an exercise that is followed by its solution.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nbformat import NotebookNode

TAGS = frozenset({"exercise", "solution", "instructor", "nbval-ignore-output", "raises-exception"})
SHIPPED = Path(__file__).parent / "shipped"


class LessonError(Exception):
    """What is wrong with a lesson, and where: `modules/03-…/07-….md:12: …`."""

    def __init__(self, message: str, *, path: Path | None = None, line: int | None = None) -> None:
        where = "" if path is None else f"{shown(path)}:{line}: " if line else f"{shown(path)}: "
        super().__init__(where + message)
        self.message, self.path, self.line = message, path, line


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
class Page:
    """What becomes a notebook. A page that is no lesson bears no number and asks for nothing: a module's
    index.md, or its gallery.md.
    """

    path: Path
    text: str = field(repr=False)
    cells: tuple[Cell, ...] = field(repr=False)
    id: str
    title: str
    functions: tuple[str, ...]
    browser: bool

    def line_of(self, key: str, item: str = "") -> int:
        """The line of the file on which the header's `key` names `item`."""
        return _header_line(self.text, key, item)


@dataclass(frozen=True)
class Lesson(Page):
    """A page with a number, a place in the order, exercises, and the minutes that all this takes."""

    read_minutes: int
    exercise_minutes: int
    requires: tuple[str, ...]
    requires_planned: tuple[str, ...]
    laws: tuple[str, ...]
    exercises: tuple[str, ...]


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


def find_pages(modules: Path, wanted: Sequence[str] = ()) -> list[Page]:
    """Read what `modules` holds in reading order (a module's index, its lessons, its other pages): all, or what
    `wanted` names.

    A lesson is named by its id (M03C07), a page by its own (M03-gallery), both by their module (M03) or path.
    """
    return [read_page(path) for path in _chosen(modules, wanted, _is_any)]


def find_lessons(modules: Path, wanted: Sequence[str] = ()) -> list[Lesson]:
    """Read the lessons of `modules` in teaching order: all, or those that `wanted` names."""
    return [read_lesson(path) for path in _chosen(modules, wanted, _is_numbered)]


def read_page(path: Path) -> Page:
    """Read one file of modules/: a lesson when its name begins with a number, a plain page otherwise.

    Raises LessonError with file and line when the header is not in order, when a plain page holds an exercise,
    or when index.md holds code.
    """
    if _is_numbered(path):
        return read_lesson(path)
    text, notebook = _read(path)
    header = _checked_header(path, text, notebook.metadata.get("page"), "page")
    page = Page(
        path=path, text=text, cells=_cells(text, notebook, _id_from(path)), id=_id_from(path), **header
    )
    _check_tags(path, page.cells)
    for cell in page.cells:
        if cell.tags & {"exercise", "solution"}:
            raise LessonError(f"cell {cell.id}: exercises stand in lessons", path=path, line=cell.line)
        if path.name == "index.md" and cell.kind != "markdown":
            raise LessonError(f"cell {cell.id}: index.md is Markdown alone", path=path, line=cell.line)
    return page


def read_lesson(path: Path) -> Lesson:
    """Read one lesson. Raises LessonError with file and line when header, tags or pairs are not in order."""
    text, notebook = _read(path)
    header = _checked_header(path, text, notebook.metadata.get("lesson"), "lesson")
    cells = _cells(text, notebook, header["id"])
    _check_tags(path, cells)
    _check_pairs(path, cells)
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


def _chosen(modules: Path, wanted: Sequence[str], kind: Callable[[Path], bool]) -> list[Path]:
    taken: dict[str, Path] = {}
    for path in sorted(modules.glob("*/*.md"), key=lambda p: (p.parent, p.name != "index.md", p.name)):
        if not re.fullmatch(r"\d\d-[\w-]+/(\d\d-[\w-]+|[a-z][\w-]*)\.md", f"{path.parent.name}/{path.name}"):
            raise LessonError(
                "a lesson is named modules/NN-slug/CC-slug.md, a page modules/NN-slug/slug.md", path=path
            )
        if (name := _id_from(path)) in taken:
            raise LessonError(f"{name} is {shown(taken[name])} already", path=path)
        taken[name] = path
    known = {name: path for name, path in taken.items() if kind(path)}
    chosen = set()
    for want in wanted:
        found = {
            path
            for name, path in known.items()
            if name.upper().startswith(want.upper()) or path == Path(want).resolve()
        }
        if not found:
            raise LessonError(f"no lesson {want}; there are: {', '.join(known) or 'none yet'}")
        chosen |= found
    return [path for path in known.values() if path in chosen or not wanted]


def _is_any(path: Path) -> bool:
    return True


def _is_numbered(path: Path) -> bool:
    return path.name[0].isdigit()


def _id_from(path: Path) -> str:
    module = f"M{path.parent.name[:2]}"
    return f"{module}C{path.name[:2]}" if _is_numbered(path) else f"{module}-{path.stem}"


def _read(path: Path) -> tuple[str, NotebookNode]:
    from jupytext.myst import myst_to_notebook

    try:
        text = path.read_text(encoding="utf-8")
        return text, myst_to_notebook(text, add_source_map=True)
    except Exception as error:  # jupytext's own, yaml's, or the system's
        raise _unreadable(path, error) from None


def _cells(text: str, notebook: NotebookNode, id: str) -> tuple[Cell, ...]:
    numbered = enumerate(zip(notebook.cells, notebook.metadata.source_map, strict=True), start=1)
    return tuple(
        Cell(
            id=f"{id}-{number:02d}",
            kind=cell.cell_type,
            source=cell.source,
            metadata=dict(cell.metadata),
            line=_first_line(text.splitlines(), start, cell.source.splitlines()),
        )
        for number, (cell, start) in numbered
    )


def _unreadable(path: Path, error: Exception) -> LessonError:
    message = str(error)
    if cell := re.search(r"at line (\d+)", message):
        line = int(cell[1])
    else:
        # yaml counts from the line below the opening `---`.
        line = max((int(n) + 1 for n in re.findall(r"line (\d+), column", message)), default=1)
    return LessonError(f"cannot be read: {' '.join(message.split())}", path=path, line=line)


_NAMES, _MINUTES, _ANSWER, _TEXT = "a list of names", "{read: N, exercises: N}", "yes or no", "text"
_KEYS = {
    "lesson": {
        "id": _TEXT,
        "title": _TEXT,
        "minutes": _MINUTES,
        "requires": _NAMES,
        "requires_planned": _NAMES,
        "functions": _NAMES,
        "laws": _NAMES,
        "exercises": _NAMES,
        "browser": _ANSWER,
    },
    "page": {"title": _TEXT, "functions": _NAMES, "browser": _ANSWER},
}
_MAY_BE_LEFT_OUT = {"lesson": "requires_planned", "page": "functions"}


def _checked_header(path: Path, text: str, block: object, kind: str) -> dict[str, Any]:
    """The header with every key there, of the right type, and the id that the file's name promises."""

    def wrong(message: str, key: str = kind) -> LessonError:
        return LessonError(message, path=path, line=_header_line(text, key, ""))

    if not isinstance(block, dict):
        hint = "" if kind == "lesson" else "; a lesson's name begins with its number: CC-slug.md"
        raise wrong(f"the YAML header has no `{kind}:` block{hint}")
    keys = _KEYS[kind]
    header = {_MAY_BE_LEFT_OUT[kind]: [], **block}
    for key, wanted in keys.items():
        if key not in header:
            raise wrong(
                f"header: `{key}` is missing" + (f" (for none: `{key}: []`)" if wanted is _NAMES else "")
            )
        if not _fits(header[key], wanted):
            raise wrong(f"header: `{key}` wants {wanted}, got {header[key]!r}", key)
        if wanted is _NAMES:
            header[key] = tuple(header[key])
    if unknown := set(header) - set(keys):
        raise wrong(f"header: `{min(unknown)}` is no key of a {kind}", min(unknown))
    if kind == "lesson" and header["id"] != _id_from(path):
        raise wrong(f"header: a file of this name holds lesson {_id_from(path)}, not {header['id']}", "id")
    return header


def _fits(value: object, wanted: str) -> bool:
    if wanted is _NAMES:
        return isinstance(value, list) and all(isinstance(item, str) for item in value)
    if wanted is _MINUTES:
        counts = value.values() if isinstance(value, dict) and set(value) == {"read", "exercises"} else [None]
        return all(isinstance(count, int) for count in counts)
    return isinstance(value, bool if wanted is _ANSWER else str)


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


def _check_tags(path: Path, cells: Iterable[Cell]) -> None:
    """A tag that nobody knows could hand out a solution."""
    for cell in cells:
        tags = cell.metadata.get("tags", [])
        if not isinstance(tags, list) or not TAGS.issuperset(tags):
            raise LessonError(
                f"cell {cell.id}: tags are a list of {', '.join(sorted(TAGS))}; got {tags!r}",
                path=path,
                line=cell.line,
            )


def _check_pairs(path: Path, cells: Iterable[Cell]) -> None:
    """A solution that has lost its exercise could be handed out."""
    starter: Cell | None = None
    for cell in cells:
        if "exercise" in cell.tags and cell.kind != "code":
            raise LessonError(f"cell {cell.id}: an exercise is a code cell", path=path, line=cell.line)
        solution = cell.kind == "code" and "solution" in cell.tags
        if starter and not solution:
            break
        if solution and not starter:
            raise LessonError(
                f"cell {cell.id}: a solution stands directly below its exercise cell",
                path=path,
                line=cell.line,
            )
        starter = cell if "exercise" in cell.tags else None
    if starter:
        raise LessonError(
            f"cell {starter.id}: an exercise is followed at once by its solution cell",
            path=path,
            line=starter.line,
        )
