import numpy as np
import pytest
from evaluation_world import gold_of
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score, roc_curve

from tutelage.evaluation import Arm, evaluate
from tutelage.evaluation.detection import auroc, detection, recall_at
from tutelage.tasks import Classify


def _scores(m, n, shift, generator):
    return generator.normal(shift, 1, size=m).round(1), generator.normal(0, 1, size=n).round(1)


def _oracle(outside, inside):
    truth = np.r_[np.ones(len(outside)), np.zeros(len(inside))]
    return truth, np.r_[outside, inside]


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.floats(-3, 3), st.integers(0, 10**6))
def test_area_and_recall_are_sklearns(m, n, shift, seed):
    outside, inside = _scores(m, n, shift, np.random.default_rng(seed))
    truth, scores = _oracle(outside, inside)
    found = detection(outside, inside, 0.1)
    assert found["auroc"]["estimate"] == pytest.approx(roc_auc_score(truth, scores))
    false, true, _ = roc_curve(truth, scores, drop_intermediate=False)
    assert found["recall"]["estimate"] == pytest.approx(true[false <= 0.1 + 1e-9].max())
    for item in (found["auroc"], found["recall"]):
        assert 0 <= item["low"] <= item["estimate"] <= item["high"] <= 1


def test_intervals_hold_what_they_say():
    """Coverage over draws, of an area of 0.92 (that of normals 2 apart) and of recall at its true threshold."""
    from scipy.stats import norm

    generator = np.random.default_rng(0)
    area, recall = norm.cdf(2 / np.sqrt(2)), norm.sf(norm.isf(0.1) - 2)
    for m, n in ((30, 60), (15, 200)):
        inside = {"auroc": 0, "recall": 0}
        for _ in range(300):
            ours, theirs = generator.normal(2, 1, size=m), generator.normal(size=n)
            a, r = auroc(ours, theirs), recall_at(ours, theirs, 0.1)
            inside["auroc"] += a["low"] <= area <= a["high"]
            inside["recall"] += r["low"] <= recall <= r["high"]
        assert inside["auroc"] / 300 > 0.93 and inside["recall"] / 300 > 0.95


def test_what_never_overlaps_isnt_sure_of_it():
    found = auroc(np.full(20, 2.0), np.zeros(300))
    assert (found["estimate"], found["high"]) == (1.0, 1.0) and 0.9 < found["low"] < 0.99
    assert auroc(np.zeros(1), np.ones(9))["high"] > 0.4
    assert detection(np.zeros(0), np.ones(3)) == {"auroc": None, "recall": None, "false_alarm_rate": 0.05}


def test_evaluation_tells_it_of_arms_that_state_probabilities():
    task = Classify(("a", "b", "other"), out_of_scope="other")
    gold = gold_of(["a", "b", "other", "other"])
    stated = np.array([[0.8, 0.1, 0.1], [0.1, 0.6, 0.3], [0.5, 0.3, 0.2], [np.nan] * 3], dtype=np.float32)
    arms = {
        "teacher": Arm("teacher", "t", ["a", "b", "a", "other"]),
        "student": Arm("student", "s", ["a", "b", "a", "other"], stated),
    }
    found = evaluate(task, gold, arms, resamples=10)["arms"]
    assert found["teacher"]["out_of_scope"]["detection"] is None
    assert found["student"]["out_of_scope"]["detection"]["auroc"]["estimate"] == 0.5
    assert found["student"]["out_of_scope"]["found"]["estimate"] == 0.5
