"""The teacher's answers first, then its preferences among answers (DPO, Rafailov et al. 2023)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from math import ceil
from typing import TYPE_CHECKING, Any, Literal

from tutelage.config import PreferenceConfig, StudentConfig
from tutelage.distillation.phases import Phase, TextMaterial
from tutelage.distillation.recipes._schedules import text_schedule
from tutelage.distillation.schedule import Schedule
from tutelage.distillation.texts import TextSignals
from tutelage.tasks import RationaleMode

if TYPE_CHECKING:
    from tutelage.distillation.preferences import Preferences
    from tutelage.students._tokens import PairExamples

_SLOWER = 0.1  # of the rate at which the answers were learned


@dataclass(frozen=True, slots=True)
class Preference:
    """The student writes several answers to each prompt, the teacher ranks them beside its own.

    The best and the worst are a pair (Tunstall et al. 2023 take a random one for the latter). A student held
    to what it was learns to put the one before the other.
    """

    rank: Literal["agreement", "likelihood"]
    samples: int
    sampling_temperature: float
    beta: float
    epochs: int
    learning_rate: float
    schedule: Schedule

    rationale = RationaleMode.NONE
    prefix = ""

    @classmethod
    def planned(cls, config: StudentConfig, signals: TextSignals, other_steps: int = 0) -> Preference:
        """See `text_schedule`, which is of the first phase."""
        given = config.preference or PreferenceConfig()
        schedule = text_schedule(config, len(signals), other_steps)
        return cls(
            given.rank or "agreement",
            given.samples or 4,
            given.sampling_temperature or 1.0,
            given.beta or 0.1,
            given.epochs or 3,
            given.learning_rate or _SLOWER * schedule.learning_rate,
            schedule,
        )

    @property
    def steps(self) -> int:
        """See `TextRecipe`: of the first phase, which a control has too."""
        return self.schedule.steps

    def phases(self, material: TextMaterial) -> Iterator[Phase]:
        """Two: SFT on the answers, then preferences. The second is left out where all answers rank alike."""
        from tutelage.distillation.preferences import PreferenceObjective
        from tutelage.distillation.text_objectives import TextObjective

        learner, parts = material.learner, (material.learning, material.validation)
        given, unseen = (learner.encode(part.texts, part.targets) for part in parts)
        yield Phase("answers", TextObjective(learner.module), given, unseen, self.schedule, learner.optimizer)
        learning, validation = self._pairs(material, given, unseen)
        if not len(learning) or not len(validation):
            return
        steps = self.epochs * ceil(len(learning) / self.schedule.batch_size)
        yield Phase(
            "preferences",
            PreferenceObjective(learner.module, self.beta),
            learning.examples(learner),
            validation.examples(learner),
            replace(self.schedule, steps=steps, learning_rate=self.learning_rate),
            learner.optimizer,
            note=f"{len(learning)} pairs of {len(material.learning)} prompts",
        )

    def _pairs(self, material: TextMaterial, *given: PairExamples) -> list[Preferences]:
        """Of the parts to learn from and to validate on."""
        from tutelage.distillation.preferences import by_agreement, by_likelihood, ranked

        learner = material.learner
        if self.rank == "likelihood":
            ranks = [by_likelihood(learner, material.scoring)] * 2
        else:
            parts = (material.learning, material.validation)
            ranks = [by_agreement(learner, part.targets) for part in parts]
        drawing = {"samples": self.samples, "seed": self.schedule.seed}
        return [
            ranked(learner, part.pairs, rank, temperature=self.sampling_temperature, **drawing)
            for part, rank in zip(given, ranks, strict=True)
        ]

    def to_json(self) -> dict[str, Any]:
        """For run.json."""
        return {"name": "preference", **asdict(self)}
