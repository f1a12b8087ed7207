"""How many more examples would decide a term."""

from __future__ import annotations

import math
from collections.abc import Callable

_REACH = 200  # times the examples there are; beyond it, and beyond _LEAST_REACH, more gold is no answer
_LEAST_REACH = 100_000


def extra_examples(decided: Callable[[int], bool], n: int) -> int | None:
    """The fewest further examples with which `decided(n + extra)` holds; None where no number in reach does.

    `decided` says whether that many examples, in the proportions seen so far, would settle the term. Rounded
    up to two digits, since it is an estimate: the examples to come will differ from those there are.
    """
    if n < 1:
        return None
    short, enough = n, 2 * n
    while not decided(enough):
        if enough > max(_REACH * n, _LEAST_REACH):
            return None
        short, enough = enough, 2 * enough
    while enough - short > 1:
        middle = (short + enough) // 2
        short, enough = (short, middle) if decided(middle) else (middle, enough)
    return _round_up(enough - n)


def _round_up(number: int) -> int:
    unit: int = 10 ** max(0, math.floor(math.log10(number)) - 1)
    return -(-number // unit) * unit
