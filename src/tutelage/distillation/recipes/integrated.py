"""The teacher's answers and people's labels as one set: where a person spoke, the teacher isn't heard."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

from tutelage.config import StudentConfig
from tutelage.distillation.phases import Material, Phase
from tutelage.distillation.recipes._on_the_task import OnTheTask
from tutelage.distillation.recipes.soft_targets import SoftTargets
from tutelage.distillation.signals import Signals


@dataclass(frozen=True, slots=True)
class Integrated(OnTheTask):
    """A human label alone where there is one, the teacher's distribution everywhere else.

    Soft targets mix the two by a weight; here a label replaces, as befits people who correct their teacher.
    """

    name: ClassVar[str] = "integrated"

    @classmethod
    def planned(cls, config: StudentConfig, examples: int, other_steps: int = 0) -> Integrated:
        """See `SoftTargets.planned`; the human label has all the weight."""
        return cls(replace(SoftTargets.planned(config, examples, other_steps), hard_weight=1.0))

    def phases(self, material: Material) -> Iterator[Phase]:
        """One, which tells how much of it people said, and how much the teacher."""
        for phase in self.task.phases(material):
            yield replace(phase, name="integrated", figures=_shares(material.learning))


def _shares(signals: Signals) -> dict[str, float]:
    """Of the rows learned from; `corrected_share`: people's that the teacher had answered too."""
    return {
        "human_share": float(signals.has_gold.mean()),
        "teacher_share": float((~signals.has_gold).mean()),
        "corrected_share": float((signals.has_gold & signals.has_teacher).mean()),
    }
