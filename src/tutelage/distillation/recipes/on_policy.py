"""Generalised knowledge distillation (Agarwal et al. 2024): the student writes, the teacher scores."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from tutelage.config import StudentConfig, TokensConfig
from tutelage.distillation.phases import Phase, TextMaterial
from tutelage.distillation.recipes._schedules import text_schedule
from tutelage.distillation.recipes._token_loss import TokenLoss
from tutelage.distillation.schedule import Schedule
from tutelage.distillation.texts import TextSignals
from tutelage.tasks import RationaleMode


@dataclass(frozen=True, slots=True)
class OnPolicy:
    """A share of each step's answers (λ) is the student's own, the rest are the teacher's.

    What a student meets in use are its own beginnings of answers, and there the teacher corrects it. With
    `reverse-kl` and a share of 1 the gradient is the single-step part of MiniLLM's (Gu et al. 2024, section
    2.2), without what its policy gradient adds of later tokens.
    """

    student_share: float
    sampling_temperature: float
    loss: TokenLoss
    schedule: Schedule

    rationale = RationaleMode.NONE
    prefix = ""

    @classmethod
    def planned(cls, config: StudentConfig, signals: TextSignals, other_steps: int = 0) -> OnPolicy:
        """See `text_schedule`."""
        given = config.tokens or TokensConfig()
        return cls(
            0.5 if given.student_share is None else given.student_share,
            given.sampling_temperature or 1.0,
            TokenLoss.configured(config, "jensen-shannon", 0.0),
            text_schedule(config, len(signals), other_steps),
        )

    @property
    def steps(self) -> int:
        """See `TextRecipe`."""
        return self.schedule.steps

    def phases(self, material: TextMaterial) -> Iterator[Phase]:
        """One: distributions come closer to the teacher's, where the student goes too."""
        from tutelage.distillation.token_objectives import Numbered, OnPolicyObjective, Sampling

        learner, learning, validation = material.learner, material.learning, material.validation
        given = learner.encode(learning.texts, learning.targets)
        sampling = Sampling(
            learner, given.pairs, self.student_share, self.sampling_temperature, self.schedule.seed
        )
        yield Phase(
            "on-policy",
            OnPolicyObjective(
                learner.module,
                self.loss.kind,
                sampling,
                text_weight=self.loss.text_weight,
                temperature=self.loss.temperature,
                teacher=material.scoring,
            ),
            Numbered(given),
            learner.encode(validation.texts, validation.targets),
            self.schedule,
            learner.optimizer,
        )

    def to_json(self) -> dict[str, Any]:
        """For run.json."""
        return {"name": "on-policy", **asdict(self)}
