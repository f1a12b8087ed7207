"""How long a phase goes over texts that need no answer."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from tutelage.config import StudentConfig
from tutelage.distillation.schedule import Precision, Schedule


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
            self, **own, seed=config.seed, accumulation=config.accumulation, precision=config.precision
        )

    def schedule(self, texts: int) -> Schedule:
        """For that many texts."""
        steps = round(self.epochs * math.ceil(texts / self.batch_size))
        return Schedule(
            learning_rate=self.learning_rate,
            batch_size=self.batch_size,
            steps=min(max(steps, self.least_steps), self.most_steps),
            warmup=self.warmup,
            seed=self.seed,
            accumulation=self.accumulation,
            precision=self.precision,
        )
