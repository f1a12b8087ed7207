"""Divergences of a student's distribution q from a teacher's p, in logarithms.

Each has two faces, on log-probabilities [n, events] of float32 or float64, where -inf is a probability of 0:
`value` is the divergence of each row, [n], and can be differentiated; `slope` is the derivative of the rows'
sum with respect to log q, [n, events], up to a multiple of q, which a softmax forgets. The second serves
losses that compute gradients themselves (`lean`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

_FLOOR = -1e4  # exp of it is 0 in every type; keeps -inf − -inf out of mixtures


class Divergence(Protocol):
    """How far q (student) is from p (teacher)."""

    def value(self, log_p: Tensor, log_q: Tensor) -> Tensor:
        """The divergence of each row, [n], in nats."""

    def slope(self, log_p: Tensor, log_q: Tensor) -> Tensor:
        """Its derivative with respect to log q, [n, events], up to a multiple of q."""


def _kullback_leibler(log_a: Tensor, log_b: Tensor) -> Tensor:
    """Σ a (log a − log b), where an event of probability 0 counts nothing; inf where b alone is 0."""
    a = log_a.exp()
    return (a * _gap(a, log_a, log_b)).sum(-1)


def _gap(a: Tensor, log_a: Tensor, log_b: Tensor) -> Tensor:
    """log a − log b, and 0 where a is 0: neither value nor gradient is then -inf − -inf."""
    return torch.where(a > 0, log_a - log_b, 0.0)


def _mixture(log_p: Tensor, log_q: Tensor, share: float) -> Tensor:
    """log(share × p + (1 − share) × q)."""
    return torch.logaddexp(
        log_p.clamp_min(_FLOOR) + math.log(share), log_q.clamp_min(_FLOOR) + math.log1p(-share)
    )


@dataclass(frozen=True)
class ForwardKL:
    """KL(p ‖ q), which covers all that the teacher could say. Infinite where q alone is 0."""

    def value(self, log_p: Tensor, log_q: Tensor) -> Tensor:
        """See `Divergence.value`."""
        return _kullback_leibler(log_p, log_q)

    def slope(self, log_p: Tensor, log_q: Tensor) -> Tensor:
        """See `Divergence.slope`."""
        return log_p.exp().neg_()


@dataclass(frozen=True)
class ReverseKL:
    """KL(q ‖ p), which seeks the teacher's modes (MiniLLM, Gu et al. 2024). Infinite where p alone is 0."""

    def value(self, log_p: Tensor, log_q: Tensor) -> Tensor:
        """See `Divergence.value`."""
        return _kullback_leibler(log_q, log_p)

    def slope(self, log_p: Tensor, log_q: Tensor) -> Tensor:
        """See `Divergence.slope`."""
        q = log_q.exp()
        return _gap(q, log_q, log_p).mul_(q)


@dataclass(frozen=True)
class JensenShannon:
    """β KL(p ‖ m) + (1 − β) KL(q ‖ m), with m = β p + (1 − β) q (GKD, Agarwal et al. 2024, section 2).

    It vanishes at both ends. Divided by β it tends to KL(p ‖ q) for β → 0, and by 1 − β to KL(q ‖ p) for
    β → 1 (Huszár 2015); β of exactly 0 or 1 stands for these limits. Else it is at most ln 2.
    Raises ValueError where β isn't from 0 to 1.
    """

    beta: float = 0.5

    def __post_init__(self) -> None:
        if not 0.0 <= self.beta <= 1.0:
            raise ValueError(f"beta of the Jensen-Shannon divergence is {self.beta}. Mend: from 0 to 1")

    def value(self, log_p: Tensor, log_q: Tensor) -> Tensor:
        """See `Divergence.value`."""
        if self._limit:
            return self._limit.value(log_p, log_q)
        log_m = _mixture(log_p, log_q, self.beta)
        to_teacher = _kullback_leibler(log_p, log_m)
        return self.beta * to_teacher + (1.0 - self.beta) * _kullback_leibler(log_q, log_m)

    def slope(self, log_p: Tensor, log_q: Tensor) -> Tensor:
        """See `Divergence.slope`. What m's own change adds to both parts is a multiple of q."""
        if self._limit:
            return self._limit.slope(log_p, log_q)
        q = log_q.exp()
        gap = _gap(q, log_q, _mixture(log_p, log_q, self.beta))
        return gap.mul_(q).mul_(1.0 - self.beta)

    @property
    def _limit(self) -> Divergence | None:
        limits: dict[float, Divergence] = {0.0: ForwardKL(), 1.0: ReverseKL()}
        return limits.get(self.beta)


@dataclass(frozen=True)
class SkewedKL:
    """KL(p ‖ α p + (1 − α) q), finite wherever q is (DistiLLM, Ko et al. 2024, section 3.1, α = 0.1).

    Raises ValueError where α isn't between 0 and 1, both excluded: 0 is `ForwardKL`, and at 1 it is 0.
    """

    alpha: float = 0.1

    def __post_init__(self) -> None:
        _require_skew(self.alpha)

    def value(self, log_p: Tensor, log_q: Tensor) -> Tensor:
        """See `Divergence.value`."""
        return _kullback_leibler(log_p, _mixture(log_p, log_q, self.alpha))

    def slope(self, log_p: Tensor, log_q: Tensor) -> Tensor:
        """See `Divergence.slope`."""
        log_m = _mixture(log_p, log_q, self.alpha)
        return (log_p + log_q).sub_(log_m).exp_().mul_(self.alpha - 1.0)


@dataclass(frozen=True)
class SkewedReverseKL:
    """KL(q ‖ (1 − α) p + α q), finite wherever p is (DistiLLM, Ko et al. 2024, section 3.1, α = 0.1).

    Raises ValueError where α isn't between 0 and 1, both excluded: 0 is `ReverseKL`, and at 1 it is 0.
    """

    alpha: float = 0.1

    def __post_init__(self) -> None:
        _require_skew(self.alpha)

    def value(self, log_p: Tensor, log_q: Tensor) -> Tensor:
        """See `Divergence.value`."""
        return _kullback_leibler(log_q, _mixture(log_p, log_q, 1.0 - self.alpha))

    def slope(self, log_p: Tensor, log_q: Tensor) -> Tensor:
        """See `Divergence.slope`."""
        q, log_m = log_q.exp(), _mixture(log_p, log_q, 1.0 - self.alpha)
        through_m = (2.0 * log_q).sub_(log_m).exp_().mul_(self.alpha)
        return _gap(q, log_q, log_m).mul_(q).sub_(through_m)


@dataclass(frozen=True)
class TotalVariation:
    """½ Σ |p − q|, from 0 to 1. Its gradient has no size, only a side: where p is q it is 0."""

    def value(self, log_p: Tensor, log_q: Tensor) -> Tensor:
        """See `Divergence.value`."""
        return 0.5 * (log_p.exp() - log_q.exp()).abs().sum(-1)

    def slope(self, log_p: Tensor, log_q: Tensor) -> Tensor:
        """See `Divergence.slope`."""
        q = log_q.exp()
        return (q - log_p.exp()).sign_().mul_(q).mul_(0.5)


def _require_skew(alpha: float) -> None:
    if not 0.0 < alpha < 1.0:
        raise ValueError(f"alpha of a skewed divergence is {alpha}. Mend: between 0 and 1, both excluded")
