"""Reasons and answer in one text, for students of a decoder alone."""

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


@dataclass(frozen=True, slots=True)
class RationaleCausal:
    """SFT on the teacher's reasons with its answer, all of whose tokens are learned.

    Reasons before the answer are thought aloud: the answer may follow from them, and each answer costs their
    tokens (fine-tuning on chains of thought: Ho et al. 2023, Magister et al. 2023). After it they only teach,
    as step-by-step's do: labels are weighed and texts may be cut before them. A row without reasons is left
    out; where no row has any, answers are learned alone.
    """

    rationale: RationaleMode
    schedule: Schedule

    prefix = ""

    @classmethod
    def planned(cls, config: StudentConfig, signals: TextSignals, other_steps: int = 0) -> RationaleCausal:
        """See `text_schedule`."""
        mode = RationaleMode(config.rationale or "before") if any(signals.reasons) else RationaleMode.NONE
        return cls(mode, text_schedule(config, len(signals), other_steps))

    @property
    def steps(self) -> int:
        """See `TextRecipe`."""
        return self.schedule.steps

    def phases(self, material: TextMaterial) -> Iterator[Phase]:
        """One: the likelihood of reasons and answers is raised."""
        from tutelage.distillation.text_objectives import TextObjective

        learner = material.learner
        yield Phase(
            "rationales",
            TextObjective(learner.module),
            self._examples(material, material.learning),
            self._examples(material, material.validation),
            self.schedule,
            learner.optimizer,
        )

    def _examples(self, material: TextMaterial, signals: TextSignals) -> Examples:
        if self.rationale is not RationaleMode.NONE:
            signals = signals.with_reasons()
        return material.learner.encode(signals.texts, signals.targets, signals.reasons)

    def to_json(self) -> dict[str, Any]:
        """For run.json."""
        return {"name": "rationale-causal", **asdict(self)}
