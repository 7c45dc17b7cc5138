"""The index: one SQLite file that holds documents, passages, full text, quarantine and runs.

A document is written whole or not at all. Ids are content, so the same corpus gives the same ids wherever and
however often it is indexed. One writer at a time; readers go on reading while it works.
"""

from __future__ import annotations

import json
import os
import sqlite3
from array import array
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from hashlib import blake2b
from typing import Any
from urllib.parse import quote

from .cleaning import clean
from .embedding import Vector

SCHEMA = 2

# Says in the file's header whose it is ("FPRG"), so that nobody else's database is ever written to.
APPLICATION = 0x46505247

# What is stored has a state, and the views that queries read show what is ready: a document that takes several
# transactions to write, or to remove, is there whole or not at all.
TABLES = """
CREATE TABLE setting (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE run (
    id INTEGER PRIMARY KEY,
    state TEXT NOT NULL,              -- running, complete, interrupted, failed, killed
    started REAL NOT NULL,            -- seconds since 1970
    finished REAL,
    counts TEXT NOT NULL DEFAULT '{}'
);
CREATE TABLE stored_document (
    id INTEGER PRIMARY KEY,
    source TEXT NOT NULL,
    hash BLOB NOT NULL,               -- of the raw text
    characters INTEGER NOT NULL,      -- of raw text
    chunks INTEGER NOT NULL,
    metadata TEXT NOT NULL,
    stale TEXT,                       -- why a later run could not read it, if so
    state TEXT NOT NULL               -- ready, arriving, leaving
);
CREATE UNIQUE INDEX document_source ON stored_document(source) WHERE state = 'ready';
CREATE INDEX document_unready ON stored_document(state) WHERE state <> 'ready';
CREATE TABLE stored_section (
    id INTEGER PRIMARY KEY,
    document INTEGER NOT NULL
);
CREATE TABLE stored_chunk (
    id INTEGER PRIMARY KEY,           -- a document's chunks have consecutive ids
    chunk_id BLOB NOT NULL,
    document INTEGER NOT NULL,
    section INTEGER NOT NULL,
    ordinal INTEGER NOT NULL,
    start INTEGER NOT NULL,           -- code points into the raw text
    stop INTEGER NOT NULL,
    shared INTEGER NOT NULL,          -- leading characters of text that the chunk before has too
    heading TEXT NOT NULL,
    text TEXT NOT NULL,
    text_hash BLOB NOT NULL,
    raw TEXT,                         -- the raw slice, where it differs from the text
    raw_hash BLOB NOT NULL
);
CREATE INDEX chunk_document ON stored_chunk(document, section, ordinal);
CREATE INDEX section_document ON stored_section(document);
CREATE TABLE vector (
    id INTEGER PRIMARY KEY,           -- so that vectors are added at the end, and only their hashes are put in order
    embedder TEXT NOT NULL,           -- its fingerprint
    text_hash BLOB NOT NULL,
    numbers BLOB NOT NULL,            -- float32, in this machine's byte order
    UNIQUE (text_hash, embedder)
);
CREATE TABLE staged_chunk (           -- of a document too large for one transaction, until all of it is here
    ordinal INTEGER PRIMARY KEY,
    start INTEGER NOT NULL,
    stop INTEGER NOT NULL,
    shared INTEGER NOT NULL,
    heading TEXT NOT NULL,
    text TEXT NOT NULL,
    raw TEXT NOT NULL
);
CREATE TABLE quarantine (
    source TEXT PRIMARY KEY,
    reason TEXT NOT NULL,
    line INTEGER,
    run INTEGER NOT NULL
) WITHOUT ROWID;
CREATE VIEW document AS
    SELECT id, source, hash, characters, chunks, metadata, stale FROM stored_document WHERE state = 'ready';
CREATE VIEW section AS
    SELECT stored_section.* FROM stored_section JOIN document ON document.id = stored_section.document;
CREATE VIEW chunk AS
    SELECT stored_chunk.* FROM stored_chunk JOIN document ON document.id = stored_chunk.document;
CREATE VIEW chunk_view AS
    SELECT stored_chunk.id AS id, stored_document.source || ' ' || heading AS header, text AS body
    FROM stored_chunk JOIN stored_document ON stored_document.id = stored_chunk.document;
CREATE VIEW section_view AS
    SELECT stored_section.id AS id, source AS header,
           (SELECT group_concat(substr(text, shared + 1), '')
            FROM (SELECT text, shared FROM stored_chunk
                  WHERE stored_chunk.document = stored_section.document AND section = stored_section.id
                  ORDER BY ordinal)) AS body
    FROM stored_section JOIN stored_document ON stored_document.id = stored_section.document;
CREATE VIRTUAL TABLE chunk_words USING fts5(
    header, body, content='chunk_view', content_rowid='id', tokenize='porter unicode61');
CREATE VIRTUAL TABLE section_words USING fts5(
    header, body, content='section_view', content_rowid='id', tokenize='porter unicode61');
"""

# Where a rebuild is made, beside the index that it will replace.
BESIDE = ".rebuild"


class IndexProblem(Exception):
    """An index that cannot be used as asked; the message says why, and what to do."""


class NoIndex(IndexProblem):
    """There is no index at this path."""


class NotAnIndex(IndexProblem):
    """The file is something else, or is damaged."""


class IndexMismatch(IndexProblem):
    """The index was built with other settings, or by another version."""


class IndexBusy(IndexProblem):
    """Another build is writing to the index."""


def content_hash(text: str) -> bytes:
    """16 bytes that stand for a text.

    >>> content_hash("").hex()
    'cae66941d9efbd404e4d88758ea67670'
    """
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


class Index:
    """An index, open for reading. Use as a context manager, or close it.

    Any number may be open while a build is writing; each sees the last commit. Errors: NoIndex, NotAnIndex
    and IndexMismatch (an index of another version), OSError for a file that may not be read, when it is opened.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        refuse_no_file(self.path)
        if not os.path.exists(self.path):
            raise NoIndex(
                f"there is no index at {self.path}; make one: funcpipe-rag build FOLDER --index {self.path}"
            )
        self.derived: dict[str, Any] = {}  # what a search has opened beside the file, to use again
        self.connection = _reading(self.path)
        try:
            check_ours(self.connection, self.path)
        except BaseException:
            self.connection.close()
            raise

    def __enter__(self) -> Index:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; may be called again."""
        self.connection.close()

    def rows(self, sql: str, values: Sequence[object] = ()) -> Iterator[tuple[Any, ...]]:
        """The rows of a query, as they are read."""
        return iter(self.connection.execute(sql, values))

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Queries within see one and the same commit, whatever a build writes meanwhile."""
        if self.connection.in_transaction:
            yield
            return
        self.connection.execute("BEGIN")
        try:
            yield
        finally:
            # A stream of answers may outlive the index it came from; closing the file has ended this already.
            with suppress(sqlite3.ProgrammingError):
                self.connection.execute("COMMIT")

    def settings(self) -> dict[str, Any]:
        """What the index was built with."""
        return {name: json.loads(value) for name, value in self.rows("SELECT name, value FROM setting")}

    def counts(self) -> dict[str, int]:
        """How many documents, stale ones among them, chunks and quarantined documents there are."""
        [(documents, stale, characters)] = self.rows(
            "SELECT count(*), count(stale), coalesce(sum(characters), 0) FROM document"
        )
        [(chunks,)] = self.rows("SELECT coalesce(sum(chunks), 0) FROM document")
        [(quarantined,)] = self.rows("SELECT count(*) FROM quarantine")
        return {
            "documents": documents,
            "stale": stale,
            "characters": characters,
            "chunks": chunks,
            "quarantined": quarantined,
        }

    def chunk_ids(self) -> Iterator[bytes]:
        """The ids of all chunks, in their own order."""
        return (row[0] for row in self.rows("SELECT chunk_id FROM chunk ORDER BY chunk_id"))

    def check(self) -> Iterator[str]:
        """What is wrong with the file, found by reading all of it and making every hash again; nothing if it is sound."""
        for (found,) in self.rows("PRAGMA integrity_check"):
            if found != "ok":
                yield str(found)
        with self.snapshot():
            yield from self._check_counts()
            yield from self._check_chunks()
            yield from self._check_vectors()
        yield from self._check_words()

    def _check_words(self) -> Iterator[str]:
        # FTS5 compares its words with the texts only for who may write.
        address = reading_address(self.path).replace("?mode=ro", "?mode=rw")
        for words in ("chunk_words", "section_words"):
            try:
                with closing(
                    sqlite3.connect(address, uri=True, timeout=1, isolation_level=None)
                ) as connection:
                    connection.execute(f"INSERT INTO {words} ({words}, rank) VALUES ('integrity-check', 1)")
            except sqlite3.OperationalError:
                return
            except sqlite3.DatabaseError as error:
                yield f"the full text in {words} is not that of the index ({error})"

    def _check_counts(self) -> Iterator[str]:
        for source, wanted, counted in self.rows(
            "SELECT source, chunks, (SELECT count(*) FROM stored_chunk WHERE document = document.id) FROM document"
        ):
            if counted != wanted:
                yield f"{source}: has {counted} chunks, wants {wanted}"
        for words, things in (("chunk_words", "stored_chunk"), ("section_words", "stored_section")):
            for one, in_, other in (
                (things, "not in the full text", f"{words}_docsize"),
                (f"{words}_docsize", "only in the full text", things),
            ):
                [(lost,)] = self.rows(f"SELECT count(*) FROM {one} WHERE id NOT IN (SELECT id FROM {other})")
                if lost:
                    yield f"{lost} {things.removeprefix('stored_')}s are {in_}"
        [(strays,)] = self.rows(
            "SELECT count(*) FROM stored_chunk WHERE document NOT IN (SELECT id FROM stored_document)"
        )
        if strays:
            yield f"{strays} chunks belong to no document"

    def _check_chunks(self) -> Iterator[str]:
        settings = self.settings()
        padded = settings["chunk_size"] if settings.get("tail") == "pad" else 0
        document, reached, ordinal = -1, 0, 0
        for id_, source, made, number, start, stop, text, text_hash, raw, raw_hash in self.rows(
            "SELECT document.id, source, chunk_id, ordinal, start, stop, text, text_hash, coalesce(raw, text), raw_hash "
            "FROM stored_chunk JOIN document ON document.id = stored_chunk.document ORDER BY stored_chunk.document, section, ordinal"
        ):
            if id_ != document:
                document, reached, ordinal = id_, 0, 0
            where = f"{source}:{start}-{stop}"
            if content_hash(text) != text_hash or content_hash(raw) != raw_hash:
                yield f"{where}: its text is not what was written"
            elif chunk_id(source, start, text_hash) != made:
                yield f"{where}: its id is not that of its text"
            elif text not in (clean(raw), clean(raw).ljust(padded)):
                yield f"{where}: its text is not its raw text, cleaned"
            if number != ordinal or start > reached or stop <= start:
                yield f"{where}: it does not follow the chunk before it"
            reached, ordinal = stop, ordinal + 1

    def _check_vectors(self) -> Iterator[str]:
        embedder = self.settings().get("embedder")
        if embedder is None:
            return
        [(without, lengths)] = self.rows(
            "SELECT count(*) - count(numbers), count(DISTINCT length(numbers)) FROM chunk "
            "LEFT JOIN vector ON vector.embedder = ? AND vector.text_hash = chunk.text_hash",
            (embedder,),
        )
        if without:
            yield f"{without} chunks have no vector"
        if lengths > 1:
            yield f"vectors have {lengths} different lengths"

    def vector(self, chunk_id: bytes) -> Vector | None:
        """The vector of a chunk; None if the index was built without an embedder."""
        for (numbers,) in self.rows(
            "SELECT numbers FROM chunk JOIN vector ON vector.text_hash = chunk.text_hash "
            "AND vector.embedder = (SELECT json_extract(value, '$') FROM setting WHERE name = 'embedder') "
            "WHERE chunk_id = ?",
            (chunk_id,),
        ):
            vector: Vector = array("f")
            vector.frombytes(numbers)
            return vector
        return None


def chunk_id(source: str, start: int, text_hash: bytes) -> bytes:
    """The id of a chunk: where it is from and what it says, 16 bytes.

    >>> chunk_id("a.md", 0, content_hash("abc")) == chunk_id("a.md", 0, content_hash("abc"))
    True
    >>> chunk_id("a.md", 1, content_hash("abc")) == chunk_id("a.md", 0, content_hash("abc"))
    False
    """
    return blake2b(f"{source}\0{start}\0".encode() + text_hash, digest_size=16).digest()


def stored_settings(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The settings of the index at a path; empty if there is none, or none that can be read."""
    try:
        with Index(path) as index:
            return index.settings()
    except (IndexProblem, sqlite3.Error, OSError):
        return {}


def refuse_no_file(path: str) -> None:
    """NotAnIndex for a path that is no file's, OSError for a file that may not be read; nothing else."""
    if not path:
        raise NotAnIndex("an index is one file, and needs a name; got ''")
    if os.path.isdir(path):
        raise NotAnIndex(f"{path} is a folder; an index is one file")
    if os.path.exists(path):
        # SQLite would wait for ever on a pipe, and says of a forbidden file only that it cannot open it.
        if not os.path.isfile(path):
            raise NotAnIndex(f"{path} is a pipe or a device; an index is one file")
        with open(path, "rb"):
            pass


def reading_address(path: str) -> str:
    """The address by which SQLite opens a file for reading and makes none."""
    return f"file:{quote(os.path.abspath(path))}?mode=ro"


def _reading(path: str) -> sqlite3.Connection:
    address = reading_address(path)
    connection = sqlite3.connect(address, uri=True, isolation_level=None)
    try:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.OperationalError:
        connection.close()
        # A WAL index in a folder that may not be written to: nobody else can be writing there either.
        if os.path.exists(f"{path}-wal"):
            raise NotAnIndex(
                f"{path} cannot be read: its -wal file needs a folder that can be written to"
            ) from None
        connection = sqlite3.connect(f"{address}&immutable=1", uri=True, isolation_level=None)
    except sqlite3.DatabaseError as error:
        connection.close()
        raise not_ours(path, error) from None
    return connection


def check_ours(connection: sqlite3.Connection, path: str, *, any_version: bool = False) -> None:
    """NotAnIndex or IndexMismatch unless an open database is an index, of this version (or of any)."""
    try:
        [(application,)] = connection.execute("PRAGMA application_id")
        [(schema,)] = connection.execute("PRAGMA user_version")
    except sqlite3.DatabaseError as error:
        raise not_ours(path, error) from None
    if application != APPLICATION:
        raise NotAnIndex(f"{path} is not an index of funcpipe-rag; choose another --index")
    if schema != SCHEMA and not any_version:
        raise IndexMismatch(
            f"{path} has the format {schema}, this version writes {SCHEMA}; build it anew with --rebuild"
        )


def not_ours(path: str, error: sqlite3.Error) -> NotAnIndex:
    """What to say of a file that is no database, or no longer one."""
    return NotAnIndex(
        f"{path} is not an index of funcpipe-rag, or is damaged ({error}); choose another --index"
    )
