"""Losses: on labels, on token distributions (dense, or lean in memory), and between layers."""

from tutelage.distillation.losses._fused import Projection
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
from tutelage.distillation.losses.layers import (
    attention_distribution,
    attention_mse,
    attention_scores,
    hidden_cosine,
    hidden_mse,
    new_projection,
    relation,
    relations,
    score_variance,
    similarity_mse,
    state_variance,
)
from tutelage.distillation.losses.lean import lean_cross_entropy, lean_divergence
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
    "attention_distribution",
    "attention_mse",
    "attention_scores",
    "completion_cross_entropy",
    "cross_entropy",
    "hidden_cosine",
    "hidden_mse",
    "lean_cross_entropy",
    "lean_divergence",
    "mixed_loss",
    "new_projection",
    "relation",
    "relations",
    "score_variance",
    "similarity_mse",
    "soft_target_loss",
    "soften",
    "state_variance",
    "token_divergence",
]
