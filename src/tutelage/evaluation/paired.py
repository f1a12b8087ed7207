"""Two arms on the same examples: how much more accurate is a than b, and is it by more than a difference?

The test's statistic is Tango's score (1998), "Equivalence test and confidence interval for the difference in
proportions for the paired-sample design", Statistics in Medicine 17, 891-908. Where at least `_MANY` examples
are discordant its p-value is that of the normal distribution. Where fewer are, that is off: a student that
loses exactly what is allowed fails up to twice as often as it should (docs/design/evaluation.md). There the
p-value is exact and unconditional: the largest probability, over the nuisance parameter, of a statistic at
least as large (Hsueh, Liu and Chen 2001, Biometrics 57, 478-483; Sidik 2003, Statistics in Medicine 22,
265-278), the nuisance parameter being kept within an exact interval whose level is added to the p-value
(Berger and Boos 1994, JASA 89, 1012-1016), so that values that the data rule out don't count.

The interval inverts that test. The exact p-value has jumps and isn't quite monotone in the difference, so
that the two may disagree where it is about the level itself; a gate goes by the test.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from tutelage.errors import UsageError
from tutelage.evaluation.intervals import CONFIDENCE, check_confidence

_MANY = 100  # discordant examples, from which on the normal distribution serves
_NUISANCE_LEVEL = 1e-5  # of Berger and Boos; far below any level that is tested at
_NUISANCE_POINTS = 32
_TAIL = 6.0  # standard deviations beyond which an outcome's probability is left out
_TIE = 1e-9  # statistics that differ by less are the same
_CLOSE = 1e-5  # of an interval's end: a thousandth of a point
_FAR = 40.0  # a z-value of which no probability is left; keeps infinities out of the search for a root


def superiority_p(only_a: float, only_b: float, n: float, difference: float = 0.0) -> float:
    """One-sided p-value of "accuracy(a) − accuracy(b) is at most `difference`" against its being more.

    `only_a` counts the examples that only a got right, `only_b` those that only b did. With `difference` =
    −margin it is the test of non-inferiority of a. Counts may be fractional, which serves planning. Raises
    UsageError for impossible counts.
    """
    from scipy.special import ndtr

    _check(only_a, only_b, n)
    return float(ndtr(-_z_value(only_a, only_b, n, difference)))


def paired_difference_interval(
    only_a: float, only_b: float, n: float, confidence: float = CONFIDENCE
) -> tuple[float, float]:
    """Interval of accuracy(a) − accuracy(b) on the same `n` examples: what `superiority_p` doesn't reject.

    Each end has half of 1 − `confidence` beyond it. Counts as in `superiority_p`. Raises UsageError for
    impossible counts or confidence.
    """
    check_confidence(confidence)
    tail = (1 - confidence) / 2
    return lower_bound(only_a, only_b, n, tail), -lower_bound(only_b, only_a, n, tail) + 0.0


def lower_bound(only_a: float, only_b: float, n: float, level: float) -> float:
    """The least difference that isn't rejected in favour of a larger one at one-sided `level` below 0.5."""
    from scipy.special import ndtri

    _check(only_a, only_b, n)
    wanted, estimate = -float(ndtri(level)), (only_a - only_b) / n
    if estimate <= -1:
        return -1.0
    by_score = _root(lambda difference: _score(only_a, only_b, n, difference) - wanted, -1.0, estimate)
    if only_a + only_b >= _MANY:
        return by_score

    @cache
    def excess(difference: float) -> float:
        return _z_value(only_a, only_b, n, difference) - wanted

    # The exact bound lies near the score's: two guesses about it save most of the search.
    step = (estimate - by_score) / 4
    left, right = max(-1.0, by_score - step), by_score + step
    if excess(left) <= 0:
        left, right = -1.0, left
    elif excess(right) > 0:
        left, right = right, estimate
    return _root(excess, left, right)


def _root(excess: Callable[[float], float], left: float, right: float) -> float:
    """Where `excess`, which falls, changes its sign; the end nearest to that where it doesn't."""
    from scipy.optimize import brentq

    if excess(left) <= 0:
        return left
    if excess(right) > 0:
        return right
    return float(brentq(excess, left, right, xtol=_CLOSE))


def mcnemar_exact(only_a: int, only_b: int) -> float:
    """Two-sided exact p-value that a and b are equally often right (McNemar 1947, binomial form)."""
    from scipy.special import bdtr

    discordant = only_a + only_b
    if discordant == 0:
        return 1.0
    return min(1.0, 2 * float(bdtr(min(only_a, only_b), discordant, 0.5)))


def _check(only_a: float, only_b: float, n: float) -> None:
    if not (only_a >= 0 and only_b >= 0 and n > 0 and only_a + only_b <= n):
        raise UsageError(
            f"discordant counts {only_a} and {only_b} of {n} examples. "
            "Mend: neither may be negative, nor both together more than the examples, of which one is needed"
        )


def _z_value(only_a: float, only_b: float, n: float, difference: float) -> float:
    """The p-value as a standard normal deviate, within ±40: large speaks for more than `difference`."""
    from scipy.special import ndtri

    if not -1 < difference < 1:
        return -_FAR if difference >= 1 else _FAR
    observed = _score(only_a, only_b, n, difference)
    # Where not even the estimate lies on that side there is nothing to be exact about, and the data may rule
    # out so large a difference that no nuisance parameter would be left to look at.
    if only_a + only_b >= _MANY or observed <= 0:
        return observed
    return -float(ndtri(_exact_p(observed, only_a + only_b, round(n), difference)))


def _score(only_a: float, only_b: float, n: float, difference: float) -> float:
    if difference <= -1:
        return _FAR
    return float(np.clip(score(only_a, only_b, n, difference), -_FAR, _FAR))


def score(only_a: Any, only_b: Any, n: float, difference: float) -> Any:
    """Tango's statistic (1998, equations 7 and 8): large where a is better than b by more than `difference`.

    The nuisance probability that only b is right stands at its constrained maximum likelihood, the root of a
    quadratic. Arrays broadcast.
    """
    excess = only_a - only_b - n * difference
    linear = -only_a - only_b + (2 * n - only_a + only_b) * difference
    constant = -only_b * difference * (1 - difference)
    root = np.sqrt(np.maximum(0.0, linear * linear - 8 * n * constant))
    likely = (root - linear) / (4 * n)
    variance = n * (2 * likely + difference * (1 - difference))
    with np.errstate(divide="ignore", invalid="ignore"):
        found = excess / np.sqrt(np.maximum(0.0, variance))
    return np.where(np.abs(excess) < _TIE, 0.0, found)


def _exact_p(observed: float, discordant: float, n: int, difference: float) -> float:
    """The largest probability, over plausible nuisance values, of a statistic of `observed` > 0 or more."""
    from scipy.special import betainc, betaincinv, gammaln, xlog1py, xlogy

    tail = _NUISANCE_LEVEL / 2
    low = betaincinv(discordant, n - discordant + 1, tail) if discordant > 0 else 0.0
    high = betaincinv(discordant + 1, n - discordant, 1 - tail) if discordant < n else 1.0
    low, high = max(low, abs(difference)), min(high, 1.0)
    if low > high:  # the data rule the limit itself out
        return _NUISANCE_LEVEL
    rate = np.linspace(low, high, _NUISANCE_POINTS)[:, None]
    b_rate, a_rate = np.maximum(0.0, (rate - difference) / 2), np.maximum(0.0, (rate + difference) / 2)
    b = _plausible(n, float(b_rate[0, 0]), float(b_rate[-1, 0]))
    most_a = int(_plausible(n, float(a_rate[0, 0]), float(a_rate[-1, 0]))[-1])
    least = _least_a(observed, b, most_a, n, difference)
    inside = np.clip(least, 1, np.maximum(n - b, 1))
    reached = betainc(inside, n - b - inside + 1, np.minimum(1.0, a_rate / np.maximum(1 - b_rate, 1e-300)))
    reached = np.where(least > n - b, 0.0, np.where(least <= 0, 1.0, reached))
    chance = np.exp(
        gammaln(n + 1) - gammaln(b + 1) - gammaln(n - b + 1) + xlogy(b, b_rate) + xlog1py(n - b, -b_rate)
    )
    worst = float((chance * reached).sum(axis=1).max())
    return min(1.0, worst + _NUISANCE_LEVEL)


def _plausible(n: int, low: float, high: float) -> npt.NDArray[np.int64]:
    """Counts of n trials that a probability between `low` and `high` may give."""
    first = n * low - _TAIL * (n * low * (1 - low)) ** 0.5 - _TAIL
    last = n * high + _TAIL * (n * high * (1 - high)) ** 0.5 + 2 * _TAIL
    return np.arange(max(0, int(first)), min(n, int(last) + 1) + 1)


def _least_a(
    observed: float, b: npt.NDArray[np.int64], most_a: int, n: int, difference: float
) -> npt.NDArray[np.int64]:
    """For each count of b the least count of a whose statistic reaches `observed`.

    It is n − b + 1 where none does, and most_a + 1, which won't be seen, where none up to `most_a` does.
    """
    short, enough = np.full_like(b, -1), np.minimum(n - b, most_a) + 1
    while (enough - short > 1).any():
        middle = (short + enough) // 2
        reaches = score(np.maximum(middle, 0), b, n, difference) >= observed - _TIE
        short, enough = np.where(reaches, short, middle), np.where(reaches, middle, enough)
    return enough
