"""`student.preference`: how a student that writes learns which of several answers is the better one."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tutelage.config.section import Section


class PreferenceConfig(Section):
    """What a student that writes prefers, after it has learned the teacher's answers."""

    rank: Literal["agreement", "likelihood"] | None = Field(
        None,
        description="By what answers are ranked: `agreement` with the teacher's answer as the task "
        "compares, or `likelihood` a token by the teacher's own weights (teacher.type `local`). "
        "`agreement` where absent.",
    )
    samples: int | None = Field(
        None, ge=1, le=16, description="Answers that the student writes to each prompt; 4 where absent."
    )
    sampling_temperature: float | None = Field(
        None, gt=0.0, description="At which it writes them; 1 where absent."
    )
    beta: float | None = Field(
        None, gt=0.0, description="How closely it is held to what it was before; 0.1 where absent."
    )
    epochs: int | None = Field(None, ge=1, description="Passes over the pairs; 3 where absent.")
    learning_rate: float | None = Field(
        None, gt=0.0, description="Peak rate; a tenth of that of the answers before where absent."
    )
