"""Kinds of traffic that gold lacks, small or large: a tree of clusters with an exact test at every node.

Clusters of one size find what lacks at that size: large ones hold other kinds too, small ones too little to
tell from chance. So small ones are made, of traffic and gold together, and joined two by two (Ward 1963);
every node of that tree, from a small cluster up to all, is asked whether gold is too rare in it. Were gold
drawn from the traffic, its places among all these texts would be a random choice of them, whatever the tree,
which is made without knowing which are gold: the number at a node is hypergeometric. Of the nodes found at
most 5% are so by chance on average (Benjamini and Hochberg 1995; counts of nested nodes depend on each other
positively), so that where nothing lacks something is found in at most one case of twenty.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tutelage.data.clusters import fit_centres, nearest_centres
from tutelage.evaluation.intervals import CONFIDENCE

Points = npt.NDArray[np.float32]
Whole = npt.NDArray[np.integer[Any]]

TOO_FEW = 0.5  # of its share in the traffic: gold with less of a cluster is thin in it
_LEVEL = 1 - CONFIDENCE
_MOST_LEAVES = 400
_EACH_LEAF = 5  # examples of gold in a leaf on average
_TEXTS_IN_LEAF = 10
_SAMPLE = 50_000  # texts of the traffic that make the tree and are tested


@dataclass(frozen=True, eq=False)
class Regions:
    """`centres` float32 [leaves, width]; the cluster of each leaf; of each cluster how sure its lack is.

    `cluster_of` is int64 [leaves], from 0 without gaps; `p`, float64 [clusters], is the adjusted p-value
    of "gold is too rare here" where a node says so at 5%, else 1.
    """

    centres: Points
    cluster_of: npt.NDArray[np.int64]
    p: npt.NDArray[np.float64]

    def place(self, points: Points) -> npt.NDArray[np.int32]:
        """Each point's cluster, int32 [n]."""
        leaves, _ = nearest_centres(self.centres, points)
        return self.cluster_of[leaves].astype(np.int32)


def leaf_count(texts: int, gold: int) -> int:
    """How many leaves so many distinct texts of the traffic and examples of gold are worth, 1 to 400."""
    return max(1, min(_MOST_LEAVES, max(2, gold // _EACH_LEAF), (texts + gold) // _TEXTS_IN_LEAF))


def find_regions(traffic: Points, gold: Points, count: int, *, seed: int = 0) -> Regions:
    """What gold lacks of `traffic` [m, width], as clusters of their own; the rest in others.

    There are at most `count` in all, but one for the rest beside however many lack. `traffic` is of distinct
    texts, not empty; `gold` is [n, width], and may be none.
    """
    generator = np.random.default_rng(seed)
    tested = traffic
    if len(traffic) > _SAMPLE:
        tested = traffic[np.sort(generator.choice(len(traffic), _SAMPLE, replace=False))]
    together = np.concatenate([gold.reshape(-1, traffic.shape[1]), tested])
    centres = fit_centres(together, leaf_count(len(tested), len(gold)), seed)
    nearest, _ = nearest_centres(centres, together)
    used, place = np.unique(nearest, return_inverse=True)
    centres = centres[used]
    held = np.bincount(place[: len(gold)], minlength=len(centres))
    sizes = np.bincount(place, minlength=len(centres))
    links = _links(centres)
    short = dict(_short_nodes(links, held, sizes))
    rare = held < TOO_FEW * sizes * held.sum() / sizes.sum()
    return Regions(centres, *_clusters(links, short, rare, count))


def cluster_centres(points: Points, clusters: Whole, count: int) -> Points:
    """The mean of each cluster's points [n, width], float32 [count, width]; nought where it has none."""
    from scipy.sparse import csr_array

    member = csr_array((np.ones(len(points)), (clusters, np.arange(len(points)))), shape=(count, len(points)))
    sizes = np.maximum(np.bincount(clusters, minlength=count), 1)
    found: Points = ((member @ points) / sizes[:, None]).astype(np.float32)
    return found


def _links(centres: Points) -> npt.NDArray[np.float64]:
    """Ward's tree, float64 [leaves - 1, 4], as scipy has it."""
    from scipy.cluster.hierarchy import linkage

    if len(centres) == 1:
        return np.zeros((0, 4))
    found: npt.NDArray[np.float64] = linkage(centres.astype(np.float64), "ward")
    return found


def _short_nodes(links: npt.NDArray[np.float64], held: Whole, sizes: Whole) -> list[tuple[int, float]]:
    """Nodes in which gold is too rare, with their adjusted p-values; leaves come first, then as joined."""
    from scipy.stats import false_discovery_control, hypergeom

    gold, texts = held.tolist(), sizes.tolist()
    for one, other, *_ in links:
        gold.append(gold[int(one)] + gold[int(other)])
        texts.append(texts[int(one)] + texts[int(other)])
    n, total = int(held.sum()), int(sizes.sum())
    p = false_discovery_control(hypergeom.cdf(gold, total, n, texts)).tolist()
    return [
        (node, p[node])
        for node in range(len(gold))
        if p[node] <= _LEVEL and gold[node] < TOO_FEW * texts[node] * n / total
    ]


def _clusters(
    links: npt.NDArray[np.float64], short: dict[int, float], rare: npt.NDArray[np.bool_], count: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """The cluster of each leaf and each cluster's p: the largest short nodes, and the rest of the tree cut.

    Leaves of a short node that have their share of gold aren't what makes it short, and stay with the rest.
    """
    from scipy.cluster.hierarchy import fcluster

    leaves = len(rare)
    members = [[leaf] for leaf in range(leaves)]
    for one, other, *_ in links:
        members.append([*members[int(one)], *members[int(other)]])
    largest: list[int] = []
    taken: set[int] = set()
    for node in sorted(short, reverse=True):  # what was joined later is larger
        if members[node][0] not in taken:
            taken.update(members[node])
            largest.append(node)
    left = max(1, count - len(largest))
    of = np.asarray(fcluster(links, left, "maxclust") if leaves > 1 else np.ones(1), dtype=np.int64)
    p_of: dict[int, float] = {}
    for node in largest:
        number = leaves + 1 + node
        of[[leaf for leaf in members[node] if rare[leaf]]] = number
        p_of[number] = short[node]
    numbers, cluster_of = np.unique(of, return_inverse=True)
    return cluster_of, np.array([p_of.get(int(number), 1.0) for number in numbers])
