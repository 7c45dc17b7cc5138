"""Write an index: one document after another, each whole or not at all, in groups that commit together.

A document replaces its last version in the same transaction. Nothing here decides what is written; that is
ingest.py.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from hashlib import blake2b
from typing import Any, NamedTuple

from .index import (
    APPLICATION,
    SCHEMA,
    TABLES,
    IndexBusy,
    IndexMismatch,
    IndexProblem,
    NoIndex,
    NotAnIndex,
    check_ours,
    content_hash,
    not_ours,
    refuse_no_file,
)

# A document's text goes into the second full-text view in sections of at most this many characters.
SECTION = 1 << 20

# Settings that may change between two builds: what they change shows in the documents themselves.
MOVABLE = ("roots", "encoding")


class ChunkRow(NamedTuple):
    """A chunk on its way into the index."""

    text: str
    raw: str
    start: int
    stop: int
    shared: int
    heading: str


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
        refuse_no_file(self.path)
        folder = os.path.dirname(self.path) or "."
        if not os.path.isdir(folder):
            raise NoIndex(f"there is no folder {folder} to put the index in")
        # An absolute path is a file's, whatever its name: ":memory:" would else be none.
        try:
            self.connection = sqlite3.connect(
                os.path.abspath(self.path), timeout=patience, isolation_level=None
            )
        except sqlite3.OperationalError as error:
            raise _unwritable(self.path, error) from None
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
            raise not_ours(self.path, error) from None
        if tables:
            check_ours(self.connection, self.path, any_version=rebuild)
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
                for statement in _statements(TABLES):
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
                raise IndexBusy(
                    f"another build of {self.path} has begun since, and this one stops here; "
                    "when that is done, run it again"
                )

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


def chunk_id(source: str, start: int, text_hash: bytes) -> bytes:
    """The id of a chunk: where it is from and what it says, 16 bytes.

    >>> chunk_id("a.md", 0, content_hash("abc")) == chunk_id("a.md", 0, content_hash("abc"))
    True
    >>> chunk_id("a.md", 1, content_hash("abc")) == chunk_id("a.md", 0, content_hash("abc"))
    False
    """
    return blake2b(f"{source}\0{start}\0".encode() + text_hash, digest_size=16).digest()


def _unwritable(path: str, error: sqlite3.OperationalError) -> IndexProblem:
    if "locked" in str(error):
        return IndexBusy(f"another build is writing to {path}; wait until it is done")
    return NotAnIndex(
        f"{path} cannot be written ({error}); you must be allowed to write to it and its folder"
    )


def _statements(script: str) -> Iterator[str]:
    # executescript() would commit what is open.
    yield from (statement for statement in script.split(";\n") if statement.strip())


def _empty(connection: sqlite3.Connection) -> None:
    for kind in ("view", "virtual", "table"):
        for name, sql in connection.execute("SELECT name, sql FROM sqlite_master").fetchall():
            if sql and sql.upper().startswith(f"CREATE {kind.upper()}") and not name.startswith("sqlite_"):
                thing = "VIEW" if kind == "view" else "TABLE"
                connection.execute(f'DROP {thing} IF EXISTS "{name}"')
