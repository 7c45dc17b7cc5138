"""Where the sentences of a passage are, in prose and in programs.

By pattern, not by model: a sentence ends at its full stop, at a blank line, and before a line that begins
something new (a list item, a definition, a prompt). Headings, comments and lines of decoration are no
sentences: a comment's line is rarely a whole one, and joined to the next it would carry the marks along.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple


class Sentence(NamedTuple):
    """A sentence: `text[start:stop]`, and whether it reads like prose."""

    start: int
    stop: int
    prose: bool


def gen_sentences(text: str) -> Iterator[Sentence]:
    r"""The sentences of a clean text, in order.

    >>> text = "# Tee\nSplits one\nstream. Holds what lags.\n\n- fast\n"
    >>> [text[s.start:s.stop] for s in gen_sentences(text)]
    ['Splits one\nstream.', 'Holds what lags.', '- fast']

    A full stop inside a name, or behind a common abbreviation, ends nothing.

    >>> text = "See heapq.merge, e.g. Example 2. Then stop."
    >>> [text[s.start:s.stop] for s in gen_sentences(text)]
    ['See heapq.merge, e.g. Example 2.', 'Then stop.']

    Class: pure. Memory: O(1) beside the text.
    """
    for unit_start, unit_stop in _units(text):
        if _HEADING.match(text, unit_start):
            continue
        start = unit_start
        for end in _END.finditer(text, unit_start, unit_stop):
            if not ABBREVIATION.search(text, start, end.start() + 1):
                yield from _sentence(text, start, end.start(1))
                start = end.end()
        yield from _sentence(text, start, unit_stop)


# A line that begins something new, whatever stands before it.
_OPENS = re.compile(
    r"[ \t]*(?:[-*+•] |\d+[.)] |#|>>> |\.\.\. |@\w|[rbuRBU]{0,2}(?:\"\"\"|''')|`{3}|~{3}|:\w|\||<"
    r"|(?:async def|def|class|import|from|return|if|for|while|try|except|with|raise|yield|elif|else)\b"
    r".*[:\w)\]]$)"
)
# A heading of Markdown and a comment of Python look alike, and neither goes on in the next line.
_HEADING = re.compile(r"[ \t]*#+ ")
_END = re.compile(r"[.!?](?:[\"')\]`*]*)()\s+(?=[\"'(\[*]*[A-Z0-9`])")
ABBREVIATION = re.compile(r"(?:\b(?:e\.g|i\.e|etc|cf|vs|Mr|Dr|No|Fig|resp|approx)|\b[A-Z])\.\Z")
_OPENING = re.compile(r"\s*(?:[rbuRBU]{0,2}(?:\"\"\"|''')\s*)?")
_CLOSING = re.compile(r"\s*(?:(?:\"\"\"|''')\s*)?\Z")
_WORD = re.compile(r"[^\W\d_]{2,}")
_CODE = re.compile(r"[=(){}\[\]<>_;\\|@]|\w\.\w|[\"'],|0x|>>>")
_QUOTED = re.compile(r"`[^`\n]*`")
_IMPORT = re.compile(r"(?:from [\w.]+ )?import [\w(]")
_STATEMENT = re.compile(
    r"(?:raise|return|yield|assert|if|elif|for|while|with|def|class|import|from|self)\b|>>> |\.\.\. "
)


def _units(text: str) -> Iterator[tuple[int, int]]:
    """Runs of lines that belong together."""
    start = at = 0
    indent = -1
    for line in text.splitlines(keepends=True):
        body = line.strip()
        here = len(line) - len(line.lstrip())
        if not body or _OPENS.match(line.rstrip()) or (indent >= 0 and abs(here - indent) > 3):
            if start < at:
                yield start, at
            start = at
        indent = here if body else -1
        at += len(line)
        if not body:
            start = at
        elif _HEADING.match(line):
            yield start, at
            start, indent = at, -1
    if start < at:
        yield start, at


def _sentence(text: str, start: int, stop: int) -> Iterator[Sentence]:
    words = text[start:stop]
    stop -= len(words) - len(_CLOSING.sub("", words))
    start = min(stop, _OPENING.match(text, start).end())  # type: ignore[union-attr]
    words = text[start:stop]
    if _WORD.search(words) and not _IMPORT.match(words):
        yield Sentence(start, stop, _reads_like_prose(words))


def _reads_like_prose(sentence: str) -> bool:
    plain = _QUOTED.sub("it", sentence)
    words, code = len(_WORD.findall(plain)), len(_CODE.findall(plain))
    if (code and _STATEMENT.match(plain)) or plain.endswith(":"):
        return False  # what ends in a colon says nothing yet
    return words >= 4 + 2 * code or (not code and words >= 2 and plain[-1] in ".!?")
