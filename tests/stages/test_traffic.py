"""Traffic of several sources, and what finds the task's input in a log."""

from __future__ import annotations

import pytest

import log_exports as exports
from tutelage.config import parse_config
from tutelage.errors import DataError
from tutelage.programme import Programme
from tutelage.progress import Silent
from tutelage.stages.traffic import open_traffic, read_traffic, traffic_inputs

MALFORMED = (
    "{",
    "7",
    "[]",
    '{"messages": 3}',
    '{"messages": []}',
    '{"messages": [{"content": "x"}]}',
    '{"messages": [{"role": "user", "content": {"a": 1}}]}',
    '{"messages": [{"role": "user", "content": "\\ud800"}]}',
    '{"messages": [{"role": "user", "content": " "}]}',
    '{"messages": [{"role": "assistant", "content": "only me"}]}',
)


def _programme(folder, traffic, **more):
    return Programme(folder, parse_config({"gold": {"path": "g.csv"}, "traffic": traffic, "teacher": {"type": "human"}, **more}, "here"))  # fmt: skip


def test_sources_come_one_after_the_other_each_with_its_columns(tmp_path):
    (tmp_path / "a.csv").write_text("body,who\none,anna\ntwo,bob\nthree,anna\n")
    for name in ("2.jsonl", "1.jsonl"):
        (tmp_path / f"log{name}").write_text(f'{{"id": "{name}", "text": "of {name}"}}\n')
    sources = [
        {"path": "a.csv", "columns": {"text": "body", "subject": "who"}, "limit": 2},
        {"path": "log*.jsonl", "columns": {"id": "id"}},
    ]
    programme = _programme(tmp_path, {"sources": sources})
    read = read_traffic(programme, Silent())
    assert [(item.id, item.text, item.subject) for item in read.accepted] == [
        ("a-1", "one", "anna"),
        ("a-2", "two", "bob"),
        ("1.jsonl", "of 1.jsonl", ""),
        ("2.jsonl", "of 2.jsonl", ""),
    ]
    assert read_traffic(programme, Silent(), 3).total == 3
    before = traffic_inputs(programme)
    (tmp_path / "log3.jsonl").write_text('{"id": "1.jsonl", "text": "an id again"}\n')
    assert traffic_inputs(programme) != before
    assert [str(item.reason) for item in read_traffic(programme, Silent()).rejected] == ["duplicate_id"]
    with pytest.raises(DataError, match="no file is named as .*none"):
        list(open_traffic(_programme(tmp_path, {"path": "none*.csv"})))


def test_a_log_is_read_as_the_gateway_reads_requests_where_that_is_said(tmp_path):
    (tmp_path / "log.jsonl").write_text(exports.openai_log())
    found = {}
    for system in ("^Classify", "^Translate"):
        serving = {"recognise": {"system": system, "input": "(?P<input>card|parcel)"}}
        read = read_traffic(_programme(tmp_path, {"path": "log.jsonl"}, serving=serving), Silent())
        found[system] = [item.text for item in read.accepted]
        assert len(read.accepted) + len(read.rejected) == read.total == 5
    assert found == {"^Classify": ["card", "parcel"], "^Translate": []}


def test_of_ten_thousand_malformed_rows_exactly_those_are_refused(tmp_path):
    good = '{"messages": [{"role": "user", "content": "number %d"}]}'
    lines = [line for n in range(1_000) for line in (good % n, *MALFORMED)]
    (tmp_path / "log.jsonl").write_text("\n".join(lines))
    read = read_traffic(_programme(tmp_path, {"path": "log.jsonl", "format": "openai"}), Silent())
    assert [item.text for item in read.accepted] == [f"number {n}" for n in range(1_000)]
    assert [item.row for item in read.rejected] == [n for n in range(1, 11_001) if n % 11 != 1]
    assert {str(item.reason) for item in read.rejected} == {
        "malformed_row", "lone_surrogate", "empty_text", "other_task",
    }  # fmt: skip
