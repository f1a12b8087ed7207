"""A model that votes on pairs of answers, beside people."""

from __future__ import annotations

from pydantic import Field, model_validator

from tutelage.config.section import Probability, Section
from tutelage.config.teachers import AS_TEACHER, SoleTeacherConfig


class JudgingConfig(Section):
    """A model that votes on pairs of answers as people do; heard only once it was seen to agree with them."""

    teacher: SoleTeacherConfig = Field(
        description="Who judges. Keys as of `teacher`; `encoder`, `transformers` and `human` can't. It is "
        "shown prompts, sealed answers and both arms' answers.",
        json_schema_extra=AS_TEACHER,
    )
    criteria: str = Field(
        "An answer is better if it serves whoever wrote the message better: it is right, does what was "
        "asked, and leaves out what wasn't.",
        description="What makes one of two answers better.",
    )
    min_kappa: Probability = Field(
        0.6, description="Least agreement with people (lower end of Cohen's kappa) at which it is heard."
    )
    most: int = Field(500, ge=1, description="Most pairs that it judges beside those that people voted on.")
    budget: float | None = Field(
        None, ge=0.0, description="US dollars for all its judging; no call is made that could pass it."
    )

    @model_validator(mode="after")
    def _can_judge(self) -> JudgingConfig:
        if self.teacher.type in {"encoder", "transformers", "human"}:
            raise ValueError(
                f"judging.teacher is of type {self.teacher.type}, which can't weigh two answers. Mend: name "
                "one that is prompted; people vote with `tutelage vote`"
            )
        return self
