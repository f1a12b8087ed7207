"""Whether a prompt is like those that a student was tested on.

A student is as sure of nonsense as of its task, and no threshold on its confidence tells the two apart. So a
prompt counts as foreign where it lies farther from the traffic's than all but a small share of the traffic
does itself. The distance is that to the nearest neighbours, which beat centres and projections where a task
is broad (docs/results.md), in a space of weighted words, word pairs and word pieces, without a model.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tutelage import storage
from tutelage.errors import DataError, IntegrityError, UsageError
from tutelage.students.static import Features

_NEAREST = 5
_LANDMARKS = 4_000  # texts that others are compared with
_JUDGED = 10_000  # texts of which the limit is a quantile
MOST_FITTED = _LANDMARKS + _JUDGED  # texts that a guard is made of, drawn from however many
_LEAST = 30  # texts, below which there is no saying what is usual
_FEATURES = Features()


@dataclass(frozen=True, eq=False)
class Novelty:
    """A guard against foreign prompts, fitted on a sample of the traffic, its landmarks.

    A text's features f weigh (1 + ln tf) · ln((2 + n) / (1 + df)), df of the n landmarks having f, so that
    even one that all have tells of texts without it; unknown ones count in the text's length. `score` is
    1 minus the mean cosine with the nearest landmarks, and `limit` the score above which a text is foreign.
    `postings` (int64) and `values` (float32), both [non-zero], list for feature i from `starts[i]` to
    `starts[i + 1]` the landmarks that have it, with what it weighs in each at length 1.
    """

    vocabulary: dict[str, int]
    weights: npt.NDArray[np.float32]
    starts: npt.NDArray[np.int64]
    postings: npt.NDArray[np.int64]
    values: npt.NDArray[np.float32]
    landmarks: int
    limit: float

    @classmethod
    def fit(cls, texts: Sequence[str], share: float = 0.005, seed: int = 0) -> Novelty:
        """A guard for which about `share` of prompts like `texts` are foreign.

        Two thirds of the distinct texts become landmarks, at most 4,000; the limit is the split conformal
        quantile of the others' scores (Vovk, Gammerman and Shafer 2005), so that a new text of the same kind
        is foreign with probability at most `share`. Of fewer than 1/share others it is their highest score.

        Raises DataError for fewer than thirty distinct texts, UsageError for a share outside (0, 1).
        """
        if not 0 < share < 1:
            raise UsageError(f"a share of {share:g} is not between 0 and 1. Mend: give e.g. 0.005")
        distinct = list(dict.fromkeys(texts))
        if len(distinct) < _LEAST:
            raise DataError(
                f"{len(distinct)} distinct prompts are too few to say what is foreign; {_LEAST} are the "
                "least. Mend: collect more traffic, or set certify.foreign_share to null"
            )
        order = np.random.default_rng(seed).permutation(len(distinct)).tolist()
        cut = min(2 * len(distinct) // 3, _LANDMARKS)
        guard = cls._of_landmarks([distinct[row] for row in order[:cut]])
        scores = np.sort([guard.score(distinct[row]) for row in order[cut : cut + _JUDGED]])
        rank = min(math.ceil((len(scores) + 1) * (1 - share)), len(scores))
        return replace(guard, limit=float(scores[rank - 1]))

    @classmethod
    def _of_landmarks(cls, texts: Sequence[str]) -> Novelty:
        counts = [Counter(_FEATURES.of(text)) for text in texts]
        frequency = Counter(feature for count in counts for feature in count)
        vocabulary = {feature: row for row, feature in enumerate(sorted(frequency))}
        seen = np.array([frequency[feature] for feature in vocabulary], np.float64)
        weights = np.log((2 + len(texts)) / (1 + seen)).astype(np.float32)
        rows, columns, values = [], [], []
        for column, count in enumerate(counts):
            known = [vocabulary[feature] for feature in count]
            weighed = weights[known] * (1 + np.log(np.array(list(count.values()), np.float32)))
            length = float(np.sqrt((weighed**2).sum())) or 1.0
            rows += known
            columns += [column] * len(known)
            values += (weighed / length).tolist()
        order = np.argsort(np.array(rows, np.int64), kind="stable")
        starts = np.zeros(len(vocabulary) + 1, np.int64)
        np.cumsum(np.bincount(rows, minlength=len(vocabulary)), out=starts[1:])
        return cls(
            vocabulary,
            weights,
            starts,
            np.array(columns, np.int64)[order],
            np.array(values, np.float32)[order],
            len(texts),
            math.inf,
        )

    def score(self, text: str) -> float:
        """From 0, the same as several of the traffic's, to 1: nothing in common with any."""
        squares, rare = 0.0, math.log(2 + self.landmarks)
        listed, weighed = [], []
        for feature, count in Counter(_FEATURES.of(text)).items():
            row = self.vocabulary.get(feature)
            weight = (1 + math.log(count)) * (rare if row is None else float(self.weights[row]))
            squares += weight * weight
            if row is not None and weight > 0:
                having = slice(self.starts[row], self.starts[row + 1])
                listed.append(self.postings[having])
                weighed.append(self.values[having] * np.float32(weight))
        if not listed:
            return 1.0
        near = np.bincount(np.concatenate(listed), np.concatenate(weighed), self.landmarks)
        nearest = min(_NEAREST, self.landmarks)
        top = np.partition(near, self.landmarks - nearest)[-nearest:]
        return 1.0 - float(top.mean()) / math.sqrt(squares)

    def foreign(self, text: str) -> bool:
        """Whether the student mustn't answer it, however sure it is."""
        return self.score(text) > self.limit

    def save(self, path: Path) -> None:
        """Write it as one safetensors file."""
        from safetensors.numpy import save

        tensors = {name: getattr(self, name) for name in ("weights", "starts", "postings", "values")}
        about = {
            "vocabulary": json.dumps(list(self.vocabulary), ensure_ascii=False),
            "landmarks": str(self.landmarks),
            "limit": repr(self.limit),
        }
        storage.write_bytes(path, save(tensors, metadata=about))


def read_novelty(path: Path) -> Novelty:
    """Read what `save` wrote. Raises IntegrityError where it isn't that."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            about: dict[str, str] = file.metadata()
            tensors: dict[str, Any] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        names = json.loads(about["vocabulary"])
        found = Novelty(
            vocabulary={name: row for row, name in enumerate(names)},
            landmarks=int(about["landmarks"]),
            limit=float(about["limit"]),
            **tensors,
        )
        _check(found)
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise IntegrityError(
            f"{path} is no guard against foreign prompts: {error}. Mend: run `tutelage certify` again"
        ) from error
    return found


def _check(guard: Novelty) -> None:
    features, entries = len(guard.vocabulary), len(guard.postings)
    shapes = guard.weights.shape, guard.starts.shape, guard.values.shape
    if shapes != ((features,), (features + 1,), (entries,)) or guard.postings.shape != (entries,):
        raise ValueError(f"its parts are of shapes {shapes} for {features} features")
    if guard.starts[0] != 0 or guard.starts[-1] != entries or (np.diff(guard.starts) < 0).any():
        raise ValueError("its lists don't follow each other")
    if entries and not 0 <= guard.postings.min() <= guard.postings.max() < guard.landmarks:
        raise ValueError("it lists texts that it hasn't")
    if math.isnan(guard.limit):
        raise ValueError("it has no limit")
