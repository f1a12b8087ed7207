"""Human-labelled examples, and the parts that they are split into."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, model_validator

from tutelage.config.section import Probability, Section
from tutelage.config.sources import ColumnsConfig, Format, SourceConfig


class GoldPartConfig(Section):
    """Human-labelled examples that are never part of the sealed set."""

    usual_share: ClassVar[float]  # of gold's own file, where none is given

    path: str | None = Field(None, description="Their file; the gold file itself where absent.")
    columns: ColumnsConfig | None = Field(None, description="The column map; gold's where absent.")
    format: Format | None = Field(None, description="Guessed from the file's ending.")
    share: float | None = Field(
        None,
        gt=0.0,
        le=1.0,
        description="Share of the file taken, stratified by label and slice; where absent 0.3 (training) or "
        "0.2 (calibration) of gold's own file, all of a file of its own.",
    )
    seed: int = Field(0, description="Seed of that choice.")

    @model_validator(mode="after")
    def _leaves_something_to_seal(self) -> GoldPartConfig:
        if self.path is None and self.share == 1.0:
            raise ValueError("share is 1.0 of the gold file itself, which leaves nothing to seal")
        return self

    @property
    def share_taken(self) -> float:
        """`share`, or what holds where it is absent."""
        return self.share or (self.usual_share if self.path is None else 1.0)


class TrainingPartConfig(GoldPartConfig):
    """The human-labelled examples that may be learned from; never part of the sealed set."""

    usual_share = 0.3


class CalibrationPartConfig(GoldPartConfig):
    """The human-labelled examples on which `tutelage certify` tests thresholds, and nothing else.

    Neither learned from nor sealed.
    """

    usual_share = 0.2


class GoldConfig(SourceConfig):
    """Human-labelled examples that decide. Sealed: training can't read them."""

    training: TrainingPartConfig | None = Field(None, description="The part that may be learned from.")
    calibration: CalibrationPartConfig | None = Field(
        None, description="The part that certificates are tested on; nothing else reads it."
    )
    margin: float = Field(
        0.05,
        gt=0.0,
        lt=0.5,
        description="Largest half-width of the 95% interval on accuracy at which paid labelling may start.",
    )
    expected_accuracy: Probability = Field(0.9, description="Assumed when that width is worked out.")
    annotators: int = Field(
        2, ge=1, le=9, description="How many people answer each prompt independently (`tutelage annotate`)."
    )

    @model_validator(mode="after")
    def _leaves_something_to_seal(self) -> GoldConfig:
        taken = [part.share_taken for part in (self.training, self.calibration) if part and part.path is None]
        if sum(taken) >= 1:
            raise ValueError(
                f"training and calibration take {' and '.join(f'{share:g}' for share in taken)} of the gold "
                "file itself, which leaves nothing to seal. Mend: lower their shares"
            )
        return self
