"""What a trained student says of texts: labels with their probabilities, or what it writes."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from tutelage import storage
from tutelage.errors import IntegrityError
from tutelage.progress import Progress, Silent
from tutelage.records import AnswerStatus, Value, dump_value, load_value
from tutelage.scale import LOCAL, Engine
from tutelage.students import STUDENT_FILE, Student, Writer, load_student
from tutelage.tasks import Task, with_labels

if TYPE_CHECKING:
    from tutelage.records import Distribution

_TEXTS_A_STEP = 256  # told of together; a student makes its own batches of them
_WRITTEN_A_STEP = 64  # and kept together, where each may take seconds


@dataclass(frozen=True, eq=False)
class Predictions:
    """Values in the order of the texts, None for what the task couldn't read.

    `distributions` is float32 [n, labels] where values are labels, else None. `confidence`, float64 [n], is
    then the geometric mean of the probabilities of the tokens written, so that long answers aren't less sure
    for being long; else None. `refused`, bool [n], then tells which of those without a value are refusals.
    """

    values: list[Value | None]
    distributions: Distribution | None = None
    confidence: npt.NDArray[np.float64] | None = None
    refused: npt.NDArray[np.bool_] | None = None


@dataclass(frozen=True, eq=False)
class Answering:
    """Work on batches of texts: what a student says of them.

    In another process, or on another machine, it is loaded from the same folder, where it has to be the same.
    """

    task: Task
    student: Student | Writer | None
    folder: Path | None = None

    def __call__(self, texts: Sequence[str]) -> Predictions:
        """Of one batch. Raises IntegrityError where the folder holds another student."""
        answer = _labelled if with_labels(self.task) is not None else _written
        return answer(self._loaded, self.task, texts)

    @cached_property
    def weights(self) -> str:
        """Stands for what the student is; empty where it has no folder."""
        return "" if self.folder is None else storage.hash_file(self.folder / STUDENT_FILE)

    def __getstate__(self) -> dict[str, object]:
        folder = None if self.folder is None else self.folder.absolute()
        return {"task": self.task, "student": None, "folder": folder, "weights": self.weights}

    @cached_property
    def _loaded(self) -> Student | Writer:
        if self.student is not None:
            return self.student
        if self.folder is None:
            raise AssertionError("unreachable: only a student with a folder is sent elsewhere")
        if storage.hash_file(self.folder / STUDENT_FILE) != self.weights:
            raise IntegrityError(
                f"{self.folder} holds another student on {platform.node()} than where the command "
                "runs. Mend: keep the programme's folder on storage that all nodes share"
            )
        return load_student(self.folder)


def predictions(
    student: Student | Writer,
    task: Task,
    texts: Sequence[str],
    progress: Progress | None = None,
    description: str = "predicting",
    *,
    kept: Kept | None = None,
) -> Predictions:
    """What `student` says of `texts`, in this process. See `answered`."""
    return answered(Answering(task, student), texts, progress or Silent(), description, kept=kept)


def answered(
    answering: Answering,
    texts: Sequence[str],
    progress: Progress,
    description: str,
    *,
    kept: Kept | None = None,
    engine: Engine = LOCAL,
) -> Predictions:
    """What a student says of `texts`: decided by its probabilities where values are labels, else written.

    What is written is read by the task as a teacher's answer is, and None where it can't be. What a student
    that writes has said before is taken from `kept`, and the rest put there as it comes. It answers where
    `engine` has its work done.
    """
    writes, task = isinstance(answering.student, Writer), answering.task
    size = _WRITTEN_A_STEP if writes else _TEXTS_A_STEP
    batches = [texts[start : start + size] for start in range(0, len(texts), size)]
    kept = kept if writes else None
    known = [kept.find(task, batch) if kept else None for batch in batches]
    new: Iterator[Predictions] = engine.map_batches(
        answering, [batch for batch, found in zip(batches, known, strict=True) if found is None], most=1
    )
    parts = []
    with progress.track(description, len(texts), "texts") as tracker:
        for batch, found in zip(batches, known, strict=True):
            parts.append(found or next(new))
            if kept and found is None:
                kept.put(task, batch, parts[-1])
            tracker.advance(len(batch))
    return _joined(parts)


def _joined(parts: Sequence[Predictions]) -> Predictions:
    distributions = [part.distributions for part in parts if part.distributions is not None]
    confidence = [part.confidence for part in parts if part.confidence is not None]
    refused = [part.refused for part in parts if part.refused is not None]
    return Predictions(
        [value for part in parts for value in part.values],
        np.concatenate(distributions) if distributions else None,
        np.concatenate(confidence) if confidence else None,
        np.concatenate(refused) if refused else None,
    )


@dataclass(frozen=True)
class Kept:
    """What one student has said, on disk in `folder` until it is forgotten, so that a stop costs little.

    `student` stands for its weights: what another said isn't found.
    """

    folder: Path
    student: str

    def find(self, task: Task, texts: Sequence[str]) -> Predictions | None:
        """What was put for just these texts; None where nothing, or nothing that can be read."""
        try:
            content = storage.read_json(self._path(task, texts))
            distributions, confidence = content["distributions"], content["confidence"]
            refused = content["refused"]
            return Predictions(
                [None if value is None else load_value(value) for value in content["values"]],
                None if distributions is None else np.array(distributions, dtype=np.float32),
                None if confidence is None else np.array(confidence, dtype=np.float64),
                None if refused is None else np.array(refused, dtype=bool),
            )
        except (OSError, ValueError, KeyError, TypeError, IntegrityError):
            return None

    def put(self, task: Task, texts: Sequence[str], said: Predictions) -> None:
        """Keep it; on disk when this returns."""
        content = {
            "values": [None if value is None else dump_value(value) for value in said.values],
            "distributions": None if said.distributions is None else said.distributions.tolist(),
            "confidence": None if said.confidence is None else said.confidence.tolist(),
            "refused": None if said.refused is None else said.refused.tolist(),
        }
        storage.write_json(self._path(task, texts), content)

    def _path(self, task: Task, texts: Sequence[str]) -> Path:
        return self.folder / f"{storage.hash_json([self.student, task.version, *texts])}.json"


def _labelled(student: Student | Writer, task: Task, texts: Sequence[str]) -> Predictions:
    labelled = with_labels(task)
    if labelled is None:
        raise AssertionError("unreachable: values are labels here")
    distributions = cast("Student", student).predict(texts)
    return Predictions(list(labelled.decide(distributions)), distributions)


def _written(student: Student | Writer, task: Task, texts: Sequence[str]) -> Predictions:
    writer = cast("Writer", student)
    written = writer.write(texts)
    read = [writer.read(one.text, task) for one in written]
    return Predictions(
        [one.value for one in read],
        confidence=np.exp([one.confidence for one in written]),
        refused=np.array([one.status is AnswerStatus.REFUSED for one in read], dtype=bool),
    )


def predicting(student: Student | Writer, task: Task) -> Callable[[Sequence[str]], Any]:
    """The one call that answers texts, to be timed."""
    if with_labels(task) is not None:
        return cast("Student", student).predict
    return cast("Writer", student).write
