"""Rows of a person go from files of every kind; all else stays, byte by byte where that can be."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tutelage.data.erasure import (
    Traces,
    erase_csv,
    erase_json_lines,
    erase_parquet,
    erase_rows,
    holds,
    words_of,
)
from tutelage.errors import DataError, IntegrityError

WHOSE = ("subject",)
TEXT = "my parcel, which I call\n“fluffy”, isn't here"
THEIRS = Traces(
    frozenset({"user-1", "7"}), frozenset({TEXT, "hello"}), frozenset({"a" * 32}), frozenset({"x-9"})
)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (TEXT, True),
        (f"they wrote: {TEXT}!", True),
        (f"'{TEXT}", True),
        ("hello", True),
        ("hello there", False),
        ("user-1", True),
        ("ask user-1, please", True),
        ("user-10", False),
        ("super-user-1", False),
        ("user-1-x", False),
        ("7", False),
        ("a" * 32, True),
        ("", False),
    ],
)
def test_what_is_a_trace_in_a_text(text: str, found: bool) -> None:
    assert THEIRS.in_text(text) is found


def test_short_keys_count_where_subjects_stand_alone() -> None:
    assert THEIRS.in_row({"subject": 7}, WHOSE) and THEIRS.in_row({"subject": " 7 "}, WHOSE)
    assert not THEIRS.in_row({"subject": None, "amount": "7"}, WHOSE)
    assert THEIRS.in_row({"id": "x-9"}, WHOSE) and THEIRS.in_row({"deep": [{"who": "user-1"}]}, WHOSE)


def test_nothing_to_look_for_finds_nothing() -> None:
    assert not Traces() and not Traces().in_text("anything") and not Traces().in_text("")


def test_csv_loses_records_and_no_other_byte(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    kept = b'\xef\xbb\xbftext;subject\r\n"a;\r\nb";user-10\r\n\xff\xfe;other\r\n;\r\n\r\nlast;"7 of 9"'
    quoted = '"' + TEXT.replace('"', '""') + '"'
    lines = kept.split(b"\r\n")
    theirs = (f"{quoted};other\r\n".encode(), b"x;user-1\r\n", b"y; 7\r\n", b"short row of user-1\r\n")
    path.write_bytes(b"\r\n".join([lines[0], *lines[1:3], b"".join(theirs) + lines[3], *lines[4:]]))
    assert erase_csv(path, THEIRS, WHOSE) == 4
    assert path.read_bytes() == kept
    before = path.stat()
    assert erase_csv(path, THEIRS, WHOSE) == 0
    assert path.stat() == before, "a file with nothing of theirs isn't written"


def test_json_lines_lose_lines_and_no_other_byte(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    kept = [b'{"text": "hello you", "user": {"id": "8"}}\n', b"not json\n", b"[1, 2]\n", b'{"n": 7}']
    gone = [
        json.dumps({"text": TEXT}).encode() + b"\n",
        json.dumps({"text": TEXT}, ensure_ascii=False).encode() + b"\n",
        b'{"user": {"id": 7}}\n',
        b"broken { user-1 \n",
        b'{"messages": [{"content": ["user-1"]}]}\n',
    ]
    path.write_bytes(b"".join([kept[0], *gone, *kept[1:]]))
    assert erase_json_lines(path, THEIRS, ("user.id",)) == 5
    assert path.read_bytes() == b"".join(kept)


def test_tables_lose_rows_and_groups_their_names(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    rows = [
        {"id": "1", "text": "hello you", "group": "user-1", "subject": "8", "said": ["yes"], "n": 7},
        {"id": "2", "text": "one", "group": "7", "subject": "7", "said": None, "n": 0},
        {"id": "3", "text": None, "group": "", "subject": None, "said": ["no", "as user-1 says"], "n": 1},
        {"id": "x-9", "text": "two", "group": "", "subject": "", "said": [], "n": 2},
        {"id": "5", "text": f"{TEXT} indeed", "group": "", "subject": "", "said": [], "n": 3},
        {"id": "6", "text": "six", "group": "six", "subject": "10", "said": [], "n": None},
    ]
    schema = pa.schema(
        [
            ("id", pa.string()),
            ("text", pa.string()),
            ("group", pa.string()),
            ("subject", pa.dictionary(pa.int32(), pa.string())),
            ("said", pa.list_(pa.string())),
            ("n", pa.int64()),
        ],
        metadata={"made": "by"},
    )
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), path, row_group_size=2)
    assert holds(path, THEIRS)
    assert erase_parquet(path, THEIRS, WHOSE, {"user-1": "group-a", "7": "group-b"}) == 4
    left = pq.read_table(path)
    assert left["id"].to_pylist() == ["1", "6"] and left["group"].to_pylist() == ["group-a", "six"]
    assert left.schema.metadata[b"made"] == b"by" and left["n"].to_pylist() == [7, None]
    assert not holds(path, THEIRS)
    before = path.stat()
    assert erase_parquet(path, THEIRS, WHOSE, {"user-1": "group-a"}) == 0 and path.stat() == before


def test_a_table_of_numbers_by_subject(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    several = [["8"], ["8", "9"], [], ["9", "7"], None]
    table = {"subject": [7, 8, None, 8, None], "amount": [8, 7, 7, 7, 8], "subjects": several}
    pq.write_table(pa.table(table), path)
    assert erase_parquet(path, THEIRS, (*WHOSE, "subjects")) == 2
    assert pq.read_table(path)["amount"].to_pylist() == [7, 7, 8]


def test_databases_lose_rows_and_the_pages_that_held_them(tmp_path: Path) -> None:
    path = tmp_path / "t.sqlite"
    database = sqlite3.connect(path)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute('CREATE TABLE "odd name" (id INTEGER PRIMARY KEY, "the text" TEXT, other BLOB)')
    rows = [(None, TEXT if n % 3 else "stays" * 50, b"\0") for n in range(300)]
    database.executemany('INSERT INTO "odd name" VALUES (?, ?, ?)', rows)
    database.commit()
    database.execute('DELETE FROM "odd name" WHERE id < 50')  # before anybody asked for a purge
    database.commit()
    database.close()
    assert TEXT.encode() in path.read_bytes()
    assert erase_rows(path, THEIRS) == 168
    assert not any(TEXT.encode() in file.read_bytes() for file in tmp_path.iterdir())
    assert not holds(path, THEIRS)


def test_a_reader_that_keeps_the_log_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tutelage.data.erasure.databases._PATIENCE", 0.05)
    path = tmp_path / "t.sqlite"
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("CREATE TABLE t (text TEXT)")
    database.execute("INSERT INTO t VALUES (?)", (TEXT,))
    database.execute("BEGIN")
    database.execute("SELECT * FROM t").fetchall()
    with pytest.raises(DataError, match="t.sqlite.*Mend"):
        erase_rows(path, THEIRS)
    database.close()


def test_files_that_are_not_what_they_seem(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    path.write_bytes(b"no table")
    with pytest.raises(IntegrityError, match=r"t\.parquet can't be read.*Mend"):
        erase_parquet(path, THEIRS, WHOSE)
    (tmp_path / "t.sqlite").write_bytes(b"no database" * 100)
    with pytest.raises(DataError, match=r"t\.sqlite can't be used"):
        erase_rows(tmp_path / "t.sqlite", THEIRS)


@pytest.mark.parametrize(
    "content",
    [
        TEXT.encode(),
        json.dumps(TEXT).encode(),
        json.dumps(TEXT, ensure_ascii=False).encode(),
        b"<td>" + TEXT.replace("'", "&#x27;").encode() + b"</td>",
        b"x,user-1,y",
        b"user-1",
    ],
)
def test_a_file_that_holds_one_is_found_however_it_writes_it(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "page"
    path.write_bytes(b"\0before " + content + b" after")
    assert holds(path, THEIRS)
    path.write_bytes(b"user-10 super-user-1 hello 7")
    assert not holds(path, THEIRS)
    path.write_bytes(b"")
    assert not holds(path, THEIRS)


def test_many_texts_are_found_as_few_are(tmp_path: Path) -> None:
    many = Traces(THEIRS.keys, THEIRS.texts | {f"a text of somebody, number {n}" for n in range(1_000)})
    assert many.many and not THEIRS.many
    for text in ("number 999", "a text of somebody, number", "hello there", "user-10", ""):
        assert not many.in_text(text)
    for text in (TEXT, f"so: {TEXT}", "that a text of somebody, number 7 has", "hello", "of user-1"):
        assert many.in_text(text)
    path = tmp_path / "t.parquet"
    said = [f"so: {TEXT}", "nothing", None, "a text of somebody, number 12", "nothing"]
    pq.write_table(pa.table({"text": said, "n": range(5)}), path)
    assert holds(path, many) and erase_parquet(path, many, WHOSE) == 2 and not holds(path, many)
    assert pq.read_table(path)["n"].to_pylist() == [1, 2, 4]
    page = tmp_path / "page.html"
    page.write_text("<p>a text of somebody, number 12</p>")
    assert holds(page, many)
    page.write_text("<p>a text of nobody, number 12</p>")
    assert not holds(page, many)


def test_words() -> None:
    assert words_of(["The Parcel, the parcel of Ünal-9 a1b2"]) == {"parcel", "ünal", "a1b2"}


_cells = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)


@settings(max_examples=25, deadline=None)
@given(rows=st.lists(st.tuples(_cells, st.sampled_from(["user-1", "other", ""])), max_size=6))
def test_whatever_stands_in_cells_the_others_are_left(tmp_path_factory, rows) -> None:
    import csv

    path = tmp_path_factory.mktemp("any") / "t.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("text", "subject"), *rows])
    wanted = [row for row in rows if row[1] != "user-1"]
    assert erase_csv(path, Traces(frozenset({"user-1"})), WHOSE) == len(rows) - len(wanted)
    with path.open(newline="", encoding="utf-8") as file:
        assert [tuple(row) for row in csv.reader(file)][1:] == wanted
