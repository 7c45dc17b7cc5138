"""Files that hold many documents: the cells of a notebook, the rows of a table, the values of a JSON Lines file.

Each record is a document of its own, `nb.ipynb#cell-3`, so that an edit of one leaves the others as they are;
and a record that cannot be read is a failure of its own.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from io import BufferedReader
from typing import Any

from funcpipe_rag.streams import Err, make_csv_source, make_jsonl_source, make_text_source
from funcpipe_rag.streams.ownership import Owned

from .detecting import NotText, encoding_of
from .quarantine import Loaded, Quarantined, reading_failed
from .types import FORMAT, RawDoc

# A record is held whole, so a line may not be longer than this, nor a notebook larger (in bytes).
LONGEST_LINE = 16 << 20
LARGEST_NOTEBOOK = 64 << 20

TEXT_KEYS = ("text", "content", "body")
"""Where the text of a JSON object is looked for; the first that is there and holds text is it."""


def gen_records(path: str, source: str, encoding: str = "utf-8") -> Iterator[Loaded]:
    """The records of a file, by the end of its name: .csv, .jsonl or .ipynb.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "people.csv")
    ...     _ = open(path, "w").write("name,says\\nAda,one two\\nBob\\n")
    ...     for record in gen_records(path, "people.csv"):
    ...         record
    RawDoc(doc_id='people.csv#row-1', text='name: Ada\\nsays: one two\\n', source='people.csv#row-1', metadata={})
    Quarantined(source='people.csv#row-2', reason='1 field for 2 columns', line=3)

    A file without records gives none.

    >>> list(gen_records(os.devnull, "none.jsonl"))
    []

    A row, and a JSON object without a text of its own, become a line for each field, `name: value`. An object's
    "text", "content" or "body" is its text; its other short values are metadata.

    Class: external. Demand: a block of the file when no whole record is left of the last; a notebook is read
    whole. Memory: one record; one notebook. Closing: closes the file. Errors: what cannot be read is a Quarantined
    in its place, and behind one that stands for the file itself nothing comes.
    """
    # A name such as ".csv" is all ending.
    read = _KINDS[source[source.rfind(".") :].lower()]
    try:
        with Owned() as owned:
            yield from owned.take(read(path, source, encoding))
    except (OSError, ValueError) as error:
        yield reading_failed(source, error)


def _rows(path: str, source: str, encoding: str) -> Iterator[Loaded]:
    rows = make_csv_source(path, encoding=_bounded(path, encoding), on_error="collect")
    yield from _numbered(rows, f"{source}#row-", lambda row: (_fields(row.items()), {}))


def _values(path: str, source: str, encoding: str) -> Iterator[Loaded]:
    values = make_jsonl_source(path, encoding=_bounded(path, encoding), on_error="collect")
    yield from _numbered(values, f"{source}#line-", _value_text)


def _numbered(
    records: Callable[[], Iterable[Any]], prefix: str, told: Callable[[Any], tuple[str, Mapping[str, str]]]
) -> Iterator[Loaded]:
    with Owned() as owned:
        for number, record in enumerate(owned.called(records), 1):
            name = f"{prefix}{number}"
            if isinstance(record, Err):
                yield reading_failed(name, record.error)
            else:
                try:
                    text, metadata = told(record)
                except RecursionError:  # what can just be read may be too deep to be written
                    yield Quarantined(name, "nested too deeply")
                    continue
                yield RawDoc(name, text, name, metadata)


def _fields(fields: Iterable[tuple[str, object]]) -> str:
    return "".join(f"{name}: {value}\n" for name, value in fields if value not in ("", None))


def _value_text(value: Any) -> tuple[str, Mapping[str, str]]:
    if isinstance(value, str):
        return value, {}
    if not isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False), {}
    key = next((key for key in TEXT_KEYS if isinstance(value.get(key), str)), None)
    if key is None:
        return _fields((name, _plain(one)) for name, one in value.items()), {}
    rest = {name: _plain(one) for name, one in value.items() if name != key}
    return value[key], {name: one for name, one in rest.items() if len(one) <= 1000}


def _plain(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _bounded(path: str, encoding: str) -> Callable[[BufferedReader], str]:
    """The file's encoding, found after its longest line: a record is held whole."""

    def found(file: BufferedReader) -> str:
        length, number = 0, 1
        while data := file.read(65536):
            for place, part in enumerate(data.split(b"\n")):
                if place:
                    number, length = number + 1, 0
                length += len(part)
                if length > LONGEST_LINE:
                    raise NotText(f"line {number:,} is longer than {LONGEST_LINE:,} bytes")
        file.seek(0)
        return encoding_of(file, path, encoding)

    return found


def _cells(path: str, source: str, encoding: str) -> Iterator[Loaded]:
    size = os.path.getsize(path)
    if size > LARGEST_NOTEBOOK:
        raise NotText(f"a notebook of {size:,} bytes; {LARGEST_NOTEBOOK:,} is the limit")
    text = make_text_source(path, encoding=lambda file: encoding_of(file, path, encoding))
    with Owned() as owned:
        whole = "".join(owned.called(text))
    try:
        notebook = json.loads(whole)
    except json.JSONDecodeError as error:
        reason = f"not a notebook: no JSON, {error.msg} at column {error.colno}"
        yield Quarantined(source, reason, error.lineno)
        return
    except RecursionError:
        raise NotText("not a notebook: nested too deeply") from None
    cells = notebook.get("cells") if isinstance(notebook, dict) else None
    if not isinstance(cells, list):
        raise NotText("not a notebook: it has no list of cells (nbformat 4)")
    language = _language(notebook)
    for number, cell in enumerate(cells, 1):
        name = f"{source}#cell-{number}"
        kind = cell.get("cell_type") if isinstance(cell, dict) else None
        words = _joined(cell.get("source")) if isinstance(cell, dict) else None
        if not isinstance(kind, str) or words is None:
            yield Quarantined(name, "not a cell: it has no type, or no source")
        elif words.strip():
            form = {"markdown": ".md", "code": language}.get(kind)
            yield RawDoc(name, words, name, {"cell": kind, **({FORMAT: form} if form else {})})


def _language(notebook: dict[str, Any]) -> str:
    metadata = notebook.get("metadata")
    info = metadata.get("language_info") if isinstance(metadata, dict) else None
    name = info.get("name", "python") if isinstance(info, dict) else "python"
    return ".py" if name == "python" else ".txt"


def _joined(words: object) -> str | None:
    if isinstance(words, str):
        return words
    if isinstance(words, list) and all(isinstance(line, str) for line in words):
        return "".join(words)
    return None


_KINDS = {".csv": _rows, ".jsonl": _values, ".ipynb": _cells}
