"""Whether two samples come from the same traffic: tests and distances on points, lengths and labels.

A test says whether gold differs from the traffic, a size says how much: with many examples the least
difference is significant, so that each has both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tutelage.evaluation.intervals import CONFIDENCE, proportion_interval
from tutelage.evaluation.multiplicity import adjusted_p

Floats = npt.NDArray[np.floating[Any]]
Counts = npt.NDArray[np.int64]

_FEATURES = 256  # random Fourier features of the kernel
_BLOCK = 500  # points at once: with 33,000 to compare with, 66 MB
_LEAST = 10  # of each sample, below which nothing is tested
CLOSE = 0.1  # Euclidean distance of unit points (cosine 0.995) from which on two texts mean the same


def classifier_test(gold: Floats, traffic: Floats, *, seed: int = 0) -> dict[str, Any] | None:
    """The classifier two-sample test (Lopez-Paz and Oquab 2017): can gold be told from traffic?

    A logistic classifier learns on one half to tell points of gold [n, width] from points of traffic
    [m, width]; its AUC on the other half, with DeLong's (1988) 95% interval, is 0.5 where it can't. `p` is
    the one-sided Mann-Whitney test's. None where either sample has fewer than ten.
    """
    from scipy.stats import mannwhitneyu

    if min(len(gold), len(traffic)) < _LEAST:
        return None
    scores = _held_out_scores(gold, traffic, seed)
    auc, deviation = _auc(*scores)
    p = mannwhitneyu(scores[0], scores[1], alternative="greater").pvalue
    half = _z() * deviation
    return {
        "auc": auc,
        "low": max(0.0, auc - half),
        "high": min(1.0, auc + half),
        "p": _number(p, 1.0),
        "n_gold": len(scores[0]),
        "n_traffic": len(scores[1]),
    }


def _held_out_scores(gold: Floats, traffic: Floats, seed: int) -> tuple[Floats, Floats]:
    generator = np.random.default_rng(seed)
    one, other = (generator.permutation(len(points)) for points in (gold, traffic))
    a, b = len(one) // 2, len(other) // 2
    model = fit_classifier(gold[one[:a]], traffic[other[:b]])
    return model.decision_function(gold[one[a:]]), model.decision_function(traffic[other[b:]])


def fit_classifier(gold: Floats, traffic: Floats) -> Any:
    """A logistic classifier of gold (1) against traffic (0), both weighing the same."""
    from sklearn.linear_model import LogisticRegression

    points = np.concatenate([gold, traffic]).astype(np.float64)
    membership = np.repeat([1, 0], [len(gold), len(traffic)])
    return LogisticRegression(C=1.0, class_weight="balanced", max_iter=1000).fit(points, membership)


def _auc(positive: Floats, negative: Floats) -> tuple[float, float]:
    """AUC and its standard deviation by DeLong, DeLong and Clarke-Pearson (1988), in O(n log n)."""
    from scipy.stats import rankdata

    m, n = len(positive), len(negative)
    ranks = rankdata(np.concatenate([positive, negative]))
    of_positive = (ranks[:m] - rankdata(positive)) / n
    of_negative = 1 - (ranks[m:] - rankdata(negative)) / m
    variance = of_positive.var(ddof=1) / m + of_negative.var(ddof=1) / n
    return float(of_positive.mean()), float(np.sqrt(variance))


def kernel_test(
    gold: Floats, traffic: Floats, *, seed: int = 0, permutations: int = 500
) -> dict[str, Any] | None:
    """Maximum mean discrepancy (Gretton et al. 2012) with a permutation test.

    Gaussian kernel, its width the median distance, by random Fourier features (Rahimi and Recht 2007), so
    that a permutation costs one product of matrices. `p` is exact for the features drawn (Phipson and Smyth
    2010: never 0). None where either sample has fewer than ten.
    """
    if min(len(gold), len(traffic)) < _LEAST:
        return None
    generator = np.random.default_rng(seed)
    points = np.concatenate([gold, traffic]).astype(np.float32)
    features = _fourier(points, generator)
    n, total = len(gold), features.sum(axis=0)

    def discrepancy(sums: Floats) -> Floats:
        means = sums / n - (total - sums) / (len(points) - n)
        return np.asarray((means**2).sum(axis=-1))

    observed = float(discrepancy(features[:n].sum(axis=0)))
    members = np.zeros((permutations, len(points)), dtype=np.float32)
    for row in members:
        row[generator.permutation(len(points))[:n]] = 1.0
    chance = discrepancy(members @ features)
    exceeding = int((chance >= observed * (1 - 1e-6)).sum())
    return {
        "mmd": float(np.sqrt(observed)),
        "mmd_by_chance": float(np.sqrt(np.quantile(chance, CONFIDENCE))),
        "p": (1 + exceeding) / (1 + permutations),
        "permutations": permutations,
    }


def _fourier(points: Floats, generator: np.random.Generator) -> Floats:
    some = points[generator.choice(len(points), min(500, len(points)), replace=False)]
    squares = ((some[:, None, :] - some[None, :, :]) ** 2).sum(axis=-1)
    width = float(np.sqrt(np.median(squares[np.triu_indices(len(some), 1)]))) or 1.0
    directions = generator.normal(size=(points.shape[1], _FEATURES)).astype(np.float32) / width
    angles = points @ directions
    return np.concatenate([np.cos(angles), np.sin(angles)], axis=1) / np.float32(np.sqrt(_FEATURES))


def length_shift(gold: Sequence[int], traffic: Sequence[int]) -> dict[str, Any] | None:
    """Lengths in characters: quantiles of both, and the two-sample Kolmogorov-Smirnov test.

    `longer_than_all` is the share of traffic that is longer than every example of gold. None where a sample
    is empty.
    """
    from scipy.stats import ks_2samp

    if not len(gold) or not len(traffic):
        return None
    one, other = np.asarray(gold, dtype=np.float64), np.asarray(traffic, dtype=np.float64)
    found = ks_2samp(one, other, method="asymp")
    longer = int((other > one.max()).sum())
    low, high = proportion_interval(longer, len(other))
    return {
        "gold": _quantiles(one),
        "traffic": _quantiles(other),
        "ks": float(found.statistic),
        "p": float(found.pvalue),
        "longer_than_all": {"estimate": longer / len(other), "low": low, "high": high, "n": len(other)},
    }


def _quantiles(values: Floats) -> dict[str, float]:
    return {
        name: float(np.quantile(values, share))
        for name, share in (("p5", 0.05), ("median", 0.5), ("p95", 0.95))
    }


def nearest_shift(gold: Floats, traffic: Floats, learned: Floats) -> dict[str, Any] | None:
    """How near gold and fresh traffic are to what is learned from, by the nearest point of `learned`.

    `traffic` holds points that aren't among `learned`, so that both are strangers to it alike. Gold that lies
    nearer makes a student look better than it will be. `gold_nearer` is the probability that an example of
    gold is nearer than one of traffic (0.5: alike), with a two-sided Mann-Whitney test; `close` the shares
    within a distance of 0.1, with Fisher's exact test that gold's is the larger. None where there is too
    little.
    """
    from scipy.stats import mannwhitneyu

    if min(len(gold), len(traffic), len(learned)) < _LEAST:
        return None
    one, other = nearest_distances(gold, learned), nearest_distances(traffic, learned)
    auc, deviation = _auc(-one, -other)
    close = commoner(int((one <= CLOSE).sum()), len(one), int((other <= CLOSE).sum()), len(other))
    return {
        "gold": _quantiles(one),
        "traffic": _quantiles(other),
        "gold_nearer": auc,
        "low": max(0.0, auc - _z() * deviation),
        "high": min(1.0, auc + _z() * deviation),
        "p": _number(mannwhitneyu(one, other).pvalue, 1.0),
        "close": close,
        "n_gold": len(one),
        "n_traffic": len(other),
    }


def commoner(gold: int, n_gold: int, traffic: int, n_traffic: int) -> dict[str, Any] | None:
    """Whether something is commoner in gold than in traffic: shares, and Fisher's exact one-sided `p`.

    None where either is empty.
    """
    from scipy.stats import fisher_exact

    if not n_gold or not n_traffic:
        return None
    table = [[gold, n_gold - gold], [traffic, n_traffic - traffic]]
    return {
        "gold": gold / n_gold,
        "traffic": traffic / n_traffic,
        "p": float(fisher_exact(table, alternative="greater").pvalue),
        "n_gold": n_gold,
        "n_traffic": n_traffic,
    }


def nearest_distances(points: Floats, to: Floats) -> Floats:
    """Distance of each of `points` to its nearest of `to`, float32 [n]; in blocks, so in bounded memory."""
    squares = (to**2).sum(axis=1)
    found = np.zeros(len(points), dtype=np.float32)
    for start in range(0, len(points), _BLOCK):
        rows = points[start : start + _BLOCK]
        between = squares - 2 * rows @ to.T
        found[start : start + _BLOCK] = np.sqrt(np.maximum(between.min(axis=1) + (rows**2).sum(axis=1), 0.0))
    return found


@dataclass(frozen=True, eq=False)
class LabelCounts:
    """How often each of `labels` was given in gold and in traffic, int64 [labels] each.

    `n_gold` and `n_traffic` count the texts. With several labels allowed the others may sum to more.
    """

    labels: Sequence[str]
    gold: Counts
    traffic: Counts
    n_gold: int
    n_traffic: int


def label_shift(counts: LabelCounts, *, seed: int = 0, permutations: int = 2000) -> dict[str, Any] | None:
    """Whether the same labeller gives labels as often in gold as in the traffic.

    Both sides have to be of one labeller (the teacher), whose mistakes then cancel: under label shift its
    answers' distribution shifts where and only where the truth's does (Lipton et al. 2018). `distance` is the
    total variation distance of the label shares, `by_chance` what 95% of random splits stay below,
    `p` that of the chi-square statistic, exact by Monte Carlo over splits with the margins held (Hope 1968).
    "labels" are those whose shares differ, by Fisher's exact test, Holm's correction over all labels, the
    largest difference first, with Newcombe's (1998) interval of the difference. None where either is empty.
    """
    if not counts.n_gold or not counts.n_traffic or not counts.gold.sum() or not counts.traffic.sum():
        return None
    generator = np.random.default_rng(seed)
    pool = counts.gold + counts.traffic
    drawn = generator.multivariate_hypergeometric(
        pool, int(counts.gold.sum()), size=permutations, method="marginals"
    )
    observed, distance = _chi_square(counts.gold, pool), _variation(counts.gold, pool)
    exceeding = int((_chi_square(drawn, pool) >= observed * (1 - 1e-9)).sum())
    return {
        "distance": float(distance),
        "by_chance": float(np.quantile(_variation(drawn, pool), CONFIDENCE)),
        "p": (1 + exceeding) / (1 + permutations),
        "n_gold": counts.n_gold,
        "n_traffic": counts.n_traffic,
        "labels": _shifted(counts),
    }


def _chi_square(gold: Counts, pool: Counts) -> Floats:
    present = pool > 0
    share = gold.sum(axis=-1, keepdims=True) / pool.sum()
    expected = (pool * share)[..., present]
    rest = (pool * (1 - share))[..., present]
    squares = (gold[..., present] - expected) ** 2
    return np.asarray((squares / expected).sum(axis=-1) + (squares / np.maximum(rest, 1e-12)).sum(axis=-1))


def _variation(gold: Counts, pool: Counts) -> Floats:
    one = gold / gold.sum(axis=-1, keepdims=True)
    rest = pool - gold
    return np.asarray(np.abs(one - rest / rest.sum(axis=-1, keepdims=True)).sum(axis=-1) / 2)


def _shifted(counts: LabelCounts) -> list[dict[str, Any]]:
    from scipy.stats import fisher_exact

    n, m = counts.n_gold, counts.n_traffic
    tables = [
        [[g, n - g], [t, m - t]] for g, t in zip(counts.gold.tolist(), counts.traffic.tolist(), strict=True)
    ]
    raw = [float(fisher_exact(table).pvalue) for table in tables]
    adjusted = adjusted_p(raw)
    found = []
    for label, g, t, p in zip(
        counts.labels, counts.gold.tolist(), counts.traffic.tolist(), adjusted, strict=True
    ):
        if p <= 1 - CONFIDENCE:
            low, high = _newcombe(t, m, g, n)
            found.append(
                {"label": label, "gold": g / n, "traffic": t / m, "difference": t / m - g / n,
                 "low": low, "high": high, "gold_n": g, "traffic_n": t, "p": p}
            )  # fmt: skip
    return sorted(found, key=lambda one: (-abs(one["difference"]), one["label"]))


def _newcombe(a: int, n: int, b: int, m: int) -> tuple[float, float]:
    """Interval of a/n − b/m for independent samples."""
    from statsmodels.stats.proportion import confint_proportions_2indep

    low, high = confint_proportions_2indep(a, n, b, m, compare="diff", method="newcomb")
    return float(low), float(high)


def _z() -> float:
    from scipy.special import ndtri

    return float(ndtri(0.5 + CONFIDENCE / 2))


def _number(value: float, otherwise: float) -> float:
    return float(value) if np.isfinite(value) else otherwise
