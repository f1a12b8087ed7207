from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, log_softmax, softmax

from tutelage.distillation import Signals
from tutelage.distillation.temperature import LEAST_EXAMPLES, fit_temperature


def part_of(targets, humans=0):
    n = len(targets)
    known, nothing = np.ones(n, bool), np.zeros(n, bool)
    has_gold = np.arange(n) < humans
    return Signals(("text",) * n, targets, nothing, known, targets * has_gold[:, None], has_gold)


def drawn(n, *, sharpened, seed=0):
    """Labels drawn from softmax(logits), and probabilities of logits that many times as large."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(size=(n, 4)) * 2
    chosen = np.array([generator.choice(4, p=row) for row in softmax(logits, axis=1)])
    return np.eye(4, dtype=np.float32)[chosen], softmax(logits * sharpened, axis=1).astype(np.float32)


@pytest.mark.parametrize("sharpened", [0.5, 1.0, 2.5])
def test_what_sharpened_the_logits_is_found(sharpened):
    targets, probabilities = drawn(4000, sharpened=sharpened)
    found = fit_temperature(probabilities, part_of(targets, humans=12), multi_label=False)
    assert found.temperature == pytest.approx(sharpened, rel=0.08)
    assert found.loss_after <= found.loss_before
    assert (found.examples, found.humans) == (4000, 12)


def test_no_other_temperature_has_less_loss():
    targets, probabilities = drawn(400, sharpened=1.7)
    found = fit_temperature(probabilities, part_of(targets), multi_label=False)
    smoothed = targets * (1 - 1 / 401) + 1 / 401 / 4
    losses = {
        temperature: -(smoothed * log_softmax(np.log(probabilities) / temperature, axis=1)).sum(axis=1).mean()
        for temperature in np.geomspace(0.3, 4, 400)
    }
    assert found.temperature == pytest.approx(min(losses, key=losses.get), rel=0.01)
    assert found.loss_after == pytest.approx(min(losses.values()), abs=1e-4)


def test_several_labels_are_scaled_as_yes_or_no():
    generator = np.random.default_rng(1)
    logits = generator.normal(size=(4000, 3)) * 1.5
    targets = (generator.random((4000, 3)) < expit(logits)).astype(np.float32)
    found = fit_temperature(expit(2 * logits).astype(np.float32), part_of(targets), multi_label=True)
    assert found.temperature == pytest.approx(2.0, rel=0.08)


def test_few_examples_leave_the_student_as_it_is():
    targets, probabilities = drawn(LEAST_EXAMPLES - 1, sharpened=3.0)
    found = fit_temperature(probabilities, part_of(targets), multi_label=False)
    assert found.temperature == 1.0
    assert found.loss_before == found.loss_after


def test_a_part_without_an_error_doesnt_ask_for_certainty():
    """All of 100 right at about 88%: certainty would be infinite, the smoothed answer is that of 100 in 101."""
    probabilities = np.full((100, 3), 0.06, np.float32) + np.eye(3, dtype=np.float32)[0] * 0.82
    targets = np.tile(np.eye(3, dtype=np.float32)[0], (100, 1))
    found = fit_temperature(probabilities, part_of(targets), multi_label=False)
    sure = softmax(np.log([0.88, 0.06, 0.06]) / found.temperature)[0]
    assert sure == pytest.approx(1 - (2 / 3) / 101, abs=1e-3)


@settings(max_examples=20, deadline=None)
@given(st.integers(30, 60), st.sampled_from([0.0, 1.0, 0.5, 1e-38]), st.booleans())
def test_certain_and_flat_answers_have_a_temperature(n, value, multi_label):
    probabilities = np.full((n, 2), value, np.float32)
    probabilities[:, 1] = 1 - value
    targets = np.eye(2, dtype=np.float32)[np.arange(n) % 2]
    found = fit_temperature(probabilities, part_of(targets), multi_label=multi_label)
    assert 0.2 <= found.temperature <= 5.0
    assert np.isfinite([found.loss_before, found.loss_after]).all()
