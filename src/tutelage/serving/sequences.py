"""Statistics of a stream that stay valid however often one looks: an alarm, and an interval.

Both rest on Ville's inequality: a non-negative supermartingale that starts at 1 ever reaches 1/δ with
probability at most δ. So whoever looks after every request, stops when it pleases, and goes on again, is
wrong no more often than was promised. Pure Python: a server needs nothing for them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tutelage.errors import UsageError

# Rates looked out for, as multiples of the odds of the limit: from a slight excess to a broken student.
_ODDS = (1.3, 1.7, 2.4, 3.6, 6.0, 12.0, 40.0)
_BLOCK = 16  # trials that share one time at which the change may have come
_BISECTIONS = 50
# Σ 1 / ((j + 1) ln²(j + 1)) over j = 1, 2, ... is below this: 2.1097... to eleven terms by sum, the rest by
# integral.
_WEIGHTS_SUM = 2.11


def _check_share(value: float, name: str) -> None:
    if not 0 < value < 1:
        raise UsageError(f"{name} {value:g} is not between 0 and 1. Mend: give e.g. 0.05")


class Alarm:
    """Whether a rate of errors is, or has come to be, above `limit`: wrong with probability `delta`.

    A mixture e-process (Robbins 1970; Ramdas, Grünwald, Vovk and Shafer 2023, section 5.1). Against each rate
    θ above the limit the likelihood ratio of θ to the limit is a supermartingale under every rate up to the
    limit, whether or not it stays the same. It is begun anew at every sixteenth trial j with a weight w(j),
    the w adding up to at most 1, so that a change late in a long good run isn't drowned by it: with S the
    weighted sum over beginnings (Shiryaev's statistic, with a prior that needs no rate of change),

        S(t, θ) = (S(t−1, θ) + w(t)) · (θ/limit)^x · ((1−θ)/(1−limit))^(1−x)
        E(t) = mean over θ of S(t, θ) + the weights not yet spent.

    Memory and time a trial are constant. Once E has reached 1/δ the alarm stays.
    """

    __slots__ = ("_blocks", "_ratios", "_spent", "_sums", "delta", "errors", "limit", "rung_at", "trials")

    def __init__(self, limit: float, delta: float) -> None:
        _check_share(limit, "limit")
        _check_share(delta, "delta")
        self.limit, self.delta = limit, delta
        self.trials = self.errors = 0
        self.rung_at: int | None = None  # the trial at which it rang
        odds = limit / (1 - limit)
        rates = [odds * times / (1 + odds * times) for times in _ODDS]
        self._ratios = [(rate / limit, (1 - rate) / (1 - limit)) for rate in rates]
        self._sums = [0.0] * len(rates)
        self._blocks, self._spent = 0, 0.0

    def add(self, wrong: bool) -> bool:
        """Count one more trial; whether the alarm rings, or has rung."""
        if self.rung_at is not None:
            self.trials += 1
            self.errors += wrong
            return True
        weight = self._weight() if self.trials % _BLOCK == 0 else 0.0
        self.trials += 1
        self.errors += wrong
        side = 0 if wrong else 1
        self._sums = [
            (so_far + weight) * ratio[side] for so_far, ratio in zip(self._sums, self._ratios, strict=True)
        ]
        if self.evidence >= 1 / self.delta:
            self.rung_at = self.trials
        return self.rung_at is not None

    def _weight(self) -> float:
        """Of a beginning in the next block; the weights of all blocks add up to less than 1."""
        self._blocks += 1
        weight = 1 / ((self._blocks + 1) * math.log(self._blocks + 1) ** 2 * _WEIGHTS_SUM)
        self._spent += weight
        return weight

    @property
    def evidence(self) -> float:
        """E: how many times better an excess explains what was seen; 1 says nothing."""
        return sum(self._sums) / len(self._sums) + 1 - self._spent

    def to_json(self) -> dict[str, Any]:
        """All its state."""
        return {
            **{name: getattr(self, name) for name in ("limit", "delta", "trials", "errors", "rung_at")},
            "sums": list(self._sums),
            "blocks": self._blocks,
            "spent": self._spent,
        }

    @classmethod
    def from_json(cls, state: Mapping[str, Any]) -> Alarm:
        """As `to_json` left it, so that a server that is started again goes on."""
        alarm = cls(state["limit"], state["delta"])
        if len(state["sums"]) != len(alarm._sums):
            raise UsageError(
                f"an alarm's state has {len(state['sums'])} sums, and this version keeps {len(alarm._sums)}. "
                "Mend: begin a new one"
            )
        alarm.trials, alarm.errors, alarm.rung_at = state["trials"], state["errors"], state["rung_at"]
        alarm._sums, alarm._blocks, alarm._spent = list(state["sums"]), state["blocks"], state["spent"]
        return alarm


@dataclass(frozen=True, slots=True)
class ConfidenceSequence:
    """An interval for a constant rate that holds at all times together with probability `confidence`.

    The conjugate mixture of Bernoulli likelihoods under Beta(½, ½) (Robbins 1970; Howard, Ramdas, McAuliffe
    and Sekhon 2021, section 3.2): all rates p at which

        B(k + ½, n − k + ½) / B(½, ½) / (p^k (1 − p)^(n − k)) < 1 / (1 − confidence),

    k being the errors of n trials. Unlike a usual interval it may be looked at after every trial.
    """

    errors: int = 0
    trials: int = 0
    confidence: float = 0.95

    def __post_init__(self) -> None:
        _check_share(self.confidence, "confidence")
        if not 0 <= self.errors <= self.trials:
            raise UsageError(
                f"{self.errors} errors of {self.trials} trials. Mend: 0 <= errors <= trials, whole numbers"
            )

    def interval(self) -> tuple[float, float]:
        """Its ends, low and high; (0, 1) before any trial."""
        if self.trials == 0:
            return 0.0, 1.0
        estimate = self.errors / self.trials
        low = 0.0 if self._holds(0.0) else self._end(0.0, estimate)
        high = 1.0 if self._holds(1.0) else self._end(1.0, estimate)
        return low, high

    def _end(self, outside: float, inside: float) -> float:
        for _ in range(_BISECTIONS):
            middle = (outside + inside) / 2
            if self._holds(middle):
                inside = middle
            else:
                outside = middle
        return outside

    def _holds(self, rate: float) -> bool:
        k, n = self.errors, self.trials
        if (rate == 0.0 and k > 0) or (rate == 1.0 and k < n):
            return False
        mixture = math.lgamma(k + 0.5) + math.lgamma(n - k + 0.5) - math.lgamma(n + 1) - math.log(math.pi)
        likelihood = (k * math.log(rate) if k else 0.0) + ((n - k) * math.log1p(-rate) if n > k else 0.0)
        return mixture - likelihood < -math.log1p(-self.confidence)
