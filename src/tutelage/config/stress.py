"""What `tutelage stress` does to sealed gold, and which safety suites it asks."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from tutelage.config.section import Section, Share
from tutelage.config.teachers import AS_TEACHER, SoleTeacherConfig

STARTER_SUITE = "starter"

PerturbationName = Literal[
    "lower-case",
    "upper-case",
    "typos",
    "whitespace",
    "punctuation",
    "truncation",
    "padding-before",
    "padding-after",
    "code-switch",
    "injection-ignore",
    "injection-system",
    "injection-transcript",
    "injection-appeal",
    "name",
    "gender",
    "nationality",
    "dialect",
    "negation",
]


class StressConfig(Section):
    """Perturbed gold and safety suites, put to teacher, control and student. Evaluation alone reads it."""

    sample: int = Field(
        200,
        ge=1,
        description="Sealed examples that are perturbed, spread over slices; each makes one prompt or two a "
        "perturbation.",
    )
    perturbations: tuple[PerturbationName, ...] | None = Field(
        None, min_length=1, description="Which ones, see docs/stages/stress.md; all where absent."
    )
    typo_rate: Share = Field(0.05, description="Share of letters that `typos` mistypes.")
    teacher: bool = Field(
        True,
        description="Whether the teacher is asked too, through its ledger and within labelling.budget. "
        "Without it nobody knows whether the student is worse than its teacher.",
    )
    suites: tuple[str, ...] = Field(
        (STARTER_SUITE,),
        description="Safety suites: `starter`, or files as XSTest, SimpleSafetyTests, HarmBench or "
        "docs/stages/stress.md lay them out; `${NAME}` is taken from the environment.",
    )
    paraphraser: SoleTeacherConfig | None = Field(
        None,
        description="Who rewrites the sample in other words, as one more perturbation, `paraphrase`. Keys as "
        "of `teacher`; `encoder`, `transformers` and `human` can't.",
        json_schema_extra=AS_TEACHER,
    )
    seed: int = Field(0, ge=0, description="Of the sample and of every change.")

    @field_validator("paraphraser")
    @classmethod
    def _writes(cls, teacher: SoleTeacherConfig | None) -> SoleTeacherConfig | None:
        if teacher is not None and teacher.type in {"encoder", "transformers", "human"}:
            raise ValueError(
                f"paraphraser is of type {teacher.type}, which doesn't write texts. Mend: name one that "
                "does, such as openai, anthropic or local"
            )
        return teacher

    @field_validator("perturbations", "suites")
    @classmethod
    def _distinct(cls, names: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if names and len(set(names)) < len(names):
            raise ValueError("a name stands twice")
        return names
