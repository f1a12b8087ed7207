"""Answers of other tools as values of each task."""

from __future__ import annotations

import pytest

from tutelage.errors import UsageError
from tutelage.records import Fields
from tutelage.review.exchange import Export, Said, Span, Unread, answer_value, chosen_questions
from tutelage.tasks import Classify, Extract, Generate, Judge

CLASSIFY = Classify(("billing", "delivery"))
SEVERAL = Classify(("billing", "delivery"), multi_label=True)
SCORES = Judge(("1", "2", "3", "4"), "the more the better", scored=True)
RECORD = Extract(
    {
        "type": "object",
        "properties": {
            "who": {"type": "string"},
            "amount": {"type": ["number", "null"]},
            "kind": {"enum": ["credit", "debit"]},
            "items": {"type": "array", "items": {"type": "string"}},
        },
        "required": ["who", "kind"],
    }
)


def value(task, answers, joined=False):
    return answer_value(task, answers, list(answers), "|", joined=joined)


def test_each_tasks_values():
    assert value(CLASSIFY, {"topic": ["billing"]}) == "billing"
    assert value(SEVERAL, {"topic": ["delivery", "billing"]}) == ("billing", "delivery")
    assert value(SEVERAL, {"label": ["delivery|billing"]}, joined=True) == ("billing", "delivery")
    assert value(SCORES, {"stars": [4]}) == value(SCORES, {"stars": [4.0]}) == "4"
    assert value(Generate(), {"reply": ["Dear you,\nyes."]}) == "Dear you,\nyes."


def test_records_come_as_json_field_by_field_or_as_marked_parts():
    whole = Fields({"who": "Ada", "kind": "debit", "items": ["a", "b"], "amount": 2})
    text = '{"who": "Ada", "kind": "debit", "items": ["a", "b"], "amount": 2}'
    assert value(RECORD, {"json": [text]}) == whole
    assert value(RECORD, {"json": [dict(whole)]}) == whole
    by_field = {"who": ["Ada"], "kind": ["Debit"], "items": ["a", "b"], "amount": [2]}
    assert value(RECORD, by_field) == whole
    marked = {"span": [Span("who", "Ada"), Span("items", "a"), Span("items", "b"), Span("amount", "2")]}
    assert value(RECORD, {**marked, "kind": ["debit"]}) == whole


@pytest.mark.parametrize(
    ("task", "answers", "told"),
    [
        (CLASSIFY, {"topic": ["biling"]}, "'biling' is not in the label set; nearest is 'billing'"),
        (
            CLASSIFY,
            {"topic": ["billing", "delivery"]},
            "2 answers where one is wanted: 'billing', 'delivery'",
        ),
        (CLASSIFY, {"topic": [Span("billing", "my money")]}, "marks 'my money' as 'billing'"),
        (CLASSIFY, {"topic": [Unread("ranking")]}, "kind 'ranking', which no task of classify has"),
        (CLASSIFY, {"topic": [True]}, "'True' is not in the label set"),
        (SCORES, {"stars": [5]}, "'5' is not on the scale 1 to 4"),
        (SCORES, {"stars": [3.5]}, "holds float"),
        (RECORD, {"who": ["Ada"], "kind": ["card"]}, "kind: 'card' is none of 'credit', 'debit'"),
        (
            RECORD,
            {"who": ["Ada"], "kind": ["debit"], "amont": ["2"]},
            "no field 'amont'; nearest is 'amount'",
        ),
        (RECORD, {"who": ["Ada", "Bob"], "kind": ["debit"]}, "who has 2 answers where one is wanted"),
        (RECORD, {"who": ["Ada"], "kind": ["debit"], "amount": ["two"]}, "isn't a number"),
        (RECORD, {"json": ["{"]}, "not JSON"),
        (RECORD, {"json": ["{}", "{}"]}, "2 answers where one record"),
    ],
)
def test_what_is_no_value_of_the_task_is_told(task, answers, told):
    with pytest.raises(ValueError) as raised:
        value(task, answers)
    assert told in str(raised.value)


def asked(*questions):
    return Export("argilla", [Said(1, "x", "Ada", {name: ["billing"] for name in questions})])


def test_the_question_is_the_only_one_or_the_labels_or_named():
    assert chosen_questions(CLASSIFY, asked("topic"), (), "label") == ["topic"]
    assert chosen_questions(CLASSIFY, asked("topic", "label"), (), "label") == ["label"]
    assert chosen_questions(CLASSIFY, asked("topic", "note"), ("topic",), "label") == ["topic"]
    assert chosen_questions(RECORD, asked("note", "who", "kind"), (), "label") == ["who", "kind"]
    with pytest.raises(UsageError, match="2 questions: 'topic', 'note'.*--answers"):
        chosen_questions(CLASSIFY, asked("topic", "note"), (), "label")
    with pytest.raises(UsageError, match="'topics'; there are 'topic', 'note'; nearest is 'topic'"):
        chosen_questions(CLASSIFY, asked("topic", "note"), ("topics",), "label")
