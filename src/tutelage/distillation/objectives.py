"""Objectives: what a step minimises. Modules around a student, so that to wrap one wraps all that learns."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from tutelage.distillation.losses import mixed_loss

Batch = Mapping[str, Tensor]
TARGETS = ("teacher", "softened", "has_teacher", "gold", "has_gold")


class Objective(nn.Module, ABC):
    """A student with what it is measured by.

    `forward` takes a batch and returns a *sum* for each part of the loss; `counts` says over how much of what
    each goes, so that a step made of several batches, on several processes, has the mean over all of them.
    The loss is the weighted sum of those means. What learns beside the student (a projection, say) is a
    submodule; a frozen teacher isn't: keep it with `keep_frozen`.
    """

    weights: Mapping[str, float]
    writes = False  # whether the student writes in `prepared`, for which it needs whole weights

    def __init__(self, student: nn.Module, weights: Mapping[str, float]) -> None:
        super().__init__()
        self.student = student
        self.weights = dict(weights)
        self.frozen: tuple[nn.Module, ...] = ()

    @abstractmethod
    def forward(self, **batch: Tensor) -> dict[str, Tensor]:
        """Scalar sums: one for each of `weights`; where the module evaluates, of what it measures too."""

    @abstractmethod
    def counts(self, batch: Batch) -> dict[str, Tensor]:
        """Scalar counts under the names of `forward`. Needs no forward pass."""

    def prepared(self, batch: Batch, number: int) -> Batch:
        """The batch that a step learns from, given the one that was read: here the same.

        Called before the step, with the weights that it begins with. `number` is the batch's own among all of
        a phase, on all processes. Whatever is drawn has to follow from it, so that a run goes on exactly.
        """
        return batch

    def merit(self, check: Mapping[str, float]) -> tuple[float, ...]:
        """By which checks on validation are ranked, the best the greatest: here the least loss."""
        return (-check["loss"],)

    def note(self, check: Mapping[str, float]) -> str:
        """A check in a few words, beside the progress bar."""
        return f"loss {check['loss']:.3f}"

    def keep_frozen(self, module: nn.Module) -> None:
        """Hold a module that doesn't learn: no part of weights, gradients or checkpoints."""
        self.frozen = (*self.frozen, module.eval().requires_grad_(False))

    def lent(self) -> tuple[object, ...]:
        """What a copy of this shares with it: all that doesn't learn and is large."""
        return self.frozen

    def _apply(self, function: Any, recurse: bool = True) -> Any:
        """Frozen modules follow the student to its device."""
        for module in self.frozen:
            module._apply(function, recurse)
        return super()._apply(function, recurse)


class LabelObjective(Objective):
    """Soft targets mixed with human labels, on a student whose forward returns logits [n, labels].

    A batch has the student's own inputs and `TARGETS`, as `losses.mixed_loss` takes them.
    """

    def __init__(
        self, student: nn.Module, *, temperature: float, hard_weight: float, multi_label: bool
    ) -> None:
        super().__init__(student, {"labels": 1.0})
        self._temperature, self._hard_weight, self._multi_label = temperature, hard_weight, multi_label

    def forward(self, **batch: Tensor) -> dict[str, Tensor]:
        """See `Objective.forward`; measures `agreement` with the best known answer of a row."""
        inputs = {name: part for name, part in batch.items() if name not in TARGETS}
        logits = self.student(**inputs).float()
        loss = mixed_loss(
            logits,
            *(batch[name] for name in TARGETS),
            temperature=self._temperature,
            hard_weight=self._hard_weight,
            multi_label=self._multi_label,
        ).sum()
        if self.training:
            return {"labels": loss}
        best = torch.where(batch["has_gold"][:, None], batch["gold"], batch["teacher"])
        return {"labels": loss, "agreement": self._agreements(logits, best)}

    def _agreements(self, logits: Tensor, best: Tensor) -> Tensor:
        if self._multi_label:
            return ((logits >= 0) == (best >= 0.5)).all(-1).float().sum()
        return (logits.argmax(-1) == best.argmax(-1)).float().sum()

    def counts(self, batch: Batch) -> dict[str, Tensor]:
        """See `Objective.counts`."""
        rows = torch.tensor(float(len(batch["gold"])))
        return {"labels": rows, "agreement": rows}

    def merit(self, check: Mapping[str, float]) -> tuple[float, ...]:
        """Agreement first, then the loss."""
        return (check["agreement"], -check["loss"])

    def note(self, check: Mapping[str, float]) -> str:
        """See `Objective.note`."""
        return f"agrees {check['agreement']:.1%}"
