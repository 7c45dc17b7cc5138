"""A learner's answer in a saved notebook: the function, and what of the notebook it needs.

It is found by its name and its cell's tag, never by a cell's id: editors lose those, and learners copy, split and
move cells. What is taken is a program of its own: the function with the imports, functions and values that it uses.
The rest of the notebook, and what it prints, is not run.
"""

from __future__ import annotations

import ast
import json
import re
import symtable
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from .lessons import shown

if TYPE_CHECKING:
    from .exercises import Exercise

Notebook: TypeAlias = dict[str, Any]
"""A notebook of format 4 as its file has it; nbformat's own nodes will do as well."""


LONGEST = 200_000
"""Letters of code in a notebook: to look every name up takes time that grows faster than they do."""


class AnswerError(Exception):
    """Why there is no answer to judge: what was looked for, and what was found."""


class NotebookError(Exception):
    """Why a file cannot be read as a notebook."""


@dataclass(frozen=True)
class Answer:
    """A learner's answer: the program that defines it, and where it stands.

    `cell` counts the notebook's cells from 1; `others` are the further cells that define the same name.
    """

    exercise: Exercise
    cell: int
    program: str = field(repr=False)
    untouched: bool
    others: tuple[int, ...] = ()


def read_notebook(path: Path) -> Notebook:
    """The notebook in a file, as plain data, whatever ids it has lost. NotebookError, in words, when it is none."""
    try:
        text = path.read_text(encoding="utf-8")
        notebook: Any = json.loads(text)
        if isinstance(notebook, dict) and notebook.get("nbformat") != 4:
            notebook = _in_todays_format(text)
    except UnicodeDecodeError as error:
        raise NotebookError(f"{shown(path)} is no notebook: byte {error.start} is not UTF-8") from None
    except (ValueError, RecursionError):
        raise NotebookError(f"{shown(path)} is no notebook: its text is not JSON") from None
    except OSError as error:
        raise NotebookError(f"{shown(path)} cannot be read: {error.strerror}") from None
    cells = notebook.get("cells") if isinstance(notebook, dict) else None
    if not isinstance(cells, list) or not all(map(_is_cell, cells)):
        raise NotebookError(f"{shown(path)} is no notebook: it has no cells that can be read")
    return dict(notebook)


def source_of(cell: Mapping[str, Any]) -> str:
    """A cell's text, which a file may hold in lines."""
    return "".join(cell["source"])


def find_answer(notebook: Notebook, exercise: Exercise) -> Answer:
    """The answer to an exercise: of the cells that define its function, one that differs from the starter,
    tagged `exercise` rather than not, the last of those.

    AnswerError says what stands there instead.
    """
    if sum(len(source_of(cell)) for cell in notebook["cells"] if cell["cell_type"] == "code") > LONGEST:
        raise AnswerError(f"its cells hold more than {LONGEST:,} letters of code, and are not read")
    pages = list(_pages(notebook))
    found = [
        (page, statement)
        for page in pages
        for statement in page.statements
        if exercise.function in statement.defines
    ]
    if not found:
        raise AnswerError(_missing(exercise, pages))
    starter = ast.dump(_definition(exercise.starter, exercise.function))

    def rank(one: tuple[_Page, _Statement]) -> tuple[bool, bool]:
        page, statement = one
        return ast.dump(statement.node) != starter, page.tagged

    best = max(map(rank, found))
    page, statement = [one for one in found if rank(one) == best][-1]
    asked = rf"""check\(\s*["']{exercise.id}[a-z]?["']"""
    judged = (p.number for p in pages if p.number >= page.number and re.search(asked, p.source, re.I))
    try:
        program = _program([s for p in pages for s in p.statements], statement, next(judged, page.number))
    except RecursionError:
        raise AnswerError(f"cell {page.number} is nested too deeply to be read") from None
    others = {p.number for p, _ in found} - {page.number}
    return Answer(exercise, page.number, program, untouched=not best[0], others=tuple(sorted(others)))


def exercise_cells(notebook: Notebook, exercise: Exercise) -> list[int]:
    """Where the exercise's own cells stand, as indexes: tagged, defining its function or asking for its check."""
    return [
        place
        for place, cell in enumerate(notebook["cells"])
        if cell["cell_type"] == "code" and "exercise" in _tags(cell) and _is_about(source_of(cell), exercise)
    ]


def as_handed_out(notebook: Notebook, exercise: Exercise) -> Exercise:
    """The exercise, or the variant of it whose check the notebook asks for."""
    from .exercises.variants import as_set

    cells = (source_of(cell) for cell in notebook["cells"] if cell["cell_type"] == "code")
    return as_set("\n".join(cells), exercise)


def mentions(notebook: Notebook, exercise: Exercise) -> bool:
    """Whether any cell of code asks for the exercise's check."""
    asks = rf"""check\(\s*["']{exercise.id}[a-z]?["']"""
    return any(
        cell["cell_type"] == "code" and re.search(asks, source_of(cell), re.I) for cell in notebook["cells"]
    )


def _in_todays_format(text: str) -> Notebook:
    # Only for old notebooks: nbformat takes longer to import than most answers take to judge.
    import nbformat

    try:
        return dict(nbformat.reads(text, as_version=4))  # type: ignore[no-untyped-call]
    except Exception:  # whatever it stumbles over in JSON of another shape
        return {}


def _is_cell(cell: object) -> bool:
    match cell:
        case {"cell_type": str(), "source": str(), **rest} if isinstance(rest.get("metadata", {}), dict):
            return True
        case {"cell_type": str(), "source": list(lines), **rest} if isinstance(
            rest.get("metadata", {}), dict
        ):
            return all(isinstance(line, str) for line in lines)
    return False


@dataclass(frozen=True)
class _Page:
    """A code cell, read: its statements, or why it cannot be read."""

    number: int
    source: str
    tagged: bool
    statements: tuple[_Statement, ...] = ()
    trouble: str = ""


@dataclass(frozen=True)
class _Statement:
    """A statement at the top of a cell: the names it binds for certain, perhaps, or changes, and those it reads."""

    cell: int
    node: ast.stmt
    binds: frozenset[str]
    changes: frozenset[str]
    reads: frozenset[str]
    certain: bool

    @property
    def defines(self) -> frozenset[str]:
        """The names it gives a meaning of its own: an import only borrows one."""
        borrowed = isinstance(self.node, ast.Import | ast.ImportFrom)
        return frozenset() if borrowed or not self.certain else self.binds


def _pages(notebook: Notebook) -> Iterator[_Page]:
    for number, cell in enumerate(notebook["cells"], 1):
        if cell["cell_type"] != "code":
            continue
        source = source_of(cell)
        tagged = "exercise" in _tags(cell)
        try:
            body = _parsed(source).body
            statements = tuple(_read(number, node) for node in body)
        except SyntaxError as error:
            at = f", line {error.lineno}" if error.lineno else ""
            yield _Page(number, source, tagged, trouble=f"cell {number}{at}: {error.msg}")
        except (ValueError, RecursionError, MemoryError) as error:
            yield _Page(number, source, tagged, trouble=f"cell {number}: {error or type(error).__name__}")
        else:
            yield _Page(number, source, tagged, statements)


def _parsed(source: str) -> ast.Module:
    flags = ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            tree = compile(source, "cell", "exec", flags, dont_inherit=True)
        except SyntaxError:
            # `%%time` and its kind; `%magic`, `!command` and `name?` are lines of IPython's own.
            plain = re.sub(r"\A\s*%%\w.*\n", "\n", source)
            plain = re.sub(r"(?m)^([ \t]*)(?:[%!?].*|[\w.]+\?{1,2}[ \t]*)$", r"\1pass", plain)
            if plain == source:
                raise
            tree = compile(plain, "cell", "exec", flags, dont_inherit=True)
    assert isinstance(tree, ast.Module)
    return tree


def _read(number: int, node: ast.stmt) -> _Statement:
    table = symtable.symtable(ast.unparse(node), "cell", "exec")
    symbols = table.get_symbols()
    certain = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Assign)
    return _Statement(
        number,
        node,
        binds=frozenset(s.get_name() for s in symbols if s.is_assigned() or s.is_imported()),
        changes=frozenset(_changed(node)),
        reads=frozenset(_globals_of(table)),
        certain=isinstance(node, certain) or (isinstance(node, ast.AnnAssign) and node.value is not None),
    )


def _globals_of(table: symtable.SymbolTable) -> Iterator[str]:
    top = table.get_type() == "module"
    for symbol in table.get_symbols():
        if symbol.is_referenced() and (top or symbol.is_global()):
            yield symbol.get_name()
    for child in table.get_children():
        yield from _globals_of(child)


def _changed(node: ast.AST) -> Iterator[str]:
    """The names whose value a statement changes in place: `table[key] = 1`, `seen.add(2)`, `total += 3`."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
        return
    target: ast.AST | None = None
    if isinstance(node, ast.Subscript | ast.Attribute) and not isinstance(node.ctx, ast.Load):
        target = node
    elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        target = node.value.func if isinstance(node.value.func, ast.Attribute) else None
    elif isinstance(node, ast.AugAssign):
        target = node.target
    while isinstance(target, ast.Subscript | ast.Attribute):
        target = target.value
    if isinstance(target, ast.Name):
        yield target.id
    for child in ast.iter_child_nodes(node):
        yield from _changed(child)


def _program(statements: Sequence[_Statement], answer: _Statement, last_cell: int) -> str:
    """The answer and what it needs, in the notebook's order."""
    position = {id(statement): place for place, statement in enumerate(statements)}
    end = 1 + max(place for place, one in enumerate(statements) if one.cell <= last_cell)
    taken = {position[id(answer)]}
    waiting = [(name, end) for name in answer.reads]
    seen: set[tuple[str, int]] = set()
    while waiting:
        name, before = waiting.pop()
        if (name, before) in seen:
            continue
        seen.add((name, before))
        for place in _places(statements, name, before):
            taken.add(place)
            one = statements[place]
            # A function looks its names up when it is called; any other statement, when it stands there.
            late = isinstance(one.node, ast.FunctionDef | ast.AsyncFunctionDef)
            waiting += [(read, end if late else place) for read in one.reads]
    future = [s for s in statements if isinstance(s.node, ast.ImportFrom) and s.node.module == "__future__"]
    chosen = [*future, *(statements[place] for place in sorted(taken) if statements[place] not in future)]
    return "\n\n".join(ast.unparse(one.node) for one in chosen) + "\n"


def _places(statements: Sequence[_Statement], name: str, before: int) -> Iterator[int]:
    """Where a name gets its value: the last binding before a place, with all changes since; else the first after it."""
    for place in range(before - 1, -1, -1):
        one = statements[place]
        if name in one.binds or name in one.changes:
            yield place
            if one.certain and name in one.binds:
                return
        elif "*" in {alias.name for alias in getattr(one.node, "names", ()) if isinstance(alias, ast.alias)}:
            yield place
    for place in range(before, len(statements)):
        if statements[place].certain and name in statements[place].binds:
            yield place
            return


def _missing(exercise: Exercise, pages: Sequence[_Page]) -> str:
    wanted = exercise.function
    for page in pages:
        if page.trouble and _is_about(page.source, exercise):
            return f"{page.trouble}; mend that cell, run it, and save the notebook"
    names = [
        name
        for page in pages
        for one in page.statements
        if isinstance(one.node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        for name in one.binds
    ]
    from .exercises import EXERCISES

    asked = {other.function for other in EXERCISES.values()}
    near = get_close_matches(wanted, [name for name in names if name not in asked], 1, 0.6)
    if near:
        return f"there is no {wanted}, but a {near[0]}: name it {wanted}, and save the notebook"
    tagged = [name for page in pages if page.tagged for one in page.statements for name in one.defines]
    stands = (
        f"its exercise cells define {', '.join(dict.fromkeys(tagged))}"
        if tagged
        else "no cell is an exercise's"
    )
    return f"there is no {wanted}: {stands}; `funcpipe-rag course reset {exercise.id}` puts its starter back"


def _is_about(source: str, exercise: Exercise) -> bool:
    """Whether a cell defines an exercise's function or asks for its check, parsed or not."""
    defines = rf"^[ \t]*(?:async\s+)?def\s+{exercise.function}\b"
    asks = rf"""check\(\s*["']{exercise.id}[a-z]?["']"""
    return bool(re.search(defines, source, re.M) or re.search(asks, source, re.I))


def _definition(source: str, name: str) -> ast.stmt:
    return next(node for node in ast.parse(source).body if getattr(node, "name", None) == name)


def _tags(cell: Mapping[str, Any]) -> Sequence[str]:
    tags = cell.get("metadata", {}).get("tags", ())
    return tags if isinstance(tags, list) else ()
