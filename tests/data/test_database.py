"""Rows of a database: a real SQLite file, and what is never told of an address."""

from __future__ import annotations

import sqlite3
from itertools import islice

import psycopg
import pytest

from postgresql import PostgreSQL, postgresql_folder
from tutelage.config import ColumnsConfig, ProgrammeConfig, parse_config
from tutelage.config.sources import located
from tutelage.data import read_rows, wanted_columns
from tutelage.data.rows import open_rows, source_name
from tutelage.errors import ConfigError, DataError


@pytest.fixture
def url(tmp_path):
    with sqlite3.connect(tmp_path / "support.db") as database:
        database.execute("CREATE TABLE requests (id INTEGER, body TEXT, customer TEXT, at TEXT, blob BLOB)")
        rows = [
            (n, f"text {n}: really?", "anna", f"2025-06-16 12:00:{n:02}", b"caf\xe9") for n in range(1, 51)
        ]
        database.executemany("INSERT INTO requests VALUES (?, ?, ?, ?, ?)", rows)
    database.close()
    return located("sqlite:///support.db", tmp_path)


COLUMNS = ColumnsConfig(text="body", id="id", subject="customer", time="at")
QUERY = "SELECT id, body, customer, at FROM requests -- all: of them"


def _read(url, query, columns=COLUMNS):
    rows = open_rows(url, None, wanted_columns(columns), query=query)
    return read_rows(source_name(url), columns, rows, None)


def test_a_table_gives_prompts_and_an_address_is_relative_to_the_programme(url, tmp_path):
    read = _read(url, QUERY)
    assert read.total == len(read.accepted) == 50 and not read.rejected
    first = read.accepted[0]
    assert (first.id, first.text, first.subject, first.time) == (
        "1",
        "text 1: really?",
        "anna",
        1_750_075_201.0,
    )
    assert url == f"sqlite:///{tmp_path}/support.db" and first.source == url
    bytes_ = _read(url, "SELECT id, blob AS body, customer, at FROM requests")
    assert {str(item.reason) for item in bytes_.rejected} == {"not_utf8"} and len(bytes_.rejected) == 50


def test_faults_name_the_mend_and_no_password(url, monkeypatch):
    for query, message in (
        ("SELECT missing FROM requests", "can't be read: no such column: missing.*Mend"),
        ("DELETE FROM requests", "is only read. Mend"),
        ("SELECT id, id FROM requests", "gives a column twice. Mend"),
        ("SELECT id, customer, at FROM requests", "no column 'body'.*columns.text"),
    ):
        with pytest.raises((DataError, ConfigError), match=message):
            _read(url, query)
    with pytest.raises(ConfigError, match="is a database, and which rows is not said. Mend: add query"):
        _read(url, None)
    secret = "postgresql+psycopg://anna:hunter2@127.0.0.1:9/db?sslpassword=hunter3"
    with pytest.raises(DataError) as raised:
        _read(secret, "SELECT 1")
    assert "postgresql+psycopg://127.0.0.1:9/db" in str(raised.value) and "Mend" in str(raised.value)
    assert "hunter" not in str(raised.value) and "hunter" not in source_name(secret)
    with pytest.raises(ConfigError, match="no database's URL that SQLAlchemy knows"):
        _read("nosuch://anna:hunter2@host/db", "SELECT 1")


def test_a_password_may_not_stand_in_the_file():
    for path in ("postgresql://anna:hunter2@host/db", "mysql://host/db?user=a&password=hunter2"):
        for traffic in (
            {"path": path, "query": "SELECT 1"},
            {"sources": [{"path": path, "query": "SELECT 1"}]},
        ):
            with pytest.raises(ConfigError, match=r"write \$\{NAME\}") as raised:
                parse_config(
                    {"gold": {"path": "g.csv"}, "traffic": traffic, "teacher": {"type": "human"}}, "here"
                )
            assert "hunter2" not in str(raised.value)


def test_several_sources_each_have_their_own_columns():
    def config(**traffic) -> ProgrammeConfig:
        return parse_config(
            {"gold": {"path": "g.csv"}, "traffic": traffic, "teacher": {"type": "human"}}, "here"
        )

    one = config(path="a.csv", limit=3).traffic
    assert [(source.path, source.limit) for source in one.every] == [("a.csv", 3)]
    two = config(sources=[{"path": "a.csv"}, {"path": "b.jsonl", "columns": {"text": "body"}}]).traffic
    assert [(source.path, source.columns.text) for source in two.every] == [
        ("a.csv", "text"),
        ("b.jsonl", "body"),
    ]
    assert two.named == "a.csv, b.jsonl"
    for wrong in (
        {"sources": [{"path": "a"}], "path": "b"},
        {"sources": [{"path": "a"}], "limit": 3},
        {},
        {"path": "a", "since": "at"},
    ):
        with pytest.raises(ConfigError, match="traffic"):
            config(**wrong)


@pytest.fixture(scope="module")
def postgresql():
    binaries = postgresql_folder()
    if binaries is None:
        pytest.skip("PostgreSQL's server isn't installed: `apt-get install postgresql`")
    server = PostgreSQL(binaries)
    with psycopg.connect(server.url) as connection:
        connection.execute("CREATE SEQUENCE counter")
        connection.execute(
            "CREATE TABLE requests (id bigint, body text, customer text, at timestamptz, bytes bytea, js jsonb)"
        )
        connection.execute(
            "INSERT INTO requests SELECT n, 'text ' || n || ': really?', 'anna', "
            "to_timestamp(1750075200 + n), '\\x636166e9', '{\"a\": 1}' FROM generate_series(1, 5001) AS n"
        )
    yield server.url.replace("postgresql://tutelage@", "postgresql+psycopg://tutelage:s3cret@")
    server.close()


def test_postgresql_is_read_as_a_stream(postgresql):
    read = _read(postgresql, f"{QUERY}\nORDER BY id")
    assert read.total == len(read.accepted) == 5_001 and not read.rejected
    first, last = read.accepted[0], read.accepted[-1]
    assert (first.id, first.text, first.subject, first.time) == (
        "1",
        "text 1: really?",
        "anna",
        1_750_075_201.0,
    )
    assert last.id == "5001" and first.source == postgresql.replace("tutelage:s3cret@", "")
    # Were the rows fetched at once, a thousand million would neither fit nor come.
    endless = "SELECT generate_series(1, 1000000000) AS id, 'a text' AS body, 'anna' AS customer, now() AS at"
    rows = open_rows(postgresql, None, wanted_columns(COLUMNS), query=endless)
    assert [row.cells["id"] for row in islice(rows, 3)] == [1, 2, 3]
    rows.close()


def test_postgresql_is_only_read_and_its_cells_are_judged(postgresql):
    kinds = {}
    for column in ("bytes", "js", "NULL"):
        read = _read(postgresql, f"SELECT id, {column} AS body, customer, at FROM requests WHERE id < 4")
        kinds[column] = {str(item.reason) for item in read.rejected}
        assert len(read.rejected) == read.total == 3
    assert kinds == {"bytes": {"not_utf8"}, "js": {"not_text"}, "NULL": {"missing_column"}}
    for writing, why in (
        (
            "WITH gone AS (DELETE FROM requests RETURNING *) SELECT * FROM gone",
            "must not contain data-modifying",
        ),
        (
            "SELECT nextval('counter') AS id, 'x' AS body, 'y' AS customer, now() AS at",
            "read-only transaction",
        ),
    ):
        with pytest.raises(DataError, match=f"{why}.*Mend") as refused:
            _read(postgresql, writing)
    with pytest.raises(DataError, match="can't be read.*Mend") as unreachable:
        _read("postgresql+psycopg://tutelage:s3cret@127.0.0.1:1/x", QUERY)
    assert all("s3cret" not in str(error.value) for error in (refused, unreachable))
    assert _read(postgresql, QUERY).total == 5_001
