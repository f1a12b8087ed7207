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


def test_the_interval_of_many_values_is_students():
    values = np.random.default_rng(0).beta(9, 1, size=400)
    expected = stats.ttest_1samp(values, 0.5).confidence_interval(0.95)
    found = mean_interval(values, 0.0, 1.0)
    assert (found["low"], found["high"]) == pytest.approx((expected.low, expected.high))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_few_values_have_an_interval_within_their_range(values):
    found = mean_interval(np.array(values), 0.0, 1.0)
    assert 0 <= found["low"] <= found["estimate"] <= found["high"] <= 1
    assert found["n"] == len(values)


def test_ten_equal_values_dont_make_certainty():
    """The lower end is where ten of at most that size would be seen in 2.5%: 0.8 times 0.025 ** (1 / 10)."""
    found = mean_interval(np.full(10, 0.8), 0.0, 1.0)
    assert found["low"] == pytest.approx(0.8 * 0.025**0.1, abs=0.02)


def test_no_value_has_no_interval():
    assert mean_interval(np.array([]), 0.0, 1.0) is None
