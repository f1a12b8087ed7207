"""The tasks' own figures with intervals, overall and by slice, and the arms' differences in them.

By a paired percentile bootstrap over examples (Efron and Tibshirani 1993, chapters 13 and 16), its
percentiles moved outward for small samples (Hesterberg 2015, section 5.2): all arms, all figures and all
slices share the draws. A figure that is a proportion of examples has the exact interval instead, a kappa that
of its own measure, and two kappas' difference what is recovered from theirs (see `recovered`). Of fewer than
`LEAST` examples that a figure looks at there is no interval. Where every draw gives the same figure
resampling can't tell how sure it is: a bounded figure at its end takes the exact bound of so many examples
all alike, any other has no ends.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tutelage.evaluation._coded import UNANSWERED, Coded
from tutelage.evaluation._resampling import percentile_interval
from tutelage.evaluation.arms import Arm
from tutelage.evaluation.intervals import CONFIDENCE, proportion_interval
from tutelage.evaluation.measures import Floats, Measure, measures_of
from tutelage.evaluation.recovered import Estimated, correlation, difference

LEAST = 10  # examples from which resampling them says something of examples not seen
OVERALL = ""
_CELLS = 4_000_000  # of one block of draws; bounds memory to about 32 MB

Interval = dict[str, Any]


@dataclass(frozen=True, eq=False)
class _Patterns:
    """Examples that are alike in slice, gold and all answers, once each.

    `first` is an example of each pattern, `of` the pattern of each example in an order that is canonical,
    `slices` the patterns of each slice.
    """

    first: npt.NDArray[np.int64]
    of: npt.NDArray[np.int64]
    slices: Mapping[str, npt.NDArray[np.int64]]

    @classmethod
    def among(cls, coded: Coded) -> _Patterns:
        slice_of = np.zeros(coded.n, dtype=np.int64)
        for index, rows in enumerate(coded.slices.values()):
            slice_of[rows] = index
        columns = np.stack([slice_of, coded.gold, *coded.answers.values()], axis=1)
        _, first, place = np.unique(columns, axis=0, return_index=True, return_inverse=True)
        where = slice_of[first]
        slices = {name: np.flatnonzero(where == index) for index, name in enumerate(coded.slices)}
        return cls(first, np.sort(place.reshape(-1)), slices)

    @property
    def counts(self) -> Floats:
        """Examples of each pattern."""
        return np.bincount(self.of, minlength=len(self.first)).astype(np.float64)

    def draws(self, resamples: int, seed: int) -> Iterator[Floats]:
        """Blocks of resamples, float64 [block, patterns]: how often each pattern is in one."""
        generator, n, patterns = np.random.default_rng(seed), len(self.of), len(self.first)
        block = max(1, _CELLS // max(n, patterns))
        for start in range(0, resamples, block):
            size = min(block, resamples - start)
            drawn = self.of[generator.integers(n, size=(size, n))] + patterns * np.arange(size)[:, None]
            counts = np.bincount(drawn.ravel(), minlength=size * patterns)
            yield counts.reshape(size, patterns).astype(np.float64)


@dataclass(frozen=True, eq=False)
class Measured:
    """Figures of every arm: `measures` by arm, and `_drawn` by arm, slice and figure, float64 [resamples]."""

    measures: Mapping[str, list[Measure]]
    _patterns: _Patterns
    _estimates: Mapping[tuple[str, str], Floats]
    _drawn: Mapping[tuple[str, str], Floats]

    def figures(self, arm: str) -> dict[str, Any]:
        """`{figure: {"estimate", "low", "high", "slices": {slice: the same and "n"}}}`, fields apart."""
        found: dict[str, Any] = {}
        for place, measure in enumerate(self.measures[arm]):
            if measure.field:
                continue
            found[measure.name] = {
                **self._interval(arm, place, OVERALL),
                "slices": {
                    name: {**self._interval(arm, place, name), "n": self._examples(name)}
                    for name in self._patterns.slices
                },
            }
        return found

    def fields(self, arm: str) -> dict[str, Any]:
        """`{field: {"support", "given", "accuracy", "precision", "recall", "f1"}}` of a record's fields.

        `support`: how often gold has it; the figures are intervals.
        """
        found: dict[str, dict[str, Any]] = {}
        for place, measure in enumerate(self.measures[arm]):
            if not measure.field:
                continue
            row = found.setdefault(measure.field, {})
            row[measure.name] = self._interval(arm, place, OVERALL)
            if measure.name == "f1":
                _, row["given"], row["support"] = (int(x) for x in self._patterns.counts @ measure.parts)
        return found

    def differences(self, a: str, b: str) -> dict[str, Interval]:
        """Figure by figure a − b of the whole answers, over the same draws."""
        return {
            measure.name: self._difference(a, b, place)
            for place, measure in enumerate(self.measures[a])
            if not measure.field
        }

    def _examples(self, slice_: str) -> int:
        rows = self._patterns.slices.get(slice_)
        counts = self._patterns.counts
        return int(counts.sum() if rows is None else counts[rows].sum())

    def _interval(self, arm: str, place: int, slice_: str) -> Interval:
        measure = self.measures[arm][place]
        estimate = float(self._estimates[arm, slice_][place])
        if not np.isfinite(estimate):
            return {"estimate": None, "low": None, "high": None}
        rows = self._patterns.slices.get(slice_, slice(None))
        counts, parts = self._patterns.counts[rows], measure.parts[rows]
        if measure.counted:
            low, high = proportion_interval(*(counts @ parts))
            return {"estimate": estimate, "low": low, "high": high}
        looked_at = int(counts[parts.any(axis=1)].sum())
        if looked_at < LEAST:
            return {"estimate": estimate, "low": None, "high": None}
        if measure.estimated is not None:
            return measure.estimated(counts, parts).to_json()
        found = percentile_interval(estimate, self._drawn[arm, slice_][:, place], _expanded(looked_at))
        if found["low"] == found["high"]:
            return {"estimate": estimate, **_ends(measure, estimate, looked_at)}
        return found

    def _difference(self, a: str, b: str, place: int) -> Interval:
        estimate = float(self._estimates[a, OVERALL][place] - self._estimates[b, OVERALL][place])
        n = self._examples(OVERALL)
        of_a, of_b = self._drawn[a, OVERALL][:, place], self._drawn[b, OVERALL][:, place]
        ends = [self._interval(arm, place, OVERALL) for arm in (a, b)]
        if self.measures[a][place].estimated is not None and all(one["low"] is not None for one in ends):
            known = np.isfinite(of_a) & np.isfinite(of_b)
            together = correlation(of_a[known], of_b[known])
            one, other = (Estimated.of(end) for end in ends)
            return difference(one, other, together).to_json()
        drawn = of_a - of_b
        found = percentile_interval(estimate, drawn, _expanded(max(n, LEAST)))
        if n < LEAST or found["low"] == found["high"]:
            return {**found, "low": None, "high": None}
        return found


def _expanded(n: int) -> float:
    """The confidence at which percentiles of draws of `n` examples hold what they say at `CONFIDENCE`.

    A sample's spread is too small by sqrt((n - 1) / n), and its quantiles are Student's, not the normal ones.
    """
    from scipy.special import ndtr, stdtrit

    reach = stdtrit(n - 1, 0.5 + CONFIDENCE / 2) * (n / (n - 1)) ** 0.5
    return 1 - 2 * float(ndtr(-reach))


def _ends(measure: Measure, estimate: float, n: int) -> dict[str, float | None]:
    """The ends where every draw is alike.

    Of a figure in [0, 1] that is 1 only where every example is, the share of such examples is a lower bound,
    and `n` of `n` bound that share; 0 likewise.
    """
    if measure.bounded and estimate in (0.0, 1.0):
        low, high = proportion_interval(estimate * n, n)
        return {"low": low, "high": high}
    return {"low": None, "high": None}


def measure_arms(coded: Coded, arms: Mapping[str, Arm], *, seed: int, resamples: int) -> Measured:
    """Every arm's figures, with `resamples` draws of the examples. Doesn't depend on the examples' order."""
    patterns = _Patterns.among(coded)
    measures = {name: _measures(coded, patterns, name, arms[name]) for name in coded.answers}
    counts = patterns.counts
    estimates = {key: values[0] for key, values in _values(measures, patterns, counts[None])}
    blocks: dict[tuple[str, str], list[Floats]] = {key: [] for key in estimates}
    if any(measures.values()):
        for drawn in patterns.draws(resamples, seed):
            for key, values in _values(measures, patterns, drawn):
                blocks[key].append(values)
    return Measured(
        measures,
        patterns,
        estimates,
        {key: np.concatenate(parts) if parts else np.empty((0, 0)) for key, parts in blocks.items()},
    )


def _measures(coded: Coded, patterns: _Patterns, name: str, arm: Arm) -> list[Measure]:
    codes = coded.answers[name][patterns.first]
    return measures_of(
        coded.task,
        [None if code == UNANSWERED else coded.values[code] for code in codes],
        [coded.values[code] for code in coded.gold[patterns.first]],
        None if arm.similarity is None else arm.similarity[patterns.first],
    )


def _values(
    measures: Mapping[str, list[Measure]], patterns: _Patterns, drawn: Floats
) -> Iterator[tuple[tuple[str, str], Floats]]:
    """By arm and slice the figures on each draw, float64 [draws, figures]; `drawn` is [draws, patterns]."""
    for name, some in measures.items():
        widths = np.cumsum([0, *(measure.parts.shape[1] for measure in some)])
        stacked = _stacked(some, len(patterns.first))
        whole = np.zeros((len(drawn), widths[-1]))
        for slice_, rows in patterns.slices.items():
            sums = drawn[:, rows] @ stacked[rows]
            whole = whole + sums
            yield (name, slice_), _figures(some, widths, sums)
        yield (name, OVERALL), _figures(some, widths, whole)


def _stacked(measures: list[Measure], patterns: int) -> Any:
    """All parts beside each other, [patterns, parts]: sparse, since a kappa's are mostly zeros."""
    from scipy.sparse import csr_array

    return csr_array(np.concatenate([np.zeros((patterns, 0)), *(one.parts for one in measures)], axis=1))


def _figures(measures: list[Measure], widths: npt.NDArray[np.int64], sums: Floats) -> Floats:
    columns = [
        measure.of(sums[:, start:end])
        for measure, start, end in zip(measures, widths[:-1], widths[1:], strict=True)
    ]
    return np.stack(columns, axis=1) if columns else np.zeros((len(sums), 0))
