"""Files of tables that several processes may open at the same moment."""

from __future__ import annotations

import sqlite3
from time import monotonic, sleep


def opened(path: str, *tables: str, patience: float = 5.0) -> sqlite3.Connection:
    """A connection to the file at `path`, made where there is none, with a write-ahead log and these tables.

    >>> connection = opened(":memory:", "CREATE TABLE IF NOT EXISTS seen (name TEXT PRIMARY KEY)")
    >>> connection.execute("INSERT INTO seen VALUES ('r1')").rowcount
    1

    The connection waits up to `patience` seconds for another one to finish. SQLite does so for every statement but
    one: the switch to a write-ahead log fails at once where somebody else is making the same file, so it is tried again
    here. Class: external. Memory: SQLite's page cache. Errors: sqlite3.OperationalError, where the file cannot be
    written, or is busy for longer than that.
    """
    connection = sqlite3.connect(path, timeout=patience, isolation_level=None, check_same_thread=False)
    try:
        _keep_a_log(connection, until=monotonic() + patience)
        connection.execute("PRAGMA synchronous = NORMAL")
        for table in tables:
            connection.execute(table)
    except BaseException:
        connection.close()
        raise
    return connection


def _keep_a_log(connection: sqlite3.Connection, until: float) -> None:
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            # The low byte: SQLite has several kinds of "busy".
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or monotonic() > until:
                raise
            sleep(0.001)
        else:
            return
