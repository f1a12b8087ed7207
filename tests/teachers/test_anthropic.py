from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from faulty_teacher import FaultyTeacher, Outcome
from tutelage.config import AnthropicTeacherConfig, PriceConfig
from tutelage.errors import ConfigError, TeacherRefusesAccess, TeacherUnavailable
from tutelage.records import Answer, AnswerStatus, DistributionOrigin, Prompt
from tutelage.tasks import Classify, Example, Prompting
from tutelage.teachers import Resumable, Teacher, TeacherContext, build_teacher
from tutelage.teachers.anthropic import AnthropicTeacher

TASK = Classify(("refund", "card", "card stolen"))
PRICE = PriceConfig(input=4.0, output=20.0, cached_input=0.4)
TEXT = "where is my money"
CARD = '{"label": "card"}'


def message(
    text: str = CARD, stop: str | None = "end_turn", usage: Any = None, content: Any = None, **more: Any
) -> Outcome:
    body = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "scripted-1",
        "content": [{"type": "text", "text": text}] if content is None else content,
        "stop_reason": stop,
        "usage": {"input_tokens": 20, "output_tokens": 5} if usage is None else usage,
        **more,
    }
    return Outcome(body=json.dumps(body).encode())


def fault(
    status: int, kind: str, said: str = "no", headers: dict[str, str] | None = None, **more: Any
) -> Outcome:
    body = {"type": "error", "error": {"type": kind, "message": said, **more}, "request_id": "req_1"}
    return Outcome(status, json.dumps(body).encode(), headers or {})


@pytest.fixture
def server(faulty_teacher: FaultyTeacher) -> FaultyTeacher:
    """One that answers as the Messages API does."""
    faulty_teacher.default = message()
    return faulty_teacher


def teacher_at(server: FaultyTeacher, task: Any = TASK, **settings: Any) -> AnthropicTeacher:
    usual = {"model": "scripted-1", "base_url": server.url, "timeout": 60.0, "samples": 1}
    return AnthropicTeacher(AnthropicTeacherConfig(**(usual | settings)), TeacherContext(task, (), Path()))


def ask(teacher: AnthropicTeacher, text: str = TEXT) -> Answer:
    [answer] = asyncio.run(teacher.answer([Prompt("1", text)]))
    return answer


def test_is_a_teacher_and_answers(server: FaultyTeacher, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-secret")
    teacher = teacher_at(server)
    assert isinstance(teacher, Teacher) and isinstance(teacher, Resumable)
    answer = ask(teacher)
    assert (answer.status, answer.value, answer.raw) == (AnswerStatus.OK, "card", CARD)
    assert (answer.distribution, answer.origin) == (None, DistributionOrigin.NONE)
    assert (answer.model, answer.usage.input_tokens, answer.usage.output_tokens) == ("scripted-1", 20, 5)
    [request], [headers] = server.requests, server.headers
    system, user = TASK.render(TEXT)
    [block] = request["system"]
    assert (block["text"], block["cache_control"]) == (system["content"], {"type": "ephemeral"})
    assert request["messages"] == [user]
    assert request["output_config"] == {"format": {"type": "json_schema", "schema": TASK.json_schema()}}
    assert (request["max_tokens"], request["temperature"]) == (256, 0.0)
    assert (headers["x-api-key"], headers["anthropic-version"]) == ("sk-ant-secret", "2023-06-01")
    assert "Authorization" not in headers


def test_is_built_from_its_configuration(server: FaultyTeacher) -> None:
    config = AnthropicTeacherConfig(model="m", base_url=server.url)
    teacher = build_teacher(config, TeacherContext(TASK, (), Path()))
    assert (teacher.name, teacher.paid, config.rights) == ("anthropic:m", False, "anthropic-api")


def test_examples_are_turns_and_the_cache_reaches_to_the_last(server: FaultyTeacher) -> None:
    task = replace(TASK, prompting=Prompting((Example("my card", "card"),)))
    assert ask(teacher_at(server, task)).value == "card"
    [request] = server.requests
    assert isinstance(request["system"], str)
    user, shown, asked = request["messages"]
    assert (user["content"], asked["content"]) == ("my card", TEXT)
    assert shown["content"] == [{"type": "text", "text": CARD, "cache_control": {"type": "ephemeral"}}]


def test_votes(server: FaultyTeacher) -> None:
    server.script(
        TEXT, [message(CARD), message('{"label": "refund"}'), message(CARD), message("hm"), message()]
    )
    answer = ask(teacher_at(server, samples=None, price=PRICE))
    assert (answer.value, answer.origin, answer.usage.calls) == ("card", DistributionOrigin.VOTES, 5)
    np.testing.assert_allclose(answer.distribution, [0.25, 0.75, 0])
    assert {request["temperature"] for request in server.requests} == {0.7}


THOUGHT = [{"type": "thinking", "thinking": "hm", "signature": "x"}, {"type": "text", "text": CARD}]
UNUSABLE = [
    (message("", "refusal"), AnswerStatus.REFUSED, "declined"),
    (message('{"label": "ca', "max_tokens"), AnswerStatus.UNPARSEABLE, "max_output_tokens 256"),
    (message("", "max_tokens"), AnswerStatus.UNPARSEABLE, "reasoning tokens"),
    (message(content=[]), AnswerStatus.UNPARSEABLE, "empty"),
    (message("Sure! It is card."), AnswerStatus.UNPARSEABLE, "not the JSON"),
    (message('{"label": "weather"}'), AnswerStatus.OUT_OF_SET, "weather"),
    (message('{"label": "card", "label": "refund"}'), AnswerStatus.UNPARSEABLE, "twice"),
    (
        fault(400, "invalid_request_error", "prompt is too long: 210000 tokens"),
        AnswerStatus.UNPARSEABLE,
        "too long",
    ),
    (fault(413, "request_too_large"), AnswerStatus.UNPARSEABLE, "413"),
]


@pytest.mark.parametrize(("outcome", "status", "reason"), UNUSABLE)
def test_what_can_not_be_used_is_kept_with_its_reason(
    outcome: Outcome, status: AnswerStatus, reason: str, server: FaultyTeacher
) -> None:
    server.script(TEXT, [outcome])
    answer = ask(teacher_at(server))
    assert (answer.status, answer.value) == (status, None)
    assert reason in answer.reason


def test_thinking_is_no_part_of_the_answer(server: FaultyTeacher) -> None:
    server.script(TEXT, [message(content=THOUGHT)])
    assert ask(teacher_at(server)).raw == CARD


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"content": {}}',
        b'{"content": [1]}',
        b'{"content": [{"type": "text", "text": 3}]}',
        b'{"content": [{"type": "tool_use", "name": "other", "input": {}}]}',
        b'{"content": [{"type": "text", "te',
        b"\xff\xfe{",
        b"[" * 100_000,
    ],
)
def test_a_body_that_is_no_message_may_have_cost(body: bytes, server: FaultyTeacher) -> None:
    server.script(TEXT, [Outcome(body=body)])
    with pytest.raises(TeacherUnavailable, match="no reply") as caught:
        ask(teacher_at(server, price=PRICE))
    assert caught.value.billed and caught.value.unaccounted > 0


PASSING = [
    fault(529, "overloaded_error", "Overloaded"),
    fault(429, "rate_limit_error"),
    fault(500, "api_error"),
    fault(504, "timeout_error"),
    fault(200, "overloaded_error", "Overloaded"),
]


@pytest.mark.parametrize("outcome", PASSING)
def test_passing_faults(outcome: Outcome, server: FaultyTeacher) -> None:
    server.script(TEXT, [outcome])
    with pytest.raises(TeacherUnavailable) as caught:
        ask(teacher_at(server))
    assert not caught.value.billed


def test_a_rate_limit_says_when_it_is_free_again(server: FaultyTeacher) -> None:
    soon = (datetime.now(UTC) + timedelta(seconds=20)).strftime("%Y-%m-%dT%H:%M:%SZ")
    late = (datetime.now(UTC) + timedelta(seconds=50)).strftime("%Y-%m-%dT%H:%M:%SZ")
    headers = {
        "anthropic-ratelimit-requests-remaining": "4",
        "anthropic-ratelimit-requests-reset": soon,
        "anthropic-ratelimit-tokens-remaining": "0",
        "anthropic-ratelimit-tokens-reset": late,
    }
    server.script(TEXT, [fault(429, "rate_limit_error", headers=headers)])
    with pytest.raises(TeacherUnavailable) as caught:
        ask(teacher_at(server))
    assert caught.value.retry_after is not None and 40 < caught.value.retry_after <= 50


FINAL = [
    fault(401, "authentication_error", "invalid x-api-key"),
    fault(402, "billing_error"),
    fault(403, "permission_error", "your account may not use this model"),
    fault(404, "not_found_error", "model: scripted-1"),
    fault(400, "invalid_request_error", "Your credit balance is too low to access the API"),
    fault(400, "invalid_request_error", "You have reached your specified API usage limits."),
    fault(429, "rate_limit_error", details={"error_code": "enforced_spend_limit_reached"}),
]


@pytest.mark.parametrize("outcome", FINAL)
def test_refused_access(outcome: Outcome, server: FaultyTeacher) -> None:
    server.script(TEXT, [outcome])
    with pytest.raises(TeacherRefusesAccess, match="ANTHROPIC_API_KEY"):
        ask(teacher_at(server))


def test_a_model_without_formats_is_made_to_call_a_tool(server: FaultyTeacher) -> None:
    said = "output_config: Extra inputs are not permitted"
    called = message(content=[{"type": "tool_use", "id": "t", "name": "answer", "input": {"label": "card"}}])
    server.script(TEXT, [fault(400, "invalid_request_error", said), called])
    server.script("again", [called])
    teacher = teacher_at(server)
    revision = teacher.revision
    assert ask(teacher).value == ask(teacher, "again").value == "card"
    for request in server.requests[1:]:
        assert "output_config" not in request
        assert request["tools"][0]["input_schema"] == TASK.json_schema()
        assert request["tool_choice"] == {"type": "tool", "name": "answer"}
    assert len(server.requests) == 3 and teacher.revision == revision


def test_whatever_is_turned_down_is_left_out_once_and_for_all(server: FaultyTeacher) -> None:
    for name in ("output_config.format", "tools", "system.0.cache_control", "temperature"):
        server.scripts.setdefault(TEXT, []).append(
            fault(400, "invalid_request_error", f"{name}: not supported by this model")
        )
    teacher = teacher_at(server)
    assert ask(teacher).value == ask(teacher, "again").value == "card"
    assert len(server.requests) == 6
    for request in server.requests[-2:]:
        assert {*request} == {"model", "max_tokens", "messages", "system"}
        assert isinstance(request["system"], str)


def test_cached_input_is_priced_apart(server: FaultyTeacher) -> None:
    usage = {
        "input_tokens": 10,
        "cache_creation_input_tokens": 100,
        "cache_read_input_tokens": 1000,
        "output_tokens": 5,
    }
    server.script(TEXT, [message(usage=usage)])
    teacher = teacher_at(server, price=PRICE)
    bound = teacher.most_expensive([Prompt("1", TEXT)])
    answer = ask(teacher)
    assert answer.usage.input_tokens == 1110
    cost = (10 * 4.0 + 100 * 1.25 * 4.0 + 1000 * 0.4 + 5 * 20.0) / 1e6
    assert answer.usage.cost == pytest.approx(cost)
    size = len(json.dumps(server.requests[0]["system"])) + len(TEXT)
    assert bound >= (size * 1.25 * 4.0 + 256 * 20.0) / 1e6
    server.script(TEXT, [message(usage={"input_tokens": True, "output_tokens": -1})])
    assert ask(teacher).usage.cost == pytest.approx(bound)  # no account: the bound


def test_another_machine_needs_price_and_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    context = TeacherContext(TASK, (), Path())
    with pytest.raises(ConfigError, match=r"api\.anthropic\.com"):
        AnthropicTeacher(AnthropicTeacherConfig(model="no-such-model"), context)
    with pytest.raises(ConfigError, match="ANTHROPIC_API_KEY"):
        AnthropicTeacher(AnthropicTeacherConfig(model="m", price=PRICE), context)
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-secret\n")  # as `export X=$(cat file)` may leave it
    assert AnthropicTeacher(AnthropicTeacherConfig(model="m", price=PRICE), context).paid
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant\nsecret")
    with pytest.raises(ConfigError, match="no key has") as caught:
        AnthropicTeacher(AnthropicTeacherConfig(model="m", price=PRICE), context)
    assert "secret" not in str(caught.value)
    with pytest.raises(ValidationError, match="less than or equal to 1"):
        AnthropicTeacherConfig(model="m", temperature=1.5)
