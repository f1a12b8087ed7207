"""The student as a server asks it: one text, one checked prediction, within a time."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from tutelage import storage
from tutelage.errors import IntegrityError, StudentUnavailable
from tutelage.records import Value
from tutelage.serving.runtime import Runtime, load_runtime
from tutelage.students.probabilities import confidences
from tutelage.students.protocol import STUDENT_FILE
from tutelage.students.static import StaticStudent
from tutelage.tasks import LabelTask

_TOLERANCE = 0.01  # by which probabilities of one label may miss 1


@dataclass(frozen=True, slots=True)
class Prediction:
    """What the student says of one text. `probabilities`: float32 [labels]."""

    value: Value
    confidence: float
    probabilities: npt.NDArray[np.float32]


class ServedStudent(Protocol):
    """A student that a gateway asks. `revision` names the weights: the hash of its `student.json`."""

    revision: str

    async def predict(self, text: str) -> Prediction:
        """Raises StudentUnavailable where no usable prediction comes in time."""
        ...

    async def close(self) -> None:
        """Let go of threads and processes."""
        ...


def revision_of(folder: Path) -> str:
    """The revision of the student in a folder, which changes with any of its files."""
    return storage.hash_file(folder / STUDENT_FILE)


def read_prediction(row: npt.ArrayLike, task: LabelTask) -> Prediction:
    """Hold what a student said to what it may say. Raises StudentUnavailable for what is no probabilities."""
    odds = np.asarray(row)
    if odds.shape != (len(task.labels),) or odds.dtype.kind != "f":
        raise StudentUnavailable(
            f"the student said {odds.dtype} {list(odds.shape)}, and the task has {len(task.labels)} labels"
        )
    within = np.isfinite(odds).all() and odds.min() >= -_TOLERANCE and odds.max() <= 1 + _TOLERANCE
    if not within or not (task.multi_label or abs(float(odds.sum()) - 1) <= _TOLERANCE):
        raise StudentUnavailable("the student said numbers that are no probabilities")
    odds = odds.astype(np.float32)
    [value] = task.decide(odds[None])
    return Prediction(value, float(confidences(odds, task.multi_label)), odds)


class InProcessStudent:
    """A student in the server's own process.

    A static one takes a tenth of a millisecond and answers where it is asked; an ONNX one runs on a thread
    of its own. Should that hang, it is left behind for a new one.
    """

    def __init__(self, runtime: Runtime, task: LabelTask, revision: str, timeout: float) -> None:
        self.revision = revision
        self._runtime, self._task, self._timeout = runtime, task, timeout
        self._pool = None if isinstance(runtime, StaticStudent) else _one_thread()

    @classmethod
    def load(cls, folder: Path, task: LabelTask, *, timeout: float, threads: int = 1) -> InProcessStudent:
        """Raises as `load_runtime`, and IntegrityError where its labels aren't the task's."""
        runtime = load_runtime(folder, threads)
        check_labels(folder, runtime.labels, task)
        runtime.predict(["warm"])
        return cls(runtime, task, revision_of(folder), timeout)

    async def predict(self, text: str) -> Prediction:
        """See `ServedStudent.predict`."""
        try:
            [row] = await self._row(text)
        except TimeoutError:
            if self._pool is not None:
                self._pool.shutdown(wait=False, cancel_futures=True)
                self._pool = _one_thread()
            raise StudentUnavailable(
                f"the student did not answer within {self._timeout:g} s (serving.student_timeout)"
            ) from None
        except Exception as error:  # whatever a runtime raises, the teacher can still answer
            raise StudentUnavailable(f"the student failed: {type(error).__name__}: {error}") from error
        return read_prediction(row, self._task)

    async def _row(self, text: str) -> npt.NDArray[np.float32]:
        if self._pool is None:
            return self._runtime.predict([text])
        work = asyncio.get_running_loop().run_in_executor(self._pool, self._runtime.predict, [text])
        return await asyncio.wait_for(work, self._timeout)

    async def close(self) -> None:
        """See `ServedStudent.close`."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)


def _one_thread() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, thread_name_prefix="student")


def check_labels(folder: Path, labels: tuple[str, ...], task: LabelTask) -> None:
    """Raise IntegrityError where a student's labels, or their order, aren't the task's."""
    if labels != task.labels:
        raise IntegrityError(
            f"{folder} has {len(labels)} labels that aren't the task's {len(task.labels)} in their order. "
            "Mend: train and export again"
        )
