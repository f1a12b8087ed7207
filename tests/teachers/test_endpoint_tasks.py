"""Endpoints with tasks of every kind: what is asked for, and what of a reply becomes part of the answer."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from faulty_teacher import FaultyTeacher, Outcome, completion, error
from tutelage.config import AnthropicTeacherConfig, OpenAITeacherConfig, PriceConfig
from tutelage.errors import ConfigError, TeacherRefusesAccess
from tutelage.records import Answer, AnswerStatus, DistributionOrigin, Fields, Prompt, Value
from tutelage.signals import unpack
from tutelage.tasks import (
    Classify,
    Comparison,
    Example,
    Extract,
    Generate,
    Judge,
    Parsed,
    Prompting,
    RationaleMode,
)
from tutelage.teachers import TeacherContext
from tutelage.teachers._logprobs import Token, label_distribution
from tutelage.teachers.anthropic import AnthropicTeacher
from tutelage.teachers.openai import OpenAITeacher

TASK = Classify(("refund", "card", "card stolen"))
PRICE = PriceConfig(input=1.0, output=2.0)
TEXT = "where is my money"
CARD = '{"label": "card"}'


class Writes:
    """A task of open values: free text, where texts of the same length agree."""

    kind, version, labels, multi_label, answer_key = "generate", "1", (), False, ""
    strict = True
    prompting = Prompting()

    def render(self, text: str) -> list[dict[str, str]]:
        return [{"role": "user", "content": f"Write to: {text}"}]

    def json_schema(self) -> None:
        return None

    def parse(self, raw: str) -> Parsed:
        return Parsed(AnswerStatus.OK, raw) if raw else Parsed(AnswerStatus.UNPARSEABLE, None, "empty")

    def compare(self, answer: Value, reference: Value) -> Comparison:
        agree = len(answer) == len(reference)
        return Comparison(agree, float(agree))

    def vote(self, values: Sequence[Value]) -> tuple[Value, None]:
        return max(values, key=lambda one: sum(self.compare(one, other).agree for other in values)), None


SCORES = Judge(tuple(map(str, range(1, 11))), "How polite it is.", scored=True, reasons=RationaleMode.NONE)
RECORD = {
    "type": "object",
    "properties": {"order": {"type": "string"}, "days": {"type": "integer", "minimum": 0}},
    "required": ["order"],
}


def teacher_at(url: str, task: Any = TASK, top_k: int = 0, **settings: Any) -> OpenAITeacher:
    usual = {"rights": "own", "model": "scripted-1", "base_url": url, "timeout": 60.0}
    context = TeacherContext(task, (), Path(), top_k)
    return OpenAITeacher(OpenAITeacherConfig(**(usual | settings)), context)


def ask(teacher: Any, text: str = TEXT) -> Answer:
    [answer] = asyncio.run(teacher.answer([Prompt("1", text)]))
    return answer


def said(*texts: str) -> list[Outcome]:
    return [Outcome(body=completion(text)) for text in texts]


def with_tokens(*tokens: dict[str, float]) -> Outcome:
    """A reply of these tokens: each one's options, of which the first was taken."""
    content = []
    for options in tokens:
        listed = [
            {"token": text, "logprob": math.log(p), "bytes": list(text.encode())}
            for text, p in options.items()
        ]
        content.append({**listed[0], "top_logprobs": listed})
    body = json.loads(completion("".join(next(iter(options)) for options in tokens)))
    body["choices"][0]["logprobs"] = {"content": content}
    return Outcome(body=json.dumps(body).encode())


def test_open_values_are_asked_once_as_free_text(faulty_teacher: FaultyTeacher) -> None:
    faulty_teacher.script(f"Write to: {TEXT}", said("Dear you,"))
    teacher = teacher_at(faulty_teacher.url, Writes(), price=PRICE)
    one = teacher_at(faulty_teacher.url, Writes(), price=PRICE, samples=1)
    assert teacher.most_expensive([Prompt("1", TEXT)]) == one.most_expensive([Prompt("1", TEXT)])
    answer = ask(teacher)
    assert (answer.value, answer.distribution, answer.origin) == ("Dear you,", None, DistributionOrigin.NONE)
    assert answer.repeatability is None and answer.usage.calls == 1
    [request] = faulty_teacher.requests
    assert not {"response_format", "logprobs"} & request.keys()
    assert request["temperature"] == 0.0


def test_samples_of_open_values_vote_without_a_distribution(faulty_teacher: FaultyTeacher) -> None:
    faulty_teacher.script(f"Write to: {TEXT}", said("ab", "cd", "efg", "ab", ""))
    answer = ask(teacher_at(faulty_teacher.url, Writes(), samples=5))
    assert (answer.distribution, answer.origin) == (None, DistributionOrigin.NONE)
    assert answer.value in {"ab", "cd"}
    assert answer.repeatability == pytest.approx(
        3 / 6
    )  # of six pairs of the four usable, ab-cd, ab-ab, cd-ab
    assert answer.reason == "1 of 5 samples had no usable answer"


@pytest.mark.parametrize(
    ("texts", "share"),
    [
        ([CARD] * 5, 1.0),
        ([CARD, CARD, '{"label": "refund"}', CARD, CARD], 6 / 10),
        ([CARD, "?", "?", "?", "?"], None),
        (["?"] * 5, None),
    ],
)
def test_repeatability_is_the_share_of_agreeing_pairs(
    texts: list[str], share: float | None, faulty_teacher: FaultyTeacher
) -> None:
    faulty_teacher.script(TEXT, said(*texts))
    answer = ask(teacher_at(faulty_teacher.url, samples=5))
    assert answer.repeatability == (None if share is None else pytest.approx(share))


REASON = '{"rationale": "It says \\"label\\": \\"refund\\", but means a card.", "label": "card"}'


@pytest.mark.parametrize("mode", [RationaleMode.BEFORE, RationaleMode.AFTER])
def test_reasons_are_kept_and_do_not_confuse_the_search(
    mode: RationaleMode, faulty_teacher: FaultyTeacher
) -> None:
    task = replace(TASK, prompting=Prompting(rationale=mode))
    why = '"rationale": "It says \\"label\\": \\"refund\\"."'
    label = [{'"label": "': 1.0}, {"card": 0.7, "refund": 0.3}, {'"': 1.0}]
    before = [{"{" + why + ", ": 1.0}, *label, {"}": 1.0}]
    after = [{"{": 1.0}, *label, {", " + why + "}": 1.0}]
    faulty_teacher.script(TEXT, [with_tokens(*(before if mode is RationaleMode.BEFORE else after))])
    answer = ask(teacher_at(faulty_teacher.url, task))
    assert (answer.value, answer.rationale) == ("card", 'It says "label": "refund".')
    assert answer.origin is DistributionOrigin.LOGPROBS
    np.testing.assert_allclose(answer.distribution, [0.3, 0.7, 0], atol=1e-6)


def test_the_reasons_of_a_vote_are_those_of_a_sample_that_won(faulty_teacher: FaultyTeacher) -> None:
    task = replace(TASK, prompting=Prompting(rationale=RationaleMode.BEFORE))
    texts = [
        json.dumps({"rationale": why, "label": label})
        for why, label in (("x", "refund"), ("y", "card"), ("z", "card"))
    ]
    faulty_teacher.script(TEXT, said(*texts))
    answer = ask(teacher_at(faulty_teacher.url, task, samples=3))
    assert answer.value == "card" and answer.rationale in {"y", "z"}


def test_examples_are_sent_before_the_text(faulty_teacher: FaultyTeacher) -> None:
    task = replace(TASK, prompting=Prompting((Example("my card", "card"), Example("money", "refund"))))
    teacher = teacher_at(faulty_teacher.url, task, samples=1)
    for text in (TEXT, 'a"b\\c\n\u00e9\u2028\U0001f600', "", "{}"):
        ask(teacher, text)
        assert faulty_teacher.requests[-1]["messages"] == task.render(text)


def test_a_score_is_a_number_with_a_distribution(faulty_teacher: FaultyTeacher) -> None:
    faulty_teacher.script(
        TEXT, [with_tokens({'{"score": ': 1.0}, {"1": 0.9, "7": 0.1}, {"0": 0.75, "}": 0.25}, {"}": 1.0})]
    )
    answer = ask(teacher_at(faulty_teacher.url, SCORES))
    assert (answer.value, answer.origin) == ("10", DistributionOrigin.LOGPROBS)
    expected = np.zeros(10)
    expected[[0, 6, 9]] = 0.9 * 0.25, 0.1, 0.9 * 0.75
    np.testing.assert_allclose(answer.distribution, expected, atol=1e-6)


def test_a_verdict_comes_with_its_reasons_and_a_distribution(faulty_teacher: FaultyTeacher) -> None:
    judge = Judge(("polite", "rude"), "Whether it is polite.")
    why, verdict = (next(iter(judge.json_schema()["properties"])), judge.answer_key)
    before = f'{{"{why}": "It says please.", "{verdict}": "'
    faulty_teacher.script(
        TEXT, [with_tokens({before: 1.0}, {"pol": 0.8, "rude": 0.2}, {"ite": 1.0}, {'"}': 1.0})]
    )
    answer = ask(teacher_at(faulty_teacher.url, judge))
    assert (answer.value, answer.rationale) == ("polite", "It says please.")
    np.testing.assert_allclose(answer.distribution, [0.8, 0.2], atol=1e-6)


def test_a_record_is_asked_for_once_by_its_schema(faulty_teacher: FaultyTeacher) -> None:
    task = Extract(RECORD)
    faulty_teacher.script(TEXT, said('{"order": "A1", "days": 3}', '{"order": "A1", "days": "three"}'))
    teacher = teacher_at(faulty_teacher.url, task)
    answer = ask(teacher)
    assert (answer.value, answer.distribution) == (Fields({"order": "A1", "days": 3}), None)
    assert answer.usage.calls == 1
    assert ask(teacher).status is AnswerStatus.UNPARSEABLE
    schema = faulty_teacher.requests[0]["response_format"]["json_schema"]
    assert schema["schema"] == task.json_schema()
    assert schema.get("strict", False) == task.strict


def test_a_text_is_asked_for_without_a_schema(faulty_teacher: FaultyTeacher) -> None:
    faulty_teacher.script(TEXT, said("  Dear you,\n"))
    assert ask(teacher_at(faulty_teacher.url, Generate())).value == "Dear you,"
    assert "response_format" not in faulty_teacher.requests[0]


def walked(*steps: dict[str, float]) -> list[Token]:
    return [
        Token(next(iter(step)).encode(), {text.encode(): p for text, p in step.items()}) for step in steps
    ]


NUMBERS = {  # tokens of `{"score": 1 ...` and the shares of 1 and of 10
    "ended by a brace": (walked({'{"score":': 1.0}, {" 1": 1.0}, {"}": 0.8, "0": 0.2}), 0.8, 0.2),
    "ended by a comma": (walked({'{"score": 1': 1.0}, {", ": 0.8, "0,": 0.2}), 0.8, 0.2),
    "ended in its token": (walked({'{"score":': 1.0}, {' 1,"': 0.6, " 10}": 0.4}), 0.6, 0.4),
    "ended by a line": (walked({'{"score":': 1.0}, {" 1": 0.5, " 10": 0.5}, {"\n}": 1.0}), 0.5, 0.5),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_where_a_number_ends_tells_it_from_a_longer_one(name: str) -> None:
    tokens, one, ten = NUMBERS[name]
    row = label_distribution(tokens, "1", ["1", "10", "2"], "score", str)
    np.testing.assert_allclose(row, [one, ten, 0], atol=1e-6)


def test_a_number_is_not_found_at_the_beginning_of_a_longer_one() -> None:
    tokens = walked({'{"score": 10}': 1.0})
    assert label_distribution(tokens, "1", ["1", "10"], "score", str) is None


def test_a_key_with_odd_letters_is_found() -> None:
    tokens = walked({'{"bew\u00e9rtung": "': 1.0}, {"gut": 0.6, "schlecht": 0.4}, {'"}': 1.0})
    row = label_distribution(tokens, "gut", ["gut", "schlecht"], "bew\u00e9rtung")
    np.testing.assert_allclose(row, [0.6, 0.4], rtol=1e-6)


def test_tokens_are_kept_where_asked_for(faulty_teacher: FaultyTeacher) -> None:
    reply = with_tokens({"Dear": 0.5, "Hello": 0.3, "Hi": 0.2}, {" you": 1.0})
    faulty_teacher.script(f"Write to: {TEXT}", [reply])
    teacher = teacher_at(faulty_teacher.url, Writes(), top_k=2)
    answer = ask(teacher)
    kept = unpack(answer.tokens)
    assert kept.texts == ((b"Dear", b"Hello"), (b" you", b""))
    np.testing.assert_allclose(np.exp(kept.logprobs), [[0.5, 0.3], [1.0, 0.0]], rtol=1e-6)
    assert answer.distribution is None and answer.usage.calls == 1
    [request] = faulty_teacher.requests
    assert request["top_logprobs"] == 20 and request["temperature"] == 0.0
    assert teacher.revision != teacher_at(faulty_teacher.url, Writes()).revision


def test_tokens_come_with_votes_too(faulty_teacher: FaultyTeacher) -> None:
    refund = with_tokens({'{"label": "': 1.0}, {"refund": 0.9}, {'"}': 1.0})
    card = with_tokens({'{"label": "': 1.0}, {"card": 0.8}, {'"}': 1.0})
    faulty_teacher.script(TEXT, [refund, card, card])
    answer = ask(teacher_at(faulty_teacher.url, top_k=5, samples=3))
    assert (answer.value, answer.origin) == ("card", DistributionOrigin.VOTES)
    assert b"card" in unpack(answer.tokens).texts[1]
    assert {request["temperature"] for request in faulty_teacher.requests} == {0.7}


def test_an_endpoint_without_the_tokens_that_are_wanted_stops_the_run(faulty_teacher: FaultyTeacher) -> None:
    teacher = teacher_at(faulty_teacher.url, Writes(), top_k=5, price=PRICE)
    with pytest.raises(TeacherRefusesAccess, match=r"labelling\.signals.*Mend") as caught:
        ask(teacher)
    assert caught.value.spent == pytest.approx(30 / 1e6) and caught.value.kept  # the reply was paid for
    faulty_teacher.script(f"Write to: {TEXT}", [Outcome(400, error("logprobs are not available"))])
    with pytest.raises(TeacherRefusesAccess, match="logprobs are not available"):
        ask(teacher_at(faulty_teacher.url, Writes(), top_k=5))


def test_tokens_that_can_not_be_had_are_refused_before_anything_is_asked() -> None:
    with pytest.raises(ConfigError, match=r"teacher\.logprobs: true"):
        teacher_at("http://127.0.0.1:9/v1", top_k=5, logprobs=False)
    config = AnthropicTeacherConfig(model="m", base_url="http://127.0.0.1:9")
    with pytest.raises(ConfigError, match=r"labelling\.signals has tokens"):
        AnthropicTeacher(config, TeacherContext(TASK, (), Path(), 5))


def cut_off(text: str, finish: str = "length") -> Outcome:
    return Outcome(body=completion(text, finish=finish))


def test_a_text_that_was_cut_off_teaches_nothing(faulty_teacher: FaultyTeacher) -> None:
    faulty_teacher.script(TEXT, [cut_off("Dear customer, your parcel is")])
    answer = ask(teacher_at(faulty_teacher.url, Generate(), price=PRICE, max_output_tokens=7))
    assert (answer.status, answer.value) == (AnswerStatus.UNPARSEABLE, None)
    assert "max_output_tokens 7" in answer.reason and "Mend: raise it" in answer.reason
    assert answer.raw == "Dear customer, your parcel is" and answer.usage.cost > 0


@pytest.mark.parametrize("finish", ["content_filter", "SAFETY", "content_filter: PROHIBITED_CONTENT"])
def test_a_text_that_a_filter_cut_is_refused(finish: str, faulty_teacher: FaultyTeacher) -> None:
    faulty_teacher.script(TEXT, [cut_off("Dear customer, your", finish)])
    answer = ask(teacher_at(faulty_teacher.url, Generate()))
    assert (answer.status, answer.value) == (AnswerStatus.REFUSED, None)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"label": "card"}', "card"),
        ('```json\n{"label": "card"}\n```', "card"),
        ("refund", "refund"),  # no other label begins so
        ("card", None),  # may have been going to be "card stolen"
    ],
)
def test_of_a_label_what_came_before_the_cut_may_be_enough(
    text: str, value: str | None, faulty_teacher: FaultyTeacher
) -> None:
    faulty_teacher.script(TEXT, [cut_off(text)])
    assert ask(teacher_at(faulty_teacher.url, samples=1)).value == value


def test_reasons_beside_a_text_may_be_cut_off_too(faulty_teacher: FaultyTeacher) -> None:
    task = Generate(prompting=Prompting(rationale=RationaleMode.BEFORE))
    faulty_teacher.script(TEXT, [cut_off('{"rationale": "So.", "text": "Dear"}')])
    assert ask(teacher_at(faulty_teacher.url, task)).value == "Dear"  # the object is whole
    faulty_teacher.script(TEXT, [cut_off('{"rationale": "So.", "text": "De')])
    assert ask(teacher_at(faulty_teacher.url, task)).status is AnswerStatus.UNPARSEABLE


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('<think>\nThey want {"label": "refund"}.\n</think>\n\nDear you', "Dear you"),
        ("\n<think></think>Dear you", "Dear you"),
        ("They want money.\n</think>\n\nDear you", "Dear you"),  # begun in the prompt
        ("Dear you, <think> is a tag and </think> too", "Dear you, <think> is a tag and </think> too"),
        ("<think>They want money, and", None),
    ],
)
def test_what_a_model_thinks_is_no_part_of_what_it_writes(
    text: str, value: str | None, faulty_teacher: FaultyTeacher
) -> None:
    faulty_teacher.script(TEXT, said(text))
    answer = ask(teacher_at(faulty_teacher.url, Generate()))
    assert answer.value == value
    assert value or answer.status is AnswerStatus.UNPARSEABLE


def test_a_label_after_thinking_has_its_distribution(faulty_teacher: FaultyTeacher) -> None:
    faulty_teacher.script(
        TEXT,
        [
            with_tokens(
                {"<think>": 1.0},
                {"ah</think>": 1.0},
                {'{"label": "': 1.0},
                {"card": 0.8, "refund": 0.2},
                {'"}': 1.0},
            )
        ],
    )
    answer = ask(teacher_at(faulty_teacher.url, samples=1))
    assert answer.value == "card" and answer.distribution is not None
    np.testing.assert_allclose(answer.distribution, [0.2, 0.8, 0.0], atol=1e-2)
