"""Trains and measures the students that `compare` sets beside each other; what is done is kept."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tutelage import storage
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
from tutelage.evaluation import Contender, Footprint, measure_footprint
from tutelage.programme import Programme
from tutelage.progress import Progress
from tutelage.records import AnswerStatus
from tutelage.stages.arms import layer_teaching, said_declining
from tutelage.stages.predictions import predicting, predictions
from tutelage.stages.task import label_task, resolved_task
from tutelage.stages.transfer import read_transfer, split_by_time
from tutelage.students import Student, Writer
from tutelage.tasks import Task, with_labels

_LEAST_SELECTION = 30
_MEASURED_TEXTS = 300
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


def contender_of(
    programme: Programme, name: str, config: StudentConfig, ground: Ground, progress: Progress
) -> Contender:
    """One candidate, trained with every seed that isn't done yet; each has a file of its own."""
    folder = programme.folder / "students" / ".comparison" / name
    scores, footprint = [], Footprint()
    for number, seed in enumerate(programme.config.comparison.seeds):
        seeded = config.model_copy(update={"seed": seed})
        key = storage.hash_json(
            [
                seeded.model_dump(mode="json"),
                storage.hash_file(programme.transfer),
                ground.task.version,
                ground.selection.tolist(),
                number,
                ground.declined.to_json() if config.refusals else None,
            ]
        )
        done = _kept(folder / f"{seed}.json", key)
        if done is None:
            done = _trained(
                programme, f"{name}, seed {seed}", seeded, ground, progress, folder / str(seed), number
            )
            storage.write_json(folder / f"{seed}.json", {**done, "key": key})
            shutil.rmtree(folder / str(seed), ignore_errors=True)  # its checkpoint
        scores.append(done["scores"])
        if number == 0:
            footprint = Footprint(**done["footprint"])
    return Contender(name, np.array(scores), footprint)


def _kept(path: Path, key: str) -> dict[str, Any] | None:
    if not path.exists():
        return None
    try:
        found: dict[str, Any] = json.loads(storage.read_text(path))
        return found if found["key"] == key else None
    except (ValueError, KeyError, TypeError):
        return None


def _trained(
    programme: Programme,
    named: str,
    config: StudentConfig,
    ground: Ground,
    progress: Progress,
    checkpoint: Path,
    number: int,
) -> dict[str, Any]:
    student = trained_on(programme, named, config, ground, progress, checkpoint)
    footprint = _footprint(student, ground.task, ground.compared.texts) if number == 0 else Footprint()
    return {"scores": scores_of(student, ground), "footprint": asdict(footprint)}


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


def _footprint(student: Student | Writer, task: Task, texts: Sequence[str]) -> Footprint:
    with tempfile.TemporaryDirectory() as folder:
        student.save(Path(folder))
        return measure_footprint(
            predicting(student, task),
            texts[:_MEASURED_TEXTS],
            folder=Path(folder),
            parameters=student.parameters,
            calls=100,
            seconds=10.0,
        )
