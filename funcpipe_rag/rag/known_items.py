"""Questions that nobody labelled: a document's own words, taken out of it, must find it again.

Known-item search measures a retriever on any corpus: what a section is called, or what a function's docstring
says first, is close to what somebody would ask for. Questions of this kind favour what matches words; they
compare two settings on one corpus, and say little about questions in other words.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from typing import NamedTuple

from funcpipe_rag.streams.ownership import Owned

from .cleaning import text_blocks
from .outline import reader_of
from .retrieve import content_words
from .sentences import gen_sentences
from .types import FORMAT, RawDoc

# A longer document, in characters, is handed on as it is: its questions would be as good, but it would be in memory.
LONGEST_DOCUMENT = 1 << 20

# With fewer words that say something, many documents would do; what is longer is no question.
FEWEST_WORDS, LONGEST_QUESTION = 3, 200


class KnownItem(NamedTuple):
    """A document without a phrase of its own, and the phrase; None where it has none that is fit to be asked."""

    question: str | None
    doc: RawDoc


def known_items(docs: Iterable[RawDoc]) -> Iterator[KnownItem]:
    r"""Each document with one question that it should be the answer to, taken out of its text.

    >>> text = "# Splitting one stream in two\nA tee holds what lags.\n"
    >>> [item] = known_items([RawDoc("tee", text, "tee.md")])
    >>> item.question, item.doc.text
    ('Splitting one stream in two', '# \nA tee holds what lags.\n')

    In Python it is the first sentence of a docstring.

    >>> text = 'def halve(n):\n    "Return half of a whole number. Odd ones fail."\n'
    >>> [item] = known_items([RawDoc("halve", text, "halve.py")])
    >>> item.question, item.doc.text
    ('Return half of a whole number.', 'def halve(n):\n    " Odd ones fail."\n')

    A document without a heading or a docstring of three telling words has no question, and comes as it is.

    >>> [item] = known_items([RawDoc("n", "# Notes\n", "notes.md")])
    >>> item.question, item.doc.text
    (None, '# Notes\n')

    Which of its phrases is asked for depends on the document's name and on nothing else. The text is kept
    in its kind: what was read from a page is a string afterwards.

    Class: pure. Demand: a document for each. Memory: one document of up to 1 Mi characters; a longer one, and one
    that cannot be read, has no question and comes as it is. Closing: closes the documents. Errors: theirs.
    """
    with Owned() as owned:
        for doc in owned.opened(docs):
            yield _asked(doc)


def _asked(doc: RawDoc) -> KnownItem:
    kind = doc.metadata.get(FORMAT) or doc.source
    try:
        text = _whole(doc)
    except (OSError, ValueError):
        text = None  # who reads it next will say why
    if text is None:
        return KnownItem(None, doc)
    phrases = _docstrings(text) if kind.lower().endswith(".py") else _titles(kind, text)
    fit = sorted({phrase for phrase in phrases if _fit(phrase)})
    if not fit:
        return KnownItem(None, doc._replace(text=text))
    number = int.from_bytes(
        blake2b(doc.source.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big"
    )
    chosen = fit[number % len(fit)]
    return KnownItem(" ".join(chosen.split()), doc._replace(text=text.replace(chosen, "")))


def _whole(doc: RawDoc) -> str | None:
    blocks: list[str] = []
    size = 0
    with Owned() as owned:
        for block in owned.take(text_blocks(doc.text)):
            blocks.append(block)
            size += len(block)
            if size > LONGEST_DOCUMENT:
                return None
    return "".join(blocks)


def _fit(phrase: str) -> bool:
    return len(phrase) <= LONGEST_QUESTION and len(set(content_words(phrase))) >= FEWEST_WORDS


# The numbers of chapters and the mark of a link say nothing about what a section is about.
_ORNAMENT = re.compile(
    r"^(?:(?:chapter|part|appendix)\s+)?(?:[A-Z]\.(?:\d+\.?)*|[A-Z]?\d+(?:\.\d+)*\.?)\s+|[\s¶#]+$", re.I
)


def _titles(kind: str, text: str) -> Iterator[str]:
    reader = reader_of(kind)
    for heading in reader(text, []) if reader else ():
        yield _ORNAMENT.sub("", heading.title)


def _docstrings(text: str) -> Iterator[str]:
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            said = ast.get_docstring(node, clean=False) or ""
            first = next(gen_sentences(said), None)
            # What is escaped in the program reads differently there, and would not be found to be taken out.
            if first is not None and (sentence := said[first.start : first.stop]) in text:
                yield sentence
