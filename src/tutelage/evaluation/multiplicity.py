"""Several one-sided tests that are read together: Holm's procedure, and bounds that never contradict it.

Holm (1979, Scandinavian Journal of Statistics 6, 65-70): with k tests the smallest p-value is compared with
level/k, the next with level/(k − 1), and so on until one isn't below. The chance that any true hypothesis is
rejected is at most `level`, whatever the dependence between them. It rejects all that Bonferroni does.

The lower bounds are those of Strassburger and Bretz (2008, Statistics in Medicine 27, 4914-4927), which hold
together at 1 − `level` and agree with every rejection: a hypothesis that isn't rejected has its own bound at
level/(number not rejected); one that is rejected lies at or above its limit, and nothing more is said of it
until all are rejected, when each also has its own bound at level/k.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, eq=False)
class OneSidedTest:
    """Of "the quantity is at most `limit`" against its being more, with `bound(level)` its lower bound."""

    p_value: float
    limit: float
    bound: Callable[[float], float]


@dataclass(frozen=True, slots=True)
class Tested:
    """`rejected`: the quantity is shown to be above its limit. `low`: simultaneous lower bound.

    `level` is the one at which this test stands or would have to be passed, others being as they are.
    """

    rejected: bool
    low: float
    level: float


def holm(tests: Sequence[OneSidedTest], level: float, others: int = 0) -> list[Tested]:
    """Test all at familywise `level`, below 0.5; `others` of the family are taken for not rejected."""
    count, rejected = len(tests) + others, set[int]()
    for index in sorted(range(len(tests)), key=lambda index: tests[index].p_value):
        if tests[index].p_value > level / (count - len(rejected)):
            break
        rejected.add(index)
    left = count - len(rejected)
    own = level / max(1, left or count)
    return [_tested(test, index in rejected, own, not left) for index, test in enumerate(tests)]


def adjusted_p(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values, in the order given: what is at most a level is rejected at it.

    statsmodels' function of that purpose collects the interpreter's garbage at every call, 0.3 s of it.
    """
    adjusted, largest = [0.0] * len(p_values), 0.0
    for place, index in enumerate(sorted(range(len(p_values)), key=lambda index: p_values[index])):
        largest = max(largest, min(1.0, p_values[index] * (len(p_values) - place)))
        adjusted[index] = largest
    return adjusted


def _tested(test: OneSidedTest, rejected: bool, own: float, all_rejected: bool) -> Tested:
    if not rejected:
        # Bound and test agree but for rounding, which must not show what wasn't shown.
        return Tested(False, min(test.bound(own), test.limit), own)
    return Tested(True, max(test.limit, test.bound(own)) if all_rejected else test.limit, own)
