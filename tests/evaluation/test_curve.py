from __future__ import annotations

import numpy as np
import pytest

from tutelage.errors import UsageError
from tutelage.evaluation.curve import learning_curve

SIZES = (200, 400, 800, 1_400, 2_000)


def _scores(error, seeds=3, examples=2_000, seed=0, sizes=SIZES):
    """Right or wrong by `error(n)`, the same examples hard for all."""
    hard = np.random.default_rng(seed).random((1, 1, examples))
    luck = np.random.default_rng(seed + 1).normal(0, 0.004, (len(sizes), seeds, 1))
    rates = np.array([error(n) for n in sizes])[:, None, None] + luck
    return (hard >= rates).astype(float)


def test_a_steep_curve_pays_and_the_truth_lies_in_the_interval():
    def error(n):
        return 4 * n**-0.5

    found = learning_curve(SIZES, _scores(error), 2_000, worth=0.005)
    truth = error(2_000) - error(4_000)
    assert found.verdict == "pays" and found.holds
    assert found.gain.low <= truth <= found.gain.high
    assert found.gain.estimate == pytest.approx(truth, abs=0.012)


def test_a_flat_curve_does_not_pay():
    found = learning_curve(SIZES, _scores(lambda n: 0.1), 2_000, worth=0.02)
    assert found.verdict == "does not pay" and found.gain.high < 0.02


def test_a_curve_with_a_break_is_not_drawn_on():
    found = learning_curve(SIZES, _scores(lambda n: 0.3 if n < 2_000 else 0.1), 2_000, worth=0.005)
    assert not found.holds and found.verdict == "can't tell"


def test_few_examples_can_not_tell():
    scores = _scores(lambda n: 0.3 + 0.5 * n**-0.5, examples=30)
    assert learning_curve(SIZES, scores, 500, worth=0.005).verdict == "can't tell"


def test_the_truth_is_in_the_interval_about_as_often_as_it_says():
    def error(n):
        return 2 * n**-0.4 + 0.02

    truth = error(2_000) - error(4_000)
    inside = 0
    for seed in range(20):
        gain = learning_curve(SIZES, _scores(error, examples=400, seed=10 * seed), 2_000, worth=0.0).gain
        inside += gain.low <= truth <= gain.high
    assert inside >= 17


@pytest.mark.parametrize("right", [0.0, 1.0])
def test_all_right_or_all_wrong_has_nothing_to_gain(right):
    found = learning_curve(SIZES, np.full((5, 2, 1_000), right), 100, worth=0.005)
    assert found.gain.estimate == pytest.approx(0.0, abs=1e-9)
    assert found.verdict == "does not pay"


@pytest.mark.parametrize(
    "sizes,shape",
    [((1, 2, 3), (3, 2, 20)), (SIZES, (5, 1, 20)), (SIZES, (5, 2, 9)), ((1, 2, 2, 3), (4, 2, 20))],
)
def test_too_little_is_an_error(sizes, shape):
    with pytest.raises(UsageError):
        learning_curve(sizes, np.zeros(shape), 1, worth=0.1)
