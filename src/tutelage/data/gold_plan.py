"""How many examples gold needs in each slice, and which prompts of the traffic people should label next.

Prompts are drawn at random within strata of slice and cluster, before anybody has answered them: what a
teacher or a student finds hard has no say, or gold would measure them on what was picked for it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tutelage.data.gold import examples_needed, half_width

Counts = npt.NDArray[np.int64]
Amounts = npt.NDArray[np.float64]

ALL = "all"


@dataclass(frozen=True, slots=True)
class SliceNeed:
    """A slice (or all) of gold: sealed examples there are and are needed at `margin`, and `why` that one.

    `waiting` prompts are drawn already and not yet gold; `rows` is how many more should be labelled, those
    counted that go to gold's parts for training and calibration; `traffic` how many prompts there are.
    """

    slice: str
    have: int
    need: int
    margin: float
    why: str
    waiting: int = 0
    rows: int = 0
    traffic: int = 0
    accuracy: float = 0.9

    @property
    def width(self) -> float:
        """Half the width of the interval that what is sealed gives."""
        return half_width(self.have, self.accuracy)


def slice_needs(
    sealed: Mapping[str, int],
    waiting: Mapping[str, int],
    traffic: Mapping[str, int],
    margins: Mapping[str, tuple[float, str]],
    *,
    accuracy: float,
    sealed_share: float,
) -> list[SliceNeed]:
    """One entry for each slice that has a margin of its own, and `ALL` at the end; others are part of that.

    Counts are by slice: sealed examples, prompts drawn that aren't gold yet, distinct prompts of the traffic.
    `margins` gives half-widths and the key of tutelage.yaml that asks for them, `ALL` among them. Of what is
    labelled `sealed_share` is sealed; the rest goes to gold's other parts.
    """

    def needed(name: str, have: int, drawn: int, there: int) -> SliceNeed:
        margin, why = margins[name]
        need = examples_needed(margin, accuracy)
        rows = max(0, math.ceil((need - have) / sealed_share - 1e-9) - drawn)
        return SliceNeed(name, have, need, margin, why, drawn, rows, there, accuracy)

    of_slices = [
        needed(name, sealed.get(name, 0), waiting.get(name, 0), traffic.get(name, 0))
        for name in margins
        if name != ALL
    ]
    of_all = needed(ALL, sum(sealed.values()), sum(waiting.values()), sum(traffic.values()))
    return [*of_slices, of_all]


def allocate(rows: int, traffic: Amounts, gold: Amounts, there: Counts) -> Counts:
    """How many of `rows` prompts to draw from each of k strata so that gold comes to look like the traffic.

    `traffic` [k] is how often each stratum comes in, `gold` [k] what gold has of it, `there` [k] how many
    prompts can be drawn. Each stratum's share of what it lacks of its share; never more than there are.
    """
    rows = min(rows, int(there.sum()))
    total = float(traffic.sum())
    if rows <= 0 or total <= 0:
        return np.zeros(len(there), dtype=np.int64)
    lacking = np.clip(traffic / total * (float(gold.sum()) + rows) - gold, 0.0, there)
    exact = lacking * min(1.0, rows / max(float(lacking.sum()), 1e-12))
    counts = np.floor(exact).astype(np.int64)
    order = np.lexsort((np.arange(len(there)), -(exact - counts)))
    while (left := rows - int(counts.sum())) > 0:
        room = [place for place in order if counts[place] < there[place]]
        counts[room[:left]] += 1
    return counts


def draw_stratified(
    rows: int, strata: Counts, counts: Counts, gold: Amounts, *, seed: int
) -> npt.NDArray[np.int64]:
    """Positions of `rows` prompts, in random order. `strata` [n] are numbers below k, `gold` is [k].

    `counts` [n] says how often each prompt came in: what is asked often is drawn more readily, as if rows of
    the traffic were drawn and repeats left out.
    """
    generator = np.random.default_rng(seed)
    k = len(gold)
    there = np.bincount(strata, minlength=k).astype(np.int64)
    mass = np.bincount(strata, weights=counts, minlength=k).astype(np.float64)
    chosen: list[int] = []
    for stratum, wanted in enumerate(allocate(rows, mass, gold, there).tolist()):
        members = np.flatnonzero(strata == stratum)
        if wanted:
            weights = counts[members] / counts[members].sum()
            chosen += generator.choice(members, wanted, replace=False, p=weights).tolist()
    return generator.permutation(np.array(chosen, dtype=np.int64))
