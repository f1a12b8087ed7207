import numpy as np
import pytest

from tiny_world import MULTI, TASK
from tutelage.compression import compare_forms, parity_decision
from tutelage.errors import DataError
from tutelage.gates import Verdict


def rows(*winners):
    labels = len(TASK.labels)
    return np.array([np.eye(labels)[winner] * 0.7 + 0.3 / labels for winner in winners], np.float32)


def test_agreement_and_accuracy_are_counted():
    names = [TASK.labels[0]] * 4
    parity = compare_forms(TASK, rows(0, 0, 0, 1), rows(0, 0, 1, 1), names)
    assert (parity.n, parity.agreement, parity.before, parity.after) == (4, 0.75, 0.75, 0.5)
    assert parity.drift == pytest.approx(0.7, abs=1e-6)


def test_sets_of_labels_count_where_they_are_equal():
    said = np.full((2, len(MULTI.labels)), 0.9, np.float32)
    other = said.copy()
    other[1, 0] = 0.1
    assert compare_forms(MULTI, said, other, MULTI.decide(said)).agreement == 0.5


@pytest.mark.parametrize(
    ("agreement", "loss", "verdict"),
    [(0.99, 0.0, Verdict.PASS), (0.9, 0.0, Verdict.FAIL), (1.0, 0.25, Verdict.FAIL)],
)
def test_the_gate_fails_on_either(agreement, loss, verdict):
    n = 100
    others = round(n * (1 - agreement))
    after = rows(*[1] * others, *[0] * (n - others))
    names = [TASK.labels[0]] * (n - others) + [TASK.labels[0]] * others
    parity = compare_forms(TASK, rows(*[0] * n), after, names)
    decision = parity_decision("int8", parity, 0.99, 0.02 if not loss else -1.0)
    assert decision.verdict is verdict
    assert all("int8" in item.reason for item in decision.evidence)


def test_numbers_that_are_none_are_told():
    broken = rows(0, 1)
    broken[1, 0] = np.nan
    with pytest.raises(DataError, match="no number for 1 of 2 texts"):
        compare_forms(TASK, rows(0, 1), broken, [TASK.labels[0]] * 2)
    with pytest.raises(DataError, match="0 references"):
        compare_forms(TASK, rows()[:0].reshape(0, 3), rows()[:0].reshape(0, 3), [])
