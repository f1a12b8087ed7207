"""Which prompts of the traffic the teacher is asked."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from tutelage.config.section import Section

SamplingName = Literal["random", "stratified", "cluster", "uncertainty", "disagreement", "value"]


class SampleConfig(Section):
    """A part of the traffic, chosen before the teacher is paid. What it has answered already counts."""

    by: SamplingName = Field(
        "random",
        description="`random`; `stratified` by slice and, where there is a first student, its label; "
        "`cluster`, by what texts are about; `uncertainty` of a first student; `disagreement` of several; "
        "`value`, uncertain, common and cheap ones first. See docs/stages/plan.md.",
    )
    prompts: int | None = Field(
        None, gt=0, description="Prompts of the traffic in all; raised later, the plan is added to."
    )
    budget: float | None = Field(
        None,
        gt=0.0,
        description="US dollars that the plan's answers may be expected to cost, those paid already counted.",
    )
    slice_weights: dict[str, Annotated[float, Field(ge=0.0)]] = Field(
        {},
        description="For `value`: what a slice's prompts count; where absent 2 for "
        "`release.critical_slices`, 1 for others.",
    )
    seed: int = Field(0, ge=0, description="Of the order in which prompts are drawn.")

    @model_validator(mode="after")
    def _has_a_limit(self) -> SampleConfig:
        if self.prompts is None and self.budget is None:
            raise ValueError(
                "labelling.sample has no limit. Mend: add prompts or budget, or leave it out to ask all"
            )
        return self
