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
