"""Write an index: one document after another, each whole or not at all, in groups that commit together.

A document replaces its last version in the same transaction. One that is too large for a transaction is staged
in a side table, moved in bounded transactions while nobody sees it, and shown by the last of them. Nothing here
decides what is written; that is ingest.py.
"""

from __future__ import annotations

import json
import os
import sqlite3
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from time import time
from typing import Any, NamedTuple

from .embedding import Vector
from .fast_views import keep_fast_views
from .index import (
    APPLICATION,
    BESIDE,
    SCHEMA,
    TABLES,
    IndexBusy,
    IndexMismatch,
    IndexProblem,
    NoIndex,
    NotAnIndex,
    check_ours,
    chunk_id,
    content_hash,
    not_ours,
    reading_address,
    refuse_no_file,
)

# A document's text goes into the second full-text view in sections of at most this many characters.
SECTION = 1 << 20

# So many chunks are written, or removed, in one transaction of a document that takes several.
GROUP_CHUNKS = 512

# A document with more chunks than this takes several.
LARGE = 4096

# Settings that may change between two builds: what they change shows in the documents themselves.
MOVABLE = ("roots", "encoding", "embedder_spec", "fast_views")


class ChunkRow(NamedTuple):
    """A chunk on its way into the index."""

    text: str
    raw: str
    start: int
    stop: int
    shared: int
    heading: str


class Known(NamedTuple):
    """A document that the index has: its row, the hash of its raw text, why it is stale (or None), its chunks."""

    id: int
    hash: bytes
    stale: str | None
    chunks: int


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
        patience: float = 1.0,
        now: float = 0.0,
        first_run: int = 1,
    ) -> None:
        self.path = os.fspath(path)
        self.embedder: str | None = settings.get("embedder")
        self.run = 0
        self.connection = _opened(self.path, patience)
        try:
            self._prepare(settings, now, first_run)
        except BaseException:
            self.connection.close()
            raise

    def _prepare(self, settings: Mapping[str, Any], now: float, first_run: int) -> None:
        execute = self.connection.execute
        try:
            [(tables,)] = execute("SELECT count(*) FROM sqlite_master")
        except sqlite3.OperationalError as error:
            raise _unwritable(self.path, error) from None
        except sqlite3.DatabaseError as error:
            raise not_ours(self.path, error) from None
        if tables:
            check_ours(self.connection, self.path)
        try:
            _tune(self.connection)
            self.begin()
            [(tables,)] = execute("SELECT count(*) FROM sqlite_master")
            if not tables:
                for statement in _statements(TABLES):
                    execute(statement)
                execute(f"PRAGMA application_id = {APPLICATION}")
                execute(f"PRAGMA user_version = {SCHEMA}")
            self._agree(settings)
            execute("UPDATE run SET state = 'killed', finished = ? WHERE state = 'running'", (now,))
            [(last,)] = execute("SELECT coalesce(max(id), 0) FROM run")
            self.run = max(last + 1, first_run)
            execute("INSERT INTO run (id, state, started) VALUES (?, 'running', ?)", (self.run, now))
            self.commit()
            execute("CREATE TEMP TABLE seen (source TEXT PRIMARY KEY) WITHOUT ROWID")
            self.tidy()
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

    def known(self, source: str) -> Known | None:
        """What the index has of a document."""
        sql = "SELECT id, hash, stale, chunks FROM document WHERE source = ?"
        found = self.connection.execute(sql, (source,)).fetchone()
        return found and Known(*found)

    def see(self, source: str) -> bool:
        """Note that the corpus still has this document; False if this run has seen it before."""
        noted = self.connection.execute("INSERT OR IGNORE INTO temp.seen VALUES (?)", (source,))
        return noted.rowcount == 1

    def borrow(self, path: str) -> None:
        """Look for vectors in another index too, before they are made again."""
        with suppress(sqlite3.Error):
            self.connection.execute("ATTACH DATABASE ? AS old", (reading_address(path),))
            self.connection.execute("SELECT embedder, text_hash, numbers FROM old.vector LIMIT 1").fetchall()
            self.connection.execute(
                "CREATE TEMP VIEW borrowed AS SELECT embedder, text_hash, numbers FROM old.vector"
            )

    def without_vector(self, texts: Iterable[str]) -> list[str]:
        """Those of the texts whose vector is not there, each once; takes what can be borrowed, in the group."""
        if self.embedder is None:
            return []
        execute = self.connection.execute
        lent = execute("SELECT 1 FROM sqlite_temp_master WHERE name = 'borrowed'").fetchone()
        missing: list[str] = []
        for text in dict.fromkeys(texts):
            key = (self.embedder, content_hash(text))
            if execute("SELECT 1 FROM vector WHERE embedder = ? AND text_hash = ?", key).fetchone():
                continue
            if lent and (
                found := execute(
                    "SELECT numbers FROM temp.borrowed WHERE embedder = ? AND text_hash = ?", key
                ).fetchone()
            ):
                execute("INSERT INTO vector (embedder, text_hash, numbers) VALUES (?, ?, ?)", (*key, *found))
                continue
            missing.append(text)
        return missing

    def length(self) -> int | None:
        """How many numbers a vector of this embedder has, as far as the index knows."""
        found = self.connection.execute(
            "SELECT length(numbers) FROM vector WHERE embedder = ? LIMIT 1", (self.embedder,)
        ).fetchone()
        return found and int(found[0]) // array("f").itemsize

    def keep_vectors(self, vectors: Iterable[tuple[str, Vector]]) -> None:
        """Store the vectors of texts."""
        self.connection.executemany(
            "INSERT OR IGNORE INTO vector (embedder, text_hash, numbers) VALUES (?, ?, ?)",
            ((self.embedder, content_hash(text), vector.tobytes()) for text, vector in vectors),
        )

    def put(self, source: str, hash_: bytes, metadata: Mapping[str, str], chunks: Sequence[ChunkRow]) -> None:
        """Write a document in place of its last version, in the group that is open."""
        known = self.known(source)
        if known is not None:
            self.remove(known)
        document = self._document(source, hash_, metadata, chunks, "ready")
        writing = _Writing(self.connection, document, source)
        writing.write(chunks)
        writing.finish()
        self.connection.execute("DELETE FROM quarantine WHERE source = ?", (source,))

    def stage(self, first: int, chunks: Sequence[ChunkRow]) -> None:
        """Put chunks of a large document aside, from the ordinal `first`, in the group that is open."""
        self.connection.executemany(
            "INSERT INTO staged_chunk VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                (ordinal, row.start, row.stop, row.shared, row.heading, row.text, row.raw)
                for ordinal, row in enumerate(chunks, first)
            ),
        )

    def unstage(self) -> None:
        """Forget what was put aside."""
        # Without a condition, SQLite drops the pages whole, however many there are.
        self.connection.execute("DELETE FROM staged_chunk")

    def put_staged(self, source: str, hash_: bytes, metadata: Mapping[str, str]) -> int:
        """Write the document that was put aside in place of its last version, in transactions of its own.

        Returns how many chunks it has. Memory: one transaction's chunks and one section of text.
        """
        execute = self.connection.execute
        [(chunks, stop)] = execute("SELECT count(*), coalesce(max(stop), 0) FROM staged_chunk")
        self.begin()
        document = self._document(source, hash_, metadata, (), "arriving")
        execute(
            "UPDATE stored_document SET chunks = ?, characters = ? WHERE id = ?", (chunks, stop, document)
        )
        self.commit()
        writing = _Writing(self.connection, document, source)
        for first in range(0, chunks, GROUP_CHUNKS):
            self.begin()
            rows = execute(
                "SELECT text, raw, start, stop, shared, heading FROM staged_chunk "
                "WHERE ordinal >= ? AND ordinal < ? ORDER BY ordinal",
                (first, first + GROUP_CHUNKS),
            ).fetchall()
            writing.write(list(map(ChunkRow._make, rows)))
            if first + GROUP_CHUNKS >= chunks:
                writing.finish()
                self._show(source, document)
            self.commit()
        self.tidy()
        return int(chunks)

    def _show(self, source: str, document: int) -> None:
        execute = self.connection.execute
        execute(
            "UPDATE stored_document SET state = 'leaving' WHERE source = ? AND state = 'ready'", (source,)
        )
        execute("UPDATE stored_document SET state = 'ready' WHERE id = ?", (document,))
        execute("DELETE FROM quarantine WHERE source = ?", (source,))
        self.unstage()

    def _document(
        self, source: str, hash_: bytes, metadata: Mapping[str, str], chunks: Sequence[ChunkRow], state: str
    ) -> int:
        stop = chunks[-1].stop if chunks else 0
        row = (source, hash_, stop, len(chunks), json.dumps(dict(metadata)), state)
        return int(
            self.connection.execute(
                "INSERT INTO stored_document (source, hash, characters, chunks, metadata, state) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                row,
            ).lastrowid
            or 0
        )

    def remove(self, known: Known) -> None:
        """Take a document out, in the group that is open: nobody sees it from the commit on.

        What a large one leaves behind is for `tidy`, which takes it away in transactions of its own.
        """
        if known.chunks > LARGE:
            self.connection.execute("UPDATE stored_document SET state = 'leaving' WHERE id = ?", (known.id,))
            return
        where = f"document = {known.id}"
        self._forget("section", where)
        self._forget("chunk", where)
        self.connection.execute("DELETE FROM stored_document WHERE id = ?", (known.id,))

    def tidy(self) -> None:
        """Take away what documents that are leaving, or never arrived, have left; in transactions of its own."""
        execute = self.connection.execute
        if execute("SELECT 1 FROM staged_chunk LIMIT 1").fetchone():
            self.begin()
            self.unstage()
            self.commit()
        while found := execute("SELECT id FROM stored_document WHERE state <> 'ready' LIMIT 1").fetchone():
            [document] = found
            # A section's text is that of its chunks, so the sections go first.
            for thing, at_once in (("section", 1), ("chunk", GROUP_CHUNKS)):
                while rows := execute(
                    f"SELECT id FROM stored_{thing} WHERE document = ? ORDER BY id LIMIT ?",
                    (document, at_once),
                ).fetchall():
                    self.begin()
                    self._forget(thing, f"id BETWEEN {rows[0][0]} AND {rows[-1][0]}")
                    self.commit()
            self.begin()
            execute("DELETE FROM stored_document WHERE id = ?", (document,))
            self.commit()

    def _forget(self, thing: str, where: str) -> None:
        # The full text holds no copy of its own, so it must be told what it is to forget.
        self.connection.execute(
            f"INSERT INTO {thing}_words ({thing}_words, rowid, header, body) SELECT 'delete', id, header, body "
            f"FROM {thing}_view WHERE id IN (SELECT id FROM stored_{thing} WHERE {where})"
        )
        self.connection.execute(f"DELETE FROM stored_{thing} WHERE {where}")

    def freshen(self, source: str) -> None:
        """A document that could not be read can be read again, and is as it was."""
        self.connection.execute(
            "UPDATE stored_document SET stale = NULL WHERE source = ? AND state = 'ready'", (source,)
        )
        self.connection.execute("DELETE FROM quarantine WHERE source = ?", (source,))

    def keep_unread(self, source: str, reason: str) -> int:
        """Keep what the index has of a source that cannot be read, as stale; returns how many documents that is.

        A source that ends in "/" is a folder and stands for all that is in it, and a file for its records.
        """
        # The character behind "/" is "0", and behind "#" it is "$": what begins with a name lies between the two.
        edge = (source, source[:-1] + "0") if source.endswith("/") else (f"{source}#", f"{source}$")
        where = "(source = ? OR (source >= ? AND source < ?))"
        execute = self.connection.execute
        execute(f"INSERT OR IGNORE INTO temp.seen SELECT source FROM document WHERE {where}", (source, *edge))
        return execute(
            f"UPDATE stored_document SET stale = ? WHERE state = 'ready' AND {where}", (reason, source, *edge)
        ).rowcount

    def quarantine(self, source: str, reason: str, line: int | None) -> None:
        """Note a document that cannot be read."""
        self.connection.execute(
            "INSERT OR REPLACE INTO quarantine VALUES (?, ?, ?, ?)", (source, reason, line, self.run)
        )

    def vanished(self) -> Iterator[tuple[str, Known]]:
        """The documents that this run has not seen, in the order of their names; they may be removed at once."""
        sql = (
            "SELECT source, id, hash, stale, chunks FROM document "
            "WHERE source > ? AND source NOT IN (SELECT source FROM temp.seen) ORDER BY source LIMIT 100"
        )
        last = ""
        while gone := self.connection.execute(sql, (last,)).fetchall():
            yield from ((source, Known(*rest)) for source, *rest in gone)
            last = gone[-1][0]

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


class _Writing:
    """The chunks and sections of a document on their way into the tables, in as many transactions as it takes."""

    def __init__(self, connection: sqlite3.Connection, document: int, source: str) -> None:
        self._connection = connection
        self._document, self._source = document, source
        [(self._chunk,)] = connection.execute("SELECT coalesce(max(id), 0) FROM stored_chunk")
        [(last,)] = connection.execute("SELECT coalesce(max(id), 0) FROM stored_section")
        self._section = last + 1
        self._words: list[str] = []
        self._size = self._ordinal = 0

    def write(self, chunks: Sequence[ChunkRow]) -> None:
        """Write the next chunks, with their full text."""
        rows, words = [], []
        for row in chunks:
            fresh = row.text[row.shared :]
            if self._words and self._size + len(fresh) > SECTION:
                self.finish()
            self._words.append(fresh)
            self._size += len(fresh)
            self._chunk += 1
            text_hash = content_hash(row.text)
            rows.append(
                (
                    self._chunk,
                    chunk_id(self._source, row.start, text_hash),
                    self._document,
                    self._section,
                    self._ordinal,
                    row.start,
                    row.stop,
                    row.shared,
                    row.heading,
                    row.text,
                    text_hash,
                    None if row.raw == row.text else row.raw,
                    text_hash if row.raw == row.text else content_hash(row.raw),
                )
            )
            words.append((self._chunk, f"{self._source} {row.heading}", row.text))
            self._ordinal += 1
        self._connection.executemany(
            "INSERT INTO stored_chunk VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows
        )
        self._connection.executemany("INSERT INTO chunk_words (rowid, header, body) VALUES (?, ?, ?)", words)

    def finish(self) -> None:
        """The section that has begun is whole: its row and its full text come together."""
        if self._words:
            section = (self._section, self._document)
            self._connection.execute("INSERT INTO stored_section VALUES (?, ?)", section)
            self._connection.execute(
                "INSERT INTO section_words (rowid, header, body) VALUES (?, ?, ?)",
                (self._section, self._source, "".join(self._words)),
            )
            self._section += 1
            self._words, self._size = [], 0


class Swept(NamedTuple):
    """What `sweep` has taken away: vectors that no text asks for, and bytes."""

    vectors: int
    bytes: int


def sweep(path: str | os.PathLike[str], *, patience: float = 1.0) -> Swept:
    """Take out of an index what nobody asks for any more, and give its space back.

    >>> from tempfile import TemporaryDirectory
    >>> from funcpipe_rag.rag import RagEnv, RawDoc, build_index, make_embedder
    >>> with TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "docs.db")
    ...     for text in ("one", "two"):
    ...         _ = build_index(path, [RawDoc("a", text, "a")], RagEnv(9), embedder=make_embedder("hash:8"))
    ...     sweep(path).vectors
    1

    It goes: what a build that was killed has left, the vectors of texts that are gone, a rebuild that was given up.
    Memory: O(1) beside a table of hashes in a temporary file. Errors: IndexProblem of the kind that fits.
    """
    name = os.fspath(path)
    refuse_no_file(name)
    if not os.path.exists(name):
        raise NoIndex(f"there is no index at {name}")
    before = _size(name)
    with closing(_opened(name, patience)) as connection:
        try:
            check_ours(connection, name)
            settings = dict(connection.execute("SELECT name, value FROM setting"))
            writer = IndexWriter(
                name, {one: json.loads(value) for one, value in settings.items()}, patience=patience
            )
        except sqlite3.OperationalError as error:
            raise _unwritable(name, error) from None
    with closing(writer):
        execute = writer.connection.execute
        try:
            execute("CREATE TEMP TABLE used (text_hash BLOB PRIMARY KEY) WITHOUT ROWID")
            execute("INSERT OR IGNORE INTO temp.used SELECT text_hash FROM stored_chunk")
            unused = (
                "id IN (SELECT id FROM vector WHERE embedder IS NOT ? "
                "OR text_hash NOT IN (SELECT text_hash FROM temp.used) LIMIT 4096)"
            )
            vectors = 0
            while True:
                writer.begin()
                gone = execute(f"DELETE FROM vector WHERE {unused}", (writer.embedder,)).rowcount
                writer.commit()
                vectors += gone
                if not gone:
                    break
            writer.finish("swept", {}, now=time())
            discard_rebuild(name)
            execute("VACUUM")
            execute("PRAGMA wal_checkpoint(TRUNCATE)")
            keep_fast_views(name, writer.run, changed=False)
        except sqlite3.OperationalError as error:
            raise IndexProblem(f"{name}: {error}; nothing that is asked for is lost") from error
    return Swept(vectors, max(0, before - _size(name)))


def discard_rebuild(path: str) -> None:
    """Delete what a rebuild that was given up has left beside an index."""
    for ending in ("", "-wal", "-shm", "-journal"):
        with suppress(FileNotFoundError):
            os.remove(f"{path}{BESIDE}{ending}")


def rebuild_beside(path: str, settings: Mapping[str, Any], patience: float) -> tuple[str, int]:
    """Where the index that will replace the one at `path` is to be built, and the number of its first run.

    That is beside it, so that readers keep what they have; or there, if there is none. A rebuild with the same
    settings that was stopped is gone on with. Errors: as IndexWriter.
    """
    refuse_no_file(path)
    if not os.path.exists(path) or not os.path.getsize(path):
        return path, 1
    with closing(_opened(path, patience)) as connection:
        try:
            check_ours(connection, path, any_version=True)
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
            last = _last_run(connection)
        except sqlite3.OperationalError as error:
            raise _unwritable(path, error) from None
        except sqlite3.DatabaseError as error:
            raise not_ours(path, error) from None
    beside = path + BESIDE
    if os.path.exists(beside):
        try:
            with closing(_opened(beside, patience)) as connection:
                check_ours(connection, beside)
                stored = dict(connection.execute("SELECT name, value FROM setting"))
        except (sqlite3.Error, IndexProblem):
            stored = {}
        if any(
            stored.get(name) != json.dumps(value) for name, value in settings.items() if name not in MOVABLE
        ):
            discard_rebuild(path)
    return beside, last + 1


def _last_run(connection: sqlite3.Connection) -> int:
    try:
        [(last,)] = connection.execute("SELECT coalesce(max(id), 0) FROM run")
    except sqlite3.OperationalError:
        return 0  # another version, which counts its runs otherwise
    return int(last)


def take_place(beside: str, path: str, patience: float) -> None:
    """Let an index that was built beside another take its place, for all readers at once, and go."""
    with closing(_opened(beside, patience)) as new, closing(_opened(path, patience)) as old:
        try:
            old.execute("BEGIN IMMEDIATE")
            old.execute("ROLLBACK")
            new.backup(old, sleep=0.05)
        except sqlite3.OperationalError as error:
            raise _unwritable(path, error) from None
    discard_rebuild(path)


def _opened(path: str, patience: float) -> sqlite3.Connection:
    refuse_no_file(path)
    folder = os.path.dirname(path) or "."
    if not os.path.isdir(folder):
        raise NoIndex(f"there is no folder {folder} to put the index in")
    # An absolute path is a file's, whatever its name: ":memory:" would else be none.
    address = reading_address(path).replace("?mode=ro", "?mode=rwc")
    try:
        return sqlite3.connect(address, uri=True, timeout=patience, isolation_level=None)
    except sqlite3.OperationalError as error:
        raise _unwritable(path, error) from None


def _tune(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA cache_size = -8000")


def _size(path: str) -> int:
    return sum(os.path.getsize(name) for name in (path, f"{path}-wal") if os.path.exists(name))


def _unwritable(path: str, error: sqlite3.OperationalError) -> IndexProblem:
    if "locked" in str(error):
        return IndexBusy(f"another build is writing to {path}; wait until it is done")
    return NotAnIndex(
        f"{path} cannot be written ({error}); you must be allowed to write to it and its folder"
    )


def _statements(script: str) -> Iterator[str]:
    # executescript() would commit what is open.
    yield from (statement for statement in script.split(";\n") if statement.strip())
