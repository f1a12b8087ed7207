"""Where a store's tests keep their state: each of them in SQLite, and in PostgreSQL where it is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from postgresql import PostgreSQL, postgresql_folder


@pytest.fixture(scope="session")
def server() -> Iterator[PostgreSQL]:
    """A running PostgreSQL."""
    binaries = postgresql_folder()
    if binaries is None:
        pytest.skip("PostgreSQL's server isn't installed: `apt-get install postgresql`")
    server = PostgreSQL(binaries)
    yield server
    server.close()


@pytest.fixture
def postgresql_url(server: PostgreSQL) -> str:
    """The URL of an empty database."""
    import psycopg

    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
    return server.url


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a test keeps its state."""
    if request.param == "postgresql":
        made: str = request.getfixturevalue("postgresql_url")
        return made
    return f"sqlite:///{tmp_path / 'state' / 'server.sqlite'}"
