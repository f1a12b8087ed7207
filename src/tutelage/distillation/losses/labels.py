"""Losses, each on logits float32 [n, labels] and a target of the same shape; each returns float32 [n]."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

_SMALLEST = 1e-7


def soften(probabilities: Tensor, temperature: float, multi_label: bool) -> Tensor:
    """A distribution at another temperature: softmax(log p / T), or sigmoid(logit(p) / T) label by label.

    Where the teacher's probabilities are softmax(z), this is softmax(z / T) (Hinton et al. 2015, eq. 1):
    a softmax's logits are known up to a constant, which the softmax forgets.
    """
    if multi_label:
        return torch.sigmoid(torch.logit(probabilities, eps=_SMALLEST) / temperature)
    return torch.softmax(probabilities.clamp_min(_SMALLEST).log() / temperature, dim=-1)


def cross_entropy(logits: Tensor, target: Tensor, multi_label: bool) -> Tensor:
    """Cross-entropy with a target distribution; with several labels the sum of binary ones."""
    if multi_label:
        return functional.binary_cross_entropy_with_logits(logits, target, reduction="none").sum(-1)
    return -(target * torch.log_softmax(logits, dim=-1)).sum(-1)


def soft_target_loss(logits: Tensor, teacher: Tensor, temperature: float, multi_label: bool) -> Tensor:
    """T² times the cross-entropy of the softened student with the softened teacher.

    Hinton, Vinyals, Dean 2015, section 2: gradients of the soft part scale as 1/T², so T² keeps its weight
    against hard labels when the temperature changes.
    """
    target = soften(teacher, temperature, multi_label)
    return cross_entropy(logits / temperature, target, multi_label) * temperature**2


def mixed_loss(
    logits: Tensor,
    teacher: Tensor,
    softened: Tensor,
    has_teacher: Tensor,
    gold: Tensor,
    has_gold: Tensor,
    *,
    temperature: float,
    hard_weight: float,
    multi_label: bool,
) -> Tensor:
    """(1 − w) × teacher's part + w × human's part where a row has both; the one there is elsewhere.

    The teacher's part is `soft_target_loss` where `softened`, else plain cross-entropy with its hard label:
    softening an indicator would teach noise. Masks are bool [n].
    """
    soft = soft_target_loss(logits, teacher, temperature, multi_label)
    from_teacher = torch.where(softened, soft, cross_entropy(logits, teacher, multi_label))
    weight = torch.where(has_gold, torch.where(has_teacher, hard_weight, 1.0), 0.0)
    return (1.0 - weight) * from_teacher + weight * cross_entropy(logits, gold, multi_label)
