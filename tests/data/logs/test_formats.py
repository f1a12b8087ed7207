"""Every export of the same requests gives the same prompts, whoever wrote it, and nothing that was answered."""

from __future__ import annotations

import csv
import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import log_exports as exports
from tutelage.config import ColumnsConfig
from tutelage.data import read_gold, read_prompts
from tutelage.data.logs import LOGS
from tutelage.errors import DataError
from tutelage.tasks import Classify

ANY_LABEL = Classify(())


def _csv(rows):
    file = io.StringIO()
    writer = csv.DictWriter(file, list(rows[0]))
    writer.writeheader()
    for row in rows:
        plain = {
            key: json.dumps(cell) if isinstance(cell, dict | list) else cell for key, cell in row.items()
        }
        writer.writerow({**dict.fromkeys(rows[0]), **{key: plain.get(key) for key in rows[0]}})
    return file.getvalue()


# Name, format, content, and why rows are refused. Where no export has another kind of request, it has two.
EXPORTS = {
    "log.jsonl": ("openai", exports.openai_log, ["other_task", "malformed_row"]),
    "batch.jsonl": ("openai", exports.batch_input, ["other_task", "malformed_row"]),
    "messages.jsonl": ("otel", exports.otel_messages, ["missing_column"]),
    "as_text.json": ("otel", exports.otel_messages_as_text, ["missing_column"]),
    "events.jsonl": ("otel", exports.otel_events, ["missing_column"]),
    "span_events.jsonl": ("otel", exports.otel_span_events, ["missing_column"]),
    "indexed.jsonl": ("otel", exports.otel_indexed, ["missing_column"]),
    "logs.jsonl": ("otel", exports.otel_logs, ["empty_text"]),
    "observations.json": ("langfuse", lambda: json.dumps(exports.langfuse_observations()), ["malformed_row", "missing_column"]),
    "observations.csv": ("langfuse", lambda: _csv(exports.langfuse_observations()[1:]), ["malformed_row", "missing_column"]),
    "api.json": ("langfuse", lambda: json.dumps({"data": exports.langfuse_observations(), "meta": {"page": 1}}, indent=1), ["malformed_row", "missing_column"]),
    "blob.jsonl": ("langfuse", exports.langfuse_blob, ["malformed_row", "missing_column"]),
    "traces.json": ("langfuse", lambda: json.dumps(exports.langfuse_traces(), indent=2), ["malformed_row", "missing_column"]),
    "traces.csv": ("langfuse", lambda: _csv(exports.langfuse_traces()), ["malformed_row", "missing_column"]),
    "spend.jsonl": ("litellm", lambda: exports.lines(exports.litellm_spend()), ["other_task", "missing_column"]),
    "spend.csv": ("litellm", lambda: _csv(exports.litellm_spend()), ["other_task", "missing_column"]),
    "page.json": ("litellm", lambda: json.dumps({"data": exports.litellm_spend(), "total": 5}), ["other_task", "missing_column"]),
    "payloads.jsonl": ("litellm", exports.litellm_payloads, ["other_task", "missing_column"]),
}  # fmt: skip
NEITHER_WHO_NOR_WHEN = ("batch.jsonl",)


@pytest.mark.parametrize("form", ["named", "found"])
@pytest.mark.parametrize("name", EXPORTS)
def test_every_export_gives_the_same_prompts(tmp_path, name, form):
    named, content, reasons = EXPORTS[name]
    path = tmp_path / name
    path.write_text(content())
    read = read_prompts(path, ColumnsConfig(), form=named if form == "named" else None)
    assert [item.text for item in read.accepted] == list(exports.TEXTS)
    assert [str(item.reason) for item in read.rejected] == reasons
    assert [item.subject for item in read.accepted] == list(exports.SUBJECTS)
    assert len({item.id for item in read.accepted}) == 3 and not any(
        "-1-" in item.id for item in read.accepted
    )
    if name not in NEITHER_WHO_NOR_WHEN:
        assert [item.time for item in read.accepted] == [exports.NOON + n for n in range(3)]
    assert exports.SECRET not in repr(read)


@pytest.mark.parametrize("name", EXPORTS)
def test_what_was_answered_is_a_column_only_for_who_asks_for_it(tmp_path, name):
    named, content, _ = EXPORTS[name]
    if name in ("batch.jsonl", "as_text.json", "span_events.jsonl", "logs.jsonl", "events.jsonl"):
        return  # their answers aren't kept, or stand in events of their own
    path = tmp_path / name
    path.write_text(content())
    read = read_gold(path, ColumnsConfig(label="answer"), task=ANY_LABEL, form=named)
    assert [item.value for item in read.accepted] == [exports.SECRET] * 3


def test_a_table_of_parquet_is_read_as_the_log_that_it_is(tmp_path):
    rows = [{key: json.dumps(cell) if isinstance(cell, dict) else cell for key, cell in row.items()} for row in exports.litellm_spend()]  # fmt: skip
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "spend.parquet")
    read = read_prompts(tmp_path / "spend.parquet", ColumnsConfig())
    assert [item.text for item in read.accepted] == list(exports.TEXTS)


def test_a_downloaded_trace_gives_its_generations(tmp_path):
    span, first, second, *_ = exports.langfuse_observations()
    for about in ({"trace": {"id": "t", "userId": "cleo"}}, {"id": "t", "projectId": "p", "userId": "cleo"}):
        inner = [span, {**first, "userId": None}, second]
        (tmp_path / "trace-t.json").write_text(json.dumps({**about, "observations": inner}, indent=1))
        read = read_prompts(tmp_path / "trace-t.json", ColumnsConfig())
        assert [(item.text, item.subject) for item in read.accepted] == [
            (exports.TEXTS[0], "cleo"),
            (exports.TEXTS[1], "bob"),
        ]


def test_a_text_deep_in_an_object_is_named_by_its_path(tmp_path):
    row = {
        "id": "1",
        "timestamp": "2025-06-16",
        "sessionId": "s",
        "input": {"question": "how?", "n": 1},
        "output": "",
    }
    (tmp_path / "traces.jsonl").write_text(
        exports.lines([row, {**row, "id": "2", "input": '{"question": "why?"}'}])
    )
    columns = ColumnsConfig(text="input.question", subject="sessionId")
    read = read_prompts(tmp_path / "traces.jsonl", columns, form="langfuse")
    assert [(item.text, item.id, item.subject) for item in read.accepted] == [
        ("how?", "1", "s"),
        ("why?", "2", "s"),
    ]
    lost = read_prompts(tmp_path / "traces.jsonl", ColumnsConfig(), form="langfuse").rejected[0]
    assert "columns.text: input.question" in lost.detail


def test_a_file_of_ones_own_is_no_log_though_it_looks_like_one(tmp_path):
    row = {"text": "mine", "messages": [{"role": "user", "content": "not this"}], "request_id": "1"}
    (tmp_path / "own.jsonl").write_text(exports.lines([row]))
    assert [item.text for item in read_prompts(tmp_path / "own.jsonl", ColumnsConfig()).accepted] == ["mine"]


def test_shapes_of_messages_that_interfaces_have(tmp_path):
    part = [{"type": "text", "text": "one "}, {"type": "text", "text": "two"}]
    bodies = [
        {"messages": [{"role": "user", "content": part}]},
        {"model": "m", "messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}, {"role": "user", "content": "last"}]},
        {"messages": [{"role": "user", "content": "tuned"}, {"role": "assistant", "content": "a"}]},
        {"request": {"messages": [{"role": "user", "content": '[{"amount": 3}]'}]}},
        {"custom_id": "a", "params": {"system": "s", "messages": [{"role": "user", "content": "anthropic"}]}},
        {"custom_id": "b", "url": "/v1/responses", "body": {"instructions": "s", "input": "responses"}},
        {"custom_id": "c", "body": {"input": [{"role": "user", "content": [{"type": "input_text", "text": "items"}]}]}},
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
        {"messages": [{"role": "system", "content": "nobody asks"}]},
        {"messages": [{"content": "no role"}]},
        {"messages": [7]},
    ]  # fmt: skip
    (tmp_path / "log.jsonl").write_text(exports.lines(bodies))
    read = read_prompts(tmp_path / "log.jsonl", ColumnsConfig(), form="openai")
    assert [item.text for item in read.accepted] == [
        "one two", "last", "tuned", '[{"amount": 3}]', "anthropic", "responses", "items",
    ]  # fmt: skip
    assert [(str(item.reason), item.detail) for item in read.rejected] == [
        ("malformed_row", "a message holds a part of type 'image_url', which is no text"),
        ("other_task", "no user speaks in it"),
        ("malformed_row", "a message without a role"),
        ("malformed_row", "a message is int, no object"),
    ]


def test_a_log_without_any_request_says_so(tmp_path):
    (tmp_path / "spans.jsonl").write_text('{"resourceSpans": []}\n')
    with pytest.raises(DataError, match=r"no request to a model, read as format otel.*Mend"):
        read_prompts(tmp_path / "spans.jsonl", ColumnsConfig())


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                "messages role content parts type text input output body request response data call_type request_id "
                "proxy_server_request metadata resourceSpans scopeSpans spans attributes key value stringValue "
                "kvlistValue arrayValue values events name spanId resourceLogs scopeLogs logRecords eventName "
                "observations trace id model user custom_id params url".split()
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(form=st.sampled_from(sorted(LOGS)), rows=st.lists(_json, min_size=1, max_size=4))
def test_whatever_json_a_log_holds_every_request_is_taken_or_refused(tmp_path_factory, form, rows):
    path = tmp_path_factory.getbasetemp() / f"{form}.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    for name in (form, None):
        try:
            read = read_prompts(path, ColumnsConfig(), form=name)
        except DataError as error:
            assert "Mend" in str(error)
        else:
            assert len(read.accepted) + len(read.rejected) == read.total


@settings(max_examples=150, deadline=None)
@given(
    form=st.sampled_from([*sorted(LOGS), None]),
    ending=st.sampled_from(["json", "jsonl"]),
    content=st.binary(min_size=1),
)
def test_whatever_bytes_a_log_holds_every_row_is_taken_or_refused(tmp_path_factory, form, ending, content):
    path = tmp_path_factory.getbasetemp() / f"bytes.{ending}"
    path.write_bytes(content)
    try:
        read = read_prompts(path, ColumnsConfig(), form=form)
    except DataError as error:
        assert "Mend" in str(error)
    else:
        assert len(read.accepted) + len(read.rejected) == read.total
