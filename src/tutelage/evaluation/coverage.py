"""Is gold like the traffic? What gold lacks by cluster, and how the arms do in each cluster."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tutelage.evaluation._coded import encode
from tutelage.evaluation.arms import Arm
from tutelage.evaluation.intervals import CONFIDENCE, proportion_interval
from tutelage.evaluation.multiplicity import adjusted_p
from tutelage.evaluation.paired import paired_difference_interval
from tutelage.evaluation.regions import TOO_FEW
from tutelage.evaluation.shift import Floats, nearest_distances
from tutelage.evaluation.weighting import Flags, Numbers, Whole
from tutelage.records import AnyGold
from tutelage.tasks import Task

COVERED, THIN, LACKING = "covered", "thin", "lacking"
_LEVEL = 1 - CONFIDENCE
_REACH = 0.95
_WORST = 10
_LEAST_IN_SLICE = 5


def right_by_arm(task: Task, gold: Sequence[AnyGold], arms: Mapping[str, Arm]) -> Mapping[str, Flags]:
    """Which examples of gold each arm got right by the task's own comparison, bool [n]."""
    return encode(task, gold, arms).right


def gold_by_cluster(
    names: Sequence[str], traffic: Numbers, gold: Whole, p_values: Sequence[float] | None = None
) -> list[dict[str, Any]]:
    """One entry a cluster, from counts [k] of traffic and of gold, the largest in the traffic first.

    A cluster is "lacking" (no example) or "thin" (less than half of its share) where so few are too few for
    chance, at 5%: by adjusted `p_values` [k], or, where those are None, by the exact one-sided test of a
    count that is binomial if gold is drawn from the traffic, Holm's correction over all clusters. `needed` is
    how many further examples would give it its share.
    """
    from scipy.stats import binom

    total, n = float(traffic.sum()), int(gold.sum())
    shares = traffic / total if total else np.zeros(len(traffic))
    adjusted = p_values
    if adjusted is None:
        adjusted = adjusted_p([float(p) for p in binom.cdf(gold, n, shares)])
    entries = []
    for number, (name, share, count, p) in enumerate(
        zip(names, shares, gold.tolist(), adjusted, strict=True)
    ):
        expected = n * float(share)
        too_few = p <= _LEVEL and count < TOO_FEW * expected
        state = COVERED if not too_few else THIN if count else LACKING
        entries.append(
            {
                "cluster": number,
                "name": name,
                "traffic": float(share),
                "gold": count,
                "expected": expected,
                "p": p,
                "state": state,
                "needed": math.ceil(expected) - count if too_few else 0,
            }
        )
    return sorted(entries, key=lambda entry: (-entry["traffic"], entry["cluster"]))


def unlike(clusters: Sequence[Mapping[str, Any]], n_gold: int) -> dict[str, Any]:
    """The share of traffic in clusters that gold lacks or is thin in, and what would mend it.

    "without_gold" is the share in clusters without any example, "by_chance" what that would be on average if
    gold were drawn from the traffic.
    """
    short = [entry for entry in clusters if entry["state"] != COVERED]
    return {
        "estimate": math.fsum(entry["traffic"] for entry in short),
        "without_gold": math.fsum(entry["traffic"] for entry in clusters if not entry["gold"]),
        "by_chance": math.fsum(entry["traffic"] * (1 - entry["traffic"]) ** n_gold for entry in clusters),
        "clusters": len(short),
        "needed": sum(entry["needed"] for entry in short),
    }


def beyond_reach(gold: Floats, traffic: Floats) -> dict[str, float] | None:
    """The share of traffic that lies farther from gold than 95% of gold does from the rest of gold.

    5% where the two are alike. Points [n, width]; None for fewer than two examples or no traffic.
    """
    if len(gold) < 2 or not len(traffic):
        return None
    reach = float(np.quantile(_to_others(gold), _REACH))
    outside = int((nearest_distances(traffic, gold) > reach).sum())
    low, high = proportion_interval(outside, len(traffic))
    return {"estimate": outside / len(traffic), "low": low, "high": high, "n": len(traffic), "reach": reach}


def _to_others(points: Floats) -> Floats:
    """Each point's distance to the nearest other one; in blocks."""
    squares = (points**2).sum(axis=1)
    found = np.zeros(len(points))
    for start in range(0, len(points), 500):
        rows = points[start : start + 500]
        between = squares - 2 * rows @ points.T
        between[np.arange(len(rows)), start + np.arange(len(rows))] = np.inf
        found[start : start + 500] = np.sqrt(np.maximum(between.min(axis=1) + (rows**2).sum(axis=1), 0.0))
    return found


def slices_by_cluster(right: Mapping[str, Flags], gold: Whole, names: Sequence[str]) -> dict[str, Any]:
    """How the arms do in each cluster of gold; the ten that are worst for the student, named in words.

    `right` holds bool [n] an arm, the student among them; `gold` [n] each example's cluster. The student's
    accuracy in a cluster is shrunken towards that in all (empirical Bayes: beta-binomial, its spread by
    maximum likelihood), so that tiny clusters don't come first by chance; the interval is the posterior's.
    `p` is Fisher's exact test that the student errs more there than elsewhere, Holm's correction over all
    clusters of five examples or more, which alone are tested. The difference to the teacher has Tango's
    interval, simultaneous over those clusters (Bonferroni).
    """
    student = right["student"]
    counts = np.bincount(gold, minlength=len(names))
    hits = np.bincount(gold[student], minlength=len(names))
    mean, strength = _prior(hits, counts)
    tested = np.flatnonzero(counts >= _LEAST_IN_SLICE).tolist()
    p = dict(zip(tested, adjusted_p([_errs_more(hits, counts, c) for c in tested]), strict=True))
    entries = [
        {
            "cluster": c,
            "name": names[c],
            "n": int(counts[c]),
            **_shrunken(int(hits[c]), int(counts[c]), mean, strength),
            "p": p.get(c),
            "worse": p.get(c, 1.0) <= _LEVEL,
            "arms": {arm: float(flags[gold == c].mean()) for arm, flags in right.items()},
            "loss": _loss(right, gold == c, len(tested)) if c in p else None,
        }
        for c in np.flatnonzero(counts).tolist()
    ]
    entries.sort(key=lambda entry: (entry["shrunken"], entry["cluster"]))
    return {
        "prior_mean": mean,
        "prior_examples": strength,
        "tested": len(tested),
        "worse": sum(entry["worse"] for entry in entries),
        "worst": entries[:_WORST],
    }


def with_and_without(right: Mapping[str, Flags], leaked: Flags) -> dict[str, Any] | None:
    """Each arm's accuracy on the examples that leaked and on the others, with exact 95% intervals.

    Where the student is better only on what it knows, gold doesn't measure it. None where nothing leaked.
    """
    if not leaked.any():
        return None
    return {
        arm: {"leaked": _proportion(flags[leaked]), "others": _proportion(flags[~leaked])}
        for arm, flags in right.items()
    }


def _proportion(flags: Flags) -> dict[str, Any] | None:
    if not len(flags):
        return None
    low, high = proportion_interval(int(flags.sum()), len(flags))
    return {"estimate": float(flags.mean()), "low": low, "high": high, "n": len(flags)}


def _prior(hits: Whole, counts: Whole) -> tuple[float, float]:
    """Mean of the beta prior and the number of examples that it is worth."""
    from scipy.optimize import minimize_scalar
    from scipy.special import betaln

    n = int(counts.sum())
    mean = float(hits.sum() / n)
    most = float(max(n, 2))
    if mean in (0.0, 1.0):
        return mean, most

    def unlikelihood(log_strength: float) -> float:
        a, b = mean * np.exp(log_strength), (1 - mean) * np.exp(log_strength)
        return -float((betaln(hits + a, counts - hits + b) - betaln(a, b)).sum())

    found = minimize_scalar(unlikelihood, bounds=(0.0, math.log(most)), method="bounded")
    return mean, math.exp(float(found.x))


def _shrunken(hits: int, n: int, mean: float, strength: float) -> dict[str, float]:
    from scipy.special import betaincinv

    a, b = hits + mean * strength, n - hits + (1 - mean) * strength
    tail = _LEVEL / 2
    low = float(betaincinv(a, b, tail)) if a > 0 and b > 0 else float(a > 0)
    high = float(betaincinv(a, b, 1 - tail)) if a > 0 and b > 0 else float(a > 0)
    return {"shrunken": a / (a + b), "low": low, "high": high}


def _errs_more(hits: Whole, counts: Whole, cluster: int) -> float:
    from scipy.stats import fisher_exact

    here = int(counts[cluster] - hits[cluster]), int(hits[cluster])
    elsewhere = int((counts - hits).sum()) - here[0], int(hits.sum()) - here[1]
    return float(fisher_exact([here, elsewhere], alternative="greater").pvalue)


def _loss(right: Mapping[str, Flags], here: npt.NDArray[np.bool_], clusters: int) -> dict[str, float] | None:
    if "teacher" not in right:
        return None
    student, teacher, n = right["student"][here], right["teacher"][here], int(here.sum())
    only_student, only_teacher = int((student & ~teacher).sum()), int((teacher & ~student).sum())
    low, high = paired_difference_interval(only_student, only_teacher, n, 1 - _LEVEL / clusters)
    return {"estimate": (only_student - only_teacher) / n, "low": low, "high": high}
