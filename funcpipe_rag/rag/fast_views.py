"""The two full-text views once more, in an engine written in Rust: the same kind of ranking in a tenth of the time.

They stand in a folder beside the index, are derived from it, and may be thrown away. A search uses them only when
they are of the index's last run; while a build is going on, and after one that was stopped, the index itself answers.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from glob import escape, glob
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from .index import Index, IndexProblem, stored_settings

# The folder is named like the index, with this behind it.
FOLDER = ".tantivy"

# The format of what is written here; another one is made anew.
FORMAT = 1

# What the engine may gather before it writes, in bytes; the least that it takes is 15 MB.
GATHERED = 16_000_000

# In bytes; what is longer is no word.
LONGEST_WORD = 255

# A row and its document's row are kept as one number: to ask for two takes twice as long.
ROW_BITS = 36
ROW = (1 << ROW_BITS) - 1

VIEWS = {
    "chunk": "SELECT chunk.id, document, header, body FROM chunk JOIN chunk_view ON chunk_view.id = chunk.id",
    "section": "SELECT section.id, document, header, body FROM section JOIN section_view ON section_view.id = section.id",
}


class FastViews:
    """The views of an index, open for reading, as of one run."""

    def __init__(self, folder: str, run: int) -> None:
        self.run = run
        tantivy = import_module("tantivy")
        self._views = {name: tantivy.Index.open(os.path.join(folder, name)) for name in VIEWS}
        for view in self._views.values():
            view.register_tokenizer("stems", _stems(tantivy))
        self._searchers = {name: view.searcher() for name, view in self._views.items()}

    def ranked(self, view: str, words: Sequence[str], most: int | None) -> Iterator[tuple[int, int]]:
        """The rows of a view that fit any of some words, best first, each with its document's row."""
        searcher = self._searchers[view]
        # The engine makes room for all that it is asked for.
        limit = max(1, searcher.num_docs if most is None else min(most, searcher.num_docs))
        query = self._views[view].parse_query(" ".join(f'"{word}"' for word in words), ["words"])
        for _, address in searcher.search(query, limit, count=False).hits:
            place = searcher.doc(address).get_first("place")
            yield place & ROW, place >> ROW_BITS


def need_fast_views() -> None:
    """IndexProblem, with the way out, where the engine is not installed."""
    if find_spec("tantivy") is None:
        raise IndexProblem(
            'the fast views need tantivy, which is not installed: pip install "funcpipe-rag[tantivy]"'
        )


def fast_views(index: Index) -> FastViews | None:
    """The fast views of an index; None if it has none of its last run, or the engine is not installed."""
    [(run,)] = index.rows("SELECT max(id) FROM run")
    kept: FastViews | None = index.derived.get("fast views")
    if kept is not None and kept.run == run:
        return kept
    if _stamp(index.path) != run:
        return None
    try:
        opened = FastViews(index.path + FOLDER, run)
    except (ModuleNotFoundError, ValueError, OSError):
        return None  # it is derived: without it the answer is as good, and slower
    index.derived["fast views"] = opened
    return opened


def keep_fast_views(path: str, run: int, *, changed: bool) -> None:
    """Make the views of an index those of the run that has just ended, if it is to have any; else delete them.

    What is of the run before is good if nothing has changed. Where the engine is not installed, what there is stays,
    and is not used until it is brought up to date elsewhere.
    """
    if not stored_settings(path).get("fast_views"):
        shutil.rmtree(path + FOLDER, ignore_errors=True)
    elif not changed and _stamp(path) == run - 1:
        _put_stamp(path + FOLDER, run)
    elif find_spec("tantivy") is not None:
        _write(path, run)


def _write(path: str, run: int) -> None:
    tantivy = import_module("tantivy")
    folder, beside = path + FOLDER, path + FOLDER + ".new"
    shutil.rmtree(beside, ignore_errors=True)
    with Index(path) as index, index.snapshot():
        [(now,)] = index.rows("SELECT max(id) FROM run")
        if now != run:
            return  # another build has begun, and will write its own
        for name, rows in VIEWS.items():
            os.makedirs(os.path.join(beside, name))
            schema = tantivy.SchemaBuilder()
            schema.add_text_field("words", stored=False, tokenizer_name="stems")
            schema.add_integer_field("place", stored=True)
            view = tantivy.Index(schema.build(), path=os.path.join(beside, name))
            view.register_tokenizer("stems", _stems(tantivy))
            writer = view.writer(GATHERED, 1)
            for row, document, header, body in index.rows(rows):
                writer.add_document(
                    tantivy.Document(words=f"{header}\n{body}", place=document << ROW_BITS | row)
                )
            writer.commit()
            writer.wait_merging_threads()
    _put_stamp(beside, run)
    # Out of the way first: a thread of somebody who reads may write into the old ones while they are being deleted.
    old = f"{folder}.{run}.old"
    with suppress(FileNotFoundError):
        os.rename(folder, old)
    os.rename(beside, folder)
    for left in glob(f"{escape(folder)}.*.old"):
        shutil.rmtree(left, ignore_errors=True)


def _stems(tantivy: Any) -> Any:
    """Words as the index's own full text has them: in lower case, without accents and endings."""
    only = tantivy.Filter
    words = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.simple())
    for one in (only.remove_long(LONGEST_WORD), only.lowercase(), only.ascii_fold(), only.stemmer("english")):
        words = words.filter(one)
    return words.build()


def _put_stamp(folder: str, run: int) -> None:
    written = os.path.join(folder, "stamp.json.new")
    with open(written, "w", encoding="utf-8") as file:
        json.dump({"run": run, "format": FORMAT}, file)
    os.replace(written, os.path.join(folder, "stamp.json"))


def _stamp(path: str) -> int | None:
    """The run that the views are of."""
    with suppress(OSError, ValueError, TypeError, KeyError):
        with open(os.path.join(path + FOLDER, "stamp.json"), encoding="utf-8") as file:
            stamp = json.load(file)
        if stamp["format"] == FORMAT:
            return int(stamp["run"])
    return None
