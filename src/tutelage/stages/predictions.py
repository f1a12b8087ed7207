"""What a trained student says of texts: labels with their probabilities, or what it writes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from tutelage.progress import Progress, Silent
from tutelage.records import Value
from tutelage.students import Student, Writer
from tutelage.tasks import Task, with_labels

if TYPE_CHECKING:
    from tutelage.records import Distribution

_TEXTS_A_STEP = 256  # told of together; a student makes its own batches of them


@dataclass(frozen=True, eq=False)
class Predictions:
    """Values in the order of the texts, None for what the task couldn't read.

    `distributions` is float32 [n, labels] where values are labels, else None. `confidence`, float64 [n], is
    then the geometric mean of the probabilities of the tokens written, so that long answers aren't less sure
    for being long; else None.
    """

    values: list[Value | None]
    distributions: Distribution | None = None
    confidence: npt.NDArray[np.float64] | None = None


def predictions(
    student: Student | Writer,
    task: Task,
    texts: Sequence[str],
    progress: Progress | None = None,
    description: str = "predicting",
) -> Predictions:
    """What `student` says of `texts`: decided by its probabilities where values are labels, else written.

    What is written is read by the task as a teacher's answer is, and None where it can't be.
    """
    step = _labelled if with_labels(task) is not None else _written
    parts = []
    with (progress or Silent()).track(description, len(texts), "texts") as tracker:
        for start in range(0, len(texts), _TEXTS_A_STEP):
            some = texts[start : start + _TEXTS_A_STEP]
            parts.append(step(student, task, some))
            tracker.advance(len(some))
    distributions = [part.distributions for part in parts if part.distributions is not None]
    confidence = [part.confidence for part in parts if part.confidence is not None]
    return Predictions(
        [value for part in parts for value in part.values],
        np.concatenate(distributions) if distributions else None,
        np.concatenate(confidence) if confidence else None,
    )


def _labelled(student: Student | Writer, task: Task, texts: Sequence[str]) -> Predictions:
    labelled = with_labels(task)
    if labelled is None:
        raise AssertionError("unreachable: values are labels here")
    distributions = cast("Student", student).predict(texts)
    return Predictions(list(labelled.decide(distributions)), distributions)


def _written(student: Student | Writer, task: Task, texts: Sequence[str]) -> Predictions:
    writer = cast("Writer", student)
    written = writer.write(texts)
    values = [writer.read(one.text, task).value for one in written]
    return Predictions(values, confidence=np.exp([one.confidence for one in written]))


def predicting(student: Student | Writer, task: Task) -> Callable[[Sequence[str]], Any]:
    """The one call that answers texts, to be timed."""
    if with_labels(task) is not None:
        return cast("Student", student).predict
    return cast("Writer", student).write
