"""From logits to probabilities, without torch."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def probabilities(logits: npt.NDArray[np.float32], multi_label: bool) -> npt.NDArray[np.float32]:
    """Of logits [..., labels]: a softmax over labels; with several labels each one's logistic function."""
    if multi_label:
        half = np.float32(0.5)  # in a form that can't overflow
        odds: npt.NDArray[np.float32] = half + half * np.tanh(half * logits)
        return odds
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True), dtype=np.float32)
    shares: npt.NDArray[np.float32] = weights / np.add.reduce(weights, axis=-1, keepdims=True)
    return shares


def confidences(probabilities: npt.NDArray[np.floating], multi_label: bool) -> npt.NDArray[np.float64]:
    """The confidence in each whole answer, float64 [n], of probabilities [n, labels].

    It is the largest probability; with several labels the product over labels of the larger of p and 1 − p,
    which takes them as independent.
    """
    exact = probabilities.astype(np.float64)
    if multi_label:
        together: npt.NDArray[np.float64] = np.maximum(exact, 1 - exact).prod(axis=-1)
        return together
    largest: npt.NDArray[np.float64] = exact.max(axis=-1)
    return largest
