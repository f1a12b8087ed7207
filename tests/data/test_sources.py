from __future__ import annotations

import csv
import io
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tutelage.config import ClassifyConfig, ColumnsConfig
from tutelage.data import read_gold, read_prompts
from tutelage.data.redaction import Action, Entity, Redactor
from tutelage.data.sources import RejectReason, kept_subject
from tutelage.errors import ConfigError, DataError, MissingExtraError, TutelageError
from tutelage.tasks import Classify, declared_labels

COLUMNS = ColumnsConfig()
ONE_LABEL = Classify(())  # any label, as before gold has told which there are
SEVERAL_LABELS = Classify((), multi_label=True)
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
    read = read_gold(path, WITH_ID, task=Classify(("a", "b")))
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
    read = read_gold(path, COLUMNS, task=ONE_LABEL)
    assert [item.value for item in read.accepted] == ["a", "3"]
    assert _reasons(read) == [
        "malformed_row", "malformed_row", "missing_column", "not_text", "lone_surrogate", "nul", "not_text",
    ]  # fmt: skip


def test_several_labels_come_joined_or_as_lists(tmp_path):
    table = _write(tmp_path, "gold.csv", 'text,label\none,b|a\nnone,""\n')
    read = read_gold(table, COLUMNS, task=SEVERAL_LABELS)
    assert [item.value for item in read.accepted] == [("a", "b"), ()]
    lines = _write(tmp_path, "gold.jsonl", '{"text": "one", "label": ["b", "a"]}')
    assert read_gold(lines, COLUMNS, task=SEVERAL_LABELS).accepted[0].value == ("a", "b")


def test_parquet_reads_the_same_rows_and_isolates_bytes_that_are_not_utf8(tmp_path):
    binary = pa.array([b"fine", b"caf\xe9", None])
    text = pa.Array.from_buffers(pa.string(), len(binary), binary.buffers())
    pq.write_table(pa.table({"text": text, "label": ["a", "b", "c"]}), tmp_path / "gold.parquet")
    read = read_gold(tmp_path / "gold.parquet", COLUMNS, task=ONE_LABEL)
    assert [item.value for item in read.accepted] == ["a"]
    assert _reasons(read) == ["not_utf8", "missing_column"]


@pytest.mark.parametrize(("name", "form"), [("traffic.txt", None), ("traffic.log", "lines")])
def test_a_text_file_has_a_prompt_a_line(tmp_path, name, form):
    path = _write(tmp_path, name, 'where, "exactly"\r\n\nsecond\n')
    read = read_prompts(path, ColumnsConfig(), form=form)
    assert [item.text for item in read.accepted] == ['where, "exactly"', "second"]
    assert [(item.row, item.reason) for item in read.rejected] == [(2, "empty_text")]
    with pytest.raises(DataError, match="traffic.* has lines of text and no column 'body'; .*'text'"):
        read_prompts(path, ColumnsConfig(text="body"), form=form)
    with pytest.raises(DataError, match="no column 'label'.*CSV"):
        read_gold(path, ColumnsConfig(), task=ONE_LABEL, form=form)


def test_a_json_list_is_read_like_json_lines(tmp_path):
    path = _write(tmp_path, "traffic.json", '[{"text": "a"}, {"text": ""},\n {"text": "b"}]')
    read = read_prompts(path, ColumnsConfig())
    assert [item.text for item in read.accepted] == ["a", "b"]
    assert _reasons(read) == ["empty_text"]


def test_paired_lines(tmp_path):
    _write(tmp_path, "seq.in", "turn it on\nstop\n")
    _write(tmp_path, "label", "on\noff\n")
    read = read_gold(tmp_path, COLUMNS, task=ONE_LABEL)
    assert [(item.prompt.text, item.value) for item in read.accepted] == [
        ("turn it on", "on"),
        ("stop", "off"),
    ]
    _write(tmp_path, "label", "on\n")
    with pytest.raises(DataError, match="1 lines and .* 2"):
        read_gold(tmp_path, COLUMNS, task=ONE_LABEL)


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
        read_gold(path, COLUMNS, task=ONE_LABEL)
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


_ROWS = "".join(f"b,text {number}\n" for number in range(1000))
_FEW = "".join(f"b,text {number}\n" for number in range(40))


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ('label,text\nb,"hello\n' + _ROWS, 2),
        ('label,text\nb,"hello\n' + _FEW, 2),
        ("label,text\n" + _FEW + 'b,"hello', 42),
        ("label,text\n" + _FEW + 'b,"', 42),
        ('label,text\r\n"two\r\nlines","open\r\n' + _FEW.replace("\n", "\r\n"), 3),
        ('"label,text\n' + _FEW, 1),
    ],
)
def test_a_quote_that_is_never_closed_is_an_error_with_its_line(tmp_path, content, line):
    path = _write(tmp_path, "a.csv", content)
    with pytest.raises(DataError, match=f"a.csv, line {line}: a quote is opened here and not closed.*Mend"):
        read_gold(path, COLUMNS, task=ONE_LABEL)


@pytest.mark.parametrize(
    "end",
    [
        'a,screen of 5"\n',  # closed as if the cell ended there: the row has as many cells as it should
        'a,"quoted"\n',  # closed amid text
        'a,"quoted, with a comma"\n',  # the row has a cell too many, and the long one isn't its last
        '"a","quoted"\n',
    ],
)
def test_a_quote_that_a_much_later_one_closes_by_accident_is_an_error_with_its_line(tmp_path, end):
    path = _write(tmp_path, "a.csv", 'label,text\nb,fine\nb,"hello\n' + _ROWS + end + "a,last\n")
    with pytest.raises(DataError, match="line 3: a quote is opened here and closed only on line 1004.*Mend"):
        read_gold(path, COLUMNS, task=ONE_LABEL)


def test_in_one_column_the_cells_of_the_record_tell_of_an_accident(tmp_path):
    rows = "".join(f"text {number}\n" for number in range(60))
    with pytest.raises(DataError, match="line 2: a quote is opened here and closed only on line 63"):
        read_prompts(_write(tmp_path, "a.csv", f'text\n"open\n{rows}screen 5", ok\n'), COLUMNS)


def test_a_long_cell_of_a_record_with_a_cell_too_many_costs_that_record_alone(tmp_path):
    text = "\n".join(f"line {number}" for number in range(100))
    read = read_prompts(_write(tmp_path, "a.csv", f'text,n\n"{text}",1,2\nb,2\n'), COLUMNS)
    assert [prompt.text for prompt in read.accepted] == ["b"]
    assert [item.detail for item in read.rejected] == ["lines 2 to 101: 3 cells, and the header has 2"]


def test_a_quote_that_soon_closes_amid_text_costs_its_row_and_says_which_lines_it_took(tmp_path):
    path = _write(tmp_path, "a.csv", 'label,text\nb,"hello\nb,lost\na,"quoted"\na,last\n')
    read = read_gold(path, COLUMNS, task=ONE_LABEL)
    assert [item.prompt.text for item in read.accepted] == ["last"]
    assert [(str(item.reason), item.detail[:12]) for item in read.rejected] == [
        ("malformed_row", "lines 2 to 4")
    ]


@pytest.mark.parametrize(
    "text",
    [
        "\n".join(f"line {number} of a long message" for number in range(49)),
        "\n".join(f"line {number}" for number in range(400)),
        "\n".join(f"one, two, {number}" for number in range(400)),
        "\n".join(("Dear team,", "it broke.") * 100),
        'she said "no"\n' * 60,
        "\n" * 100,
    ],
)
@pytest.mark.parametrize("columns", [1, 2])
def test_long_quoted_cells_that_are_meant_so_are_read(tmp_path, text, columns):
    buffer = io.StringIO(newline="")
    csv.writer(buffer).writerows([["text", "n"][:columns], [f"a{text}", "1"][:columns], ["b", "2"][:columns]])
    read = read_prompts(_write(tmp_path, "a.csv", buffer.getvalue()), COLUMNS)
    assert [prompt.text for prompt in read.accepted] == [f"a{text}", "b"]


def test_quotes_amid_a_cell_are_characters_of_it(tmp_path):
    path = _write(tmp_path, "a.csv", 'text,label\na "quoted" word,b\n5" screen,b\n"half" quoted,b\n')
    read = read_gold(path, COLUMNS, task=ONE_LABEL)
    assert [item.prompt.text for item in read.accepted] == ['a "quoted" word', '5" screen', "half quoted"]


def test_blank_lines_of_a_one_column_csv_are_rows_but_for_those_at_the_end(tmp_path):
    read = read_prompts(_write(tmp_path, "a.csv", "text\n\na\n\n\nb\n\n\n"), COLUMNS)
    assert [(prompt.row, prompt.text) for prompt in read.accepted] == [(2, "a"), (5, "b")]
    assert [(item.row, str(item.reason)) for item in read.rejected] == [
        (1, "empty_text"),
        (3, "empty_text"),
        (4, "empty_text"),
    ]
    assert read.total == 5


def test_a_limit_reads_no_further_than_it_takes(tmp_path):
    path = _write(tmp_path, "a.csv", 'text\none\ntwo\n"open\n')
    assert len(read_prompts(path, COLUMNS, limit=2).accepted) == 2


@pytest.mark.parametrize("column", ["id", "label", "slice"])
def test_names_are_short(tmp_path, column):
    def line(length):
        return (
            json.dumps({"id": "1", "text": "x", "label": "a", "slice": "s"} | {column: "n" * length}) + "\n"
        )

    read = read_gold(
        _write(tmp_path, "a.jsonl", line(10_000_000) + line(201) + line(200)),
        WITH_ID,
        task=ONE_LABEL,
    )
    assert len(read.accepted) == 1
    assert [(str(item.reason), item.detail) for item in read.rejected] == [
        ("too_long", f"{column} of 10,000,000 characters; 200 are the most"),
        ("too_long", f"{column} of 201 characters; 200 are the most"),
    ]
    assert all(len(item.id) <= 200 for item in read.rejected)


def test_each_of_several_labels_is_short_and_a_name(tmp_path):
    cells = [["a" * 200, "b"], "|".join(["a" * 150] * 3), ["a" * 201], "b|" + "a" * 201, [None], [["a"]], 0.5]
    path = _write(tmp_path, "a.jsonl", "\n".join(json.dumps({"text": "x", "label": cell}) for cell in cells))
    read = read_gold(path, COLUMNS, task=SEVERAL_LABELS)
    assert [item.prompt.row for item in read.accepted] == [1, 2]
    assert _reasons(read) == ["too_long", "too_long", "not_text", "not_text", "not_text"]


def _declared(tmp_path, how, labels):
    """A label set as tutelage.yaml or a file of labels in YAML, JSON or plain text gives it."""
    if how == "tutelage.yaml":
        return ClassifyConfig(labels=yaml.safe_load(labels)).labels
    content = "\n".join(map(str, yaml.safe_load(labels))) if how == "labels.txt" else labels
    (tmp_path / how).write_text(content, encoding="utf-8-sig")
    return declared_labels(ClassifyConfig(labels_file=how), tmp_path)


@pytest.mark.parametrize("how", ["tutelage.yaml", "labels.yaml", "labels.json", "labels.txt"])
def test_declared_labels_are_spelt_as_the_readers_spell_them(tmp_path, how):
    declared = _declared(tmp_path, how, '[" a ", "yes", 3]')
    assert declared == {"a": "", "yes": "", "3": ""}
    path = _write(tmp_path, "gold.csv", "text,label\none, a\ntwo,yes\nthree,3\n")
    read = read_gold(path, COLUMNS, task=Classify(tuple(declared)))
    assert [item.value for item in read.accepted] == ["a", "yes", "3"]


@pytest.mark.parametrize("how", ["tutelage.yaml", "labels.yaml"])
@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ("[yes, no]", "True.*bool.*Mend: quote it"),
        ("{yes: agrees, no: declines}", "True.*bool.*Mend: quote it"),
        ("[a, ~]", "None.*Mend: quote it"),
        ("[a, 1.10]", "1.1.*float.*Mend: quote it"),
        ("[a, 2024-01-01]", "date.*Mend: quote it"),
        ("['a ', a]", "stands twice"),
        ("{'3': x, 3: y}", "stands twice"),
        ("[a, ' ']", "empty"),
        (f"[a, {'b' * 201}]", "201 characters; 200 are the most"),
        ("[a, {b: c}]", "list|text"),
        ("{a: x, b: [y]}", "description"),
        ("{a: x, b: yes}", "description"),
    ],
)
def test_labels_that_yaml_does_not_read_as_they_are_spelt_are_refused(tmp_path, how, labels, message):
    with pytest.raises((ConfigError, ValidationError), match=message):
        _declared(tmp_path, how, labels)


def test_a_label_without_a_description_may_be_left_open_in_either_place(tmp_path):
    for how in ("tutelage.yaml", "labels.yaml"):
        assert _declared(tmp_path, how, "{a: , b: what is b}") == {"a": "", "b": "what is b"}


def test_the_label_out_of_scope_is_spelt_like_the_others():
    config = ClassifyConfig(labels=["1", "2"], out_of_scope=" 2 ")
    assert config.out_of_scope == "2"
    assert ClassifyConfig(labels=[1, 2], out_of_scope=2).out_of_scope == "2"
    with pytest.raises(ValidationError, match="out_of_scope\n.*False.*Mend: quote it"):
        ClassifyConfig(labels=["yes", "no"], out_of_scope=False)


class _HubError(Exception):
    """As datasets' own DatasetsError is: no OSError, no ValueError."""


class _Feature:
    def __init__(self, names=None, feature=None):
        self.names, self.feature = names, feature


class _DataSet(list):
    features: ClassVar = {
        "text": _Feature(),
        "label": _Feature(names=["delivery", "billing"]),
        "slice": _Feature(names=["normal", "hard"]),
        "labels": _Feature(feature=_Feature(names=["x", "y", "z"])),
    }


def _hub(monkeypatch, load):
    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load))


def test_numbered_labels_of_the_hub_come_by_their_names(monkeypatch):
    rows = [
        {"text": "a", "label": 1, "slice": 1, "labels": [2, 0]},
        {"text": "b", "label": -1, "slice": 0, "labels": []},
    ]
    _hub(monkeypatch, lambda *_, **__: _DataSet(rows))
    read = read_gold("hf://o/n", ColumnsConfig(slice="slice"), task=ONE_LABEL)
    assert [(item.value, item.prompt.slice) for item in read.accepted] == [("billing", "hard")]
    assert _reasons(read) == ["empty_label"]  # datasets writes -1 where there is no label
    read = read_gold("hf://o/n", ColumnsConfig(label="labels"), task=SEVERAL_LABELS)
    assert [item.value for item in read.accepted] == [("x", "z"), ()]


@pytest.mark.parametrize(
    ("address", "asked"),
    [
        ("hf://o/n", (("o/n",), "train")),
        ("hf://o/n/test", (("o/n",), "test")),
        ("hf://o/n/small/test", (("o/n", "small"), "test")),
    ],
)
def test_an_address_of_the_hub_may_name_a_config(monkeypatch, address, asked):
    def load(*names, split, streaming):
        assert (names, split) == asked and streaming
        return _DataSet([{"text": "a"}])

    _hub(monkeypatch, load)
    assert len(read_prompts(address, COLUMNS).accepted) == 1


@pytest.mark.parametrize("address", ["hf://o", "hf://o/n/a/b/c", "hf://o//train", "hf://"])
def test_other_addresses_of_the_hub_are_refused(monkeypatch, address):
    _hub(monkeypatch, lambda *_, **__: pytest.fail("loaded"))
    with pytest.raises(DataError, match="hf://owner/name/config/split.*Mend"):
        read_prompts(address, COLUMNS)


def test_errors_of_the_package_datasets_are_data_errors(monkeypatch):
    def load(*_, **__):
        raise _HubError("no such\nconfig")

    _hub(monkeypatch, load)
    with pytest.raises(DataError, match="hf://o/n can't be read: no such config. Mend"):
        read_prompts("hf://o/n", COLUMNS)


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_other_delimiters_are_seen_in_the_header(tmp_path, delimiter):
    path = _write(tmp_path, "a.csv", f"text{delimiter}label\nhello, you{delimiter}a\n")
    assert read_gold(path, COLUMNS, task=ONE_LABEL).accepted[0].prompt.text == "hello, you"


def test_exactly_the_malformed_rows_of_many_are_set_aside(tmp_path):
    bad = range(0, 50_000, 5)
    rows = (f'"text {n}",a,extra' if n % 5 == 0 else f'"text {n}",a' for n in range(50_000))
    path = _write(tmp_path, "a.csv", "text,label\n" + "\n".join(rows))
    read = read_gold(path, COLUMNS, task=ONE_LABEL)
    assert (len(read.accepted), len(read.rejected)) == (40_000, len(bad))
    assert {item.reason for item in read.rejected} == {RejectReason.MALFORMED_ROW}


@settings(max_examples=150, deadline=None)
@given(content=st.binary(max_size=400), name=st.sampled_from(["a.csv", "a.jsonl"]))
def test_whatever_the_bytes_nothing_is_lost(tmp_path_factory, content, name):
    path = _write(
        tmp_path_factory.mktemp("bytes"), name, b"text,label\n" + content if name == "a.csv" else content
    )
    try:
        read = read_gold(path, COLUMNS, task=ONE_LABEL)
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
        read = read_gold(path, COLUMNS, task=ONE_LABEL)
        assert [item.prompt.text for item in read.accepted] == texts


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("text,label\nx,y\n".encode("utf-16"), "is UTF-16.*Mend: save it as CSV UTF-8"),
        (b'{"text": "x", "label": "y"}\n', "begins a JSON object.*format: jsonl"),
    ],
)
def test_what_is_no_csv_says_what_it_is(tmp_path, content, message):
    with pytest.raises(DataError, match=message):
        read_gold(_write(tmp_path, "gold.csv", content), COLUMNS, task=ONE_LABEL)


def test_a_row_says_whose_it_is_and_when_it_was(tmp_path):
    path = _write(
        tmp_path,
        "traffic.csv",
        "text,who,at\nfirst,anna,2025-06-16T12:00:00Z\nsecond,,\nthird,bob,yesterday\nfourth,"
        + "x" * 300
        + ",1\n",
    )
    read = read_prompts(path, ColumnsConfig(subject="who", time="at"))
    assert [(p.text, p.subject, p.group, p.time) for p in read.accepted] == [
        ("first", "anna", "anna", 1_750_075_200.0),
        ("second", "", "", None),
    ]
    assert _reasons(read) == ["unreadable_time", "too_long"]
    assert read.rejected[0].detail == "'at' holds 'yesterday'"
    with pytest.raises(DataError, match=r"no column 'customer'.*columns.subject"):
        read_prompts(path, ColumnsConfig(subject="customer"))


def test_a_subject_that_is_personal_data_is_kept_as_a_hash_of_its_own(tmp_path):
    path = _write(
        tmp_path, "t.csv", "text,who\na,anna@example.com\nb,bob@example.com\nc,anna@example.com\nd,4711\n"
    )
    redactor = Redactor({entity: Action.MASK for entity in Entity}, b"")
    subjects = [
        p.subject for p in read_prompts(path, ColumnsConfig(subject="who"), redactor=redactor).accepted
    ]
    assert subjects[0] == subjects[2] != subjects[1] and subjects[3] == "4711"
    assert "example" not in "".join(subjects) and subjects[0] == kept_subject("anna@example.com", redactor)
