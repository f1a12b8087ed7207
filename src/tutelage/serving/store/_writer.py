"""The thread that writes: what waits is committed together, and an answer never waits for a full disk."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from tutelage import faults
from tutelage.errors import DataError, TutelageError
from tutelage.records import text_hash
from tutelage.serving.captures import Capture
from tutelage.serving.store._captured import Completion, Recording, complete, present
from tutelage.serving.store._database import Database
from tutelage.serving.store._journal import File, Journal, left_over
from tutelage.serving.store._tables import ALERTS

QUEUE = 20_000  # writes that may wait; more are lost, so that a slow disk costs captures and not memory
HELD = 64 << 20  # characters of theirs
GATHERED = 0.1  # seconds that a write nobody waits for is kept for others to join it
RETRIED = 0.25  # seconds between two tries of a database that failed
_CLOSED_WITHIN = 20.0  # seconds
_TAKEN = 2_000  # writes of one transaction, at most
_TOO_MANY = "more captures came than could be written"


@dataclass(frozen=True, slots=True)
class Write:
    """Something to be written, and who waits for it: the future's result is whether it is on disk.

    Without `what` nothing is written, and `reached` is set in its turn.
    """

    what: Capture | Completion | None
    monitors: Mapping[str, Any] | None = None
    done: asyncio.Future[bool] | None = None
    reached: threading.Event | None = None

    @property
    def size(self) -> int:
        """About how many characters it holds."""
        if isinstance(self.what, Capture):
            return sum(len(text or "") for text in (self.what.text, self.what.value, self.what.reason))
        return 0


class Writer:
    """Commits writes in the order in which they came.

    A database that fails for a time (a full disk, a server that starts anew, another process that rewrites
    the file) is tried again while what came waits in memory, and nobody waits for it. `lost` counts captures
    and completions that could not be kept; `failure` tells why nothing is written now, "" while all goes well
    (also where a capture was refused for itself: the others are kept).
    `commits` counts transactions.

    What is to outlive a kill before a transaction has taken it is put into a journal as well, in `folder`.
    What killed processes left there is written when the next one begins. Raises DataError where it can't be.
    """

    def __init__(self, database: Database, folder: Path) -> None:
        self._database = database
        self._recording = Recording(database.engine.dialect)
        name = f"captures-{text_hash(database.name)[:12]}"
        self._journal = Journal(folder, name)
        self._waiting: deque[Write] = deque()
        self._held = 0
        self._wake = threading.Condition()
        self._urgent = False
        self._closing = False
        self.commits = 0
        self._unsaved: dict[str, Any] = {}  # monitors' states that a transaction could not take
        self._unreported = 0
        self._why_lost = ""
        self.lost = 0
        self.failure = ""
        self._recover(folder, name)
        self._thread = threading.Thread(target=self._run, name="tutelage-captures", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Writes that no transaction has taken yet."""
        return len(self._waiting)

    def put(self, write: Write, *, written: bool = False) -> bool:
        """Queue a write; False where there is no room, and it is lost. With `written` it is also False where
        it could not be put into the journal, though queued."""
        with self._wake:
            if self._closing or len(self._waiting) >= QUEUE or self._held >= HELD:
                self.failure = _TOO_MANY
                self._lose([write], _TOO_MANY)
                return False
            if written and write.what is not None:
                written = not self._journal.append(write.what, write.monitors)
            self._waiting.append(write)
            self._held += write.size
            if write.done is not None or write.reached is not None:
                self._urgent = True
                self._wake.notify()
            elif len(self._waiting) == 1:
                self._wake.notify()
        return not written

    def flush(self, patience: float) -> bool:
        """Wait until all that waits now was tried, `patience` seconds at most; whether it was."""
        reached = threading.Event()
        return self.put(Write(None, reached=reached)) and reached.wait(patience)

    def close(self) -> None:
        """Write what waits, then stop. What a database that fails, or hangs, won't take now is lost."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join(_CLOSED_WITHIN)
        with self._wake:
            if self._thread.is_alive():
                self._lose(self._waiting, "the database did not answer before the end")
            self._journal.close(keep=self._thread.is_alive() or self.lost > 0)

    def _run(self) -> None:
        while True:
            with self._wake:
                while not self._waiting and not self._closing:
                    self._wake.wait()
                if not self._urgent and not self._closing:
                    self._wake.wait(GATHERED)
                taken = [self._waiting.popleft() for _ in range(min(_TAKEN, len(self._waiting)))]
                sealed = () if self._waiting else self._journal.seal()
                self._urgent = any(write.done or write.reached for write in self._waiting)
                closing = self._closing
            if not taken and closing:
                return
            if not self._commit(taken, sealed):
                self._put_off(taken, closing)

    def _commit(self, taken: Sequence[Write], sealed: Sequence[File] = ()) -> bool:
        """Write all of it, and empty the journal's files that have it; False where the database fails for
        now, and it has to be tried again."""
        states = dict(self._unsaved)
        for write in taken:
            states.update(write.monitors or {})
        try:
            self._transact(taken, states)
        except DataError as error:
            self.failure, self._unsaved = str(error), states
            # What a connection holds in memory may no longer be what the disk has, nor its server be there.
            self._database.engine.dispose()
            return False
        except Exception as error:  # noqa: BLE001 - whatever it is, the others are kept and requests answered
            return self._commit_apart(taken, sealed, error)
        self._unsaved = {}
        with self._wake:
            self.failure = ""
            self.commits += 1
            self._held -= sum(write.size for write in taken)
            self._journal.clear(sealed)
        _tell(taken, kept=True)
        return True

    def _commit_apart(self, taken: Sequence[Write], sealed: Sequence[File], error: Exception) -> bool:
        """One of them is at fault (an id that is there already, say); the others are kept one by one."""
        if len(taken) > 1:
            for number, write in enumerate(taken):
                if not self._commit([write], sealed if number == len(taken) - 1 else ()):
                    self._put_off(taken[number:], closing=False)
                    break
            return True
        self._unsaved = {}  # a state that is no JSON may be among them; the next ones are whole again
        with self._wake:
            told = str(error) if isinstance(error, TutelageError) else f"{type(error).__name__}: {error}"
            self._lose(taken, told)
            self._held -= sum(write.size for write in taken)
            self._journal.clear(sealed)
        _tell(taken, kept=False)
        return True

    def _put_off(self, taken: Sequence[Write], closing: bool) -> None:
        """Let go on who waits, and keep the writes for the next try."""
        _tell(taken, kept=False)
        with self._wake:
            if closing:
                self._lose([*taken, *self._waiting], self.failure)
                self._waiting.clear()
                return
            again = [Write(write.what) for write in taken if write.what is not None]
            self._waiting.extendleft(reversed(again))
            self._urgent = True
            self._wake.wait_for(lambda: self._closing, RETRIED)

    def _recover(self, folder: Path, name: str) -> None:
        """Write what killed processes have left. What their last transaction took already is there."""
        for file in left_over(folder, name):
            kept = {what.id for what, _ in file.writes if isinstance(what, Capture)}
            with self._database.reading() as connection:
                known = present(connection, kept)
            writes = [
                Write(what, monitors)
                for what, monitors in file.writes
                if isinstance(what, Completion) or what.id not in known
            ]
            for start in range(0, len(writes), _TAKEN):
                if not self._commit(writes[start : start + _TAKEN]):
                    raise DataError(self.failure)
            file.remove()
            self._held = 0

    def _transact(self, taken: Sequence[Write], states: Mapping[str, Any]) -> None:
        captures = [write.what for write in taken if isinstance(write.what, Capture)]
        completions = [write.what for write in taken if isinstance(write.what, Completion)]
        reported = self._unreported
        if not (captures or completions or states or reported):
            return
        with self._database.writing() as connection:
            if captures:
                self._recording.insert(connection, captures)
            completed = complete(connection, completions)
            self._recording.count(connection, captures, completed)
            if states:
                self._recording.save_monitors(connection, states)
            if reported:
                connection.execute(sa.insert(ALERTS), self._report(reported))
            faults.point("capturing")
        faults.point("captured")
        with self._wake:
            self._unreported -= reported

    def _report(self, lost: int) -> dict[str, Any]:
        text = f"{lost} captures could not be kept: {self._why_lost}"
        return {"at": time.time(), "kind": "captures lost", "text": text, "acknowledged_by": ""}

    def _lose(self, writes: Iterable[Write], why: str) -> None:
        lost = sum(write.what is not None for write in writes)
        self._why_lost = why
        self.lost += lost
        self._unreported += lost


def _tell(taken: Sequence[Write], *, kept: bool) -> None:
    """Let those go on who wait, each in its event loop, with one call for each loop."""
    loops: dict[asyncio.AbstractEventLoop, list[asyncio.Future[bool]]] = {}
    for write in taken:
        if write.reached is not None:
            write.reached.set()
        if write.done is not None:
            loops.setdefault(write.done.get_loop(), []).append(write.done)
    for loop, futures in loops.items():
        try:
            loop.call_soon_threadsafe(_resolve, futures, kept)
        except RuntimeError:  # the loop was closed meanwhile: nobody waits any more
            continue


def _resolve(futures: Sequence[asyncio.Future[bool]], kept: bool) -> None:
    for future in futures:
        if not future.done():
            future.set_result(kept)
