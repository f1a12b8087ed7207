"""How like the traffic gold is, from texts as points in clusters: `coverage.json`, but for leaks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from tutelage.data.arrivals import Arrival
from tutelage.data.clusters import cluster_count, cluster_names
from tutelage.evaluation.coverage import COVERED, beyond_reach, gold_by_cluster, unlike
from tutelage.evaluation.regions import cluster_centres, find_regions
from tutelage.evaluation.seasons import rare
from tutelage.evaluation.shift import classifier_test, kernel_test, length_shift, nearest_shift
from tutelage.evaluation.weighting import LEAST_GOLD, Weights, cluster_weights, density_weights
from tutelage.records import Prompt

_EACH_CLUSTER = 10  # examples of gold that a cluster gets on average, so that their lack can be shown
_TESTED = 5_000  # texts of each sample at most
_PERMUTED = 2_000
_QUERIES = 5_000
_REFERENCE = 30_000
_WEIGHED = 20_000


@dataclass(frozen=True, eq=False)
class Placed:
    """One part's texts: `points` float32 [n, width], `clusters` int32 [n], `lengths` in characters.

    `hashes` tells the same text in two parts; `counts` is how often each came in.
    """

    points: npt.NDArray[np.float32]
    clusters: npt.NDArray[np.int32]
    lengths: Sequence[int]
    hashes: Sequence[str]
    counts: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.points)

    def mass(self, k: int) -> npt.NDArray[np.float64]:
        """Texts in each of k clusters, repeats counted."""
        return np.bincount(self.clusters, weights=self.counts, minlength=k).astype(np.float64)


class Space(Protocol):
    """What makes points of texts."""

    def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Unit rows, float32 [n, width]."""
        ...


@dataclass(frozen=True, eq=False)
class Likeness:
    """Gold beside the traffic and gold's training part, in k clusters.

    `centres` is float32 [k, width]; `lack_p` says of each how sure it is that gold is too rare in it (see
    `Regions`).
    """

    traffic: Placed
    gold: Placed
    training: Placed
    names: Sequence[str]
    centres: npt.NDArray[np.float32]
    lack_p: Sequence[float]
    seed: int = 0

    @cached_property
    def clusters(self) -> list[dict[str, Any]]:
        """`gold_by_cluster`, each with how many there are to learn from beside the traffic."""
        k = len(self.names)
        learned = self.training.mass(k).astype(int).tolist()
        held = self.gold.mass(k).astype(np.int64)
        found = gold_by_cluster(self.names, self.traffic.mass(k), held, self.lack_p)
        few = rare({entry["cluster"]: entry["traffic"] for entry in found})
        return [
            {**entry, "training": learned[entry["cluster"]], "rare": entry["cluster"] in few}
            for entry in found
        ]

    def to_json(self) -> dict[str, Any]:
        """Clusters, what gold lacks, and the tests. These compare distinct texts; shares count repeats.

        Gold has no repeats, so that the traffic's would be told from it whatever gold held.
        """
        seed = self.seed
        gold, traffic = (part.points[self._some(len(part), _TESTED)] for part in (self.gold, self.traffic))
        return {
            "clusters": self.clusters,
            "unlike": unlike(self.clusters, len(self.gold)),
            "beyond_reach": beyond_reach(gold, traffic),
            "classifier": classifier_test(gold, traffic, seed=seed),
            "kernel": kernel_test(gold[:_PERMUTED], traffic[:_PERMUTED], seed=seed),
            "length": length_shift(self.gold.lengths, self.traffic.lengths),
            "nearest": self._nearest(),
        }

    def weights(self) -> dict[str, Weights | None]:
        """Gold's weights for the traffic, by `cluster` and by `density` ratio; repeats count."""
        uncovered = np.zeros(len(self.names), dtype=bool)
        for entry in self.clusters:
            uncovered[entry["cluster"]] = entry["state"] != COVERED and entry["gold"] < LEAST_GOLD
        share = self.traffic.counts / self.traffic.counts.sum()
        drawn = np.random.default_rng(self.seed).choice(
            len(share), min(_WEIGHED, len(share)), p=share, shuffle=False
        )
        return {
            "cluster": cluster_weights(
                self.traffic.mass(len(self.names)), self.gold.clusters, self.centres, uncovered
            ),
            "density": density_weights(self.gold.points, self.traffic.points[drawn]),
        }

    def _some(self, n: int, most: int) -> npt.NDArray[np.int64]:
        """At most `most` of n positions, in random order."""
        return np.random.default_rng(self.seed).permutation(n)[:most]

    def _nearest(self) -> dict[str, Any] | None:
        """Distances to what will be learned from: of gold, and of traffic that is held out for it."""
        order = self._some(len(self.traffic), len(self.traffic))
        asked = order[: min(_QUERIES, len(order) // 4)]
        learned = order[len(asked) : len(asked) + _REFERENCE]
        held_out = {self.traffic.hashes[index] for index in asked}
        others = [index for index, hash_ in enumerate(self.training.hashes) if hash_ not in held_out]
        reference = [self.traffic.points[learned], self.training.points[others[:_REFERENCE]]]
        return nearest_shift(
            self.gold.points[self._some(len(self.gold), _QUERIES)],
            self.traffic.points[asked],
            np.concatenate(reference),
        )


def liken(
    traffic: Sequence[Arrival],
    gold: Sequence[Prompt],
    training: Sequence[Prompt],
    space: Space,
    *,
    clusters: int | None = None,
    seed: int = 0,
) -> Likeness:
    """Place all in `space`. What gold lacks is in clusters of its own, of whatever size (see `regions`).

    Where `clusters` is None there are as many in all as the traffic is worth, and so few that gold has ten
    examples of each on average. Raises ValueError where there is no
    traffic.
    """
    if not traffic:
        raise ValueError("no text to cluster")
    prompts = [item.prompt for item in traffic]
    texts = [prompt.text for prompt in prompts]
    points = space.embed(texts)
    count = clusters or cluster_count(len(texts), least_in_each=_EACH_CLUSTER, judged=len(gold))
    of_gold = space.embed([prompt.text for prompt in gold])
    found = find_regions(points, of_gold, count, seed=seed)

    def placed(some: Sequence[Prompt], points: npt.NDArray[np.float32], counts: Sequence[int]) -> Placed:
        numbers = found.place(points)
        lengths = [len(prompt.text) for prompt in some]
        return Placed(points, numbers, lengths, [prompt.hash for prompt in some], np.array(counts, np.int64))

    k = len(found.p)
    of_training = space.embed([prompt.text for prompt in training])
    arrived = placed(prompts, points, [item.count for item in traffic])
    centres = cluster_centres(points, arrived.clusters, k)
    return Likeness(
        arrived,
        placed(gold, of_gold, [1] * len(gold)),
        placed(training, of_training, [1] * len(training)),
        cluster_names(texts, arrived.clusters, k, seed=seed),
        centres,
        found.p.tolist(),
        seed,
    )
