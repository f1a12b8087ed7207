import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats
from statsmodels.stats.contingency_tables import mcnemar

from tutelage.errors import UsageError
from tutelage.evaluation import mcnemar_exact, paired_difference_interval
from tutelage.evaluation.paired import lower_bound, score, superiority_p


def outcomes(n, p_only_a, p_only_b):
    """All counts that have a chance worth counting, each with it."""
    cells = np.array([(a, b) for a in range(n + 1) for b in range(n + 1 - a)])
    counts = np.column_stack([cells, n - cells.sum(axis=1)])
    chances = stats.multinomial.pmf(counts, n, [p_only_a, p_only_b, 1 - p_only_a - p_only_b])
    likely = chances > 1e-5
    return [(int(a), int(b), p) for (a, b), p in zip(cells[likely], chances[likely], strict=True)]


@pytest.mark.parametrize(("n", "margin", "p_only_a"), [(30, 0.1, 0.02), (60, 0.1, 0.02), (100, 0.03, 0.01)])
def test_neither_a_pass_nor_a_failure_of_what_is_on_the_limit_is_likelier_than_its_level(n, margin, p_only_a):
    """Errors summed exactly over all outcomes; the score test alone fails the second in 3.7%, the third in 4.3%."""
    found = outcomes(n, p_only_a, p_only_a + margin)
    passed = sum(chance for a, b, chance in found if superiority_p(a, b, n, -margin) <= 0.025)
    failed = sum(chance for a, b, chance in found if superiority_p(b, a, n, margin) <= 0.025)
    assert 0.001 < passed <= 0.025
    assert 0.001 < failed <= 0.025


@pytest.mark.parametrize(
    ("p_only_a", "p_only_b", "n"), [(0.02, 0.02, 25), (0.03, 0.12, 25), (0.005, 0.04, 60)]
)
def test_coverage_of_paired_differences(n, p_only_a, p_only_b):
    coverage = 0.0
    for a, b, chance in outcomes(n, p_only_a, p_only_b):
        low, high = paired_difference_interval(a, b, n)
        coverage += chance * (low <= p_only_a - p_only_b <= high)
    assert coverage >= 0.95 - 1e-3  # of what is so rare that it wasn't looked at


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


@pytest.mark.parametrize(("only_a", "only_b", "n"), [(5, 9, 80), (1, 0, 44), (12, 2, 14), (206, 244, 3080)])
@pytest.mark.parametrize("difference", [-0.2, -0.03, 0.0, 0.1])
def test_the_statistic_is_tangos(only_a, only_b, n, difference):
    expected = score_statistic(only_a, only_b, n, difference)
    assert score(only_a, only_b, n, difference) == pytest.approx(expected, abs=1e-4)


@given(st.integers(2, 120), st.floats(-0.9, 0.9), st.data())
def test_the_statistic_grows_with_what_speaks_for_a(n, difference, data):
    """Barnard's convexity, upon which the exact test's search for its region stands."""
    only_b = data.draw(st.integers(0, n - 1))
    found = score(np.arange(n - only_b + 1), only_b, n, difference)
    assert (np.diff(found) >= -1e-9).all()


def exact_p_by_enumeration(only_a, only_b, n, difference):
    """The definition: every outcome's statistic, every nuisance parameter of a fine grid."""
    cells = np.array([(a, b) for a in range(n + 1) for b in range(n + 1 - a)])
    extreme = score(cells[:, 0], cells[:, 1], n, difference) >= score(only_a, only_b, n, difference) - 1e-9
    reached = np.column_stack([cells[extreme], n - cells[extreme].sum(axis=1)])
    discordant = only_a + only_b
    ends = stats.beta.ppf(
        [5e-6, 1 - 5e-6], [discordant, discordant + 1], [n - discordant + 1, n - discordant]
    )
    low, high = np.nan_to_num(ends[0]), ends[1] if discordant < n else 1.0
    rates = np.linspace(max(low, abs(difference)), high, 400)
    chances = [
        stats.multinomial.pmf(reached, n, [(r + difference) / 2, (r - difference) / 2, 1 - r]).sum()
        for r in rates
    ]
    return max(chances) + 1e-5


@pytest.mark.parametrize(
    ("only_a", "only_b", "n", "difference"),
    [(1, 4, 30, -0.25), (0, 0, 20, -0.15), (3, 2, 24, -0.1), (6, 1, 18, 0.05), (0, 5, 25, -0.3)],
)
def test_the_exact_p_value_is_what_its_definition_says(only_a, only_b, n, difference):
    expected = exact_p_by_enumeration(only_a, only_b, n, difference)
    assert superiority_p(only_a, only_b, n, difference) == pytest.approx(expected, abs=2e-4)


@pytest.mark.parametrize(
    ("counts", "difference"), [((0, 0, 43), 0.25), ((0, 0, 1000), 0.03), ((0, 30, 3000), 0.0)]
)
def test_a_difference_beyond_what_the_data_allow_is_not_shown(counts, difference):
    assert superiority_p(*counts, difference) > 0.9


def test_with_many_discordant_examples_the_normal_distribution_serves():
    n, expected = 5000, stats.norm.sf(score_statistic(200, 300, 5000, -0.03))
    assert superiority_p(200, 300, n, -0.03) == pytest.approx(expected, abs=1e-6)


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


@settings(max_examples=25, deadline=None)
@given(discordance())
def test_a_paired_interval_holds_its_estimate_and_turns_with_its_arms(counts):
    only_a, only_b, n = counts
    low, high = paired_difference_interval(only_a, only_b, n)
    assert -1 <= low <= (only_a - only_b) / n <= high <= 1
    assert paired_difference_interval(only_b, only_a, n) == pytest.approx((-high, -low), abs=1e-12)
    wider = paired_difference_interval(only_a, only_b, n, 0.99)
    assert wider[0] <= low + 1e-4
    assert high <= wider[1] + 1e-4


@settings(max_examples=25, deadline=None)
@given(discordance(), st.floats(-0.3, 0.3), st.sampled_from([0.025, 0.005]))
def test_bound_and_test_agree(counts, limit, level):
    """But where the p-value is about the level itself: it has jumps, and isn't monotone between them."""
    bound, p_value = lower_bound(*counts, level), superiority_p(*counts, limit)
    if not 0.7 * level < p_value < 1.4 * level:
        assert (p_value <= level) == (bound > limit)


@given(st.integers(0, 300), st.integers(0, 300))
def test_mcnemar_agrees_with_statsmodels(only_a, only_b):
    expected = mcnemar([[0, only_a], [only_b, 0]], exact=True).pvalue if only_a + only_b else 1.0
    assert mcnemar_exact(only_a, only_b) == pytest.approx(expected, abs=1e-12)


def test_impossible_discordance_is_refused():
    with pytest.raises(UsageError, match="Mend"):
        paired_difference_interval(3, 3, 5)
    with pytest.raises(UsageError, match="negative"):
        superiority_p(-1, 3, 5)
    with pytest.raises(UsageError, match="confidence"):
        paired_difference_interval(1, 3, 5, 1.0)


@pytest.mark.parametrize("n", [60, 300, 3000])
@pytest.mark.parametrize(("only_a", "only_b"), [(0, 0), (1, 0), (5, 3)])
def test_what_speaks_for_one_side_never_speaks_for_the_other_too(n, only_a, only_b):
    """Also where so few examples are discordant that no nuisance parameter is plausible on the limit itself."""
    for difference in (0.03, 0.1, -0.03, -0.1):
        more = superiority_p(only_a, only_b, n, difference)
        less = superiority_p(only_b, only_a, n, -difference)
        assert max(more, less) >= 0.5
        if min(more, less) < 0.1:
            assert (less < more) == ((only_a - only_b) / n < difference)
