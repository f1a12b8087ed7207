from __future__ import annotations

import pytest

from tutelage.errors import ConfigError
from tutelage.records import AnswerStatus, Fields
from tutelage.students._form import Form, answer_parts, form_of, read_answer
from tutelage.tasks import Classify, Extract, Generate, Judge, Prompting, RationaleMode

CLASSIFY = Classify(("billing", "billing other", "delivery"))
SCORES = Judge(("1", "2", "3"), "Is it kind?", scored=True)
VERDICTS = Judge(("pass", "fail"), "Is it kind?")
EXTRACT = Extract({"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]})
GENERATE = Generate(max_characters=30)
VALUES = [
    (CLASSIFY, "billing other"),
    (SCORES, "2"),
    (VERDICTS, "fail"),
    (EXTRACT, Fields({"name": 'Ann "A" Ö\n'})),
    (GENERATE, "two\nlines: Answer: 3"),
]
MODES = list(RationaleMode)


def said(form, task, value, rationale=""):
    """As the tokens would be decoded: parts set apart by a blank, the bridge by itself."""
    parts = answer_parts(form, task, value, rationale)
    return "".join(part if part == form.bridge else f" {part}" for part in parts)


@pytest.mark.parametrize(("task", "value"), VALUES)
@pytest.mark.parametrize("mode", [RationaleMode.NONE, RationaleMode.AFTER])
def test_what_is_said_is_read_again(task, value, mode):
    form = form_of(task, rationale=mode)
    parsed = read_answer(form, task, said(form, task, value, "It says so."))
    assert (parsed.status, parsed.value) == (AnswerStatus.OK, value)
    assert parsed.rationale == ("" if mode is RationaleMode.NONE else "It says so.")


@pytest.mark.parametrize(("task", "value"), VALUES[:4])
def test_reasons_before_the_answer_may_speak_of_answers(task, value):
    form = form_of(task, rationale=RationaleMode.BEFORE)
    reasons = "One could say\nAnswer: billing, but no."
    parsed = read_answer(form, task, said(form, task, value, reasons))
    assert (parsed.value, parsed.rationale) == (value, reasons)


def test_reasons_without_an_answer_are_unparseable():
    form = form_of(CLASSIFY, rationale=RationaleMode.BEFORE)
    parsed = read_answer(form, CLASSIFY, " It goes on and on")
    assert parsed.status is AnswerStatus.UNPARSEABLE and "'Answer:'" in parsed.reason


@pytest.mark.parametrize(
    ("task", "text", "status"),
    [
        (CLASSIFY, "refund", AnswerStatus.OUT_OF_SET),
        (CLASSIFY, "Billing", AnswerStatus.OUT_OF_SET),
        (SCORES, "4", AnswerStatus.OUT_OF_SET),
        (VERDICTS, "", AnswerStatus.OUT_OF_SET),
        (EXTRACT, '{"name": 3}', AnswerStatus.UNPARSEABLE),
        (EXTRACT, '{"name": "A"', AnswerStatus.UNPARSEABLE),
        (GENERATE, "x" * 31, AnswerStatus.UNPARSEABLE),
        (GENERATE, " \n", AnswerStatus.UNPARSEABLE),
    ],
)
def test_nothing_is_coerced(task, text, status):
    parsed = read_answer(form_of(task), task, text)
    assert (parsed.status, parsed.value) == (status, None)


@pytest.mark.parametrize(("task", "value"), [(CLASSIFY, "delivery"), *VALUES[3:]])
def test_with_the_teachers_template_it_is_asked_and_answers_as_the_teacher(task, value):
    form = form_of(task, "teacher")
    assert form.messages("hi") == task.render("hi")
    (text,) = answer_parts(form, task, value)
    assert text == task.answer_text(value)
    assert read_answer(form, task, text) == task.parse(text)
    assert form.labels == tuple(task.answer_text(label) for label in task.labels)


def test_an_open_value_may_have_the_teachers_reasons_beside_it():
    task = EXTRACT.with_prompting(Prompting(rationale=RationaleMode.BEFORE))
    form = form_of(task, "teacher")
    (text,) = answer_parts(form, task, Fields({"name": "A"}), "Said so.")
    assert task.parse(text).rationale == "Said so."


def test_labels_that_could_not_be_weighed_are_refused():
    with pytest.raises(ConfigError, match="multi_label"):
        form_of(Classify(("a", "b"), multi_label=True))
    with pytest.raises(ConfigError, match="student.template own"):
        form_of(VERDICTS, "teacher")


@pytest.mark.parametrize("mode", MODES)
def test_a_form_is_json(mode):
    import json

    for form in (form_of(CLASSIFY, rationale=mode, prefix="[label] "), form_of(CLASSIFY, "teacher")):
        assert Form.from_json(json.loads(json.dumps(form.to_json()))) == form
