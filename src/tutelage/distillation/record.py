"""What happened in a phase of training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any


@dataclass
class TrainingRecord:
    """`history` has a line for each check: step, losses, and what the objective measures on validation.

    `phases`, once all are done, has a line for each: its name, steps, the best one, a note where a recipe did
    otherwise than its paper, and what figures it has to tell.
    """

    steps: int = 0
    best_step: int = 0
    seconds: float = 0.0
    stopped_early: bool = False
    history: list[dict[str, float]] = field(default_factory=list)
    phases: list[dict[str, Any]] = field(default_factory=list)
    pending: list[float] = field(default_factory=list)  # losses of the steps since the last check

    def to_json(self) -> dict[str, Any]:
        """For run.json, once the run is done."""
        return {name: value for name, value in asdict(self).items() if name != "pending"}


def of_phase(record: TrainingRecord, name: str, note: str, figures: Mapping[str, float]) -> TrainingRecord:
    """The record of one phase, with its line in `phases`."""
    line = {
        "name": name,
        "steps": record.steps,
        "best_step": record.best_step,
        "seconds": record.seconds,
        "stopped_early": record.stopped_early,
        **({"note": note} if note else {}),
        **figures,
    }
    return replace(record, phases=[line])


def together(records: Sequence[TrainingRecord], unit: str) -> TrainingRecord:
    """The record of several trainings: sums, and their histories one after the other, numbered as `unit`."""
    if len(records) == 1:
        return records[0]
    return replace(
        records[0],
        steps=sum(record.steps for record in records),
        seconds=sum(record.seconds for record in records),
        stopped_early=any(record.stopped_early for record in records),
        history=_numbered(unit, [record.history for record in records]),
        phases=_numbered(unit, [record.phases for record in records]),
    )


def _numbered(unit: str, parts: Sequence[Sequence[dict[str, Any]]]) -> list[dict[str, Any]]:
    return [{unit: number, **line} for number, part in enumerate(parts) for line in part]
