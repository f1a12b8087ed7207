"""Intervals of differences and ratios, recovered from the intervals of their parts.

The method of variance estimates recovery (MOVER; Zou and Donner 2008, Statistics in Medicine 27, 1693-1702;
ratios: Donner and Zou 2012, Statistical Methods in Medical Research 21, 347-359): an end of a − r·b lies as
far from its estimate as the ends of a and b that pull that way say together, given their correlation. A ratio
reaches to where a − r·b may be nought. Unlike percentiles of resamples it knows of errors that a small sample
hasn't shown, since the parts' own intervals do.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tutelage.evaluation.intervals import CONFIDENCE, proportion_interval

_BISECTIONS = 60
_FAR = 1e6  # of a ratio, whose divisor may be next to nought


@dataclass(frozen=True, slots=True)
class Estimated:
    """An estimate with its interval."""

    estimate: float
    low: float
    high: float

    @classmethod
    def of(cls, interval: Mapping[str, Any]) -> Estimated:
        """Of `{"estimate", "low", "high"}`."""
        return cls(*(float(interval[name]) for name in ("estimate", "low", "high")))

    def to_json(self) -> dict[str, float]:
        """`{"estimate", "low", "high"}`."""
        return {"estimate": self.estimate, "low": self.low, "high": self.high}

    def times(self, factor: float) -> Estimated:
        """The same quantity `factor` times."""
        ends = sorted((factor * self.low, factor * self.high))
        return Estimated(factor * self.estimate, *ends)


def share(estimate: float, variance: float, most: float, confidence: float = CONFIDENCE) -> Estimated:
    """A mean of shares, as the exact interval of a proportion of so many examples as it is worth.

    That is as many as would give a proportion its variance (Korn and Graubard 1998), and `most` at most, that
    being all there is to go by where no example errs.
    """
    spread = estimate * (1 - estimate)
    n = max(1.0, min(most, spread / variance if variance > 0 else math.inf))
    return Estimated(estimate, *proportion_interval(estimate * n, n, confidence))


def difference(a: Estimated, b: Estimated, correlation: float) -> Estimated:
    """a − b, whose estimates correlate so (Zou and Donner 2008, equations 8 and 9)."""
    below = _reach(a.estimate - a.low, b.high - b.estimate, correlation)
    above = _reach(a.high - a.estimate, b.estimate - b.low, correlation)
    estimate = a.estimate - b.estimate
    return Estimated(estimate, estimate - below, estimate + above)


def product(a: Estimated, b: Estimated) -> Estimated:
    """a · b of quantities that are nought or more, put together as `difference` does it uncorrelated."""
    estimate = a.estimate * b.estimate
    below = math.hypot((a.estimate - a.low) * b.estimate, (b.estimate - b.low) * a.estimate)
    above = math.hypot((a.high - a.estimate) * b.estimate, (b.high - b.estimate) * a.estimate)
    return Estimated(estimate, estimate - below, estimate + above)


def ratio(a: Estimated, b: Estimated, correlation: float) -> Estimated:
    """a / b of a `b` whose estimate is above nought; its interval, where it reaches to nought, has no end.

    Donner and Zou 2012, section 3: the ratios r for which the interval of a − r·b holds nought.
    """

    def apart(r: float) -> Estimated:
        return difference(a, b.times(r), correlation if r >= 0 else -correlation)

    estimate = a.estimate / b.estimate
    low = _root(lambda r: apart(r).low, -_FAR, estimate)
    return Estimated(estimate, low, _root(lambda r: apart(r).high, estimate, _FAR))


def correlation(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> float:
    """Pearson's, of numbers [n]; 0 where either doesn't vary, or there is one alone."""
    if len(a) < 2 or a.std() == 0 or b.std() == 0:
        return 0.0
    return float(np.clip(np.corrcoef(a, b)[0, 1], -1.0, 1.0))


def flags_correlation(a: npt.NDArray[np.bool_], b: npt.NDArray[np.bool_]) -> float:
    """That of two shares of the same examples, a positive one lessened for how few they are.

    Newcombe 1998 (Statistics in Medicine 17, 2635-2650, method 10): phi with a correction for continuity.
    """
    n, both, neither = len(a), int((a & b).sum()), int((~a & ~b).sum())
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    product = (both + only_a) * (only_b + neither) * (both + only_b) * (only_a + neither)
    excess = float(both * neither - only_a * only_b)
    excess = max(0.0, excess - n / 2) if excess > 0 else excess
    return excess / math.sqrt(product) if product else 0.0


def _reach(one: float, other: float, correlation: float) -> float:
    return math.sqrt(max(0.0, one * one + other * other - 2 * correlation * one * other))


def _root(falling: Callable[[float], float], low: float, high: float) -> float:
    """Where a falling function comes to nought."""
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if falling(middle) > 0 else (low, middle)
    return (low + high) / 2
