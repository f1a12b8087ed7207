from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import expit, log_expit, log_softmax, logit, softmax
from sklearn.metrics import log_loss

torch = pytest.importorskip("torch")

from tutelage.distillation.losses import (  # noqa: E402
    cross_entropy,
    mixed_loss,
    soft_target_loss,
    soften,
)

SHAPES = st.tuples(st.integers(1, 5), st.integers(2, 6))
LOGITS = arrays(np.float64, SHAPES, elements=st.floats(-6, 6, width=32))
TEMPERATURES = st.floats(0.5, 20.0)


def tensor(array):
    return torch.tensor(np.asarray(array, np.float32))


def random_logits(n=6, labels=4, seed=0):
    return np.random.default_rng(seed).normal(size=(n, labels)) * 2


def probabilities(logits, multi_label):
    return expit(logits) if multi_label else softmax(logits, axis=-1)


def by_hand(logits, teacher, temperature, multi_label):
    """The soft-target loss in float64: T² Σ −q log p, with q and p softened."""
    if multi_label:
        q = expit(logit(teacher) / temperature)
        terms = q * log_expit(logits / temperature) + (1 - q) * log_expit(-logits / temperature)
    else:
        q = softmax(np.log(teacher) / temperature, axis=-1)
        terms = q * log_softmax(logits / temperature, axis=-1)
    return -terms.sum(axis=-1) * temperature**2


# Softening


@settings(deadline=None)
@given(LOGITS, TEMPERATURES, st.booleans())
def test_softening_probabilities_is_dividing_their_logits(logits, temperature, multi_label):
    softened = soften(torch.tensor(probabilities(logits, multi_label)), temperature, multi_label)
    np.testing.assert_allclose(softened, probabilities(logits / temperature, multi_label), atol=1e-9)


@settings(deadline=None)
@given(LOGITS, st.floats(1.0, 20.0))
def test_a_higher_temperature_is_flatter_and_keeps_the_order(logits, temperature):
    before = softmax(logits, axis=-1)
    after = soften(torch.tensor(before), temperature, False).numpy()
    np.testing.assert_allclose(after.sum(axis=-1), 1.0, atol=1e-12)
    assert (after.max(axis=-1) <= before.max(axis=-1) + 1e-12).all()
    for row, soft in zip(before, after, strict=True):
        assert (np.diff(soft[np.argsort(row)]) >= -1e-12).all()


@pytest.mark.parametrize("multi_label", [False, True])
def test_temperature_one_changes_nothing(multi_label):
    odds = tensor(probabilities(random_logits(), multi_label))
    np.testing.assert_allclose(soften(odds, 1.0, multi_label), odds, atol=1e-6)


# Cross-entropy


def test_cross_entropy_with_hard_labels_is_sklearns_log_loss():
    logits = random_logits(50)
    truth = np.random.default_rng(1).integers(4, size=50)
    loss = cross_entropy(tensor(logits), tensor(np.eye(4)[truth]), False)
    assert loss.shape == (50,)
    wanted = log_loss(truth, softmax(logits, axis=-1), labels=range(4))
    assert float(loss.mean()) == pytest.approx(wanted, rel=1e-5)


def test_cross_entropy_of_several_labels_is_the_sum_of_theirs():
    logits = random_logits(50, 3)
    flags = np.random.default_rng(1).random((50, 3)) < 0.4
    wanted = sum(log_loss(flags[:, label], expit(logits[:, label])) for label in range(3))
    assert float(cross_entropy(tensor(logits), tensor(flags), True).mean()) == pytest.approx(wanted, rel=1e-5)


# Soft targets


@pytest.mark.parametrize("multi_label", [False, True])
@pytest.mark.parametrize("temperature", [0.7, 1.0, 4.0])
def test_soft_target_loss_by_hand(temperature, multi_label):
    logits, teacher = random_logits(), probabilities(random_logits(seed=1), multi_label)
    loss = soft_target_loss(tensor(logits), tensor(teacher), temperature, multi_label)
    np.testing.assert_allclose(loss, by_hand(logits, teacher, temperature, multi_label), rtol=1e-5)


@pytest.mark.parametrize("multi_label", [False, True])
@pytest.mark.parametrize("temperature", [0.7, 1.0, 4.0])
def test_its_gradient_is_the_temperature_times_the_gap(temperature, multi_label):
    z, v = random_logits(), random_logits(seed=1)
    logits = tensor(z).requires_grad_()
    teacher = tensor(probabilities(v, multi_label))
    soft_target_loss(logits, teacher, temperature, multi_label).sum().backward()
    gap = probabilities(z / temperature, multi_label) - probabilities(v / temperature, multi_label)
    np.testing.assert_allclose(logits.grad, temperature * gap, atol=2e-5)


def test_gradients_keep_their_size_when_the_temperature_rises():
    """Hinton et al. 2015: at high temperatures the soft part is (z − v) / N, whatever the temperature."""
    z, v = random_logits(), random_logits(seed=1)
    z, v = z - z.mean(axis=-1, keepdims=True), v - v.mean(axis=-1, keepdims=True)
    sizes, raw = [], []
    for temperature in (50.0, 100.0):
        logits = torch.tensor(z, requires_grad=True)
        teacher = torch.tensor(softmax(v, axis=-1))
        soft_target_loss(logits, teacher, temperature, False).sum().backward()
        np.testing.assert_allclose(logits.grad, (z - v) / 4, atol=0.05)
        sizes.append(float(logits.grad.norm()))
        raw.append(sizes[-1] / temperature**2)
    assert sizes[1] / sizes[0] == pytest.approx(1.0, abs=0.02)
    assert raw[0] / raw[1] == pytest.approx(4.0, abs=0.1)


@settings(deadline=None, max_examples=30)
@given(LOGITS, TEMPERATURES, st.booleans())
def test_no_student_beats_the_teacher_itself(logits, temperature, multi_label):
    teacher = torch.tensor(probabilities(logits, multi_label))
    own = torch.tensor(logits, requires_grad=True)
    least = soft_target_loss(own, teacher, temperature, multi_label)
    least.sum().backward()
    np.testing.assert_allclose(own.grad, 0.0, atol=1e-6)
    other = soft_target_loss(torch.tensor(logits[:, ::-1].copy()), teacher, temperature, multi_label)
    assert (other >= least - 1e-9).all()


@pytest.mark.parametrize("multi_label", [False, True])
@pytest.mark.parametrize("temperature", [0.5, 1.0, 8.0])
def test_a_teacher_that_is_certain_gives_finite_losses_and_gradients(temperature, multi_label):
    teacher = tensor([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [1.0, 0.0, 0.0]])
    logits = tensor([[0.0, 0.0, 0.0], [100.0, -100.0, 0.0], [-100.0, 100.0, 0.0]]).requires_grad_()
    loss = soft_target_loss(logits, teacher, temperature, multi_label)
    loss.sum().backward()
    assert torch.isfinite(loss).all() and torch.isfinite(logits.grad).all()
    assert loss[2] > loss[1]
    assert logits.grad[0, 1] < 0 and logits.grad[2, 0] < -0.1


# The mixture

TEMPERATURE, WEIGHT = 3.0, 0.3
ROWS = {
    # has_teacher, softened, has_gold: weights of the soft part, the teacher's label, the human's label
    (True, True, False): (1.0, 0.0, 0.0),
    (True, False, False): (0.0, 1.0, 0.0),
    (True, True, True): (1.0 - WEIGHT, 0.0, WEIGHT),
    (True, False, True): (0.0, 1.0 - WEIGHT, WEIGHT),
    (False, False, True): (0.0, 0.0, 1.0),
}


def mixture(multi_label, weight=WEIGHT):
    """A row for each of ROWS: loss, gradient on the logits, and the three parts by hand."""
    masks = np.array(list(ROWS))
    n = len(masks)
    z = random_logits(n, 3)
    hard, gold = np.eye(3)[np.arange(n) % 3], np.eye(3)[(np.arange(n) + 1) % 3] * masks[:, 2:]
    soft = probabilities(random_logits(n, 3, seed=1), multi_label)
    teacher = np.where(masks[:, 1:2], soft, hard) * masks[:, :1]
    logits = tensor(z).requires_grad_()
    loss = mixed_loss(
        logits,
        tensor(teacher),
        torch.tensor(masks[:, 1]),
        torch.tensor(masks[:, 0]),
        tensor(gold),
        torch.tensor(masks[:, 2]),
        temperature=TEMPERATURE,
        hard_weight=weight,
        multi_label=multi_label,
    )
    loss.sum().backward()

    def plain(target):
        if multi_label:
            return -(target * log_expit(z) + (1 - target) * log_expit(-z)).sum(axis=-1)
        return -(target * log_softmax(z, axis=-1)).sum(axis=-1)

    parts = np.stack([by_hand(z, soft, TEMPERATURE, multi_label), plain(teacher), plain(gold)], axis=1)
    return loss.detach().numpy(), logits.grad.numpy(), parts


@pytest.mark.parametrize("multi_label", [False, True])
def test_each_row_learns_from_what_it_has(multi_label):
    loss, gradient, parts = mixture(multi_label)
    assert loss.dtype == np.float32 and loss.shape == (len(ROWS),)
    for row, (mask, weights) in enumerate(ROWS.items()):
        assert loss[row] == pytest.approx(parts[row] @ np.array(weights), rel=1e-5), mask
    assert np.isfinite(gradient).all() and (np.abs(gradient).max(axis=1) > 1e-3).all()


@pytest.mark.parametrize("multi_label", [False, True])
@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_all_or_nothing_of_the_human_label(multi_label, weight):
    loss, _, parts = mixture(multi_label, weight)
    both = list(ROWS).index((True, True, True))
    assert loss[both] == pytest.approx(parts[both, 2 if weight else 0], rel=1e-5)
    alone = list(ROWS).index((False, False, True))
    assert loss[alone] == pytest.approx(parts[alone, 2], rel=1e-5), (
        "a human's row has nothing else to learn from"
    )
