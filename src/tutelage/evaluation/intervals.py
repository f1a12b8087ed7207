"""Confidence intervals and tests for proportions and for two arms on the same examples.

The rule for a proportion (`proportion_interval`): exact where it is uncertain that an approximation holds,
that is below 100 examples or with fewer than 10 successes or failures; Wilson's score interval otherwise.

The rule for a difference (`paired_difference_interval`): Tango's score interval at every size. It inverts
the score test for non-inferiority, keeps its level in small samples and, unlike a bootstrap, doesn't collapse
to a point where the two arms disagree on few examples or on none.
"""

from __future__ import annotations

import math

from tutelage.errors import UsageError

CONFIDENCE = 0.95
_SMALL = 100
_FEW = 10
_BISECTIONS = 60  # halves an interval of width 2 down to 2e-18, below what a float tells apart


def _check(successes: float, n: float, confidence: float) -> None:
    if not (0 <= successes <= n and n > 0):
        raise UsageError(f"{successes} successes of {n} trials. Mend: 0 <= successes <= trials, trials > 0")
    if not 0 < confidence < 1:
        raise UsageError(f"confidence {confidence} is not between 0 and 1. Mend: give e.g. 0.95")


def _z(confidence: float) -> float:
    from scipy.special import ndtri

    return float(ndtri(0.5 + confidence / 2))


def wilson(successes: float, n: float, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Score interval of a proportion (Wilson 1927; equation 4 of Brown, Cai and DasGupta 2001)."""
    _check(successes, n, confidence)
    z = _z(confidence)
    p = successes / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    return low, 1.0 if successes == n else min(1.0, centre + half)


def clopper_pearson(successes: float, n: float, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Exact interval of a proportion (Clopper and Pearson 1934): covers at least as often as it says."""
    _check(successes, n, confidence)
    from scipy.special import betaincinv

    tail = (1 - confidence) / 2
    low = 0.0 if successes == 0 else float(betaincinv(successes, n - successes + 1, tail))
    high = 1.0 if successes == n else float(betaincinv(successes + 1, n - successes, 1 - tail))
    return low, high


def proportion_interval(successes: float, n: float, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """The project's interval of a proportion: `clopper_pearson` where counts are small, else `wilson`.

    Small means n < 100, or fewer than 10 successes or failures.
    """
    if n < _SMALL or min(successes, n - successes) < _FEW:
        return clopper_pearson(successes, n, confidence)
    return wilson(successes, n, confidence)


def paired_difference_interval(
    only_a: float, only_b: float, n: float, confidence: float = CONFIDENCE
) -> tuple[float, float]:
    """Interval of accuracy(a) − accuracy(b) on the same `n` examples.

    `only_a` counts the examples that only a got right, `only_b` those that only b did. Score interval of
    Tango (1998), "Equivalence test and confidence interval for the difference in proportions for the
    paired-sample design", Statistics in Medicine 17, 891-908: all differences that its score test, with the
    nuisance probability at its constrained maximum likelihood (equation 8), doesn't reject. Counts may be
    fractional, which serves planning.
    """
    _check(only_a + only_b, n, confidence)
    if only_a < 0 or only_b < 0:
        raise UsageError(
            f"discordant counts {only_a} and {only_b}: none may be negative. Mend: count examples"
        )
    z = _z(confidence)
    low = _lower_end(only_a, only_b, n, z)
    return low, -_lower_end(only_b, only_a, n, z) + 0.0


def _lower_end(only_a: float, only_b: float, n: float, z: float) -> float:
    """Where the score statistic equals z: above it left of the root, below it right of it."""
    left, right = -1.0, (only_a - only_b) / n
    for _ in range(_BISECTIONS):
        middle = (left + right) / 2
        excess = only_a - only_b - n * middle
        spread = 2 * _constrained(only_a, only_b, n, middle) + middle * (1 - middle)
        if excess > z * math.sqrt(max(0.0, n * spread)):
            left = middle
        else:
            right = middle
    return left


def _constrained(only_a: float, only_b: float, n: float, difference: float) -> float:
    """Most likely probability that only b is right, given the difference: the root of a quadratic."""
    linear = -only_a - only_b + (2 * n - only_a + only_b) * difference
    constant = -only_b * difference * (1 - difference)
    root = math.sqrt(max(0.0, linear * linear - 8 * n * constant))
    return (root - linear) / (4 * n)


def mcnemar_exact(only_a: int, only_b: int) -> float:
    """Two-sided exact p-value that a and b are equally often right (McNemar 1947, binomial form)."""
    from scipy.special import bdtr

    discordant = only_a + only_b
    if discordant == 0:
        return 1.0
    return min(1.0, 2 * float(bdtr(min(only_a, only_b), discordant, 0.5)))
