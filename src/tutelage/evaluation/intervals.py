"""Intervals and tests of a proportion, exact at every size; and of the ratio of two.

Wilson's score interval is the usual choice where counts are large. It isn't taken even there, since a gate
asks one-sided questions of it: near 90% its upper end lies below the truth in up to 4.9% of samples of 200
and 3.2% of samples of 3,000, where 2.5% are meant. The exact one costs half an example at each end.
"""

from __future__ import annotations

import math

from tutelage.errors import UsageError

CONFIDENCE = 0.95


def check_confidence(confidence: float) -> None:
    """Raise UsageError unless it lies between 0 and 1."""
    if not 0 < confidence < 1:
        raise UsageError(f"confidence {confidence} is not between 0 and 1. Mend: give e.g. 0.95")


def proportion_interval(successes: float, n: float, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Exact interval of a proportion (Clopper and Pearson 1934): each end errs at most as often as it says.

    Counts may be fractional, which serves planning. Raises UsageError for impossible counts or confidence.
    """
    check_confidence(confidence)
    tail = (1 - confidence) / 2
    return proportion_at_least(successes, n, tail), proportion_at_most(successes, n, tail)


def ratio_interval(
    successes: int, n: int, other: int, other_n: int, confidence: float = CONFIDENCE
) -> tuple[float, float | None]:
    """Interval of (successes / n) / (other / other_n), of independent samples; None stands for infinity.

    The score interval of Koopman (1984, Biometrics 40, 513-517): all ratios that the score test, with the
    probabilities at their constrained maximum likelihood, doesn't reject. Raises UsageError for impossible
    counts or confidence.
    """
    from scipy.special import ndtri

    check_confidence(confidence)
    _check(successes, n)
    _check(other, other_n)
    z = float(ndtri(0.5 + confidence / 2))
    low = 0.0 if successes == 0 else _ratio_end(successes, n, other, other_n, z)
    high = None if other == 0 else 1 / _ratio_end(other, other_n, successes, n, z)
    return low, high


def _ratio_end(successes: int, n: int, other: int, other_n: int, z: float) -> float:
    """The lower end, for `successes` above 0: where the score statistic falls to z."""
    from scipy.optimize import brentq

    rate, base = successes / n, other / other_n

    def excess(log_ratio: float) -> float:
        ratio = math.exp(log_ratio)
        a = (n + other_n) * ratio
        b = n * ratio + successes + other_n + other * ratio
        c = successes + other
        q = 2 * c / (b + math.sqrt(max(0.0, b * b - 4 * a * c)))  # the other sample's probability
        p = min(1.0, q * ratio)
        variance = p * (1 - p) / n + ratio * ratio * q * (1 - q) / other_n
        return (rate - ratio * base) - z * math.sqrt(max(0.0, variance))

    far = 50.0  # in natural logarithms: farther than counts can be apart
    # Short of the estimate, where statistic and variance are both 0 if all were successes.
    high = math.log(rate / base) - 1e-6 if base else far
    return math.exp(float(brentq(excess, -far, high, xtol=1e-9)))


def proportion_at_least(successes: float, n: float, level: float) -> float:
    """The lower bound that a true proportion is below with a probability of at most `level`."""
    from scipy.special import betaincinv

    _check(successes, n)
    return 0.0 if successes == 0 else float(betaincinv(successes, n - successes + 1, level))


def proportion_at_most(successes: float, n: float, level: float) -> float:
    """The upper bound that a true proportion is above with a probability of at most `level`."""
    from scipy.special import betaincinv

    _check(successes, n)
    return 1.0 if successes == n else float(betaincinv(successes + 1, n - successes, 1 - level))


def more_than_p(successes: float, n: float, proportion: float) -> float:
    """One-sided exact p-value of "the truth is at most `proportion`" against its being more."""
    from scipy.special import betainc

    _check(successes, n)
    return 1.0 if successes == 0 else float(betainc(successes, n - successes + 1, proportion))


def less_than_p(successes: float, n: float, proportion: float) -> float:
    """One-sided exact p-value of "the truth is at least `proportion`" against its being less."""
    from scipy.special import betaincc

    _check(successes, n)
    return 1.0 if successes == n else float(betaincc(successes + 1, n - successes, proportion))


def _check(successes: float, n: float) -> None:
    if not (0 <= successes <= n and n > 0):
        raise UsageError(f"{successes} successes of {n} trials. Mend: 0 <= successes <= trials, trials > 0")
