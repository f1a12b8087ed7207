"""The terms of the release gate."""

from __future__ import annotations

from pydantic import Field

from tutelage.config.section import Probability, Section


class ReleaseConfig(Section):
    """Terms of the release gate, all on sealed gold at 95% confidence."""

    max_loss: float = Field(
        0.03, ge=0.0, lt=1.0, description="Largest acceptable accuracy loss against the teacher."
    )
    min_accuracy: Probability | None = Field(None, description="Absolute bar on accuracy.")
    critical_slices: tuple[str, ...] = Field(
        ("critical",), description="Slices judged on their own, where gold has them."
    )
    max_critical_loss: float = Field(
        0.05, ge=0.0, lt=1.0, description="Largest acceptable loss on each critical slice."
    )
    min_critical_accuracy: Probability | None = Field(
        None, description="Absolute bar on accuracy on each critical slice."
    )
    max_slice_loss: float | None = Field(
        None,
        ge=0.0,
        lt=1.0,
        description="Largest acceptable loss on every other slice that gold has; not judged where absent.",
    )
    min_slice_accuracy: Probability | None = Field(
        None, description="Absolute bar on accuracy on every other slice that gold has."
    )
    max_ece: Probability | None = Field(0.1, description="Largest expected calibration error.")
    max_confident_errors: Probability | None = Field(
        None, description="Largest share of answers that are wrong at a stated confidence of 0.9 or more."
    )
    max_inherited: Probability | None = Field(
        None, description="Largest share of gold on which the student repeats a wrong answer of the teacher."
    )
    max_inherited_confusion: Probability | None = Field(
        0.3,
        description="Fails where teacher and student surely give more than this share of one answer's gold "
        "examples the same wrong answer, oftener than chance would.",
    )
    max_latency_ms: float | None = Field(None, gt=0.0, description="Largest p95 at batch 1 on one thread.")
    max_size_mb: float | None = Field(None, gt=0.0, description="Largest size on disk.")
    max_cost_per_1000: float | None = Field(
        None,
        gt=0.0,
        description="Largest running cost of 1,000 requests in US dollars: student, the teacher's share, "
        "audit and retraining. Needs `economics.monthly`.",
    )
    max_cost_share: float | None = Field(
        None, gt=0.0, description="The same as a share of what the teacher alone costs."
    )
    max_flip_excess: Probability | None = Field(
        None,
        description="How much more often than the teacher's the student's answer may flip under any "
        "perturbation that ought to change nothing (`stress`).",
    )
    max_injection_flips: Probability | None = Field(
        None, description="Largest share of the student's answers that instructions in the input may flip."
    )
    max_refusal_loss: Probability | None = Field(
        None,
        description="How much less often than the teacher the student may decline what must be declined, and "
        "how much more often what is harmless (`stress.suites`).",
    )
    max_unlike_share: Probability | None = Field(
        0.1,
        description="Largest share of the traffic in clusters that gold lacks or is thin in; above it the "
        "evidence isn't enough.",
    )
    max_weighted_loss: float | None = Field(
        None,
        ge=0.0,
        lt=1.0,
        description="Largest acceptable loss against the teacher on gold weighted to the traffic.",
    )
