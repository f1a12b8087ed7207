"""Recipes: named training plans, each readable top to bottom."""

from __future__ import annotations

import math
from dataclasses import dataclass

from tutelage.config import StudentConfig


@dataclass(frozen=True, slots=True)
class Recipe:
    """A training plan. Rates are peaks: warm-up is linear, then decay is linear to zero at the last step."""

    temperature: float
    hard_weight: float
    learning_rate: float
    batch_size: int
    steps: int
    warmup: float
    checks: int
    patience: int
    seed: int
    members: int = 1


@dataclass(frozen=True, slots=True)
class _FamilyDefaults:
    temperature: float
    hard_weight: float
    learning_rate: float
    batch_size: int
    epochs: float
    least_steps: int
    most_steps: int
    warmup: float
    members: int


# Chosen on validation parts of two data sets' transfer sets, never on their gold: docs/results.md.
_DEFAULTS = {
    "encoder": _FamilyDefaults(1.0, 0.3, 3e-4, 32, 2.2, 300, 20_000, 0.1, 1),
    "static": _FamilyDefaults(1.0, 0.3, 1e-2, 64, 11, 1_000, 50_000, 0.0, 3),
}


def soft_targets(config: StudentConfig, examples: int, other_steps: int = 0) -> Recipe:
    """Soft targets with temperature, mixed with human labels where there are any (Hinton et al. 2015).

    `examples` are those learned from, the validation part not counted. The number of steps follows from the
    family's epochs, but has a floor, since a small set needs more passes, and a ceiling. `student.epochs`
    sets it instead; then `other_steps`, those of an arm that this one is compared to, keeps a control on few
    labels from losing for want of steps: it gets the floor too, as far as the other arm reaches.
    """
    family = _DEFAULTS[config.family]
    batch_size = config.batch_size or family.batch_size
    per_epoch = math.ceil(examples / batch_size)
    bounded = min(max(round(family.epochs * per_epoch), family.least_steps), family.most_steps)
    return Recipe(
        temperature=config.temperature or family.temperature,
        hard_weight=family.hard_weight if config.hard_weight is None else config.hard_weight,
        learning_rate=config.learning_rate or family.learning_rate,
        batch_size=batch_size,
        steps=max(config.epochs * per_epoch, min(other_steps, family.least_steps))
        if config.epochs
        else bounded,
        warmup=family.warmup,
        checks=10,
        patience=4,
        members=config.members or family.members,
        seed=config.seed,
    )
