"""How sensitive rows are, and how long those of each class are kept."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field

from tutelage.config.section import Section

Sensitivity = Literal["public", "internal", "personal", "special"]
SENSITIVITIES: tuple[str, ...] = get_args(Sensitivity)

_DAYS = {"d": 1, "w": 7, "y": 365}
_SPAN = re.compile(r"(\d+(?:\.\d+)?)\s*([dwy])")


def _days(value: Any) -> Any:
    found = _SPAN.fullmatch(value.strip()) if isinstance(value, str) else None
    return float(found[1]) * _DAYS[found[2]] if found else value


Days = Annotated[float, BeforeValidator(_days), Field(gt=0.0)]


class RetentionConfig(Section):
    """For how long rows of each class are kept: days, or as `90d`, `12w`, `2y`; where absent for ever.

    By a row's time. One without is as old as the first `collect` of the programme.
    """

    public: Days | None = Field(None, description="Of what anybody may know.")
    internal: Days | None = Field(None, description="Of what isn't for outsiders, and of nobody in person.")
    personal: Days | None = Field(None, description="Of what is of, or about, a person.")
    special: Days | None = Field(
        None, description="Of what law protects above that: health, faith, origin, convictions and the like."
    )

    @property
    def limits(self) -> Mapping[str, float]:
        """Days by class, of those that have a limit."""
        given = {name: getattr(self, name) for name in SENSITIVITIES}
        return {name: days for name, days in given.items() if days is not None}
