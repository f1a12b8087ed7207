"""Splits that leave no group on both sides: at random, or the latest rows held back."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from tutelage.errors import DataError
from tutelage.records import SYNTHETIC

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Rows = npt.NDArray[np.int64]

_LEAST = 0.5  # of what was asked for, where a draw by ids gives less


@dataclass(frozen=True)
class Origins:
    """What a split minds of its rows: columns with an entry a row, or empty.

    `groups` names the group of each, empty for one that stands alone. `synthetic` tells which a model wrote.
    `ids` are those of the prompts. `times`, in seconds since the epoch, None where unknown: with them the
    latest rows are held back.
    """

    groups: tuple[str, ...] = ()
    synthetic: tuple[bool, ...] = ()
    ids: tuple[str, ...] = ()
    times: tuple[float | None, ...] = ()

    def take(self, indices: Rows) -> Origins:
        """Of the rows at `indices`."""
        places = indices.tolist()

        def taken(column: tuple[Any, ...]) -> tuple[Any, ...]:
            return tuple(column[place] for place in places) if column else ()

        return Origins(*map(taken, (self.groups, self.synthetic, self.ids, self.times)))

    def and_then(self, count: int, other: Origins, more: int) -> Origins:
        """Of these `count` rows, and then of `more` others."""

        def joined(one: tuple[Any, ...], two: tuple[Any, ...], absent: Any) -> tuple[Any, ...]:
            return (one or (absent,) * count) + (two or (absent,) * more) if one or two else ()

        return Origins(
            joined(self.groups, other.groups, ""),
            joined(self.synthetic, other.synthetic, False),
            joined(self.ids, other.ids, ""),
            joined(self.times, other.times, None),
        )


NOWHERE = Origins()
"""Of rows of which nothing is known."""


def origins_of(rows: Sequence[Mapping[str, Any]], *, by_time: bool) -> Origins:
    """Of rows of the transfer set; their times only where the latest are to be held back.

    Raises DataError where none has a time then.
    """
    groups = tuple(row.get("group") or "" for row in rows)
    synthetic = tuple(row.get("source") == SYNTHETIC for row in rows)
    ids = tuple(row.get("id") or "" for row in rows)
    times = tuple(row.get("time") for row in rows) if by_time else ()
    if by_time and rows and all(time is None for time in times):
        raise DataError(
            "traffic.split is time, and no answered prompt has one. Mend: name the column of times in "
            "columns.time of a source, then tutelage collect --anew; or leave traffic.split out"
        )
    return Origins(
        groups if any(groups) else (),
        synthetic if any(synthetic) else (),
        ids if all(ids) else (),
        times,
    )


def held_rows(
    count: int,
    share: float,
    seed: int,
    groups: Sequence[str] = (),
    ids: Sequence[str] = (),
    times: Sequence[float | None] = (),
) -> Rows:
    """Which of `count` rows to hold back, about `share` of them; int64, ascending. See `Origins`.

    At least one row where there are two, never all, and no group is on both sides: the rows of one go
    together, or where it is larger than what is asked for they stay. Where every group is too large the
    smallest is held back. Where all rows are of one group, no split can spare it, and rows go by themselves.

    Without `ids` rows are drawn by their places, and as many as were asked for but for what groups
    make of it. With `ids` each group is drawn by `seed` and the id of its first row alone, so that rows that
    are added move none to the other side; how many are held back then varies as if each tossed a coin, half
    of what was asked for at the least. With `times` the latest are held back, a group by its latest row.
    """
    import numpy as np

    if count < 2:
        return np.empty(0, np.int64)
    held = min(max(1, round(share * count)), count - 1)
    members: dict[str, list[int]] = defaultdict(list)
    for row in range(count):
        members[(groups[row] if groups else "") or f"\0{row}"].append(row)
    if len(members) < 2:
        members = {f"\0{row}": [row] for row in range(count)}
    sets = list(members.values())
    if times:
        chosen = _filled(sorted(sets, key=lambda rows: _latest(rows, times), reverse=True), held)
    elif ids:
        draws = {rows[0]: _draw(seed, ids[rows[0]]) for rows in sets}
        chosen = _drawn(sets, lambda rows: draws[rows[0]], share, held)
    else:
        turns = np.empty(count, np.int64)
        turns[np.random.default_rng(seed).permutation(count)] = np.arange(count)
        chosen = _filled(sorted(sets, key=lambda rows: min(turns[row] for row in rows)), held)
    if not chosen:
        chosen = [min(sets, key=lambda rows: (len(rows), rows))]
    return np.sort(np.array([row for rows in chosen for row in rows], np.int64))


def _filled(sets: Sequence[list[int]], held: int) -> list[list[int]]:
    """Sets in turn, each that fits into what is left of `held` rows."""
    chosen = []
    for rows in sets:
        if len(rows) <= held:
            chosen.append(rows)
            held -= len(rows)
    return chosen


def _drawn(
    sets: Sequence[list[int]], draw: Callable[[list[int]], float], share: float, held: int
) -> list[list[int]]:
    """Those drawn below `share` that aren't larger than `held`; the next ones too where these are few."""
    fit = sorted((rows for rows in sets if len(rows) <= held), key=draw)
    chosen, count = [], 0
    for rows in fit:
        if draw(rows) >= share and count >= math.ceil(_LEAST * held):
            break
        if count + len(rows) < sum(map(len, sets)):
            chosen.append(rows)
            count += len(rows)
    return chosen


def _draw(seed: int, id_: str) -> float:
    """Even over [0, 1), the same for a seed and an id on every machine."""
    digest = blake2b(f"{seed} {id_}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def _latest(rows: Sequence[int], times: Sequence[float | None]) -> float:
    known = [time for row in rows if (time := times[row]) is not None]
    return max(known, default=-math.inf)


def part_rows(count: int, share: float, seed: int, origins: Origins) -> tuple[Rows, Rows]:
    """Rows to learn from and rows to hold back, as `held_rows` chooses them; int64, ascending.

    What a model wrote is never held back, so that nothing is judged on it; such rows of a group that is held
    back are in neither part. `share` counts the others.
    """
    import numpy as np

    written = np.array(origins.synthetic, bool) if any(origins.synthetic) else np.zeros(count, bool)
    real = np.flatnonzero(~written)
    if len(real) < 2:
        real = np.arange(count)
    of_real = origins.take(real)
    chosen = real[held_rows(len(real), share, seed, of_real.groups, of_real.ids, of_real.times)]
    groups = origins.groups
    names = {groups[row] for row in chosen.tolist()} - {""} if groups else set()
    apart = [row for row in np.flatnonzero(written).tolist() if groups and groups[row] in names]
    return others(count, np.union1d(chosen, np.array(apart, np.int64))), chosen


def others(count: int, rows: Rows) -> Rows:
    """The rows that aren't among these; int64, ascending."""
    import numpy as np

    return np.setdiff1d(np.arange(count), rows, assume_unique=True)
