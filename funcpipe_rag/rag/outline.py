"""Which headings hold at a place in a document.

A passage is easier to find when it knows its headings: the titles of a Markdown or reStructuredText page,
the class and function around a line of Python. Read by patterns, line by line, so that a document of any
length and a program that does not compile have an outline too.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeAlias

# A heading is a short line. What of a longer line has been read is forgotten, so that memory stays bounded.
LONGEST_LINE = 1000


class Heading(NamedTuple):
    """A heading: where its line begins, how many levels it stands below the outermost, and its words."""

    at: int
    level: int
    title: str


Reader: TypeAlias = Callable[[str, list[str]], Iterator[Heading]]
"""Finds the headings in some whole lines; the list keeps what it must remember between calls."""


class Outline:
    r"""The headings of a text that arrives in blocks, asked for from front to back.

    >>> outline = Outline("guide.md")
    >>> outline.feed("# Chain\n\n## Order\nIn turn.\n## Er")
    >>> outline.feed("rors\n")
    >>> outline.path(0), outline.path(12), outline.path(28)
    (('Chain',), ('Chain', 'Order'), ('Chain', 'Errors'))

    Before the first heading, and in a kind of file that has none, there is no path.

    >>> Outline("notes.txt").path(0)
    ()

    Memory: the headings between the place last asked for and the end of what was fed, and one long line.
    """

    def __init__(self, source: str | Reader) -> None:
        self.reader = reader_of(source) if isinstance(source, str) else source
        self._remembered: list[str] = []
        self._lines = ""
        self._at = 0
        self._too_long = False
        self._last = -1
        self._stack: list[Heading] = []
        self._paths: deque[tuple[int, tuple[str, ...]]] = deque([(0, ())])

    def feed(self, text: str) -> None:
        """Take the next block of clean text."""
        if self.reader is None:
            return
        if self._too_long:
            line_end = text.find("\n") + 1
            self._at += line_end or len(text)
            if not line_end:
                return
            text, self._too_long = text[line_end:], False
        lines = self._lines + text
        whole = lines.rfind("\n") + 1
        for heading in self.reader(lines[:whole], self._remembered):
            self._enter(heading._replace(at=self._at + heading.at))
        # A title stands above its underline, so there the last whole line is read again with the next.
        kept = lines.rfind("\n", 0, max(0, whole - 1)) + 1 if self.reader is _restructured else whole
        if len(lines) - kept > 2 * LONGEST_LINE:
            # Its beginning says all that it can say: no pattern reaches as far as what is forgotten.
            for heading in self.reader(lines[kept:], self._remembered):
                self._enter(heading._replace(at=self._at + kept + heading.at))
            kept = len(lines)
            self._too_long = not lines.endswith("\n")
        self._at += kept
        self._lines = lines[kept:]

    def finish(self) -> None:
        """There is no more text: its last line is whole."""
        self.feed("\n")

    def _enter(self, heading: Heading) -> None:
        if heading.at <= self._last:
            return
        self._last = heading.at
        while self._stack and self._stack[-1].level >= heading.level:
            self._stack.pop()
        self._stack.append(heading)
        self._paths.append((heading.at, tuple(entry.title for entry in self._stack)))

    def path(self, at: int) -> tuple[str, ...]:
        """The headings that hold at a place, outermost first; places may not go back."""
        while len(self._paths) > 1 and self._paths[1][0] <= at:
            self._paths.popleft()
        return self._paths[0][1]

    @property
    def decided(self) -> int:
        """Up to here, all headings are known; what is fed later adds none before."""
        return self._at

    def next(self, place: int) -> int | None:
        """Where the first heading behind a place begins, as far as is known; places may not go back."""
        while len(self._paths) > 1 and self._paths[1][0] <= place:
            self._paths.popleft()
        return self._paths[1][0] if len(self._paths) > 1 else None


def reader_of(source: str) -> Reader | None:
    """What finds the headings in a file of this name; None if its kind has none."""
    return _READERS.get(source[source.rfind(".") :].lower())


# A newline in front of the indentation makes the search for it a plain scan: five times the speed of "^".
_DEFINITION = re.compile(r"\n([ \t]{0,200})(?:(?:async +)?def|class) +(\w{1,200})[ \t]*[\[(:]")


def _python(lines: str, _: list[str]) -> Iterator[Heading]:
    for found in _DEFINITION.finditer("\n" + lines):
        yield Heading(found.start(), len(found[1].expandtabs()) // 4, found[2])


_MARKDOWN = re.compile(
    rf"\n {{0,3}}(?:(#{{1,6}})[ \t]+([^\n]{{0,{LONGEST_LINE}}}?)[ \t]*#*(?=\n|$)|(```+|~~~+))"
)


def markdown_headings(lines: str, fence: list[str]) -> Iterator[Heading]:
    """The headings of a Markdown page, those in fenced code left out; `fence` remembers an open one."""
    if not fence and "#" not in lines and "```" not in lines and "~~~" not in lines:
        return
    for found in _MARKDOWN.finditer("\n" + lines):
        if found[3]:
            if not fence:
                fence.append(found[3])
            elif found[3].startswith(fence[0]):
                fence.clear()
        elif not fence and found[2]:
            yield Heading(found.start(), len(found[1]) - 1, found[2])


_UNDERLINED = re.compile(r"\n(?=\S)([^\n]+)\n([=\-`:'\"~^_*+#<>.])\2{2,}(?=\n|$)")


def _restructured(lines: str, marks: list[str]) -> Iterator[Heading]:
    for found in _UNDERLINED.finditer("\n" + lines):
        title, mark = found[1].rstrip(), found[2]
        if len(found[0]) - len(found[1]) - 2 < len(title) or not any(map(str.isalnum, title)):
            continue
        if mark not in marks:
            marks.append(mark)
        yield Heading(found.start(), marks.index(mark), title)


_READERS: dict[str, Reader] = {
    ".md": markdown_headings,
    ".markdown": markdown_headings,
    ".html": markdown_headings,  # what is extracted from a page has its headings in Markdown's form
    ".htm": markdown_headings,
    ".rst": _restructured,
    ".py": _python,
}
