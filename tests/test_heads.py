from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit, log_softmax, softmax
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.usefixtures("one_torch_thread")

from tutelage.heads import Head, fit_head, regress  # noqa: E402

LABELS = 3


def world(n=240, width=8, noise=1.0, seed=0):
    """Unit-length embeddings around a centre for each label, as an encoder gives; and the labels."""
    generator = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(size=(LABELS, width))
    truth = np.arange(n) % LABELS
    points = centres[truth] + noise * generator.normal(size=(n, width))
    return (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32), truth


def indicators(truth):
    return np.eye(LABELS, dtype=np.float32)[truth]


def several(n=240, seed=0):
    """Embeddings, and for each of three labels whether it is given."""
    embeddings, _ = world(n, seed=seed)
    scores = embeddings @ np.random.default_rng(7).normal(size=(8, LABELS)) * 3
    flags = np.random.default_rng(seed + 1).random(scores.shape) < expit(scores)
    return embeddings, flags.astype(np.float32)


@pytest.mark.parametrize("strength", [0.3, 3.0, 10.0, 100.0])
def test_regression_is_sklearns(strength):
    embeddings, truth = world()
    head = regress(embeddings, indicators(truth), strength, False)
    oracle = LogisticRegression(C=strength, tol=1e-10, max_iter=10_000).fit(embeddings, truth)
    unseen, _ = world(seed=1)
    np.testing.assert_allclose(head.probabilities(unseen), oracle.predict_proba(unseen), atol=3e-3)
    np.testing.assert_allclose(head.weight, oracle.coef_, atol=0.01 * np.abs(oracle.coef_).max())
    assert head.parameters == LABELS * 8 + LABELS


@pytest.mark.parametrize("strength", [0.3, 10.0])
def test_with_several_labels_it_is_sklearns_for_each(strength):
    embeddings, flags = several()
    head = regress(embeddings, flags, strength, True)
    unseen, _ = several(seed=5)
    for label in range(LABELS):
        oracle = LogisticRegression(C=strength, tol=1e-10, max_iter=10_000).fit(embeddings, flags[:, label])
        wanted = oracle.predict_proba(unseen)[:, 1]
        np.testing.assert_allclose(head.probabilities(unseen)[:, label], wanted, atol=3e-3)


def test_it_learns_from_distributions_too():
    """The minimum of the same loss in float64, by scipy."""
    embeddings, truth = world(90)
    targets = (0.6 * indicators(truth) + 0.4 / LABELS).astype(np.float32)
    x, strength = embeddings.astype(np.float64), 10.0

    def loss(flat):
        weight, bias = flat[:-LABELS].reshape(LABELS, -1), flat[-LABELS:]
        likelihood = (targets * log_softmax(x @ weight.T + bias, axis=1)).sum(axis=1).mean()
        return -likelihood + (weight**2).sum() / (2 * strength * len(x))

    best = minimize(loss, np.zeros(LABELS * 9), method="L-BFGS-B", options={"maxfun": 100_000}).x
    wanted = softmax(x @ best[:-LABELS].reshape(LABELS, -1).T + best[-LABELS:], axis=1)
    head = regress(embeddings, targets, strength, False)
    np.testing.assert_allclose(head.probabilities(embeddings), wanted, atol=3e-3)


@pytest.mark.parametrize("multi_label", [False, True])
def test_where_it_starts_changes_the_way_and_not_the_end(multi_label):
    embeddings, targets = several() if multi_label else (world()[0], indicators(world()[1]))
    cold = regress(embeddings, targets, 10.0, multi_label)
    start = regress(embeddings, targets, 3.0, multi_label)
    kept = start.weight.copy()
    warm = regress(embeddings, targets, 10.0, multi_label, start)
    np.testing.assert_allclose(warm.probabilities(embeddings), cold.probabilities(embeddings), atol=3e-3)
    np.testing.assert_array_equal(start.weight, kept)


@pytest.mark.parametrize("multi_label", [False, True])
@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_probabilities_are_those_of_divided_logits(temperature, multi_label):
    generator = np.random.default_rng(0)
    weight, bias = generator.normal(size=(LABELS, 8)) * 40, generator.normal(size=LABELS)
    head = Head(weight.astype(np.float32), bias.astype(np.float32), multi_label, temperature)
    embeddings, _ = world(20)
    logits = (embeddings.astype(np.float64) @ head.weight.T.astype(np.float64) + head.bias) / temperature
    wanted = expit(logits) if multi_label else softmax(logits, axis=1)
    found = head.probabilities(embeddings)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def _raw(head):
    return Head(head.weight, head.bias, head.multi_label)


@pytest.mark.parametrize(
    ("n", "width", "noise", "flatter"), [(60, 64, 2.0, False), (240, 64, 4.0, False), (60, 8, 4.0, True)]
)
def test_its_temperature_lowers_the_log_loss_on_what_it_has_not_seen(n, width, noise, flatter):
    """In many dimensions heads are too unsure, since they are shrunk; in few, with noise, too sure."""
    gains = []
    for seed in range(6):
        embeddings, truth = world(n, width, noise, seed)
        head = fit_head(embeddings, indicators(truth), multi_label=False)
        unseen, labels = world(2_000, width, noise, 100 + seed)
        raw, scaled = (log_loss(labels, one.probabilities(unseen)) for one in (_raw(head), head))
        gains.append(raw - scaled)
        assert (head.temperature > 1.0) is flatter or head.temperature == 1.0
    assert np.mean(gains) > 0.01, gains


def test_its_temperature_helps_several_labels_too():
    gains = []
    for seed in range(6):
        head = fit_head(*several(60, seed=seed), multi_label=True)
        unseen, flags = several(2_000, seed=100 + seed)
        losses = [
            np.mean([log_loss(flags[:, i], one.probabilities(unseen)[:, i]) for i in range(LABELS)])
            for one in (_raw(head), head)
        ]
        gains.append(losses[0] - losses[1])
    assert np.mean(gains) > 0, gains


def test_the_fit_is_about_as_good_as_the_best_strength():
    """Against the best of many strengths, chosen by looking at the test set itself."""
    for noise in (2.0, 4.0):
        embeddings, truth = world(120, 64, noise)
        unseen, labels = world(3_000, 64, noise, seed=50)
        head = fit_head(embeddings, indicators(truth), multi_label=False)
        grid = [
            LogisticRegression(C=strength, max_iter=5_000).fit(embeddings, truth).predict_proba(unseen)
            for strength in np.geomspace(0.1, 300, 8)
        ]
        best = min(log_loss(labels, odds) for odds in grid)
        assert log_loss(labels, head.probabilities(unseen)) < best + 0.03


@pytest.mark.parametrize("n", [1, 3, 5])
def test_few_examples_are_fitted_without_folds(n):
    embeddings, truth = world(n)
    head = fit_head(embeddings, indicators(truth), multi_label=False)
    assert head.temperature == 1.0
    assert (head.probabilities(embeddings).argmax(1) == truth).all()


def test_a_label_without_examples_is_unlikely_everywhere():
    embeddings, truth = world(90)
    seen = truth < 2
    head = fit_head(embeddings[seen], indicators(truth[seen]), multi_label=False)
    assert head.probabilities(embeddings)[:, 2].max() < 0.1
    flags = indicators(truth)
    flags[:, 2] = 0.0
    odds = fit_head(embeddings, flags, multi_label=True).probabilities(embeddings)
    assert np.isfinite(odds).all() and odds[:, 2].max() < 0.1


def test_the_same_examples_give_the_same_head():
    embeddings, truth = world()
    first, again = (fit_head(embeddings, indicators(truth), multi_label=False) for _ in range(2))
    assert first.weight.tobytes() == again.weight.tobytes()
    assert first.temperature == again.temperature
