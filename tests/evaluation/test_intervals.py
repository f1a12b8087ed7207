import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize, stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.proportion import proportion_confint

from tutelage.errors import UsageError
from tutelage.evaluation import (
    clopper_pearson,
    mcnemar_exact,
    paired_difference_interval,
    proportion_interval,
    wilson,
)

COUNTS = [(0, 1), (1, 1), (0, 40), (40, 40), (3, 17), (95, 100), (2791, 3080)]


@pytest.mark.parametrize(("successes", "n"), COUNTS)
@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
def test_proportions_agree_with_statsmodels_and_scipy(successes, n, confidence):
    for ours, theirs, exact in ((wilson, "wilson", "wilson"), (clopper_pearson, "beta", "exact")):
        got = ours(successes, n, confidence)
        assert got == pytest.approx(proportion_confint(successes, n, 1 - confidence, theirs), abs=1e-9)
        interval = stats.binomtest(successes, n).proportion_ci(confidence, exact)
        assert got == pytest.approx((interval.low, interval.high), abs=1e-9)


def test_the_rule_is_exact_where_counts_are_small_and_wilson_elsewhere():
    assert proportion_interval(50, 99) == clopper_pearson(50, 99)
    assert proportion_interval(50, 100) == wilson(50, 100)
    assert proportion_interval(2995, 3000) == clopper_pearson(2995, 3000)
    assert proportion_interval(9, 3000) == clopper_pearson(9, 3000)
    assert proportion_interval(2990, 3000) == wilson(2990, 3000)


@pytest.mark.parametrize("n", [10, 60, 99, 100, 250, 600])
def test_coverage_of_proportions(n):
    """Coverage summed exactly over all outcomes, not simulated: never far below 95%, and on average above."""
    intervals = np.array([proportion_interval(k, n) for k in range(n + 1)])
    truths = np.linspace(0.002, 0.998, 499)
    covered = (intervals[:, :1] <= truths) & (truths <= intervals[:, 1:])
    coverage = (stats.binom.pmf(np.arange(n + 1)[:, None], n, truths) * covered).sum(axis=0)
    assert coverage.min() >= (0.95 if n < 100 else 0.93)
    assert coverage.mean() >= 0.949


@pytest.mark.parametrize(
    ("p_only_a", "p_only_b"), [(0.02, 0.02), (0.1, 0.1), (0.03, 0.12), (0.005, 0.04), (0.3, 0.2)]
)
@pytest.mark.parametrize("n", [25, 60])
def test_coverage_of_paired_differences(n, p_only_a, p_only_b):
    cells = [(only_a, only_b) for only_a in range(n + 1) for only_b in range(n + 1 - only_a)]
    counts = np.array([(only_a, only_b, n - only_a - only_b) for only_a, only_b in cells])
    weights = stats.multinomial.pmf(counts, n, [p_only_a, p_only_b, 1 - p_only_a - p_only_b])
    likely = [(cell, weight) for cell, weight in zip(cells, weights, strict=True) if weight > 1e-6]
    coverage = 0.0
    for (only_a, only_b), weight in likely:
        low, high = paired_difference_interval(only_a, only_b, n)
        coverage += weight * (low <= p_only_a - p_only_b <= high)
    assert coverage >= 0.93


def score_statistic(only_a, only_b, n, difference):
    """Tango's statistic with the nuisance parameter found by brute maximisation of the likelihood."""

    def minus_log_likelihood(q):
        cells = np.array([q + difference, q, 1 - 2 * q - difference])
        observed = np.array([only_a, only_b, n - only_a - only_b])
        return -float(np.sum(np.where(observed > 0, observed * np.log(np.maximum(cells, 1e-300)), 0.0)))

    bounds = (max(0.0, -difference), (1 - difference) / 2)
    q = optimize.minimize_scalar(
        minus_log_likelihood, bounds=bounds, method="bounded", options={"xatol": 1e-12}
    ).x
    return (only_a - only_b - n * difference) / math.sqrt(n * (2 * q + difference * (1 - difference)))


@pytest.mark.parametrize(
    ("only_a", "only_b", "n"), [(5, 9, 80), (1, 0, 44), (20, 40, 160), (12, 2, 14), (206, 244, 3080)]
)
def test_the_ends_of_a_paired_interval_are_where_the_score_test_just_rejects(only_a, only_b, n):
    low, high = paired_difference_interval(only_a, only_b, n)
    z = stats.norm.ppf(0.975)
    assert score_statistic(only_a, only_b, n, low) == pytest.approx(z, abs=1e-4)
    assert score_statistic(only_a, only_b, n, high) == pytest.approx(-z, abs=1e-4)


def test_closed_forms_of_the_paired_interval():
    z2 = stats.norm.ppf(0.975) ** 2
    n = 50
    assert paired_difference_interval(0, 0, n) == pytest.approx((-z2 / (n + z2), z2 / (n + z2)))
    assert paired_difference_interval(n, 0, n) == pytest.approx(((n - z2) / (n + z2), 1.0))


def test_on_many_examples_the_paired_interval_is_the_bootstraps():
    only_a, only_b, n = 206, 244, 3080
    draws = np.random.default_rng(0).multinomial(
        n, np.array([only_a, only_b, n - only_a - only_b]) / n, 40_000
    )
    bootstrap = np.quantile((draws[:, 0] - draws[:, 1]) / n, [0.025, 0.975])
    assert paired_difference_interval(only_a, only_b, n) == pytest.approx(tuple(bootstrap), abs=5e-4)


@st.composite
def discordance(draw):
    n = draw(st.integers(1, 400))
    only_a = draw(st.integers(0, n))
    return only_a, draw(st.integers(0, n - only_a)), n


@given(discordance())
def test_a_paired_interval_holds_its_estimate_and_turns_with_its_arms(counts):
    only_a, only_b, n = counts
    low, high = paired_difference_interval(only_a, only_b, n)
    assert -1 <= low <= (only_a - only_b) / n <= high <= 1
    assert paired_difference_interval(only_b, only_a, n) == pytest.approx((-high, -low), abs=1e-12)
    wider = paired_difference_interval(only_a, only_b, n, 0.99)
    assert wider[0] <= low
    assert high <= wider[1]


@given(st.integers(0, 300), st.integers(0, 300))
def test_mcnemar_agrees_with_statsmodels(only_a, only_b):
    expected = mcnemar([[0, only_a], [only_b, 0]], exact=True).pvalue if only_a + only_b else 1.0
    assert mcnemar_exact(only_a, only_b) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("interval", [wilson, clopper_pearson, proportion_interval])
@pytest.mark.parametrize(
    ("successes", "n", "confidence"), [(0, 0, 0.95), (-1, 5, 0.95), (6, 5, 0.95), (1, 5, 1.0)]
)
def test_impossible_counts_are_refused(interval, successes, n, confidence):
    with pytest.raises(UsageError, match="Mend"):
        interval(successes, n, confidence)


def test_impossible_discordance_is_refused():
    with pytest.raises(UsageError):
        paired_difference_interval(3, 3, 5)
    with pytest.raises(UsageError, match="negative"):
        paired_difference_interval(-1, 3, 5)
