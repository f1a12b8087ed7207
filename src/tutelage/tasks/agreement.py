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

    Amounts = npt.NDArray[np.float64]


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


def krippendorff_alpha(counts: Amounts, *, ordinal: bool = False) -> float:
    """Krippendorff's alpha, any number of raters, ratings missing where they are.

    `counts` is [units, categories]: how many raters put a unit into a category; with `ordinal` these are in
    order, and two ratings differ the more the further they are apart (`ordinal_distances`). Units with a
    single rating are left out. Krippendorff (2004), "Content Analysis", chapter 11: 1 less the observed over
    the expected disagreement, here by coincidences. NaN where no unit has two ratings, or all ratings are of
    one category.
    """
    pairable = counts[counts.sum(axis=1) >= 2]
    ratings = pairable.sum(axis=1)
    total = float(ratings.sum())
    if not total:
        return float("nan")
    of_category = pairable.sum(axis=0)
    distances = ordinal_distances(of_category) if ordinal else nominal_distances(len(of_category))
    observed = float((pairs_apart(pairable, distances) / (ratings - 1)).sum()) / total
    expected = float(of_category @ distances @ of_category) / (total * (total - 1))
    return 1.0 - observed / expected if expected else float("nan")


def nominal_distances(categories: int) -> Amounts:
    """0 between a category and itself, 1 between any two; [categories, categories]."""
    import numpy as np

    return 1.0 - np.eye(categories)


def ordinal_distances(of_category: Amounts) -> Amounts:
    """How far two ranks are apart by how many ratings lie between them, squared; [categories, categories].

    `of_category` counts the ratings of each, in order. Krippendorff (2004), chapter 11: the ratings from c to
    k, of c and k themselves half, squared.
    """
    import numpy as np

    middles = np.cumsum(of_category) - of_category / 2
    distances: Amounts = (middles[:, None] - middles[None, :]) ** 2
    return distances


def pairs_apart(counts: Amounts, distances: Amounts) -> Amounts:
    """For each unit the sum of the distances of all ordered pairs of its ratings; [units]."""
    import numpy as np

    apart: Amounts = np.einsum("uc,ck,uk->u", counts, distances, counts)
    return apart
