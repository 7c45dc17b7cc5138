"""Citations: where something stands in the corpus, compared with the raw text again before it is said."""

from __future__ import annotations

import os
from typing import Literal, NamedTuple, TypeAlias

from funcpipe_rag.streams.ownership import Owned

from .chunking import TextWindow, as_it_is
from .cleaning import gen_clean_blocks
from .index import Index, content_hash
from .loading import file_text
from .retrieve import Hit

Checked: TypeAlias = Literal["file", "index"]


class Citation(NamedTuple):
    """Where a sentence or a passage stands: `raw[start:stop]` of `source`, with the hash of that raw slice (hex).

    `checked` says against what it was verified: the file as it is now, or the raw text that the index keeps.
    """

    source: str
    start: int
    stop: int
    hash: str
    checked: Checked

    def __str__(self) -> str:
        return f"{self.source}:{self.start}-{self.stop}"


def cite_passage(index: Index, hit: Hit) -> Citation | None:
    """The citation of a passage, or None if it is not what was indexed."""
    found = _raw_of(index, hit)
    if found is None:
        return None
    raw, checked = found
    return Citation(hit.source, hit.start, hit.start + len(raw), content_hash(raw).hex(), checked)


def cite_sentence(index: Index, hit: Hit, start: int, stop: int) -> Citation | None:
    """The citation of `hit.text[start:stop]`, or None if its passage is not what was indexed."""
    found = _raw_of(index, hit)
    if found is None:
        return None
    raw, checked = found
    with Owned() as owned:
        clean = TextWindow(owned.take(gen_clean_blocks(raw)))
        if not clean.reaches(stop) or clean.between(start, stop) != hit.text[start:stop]:
            return None
        from_, to = clean.raw(start), clean.raw(stop)
    return Citation(hit.source, hit.start + from_, hit.start + to, content_hash(raw[from_:to]).hex(), checked)


def _raw_of(index: Index, hit: Hit) -> tuple[str, Checked] | None:
    """The raw text of a passage, from its file if that is as it was, else from the index if that is."""
    [(raw, raw_hash)] = index.rows("SELECT coalesce(raw, text), raw_hash FROM chunk WHERE id = ?", (hit.row,))
    in_file = _in_file(index, hit)
    if in_file is not None and content_hash(in_file) == raw_hash:
        return in_file, "file"
    # tail "pad" puts blanks behind the text that are not in the raw one
    raw = raw[: hit.stop - hit.start]
    return (raw, "index") if content_hash(raw) == raw_hash else None


def _in_file(index: Index, hit: Hit) -> str | None:
    """The raw slice as the file has it now; None if the file is gone or cannot be read."""
    settings = index.settings()
    roots: dict[str, str] = settings.get("roots", {})
    if len(roots) == 1:
        [root], below = roots.values(), hit.source
    else:
        name, _, below = hit.source.partition("/")
        root = roots.get(name, "")
    path = root if os.path.isfile(root) else os.path.join(root, below)
    if not root or not os.path.isfile(path):
        return None
    try:
        with Owned() as owned:
            text = TextWindow(owned.take(as_it_is(file_text(path, settings.get("encoding", "utf-8")))))
            while text.end < hit.start and text.reaches(text.end + 1):
                text.forget(min(text.end, hit.start))
            return text.between(hit.start, hit.stop) if text.reaches(hit.stop) else None
    except (OSError, ValueError):
        return None
