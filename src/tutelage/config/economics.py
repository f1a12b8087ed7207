"""The section `economics`: what money questions need to know that no measurement can tell."""

from __future__ import annotations

import math
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from tutelage.config.section import Section


def _ends_of(value: Any) -> Any:
    """A number, or [low, likely, high], as three numbers."""
    ends = value if isinstance(value, list | tuple) else [value] * 3
    if len(ends) != 3 or not all(isinstance(end, int | float) and not isinstance(end, bool) for end in ends):
        raise ValueError("Should be a number, or [low, likely, high]")
    low, likely, high = ends
    if not all(map(math.isfinite, ends)) or not 0 <= low <= likely <= high:
        raise ValueError(f"Should be from 0 on, and [low, likely, high] rising, not {value}")
    return tuple(ends)


Range = Annotated[tuple[float, float, float], BeforeValidator(_ends_of)]

_SHARES = ("escalation", "audit", "teacher_price_fall", "utilisation", "relabelled")
_ABOVE_ZERO = ("monthly", "utilisation", "retrain_months", "teacher_per_1000")


class EconomicsConfig(Section):
    """What isn't measured. Each a number, which is taken as it is, or `[low, likely, high]`. US dollars."""

    monthly: Range | None = Field(
        None, description="Requests a month; needed for `tutelage economics` unless `--monthly` says it."
    )
    escalation: Range = Field(
        (0.05, 0.1, 0.3), description="Share of requests that the student passes on to the teacher."
    )
    audit: Range = Field(
        (0.005, 0.01, 0.03),
        description="Share of the others that the teacher answers too, so that errors are noticed.",
    )
    teacher_per_1000: Range | None = Field(
        None,
        description="1,000 answers of the teacher in live traffic; where absent measured or reckoned from "
        "tokens. Needed for a server of your own (`free`), a plugin, and a local model that writes.",
    )
    teacher_price_fall: Range = Field(
        (0.0, 0.2, 0.5), description="Share by which the teacher gets cheaper each year."
    )
    machine_hour: Range = Field(
        (0.04, 0.0816, 0.2), description="An hour of the machine that the student is served on."
    )
    machines: int = Field(
        1,
        ge=0,
        description="Machines that run all the time whatever the traffic; it may need more. 0 where only "
        "time used is paid for.",
    )
    utilisation: Range = Field(
        (0.1, 0.3, 0.6), description="Share of a machine's speed that is used on average; traffic has peaks."
    )
    training_hour: Range | None = Field(
        None, description="An hour of the machine that trains; `machine_hour` where absent."
    )
    person_hour: Range = Field((30.0, 60.0, 100.0), description="An hour of a person's time.")
    minutes_per_label: Range | None = Field(
        None,
        description="A person's minutes for one gold example; by the task where absent: classify about 0.5, "
        "judge 1, extract 2, generate 4.",
    )
    setup_hours: Range = Field(
        (16.0, 40.0, 100.0), description="People's hours to set up, evaluate and connect it."
    )
    governance_hours: Range = Field(
        (4.0, 12.0, 40.0), description="People's hours for rights, review and sign-off."
    )
    retrain_months: Range = Field((3.0, 6.0, 12.0), description="Months from one training to the next.")
    relabelled: Range = Field(
        (0.1, 0.25, 0.5), description="Share of all labels, people's and the teacher's, made anew each time."
    )
    retrain_hours: Range = Field((2.0, 6.0, 16.0), description="People's hours each time.")
    watts: Range = Field(
        (5.0, 15.0, 40.0),
        description="Power of the student's machine while it works, where it can't be measured.",
    )
    teacher_wh: Range = Field(
        (0.02, 0.24, 1.0), description="Watt hours of one answer of a teacher behind an API."
    )
    grams_per_kwh: Range = Field(
        (30.0, 436.0, 800.0), description="Grams of CO2 equivalent of a kilowatt hour where it runs."
    )

    @model_validator(mode="after")
    def _within_bounds(self) -> EconomicsConfig:
        for name in _SHARES:
            if (high := getattr(self, name)[2]) > 1.0:
                raise ValueError(f"{name} is a share, and {high:g} is more than 1")
        if self.teacher_price_fall[2] >= 1.0:
            raise ValueError("teacher_price_fall is 1, with which the teacher would cost nothing")
        for name in _ABOVE_ZERO:
            if (ends := getattr(self, name)) is not None and ends[0] <= 0.0:
                raise ValueError(f"{name} has to be more than 0")
        return self
