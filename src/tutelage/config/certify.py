"""What `tutelage certify` tests, and for how long it holds."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from tutelage.config.section import Section, Share


class BoundConfig(Section):
    """The most errors that are acceptable."""

    limit: Share = Field(description="As a share of the requests that the bound is about, e.g. 0.02.")
    reference: Literal["gold", "teacher", "excess"] = Field(
        "gold",
        description="What the student is held to: people's answers, the teacher's, or `excess`: it differs "
        "from people where the teacher doesn't, which is what not asking the teacher costs.",
    )
    among: Literal["answered", "all"] = Field(
        "answered", description="Of the requests that the student answers, or of all."
    )
    slice: str | None = Field(None, description="Of this slice's requests alone.")


class CertifyConfig(Section):
    """Certificates: from which confidence on a student may answer, and what is then known of its errors."""

    bounds: tuple[BoundConfig, ...] = Field(
        (BoundConfig(limit=0.05), BoundConfig(limit=0.02, reference="excess")),
        min_length=1,
        description="All hold together. Where absent at most 0.05 errors among what is answered, and at most "
        "0.02 that the teacher wouldn't have made.",
    )
    delta: Share = Field(
        0.05, description="Probability, at most, that a certificate is issued and a bound doesn't hold."
    )
    valid_days: int = Field(90, ge=1, le=3650, description="Days until a certificate expires.")
    foreign_share: Share | None = Field(
        0.005,
        description="Share of the traffic's own prompts that the guard against foreign ones may take for "
        "such, and so leave to the teacher; null: no guard.",
    )
    seed: int = Field(0, ge=0, description="Of the guard's choice of prompts.")

    @field_validator("bounds")
    @classmethod
    def _distinct(cls, bounds: tuple[BoundConfig, ...]) -> tuple[BoundConfig, ...]:
        about = [(bound.reference, bound.among, bound.slice) for bound in bounds]
        if len(set(about)) < len(about):
            raise ValueError("two bounds are about the same errors of the same requests. Mend: keep one")
        return bounds
