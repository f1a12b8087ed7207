"""A linear head on frozen embeddings: logistic regression, its strength and temperature cross-validated."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

Floats = npt.NDArray[np.float32]

_STRENGTHS = (3.0, 10.0, 30.0, 100.0)  # C of scikit-learn: larger is less regularised
_FOLDS = 3
_ITERATIONS = 60
_TEMPERATURES = np.geomspace(0.25, 4.0, 41)


@dataclass(frozen=True)
class Head:
    """`weight` float32 [labels, width], `bias` [labels]; logits are divided by `temperature`."""

    weight: Floats
    bias: Floats
    multi_label: bool
    temperature: float = 1.0

    @property
    def parameters(self) -> int:
        """Weights and biases."""
        return int(self.weight.size + self.bias.size)

    def logits(self, embeddings: Floats) -> Floats:
        """Before the temperature: float32 [n, labels]."""
        logits: Floats = (embeddings @ self.weight.T + self.bias).astype(np.float32)
        return logits

    def probabilities(self, embeddings: Floats) -> Floats:
        """Float32 [n, labels]."""
        return _probabilities(self.logits(embeddings) / self.temperature, self.multi_label)


def fit_head(embeddings: Floats, targets: Floats, *, multi_label: bool) -> Head:
    """Fit on `embeddings` [n, width] and indicator `targets` [n, labels].

    C and then the temperature (Guo et al. 2017) are those with the least log-loss on folds left out, so that
    the probabilities are worth learning from; with fewer examples than folds the middle C and temperature 1.
    """
    if len(embeddings) < 2 * _FOLDS:
        return regress(embeddings, targets, _STRENGTHS[1], multi_label, None)
    folds = _stratified_folds(targets)
    losses = {}
    left_out = {strength: np.zeros_like(targets) for strength in _STRENGTHS}
    for fold in range(_FOLDS):
        learn, test = folds != fold, folds == fold
        head = None
        for strength in _STRENGTHS:
            head = regress(embeddings[learn], targets[learn], strength, multi_label, head)
            left_out[strength][test] = head.logits(embeddings[test])
    for strength, logits in left_out.items():
        losses[strength] = min(
            (_log_loss(logits / temperature, targets, multi_label), temperature)
            for temperature in _TEMPERATURES
        )
    best = min(_STRENGTHS, key=lambda strength: losses[strength])
    head = None
    for strength in _STRENGTHS[: _STRENGTHS.index(best) + 1]:
        head = regress(embeddings, targets, strength, multi_label, head)
    if head is None:
        raise AssertionError("unreachable: there is at least one strength")
    return replace(head, temperature=float(losses[best][1]))


def regress(
    embeddings: Floats, targets: Floats, strength: float, multi_label: bool, start: Head | None = None
) -> Head:
    """Logistic regression on `targets` [n, labels], indicators or distributions, by L-BFGS.

    The loss is cross-entropy + |W|² / (2 C n), C being `strength`; it starts from `start` where given.
    """
    inputs, wanted = torch.from_numpy(embeddings), torch.from_numpy(targets)
    shape = (targets.shape[1], embeddings.shape[1])
    weight = torch.zeros(shape) if start is None else torch.from_numpy(start.weight.copy())
    bias = torch.zeros(shape[0]) if start is None else torch.from_numpy(start.bias.copy())
    weight.requires_grad_()
    bias.requires_grad_()
    optimizer = torch.optim.LBFGS(
        [weight, bias],
        max_iter=_ITERATIONS,
        history_size=10,
        line_search_fn="strong_wolfe",
        tolerance_change=1e-7,
    )

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        logits = inputs @ weight.T + bias
        if multi_label:
            loss = functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none").sum(1).mean()
        else:
            loss = functional.cross_entropy(logits, wanted)
        loss = loss + weight.square().sum() / (2 * strength * len(inputs))
        loss.backward()
        return loss

    optimizer.step(closure)
    return Head(weight.detach().numpy(), bias.detach().numpy(), multi_label)


def _stratified_folds(targets: Floats) -> npt.NDArray[np.int64]:
    """A fold for each row, spreading every combination of labels as evenly as it goes."""
    generator = np.random.default_rng(0)
    _, groups = np.unique(targets, axis=0, return_inverse=True)
    folds = np.zeros(len(targets), np.int64)
    for group in range(groups.max() + 1):
        members = generator.permutation(np.flatnonzero(groups == group))
        folds[members] = (np.arange(len(members)) + generator.integers(_FOLDS)) % _FOLDS
    return folds


def _probabilities(logits: Floats, multi_label: bool) -> Floats:
    odds = (
        torch.sigmoid(torch.from_numpy(logits))
        if multi_label
        else torch.softmax(torch.from_numpy(logits), -1)
    )
    result: Floats = odds.numpy()
    return result


def _log_loss(logits: Floats, targets: Floats, multi_label: bool) -> float:
    scores, wanted = torch.from_numpy(logits), torch.from_numpy(targets)
    if multi_label:
        return float(functional.binary_cross_entropy_with_logits(scores, wanted))
    return float(functional.cross_entropy(scores, wanted))
