"""What tasks have in common whose values are labels."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from tutelage.records import Fields, Value

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

DECISION_POINT = 0.5  # the probability from which a label of a multi-label answer counts as given


def names_of(value: Value) -> tuple[str, ...]:
    """The labels of a value: one, or with several allowed any number. Raises TypeError for a record."""
    if isinstance(value, Fields):
        raise TypeError(f"a record has no labels: {value!r}"[:200])
    return value if isinstance(value, tuple) else (value,)


@lru_cache(maxsize=1_024)  # a label that is spelt wrongly stands in many rows
def nearest_label(name: str, labels: tuple[str, ...]) -> str:
    """The label that was probably meant, as a remark; "" where none looks like it."""
    lower = {label.casefold(): label for label in labels}
    near = difflib.get_close_matches(name.casefold(), lower, n=1, cutoff=0.7)
    return f"; nearest is {lower[near[0]]!r}" if near else ""


class LabelSpace:
    """Values as vectors over `labels`, and back."""

    labels: tuple[str, ...]

    @property
    def multi_label(self) -> bool:
        """Whether a value is a tuple of labels."""
        return False

    @property
    def comparing(self) -> str:
        """See `Task.comparing`: labels are the same or they aren't."""
        return ""

    def value_of(self, names: Sequence[str]) -> Value:
        """Label names as a value: the label, or with several allowed their sorted tuple."""
        return tuple(sorted(set(names))) if self.multi_label else names[0]

    def names_of(self, value: Value) -> tuple[str, ...]:
        """The inverse of `value_of`."""
        return names_of(value)

    def encode(self, values: Sequence[Value]) -> npt.NDArray[np.float32]:
        """Values as indicator rows: float32 [n, labels], 1 where a label is given."""
        import numpy as np

        index = {name: position for position, name in enumerate(self.labels)}
        rows = np.zeros((len(values), len(self.labels)), dtype=np.float32)
        columns_of: dict[Value, list[int]] = {}  # values repeat
        given_rows: list[int] = []
        given: list[int] = []
        for row, value in enumerate(values):
            columns = columns_of.get(value)
            if columns is None:
                columns = columns_of[value] = [index[name] for name in self.names_of(value)]
            given += columns
            given_rows += [row] * len(columns)
        rows[given_rows, given] = 1.0
        return rows

    def decide(self, distributions: npt.NDArray[np.float32]) -> list[Value]:
        """Distributions [n, labels] as values: the most probable label, or all from one half up."""
        import numpy as np

        if self.multi_label:
            return [
                self.value_of([self.labels[i] for i in np.flatnonzero(row >= DECISION_POINT)])
                for row in distributions
            ]
        return [self.labels[i] for i in distributions.argmax(axis=1)]

    def vote(self, values: Sequence[Value]) -> tuple[Value, npt.NDArray[np.float32] | None]:
        """Shares of the samples, float32 [labels]; ties go to the label that comes first in the task."""
        import numpy as np

        shares = self.encode(values).mean(axis=0, dtype=np.float64).astype(np.float32)
        return self.decide(shares[None])[0], shares
