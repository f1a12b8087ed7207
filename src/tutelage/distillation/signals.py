"""What a student learns from: the transfer set as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tutelage.data.splits import NOWHERE, Origins, origins_of, part_rows
from tutelage.records import AnswerStatus, DistributionOrigin, load_value
from tutelage.tasks import LabelTask

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Signals:
    """Texts and their targets, row by row.

    `teacher`: float32 [n, labels], the teacher's distribution, or indicators of its label where it gave none.
    `softened`: bool [n], whether the row is a true distribution, so that a temperature means something.
    `gold`: float32 [n, labels], indicators of the human labels; `has_gold`: bool [n].
    `has_teacher`: bool [n], False for rows that only a human has answered. `origins`: what splits mind.
    """

    texts: tuple[str, ...]
    teacher: Floats
    softened: npt.NDArray[np.bool_]
    has_teacher: npt.NDArray[np.bool_]
    gold: Floats
    has_gold: npt.NDArray[np.bool_]
    origins: Origins = NOWHERE

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def targets(self) -> Floats:
        """The best known answer of each row: the human's, else the teacher's."""
        return np.where(self.has_gold[:, None], self.gold, self.teacher)

    def with_answers(self, texts: Sequence[str], teacher: Floats) -> Signals:
        """With rows of a teacher's distributions, [texts, labels], below the others."""
        n = len(texts)
        return Signals(
            (*self.texts, *texts),
            np.concatenate([self.teacher, teacher.astype(np.float32)]),
            np.concatenate([self.softened, np.ones(n, bool)]),
            np.concatenate([self.has_teacher, np.ones(n, bool)]),
            np.concatenate([self.gold, np.zeros_like(teacher, np.float32)]),
            np.concatenate([self.has_gold, np.zeros(n, bool)]),
            self.origins.and_then(len(self), NOWHERE, n),
        )

    def take(self, indices: npt.NDArray[np.int64]) -> Signals:
        """The rows at `indices`."""
        return Signals(
            tuple(self.texts[index] for index in indices),
            self.teacher[indices],
            self.softened[indices],
            self.has_teacher[indices],
            self.gold[indices],
            self.has_gold[indices],
            self.origins.take(indices),
        )


def read_signals(transfer: pa.Table, task: LabelTask, *, by_time: bool = False) -> Signals:
    """The rows of `answers/transfer.parquet` that teach; quarantined answers without a human label don't.

    With `by_time` the latest are held back.
    """
    rows = [
        row for row in transfer.to_pylist() if row["status"] == AnswerStatus.OK or row["gold"] is not None
    ]
    shape = (len(rows), len(task.labels))
    teacher, gold = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    softened, has_teacher = np.zeros(len(rows), bool), np.zeros(len(rows), bool)
    for index, row in enumerate(rows):
        if row["status"] == AnswerStatus.OK:
            has_teacher[index] = True
            # What a person said is sure: there is nothing to soften.
            softened[index] = row["distribution"] is not None and row["origin"] != DistributionOrigin.HUMAN
            teacher[index] = (
                row["distribution"] if softened[index] else task.encode([load_value(row["value"])])[0]
            )
        if row["gold"] is not None:
            gold[index] = task.encode([load_value(row["gold"])])[0]
    has_gold = np.array([row["gold"] is not None for row in rows], bool)
    texts = tuple(row["text"] for row in rows)
    origins = origins_of(rows, by_time=by_time)
    return Signals(texts, teacher, softened, has_teacher, gold, has_gold, origins)


def hard_labels(signals: Signals, source: str, task: LabelTask) -> Signals:
    """The control arm's signals: hard labels alone.

    `gold`: those of humans, what a team has without a teacher. `teacher`: the teacher's, with the humans'
    where the student has them too, so that the arms differ in the distributions alone.
    """
    if source == "gold":
        part = signals.take(np.flatnonzero(signals.has_gold))
        return Signals(
            part.texts,
            part.gold,
            np.zeros(len(part), bool),
            np.zeros(len(part), bool),
            part.gold,
            part.has_gold,
            part.origins,
        )
    labels = np.where(signals.has_teacher[:, None], task.encode(task.decide(signals.teacher)), 0.0)
    return Signals(
        signals.texts,
        labels.astype(np.float32),
        np.zeros(len(signals), bool),
        signals.has_teacher,
        signals.gold,
        signals.has_gold,
        signals.origins,
    )


def hold_back(signals: Signals, share: float, seed: int) -> tuple[Signals, Signals]:
    """Split into (learning, validation) by `data.splits.part_rows`: about `share` is held back.

    Either has at least one row where there are two.
    """
    learning, held = part_rows(len(signals), share, seed, signals.origins)
    return signals.take(learning), signals.take(held)
