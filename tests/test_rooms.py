"""The rooms of the package: who may import whom, read from the source itself, without running it."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = "funcpipe_rag"
ROOT = Path(__file__).resolve().parents[1] / PACKAGE

MAY_IMPORT: dict[str, set[str]] = {
    "streams": set(),
    "aio": {"streams"},
    "rag": {"streams"},
    "serving": {"streams", "aio", "rag"},
    "scale": {"rag"},
    "laws": {"streams", "aio", "rag"},
    "plots": {"streams", "aio", "rag"},
    "course": {"laws", "plots", "streams", "aio", "rag"},
}
DOES_WITHOUT = {("funcpipe_rag.streams.taps", "tqdm")}
"""Asked for at the first pull of a progress bar; without it, nothing is shown."""

STANDARD_LIBRARY_ONLY = {"streams", "aio"}
OVER_ALL = {"cli", "__main__", "__init__"}
PUBLIC_ALL_THE_SAME = {"_asdict", "_fields", "_make", "_replace"}


def is_private(name: str) -> bool:
    return name.startswith("_") and not (name.startswith("__") and name.endswith("__"))


def imports(tree: ast.AST, module: str, is_package: bool) -> Iterator[tuple[int, str, str | None, str]]:
    """Every import, wherever it stands: line, module, name taken from it (or None), name it is bound to."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name, None, alias.asname or alias.name
        elif isinstance(node, ast.ImportFrom):
            origin = node.module or ""
            if node.level:
                parts = module.split(".")
                keep = len(parts) - node.level + is_package
                origin = ".".join(parts[:keep] + ([node.module] if node.module else []))
            for alias in node.names:
                yield node.lineno, origin, alias.name, alias.asname or alias.name
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called in {"import_module", "__import__"} and isinstance(node.args[0].value, str):
                yield node.lineno, node.args[0].value, None, ""


def breaches(source: str, module: str, is_package: bool = False) -> list[str]:
    """What in this module's source breaks the rule of the rooms; one sentence each."""
    tree = ast.parse(source)
    parts = module.split(".")
    room = parts[1] if len(parts) > 1 else "__init__"
    found: list[str] = []
    foreign: set[str] = set()
    faces: set[str] = set()
    for line, origin, name, bound in imports(tree, module, is_package):
        top = origin.split(".")[0]
        if top != PACKAGE:
            foreign_here = top not in sys.stdlib_module_names and (module, top) not in DOES_WITHOUT
            if room in STANDARD_LIBRARY_ONLY and foreign_here:
                found.append(f"line {line}: {room} imports {top}; it has the standard library alone")
            continue
        path = origin.split(".")[1:] + ([name] if name else [])
        target = path[0] if path else "the face"
        if target == room:
            continue
        if target == "the face" or (name and name.startswith("__")):
            faces.add(bound)  # `import funcpipe_rag` loads nothing; what is taken from it counts, below
            continue
        if room not in OVER_ALL:
            if target not in MAY_IMPORT and target not in OVER_ALL:
                target = f"the face (for {target})"
            if target not in MAY_IMPORT.get(room, set()):
                found.append(f"line {line}: {room} may not import {target}")
        private = [part for part in path if is_private(part)]
        if private:
            found.append(f"line {line}: {room} reaches for {private[0]}, which is private to {target}")
        foreign.add(bound.split(".")[0] if name is None and "." in bound else bound)
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute):
            continue
        owner = node.value
        while isinstance(owner, ast.Attribute):
            owner = owner.value
        if not isinstance(owner, ast.Name):
            continue
        shown = ast.unparse(node)
        if is_private(node.attr) and node.attr not in PUBLIC_ALL_THE_SAME and owner.id in foreign | faces:
            found.append(f"line {node.lineno}: {room} reaches for {shown}, which is private to another room")
        elif owner is node.value and owner.id in faces and room not in OVER_ALL:
            allowed = node.attr.startswith("__") or node.attr in MAY_IMPORT.get(room, set()) | {room}
            if not allowed:
                found.append(f"line {node.lineno}: {room} may not take {shown} from the face")
    return found


def modules() -> list[tuple[str, Path]]:
    found = []
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT.parent).with_suffix("").parts
        found.append((".".join(parts[:-1] if parts[-1] == "__init__" else parts), path))
    return found


@pytest.mark.parametrize(("module", "path"), modules(), ids=[name for name, _ in modules()])
def test_imports_only_the_rooms_to_its_right(module: str, path: Path) -> None:
    assert breaches(path.read_text("utf-8"), module, path.name == "__init__.py") == []


@pytest.mark.parametrize("path", sorted((ROOT / "streams").glob("*.py")), ids=lambda path: path.stem)
def test_in_streams_sources_alone_opens_files(path: Path) -> None:
    openers = {"open", "FileIO", "fdopen", "popen", "read_text", "read_bytes", "write_text", "write_bytes"}
    called = [
        getattr(node.func, "attr", None) or getattr(node.func, "id", "")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call)
    ]
    assert bool(openers & set(called)) == (path.stem == "sources")


def test_every_room_is_in_the_table() -> None:
    rooms = {module.split(".")[1] for module, _ in modules() if "." in module}
    assert rooms <= MAY_IMPORT.keys() | OVER_ALL


def test_the_table_has_no_circle() -> None:
    left = dict(MAY_IMPORT)
    while left:
        free = [room for room, needs in left.items() if not needs & left.keys()]
        assert free, f"a circle among {sorted(left)}"
        for room in free:
            del left[room]


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("funcpipe_rag.streams.fan_in", "import numpy"),
        ("funcpipe_rag.streams.fan_in", "def f():\n    from hypothesis import given"),
        ("funcpipe_rag.streams.fan_in", "from funcpipe_rag.laws import law"),
        ("funcpipe_rag.streams.fan_in", "from ..rag import index"),
        ("funcpipe_rag.streams.fan_in", "from .. import rag"),
        ("funcpipe_rag.streams.fan_in", "from funcpipe_rag import make_chain"),
        ("funcpipe_rag.streams.fan_in", "import importlib\nimportlib.import_module('funcpipe_rag.rag')"),
        ("funcpipe_rag.rag.index", "from funcpipe_rag.cli import main"),
        ("funcpipe_rag.rag.index", "from funcpipe_rag.streams.fan_in import _open_all"),
        ("funcpipe_rag.rag.index", "from funcpipe_rag.streams._inner import open_all"),
        ("funcpipe_rag.rag.index", "from funcpipe_rag.streams import fan_in\nfan_in._open_all()"),
        ("funcpipe_rag.rag.index", "import funcpipe_rag.streams.taps\nfuncpipe_rag.streams.taps._open_all"),
        ("funcpipe_rag.rag.index", "import funcpipe_rag\nfuncpipe_rag.make_chain"),
        ("funcpipe_rag.cli", "from funcpipe_rag.course import _build"),
        ("funcpipe_rag.laws.judge", "from funcpipe_rag.course import build"),
    ],
)
def test_a_breach_is_seen(module: str, source: str) -> None:
    assert len(breaches(source, module)) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("funcpipe_rag.streams.fan_in", "import heapq\nfrom .types import A\nfrom . import _a\n_a._open()"),
        ("funcpipe_rag.rag.index", "import sqlite3\nfrom ..streams.fan_in import f\nf.__name__"),
        ("funcpipe_rag.rag.index", "import funcpipe_rag\nfuncpipe_rag.__file__\nfuncpipe_rag.streams.fan_in"),
        ("funcpipe_rag.rag.index", "from funcpipe_rag import __version__"),
        ("funcpipe_rag.rag.index", "from funcpipe_rag.streams import Row\nrow = Row()._replace(a=1)"),
        ("funcpipe_rag.cli", "from funcpipe_rag.course import build\nfrom funcpipe_rag import make_chain"),
        ("funcpipe_rag.course.build", "import nbclient\nfrom funcpipe_rag.streams import probe"),
    ],
)
def test_what_is_allowed_is_no_breach(module: str, source: str) -> None:
    assert breaches(source, module) == []
