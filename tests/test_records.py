from __future__ import annotations

import dataclasses
import hashlib
import json

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutelage.records import (
    Answer,
    AnswerStatus,
    Gold,
    Prompt,
    PromptStream,
    Rejection,
    Usage,
    answered_schema,
    dump_value,
    gold_schema,
    in_parts,
    load_value,
    prompt_schema,
    rejection_schema,
    storable,
    text_hash,
)

_labels = st.text() | st.sampled_from(
    ['["a"]', "null", "3", '"', "\\", '{"label": "a"}', "日本", "[]", "a|b"]
)


@given(st.one_of(_labels, st.lists(_labels).map(tuple)))
def test_every_value_comes_back_as_it_was(value):
    back = load_value(dump_value(value))
    assert back == value and type(back) is type(value)
    assert json.loads(dump_value(value)) == (list(value) if isinstance(value, tuple) else value)


@given(_labels, st.lists(_labels).map(tuple))
def test_a_label_is_never_taken_for_several(label, several):
    assert dump_value(label) != dump_value(several)
    assert dump_value(label) != dump_value((label,))


@given(st.text(), st.text())
def test_texts_share_a_key_only_where_they_are_the_same(one, other):
    assert (text_hash(one) == text_hash(other)) is (one == other)
    assert text_hash(one) == hashlib.sha256(one.encode()).hexdigest()[:32]


def test_the_key_of_a_text_is_the_same_in_every_release():
    # Answers that were paid for stand under it.
    assert text_hash("") == "e3b0c44298fc1c149afbf4c8996fb924"
    assert text_hash("abc") == "ba7816bf8f01cfea414140de5dae2223"


def test_what_looks_alike_and_is_not_has_keys_apart():
    texts = ["café", "cafe\u0301", "Café", "café ", "caf\u00e9\u200b"]
    assert len({text_hash(text) for text in texts}) == len(texts)


def test_a_prompt_is_paid_once_whatever_its_id_source_and_slice():
    assert Prompt("1", "x").hash == Prompt("2", "x", "b.csv", "hard").hash == text_hash("x")


@pytest.mark.parametrize(
    "record",
    [
        Prompt("1", "x"),
        Gold(Prompt("1", "x"), "a"),
        Answer(AnswerStatus.OK, "a"),
        Usage(),
        Rejection("s", 1, "i", "r", "d", "t"),
    ],
    ids=lambda record: type(record).__name__,
)
def test_records_are_frozen(record):
    name = dataclasses.fields(record)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(record, name, "other")
    assert not hasattr(record, "__dict__")


def test_schemas_name_what_the_records_hold():
    # The row in the source's file tells of rejections alone.
    kept = {field.name for field in dataclasses.fields(Prompt) if field.compare}
    assert set(prompt_schema().names) == kept | {"hash"}
    assert rejection_schema().names == [field.name for field in dataclasses.fields(Rejection)]
    assert gold_schema().names == [*prompt_schema().names, "value"]
    assert answered_schema().names[: len(prompt_schema())] == prompt_schema().names
    assert answered_schema().field("distribution").type == pa.list_(pa.float32())
    assert len(set(answered_schema().names)) == len(answered_schema().names)


def test_statuses_stand_on_disk_as_words():
    # They are in ledgers already written.
    assert [str(status) for status in AnswerStatus] == ["ok", "unparseable", "out_of_set", "refused"]


@pytest.mark.parametrize(
    ("text", "kept"), [("plain é 🙂", "plain é 🙂"), ("a\ud800b", "a\\ud800b"), ("", "")]
)
def test_text_that_no_file_can_hold_is_escaped(text, kept):
    assert storable(text) == kept
    storable(text).encode("utf-8")


def test_a_stream_is_gone_through_anew_each_time_and_several_as_one():
    one, two = Prompt("a", "one"), Prompt("b", "two")
    stream = PromptStream(lambda: (prompt for prompt in (one, two)), 2)
    assert list(stream) == [one, two] == list(stream) and len(stream) == 2
    assert two in stream and Prompt("c", "two") not in stream
    both = PromptStream.of([two], stream, [])
    assert list(both) == [two, one, two] == list(both) and len(both) == 3
    assert not PromptStream.of([], []) and list(PromptStream.of()) == []


@given(st.lists(st.integers()), st.integers(1, 9))
def test_parts_together_are_the_whole(items, size):
    parts = list(in_parts(iter(items), size))
    assert [item for part in parts for item in part] == items
    assert all(len(part) == size for part in parts[:-1]) and all(parts)
