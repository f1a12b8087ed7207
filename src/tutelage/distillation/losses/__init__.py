"""Losses: on labels, and on token distributions (dense, or lean in memory)."""

from tutelage.distillation.losses.divergences import (
    Divergence,
    ForwardKL,
    JensenShannon,
    ReverseKL,
    SkewedKL,
    SkewedReverseKL,
    TotalVariation,
)
from tutelage.distillation.losses.labels import cross_entropy, mixed_loss, soft_target_loss, soften
from tutelage.distillation.losses.lean import Projection, lean_cross_entropy, lean_divergence
from tutelage.distillation.losses.tokens import TopK, completion_cross_entropy, token_divergence

__all__ = [
    "Divergence",
    "ForwardKL",
    "JensenShannon",
    "Projection",
    "ReverseKL",
    "SkewedKL",
    "SkewedReverseKL",
    "TopK",
    "TotalVariation",
    "completion_cross_entropy",
    "cross_entropy",
    "lean_cross_entropy",
    "lean_divergence",
    "mixed_loss",
    "soft_target_loss",
    "soften",
    "token_divergence",
]
