"""Semantic duplicates: texts whose points, unit rows of a sentence encoder, are near each other.

All pairs are compared, block by block: exact, and quadratic in time, so that it is for 100,000 texts at most.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tutelage.records import Prompt

Points = npt.NDArray[np.floating[Any]]
Indices = npt.NDArray[np.int64]

MOST = 100_000
USUAL_SIMILARITY = 0.9  # benchmarks/semantic_duplicates.py
_BLOCK = 1_000


def nearest(points: Points, to: Points) -> tuple[Indices, npt.NDArray[np.float32]]:
    """Of each of `points` [n, width] the nearest row of `to`, int64 [n], and the cosine, float32 [n].

    −1 and −1.0 where there is none.
    """
    rows, cosines = np.full(len(points), -1, np.int64), np.full(len(points), -1.0, np.float32)
    if not len(to):
        return rows, cosines
    for start in range(0, len(points), _BLOCK):
        between = points[start : start + _BLOCK] @ to.T
        rows[start : start + _BLOCK] = best = between.argmax(axis=1)
        cosines[start : start + _BLOCK] = between[np.arange(len(best)), best]
    return rows, cosines


def near_pairs(points: Points, least: float) -> Iterator[tuple[Indices, Indices]]:
    """Pairs of rows with a cosine of at least `least`, the earlier row first, in blocks."""
    for start in range(0, len(points), _BLOCK):
        between = points[start : start + _BLOCK] @ points[start:].T
        ones, others = np.nonzero(np.triu(between >= least, 1))
        yield ones + start, others + start


def grouped(prompts: Sequence[Prompt], points: Points, least: float) -> list[Prompt]:
    """The prompts, in one group where they are connected by near pairs or by the groups that they had."""
    from tutelage.data.groups import connect

    rows = np.arange(len(prompts))
    firsts: dict[str, int] = {}
    heads = np.array(
        [firsts.setdefault(prompt.group, row) if prompt.group else row for row, prompt in enumerate(prompts)],
        np.int64,
    )
    roots = connect(len(prompts), [(heads, rows), *near_pairs(points, least)])
    sizes = np.bincount(roots, minlength=len(prompts))
    return [
        replace(prompt, group=prompts[root].group or prompts[root].hash) if sizes[root] > 1 else prompt
        for prompt, root in zip(prompts, roots.tolist(), strict=True)
    ]
