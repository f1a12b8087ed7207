"""The paired bootstrap of macro-F1, over patterns of outcomes instead of examples.

Examples with the same gold and the same answers are exchangeable, so that a resample of examples is a
multinomial draw of how often each distinct (gold, teacher, control, student) occurs: fewer numbers, the same
distribution, and a result that doesn't depend on the order of examples. All arms share the draws (Efron and
Tibshirani 1993, chapter 6; paired as in Berg-Kirkpatrick et al. 2012). What is taken of the draws is how they
spread and how two arms' go together; their percentiles know nothing of errors that a small sample hasn't
shown (see `recovered`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from tutelage.evaluation._coded import Coded
from tutelage.evaluation.intervals import CONFIDENCE
from tutelage.evaluation.recovered import Estimated, correlation, difference, share

Floats = npt.NDArray[np.float64]

_CELLS = 4_000_000  # of one block of draws; bounds memory to about 32 MB an array


def resampled_macro_f1(coded: Coded, *, seed: int, resamples: int) -> Mapping[str, Floats]:
    """Each arm's macro-F1 over bootstrap samples of the examples, float64 [resamples].

    NaN where no label occurs; empty where values are open.
    """
    if not coded.labelled:
        return {name: np.empty(0) for name in coded.answers}
    outcomes = np.stack([coded.gold, *coded.answers.values()], axis=1)
    _, first, counts = np.unique(outcomes, axis=0, return_index=True, return_counts=True)
    truth = coded.members[coded.gold[first]]
    predicted = {name: coded.members[answers[first]] for name, answers in coded.answers.items()}
    support = _sparse(truth)
    columns = {name: (_sparse(said), _sparse(said & truth)) for name, said in predicted.items()}
    found: dict[str, list[Floats]] = {name: [] for name in columns}
    width = len(counts) + 3 * coded.members.shape[1]
    for draws in _multinomial(counts, seed, resamples, width):
        labelled = support @ draws
        for name, (said, hits) in columns.items():
            found[name].append(macro_f1_of(labelled, said @ draws, hits @ draws))
    return {name: np.concatenate(parts) for name, parts in found.items()}


def macro_f1(coded: Coded, name: str, drawn: Mapping[str, Floats]) -> Estimated | None:
    """An arm's macro-F1, with the interval of a share of so many examples as its draws say that it is worth.

    They are at most what Kish's formula makes of the labels' supports: labels weigh alike, however rare. None
    where no label occurs.
    """
    truth, predicted = coded.members[coded.gold], coded.members[coded.answers[name]]
    support = truth.sum(axis=0)
    estimate = float(macro_f1_of(support, predicted.sum(axis=0), (truth & predicted).sum(axis=0)))
    if not np.isfinite(estimate):
        return None
    held = support[support > 0]
    finite = drawn[name][np.isfinite(drawn[name])]
    return share(
        estimate, float(finite.var()) if len(finite) else 0.0, len(held) ** 2 / float((1 / held).sum())
    )


def macro_f1_difference(coded: Coded, a: str, b: str, drawn: Mapping[str, Floats]) -> Estimated | None:
    """The macro-F1 of `a` less that of `b`, their correlation that of the draws."""
    of_a, of_b = macro_f1(coded, a, drawn), macro_f1(coded, b, drawn)
    if of_a is None or of_b is None:
        return None
    finite = np.isfinite(drawn[a]) & np.isfinite(drawn[b])
    return difference(of_a, of_b, correlation(drawn[a][finite], drawn[b][finite]))


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
