from __future__ import annotations

import asyncio
import json
import logging
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from faulty_teacher import OUTCOMES, FaultyTeacher, Outcome, completion, error
from tutelage.config import OpenAITeacherConfig, PriceConfig
from tutelage.errors import ConfigError, TeacherRefusesAccess, TeacherUnavailable
from tutelage.records import Answer, AnswerStatus, DistributionOrigin, Prompt
from tutelage.tasks import Classify
from tutelage.teachers import Teacher, TeacherContext
from tutelage.teachers.openai import OpenAITeacher

LABELS = ("refund", "card", "card stolen")
TASK = Classify(LABELS)
PRICE = PriceConfig(input=1.0, output=2.0)
KEY = "sk-very-secret-0123456789"
TEXT = "where is my money"  # 17 characters: the server's proper answer is "card stolen"


def teacher_at(url: str, task: Classify = TASK, **settings: Any) -> OpenAITeacher:
    config = OpenAITeacherConfig(
        **{"rights": "own", "model": "scripted-1", "base_url": url, "timeout": 0.5, **settings}
    )
    return OpenAITeacher(config, TeacherContext(task, (), Path()))


def ask(teacher: OpenAITeacher, text: str = TEXT) -> Answer:
    [answer] = asyncio.run(teacher.answer([Prompt("1", text)]))
    return answer


def test_is_a_teacher_and_answers(faulty_teacher: FaultyTeacher) -> None:
    teacher = teacher_at(faulty_teacher.url)
    assert isinstance(teacher, Teacher)
    answer = ask(teacher)
    assert (answer.status, answer.value) == (AnswerStatus.OK, "card stolen")
    assert (answer.distribution, answer.origin) == (None, DistributionOrigin.NONE)
    assert answer.raw == '{"label": "card stolen"}'
    assert answer.model == "scripted-1"
    assert (answer.usage.input_tokens, answer.usage.output_tokens, answer.usage.calls) == (20, 5, 1)
    assert answer.usage.cost == 0.0 and answer.usage.latency > 0
    assert not teacher.paid
    [request] = faulty_teacher.requests
    assert request["messages"] == TASK.render(TEXT)
    assert request["response_format"]["json_schema"]["schema"] == TASK.json_schema()
    assert (request["temperature"], request["max_tokens"]) == (0.0, 64)
    assert (request["logprobs"], request["top_logprobs"]) == (True, 20)


UNUSABLE = {
    "empty": (AnswerStatus.UNPARSEABLE, "empty"),
    "null": (AnswerStatus.UNPARSEABLE, "empty"),
    "truncated": (AnswerStatus.UNPARSEABLE, "max_output_tokens 64"),
    "prose": (AnswerStatus.UNPARSEABLE, "not the JSON"),
    "wrong schema": (AnswerStatus.UNPARSEABLE, "'label'"),
    "wrong type": (AnswerStatus.UNPARSEABLE, "int"),
    "duplicate keys": (AnswerStatus.UNPARSEABLE, "twice"),
    "not a number": (AnswerStatus.UNPARSEABLE, "float"),
    "out of set": (AnswerStatus.OUT_OF_SET, "weather"),
    "lone surrogate": (AnswerStatus.OUT_OF_SET, "label set"),
    "refusal": (AnswerStatus.REFUSED, "declined"),
    "refusal in words": (AnswerStatus.REFUSED, "declined"),
    "filtered": (AnswerStatus.REFUSED, "content management policy"),
    "filtered answer": (AnswerStatus.REFUSED, "content filter"),
    "too long": (AnswerStatus.UNPARSEABLE, "context length"),
    "400": (AnswerStatus.UNPARSEABLE, "answered 400"),
}


@pytest.mark.parametrize("outcome", UNUSABLE)
def test_what_can_not_be_used_is_kept_with_its_reason(outcome: str, faulty_teacher: FaultyTeacher) -> None:
    status, reason = UNUSABLE[outcome]
    faulty_teacher.script(TEXT, [outcome])
    answer = ask(teacher_at(faulty_teacher.url))
    assert (answer.status, answer.value, answer.distribution) == (status, None, None)
    assert reason in answer.reason
    answer.raw.encode("utf-8")
    if outcome == "prose":
        assert answer.raw.startswith("Sure!")


PASSING = {  # retry_after, billed
    "429 seconds": (0.05, False),
    "429 ms": (0.05, False),
    "429": (None, False),
    "500": (None, False),
    "502": (None, False),
    "503": (None, False),
    "529": (None, False),
    "slow": (None, True),
    "drop": (None, True),
    "malformed body": (None, True),
    "empty body": (None, True),
    "no choices": (None, True),
    "list body": (None, True),
    "deep body": (None, True),
    "content is a list": (None, True),
    "invalid utf-8": (None, True),
    "error in body": (None, False),
}


@pytest.mark.parametrize("outcome", PASSING)
def test_passing_faults_are_unavailability(outcome: str, faulty_teacher: FaultyTeacher) -> None:
    retry_after, billed = PASSING[outcome]
    faulty_teacher.script(TEXT, [outcome])
    with pytest.raises(TeacherUnavailable) as caught:
        ask(teacher_at(faulty_teacher.url))
    assert caught.value.retry_after == (None if retry_after is None else pytest.approx(retry_after))
    assert caught.value.billed is billed
    assert faulty_teacher.served == {TEXT: 1}  # the SDK tries once


def test_retry_after_as_a_date(faulty_teacher: FaultyTeacher) -> None:
    faulty_teacher.script(TEXT, ["429 date"])
    with pytest.raises(TeacherUnavailable) as caught:
        ask(teacher_at(faulty_teacher.url))
    assert caught.value.retry_after is not None and 25 < caught.value.retry_after <= 30


@pytest.mark.parametrize("header", ["soon", "nan", "-3", "inf", "Mon, 99 Foo 2031"])
def test_odd_retry_after_is_survived(header: str, faulty_teacher: FaultyTeacher) -> None:
    faulty_teacher.script(TEXT, [Outcome(429, error("x"), {"Retry-After": header})])
    with pytest.raises(TeacherUnavailable) as caught:
        ask(teacher_at(faulty_teacher.url))
    assert caught.value.retry_after == (0.0 if header == "-3" else None)


def test_nobody_listens() -> None:
    with pytest.raises(TeacherUnavailable, match=r"connection to 127\.0\.0\.1 failed") as caught:
        ask(teacher_at("http://127.0.0.1:9/v1"))
    assert not caught.value.billed


@pytest.mark.parametrize("outcome", ["401", "402", "403", "404", "429 no credit"])
def test_refused_access(outcome: str, faulty_teacher: FaultyTeacher) -> None:
    faulty_teacher.script(TEXT, [outcome])
    with pytest.raises(TeacherRefusesAccess, match="OPENAI_API_KEY"):
        ask(teacher_at(faulty_teacher.url))


def test_a_request_that_is_always_rejected_is_not_the_prompts_fault(faulty_teacher: FaultyTeacher) -> None:
    faulty_teacher.default = OUTCOMES["400"]()
    teacher = teacher_at(faulty_teacher.url)
    for _ in range(3):
        assert ask(teacher).status is AnswerStatus.UNPARSEABLE
    with pytest.raises(TeacherRefusesAccess, match="none was answered"):
        ask(teacher)


def test_the_key_is_sent_and_never_told(
    faulty_teacher: FaultyTeacher, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("SOME_KEY", KEY)
    caplog.set_level(logging.DEBUG)
    teacher = teacher_at(faulty_teacher.url, api_key_env="SOME_KEY")
    for status in (400, 401, 500):
        faulty_teacher.script(TEXT, [Outcome(status, error(f"bad key {KEY}"))])
        try:
            told = ask(teacher).reason
        except (TeacherRefusesAccess, TeacherUnavailable) as caught:
            told = str(caught)
            assert caught.__cause__ is None and caught.__suppress_context__
        assert "[the key]" in told and KEY not in told
    assert faulty_teacher.headers[0]["Authorization"] == f"Bearer {KEY}"
    assert KEY not in caplog.text
    assert KEY not in repr(teacher) + teacher.name + teacher.revision


def test_another_machine_needs_price_and_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(ConfigError, match=r"teacher\.price"):
        teacher_at("https://api.example.com/v1")
    with pytest.raises(ConfigError, match="OPENAI_API_KEY"):
        teacher_at("https://api.example.com/v1", price=PRICE)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    assert teacher_at("https://api.example.com/v1", price=PRICE).paid
    assert not teacher_at("http://localhost:1/v1").paid
    assert not teacher_at("http://[::1]:1/v1").paid


def test_cost_and_its_bound(faulty_teacher: FaultyTeacher) -> None:
    teacher = teacher_at(faulty_teacher.url, price=PRICE)
    answer = ask(teacher)
    assert answer.usage.cost == pytest.approx((20 * 1.0 + 5 * 2.0) / 1e6)
    bound = teacher.most_expensive([Prompt("1", TEXT)])
    rendered = sum(len(message["content"].encode()) for message in TASK.render(TEXT))
    assert bound >= (rendered / 2 + 64 * 2.0) / 1e6
    assert teacher_at(faulty_teacher.url, price=PRICE, samples=3).most_expensive(
        [Prompt("1", TEXT), Prompt("2", TEXT)]
    ) == pytest.approx(6 * bound)
    faulty_teacher.script(TEXT, ["no usage"])
    assert ask(teacher).usage.cost == pytest.approx(bound)  # no account: the bound


@pytest.mark.parametrize("status", [400, 422])
def test_optional_parts_are_left_out_once_and_for_all(status: int, faulty_teacher: FaultyTeacher) -> None:
    faulty_teacher.script(
        TEXT,
        [
            Outcome(status, error("'response_format' of type json_schema is not supported")),
            Outcome(status, error("logprobs are not available for this model")),
            Outcome(status, error("Use 'max_completion_tokens' instead of 'max_tokens'")),
        ],
    )
    teacher = teacher_at(faulty_teacher.url)
    revision = teacher.revision
    assert ask(teacher).value == "card stolen"
    assert ask(teacher, "again").status is AnswerStatus.OK
    assert len(faulty_teacher.requests) == 5
    for request in faulty_teacher.requests[3:]:
        assert not {"response_format", "logprobs", "top_logprobs", "max_tokens"} & request.keys()
        assert request["max_completion_tokens"] == 64
    assert teacher.revision == revision


def test_revision_follows_what_shapes_an_answer() -> None:
    base = teacher_at("http://localhost:1/v1")
    assert teacher_at("http://localhost:1/v1", timeout=9.0, price=PRICE).revision == base.revision
    for change in (
        {"model": "x"},
        {"structured": False},
        {"logprobs": False},
        {"samples": 2},
        {"temperature": 0.1},
        {"max_output_tokens": 9},
    ):
        assert teacher_at("http://localhost:1/v1", **change).revision != base.revision
    assert teacher_at("http://localhost:2/v1").revision != base.revision
    assert teacher_at("http://localhost:1/v1", temperature=0.0).revision == base.revision


def said(*values: str) -> list[Outcome]:
    return [Outcome(body=completion(value)) for value in values]


def test_several_samples_vote(faulty_teacher: FaultyTeacher) -> None:
    card, refund = '{"label": "card"}', '{"label": "refund"}'
    faulty_teacher.script(TEXT, said(card, refund, card, "noise", card))
    answer = ask(teacher_at(faulty_teacher.url, samples=5, price=PRICE))
    assert (answer.value, answer.origin) == ("card", DistributionOrigin.VOTES)
    assert answer.distribution is not None
    np.testing.assert_allclose(answer.distribution, [0.25, 0.75, 0])
    assert answer.distribution.dtype == np.float32
    assert sorted(json.loads(answer.raw)) == sorted([card, refund, card, "noise", card])
    assert answer.reason == "1 of 5 samples had no usable answer"
    assert answer.usage.calls == 5 and answer.usage.cost == pytest.approx(5 * 30 / 1e6)
    assert {request["temperature"] for request in faulty_teacher.requests} == {0.7}
    assert not any("logprobs" in request for request in faulty_teacher.requests)


def test_a_tied_vote_goes_to_the_first_label(faulty_teacher: FaultyTeacher) -> None:
    faulty_teacher.script(TEXT, said('{"label": "card stolen"}', '{"label": "card"}'))
    assert ask(teacher_at(faulty_teacher.url, samples=2)).value == "card"


def test_votes_without_a_usable_sample(faulty_teacher: FaultyTeacher) -> None:
    faulty_teacher.script(TEXT, said("a", "b", '{"label": "weather"}'))
    answer = ask(teacher_at(faulty_teacher.url, samples=3))
    assert (answer.status, answer.value) == (AnswerStatus.UNPARSEABLE, None)
    assert "none of 3 samples" in answer.reason


def test_samples_that_were_paid_are_not_asked_again(faulty_teacher: FaultyTeacher) -> None:
    faulty_teacher.script(TEXT, ["ok", "500", "ok", "429 seconds"])
    teacher = teacher_at(faulty_teacher.url, samples=4)
    with pytest.raises(TeacherUnavailable) as caught:
        ask(teacher)
    assert caught.value.billed
    assert ask(teacher).usage.calls == 4
    assert faulty_teacher.served == {TEXT: 6}


def test_label_sets(faulty_teacher: FaultyTeacher) -> None:
    task = Classify(LABELS, multi_label=True)
    faulty_teacher.script(TEXT, said('{"labels": ["card", "refund"]}'))
    answer = ask(teacher_at(faulty_teacher.url, task))
    assert (answer.value, answer.distribution) == (("card", "refund"), None)
    faulty_teacher.script(
        TEXT, said('{"labels": ["card", "refund"]}', '{"labels": ["card"]}', '{"labels": []}')
    )
    answer = ask(teacher_at(faulty_teacher.url, task, samples=3))
    assert answer.distribution is not None
    np.testing.assert_allclose(answer.distribution, [1 / 3, 2 / 3, 0], rtol=1e-6)
    assert answer.value == ("card",)


def with_logprobs(content: Any) -> Outcome:
    body = json.loads(completion('{"label": "card"}'))
    body["choices"][0]["logprobs"] = {"content": content}
    return Outcome(body=json.dumps(body).encode())


def token(text: str, **alternatives: float) -> dict[str, Any]:
    probabilities = {text: 1.0, **alternatives}
    options = [{"token": name, "logprob": math.log(p)} for name, p in probabilities.items()]
    return {**options[0], "top_logprobs": options}


def test_logprobs_become_a_distribution(faulty_teacher: FaultyTeacher) -> None:
    first = token("card", refund=0.25)
    first["logprob"] = first["top_logprobs"][0]["logprob"] = math.log(0.75)
    faulty_teacher.script(TEXT, [with_logprobs([token('{"label": "'), first, token('"}')])])
    answer = ask(teacher_at(faulty_teacher.url))
    assert (answer.value, answer.origin) == ("card", DistributionOrigin.LOGPROBS)
    assert answer.distribution is not None
    np.testing.assert_allclose(answer.distribution, [0.25, 0.75, 0], atol=1e-6)


@pytest.mark.parametrize(
    "content", [None, [], {}, [{}], [{"token": 3, "logprob": 0}], [{"token": "a", "logprob": "x"}], [7]]
)
def test_odd_logprobs_cost_only_the_distribution(content: Any, faulty_teacher: FaultyTeacher) -> None:
    faulty_teacher.script(TEXT, [with_logprobs(content)])
    answer = ask(teacher_at(faulty_teacher.url))
    assert (answer.value, answer.distribution, answer.origin) == ("card", None, DistributionOrigin.NONE)


def test_one_teacher_serves_several_event_loops(faulty_teacher: FaultyTeacher) -> None:
    teacher = teacher_at(faulty_teacher.url)
    assert ask(teacher).value == ask(teacher).value == "card stolen"

    async def closed_and_open_again() -> None:
        await teacher.answer([Prompt("1", TEXT)])
        await teacher.close()
        await teacher.answer([Prompt("1", TEXT)])
        await teacher.close()
        await teacher.close()

    asyncio.run(closed_and_open_again())
