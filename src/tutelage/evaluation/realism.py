"""How far prompts that a model wrote are from real ones: distances, and whether they can be told apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tutelage.evaluation.shift import Floats, classifier_test, nearest_shift

_MOST = 5_000  # real texts held out to compare with
_REFERENCE = 30_000  # real texts to which distances are measured
_HELD_OUT = 4  # of so many real texts one is held out

Flags = npt.NDArray[np.bool_]


def measure_realism(
    written: Floats,
    real: Floats,
    shown: Flags,
    *,
    groups: tuple[Sequence[str], Sequence[str]] | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Points of what was `written` [n, width] beside `real` [m, width], of which `shown` [m] were its models.

    `nearest`: the distance to the nearest of most real texts, of what was written and of real ones that are
    held out. `nearer` is the probability that a written one lies nearer than a real one: 0.5 where alike,
    above where it copies, below where it strays. `classifier`: the two-sample test against real texts that
    the writer wasn't shown, an AUC of 0.5 where nobody can tell. Where the thin and the hard are added to,
    what is written differs from the traffic by intent: `matched` compares it with as many real texts of the
    same `groups` (of written, of real). None of them where there are fewer than ten of either.
    """
    generator = np.random.default_rng(seed)
    fresh = generator.permutation(np.flatnonzero(~shown))
    held = fresh[: min(_MOST, len(real) // _HELD_OUT)]
    rest = np.setdiff1d(np.arange(len(real)), held)
    reference = rest[generator.permutation(len(rest))[:_REFERENCE]]
    return {
        "n": len(written),
        "n_real": len(real),
        "nearest": _nearest(nearest_shift(written, real[held], real[reference])),
        "classifier": _told_apart(classifier_test(written, real[fresh[:_MOST]], seed=seed)),
        "matched": None if groups is None else _matched(written, real, shown, groups, seed),
    }


def _matched(
    written: Floats, real: Floats, shown: Flags, groups: tuple[Sequence[str], Sequence[str]], seed: int
) -> dict[str, Any] | None:
    """The classifier's test on as many of each side in each group."""
    generator = np.random.default_rng(seed)
    ours, theirs = (np.array(names, dtype=object) for names in groups)
    one: list[int] = []
    other: list[int] = []
    for name in sorted(set(ours.tolist())):
        here, there = np.flatnonzero(ours == name), np.flatnonzero((theirs == name) & ~shown)
        count = min(len(here), len(there))
        one += generator.permutation(here)[:count].tolist()
        other += generator.permutation(there)[:count].tolist()
    return _told_apart(classifier_test(written[one], real[other], seed=seed))


def _nearest(found: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if found is None:
        return None
    same = {"nearer": found["gold_nearer"], **{name: found[name] for name in ("low", "high", "p")}}
    sizes = {"n_written": found["n_gold"], "n_real": found["n_traffic"]}
    return {"written": found["gold"], "real": found["traffic"], **same, **sizes}


def _told_apart(found: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if found is None:
        return None
    same = {name: found[name] for name in ("auc", "low", "high", "p")}
    return {**same, "n_written": found["n_gold"], "n_real": found["n_traffic"]}
