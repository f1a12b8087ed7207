"""Gold and arms as arrays of codes: one small whole number for each distinct value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from tutelage.evaluation.arms import ARM_NAMES, Arm
from tutelage.records import AnyGold, Fields, Value, dump_value
from tutelage.tasks import Task, with_labels

UNANSWERED = -1
NO_LABEL = "no label"

Codes = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Coded:
    """`gold` and each arm's `answers` are int64 [n] codes into `values`, UNANSWERED where there is none.

    `members` is bool [values + 1, labels]: which labels a value has; no column where values are open. Its
    last row, which code -1 finds, is empty. Codes follow the task's order of labels, or the values' JSON
    where they are open, and not the order of examples.
    """

    task: Task
    values: tuple[Value, ...]
    members: Flags
    gold: Codes
    answers: Mapping[str, Codes]
    slices: Mapping[str, Codes]
    _known: dict[tuple[int, int], bool] = field(default_factory=dict)

    @property
    def n(self) -> int:
        """Examples of gold."""
        return len(self.gold)

    @property
    def labelled(self) -> bool:
        """Whether values are labels."""
        return bool(self.members.shape[1])

    @cached_property
    def right(self) -> Mapping[str, Flags]:
        """Which examples each arm got right: bool [n]."""
        return {name: self.agree(codes, self.gold) for name, codes in self.answers.items()}

    @cached_property
    def repeats(self) -> Mapping[str, Flags]:
        """Where each arm repeats a wrong answer of the teacher, which has to be there: bool [n]."""
        teacher, teacher_right = self.answers["teacher"], self.right["teacher"]
        return {
            name: ~teacher_right & ~self.right[name] & self.agree(codes, teacher)
            for name, codes in self.answers.items()
        }

    def agree(self, answers: Codes, references: Codes) -> Flags:
        """Whether the task takes each answer for as good as its reference: bool [n].

        A pair of which either is UNANSWERED doesn't agree.
        """
        pairs, place = np.unique(np.stack([answers, references], axis=1), axis=0, return_inverse=True)
        found = np.array(
            [self._agree(int(answer), int(reference)) for answer, reference in pairs], dtype=bool
        )
        flags: Flags = found[place.reshape(-1)]
        return flags

    def _agree(self, answer: int, reference: int) -> bool:
        if UNANSWERED in (answer, reference):
            return False
        if answer == reference:
            return True
        if (answer, reference) not in self._known:
            compared = self.task.compare(self.values[answer], self.values[reference])
            self._known[answer, reference] = compared.agree
        return self._known[answer, reference]


def encode(task: Task, gold: Sequence[AnyGold], arms: Mapping[str, Arm]) -> Coded:
    """Code checked input; arms come in fixed order, slices by name with the positions of their examples."""
    columns = {name: arms[name].values for name in ARM_NAMES if name in arms}
    truths = [item.value for item in gold]
    distinct = set(truths).union(
        *({value for value in column if value is not None} for column in columns.values())
    )
    values, members = _ordered(task, distinct)
    code = {value: index for index, value in enumerate(values)}
    names = np.array([item.prompt.slice for item in gold])
    return Coded(
        task=task,
        values=tuple(values),
        members=members,
        gold=np.array([code[value] for value in truths], dtype=np.int64),
        answers={
            name: np.array([UNANSWERED if value is None else code[value] for value in column], dtype=np.int64)
            for name, column in columns.items()
        },
        slices={str(name): np.flatnonzero(names == name) for name in np.unique(names)},
    )


def _ordered(task: Task, distinct: Set[Value]) -> tuple[list[Value], Flags]:
    """The values in their order, and their labels: see `Coded`."""
    labelled = with_labels(task)
    if labelled is None:
        return sorted(distinct, key=dump_value), np.zeros((len(distinct) + 1, 0), dtype=bool)
    position = {label: index for index, label in enumerate(labelled.labels)}
    values = sorted(distinct, key=lambda value: [position[label] for label in labelled.names_of(value)])
    members = np.zeros((len(values) + 1, len(position)), dtype=bool)
    for index, value in enumerate(values):
        members[index, [position[label] for label in labelled.names_of(value)]] = True
    return values, members


def display(value: Value | None) -> str | None:
    """A value as people read it: several labels joined with " | ", a record as JSON, None for no answer."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, Fields):
        return dump_value(value)
    return " | ".join(value) or NO_LABEL
