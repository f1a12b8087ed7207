from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from statsmodels.stats.inter_rater import fleiss_kappa

from tutelage.tasks.agreement import krippendorff_alpha

# Krippendorff (2011), "Computing Krippendorff's Alpha-Reliability", example C: four observers, twelve units.
PUBLISHED = ("123321412...", "12332241253"[:9] + "5.3", ".33323422" + "51.", "123324412" + "51.")


def counts(raters):
    units = list(zip(*raters, strict=True))
    return np.array([[unit.count(c) for c in "12345"] for unit in units], dtype=float)


def test_the_published_example():
    assert krippendorff_alpha(counts(PUBLISHED)) == pytest.approx(0.743, abs=5e-4)
    assert krippendorff_alpha(counts(PUBLISHED), ordinal=True) == pytest.approx(0.815, abs=5e-4)


@settings(deadline=None)
@given(st.lists(st.lists(st.integers(0, 3), min_size=2, max_size=4), min_size=1, max_size=10))
def test_the_ordinal_alpha_is_that_of_its_definition(units):
    """Krippendorff (2004), chapter 11, pair by pair."""
    table = np.array([[unit.count(c) for c in range(4)] for unit in units], dtype=float)
    n = table.sum(axis=0)

    def apart(c, k):
        low, high = sorted((c, k))
        return (n[low : high + 1].sum() - (n[low] + n[high]) / 2) ** 2 if c != k else 0.0

    observed = sum(
        apart(one, other) / (len(unit) - 1)
        for unit in units
        for place, one in enumerate(unit)
        for at, other in enumerate(unit)
        if at != place
    )
    every = [rating for unit in units for rating in unit]
    expected = sum(
        apart(one, other) for place, one in enumerate(every) for at, other in enumerate(every) if at != place
    ) / (len(every) - 1)
    found = krippendorff_alpha(table, ordinal=True)
    if not expected:
        assert math.isnan(found)
        return
    assert found == pytest.approx(1 - observed / expected)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.lists(st.integers(0, 2), min_size=3, max_size=3), min_size=2, max_size=12))
def test_without_gaps_it_is_fleiss_kappa_for_small_samples(units):
    """1 - alpha = (1 - kappa) (N - 1) / N, with N ratings in all."""
    table = np.array([[unit.count(c) for c in range(3)] for unit in units], dtype=float)
    if (table.sum(axis=0) > 0).sum() < 2:
        assert math.isnan(krippendorff_alpha(table))
        return
    ratings = table.sum()
    expected = 1 - (1 - fleiss_kappa(table)) * (ratings - 1) / ratings
    assert krippendorff_alpha(table) == pytest.approx(expected)


def test_single_ratings_say_nothing():
    assert math.isnan(krippendorff_alpha(np.eye(3)))
    assert math.isnan(krippendorff_alpha(np.zeros((0, 2))))
    assert krippendorff_alpha(np.array([[2.0, 0], [0, 2], [1, 0]])) == 1.0
