"""The teacher's answers and people's labels as one set: where a person spoke, the teacher isn't heard."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

from tutelage.config import StudentConfig
from tutelage.distillation.phases import Material, Phase
from tutelage.distillation.recipes.soft_targets import SoftTargets
from tutelage.distillation.signals import Signals


@dataclass(frozen=True, slots=True)
class Integrated:
    """A human label alone where there is one, the teacher's distribution everywhere else.

    Soft targets mix the two by a weight; here a label replaces, as befits people who correct their teacher.
    """

    task: SoftTargets

    @classmethod
    def planned(cls, config: StudentConfig, examples: int, other_steps: int = 0) -> Integrated:
        """See `SoftTargets.planned`; the human label has all the weight."""
        return cls(replace(SoftTargets.planned(config, examples, other_steps), hard_weight=1.0))

    @property
    def members(self) -> int:
        """See `Recipe`."""
        return self.task.members

    @property
    def steps(self) -> int:
        """See `Recipe`."""
        return self.task.steps

    def seeded(self, seed: int) -> Integrated:
        """See `Recipe`."""
        return replace(self, task=self.task.seeded(seed))

    def phases(self, material: Material) -> Iterator[Phase]:
        """One, which tells how much of it people said, and how much the teacher."""
        for phase in self.task.phases(material):
            yield replace(phase, name="integrated", figures=_shares(material.learning))

    def to_json(self) -> dict[str, Any]:
        """For run.json."""
        return {"name": "integrated", **asdict(self)}


def _shares(signals: Signals) -> dict[str, float]:
    """Of the rows learned from; `corrected_share`: people's that the teacher had answered too."""
    return {
        "human_share": float(signals.has_gold.mean()),
        "teacher_share": float((~signals.has_gold).mean()),
        "corrected_share": float((signals.has_gold & signals.has_teacher).mean()),
    }
