import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit
from sklearn.metrics import brier_score_loss

from tutelage.evaluation.calibration import (
    bin_count,
    calibrate,
    equal_mass_bins,
    expected_calibration_error,
    stated_confidence,
    untempered,
)
from tutelage.tasks import Classify

SINGLE = Classify(("a", "b", "c"))
MULTI = Classify(("a", "b", "c"), multi_label=True)


def softmax(logits):
    exponentials = np.exp(logits)
    return (exponentials / exponentials.sum(axis=1, keepdims=True)).astype(np.float32)


def drawn(n, *, overconfidence=1.0, seed=0):
    """Gold drawn from the probabilities, which are then sharpened: calibrated where overconfidence is 1."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(size=(n, 3)) * 1.5
    drawn_at = generator.random((n, 1))
    truth = [SINGLE.labels[index] for index in (drawn_at > softmax(logits).cumsum(axis=1)[:, :2]).sum(axis=1)]
    return truth, softmax(logits * overconfidence)


def of(truth, probabilities, task=SINGLE, resamples=400):
    return calibrate(task, truth, task.decide(probabilities), probabilities, seed=0, resamples=resamples)


def test_brier_agrees_with_sklearn():
    truth, probabilities = drawn(300)
    assert of(truth, probabilities).brier == pytest.approx(
        brier_score_loss(truth, probabilities, labels=list(SINGLE.labels), scale_by_half=False), abs=1e-6
    )


def test_brier_of_several_labels_is_the_mean_over_labels():
    generator = np.random.default_rng(1)
    probabilities = generator.random((200, 3)).astype(np.float32)
    flags = generator.random((200, 3)) < 0.4
    truth = [
        MULTI.value_of([name for name, flag in zip(MULTI.labels, row, strict=True) if flag]) for row in flags
    ]
    by_label = [brier_score_loss(flags[:, column], probabilities[:, column]) for column in range(3)]
    assert of(truth, probabilities, MULTI).brier == pytest.approx(np.mean(by_label), abs=1e-6)


def test_ece_by_hand():
    confidence = np.array([0.6, 0.6, 0.9, 0.9])
    correct = np.array([True, False, True, True])
    # Bins {0.6, 0.6} and {0.9, 0.9}: |0.5 − 0.6| and |1 − 0.9|, half of the examples each.
    assert expected_calibration_error(confidence, correct, bins=2) == pytest.approx(0.1)
    assert expected_calibration_error(confidence, correct, bins=1) == pytest.approx(0.0)


def test_ece_of_an_answer_is_that_of_its_bins():
    truth, probabilities = drawn(900, overconfidence=2.0)
    found = of(truth, probabilities)
    confidence = probabilities.max(axis=1).astype(np.float64)
    correct = np.array(SINGLE.decide(probabilities)) == np.array(truth)
    assert found.ece == pytest.approx(expected_calibration_error(confidence, correct))
    from_bins = (
        sum(item["n"] * abs(item["confidence"] - item["accuracy"]) for item in found.reliability) / 900
    )
    assert found.ece == pytest.approx(from_bins)
    assert [item["n"] for item in found.reliability] == [60] * 15


def test_several_labels_are_judged_by_decisions():
    probabilities = np.array([[0.9, 0.2, 0.4]] * 40, dtype=np.float32)
    found = of([("a",)] * 40, probabilities, MULTI)
    # Every decision is right: confidences 0.9, 0.8 and 0.6 fall short of 1 by 0.1, 0.2 and 0.4.
    assert found.ece == pytest.approx(0.7 / 3, abs=1e-6)
    assert sum(item["n"] for item in found.reliability) == 120


@given(
    st.lists(st.sampled_from([0.1, 0.2, 0.35, 0.5, 0.99]), min_size=1, max_size=80),
    st.integers(1, 15),
    st.sampled_from([0.0, 0.5]),
)
def test_equal_confidences_share_a_bin_and_bins_are_ordered(confidences, bins, shift):
    confidence = np.array(confidences)
    found = equal_mass_bins(confidence, bins, shift)
    assert found.min() == 0
    assert found.max() < bins + (shift > 0)
    order = np.argsort(confidence, kind="stable")
    assert (np.diff(found[order]) >= 0).all()
    assert len(set(zip(confidences, found.tolist(), strict=True))) == len(set(confidences))


def test_bins_are_fewer_where_examples_are():
    assert [bin_count(n) for n in (1, 39, 40, 299, 300, 10_000)] == [1, 1, 2, 14, 15, 15]


def test_rows_without_probabilities_or_answer_are_left_out():
    truth, probabilities = drawn(60)
    values = SINGLE.decide(probabilities)
    holed = np.vstack([probabilities, np.full((1, 3), np.nan, np.float32), probabilities[:1]])
    both = calibrate(SINGLE, [*truth, "a", "a"], [*values, "a", None], holed, seed=0, resamples=50)
    assert both == of(truth, probabilities, resamples=50)
    assert np.isnan(stated_confidence([*values, "a", None], holed)[60:]).all()


def test_nothing_is_said_where_nothing_was_stated():
    assert calibrate(SINGLE, ["a"], ["a"], None, seed=0, resamples=10) is None
    assert calibrate(SINGLE, ["a"], [None], np.full((1, 3), 1 / 3, np.float32), seed=0, resamples=10) is None


@pytest.mark.parametrize("overconfidence", [1.0, 2.0])
def test_the_ece_interval_doesnt_mistake_noise_for_miscalibration(overconfidence):
    """Binned ECE lies too high in small samples; both one-sided bounds of the interval hold all the same."""
    truth, probabilities = drawn(50_000, overconfidence=overconfidence, seed=9)
    true_ece = of(truth, probabilities, resamples=1).ece
    found = [of(*drawn(400, overconfidence=overconfidence, seed=seed), resamples=200) for seed in range(100)]
    assert np.mean([item.ece for item in found]) > true_ece + (0.02 if overconfidence == 1.0 else 0.0)
    assert np.mean([item.ece_high >= true_ece for item in found]) >= 0.9
    assert np.mean([item.ece_low <= true_ece + 0.01 for item in found]) >= 0.9


def test_confidence_in_a_set_is_the_product_over_labels():
    probabilities = np.array([[0.9, 0.2, 0.5]], dtype=np.float32)
    assert stated_confidence([("a", "c")], probabilities) == pytest.approx([0.9 * 0.8 * 0.5], abs=1e-6)
    assert stated_confidence(["a"], np.array([[0.7, 0.2, 0.1]], np.float32)) == pytest.approx([0.7], abs=1e-6)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_untempered_probabilities_are_those_before_scaling(temperature):
    logits = np.random.default_rng(3).normal(size=(50, 3)) * 2
    assert untempered(softmax(logits / temperature), temperature, multi_label=False) == pytest.approx(
        softmax(logits), abs=1e-5
    )
    several = untempered(expit(logits / temperature).astype(np.float32), temperature, multi_label=True)
    assert several == pytest.approx(expit(logits), abs=1e-4)


def test_rows_without_probabilities_stay_without():
    given = np.array([[np.nan] * 3, [1.0, 0.0, 0.0]], np.float32)
    found = untempered(given, 2.0, multi_label=False)
    assert np.isnan(found[0]).all()
    assert found[1].tolist() == [1.0, 0.0, 0.0]


@pytest.mark.parametrize("overconfidence", [1.0, 1.5])
def test_with_many_examples_sums_are_drawn_without_drawing_examples(monkeypatch, overconfidence):
    truth, probabilities = drawn(6000, overconfidence=overconfidence)
    quick = of(truth, probabilities, resamples=1000)
    monkeypatch.setattr("tutelage.evaluation.calibration._MANY", 10_000)
    slow = of(truth, probabilities, resamples=1000)
    assert quick.ece == slow.ece
    assert (quick.ece_low, quick.ece_high) == pytest.approx((slow.ece_low, slow.ece_high), abs=1.5e-3)


def test_the_upper_end_holds_where_the_gap_changes_its_sign():
    """Half of the confidences too low by 0.1, half too high, of which bins hide a part."""
    generator, task, below = np.random.default_rng(3), Classify(("a", "b")), 0
    for _ in range(60):
        sure = generator.uniform(0.5, 0.9, size=300)
        right = generator.random(300) < sure + np.where(sure < 0.7, 0.1, -0.1)
        probabilities = np.column_stack([sure, 1 - sure]).astype(np.float32)
        gold = np.where(right, "a", "b").tolist()
        found = calibrate(task, gold, ["a"] * 300, probabilities, seed=0, resamples=200)
        below += found.ece_high < 0.1
    assert below <= 3


def test_a_bin_that_a_jump_divides_hides_nothing_from_the_upper_end():
    """0.6 and 0.8 are stated, 0.7 of either is right; the jump lies in the middle of the eighth bin of 15."""
    n, task = 1500, Classify(("a", "b"))
    sure = np.repeat([0.6, 0.8], n // 2) + np.linspace(0, 1e-4, n)
    gold = (["a"] * 7 + ["b"] * 3) * (n // 10)
    probabilities = np.column_stack([sure, 1 - sure])
    found = calibrate(task, gold, ["a"] * n, probabilities, seed=0, resamples=2000)
    assert found.ece == pytest.approx(0.1 * 14 / 15, abs=1e-3)
    assert found.ece_high == pytest.approx(0.1 + 1.96 * np.sqrt(0.7 * 0.3 / n), abs=3e-3)
