"""Distillation for people who bring their own modules: any `torch.nn.Module` into any other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from tutelage import storage
from tutelage.distillation.recipes import SoftTargets
from tutelage.distillation.record import TrainingRecord
from tutelage.distillation.schedule import Schedule
from tutelage.errors import DataError
from tutelage.progress import Progress, Silent

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    Inputs: TypeAlias = Tensor | Mapping[str, Tensor]
    Teacher: TypeAlias = nn.Module | Sequence[nn.Module] | Tensor

PLAN = SoftTargets(temperature=4.0, hard_weight=0.1, schedule=Schedule(1e-3, batch_size=128, steps=2_000))


@dataclass(frozen=True, slots=True)
class Hint:
    """A module of the student that learns to give what a module of the teacher gives, both by dotted name.

    The loss is the mean of squared differences, after a learned linear projection where the last dimensions
    differ (FitNets, Romero et al. 2015, eq. 3; TinyBERT, Jiao et al. 2020, eq. 8). `weight` is its share of
    the loss beside the recipe's.
    """

    student: str
    teacher: str
    weight: float = 1.0


def distil(
    teacher: Teacher,
    student: nn.Module,
    data: Inputs,
    labels: Tensor | None = None,
    *,
    recipe: SoftTargets = PLAN,
    hints: Sequence[Hint] = (),
    multi_label: bool = False,
    validation: float = 0.1,
    optimizer: Callable[[nn.Module, float], torch.optim.Optimizer] | None = None,
    progress: Progress | None = None,
    checkpoint: Path | None = None,
) -> TrainingRecord:
    """Teach `student`, in place, what `teacher` answers to `data`; it is left with its best weights.

    `teacher` is a module that returns logits [n, labels], or a transformers output that has them; several
    of them (their mean distribution teaches), or the logits themselves. It is asked once about every row,
    and nothing of it is needed from then on. `data` is a tensor [n, ...] that both take, or named tensors
    that both take as keywords. `labels` are what humans said: int64 [n], −1 where nobody did, or with
    `multi_label` indicators [n, labels] with rows of −1; `recipe.hard_weight` is their weight where there
    is one. A share `validation` of the rows chooses the best step and when to stop. `checkpoint` is a
    folder where a killed run goes on: it has to be given the same modules and data.

    Raises DataError for rows that don't match or aren't finite, ConfigError for a hint that names no module
    and for labels that aren't the same on both sides.
    """
    from tutelage.distillation._modules import module_phase, require_same_labels, teacher_signals
    from tutelage.distillation.trainer import train
    from tutelage.students.optimizers import adamw

    inputs = _named(data)
    count = _count(inputs)
    require_same_labels(teacher, student)
    signals = teacher_signals(teacher, inputs, labels, hints, multi_label=multi_label)
    held_back = np.random.default_rng(recipe.schedule.seed).permutation(count)
    cut = min(max(1, round(validation * count)), count - 1)
    phase = module_phase(
        student, inputs, signals, recipe, hints, held_back[cut:], held_back[:cut], multi_label=multi_label
    )
    return train(
        phase.objective,
        phase.learning,
        phase.validation,
        recipe.schedule,
        progress or Silent(),
        "distilling",
        optimizer=optimizer or adamw,
        checkpoint=checkpoint,
        fingerprint=storage.hash_json(
            [recipe.to_json(), [str(hint) for hint in hints], _hash(signals.values())]
        ),
    )


def _named(data: Inputs) -> dict[str, Tensor]:
    """One tensor goes by a name that only `_modules` knows."""
    from tutelage.distillation._modules import ALONE

    return dict(data) if isinstance(data, Mapping) else {ALONE: data}


def _count(inputs: Mapping[str, Tensor]) -> int:
    counts = {name: len(tensor) for name, tensor in inputs.items()}
    if len(set(counts.values())) != 1:
        raise DataError(f"data has tensors of different lengths: {counts}. Mend: one row for each example")
    (count,) = set(counts.values())
    if count < 2:
        raise DataError(f"data has {count} rows; one has to be held back to validate. Mend: two at least")
    return count


def _hash(tensors: Iterable[Any]) -> str:
    import hashlib

    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()
