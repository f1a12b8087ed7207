"""Whatever JSON comes back, it is read, or refused in the one way that is known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutelage.config import AnthropicTeacherConfig, OpenAITeacherConfig, PriceConfig
from tutelage.errors import TeacherRefusesAccess, TeacherUnavailable
from tutelage.records import AnswerStatus
from tutelage.tasks import Classify
from tutelage.teachers import TeacherContext
from tutelage.teachers._endpoint_faults import PromptRejected, error_message
from tutelage.teachers._replies import combine
from tutelage.teachers.anthropic import AnthropicTeacher
from tutelage.teachers.openai import OpenAITeacher

TASK = Classify(("refund", "card"))
CONTEXT = TeacherContext(TASK, (), Path())
BASE: dict[str, Any] = {
    "model": "m",
    "base_url": "http://127.0.0.1:9/v1",
    "price": PriceConfig(input=1, output=2),
}
OPENAI = OpenAITeacher(OpenAITeacherConfig(rights="own", **BASE), CONTEXT)
ANTHROPIC = AnthropicTeacher(AnthropicTeacherConfig(**BASE), CONTEXT)

LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(
        ['{"label": "card"}', '{"label": "card", "label": "refund"}', "card", "text", "tool_use"]
    )
)
NAMES = st.sampled_from(
    [
        *("choices", "message", "content", "refusal", "finish_reason", "logprobs", "top_logprobs", "token"),
        *("bytes", "logprob", "usage", "prompt_tokens", "completion_tokens", "prompt_tokens_details", "cost"),
        *("cached_tokens", "model", "error", "code", "type", "details", "error_code", "param"),
        *("text", "name", "input", "stop_reason", "input_tokens", "output_tokens", "cache_read_input_tokens"),
    ]
)
ANYTHING = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=5),
    max_leaves=20,
)
TOKENS = st.lists(st.fixed_dictionaries({"token": LEAVES, "logprob": LEAVES}, optional={"bytes": ANYTHING}))
COMPLETIONS = st.fixed_dictionaries(
    {
        "choices": st.tuples(
            st.fixed_dictionaries(
                {"message": st.dictionaries(NAMES, LEAVES, max_size=3)},
                optional={
                    "finish_reason": LEAVES,
                    "logprobs": st.fixed_dictionaries({"content": TOKENS | ANYTHING}),
                },
            )
        )
    },
    optional={"usage": ANYTHING, "model": LEAVES, "error": ANYTHING},
)
MESSAGES = st.fixed_dictionaries(
    {"content": st.lists(st.dictionaries(NAMES, LEAVES, max_size=4), max_size=3)},
    optional={"usage": ANYTHING, "model": LEAVES, "stop_reason": LEAVES, "error": ANYTHING},
)


def read(teacher: Any, body: bytes) -> None:
    """A reply that makes an answer of the task, or one of the three refusals."""
    try:
        reply = teacher._read(body, 0.1, lambda: 0.5)
    except (TeacherUnavailable, TeacherRefusesAccess, PromptRejected):
        return
    answer = combine([reply], TASK)
    assert (answer.value in TASK.labels) if answer.status is AnswerStatus.OK else (answer.value is None)
    assert answer.status is AnswerStatus.OK or answer.reason
    assert 0 <= answer.usage.cost < float("inf")
    for text in (answer.raw, answer.reason, answer.model, answer.rationale):
        text.encode("utf-8")
    if answer.distribution is not None:
        assert answer.distribution.shape == (2,) and answer.distribution.sum() == pytest.approx(1, abs=1e-5)


@given(ANYTHING | COMPLETIONS)
def test_any_json_is_read_or_refused_as_a_completion(content: Any) -> None:
    read(OPENAI, json.dumps(content).encode())


@given(ANYTHING | MESSAGES)
def test_any_json_is_read_or_refused_as_a_message(content: Any) -> None:
    read(ANTHROPIC, json.dumps(content).encode())


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    read(OPENAI, body)
    read(ANTHROPIC, body)
    assert error_message(body)


@given(ANYTHING)
def test_any_error_has_a_message(content: Any) -> None:
    error_message(json.dumps(content).encode()).encode("utf-8", "surrogatepass")


@given(st.integers(0, 200))
def test_a_reply_cut_anywhere_is_refused(size: int) -> None:
    body = json.dumps(
        {"choices": [{"message": {"content": '{"label": "card"}'}}], "usage": {"prompt_tokens": 1}}
    ).encode()
    if size < len(body):
        with pytest.raises(TeacherUnavailable) as caught:
            OPENAI._read(body[:size], 0.0, lambda: 0.0)
        assert caught.value.billed
