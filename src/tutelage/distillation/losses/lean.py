"""Token losses that never hold the logits of all tokens: fused with the LM head, a few tokens at a time.

Over a vocabulary of 150,000 the logits of 512 tokens are 300 MB, and a divergence and its gradient hold them
several times over. Here logits of a chunk of tokens are made, turned into a loss and into the gradients of
hidden states and head, and forgotten: gradients are ready when the forward pass is, and the backward pass
only scales them. The idea is that of Liger Kernel (Hsu et al. 2024) and of cut cross-entropy (Wijmans et
al. 2025); values and gradients are those of `tokens` on whole logits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from tutelage.distillation.losses.divergences import Divergence
from tutelage.distillation.losses.tokens import (
    TopK,
    computed_in,
    log_sum_exp,
    require_same_vocabulary,
    split_listed,
    teacher_events,
)
from tutelage.errors import ConfigError, UsageError

CHUNK_CELLS = 1 << 22  # logits held at a time, in each of a handful of buffers: 16 MB of float32
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

    def flat(self) -> Projection:
        """The same with hidden states [tokens, width]."""
        return Projection(self.hidden.flatten(0, -2), self.weight, self.bias)


def lean_divergence(
    kind: Divergence,
    student: Projection,
    teacher: Projection | Tensor | TopK,
    mask: Tensor,
    *,
    temperature: float = 1.0,
    chunk: int | None = None,
) -> Tensor:
    """`token_divergence` with the same sum and gradients, without whole logits of the student.

    `teacher` is a head of its own with hidden states of the same tokens, or logits, or a list. `mask`: bool
    [...]. `chunk` is the number of tokens at a time, None for as many as `CHUNK_CELLS` logits are.

    Gradients go to the student's hidden states, weight and bias, to each only where it asks for one. They are
    kept from the forward pass on, in float32 (or float64), and handed out once: a second backward pass, and
    one with `create_graph`, raise UsageError. Raises ConfigError where the vocabularies differ.
    """
    rows = student[mask]
    vocabulary, dtype = rows.weight.shape[0], computed_in(rows.hidden.dtype)
    if isinstance(teacher, Projection):
        require_same_vocabulary(teacher.weight.shape[0], vocabulary)
    places = mask.flatten().nonzero().squeeze(-1)
    every = teacher.flatten(0, -2) if isinstance(teacher, Tensor) else teacher.flat()

    def loss_of(logits: Tensor, part: slice) -> tuple[Tensor, Tensor]:
        # A copy of all masked rows of a teacher's logits would be as large as what is spared.
        target = every[places[part]]
        ids = target.ids if isinstance(target, TopK) else None
        whole = _logits(target, dtype) if isinstance(target, Projection) else target
        log_p = teacher_events(whole, vocabulary, temperature, dtype)
        return _divergence_of(kind, logits, log_p, ids, temperature)

    return _fuse(rows, loss_of, chunk)


def lean_cross_entropy(
    student: Projection, targets: Tensor, mask: Tensor, *, chunk: int | None = None
) -> Tensor:
    """`completion_cross_entropy` with the same sum and gradients; see `lean_divergence`."""
    wanted = targets[mask]

    def loss_of(logits: Tensor, part: slice) -> tuple[Tensor, Tensor]:
        log_q = torch.log_softmax(logits, dim=-1)
        loss = functional.nll_loss(log_q, wanted[part], reduction="sum")
        gradient = log_q.exp_()
        gradient[torch.arange(len(gradient), device=gradient.device), wanted[part]] -= 1.0
        return loss, gradient

    return _fuse(student[mask], loss_of, chunk)


def _divergence_of(
    kind: Divergence, logits: Tensor, log_p: Tensor, ids: Tensor | None, temperature: float
) -> tuple[Tensor, Tensor]:
    """The sum of rows' divergences, and its derivative with respect to their logits [n, vocabulary]."""
    if ids is None:
        log_q = torch.log_softmax(logits / temperature, dim=-1)
        return kind.value(log_p, log_q).sum(), _through_softmax(kind, log_p, log_q, temperature)
    listed, rest = split_listed(logits, ids)
    tail = log_sum_exp(rest)
    log_q = torch.log_softmax(torch.cat([listed, tail], dim=-1) / temperature, dim=-1)
    of_events = _through_softmax(kind, log_p, log_q, temperature)
    # The tail's gradient is shared out among its tokens by their probability within it.
    gradient = torch.where(tail == -torch.inf, 0.0, rest - tail).exp_().mul_(of_events[:, -1:])
    gradient.masked_fill_(rest == -torch.inf, 0.0)
    known = ids >= 0
    places = torch.where(known, ids, 0).long()
    gradient.scatter_add_(-1, places, of_events[:, :-1].masked_fill(~known, 0.0))
    return kind.value(log_p, log_q).sum(), gradient


def _through_softmax(kind: Divergence, log_p: Tensor, log_q: Tensor, temperature: float) -> Tensor:
    slope = kind.slope(log_p, log_q)
    return slope.addcmul_(log_q.exp(), slope.sum(-1, keepdim=True), value=-1.0).div_(temperature)


_LossOf = Callable[[Tensor, slice], tuple[Tensor, Tensor]]


def _fuse(rows: Projection, loss_of: _LossOf, chunk: int | None) -> Tensor:
    """The sum over chunks of `loss_of`, which makes loss and gradient of logits and of where they are."""
    size = chunk or max(1, CHUNK_CELLS // rows.weight.shape[0])
    with torch.autocast(rows.hidden.device.type, enabled=False):
        loss: Tensor = _Fused.apply(
            rows.hidden, rows.weight, rows.bias, loss_of, size, torch.is_grad_enabled()
        )
    return loss


class _Fused(torch.autograd.Function):
    """Sum of the losses of chunks, with the gradients made beside it."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        loss_of: _LossOf,
        chunk: int,
        is_learning: bool,
    ) -> Tensor:
        dtype = computed_in(hidden.dtype)
        inputs = (hidden, weight, bias)
        gradients = [
            torch.zeros_like(one, dtype=dtype) if one is not None and is_learning and wanted else None
            for one, wanted in zip(inputs, ctx.needs_input_grad, strict=False)
        ]
        total = torch.zeros((), dtype=dtype, device=hidden.device)
        for start in range(0, len(hidden), chunk):
            part = slice(start, start + chunk)
            rows = Projection(hidden[part], weight, bias)
            loss, of_logits = loss_of(_logits(rows, dtype), part)
            total += loss
            _accumulate(gradients, of_logits, rows, part)
        ctx.gradients = gradients
        ctx.dtypes = [None if one is None else one.dtype for one in inputs]
        return total

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
            for one, dtype in zip(gradients, ctx.dtypes, strict=True)
        )
        return (*scaled, None, None, None)


def _accumulate(gradients: list[Tensor | None], of_logits: Tensor, rows: Projection, part: slice) -> None:
    """Add a chunk's share to the gradients of hidden states, weight and bias that are wanted."""
    of_hidden, of_weight, of_bias = gradients
    if of_hidden is not None:
        for places in _weight_blocks(rows.weight, of_logits.dtype):
            of_hidden[part] += of_logits[:, places] @ rows.weight[places].to(of_logits.dtype)
    if of_weight is not None:
        of_weight.addmm_(of_logits.T, rows.hidden.to(of_logits.dtype))
    if of_bias is not None:
        of_bias += of_logits.sum(0)


def _logits(rows: Projection, dtype: torch.dtype) -> Tensor:
    """[n, vocabulary] in `dtype`, summed in it too, whatever the precision of states and head."""
    hidden, weight = rows.hidden.detach().to(dtype), rows.weight.detach()
    blocks = [hidden @ weight[places].to(dtype).T for places in _weight_blocks(weight, dtype)]
    logits = blocks[0] if len(blocks) == 1 else torch.cat(blocks, dim=-1)
    return logits if rows.bias is None else logits.add_(rows.bias.detach().to(dtype))


def _weight_blocks(weight: Tensor, dtype: torch.dtype) -> list[slice]:
    """All of a head at once where its type is the one that is computed in, else blocks to convert in turn."""
    if weight.dtype == dtype:
        return [slice(None)]
    size = max(1, _WEIGHT_CELLS // weight.shape[1])
    return [slice(start, start + size) for start in range(0, len(weight), size)]
