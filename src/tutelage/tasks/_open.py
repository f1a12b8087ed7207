"""What tasks have in common whose values are open."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tutelage.records import Value
from tutelage.tasks.protocol import Comparison


def medoid(values: Sequence[Value], compare: Callable[[Value, Value], Comparison]) -> Value:
    """The value that agrees most with the others, by the sum of its scores; ties go to the earlier.

    Raises ValueError for none.
    """
    if not values:
        raise ValueError("no value to choose from")
    distinct = list(dict.fromkeys(values))
    counts = [values.count(value) for value in distinct]
    sums = [
        sum(
            count * (1.0 if other == value else compare(value, other).score)
            for other, count in zip(distinct, counts, strict=True)
        )
        for value in distinct
    ]
    return distinct[sums.index(max(sums))]
