from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import entropy

from tutelage.data.sampling import (
    affordable,
    at_random,
    by_score,
    by_value,
    density,
    disagreement,
    in_turn,
    uncertainty,
)


@st.composite
def pools(draw):
    """Strata, values, costs and what is taken of up to 40 prompts."""
    n = draw(st.integers(0, 40))
    column = lambda values: draw(st.lists(values, min_size=n, max_size=n))  # noqa: E731
    return (
        np.array(column(st.integers(0, 4)), dtype=np.int32),
        np.array(column(st.floats(0, 5)), dtype=np.float64),
        np.array(column(st.just(0.0) | st.floats(1e-6, 2)), dtype=np.float64),
        np.array(column(st.booleans()), dtype=bool),
    )


@given(pools(), st.integers(0, 3))
def test_every_order_has_each_candidate_once_and_is_the_same_again(pool, seed):
    strata, value, cost, taken = pool
    for order in (
        lambda: at_random(taken, seed),
        lambda: in_turn(strata, taken, seed),
        lambda: by_score(value, taken, seed),
        lambda: by_value(value, cost, strata, taken, seed),
    ):
        found = order()
        assert sorted(found.tolist()) == np.flatnonzero(~taken).tolist()
        np.testing.assert_array_equal(found, order())


def test_a_stratum_has_the_root_of_its_size_and_none_is_left_out():
    strata = np.repeat(np.arange(3, dtype=np.int32), [900, 100, 4])
    none = np.zeros(len(strata), dtype=bool)
    counts = np.bincount(strata[in_turn(strata, none, 0)[:84]])
    assert counts.tolist() == [60, 20, 4]  # 30 : 10 : 2 in proportion, of 84 whole ones
    assert set(strata[in_turn(strata, none, 0)[:6]]) == {0, 1, 2} or counts[2] > 0


def test_what_a_stratum_has_already_counts():
    strata = np.repeat(np.arange(2, dtype=np.int32), 50)
    taken = strata == 0
    taken[40:50] = False
    assert set(strata[in_turn(strata, taken, 0)[:20]]) == {1}


def test_a_larger_sample_holds_the_smaller_and_another_seed_is_another_one():
    none = np.zeros(200, dtype=bool)
    assert not np.array_equal(at_random(none, 0), at_random(none, 1))
    tied = np.zeros(200)
    assert not np.array_equal(by_score(tied, none, 0), by_score(tied, none, 1))


def test_value_goes_by_dollars_and_to_another_cluster_when_one_has_had_its_share():
    none = np.zeros(4, dtype=bool)
    one = np.zeros(4, dtype=np.int32)
    value, cost = np.array([1.0, 1.0, 2.0, 0.5]), np.array([1.0, 0.2, 4.0, 1.0])
    assert by_value(value, cost, one, none, 0).tolist()[0] == 1
    # Two of cluster 0 are worth √2 together, less than the 1 + √0.6 of one of each.
    apart = by_value(np.array([1.0, 1.0, 0.6]), np.ones(3), np.array([0, 0, 1], np.int32), none[:3], 0)
    assert apart[1] == 2
    # What was taken counts: cluster 0 has had its share already.
    taken = np.array([True, False, False])
    assert by_value(np.array([4.0, 1.0, 0.6]), np.ones(3), np.array([0, 0, 1], np.int32), taken, 0)[0] == 2


@given(pools())
def test_value_is_greedy_in_the_sum_of_roots(pool):
    clusters, value, _, taken = pool
    order = by_value(value, np.ones(len(value)), clusters, taken, 0)
    had = np.bincount(clusters[taken], weights=value[taken], minlength=5)
    left = set(order.tolist())
    for position in order:
        gains = {one: np.sqrt(had[clusters[one]] + value[one]) - np.sqrt(had[clusters[one]]) for one in left}
        assert gains[position] >= max(gains.values()) - 1e-9
        had[clusters[position]] += value[position]
        left.remove(position)


def test_a_budget_is_never_passed_and_used_to_the_cent():
    order, cost = np.array([2, 0, 1]), np.array([0.3, 0.2, 0.1])
    assert affordable(order, cost, 0.4).tolist() == [2, 0]
    assert affordable(order, cost, 0.39).tolist() == [2]
    assert affordable(order, cost, 0.0).tolist() == []
    assert affordable(order, np.zeros(3), 0.0).tolist() == [2, 0, 1]


def test_uncertainty_is_the_margin():
    said = np.array([[0.5, 0.3, 0.2], [1.0, 0.0, 0.0], [0.4, 0.4, 0.2]], dtype=np.float32)
    np.testing.assert_allclose(uncertainty(said, multi_label=False), [0.8, 0.0, 1.0], atol=1e-6)
    np.testing.assert_allclose(uncertainty(said, multi_label=True), [1.0, 0.0, 0.8], atol=1e-6)
    assert uncertainty(said[:, :1], multi_label=False).tolist() == [0.0, 0.0, 0.0]
    assert uncertainty(said[:0], multi_label=False).shape == (0,)


def test_disagreement_is_the_mean_divergence_from_the_mean():
    generator = np.random.default_rng(0)
    members = [generator.dirichlet(np.ones(4), 20).astype(np.float32) for _ in range(3)]
    mean = np.mean(members, axis=0)
    expected = np.mean([entropy(member, mean, axis=1) for member in members], axis=0)
    np.testing.assert_allclose(disagreement(members, multi_label=False), expected, atol=1e-5)
    assert disagreement([members[0]] * 3, multi_label=False) == pytest.approx(np.zeros(20), abs=1e-6)
    sure = [np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]])]
    assert disagreement(sure, multi_label=False) == pytest.approx([np.log(2)])
    assert disagreement(sure, multi_label=True) == pytest.approx([2 * np.log(2)])


def test_density_is_the_mean_similarity_to_all_that_came_in():
    generator = np.random.default_rng(1)
    points = generator.random((30, 5)).astype(np.float32)
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    counts = generator.integers(1, 5, 30)
    expected = (points @ points.T) @ counts / counts.sum()
    np.testing.assert_allclose(density(points, counts), expected / expected.max(), rtol=1e-5)


def test_density_of_texts_like_none():
    nothing = np.zeros((3, 2), dtype=np.float32)
    assert density(nothing, np.ones(3, np.int64)).tolist() == [1.0, 1.0, 1.0]
    points = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]], dtype=np.float32)
    assert density(points, np.array([5, 5, 1, 1])).min() == pytest.approx(1e-3)
    assert density(nothing[:0], np.zeros(0, np.int64)).shape == (0,)
