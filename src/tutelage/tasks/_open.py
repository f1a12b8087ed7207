"""What tasks have in common whose values are open."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from tutelage.records import Value
from tutelage.tasks.protocol import Comparison

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


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


class OpenSpace:
    """Values without a fixed set: no labels, and votes go to the sample that agrees most with the others."""

    @property
    @abstractmethod
    def kind(self) -> str:
        """See `Task.kind`."""

    @abstractmethod
    def compare(self, answer: Value, reference: Value) -> Comparison:
        """See `Task.compare`."""

    @property
    def labels(self) -> tuple[str, ...]:
        """None: values are open."""
        return ()

    @property
    def multi_label(self) -> bool:
        """Never."""
        return False

    @property
    def answer_key(self) -> str:
        """None: no label stands in an answer."""
        return ""

    def label_text(self, label: str) -> str:
        """Labels are none of such a task's. Raises ValueError."""
        raise ValueError(f"task.type {self.kind} has no labels, so {label!r} is none")

    def vote(self, values: Sequence[Value]) -> tuple[Value, npt.NDArray[np.float32] | None]:
        """The value that agrees most with the others. See `Task.vote`."""
        return medoid(values, self.compare), None
