"""What people's blind votes say: which arm's answers they prefer, and how far they agree with each other.

The unit is the pair of answers, not the vote, since votes on one pair are no independent evidence: a pair is
won by the answer that more than half of its reviewers prefer.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tutelage.evaluation.intervals import CONFIDENCE, proportion_interval
from tutelage.evaluation.paired import mcnemar_exact, paired_difference_interval
from tutelage.evaluation.recovered import Estimated, product, share
from tutelage.review import Choice, majority
from tutelage.tasks.agreement import (
    krippendorff_alpha,
    nominal_distances,
    ordinal_distances,
    pairs_apart,
)

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Counts = npt.NDArray[np.float64]

SPLIT = "split"  # no answer has more than half of the votes on a pair


@dataclass(frozen=True)
class JudgedPair:
    """A pair that was voted on. `votes` has by reviewer an arm's name, `both` or `neither`.

    `sides` counts how often the answer shown first, and the one shown second, was preferred. `against_gold`
    tells that people prefer an answer that isn't gold's to one that is.
    """

    slice: str
    differs: bool
    votes: Mapping[str, str]
    sides: tuple[int, int] = (0, 0)
    against_gold: bool = False

    @property
    def outcome(self) -> str:
        """What more than half of the votes say, else `split`."""
        return majority(self.votes.values()) or SPLIT


def preference(
    judged: Sequence[JudgedPair],
    arms: tuple[str, str],
    *,
    pairs: int,
    differing: int,
    confidence: float = CONFIDENCE,
) -> dict[str, Any]:
    """The results of a vote between `arms` over `pairs` pairs of answers, `differing` of which differ.

    JSON: `arms`; `pairs` (`all`, `differ`, `judged` of those that differ, `votes`); `reviewers` (name to
    votes); `outcomes` of the differing pairs judged (each arm's name, `both`, `neither`, `split`, to counts);
    and of these, with n pairs, w won by the first arm and l by the second:

    * `preferred`: w of w + l, ties left out, with its exact interval; None where no pair was won.
      `p_value` is the exact sign test of no preference.
    * `not_worse`: the n - l pairs that the first arm didn't lose, of n. Exact.
    * `net`: (w - l) / n, ties as nought, by `paired_difference_interval`; `net_of_all` the same over all
      pairs, where those that agree are ties.

    `slices` has the outcomes by slice, with `preferred`. `agreeing` has, of pairs with one answer that were
    judged, how many are `wrong` (neither). `first_shown` tells whether the side decided. `agreement` is None
    where no pair has two votes. `against_gold` counts the pairs in which people prefer what isn't gold.
    """
    differ = [pair for pair in judged if pair.differs]
    same = [pair for pair in judged if not pair.differs]
    outcomes = _outcomes(differ, arms)
    won, lost, n = outcomes[arms[0]], outcomes[arms[1]], len(differ)
    net = _net(won, lost, n, confidence)
    share = differing / pairs if pairs else 0.0
    first, second = (sum(pair.sides[side] for pair in differ) for side in (0, 1))
    return {
        "arms": list(arms),
        "confidence": confidence,
        "pairs": {
            "all": pairs,
            "differ": differing,
            "judged": n,
            "votes": sum(len(pair.votes) for pair in judged),
        },
        "reviewers": dict(Counter(name for pair in judged for name in pair.votes)),
        "outcomes": outcomes,
        "preferred": _share(won, won + lost, confidence),
        "p_value": mcnemar_exact(won, lost),
        "not_worse": _share(n - lost, n, confidence),
        "net": net,
        "net_of_all": None if net is None else {name: share * value for name, value in net.items()},
        "slices": [
            {"slice": name, "judged": len(members), **_of_slice(members, arms, confidence)}
            for name in dict.fromkeys(pair.slice for pair in differ)
            if (members := [pair for pair in differ if pair.slice == name])
        ],
        "agreeing": {
            "judged": len(same),
            "wrong": _share(sum(pair.outcome == Choice.NEITHER for pair in same), len(same), confidence),
        },
        "first_shown": {"first": first, "second": second, "p_value": mcnemar_exact(first, second)},
        "agreement": agreement([pair.votes for pair in judged], confidence),
        "against_gold": sum(pair.against_gold for pair in differ),
    }


def _of_slice(members: Sequence[JudgedPair], arms: tuple[str, str], confidence: float) -> dict[str, Any]:
    outcomes = _outcomes(members, arms)
    won = outcomes[arms[0]]
    return {"outcomes": outcomes, "preferred": _share(won, won + outcomes[arms[1]], confidence)}


def _outcomes(members: Sequence[JudgedPair], arms: tuple[str, str]) -> dict[str, int]:
    counts = Counter(pair.outcome for pair in members)
    return {name: counts[name] for name in (*arms, Choice.BOTH.value, Choice.NEITHER.value, SPLIT)}


def _share(successes: int, n: int, confidence: float) -> dict[str, float] | None:
    if n == 0:
        return None
    low, high = proportion_interval(successes, n, confidence)
    return {"estimate": successes / n, "low": low, "high": high, "n": n}


def _net(won: int, lost: int, n: int, confidence: float) -> dict[str, float] | None:
    if n == 0:
        return None
    low, high = paired_difference_interval(won, lost, n, confidence)
    return {"estimate": (won - lost) / n, "low": low, "high": high}


def agreement(
    votes: Sequence[Mapping[str, str]], confidence: float = CONFIDENCE, *, scale: Sequence[str] = ()
) -> dict[str, Any] | None:
    """How far reviewers agree, over units with two votes or more; `votes` is by unit, reviewer to category.

    `scale` has the categories from lowest to highest, where they have an order.

    JSON: `units`, `reviewers`, `same` (share of pairs of votes on one unit that are the same), `alpha`
    (Krippendorff), and of exactly two reviewers `kappa` (Cohen), else None. `weights` is `nominal`, or on a
    scale `ordinal`: alpha is then the ordinal one, and kappa has quadratic weights. Both are one less how
    far reviewers differ by how far chance would have them differ; the interval is that of the former
    (`recovered.share`), over the estimate of the latter. A bootstrap
    over units has its lower end above the truth in up to 37% of samples of 20. All are None where chance
    alone would agree always, as it is where all votes are the same. None where no unit has two votes.
    """
    import numpy as np

    shared = [unit for unit in votes if len(unit) >= 2]
    if not shared:
        return None
    names = sorted({name for unit in shared for name in unit})
    used = {said for unit in shared for said in unit.values()}
    ordered = [name for name in scale if name in used] if scale else sorted(used)
    categories = {name: code for code, name in enumerate(ordered)}
    counts = np.zeros((len(shared), len(categories)))
    for row, unit in zip(counts, shared, strict=True):
        for said in unit.values():
            row[categories[said]] += 1
    ratings = counts.sum(axis=1)
    alike = float((counts * (counts - 1)).sum()) / float((ratings * (ratings - 1)).sum())
    of_category = counts.sum(axis=0)
    distances = ordinal_distances(of_category) if scale else nominal_distances(len(categories))
    alpha = krippendorff_alpha(counts, ordinal=bool(scale))
    found = {
        "units": len(shared),
        "reviewers": len(names),
        "same": alike,
        "weights": "ordinal" if scale else "nominal",
        "alpha": _beyond_chance(
            alpha, _agreeing(counts, distances, confidence), _differing(of_category, distances)
        ),
        "kappa": None,
    }
    if len(names) == 2:
        codes = np.array([[categories[unit[name]] for name in names] for unit in shared])
        found["kappa"] = _kappa(
            codes, counts, [scale.index(name) for name in ordered] if scale else [], confidence
        )
    return found


def _kappa(
    codes: npt.NDArray[np.int64], counts: Counts, places: Sequence[int], confidence: float
) -> dict[str, float | None]:
    """Of two reviewers' `codes`, [units, 2]; `places` are the categories' on a scale, where they have one."""
    import numpy as np

    steps = np.array(places, dtype=np.float64)
    distances = (steps[:, None] - steps[None, :]) ** 2 if places else nominal_distances(counts.shape[1])
    one, other = (np.bincount(column, minlength=counts.shape[1]) for column in codes.T)
    largest = float(distances.max()) or 1.0
    by_chance = float(one @ distances @ other) / largest / len(codes) ** 2
    apart = float(distances[codes[:, 0], codes[:, 1]].mean()) / largest
    estimate = 1 - apart / by_chance if by_chance else math.nan
    return _beyond_chance(estimate, _agreeing(counts, distances, confidence), by_chance)


def _agreeing(counts: Counts, distances: Counts, confidence: float) -> Estimated:
    """How near two votes on a unit are, 1 the same and 0 furthest apart, units weighing as their votes.

    `counts` is [units, categories]. With nominal distances it is how often they are the same. On a scale it
    is 1 less how often they differ by how far they then do, whose intervals are put together: by its variance
    the mean of both, mostly noughts, seems surer than it is, and as a share less sure than need be.
    """
    ratings = counts.sum(axis=1)
    parts = distances / (float(distances.max()) or 1.0)
    apart = pairs_apart(counts, parts) / (ratings * (ratings - 1))
    if set(parts.ravel().tolist()) <= {0.0, 1.0}:
        return _mean(1 - apart, ratings, confidence)
    differ = apart > 0
    often = _mean(differ.astype(float), ratings, confidence)
    if not differ.any():
        return Estimated(1.0, 1 - often.high, 1.0)
    far = product(often, _mean(apart[differ], ratings[differ], confidence))
    return Estimated(1 - far.estimate, 1 - min(1.0, far.high), 1 - max(0.0, far.low))


def _mean(values: Counts, weights: Counts, confidence: float) -> Estimated:
    """The mean of values in [0, 1]."""
    n, estimate = len(values), float(values @ weights / weights.sum())
    left = (values - estimate) * weights / weights.mean()
    return share(estimate, float((left**2).sum()) / (n * max(1, n - 1)), n, confidence)


def _differing(votes: Counts, distances: Counts) -> float:
    """How far two votes drawn from all, `votes` by category, differ, of the furthest that they can.

    Krippendorff (2004), chapter 11.
    """
    total, largest = float(votes.sum()), float(distances.max()) or 1.0
    return float(votes @ distances @ votes) / largest / (total * (total - 1))


def _beyond_chance(estimate: float, together: Estimated, by_chance: float) -> dict[str, float | None]:
    if math.isnan(estimate):
        return dict.fromkeys(("estimate", "low", "high"))
    low, high = (1 - (1 - end) / by_chance for end in (together.low, together.high))
    return {"estimate": estimate, "low": max(-1.0, low), "high": high}
