"""Accuracy on the traffic from gold that isn't quite like it: importance weights, and what they are worth.

Weights repair what is there in other shares; they can't speak for what isn't there at all. So the share of
traffic for which there is no gold stands beside every estimate. Intervals are those of the project for as
many unweighted examples as the weighted ones are worth: the smaller of Kish's (1965) effective size and
that of Korn and Graubard (1998), from the variance with replacement. Weights count as given.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from tutelage.evaluation.intervals import proportion_interval
from tutelage.evaluation.paired import paired_difference_interval
from tutelage.evaluation.shift import Floats

Flags = npt.NDArray[np.bool_]
Whole = npt.NDArray[np.integer[Any]]
Numbers = npt.NDArray[np.number[Any]]

LEAST_GOLD = 5  # examples of a cluster below which it isn't estimated by itself
_LEAST_EFFECTIVE = 100
_LEAST_SHARE = 0.2  # of the examples that weights may leave effective
_LEAST_COVERED = 0.9
_LEAST_EACH = 20


@dataclass(frozen=True, eq=False)
class Weights:
    """A weight for each example of gold, float64 [n] of mean 1; `covered` of the traffic they stand for."""

    values: npt.NDArray[np.float64]
    covered: float

    @property
    def effective_n(self) -> float:
        """(Σw)² / Σw²: as how many examples of equal weight they are worth (Kish 1965)."""
        return float(self.values.sum() ** 2 / (self.values**2).sum())

    @property
    def doubts(self) -> list[str]:
        """Why what is weighted so can't be relied on; empty where it can."""
        n, effective = len(self.values), self.effective_n
        found = []
        if self.covered < _LEAST_COVERED:
            found.append(f"{1 - self.covered:.0%} of the traffic has no gold that could stand for it")
        if effective < _LEAST_EFFECTIVE:
            found.append(f"weighted, {n:,} examples are worth {effective:,.0f}; 100 are the least to go by")
        elif effective < _LEAST_SHARE * n:
            found.append(f"weighted, {n:,} examples are worth {effective:,.0f}: few of them decide")
        return found


def cluster_weights(
    traffic: Numbers, gold: Whole, centres: Floats | None, uncovered: npt.NDArray[np.bool_]
) -> Weights | None:
    """Weights by cluster (post-stratification): share of traffic over share of gold.

    `traffic` [k] counts texts, `gold` [n] holds each example's cluster. `uncovered` [k] marks clusters that
    gold can't speak for: their traffic is left out, and their few examples weigh as the rest on average.
    Other clusters with fewer than five examples join the nearest one that has them; without `centres`,
    where nothing is near, they are one, and left out too if that has fewer than five. None where no cluster
    has five.
    """
    counts = np.bincount(gold, minlength=len(traffic))
    homes = np.flatnonzero((counts >= LEAST_GOLD) & ~uncovered)
    total = float(traffic.sum())
    if not len(homes) or total <= 0:
        return None
    joined = np.arange(len(traffic))
    rare = np.flatnonzero((counts < LEAST_GOLD) & ~uncovered)
    if centres is None:
        joined[rare] = rare[:1]
        uncovered = uncovered | (np.isin(joined, rare) & (counts[rare].sum() < LEAST_GOLD))
    else:
        for cluster in rare:
            distances = ((centres[homes] - centres[cluster]) ** 2).sum(axis=1)
            joined[cluster] = homes[distances.argmin()]
    mass = np.bincount(joined, weights=np.where(uncovered, 0.0, traffic), minlength=len(traffic))
    examples = np.bincount(joined[gold], minlength=len(traffic))
    kept = float(traffic[~uncovered].sum())
    inside = int(examples[~uncovered].sum())
    ratio = np.ones(len(traffic))
    known = ~uncovered & (examples > 0)
    ratio[known] = (mass[known] / kept) / (examples[known] / inside)
    return Weights(_mean_one(ratio[joined[gold]]), kept / total)


def label_weights(traffic: Whole, gold: Whole, uncovered: npt.NDArray[np.bool_]) -> Weights | None:
    """Weights by the teacher's label, as `cluster_weights` by cluster.

    They are right where nothing but the labels' shares shifted. `traffic` [labels] counts the teacher's
    answers, `gold` [n] has its answer to each example, -1 for none: such an example weighs as the others on
    average. `uncovered` [labels] as there.
    """
    answered = gold >= 0
    found = cluster_weights(traffic, gold[answered], None, uncovered)
    if found is None:
        return None
    values = np.ones(len(gold))
    values[answered] = found.values
    return Weights(values, found.covered)


def density_weights(gold: Floats, traffic: Floats) -> Weights | None:
    """Weights by density ratio, log-linear in the points, that balance their means (Hainmueller 2012).

    Points [n, width] and [m, width]. Weighted, gold's mean is the traffic's in each dimension, as far as n
    examples can tell it (a ridge of 1/n on the logarithms' slopes, in standard deviations): of all such
    weights those that differ least from equal ones by Kullback and Leibler. Where the ratio is log-linear
    their bias is a third of that of a classifier's odds, which shrink towards equal weights. Truncated at √n
    times their mean (Ionides 2008). None where there are fewer than 20 of either.
    """
    from scipy.optimize import minimize
    from scipy.special import logsumexp, softmax

    if min(len(gold), len(traffic)) < _LEAST_EACH:
        return None
    points = gold.astype(np.float64)
    spread = points.std(axis=0)
    apart = (points - traffic.mean(axis=0, dtype=np.float64)) / np.where(spread > 0, spread, 1.0)
    apart[:, spread == 0] = 0.0  # where gold doesn't vary no weight can move its mean
    n = len(gold)

    def dual(slopes: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
        tilt = apart @ slopes
        value = float(logsumexp(tilt) + slopes @ slopes / (2 * n))
        return value, np.asarray(softmax(tilt) @ apart + slopes / n)

    found = minimize(dual, np.zeros(apart.shape[1]), jac=True, method="L-BFGS-B")
    values = np.minimum(_mean_one(softmax(apart @ found.x)), np.sqrt(n))
    return Weights(_mean_one(values), 1.0)


def _mean_one(values: Floats) -> npt.NDArray[np.float64]:
    return np.asarray(values / values.mean(), dtype=np.float64)


def weighted_accuracy(right: Flags, weights: Weights) -> dict[str, float]:
    """`{"estimate", "low", "high", "effective_n"}` of the weighted share of `right`, bool [n]."""
    w = weights.values
    estimate = float(np.clip(w @ right / w.sum(), 0.0, 1.0))
    n = _worth(right.astype(np.float64), estimate, estimate * (1 - estimate), weights)
    low, high = proportion_interval(estimate * n, n)
    return {"estimate": estimate, "low": min(low, estimate), "high": max(high, estimate), "effective_n": n}


def weighted_difference(a: Flags, b: Flags, weights: Weights) -> dict[str, float]:
    """The weighted accuracy of `a` less that of `b`, both bool [n] on the same examples; Tango's interval."""
    w = weights.values
    only_a, only_b = float(w @ (a & ~b) / w.sum()), float(w @ (b & ~a) / w.sum())
    difference = only_a - only_b
    spread = only_a + only_b - difference**2
    n = _worth(a.astype(np.float64) - b, difference, spread, weights)
    whole = math.floor(n)  # examples, as the exact test counts them
    of_a = min(only_a * whole, whole)
    low, high = paired_difference_interval(of_a, min(only_b * whole, whole - of_a), whole)
    return {"estimate": difference, "low": low, "high": high, "effective_n": n}


def _worth(values: Floats, mean: float, spread: float, weights: Weights) -> float:
    """The effective number of examples behind a weighted mean whose single values have variance `spread`."""
    w = weights.values
    variance = float((w**2 * (values - mean) ** 2).sum() / w.sum() ** 2)
    by_variance = spread / variance if variance > 0 and spread > 0 else np.inf
    return float(max(1.0, min(weights.effective_n, by_variance)))


def weighted_figures(right: Mapping[str, Flags], weights: Weights | None) -> dict[str, Any] | None:
    """Weighted accuracies of the arms and their differences, with what stands against relying on them.

    "if_uncovered_wrong" is the accuracy on all the traffic if every text that gold can't speak for is
    answered wrongly: the worst it can be. None for no weights.
    """
    if weights is None:
        return None
    arms = {name: weighted_accuracy(flags, weights) for name, flags in right.items()}
    for figures in arms.values():
        figures["if_uncovered_wrong"] = weights.covered * figures["estimate"]
    return {
        "n": len(weights.values),
        "effective_n": weights.effective_n,
        "largest_weight": float(weights.values.max()),
        "covered": weights.covered,
        "doubts": weights.doubts,
        "arms": arms,
        "comparisons": [
            {"a": a, "b": b, **weighted_difference(right[a], right[b], weights)}
            for b, a in combinations(right, 2)
        ],
    }
