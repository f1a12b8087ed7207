"""Soft targets with temperature, mixed with human labels where there are any (Hinton et al. 2015)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

from tutelage.config import StudentConfig
from tutelage.distillation.phases import Material, Phase
from tutelage.distillation.schedule import Schedule
from tutelage.distillation.signals import Signals
from tutelage.students.protocol import Examples


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


@dataclass(frozen=True, slots=True)
class SoftTargets:
    """The teacher's distribution at a temperature; a human label weighs `hard_weight` beside it."""

    temperature: float
    hard_weight: float
    schedule: Schedule
    members: int = 1

    @classmethod
    def planned(cls, config: StudentConfig, examples: int, other_steps: int = 0) -> SoftTargets:
        """For a student of this family and shape.

        `examples` are those learned from, the validation part not counted. The number of steps follows from
        the family's epochs, but has a floor, since a small set needs more passes, and a ceiling.
        `student.epochs` sets it instead; then `other_steps`, those of an arm that this one is compared to,
        keeps a control on few labels from losing for want of steps: it gets the floor too, as far as the
        other arm reaches.
        """
        family = _DEFAULTS[config.family]
        batch_size = config.batch_size or family.batch_size
        per_epoch = math.ceil(examples / batch_size)
        bounded = min(max(round(family.epochs * per_epoch), family.least_steps), family.most_steps)
        schedule = Schedule(
            learning_rate=config.learning_rate or family.learning_rate,
            batch_size=batch_size,
            steps=max(config.epochs * per_epoch, min(other_steps, family.least_steps))
            if config.epochs
            else bounded,
            warmup=family.warmup,
            seed=config.seed,
            accumulation=config.accumulation,
            precision=config.precision,
            shard=config.shard,
        )
        return cls(
            temperature=config.temperature or family.temperature,
            hard_weight=family.hard_weight if config.hard_weight is None else config.hard_weight,
            schedule=schedule,
            members=config.members or family.members,
        )

    @property
    def steps(self) -> int:
        """See `Recipe`."""
        return self.schedule.steps

    def seeded(self, seed: int) -> SoftTargets:
        """See `Recipe`."""
        return replace(self, schedule=replace(self.schedule, seed=seed))

    def phases(self, material: Material) -> Iterator[Phase]:
        """One: the head is fitted to the targets, then all that learns is trained on them."""
        from tutelage.distillation.objectives import LabelObjective

        learner = material.learner
        inputs = learner.examples(material.learning.texts)
        yield Phase(
            "soft targets",
            LabelObjective(
                learner.module,
                temperature=self.temperature,
                hard_weight=self.hard_weight,
                multi_label=material.task.multi_label,
            ),
            labelled(inputs, material.learning),
            labelled(learner.examples(material.validation.texts), material.validation),
            self.schedule,
            learner.optimizer,
            start=lambda: learner.warm_up(inputs, material.learning.targets),
        )

    def to_json(self) -> dict[str, Any]:
        """See `Recipe`."""
        return {"name": "soft-targets", **asdict(self)}


def labelled(inputs: Examples, signals: Signals) -> Examples:
    """Encoded texts with their targets, as `LabelObjective` takes them."""
    from tutelage.distillation.examples import Arrays, Joined
    from tutelage.distillation.objectives import TARGETS

    return Joined(inputs, Arrays({name: getattr(signals, name) for name in TARGETS}))
