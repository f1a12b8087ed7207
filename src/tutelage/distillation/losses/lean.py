"""Token losses that never hold the logits of all tokens: fused with the LM head, a part at a time.

Over a vocabulary of 150,000 the logits of 512 tokens are 300 MB, and a divergence and its gradient hold them
several times over. Here logits of a part are made, turned into a loss and into the gradients of hidden states
and head, and forgotten: gradients are ready when the forward pass is, and the backward pass only scales them.
The idea is that of Liger Kernel (Hsu et al. 2024) and of cut cross-entropy (Wijmans et al. 2025); values and
gradients are those of `tokens` on whole logits.

A part is a few tokens with the whole vocabulary or, for forward KL between narrow heads on a CPU, a few
thousand words of the vocabulary with all tokens, twice over: once for the softmaxes' sums, once for the rest.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from tutelage.distillation.losses._fused import Gradients, Make, Projection, fused, logits_of, slices
from tutelage.distillation.losses.divergences import Divergence, ForwardKL, JensenShannon
from tutelage.distillation.losses.tokens import (
    TopK,
    computed_in,
    log_softmax_at,
    log_sum_exp,
    require_same_vocabulary,
    split_listed,
    teacher_events,
)

CHUNK_CELLS = 1 << 22  # logits held at a time, in each of a handful of buffers: 16 MB of float32
_TILE_CELLS = 1 << 20  # the same where the vocabulary is taken in parts: what a CPU's cache holds
_TILE_TOKENS = 1024  # tokens at a time there
# Widest head for which the vocabulary is taken in parts. Logits are made twice then, 6 products of matrices
# in place of 4, which pays while products are cheap beside passes over memory (docs/results.md).
_NARROW = 512

LossOf = Callable[[Tensor, slice], tuple[Tensor, Tensor]]


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
    [...]. `chunk` is the number of tokens at a time, None for what memory and speed suggest.

    Gradients go to the student's hidden states, weight and bias, to each only where it asks for one. They are
    kept from the forward pass on, in float32 (or float64), and handed out once: a second backward pass, and
    one with `create_graph`, raise UsageError. Raises ConfigError where the vocabularies differ.
    """
    rows = student[mask]
    vocabulary = len(rows.weight)
    if isinstance(teacher, Projection):
        require_same_vocabulary(len(teacher.weight), vocabulary)
    elif isinstance(teacher, Tensor):
        require_same_vocabulary(teacher.shape[-1], vocabulary)
    # Of a teacher's logits a copy of all masked rows would be as large as what is spared.
    places = mask.flatten().nonzero().squeeze(-1)
    every = teacher.flatten(0, -2) if isinstance(teacher, Tensor) else teacher.flat()
    if chunk is None and _pays_by_vocabulary(kind, rows, teacher):
        return fused(rows, _by_vocabulary(every, places, temperature))
    dtype = computed_in(rows.hidden.dtype)

    def loss_of(logits: Tensor, part: slice) -> tuple[Tensor, Tensor]:
        target = every[places[part]]
        whole = logits_of(target, dtype) if isinstance(target, Projection) else target
        log_p = teacher_events(whole, vocabulary, temperature, dtype)
        del whole  # what isn't needed any more is as large as what is
        if isinstance(target, TopK):
            return _listed_divergence(kind, logits, log_p, target.ids, temperature)
        log_q = log_softmax_at(temperature, logits)
        del logits
        return kind.value(log_p, log_q).sum(), _through_softmax(kind, log_p, log_q, temperature)

    return fused(rows, _by_tokens(loss_of, chunk))


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

    return fused(student[mask], _by_tokens(loss_of, chunk))


def _by_tokens(loss_of: LossOf, chunk: int | None) -> Make:
    """The sum over chunks of `loss_of`, which makes loss and gradient of logits and of where they are."""

    def make(rows: Projection, gradients: Gradients) -> Tensor:
        dtype = computed_in(rows.hidden.dtype)
        total = torch.zeros((), dtype=dtype, device=rows.hidden.device)
        for part in slices(len(rows.hidden), chunk or max(1, CHUNK_CELLS // len(rows.weight))):
            loss, of_logits = loss_of(logits_of(rows[part], dtype), part)
            total += loss
            gradients.add(of_logits, rows[part], part)
        return total

    return make


def _pays_by_vocabulary(kind: Divergence, rows: Projection, teacher: Projection | Tensor | TopK) -> bool:
    width, device = rows.hidden.shape[-1], rows.hidden.device.type
    is_forward = kind == ForwardKL() or kind == JensenShannon(0.0)
    return is_forward and not isinstance(teacher, TopK) and width <= _NARROW and device == "cpu"


def _by_vocabulary(every: Projection | Tensor, places: Tensor, temperature: float) -> Make:
    """Forward KL by parts of the vocabulary, with online softmaxes (Milakov and Gimelshein 2018).

    `every` is the teacher, of whose rows those at `places` are the student's.
    """

    def make(rows: Projection, gradients: Gradients) -> Tensor:
        dtype = computed_in(rows.hidden.dtype)
        total = torch.zeros((), dtype=dtype, device=rows.hidden.device)
        for part in slices(len(rows.hidden), _TILE_TOKENS):
            ours, theirs = rows[part], every[places[part]] if isinstance(every, Projection) else every
            blocks = slices(len(rows.weight), max(1, _TILE_CELLS // len(ours.hidden)))
            sum_p = sum_q = torch.full((1,), -torch.inf, dtype=dtype, device=total.device)
            for block in blocks:
                p, q = _pair(theirs, ours, places[part], block, temperature)
                sum_p = torch.logaddexp(sum_p, p.logsumexp(-1, keepdim=True))
                sum_q = torch.logaddexp(sum_q, q.logsumexp(-1, keepdim=True))
            for block in blocks:
                p, q = _pair(theirs, ours, places[part], block, temperature)
                loss, of_logits = _forward_kl_of(p.sub_(sum_p), q.sub_(sum_q))
                total += loss
                gradients.add(_divide(of_logits, temperature), ours.head(block), part, block)
        return total

    return make


def _pair(
    teacher: Projection | Tensor, student: Projection, places: Tensor, block: slice, temperature: float
) -> tuple[Tensor, Tensor]:
    """New tensors of both sides' logits at `temperature`, of a part of the vocabulary: [n, words] each.

    Of a teacher's logits the rows at `places` are meant.
    """
    dtype = computed_in(student.hidden.dtype)
    if isinstance(teacher, Projection):
        theirs = logits_of(teacher.head(block), dtype)
    else:
        theirs = teacher[places, block].to(dtype)
    return _divide(theirs, temperature), _divide(logits_of(student.head(block), dtype), temperature)


def _divide(logits: Tensor, temperature: float) -> Tensor:
    return logits if temperature == 1.0 else logits.div_(temperature)


def _forward_kl_of(log_p: Tensor, log_q: Tensor) -> tuple[Tensor, Tensor]:
    """`ForwardKL().value` summed, and its gradient q − p at a temperature of 1; what it takes is spent."""
    p = log_p.exp()
    gap = log_p.sub_(log_q).masked_fill_(p == 0, 0.0)
    return torch.dot(p.flatten(), gap.flatten()), log_q.exp_().sub_(p)


def _listed_divergence(
    kind: Divergence, logits: Tensor, log_p: Tensor, ids: Tensor, temperature: float
) -> tuple[Tensor, Tensor]:
    """The sum of rows' divergences from a list, and its derivative with respect to logits [n, vocabulary]."""
    listed, rest = split_listed(logits, ids)
    tail = log_sum_exp(rest)
    log_q = log_softmax_at(temperature, torch.cat([listed, tail], dim=-1))
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
    slope.addcmul_(log_q.exp(), slope.sum(-1, keepdim=True), value=-1.0)
    return _divide(slope, temperature)
