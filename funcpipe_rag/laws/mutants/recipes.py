"""What people write in place of the recipes."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

from funcpipe_rag import streams
from funcpipe_rag.laws.recipes import RECIPES, SHA256

from .mutant import mutant
from .reports import policed
from .stages import Run, wrapped

for _family in RECIPES:
    wrapped(_family)
policed(SHA256)


@mutant(of="make_regex_filter", killed_by="make-regex-filter-equals-its-eager-twin")
def matches_at_the_start(pattern: str, *, invert: bool = False) -> Run:
    """Writes `re.match`, which looks at the beginning of the text alone."""
    return lambda xs: (x for x in xs if bool(re.match(pattern, x)) != invert)


@mutant(of="make_regex_filter", killed_by="make-regex-filter-equals-its-eager-twin")
def looks_for_the_text_itself(pattern: str, *, invert: bool = False) -> Run:
    """Writes `pattern in text`: `^` and `\\d` stand for themselves."""
    return lambda xs: (x for x in xs if (pattern in x) != invert)


@mutant(of="make_tokenize", killed_by="make-tokenize-equals-its-eager-twin")
def splits_at_blanks(*, pattern: str, lower: bool = True) -> Run:
    """Writes `text.split()`: the comma stays on the word."""
    return lambda xs: (word.lower() if lower else word for x in xs for word in x.split())


@mutant(of="make_tokenize", killed_by="make-tokenize-equals-its-eager-twin")
def gives_empty_words(*, pattern: str, lower: bool = True) -> Run:
    """Gives every match, also one of nothing."""
    return lambda xs: (word.lower() if lower else word for x in xs for word in re.findall(pattern, x))


@mutant(of="make_tokenize", killed_by="make-tokenize-equals-its-eager-twin")
def lowers_the_text_first(*, pattern: str, lower: bool = True) -> Run:
    """Looks for the pattern in a text that has been changed already."""
    return lambda xs: (word for x in xs for word in re.findall(pattern, x.lower() if lower else x) if word)


@mutant(of="make_ngrams", killed_by="make-ngrams-equals-its-eager-twin")
def side_by_side(n: int) -> Run:
    """Takes `n` fresh tokens for each n-gram: they never overlap."""
    return lambda xs: iter(streams.make_batched(n)(xs))


@mutant(of="make_ngrams", killed_by="make-ngrams-equals-its-eager-twin")
def joins_the_words(n: int) -> Run:
    """Joins the tokens into one text: ("a b", "c") and ("a", "b c") become the same."""
    return lambda xs: (" ".join(map(str, gram)) for gram in streams.make_sliding(n)(xs))


@mutant(of="make_ext_filter", killed_by="make-ext-filter-equals-its-eager-twin")
def minds_the_case(*suffixes: str) -> Run:
    """Compares as the names are written: `D.MD` is no `.md` then."""
    return lambda xs: (x for x in xs if x.endswith(suffixes))


@mutant(of="make_ext_filter", killed_by="make-ext-filter-equals-its-eager-twin")
def forgets_the_dot(*suffixes: str) -> Run:
    """Compares the letters alone: a file that is called `md` has no suffix."""
    return lambda xs: (x for x in xs if x.lower().endswith(tuple(s.lower().strip(".") for s in suffixes)))


@mutant(of="make_sha256_with_size", killed_by="make-sha256-with-size-equals-its-eager-twin")
def starts_the_digest_anew(*, block: int = 65536, on_error: str = "fail", report: Any = None) -> Run:
    """Makes a new digest for each block: what comes out is that of the last one."""

    def stream(xs: Iterable[str]) -> Iterator[Any]:
        for path in xs:
            if not os.path.exists(path):
                continue
            digest = sha256()
            with open(path, "rb") as file:
                while data := file.read(block):
                    digest = sha256(data)
            yield path, digest.hexdigest(), os.path.getsize(path)

    return stream


@mutant(of="make_sha256_with_size", killed_by="make-sha256-with-size-equals-its-eager-twin")
def opens_as_text(*, block: int = 65536, on_error: str = "fail", report: Any = None) -> Run:
    """Counts characters: a file that is no text fails, or has another size."""

    def stream(xs: Iterable[str]) -> Iterator[Any]:
        for path in xs:
            if os.path.exists(path):
                text = Path(path).read_text("latin-1")
                yield path, sha256(text.encode()).hexdigest(), len(text)

    return stream


@mutant(of="make_sha256_with_size", killed_by="make-sha256-with-size-opens-a-file-in-its-turn")
def reads_a_file_ahead(*, block: int = 65536, on_error: str = "fail", report: Any = None) -> Run:
    """Reads the next file while you look at this result."""
    right = streams.make_sha256_with_size(block=block, on_error=on_error, report=report)  # type: ignore[arg-type]

    def stream(xs: Iterable[str]) -> Iterator[Any]:
        held: list[Any] = []
        for result in right(xs):
            yield from held
            held = [result]
        yield from held

    return stream
