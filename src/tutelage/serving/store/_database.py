"""The database under the store: opening, transactions, and what a disk, a server or another process does.

SQLite in WAL mode with `synchronous=FULL`, so that what is committed survives a kill and a power cut, by
SQLCipher in a folder that is encrypted; or PostgreSQL, for several servers on one state. All are used through
the same queries.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import (
    ArgumentError,
    DatabaseError,
    InternalError,
    NoSuchModuleError,
    OperationalError,
    SQLAlchemyError,
)

from tutelage import sqlite
from tutelage.encryption import Cipher, cipher_of
from tutelage.errors import DataError, IntegrityError, MissingExtraError, UsageError

SCHEMA_VERSION = "0002"  # the newest of `migrations/versions`
_TURN = 5.0  # seconds that a writer waits for another's transaction
_SOON = {"connect_timeout": 5, "tcp_user_timeout": 15_000, "keepalives_idle": 15}  # s, ms, s
_MIGRATING = 0x7475_7465  # an advisory lock of PostgreSQL, held while the schema is brought up to date


class Database:
    """An engine on one database, its schema brought up to date."""

    def __init__(self, url: str | Path) -> None:
        self.url = _read_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self.name = self.url.render_as_string(hide_password=True)
        self.cipher: Cipher | None = None
        with self.errors():
            if self.is_sqlite:
                self.cipher = cipher_of(self.path)
                _make_private(self.path)
            self.engine = self._make_engine()
            try:
                self._migrate()
            except BaseException:
                self.engine.dispose()
                raise

    @property
    def path(self) -> Path:
        """SQLite's file."""
        return Path(self.url.database or "")

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A transaction that sees one state of all it reads. Raises DataError where there is no database."""
        with self.errors(), self.engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """All that is written inside is committed together, or not at all."""
        with self.errors(), self.engine.connect() as connection:
            connection = connection.execution_options(tutelage_writes=True)
            with connection.begin():
                yield connection

    def outside_transactions(self, statements: Iterable[str]) -> list[sa.Row[Any] | None]:
        """Run what a database refuses inside a transaction; the first row of each, None where it has none."""
        alone = {"tutelage_alone": True} if self.is_sqlite else {"isolation_level": "AUTOCOMMIT"}
        with self.errors(), self.engine.connect() as connection:
            connection = connection.execution_options(**alone)
            done = [connection.exec_driver_sql(statement) for statement in statements]
            return [result.first() if result.returns_rows else None for result in done]

    @contextmanager
    def errors(self) -> Iterator[None]:
        """What the database throws, as errors of ours: DataError where it may pass, IntegrityError else."""
        try:
            yield
        except (OperationalError, InternalError) as error:
            raise DataError(f"{self.name} can't be used: {_told(error)}. Mend: {_mend(error)}") from error
        except DatabaseError as error:
            if self.is_sqlite and "not a database" in str(error.orig):
                raise IntegrityError(
                    f"{self.name} is no SQLite file, or is damaged: {_told(error)}. "
                    "Mend: restore it from a backup, or move it away"
                ) from error
            raise IntegrityError(
                f"{self.name} refused: {_told(error)}. Mend: report this as a bug, with the server's log"
            ) from error
        except SQLAlchemyError as error:
            raise DataError(f"{self.name} can't be used: {error}. Mend: see whether it answers") from error
        except OSError as error:
            raise DataError(
                f"{self.name} can't be opened: {error}. Mend: make its folder writable"
            ) from error

    def _make_engine(self) -> sa.Engine:
        if not self.is_sqlite:
            # A dead connection is replaced, and one whose server has gone silent given up.
            return sa.create_engine(
                self.url,
                hide_parameters=True,
                pool_pre_ping=True,
                pool_size=5,
                connect_args=_SOON,
            )
        engine = sa.create_engine(
            self.url,
            paramstyle="named",
            module=None if self.cipher is None else sqlite.sqlcipher(),
            creator=self._connect,
            hide_parameters=True,
        )
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine

    def _connect(self) -> sqlite3.Connection:
        return sqlite.connect(self.path, timeout=_TURN, check_same_thread=False, cipher=self.cipher)

    def _migrate(self) -> None:
        with self.reading() as connection:
            if _version(connection) == SCHEMA_VERSION:
                return
        from tutelage.serving.store.migrations import upgrade

        with self.writing() as connection:
            if not self.is_sqlite:
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_MIGRATING)))
            version = _version(connection)  # again: another process may have been first
            if version is not None and version > SCHEMA_VERSION:
                raise UsageError(
                    f"{self.name} has schema version {version}, and this Tutelage knows {SCHEMA_VERSION}. "
                    "Mend: use the newer Tutelage that wrote it"
                )
            if version != SCHEMA_VERSION:
                upgrade(connection, SCHEMA_VERSION)


def _read_url(url: str | Path) -> sa.URL:
    if isinstance(url, Path):
        return sa.URL.create("sqlite", database=str(url))
    try:
        read = sa.make_url(url)
        backend = read.get_backend_name()
    except (ArgumentError, NoSuchModuleError) as error:
        raise UsageError(
            "the state's URL can't be read. Mend: write sqlite:///path or postgresql://user@host/name"
        ) from error
    if backend == "postgresql":
        return _with_psycopg(read)
    if backend == "sqlite" and read.database not in (None, "", ":memory:"):
        return read
    raise UsageError(
        f"the state can't be kept in {read.render_as_string(hide_password=True)}. "
        "Mend: name a file (sqlite:///path) or a PostgreSQL database (postgresql://user@host/name)"
    )


def _with_psycopg(url: sa.URL) -> sa.URL:
    try:
        import psycopg  # noqa: F401 - only to say at once that it is missing
    except ImportError as error:
        raise MissingExtraError("psycopg", "postgresql", "state in PostgreSQL") from error
    return url.set(drivername="postgresql+psycopg")


def _make_private(path: Path) -> None:
    """The file holds what users wrote: only its owner reads it, nor the files that SQLite puts beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "secure_delete=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: sa.Connection) -> None:
    options = connection.get_execution_options()
    if "tutelage_alone" not in options:
        # A transaction that reads first and writes then can't wait for its turn; so writers take it at once.
        connection.exec_driver_sql("BEGIN IMMEDIATE" if "tutelage_writes" in options else "BEGIN")


def _version(connection: sa.Connection) -> str | None:
    """The schema's version, None in an empty database."""
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    version: str | None = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    return version


def _told(error: DatabaseError) -> str:
    """The first line of what it says: in the others PostgreSQL quotes the row, which is nobody's to read."""
    return next(iter(str(error.orig).splitlines()), "")


def _mend(error: DatabaseError) -> str:
    code: int | None = getattr(error.orig, "sqlite_errorcode", None)
    if code is None:
        return "see whether the database server answers, and the name, user and password in its URL"
    return {
        sqlite3.SQLITE_FULL: "free some space on its disk",
        sqlite3.SQLITE_IOERR: "check its disk for faults and free space",
        sqlite3.SQLITE_BUSY: "wait for the processes that write to it, or stop them",
        sqlite3.SQLITE_READONLY: "make the file and its folder writable",
    }.get(code & 0xFF, "check free space, permissions and other processes")
