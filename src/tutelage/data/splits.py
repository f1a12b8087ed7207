"""Splits at random that leave no group on both sides."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


def held_rows(count: int, held: int, seed: int, groups: Sequence[str] = ()) -> npt.NDArray[np.int64]:
    """Which of `count` rows to hold back, `held` of them, drawn at random by `seed`; int64, ascending.

    `groups` has a name a row, empty for a row that stands alone; none at all where no row has one. Rows of
    one group go together, in the order in which a row of each is drawn, so that there are at most `held`: a
    group that is larger than what is left stays. Where every group is too large the smallest is held back.
    Where all rows are of one group, no split can spare it, and rows are drawn one by one.
    """
    import numpy as np

    order = np.random.default_rng(seed).permutation(count)
    names = [group or f"\0{row}" for row, group in enumerate(groups)]
    sizes = Counter(names)
    if not any(groups) or len(sizes) < 2:
        return np.sort(order[:held])
    chosen: set[str] = set()
    left = held
    for row in order.tolist():
        name = names[row]
        if name not in chosen and sizes[name] <= left:
            chosen.add(name)
            left -= sizes[name]
    if not chosen and held:
        chosen.add(min(sizes, key=lambda name: (sizes[name], name)))
    return np.array([row for row, name in enumerate(names) if name in chosen], np.int64)


def part_rows(
    count: int, held: int, seed: int, groups: Sequence[str] = (), synthetic: Sequence[bool] = ()
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Rows to learn from and rows to hold back, `held` of them, as `held_rows` draws them; int64, ascending.

    `synthetic` tells which rows a model wrote, none at all where no row is. They are never held back, so that
    nothing is judged on them; those of a group that is held back are in neither part.
    """
    import numpy as np

    written = np.array(synthetic, bool) if any(synthetic) else np.zeros(count, bool)
    real = np.flatnonzero(~written)
    if len(real) < 2:
        real = np.arange(count)
    of_real = [groups[row] for row in real.tolist()] if groups else ()
    chosen = real[held_rows(len(real), min(held, len(real) - 1), seed, of_real)]
    names = {groups[row] for row in chosen.tolist()} - {""} if groups else set()
    apart = [row for row in np.flatnonzero(written).tolist() if groups and groups[row] in names]
    return others(count, np.union1d(chosen, np.array(apart, np.int64))), chosen


def others(count: int, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The rows that aren't among these; int64, ascending."""
    import numpy as np

    return np.setdiff1d(np.arange(count), rows, assume_unique=True)


def flags_of(flags: Sequence[bool]) -> tuple[bool, ...]:
    """A column of flags as `part_rows` takes it: none where no row has one."""
    return tuple(flags) if any(flags) else ()


def groups_of(names: Sequence[str | None]) -> tuple[str, ...]:
    """A column of groups as `held_rows` takes it: none where no row has one."""
    return tuple(name or "" for name in names) if any(names) else ()
