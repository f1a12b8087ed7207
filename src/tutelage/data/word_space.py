"""Texts as points, without a model: weighted words, reduced by a truncated SVD.

Latent semantic analysis (Deerwester et al. 1990). Words weigh (1 + ln tf) · ln((1 + n) / (1 + df))²: the
square of the inverse document frequency, beside which "how do I" and its like all but vanish in any
language, without a list of stop words. The space is fitted on a sample, so that a million texts cost no
more memory than fifty thousand, and embeds in blocks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]

WIDTH = 64
# A word; or one sign of a script that puts no spaces between words.
TOKEN = r"(?u)[\u3040-\u30ff\u3400-\u9fff\u0e00-\u0e7f]|[^\W\u3040-\u30ff\u3400-\u9fff\u0e00-\u0e7f]+"  # noqa: S105
_SAMPLE = 50_000
_FEATURES = 30_000
_BLOCK = 20_000
_COMMON_FROM = 2_000  # texts, from which on a word that stands in one alone is dropped


@dataclass(frozen=True, eq=False)
class WordSpace:
    """A fitted space. `embed` gives unit rows, or a row of zeros for a text without a known word."""

    _counter: Any
    _importance: npt.NDArray[np.float32]
    _svd: Any

    @classmethod
    def fit(cls, texts: Sequence[str], *, seed: int = 0, width: int = WIDTH) -> WordSpace:
        """Fit on at most 50,000 of `texts`, drawn with `seed`. Texts without a word give a space of zeros."""
        from sklearn.decomposition import TruncatedSVD
        from sklearn.feature_extraction.text import CountVectorizer

        sample = draw(texts, _SAMPLE, seed)
        counter = CountVectorizer(
            token_pattern=TOKEN,
            max_features=_FEATURES,
            min_df=2 if len(sample) >= _COMMON_FROM else 1,
            dtype=np.float32,
        )
        words = counter.build_tokenizer()
        if not any(words(text) for text in sample):
            return cls(None, np.zeros(0, dtype=np.float32), None)
        counts = counter.fit_transform(sample)
        frequency = np.bincount(counts.indices, minlength=counts.shape[1])
        rarity = np.log((1 + len(sample)) / (1 + frequency)) ** 2
        space = cls(counter, rarity.astype(np.float32), None)
        dimensions = min(width, counts.shape[1] - 1, counts.shape[0] - 1)
        if dimensions < 1:
            return space
        with np.errstate(invalid="ignore"):  # shares of variance, which isn't there where all texts are alike
            svd = TruncatedSVD(dimensions, random_state=seed, n_iter=4).fit(space._weigh(counts))
        return cls(counter, space._importance, svd)

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Points of `texts`, float32 [n, width]."""
        width = 1 if self._svd is None else len(self._svd.components_)
        if self._counter is None:
            return np.zeros((len(texts), width), dtype=np.float32)
        blocks = [self._embed(texts[start : start + _BLOCK]) for start in range(0, len(texts), _BLOCK)]
        return np.concatenate([np.zeros((0, width), dtype=np.float32), *blocks])

    def _embed(self, texts: Sequence[str]) -> Vectors:
        weights = self._weigh(self._counter.transform(texts))
        return unit_rows(weights.sum(axis=1) if self._svd is None else self._svd.transform(weights))

    def _weigh(self, counts: Any) -> Any:
        from scipy.sparse import diags_array
        from sklearn.preprocessing import normalize

        counts.data = 1 + np.log(counts.data)
        return normalize(counts @ diags_array(self._importance), copy=False)


def unit_rows(vectors: npt.NDArray[Any]) -> Vectors:
    """Rows of length one; a row of zeros stays."""
    rows = np.asarray(vectors, dtype=np.float32)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    scaled: Vectors = np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0)
    return scaled


def draw(texts: Sequence[str], most: int, seed: int) -> Sequence[str]:
    """At most `most` of `texts`, in their order; all of them where they are no more."""
    if len(texts) <= most:
        return texts
    chosen = np.random.default_rng(seed).choice(len(texts), most, replace=False)
    return [texts[index] for index in np.sort(chosen)]
