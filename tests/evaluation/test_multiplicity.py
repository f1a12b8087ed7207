from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests

from tutelage.evaluation.multiplicity import OneSidedTest, adjusted_p, holm


def normal_test(value, limit):
    """Of the mean of one normal observation of variance 1."""
    return OneSidedTest(stats.norm.sf(value - limit), limit, lambda level: value - stats.norm.isf(level))


def by_statsmodels(p_values, level=0.05):
    """What is rejected, and adjusted p-values. It collects garbage at each call, which would take seconds in all."""
    with patch("gc.collect"):
        return multipletests(p_values, level, "holm")[:2]


@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=12), st.sampled_from([0.025, 0.1]))
def test_rejections_are_those_of_statsmodels(p_values, level):
    tests = [OneSidedTest(p, 0.0, lambda level: 0.0) for p in p_values]
    expected, _ = by_statsmodels(p_values, level)
    assert [item.rejected for item in holm(tests, level)] == expected.tolist()


@given(st.lists(st.tuples(st.floats(-5, 5), st.floats(-1, 1)), min_size=1, max_size=8))
def test_a_bound_never_contradicts_its_rejection(pairs):
    for (_, limit), item in zip(pairs, holm([normal_test(*pair) for pair in pairs], 0.025), strict=True):
        assert (item.low >= limit) if item.rejected else (item.low <= limit)


def test_one_test_alone_is_tested_at_the_level_itself():
    rejected, left = holm([normal_test(2.0, 0.0)], 0.025)[0], holm([normal_test(1.9, 0.0)], 0.025)[0]
    assert rejected.rejected and not left.rejected
    assert rejected.low == pytest.approx(2.0 - stats.norm.isf(0.025))
    assert left.low == pytest.approx(1.9 - stats.norm.isf(0.025))


def test_no_test_has_no_answer():
    assert holm([], 0.025) == []


def test_bounds_hold_together():
    """Over correlated tests, some of them of true hypotheses, all bounds hold in at least 97.5% of samples."""
    generator = np.random.default_rng(5)
    truths, limits = np.array([0.0, 0.0, 1.0, 3.0]), np.zeros(4)
    held = 0
    for _ in range(2000):
        values = truths + 0.7 * generator.normal(size=4) + np.sqrt(0.51) * generator.normal()
        bounds = [
            item.low
            for item in holm([normal_test(*pair) for pair in zip(values, limits, strict=True)], 0.025)
        ]
        held += bool((np.array(bounds) <= truths).all())
    assert held / 2000 >= 0.975 - 2 * np.sqrt(0.975 * 0.025 / 2000)


@given(st.lists(st.floats(0, 1), max_size=12))
def test_adjusted_p_values_are_those_of_statsmodels(p_values):
    wanted = by_statsmodels(p_values)[1] if p_values else []
    assert adjusted_p(p_values) == pytest.approx(list(wanted))
