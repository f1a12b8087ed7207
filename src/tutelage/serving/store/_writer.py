"""The thread that writes: what waits is committed together, and an answer never waits for a full disk."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from tutelage import faults
from tutelage.errors import IntegrityError, TutelageError
from tutelage.serving.captures import Capture
from tutelage.serving.store import _captured
from tutelage.serving.store._captured import Completion
from tutelage.serving.store._database import Database
from tutelage.serving.store._tables import ALERTS

QUEUE = 20_000  # writes that may wait; more are lost, so that a slow disk costs captures and not memory
GATHERED = 0.02  # seconds that a write nobody waits for is kept for others to join it
_TAKEN = 2_000  # writes of one transaction, at most


@dataclass(frozen=True, slots=True)
class Write:
    """Something to be written, and who waits for it."""

    what: Capture | Completion | None
    monitors: Mapping[str, Any] | None
    done: asyncio.Future[None] | None


class Writer:
    """Commits writes in the order in which they came.

    `lost` counts captures and completions that could not be kept; `failure` tells why the last ones were not,
    "" while all goes well.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: deque[Write] = deque()
        self._wake = threading.Condition()
        self._urgent = False
        self._closing = False
        self._unsaved: dict[str, Any] = {}
        self._unreported = 0
        self.lost = 0
        self.failure = ""
        self._thread = threading.Thread(target=self._run, name="tutelage-captures", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Writes that no transaction has taken yet."""
        return len(self._waiting)

    def put(self, write: Write) -> bool:
        """Queue a write; False where there is no room, and it is lost."""
        with self._wake:
            if self._closing or len(self._waiting) >= QUEUE:
                self._lose(write.what is not None, "more captures came than could be written")
                return False
            self._waiting.append(write)
            if write.done is not None:
                self._urgent = True
                self._wake.notify()
            elif len(self._waiting) == 1:
                self._wake.notify()
        return True

    def close(self) -> None:
        """Write what waits, then stop."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._wake:
                while not self._waiting and not self._closing:
                    self._wake.wait()
                if not self._urgent and not self._closing:
                    self._wake.wait(GATHERED)
                taken = [self._waiting.popleft() for _ in range(min(_TAKEN, len(self._waiting)))]
                self._urgent = any(write.done is not None for write in self._waiting)
            if taken:
                self._commit(taken)
                _tell(taken)
            elif self._closing:
                return

    def _commit(self, taken: Sequence[Write]) -> None:
        for write in taken:
            if write.monitors:
                self._unsaved.update(write.monitors)
        try:
            self._transact(taken)
        except IntegrityError as error:
            # One of them is at fault (an id that is there already): the others are kept one by one.
            if len(taken) == 1:
                self._fail(taken, error)
            else:
                for write in taken:
                    self._commit([write])
        except Exception as error:  # noqa: BLE001 - whatever it is, requests are answered and the next is tried
            self._fail(taken, error)
        else:
            self.failure = ""

    def _transact(self, taken: Sequence[Write]) -> None:
        captures = [write.what for write in taken if isinstance(write.what, Capture)]
        completions = [write.what for write in taken if isinstance(write.what, Completion)]
        reported = self._unreported
        with self._database.writing() as connection:
            if captures:
                _captured.insert(connection, captures)
            completed = _captured.complete(connection, completions)
            _captured.count(connection, self._database, captures, completed)
            if self._unsaved:
                _captured.save_monitors(connection, self._database, self._unsaved)
            if reported:
                connection.execute(sa.insert(ALERTS), self._report(reported))
            faults.point("capturing")
        faults.point("captured")
        self._unsaved.clear()
        with self._wake:
            self._unreported -= reported

    def _report(self, lost: int) -> dict[str, Any]:
        text = f"{lost} captures could not be kept: {self.failure}"
        return {"at": time.time(), "kind": "captures lost", "text": text, "acknowledged_by": ""}

    def _fail(self, taken: Sequence[Write], error: Exception) -> None:
        told = str(error) if isinstance(error, TutelageError) else f"{type(error).__name__}: {error}"
        with self._wake:
            for write in taken:
                self._lose(write.what is not None, told)

    def _lose(self, counts: bool, why: str) -> None:
        self.failure = why
        self.lost += counts
        self._unreported += counts


def _tell(taken: Sequence[Write]) -> None:
    """Let those go on who wait, each in its event loop, with one call for each loop."""
    loops: dict[asyncio.AbstractEventLoop, list[asyncio.Future[None]]] = {}
    for write in taken:
        if write.done is not None:
            loops.setdefault(write.done.get_loop(), []).append(write.done)
    for loop, futures in loops.items():
        try:
            loop.call_soon_threadsafe(_resolve, futures)
        except RuntimeError:  # the loop was closed meanwhile: nobody waits any more
            continue


def _resolve(futures: Sequence[asyncio.Future[None]]) -> None:
    for future in futures:
        if not future.done():
            future.set_result(None)
