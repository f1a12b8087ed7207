import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tutelage.evaluation import proportion_interval
from tutelage.evaluation.overconfidence import mean_interval, overconfidence


def test_by_hand():
    right = np.array([True, True, False, False, False, True])
    stated = np.array([0.9, 0.7, 0.95, 0.9, 0.4, np.nan])
    found = overconfidence(right, stated)
    assert (found["n"], found["errors"]) == (5, 3)
    assert found["gap"]["estimate"] == pytest.approx(np.mean([0.9, 0.7, 0.95, 0.9, 0.4]) - 2 / 5)
    assert found["where_wrong"]["estimate"] == pytest.approx(0.75)
    assert found["where_right"]["estimate"] == pytest.approx(0.8)
    bad = found["confident_errors"]
    assert (bad["estimate"], bad["n"]) == (2 / 5, 5)
    assert (bad["low"], bad["high"]) == proportion_interval(2, 5)


def test_nothing_stated_is_nothing_found():
    assert overconfidence(np.array([True]), np.array([np.nan])) is None
    assert overconfidence(np.zeros(0, bool), np.zeros(0)) is None


@pytest.mark.parametrize("right", [True, False])
def test_all_right_and_all_wrong(right):
    found = overconfidence(np.full(4, right), np.full(4, 0.8))
    assert (found["where_wrong"] is None, found["where_right"] is None) == (right, not right)
    assert found["gap"]["estimate"] == pytest.approx(0.8 - right)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=30))
def test_a_means_interval_is_students(values):
    found, values = mean_interval(np.array(values)), np.array(values)
    if values.std(ddof=1) > 1e-6:
        expected = stats.ttest_1samp(values, 0.5).confidence_interval(0.95)
        assert (found["low"], found["high"]) == pytest.approx((expected.low, expected.high))


def test_one_value_has_no_interval():
    assert mean_interval(np.array([0.3])) == {"estimate": 0.3, "low": None, "high": None, "n": 1}
    assert mean_interval(np.array([])) is None
