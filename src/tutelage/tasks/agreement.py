"""How far raters agree, beyond what chance would make of it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


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


def krippendorff_alpha(counts: npt.NDArray[np.float64]) -> float:
    """Krippendorff's alpha for nominal data, any number of raters, ratings missing where they are.

    `counts` is [units, categories]: how many raters put a unit into a category. Units with a single rating
    are left out. Krippendorff (2004), "Content Analysis", chapter 11: 1 less the observed over the expected
    disagreement, here by coincidences. NaN where no unit has two ratings, or all ratings are of one category.
    """
    pairable = counts[counts.sum(axis=1) >= 2]
    ratings = pairable.sum(axis=1)
    total = float(ratings.sum())
    if not total:
        return float("nan")
    observed = float(((ratings**2 - (pairable**2).sum(axis=1)) / (ratings - 1)).sum()) / total
    of_category = pairable.sum(axis=0)
    expected = float(total**2 - (of_category**2).sum()) / (total * (total - 1))
    return 1.0 - observed / expected if expected else float("nan")
