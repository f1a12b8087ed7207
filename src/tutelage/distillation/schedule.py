"""How long, how fast and in which order one phase of training runs."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

from tutelage.config import StudentConfig

Precision = Literal["auto", "float32", "bfloat16"]


@dataclass(frozen=True, slots=True)
class Schedule:
    """Rates are peaks: warm-up is linear, then decay is linear to zero at the last step.

    `batch_size` is the examples of one step, whatever machine takes it: `accumulation` and the number of
    processes divide it into parts. Validation is looked at `checks` times; training stops after `patience` of
    them without a better one. `clip` is the largest norm of a step's gradient. `precision` of activations:
    `auto` is bfloat16 where a GPU has it; weights are float32 always. `shard`: each of several processes
    holds a part of what learns.
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
    shard: bool = False

    def rate(self, step: int) -> float:
        """The share of the peak at which step `step`, from 0, is taken."""
        warm = max(1, round(self.warmup * self.steps))
        return min((step + 1) / warm, max(0.0, (self.steps - step) / max(1, self.steps - warm)), 1.0)

    @property
    def check_every(self) -> int:
        """Steps from one look at validation to the next; there is one at the last step too."""
        return max(1, self.steps // self.checks)


@dataclass(frozen=True, slots=True)
class Passes:
    """A schedule but for the number of texts, which a recipe sees when it runs.

    Steps follow from `epochs`, with a floor for few texts and a ceiling, unless epochs were asked for: then
    `least_steps` is 1.
    """

    learning_rate: float
    batch_size: int
    epochs: float
    least_steps: int
    most_steps: int
    warmup: float = 0.1
    seed: int = 0
    accumulation: int = 1
    precision: Precision = "auto"
    shard: bool = False

    def configured(self, config: StudentConfig) -> Passes:
        """These defaults, and what `student.body` says otherwise."""
        body = config.body
        own = {
            name: value
            for name in ("learning_rate", "batch_size", "epochs")
            if body is not None and (value := getattr(body, name)) is not None
        }
        if "epochs" in own:
            own |= {"least_steps": 1}
        return replace(
            self,
            **own,
            seed=config.seed,
            accumulation=config.accumulation,
            precision=config.precision,
            shard=config.shard,
        )

    def steps_of_one(self, texts: int) -> int:
        """Steps of one pass."""
        return max(1, math.ceil(texts / self.batch_size))

    def schedule(self, texts: int) -> Schedule:
        """For that many texts."""
        steps = round(self.epochs * self.steps_of_one(texts))
        return Schedule(
            learning_rate=self.learning_rate,
            batch_size=self.batch_size,
            steps=min(max(steps, self.least_steps), self.most_steps),
            warmup=self.warmup,
            seed=self.seed,
            accumulation=self.accumulation,
            precision=self.precision,
            shard=self.shard,
        )
