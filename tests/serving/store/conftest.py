"""Where a store's tests keep their state: each of them in SQLite, and in PostgreSQL where it is."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from postgresql import PostgreSQL, postgresql_folder
from tutelage.serving.store._database import Database
from tutelage.serving.store._tables import METADATA


@pytest.fixture(scope="session")
def server() -> Iterator[PostgreSQL]:
    """A running PostgreSQL."""
    binaries = postgresql_folder()
    if binaries is None:
        pytest.skip("PostgreSQL's server isn't installed: `apt-get install postgresql`")
    server = PostgreSQL(binaries)
    yield server
    server.close()


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with the tables and nothing in them: to copy is faster than to migrate."""
    path = tmp_path_factory.mktemp("migrated") / "s.sqlite"
    Database(path).close()
    return path


@pytest.fixture
def postgresql_url(server: PostgreSQL) -> str:
    """The URL of a database with empty tables."""
    database = Database(server.url)
    with database.writing() as connection:
        names = ", ".join(table.name for table in METADATA.sorted_tables)
        connection.execute(sa.text(f"TRUNCATE {names} RESTART IDENTITY"))
    database.close()
    return server.url


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a test keeps its state."""
    if request.param == "postgresql":
        made: str = request.getfixturevalue("postgresql_url")
        return made
    path = tmp_path / "state" / "server.sqlite"
    path.parent.mkdir()
    shutil.copy(request.getfixturevalue("migrated"), path)
    return f"sqlite:///{path}"


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Of a database without any tables."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'state' / 'server.sqlite'}"
        return
    server: PostgreSQL = request.getfixturevalue("server")
    _empty(server)
    yield server.url
    _empty(server)


def _empty(server: PostgreSQL) -> None:
    import psycopg

    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
