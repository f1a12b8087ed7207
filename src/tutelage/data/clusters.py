"""Clusters of texts, named in words: what kinds of request there are, and how many of each.

Mini-batch k-means (Sculley 2010) on points of unit length, fitted on a sample and never quadratic. A
cluster is named by the words and pairs of words that stand in it far oftener than elsewhere: class-based
TF-IDF (Grootendorst 2022, equation 3), over those at least twice as frequent there as in all texts
together, so that no list of stop words is needed in any language.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tutelage.data.word_space import TOKEN, Vectors

Numbers = npt.NDArray[np.int32]

MOST_CLUSTERS = 200
_SAMPLE = 100_000
_BLOCK = 50_000
_NAMING_SAMPLE = 50_000
_NAMING_TERMS = 50_000
_NAME_TERMS = 3
_LIFT = 2.0
_RARE = 3  # texts of a cluster in which a term has to stand, where the cluster has that many
_NO_WORDS = "no words of its own"


@dataclass(frozen=True, eq=False)
class Clusters:
    """`centres` float32 [k, width]; `names` says of each cluster in words what is in it."""

    centres: Vectors
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.centres)

    def place(self, vectors: Vectors) -> tuple[Numbers, Vectors]:
        """Each point's nearest cluster, int32 [n], and the Euclidean distance to its centre, float32 [n]."""
        return nearest_centres(self.centres, vectors)


def cluster_count(texts: int, *, least_in_each: int = 1, judged: int | None = None) -> int:
    """How many clusters so many texts are worth: √(n/2), 2 to 200.

    `judged` examples have to be enough to miss one of them: there are so few clusters that each gets
    `least_in_each` of these on average.
    """
    most = MOST_CLUSTERS if judged is None else min(MOST_CLUSTERS, judged // max(1, least_in_each))
    return max(1, min(max(2, most), max(2, round(math.sqrt(texts / 2))), texts))


def fit_clusters(texts: Sequence[str], vectors: Vectors, count: int, *, seed: int = 0) -> Clusters:
    """Cluster `vectors` [n, width] of `texts` into at most `count`; the same for the same input and seed.

    Clusters that would be empty are left out, so that there may be fewer; there is always one. Raises
    ValueError where there is no text.
    """
    if not len(texts):
        raise ValueError("no text to cluster")
    centres = fit_centres(vectors, count, seed)
    numbers, _ = nearest_centres(centres, vectors)
    used = np.unique(numbers)
    centres, numbers = centres[used], np.searchsorted(used, numbers).astype(np.int32)
    return Clusters(centres, cluster_names(texts, numbers, len(centres), seed=seed))


def fit_centres(vectors: Vectors, count: int, seed: int) -> Vectors:
    """The centres of at most `count` clusters of `vectors` [n, width], n at least 1: float32 [k, width]."""
    from sklearn.cluster import MiniBatchKMeans

    generator = np.random.default_rng(seed)
    sample = vectors
    if len(vectors) > _SAMPLE:
        sample = vectors[np.sort(generator.choice(len(vectors), _SAMPLE, replace=False))]
    count = min(count, len(np.unique(sample, axis=0)))
    if count == 1:
        return np.asarray(sample.mean(axis=0, keepdims=True), dtype=np.float32)
    fitted = MiniBatchKMeans(count, batch_size=4096, n_init=3, random_state=seed).fit(sample)
    return np.asarray(fitted.cluster_centers_, dtype=np.float32)


def nearest_centres(centres: Vectors, vectors: Vectors) -> tuple[Numbers, Vectors]:
    """The row of `centres` nearest to each vector, int32 [n], and its distance, float32 [n]; in blocks."""
    numbers = np.zeros(len(vectors), dtype=np.int32)
    distances = np.zeros(len(vectors), dtype=np.float32)
    squares = (centres**2).sum(axis=1)
    for start in range(0, len(vectors), _BLOCK):
        rows = vectors[start : start + _BLOCK]
        between = squares - 2 * rows @ centres.T
        nearest = between.argmin(axis=1)
        numbers[start : start + _BLOCK] = nearest
        square = between[np.arange(len(rows)), nearest] + (rows**2).sum(axis=1)
        distances[start : start + _BLOCK] = np.sqrt(np.maximum(square, 0.0))
    return numbers, distances


def cluster_names(texts: Sequence[str], numbers: Numbers, count: int, *, seed: int = 0) -> tuple[str, ...]:
    """A name for each of `count` clusters, of up to three of its most distinctive words or pairs of words.

    A word that stands in a pair already named isn't named again.
    """
    from sklearn.feature_extraction.text import CountVectorizer

    chosen = _naming_sample(numbers, count, seed)
    vectorizer = CountVectorizer(
        ngram_range=(1, 2), token_pattern=TOKEN, max_features=_NAMING_TERMS, binary=True, dtype=np.int32
    )
    words = vectorizer.build_tokenizer()
    if not any(words(texts[index]) for index in chosen):
        return (_NO_WORDS,) * count
    standing = vectorizer.fit_transform([texts[index] for index in chosen])
    terms = vectorizer.get_feature_names_out()
    totals = _by_cluster(standing, numbers[chosen], count)
    overall = np.asarray(totals.sum(axis=0)).ravel()
    average = overall.sum() / count
    sizes = np.bincount(numbers[chosen], minlength=count)
    return tuple(
        _name(totals[[row]], terms, overall, average, int(sizes[row]), len(chosen)) for row in range(count)
    )


def _naming_sample(numbers: Numbers, count: int, seed: int) -> npt.NDArray[np.int64]:
    """Positions of enough texts to name clusters by, about as many of each."""
    each = max(20, _NAMING_SAMPLE // count)
    order = np.random.default_rng(seed).permutation(len(numbers))
    grouped = order[np.argsort(numbers[order], kind="stable")]
    starts = np.searchsorted(numbers[grouped], np.arange(count))
    rank = np.arange(len(grouped)) - starts[numbers[grouped]]
    return np.sort(grouped[rank < each])


def _by_cluster(standing: Any, numbers: Numbers, count: int) -> Any:
    """Sparse [count, terms]: texts of each cluster in which each term stands."""
    from scipy.sparse import csr_matrix

    rows = np.arange(len(numbers))
    member = csr_matrix((np.ones(len(numbers)), (numbers, rows)), shape=(count, len(numbers)))
    return (member @ standing).tocsr()


def _name(row: Any, terms: Any, overall: Any, average: float, size: int, everything: int) -> str:
    here, found = row.indices, row.data
    lift = (found / max(size, 1)) / (overall[here] / everything)
    score = found * np.log1p(average / overall[here])
    eligible = (lift >= _LIFT) & (found >= min(_RARE, size))
    if not eligible.any():
        eligible = found >= min(_RARE, size)
    order = sorted(np.flatnonzero(eligible), key=lambda place: (-score[place], terms[here[place]]))
    named: list[str] = []
    for place in order:
        term = str(terms[here[place]])
        if not any(set(term.split()) & set(other.split()) for other in named):
            named.append(term)
        if len(named) == _NAME_TERMS:
            break
    return ", ".join(named) or _NO_WORDS
