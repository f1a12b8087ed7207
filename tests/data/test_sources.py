from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tutelage.config import ColumnsConfig
from tutelage.data import read_gold, read_prompts
from tutelage.data.sources import RejectReason
from tutelage.errors import ConfigError, DataError, MissingExtraError, TutelageError

COLUMNS = ColumnsConfig()
WITH_ID = ColumnsConfig(id="id", slice="slice")


def _write(folder: Path, name: str, content: bytes | str) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def _reasons(rows):
    return [str(item.reason) for item in rows.rejected]


def test_each_bad_row_of_a_csv_goes_with_its_reason(tmp_path):
    rows = [
        b"id,text,label,slice",
        b"1,good,a,hard",
        b"2,,a,",
        b"3,caf\xe9,a,",
        b"1,again,a,",
        b"4,nu\x00l,a,",
        b"5,other,zebra,",
        b"6,short,",
        b"7,no label,,",
        b",no id,a,",
        b"8," + b"x" * 10_000_000 + b",a,",
        '9,"two\nlines, quoted",b,'.encode(),
    ]
    path = _write(tmp_path, "gold.csv", b"\xef\xbb\xbf" + b"\n".join(rows) + b"\n")
    read = read_gold(path, WITH_ID, labels={"a", "b"}, multi_label=False)
    assert [item.prompt.id for item in read.accepted] == ["1", "9"]
    assert read.accepted[1].prompt.text == "two\nlines, quoted"
    assert [item.prompt.slice for item in read.accepted] == ["hard", "normal"]
    assert _reasons(read) == [
        "empty_text", "not_utf8", "duplicate_id", "nul", "label_out_of_set", "malformed_row", "empty_label",
        "missing_column", "too_long",
    ]  # fmt: skip
    assert read.total == len(read.accepted) + len(read.rejected)
    assert all(len(item.text) <= 200 for item in read.rejected)


def test_bad_rows_of_jsonl(tmp_path):
    lines = [
        '{"text": "fine", "label": "a"}',
        "{broken",
        '["text"]',
        '{"label": "a"}',
        '{"text": 5, "label": "a"}',
        '{"text": "\\ud800", "label": "a"}',
        '{"text": "nul \\u0000", "label": "a"}',
        '{"text": "number", "label": 3}',
        '{"text": "nested", "label": ["a"]}',
    ]
    path = _write(tmp_path, "gold.jsonl", "\n".join(lines))
    read = read_gold(path, COLUMNS, labels=None, multi_label=False)
    assert [item.value for item in read.accepted] == ["a", "3"]
    assert _reasons(read) == [
        "malformed_row", "malformed_row", "missing_column", "not_text", "lone_surrogate", "nul", "not_text",
    ]  # fmt: skip


def test_several_labels_come_joined_or_as_lists(tmp_path):
    table = _write(tmp_path, "gold.csv", 'text,label\none,b|a\nnone,""\n')
    read = read_gold(table, COLUMNS, labels=None, multi_label=True)
    assert [item.value for item in read.accepted] == [("a", "b"), ()]
    lines = _write(tmp_path, "gold.jsonl", '{"text": "one", "label": ["b", "a"]}')
    assert read_gold(lines, COLUMNS, labels=None, multi_label=True).accepted[0].value == ("a", "b")


def test_parquet_reads_the_same_rows_and_isolates_bytes_that_are_not_utf8(tmp_path):
    binary = pa.array([b"fine", b"caf\xe9", None])
    text = pa.Array.from_buffers(pa.string(), len(binary), binary.buffers())
    pq.write_table(pa.table({"text": text, "label": ["a", "b", "c"]}), tmp_path / "gold.parquet")
    read = read_gold(tmp_path / "gold.parquet", COLUMNS, labels=None, multi_label=False)
    assert [item.value for item in read.accepted] == ["a"]
    assert _reasons(read) == ["not_utf8", "missing_column"]


def test_paired_lines(tmp_path):
    _write(tmp_path, "seq.in", "turn it on\nstop\n")
    _write(tmp_path, "label", "on\noff\n")
    read = read_gold(tmp_path, COLUMNS, labels=None, multi_label=False)
    assert [(item.prompt.text, item.value) for item in read.accepted] == [
        ("turn it on", "on"),
        ("stop", "off"),
    ]
    _write(tmp_path, "label", "on\n")
    with pytest.raises(DataError, match="1 lines and .* 2"):
        read_gold(tmp_path, COLUMNS, labels=None, multi_label=False)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"", "is empty"),
        ("a.csv", b"body,label\nx,y\n", "no column 'text'.*'body'.*columns.text"),
        ("a.csv", b"txt,label\nx,y\n", "nearest is 'txt'"),
        ("a.csv", b"text,text\nx,y\n", "stands twice"),
        ("a.jsonl", b"\n\n", "holds no rows"),
        ("a.parquet", b"PAR1 not really", "no readable Parquet"),
        ("a.docx", b"x", "format unknown"),
        ("a.csv", b'text,label\n"open,a\n' + b"more,a\n" * 80, "line 2: a quote is opened here"),
    ],
)
def test_a_source_that_cannot_be_read_is_one_error(tmp_path, name, content, message):
    path = _write(tmp_path, name, content)
    with pytest.raises(DataError, match=message) as caught:
        read_gold(path, COLUMNS, labels=None, multi_label=False)
    assert str(path) in str(caught.value)
    assert "Mend" in str(caught.value)


def test_absent_files_and_folders(tmp_path):
    with pytest.raises(DataError, match="doesn't exist"):
        read_prompts(tmp_path / "none.csv", COLUMNS)
    with pytest.raises(DataError, match="without a file 'seq.in'"):
        read_prompts(tmp_path, COLUMNS)


def test_a_hub_address_without_datasets_names_the_extra(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "datasets", None)
    with pytest.raises(MissingExtraError, match=r"tutelage\[hub\]"):
        read_prompts("hf://owner/name", COLUMNS)


def test_a_limit_takes_the_first_rows(tmp_path):
    path = _write(tmp_path, "a.csv", "text\n" + "".join(f"row {n}\n" for n in range(9)))
    assert [prompt.text for prompt in read_prompts(path, COLUMNS, limit=2).accepted] == ["row 0", "row 1"]


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_other_delimiters_are_seen_in_the_header(tmp_path, delimiter):
    path = _write(tmp_path, "a.csv", f"text{delimiter}label\nhello, you{delimiter}a\n")
    assert read_gold(path, COLUMNS, labels=None, multi_label=False).accepted[0].prompt.text == "hello, you"


def test_exactly_the_malformed_rows_of_many_are_set_aside(tmp_path):
    bad = range(0, 50_000, 5)
    rows = (f'"text {n}",a,extra' if n % 5 == 0 else f'"text {n}",a' for n in range(50_000))
    path = _write(tmp_path, "a.csv", "text,label\n" + "\n".join(rows))
    read = read_gold(path, COLUMNS, labels=None, multi_label=False)
    assert (len(read.accepted), len(read.rejected)) == (40_000, len(bad))
    assert {item.reason for item in read.rejected} == {RejectReason.MALFORMED_ROW}


@settings(max_examples=150, deadline=None)
@given(content=st.binary(max_size=400), name=st.sampled_from(["a.csv", "a.jsonl"]))
def test_whatever_the_bytes_nothing_is_lost(tmp_path_factory, content, name):
    path = _write(
        tmp_path_factory.mktemp("bytes"), name, b"text,label\n" + content if name == "a.csv" else content
    )
    try:
        read = read_gold(path, COLUMNS, labels=None, multi_label=False)
    except TutelageError as error:
        assert isinstance(error, DataError | ConfigError)
        return
    assert len(read.accepted) + len(read.rejected) == read.total
    for item in read.accepted:
        item.prompt.text.encode("utf-8")


_texts = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=40
).filter(lambda text: text.strip() and "\r" not in text)


@settings(max_examples=80, deadline=None)
@given(texts=st.lists(_texts, min_size=1, max_size=6))
def test_what_the_csv_and_json_modules_write_is_read_back(tmp_path_factory, texts):
    folder = tmp_path_factory.mktemp("trip")
    buffer = io.StringIO(newline="")
    csv.writer(buffer).writerows([["text", "label"], *([text, "a"] for text in texts)])
    lines = "\n".join(json.dumps({"text": text, "label": "a"}) for text in texts)
    for path in (_write(folder, "a.csv", buffer.getvalue()), _write(folder, "a.jsonl", lines)):
        read = read_gold(path, COLUMNS, labels=None, multi_label=False)
        assert [item.prompt.text for item in read.accepted] == texts
