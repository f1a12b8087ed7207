"""What happened in a phase of training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any


@dataclass
class TrainingRecord:
    """`history` has a line for each check: step, losses, and what the objective measures on validation."""

    steps: int = 0
    best_step: int = 0
    seconds: float = 0.0
    stopped_early: bool = False
    history: list[dict[str, float]] = field(default_factory=list)
    pending: list[float] = field(default_factory=list)  # losses of the steps since the last check

    def to_json(self) -> dict[str, Any]:
        """For run.json, once the run is done."""
        return {name: value for name, value in asdict(self).items() if name != "pending"}


def together(records: Sequence[TrainingRecord], unit: str) -> TrainingRecord:
    """The record of several trainings: sums, and their histories one after the other, numbered as `unit`."""
    if len(records) == 1:
        return records[0]
    return replace(
        records[0],
        steps=sum(record.steps for record in records),
        seconds=sum(record.seconds for record in records),
        stopped_early=any(record.stopped_early for record in records),
        history=[
            {unit: number, **check} for number, record in enumerate(records) for check in record.history
        ],
    )
