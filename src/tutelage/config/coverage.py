"""How `tutelage coverage` looks at the traffic."""

from __future__ import annotations

from pydantic import Field

from tutelage.config.section import Section


class CoverageConfig(Section):
    """Whether gold is like the traffic."""

    clusters: int | None = Field(
        None,
        ge=2,
        le=10_000,
        description="Clusters of the traffic; where absent by its size, and so few that gold can show each.",
    )
    seed: int = Field(0, ge=0, description="Of samples, clusters and tests.")
