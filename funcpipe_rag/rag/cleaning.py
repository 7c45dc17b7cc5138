"""Make text regular without losing the way back.

Line ends become one newline and take the blanks before them along; control characters become blanks. Each
such step looks at nothing but its own few characters, so a slice of the raw text cleans to the same slice
of the clean text. That is why blank lines stay (a shortened run of them could not be cut) and why letters
are not recomposed: full-text search folds accents by itself, and offsets would no longer be cheap.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from funcpipe_rag.streams.ownership import Owned, shielded

from .types import CleanBlock, CleanDoc, RawDoc, TextStream

# Bump it when clean() changes: an index made by another cleaner then says so.
CLEANER = "clean-1"

BLOCK = 65536

_CONTROLS = r"\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f"
_BLANKS = rf" \t{_CONTROLS}"
_IRREGULAR_BYTES = bytes(byte for byte in (*range(32), 127) if byte not in b"\t\n")
_IRREGULAR = re.compile(rf"[\r{_CONTROLS}\ud800-\udfff]")
# The look-behind tries a run of blanks from its first one only; long runs would else cost their square.
_UNIT = re.compile(rf"(?<![{_BLANKS}])[{_BLANKS}]+(?:\r\n?|\n)|\r\n?|[{_CONTROLS}\ud800-\udfff]")
_UNDECIDED = "".join(char for char in map(chr, range(0xA0)) if re.match(rf"[\r{_BLANKS}]", char))


def clean(text: str) -> str:
    r"""Regular text: one newline a line end, no blanks before it, no control characters.

    >>> clean("one  \r\ntwo\x0cthree\r\r\n")
    'one\ntwo three\n\n'

    Cleaning twice changes nothing more. Tabs, blank lines and blanks inside a line or at the very end stay.

    >>> clean(clean("\ta \x00 \n\n\n\nb  ")) == clean("\ta \x00 \n\n\n\nb  ") == "\ta\n\n\n\nb  "
    True

    The reference for gen_clean_docs: whole text in, whole text out. Memory: the text and its copy.
    """
    return _UNIT.sub(lambda unit: _regular(unit[0]), text) if _needs_cleaning(text) else text


def gen_clean_docs(docs: Iterable[RawDoc]) -> Iterator[CleanDoc]:
    r"""Documents with regular text that knows its raw offsets.

    >>> [doc] = gen_clean_docs([RawDoc("a", "one  \r\ntwo", "a.txt")])
    >>> doc.text
    'one\ntwo'
    >>> [block] = doc.blocks()
    >>> block.raw(len("one\n")), "one  \r\ntwo"[7:]
    (7, 'two')

    No document, nothing; and no text is opened before its blocks are asked for.

    >>> list(gen_clean_docs([]))
    []

    Class: pure in the documents' texts. Demand: one document a document; a text is opened once for every call
    of `blocks()`. Memory: one block of 64 Ki characters, and the longest run of blanks where a block ends.
    Closing: closes the texts it opened, never `docs`. Errors: TypeError for what is no RawDoc; a text's own
    errors come from its blocks, after all clean text before them.
    """
    with Owned() as owned:
        for doc in owned.opened(docs):
            if not isinstance(doc, RawDoc):
                raise TypeError(f"gen_clean_docs: wants RawDoc items, got {type(doc).__name__}")
            yield CleanDoc(doc.doc_id, _Blocks(doc.text), doc.source, doc.metadata)


class _Blocks:
    """A raw text as clean blocks, from its beginning at every call."""

    __slots__ = ("_text",)

    def __init__(self, text: str | TextStream) -> None:
        self._text = text

    def __call__(self) -> Iterator[CleanBlock]:
        return gen_clean_blocks(self._text)


def gen_clean_blocks(text: str | TextStream) -> Iterator[CleanBlock]:
    r"""One text as clean blocks; what they say together does not depend on how the raw text came in blocks.

    >>> list(gen_clean_blocks(lambda: iter(["one \r", "\ntwo"])))
    [CleanBlock(text='one', start=0, edits=()), CleanBlock(text='\ntwo', start=3, edits=((1, 2),))]

    >>> list(gen_clean_blocks(""))
    []

    Class, demand, memory, closing, errors: as gen_clean_docs, for one document.
    """
    with Owned() as owned:
        start = 0
        held: list[str] = []
        for piece in owned.take(text_blocks(text)):
            # Blanks at the end of a block may still turn out to stand before a newline.
            decided = len(piece.rstrip(_UNDECIDED))
            if not decided:
                held.append(piece)
                continue
            held.append(piece[:decided])
            block = _clean_block("".join(held), start)
            start += sum(map(len, held))
            held = [piece[decided:]]
            yield block
        rest = "".join(held)
        if rest:
            yield _clean_block(rest, start)


def text_blocks(text: str | TextStream) -> Iterator[str]:
    """A text, whichever form it has, as blocks. A str comes in slices of 64 Ki characters.

    >>> [len(block) for block in text_blocks("x" * 100_000)]
    [65536, 34464]
    """
    with Owned() as owned:
        if isinstance(text, str):
            yield from (text[at : at + BLOCK] for at in range(0, len(text), BLOCK))
        else:
            yield from shielded(owned.called(text))


def _needs_cleaning(text: str) -> bool:
    if " \n" in text or "\t\n" in text:
        return True
    if text.isascii():
        # Three times as fast as the pattern, which looks at one character after the other.
        data = text.encode("ascii")
        return len(data.translate(None, _IRREGULAR_BYTES)) != len(data)
    return _IRREGULAR.search(text) is not None


def _regular(unit: str) -> str:
    if unit[-1] in "\r\n":
        return "\n"
    return "\ufffd" if "\ud800" <= unit <= "\udfff" else " "


def _clean_block(raw: str, start: int) -> CleanBlock:
    if not _needs_cleaning(raw):
        return CleanBlock(raw, start)
    pieces: list[str] = []
    edits: list[tuple[int, int]] = []
    done = lost = 0
    for unit in _UNIT.finditer(raw):
        begin, end = unit.span()
        pieces.append(raw[done:begin])
        pieces.append(_regular(unit[0]))
        done = end
        if end - begin > 1:
            lost += end - begin - 1
            edits.append((end - lost, lost))
    pieces.append(raw[done:])
    return CleanBlock("".join(pieces), start, tuple(edits))
