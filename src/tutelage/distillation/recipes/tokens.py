"""The teacher's distribution over each token of its answers, mixed with the answers themselves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

from tutelage.config import StudentConfig, TokensConfig
from tutelage.distillation.phases import Phase, TextMaterial
from tutelage.distillation.recipes._schedules import text_schedule
from tutelage.distillation.recipes._token_loss import TokenLoss
from tutelage.distillation.schedule import Schedule
from tutelage.distillation.texts import TextSignals
from tutelage.errors import DataError
from tutelage.students.protocol import Examples
from tutelage.tasks import RationaleMode


@dataclass(frozen=True, slots=True)
class Tokens:
    """Word-level distillation (Kim and Rush 2016, section 3.1) by any divergence, on the teacher's answers.

    From the `cache` the teacher's own tokens are what the student learns to say, with the likeliest
    alternatives at each and all others as one event; no weights of the teacher are needed. `online` the
    teacher's weights read what the student reads, and the whole distribution teaches.
    """

    source: Literal["cache", "online"]
    loss: TokenLoss
    schedule: Schedule

    rationale = RationaleMode.NONE
    prefix = ""

    @classmethod
    def planned(cls, config: StudentConfig, signals: TextSignals, other_steps: int = 0) -> Tokens:
        """See `text_schedule`. Kept tokens teach where there are any, unless the source is given."""
        given = config.tokens or TokensConfig()
        source = given.source or ("online" if signals.tokens is None else "cache")
        loss = TokenLoss.configured(config, "forward-kl", 0.5)
        return cls(source, loss, text_schedule(config, len(signals), other_steps))

    @property
    def steps(self) -> int:
        """See `TextRecipe`."""
        return self.schedule.steps

    def phases(self, material: TextMaterial) -> Iterator[Phase]:
        """One: distributions come closer to the teacher's."""
        from tutelage.distillation.token_objectives import TokenObjective

        learner = material.learner
        yield Phase(
            "tokens",
            TokenObjective(
                learner.module,
                self.loss.kind,
                text_weight=self.loss.text_weight,
                temperature=self.loss.temperature,
                teacher=material.scoring if self.source == "online" else None,
            ),
            self._examples(material, material.learning),
            self._examples(material, material.validation),
            self.schedule,
            learner.optimizer,
        )

    def _examples(self, material: TextMaterial, signals: TextSignals) -> Examples:
        from tutelage.distillation.token_cache import CachedTokens

        learner = material.learner
        if self.source == "online":
            return learner.encode(signals.texts, signals.targets)
        if signals.tokens is None:
            raise DataError(
                "recipe tokens learns from kept distributions over tokens, and there are none. Mend: "
                "labelling.signals [tokens] and `tutelage label`; or student.tokens.source online"
            )
        signals.tokens.require_fitting(learner, material.base)
        rows = signals.tokens.read(learner, signals.targets)
        if not any(row is not None for row in rows) and signals is material.learning:
            raise DataError(
                f"none of {len(rows):,} answers has tokens that say it in the student's own form. Mend: "
                "prompting.rationale none and `tutelage label`, or student.recipe sequence"
            )
        answers = [None if row is None or row.ids is None else row.ids[:, 0].tolist() for row in rows]
        return CachedTokens(learner.encode(signals.texts, signals.targets, tokens=answers), rows)

    def to_json(self) -> dict[str, Any]:
        """For run.json."""
        return {"name": "tokens", **asdict(self)}
