"""What `coverage` tells beside gold: rare, new and seasonal clusters, and what the transfer set has of each.

What computes is imported where it is used: `tutelage status` looks at stages and should be quick.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence, Set
from typing import TYPE_CHECKING, Any

from tutelage import storage
from tutelage.data.arrivals import Arrival
from tutelage.programme import Programme
from tutelage.records import SYNTHETIC, AnswerStatus, load_value
from tutelage.stages.task import resolved_task
from tutelage.tasks import with_labels

if TYPE_CHECKING:
    from tutelage.evaluation.likeness import Likeness

_DAYS = 30
_FRESH = 2_000
_REFERENCE = 30_000
_LISTED = 50
_LABELS = 3  # of a cluster


def known_before(programme: Programme) -> Set[str]:
    """Hashes of the traffic as the last run of `coverage` saw it; none before the first."""
    if not programme.placed.exists():
        return frozenset()
    placed = storage.read_table(programme.placed)
    rows = zip(placed["part"].to_pylist(), placed["hash"].to_pylist(), strict=True)
    return {hash_ for part, hash_ in rows if part == "traffic"}


def represented(
    traffic: Sequence[Arrival], likeness: Likeness, before: Set[str], earlier: Mapping[str, Any], seed: int
) -> dict[str, Any]:
    """`seasons`, and `recent`: what is new in the last 30 days and since coverage was last looked at.

    `before` are hashes of what was known then. Where nothing has come in since, what `earlier` found stays.
    """
    import numpy as np

    from tutelage.evaluation.seasons import recent, seasons

    clusters, names = likeness.traffic.clusters, likeness.names
    times = np.array([np.nan if one.prompt.time is None else one.prompt.time for one in traffic])
    new = np.array([one.prompt.hash not in before for one in traffic], dtype=bool)
    since = (
        recent(clusters, new, names) if before and new.any() else (earlier.get("recent") or {}).get("since")
    )
    known = np.isfinite(times)
    latest = np.nanmax(times) if known.any() else np.nan
    late = times[known] > latest - _DAYS * 86_400
    return {
        "seasons": seasons(
            clusters, times, names, subjects=[one.prompt.subject for one in traffic], seed=seed
        ),
        "recent": {"days": _DAYS, "month": recent(clusters[known], late, names), "since": since},
    }


def leaks_in_meaning(
    likeness: Likeness, ids: tuple[Sequence[str], Sequence[str]], learned: Set[str], least: float, seed: int
) -> dict[str, Any] | None:
    """Gold that what is learned from has in other words, from a cosine of `least` up: told, not judged.

    Customers ask the same in other words too, so that gold's share stands beside that of fresh traffic, both
    looked up in the rest, with Fisher's exact test that gold's is the larger. `ids` are those of gold and of
    the traffic, of which `learned` (hashes) was kept. `known` counts gold that any of it has, of which the
    nearest fifty pairs are listed. None where there is too little.
    """
    import numpy as np

    from tutelage.data.meaning import nearest
    from tutelage.evaluation.shift import commoner

    kept = np.flatnonzero([hash_ in learned for hash_ in likeness.traffic.hashes])
    order = np.random.default_rng(seed).permutation(kept)
    fresh = order[: min(_FRESH, len(order) // 4)]
    rest = np.sort(order[len(fresh) : len(fresh) + _REFERENCE])
    reference = likeness.traffic.points[rest]
    _, of_gold = nearest(likeness.gold.points, reference)
    _, of_fresh = nearest(likeness.traffic.points[fresh], reference)
    near_gold, near_fresh = (int((one >= least).sum()) for one in (of_gold, of_fresh))
    found = commoner(near_gold, len(of_gold), near_fresh, len(fresh))
    if found is None:
        return None
    every = np.sort(order[: len(fresh) + _REFERENCE])
    rows, cosines = nearest(likeness.gold.points, likeness.traffic.points[every])
    near = np.flatnonzero(cosines >= least)
    listed = near[np.argsort(-cosines[near], kind="stable")][:_LISTED].tolist()
    pairs = [
        {"gold": ids[0][at], "other": ids[1][every[rows[at]]], "cosine": float(cosines[at])} for at in listed
    ]
    return {**found, "least": least, "known": len(near), "listed": pairs}


def transfer_profile(programme: Programme) -> dict[str, Any] | None:
    """What the transfer set has: rows by cluster with their commonest labels, all labels, lengths.

    None before `label`, or where coverage has yet to be looked at. Synthetic rows lie in no cluster, nor do
    those of large traffic that coverage didn't draw: `placed` counts the others.
    """
    if not programme.transfer.exists() or not programme.placed.exists():
        return None
    import pyarrow.compute as pc

    placed = storage.read_table(programme.placed).select(["hash", "cluster"]).to_pydict()
    cluster_of = dict(zip(placed["hash"], placed["cluster"], strict=True))
    labels: dict[int, Counter[str]] = defaultdict(Counter)
    sizes: Counter[int] = Counter()
    overall: Counter[str] = Counter()
    lengths: Counter[int] = Counter()
    synthetic = 0
    labelled = with_labels(resolved_task(programme))  # open values hardly ever repeat
    for part in storage.table_batches(programme.transfer, ["hash", "text", "source", "status", "value"]):
        table = part.filter(pc.equal(part["status"], str(AnswerStatus.OK)))
        real = table.filter(pc.not_equal(table["source"], SYNTHETIC))
        synthetic += table.num_rows - real.num_rows
        lengths.update(pc.utf8_length(real["text"]).to_pylist())
        for hash_, value in zip(real["hash"].to_pylist(), real["value"].to_pylist(), strict=True):
            said = labelled.names_of(load_value(value)) if labelled is not None else ()
            overall.update(said)
            if (cluster := cluster_of.get(hash_)) is not None:
                sizes[cluster] += 1
                labels[cluster].update(said)
    n = lengths.total()
    return {
        "n": n,
        "placed": sizes.total(),
        "synthetic": synthetic,
        "clusters": {
            str(cluster): {
                "n": count,
                "labels": {name: n / count for name, n in labels[cluster].most_common(_LABELS)},
            }
            for cluster, count in sorted(sizes.items())
        },
        "labels": {name: count / n for name, count in overall.most_common()},
        "length": _lengths(lengths),
    }


def _lengths(counts: Mapping[int, int]) -> dict[str, float] | None:
    import numpy as np

    if not counts:
        return None
    lengths, times = (np.array(part) for part in zip(*sorted(counts.items()), strict=True))
    found = np.quantile(np.repeat(lengths.astype(np.uint32), times), [0.05, 0.5, 0.95]).tolist()
    return dict(zip(("p5", "median", "p95"), found, strict=True))
