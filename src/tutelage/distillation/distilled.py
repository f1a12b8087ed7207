"""One student, trained by its recipe."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tutelage import storage
from tutelage.checkpoints import checkpoint_folder
from tutelage.config import StudentConfig
from tutelage.distillation.recipes import Recipe, soft_targets
from tutelage.distillation.signals import Signals, hold_back
from tutelage.errors import DataError
from tutelage.progress import Progress
from tutelage.students import Student, average_students, new_learner
from tutelage.tasks import LabelTask

if TYPE_CHECKING:
    from tutelage.distillation.trainer import TrainingRecord

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
        return {"recipe": asdict(self.recipe), "record": asdict(self.record), "examples": self.examples}


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
    `other_steps` those of the arm that this one is compared to (see `recipes.soft_targets`).
    Raises DataError where there is too little to learn from.
    """
    require_enough(signals)
    learning, validation = hold_back(signals, config.validation, config.seed)
    recipe = soft_targets(config, len(learning), other_steps)
    fingerprint = storage.hash_json(
        [
            asdict(recipe),
            config.model_dump(),
            _base_hash(config, folder),
            task.version,
            signals.texts,
            _hash_of(signals),
        ]
    )
    parts = [
        _train(
            learning,
            validation,
            task,
            config,
            replace(recipe, seed=recipe.members * config.seed + member),
            folder,
            progress,
            f"{description} {member + 1}/{recipe.members}" if recipe.members > 1 else description,
            checkpoint and checkpoint / str(member),
            fingerprint,
        )
        for member in range(recipe.members)
    ]
    return Distilled(
        average_students([student for student, _ in parts]),
        recipe,
        _together([record for _, record in parts]),
        len(learning),
    )


def _train(
    learning: Signals,
    validation: Signals,
    task: LabelTask,
    config: StudentConfig,
    recipe: Recipe,
    folder: Path,
    progress: Progress,
    description: str,
    checkpoint: Path | None,
    fingerprint: str,
) -> tuple[Student, TrainingRecord]:
    """One student, or one member of an ensemble: `recipe.seed` decides weights and order."""
    from tutelage.distillation.trainer import Trainer

    seeded = config.model_copy(update={"seed": recipe.seed})
    learner = new_learner(seeded, task, learning.texts, folder)
    trainer = Trainer(
        learner,
        learning,
        validation,
        recipe,
        multi_label=task.multi_label,
        checkpoint=checkpoint,
        fingerprint=fingerprint,
    )
    record = trainer.train(progress, description)
    return learner.finished(), record


def _together(records: Sequence[TrainingRecord]) -> TrainingRecord:
    """The record of an ensemble: sums, and the members' histories one after the other."""
    if len(records) == 1:
        return records[0]
    return replace(
        records[0],
        steps=sum(record.steps for record in records),
        seconds=sum(record.seconds for record in records),
        stopped_early=any(record.stopped_early for record in records),
        history=[
            {"member": member, **check} for member, record in enumerate(records) for check in record.history
        ],
    )
