import numpy as np
import pytest
from evaluation_world import arm_of, gold_of

from tutelage.evaluation import predictions_table
from tutelage.records import load_value


def test_a_row_holds_what_every_arm_said():
    gold = gold_of(["a", "b"], ["normal", "critical"])
    probabilities = np.array([[0.7, 0.3], [np.nan, np.nan]], np.float32)
    arms = {
        "teacher": arm_of("teacher", [None, "b"]),
        "student": arm_of("student", ["a", "a"], probabilities),
    }
    table = predictions_table(gold, arms)
    assert table.column_names == [
        *("id", "text", "slice", "gold", "teacher", "control", "student"),
        *("teacher_confidence", "control_confidence", "student_confidence"),
    ]
    first, second = table.to_pylist()
    assert first == {
        "id": "p0",
        "text": "text 0",
        "slice": "normal",
        "gold": '"a"',
        "teacher": None,
        "control": None,
        "student": '"a"',
        "teacher_confidence": None,
        "control_confidence": None,
        "student_confidence": pytest.approx(0.7),
    }
    assert (second["teacher"], second["student_confidence"]) == ('"b"', None)


def test_sets_come_back_as_tuples():
    gold = gold_of([("a", "b"), ()])
    row = predictions_table(gold, {"student": arm_of("student", [(), ("a",)])}).to_pylist()
    assert [load_value(item["gold"]) for item in row] == [("a", "b"), ()]
    assert [load_value(item["student"]) for item in row] == [(), ("a",)]
