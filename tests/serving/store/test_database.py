"""Opening a database, bringing it up to date, and saying what is wrong with it."""

from __future__ import annotations

import asyncio
import sys
import threading
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from tutelage.errors import DataError, IntegrityError, MissingExtraError, TutelageError, UsageError
from tutelage.serving.store import open_store
from tutelage.serving.store._database import SCHEMA_VERSION, Database
from tutelage.serving.store._tables import METADATA


def test_migrations_make_the_tables_that_queries_name(empty_url: str) -> None:
    database = Database(empty_url)
    with database.reading() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        differences = [found for found in compare_metadata(context, METADATA) if found[0] != "remove_index"]
    database.close()
    assert differences == []


def test_many_that_open_an_empty_database_at_once_make_it_once(empty_url: str) -> None:
    errors: list[BaseException] = []

    def opening() -> None:
        try:
            Database(empty_url).close()
        except BaseException as error:  # noqa: BLE001
            errors.append(error)

    threads = [threading.Thread(target=opening) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    database = Database(empty_url)
    with database.reading() as connection:
        assert connection.exec_driver_sql("SELECT version_num FROM alembic_version").all() == [
            (SCHEMA_VERSION,)
        ]
    database.close()


def test_a_database_of_a_newer_version_is_left_alone(empty_url: str) -> None:
    database = Database(empty_url)
    with database.writing() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    database.close()
    with pytest.raises(UsageError, match=r"schema version 9999.*knows 0.*Mend: use the newer"):
        open_store(empty_url)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("state.sqlite", "can't be read. Mend: write sqlite:///path"),
        ("mysql://ann:s3cret@host/x", "can't be kept in mysql://ann:\\*\\*\\*@host/x"),
        ("sqlite://", "can't be kept in sqlite://"),
        ("sqlite:///:memory:", "can't be kept"),
        ("nosuch://x", "can't be"),
    ],
)
def test_a_url_that_names_no_database_is_told_without_its_password(url: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as raised:
        open_store(url)
    assert "s3cret" not in str(raised.value)


def test_a_server_that_doesnt_answer_is_told_without_its_password() -> None:
    pytest.importorskip("psycopg")
    with pytest.raises(
        DataError, match=r"postgresql\+psycopg://ann:\*\*\*@127.0.0.1:1/x can't be used"
    ) as raised:
        open_store("postgresql://ann:s3cret@127.0.0.1:1/x")
    assert "s3cret" not in str(raised.value)


def test_without_psycopg_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(MissingExtraError, match=r"tutelage\[postgresql\]"):
        open_store("postgresql://ann@127.0.0.1:1/x")


@pytest.mark.parametrize("content", [b"no database at all" * 100, b"SQLite format 3\0" + b"\xff" * 5_000])
def test_a_file_that_is_no_database_is_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.sqlite"
    path.write_bytes(content)
    with pytest.raises((IntegrityError, DataError), match="Mend:"):
        open_store(path)
    assert path.read_bytes() == content


def test_a_folder_that_cant_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TutelageError, match="Mend: make its folder writable"):
        open_store(tmp_path / "file" / "x.sqlite")


def test_what_was_written_before_an_error_inside_a_transaction_is_undone(url: str) -> None:
    database = Database(url)

    def broken() -> None:
        with database.writing() as connection:
            connection.execute(sa.insert(METADATA.tables["monitors"]), {"name": "a", "state": 1})
            raise UsageError("no")

    with pytest.raises(UsageError, match="no"):
        broken()
    with database.reading() as connection:
        assert connection.execute(sa.select(METADATA.tables["monitors"])).all() == []
    database.close()


def test_two_servers_on_one_database_see_each_other(url: str) -> None:
    from captured import made

    from tutelage.serving.store import RolloutChange

    async def use() -> None:
        one, other = open_store(url), open_store(url)
        changed = one.change_rollout(RolloutChange(1.0, "ann", "canary", 0.1))
        assert other.rollout() == changed
        captures = [made(str(number)) for number in range(200)]
        await asyncio.gather(
            *(
                (one, other)[number % 2].capture(capture, promise="durable")
                for number, capture in enumerate(captures)
            )
        )
        assert one.lost == other.lost == one.late == other.late == 0
        assert {capture.id for capture in one.captures(limit=500)} == {capture.id for capture in captures}
        assert other.totals(0).total().requests == 200
        await one.close()
        await other.close()

    asyncio.run(use())


def test_changes_of_the_rollout_at_once_make_one_chain(url: str) -> None:
    from tutelage.serving.store import RolloutChange

    async def use() -> None:
        stores = [open_store(url) for _ in range(3)]
        changes = [RolloutChange(float(number), "ann", "canary") for number in range(30)]
        await asyncio.gather(
            *(
                asyncio.to_thread(stores[number % 3].change_rollout, change)
                for number, change in enumerate(changes)
            )
        )
        assert stores[0].verify_rollout() == 30
        assert {change.at for change in stores[1].rollout_changes()} == {change.at for change in changes}
        for store in stores:
            await store.close()

    asyncio.run(use())
