"""One student, trained by its recipe."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tutelage import storage
from tutelage.checkpoints import checkpoint_folder
from tutelage.config import StudentConfig
from tutelage.distillation.phases import Material, Recipe
from tutelage.distillation.recipes import RECIPES
from tutelage.distillation.record import TrainingRecord, together
from tutelage.distillation.signals import Signals, hold_back
from tutelage.errors import DataError
from tutelage.progress import Progress
from tutelage.students import Student, average_students, new_learner
from tutelage.tasks import LabelTask

LEAST_EXAMPLES = 10


@dataclass(frozen=True)
class Distilled:
    """A student with the plan it was trained by and what happened."""

    student: Student
    recipe: Recipe
    record: TrainingRecord
    examples: int

    def to_json(self) -> dict[str, Any]:
        """For run.json."""
        return {
            "recipe": self.recipe.to_json(),
            "record": self.record.to_json(),
            "examples": self.examples,
        }


def require_enough(signals: Signals, whose: str = "the student") -> None:
    """Raise DataError where there are too few examples to learn from."""
    if len(signals) < LEAST_EXAMPLES:
        raise DataError(
            f"{len(signals)} examples for {whose} to learn from; {LEAST_EXAMPLES} are the least. "
            "Mend: label more traffic, or give gold.training a larger share"
        )


def _base_hash(config: StudentConfig, folder: Path) -> str:
    """Of the weights on disk that the student starts from, which may change under one name."""
    local = checkpoint_folder(config.base, folder) if config.base else None
    return storage.hash_path(local) if local else ""


def _hash_of(signals: Signals) -> str:
    arrays = (signals.teacher, signals.softened, signals.has_teacher, signals.gold, signals.has_gold)
    return hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()


def distil(
    signals: Signals,
    task: LabelTask,
    config: StudentConfig,
    folder: Path,
    progress: Progress,
    *,
    description: str = "training",
    checkpoint: Path | None = None,
    other_steps: int = 0,
) -> Distilled:
    """Train a student on `signals`; a part of them is held back to choose the best step.

    `folder` is where relative checkpoint paths of models start; `checkpoint` where a killed run goes on;
    `other_steps` those of the arm that this one is compared to (see `SoftTargets.planned`).
    Raises DataError where there is too little to learn from.
    """
    require_enough(signals)
    learning, validation = hold_back(signals, config.validation, config.seed)
    recipe = RECIPES[config.recipe](config, len(learning), other_steps)
    fingerprint = storage.hash_json(
        [
            recipe.to_json(),
            config.model_dump(),
            _base_hash(config, folder),
            task.version,
            signals.texts,
            _hash_of(signals),
        ]
    )

    def member(number: int) -> tuple[Student, TrainingRecord]:
        seed = recipe.members * config.seed + number
        seeded = config.model_copy(update={"seed": seed})
        material = Material(
            task, new_learner(seeded, task, learning.texts, folder), learning, validation, folder
        )
        named = f"{description} {number + 1}/{recipe.members}" if recipe.members > 1 else description
        return run_phases(
            recipe.seeded(seed),
            material,
            progress,
            named,
            checkpoint and checkpoint / str(number),
            fingerprint,
        )

    trained = [member(number) for number in range(recipe.members)]
    return Distilled(
        average_students([student for student, _ in trained]),
        recipe,
        together([record for _, record in trained], "member"),
        len(learning),
    )


def run_phases(
    recipe: Recipe,
    material: Material,
    progress: Progress,
    description: str,
    checkpoint: Path | None,
    fingerprint: str,
) -> tuple[Student, TrainingRecord]:
    """Train the material's learner, phase after phase; one that a killed run had ended is taken as it was."""
    from tutelage.distillation.trainer import train

    records = []
    for number, phase in enumerate(recipe.phases(material)):
        records.append(
            train(
                phase.objective,
                phase.learning,
                phase.validation,
                phase.schedule,
                progress,
                description if number == 0 else f"{description}: {phase.name}",
                optimizer=phase.optimizer,
                start=phase.start,
                checkpoint=checkpoint and checkpoint / f"{number}-{phase.name.replace(' ', '-')}",
                fingerprint=fingerprint,
                threads=material.learner.threads,
            )
        )
    return material.learner.finished(), together(records, "phase")
