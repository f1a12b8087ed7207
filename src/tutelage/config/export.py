"""What `tutelage export` writes, and what it refuses."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from tutelage.config.section import Probability, Section

Form = Literal["float32", "int8"]


class ExportConfig(Section):
    """Forms of the student that a server runs without torch, and what it is called where it is passed on."""

    name: str | None = Field(
        None,
        pattern=r"^\w[\w .+()/-]{0,95}$",
        description="What the student is called in its NOTICE, model card and bill of materials, where terms "
        "of its teacher ask for a name; the run's where absent.",
    )
    forms: tuple[Form, ...] = Field(
        ("float32", "int8"),
        min_length=1,
        description="`int8`: weights of eight bits, for encoders. A static student has one form alone.",
    )
    texts: int = Field(
        2000, ge=1, description="Prompts of the transfer set on which forms and trained student are compared."
    )
    min_agreement: Probability = Field(
        0.99, description="Least share on which a form decides as the trained student does."
    )
    max_drop: Probability = Field(
        0.005, description="Largest loss of agreement with the teacher, against the trained student."
    )
    seed: int = Field(0, ge=0, description="Of the choice of prompts.")

    @field_validator("forms")
    @classmethod
    def _distinct(cls, forms: tuple[Form, ...]) -> tuple[Form, ...]:
        if len(set(forms)) < len(forms):
            raise ValueError("a form is named twice")
        return forms
