"""Whoever was purged isn't brought back by a source, and can come again afterwards."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from tutelage.config import ColumnsConfig
from tutelage.data import read_rows
from tutelage.data.forgotten import Forgotten
from tutelage.data.keeping import Keeping
from tutelage.data.rows import open_rows

COLUMNS = ColumnsConfig(subject="whose", time="at")
NOW = 1_800_000_000.0


@pytest.fixture
def forgotten() -> Forgotten:
    return Forgotten().adding(["ann"], ["of nobody known"], NOW)


def test_it_is_kept_and_tells_nobody(tmp_path: Path, forgotten: Forgotten) -> None:
    path = tmp_path / "privacy" / "forgotten.json"
    assert Forgotten.read(path) is None
    forgotten.write(path)
    assert Forgotten.read(path) == forgotten
    content = path.read_text()
    assert "ann" not in content and "nobody" not in content
    assert Forgotten().digest("ann") != forgotten.digest("ann"), "salted"
    more = forgotten.adding(["bob"], [], NOW + 1)
    assert more.has_subject("ann") and more.has_subject("bob") and not more.has_subject("")


@pytest.mark.parametrize(
    ("subject", "text", "time", "purged"),
    [
        ("ann", "anything", None, True),
        ("ann", "anything", NOW - 1, True),
        ("ann", "anything", NOW + 1, False),
        ("bob", "anything", None, False),
        ("bob", "of nobody known", None, False),
        ("", "of nobody known", None, True),
        ("", "anything", None, False),
    ],
)
def test_who_is_forgotten(
    forgotten: Forgotten, subject: str, text: str, time: float | None, purged: bool
) -> None:
    assert forgotten.has(subject, text, time) is purged


def test_a_source_gives_neither_their_rows_nor_what_is_wrong_with_them(
    tmp_path: Path, forgotten: Forgotten
) -> None:
    path = tmp_path / "rows.csv"
    rows = [
        ("first", "bob", ""),
        ("secret", "ann", "2020-01-01"),
        ("secret too", "ann", "no time at all"),
        ("again", "ann", "2040-01-01"),
        ("of nobody known", "", ""),
        ("last", "", ""),
    ]
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("text", "whose", "at"), *rows])
    read = read_rows("rows.csv", COLUMNS, open_rows(path, None, {}), None, None, Keeping(forgotten))
    assert [prompt.text for prompt in read.accepted] == ["first", "again", "last"]
    assert [(item.row, item.reason, item.text, item.id) for item in read.rejected] == [
        (2, "purged", "", ""),
        (3, "unreadable_time", "", ""),
        (5, "purged", "", ""),
    ]
    assert not any("no time" in item.detail for item in read.rejected)
