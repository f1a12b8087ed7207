from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from tutelage import encryption, sqlite
from tutelage.encryption import KEY_ENV, new_key
from tutelage.errors import IntegrityError, UsageError
from tutelage.labelling import AnswerLedger
from tutelage.serving.store import open_store


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(KEY_ENV, new_key())
    encryption.mark(tmp_path)
    (tmp_path / "answers").mkdir()
    return tmp_path


def test_file_and_log_are_encrypted_and_read_with_the_key(folder: Path) -> None:
    path = folder / "answers" / "a.sqlite"
    database = sqlite.connect(path, timeout=1.0)
    assert isinstance(database, sqlite.sqlcipher().Connection)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("CREATE TABLE said (what TEXT)")
    database.execute("INSERT INTO said VALUES ('where is my parcel')")
    log = path.with_name("a.sqlite-wal").read_bytes()
    assert log and b"parcel" not in log
    other = sqlite.connect(path, timeout=1.0)
    assert other.execute("SELECT what FROM said").fetchall() == [("where is my parcel",)]
    other.close()
    database.close()
    assert b"parcel" not in path.read_bytes() and not sqlite.is_plain(path)
    with sqlite3.connect(path) as plain, pytest.raises(sqlite3.DatabaseError):
        plain.execute("SELECT * FROM said")
    plain.close()


def test_errors_of_both_libraries_are_caught(folder: Path) -> None:
    for path in (folder / "answers" / "a.sqlite", folder / "a.sqlite"):
        database = sqlite.connect(path, timeout=1.0)
        with pytest.raises(sqlite.errors("OperationalError", OSError), match="no such table"):
            database.execute("SELECT * FROM none_such")
        database.close()


def test_a_database_that_is_not_encrypted_yet_is_told(folder: Path) -> None:
    path = folder / "answers" / "a.sqlite"
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE said (what TEXT)")
    database.close()
    before = path.read_bytes()
    with pytest.raises(UsageError, match="encryption on"):
        sqlite.connect(path, timeout=1.0)
    assert path.read_bytes() == before


def test_under_another_key_ledger_and_state_say_so_and_stay(folder: Path, monkeypatch) -> None:
    path = folder / "answers" / "answers.sqlite"
    AnswerLedger(path).close()
    before = path.read_bytes()
    monkeypatch.setenv(KEY_ENV, new_key())
    for act in (lambda: AnswerLedger(path), lambda: open_store(folder / "serving" / "state.sqlite")):
        with pytest.raises(UsageError, match="was encrypted with the key"):
            act()
    assert path.read_bytes() == before


def test_one_that_is_no_database_is_told_as_ever(folder: Path) -> None:
    path = folder / "answers" / "answers.sqlite"
    path.write_bytes(b"x" * 8_192)
    with pytest.raises(IntegrityError, match="is no answer ledger, or is damaged"):
        AnswerLedger(path)
