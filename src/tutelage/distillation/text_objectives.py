"""Objectives of students that write: likelihood of what they are to say, and of nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from tutelage.distillation.losses import completion_cross_entropy
from tutelage.distillation.objectives import Batch, Objective
from tutelage.students.protocol import Examples

IGNORED = -100  # a label that no loss counts
_PARTS = ("label", "rationale")


class TextObjective(Objective):
    """The negative log-likelihood of the answers' tokens, a mean over tokens, none of them the prompt's.

    That is SFT on completions. A batch has the module's inputs and `labels`, int64 [rows, longest], at each
    place the token that the logits there are of, or `IGNORED`. Validation measures `exact`, the share of
    answers of which each token is the likeliest after those before it, and ranks checks by it first: of long
    texts none is, and the loss decides.
    """

    def __init__(self, student: nn.Module) -> None:
        super().__init__(student, {"text": 1.0})

    def forward(self, **batch: Tensor) -> dict[str, Tensor]:
        """See `Objective.forward`."""
        loss, exact = likelihood(self.student, batch)
        return {"text": loss} if self.training else {"text": loss, "exact": exact}

    def counts(self, batch: Batch) -> dict[str, Tensor]:
        """See `Objective.counts`: tokens that are learned, and answers."""
        return {"text": learned_tokens(batch), "exact": torch.tensor(float(len(batch["labels"])))}

    def merit(self, check: Mapping[str, float]) -> tuple[float, ...]:
        """See the class."""
        return (check["exact"], -check["loss"])

    def note(self, check: Mapping[str, float]) -> str:
        """See `Objective.note`."""
        return f"loss {check['loss']:.3f}, exact {check['exact']:.1%}"


class StepByStepObjective(Objective):
    """L = L_label + λ L_rationale (Hsieh et al. 2023, eq. 4): two tasks of one student, told by their prefix.

    A batch has both of each of its examples, `label.*` and `rationale.*`, as `TextObjective` takes them; each
    loss is a mean over its own tokens. An example without reasons has no token in the second. Validation
    measures and ranks the label's part, the one that is used.
    """

    def __init__(self, student: nn.Module, weight: float) -> None:
        super().__init__(student, {"label": 1.0, "rationale": weight})

    def forward(self, **batch: Tensor) -> dict[str, Tensor]:
        """See `Objective.forward`."""
        label, exact = likelihood(self.student, part_of(batch, "label"))
        rationale, _ = likelihood(self.student, part_of(batch, "rationale"))
        losses = {"label": label, "rationale": rationale}
        return losses if self.training else {**losses, "exact": exact}

    def counts(self, batch: Batch) -> dict[str, Tensor]:
        """See `Objective.counts`."""
        tokens = {name: learned_tokens(part_of(batch, name)) for name in _PARTS}
        return {**tokens, "exact": torch.tensor(float(len(batch["label.labels"])))}

    def merit(self, check: Mapping[str, float]) -> tuple[float, ...]:
        """See the class."""
        return (check["exact"], -check["label"])

    def note(self, check: Mapping[str, float]) -> str:
        """See `Objective.note`."""
        return f"label {check['label']:.3f}, reasons {check['rationale']:.3f}, exact {check['exact']:.1%}"


class PairedTasks:
    """Both tasks of the same examples: each batch pairs them, as `StepByStepObjective` takes it."""

    def __init__(self, label: Examples, rationale: Examples) -> None:
        self._parts = dict(zip(_PARTS, (label, rationale), strict=True))
        self.lengths: npt.NDArray[np.int64] = label.lengths + rationale.lengths

    def __len__(self) -> int:
        return len(self.lengths)

    def batch(self, indices: npt.NDArray[np.int64]) -> dict[str, Tensor]:
        """See `Examples.batch`."""
        return {
            f"{name}.{key}": tensor
            for name, part in self._parts.items()
            for key, tensor in part.batch(indices).items()
        }


class WithoutTokens:
    """Examples of which those marked are read, but teach nothing: rows without reasons, beside the others."""

    def __init__(self, examples: Examples, taught: Sequence[bool]) -> None:
        self._examples, self._taught = examples, torch.tensor(list(taught))
        self.lengths = examples.lengths

    def __len__(self) -> int:
        return len(self._examples)

    def batch(self, indices: npt.NDArray[np.int64]) -> dict[str, Tensor]:
        """See `Examples.batch`."""
        batch = self._examples.batch(indices)
        left_out = ~self._taught[torch.from_numpy(indices)][:, None]
        return {**batch, "labels": batch["labels"].masked_fill(left_out, IGNORED)}


def likelihood(student: nn.Module, batch: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """The sum of −log p over labelled tokens, and how many rows have each of them right; both scalars.

    Of a decoder alone, logits are only made where some row of the batch has a label: a vocabulary is wide,
    and prompts are most of the tokens.
    """
    inputs = {name: part for name, part in batch.items() if name != "labels"}
    labels = batch["labels"]
    if "decoder_input_ids" not in inputs:
        places = (labels != IGNORED).any(0).nonzero()[:, 0]
        inputs["logits_to_keep"], labels = places, labels[:, places]
    logits = student(**inputs).logits
    learned = labels != IGNORED
    right = (logits.detach().argmax(-1) == labels) | ~learned
    return completion_cross_entropy(logits, labels, learned), right.all(-1).float().sum()


def learned_tokens(batch: Mapping[str, Tensor]) -> Tensor:
    """How many tokens of a batch are labelled, a scalar."""
    return (batch["labels"] != IGNORED).sum().float()


def part_of(batch: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """Of a batch with several sides the one of this name."""
    return {key.removeprefix(f"{name}."): part for key, part in batch.items() if key.startswith(f"{name}.")}
