"""Rows of SQLite files, and the pages and logs that would still hold them."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tutelage import sqlite
from tutelage.data.erasure.traces import Traces
from tutelage.errors import DataError

_PATIENCE = 10.0  # seconds in which others may end that write, or still see the old content


def erase_rows(path: Path, traces: Traces) -> int:
    """Delete every row, of any table, a text of which is or holds a trace; how many. Then `scrub`.

    Raises DataError where the file can't be used.
    """
    with opened(path) as database:
        ask(database, traces)
        database.execute("BEGIN IMMEDIATE")
        try:
            erased = sum(_erase_from(database, table) for table in tables_of(database))
            database.execute("COMMIT")
        except BaseException:
            database.execute("ROLLBACK")
            raise
        scrub(database, path)
    return erased


def ask(database: sqlite3.Connection, traces: Traces) -> None:
    """Give statements a function `traced`: whether a cell is or holds a trace."""
    database.create_function(
        "traced", 1, lambda cell: isinstance(cell, str) and traces.in_text(cell), deterministic=True
    )


def _erase_from(database: sqlite3.Connection, table: str) -> int:
    columns = [row[1] for row in database.execute(f'PRAGMA table_info("{table}")')]
    where = " OR ".join(f'traced("{name}")' for name in columns)
    return database.execute(f'DELETE FROM "{table}" WHERE {where}').rowcount


def tables_of(database: sqlite3.Connection) -> list[str]:
    """The tables' names."""
    query = "SELECT name FROM sqlite_master WHERE type='table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
    return [name for (name,) in database.execute(query)]


@contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection in which every statement is a transaction of its own. Raises DataError."""
    database = sqlite.connect(path, timeout=_PATIENCE)
    try:
        yield database
    except sqlite.errors() as error:
        raise DataError(
            f"{path} can't be used: {error}. Mend: end what else uses it, then purge again"
        ) from error
    finally:
        database.close()


def scrub(database: sqlite3.Connection, path: Path) -> None:
    """Write the file anew and cut its log off: deleted rows stay in free pages, in the log, in copies.

    Raises DataError where a reader keeps the log.
    """
    database.execute("VACUUM")
    until = time.monotonic() + _PATIENCE
    while (busy := database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()) is not None and busy[0]:
        if time.monotonic() > until:
            raise DataError(
                f"{path}-wal still holds what was purged, since a reader keeps it open. Mend: end what reads "
                "the file, then purge again"
            )
        time.sleep(0.05)
