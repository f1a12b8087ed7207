"""Whether kinds of traffic come and go: their shares by hour, weekday and month, and what is new.

All clusters are looked at in all periods at once, which finds something by chance alone; and texts come in
bursts, of which a single one makes a Wednesday or a March look special. So whole days get other weekdays,
whole weeks other months and the hours of a day other places in it, many times over, and a cluster counts as
changed only where hardly any such shuffle has anything as far from its own mean in any cluster and kind of
period: the max-T adjustment of Westfall and Young (1993, Resampling-Based Multiple Testing, algorithm 2.8,
single step) on blocks. It holds the family-wise error whatever the clusters' dependence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from tutelage.evaluation.intervals import CONFIDENCE, proportion_interval
from tutelage.evaluation.multiplicity import adjusted_p

Floats = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int32]
Flags = npt.NDArray[np.bool_]

_LEVEL = 1 - CONFIDENCE
_SAMPLE = 20_000  # texts whose times are shuffled
_LEAST = 100  # texts with a time, below which nothing is tested
_DAY = 86_400.0
_LEAST_DAYS = {"hour": 3.0, "weekday": 14.0, "month": 45.0}  # one day's hours are that day's, and no habit
_THURSDAY = 3  # the epoch's first day
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_LISTED = 20


@dataclass(frozen=True, eq=False)
class _Periods:
    """One kind of period: its names, each text's block, int64 [n], and each block's period and stratum.

    A shuffle deals out the periods of a stratum's blocks anew.
    """

    kind: str
    names: tuple[str, ...]
    blocks: npt.NDArray[np.int64]
    periods: npt.NDArray[np.int64]
    strata: npt.NDArray[np.int64]

    @property
    def codes(self) -> npt.NDArray[np.int64]:
        """Each text's period, int64 [n]."""
        found: npt.NDArray[np.int64] = self.periods[self.blocks]
        return found

    def shuffled(self, generator: np.random.Generator) -> npt.NDArray[np.int64]:
        """Each text's period after a shuffle; blocks are sorted by stratum."""
        order = np.argsort(self.strata + generator.random(len(self.strata)), kind="stable")
        found: npt.NDArray[np.int64] = self.periods[order][self.blocks]
        return found

    def some(self, rows: npt.NDArray[np.int64]) -> _Periods:
        """Of these texts alone."""
        used, blocks = np.unique(self.blocks[rows], return_inverse=True)
        return _Periods(self.kind, self.names, blocks, self.periods[used], self.strata[used])


def seasons(
    clusters: Numbers,
    times: Floats,
    names: Sequence[str],
    *,
    subjects: Sequence[str] = (),
    seed: int = 0,
    shuffles: int = 1_000,
) -> dict[str, Any] | None:
    """Which clusters' share of the traffic hangs on the hour (UTC), the weekday or the month.

    `clusters` int32 [n] and `times` float64 [n], seconds since the epoch, NaN where unknown; `names` of the
    clusters. Of texts of one of `subjects` on one day only the first counts, as they come together anyway.
    Hours are tested where the texts span three days, weekdays two weeks, months (by weeks) 45 days. "changed"
    lists clusters with an adjusted `p` of 5% at most and their share by period, with exact intervals, each by
    itself.
    None for fewer than a hundred texts with a time, or where none of the kinds can be told.
    """
    chosen = _independent(times, subjects)
    kinds = _periods(times[chosen]) if len(chosen) >= _LEAST else []
    if not kinds:
        return None
    codes = clusters[chosen].astype(np.int64)
    found = _adjusted(codes, kinds, len(names), seed, shuffles)
    changed = [
        _changed(kind, codes == cluster, cluster, names[cluster], float(p))
        for kind, row in zip(kinds, found, strict=True)
        for cluster, p in enumerate(row)
        if p <= _LEVEL
    ]
    changed.sort(key=lambda one: (one["p"], -one["peak"]["share"] / max(one["rest"], 1e-9)))
    return {
        "n": len(chosen),
        "from": _moment(np.nanmin(times)),
        "to": _moment(np.nanmax(times)),
        "kinds": {kind.kind: _sizes(kind) for kind in kinds},
        "tested": len(kinds) * len(np.unique(codes)),
        "changed": changed[:_LISTED],
        "changes": len(changed),
    }


def _independent(times: Floats, subjects: Sequence[str]) -> npt.NDArray[np.int64]:
    known = np.flatnonzero(np.isfinite(times))
    if not any(subjects):
        return known
    seen: set[tuple[str, int]] = set()
    chosen = []
    for row in known[np.argsort(times[known], kind="stable")].tolist():
        key = (subjects[row], int(times[row] // _DAY))
        if not subjects[row] or key not in seen:
            chosen.append(row)
            seen.add(key)
    return np.array(sorted(chosen), np.int64)


def _periods(times: Floats) -> list[_Periods]:
    days = (times // _DAY).astype(np.int64)
    span = float(times.max() - times.min()) / _DAY
    hours, hour_of = np.unique(days * 24 + (times % _DAY // 3_600).astype(np.int64), return_inverse=True)
    dates, date_of = np.unique(days, return_inverse=True)
    weeks, week_of = np.unique(days // 7, return_inverse=True)
    starts = [datetime.fromtimestamp(max(week * 7 * _DAY, times.min()), UTC) for week in weeks.tolist()]
    months = sorted({(start.year, start.month) for start in starts})
    month_of = np.array([months.index((start.year, start.month)) for start in starts], np.int64)
    named = tuple(f"{year}-{month:02}" for year, month in months)
    whole = np.zeros(len(dates), np.int64)
    found = [
        _Periods("hour", tuple(f"{hour:02}:00" for hour in range(24)), hour_of, hours % 24, hours // 24),
        _Periods("weekday", _WEEKDAYS, date_of, (dates + _THURSDAY) % 7, whole),
        _Periods("month", named, week_of, month_of, whole[: len(weeks)]),
    ]
    return [one for one in found if span >= _LEAST_DAYS[one.kind] and len(np.unique(one.periods)) > 1]


def _adjusted(
    clusters: npt.NDArray[np.int64], kinds: Sequence[_Periods], k: int, seed: int, shuffles: int
) -> list[Floats]:
    """By kind the adjusted p of each cluster, float64 [k]; on a random part of many texts."""
    generator = np.random.default_rng(seed)
    rows = np.sort(generator.permutation(len(clusters))[:_SAMPLE])
    clusters, some = clusters[rows], [kind.some(rows) for kind in kinds]
    by_shuffle = np.empty((1 + shuffles, len(kinds), k))
    for place, kind in enumerate(some):
        by_shuffle[0, place] = chi_squares(clusters, kind.codes, k, len(kind.names))
        for shuffle in range(1, 1 + shuffles):
            mixed = kind.shuffled(generator)
            by_shuffle[shuffle, place] = chi_squares(clusters, mixed, k, len(kind.names))
    spread = by_shuffle.std(axis=0)
    distance = by_shuffle - by_shuffle.mean(axis=0)
    far = np.divide(distance, spread, out=np.zeros_like(distance), where=spread > 1e-9)
    largest = np.sort(far[1:].max(axis=(1, 2)))
    reached = shuffles - np.searchsorted(largest, far[0] * (1 - 1e-9), side="left")
    return list((1 + reached) / (1 + shuffles))


def chi_squares(
    clusters: npt.NDArray[np.int64], codes: npt.NDArray[np.int64], k: int, periods: int
) -> Floats:
    """Of each cluster against all others, Pearson's chi-square over the periods, float64 [k]."""
    table = np.bincount(clusters * periods + codes, minlength=k * periods).reshape(k, periods)
    share = table.sum(axis=1) / len(clusters)
    expected = share[:, None] * table.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        terms = (table - expected) ** 2 / (expected * (1 - share[:, None]))
    found: Floats = np.where(np.isfinite(terms), terms, 0.0).sum(axis=1)
    return found


def _changed(kind: _Periods, member: Flags, cluster: int, name: str, p: float) -> dict[str, Any]:
    totals = np.bincount(kind.codes, minlength=len(kind.names))
    here = np.bincount(kind.codes[member], minlength=len(kind.names))
    periods = []
    for period, (count, total) in enumerate(zip(here.tolist(), totals.tolist(), strict=True)):
        if total:
            low, high = proportion_interval(count, total)
            share = {"share": count / total, "low": low, "high": high}
            periods.append({"period": kind.names[period], "count": count, "n": total, **share})
    peak = max(periods, key=lambda one: one["low"])
    others = len(member) - peak["n"]
    rest = (int(member.sum()) - peak["count"]) / others if others else 0.0
    return {
        "cluster": cluster,
        "name": name,
        "kind": kind.kind,
        "p": p,
        "peak": peak,
        "rest": rest,
        "periods": periods,
    }


def _sizes(kind: _Periods) -> dict[str, int]:
    counts = np.bincount(kind.codes, minlength=len(kind.names)).tolist()
    return {name: count for name, count in zip(kind.names, counts, strict=True) if count}


def _moment(time: float) -> str:
    return datetime.fromtimestamp(float(time), UTC).isoformat(timespec="seconds")


def recent(clusters: Numbers, late: Flags, names: Sequence[str]) -> dict[str, Any] | None:
    """Which clusters are new, grown or shrunk among the texts that are `late`, bool [n], beside the others.

    Fisher's exact test of each cluster against all others, Holm's correction over all clusters, at 5%. A
    cluster is `new` where it had no text before. None where either side has fewer than ten texts.
    """
    from scipy.stats import fisher_exact

    n_late, n_before = int(late.sum()), int((~late).sum())
    if min(n_late, n_before) < 10:
        return None
    now = np.bincount(clusters[late], minlength=len(names)).tolist()
    before = np.bincount(clusters[~late], minlength=len(names)).tolist()
    p = adjusted_p(
        [
            float(fisher_exact([[a, n_late - a], [b, n_before - b]]).pvalue)
            for a, b in zip(now, before, strict=True)
        ]
    )
    changed = [
        {
            "cluster": cluster,
            "name": names[cluster],
            "state": _state(a / n_late, b / n_before),
            "now": a / n_late,
            "before": b / n_before,
            "n_now": a,
            "n_before": b,
            "p": p[cluster],
        }
        for cluster, (a, b) in enumerate(zip(now, before, strict=True))
        if p[cluster] <= _LEVEL
    ]
    changed.sort(key=lambda one: (-abs(one["now"] - one["before"]), one["cluster"]))
    return {"n_now": n_late, "n_before": n_before, "changed": changed[:_LISTED], "changes": len(changed)}


def _state(now: float, before: float) -> str:
    return "new" if not before else "grown" if now > before else "shrunk"


def rare(shares: Mapping[int, float], tail: float = 0.1) -> set[int]:
    """The smallest clusters, which together hold at most `tail` of the traffic, by number."""
    found: set[int] = set()
    held = 0.0
    for cluster, share in sorted(shares.items(), key=lambda item: (item[1], item[0])):
        held += share
        if held > tail + 1e-12:
            break
        found.add(cluster)
    return found
