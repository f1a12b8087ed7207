"""The student as a server asks it: one text, one checked prediction, within a time."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from time import monotonic
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
_MOST_HUNG = 4  # threads left behind; with more of them the student isn't asked until one comes back


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
        self._at_once = isinstance(runtime, StaticStudent)
        self._worker: _Worker | None = None
        self._hung: list[_Worker] = []

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
            [row] = self._runtime.predict([text]) if self._at_once else await self._by_thread(text)
            return read_prediction(row, self._task)
        except StudentUnavailable:
            raise
        except Exception as error:  # whatever a runtime raises, the teacher can still answer
            raise StudentUnavailable(f"the student failed: {type(error).__name__}: {error}") from error

    async def _by_thread(self, text: str) -> npt.NDArray[np.float32]:
        worker = self._working()
        try:
            return await asyncio.wait_for(asyncio.wrap_future(worker.put(text)), self._timeout)
        except TimeoutError:
            if worker is self._worker and worker.busy_for() > self._timeout:
                worker.stop()
                self._hung.append(worker)
                self._worker = None
            raise StudentUnavailable(
                f"the student did not answer within {self._timeout:g} s (serving.student_timeout)"
            ) from None

    def _working(self) -> _Worker:
        """The thread that predicts. Raises StudentUnavailable where all that there may be hang."""
        if self._worker is None:
            self._hung = [worker for worker in self._hung if worker.busy_for()]
            if len(self._hung) >= _MOST_HUNG:
                raise StudentUnavailable(f"the student hangs, on {_MOST_HUNG} threads by now")
            self._worker = _Worker(self._runtime)
        return self._worker

    async def close(self) -> None:
        """See `ServedStudent.close`."""
        if self._worker is not None:
            self._worker.stop()


class _Worker:
    """A thread that predicts one text after another. One that hangs keeps no process from its end."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._texts: SimpleQueue[tuple[str, Future[npt.NDArray[np.float32]]] | None] = SimpleQueue()
        self._began: float | None = None
        threading.Thread(target=self._run, name="student", daemon=True).start()

    def put(self, text: str) -> Future[npt.NDArray[np.float32]]:
        """Predict it in its turn; not at all where the future is cancelled before that."""
        said: Future[npt.NDArray[np.float32]] = Future()
        self._texts.put((text, said))
        return said

    def busy_for(self) -> float:
        """Seconds since the prediction under way began; 0 without one."""
        began = self._began
        return 0.0 if began is None else monotonic() - began

    def stop(self) -> None:
        """End, once what waits is done."""
        self._texts.put(None)

    def _run(self) -> None:
        while (taken := self._texts.get()) is not None:
            text, said = taken
            if not said.set_running_or_notify_cancel():
                continue
            self._began = monotonic()
            try:
                said.set_result(self._runtime.predict([text]))
            except BaseException as error:  # noqa: BLE001 - it is whoever waits that has to know
                said.set_exception(error)
            finally:
                self._began = None


def check_labels(folder: Path, labels: tuple[str, ...], task: LabelTask) -> None:
    """Raise IntegrityError where a student's labels, or their order, aren't the task's."""
    if labels != task.labels:
        raise IntegrityError(
            f"{folder} has {len(labels)} labels that aren't the task's {len(task.labels)} in their order. "
            "Mend: train and export again"
        )
