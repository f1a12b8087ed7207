"""What students are trained and compared on beside each other, and how each is trained and judged."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tutelage.config import StudentConfig
from tutelage.data.splits import part_rows
from tutelage.distillation import (
    Signals,
    TextSignals,
    distil_student,
    distil_texts,
    read_signals,
    read_texts,
    require_enough,
)
from tutelage.errors import UsageError
from tutelage.programme import Programme
from tutelage.progress import Progress
from tutelage.records import AnswerStatus
from tutelage.stages.arms import layer_teaching, said_declining
from tutelage.stages.predictions import predictions
from tutelage.stages.task import label_task, resolved_task
from tutelage.stages.transfer import read_transfer, split_by_time
from tutelage.students import Student, Writer
from tutelage.tasks import Task, with_labels

_LEAST_SELECTION = 30
_SPLIT_SEED = 0  # the part compared on is the same whatever the candidates' seeds


@dataclass(frozen=True)
class Ground:
    """The transfer set, cut in two: what is learned from, and what is compared on.

    `declined` is learned from beside it by students that learn to decline (`student.refusals`). Nobody is
    compared on it: those that don't would be wrong there by their own settings.
    """

    task: Task
    labels: Signals | None
    texts: TextSignals
    declined: TextSignals
    learning: npt.NDArray[np.int64]
    selection: npt.NDArray[np.int64]

    @property
    def compared(self) -> TextSignals:
        """The rows compared on."""
        return self.texts.take(self.selection)

    def learned(self, config: StudentConfig) -> TextSignals:
        """The rows that a student that writes learns from."""
        answered = self.texts.take(self.learning)
        return answered.and_then(self.declined) if config.refusals else answered


def split_transfer(programme: Programme) -> Ground:
    """The transfer set, cut in two. Raises UsageError where too little is left to compare on."""
    table, task = read_transfer(programme), resolved_task(programme)
    by_time = split_by_time(programme)
    texts = read_texts(table, by_time=by_time)
    share = programme.config.comparison.selection
    learning, selection = part_rows(len(texts), share, _SPLIT_SEED, texts.origins)
    real = len(texts) - sum(texts.origins.synthetic)
    count = round(share * real)  # on average: draws by id give some more or fewer
    if count < _LEAST_SELECTION:
        raise UsageError(
            f"{count} of {real:,} answers are left to compare on; {_LEAST_SELECTION} are the "
            "least. "
            "Mend: label more traffic, or raise comparison.selection"
        )
    labelled = with_labels(task)
    labels = read_signals(table, labelled, by_time=by_time) if labelled is not None else None
    require_enough(texts.take(learning))
    return Ground(task, labels, texts, _declined(programme, task), learning, selection)


def _declined(programme: Programme, task: Task) -> TextSignals:
    """The prompts that nobody answered and the teacher declined, with what it said."""
    said, table = said_declining(programme, task), read_transfer(programme)
    rows = zip(table["hash"].to_pylist(), table["status"].to_pylist(), table["gold"].to_pylist(), strict=True)
    alone = [key in said and status != AnswerStatus.OK and gold is None for key, status, gold in rows]
    return read_texts(table.filter(pa.array(alone, pa.bool_())), said)


def scores_of(student: Student | Writer, ground: Ground) -> list[float]:
    """How right it is on each row compared on, in [0, 1]; 0 where it says nothing that can be read."""
    part = ground.compared
    said = predictions(student, ground.task, part.texts).values
    return [
        0.0 if value is None else ground.task.compare(value, wanted).score
        for value, wanted in zip(said, part.targets, strict=True)
    ]


def trained_on(
    programme: Programme,
    named: str,
    config: StudentConfig,
    ground: Ground,
    progress: Progress,
    checkpoint: Path,
) -> Student | Writer:
    """A student of the rows that the ground is learned from. Raises as training does."""
    described = f"training {named}"
    if config.writes:
        return distil_texts(
            ground.learned(config),
            ground.task,
            config,
            programme.folder,
            progress,
            description=described,
            checkpoint=checkpoint,
        ).student
    task = label_task(programme, f"student.family {config.family}")
    if ground.labels is None:
        raise AssertionError("unreachable: label_task raises where values are open")
    return distil_student(
        ground.labels.take(ground.learning),
        task,
        config,
        programme.folder,
        progress,
        description=described,
        checkpoint=checkpoint,
        layers=layer_teaching(programme, config, set(ground.compared.texts)),
    ).student
