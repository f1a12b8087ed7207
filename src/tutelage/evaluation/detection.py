"""How well a score tells what is out of scope from what is in it, wherever one draws the line."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from tutelage.evaluation.intervals import CONFIDENCE, proportion_interval

Floats = npt.NDArray[np.float64]

_BISECTIONS = 60  # halves 1 down to 1e-18, below what a float tells apart
FALSE_ALARMS = 0.05  # of what is in scope: the rate at which recall is told


def detection(outside: Floats, inside: Floats, rate: float = FALSE_ALARMS) -> dict[str, Any]:
    """Scores float64 [n] of what is out of scope, and [m] of what is in it; higher means more surely outside.

    `auroc` is the probability that one of the former scores higher than one of the latter, ties counted half,
    and `recall` the share of the former found where at most `rate` (`false_alarm_rate`) of the latter are
    taken for it. Each is `{"estimate", "low", "high"}`, None where either is empty.
    """
    if not len(outside) or not len(inside):
        return {"auroc": None, "recall": None, "false_alarm_rate": rate}
    return {
        "auroc": auroc(outside, inside),
        "recall": recall_at(outside, inside, rate),
        "false_alarm_rate": rate,
    }


def auroc(positives: Floats, negatives: Floats, confidence: float = CONFIDENCE) -> dict[str, float]:
    """Area under the ROC curve with the score interval of Newcombe (2006, part 2, method 5).

    All areas whose own standard error, by Hanley and McNeil (1982) with both classes taken for equally large,
    puts the one found within reach. Unlike DeLong's it neither collapses where the scores of the classes
    don't overlap, nor is it too narrow where the smaller class has few (see docs/design/evaluation.md).
    """
    from scipy.special import ndtri

    m, n = len(positives), len(negatives)
    ranks = _ranks(np.concatenate([positives, negatives]))[:m]
    area = float((ranks.sum() - m * (m + 1) / 2) / (m * n))
    z, size = float(ndtri(0.5 + confidence / 2)), (m + n) / 2 - 1

    def lower(area: float) -> float:
        """The least area within reach: it lies further from `area` below the root, and nearer above it."""
        least, most = 0.0, area
        for _ in range(_BISECTIONS):
            middle = (least + most) / 2
            spread = 1 + size * (1 - middle) / (2 - middle) + size * middle / (1 + middle)
            if area - middle > z * math.sqrt(middle * (1 - middle) * spread / (m * n)):
                least = middle
            else:
                most = middle
        return least

    return {"estimate": area, "low": lower(area), "high": 1.0 - lower(1.0 - area)}


def recall_at(
    positives: Floats, negatives: Floats, rate: float, confidence: float = CONFIDENCE
) -> dict[str, float]:
    """The share of `positives` above the score that at most `rate` of `negatives` lie above.

    That score is itself estimated. The interval holds for it too: the exact one of recall at either end of
    the exact interval of the score, from order statistics (Conover 1999, section 3.2), each at half the
    error, so that both hold together.
    """
    from scipy.stats import binom

    ordered = np.sort(negatives)[::-1]
    n, each = len(ordered), (1 + confidence) / 2
    tail = (1 - each) / 2

    def share(index: int) -> tuple[int, float]:
        """Positives above the `index`-th highest negative; all of them beyond the last."""
        found = int((positives > ordered[index]).sum()) if index < n else len(positives)
        return found, found / len(positives)

    _, estimate = share(math.floor(rate * n + 1e-9))
    fewest, most = int(binom.ppf(tail, n, rate)), int(binom.ppf(1 - tail, n, rate)) + 1
    least, _ = share(fewest - 1) if fewest else (0, 0.0)
    low, _ = proportion_interval(least, len(positives), each)
    _, high = proportion_interval(share(most)[0], len(positives), each)
    return {"estimate": estimate, "low": low, "high": high}


def _ranks(scores: Floats) -> Floats:
    from scipy.stats import rankdata

    ranks: Floats = rankdata(scores)
    return ranks
