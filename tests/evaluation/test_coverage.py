from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from tutelage.evaluation.coverage import (
    beyond_reach,
    gold_by_cluster,
    slices_by_cluster,
    unlike,
    with_and_without,
)

_NAMES = ("a", "b", "c", "d")


def test_clusters_that_gold_lacks_or_is_thin_in_are_told_from_bad_luck():
    traffic = np.array([500.0, 300, 190, 10])
    clusters = gold_by_cluster(_NAMES, traffic, np.array([150, 20, 0, 0]))
    assert [(entry["name"], entry["state"]) for entry in clusters] == [
        ("a", "covered"),
        ("b", "thin"),
        ("c", "lacking"),
        ("d", "covered"),  # 1.7 expected, 0 found: that happens
    ]
    found = unlike(clusters, 170)
    assert found["estimate"] == pytest.approx(0.49)
    assert found["without_gold"] == pytest.approx(0.2)
    assert found["needed"] == (51 - 20) + 33
    assert clusters[2]["p"] == pytest.approx(min(1, 4 * stats.binom.cdf(0, 170, 0.19)))


def test_gold_drawn_from_the_traffic_is_hardly_ever_found_thin():
    generator = np.random.default_rng(0)
    traffic = generator.integers(1, 100, 40).astype(float)
    wrong = sum(
        unlike(gold_by_cluster([str(n) for n in range(40)], traffic, drawn), 400)["estimate"] > 0
        for drawn in generator.multinomial(400, traffic / traffic.sum(), size=50)
    )
    assert wrong <= stats.binom.ppf(0.999, 50, 0.05)


@pytest.mark.parametrize("gold", [np.array([0, 0]), np.array([3, 0])])
def test_little_gold_finds_nothing(gold):
    clusters = gold_by_cluster(("a", "b"), np.array([1.0, 1.0]), gold)
    assert unlike(clusters, int(gold.sum()))["estimate"] == 0


def test_beyond_reach_is_five_in_a_hundred_where_alike_and_more_where_not():
    generator = np.random.default_rng(1)
    gold, same = (generator.normal(size=(600, 3)).astype(np.float32) for _ in range(2))
    assert beyond_reach(gold, same)["estimate"] == pytest.approx(0.05, abs=0.03)
    mixed = np.concatenate([same[:300], same[300:] + 8])
    assert beyond_reach(gold, mixed)["estimate"] == pytest.approx(0.52, abs=0.04)
    assert beyond_reach(gold[:1], same) is None
    assert beyond_reach(gold, same[:0]) is None


def test_the_worst_cluster_is_not_a_tiny_one_by_chance():
    """b is truly bad; d has two examples, both wrong by chance; c is as all are."""
    gold = np.repeat([0, 1, 2, 3], [300, 60, 60, 2])
    student = np.ones(len(gold), dtype=bool)
    student[:15] = False
    student[300:330] = False
    student[360:363] = False
    student[420:] = False
    teacher = np.ones(len(gold), dtype=bool)
    found = slices_by_cluster({"teacher": teacher, "student": student}, gold, _NAMES)
    worst = found["worst"]
    assert worst[0]["name"] == "b" and worst[0]["worse"] and worst[0]["p"] < 1e-6
    assert worst[0]["loss"]["high"] < 0
    [tiny] = [entry for entry in worst if entry["name"] == "d"]
    assert tiny["arms"]["student"] == 0.0 and tiny["shrunken"] > worst[0]["shrunken"]
    assert tiny["p"] is None and not tiny["worse"] and tiny["loss"] is None
    assert (found["tested"], found["worse"]) == (3, 1)
    for entry in worst:
        assert entry["low"] <= entry["shrunken"] <= entry["high"]


def test_where_all_clusters_are_alike_hardly_any_is_called_worse():
    generator = np.random.default_rng(3)
    wrong = 0
    for _ in range(30):
        gold = generator.integers(4, size=200)
        right = {"student": generator.random(200) < 0.85}
        wrong += slices_by_cluster(right, gold, _NAMES)["worse"] > 0
    assert wrong <= stats.binom.ppf(0.999, 30, 0.05)


@pytest.mark.parametrize("value", [True, False])
@pytest.mark.parametrize("n", [1, 40])
def test_all_right_and_all_wrong(value, n):
    right = {"student": np.full(n, value)}
    found = slices_by_cluster(right, np.arange(n) % 2, ("a", "b"))
    assert {entry["shrunken"] for entry in found["worst"]} == {float(value)}
    assert not found["worse"]


def test_accuracy_with_and_without_what_leaked():
    leaked = np.array([True, True, False, False])
    found = with_and_without({"student": np.array([True, True, True, False])}, leaked)
    assert found["student"]["leaked"]["estimate"] == 1.0
    assert found["student"]["others"] == {
        "estimate": 0.5,
        "low": pytest.approx(0.0126, abs=1e-3),
        "high": pytest.approx(0.987, abs=1e-3),
        "n": 2,
    }
    assert with_and_without({}, np.zeros(3, dtype=bool)) is None
    assert (
        with_and_without({"student": np.ones(2, dtype=bool)}, np.ones(2, dtype=bool))["student"]["others"]
        is None
    )
