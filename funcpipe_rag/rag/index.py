"""The index: one SQLite file that holds documents, passages, full text, quarantine and runs.

A document is written whole or not at all. Ids are content, so the same corpus gives the same ids wherever and
however often it is indexed. One writer at a time; readers go on reading while it works.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from hashlib import blake2b
from typing import Any, NamedTuple
from urllib.parse import quote

SCHEMA = 1

# Says in the file's header whose it is ("FPRG"), so that nobody else's database is ever written to.
APPLICATION = 0x46505247

# A document's text goes into the second full-text view in sections of at most this many characters.
SECTION = 1 << 20

_SCHEMA = """
CREATE TABLE setting (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE run (
    id INTEGER PRIMARY KEY,
    state TEXT NOT NULL,              -- running, complete, interrupted, failed, killed
    started REAL NOT NULL,            -- seconds since 1970
    finished REAL,
    counts TEXT NOT NULL DEFAULT '{}'
);
CREATE TABLE document (
    id INTEGER PRIMARY KEY,
    source TEXT NOT NULL UNIQUE,
    hash BLOB NOT NULL,               -- of the raw text
    characters INTEGER NOT NULL,      -- of raw text
    chunks INTEGER NOT NULL,
    metadata TEXT NOT NULL,
    stale TEXT                        -- why a later run could not read it, if so
);
CREATE TABLE section (
    id INTEGER PRIMARY KEY,
    document INTEGER NOT NULL REFERENCES document(id)
);
CREATE TABLE chunk (
    id INTEGER PRIMARY KEY,           -- a document's chunks have consecutive ids
    chunk_id BLOB NOT NULL UNIQUE,
    document INTEGER NOT NULL REFERENCES document(id),
    section INTEGER NOT NULL REFERENCES section(id),
    ordinal INTEGER NOT NULL,
    start INTEGER NOT NULL,           -- code points into the raw text
    stop INTEGER NOT NULL,
    shared INTEGER NOT NULL,          -- leading characters of text that the chunk before has too
    heading TEXT NOT NULL,
    text TEXT NOT NULL,
    raw TEXT,                         -- the raw slice, where it differs from the text
    raw_hash BLOB NOT NULL
);
CREATE INDEX chunk_document ON chunk(document, ordinal);
CREATE INDEX section_document ON section(document);
CREATE TABLE quarantine (
    source TEXT PRIMARY KEY,
    reason TEXT NOT NULL,
    line INTEGER,
    run INTEGER NOT NULL
) WITHOUT ROWID;
CREATE VIEW chunk_view AS
    SELECT chunk.id AS id, document.source || ' ' || heading AS header, text AS body
    FROM chunk JOIN document ON document.id = chunk.document;
CREATE VIEW section_view AS
    SELECT section.id AS id, source AS header,
           (SELECT group_concat(substr(text, shared + 1), '')
            FROM (SELECT text, shared FROM chunk WHERE chunk.section = section.id ORDER BY ordinal)) AS body
    FROM section JOIN document ON document.id = section.document;
CREATE VIRTUAL TABLE chunk_words USING fts5(
    header, body, content='chunk_view', content_rowid='id', tokenize='porter unicode61');
CREATE VIRTUAL TABLE section_words USING fts5(
    header, body, content='section_view', content_rowid='id', tokenize='porter unicode61');
"""


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


def chunk_id(source: str, start: int, text_hash: bytes) -> bytes:
    """The id of a chunk: where it is from and what it says, 16 bytes.

    >>> chunk_id("a.md", 0, content_hash("abc")) == chunk_id("a.md", 0, content_hash("abc"))
    True
    >>> chunk_id("a.md", 1, content_hash("abc")) == chunk_id("a.md", 0, content_hash("abc"))
    False
    """
    return blake2b(f"{source}\0{start}\0".encode() + text_hash, digest_size=16).digest()


class ChunkRow(NamedTuple):
    """A chunk on its way into the index."""

    text: str
    raw: str
    start: int
    stop: int
    shared: int
    heading: str


class Index:
    """An index, open for reading. Use as a context manager, or close it.

    Any number may be open while a build is writing; each sees the last commit. Errors: NoIndex, NotAnIndex
    and IndexMismatch (an index of another version) when it is opened.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        if not os.path.exists(self.path):
            raise NoIndex(
                f"there is no index at {self.path}; make one: funcpipe-rag build FOLDER --index {self.path}"
            )
        if os.path.isdir(self.path):
            raise NotAnIndex(f"{self.path} is a folder; an index is one file")
        self.connection = _reading(self.path)
        try:
            _check_ours(self.connection, self.path)
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

    def check(self) -> list[str]:
        """What is wrong with the file, found by reading all of it; empty if nothing is."""
        found = [str(row[0]) for row in self.rows("PRAGMA integrity_check") if row[0] != "ok"]
        found += [
            f"document {source}: {counted} chunks, wants {wanted}"
            for source, wanted, counted in self.rows(
                "SELECT source, chunks, (SELECT count(*) FROM chunk WHERE document = document.id) "
                "FROM document"
            )
            if counted != wanted
        ]
        for words, things in (("chunk_words", "chunk"), ("section_words", "section")):
            [(indexed,)] = self.rows(f"SELECT count(*) FROM {words}_docsize")
            [(stored,)] = self.rows(f"SELECT count(*) FROM {things}")
            if indexed != stored:
                found.append(f"full text of {indexed} {things}s, wants {stored}")
        return found


class Known(NamedTuple):
    """A document that the index has: its row, the hash of its raw text, why it is stale (or None)."""

    id: int
    hash: bytes
    stale: str | None


class IndexWriter:
    """The one writer of an index. Between `begin` and `commit` lies a group of whole documents.

    It holds no lock between groups, but a second build cannot slip in unseen: every group checks that the run
    is still the last. Errors: IndexProblem of the kind that fits, OSError where the file cannot be made.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        settings: Mapping[str, Any],
        *,
        rebuild: bool = False,
        patience: float = 1.0,
        now: float = 0.0,
    ) -> None:
        self.path = os.fspath(path)
        if os.path.isdir(self.path):
            raise NotAnIndex(f"{self.path} is a folder; an index is one file")
        folder = os.path.dirname(self.path) or "."
        if not os.path.isdir(folder):
            raise NoIndex(f"there is no folder {folder} to put the index in")
        try:
            self.connection = sqlite3.connect(self.path, timeout=patience, isolation_level=None)
        except sqlite3.Error as error:
            raise NotAnIndex(f"{self.path} cannot be opened for writing: {error}") from None
        try:
            self._prepare(settings, rebuild, now)
        except BaseException:
            self.connection.close()
            raise

    def _prepare(self, settings: Mapping[str, Any], rebuild: bool, now: float) -> None:
        execute = self.connection.execute
        try:
            [(tables,)] = execute("SELECT count(*) FROM sqlite_master")
        except sqlite3.OperationalError as error:
            raise _unwritable(self.path, error) from None
        except sqlite3.DatabaseError as error:
            raise _not_ours(self.path, error) from None
        if tables:
            _check_ours(self.connection, self.path, any_version=rebuild)
        try:
            execute("PRAGMA journal_mode = WAL")
            execute("PRAGMA synchronous = NORMAL")
            execute("PRAGMA cache_size = -8000")
            self.run = 0
            self.in_document = False
            self.begin()
            [(tables,)] = execute("SELECT count(*) FROM sqlite_master")
            if tables and rebuild:
                _empty(self.connection)
                tables = 0
            if not tables:
                for statement in _statements(_SCHEMA):
                    execute(statement)
                execute(f"PRAGMA application_id = {APPLICATION}")
                execute(f"PRAGMA user_version = {SCHEMA}")
            self._agree(settings)
            execute("UPDATE run SET state = 'killed', finished = ? WHERE state = 'running'", (now,))
            self.run = int(
                execute("INSERT INTO run (state, started) VALUES ('running', ?)", (now,)).lastrowid or 0
            )
            self.commit()
            execute("CREATE TEMP TABLE seen (id INTEGER PRIMARY KEY)")
        except sqlite3.OperationalError as error:
            raise _unwritable(self.path, error) from None
        except sqlite3.DatabaseError as error:
            raise NotAnIndex(f"{self.path} is damaged ({error}); delete it and build it again") from None

    def _agree(self, settings: Mapping[str, Any]) -> None:
        stored = {name: json.loads(value) for name, value in self.connection.execute("SELECT * FROM setting")}
        differ = [
            f"{name} {stored[name]!r} there, {value!r} asked for"
            for name, value in settings.items()
            if name in stored and name not in MOVABLE and stored[name] != value
        ]
        if differ:
            raise IndexMismatch(
                f"{self.path} was built differently ({'; '.join(differ)}). "
                "Build it anew with --rebuild, or choose another --index"
            )
        self.connection.executemany(
            "INSERT OR REPLACE INTO setting VALUES (?, ?)",
            [(name, json.dumps(value)) for name, value in settings.items()],
        )

    def begin(self) -> None:
        """Begin a group; IndexBusy if another build is writing, or has begun since."""
        try:
            self.connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if "locked" in str(error):
                raise IndexBusy(f"another build is writing to {self.path}; wait until it is done") from None
            raise
        if self.run:
            [(last,)] = self.connection.execute("SELECT max(id) FROM run")
            if last != self.run:
                self.connection.execute("ROLLBACK")
                self.run = 0
                raise IndexBusy(f"another build of {self.path} has begun since; this one stops here")

    def commit(self) -> None:
        """End a group: all of it is durable from here."""
        self.connection.execute("COMMIT")

    def rollback(self) -> None:
        """Forget the group, if one is open."""
        if self.connection.in_transaction:
            self.connection.execute("ROLLBACK")
        self.in_document = False

    @property
    def in_group(self) -> bool:
        """Whether a group is open."""
        return self.connection.in_transaction

    def known(self, source: str) -> Known | None:
        """What the index has of a document."""
        sql = "SELECT id, hash, stale FROM document WHERE source = ?"
        found = self.connection.execute(sql, (source,)).fetchone()
        return found and Known(*found)

    def see(self, document: int) -> bool:
        """Note that the corpus still has this document; False if this run has seen it before."""
        noted = self.connection.execute("INSERT OR IGNORE INTO temp.seen VALUES (?)", (document,))
        return noted.rowcount == 1

    def put(self, source: str, hash_: bytes, metadata: Mapping[str, str], chunks: Iterable[ChunkRow]) -> int:
        """Write a document in place of its last version; returns how many chunks it has.

        Memory: one section of text and the chunks that SQLite has not flushed. Closing: leaves `chunks` open.
        """
        execute = self.connection.execute
        known = self.known(source)
        if known is not None:
            self.remove(known.id)
        self.in_document = True
        document = execute(
            "INSERT INTO document (id, source, hash, characters, chunks, metadata) VALUES (?, ?, ?, 0, 0, ?)",
            (known.id if known else None, source, hash_, json.dumps(dict(metadata))),
        ).lastrowid
        [(chunk,)] = execute("SELECT coalesce(max(id), 0) FROM chunk")
        section: int | None = None
        words: list[str] = []
        size = count = stop = 0
        for count, row in enumerate(chunks, 1):
            fresh = row.text[row.shared :]
            if section is None or size + len(fresh) > SECTION:
                self._index_section(section, source, words)
                section, size = execute("INSERT INTO section (document) VALUES (?)", (document,)).lastrowid, 0
            words.append(fresh)
            size += len(fresh)
            chunk += 1
            stop = row.stop
            execute(
                "INSERT INTO chunk VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    chunk,
                    chunk_id(source, row.start, content_hash(row.text)),
                    document,
                    section,
                    count - 1,
                    row.start,
                    row.stop,
                    row.shared,
                    row.heading,
                    row.text,
                    None if row.raw == row.text else row.raw,
                    content_hash(row.raw),
                ),
            )
            execute(
                "INSERT INTO chunk_words (rowid, header, body) VALUES (?, ?, ?)",
                (chunk, f"{source} {row.heading}", row.text),
            )
        self._index_section(section, source, words)
        execute("UPDATE document SET chunks = ?, characters = ? WHERE id = ?", (count, stop, document))
        execute("DELETE FROM quarantine WHERE source = ?", (source,))
        self.see(document or 0)
        self.in_document = False
        return count

    def _index_section(self, section: int | None, source: str, words: list[str]) -> None:
        if section is not None:
            self.connection.execute(
                "INSERT INTO section_words (rowid, header, body) VALUES (?, ?, ?)",
                (section, source, "".join(words)),
            )
        words.clear()

    def remove(self, document: int) -> None:
        """Take a document out, with all that hangs on it."""
        self.in_document = True
        execute = self.connection.execute
        # The full text holds no copy of its own, so it must be told what it is to forget.
        for words, view, things in (
            ("chunk_words", "chunk_view", "chunk"),
            ("section_words", "section_view", "section"),
        ):
            execute(
                f"INSERT INTO {words} ({words}, rowid, header, body) SELECT 'delete', id, header, body "
                f"FROM {view} WHERE id IN (SELECT id FROM {things} WHERE document = ?)",
                (document,),
            )
        for table, column in (("chunk", "document"), ("section", "document"), ("document", "id")):
            execute(f"DELETE FROM {table} WHERE {column} = ?", (document,))
        self.in_document = False

    def freshen(self, document: int, source: str) -> None:
        """A document that could not be read can be read again, and is as it was."""
        self.connection.execute("UPDATE document SET stale = NULL WHERE id = ?", (document,))
        self.connection.execute("DELETE FROM quarantine WHERE source = ?", (source,))

    def quarantine(self, source: str, reason: str, line: int | None, *, stale: bool = True) -> int:
        """Note a document that cannot be read; its last version stays and is stale.

        A source that ends in "/" is a folder, and stands for all that the index has from it. Returns how many
        documents are stale because of it.
        """
        execute = self.connection.execute
        execute("INSERT OR REPLACE INTO quarantine VALUES (?, ?, ?, ?)", (source, reason, line, self.run))
        if not stale:
            return 0
        if source.endswith("/"):
            # "0" comes right after "/": all sources that begin with the folder's name lie between the two.
            where, values = "source >= ? AND source < ?", (source, source[:-1] + "0")
        else:
            where, values = "source = ? AND ? IS NOT NULL", (source, source)
        execute(f"INSERT OR IGNORE INTO temp.seen SELECT id FROM document WHERE {where}", values)
        return execute(f"UPDATE document SET stale = ? WHERE {where}", (reason, *values)).rowcount

    def vanished(self) -> Iterator[tuple[int, str]]:
        """The documents that this run has not seen, in the order of their names; they may be removed at once."""
        sql = (
            "SELECT id, source FROM document WHERE source > ? AND id NOT IN (SELECT id FROM temp.seen) "
            "ORDER BY source LIMIT 100"
        )
        last = ""
        while gone := self.connection.execute(sql, (last,)).fetchall():
            yield from gone
            last = gone[-1][1]

    def finish(self, state: str, counts: Mapping[str, int], *, now: float) -> None:
        """Write down how the run ended; a complete one also clears quarantine of what is gone."""
        if not self.run:
            return
        self.begin()
        if state == "complete":
            self.connection.execute("DELETE FROM quarantine WHERE run < ?", (self.run,))
        self.connection.execute(
            "UPDATE run SET state = ?, finished = ?, counts = ? WHERE id = ?",
            (state, now, json.dumps(dict(counts)), self.run),
        )
        self.commit()

    def close(self) -> None:
        """Close the file; what was not committed is gone."""
        self.connection.close()


# Settings that may change between two builds: what they change shows in the documents themselves.
MOVABLE = ("roots", "encoding")


def stored_settings(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The settings of the index at a path; empty if there is none, or none that can be read."""
    try:
        with Index(path) as index:
            return index.settings()
    except (IndexProblem, sqlite3.Error):
        return {}


def _reading(path: str) -> sqlite3.Connection:
    address = f"file:{quote(os.path.abspath(path))}?mode=ro"
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
        raise _not_ours(path, error) from None
    return connection


def _check_ours(connection: sqlite3.Connection, path: str, *, any_version: bool = False) -> None:
    try:
        [(application,)] = connection.execute("PRAGMA application_id")
        [(schema,)] = connection.execute("PRAGMA user_version")
    except sqlite3.DatabaseError as error:
        raise _not_ours(path, error) from None
    if application != APPLICATION:
        raise NotAnIndex(f"{path} is not an index of funcpipe-rag; choose another --index")
    if schema != SCHEMA and not any_version:
        raise IndexMismatch(
            f"{path} has the format {schema}, this version writes {SCHEMA}; build it anew with --rebuild"
        )


def _not_ours(path: str, error: sqlite3.Error) -> NotAnIndex:
    return NotAnIndex(f"{path} is not an index of funcpipe-rag ({error}); choose another --index")


def _unwritable(path: str, error: sqlite3.OperationalError) -> IndexProblem:
    if "locked" in str(error):
        return IndexBusy(f"another build is writing to {path}; wait until it is done")
    return NotAnIndex(f"{path} cannot be written: {error}")


def _statements(script: str) -> Iterator[str]:
    # executescript() would commit what is open.
    yield from (statement for statement in script.split(";\n") if statement.strip())


def _empty(connection: sqlite3.Connection) -> None:
    for kind in ("view", "virtual", "table"):
        for name, sql in connection.execute("SELECT name, sql FROM sqlite_master").fetchall():
            if sql and sql.upper().startswith(f"CREATE {kind.upper()}") and not name.startswith("sqlite_"):
                thing = "VIEW" if kind == "view" else "TABLE"
                connection.execute(f'DROP {thing} IF EXISTS "{name}"')
