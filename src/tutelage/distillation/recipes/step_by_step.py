"""Distilling step-by-step (Hsieh et al. 2023): the teacher's reasons as a second task of the same student."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from tutelage.config import StudentConfig
from tutelage.distillation.phases import Phase, TextMaterial
from tutelage.distillation.recipes._schedules import text_schedule
from tutelage.distillation.schedule import Schedule
from tutelage.distillation.texts import TextSignals
from tutelage.students.protocol import Examples
from tutelage.tasks import RationaleMode

_LABEL, _RATIONALE = "[label] ", "[rationale] "


@dataclass(frozen=True, slots=True)
class StepByStep:
    """Told "[label]" a student says the answer, told "[rationale]" its reasons; both are learned at once.

    `rationale_weight` is the paper's λ. Each batch pairs the two tasks of its examples. In use the student is
    told "[label]" alone, so that reasons cost nothing then. Without any reasons it learns labels alone, which
    is the paper's baseline (standard fine-tuning or task distillation).
    """

    rationale_weight: float
    schedule: Schedule

    rationale = RationaleMode.NONE  # nothing but the answer stands in an answer
    prefix = _LABEL

    @classmethod
    def planned(cls, config: StudentConfig, signals: TextSignals, other_steps: int = 0) -> StepByStep:
        """See `text_schedule`."""
        weight = 1.0 if config.rationale_weight is None else config.rationale_weight
        return cls(weight, text_schedule(config, len(signals), other_steps))

    @property
    def steps(self) -> int:
        """See `TextRecipe`."""
        return self.schedule.steps

    def phases(self, material: TextMaterial) -> Iterator[Phase]:
        """One: both likelihoods are raised."""
        from tutelage.distillation.text_objectives import StepByStepObjective, TextObjective

        learner = material.learner
        has_reasons = any(material.learning.reasons)
        yield Phase(
            "step by step",
            StepByStepObjective(learner.module, self.rationale_weight)
            if has_reasons
            else TextObjective(learner.module),
            self._examples(material, material.learning, has_reasons),
            self._examples(material, material.validation, has_reasons),
            self.schedule,
            learner.optimizer,
        )

    def _examples(self, material: TextMaterial, signals: TextSignals, has_reasons: bool) -> Examples:
        from tutelage.distillation.text_objectives import PairedTasks, WithoutTokens

        learner, reasons = material.learner, signals.reasons
        labels = learner.encode(signals.texts, signals.targets)
        if not has_reasons:
            return labels
        told = learner.encode_texts(signals.texts, reasons, _RATIONALE)
        return PairedTasks(labels, WithoutTokens(told, [bool(why) for why in reasons]))

    def to_json(self) -> dict[str, Any]:
        """For run.json."""
        return {"name": "step-by-step", **asdict(self)}
