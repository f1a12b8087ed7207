"""How sure an arm is where it is wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from tutelage.evaluation.intervals import CONFIDENCE, proportion_interval

CONFIDENT = 0.9  # from which a stated confidence counts as sure

_MANY = 300  # values, from which on their mean is as good as normal
_DRAWS = 2000

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


def overconfidence(right: Flags, stated: Floats) -> dict[str, Any] | None:
    """Of the examples whose answer came with a confidence; None where none did.

    `right` is bool [n], `stated` float64 [n] with NaN where no confidence was stated. `n` counts those with
    one, `errors` the wrong ones among them. `gap` is mean confidence − accuracy: above 0 where the arm is
    overconfident. `where_wrong` and `where_right` are mean confidences, None without an example.
    `confident_errors` is the share of the n that is wrong at a confidence of 0.9 or more (exact interval).
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
        "gap": mean_interval(sure - correct, -1.0, 1.0),
        "where_wrong": mean_interval(sure[~correct], 0.0, 1.0),
        "where_right": mean_interval(sure[correct], 0.0, 1.0),
        "confident_errors": {"estimate": bad / len(sure), "low": low, "high": high, "n": len(sure)},
    }


def mean_interval(
    values: Floats, least: float, most: float, confidence: float = CONFIDENCE
) -> dict[str, Any] | None:
    """`{"estimate", "low", "high", "n"}` of the mean of values between `least` and `most`; None for none.

    Below 300 values each end is Gaffke's bound (2005, Mathematical Methods of Statistics 14, 451-467): the
    quantile of the mean of the values and one more at the range's end, under weights drawn evenly from the
    simplex. It stays on the safe side however skewed they are, where Student's t errs in up to 8%. With
    more values it is Student's t.
    """
    from scipy.special import stdtrit

    n = len(values)
    if n == 0:
        return None
    values = np.sort(values)  # so that sums don't depend on the order of examples
    mean, tail = float(values.mean()), (1 - confidence) / 2
    if n < _MANY:
        weights = np.random.default_rng(0).dirichlet(np.ones(n + 1), size=_DRAWS)
        low = float(np.quantile(weights @ np.append(values, least), tail))
        high = float(np.quantile(weights @ np.append(values, most), 1 - tail))
        return {"estimate": mean, "low": min(low, mean), "high": min(most, max(high, mean)), "n": n}
    half = float(stdtrit(n - 1, 1 - tail) * values.std(ddof=1) / n**0.5)
    return {"estimate": mean, "low": max(least, mean - half), "high": min(most, mean + half), "n": n}
