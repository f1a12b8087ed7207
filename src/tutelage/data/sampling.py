"""Sampling plans: in which order prompts are worth a teacher's answer, and how many of them a limit allows.

All orders are over a pool of n prompts and are nested: what a smaller limit chooses, a larger one does too.
Prompts that are `taken` (answered already) are no candidates, but count where a plan spreads.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Order = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Numbers = npt.NDArray[np.int32]

_BLOCK = 50_000


def at_random(taken: Flags, seed: int) -> Order:
    """Every candidate, int64, in an order drawn by `seed`: a simple random sample, however long."""
    order = np.random.default_rng(seed).permutation(len(taken))
    return order[~taken[order]]


def in_turn(strata: Numbers, taken: Flags, seed: int) -> Order:
    """Candidates of all `strata` (int32 [n]) in turn, each stratum's share as the root of its size.

    Power allocation with exponent 1/2 (Bankier 1988), between shares in proportion, which
    leave thin strata with nothing, and equal ones, which ask for every text of the thinnest. The k-th
    prompt of a stratum stands at (k − ½) / √size (Sainte-Laguë's divisors), so that orders are nested; those
    that are taken come first. Within a stratum the order is random.
    """
    order = at_random(taken, seed)
    sizes = np.bincount(strata)
    before = np.bincount(strata[taken], minlength=len(sizes))
    own = strata[order]
    grouped = np.argsort(own, kind="stable")
    starts = np.cumsum(np.bincount(own, minlength=len(sizes))) - np.bincount(own, minlength=len(sizes))
    rank = np.empty(len(order), dtype=np.int64)
    rank[grouped] = np.arange(len(order)) - starts[own[grouped]]
    turn = (before[own] + rank + 0.5) / np.sqrt(sizes[own])
    return order[np.argsort(turn, kind="stable")]


def by_score(score: Floats, taken: Flags, seed: int) -> Order:
    """Candidates by their score, float64 [n], the highest first; ties in random order."""
    order = at_random(taken, seed)
    return order[np.argsort(-score[order], kind="stable")]


def by_value(value: Floats, cost: Floats, clusters: Numbers, taken: Flags, seed: int) -> Order:
    """Candidates by what they add for a dollar, what their cluster has counted.

    Greedily the prompt of the largest gain (√(V + v) − √V) / c: v its `value`, c its `cost`, V the values of
    its cluster chosen so far, those taken counted. The sum of roots over clusters is the diversity reward of
    Lin and Bilmes 2011: the second prompt of a cluster is worth less than the first. A cluster
    is gone through by v / c. Costs of which some are 0 count alike.
    """
    price = cost if (cost > 0).all() else np.ones(len(cost))
    ranked = by_score(value / price, taken, seed)
    groups: list[list[int]] = [[] for _ in range(int(clusters.max(initial=-1)) + 1)]
    for position in ranked:
        groups[clusters[position]].append(int(position))
    had = np.bincount(clusters[taken], weights=value[taken], minlength=len(groups)).astype(np.float64)
    place = {int(position): number for number, position in enumerate(ranked)}

    def entry(group: int, next_: int) -> tuple[float, int, int, int]:
        position = groups[group][next_]
        gain = (np.sqrt(had[group] + value[position]) - np.sqrt(had[group])) / price[position]
        return -float(gain), place[position], group, next_

    heap = [entry(group, 0) for group, members in enumerate(groups) if members]
    heapq.heapify(heap)
    chosen = []
    while heap:
        _, _, group, next_ = heapq.heappop(heap)
        position = groups[group][next_]
        chosen.append(position)
        had[group] += value[position]
        if next_ + 1 < len(groups[group]):
            heapq.heappush(heap, entry(group, next_ + 1))
    return np.array(chosen, dtype=np.int64)


def affordable(order: Order, cost: Floats, budget: float) -> Order:
    """The first of `order` whose costs, of `cost` float64 [n], are together within `budget`."""
    spent = np.cumsum(cost[order])
    return order[: int(np.searchsorted(spent, budget * (1 + 1e-9), side="right"))]


def uncertainty(distributions: npt.NDArray[np.float32], *, multi_label: bool) -> Floats:
    """How little a student decides, float64 [n] in [0, 1], of its probabilities [n, labels].

    One less the margin between its two most probable labels (Scheffer et al. 2001); with several labels
    allowed, how near the nearest probability is to one half.
    """
    rows = np.asarray(distributions, dtype=np.float64)
    if multi_label:
        return np.asarray(1.0 - 2.0 * np.abs(rows - 0.5).min(axis=1, initial=0.5), dtype=np.float64)
    if rows.shape[1] < 2:
        return np.zeros(len(rows))
    top = np.partition(rows, -2, axis=1)[:, -2:]
    return np.asarray(1.0 - (top[:, 1] - top[:, 0]), dtype=np.float64)


def disagreement(committee: Sequence[npt.NDArray[np.float32]], *, multi_label: bool) -> Floats:
    """How far the members' probabilities, each [n, labels], lie apart: float64 [n] in nats, from 0 on.

    The mean divergence of the members from their mean (McCallum and Nigam 1998): the entropy of
    the mean less the mean of entropies. With several labels allowed it is summed over the labels.
    """
    rows = [np.asarray(member, dtype=np.float64) for member in committee]
    apart = _entropy(np.mean(rows, axis=0), multi_label) - np.mean(
        [_entropy(row, multi_label) for row in rows], axis=0
    )
    return np.asarray(np.maximum(apart, 0.0), dtype=np.float64)


def _entropy(rows: Floats, multi_label: bool) -> Floats:
    def terms(values: Floats) -> Floats:
        return -values * np.log(np.where(values > 0, values, 1.0))

    found = terms(rows) + terms(1.0 - rows) if multi_label else terms(rows)
    return np.asarray(found.sum(axis=1), dtype=np.float64)


def density(points: npt.NDArray[np.float32], counts: npt.NDArray[np.int64]) -> Floats:
    """How like the traffic each text is, float64 [n] in (0, 1].

    The mean cosine similarity of its point (unit rows, float32 [n, width]) to those of all texts as often as
    each came in (information density, Settles and Craven 2008, β = 1), brought to the largest;
    a text that is like none counts 0.001.
    """
    weights = counts / max(float(counts.sum()), 1.0)
    centre = (points * weights[:, None].astype(np.float32)).sum(axis=0, dtype=np.float64)
    similar = np.concatenate(
        [
            np.zeros(0),
            *(points[start : start + _BLOCK] @ centre for start in range(0, len(points), _BLOCK)),
        ]
    )
    largest = similar.max(initial=0.0)
    return np.clip(similar / largest, 1e-3, 1.0) if largest > 0 else np.ones(len(points))
