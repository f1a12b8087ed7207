"""A file of what people say, on disk before anybody is told that it counted."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar

from tutelage import sqlite
from tutelage.errors import DataError, UsageError

_PATIENCE = 10.0  # seconds that a writer waits while another process writes


class PeopleDatabase:
    """A SQLite file whose every transaction is synced to disk; nothing in it is deleted but by a purge.

    Several servers may write to one file; of one store a single thread at a time. What is taken back stays
    as a row with the time at which it was `withdrawn`.
    """

    schema: ClassVar[str]
    schema_version: ClassVar[int]
    holds: ClassVar[str]  # what messages call its rows

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._errors():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._database = sqlite.connect(path, timeout=_PATIENCE, check_same_thread=False)
            self._prepare()

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def _prepare(self) -> None:
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=FULL")
        with self._transaction() as database:
            version = database.execute("PRAGMA user_version").fetchone()[0]
            if version > self.schema_version:
                raise UsageError(
                    f"{self.path} has schema version {version}, and this Tutelage knows "
                    f"{self.schema_version}. Mend: use the newer Tutelage that wrote it"
                )
            if version == 0:
                for statement in filter(str.strip, self.schema.split(";")):
                    database.execute(statement)
                database.execute(f"PRAGMA user_version={self.schema_version}")

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._errors():
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield self._database
                self._database.execute("COMMIT")
            except BaseException:
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
                raise

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite.errors("Error", OSError) as error:
            raise DataError(
                f"{self.path} can't be used: {error}; confirmed {self.holds} are in it. Mend: check that it "
                f"is a file of {self.holds}, that it can be read and written, and that the disk has room"
            ) from error


def now() -> str:
    """The time in UTC, to the millisecond, as rows keep it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
