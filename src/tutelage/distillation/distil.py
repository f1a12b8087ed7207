"""One student, trained by its recipe."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tutelage import storage
from tutelage.config import StudentConfig
from tutelage.distillation.recipes import Recipe, soft_targets
from tutelage.distillation.signals import Signals, hold_back
from tutelage.errors import DataError
from tutelage.progress import Progress
from tutelage.students import Student, new_learner
from tutelage.tasks import Classify

if TYPE_CHECKING:
    from tutelage.distillation.trainer import TrainingRecord

_LEAST_EXAMPLES = 10


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


def _hash_of(signals: Signals) -> str:
    arrays = (signals.teacher, signals.softened, signals.has_teacher, signals.gold, signals.has_gold)
    return hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()


def distil(
    signals: Signals,
    task: Classify,
    config: StudentConfig,
    folder: Path,
    progress: Progress,
    *,
    description: str = "training",
    checkpoint: Path | None = None,
) -> Distilled:
    """Train a student on `signals`; a part of them is held back to choose the best step.

    `folder` is where relative checkpoint paths of models start; `checkpoint` where a killed run goes on.
    Raises DataError where there is too little to learn from.
    """
    if len(signals) < _LEAST_EXAMPLES:
        raise DataError(
            f"{len(signals)} examples to learn from; {_LEAST_EXAMPLES} are the least. "
            "Mend: label more traffic, or give gold.training a larger share"
        )
    from tutelage.distillation.trainer import Trainer

    recipe = soft_targets(config, len(signals))
    learning, validation = hold_back(signals, config.validation, config.seed)
    learner = new_learner(config, task, learning.texts, folder)
    fingerprint = storage.hash_json(
        [
            asdict(recipe),
            config.model_dump(),
            task.version,
            signals.texts,
            _hash_of(signals),
        ]
    )
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
    return Distilled(learner.finished(), recipe, record, len(learning))
