"""A page as a linter reads it: its prose by line, its headings, its code as syntax; and what it finds there."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from funcpipe_rag.course.editions import Edition, cells_of
from funcpipe_rag.course.lessons import Cell, Page, shown


@dataclass(frozen=True)
class Finding:
    """One thing to mend: where it is, what it is, and what to do about it."""

    path: Path
    line: int
    what: str
    do: str

    def __str__(self) -> str:
        return f"{shown(self.path)}:{self.line}: {self.what}; {self.do}"


@dataclass(frozen=True)
class Line:
    """A line of prose; `words` is its text without code, tags and addresses."""

    number: int
    cell: Cell
    text: str
    words: str


@dataclass(frozen=True)
class Reading:
    """One page, read once for all that is asked of it."""

    page: Page

    def found(self, line: int, what: str, do: str) -> Finding:
        """Something to mend on a line of this page."""
        return Finding(self.page.path, line, what, do)

    @cached_property
    def learner(self) -> list[Cell]:
        """The cells that a learner sees."""
        return cells_of(self.page, Edition.learner)

    @cached_property
    def lines(self) -> list[Line]:
        """The prose of the whole page, for whichever reader."""
        return [line for cell in self.page.cells for line in prose_of(cell)]

    @cached_property
    def headings(self) -> list[tuple[Line, int, str]]:
        """Each heading: its line, its level, its words."""
        matches = ((line, re.match(r"(#{1,6})\s+(.+?)\s*$", line.text)) for line in self.lines)
        return [(line, len(match[1]), match[2]) for line, match in matches if match]

    @cached_property
    def takes_virtual_time(self) -> bool:
        """Whether the page runs async code on the loop on which nobody waits."""
        module = "from funcpipe_rag.aio.testing import"
        return any(cell.kind == "code" and module in cell.source for cell in self.learner)

    def below(self, heading: str) -> list[Line]:
        """The first heading that begins so and the lines below it, up to the next heading; none without it."""
        heads = [line for line, _, _ in self.headings]
        for n, (head, _, words) in enumerate(self.headings):
            if re.match(rf"{heading}\b", words):
                stop = heads[n + 1].number if n + 1 < len(heads) else self.lines[-1].number + 1
                return [line for line in self.lines if head.number <= line.number < stop]
        return []


def prose_of(cell: Cell) -> Iterator[Line]:
    """The lines of a Markdown cell that are no block of code."""
    fenced = cell.kind != "markdown"
    for offset, text in enumerate(cell.source.splitlines()):
        if cell.kind == "markdown" and re.match(r"\s*(```|~~~)", text):
            fenced = not fenced
        elif not fenced:
            words = re.sub(r"<code>.*?</code>|`[^`]*`|<[^>]*>|\]\([^)]*\)|https?://\S+", " ", text)
            yield Line(cell.line + offset, cell, text, words)


def syntax_of(cell: Cell) -> ast.Module:
    """A code cell's syntax, a line of IPython's own read as `pass`; SyntaxError for what is no Python.

    Any other cell has none.
    """
    return ast.parse(_python(cell)) if cell.kind == "code" else ast.Module([], [])


def comments_of(cell: Cell) -> Iterator[tuple[int, str]]:
    """The comments of a code cell, each with its offset from the cell's first line."""
    try:
        for token in tokenize.generate_tokens(io.StringIO(_python(cell)).readline):
            if token.type == tokenize.COMMENT:
                yield token.start[0] - 1, token.string
    except (tokenize.TokenError, SyntaxError):
        return


def calls_of(tree: ast.AST) -> set[str]:
    """The names that are called.

    >>> sorted(calls_of(ast.parse("print(watch(len, {}))")))
    ['print', 'watch']
    """
    calls = (node.func for node in ast.walk(tree) if isinstance(node, ast.Call))
    return {func.id for func in calls if isinstance(func, ast.Name)}


def _python(cell: Cell) -> str:
    return re.sub(r"(?m)^([ \t]*)[%!].*$", r"\1pass", cell.source)
