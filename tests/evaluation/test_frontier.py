from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from tutelage.errors import UsageError
from tutelage.evaluation import Contender, Footprint, frontier_of


def contender(name, quality, size, latency=1.0, seeds=3, n=1_000):
    """Exactly that share right with every seed, the wrong ones spread anew for each."""
    generator = np.random.default_rng(len(name))
    rows = [generator.permutation(np.arange(n) < round(quality * n)) for _ in range(seeds)]
    return Contender(name, np.array(rows, float), Footprint(latency_p50_ms=latency, size_mb=size))


def nested(name, quality, size, n=1_000, **more):
    """Right on the first examples, so that a better one is right wherever a worse one is."""
    scores = np.tile((np.arange(n) < round(quality * n)).astype(float), (3, 1))
    return Contender(name, scores, Footprint(latency_p50_ms=more.get("latency", 1.0), size_mb=size))


def names(frontier):
    return [standing.name for standing in frontier.standings if standing.on_frontier]


def test_the_smallest_within_the_margin_is_proposed():
    three = [nested("large", 0.90, 90), nested("middle", 0.895, 30), nested("small", 0.80, 1)]
    found = frontier_of(three, 0.02)
    assert (found.best, found.proposal) == ("large", "middle")
    assert [standing.name for standing in found.standings] == ["small", "middle", "large"]
    assert frontier_of(three, 0.0).proposal == "large"
    assert frontier_of(three, 0.2).proposal == "small"


def test_a_student_that_may_lose_more_than_the_margin_is_not_proposed():
    """A loss of 1% on 100 examples is within 2%, and yet may be far beyond it."""
    few = [contender("large one", 0.90, 90, n=100, seeds=1), contender("small", 0.89, 1, n=100, seeds=1)]
    found = frontier_of(few, 0.02)
    assert found.proposal == "large one"
    assert found.standings[0].loss == pytest.approx(0.01) and found.standings[0].loss_high > 0.02


def test_the_frontier_has_whom_nobody_beats():
    found = frontier_of(
        [
            nested("best", 0.9, 90, latency=9.0),
            nested("dominated", 0.8, 95, latency=10.0),
            nested("quick", 0.7, 90, latency=1.0),
            nested("small", 0.6, 2, latency=9.0),
        ],
        0.02,
    )
    assert set(names(found)) == {"best", "quick", "small"}


def test_the_interval_is_that_of_a_proportion_where_seeds_agree():
    found = frontier_of([nested("one", 0.8, 1)], 0.02).standings[0]
    low, high = stats.binom.ppf([0.025, 0.975], 1_000, 0.8) / 1_000
    assert (found.low, found.high) == (pytest.approx(low, abs=0.004), pytest.approx(high, abs=0.004))
    assert (found.loss, found.loss_low, found.loss_high) == (0.0, 0.0, 0.0)


def test_seeds_that_differ_widen_the_interval():
    scores = np.stack([np.full(1_000, value) for value in (0.6, 0.8, 1.0)])
    found = frontier_of([Contender("one", scores, Footprint())], 0.02).standings[0]
    assert found.by_seed == pytest.approx((0.6, 0.8, 1.0))
    assert found.low < 0.68 and found.high > 0.92


def test_a_pair_is_compared_on_the_same_examples():
    """Nested answers: the loss is known far better than either quality."""
    found = frontier_of([nested("a", 0.80, 2), nested("b", 0.79, 1)], 0.02)
    small = found.standings[0]
    assert small.loss_high - small.loss_low < 0.02 < small.high - small.low


def test_it_is_the_same_each_time():
    pair = [contender("one", 0.8, 1), contender("three", 0.9, 2)]
    assert frontier_of(pair, 0.02) == frontier_of(pair, 0.02)


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(UsageError, match="nobody"):
        frontier_of([], 0.02)
    with pytest.raises(UsageError, match="different seeds or examples"):
        frontier_of([nested("a", 0.8, 1), nested("b", 0.8, 1, n=10)], 0.02)
