"""No trace of a solution in what a learner gets: its words, its syntax and its lines are looked for in every string.

What the course shows on purpose, famous wrong versions and given cells for instance, gives nothing away.
"""

from __future__ import annotations

import ast
import base64
import binascii
import html
import io
import json
import re
import textwrap
import tokenize
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import unquote_to_bytes

from funcpipe_rag.course.editions import Edition, cells_of
from funcpipe_rag.course.lessons import Cell, Page

TOKENS, SHAPE_TOKENS = 6, 20
"""A body of fewer tokens (`return xs`) is found everywhere, and gives nothing away; so is the shape of a short loop."""

SMALL_SHAPE_TOKENS = 8
"""A shape from here up counts where no page and no note has one like it."""


@dataclass(frozen=True)
class Trace:
    """A solution found where it must not be: the page and the cell it comes from, and the place in words."""

    page: Page
    cell: Cell
    file: str
    where: str


def traces(page: Page, notebook: Any) -> Iterator[tuple[Cell, str]]:
    """Where a notebook holds a solution of its page: the solution's cell, and the place in words.

    A function of the solution counts when its body stands anywhere, spelled with other spaces and line ends, or in
    code with other names; what stands in the starter too does not. So does any line that no cell of the page shows.
    """
    secrets = _secrets([page], _shown([page]))
    for secret in secrets:
        for where, text in _strings(notebook):
            if secret.in_its_page(text):
                yield secret.cell, where


def released_traces(
    pages: Iterable[Page], files: Mapping[str, bytes], *, also_shown: Iterable[str] = ()
) -> Iterator[Trace]:
    """Where files to be handed out hold a solution of any page: notebooks, and whatever else goes with them.

    `pages` are all pages of the course. What the learner's edition of one shows is no secret in another's notebook,
    nor is `also_shown`. In the notebook of its own page a solution counts as `traces` has it.
    """
    pages = list(pages)
    secrets = _secrets(pages, _shown(pages) | {text for one in also_shown for text in _texts(one)})
    for name, content in files.items():
        value = _value_of(name, content)
        own = _page_of(value)
        for where, text in _strings(value, "its text" if isinstance(value, str) else "its metadata"):
            for secret in secrets:
                if secret.in_its_page(text) if secret.page.id == own else secret.elsewhere(text):
                    yield Trace(secret.page, secret.cell, name, where)


@dataclass(frozen=True)
class _Text:
    """A string as it is searched: its words in each of its spellings, and the shapes of the code in it."""

    words: str
    shapes: frozenset[str]
    small_shapes: frozenset[str]


@dataclass(frozen=True)
class _Secret:
    """A solution cell, and what gives it away: by itself, or only because no page shows it."""

    page: Page
    cell: Cell
    bodies: frozenset[str]
    shapes: frozenset[str]
    unseen_words: frozenset[str]
    unseen_shapes: frozenset[str]

    def in_its_page(self, text: _Text) -> bool:
        return (
            bool(self.shapes & text.shapes)
            or any(body in text.words for body in self.bodies)
            or self.elsewhere(text)
        )

    def elsewhere(self, text: _Text) -> bool:
        return bool(self.unseen_shapes & text.small_shapes) or any(
            words in text.words for words in self.unseen_words
        )


def _secrets(pages: Iterable[Page], shown: set[_Text]) -> list[_Secret]:
    seen_words = "\n".join(text.words for text in shown)
    seen_shapes = {shape for text in shown for shape in text.small_shapes}
    secrets = []
    for page in pages:
        starter = ""
        for cell in page.cells:
            if "solution" not in cell.tags:
                starter = cell.source
            elif cell.kind != "code":
                said = frozenset({_words(cell.source)})
                secrets.append(_Secret(page, cell, said, frozenset(), said, frozenset()))
            else:
                bodies = frozenset(_bodies(cell.source, starter))
                words = bodies | {line for line in _lines(cell.source) if line not in _words(starter)}
                shapes = _shapes(cell.source, SHAPE_TOKENS) - _shapes(starter, SHAPE_TOKENS)
                small = _shapes(cell.source, SMALL_SHAPE_TOKENS) - seen_shapes
                unseen = frozenset(one for one in words if one not in seen_words)
                secrets.append(_Secret(page, cell, bodies, shapes, unseen, small))
    return secrets


def _shown(pages: Iterable[Page]) -> set[_Text]:
    """All that the learner's editions have in their cells."""
    cells = [cell for page in pages for cell in cells_of(page, Edition.learner)]
    return {text for cell in cells for text in _texts(cell.source)}


def _value_of(name: str, content: bytes) -> Any:
    if name.endswith((".ipynb", ".json")):
        return json.loads(content)
    return content.decode("utf-8", "replace")


def _page_of(value: Any) -> str | None:
    """The page that a notebook says it is."""
    try:
        said = value["metadata"]["funcpipe_rag"]
        return str(said.get("lesson") or said.get("page"))
    except (TypeError, KeyError, AttributeError):
        return None


def _strings(value: Any, where: str = "the notebook's metadata") -> Iterator[tuple[str, _Text]]:
    """Every string of a notebook, keys too, ready to be searched, and the cell it is in; each once a cell."""
    found = ((place, text) for place, string in _plain_strings(value, where) for text in _texts(string))
    return iter(dict.fromkeys(found))


def _plain_strings(value: Any, where: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield where, value
    elif isinstance(value, list):
        if value and all(isinstance(item, str) for item in value):
            # A file holds a text as its lines.
            yield where, "".join(value)
        for item in value:
            yield from _plain_strings(item, where)
    elif isinstance(value, dict):
        if "cell_type" in value:
            where = f"cell {value.get('id')}"
        for key, item in value.items():
            yield from _plain_strings(str(key), where)
            yield from _plain_strings(item, where)


@lru_cache(maxsize=4096)
def _texts(string: str, depth: int = 3) -> tuple[_Text, ...]:
    """A string as it is searched, and whatever text is packed into it."""
    quoted = re.sub(r"(?m)^[ \t]*(?:(?:> ?)+|# ?)", "", string)
    as_said = [string, _as_shown(string), quoted]
    spellings = dict.fromkeys([*as_said, *(re.sub(r"#.*", "", text) for text in as_said)])
    trees = [tree for spelling in spellings for tree in _code_in(spelling)]
    text = _Text(
        "\n".join(_words(spelling) for spelling in spellings),
        frozenset(shape for tree in trees for shape in _shapes_of(tree, SHAPE_TOKENS)),
        frozenset(shape for tree in trees for shape in _shapes_of(tree, SMALL_SHAPE_TOKENS)),
    )
    inside = [one for packed in _unpacked(string) for one in _texts(packed, depth - 1)] if depth else []
    return text, *inside


def _unpacked(string: str) -> Iterator[str]:
    """What a string holds in another coding: base64, as attachments do, the escapes of an address, or JSON."""
    for found in re.findall(r"[A-Za-z0-9+/\-_\s]{24,}={0,2}", string):
        packed = re.sub(r"\s", "", found).translate(str.maketrans("-_", "+/")).rstrip("=")
        try:
            content = base64.b64decode(packed + "=" * (-len(packed) % 4), validate=True)
        except (binascii.Error, ValueError):
            continue
        text = content.decode("utf-8", "ignore")
        # Words of a sentence are letters too, and decode to bytes that are hardly ever text.
        if len(text) > len(content) * 0.9:
            yield text
    if re.search(r"%[0-9A-Fa-f]{2}", string):
        yield unquote_to_bytes(string).decode("utf-8", "ignore")
    if string.lstrip()[:1] in ("{", "[", '"'):
        try:
            value = json.loads(string)
        except ValueError:
            return
        for _, text in _plain_strings(value, ""):
            yield text


def _words(text: str) -> str:
    """A text as its tokens, one space between: line ends and indents make no difference."""
    return " ".join(["", *re.findall(r"\w+|[^\w\s]", text), ""])


def _as_shown(text: str) -> str:
    """A text as HTML or a string inside a string shows it."""
    return html.unescape(re.sub(r"</?\w[^>]*>", " ", text.replace(r"\n", "\n").replace(r"\"", '"')))


def _code_in(text: str) -> Iterator[ast.Module]:
    """The code in a text: the text itself, or each definition in it with the lines that are indented below."""
    if not re.search(r"\b(?:def|class|lambda)\b", text):
        return
    tree = _parsed(text)
    if tree is not None:
        yield tree
        return
    lines = text.splitlines()
    for start, line in enumerate(lines):
        head = re.match(r"(.*?)(?:async\s+def|def|class)\s+\w+", line)
        if head is None:
            continue
        # What stands before it on its line, a quote or a prompt, may stand before the others too.
        margin = head[1] if head[1].strip() else ""
        block = [line[len(head[1]) :]]
        indent = len(head[1]) if not margin else 0
        for below in lines[start + 1 :]:
            below = below.removeprefix(margin)
            if below.strip() and len(below) - len(below.lstrip()) <= indent:
                break
            block.append(below)
        body = textwrap.dedent("\n".join(block[1:]))
        tree = _parsed(f"{block[0]}\n{textwrap.indent(body, '    ')}") or _parsed(block[0])
        if tree is not None:
            yield tree


def _parsed(source: str) -> ast.Module | None:
    try:
        return ast.parse(textwrap.dedent(source))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _lines(solution: str) -> Iterator[str]:
    """The lines of a solution as tokens, long enough to be recognised; imports and calls of `check` are everybody's."""
    try:
        lines = _without_comments(solution).splitlines()
    except (SyntaxError, tokenize.TokenError):  # a magic command's cell
        lines = solution.splitlines()
    for line in lines:
        words = _words(line)
        if len(words.split()) >= TOKENS and not re.match(r"\s*(?:from|import|check\b|def|class|@)", line):
            yield words


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
    # A body that is too short to be known, or that others have too, is known with its first line.
    bodies += ["\n".join(lines[f.lineno - 1 : f.end_lineno]) for f in functions]
    return [words for words in map(_words, bodies) if len(words.split()) >= TOKENS]


def _without_comments(source: str) -> str:
    lines = source.splitlines()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            lines[token.start[0] - 1] = lines[token.start[0] - 1][: token.start[1]]
    return "\n".join(lines)


def _shapes(source: str, tokens: int) -> frozenset[str]:
    tree = _parsed(source)
    return frozenset() if tree is None else _shapes_of(tree, tokens)


def _shapes_of(tree: ast.Module, tokens: int) -> frozenset[str]:
    """The bodies of its functions and classes as syntax, with their names numbered as they come, if they are long
    enough.
    """
    return frozenset(
        _shape(node)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        and len(_words(ast.unparse(ast.Module(_body(node), []))).split()) >= tokens
    )


def _functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def _body(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> list[ast.stmt]:
    """Its statements, the docstring left out."""
    return node.body[1:] if ast.get_docstring(node) is not None else node.body


def _shape(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> str:
    """The body of a function or class, in which names are numbers, and docstrings and annotations are left out."""
    tree = ast.parse(ast.unparse(node))
    inner = tree.body[0]
    assert isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    numbered = _Numbered()
    return ast.dump(ast.Module([numbered.visit(statement) for statement in _body(inner)], []))


class _Numbered(ast.NodeTransformer):
    def __init__(self) -> None:
        self.names: dict[str, str] = {}

    def _number(self, name: str) -> str:
        return self.names.setdefault(name, str(len(self.names)))

    def visit_Name(self, node: ast.Name) -> ast.Name:
        return ast.Name(self._number(node.id))

    def visit_arg(self, node: ast.arg) -> ast.arg:
        return ast.arg(self._number(node.arg))

    def visit_Nonlocal(self, node: ast.Nonlocal) -> ast.Nonlocal:
        return ast.Nonlocal([self._number(name) for name in node.names])

    def visit_Global(self, node: ast.Global) -> ast.Global:
        return ast.Global([self._number(name) for name in node.names])

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> ast.ExceptHandler:
        node.name = node.name and self._number(node.name)
        self.generic_visit(node)
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.stmt:
        if node.value is None:
            return ast.Pass()
        return ast.Assign([self.visit(node.target)], self.visit(node.value))

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        self._number_function(node)
        return node

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AsyncFunctionDef:
        self._number_function(node)
        return node

    def _number_function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        node.name, node.returns, node.body = self._number(node.name), None, _body(node)
        self.generic_visit(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.ClassDef:
        node.body = _body(node)
        self.generic_visit(node)
        return node
