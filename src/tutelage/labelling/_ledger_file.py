"""The file under the answer ledger: opening, transactions, and what a disk or another process does to them.

One SQLite file in WAL mode with `synchronous=FULL`, so a committed answer survives a kill and a power cut.
Several threads and processes may write; a writer waits for its turn.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tutelage import faults, sqlite
from tutelage.errors import DataError, IntegrityError, UsageError
from tutelage.labelling._ledger_schema import SCHEMA_VERSION, bring_up_to_date, version_of

PATIENCE = 60.0  # seconds that a writer waits for the others before it gives up
_TURN = 5.0  # seconds of it that SQLite waits by itself
_PRIMARY = 0xFF  # SQLite's extended error codes hold the primary one in their lowest byte


class LedgerFile:
    """A connection that is opened at once, and anew after the disk has failed under it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.RLock()
        self._depth = 0
        self._closed = False
        self._connection: sqlite3.Connection | None = None
        with self._errors():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = self._opened()

    def close(self) -> None:
        """Close the file; everything recorded is already in it."""
        with self._lock:
            self._closed = True
            self._drop()

    @property
    def _database(self) -> sqlite3.Connection:
        """The connection. Raises UsageError once the ledger was closed."""
        if self._closed:
            raise UsageError(f"{self.path} was closed already. Mend: open it again")
        if self._connection is None:
            self._connection = self._opened()
        return self._connection

    def _opened(self) -> sqlite3.Connection:
        database = sqlite.connect(self.path, timeout=_TURN, check_same_thread=False)
        try:
            _patiently(lambda: self._prepare(database))
        except BaseException:
            database.close()
            raise
        return database

    def _prepare(self, database: sqlite3.Connection) -> None:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA synchronous=FULL")
        version = version_of(database)
        if version > SCHEMA_VERSION:
            raise UsageError(
                f"{self.path} has schema version {version}, and this Tutelage knows {SCHEMA_VERSION}. "
                "Mend: use the newer Tutelage that wrote it"
            )
        if version == SCHEMA_VERSION:
            return
        database.execute("BEGIN IMMEDIATE")
        try:
            bring_up_to_date(database)  # looks at the version again: another process may have been first
            database.execute("COMMIT")
        except BaseException:
            _roll_back(database)
            raise

    def _drop(self) -> None:
        """Close the connection; the next use opens another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(*sqlite.errors()):
                connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All that is written inside is committed together, or not at all. May be nested.

        Raises DataError where the disk fails or other processes keep the file for `PATIENCE` seconds.
        """
        with self._lock, self._errors():
            if self._depth:
                yield
                return
            database = self._database
            _patiently(lambda: database.execute("BEGIN IMMEDIATE"))
            self._depth = 1
            try:
                yield
                faults.point("committing")
                database.execute("COMMIT")
                faults.point("committed")
            except BaseException as error:
                if not _roll_back(database) or _is_the_disk(error):
                    # What the connection holds in memory may no longer be what the disk has.
                    self._drop()
                raise
            finally:
                self._depth = 0

    def _select(self, query: str, parameters: Sequence[Any] = ()) -> list[Any]:
        with self._lock, self._errors():
            return self._database.execute(query, parameters).fetchall()

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        """A connection of its own for a long reading: it sees one state, and keeps no writer waiting."""
        with self._errors():
            database = sqlite.connect(self.path, timeout=_TURN)
            try:
                database.execute("PRAGMA query_only=1")
                database.execute("BEGIN")
                yield database
            finally:
                database.close()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite.errors("OperationalError", OSError) as error:
            raise DataError(
                f"{self.path} can't be used: {_told(error)}; what was recorded is kept"
            ) from error
        except sqlite.errors("IntegrityError") as error:
            what = "a batch" if "batches." in str(error) else "an answer"
            raise IntegrityError(
                f"{self.path} already holds {what} that was to be recorded ({error}); answers are never "
                "replaced. Mend: run again, and report this as a bug"
            ) from error
        except sqlite.errors("DatabaseError") as error:
            raise IntegrityError(
                f"{self.path} is no answer ledger, or is damaged: {error}. Mend: restore it from a backup; "
                "deleting it means paying for its answers again"
            ) from error


def _patiently(act: Callable[[], object]) -> None:
    """Do it, and again while another process is in the way, for `PATIENCE` seconds."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            act()
            return
        except sqlite.errors("OperationalError") as error:
            if _code(error) not in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED} or time.monotonic() > until:
                raise
            time.sleep(0.01)  # some conflicts are reported at once, without SQLite's own waiting


def _roll_back(database: sqlite3.Connection) -> bool:
    """Undo what is open; whether that worked."""
    try:
        if database.in_transaction:
            database.execute("ROLLBACK")
    except sqlite.errors():
        return False
    return True


def _code(error: BaseException) -> int | None:
    """SQLite's primary result code; None where the error isn't SQLite's."""
    code: int | None = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & _PRIMARY


def _is_the_disk(error: BaseException) -> bool:
    """Whether the disk is at fault; in a nested transaction SQLite's own error is the cause of what comes."""
    return _code(error.__cause__ or error) in {
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CORRUPT,
    }


def _told(error: BaseException) -> str:
    """What stopped SQLite, with the mend."""
    mend = {
        sqlite3.SQLITE_FULL: "free some space on its disk, then run again",
        sqlite3.SQLITE_IOERR: "check its disk for faults and free space, then run again",
        sqlite3.SQLITE_BUSY: "wait for the processes that write to it, or stop them, then run again",
        sqlite3.SQLITE_READONLY: "make the file and its folder writable",
    }.get(_code(error) or -1, "check free space, permissions and other processes")
    return f"{error}. Mend: {mend}"
