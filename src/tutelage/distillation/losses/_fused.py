"""The autograd function under `lean`: a loss on an LM head's logits, its gradients made with its value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tutelage.distillation.losses.tokens import computed_in
from tutelage.errors import ConfigError, UsageError

_WEIGHT_CELLS = 1 << 22  # of a head in half precision, made float32 at a time


@dataclass(frozen=True, eq=False)
class Projection:
    """Logits not multiplied out: `hidden` [..., width] times `weight` [vocabulary, width], plus `bias`.

    That is an LM head: `Projection(hidden, model.lm_head.weight, model.lm_head.bias)`.
    """

    hidden: Tensor
    weight: Tensor
    bias: Tensor | None = None

    def __post_init__(self) -> None:
        if self.hidden.shape[-1] != self.weight.shape[-1]:
            raise ConfigError(
                f"hidden states are {self.hidden.shape[-1]} wide, the head takes {self.weight.shape[-1]}. "
                "Mend: the hidden states that the head reads, after the last norm"
            )

    def __getitem__(self, rows: Tensor | slice) -> Projection:
        return Projection(self.hidden[rows], self.weight, self.bias)

    def head(self, places: slice) -> Projection:
        """The same with these tokens of the vocabulary alone."""
        return Projection(self.hidden, self.weight[places], None if self.bias is None else self.bias[places])

    def flat(self) -> Projection:
        """The same with hidden states [tokens, width]."""
        return Projection(self.hidden.flatten(0, -2), self.weight, self.bias)


@dataclass(frozen=True, eq=False)
class Gradients:
    """Sums of the gradients of a `Projection`, each None where it isn't wanted."""

    hidden: Tensor | None
    weight: Tensor | None
    bias: Tensor | None

    def add(self, of_logits: Tensor, rows: Projection, part: slice, places: slice = slice(None)) -> None:
        """What logits' gradients are to them: those of `rows`, which are `part` of all rows and, of the
        vocabulary, the tokens at `places`."""
        if self.hidden is not None:
            for block in _weight_blocks(rows.weight, of_logits.dtype):
                self.hidden[part] += of_logits[:, block] @ rows.weight[block].to(of_logits.dtype)
        if self.weight is not None:
            self.weight[places].addmm_(of_logits.T, rows.hidden.to(of_logits.dtype))
        if self.bias is not None:
            self.bias[places] += of_logits.sum(0)


Make = Callable[[Projection, Gradients], Tensor]


def fused(rows: Projection, make: Make) -> Tensor:
    """The loss that `make` computes from `rows`, with the gradients that it adds up meanwhile."""
    with torch.autocast(rows.hidden.device.type, enabled=False):
        loss: Tensor = _Fused.apply(rows.hidden, rows.weight, rows.bias, make, torch.is_grad_enabled())
    return loss


def logits_of(rows: Projection, dtype: torch.dtype) -> Tensor:
    """[n, vocabulary] in `dtype`, summed in it too, whatever the precision of states and head."""
    hidden, weight = rows.hidden.detach().to(dtype), rows.weight.detach()
    blocks = [hidden @ weight[block].to(dtype).T for block in _weight_blocks(weight, dtype)]
    logits = blocks[0] if len(blocks) == 1 else torch.cat(blocks, dim=-1)
    return logits if rows.bias is None else logits.add_(rows.bias.detach().to(dtype))


def slices(total: int, size: int) -> list[slice]:
    """Of `size` and a rest, from 0 to `total`."""
    return [slice(start, min(start + size, total)) for start in range(0, total, size)]


class _Fused(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor | None, make: Make, is_learning: bool
    ) -> Tensor:
        inputs = (hidden, weight, bias)
        zeros = (
            torch.zeros_like(one, dtype=computed_in(hidden.dtype))
            if one is not None and is_learning and wanted
            else None
            for one, wanted in zip(inputs, ctx.needs_input_grad, strict=False)
        )
        ctx.gradients = Gradients(*zeros)
        ctx.dtypes = [None if one is None else one.dtype for one in inputs]
        return make(Projection(hidden, weight, bias), ctx.gradients)

    @staticmethod
    def backward(ctx: Any, outer: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():
            raise UsageError(
                "a lean loss has no second derivative. Mend: backward without create_graph, or the dense "
                "loss (token_divergence, completion_cross_entropy)"
            )
        if ctx.gradients is None:
            raise UsageError(
                "a lean loss hands out its gradients once, and they are gone. Mend: compute the loss anew "
                "before a second backward pass, or add losses up and go back once"
            )
        gradients, ctx.gradients = ctx.gradients, None
        scaled = (
            None if one is None else one.mul_(outer.to(one.dtype)).to(dtype)
            for one, dtype in zip(
                (gradients.hidden, gradients.weight, gradients.bias), ctx.dtypes, strict=True
            )
        )
        return (*scaled, None, None)


def _weight_blocks(weight: Tensor, dtype: torch.dtype) -> list[slice]:
    """All of a head at once where its type is the one that is computed in, else blocks to convert in turn."""
    if weight.dtype == dtype:
        return [slice(None)]
    return slices(len(weight), max(1, _WEIGHT_CELLS // weight.shape[1]))
