"""The paired bootstrap of accuracy and macro-F1, over patterns of outcomes instead of examples.

Examples with the same gold and the same answers are exchangeable, so that a resample of examples is a
multinomial draw of how often each distinct (gold, teacher, control, student) occurs: fewer numbers, the same
distribution, and a result that doesn't depend on the order of examples. Where values are open only who was
right is looked at, and macro-F1 is NaN. All arms share the draws (Efron and
Tibshirani 1993, chapter 6; paired as in Berg-Kirkpatrick et al. 2012).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tutelage.evaluation._coded import Coded
from tutelage.evaluation.intervals import CONFIDENCE

Floats = npt.NDArray[np.float64]

_CELLS = 4_000_000  # of one block of draws; bounds memory to about 32 MB an array


@dataclass(frozen=True, eq=False)
class Resampled:
    """Statistics of each arm over resamples, float64 [resamples]; macro-F1 is NaN where no label occurs."""

    accuracy: Mapping[str, Floats]
    macro_f1: Mapping[str, Floats]


def resample(coded: Coded, *, seed: int, resamples: int) -> Resampled:
    """Draw `resamples` bootstrap samples of the examples and score every arm on each."""
    outcomes = [coded.gold, *coded.answers.values()] if coded.labelled else [*coded.right.values()]
    _, first, counts = np.unique(
        np.stack(outcomes or [coded.gold], axis=1), axis=0, return_index=True, return_counts=True
    )
    support = _sparse(coded.members[coded.gold[first]])
    arms = {name: _ArmColumns.of(coded, name, first) for name in coded.answers}
    accuracy: dict[str, list[Floats]] = {name: [] for name in arms}
    macro_f1: dict[str, list[Floats]] = {name: [] for name in arms}
    width = len(counts) + 3 * coded.members.shape[1]
    for draws in _multinomial(counts, seed, resamples, width):
        labelled = support @ draws
        for name, columns_of_arm in arms.items():
            accuracy[name].append((columns_of_arm.right @ draws) / coded.n)
            predicted, hits = columns_of_arm.predicted @ draws, columns_of_arm.hits @ draws
            macro_f1[name].append(macro_f1_of(labelled, predicted, hits))
    return Resampled(
        {name: np.concatenate(parts) for name, parts in accuracy.items()},
        {name: np.concatenate(parts) for name, parts in macro_f1.items()},
    )


@dataclass(frozen=True, eq=False)
class _ArmColumns:
    """By pattern: whether it is right [patterns]; sparse [labels, patterns], what was predicted and hit."""

    right: Floats
    predicted: Any
    hits: Any

    @classmethod
    def of(cls, coded: Coded, name: str, first: npt.NDArray[np.int64]) -> _ArmColumns:
        """`first`: an example of each pattern."""
        predicted = coded.members[coded.answers[name][first]]
        return cls(
            coded.right[name][first].astype(np.float64),
            _sparse(predicted),
            _sparse(predicted & coded.members[coded.gold[first]]),
        )


def _sparse(rows: npt.NDArray[np.bool_]) -> Any:
    from scipy.sparse import csr_array

    return csr_array(rows.T.astype(np.float64))


def _multinomial(counts: npt.NDArray[np.int64], seed: int, resamples: int, width: int) -> Iterator[Floats]:
    """Blocks of draws, float64 [patterns, up to resamples]: how often each pattern is in a resample."""
    generator = np.random.default_rng(seed)
    total = int(counts.sum())
    block = max(1, _CELLS // width)
    for start in range(0, resamples, block):
        size = min(block, resamples - start)
        yield generator.multinomial(total, counts / total, size=size).T.astype(np.float64)


def macro_f1_of(support: Floats, predicted: Floats, hits: Floats) -> Floats:
    """Mean F1 over the labels that gold has, for counts [labels, ...]; NaN where it has none.

    F1 is 2·hits / (support + predicted). A label without support is left out, whatever was predicted: every
    arm is then averaged over the same labels (a prediction of it still costs the recall of the right one).
    """
    present = support > 0
    scores = np.where(present, 2 * hits / np.maximum(support + predicted, 1), 0.0)
    labels = present.sum(axis=0)
    result: Floats = np.where(labels > 0, scores.sum(axis=0) / np.maximum(labels, 1), np.nan)
    return result


def percentile_interval(
    estimate: float, resampled: Floats, confidence: float = CONFIDENCE
) -> dict[str, float | None]:
    """`{"estimate", "low", "high"}` by percentiles of the finite resamples; None for what isn't finite."""
    finite = resampled[np.isfinite(resampled)]
    if not np.isfinite(estimate):
        return {"estimate": None, "low": None, "high": None}
    if not len(finite):
        return {"estimate": float(estimate), "low": None, "high": None}
    low, high = np.quantile(finite, [(1 - confidence) / 2, (1 + confidence) / 2])
    return {"estimate": float(estimate), "low": float(low), "high": float(high)}
