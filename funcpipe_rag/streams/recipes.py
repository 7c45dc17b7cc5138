"""Recipes: short stages for texts and files, made of the others, in the spirit of those of `itertools`."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from functools import partial
from operator import methodcaller
from typing import Any, SupportsIndex

from .arguments import a_whole_number
from .reports import OnError, Told, tried
from .sources import a_path, opened_raw
from .stages import PassingStage, Stage, TuplesStage
from .transforms import ffilter, fflat_map
from .windows import make_sliding


def make_regex_filter(pattern: str | re.Pattern[str], *, invert: bool = False) -> PassingStage:
    r"""Keep the texts in which `pattern` is found; with `invert`, those in which it is not.

    >>> lines = ["GET /a 200", "GET /b 404", "PUT /a 500"]
    >>> list(make_regex_filter(r" [45]\d\d$")(lines))
    ['GET /b 404', 'PUT /a 500']
    >>> list(make_regex_filter("^GET", invert=True)(lines))
    ['PUT /a 500']

    It may be found anywhere: `^` and `$` say where. What is no pattern is refused before the first text.

    >>> make_regex_filter("(")
    Traceback (most recent call last):
    ...
    ValueError: make_regex_filter: pattern must be a regular expression, got '(': missing ), unterminated subpattern at position 0

    Class: pure. Demand: one pull for each text looked at, kept or not. Memory: O(1). Closing: closes the iterator it made
    of its input; one that it was handed stays open. Errors: those of the input; TypeError for an item that is no text.
    """
    search = _compiled("make_regex_filter", pattern).search
    kept = ffilter((lambda text: search(text) is None) if invert else search)
    options = {"invert": True} if invert else {}
    return PassingStage(kept, "transform", "make_regex_filter", pattern, **options)


def _compiled(where: str, pattern: str | re.Pattern[str]) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except (re.error, TypeError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"{where}: pattern must be a regular expression, got {pattern!r}: {error}") from None


def make_tokenize(
    *, pattern: str | re.Pattern[str] = r"\w+(?:['’]\w+)*", lower: bool = True
) -> Stage[[Iterable[str]], Iterator[str]]:
    """The words of texts, one after the other, in lower case.

    >>> list(make_tokenize()(["Don't ask twice.", "Ask!"]))
    ["don't", 'ask', 'twice', 'ask']

    `pattern` is a word, as it stands in the text; `lower=False` leaves it as it is there.

    >>> list(make_tokenize(pattern=r"[A-Z][a-z]*", lower=False)(["FanIn and FanOut"]))
    ['Fan', 'In', 'Fan', 'Out']

    Class: pure. Demand: one pull for each text whose words are needed; a text is searched as far as you ask. Memory: one
    text. Closing: closes the iterator it made of its input; one that it was handed stays open. Errors: those of the
    input; TypeError for an item that is no text; ValueError for what is no pattern, at construction.
    """
    found = _compiled("make_tokenize", pattern).finditer

    def words(text: str) -> Iterator[str]:
        # The whole match, whatever groups there are; an empty one is no word.
        all_words = filter(None, map(methodcaller("group"), found(text)))
        return map(str.lower, all_words) if lower else all_words

    options: dict[str, object] = {} if pattern == r"\w+(?:['’]\w+)*" else {"pattern": pattern}
    if not lower:
        options["lower"] = False
    return Stage(fflat_map(words), "transform", "make_tokenize", **options)


def make_ngrams(n: SupportsIndex) -> TuplesStage:
    """Every `n` neighbouring tokens of a stream, as a tuple.

    >>> list(make_ngrams(2)(["ask", "in", "turns"]))
    [('ask', 'in'), ('in', 'turns')]

    It sees the tokens alone. Where the stream has the words of several texts, an n-gram may begin in one and end in
    the next; where that must not be, each text is a stream of its own.

    >>> texts = ["ask twice", "fan out"]
    >>> words = make_tokenize()
    >>> list((words | make_ngrams(2))(texts))
    [('ask', 'twice'), ('twice', 'fan'), ('fan', 'out')]
    >>> from funcpipe_rag.streams import fflat_map
    >>> within = words | make_ngrams(2)
    >>> list(fflat_map(lambda text: within([text]))(texts))
    [('ask', 'twice'), ('fan', 'out')]

    Class: pure. Demand, memory, closing and errors: those of `make_sliding`, whose windows of neighbours these are;
    ValueError for `n` < 1.
    """
    size = a_whole_number("make_ngrams", "n", n, least=1)
    return TuplesStage(make_sliding(size), "transform", "make_ngrams", size)


def make_ext_filter(*suffixes: str) -> PassingStage:
    """Keep the paths that end with one of the suffixes, in upper case or lower.

    >>> list(make_ext_filter(".md", ".txt")(["a.md", "b.TXT", "c.png", "md"]))
    ['a.md', 'b.TXT']

    A suffix is a text with its dot, and may have several: it is compared as `make_walk_source` does.

    >>> list(make_ext_filter(".tar.gz")(["a.tar.gz", "b.gz"]))
    ['a.tar.gz']
    >>> make_ext_filter("md")
    Traceback (most recent call last):
    ...
    ValueError: make_ext_filter: a suffix begins with a dot, like ".md"; got 'md'

    Class: pure. Demand: one pull for each path looked at, kept or not. Memory: O(1). Closing: closes the iterator it made
    of its input; one that it was handed stays open. Errors: those of the input; TypeError for an item that is no path.
    """
    if not suffixes:
        raise ValueError('make_ext_filter: wants at least one suffix, like ".md"')
    for suffix in suffixes:
        if not isinstance(suffix, str):
            raise TypeError(f"make_ext_filter: a suffix must be a str, got {suffix!r}")
        if not suffix.startswith("."):
            raise ValueError(f'make_ext_filter: a suffix begins with a dot, like ".md"; got {suffix!r}')
    endings = tuple(suffix.lower() for suffix in suffixes)

    def ends_so(path: str | os.PathLike[str]) -> bool:
        return os.fspath(path).lower().endswith(endings)

    return PassingStage(ffilter(ends_so), "transform", "make_ext_filter", *suffixes)


def make_sha256_with_size(
    *, block: int = 65536, on_error: OnError = "fail", report: Told | None = None
) -> Stage[[Iterable[Any]], Iterator[Any]]:
    r"""For each path: the path, the SHA-256 of its file in hexadecimal digits, and the file's size in bytes.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "a.txt")
    ...     with open(path, "wb") as file:
    ...         _ = file.write(b"abc\n")
    ...     for _, digest, size in make_sha256_with_size()([path]):
    ...         print(digest[:16], size)
    edeaaff3f1774ad2 4

    A file that was there when the folder was listed may be gone when its turn comes: that is a failure.

    >>> for result in make_sha256_with_size(on_error="collect")(["gone.txt"]):
    ...     print(result.error)
    [Errno 2] No such file or directory: 'gone.txt'

    Each file is read once, so digest and size are of the same bytes, even if somebody is writing to it.

    Class: external. Demand: one pull a result, and with "skip" one for each file left out; a file is opened when its
    turn comes, and closed before its result is given. Memory: one `block`, which is in bytes. Closing: closes the
    iterator it made of its input; one that it was handed stays open. Errors: those of the input; OSError under
    `on_error`; TypeError and ValueError for an item that is no path; ValueError for `block` < 1.
    """
    block = a_whole_number("make_sha256_with_size", "block", block, least=1)

    def digested(path: Any, _: int) -> tuple[Any, str, int]:
        # Imported here: hashlib costs more than all of this room.
        from hashlib import sha256

        digest, size = sha256(), 0
        with opened_raw(a_path("make_sha256_with_size", path)) as file:
            for data in iter(partial(file.read, block), b""):
                digest.update(data)
                size += len(data)
        return path, digest.hexdigest(), size

    options: dict[str, object] = {} if block == 65536 else {"block": block}
    return tried("make_sha256_with_size", digested, OSError, on_error, report, **options)
