"""Gold and arms as arrays of codes: one small whole number for each distinct value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from tutelage.evaluation.arms import ARM_NAMES, Arm
from tutelage.records import Gold, Value
from tutelage.tasks import LabelTask

UNANSWERED = -1
NO_LABEL = "no label"

Codes = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Coded:
    """`gold` and each arm's `answers` are int64 [n] codes into `values`, UNANSWERED where there is none.

    `members` is bool [values + 1, labels]: which labels a value has. Its last row, which code -1 finds, is
    empty. `agrees` is bool [values + 1, values]: whether an answer counts as right where gold says so; nobody
    agrees with its last row. Codes follow the task's order of labels, not the order of examples.
    """

    values: tuple[Value, ...]
    members: Flags
    agrees: Flags
    gold: Codes
    answers: Mapping[str, Codes]
    slices: Mapping[str, Codes]

    @property
    def n(self) -> int:
        """Examples of gold."""
        return len(self.gold)

    @cached_property
    def right(self) -> Mapping[str, Flags]:
        """Which examples each arm got right: bool [n]."""
        return {name: self.agrees[codes, self.gold] for name, codes in self.answers.items()}


def encode(task: LabelTask, gold: Sequence[Gold], arms: Mapping[str, Arm]) -> Coded:
    """Code checked input; arms come in fixed order, slices by name with the positions of their examples."""
    position = {label: index for index, label in enumerate(task.labels)}
    columns = {name: arms[name].values for name in ARM_NAMES if name in arms}
    truths = [item.value for item in gold]
    distinct = set(truths).union(
        *({value for value in column if value is not None} for column in columns.values())
    )
    values = sorted(distinct, key=lambda value: [position[label] for label in task.names_of(value)])
    code = {value: index for index, value in enumerate(values)}
    members = np.zeros((len(values) + 1, len(task.labels)), dtype=bool)
    for index, value in enumerate(values):
        members[index, [position[label] for label in task.names_of(value)]] = True
    names = np.array([item.prompt.slice for item in gold])
    return Coded(
        values=tuple(values),
        members=members,
        agrees=_agrees(task, values),
        gold=np.array([code[value] for value in truths], dtype=np.int64),
        answers={
            name: np.array([UNANSWERED if value is None else code[value] for value in column], dtype=np.int64)
            for name, column in columns.items()
        },
        slices={str(name): np.flatnonzero(names == name) for name in np.unique(names)},
    )


def _agrees(task: LabelTask, values: Sequence[Value]) -> Flags:
    agrees = np.zeros((len(values) + 1, len(values)), dtype=bool)
    agrees[: len(values)] = np.eye(len(values), dtype=bool)
    if task.kind == "judge":  # whose scores agree within a tolerance; there are at most as many as labels
        for place, value in enumerate(values):
            agrees[place] = [task.compare(value, other).agree for other in values]
    return agrees


def display(value: Value | None) -> str | None:
    """A value as people read it; several labels joined with " | ", None for an answer that isn't there."""
    if value is None or isinstance(value, str):
        return value
    return " | ".join(value) or NO_LABEL
