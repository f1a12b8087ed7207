import numpy as np
import pytest
from evaluation_world import TASK, arm_of, gold_of
from release_world import metrics_of, terms_of

from tutelage.evaluation import evaluate
from tutelage.gates import Verdict


def with_ece(n, shift):
    """A student that is right on 85% at a confidence of 85% plus the shift."""
    right = np.arange(n) % 20 < 17
    values = np.where(right, "a", "b").tolist()
    probabilities = np.full((n, 4), (0.15 - shift) / 3, np.float32)
    probabilities[np.arange(n), np.where(right, 0, 1)] = 0.85 + shift
    arms = {"student": arm_of("student", values, probabilities), "teacher": arm_of("teacher", values)}
    return evaluate(TASK, gold_of(["a"] * n), arms, resamples=200)


@pytest.mark.parametrize(
    ("n", "shift", "verdict"),
    [(1000, 0.02, "pass"), (1000, 0.14, "fail"), (100, 0.08, "not enough evidence")],
)
def test_the_limit_on_calibration_error(n, shift, verdict):
    terms, _ = terms_of(with_ece(n, shift), max_ece=0.1)
    term = terms["calibration error (ECE)"]
    assert term.verdict == verdict
    assert term.estimate == pytest.approx(shift, abs=1e-6)
    assert (term.more_needed is not None) == (verdict == "not enough evidence")


def test_calibration_that_cant_be_seen_is_undecided():
    terms, _ = terms_of(metrics_of(1000, 0, 0), max_ece=0.1)
    assert terms["calibration error (ECE)"].verdict is Verdict.UNDECIDED


@pytest.mark.parametrize(("limit", "verdict"), [(0.2, "pass"), (0.05, "fail"), (0.16, "not enough evidence")])
def test_the_limit_on_confident_errors(limit, verdict):
    """Of 1,000 answers at 99% confidence 150 are wrong."""
    terms, _ = terms_of(with_ece(1000, 0.14), max_confident_errors=limit)
    term = terms["share of confident errors"]
    assert (term.verdict, term.estimate) == (verdict, 0.15)
    assert "90% sure or more in 15.0% of its answers" in term.reason


def test_confident_errors_that_cant_be_seen_are_undecided():
    terms, _ = terms_of(metrics_of(1000, 0, 0), max_confident_errors=0.1)
    assert terms["share of confident errors"].verdict is Verdict.UNDECIDED
