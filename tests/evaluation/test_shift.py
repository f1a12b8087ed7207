from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from tutelage.evaluation import shift
from tutelage.evaluation.shift import (
    LabelCounts,
    classifier_test,
    commoner,
    kernel_test,
    label_shift,
    length_shift,
    nearest_distances,
    nearest_shift,
)


def _points(n, at=0.0, width=5, seed=0):
    return np.random.default_rng(seed).normal(at, 1.0, size=(n, width)).astype(np.float32)


def test_both_tests_see_a_shift_and_say_its_size():
    gold, traffic = _points(300, seed=1), _points(400, at=0.5, seed=2)
    told = classifier_test(gold, traffic)
    assert told["p"] < 1e-4 and 0.7 < told["auc"] < 0.95
    assert told["low"] < told["auc"] < told["high"]
    kernel = kernel_test(gold, traffic)
    assert kernel["p"] == pytest.approx(1 / 501) and kernel["mmd"] > kernel["mmd_by_chance"]


def test_without_a_shift_both_reject_as_often_as_they_say():
    p = [
        (classifier_test(a, b)["p"], kernel_test(a, b, permutations=99)["p"])
        for a, b in ((_points(60, seed=s), _points(60, seed=1000 + s)) for s in range(60))
    ]
    for rejected in (np.array(p) <= 0.05).sum(axis=0):
        assert rejected <= stats.binom.ppf(0.999, len(p), 0.05)


def test_the_auc_is_that_of_scikit_learn_and_its_deviation_of_the_bootstrap():
    generator = np.random.default_rng(0)
    a, b = generator.normal(0.4, 1, 150), generator.normal(0, 1, 200)
    auc, deviation = shift._auc(a, b)
    assert auc == pytest.approx(roc_auc_score(np.repeat([1, 0], [150, 200]), np.concatenate([a, b])))
    drawn = [
        stats.mannwhitneyu(generator.choice(a, 150), generator.choice(b, 200)).statistic / 150 / 200
        for _ in range(600)
    ]
    assert deviation == pytest.approx(np.std(drawn), rel=0.12)


@pytest.mark.parametrize("n", [0, 1, 9])
def test_too_little_is_not_tested(n):
    assert classifier_test(_points(n), _points(100)) is None
    assert kernel_test(_points(100), _points(n)) is None
    assert nearest_shift(_points(n), _points(50), _points(50)) is None


def test_points_that_are_all_the_same_give_no_difference():
    same = np.ones((30, 4), dtype=np.float32)
    assert classifier_test(same, same)["auc"] == 0.5
    assert kernel_test(same, same)["p"] == 1.0
    found = nearest_shift(same, same, same)
    assert found["gold_nearer"] == 0.5 and found["p"] == 1.0


def test_lengths_are_compared_as_scipy_does():
    gold, traffic = [10, 12, 15, 20] * 5, [10, 30, 40, 50] * 6
    found = length_shift(gold, traffic)
    assert found["ks"] == pytest.approx(stats.ks_2samp(gold, traffic).statistic)
    assert found["longer_than_all"]["estimate"] == 0.75
    assert length_shift([], traffic) is None


def test_gold_that_was_copied_from_what_is_learned_lies_nearer():
    learned = _points(300, seed=1)
    learned /= np.linalg.norm(learned, axis=1, keepdims=True)
    fresh = _points(100, seed=2)
    fresh /= np.linalg.norm(fresh, axis=1, keepdims=True)
    copied = learned[:60] + np.float32(0.001)
    found = nearest_shift(copied, fresh, learned)
    assert found["gold_nearer"] > 0.95 and found["p"] < 1e-6
    assert found["close"]["gold"] == 1.0 and found["close"]["p"] < 1e-6


def test_the_nearest_distance_is_the_nearest():
    points, to = _points(40, seed=1), _points(30, seed=2)
    every = np.linalg.norm(points[:, None] - to[None], axis=2).min(axis=1)
    np.testing.assert_allclose(nearest_distances(points, to), every, atol=1e-4)


def _counts(gold, traffic):
    gold, traffic = np.array(gold), np.array(traffic)
    return LabelCounts(
        [f"l{n}" for n in range(len(gold))], gold, traffic, int(gold.sum()), int(traffic.sum())
    )


def test_label_shift_agrees_with_the_chi_square_test_where_counts_are_large():
    gold, traffic = [300, 260, 440], [610, 590, 800]
    found = label_shift(_counts(gold, traffic), permutations=20_000)
    statistic, p = stats.chi2_contingency([gold, traffic], correction=False)[:2]
    assert float(shift._chi_square(np.array(gold), np.array(gold) + traffic)) == pytest.approx(statistic)
    assert found["p"] == pytest.approx(p, abs=0.01)


def test_labels_that_gold_lacks_are_named_the_largest_first():
    found = label_shift(_counts([50, 50, 0, 0], [500, 480, 300, 100]))
    assert [one["label"] for one in found["labels"][:1]] == ["l2"]
    assert {"l2", "l3"} <= {one["label"] for one in found["labels"]}
    assert found["labels"][0]["low"] > 0 and found["p"] < 0.01
    assert found["distance"] > found["by_chance"]


def test_the_same_shares_are_no_shift():
    found = label_shift(_counts([10, 20, 30], [100, 200, 300]))
    assert found["labels"] == [] and found["p"] > 0.5 and found["distance"] == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("gold, traffic", [([0, 0], [5, 5]), ([5, 5], [0, 0])])
def test_nothing_on_one_side_is_nothing_to_compare(gold, traffic):
    assert label_shift(_counts(gold, traffic)) is None


def test_one_label_cannot_shift():
    found = label_shift(_counts([7], [9]))
    assert found["p"] == 1.0 and found["labels"] == []


def test_what_is_commoner_is_fishers_test():
    found = commoner(8, 20, 1, 40)
    assert found["p"] == pytest.approx(stats.fisher_exact([[8, 12], [1, 39]], alternative="greater").pvalue)
    assert commoner(0, 0, 1, 4) is None
