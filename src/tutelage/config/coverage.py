"""How `tutelage coverage` looks at the traffic."""

from __future__ import annotations

from pydantic import Field

from tutelage.config.section import Section

WORDS = "words"


class CoverageConfig(Section):
    """Whether gold is like the traffic."""

    embedding: str = Field(
        WORDS,
        min_length=1,
        description="How texts are compared: `words`, which needs no model; or a sentence encoder that knows "
        "the same said in other words: `minilm-l6`, a folder or a hub name.",
    )
    clusters: int | None = Field(
        None,
        ge=2,
        le=10_000,
        description="Clusters of the traffic; where absent by its size, and so few that gold can show each.",
    )
    seed: int = Field(0, ge=0, description="Of samples, clusters and tests.")
