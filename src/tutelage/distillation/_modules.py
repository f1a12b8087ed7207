"""What `distil` does with modules: asks the teacher once, measures the student by its answers and hints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from tutelage.distillation.losses import new_projection
from tutelage.distillation.objectives import TARGETS, Batch, LabelObjective
from tutelage.distillation.phases import Phase
from tutelage.distillation.recipes import SoftTargets
from tutelage.distillation.taps import Taps
from tutelage.errors import ConfigError, DataError
from tutelage.students.optimizers import adamw

if TYPE_CHECKING:
    from tutelage.distillation.modules import Hint

ALONE = "inputs"
_HINT = "hint."
_ASKED = 256  # rows of which the teacher is asked at once


class _Called(nn.Module):
    """A module called by keyword, also where it takes one tensor; of a model output its logits are taken."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, **inputs: Tensor) -> Any:
        output = self.module(inputs[ALONE]) if list(inputs) == [ALONE] else self.module(**inputs)
        return getattr(output, "logits", output)


class HintedObjective(LabelObjective):
    """Soft targets, and for each hint the squared difference from what the teacher gave there."""

    def __init__(
        self,
        student: nn.Module,
        recipe: SoftTargets,
        hints: Sequence[Hint],
        widths: Sequence[tuple[int, int]],
        *,
        multi_label: bool,
    ) -> None:
        super().__init__(
            student,
            temperature=recipe.temperature,
            hard_weight=recipe.hard_weight,
            multi_label=multi_label,
        )
        self._hints = tuple(hints)
        self.weights = {**self.weights, **{hint.student: hint.weight for hint in hints}}
        self.projections = nn.ModuleList(
            nn.Identity() if own == wanted else new_projection(own, wanted) for own, wanted in widths
        )

    def forward(self, **batch: Tensor) -> dict[str, Tensor]:
        """See `Objective.forward`."""
        wanted = {name: part for name, part in batch.items() if name.startswith(_HINT)}
        rest = {name: part for name, part in batch.items() if name not in wanted}
        with Taps(self.student, [f"module.{hint.student}" for hint in self._hints]) as taps:
            sums = super().forward(**rest)
            for number, (hint, projection) in enumerate(zip(self._hints, self.projections, strict=True)):
                given = projection(taps[f"module.{hint.student}"]).float()
                squares = (given - wanted[f"{_HINT}{number}"].float()).square()
                sums[hint.student] = squares.flatten(1).mean(1).sum()
        return sums

    def counts(self, batch: Batch) -> dict[str, Tensor]:
        """See `Objective.counts`: rows, of each."""
        counts = super().counts(batch)
        return {**counts, **{hint.student: counts["labels"] for hint in self._hints}}


class _Rows:
    """Rows of tensors by name."""

    def __init__(self, tensors: Mapping[str, Tensor], rows: npt.NDArray[np.int64]) -> None:
        self._tensors, self._rows = tensors, torch.from_numpy(rows)
        self.lengths = np.ones(len(rows), np.int64)

    def __len__(self) -> int:
        return len(self.lengths)

    def batch(self, indices: npt.NDArray[np.int64]) -> dict[str, Tensor]:
        """See `Examples.batch`."""
        rows = self._rows[torch.from_numpy(indices)]
        return {name: tensor[rows] for name, tensor in self._tensors.items()}


def require_same_labels(teacher: nn.Module | Sequence[nn.Module] | Tensor, student: nn.Module) -> None:
    """Raise ConfigError where modules name their labels (`config.id2label`) and don't name them alike."""
    if isinstance(teacher, Tensor):
        return
    members = [teacher] if isinstance(teacher, nn.Module) else list(teacher)
    named = [(one, names) for one in (*members, student) if (names := _label_names(one))]
    for one, names in named[1:]:
        (_, first) = named[0]
        if names == first:
            continue
        who = "the student" if one is student else f"teacher {members.index(one) + 1}"
        kind = "the same labels in another order" if set(names) == set(first) else "other labels"
        at = next((place for place, (a, b) in enumerate(zip(first, names, strict=False)) if a != b), None)
        shown = "" if at is None else f": label {at} is {names[at]!r}, and {first[at]!r} to the first teacher"
        raise ConfigError(
            f"{who} has {kind}{shown}. Mend: load it with the first teacher's id2label and label2id"
        )


def _label_names(module: nn.Module) -> tuple[str, ...]:
    """Those that a model of transformers was given; it makes up LABEL_0 and so on where it was given none."""
    names = getattr(getattr(module, "config", None), "id2label", None) or {}
    found = tuple(str(names[index]) for index in sorted(names, key=int))
    return () if found == tuple(f"LABEL_{index}" for index in range(len(found))) else found


@torch.no_grad()
def teacher_signals(
    teacher: nn.Module | Sequence[nn.Module] | Tensor,
    inputs: Mapping[str, Tensor],
    labels: Tensor | None,
    hints: Sequence[Hint],
    *,
    multi_label: bool,
) -> dict[str, Tensor]:
    """`TARGETS` of all rows, and what the hints' modules gave for them."""
    logits, given = _asked(teacher, inputs, hints)
    if len(logits) != len(next(iter(inputs.values()))):
        raise DataError(f"the teacher answered {len(logits)} of {len(next(iter(inputs.values())))} rows")
    if not torch.isfinite(logits).all():
        bad = int((~torch.isfinite(logits)).any(-1).nonzero()[0])
        raise DataError(f"the teacher's logits of row {bad} aren't finite. Mend: leave the row out")
    gold, has_gold = _gold(labels, logits.shape, multi_label)
    everything = torch.ones(len(logits), dtype=torch.bool)
    values = (_probabilities(logits, multi_label), everything, everything, gold, has_gold)
    return {
        **dict(zip(TARGETS, values, strict=True)),
        **{f"{_HINT}{number}": tensor for number, tensor in enumerate(given)},
    }


def _asked(teacher: Any, inputs: Mapping[str, Tensor], hints: Sequence[Hint]) -> tuple[Tensor, list[Tensor]]:
    """Logits float32 [n, labels], and what each hint's module gave."""
    if isinstance(teacher, Tensor):
        if hints:
            raise DataError(
                "hints need the teacher's modules, and it was given as logits. Mend: give the module"
            )
        return teacher.float().cpu(), []
    members = [teacher] if isinstance(teacher, nn.Module) else list(teacher)
    if hints and len(members) > 1:
        raise DataError(f"hints need one teacher, and there are {len(members)}. Mend: leave hints out")
    answers = [_answers(member, inputs, hints) for member in members]
    if len(members) == 1:
        return answers[0]
    widths = [logits.shape[-1] for logits, _ in answers]
    if len(set(widths)) > 1:
        raise ConfigError(f"teachers give {widths} logits a row. Mend: leave out those of another task")
    # The logarithm of the members' mean distribution: a softmax's logits are known up to a constant.
    mean = torch.stack([torch.softmax(logits, -1) for logits, _ in answers]).mean(0)
    return mean.clamp_min(1e-12).log(), []


def _answers(
    module: nn.Module, inputs: Mapping[str, Tensor], hints: Sequence[Hint]
) -> tuple[Tensor, list[Tensor]]:
    called, was_training = _Called(module), module.training
    device = next((weight.device for weight in module.parameters()), torch.device("cpu"))
    module.eval()
    logits: list[Tensor] = []
    given: list[list[Tensor]] = [[] for _ in hints]
    count = len(next(iter(inputs.values())))
    with Taps(called, [f"module.{hint.teacher}" for hint in hints]) as taps:
        for start in range(0, count, _ASKED):
            rows = {name: part[start : start + _ASKED].to(device) for name, part in inputs.items()}
            logits.append(called(**rows).float().cpu())
            for hint, parts in zip(hints, given, strict=True):
                parts.append(taps[f"module.{hint.teacher}"].detach().cpu())
    module.train(was_training)
    return torch.cat(logits), [torch.cat(parts) for parts in given]


def _probabilities(logits: Tensor, multi_label: bool) -> Tensor:
    return torch.sigmoid(logits) if multi_label else torch.softmax(logits, -1)


def _gold(labels: Tensor | None, shape: torch.Size, multi_label: bool) -> tuple[Tensor, Tensor]:
    gold, has_gold = torch.zeros(shape), torch.zeros(shape[0], dtype=torch.bool)
    if labels is None:
        return gold, has_gold
    wanted = shape if multi_label else shape[:1]
    if labels.shape != wanted:
        raise DataError(f"labels are {list(labels.shape)}; wanted is {list(wanted)}. Mend: one for each row")
    labels = labels.cpu()
    if multi_label:
        has_gold = (labels >= 0).all(-1)
        gold[has_gold] = labels[has_gold].float()
        return gold, has_gold
    if len(labels) and int(labels.max()) >= shape[1]:
        raise DataError(f"label {int(labels.max())} is none of the teacher's {shape[1]}, counted from 0")
    has_gold = labels >= 0
    gold[has_gold] = nn.functional.one_hot(labels[has_gold].long(), shape[1]).float()
    return gold, has_gold


def module_phase(
    student: nn.Module,
    inputs: Mapping[str, Tensor],
    signals: Mapping[str, Tensor],
    recipe: SoftTargets,
    hints: Sequence[Hint],
    learning: npt.NDArray[np.int64],
    validation: npt.NDArray[np.int64],
    *,
    multi_label: bool,
) -> Phase:
    """The one phase of `distil`."""
    called = _Called(student)
    rows = {**inputs, **signals}
    widths = _widths(called, inputs, signals, hints)
    objective = HintedObjective(called, recipe, hints, widths, multi_label=multi_label)
    return Phase(
        "soft targets", objective, _Rows(rows, learning), _Rows(rows, validation), recipe.schedule, adamw
    )


@torch.no_grad()
def _widths(
    called: _Called, inputs: Mapping[str, Tensor], signals: Mapping[str, Tensor], hints: Sequence[Hint]
) -> list[tuple[int, int]]:
    """Of each hint, what the student's module gives and what the teacher's gave: the last dimension.

    Raises ConfigError where the student has other outputs than the teacher.
    """
    device = next((weight.device for weight in called.parameters()), torch.device("cpu"))
    was_training = called.training
    called.eval()
    with Taps(called, [f"module.{hint.student}" for hint in hints]) as taps:
        logits = called(**{name: part[:1].to(device) for name, part in inputs.items()})
        own = [taps[f"module.{hint.student}"].shape[-1] for hint in hints]
    called.train(was_training)
    wanted = signals["teacher"].shape[-1]
    if tuple(logits.shape) != (1, wanted):
        raise ConfigError(
            f"the student gives {list(logits.shape)} for one row, and its teacher [1, {wanted}]. Mend: a "
            f"last layer of {wanted} outputs"
        )
    return [(width, signals[f"{_HINT}{number}"].shape[-1]) for number, width in enumerate(own)]
