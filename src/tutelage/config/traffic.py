"""The traffic: where prompts come from, and which of them count as the same."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from tutelage.config.sources import RowsConfig, SourceConfig, no_password_in


class TrafficConfig(RowsConfig):
    """Unlabelled prompts of the task, from which the transfer set is made: of one source, or of `sources`."""

    path: str | None = Field(None, description="As in `sources`, where there is one source alone.")
    sources: tuple[SourceConfig, ...] = Field((), description="Several, each with its own columns.")
    near_duplicate: float = Field(
        0.85,
        gt=0.0,
        le=1.0,
        description="Jaccard similarity of character 5-gram sets from which two prompts count as the same.",
    )
    near_repeats: Literal["group", "drop", "ignore"] = Field(
        "group",
        description="What becomes of near duplicates within the traffic: kept, in one group that no split "
        "divides; only the first kept; or nothing. Exact repeats are dropped.",
    )
    siblings: Literal["drop", "keep"] = Field(
        "drop",
        description="What becomes of prompts of a subject (`columns.subject`) of whom sealed gold, its "
        "calibration part, or what was drawn for gold has another: a student is judged on strangers.",
    )
    split: Literal["random", "time"] = Field(
        "random",
        description="What of the transfer set is held back to stop training and to compare students: rows at "
        "random, or the latest. `time` where what is asked changes; it needs `columns.time`.",
    )
    word_apart: Literal["keep", "drop"] = Field(
        "keep",
        description="What becomes of prompts of four words or more that differ from one of gold in a single "
        "word. `drop` where a word seldom decides the answer, and gold may have been copied and edited.",
    )

    semantic_duplicate: float | None = Field(
        None,
        gt=0.0,
        le=1.0,
        description="Cosine in the space of `coverage.embedding`, a sentence encoder, from which two prompts "
        "count as the same in other words: those of gold's aren't asked, others are one group that no split "
        "divides. Off where absent; 0.9 finds few and is seldom wrong (docs/results.md).",
    )

    @field_validator("path")
    @classmethod
    def _keeps_secrets_out(cls, path: str | None) -> str | None:
        return path if path is None else no_password_in(path)

    @model_validator(mode="after")
    def _says_where_once(self) -> TrafficConfig:
        own = sorted(self.model_fields_set & (RowsConfig.model_fields.keys() | {"path"}))
        if self.sources and own:
            raise ValueError(
                f"{own[0]} stands beside sources, each of which has its own. Mend: move it into one of them"
            )
        if self.path is None and not self.sources:
            raise ValueError("path is needed, and absent. Mend: add it, or sources")
        return self

    @property
    def every(self) -> tuple[SourceConfig, ...]:
        """The sources, whether one or several."""
        if self.path is None:
            return self.sources
        return (SourceConfig(**{name: getattr(self, name) for name in SourceConfig.model_fields}),)

    @property
    def named(self) -> str:
        """The sources' paths as the file has them, for people."""
        return ", ".join(source.path for source in self.every)
