"""A text is kept as it was said, or quarantined."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tutelage.config import GenerateConfig
from tutelage.records import AnswerStatus, dump_value, load_value
from tutelage.tasks import Example, Generate, Parsed, Prompting, RationaleMode, task_from_config, with_labels
from tutelage.tasks.generate import DECLINED

TASK = task_from_config(GenerateConfig(instruction="Draft a reply.", max_characters=60), {})
REASONED = TASK.with_prompting(Prompting(rationale=RationaleMode.BEFORE))


def test_a_text_is_its_own_value():
    assert TASK.parse("  Thank you.\n\nAda \n") == Parsed(AnswerStatus.OK, "Thank you.\n\nAda")
    assert TASK.parse('{"text": "x"}').value == '{"text": "x"}'
    assert TASK.parse("```\ncode\n```").value == "```\ncode\n```"
    assert TASK.json_schema() is None


@pytest.mark.parametrize(
    ("raw", "status", "reason"),
    [
        ("", "unparseable", "empty"),
        (" \n", "unparseable", "empty"),
        ("x" * 61, "unparseable", "61 characters; 60 are the most"),
        ("I'm sorry, but I can't help with that.", "refused", "declined"),
        ("half \ud800 of it", "unparseable", "surrogate"),
    ],
)
def test_what_cannot_be_used_is_quarantined(raw, status, reason):
    parsed = TASK.parse(raw)
    assert (str(parsed.status), parsed.value) == (status, None)
    assert reason in parsed.reason


@pytest.mark.parametrize(
    "raw",
    [
        "I cannot assist you with this request.", "Sorry, I can't comply.", "I\u2019m unable to do that.",
        "I am very sorry, but I won't write this.", "As an AI, I have no views.", "**I can't help with that.**",
    ],
)  # fmt: skip
def test_a_text_that_declines_is_refused(raw):
    assert TASK.parse(raw).status is AnswerStatus.REFUSED


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry for the delay.", "Sorry for the trouble! We refund it.", "I cannot find your order; which number?",
        "I can't provide refunds by phone.", "I'm sorry, but your warranty has ended.", "I can help with that.",
    ],
)  # fmt: skip
def test_an_apology_is_no_refusal(text):
    # Support replies open so, and gold holds them.
    expected = Parsed(AnswerStatus.OK, text)
    assert TASK.parse(text) == TASK.admit(text) == expected
    assert TASK.read_cell(text, "|") == text


def test_a_person_means_what_reads_as_a_refusal():
    assert TASK.admit("I can't help with that.").status is AnswerStatus.OK
    assert TASK.read_cell("I can't help with that.", "|") == "I can't help with that."


@pytest.mark.parametrize("raw", ["Thanks.", '{"text": "Thanks."}', '{"rationale": "", "text": 3}', '{"rationale": 1, "text": "x"}',
                                 '{"rationale": "", "text": ""}', '{"rationale": "", "text": "x", "y": 1}'])  # fmt: skip
def test_reasons_asked_for_have_to_be_there(raw):
    assert REASONED.parse(raw).status is AnswerStatus.UNPARSEABLE


def test_reasons_stand_beside_the_text():
    raw = '{"rationale": "They paid.", "text": " Thanks. "}'
    assert REASONED.parse(raw) == Parsed(AnswerStatus.OK, "Thanks.", rationale="They paid.")
    assert list(REASONED.json_schema()["properties"]) == ["rationale", "text"]


@settings(max_examples=200, deadline=None)
@given(text=st.text(max_size=80))
def test_any_text_is_kept_or_quarantined_and_comes_back(text):
    for task in (TASK, REASONED):
        parsed = task.parse(text)
        assert (parsed.value is None) is (parsed.status is not AnswerStatus.OK)
    parsed = TASK.parse(text)
    if parsed.status is AnswerStatus.OK:
        assert parsed.value == text.strip()
        assert TASK.parse(load_value(dump_value(parsed.value))) == parsed
        again = json.dumps({"rationale": "", "text": parsed.value})
        assert REASONED.parse(again).value == parsed.value
        assert TASK.read_cell(parsed.value, "|") == parsed.value


@pytest.mark.parametrize(
    ("cell", "kind"), [(None, "empty"), (" ", "empty"), (3, "not_text"), ("x" * 61, "misfit")]
)
def test_a_cell_without_a_text_says_what_is_wrong_with_it(cell, kind):
    with pytest.raises(ValueError, match=r"\w") as caught:
        TASK.read_cell(cell, "|")
    assert caught.value.kind == kind


def test_texts_agree_by_similarity():
    close = TASK.compare("We refund the charge today.", "We will refund the charge today.")
    assert close.agree and close.score == close.fields["chrf"] > 0.6 and 0.8 < close.fields["rouge_l"] < 1
    assert not TASK.compare("No.", "We will refund the charge today.").agree
    with pytest.raises(TypeError):
        TASK.compare(("a",), "a")


def test_metrics_by_hand():
    metrics = TASK.score(["same text", "zzz", None], ["same text", "other", "a"])
    assert metrics == {"n": 3, "accuracy": 1 / 3, "exact": 1 / 3, "chrf": 1 / 3, "rouge_l": 1 / 3}
    assert TASK.score([], []) == {}


def test_a_vote_is_the_text_nearest_to_the_others():
    texts = ["Send a card.", "We refund the charge.", "We refund your charge."]
    assert TASK.vote(texts) in [(texts[1], None), (texts[2], None)]
    assert TASK.vote(["b", "a", "a"]) == ("a", None)
    assert TASK.vote(["b", "a"]) == ("b", None)


def test_the_prompt_asks_for_the_text_alone():
    system, user = TASK.render("hello")
    assert system["content"].startswith("Draft a reply.") and "at most 60 characters" in system["content"]
    assert user == {"role": "user", "content": "hello"}
    shown = TASK.with_prompting(Prompting((Example("hi", "Hello."),))).render("x")
    assert shown[2] == {"role": "assistant", "content": "Hello."}
    assert with_labels(TASK) is None


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ("  I'm sorry, but I can't help with that. ", "I'm sorry, but I can't help with that."),
        (
            '{"text": "I cannot assist with this request.", "reasons": "It harms."}',
            "I cannot assist with this request.",
        ),
        ("", DECLINED),
        ("No.", DECLINED),
        ("I can't help with that." + " Really." * 40, DECLINED),
        ('{"text": 3}', DECLINED),
        ("[1]", DECLINED),
    ],
)
def test_a_refusal_is_put_in_words_that_are_read_as_one(raw, said):
    task = Generate(max_characters=100)
    assert task.refusal_text(raw) == said
    assert task.parse(task.refusal_text(raw)).status is AnswerStatus.REFUSED
