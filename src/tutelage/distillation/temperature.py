"""Temperature scaling: one number that makes a student's stated probabilities worth believing.

Guo et al. 2017, "On calibration of modern neural networks", section 4.2: logits are divided by the T of least
log-loss on examples that nothing was learned from. Here these are the part of the transfer set on which the
best step was chosen, with its best known answers: humans' where there are any, else the teacher's. Sealed
gold can't come here: `Signals` are read from the transfer set alone. The order of labels doesn't change, so
neither does any answer.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tutelage.distillation.signals import Signals

LEAST_EXAMPLES = 30
_RANGE = (0.2, 5.0)
_SMALLEST = 1e-30  # of a probability, whose logarithm is taken
_CLOSE = 1e-4

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class TemperatureScaling:
    """`temperature` by which logits were divided, `examples` it was fitted on, and how many humans answered.

    `loss_before` and `loss_after` are mean log-losses on them, in nats a row (of all labels where there are
    several). With fewer than 30 examples the temperature is 1.
    """

    temperature: float
    examples: int
    humans: int
    loss_before: float
    loss_after: float

    def to_json(self) -> dict[str, Any]:
        """For run.json."""
        return asdict(self)


def fit_temperature(
    probabilities: npt.NDArray[np.float32], part: Signals, *, multi_label: bool
) -> TemperatureScaling:
    """Fit on the student's `probabilities` [n, labels] for the texts of `part`.

    Targets are smoothed as if one more example with every label had been seen (after Platt 1999), since a
    part without an error would else ask for certainty.
    """
    from scipy.optimize import minimize_scalar

    n, labels = part.targets.shape
    smallest = 1 / (n + 1)
    targets = part.targets.astype(np.float64) * (1 - smallest) + smallest * (
        0.5 if multi_label else 1 / labels
    )
    logits = _logits(probabilities, multi_label)

    def loss(log_temperature: float) -> float:
        return _log_loss(logits / np.exp(log_temperature), targets, multi_label)

    temperature = 1.0
    if n >= LEAST_EXAMPLES:
        found = minimize_scalar(loss, bounds=np.log(_RANGE), method="bounded", options={"xatol": _CLOSE})
        temperature = float(np.exp(found.x)) if found.fun < loss(0.0) else 1.0
    humans = int(part.has_gold.sum())
    return TemperatureScaling(temperature, n, humans, loss(0.0), loss(float(np.log(temperature))))


def _logits(probabilities: npt.NDArray[np.float32], multi_label: bool) -> Floats:
    known = np.clip(probabilities.astype(np.float64), _SMALLEST, 1.0)
    if not multi_label:
        return np.log(known)
    return np.log(known) - np.log(np.clip(1 - probabilities.astype(np.float64), 1e-12, 1.0))


def _log_loss(logits: Floats, targets: Floats, multi_label: bool) -> float:
    from scipy.special import log_expit, log_softmax

    if multi_label:
        terms = targets * log_expit(logits) + (1 - targets) * log_expit(-logits)
    else:
        terms = targets * log_softmax(logits, axis=1)
    return -float(terms.sum(axis=1).mean())
