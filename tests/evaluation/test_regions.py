from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from tutelage.evaluation.regions import cluster_centres, find_regions, leaf_count


def blobs(sizes, generator, width=6):
    """Points about so many directions, and which direction each has."""
    directions = np.random.default_rng(99).normal(size=(len(sizes), width))
    which = np.repeat(np.arange(len(sizes)), sizes)
    points = directions[which] + generator.normal(scale=0.25, size=(len(which), width))
    return points.astype(np.float32), which


def test_a_small_kind_and_a_large_one_that_gold_lacks_are_both_found():
    generator = np.random.default_rng(0)
    traffic, kind = blobs([900, 900, 900, 250, 60], generator)
    gold, _ = blobs([300, 300, 300, 0, 0], generator)
    found = find_regions(traffic, gold, 3)
    short = found.p[found.place(traffic)] <= 0.05
    assert short[kind >= 3].mean() > 0.9 and short[kind < 3].mean() < 0.02
    assert not (found.p[found.place(gold)] <= 0.05).mean() > 0.02
    assert len(found.p) <= 1 + max(3, len(set(found.place(traffic)[short])))


def test_gold_drawn_from_the_traffic_is_hardly_ever_short_anywhere():
    generator = np.random.default_rng(1)
    wrong = 0
    for seed in range(40):
        points, _ = blobs([60, 40, 120, 20], generator)
        order = generator.permutation(len(points))
        wrong += bool((find_regions(points[order[80:]], points[order[:80]], 5, seed=seed).p <= 0.05).any())
    assert wrong <= stats.binom.ppf(0.999, 40, 0.05)


@settings(max_examples=20, deadline=None)
@given(
    st.integers(1, 40), st.integers(0, 40), st.integers(1, 9), st.sampled_from(["alike", "apart", "nought"]),
)  # fmt: skip
def test_whatever_there_is_every_point_has_a_cluster(traffic, gold, count, how):
    generator = np.random.default_rng(traffic)
    make = {
        "alike": lambda n: np.ones((n, 3), dtype=np.float32),
        "apart": lambda n: generator.normal(size=(n, 3)).astype(np.float32),
        "nought": lambda n: np.zeros((n, 3), dtype=np.float32),
    }[how]
    points, others = make(traffic), make(gold)
    found = find_regions(points, others, count)
    numbers = found.place(points)
    assert numbers.shape == (traffic,) and set(numbers.tolist()) <= set(range(len(found.p)))
    assert ((found.p >= 0) & (found.p <= 1)).all()
    centres = cluster_centres(points, numbers, len(found.p))
    assert centres.shape == (len(found.p), 3) and np.isfinite(centres).all()


@pytest.mark.parametrize(
    ("texts", "gold", "leaves"), [(6_669, 2_000, 400), (200, 100, 20), (5, 0, 1), (900, 3, 2)]
)
def test_leaves_are_as_many_as_gold_and_texts_are_worth(texts, gold, leaves):
    assert leaf_count(texts, gold) == leaves
