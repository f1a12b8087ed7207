"""Prompts that a model writes beside the traffic."""

from __future__ import annotations

from pydantic import Field, field_validator

from tutelage.config.section import Section, Share
from tutelage.config.teachers import AS_TEACHER, SoleTeacherConfig, TeacherConfig

_NO_WRITERS = {"encoder", "transformers", "human", "ensemble"}


class SynthesisConfig(Section):
    """Prompts that a model writes where the traffic is thin or hard. Marked, learned from, and never gold."""

    prompts: int = Field(200, gt=0, description="Most prompts that are kept, earlier ones counted.")
    share: Share = Field(
        0.1,
        description="Most of the transfer set that may be synthetic. What is over it is neither written nor "
        "learned from.",
    )
    slices: tuple[str, ...] = Field(
        ("hard", "critical"),
        description="Slices of the traffic and of gold's training part whose prompts are varied.",
    )
    least_in_cluster: int | None = Field(
        None,
        ge=1,
        description="Prompts that each cluster of the traffic ought to have; thinner ones are added to. Half "
        "of what the median cluster has where absent.",
    )
    writer: SoleTeacherConfig | None = Field(
        None,
        description="Who writes them, `teacher` where absent. Keys as of `teacher`; `encoder`, "
        "`transformers` and `human` can't. At a temperature above 0 prompts differ more.",
        json_schema_extra=AS_TEACHER,
    )
    seed: int = Field(0, ge=0, description="Of which prompts are shown to the writer.")

    @field_validator("writer")
    @classmethod
    def _writes(cls, writer: SoleTeacherConfig | None) -> SoleTeacherConfig | None:
        if writer is not None and writer.type in _NO_WRITERS:
            raise ValueError(
                f"writer is of type {writer.type}, which doesn't write texts. Mend: name one that does, such "
                "as openai, anthropic or local"
            )
        return writer

    def check_teacher(self, teacher: TeacherConfig) -> None:
        """Raise ValueError where no writer is named and the teacher is none."""
        if self.writer is None and teacher.type in _NO_WRITERS:
            raise ValueError(
                f"synthesis.writer is absent, and the teacher is of type {teacher.type}, which doesn't write "
                "prompts. Mend: name a writer that does, such as openai, anthropic or local"
            )
