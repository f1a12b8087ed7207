"""How far annotators agree, task by task."""

from __future__ import annotations

import pytest

from tutelage.config import FieldConfig
from tutelage.evaluation.annotators import annotator_agreement
from tutelage.records import Fields
from tutelage.tasks import Classify, Extract, Generate, Judge

RECORD = {
    "type": "object",
    "properties": {
        "amount": {"type": "number"},
        "who": {"type": "object", "properties": {"name": {"type": "string"}, "city": {"type": "string"}}},
    },
}


def two(*pairs):
    return [{"a": one, "b": other} for one, other in pairs]


def test_scores_agree_by_how_near_they_are():
    answers = two(*[(str(n), str(n + 1)) for n in (1, 2, 3, 4)] * 10)
    judge = Judge(tuple("12345"), "more is better", scored=True, tolerance=1)
    found = annotator_agreement(judge, answers)
    assert found["alike"]["estimate"] == 1.0, "the tolerance is the task's"
    assert found["agreement"]["weights"] == "ordinal" and found["agreement"]["same"] == 0.0
    # Quadratic weights: a point apart of scores whose variance is 1.25 each, means a point apart.
    assert found["agreement"]["kappa"]["estimate"] == pytest.approx(1 - 1 / (2 * 1.25 + 1))


def test_verdicts_and_labels_have_no_order():
    judge = Judge(("good", "bad"), "rubric")
    for task in (judge, Classify(("good", "bad"))):
        found = annotator_agreement(task, two(("good", "good"), ("bad", "good"), ("bad", "bad")))
        assert found["agreement"]["weights"] == "nominal"


def test_each_field_of_records_agrees_by_its_own_rule():
    task = Extract(RECORD, fields={"amount": FieldConfig(compare="number", tolerance=0.5)})
    ada, rome = {"name": "Ada", "city": "Rome"}, {"name": "Ada", "city": "Oslo"}
    found = annotator_agreement(
        task,
        two(
            (Fields({"amount": 1.0, "who": ada}), Fields({"amount": 1.4, "who": ada})),
            (Fields({"amount": 1.0, "who": ada}), Fields({"amount": 2.0, "who": ada})),
            (Fields({"amount": 1.0, "who": ada}), Fields({"amount": 1.0, "who": rome})),
            (Fields({"amount": 1.0}), Fields({"amount": 1.0, "who": ada})),
        ),
    )
    parts = found["parts"]
    assert parts["amount"]["alike"]["estimate"] == 0.75
    assert parts["who"]["alike"]["estimate"] == 0.5
    assert found["alike"]["estimate"] == 0.25
    assert parts["amount"]["alike"]["n"] == 4 and parts["amount"]["same"] == 0.5, "to the digit"


def test_labels_of_a_set_are_told_one_by_one():
    task = Classify(("x", "y"), multi_label=True)
    found = annotator_agreement(task, two((("x",), ("x", "y")), (("x",), ("x",)), ((), ("y",))))
    assert found["parts"]["x"]["alike"]["estimate"] == 1.0
    assert found["parts"]["y"]["alike"]["estimate"] == pytest.approx(1 / 3)


def test_texts_have_no_coefficient_and_single_answers_say_nothing():
    assert annotator_agreement(Generate(), two(("hello", "hello")))["agreement"] is None
    assert annotator_agreement(Generate(), [{"a": "hello"}]) is None
