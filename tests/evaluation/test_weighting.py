from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tutelage.evaluation.intervals import proportion_interval
from tutelage.evaluation.paired import paired_difference_interval
from tutelage.evaluation.weighting import (
    Weights,
    cluster_weights,
    density_weights,
    label_weights,
    weighted_accuracy,
    weighted_difference,
    weighted_figures,
)

_NONE = np.zeros(3, dtype=bool)
_CENTRES = np.array([[0.0], [1.0], [1.2]], dtype=np.float32)


def test_equal_weights_change_nothing():
    generator = np.random.default_rng(0)
    a, b = generator.random(200) < 0.8, generator.random(200) < 0.7
    weights = Weights(np.ones(200), 1.0)
    found = weighted_accuracy(a, weights)
    low, high = proportion_interval(int(a.sum()), 200)
    assert (found["estimate"], found["effective_n"]) == pytest.approx((a.mean(), 200))
    assert (found["low"], found["high"]) == pytest.approx((low, high))
    difference = weighted_difference(a, b, weights)
    ends = paired_difference_interval(int((a & ~b).sum()), int((b & ~a).sum()), 200)
    assert (difference["low"], difference["high"]) == pytest.approx(ends, abs=1e-3)


def test_clusters_get_the_weight_of_the_traffic():
    gold = np.repeat([0, 1, 2], [60, 30, 10])
    weights = cluster_weights(np.array([10.0, 10, 80]), gold, _CENTRES, _NONE)
    right = gold == 2
    assert weights.covered == 1.0
    assert weighted_accuracy(right, weights)["estimate"] == pytest.approx(0.8)
    assert weights.effective_n < 100
    assert any("examples are worth" in doubt for doubt in weights.doubts)


def test_what_gold_cannot_speak_for_is_left_out_and_told():
    gold = np.repeat([0, 1], [50, 50])
    uncovered = np.array([False, False, True])
    weights = cluster_weights(np.array([30.0, 30, 40]), gold, _CENTRES, uncovered)
    assert weights.covered == pytest.approx(0.6)
    assert weights.values == pytest.approx(np.ones(100))
    figures = weighted_figures({"student": np.ones(100, dtype=bool)}, weights)
    assert figures["arms"]["student"]["if_uncovered_wrong"] == pytest.approx(0.6)
    assert any("40% of the traffic" in doubt for doubt in figures["doubts"])


def test_a_cluster_with_few_examples_joins_its_neighbour():
    gold = np.repeat([0, 1, 2], [50, 48, 2])
    weights = cluster_weights(np.array([20.0, 40, 40]), gold, _CENTRES, _NONE)
    assert weighted_accuracy(gold > 0, weights)["estimate"] == pytest.approx(0.8)
    assert np.ptp(weights.values[gold > 0]) == pytest.approx(0.0)


def test_no_cluster_with_examples_enough_gives_no_weights():
    assert cluster_weights(np.array([1.0, 1, 1]), np.array([0, 1, 2]), _CENTRES, _NONE) is None
    assert weighted_figures({"student": np.ones(3, dtype=bool)}, None) is None


def test_density_weights_correct_a_known_shift():
    """The traffic is the mixture with other shares: what is right on one part alone tells its share."""
    generator = np.random.default_rng(1)
    gold_part, traffic_part = generator.random(2_000) < 0.2, generator.random(4_000) < 0.6
    gold = (generator.normal(size=(2_000, 2)) + np.where(gold_part, 2.0, -2.0)[:, None]).astype(np.float32)
    traffic = (generator.normal(size=(4_000, 2)) + np.where(traffic_part, 2.0, -2.0)[:, None]).astype(
        np.float32
    )
    weights = density_weights(gold, traffic)
    assert weighted_accuracy(gold_part, weights)["estimate"] == pytest.approx(0.6, abs=0.08)
    assert density_weights(gold[:19], traffic) is None


def test_the_intervals_cover_as_often_as_they_say():
    """Two strata of unlike accuracy, weights of 1 to 8: of 150 samples the truth is within in 95% or more."""
    generator = np.random.default_rng(2)
    truth, draws = 0.5 * 0.95 + 0.5 * 0.7, 150
    covered = covered_difference = 0
    for _ in range(draws):
        rare = generator.random(300) < 1 / 9
        if rare.sum() < 5:
            continue
        a = generator.random(300) < np.where(rare, 0.7, 0.95)
        b = generator.random(300) < np.where(rare, 0.7, 0.95)
        values = np.where(rare, 0.5 / rare.mean(), 0.5 / (1 - rare.mean()))
        weights = Weights(values / values.mean(), 1.0)
        found, difference = weighted_accuracy(a, weights), weighted_difference(a, b, weights)
        covered += found["low"] <= truth <= found["high"]
        covered_difference += difference["low"] <= 0 <= difference["high"]
    assert covered / draws >= 0.9 and covered_difference / draws >= 0.9


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.floats(0.01, 50)), min_size=1, max_size=30))
def test_any_weights_give_intervals_around_their_estimates(rows):
    a, b = (np.array([row[at] for row in rows], dtype=bool) for at in (0, 1))
    values = np.array([row[2] for row in rows])
    weights = Weights(values / values.mean(), 1.0)
    figures = weighted_figures({"teacher": b, "student": a}, weights)
    for found in figures["arms"].values():
        assert 0 <= found["low"] <= found["estimate"] <= found["high"] <= 1
    [difference] = figures["comparisons"]
    assert (difference["a"], difference["b"]) == ("student", "teacher")
    assert -1 <= difference["low"] <= difference["estimate"] + 1e-5
    assert difference["estimate"] - 1e-5 <= difference["high"] <= 1
    assert figures["effective_n"] <= len(rows) + 1e-6


def test_labels_correct_what_shifted_in_labels_alone_and_leave_out_what_gold_lacks():
    gold = np.repeat([0, 1, 2, -1], [80, 18, 2, 10])
    lacking = np.array([False, False, False, True])
    weights = label_weights(np.array([40, 40, 0, 20]), gold, lacking)
    assert weights.covered == pytest.approx(0.8)
    answered = gold >= 0
    assert weights.values[~answered] == pytest.approx(np.ones(10))
    assert weights.values[answered][:80].sum() == pytest.approx(
        weights.values[answered][80:98].sum(), rel=0.05
    )
    assert label_weights(np.array([1, 1]), np.array([0, 1]), np.zeros(2, dtype=bool)) is None


def test_discordant_examples_that_are_all_there_are_stay_within_their_number():
    weights = Weights(np.array([1.578125, 0.0625]) / 0.8203125, 1.0)
    found = weighted_difference(np.array([False, True]), np.array([True, False]), weights)
    assert found["low"] <= found["estimate"] <= found["high"]


def test_density_weights_balance_the_means_of_many_dimensions():
    """Log-linear in 32 dimensions, where a classifier's odds shrink towards equal weights."""
    generator = np.random.default_rng(5)
    points = generator.normal(size=(20_000, 32)).astype(np.float32)
    shares = np.exp(points[:, 0].astype(np.float64))
    gold = points[generator.integers(20_000, size=600)]
    traffic = points[generator.choice(20_000, 4_000, p=shares / shares.sum())]
    weights = density_weights(gold, traffic)
    means = weights.values @ gold / weights.values.sum()
    assert means[0] == pytest.approx(1.0, abs=0.1) and abs(gold.mean(axis=0)[0]) < 0.15
    assert np.abs(means - traffic.mean(axis=0)).max() < 0.03
    assert weights.values.min() > 0 and weights.effective_n < 400


@pytest.mark.parametrize("points", [np.zeros((30, 3)), np.ones((30, 1)), np.repeat(np.eye(3), 10, axis=0)])
def test_where_there_is_nothing_to_balance_weights_are_equal(points):
    rows = points.astype(np.float32)
    weights = density_weights(rows, rows)
    assert weights.values == pytest.approx(np.ones(30), abs=1e-6)
    apart = density_weights(rows, rows + 1)  # as far as there is no gold to move
    assert np.isfinite(apart.values).all() and apart.values.mean() == pytest.approx(1)
