"""Heads after every layer of an encoder, which learn from the deepest (Zhang et al. 2019)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tutelage.distillation.losses import mixed_loss, soft_target_loss
from tutelage.distillation.objectives import TARGETS, LabelObjective
from tutelage.errors import ConfigError
from tutelage.students.encoder import EncoderLearner, pooled


class ExitsObjective(LabelObjective):
    """An encoder whose layers all answer. `heads` are those of all layers but the deepest, shallowest first.

    `labels` is the mean over rows of the sum over exits of `losses.mixed_loss`; `soft` the sum of the shallow
    exits' `losses.soft_target_loss` with the deepest as the teacher; `features` that of their squared
    distances from its pooled states. No gradient goes into the deepest as a teacher (eq. 6 and 7 of the
    paper, as released: (1 - α) labels + α soft + β features). `exit`, from 1, is the one that validation
    looks at; None: the deepest. Raises ConfigError where there is no such layer.
    """

    def __init__(
        self,
        student: nn.Module,
        *,
        exit: int | None,
        soft_weight: float,
        feature_weight: float,
        exit_temperature: float,
        temperature: float,
        hard_weight: float,
        multi_label: bool,
    ) -> None:
        super().__init__(student, temperature=temperature, hard_weight=hard_weight, multi_label=multi_label)
        self.weights = {"labels": 1.0 - soft_weight, "soft": soft_weight, "features": feature_weight}
        self.depth: int = student.body.config.num_hidden_layers
        if exit is not None and exit > self.depth:
            raise ConfigError(f"student.exit is {exit}, and the student has {self.depth} layers")
        self._exit = (exit or self.depth) - 1
        self._exit_temperature = exit_temperature
        head = student.head
        self.heads = nn.ModuleList(
            nn.Linear(head.in_features, head.out_features, device=head.weight.device)
            for _ in range(self.depth - 1)
        )

    def forward(self, **batch: Tensor) -> dict[str, Tensor]:
        """See `Objective.forward`; measures `agreement` of the exit looked at."""
        states, logits = self._answers(batch["input_ids"], batch["attention_mask"])
        deepest = torch.sigmoid(logits[-1]) if self._multi_label else torch.softmax(logits[-1], -1)
        sums = {
            "labels": sum(self._labels(one, batch) for one in logits),
            "soft": sum(
                (
                    soft_target_loss(one, deepest.detach(), self._exit_temperature, self._multi_label).sum()
                    for one in logits[:-1]
                ),
                torch.zeros((), device=deepest.device),
            ),
            "features": sum(
                ((one - states[-1].detach()).square().sum() for one in states[:-1]),
                torch.zeros((), device=deepest.device),
            ),
        }
        if self.training:
            return sums
        best = torch.where(batch["has_gold"][:, None], batch["gold"], batch["teacher"])
        return {**sums, "agreement": self._agreements(logits[self._exit], best)}

    def _answers(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Pooled states [n, width] and logits [n, labels] of every layer."""
        hidden = self.student.body(
            input_ids=input_ids, attention_mask=attention_mask, output_hidden_states=True
        ).hidden_states[1:]
        states = [pooled(layer, attention_mask) for layer in hidden]
        heads = [*self.heads, self.student.head]
        return states, [head(state).float() for head, state in zip(heads, states, strict=True)]

    def _labels(self, logits: Tensor, batch: dict[str, Tensor]) -> Tensor:
        return mixed_loss(
            logits,
            *(batch[name] for name in TARGETS),
            temperature=self._temperature,
            hard_weight=self._hard_weight,
            multi_label=self._multi_label,
        ).sum()

    def counts(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:  # type: ignore[override]
        """See `Objective.counts`."""
        rows = torch.tensor(float(len(batch["gold"])))
        return dict.fromkeys(("labels", "soft", "features", "agreement"), rows)


def exits_optimizer(
    objective: nn.Module, learner: EncoderLearner, learning_rate: float
) -> torch.optim.Optimizer:
    """The learner's own, with all heads at the rate of its head."""
    optimizer = learner.optimizer(learner.module, learning_rate)
    head = optimizer.param_groups[-1]
    options = {"lr": head["lr"], "weight_decay": head["weight_decay"]}
    heads = list(objective.heads.parameters())
    if heads:
        optimizer.add_param_group({"params": heads, **options})
    return optimizer
