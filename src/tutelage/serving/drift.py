"""Whether requests are still what they were: their lengths, and what the student says of them.

The first requests of a student are the reference. Each further block of them is held against it, bin by bin,
by Fisher's exact test; the k-th block has a share 1/(k(k+1)) of delta, and each of its bins the same part of
that. So it may be looked at for ever, and is wrong with probability `delta` at most, for a reference of any
size, as long as requests come independently of each other. A block begins anew, so that a change is seen
however long all was well before; and being of a bounded length it doesn't make much of a little.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

REFERENCE, BLOCK = 1_000, 500  # requests
_MOST_BINS = 400  # labels; what comes later is counted as "other"
_OTHER = "other"
_CONFIDENCES = (0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999)
_LENGTHS = tuple(round(4 * 2 ** (step / 2)) for step in range(25))  # characters, 4 to 16,384
_NEGLIGIBLE = 1e-18  # of the tail, below which terms change nothing
FEATURES = ("label", "confidence", "length")


@dataclass(frozen=True, slots=True)
class Drifted:
    """A feature's bin whose share has surely changed: of `n` requests `share`, where it was `before`."""

    feature: str
    bin: str
    before: float
    share: float
    n: int
    p_value: float

    def __str__(self) -> str:
        return (
            f"requests are no longer what they were: {self.feature} {self.bin} is {self.share:.1%} "
            f"of the last {self.n:,}, and was {self.before:.1%}"
        )


def fisher(wrong: int, n: int, before: int, reference: int) -> float:
    """Two-sided p-value of Fisher's exact test, twice the smaller tail: `wrong` of `n` against `before` of
    `reference`. At most 1."""
    total, seen = n + reference, wrong + before
    low, high = max(0, seen - reference), min(n, seen)
    at = math.exp(_log_choose(n, wrong) + _log_choose(reference, before) - _log_choose(total, seen))
    upper = _tail(
        at, ((n - k) * (seen - k) / ((k + 1) * (reference - seen + k + 1)) for k in range(wrong, high))
    )
    lower = _tail(
        at, (k * (reference - seen + k) / ((n - k + 1) * (seen - k + 1)) for k in range(wrong, low, -1))
    )
    return min(1.0, 2 * min(upper, lower))


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


def _tail(first: float, ratios: Iterable[float]) -> float:
    whole = term = first
    for ratio in ratios:
        term *= ratio
        whole += term
        if ratio < 1 and term < whole * _NEGLIGIBLE:
            break
    return whole


class Drift:
    """Watches one student's requests. Its memory is bounded; taking one in costs a few microseconds.

    `needed` is how many requests the reference is made of.
    """

    needed = REFERENCE

    def __init__(self, delta: float, state: Mapping[str, Any] | None = None) -> None:
        self.delta = delta
        self.blocks = 0
        self.found: list[Drifted] = []
        self._reference = {name: Counter[str]() for name in FEATURES}
        self._block = {name: Counter[str]() for name in FEATURES}
        self._seen = self._known = 0  # of the block, of the reference
        if state is not None:
            self._restore(state)

    def add(self, labels: Iterable[str], confidence: float, length: int) -> list[Drifted]:
        """One request: what the student said of it, how surely, and its characters. What has drifted now."""
        filling = self.is_learning
        counts = self._reference if filling else self._block
        for label in labels:
            counts["label"][self._bin_of(label)] += 1
        counts["confidence"][_bin(_CONFIDENCES, confidence)] += 1
        counts["length"][_bin(_LENGTHS, length)] += 1
        if filling:
            self._known += 1
            return []
        self._seen += 1
        return self._judged() if self._seen >= BLOCK else []

    def _bin_of(self, label: str) -> str:
        """The same bin for reference and blocks: once the reference has very many, new labels are one."""
        known = self._reference["label"]
        return label if label in known or len(known) < _MOST_BINS else _OTHER

    def _judged(self) -> list[Drifted]:
        self.blocks += 1
        share = self.delta / (self.blocks * (self.blocks + 1)) / len(FEATURES)
        known = {one.feature for one in self.found}
        new = [
            one for name in FEATURES if name not in known and (one := self._worst(name, share)) is not None
        ]
        self.found += new
        self._block = {name: Counter() for name in FEATURES}
        self._seen = 0
        return new

    def _worst(self, name: str, share: float) -> Drifted | None:
        """The bin that has changed most surely, if any has."""
        reference, block = self._reference[name], self._block[name]
        bins = reference.keys() | block.keys()
        if not bins:
            return None
        found = [(fisher(block[bin], self._seen, reference[bin], self._known), bin) for bin in sorted(bins)]
        p_value, bin = min(found)
        if p_value > share / len(bins):
            return None
        before, now = reference[bin] / self._known, block[bin] / self._seen
        return Drifted(name, bin, before, now, self._seen, p_value)

    def to_json(self) -> dict[str, Any]:
        """All its state."""
        return {
            "delta": self.delta,
            "blocks": self.blocks,
            "known": self._known,
            "seen": self._seen,
            "reference": {name: dict(counts) for name, counts in self._reference.items()},
            "block": {name: dict(counts) for name, counts in self._block.items()},
            "found": [
                [one.feature, one.bin, one.before, one.share, one.n, one.p_value] for one in self.found
            ],
        }

    def _restore(self, state: Mapping[str, Any]) -> None:
        self.delta, self.blocks = state["delta"], state["blocks"]
        self._known, self._seen = state["known"], state["seen"]
        self._reference = {name: Counter(state["reference"][name]) for name in FEATURES}
        self._block = {name: Counter(state["block"][name]) for name in FEATURES}
        self.found = [Drifted(*one) for one in state["found"]]

    @property
    def known(self) -> int:
        """Requests that the reference has so far."""
        return self._known

    @property
    def is_learning(self) -> bool:
        """Whether the reference isn't whole yet."""
        return self._known < REFERENCE

    def figures(self) -> dict[str, Any]:
        """Where it stands, for people."""
        return {
            "reference": self._known,
            "reference_needed": REFERENCE,
            "blocks": self.blocks,
            "drifted": [str(one) for one in self.found],
        }


def _bin(edges: tuple[float, ...], value: float) -> str:
    place = bisect_right(edges, value)
    low = edges[place - 1] if place else 0
    return f"from {low:g}" if place == len(edges) else f"{low:g} to {edges[place]:g}"
