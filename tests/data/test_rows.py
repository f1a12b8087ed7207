"""Rows as they stand in a file: what each format gives, and where it is broken."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx2
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tutelage.config import ColumnsConfig
from tutelage.data import read_gold, read_prompts
from tutelage.data.rows import Row, open_rows
from tutelage.errors import DataError, MissingExtraError
from tutelage.tasks import Classify

WANTED = {"text": "columns.text"}


def _rows(path: Path | str, form: str | None = None, wanted=WANTED) -> list[Row]:
    return list(open_rows(path, form, wanted))


def _file(folder: Path, name: str, content: str | bytes) -> Path:
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder / name


def test_csv_rows_are_numbered_without_blank_lines_and_faults_name_the_line(tmp_path):
    path = _file(tmp_path, "a.csv", 'text,n\n\n"one\ntwo",1\n\nshort\nlong,2,3\nlast,4')
    rows = _rows(path)
    assert [row.number for row in rows] == [1, 2, 3, 4]
    assert rows[0].cells == {"text": "one\ntwo", "n": "1"}
    assert [row.fault for row in rows] == [
        None,
        "line 6: 1 cells, and the header has 2",
        "line 7: 3 cells, and the header has 2",
        None,
    ]
    assert rows[2].raw == "long,2,3" and rows[2].cells == {}


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_line_ends_and_delimiters_of_any_system(tmp_path, ending, mark):
    lines = [f" text {mark}n", f'"a{mark} ""b"""{mark}1', f"c{mark}2"]
    rows = _rows(_file(tmp_path, "a.tsv", ending.join(lines)))
    assert [row.cells for row in rows] == [{"text": f'a{mark} "b"', "n": "1"}, {"text": "c", "n": "2"}]


def test_a_byte_order_mark_is_no_part_of_any_format(tmp_path):
    mark = b"\xef\xbb\xbf"
    assert _rows(_file(tmp_path, "a.csv", mark + b"text\nx\n"))[0].cells == {"text": "x"}
    assert _rows(_file(tmp_path, "a.jsonl", mark + b'{"text": "x"}\n'))[0].cells == {"text": "x"}
    _file(tmp_path, "seq.in", mark + b"x\n")
    _file(tmp_path, "label", mark + b"y\n")
    assert _rows(tmp_path)[0].cells == {"text": "x", "label": "y"}


def test_a_nul_reaches_the_reader_and_no_other_character_is_taken_for_it(tmp_path):
    # The csv module takes NULs itself since Python 3.11, so no stand-in is needed.
    cells = ["a\0b", "\u2400", "\U0010fffd", "\ue000", "\x1a"]
    rows = _rows(_file(tmp_path, "a.csv", "text\n" + "\n".join(cells) + "\n"))
    assert [row.cells["text"] for row in rows] == cells


def test_bytes_that_are_not_utf8_reach_the_reader(tmp_path):
    for name, content in (("a.csv", b"text\ncaf\xe9\n"), ("a.jsonl", b'{"text": "caf\xe9"}\n')):
        assert _rows(_file(tmp_path, name, content))[0].cells["text"] == "caf\udce9"


def test_a_quote_may_span_lines_and_one_that_never_ends_is_an_error(tmp_path):
    long = "\n".join(f"line {number}" for number in range(200))
    path = _file(tmp_path, "a.csv", f'text,n\n"{long}",1\nnext,2\n')
    assert [row.cells["text"] for row in _rows(path)] == [long, "next"]
    path = _file(tmp_path, "a.csv", "text,n\nfine,1\n" + '"open,2\n' + "more,3\n" * 100)
    with pytest.raises(DataError, match="line 3: a quote is opened here and not closed, which swallows"):
        _rows(path)


_cells = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


@settings(max_examples=80, deadline=None)
@given(table=st.lists(st.tuples(_cells, _cells), max_size=6), mark=st.sampled_from(",;\t"))
def test_whatever_the_csv_module_writes_is_read_alike(tmp_path_factory, table, mark):
    buffer = io.StringIO(newline="")
    csv.writer(buffer, delimiter=mark, quoting=csv.QUOTE_ALL).writerows([("text", "n"), *table])
    rows = _rows(_file(tmp_path_factory.getbasetemp(), "written.csv", buffer.getvalue()))
    assert [(row.cells["text"], row.cells["n"]) for row in rows] == table


@settings(max_examples=80, deadline=None)
@given(
    table=st.lists(st.dictionaries(_cells, _cells | st.none() | st.integers() | st.booleans()), min_size=1)
)
def test_whatever_the_json_module_writes_is_read_alike(tmp_path_factory, table):
    lines = [json.dumps(row, ensure_ascii=bool(len(row) % 2)) for row in table]
    rows = _rows(_file(tmp_path_factory.getbasetemp(), "written.jsonl", "\r\n\n".join(lines)))
    assert [row.cells for row in rows] == table
    assert [row.number for row in rows] == list(range(1, len(table) + 1))


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("{broken", "not JSON: Expecting property name"),
        ('{"text": "a"} {"text": "b"}', "not JSON: Extra data"),
        ('["a"]', "list, not an object"),
        ("null", "NoneType, not an object"),
        ('"text"', "str, not an object"),
        ("[" * 100_000, "not JSON: "),
        ('{"text": ' + "9" * 5_000 + "}", "not JSON: "),
    ],
    ids=["broken", "two", "list", "null", "string", "deep", "number"],
)
def test_a_broken_line_is_a_fault_of_that_line_alone(tmp_path, line, fault):
    path = _file(tmp_path, "a.jsonl", f'{{"text": "before"}}\n\n{line}\n{{"text": "after"}}\n')
    before, broken, after = _rows(path)
    assert (before.cells, after.cells) == ({"text": "before"}, {"text": "after"})
    assert broken.number == 2 and broken.cells == {}
    assert broken.fault.startswith(f"line 3: {fault}") and len(broken.fault) < 200
    assert broken.raw.rstrip("\n") == line[:200]


def test_of_parquet_only_the_wanted_columns_are_read(tmp_path):
    pq.write_table(pa.table({"text": ["a", None], "n": [1, 2], "other": [[1], [2]]}), tmp_path / "a.parquet")
    rows = _rows(tmp_path / "a.parquet", wanted={"text": "columns.text", "n": "columns.id"})
    assert [dict(row.cells) for row in rows] == [{"text": "a", "n": 1}, {"text": None, "n": 2}]
    assert [row.number for row in rows] == [1, 2]


def _spoilt(kind: str) -> pa.Array:
    """Texts of an Arrow type, the second of which isn't UTF-8."""
    binary = pa.array([b"fine", b"caf\xe9", None])
    if kind == "binary":
        return binary
    if kind == "large_string":
        large = binary.cast(pa.large_binary())
        return pa.Array.from_buffers(pa.large_string(), 3, large.buffers())
    text = pa.Array.from_buffers(pa.string(), 3, binary.buffers())
    if kind == "dictionary":
        return pa.DictionaryArray.from_arrays(pa.array([0, 1, None], pa.int32()), text.slice(0, 2))
    return text


@pytest.mark.parametrize("kind", ["string", "large_string", "binary", "dictionary"])
def test_bytes_that_are_not_utf8_reach_the_reader_from_every_kind_of_column(tmp_path, kind):
    # A categorical column of pandas is a dictionary in Arrow.
    pq.write_table(pa.table({"text": _spoilt(kind)}), tmp_path / "a.parquet")
    assert [row.cells["text"] for row in _rows(tmp_path / "a.parquet")] == ["fine", "caf\udce9", None]


@pytest.mark.parametrize(
    "column",
    [
        pa.array(["b", "a", "b"]).dictionary_encode(),
        pa.array(["b", "a", "b"], pa.large_string()),
        pa.array(["b", "a", "b"], pa.string_view()),
    ],
    ids=lambda column: str(column.type)[:12],
)
def test_text_is_text_whatever_the_kind_of_column(tmp_path, column):
    pq.write_table(pa.table({"text": column}), tmp_path / "a.parquet")
    assert [row.cells["text"] for row in _rows(tmp_path / "a.parquet")] == ["b", "a", "b"]


def test_parquet_spoilt_past_its_footer_is_one_error(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": [f"text {number}" for number in range(2000)]}), path, compression="zstd")
    content = bytearray(path.read_bytes())
    content[200:400] = bytes(200)
    path.write_bytes(content)
    with pytest.raises(DataError, match="no readable Parquet file.*Mend"):
        _rows(path)


def test_columns_that_are_absent_are_named_with_their_key(tmp_path):
    pq.write_table(pa.table({"txt": ["a"]}), tmp_path / "a.parquet")
    for path in (tmp_path / "a.parquet", _file(tmp_path, "a.csv", "txt\na\n")):
        with pytest.raises(
            DataError, match="no column 'text'; there are 'txt'; nearest is 'txt'.*columns.text"
        ):
            _rows(path)


def test_the_form_may_be_said_where_the_ending_does_not(tmp_path):
    path = _file(tmp_path, "export", '{"text": "a"}\n')
    with pytest.raises(DataError, match="format unknown from its ending ''.*set format"):
        _rows(path)
    assert _rows(path, "jsonl")[0].cells == {"text": "a"}
    path = _file(tmp_path, "A.JSONL", '{"text": "a"}\n')
    assert _rows(path)[0].cells == {"text": "a"}


def test_a_folder_is_read_as_paired_lines_and_as_nothing_else(tmp_path):
    _file(tmp_path, "seq.in", "one\n\nthree")
    assert [dict(row.cells) for row in _rows(tmp_path)] == [{"text": "one"}, {"text": ""}, {"text": "three"}]
    _file(tmp_path, "label", "a\nb\nc\n")
    assert [row.cells["label"] for row in _rows(tmp_path, "lines")] == ["a", "b", "c"]
    with pytest.raises(DataError, match="is a folder"):
        _rows(tmp_path, "csv")


def test_paired_lines_written_on_windows_are_the_same_lines(tmp_path):
    # A carriage return in the text would be another prompt, paid for again.
    _file(tmp_path, "seq.in", "turn it on\r\nstop\r\n")
    _file(tmp_path, "label", "on\r\noff\r\n")
    assert [dict(row.cells) for row in _rows(tmp_path)] == [
        {"text": "turn it on", "label": "on"},
        {"text": "stop", "label": "off"},
    ]


def test_paired_lines_part_at_line_breaks_alone(tmp_path):
    _file(tmp_path, "seq.in", "a\u2028b\x0bc\x85d\nnext\n".encode())
    assert [row.cells["text"] for row in _rows(tmp_path)] == ["a\u2028b\x0bc\x85d", "next"]


class _Hub:
    """A stand-in for the package `datasets`: gives rows, then fails where it is told to."""

    def __init__(
        self, rows: list[dict[str, Any]], fault: Exception | None = None, at: int | None = None
    ) -> None:
        self.rows, self.fault, self.at = rows, fault, at
        self.asked: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
        self.given = 0

    def load_dataset(self, *arguments: Any, **options: Any):
        self.asked.append((arguments, options))
        if self.fault is not None and self.at is None:
            raise self.fault
        return self._iterate()

    def _iterate(self):
        for number, row in enumerate(self.rows):
            if self.fault is not None and number == self.at:
                raise self.fault
            self.given += 1
            yield row


def _stand_in(monkeypatch, hub: _Hub) -> _Hub:
    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=hub.load_dataset))
    return hub


@pytest.mark.parametrize(
    ("address", "name", "split"),
    [
        ("hf://owner/name", "owner/name", "train"),
        ("hf://owner/name/test", "owner/name", "test"),
        ("hf://owner/name/", "owner/name", "train"),
    ],
)
def test_a_hub_address_names_a_data_set_and_a_split(monkeypatch, address, name, split):
    hub = _stand_in(monkeypatch, _Hub([{"text": "a", "label": "x"}, {"text": "b", "label": "y"}]))
    rows = _rows(address)
    assert [(row.number, row.cells["text"]) for row in rows] == [(1, "a"), (2, "b")]
    assert hub.asked == [((name,), {"split": split, "streaming": True})]


@pytest.mark.parametrize("address", ["hf://", "hf://name", "hf://a/b/c/d/e"])
def test_a_hub_address_of_another_form_is_refused_before_anything_is_loaded(monkeypatch, address):
    hub = _stand_in(monkeypatch, _Hub([{"text": "a"}]))
    with pytest.raises(DataError, match="not of the form hf://owner/name"):
        _rows(address)
    assert hub.asked == []


def test_rows_of_the_hub_are_judged_like_any_other(monkeypatch):
    hub = _Hub([{"text": "a", "label": 3}, {"text": None, "label": 1}, {"text": 5, "label": 1}, {"label": 1}])
    _stand_in(monkeypatch, hub)
    read = read_gold("hf://owner/name", ColumnsConfig(), task=Classify(()))
    assert [(item.prompt.id, item.value, item.prompt.source) for item in read.accepted] == [
        ("name-1", "3", "hf://owner/name")
    ]
    assert [str(item.reason) for item in read.rejected] == ["missing_column", "not_text", "missing_column"]


def test_a_limit_streams_no_more_of_the_hub_than_it_takes(monkeypatch):
    hub = _stand_in(monkeypatch, _Hub([{"text": str(number)} for number in range(1000)]))
    assert len(read_prompts("hf://owner/name", ColumnsConfig(), limit=5).accepted) == 5
    assert hub.given <= 6


def test_a_column_that_the_hub_does_not_have_is_named(monkeypatch):
    _stand_in(monkeypatch, _Hub([{"sentence": "a"}]))
    with pytest.raises(DataError, match="hf://owner/name: no column 'text'; there are 'sentence'"):
        _rows("hf://owner/name")


@pytest.mark.parametrize("at", [None, 0, 2])
@pytest.mark.parametrize(
    "fault",
    [
        FileNotFoundError("Dataset 'owner/name' doesn't exist on the Hub or cannot be accessed."),
        ValueError('Bad split: x. Available splits: ["train"]'),
        ConnectionError("Couldn't reach the Hub"),
        # Many older data sets, PolyAI/banking77 among them, are scripts.
        RuntimeError("Dataset scripts are no longer supported, but found banking77.py"),
        httpx2.ReadTimeout("timed out"),
    ],
    ids=lambda fault: type(fault).__name__,
)
def test_whatever_the_hub_fails_with_is_one_error_that_names_it(monkeypatch, fault, at):
    _stand_in(monkeypatch, _Hub([{"text": "a"}] * 5, fault, at))
    with pytest.raises(DataError, match="hf://owner/name can't be read: .*Mend") as caught:
        _rows("hf://owner/name")
    assert str(fault)[:60] in str(caught.value)


def test_without_the_package_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    for read in (_rows, lambda address: read_prompts(address, ColumnsConfig())):
        with pytest.raises(MissingExtraError, match=r"the source hf://owner/name .*tutelage\[hub\]"):
            read("hf://owner/name")


_READ_REALLY = """
import json, sys
from tutelage.config import ColumnsConfig
from tutelage.data import read_gold
from tutelage.tasks import Classify
read = read_gold(sys.argv[1], ColumnsConfig(), task=Classify(()))
print(json.dumps([[item.prompt.text, item.value] for item in read.accepted]))
"""


def _really_read(folder: Path, address: str) -> list[list[str]]:
    """Through the package itself, which takes owner/name for a folder where there is one."""
    pytest.importorskip("datasets")
    home = {"HF_HOME": str(folder / "home"), "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
    result = subprocess.run(
        [sys.executable, "-c", _READ_REALLY, address],
        cwd=folder,
        env=os.environ | home,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def test_a_real_data_set_is_read_by_its_split(tmp_path):
    folder = tmp_path / "owner" / "name"
    folder.mkdir(parents=True)
    _file(folder, "train.csv", "text,label\nwrong split,x\n")
    _file(folder, "test.csv", 'text,label\n"where is it, please",delivery\ncafé 🙂,billing\n')
    assert _really_read(tmp_path, "hf://owner/name/test") == [
        ["where is it, please", "delivery"],
        ["café 🙂", "billing"],
    ]


@pytest.mark.long
def test_labels_that_a_real_data_set_numbers_come_by_their_names(tmp_path):
    # Most data sets for classification hold ClassLabel numbers; their names stand in `features`.
    folder = tmp_path / "owner" / "name"
    folder.mkdir(parents=True)
    features = [
        {"name": "text", "dtype": "string"},
        {"name": "label", "dtype": {"class_label": {"names": {"0": "delivery", "1": "billing"}}}},
    ]
    card = json.dumps({"dataset_info": {"features": features}})
    _file(folder, "README.md", f"---\n{card}\n---\n")
    _file(folder, "train.csv", "text,label\nwhere is it,delivery\nthe invoice,billing\n")
    assert _really_read(tmp_path, "hf://owner/name") == [
        ["where is it", "delivery"],
        ["the invoice", "billing"],
    ]
