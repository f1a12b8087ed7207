from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from served_world import LABELS

from faulty_outcomes import Request, Said, spoken
from tutelage.config import RecogniseConfig
from tutelage.serving.chat import ChatFormat, StreamReader, chunks, completion, said_in
from tutelage.tasks import Classify

TASK = Classify(LABELS, "Sort the message.")


def form(reply=None, **recognise):
    return ChatFormat(TASK, ("inbox",), RecogniseConfig(**recognise), reply)


def user(text, **more):
    return {"role": "user", "content": text, **more}


def test_a_request_with_the_programmes_own_prompt_is_the_task():
    assert form().input_of({"model": "x", "messages": TASK.render("my card")}) == "my card"


def test_parts_of_text_are_one_text():
    parts = [{"type": "text", "text": "my "}, {"type": "text", "text": "card"}]
    assert form().input_of({"model": "inbox", "messages": [user(parts)]}) == "my card"


@pytest.mark.parametrize(
    "more",
    [
        {"tools": [{}]},
        {"functions": [{}]},
        {"n": 2},
        {"n": []},
        {"logprobs": True},
        {"top_logprobs": 3},
        {"audio": {}, "tools": [1]},
        {"messages": [user([{"type": "image_url", "image_url": {"url": "x"}}])]},
        {"messages": [user("a"), {"role": "assistant", "content": "b"}, user("c")]},
        {"messages": [{"role": "assistant", "content": "b"}]},
        {"messages": [user(None)]},
        {"messages": [user("\ud800")]},
        {"messages": [{"content": "x"}]},
        {"messages": [["user", "x"]]},
        {"messages": "x"},
        {"messages": None},
        {"model": None},
        {"model": ["inbox"]},
        {"model": "other"},
    ],
    ids=str,
)
def test_what_a_student_could_not_answer_is_not_the_task(more):
    assert form().input_of({"model": "inbox", "messages": [user("x")], **more}) is None


def test_an_input_is_found_inside_a_message():
    inside = form(input=r"Message: (?P<input>.*)\nEnd")
    body = {"model": "inbox", "messages": [user("Sort this.\nMessage: my card\nis gone\nEnd")]}
    assert inside.input_of(body) == "my card\nis gone"
    assert inside.input_of({"model": "inbox", "messages": [user("something else")]}) is None
    assert inside.input_of({"model": "inbox", "messages": [user("Message: \nEnd")]}) is None


def test_a_system_message_tells_the_task():
    told = form(system="sorting machine")
    body = {
        "model": "x",
        "messages": [{"role": "system", "content": "You are a sorting machine."}, user("a")],
    }
    assert told.input_of(body) == "a"
    assert told.input_of({**body, "messages": [{"role": "system", "content": "A poet."}, user("a")]}) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text("ab ø", max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["role", "content", "type", "text", "user"]), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(
    body=st.dictionaries(
        st.sampled_from(["messages", "model", "tools", "n", "logprobs", "stream"]), JSON, max_size=6
    )
)
def test_whatever_comes_is_the_task_or_is_not(body):
    found = form(system="a").input_of(body)
    assert found is None or isinstance(found, str)


@given(text=st.text(), name=st.sampled_from(["inbox", "mine"]))
def test_an_input_comes_out_as_it_went_in(text, name):
    assert form(models=("mine",)).input_of({"model": name, "messages": [user(text)]}) == (text)


@pytest.mark.parametrize("value", LABELS)
@pytest.mark.parametrize("reply", [None, "Intent: {value}", "<{value}>\n"])
def test_an_answer_reads_back_as_what_was_meant(value, reply):
    shape = form(reply)
    assert shape.value_of(shape.text_of(value)) == value


@given(text=st.text())
def test_any_text_of_a_teacher_can_be_read(text):
    assert form("Intent: {value}").value_of(text) in (None, *LABELS)


# Streams


def cut(data, cuts):
    places = sorted({min(place, len(data)) for place in cuts})
    return [data[begin:end] for begin, end in zip([0, *places], [*places, len(data)], strict=True)]


@given(
    text=st.text(st.characters(exclude_categories=["Cs"])), cuts=st.lists(st.integers(0, 3_000), max_size=20)
)
def test_a_stream_cut_anywhere_says_the_same(text, cuts):
    request = Request({"stream": True, "messages": []})
    whole = spoken(Said(text, model="big-1"), request, False)
    reader = StreamReader()
    for part in cut(whole, cuts):
        reader.feed(part)
    assert (reader.text, reader.model, reader.ended) == (text, "big-1", True)
    assert reader.usage == {"prompt_tokens": 20, "completion_tokens": 5}


@given(text=st.text(), with_usage=st.booleans(), cuts=st.lists(st.integers(0, 2_000), max_size=8))
def test_our_own_stream_reads_back_too(text, with_usage, cuts):
    usage = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    whole = completion("1", 0, "inbox", text, {"by": "student"}, usage)
    reader = StreamReader()
    for part in cut(b"".join(chunks(whole, with_usage=with_usage)), cuts):
        reader.feed(part)
    assert (reader.text, reader.ended) == (text, True)
    assert reader.usage == (usage if with_usage else None)


@given(data=st.binary(), cuts=st.lists(st.integers(0, 200), max_size=5))
def test_bytes_that_are_no_stream_are_passed_over(data, cuts):
    reader = StreamReader()
    for part in cut(data + b"\n", cuts):
        reader.feed(part)
    assert isinstance(reader.text, str)


@given(said=JSON)
def test_an_event_of_any_shape_is_passed_over(said):
    reader = StreamReader()
    reader.feed(b"data: " + json.dumps(said).encode() + b"\n\n")
    reader.feed(b"data: " + json.dumps({"choices": said, "model": said, "usage": said}).encode() + b"\n\n")
    assert isinstance(reader.text, str)


@given(said=st.dictionaries(st.sampled_from(["choices", "message"]), JSON) | JSON)
def test_a_completion_of_any_shape_can_be_read(said):
    assert isinstance(said_in(said), str)
