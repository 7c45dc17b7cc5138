"""Where a cut may fall: between words, sentences, the blocks of a Markdown page or of a program.

By pattern, never by model, and looking at nothing but the window and the character behind it: so the cuts do
not depend on the blocks a text came in, and a text of any length is cut in one go.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeAlias

from .outline import Heading, Reader, markdown_headings
from .sentences import ABBREVIATION
from .types import Boundary

Cut: TypeAlias = Callable[[str, int, int], int]
"""`cut(text, after, end)`: the best place in (after, end] to stop at; `end` if no place is better than another.
The character at `end` is there."""

Enter: TypeAlias = Callable[[str, int, int], int]
"""`enter(text, start, stop)`: the first good place in [start, stop] to begin at. There is a character before
`start`."""


class Rule(NamedTuple):
    """How a boundary cuts, where the next window enters, and what begins a section (None: there are none).

    A section is cut on its own: no window reaches into the next, so an edit in one changes no other.
    """

    cut: Cut
    enter: Enter
    sections: Reader | None = None


def rule(boundary: Boundary) -> Rule:
    r"""The rule of a boundary.

    >>> text = "One. Two goes on\nand on, e.g. here."
    >>> [text[:rule(name).cut(text, 0, 33)] for name in ("word", "sentence", "code")]
    ['One. Two goes on\nand on, e.g. ', 'One. ', 'One. Two goes on\n']
    """
    return _RULES[boundary]


# Also NO-BREAK SPACE is white space to str.isspace(); but not a place to break.
BLANKS = " \n\t\r"


def _anywhere(text: str, after: int, end: int) -> int:
    return end


def _here(text: str, start: int, stop: int) -> int:
    return start


def _word_end(text: str, after: int, end: int) -> int:
    if text[end] in BLANKS:
        return end
    gap = text.rfind(" ", after, end)
    # Only what is nearer matters, so each search is shorter than the one before.
    nearer = text.rfind("\n", after if gap < 0 else gap, end)
    if nearer > gap:
        gap = nearer
    nearer = text.rfind("\t", after if gap < 0 else gap, end)
    if nearer > gap:
        gap = nearer
    nearer = text.rfind("\r", after if gap < 0 else gap, end)
    return (nearer if nearer > gap else gap) + 1 or end


def _word_start(text: str, start: int, stop: int) -> int:
    if start == stop or text[start - 1] in BLANKS:
        return start
    found = _BLANK.search(text, start, stop)
    return found.end() if found else stop


_BLANK = re.compile(f"[{BLANKS}]")
_SENTENCE_END = re.compile(r"[.!?][\"')\]*`]*[ \n]|\n\n")


def _ends_sentence(text: str, place: int) -> bool:
    if text[place - 2 : place] == "\n\n":
        return True
    return not (text[place].islower() or ABBREVIATION.search(text, max(0, place - 9), place - 1))


def _last_sentence(text: str, after: int, end: int) -> int:
    """The last place in (after, end] behind a sentence; 0 if there is none."""
    if text[end] in BLANKS and text[end - 1] in ".!?" and end > after + 1:
        return end
    best = text.rfind("\n\n", after, end) + 2
    if best == 1:
        best = 0
    for mark in ".!?":
        at = text.rfind(mark, best or after, end)
        while at >= 0:
            place = _behind(text, at + 1, end)
            if place and _ends_sentence(text, place):
                best = place
                break
            at = text.rfind(mark, best or after, at)
    return best


def _behind(text: str, at: int, end: int) -> int:
    """The place behind a sentence's closing marks and one blank, up to `end`; 0 if something else comes."""
    while text[at] in "\"')]*`" and at < end:
        at += 1
    return at + 1 if text[at] in " \n" and at < end else 0


def _sentence_end(text: str, after: int, end: int) -> int:
    return _last_sentence(text, after, end) or _word_end(text, after, end)


def _sentence_start(text: str, start: int, stop: int) -> int:
    if start == stop or _begins_sentence(text, start):
        return start
    for found in _SENTENCE_END.finditer(text, start, stop):
        if found.end() < stop and _ends_sentence(text, found.end()):
            return found.end()
    return _word_start(text, start, stop)


def _begins_sentence(text: str, place: int) -> bool:
    before = text[place - 2 : place]
    return before == "\n\n" or (len(before) == 2 and before[0] in ".!?" and before[1] in " \n")


def _block_end(text: str, after: int, end: int) -> int:
    gap = text.rfind("\n\n", after, end)
    if gap >= 0:
        return gap + 2
    return _last_sentence(text, after, end) or _line_end(text, after, end)


def _line_end(text: str, after: int, end: int) -> int:
    gap = text.rfind("\n", after, end)
    return gap + 1 or _word_end(text, after, end)


def _line_start(text: str, start: int, stop: int) -> int:
    if start == stop or text[start - 1] == "\n":
        return start
    gap = text.find("\n", start, stop) + 1
    return gap or stop


_NESTED = re.compile(r"\n(?:[ \t]+@[^\n]*\n)*[ \t]+(?:(?:async +)?def|class) ")


def _statement_end(text: str, after: int, end: int) -> int:
    nested = [found.start() for found in _NESTED.finditer(text, after, end)]
    if nested:
        return nested[-1] + 1
    gap = text.rfind("\n\n", after, end)
    return gap + 2 if gap >= 0 else _line_end(text, after, end)


_TOP = re.compile(r"\n(?:(@)|(?:async +def|def|class) +(\w{1,200}))")


def _definitions(lines: str, decorated: list[str]) -> Iterator[Heading]:
    """Where a program's outermost definitions begin, their decorators with them."""
    for found in _TOP.finditer("\n" + lines):
        if not decorated:
            yield Heading(found.start(), 0, found[2] or "@")
        if found[1]:
            decorated[:] = ["@"]
        else:
            decorated.clear()


_RULES: dict[Boundary, Rule] = {
    "char": Rule(_anywhere, _here),
    "word": Rule(_word_end, _word_start),
    "sentence": Rule(_sentence_end, _sentence_start),
    "markdown": Rule(_block_end, _sentence_start, markdown_headings),
    "code": Rule(_statement_end, _line_start, _definitions),
}
