import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

from tutelage.errors import UsageError
from tutelage.evaluation import proportion_interval
from tutelage.evaluation.intervals import (
    less_than_p,
    more_than_p,
    proportion_at_least,
    proportion_at_most,
    ratio_interval,
)

COUNTS = [(0, 1), (1, 1), (0, 40), (40, 40), (3, 17), (95, 100), (2791, 3080)]


@pytest.mark.parametrize(("successes", "n"), COUNTS)
@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
def test_proportions_agree_with_statsmodels_and_scipy(successes, n, confidence):
    got = proportion_interval(successes, n, confidence)
    assert got == pytest.approx(proportion_confint(successes, n, 1 - confidence, "beta"), abs=1e-9)
    interval = stats.binomtest(successes, n).proportion_ci(confidence, "exact")
    assert got == pytest.approx((interval.low, interval.high), abs=1e-9)


@pytest.mark.parametrize(("successes", "n"), COUNTS)
@pytest.mark.parametrize("proportion", [0.05, 0.5, 0.93])
def test_tests_of_a_proportion_agree_with_scipy(successes, n, proportion):
    for ours, alternative in ((more_than_p, "greater"), (less_than_p, "less")):
        theirs = stats.binomtest(successes, n, proportion, alternative).pvalue
        assert ours(successes, n, proportion) == pytest.approx(theirs, abs=1e-12)


@given(st.integers(1, 500), st.data(), st.sampled_from([0.025, 0.0025]))
def test_bounds_and_tests_never_contradict_each_other(n, data, level):
    successes = data.draw(st.integers(0, n))
    low, high = proportion_at_least(successes, n, level), proportion_at_most(successes, n, level)
    assert low <= successes / n <= high
    if low > 0:
        assert more_than_p(successes, n, low) == pytest.approx(level)
    if high < 1:
        assert less_than_p(successes, n, high) == pytest.approx(level)


@pytest.mark.parametrize("n", [10, 60, 100, 250, 600])
def test_coverage_of_proportions(n):
    """Errors of each end, summed exactly over all outcomes, not simulated: never more than 2.5%."""
    intervals = np.array([proportion_interval(k, n) for k in range(n + 1)])
    truths = np.linspace(0.002, 0.998, 499)
    weights = stats.binom.pmf(np.arange(n + 1)[:, None], n, truths)
    assert (weights * (intervals[:, :1] > truths)).sum(axis=0).max() <= 0.025 + 1e-9
    assert (weights * (intervals[:, 1:] < truths)).sum(axis=0).max() <= 0.025 + 1e-9


@pytest.mark.parametrize(
    ("successes", "n", "confidence"), [(0, 0, 0.95), (-1, 5, 0.95), (6, 5, 0.95), (1, 5, 1.0)]
)
def test_impossible_counts_are_refused(successes, n, confidence):
    with pytest.raises(UsageError, match="Mend"):
        proportion_interval(successes, n, confidence)


@pytest.mark.parametrize("counts", [(30, 40, 5, 960), (5, 10, 2, 20), (900, 1000, 90000, 99000)])
def test_a_ratios_interval_agrees_with_statsmodels(counts):
    expected = confint_proportions_2indep(*counts, compare="ratio", method="score", correction=False)
    assert ratio_interval(*counts) == pytest.approx(tuple(map(float, expected)), rel=1e-6)


@given(st.integers(1, 60), st.integers(1, 60), st.data())
def test_a_ratios_interval_holds_its_estimate_and_turns_over(n, other_n, data):
    successes, other = data.draw(st.integers(0, n)), data.draw(st.integers(0, other_n))
    low, high = ratio_interval(successes, n, other, other_n)
    assert (low == 0) == (successes == 0)
    assert (high is None) == (other == 0)
    if successes and other:
        assert low <= (successes / n) / (other / other_n) <= high
        turned = ratio_interval(other, other_n, successes, n)
        assert (1 / turned[1], 1 / turned[0]) == pytest.approx((low, high))
