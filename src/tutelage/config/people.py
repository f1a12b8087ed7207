"""How people's time is used by a server."""

from __future__ import annotations

from pydantic import Field

from tutelage.config.section import Section


class PeopleConfig(Section):
    """Requests that are put before people: `tutelage collect --from-serving` takes their verdicts."""

    random: float = Field(
        0.0,
        ge=0.0,
        le=1.0,
        description="Share of all requests drawn at random: verdicts on these are what gold may be made of.",
    )
    second: float = Field(
        0.1,
        ge=0.0,
        le=1.0,
        description="Share of items put before two people, to measure how far they agree; where they don't, "
        "a third decides.",
    )
    most_open: int = Field(
        200,
        ge=0,
        description="Disagreements and escalations are queued while fewer items wait, the most valuable "
        "first; what nobody answered always is.",
    )
    due_hours: float = Field(24.0, gt=0.0, description="Within which a verdict is wanted.")
    urgent_minutes: float = Field(15.0, gt=0.0, description="The same where nobody could answer.")
    lease_minutes: float = Field(
        10.0, gt=0.0, description="For which an item is one person's; then others may take it."
    )
