"""Objectives on a body's layers: what DistilBERT, TinyBERT and MiniLM teach before the task."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from tutelage.distillation.losses import ForwardKL, completion_cross_entropy, hidden_cosine, token_divergence
from tutelage.distillation.masking import UNMASKED
from tutelage.distillation.objectives import Batch, Objective
from tutelage.distillation.reading import Layers, Reader


class BodyObjective(Objective):
    """A student's body beside its teacher's, which runs frozen; each part of the loss is a mean over tokens.

    A batch has `input_ids` and `attention_mask`, int64 [batch, tokens].
    """

    def __init__(
        self, body: nn.Module, teacher: nn.Module, ours: Reader, theirs: Reader, weights: Mapping[str, float]
    ) -> None:
        super().__init__(body, weights)
        self.keep_frozen(teacher)
        self._ours, self._theirs = ours, theirs

    def _taught(self, batch: Batch) -> Layers:
        with torch.no_grad():
            return self._theirs(batch)

    def counts(self, batch: Batch) -> dict[str, Tensor]:
        """See `Objective.counts`: real tokens."""
        tokens = batch["attention_mask"].sum().float()
        return dict.fromkeys(self.weights, tokens)


class LanguageObjective(BodyObjective):
    """DistilBERT's triple loss (Sanh et al. 2019, section 3), with the released weights.

    T² KL(teacher ‖ student) of tokens' distributions at `temperature`, over all real tokens; cross-entropy
    with what was masked, over masked tokens; 1 − cosine of the last hidden states. The first two need heads
    from states to logits, and batches of `Masked`. Without them the cosine alone is left.
    """

    def __init__(
        self,
        body: nn.Module,
        teacher: nn.Module,
        head: tuple[nn.Module, nn.Module] | None,
        weights: Mapping[str, float],
        temperature: float,
    ) -> None:
        """`head`: the student's, which learns, and the teacher's."""
        super().__init__(body, teacher, Reader(body), Reader(teacher), weights)
        self._temperature = temperature
        self.head: nn.Module | None
        self._teacher_head: nn.Module | None
        self.head, self._teacher_head = head or (None, None)
        if self._teacher_head is not None:
            self.keep_frozen(self._teacher_head)

    def forward(self, **batch: Tensor) -> dict[str, Tensor]:
        """See `Objective.forward`."""
        ours, theirs = self._ours(batch).last, self._taught(batch).last
        assert ours is not None and theirs is not None  # noqa: S101  # neither is from a cache
        real = batch["attention_mask"].bool()
        parts = {"cosine": hidden_cosine(ours, theirs, real)}
        if self.head is None or self._teacher_head is None:
            return parts
        logits = self.head(ours[real])
        with torch.no_grad():
            targets = self._teacher_head(theirs[real])
        every = torch.ones(len(logits), dtype=torch.bool, device=logits.device)
        divergence = token_divergence(ForwardKL(), logits, targets, every, temperature=self._temperature)
        guessed = batch["masked"][real]
        return {
            "soft": self._temperature**2 * divergence,
            "mlm": completion_cross_entropy(logits, guessed, guessed != UNMASKED),
            **parts,
        }

    def counts(self, batch: Batch) -> dict[str, Tensor]:
        """See `Objective.counts`."""
        counts = super().counts(batch)
        return {**counts, "mlm": (batch["masked"] != UNMASKED).sum().float()} if "mlm" in counts else counts
