"""Subjects of evaluation beside accuracy: how what they measured comes into `metrics.json`.

`evaluate` asks each for its sections after the arms have been scored and before the release gate decides. A
subject that has a stage of its own reads what that stage left with `left_by`, which gives nothing where the
stage hasn't run on what there is now: an old measurement must not speak for a new student.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tutelage.programme import Programme, Stage
from tutelage.records import AnyGold

if TYPE_CHECKING:
    from tutelage.evaluation import Arm
    from tutelage.tasks import Task


@dataclass(frozen=True, eq=False)
class Evaluated:
    """What is known before the gate: arms on sealed gold by name, and `metrics` as far as they are made.

    The arms' answers stand in the order of `gold`.
    """

    task: Task
    gold: Sequence[AnyGold]
    arms: Mapping[str, Arm]
    metrics: Mapping[str, Any]


@dataclass(frozen=True)
class Subject:
    """One subject: `inputs` gives fingerprints of what it reads, `sections` what it adds to the metrics.

    A section that wasn't measured is left out or None.
    """

    name: str
    inputs: Callable[[Programme], Mapping[str, str]]
    sections: Callable[[Programme, Evaluated], Mapping[str, Any]]


def with_sections(subjects: Sequence[Subject], programme: Programme, evaluated: Evaluated) -> dict[str, Any]:
    """The metrics with each subject's sections; a later subject sees those of earlier ones."""
    metrics = dict(evaluated.metrics)
    for subject in subjects:
        known = Evaluated(evaluated.task, evaluated.gold, evaluated.arms, metrics)
        sections = subject.sections(programme, known)
        if taken := sorted(metrics.keys() & sections.keys()):
            raise ValueError(f"subject {subject.name!r} writes {taken[0]!r}, which is there already")
        metrics.update(sections)
    return metrics


def left_by(stage: Stage, programme: Programme, path: Path) -> Path | None:
    """`path`, where it is there and its stage has nothing to do; else None."""
    return path if path.exists() and stage.reason_to_run(programme) is None else None
