"""No trace of a solution in what a learner gets: its syntax is looked for in every string of the notebook."""

from __future__ import annotations

import ast
import html
import io
import re
import tokenize
from collections.abc import Iterator
from typing import Any

from funcpipe_rag.course.lessons import Cell, Page

TOKENS, SHAPE_TOKENS = 6, 20
"""A body of fewer tokens (`return xs`) is found everywhere, and gives nothing away; so is the shape of a short loop."""


def traces(page: Page, notebook: Any) -> Iterator[tuple[Cell, str]]:
    """Where a notebook holds a solution of its page: the solution's cell, and the place in words.

    A function of the solution counts when its body stands anywhere, spelled with other spaces and line ends, or in a
    code cell with other names; what stands in the starter too does not.
    """
    strings = [(where, _words(text) + _words(_as_shown(text))) for where, text in _strings(notebook)]
    functions = [
        (f"cell {cell['id']}", shape)
        for cell in notebook["cells"]
        if cell["cell_type"] == "code"
        for shape in _shapes(cell["source"])
    ]
    starter = ""
    for cell in page.cells:
        if "solution" not in cell.tags:
            starter = cell.source
            continue
        said = [_words(cell.source)] if cell.kind != "code" else _bodies(cell.source, starter)
        places = [where for where, words in strings if any(body in words for body in said)]
        if cell.kind == "code":
            shapes = _shapes(cell.source) - _shapes(starter)
            places += [where for where, shape in functions if shape in shapes]
        for where in dict.fromkeys(places):
            yield cell, where


def _strings(value: Any, where: str = "the notebook's metadata") -> Iterator[tuple[str, str]]:
    """Every string of a notebook, keys too, and the cell it is in."""
    if isinstance(value, str):
        yield where, value
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item, where)
    elif isinstance(value, dict):
        if "cell_type" in value:
            where = f"cell {value.get('id')}"
        for key, item in value.items():
            yield from _strings(str(key), where)
            yield from _strings(item, where)


def _words(text: str) -> str:
    """A text as its tokens, one space between: line ends and indents make no difference."""
    return " ".join(["", *re.findall(r"\w+|[^\w\s]", text), ""])


def _as_shown(text: str) -> str:
    """A text as HTML or a string inside a string shows it."""
    return html.unescape(re.sub(r"</?\w[^>]*>", " ", text.replace(r"\n", "\n").replace(r"\"", '"')))


def _bodies(solution: str, starter: str) -> list[str]:
    """The bodies of its functions, as tokens without comments; of a solution without functions, all of it."""
    try:
        ast.parse(solution)
    except SyntaxError:  # a magic command's cell
        return [_words(solution)]
    lines = _without_comments(solution).splitlines()
    given = {ast.dump(node) for node in ast.walk(ast.parse(starter))}
    functions = [node for node in _functions(ast.parse(solution)) if ast.dump(node) not in given]
    bodies = ["\n".join(lines[_body(f)[0].lineno - 1 : f.end_lineno]) for f in functions if _body(f)]
    if not functions:
        nodes = [node for node in ast.parse(solution).body if ast.dump(node) not in given]
        bodies = ["\n".join(lines[node.lineno - 1 : node.end_lineno]) for node in nodes]
    return [words for words in map(_words, bodies) if len(words.split()) >= TOKENS]


def _without_comments(source: str) -> str:
    lines = source.splitlines()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            lines[token.start[0] - 1] = lines[token.start[0] - 1][: token.start[1]]
    return "\n".join(lines)


def _shapes(source: str) -> set[str]:
    """The bodies of its functions as syntax, with their names numbered as they come."""
    try:
        functions = list(_functions(ast.parse(source)))
    except SyntaxError:
        return set()
    return {
        _shape(f)
        for f in functions
        if len(_words(ast.unparse(ast.Module(_body(f), []))).split()) >= SHAPE_TOKENS
    }


def _functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def _body(function: ast.FunctionDef | ast.AsyncFunctionDef) -> list[ast.stmt]:
    """Its statements, the docstring left out."""
    return function.body[1:] if ast.get_docstring(function) is not None else function.body


def _shape(function: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    names: dict[str, str] = {}

    class Numbered(ast.NodeTransformer):
        def visit_Name(self, node: ast.Name) -> ast.Name:
            return ast.Name(names.setdefault(node.id, str(len(names))))

        def visit_arg(self, node: ast.arg) -> ast.arg:
            return ast.arg(names.setdefault(node.arg, str(len(names))))

        def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
            node.name = names.setdefault(node.name, str(len(names)))
            self.generic_visit(node)
            return node

    tree = ast.parse(ast.unparse(function))
    inner = tree.body[0]
    assert isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef)
    return ast.dump(ast.Module([Numbered().visit(statement) for statement in _body(inner)], []))
