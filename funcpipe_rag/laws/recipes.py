"""The laws of the recipes: texts and words, and the files that paths name."""

from __future__ import annotations

import re
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

from funcpipe_rag.streams.reports import Report

from .inputs import Input, Items, SourceSpec, booleans, choice, integers, items_of
from .law import law, same
from .reports import by_policy, policy_laws_of
from .results import told
from .stages import WHOLE, Family, laws_of
from .worlds import World


def _texts(*texts: str) -> Callable[..., Input[Items]]:
    return lambda **how: items_of(choice(*texts), **how)


def _words(texts: list[str], pattern: str, lower: bool) -> list[str]:
    words = [word for text in texts for word in re.findall(pattern, text) if word]
    return [word.lower() for word in words] if lower else words


_FILES = {"a": b"abc", "b": bytes(range(256)), "empty": b""}


def _on_disk(world: World, names: Items) -> Items:
    """The paths of files of these names; there is none that is called gone."""
    folder = Path(world.folder())
    for name, content in _FILES.items():
        (folder / name).write_bytes(content)
    return tuple(str(folder / name) for name in names)


def _digest(path: str) -> tuple[str, str, int] | None:
    if not Path(path).exists():
        return None
    content = Path(path).read_bytes()
    return path, sha256(content).hexdigest(), len(content)


SHA256 = Family(
    "make_sha256_with_size",
    {"block": choice(1, 100, 65536), "on_error": choice("skip", "collect")},
    lambda world, make_sha256_with_size, block, on_error, report=None: make_sha256_with_size(
        block=block, on_error=on_error, report=report or Report()
    ),
    lambda paths, block, on_error: by_policy(paths, _digest, "FileNotFoundError", on_error),
    items=_texts("a", "b", "empty", "gone"),
    live=_on_disk,
    told=told,
)

RECIPES = (
    Family(
        "make_regex_filter",
        {"pattern": choice("a", "^a", r"\d"), "invert": booleans()},
        lambda world, make_regex_filter, pattern, invert: make_regex_filter(pattern, invert=invert),
        lambda texts, pattern, invert: [text for text in texts if bool(re.search(pattern, text)) != invert],
        items=_texts("", "a", "b1", "ba"),
    ),
    Family(
        "make_tokenize",
        {"pattern": choice("[A-Za-z]+", "[a-z]*"), "lower": booleans()},
        lambda world, make_tokenize, pattern, lower: make_tokenize(pattern=pattern, lower=lower),
        _words,
        items=_texts("", "a b", "C", "d-E f"),
    ),
    Family(
        "make_ngrams",
        {"n": integers(1, 3)},
        lambda world, make_ngrams, n: make_ngrams(n),
        lambda tokens, n: [tuple(tokens[at : at + n]) for at in range(len(tokens) - n + 1)],
    ),
    Family(
        "make_ext_filter",
        {"suffixes": choice((".md",), (".TXT", ".gz"))},
        lambda world, make_ext_filter, suffixes: make_ext_filter(*suffixes),
        lambda paths, suffixes: [
            path for path in paths if any(path.lower().endswith(suffix.lower()) for suffix in suffixes)
        ],
        items=_texts("a.md", "md", "b.txt", "c.tar.gz", "d.MD"),
    ),
    SHA256,
)

for _family in RECIPES:
    laws_of(_family, WHOLE)

policy_laws_of(SHA256, lambda path, index: (path,))


@law(
    "make-sha256-with-size-opens-a-file-in-its-turn",
    about="make_sha256_with_size",
    promise="on demand",
    says="A file is opened when its turn comes: until then it need not even be there.",
    hint="What do you do with the second path while the first result is being read?",
    many=integers(1, 3),
)
def _(world: World, make_sha256_with_size: Any, many: int) -> None:
    folder = Path(world.folder())
    paths = tuple(str(folder / str(number)) for number in range(many))
    xs, _probe = world.stream(SourceSpec(paths))
    made = world.iterator(world.run(make_sha256_with_size(), xs))
    for path in paths:
        Path(path).write_bytes(path.encode())
        same(next(made, None), _digest(path))
