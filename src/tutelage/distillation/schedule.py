"""How long, how fast and in which order one phase of training runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Precision = Literal["auto", "float32", "bfloat16"]


@dataclass(frozen=True, slots=True)
class Schedule:
    """Rates are peaks: warm-up is linear, then decay is linear to zero at the last step.

    `batch_size` is the examples of one step, whatever machine takes it: `accumulation` and the number of
    processes divide it into parts. Validation is looked at `checks` times; training stops after `patience` of
    them without a better one. `clip` is the largest norm of a step's gradient. `precision` of activations:
    `auto` is bfloat16 where a GPU has it; weights are float32 always.
    """

    learning_rate: float
    batch_size: int
    steps: int
    warmup: float = 0.1
    checks: int = 10
    patience: int = 4
    seed: int = 0
    accumulation: int = 1
    clip: float = 1.0
    precision: Precision = "auto"

    def rate(self, step: int) -> float:
        """The share of the peak at which step `step`, from 0, is taken."""
        warm = max(1, round(self.warmup * self.steps))
        return min((step + 1) / warm, max(0.0, (self.steps - step) / max(1, self.steps - warm)), 1.0)

    @property
    def check_every(self) -> int:
        """Steps from one look at validation to the next; there is one at the last step too."""
        return max(1, self.steps // self.checks)
