"""Intervals of differences and ratios from those of their parts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

from tutelage.evaluation.intervals import proportion_interval
from tutelage.evaluation.recovered import (
    Estimated,
    correlation,
    difference,
    flags_correlation,
    product,
    ratio,
    share,
)


def wilson(successes: int, n: int) -> Estimated:
    return Estimated(successes / n, *proportion_confint(successes, n, method="wilson"))


@pytest.mark.parametrize(
    ("a", "b"), [((8, 10), (7, 12)), ((56, 70), (48, 80)), ((0, 20), (0, 10)), ((9, 9), (1, 9))]
)
def test_a_difference_of_independent_shares_is_newcombes(a, b):
    found = difference(wilson(*a), wilson(*b), 0.0)
    theirs = confint_proportions_2indep(*a, *b, method="newcomb", compare="diff", correction=False)
    assert (found.low, found.high) == pytest.approx(theirs, abs=1e-9)


def test_a_paired_difference_is_newcombes_example():
    """Newcombe 1998, table III, example b (36, 12, 2, 0): method 10 gives 0.0569 to 0.3404."""
    a = np.repeat([True, True, False], [36, 12, 2])
    b = np.repeat([True, False, True], [36, 12, 2])
    found = difference(wilson(48, 50), wilson(38, 50), flags_correlation(a, b))
    assert (found.low, found.high) == pytest.approx((0.0569, 0.3404), abs=5e-5)


def test_a_ratio_of_many_examples_is_that_of_the_delta_method():
    generator = np.random.default_rng(0)
    base = generator.random(40_000)
    a, b = base < 0.8, np.where(generator.random(40_000) < 0.5, base, generator.random(40_000)) < 0.9
    parts = [Estimated(x.mean(), *proportion_interval(x.sum(), len(x))) for x in (a, b)]
    found = ratio(*parts, flags_correlation(a, b))
    spread = np.std(a / a.mean() - b / b.mean()) / len(a) ** 0.5 * found.estimate
    assert (found.high - found.low) / 2 == pytest.approx(1.96 * spread, rel=0.02)
    assert found.estimate == pytest.approx(a.mean() / b.mean())


@given(st.integers(0, 30), st.integers(1, 30), st.integers(0, 30), st.floats(-1, 1))
def test_ends_lie_about_the_estimate_and_a_ratios_difference_is_nought_there(hits, other, misses, correlated):
    a = Estimated(hits / 30, *proportion_interval(hits, 30))
    b = Estimated(other / 30, *proportion_interval(other, 30))
    assert (apart := difference(a, b, correlated)).low <= apart.estimate <= apart.high
    found = ratio(a, b, correlated)
    assert found.low <= found.estimate + 1e-9 and found.estimate <= found.high + 1e-9
    assert found.low + 1e-6 >= 0 and found.high < 1e6
    assert difference(a, b.times(found.high), correlated).high == pytest.approx(0, abs=1e-6)
    if misses:
        assert share(hits / 30, 0.0, misses).low <= hits / 30


def test_a_share_is_worth_what_its_variance_says_and_no_more_than_there_is():
    for variance, worth in ((0.09 / 50, 50), (0.09 / 500, 80)):
        found = share(0.9, variance, 80)
        assert (found.low, found.high) == pytest.approx(proportion_interval(0.9 * worth, worth))
    assert share(1.0, 0.0, 40) == Estimated(1.0, *proportion_interval(40, 40))
    assert share(0.5, 1.0, 40) == Estimated(0.5, *proportion_interval(0.5, 1))


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=40))
def test_correlations_are_numbers(rows):
    a, b = np.array(rows).T
    assert -1 <= flags_correlation(a, b) <= 1
    assert -1 <= correlation(a.astype(float), b.astype(float)) <= 1
    assert abs(flags_correlation(a, b)) <= abs(correlation(a.astype(float), b.astype(float))) + 1e-9


def test_a_products_ends_are_those_of_either_where_the_other_is_sure():
    often = Estimated(0.4, 0.3, 0.55)
    assert product(often, Estimated(0.5, 0.5, 0.5)) == Estimated(
        0.2, pytest.approx(0.15), pytest.approx(0.275)
    )
    both = product(often, Estimated(0.5, 0.4, 0.6))
    assert both.low < 0.15 and both.high > 0.275
    assert product(Estimated(0, 0, 0.1), Estimated(0.5, 0.4, 0.6)) == Estimated(0, 0, pytest.approx(0.05))
