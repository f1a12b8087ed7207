"""A student in a process of its own, which may crash, hang or eat memory without the server."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from tutelage.errors import StudentUnavailable
from tutelage.serving.student import Prediction, check_labels, read_prediction, revision_of
from tutelage.students.protocol import read_student_file
from tutelage.tasks import LabelTask

_log = logging.getLogger(__name__)
_LONGEST_LINE = 16 << 20
_START_WITHIN = 30.0  # seconds until a child says that it is ready
_PAUSES = (0.0, 0.1, 0.3, 1.0)  # seconds before a child is started again, the longer the oftener it died
_STEADY = 20  # answers after which its deaths are forgotten
_TOO_SLOW = 3  # answers in a row that came too late, after which it is taken for hung


class IsolatedStudent:
    """Asks a child process, by lines of JSON. One that died or hangs is killed and started again.

    While there is none, `predict` raises StudentUnavailable at once, so that no request waits for a restart.
    """

    def __init__(self, command: Sequence[str], task: LabelTask, revision: str, timeout: float) -> None:
        """`command` starts a child that speaks as `serving.isolated_child` does."""
        self.revision = revision
        self.restarts = 0
        self._command, self._task, self._timeout = list(command), task, timeout
        self._child: asyncio.subprocess.Process | None = None
        self._waiting: dict[int, asyncio.Future[list[float]]] = {}
        self._number = self._deaths = self._answers = self._late = 0
        self._keeper: asyncio.Task[None] | None = None
        self._ready = asyncio.Event()

    @classmethod
    async def start(
        cls, folder: Path, task: LabelTask, *, timeout: float, threads: int = 1
    ) -> IsolatedStudent:
        """Start a child on the student in `folder`.

        Raises StudentUnavailable where it doesn't come up, IntegrityError where its labels aren't the task's.
        """
        check_labels(folder, tuple(read_student_file(folder)["labels"]), task)
        command = [sys.executable, "-m", "tutelage.serving.isolated_child", str(folder), str(threads)]
        student = cls(command, task, revision_of(folder), timeout)
        try:
            await student.up()
        except BaseException:
            await student.close()
            raise
        return student

    async def up(self, within: float = _START_WITHIN) -> None:
        """Start the child and keep it up from now on. Raises StudentUnavailable."""
        if self._keeper is None:
            self._keeper = asyncio.create_task(self._keep())
        ready = asyncio.create_task(self._ready.wait())
        await asyncio.wait({ready, self._keeper}, timeout=within, return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        if not self._ready.is_set():
            raise StudentUnavailable(f"the student's process was not ready within {within:g} s")

    async def predict(self, text: str) -> Prediction:
        """See `ServedStudent.predict`."""
        child = self._child
        if child is None or child.stdin is None or not self._ready.is_set():
            raise StudentUnavailable("the student's process is being started again")
        self._number += 1
        number, answer = self._number, asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        try:
            child.stdin.write(json.dumps([number, text]).encode() + b"\n")
            row = await asyncio.wait_for(answer, self._timeout)
        except TimeoutError:
            self._note_late(child)
            raise StudentUnavailable(
                f"the student did not answer within {self._timeout:g} s (serving.student_timeout)"
            ) from None
        except (OSError, RuntimeError) as error:  # the second is uvloop's, where the pipe is closed already
            if self._child is child:
                self._kill()
            raise StudentUnavailable(f"the student's process is gone: {error}") from error
        finally:
            self._waiting.pop(number, None)
        self._late = 0
        try:
            odds = np.array(row, dtype=np.float32)
        except (ValueError, TypeError, OverflowError):
            raise StudentUnavailable("the student said something else than a row of numbers") from None
        return read_prediction(odds, self._task)

    def _note_late(self, child: asyncio.subprocess.Process) -> None:
        self._late += 1
        if self._late >= _TOO_SLOW and self._child is child:
            self._kill()

    def _kill(self) -> None:
        if self._child is not None:
            with suppress(ProcessLookupError):
                self._child.kill()

    async def close(self) -> None:
        """See `ServedStudent.close`."""
        if self._keeper is not None:
            self._keeper.cancel()
            with suppress(asyncio.CancelledError):
                await self._keeper
        self._kill()
        if self._child is not None:
            await self._child.wait()
            self._child = None

    async def _keep(self) -> None:
        """Start a child, read what it says until it ends, and again."""
        while True:
            await asyncio.sleep(_PAUSES[min(self._deaths, len(_PAUSES) - 1)])
            try:
                child = self._child = await self._started()
            except OSError as error:  # no memory, or no file descriptor left
                _log.error("the student's process can't be started: %s", error)
                self._deaths += 1
                continue
            self._late = 0
            try:
                await self._listen(child)
            except Exception:  # noqa: BLE001 - whatever it said, another one may say better
                _log.exception("the student's process said what can't be read")
            finally:
                self._ready.clear()
                self._kill()
                for answer in self._waiting.values():
                    if not answer.done():
                        answer.set_exception(StudentUnavailable("the student's process died"))
            code = await child.wait()
            self._deaths += 1
            self.restarts += 1
            _log.warning("the student's process ended (%d) and is started again", code)

    async def _started(self) -> asyncio.subprocess.Process:
        """A child in a session of its own: an interrupt from a terminal is the server's to handle."""
        return await asyncio.create_subprocess_exec(
            *self._command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=_LONGEST_LINE,
            start_new_session=True,
        )

    async def _listen(self, child: asyncio.subprocess.Process) -> None:
        """Until the child ends, says what can't be read, or isn't ready in time."""
        assert child.stdout is not None  # noqa: S101 - it was asked for
        while True:
            within = None if self._ready.is_set() else _START_WITHIN
            try:
                line = await asyncio.wait_for(child.stdout.readline(), within)
                content = json.loads(line) if line else None
            except (ValueError, RecursionError, TimeoutError):  # no JSON, or a line that never ends
                return
            match content:
                case "ready":
                    self._ready.set()
                case [int(number), said]:
                    self._take(number, said)
                case _:
                    return

    def _take(self, number: int, said: object) -> None:
        answer = self._waiting.get(number)
        if answer is None or answer.done():
            return
        self._answers += 1
        if self._answers % _STEADY == 0:
            self._deaths = 0
        if isinstance(said, list):
            answer.set_result(said)
        else:
            answer.set_exception(StudentUnavailable(f"the student failed: {said}"))
