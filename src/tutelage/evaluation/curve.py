"""A learning curve: what more answers would bring, as far as students of fewer answers can tell.

The error of a student of n answers is taken to be a·n^(−b) + c (Cortes et al. 1993; Hestness et al. 2017),
fitted to students of nested shares. A fit foretells only what lies near: it is told with an interval, and
first has to foretell the largest share from the smaller ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from tutelage.errors import UsageError

Floats = npt.NDArray[np.float64]

LEAST_SIZES = 4
_DRAWS = 1_000
_EXPONENTS = np.geomspace(0.05, 2.0, 40)
_ENDS = (2.5, 97.5)
_UNSEEN = 3.0  # the 95% bound on what happened in none of n examples is 3 / n


@dataclass(frozen=True, slots=True)
class Ends:
    """An estimate with its 95% interval."""

    estimate: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class LearningCurve:
    """Quality in [0, 1] by the number of answers, and what `more` of them would add.

    `foretold` is the quality at the largest size as the smaller ones foretell it; `holds` whether the
    measured one lies no surer from it than chance explains. `verdict`: the gain is surely `worth` it, surely
    less, or neither can be said.
    """

    sizes: tuple[int, ...]
    quality: tuple[Ends, ...]
    foretold: Ends
    holds: bool
    more: int
    gain: Ends
    worth: float
    verdict: Literal["pays", "does not pay", "can't tell"]
    examples: int
    seeds: int

    def to_json(self) -> dict[str, Any]:
        """Plain numbers under the names of the fields."""
        return asdict(self)


def learning_curve(
    sizes: Sequence[int], scores: Floats, more: int, *, worth: float, seed: int = 0
) -> LearningCurve:
    """Fit `scores`, float64 [sizes, seeds, examples] in [0, 1], of the same examples, by growing `sizes`.

    Intervals are percentiles of a bootstrap over examples, the same for all sizes, and over seeds, whose
    spread is widened by √(s / (s − 1)) for there being s of them. Raises UsageError for fewer than
    four sizes, two seeds or ten examples, and for sizes that don't grow.
    """
    _check(sizes, scores)
    n = np.array(sizes, dtype=np.float64)
    errors = 1.0 - scores
    mean = errors.mean(axis=(1, 2))
    drawn = _drawn(errors, seed)
    after = float(n[-1] + more)
    gain = _ends(mean[-1:] - _foretell(n, mean[None], after), drawn[:, -1] - _foretell(n, drawn, after))
    fewer = _foretell(n[:-1], mean[None, :-1], n[-1])
    fewer_drawn = _foretell(n[:-1], drawn[:, :-1], n[-1])
    low, high = np.percentile(fewer_drawn - drawn[:, -1], _ENDS)
    holds = bool(low <= 0.0 <= high)
    return LearningCurve(
        tuple(int(size) for size in sizes),
        tuple(_ends(1.0 - mean[[at]], 1.0 - drawn[:, at]) for at in range(len(n))),
        _ends(1.0 - fewer, 1.0 - fewer_drawn),
        holds,
        more,
        gain,
        worth,
        _verdict(gain, worth, scores.shape[2]) if holds else "can't tell",
        scores.shape[2],
        scores.shape[1],
    )


def _check(sizes: Sequence[int], scores: Floats) -> None:
    if scores.ndim != 3 or len(sizes) != len(scores):
        raise UsageError(f"{len(sizes)} sizes and scores of shape {scores.shape}: [sizes, seeds, examples]")
    if len(sizes) < LEAST_SIZES or scores.shape[1] < 2 or scores.shape[2] < 10:
        raise UsageError(
            f"a learning curve of {len(sizes)} sizes, {scores.shape[1]} seeds and {scores.shape[2]} "
            f"examples: {LEAST_SIZES}, 2 and 10 are the least. Mend: label more, or name more "
            "comparison.seeds"
        )
    if sizes[0] < 1 or any(one >= other for one, other in pairwise(sizes)):
        raise UsageError(f"sizes {list(sizes)} don't grow from 1 on")


def _verdict(gain: Ends, worth: float, examples: int) -> Literal["pays", "does not pay", "can't tell"]:
    """Less than `_UNSEEN` / `examples` may be gained without a draw that shows it (the rule of three)."""
    if gain.low >= worth:
        return "pays"
    surely_less = max(gain.high, _UNSEEN / examples) < worth
    return "does not pay" if surely_less else "can't tell"


def _ends(estimate: Floats, drawn: Floats) -> Ends:
    low, high = np.percentile(drawn, _ENDS)
    middle = float(estimate[0])
    return Ends(middle, min(float(low), middle), max(float(high), middle))


def _drawn(errors: Floats, seed: int) -> Floats:
    """Mean errors by size in each draw, float64 [draws, sizes]."""
    generator = np.random.default_rng(seed)
    sizes, seeds, examples = errors.shape
    by_draw = np.empty((_DRAWS, sizes))
    widened = (seeds / (seeds - 1)) ** 0.5
    for draw in range(_DRAWS):
        weights = generator.multinomial(examples, np.full(examples, 1.0 / examples)) / examples
        by_seed = errors @ weights
        picked = np.take_along_axis(by_seed, generator.integers(seeds, size=(sizes, seeds)), axis=1)
        middle = by_seed.mean(axis=1)
        by_draw[draw] = middle + widened * (picked.mean(axis=1) - middle)
    return by_draw


def _foretell(n: Floats, errors: Floats, at: float) -> Floats:
    """The error of `at` answers by the fit of each row of `errors` [draws, sizes]: float64 [draws].

    For each exponent a and c are least squares, neither below 0; the best exponent of each row counts.
    """
    best, found = np.full(len(errors), np.inf), np.zeros(len(errors))
    mean = errors.mean(axis=1)
    for exponent in _EXPONENTS:
        x = (n / n[0]) ** -exponent
        centred = x - x.mean()
        a = (errors - mean[:, None]) @ centred / (centred @ centred)
        c = mean - a * x.mean()
        a = np.where(c < 0, errors @ x / (x @ x), a)
        c = np.where(c < 0, 0.0, c)
        c = np.where(a < 0, mean, c)
        a = np.maximum(a, 0.0)
        off = ((errors - a[:, None] * x - c[:, None]) ** 2).sum(axis=1)
        better = off < best
        best = np.where(better, off, best)
        found = np.where(better, a * (at / n[0]) ** -exponent + c, found)
    return found
