"""Whether stated confidence can be believed: ECE, Brier score, reliability.

A *decision* is one answer (single label: its probability is the confidence), or with several labels the yes
or no to one label (confidence: the probability of what was said). Answers without probabilities, and
quarantined ones, state no confidence and are left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tutelage.evaluation.arms import Arm
from tutelage.evaluation.intervals import CONFIDENCE, proportion_interval
from tutelage.records import Value
from tutelage.students.probabilities import confidences
from tutelage.tasks import LabelTask

if TYPE_CHECKING:
    from tutelage.records import Distribution

Floats = npt.NDArray[np.float64]

BINS = 15
_LEAST_IN_BIN = 20  # examples; smaller bins add more noise to the ECE than they show miscalibration
_CELLS = 8_000_000
_MANY = 5_000  # examples, from which on sums over bins are as good as normal


@dataclass(frozen=True, slots=True)
class Calibration:
    """`ece` with its interval, `brier`, and the bins as `{"confidence", "accuracy", "n"}`, n in decisions."""

    ece: float
    ece_low: float
    ece_high: float
    brier: float
    reliability: tuple[dict[str, Any], ...]


def calibrate(
    task: LabelTask,
    gold: Sequence[Value],
    values: Sequence[Value | None],
    distributions: Distribution | None,
    *,
    seed: int,
    resamples: int,
) -> Calibration | None:
    """Calibration of one arm, or None where it states no confidence. The interval is of the ECE at 95%."""
    stated = stated_rows(values, distributions)
    if distributions is None or not len(stated):
        return None
    probabilities = distributions[stated].astype(np.float64)
    truth = task.encode([gold[row] for row in stated]) > 0
    given = task.encode([value for row in stated if (value := values[row]) is not None]) > 0
    confidence, correct = _decisions(task, probabilities, truth, given)
    count = bin_count(len(stated))
    bins = equal_mass_bins(confidence.ravel(), count).reshape(confidence.shape)
    shifted = equal_mass_bins(confidence.ravel(), count, shift=0.5).reshape(confidence.shape)
    gaps = _gaps(confidence, correct, bins)
    ece = _error(gaps, confidence.size)
    low, high = _ece_interval(gaps, confidence.size, seed, resamples)
    _, beside = _ece_interval(_gaps(confidence, correct, shifted), confidence.size, seed, resamples)
    high = max(high, beside, _overall_gap(confidence, correct, len(stated)))
    if not _is_shown_off(gaps, confidence, bins):
        low = 0.0
    squared = (probabilities - truth) ** 2
    return Calibration(
        ece=ece,
        ece_low=low,
        ece_high=high,
        brier=float(squared.mean() if task.multi_label else squared.sum(axis=1).mean()),
        reliability=tuple(_reliability(confidence.ravel(), correct.ravel(), bins.ravel())),
    )


def untempered(distributions: Distribution, temperature: float, *, multi_label: bool) -> Distribution:
    """The probabilities, [n, labels], before their logits were divided by `temperature`."""
    known = distributions.astype(np.float64)
    raised = known**temperature
    total = raised + (1 - known) ** temperature if multi_label else raised.sum(axis=1, keepdims=True)
    found: Distribution = (raised / total).astype(np.float32)
    return found


def stated_rows(values: Sequence[Value | None], distributions: Distribution | None) -> npt.NDArray[np.int64]:
    """Rows that hold both an answer and its probabilities."""
    if distributions is None:
        return np.empty(0, dtype=np.int64)
    answered = np.array([value is not None for value in values], dtype=bool)
    return np.flatnonzero(answered & ~np.isnan(distributions).any(axis=1))


def stated_confidence(values: Sequence[Value | None], distributions: Distribution | None) -> Floats:
    """The confidence in each whole answer (see `confidences`), float64 [n]; NaN where none was stated."""
    confidence = np.full(len(values), np.nan)
    rows = stated_rows(values, distributions)
    if distributions is None or not len(rows):
        return confidence
    confidence[rows] = confidences(distributions[rows], isinstance(values[rows[0]], tuple))
    return confidence


def confidence_of(arm: Arm) -> Floats:
    """The confidence in each of an arm's answers, float64 [n], NaN where none was stated.

    By its distributions where it has any, else what it says itself; of a missing answer there is none.
    """
    if arm.distributions is not None or arm.confidence is None:
        return stated_confidence(arm.values, arm.distributions)
    answered = np.array([value is not None for value in arm.values], dtype=bool)
    return np.where(answered, arm.confidence, np.nan)


def bin_count(examples: int) -> int:
    """15 bins, fewer where a bin would hold less than 20 examples."""
    return max(1, min(BINS, examples // _LEAST_IN_BIN))


def equal_mass_bins(confidence: Floats, bins: int, shift: float = 0.0) -> npt.NDArray[np.int64]:
    """The bin of each confidence, int64 [n]: as many in each as ties allow, which share a bin.

    Equal-mass binning after Nguyen and O'Connor (2015); equal confidences stay together so that the bins
    don't depend on the order of examples. With `shift`, between 0 and 1, the bins' edges lie that part of a
    bin lower, and the first and the last hold less.
    """
    _, inverse, counts = np.unique(confidence, return_inverse=True, return_counts=True)
    ranks = np.cumsum(counts) - counts
    places: npt.NDArray[np.int64] = np.floor(ranks * bins / len(confidence) + shift).astype(np.int64)
    result: npt.NDArray[np.int64] = places[inverse]
    return result


def expected_calibration_error(confidence: Floats, correct: npt.NDArray[np.bool_], bins: int = BINS) -> float:
    """Mean over decisions of |accuracy − confidence| in their bin (Guo et al. 2017, equation 3)."""
    of = equal_mass_bins(confidence, bins)
    gaps = np.bincount(of, weights=confidence - correct, minlength=bins)
    return float(np.abs(gaps).sum() / len(confidence))


def _decisions(
    task: LabelTask, probabilities: Floats, truth: npt.NDArray[np.bool_], given: npt.NDArray[np.bool_]
) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Confidence and correctness of each decision: [n, 1], or [n, labels] with several labels."""
    if task.multi_label:
        return np.where(given, probabilities, 1 - probabilities), given == truth
    return probabilities[given][:, None], (given == truth).all(axis=1)[:, None]


def _gaps(confidence: Floats, correct: npt.NDArray[np.bool_], bins: npt.NDArray[np.int64]) -> Floats:
    """Per example and bin the sum of confidence − correctness, float64 [n, bins], in canonical order."""
    gaps = np.zeros((len(confidence), int(bins.max()) + 1))
    rows = np.broadcast_to(np.arange(len(confidence))[:, None], bins.shape)
    np.add.at(gaps, (rows, bins), confidence - correct)
    return gaps[np.lexsort(gaps.T)]


def _error(gaps: Floats, decisions: int) -> float:
    return float(np.abs(gaps.sum(axis=0)).sum() / decisions)


def _ece_interval(
    gaps: Floats, decisions: int, seed: int, resamples: int, confidence: float = CONFIDENCE
) -> tuple[float, float]:
    """Basic bootstrap interval over examples (Davison and Hinkley 1997, equation 5.6), cut to [0, 1].

    The binned ECE is biased upward: noise within bins has a size but no sign. Resampling adds a bias of that
    kind once more, so that percentiles would lie too high; reflecting them about the estimate takes it off
    again. Near perfect calibration resampling shows less than half of the bias, so the lower end gives way by
    what it shows a second time: noise must not pass for miscalibration. The upper end is at least the normal
    one about an estimate that errs upward: where the gap changes its sign along the confidences, bins near
    there are biased too and hide what lies on both sides of nought. Where it jumps within a bin, that bin
    hides up to all of its gap; among bins shifted by half of one it is then nearer to an edge, so that
    `calibrate` takes the larger upper end of both.
    """
    from scipy.special import ndtri

    resampled = _resampled_sums if len(gaps) < _MANY else _normal_sums
    ece = _error(gaps, decisions)
    drawn = np.concatenate(list(resampled(gaps, np.random.default_rng(seed), resamples)))
    drawn_errors = np.abs(drawn).sum(axis=1) / decisions
    low, high = np.quantile(drawn_errors, [(1 - confidence) / 2, (1 + confidence) / 2])
    bias = max(0.0, float(drawn_errors.mean()) - ece)
    above = max(2 * ece - low, ece + float(ndtri(0.5 + confidence / 2) * drawn_errors.std()))
    return float(np.clip(2 * ece - high - bias, 0, 1)), float(np.clip(above, 0, 1))


def _resampled_sums(gaps: Floats, generator: np.random.Generator, resamples: int) -> Iterator[Floats]:
    """Blocks of the bins' sums over resamples of the examples, float64 [up to resamples, bins]."""
    n = len(gaps)
    block = max(1, _CELLS // n)
    for start in range(0, resamples, block):
        size = min(block, resamples - start)
        drawn = generator.integers(n, size=(size, n)) + n * np.arange(size)[:, None]
        weights = np.bincount(drawn.ravel(), minlength=size * n).reshape(size, n).astype(np.float64)
        yield weights @ gaps


def _normal_sums(gaps: Floats, generator: np.random.Generator, resamples: int) -> Iterator[Floats]:
    """The same, drawn from the normal distribution with the resampled sums' own mean and covariance.

    With hundreds of examples a bin the sums are normal but for what quantiles can't show; examples needn't
    be drawn one by one then.
    """
    sums = gaps.sum(axis=0)
    covariance = gaps.T @ gaps - np.outer(sums, sums) / len(gaps)
    yield generator.multivariate_normal(sums, covariance, size=resamples, method="eigh", check_valid="ignore")


def _overall_gap(confidence: Floats, correct: npt.NDArray[np.bool_], examples: int) -> float:
    """The largest distance of mean confidence from an accuracy that the data don't rule out.

    The ECE is never less than this distance. Where no answer was wrong, resampling never draws a wrong one,
    and only the exact interval of the accuracy remembers that twenty right answers don't make it one.
    """
    mean, right = float(confidence.mean()), float(correct.mean())
    return max(abs(mean - end) for end in proportion_interval(right * examples, examples))


def _is_shown_off(
    gaps: Floats, confidence: Floats, bins: npt.NDArray[np.int64], level: float = (1 - CONFIDENCE) / 2
) -> bool:
    """Whether the bins' gaps are larger than they would be, but for a chance of `level`, if calibrated.

    The statistic of Hosmer and Lemeshow (1980) over bins of stated confidence, none of whose freedoms were
    fitted. Decisions about one example aren't independent of each other, so that a bin's variance is at
    least what examples show. Where the truth is no miscalibration at all, a bootstrap interval would leave
    it out far too often.
    """
    from scipy.special import chdtrc

    by_model = np.bincount(
        bins.ravel(), weights=(confidence * (1 - confidence)).ravel(), minlength=gaps.shape[1]
    )
    variance = np.maximum(by_model, (gaps**2).sum(axis=0)) if confidence.shape[1] > 1 else by_model
    off = gaps.sum(axis=0) ** 2
    if (off[variance <= 0] > 0).any():  # wrong where it was certain
        return True
    inside = variance > 0
    return bool(chdtrc(int(inside.sum()), (off[inside] / variance[inside]).sum()) <= level)


def _reliability(confidence: Floats, correct: npt.NDArray[np.bool_], bins: npt.NDArray[np.int64]) -> Any:
    for index in np.unique(bins):
        inside = bins == index
        yield {
            "confidence": float(confidence[inside].mean()),
            "accuracy": float(correct[inside].mean()),
            "n": int(inside.sum()),
        }
