"""How sure an arm is where it is wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from tutelage.evaluation.intervals import CONFIDENCE, proportion_interval

CONFIDENT = 0.9  # from which a stated confidence counts as sure

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


def overconfidence(right: Flags, stated: Floats) -> dict[str, Any] | None:
    """Of the examples whose answer came with a confidence; None where none did.

    `right` is bool [n], `stated` float64 [n] with NaN where no confidence was stated. `n` counts those with
    one, `errors` the wrong ones among them. `gap` is mean confidence − accuracy: above 0 where the arm is
    overconfident. `where_wrong` and `where_right` are mean confidences with t-intervals, None without an
    example. `confident_errors` is the share of the n that is wrong at a confidence of 0.9 or more (exact
    interval): what a threshold there would let through.
    """
    known = ~np.isnan(stated)
    if not known.any():
        return None
    correct, sure = right[known], stated[known]
    bad = int((~correct & (sure >= CONFIDENT)).sum())
    low, high = proportion_interval(bad, len(sure))
    return {
        "n": len(sure),
        "errors": int((~correct).sum()),
        "gap": mean_interval(sure - correct),
        "where_wrong": mean_interval(sure[~correct]),
        "where_right": mean_interval(sure[correct]),
        "confident_errors": {"estimate": bad / len(sure), "low": low, "high": high, "n": len(sure)},
    }


def mean_interval(values: Floats, confidence: float = CONFIDENCE) -> dict[str, Any] | None:
    """`{"estimate", "low", "high", "n"}` of a mean, by Student's t; no ends for one value, None for none."""
    from scipy.special import stdtrit

    n = len(values)
    if n == 0:
        return None
    values = np.sort(values)  # so that sums don't depend on the order of examples
    mean = float(values.mean())
    if n == 1:
        return {"estimate": mean, "low": None, "high": None, "n": 1}
    half = float(stdtrit(n - 1, 0.5 + confidence / 2) * values.std(ddof=1) / n**0.5)
    return {"estimate": mean, "low": mean - half, "high": mean + half, "n": n}
