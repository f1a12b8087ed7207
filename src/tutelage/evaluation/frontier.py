"""Students of several kinds and sizes beside each other: who is worth its size, and which one to take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tutelage.errors import UsageError
from tutelage.evaluation.footprint import Footprint
from tutelage.evaluation.intervals import CONFIDENCE

_RESAMPLES = 4_000
_CELLS = 4_000_000  # of one block of draws: about 32 MB


@dataclass(frozen=True)
class Contender:
    """What one student did: `scores` float64 [seeds, examples] in [0, 1], the same examples for all."""

    name: str
    scores: npt.NDArray[np.float64]
    footprint: Footprint


@dataclass(frozen=True, slots=True)
class Standing:
    """One contender's figures. `loss` is the best contender's quality less its own, with a 95% interval whose
    upper end decides; `on_frontier`: no other is at least as good, as small and as fast, and better in one.
    """

    name: str
    quality: float
    low: float
    high: float
    by_seed: tuple[float, ...]
    loss: float
    loss_low: float
    loss_high: float
    on_frontier: bool
    footprint: Footprint


@dataclass(frozen=True, slots=True)
class Frontier:
    """All standings, the smallest first, and the name proposed: the smallest that surely loses no more than
    `margin` against the best, which is proposed itself where no smaller one is sure to.
    """

    standings: tuple[Standing, ...]
    best: str
    proposal: str
    margin: float
    examples: int
    seeds: int


def frontier_of(contenders: Sequence[Contender], margin: float, *, seed: int = 0) -> Frontier:
    """Draw the frontier. Intervals are of a bootstrap over examples, the same draws for all, and over seeds.

    The best is chosen on the same examples, so that its lead is told as a little larger than it is: a smaller
    student is proposed rather too seldom than too often. Raises UsageError for none, and for scores of
    different examples or seeds.
    """
    if not contenders:
        raise UsageError("there is nobody to compare. Mend: name at least one candidate")
    shapes = {contender.scores.shape for contender in contenders}
    if len(shapes) > 1:
        raise UsageError(f"scores are of different seeds or examples: {sorted(shapes)}")
    ((seeds, examples),) = shapes
    means = {contender.name: float(contender.scores.mean()) for contender in contenders}
    drawn = _resampled(contenders, seed)
    best = max(contenders, key=lambda contender: (means[contender.name], -_size(contender))).name
    standings = [
        _standing(contender, contenders, means, drawn, best)
        for contender in sorted(contenders, key=lambda contender: (_size(contender), contender.name))
    ]
    sure = [one.name for one in standings if one.name == best or one.loss_high <= margin]
    return Frontier(tuple(standings), best, sure[0], margin, examples, seeds)


def _standing(
    contender: Contender,
    contenders: Sequence[Contender],
    means: Mapping[str, float],
    drawn: Mapping[str, npt.NDArray[np.float64]],
    best: str,
) -> Standing:
    name = contender.name
    low, high = _interval(drawn[name])
    loss_low, loss_high = _interval(drawn[best] - drawn[name])
    return Standing(
        name,
        means[name],
        low,
        high,
        tuple(contender.scores.mean(axis=1).tolist()),
        means[best] - means[name],
        loss_low,
        loss_high,
        not any(_beats(other, contender, means) for other in contenders),
        contender.footprint,
    )


def _beats(other: Contender, one: Contender, means: Mapping[str, float]) -> bool:
    """At least as good, as small and as fast, and better in one of the three."""
    pairs = (
        (means[other.name], means[one.name]),
        (-_size(other), -_size(one)),
        (-_latency(other), -_latency(one)),
    )
    return all(theirs >= own for theirs, own in pairs) and any(theirs > own for theirs, own in pairs)


def _size(contender: Contender) -> float:
    return contender.footprint.size_mb if contender.footprint.size_mb is not None else np.inf


def _latency(contender: Contender) -> float:
    found = contender.footprint.latency_p50_ms
    return found if found is not None else np.inf


def _interval(resampled: npt.NDArray[np.float64]) -> tuple[float, float]:
    low, high = np.quantile(resampled, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def _resampled(contenders: Sequence[Contender], seed: int) -> dict[str, npt.NDArray[np.float64]]:
    """Each one's mean over resamples: examples are drawn for all alike, seeds for each on its own."""
    generator = np.random.default_rng(seed)
    seeds, examples = contenders[0].scores.shape
    found: dict[str, list[npt.NDArray[np.float64]]] = {contender.name: [] for contender in contenders}
    block = max(1, _CELLS // examples)
    for start in range(0, _RESAMPLES, block):
        size = min(block, _RESAMPLES - start)
        weights = generator.multinomial(examples, np.full(examples, 1 / examples), size=size) / examples
        for contender in contenders:
            by_seed = weights @ contender.scores.T
            chosen = generator.integers(seeds, size=(size, seeds))
            found[contender.name].append(np.take_along_axis(by_seed, chosen, axis=1).mean(axis=1))
    return {name: np.concatenate(parts) for name, parts in found.items()}
