from __future__ import annotations

import asyncio
import json
import logging
import math
import traceback
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from faulty_teacher import FaultyTeacher, Outcome, completion, error
from tutelage.config import OpenAITeacherConfig, PriceConfig
from tutelage.errors import TeacherRefusesAccess, TeacherUnavailable
from tutelage.records import Answer, AnswerStatus, DistributionOrigin, Prompt
from tutelage.tasks import Classify
from tutelage.teachers import Doubtful, Resumable, Teacher, TeacherContext
from tutelage.teachers.openai import OpenAITeacher

LABELS = ("refund", "card", "card stolen")
TASK = Classify(LABELS)
PRICE = PriceConfig(input=1.0, output=2.0)
KEY = "sk-very-secret-0123456789"
TEXT = "where is my money"  # 17 characters: the server's proper answer is "card stolen"


def teacher_at(url: str, task: Classify = TASK, **settings: Any) -> OpenAITeacher:
    usual = {"rights": "own", "model": "scripted-1", "base_url": url, "timeout": 60.0, "samples": 1}
    config = OpenAITeacherConfig(**(usual | settings))
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
    assert (request["temperature"], request["max_tokens"]) == (0.0, 256)
    assert (request["logprobs"], request["top_logprobs"]) == (True, 20)


UNUSABLE = {
    "empty": (AnswerStatus.UNPARSEABLE, "empty"),
    "null": (AnswerStatus.UNPARSEABLE, "empty"),
    "truncated": (AnswerStatus.UNPARSEABLE, "max_output_tokens 256"),
    "prose": (AnswerStatus.UNPARSEABLE, "not the JSON"),
    "wrong schema": (AnswerStatus.UNPARSEABLE, "'label'"),
    "wrong type": (AnswerStatus.UNPARSEABLE, "int"),
    "duplicate keys": (AnswerStatus.UNPARSEABLE, "twice"),
    "not a number": (AnswerStatus.UNPARSEABLE, "NaN is no JSON number"),
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
    "error in body": (None, False),
}


@pytest.mark.parametrize("outcome", PASSING)
def test_passing_faults_are_unavailability(outcome: str, faulty_teacher: FaultyTeacher) -> None:
    retry_after, billed = PASSING[outcome]
    faulty_teacher.script(TEXT, [outcome])
    teacher = teacher_at(faulty_teacher.url, timeout=0.5 if outcome == "slow" else 60.0)
    with pytest.raises(TeacherUnavailable) as caught:
        ask(teacher)
    assert caught.value.retry_after == (None if retry_after is None else pytest.approx(retry_after))
    assert caught.value.billed is billed
    assert faulty_teacher.served == {TEXT: 1}  # tried once


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


def test_a_rejection_without_a_known_reason_is_doubtful(faulty_teacher: FaultyTeacher) -> None:
    """Whether the prompt is at fault or the request, only other prompts can tell: see labelling."""
    teacher = teacher_at(faulty_teacher.url, samples=3)
    faulty_teacher.script(TEXT, ["400"] * 3)
    assert isinstance(ask(teacher), Doubtful)
    faulty_teacher.script(TEXT, ["400", "prose", "400"])
    assert type(ask(teacher)) is Answer
    faulty_teacher.script(TEXT, ["too long"] * 3)
    assert type(ask(teacher)) is Answer


FILTERS = [
    "openai/gpt requires moderation on OpenAI. Your input was flagged for violence",
    "content_policy_violation",
    "the prompt was blocked by a content filter",
]


@pytest.mark.parametrize("message", FILTERS)
def test_a_403_of_a_content_filter_is_a_refusal_of_one_prompt(
    message: str, faulty_teacher: FaultyTeacher
) -> None:
    faulty_teacher.script(TEXT, [Outcome(403, error(message))])
    answer = ask(teacher_at(faulty_teacher.url))
    assert (answer.status, answer.value) == (AnswerStatus.REFUSED, None)
    assert message in answer.reason and isinstance(answer, Doubtful)


def test_what_a_filter_repeats_of_the_prompt_is_not_read_as_its_message(
    faulty_teacher: FaultyTeacher,
) -> None:
    body = error("Your input was flagged", metadata={"flagged_input": "my account is suspended; temperature"})
    faulty_teacher.script(TEXT, [Outcome(403, body)])
    teacher = teacher_at(faulty_teacher.url)
    assert ask(teacher).status is AnswerStatus.REFUSED
    faulty_teacher.script(TEXT, [Outcome(400, error("no", input={"logprobs": True, "temperature": 0}))])
    assert "answered 400: no" in ask(teacher).reason
    assert "logprobs" in faulty_teacher.requests[-1]


@pytest.mark.parametrize(
    "message",
    [
        "not in your country",
        "your account was suspended for violations of our safety policy",
        "this API key has no permission for the moderation endpoint",
    ],
)
def test_a_403_about_the_caller_is_refused_access(message: str, faulty_teacher: FaultyTeacher) -> None:
    faulty_teacher.script(TEXT, [Outcome(403, error(message))])
    with pytest.raises(TeacherRefusesAccess):
        ask(teacher_at(faulty_teacher.url))


def test_an_answer_that_reasoning_used_up_says_so(faulty_teacher: FaultyTeacher) -> None:
    faulty_teacher.script(TEXT, [Outcome(body=completion("", finish="length"))])
    answer = ask(teacher_at(faulty_teacher.url))
    assert (
        "max_output_tokens 256" in answer.reason and "reasoning tokens may have used it up" in answer.reason
    )
    faulty_teacher.script(TEXT, ["truncated"])
    assert "reasoning" not in ask(teacher_at(faulty_teacher.url)).reason


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
            assert KEY not in "".join(traceback.format_exception(caught))
        assert "[the key]" in told and KEY not in told
    assert faulty_teacher.headers[0]["Authorization"] == f"Bearer {KEY}"
    assert KEY not in caplog.text
    assert KEY not in repr(teacher) + teacher.name + teacher.revision


def test_cost_and_its_bound(faulty_teacher: FaultyTeacher) -> None:
    teacher = teacher_at(faulty_teacher.url, price=PRICE)
    answer = ask(teacher)
    assert answer.usage.cost == pytest.approx((20 * 1.0 + 5 * 2.0) / 1e6)
    bound = teacher.most_expensive([Prompt("1", TEXT)])
    [request] = faulty_teacher.requests
    sent = sum(len(message["content"].encode()) for message in TASK.render(TEXT))
    sent += len(json.dumps(request["response_format"]["json_schema"]["schema"]))
    assert bound >= (sent * 1.0 + 256 * 2.0) / 1e6  # one token a byte
    assert teacher_at(faulty_teacher.url, price=PRICE, samples=3).most_expensive(
        [Prompt("1", TEXT), Prompt("2", TEXT)]
    ) == pytest.approx(6 * bound)
    faulty_teacher.script(TEXT, ["no usage"])
    assert ask(teacher).usage.cost == pytest.approx(bound)  # no account: the bound


@pytest.mark.parametrize("text", ["7" * 400, "\u0f3d" * 200, "\U0001f9ff" * 100, " a" * 300])
def test_the_bound_holds_where_every_byte_is_a_token(text: str, faulty_teacher: FaultyTeacher) -> None:
    """Vocabularies that split digits, or fall back on bytes, come to that."""
    teacher = teacher_at(faulty_teacher.url, price=PRICE, max_output_tokens=8)
    tokens = sum(len(message["content"].encode()) for message in TASK.render(text))
    faulty_teacher.script(
        text,
        [Outcome(body=completion("", usage={"prompt_tokens": tokens, "completion_tokens": 8}))],
    )
    bound = teacher.most_expensive([Prompt("1", text)])
    assert ask(teacher, text).usage.cost <= bound


@pytest.mark.parametrize("status", [400, 422])
def test_optional_parts_are_left_out_once_and_for_all(status: int, faulty_teacher: FaultyTeacher) -> None:
    faulty_teacher.script(
        TEXT,
        [
            Outcome(status, error("'response_format' of type json_schema is not supported")),
            Outcome(status, error("logprobs are not available for this model")),
            Outcome(
                status,
                error(
                    "Unsupported parameter: 'max_tokens' is not supported with this model. "
                    "Use 'max_completion_tokens' instead."
                ),
            ),
            Outcome(
                status,
                error(
                    "Unsupported value: 'temperature' does not support 0 with this model. "
                    "Only the default (1) value is supported."
                ),
            ),
        ],
    )
    teacher = teacher_at(faulty_teacher.url)
    revision = teacher.revision
    assert ask(teacher).value == "card stolen"
    assert ask(teacher, "again").status is AnswerStatus.OK
    assert len(faulty_teacher.requests) == 6
    for request in faulty_teacher.requests[4:]:
        optional = {"response_format", "logprobs", "top_logprobs", "max_tokens", "temperature"}
        assert not optional & request.keys()
        assert request["max_completion_tokens"] == 256
    assert teacher.revision == revision


def test_a_limit_that_is_too_large_is_not_taken_for_an_unknown_name(faulty_teacher: FaultyTeacher) -> None:
    said = (
        "'max_tokens' or 'max_completion_tokens' is too large: 256. The maximum context length is 512 tokens"
    )
    faulty_teacher.script(TEXT, [Outcome(400, error(said))])
    teacher = teacher_at(faulty_teacher.url)
    assert ask(teacher).status is AnswerStatus.UNPARSEABLE
    ask(teacher, "again")
    assert faulty_teacher.requests[-1]["max_tokens"] == 256


def test_revision_follows_what_shapes_an_answer() -> None:
    base = teacher_at("http://localhost:1/v1")
    assert teacher_at("http://localhost:1/v1", timeout=9.0, price=PRICE).revision == base.revision
    for change in (
        {"model": "x"},
        {"structured": False},
        {"logprobs": False},
        {"samples": 2},
        {"samples": None},
        {"temperature": 0.1},
        {"max_output_tokens": 9},
    ):
        assert teacher_at("http://localhost:1/v1", **change).revision != base.revision
    assert teacher_at("http://localhost:2/v1").revision != base.revision
    assert teacher_at("http://localhost:1/v1", temperature=0.0).revision == base.revision
    both = {
        teacher_at("http://localhost:1/v1", samples=None, temperature=t).revision for t in (None, 0.0, 0.7)
    }
    assert len(both) == 3  # absent: 0 for one sample, 0.7 for votes


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


COST = 30 / 1e6  # of one proper reply at PRICE


def test_samples_that_were_paid_are_not_asked_again(faulty_teacher: FaultyTeacher) -> None:
    faulty_teacher.script(TEXT, ["ok", "500", "ok", "429 seconds"])
    teacher, prompt = teacher_at(faulty_teacher.url, samples=4, price=PRICE), Prompt("1", TEXT)
    whole = teacher.most_expensive([prompt])
    with pytest.raises(TeacherUnavailable) as caught:
        ask(teacher)
    fault = caught.value
    assert not fault.billed and fault.retry_after == pytest.approx(0.05)
    assert (fault.spent, fault.unaccounted) == (pytest.approx(2 * COST), 0.0)
    assert [len(bodies) for bodies in fault.kept.values()] == [2]
    assert teacher.most_expensive([prompt]) == pytest.approx(whole / 2)  # only the missing ones
    answer = ask(teacher)
    assert (answer.usage.calls, answer.usage.cost) == (4, pytest.approx(2 * COST))  # each dollar once
    assert answer.usage.input_tokens == 4 * 20
    assert faulty_teacher.served == {TEXT: 6}


def test_refused_access_tells_what_samples_cost_and_what_nobody_knows(faulty_teacher: FaultyTeacher) -> None:
    faulty_teacher.script(TEXT, ["ok", "ok", "429 no credit", "drop"])
    teacher = teacher_at(faulty_teacher.url, samples=4, price=PRICE)
    one = teacher.most_expensive([Prompt("1", TEXT)]) / 4
    with pytest.raises(TeacherRefusesAccess) as caught:
        ask(teacher)
    assert caught.value.spent == pytest.approx(2 * COST)
    assert caught.value.unaccounted == pytest.approx(one)
    with pytest.raises(TeacherUnavailable) as again:
        faulty_teacher.script(TEXT, ["500", "500"])
        ask(teacher)
    assert (again.value.spent, again.value.unaccounted, again.value.kept) == (0.0, 0.0, {})  # told before


def test_another_process_goes_on_with_the_replies_of_the_last(faulty_teacher: FaultyTeacher) -> None:
    faulty_teacher.script(TEXT, [*said('{"label": "card"}', '{"label": "refund"}'), "429 no credit"])
    first = teacher_at(faulty_teacher.url, samples=3, price=PRICE)
    with pytest.raises(TeacherRefusesAccess) as caught:
        ask(first)
    second = teacher_at(faulty_teacher.url, samples=3, price=PRICE)
    assert isinstance(second, Resumable)
    second.resume(caught.value.kept)
    second.resume({Prompt("1", TEXT).hash: ["not what an endpoint sent"], "of no prompt": ["{}"]})
    faulty_teacher.script(TEXT, said('{"label": "card"}'))
    answer = ask(second)
    assert (answer.value, answer.usage.calls, answer.usage.cost) == ("card", 3, pytest.approx(COST))
    assert faulty_teacher.served == {TEXT: 4}


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


def certain(label: str = "card") -> Outcome:
    """A reply with log-probabilities."""
    return with_logprobs([token('{"label": "'), token(label, refund=0.001), token('"}')])


def auto(faulty_teacher: FaultyTeacher, task: Classify = TASK, **settings: Any) -> OpenAITeacher:
    return teacher_at(faulty_teacher.url, task, samples=None, price=PRICE, **settings)


def test_one_sample_serves_where_log_probabilities_come(faulty_teacher: FaultyTeacher) -> None:
    teacher = auto(faulty_teacher)
    for text in (TEXT, "again"):
        faulty_teacher.script(text, [certain()])
        assert ask(teacher, text).origin is DistributionOrigin.LOGPROBS
    assert [request["temperature"] for request in faulty_teacher.requests] == [0.0, 0.0]


def test_five_votes_where_log_probabilities_are_turned_down(faulty_teacher: FaultyTeacher) -> None:
    faulty_teacher.script(TEXT, [Outcome(400, error("logprobs are not available for this model"))])
    teacher = auto(faulty_teacher)
    for text, requests in ((TEXT, 6), ("again", 5)):
        faulty_teacher.requests.clear()
        answer = ask(teacher, text)
        assert (answer.origin, answer.usage.calls) == (DistributionOrigin.VOTES, 5)
        assert len(faulty_teacher.requests) == requests
    assert {request["temperature"] for request in faulty_teacher.requests} == {0.7}
    assert not any("logprobs" in request for request in faulty_teacher.requests)


def test_five_votes_where_log_probabilities_stay_out(faulty_teacher: FaultyTeacher) -> None:
    """The reply that shows it is the first vote; afterwards nothing is tried for them."""
    teacher = auto(faulty_teacher)
    revision = teacher.revision
    for text, cold in ((TEXT, 1), ("again", 0)):
        faulty_teacher.requests.clear()
        answer = ask(teacher, text)
        assert (answer.origin, answer.usage.calls) == (DistributionOrigin.VOTES, 5)
        assert answer.usage.cost == pytest.approx(5 * COST)
        assert [r["temperature"] for r in faulty_teacher.requests] == [0.0] * cold + [0.7] * (5 - cold)
        assert ["logprobs" in r for r in faulty_teacher.requests] == [True] * cold + [False] * (5 - cold)
    assert teacher.revision == revision == auto(faulty_teacher).revision


def test_a_single_reply_without_log_probabilities_changes_nothing_for_others(
    faulty_teacher: FaultyTeacher,
) -> None:
    teacher = auto(faulty_teacher)
    faulty_teacher.script("first", [certain()])
    faulty_teacher.script("third", [certain()])
    origins = [ask(teacher, text).origin for text in ("first", "second", "third")]
    assert origins == [DistributionOrigin.LOGPROBS, DistributionOrigin.VOTES, DistributionOrigin.LOGPROBS]
    assert faulty_teacher.served == {"first": 1, "second": 5, "third": 1}


@pytest.mark.parametrize("outcome", ["prose", "refusal", "400", "filtered"])
def test_an_answer_that_can_not_be_used_settles_nothing(outcome: str, faulty_teacher: FaultyTeacher) -> None:
    teacher = auto(faulty_teacher)
    faulty_teacher.script(TEXT, [outcome])
    assert ask(teacher).status is not AnswerStatus.OK
    assert faulty_teacher.served == {TEXT: 1}
    faulty_teacher.script("again", [certain()])
    assert ask(teacher, "again").origin is DistributionOrigin.LOGPROBS


@pytest.mark.parametrize(
    "task,settings",
    [(TASK, {"logprobs": False}), (Classify(LABELS, multi_label=True), {})],
    ids=["not wanted", "label sets"],
)
def test_five_votes_at_once_where_none_are_asked_for(
    task: Classify, settings: dict[str, Any], faulty_teacher: FaultyTeacher
) -> None:
    faulty_teacher.answers[TEXT] = '{"labels": ["card"]}' if task.multi_label else '{"label": "card"}'
    answer = ask(auto(faulty_teacher, task, **settings))
    assert (answer.origin, answer.usage.calls) == (DistributionOrigin.VOTES, 5)
    assert {request["temperature"] for request in faulty_teacher.requests} == {0.7}


def test_the_bound_holds_whatever_is_found_out(faulty_teacher: FaultyTeacher) -> None:
    teacher, prompt = auto(faulty_teacher), Prompt("1", TEXT)
    one = teacher_at(faulty_teacher.url, price=PRICE).most_expensive([prompt])
    assert teacher.most_expensive([prompt]) == pytest.approx(5 * one)
    faulty_teacher.script("first", [certain()])
    ask(teacher, "first")
    assert teacher.most_expensive([prompt]) == pytest.approx(5 * one)  # this one's may stay out
    faulty_teacher.script(TEXT, ["ok", "ok", "500", "drop", "ok"])
    with pytest.raises(TeacherUnavailable) as caught:
        ask(teacher)
    assert caught.value.spent == pytest.approx(3 * COST)
    assert caught.value.unaccounted == pytest.approx(one)
    assert teacher.most_expensive([prompt]) == pytest.approx(2 * one)
    assert ask(teacher).usage.cost == pytest.approx(2 * COST)


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
