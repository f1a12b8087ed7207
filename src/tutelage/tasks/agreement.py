"""How far two raters agree, beyond what chance would make of it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from collections.abc import Set as AbstractSet


def mean_f1(given: Sequence[AbstractSet[str]], right: Sequence[AbstractSet[str]]) -> float:
    """Macro-F1 over the labels that `right` has, as evaluation reports it; 0 where it has none.

    `given[i]` and `right[i]` are the labels of one example, empty where there is none.
    """
    hits: Counter[str] = Counter()
    support: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    for some, others in zip(given, right, strict=True):
        hits.update(some & others)
        support.update(others)
        counts.update(some)
    scores = [2 * hits[label] / (n + counts[label]) for label, n in support.items()]
    return math.fsum(scores) / len(scores) if scores else 0.0


def kappa(one: Sequence[int], other: Sequence[int], categories: int, *, quadratic: bool = False) -> float:
    """Cohen's kappa (1960), or with `quadratic` weights (Cohen 1968), of two raters' category numbers.

    Disagreement of categories i and j weighs (i - j)^2 with quadratic weights, else 1. NaN where either is
    empty or chance alone would agree always (both raters use one and the same category).

    Raises ValueError where lengths differ.
    """
    import numpy as np

    counts = np.zeros((categories, categories))
    for left, right in zip(one, other, strict=True):
        counts[left, right] += 1
    places = np.arange(categories)
    apart = places[:, None] - places[None, :]
    weights = apart.astype(float) ** 2 if quadratic else (apart != 0).astype(float)
    total = counts.sum()
    if not total:
        return float("nan")
    chance = np.outer(counts.sum(axis=1), counts.sum(axis=0)) / total
    expected = float((weights * chance).sum())
    return 1.0 - float((weights * counts).sum()) / expected if expected else float("nan")
