"""The teacher's text as the thing to say (Kim and Rush 2016, section 3.2, sequence-level distillation)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from tutelage.config import StudentConfig
from tutelage.distillation.phases import Phase, TextMaterial
from tutelage.distillation.recipes._schedules import text_schedule
from tutelage.distillation.schedule import Schedule
from tutelage.distillation.texts import TextSignals
from tutelage.tasks import RationaleMode


@dataclass(frozen=True, slots=True)
class Sequence:
    """SFT on answers: each token of the answer is learned, none of the prompt.

    Where a prompt has several of the teacher's answers, the best was chosen before (`texts.best_of`): the
    mode of the teacher's distribution over sequences stands in for all of it (eq. 6 of the paper).
    """

    schedule: Schedule

    rationale = RationaleMode.NONE
    prefix = ""

    @classmethod
    def planned(cls, config: StudentConfig, signals: TextSignals, other_steps: int = 0) -> Sequence:
        """See `text_schedule`."""
        return cls(text_schedule(config, len(signals), other_steps))

    @property
    def steps(self) -> int:
        """See `TextRecipe`."""
        return self.schedule.steps

    def phases(self, material: TextMaterial) -> Iterator[Phase]:
        """One: the likelihood of the answers is raised."""
        from tutelage.distillation.text_objectives import TextObjective

        learner, learning, validation = material.learner, material.learning, material.validation
        yield Phase(
            "sequence",
            TextObjective(learner.module),
            learner.encode(learning.texts, learning.targets),
            learner.encode(validation.texts, validation.targets),
            self.schedule,
            learner.optimizer,
        )

    def to_json(self) -> dict[str, Any]:
        """For run.json."""
        return {"name": "sequence", **asdict(self)}
