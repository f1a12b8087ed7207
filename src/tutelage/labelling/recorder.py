"""Writes to the ledger from one thread, beside the asking: what waits is committed together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from tutelage.labelling.ledger import AnswerLedger, LedgerKey
from tutelage.records import Answer, Prompt

GATHERED = 0.01  # seconds that a write waits for others, at most

Write = Callable[[], Any]
Done = asyncio.Future[Any]


class Opening:
    """A call that is written down before it is made: `attempt` is its number from when `done` is done."""

    __slots__ = ("attempt", "bound", "done")

    def __init__(self, bound: float, done: Done) -> None:
        self.bound, self.done, self.attempt = bound, done, 0


@dataclass(frozen=True, slots=True)
class _Kept:
    """Answers to be kept, and the attempt that brought them."""

    pairs: Sequence[tuple[Prompt, Answer]]
    attempt: int | None
    done: Done


@dataclass(frozen=True, slots=True)
class _Work:
    """What one transaction writes, in this order."""

    openings: list[Opening] = field(default_factory=list)
    writes: list[tuple[Write, Done]] = field(default_factory=list)
    kept: list[_Kept] = field(default_factory=list)

    @property
    def size(self) -> int:
        """How many writes those are."""
        return len(self.openings) + len(self.writes) + len(self.kept)

    @property
    def futures(self) -> list[Done]:
        """Of all that wait for it."""
        return [
            *(opening.done for opening in self.openings),
            *(done for _, done in self.writes),
            *(kept.done for kept in self.kept),
        ]


class Recorder:
    """Gathers writes under a key, and a task commits them.

    A commit syncs the disk, which takes milliseconds, and costs as much as recording dozens of answers. So
    it begins once `enough()` writes wait, or one has waited for `GATHERED`; meanwhile the event loop goes on,
    and what arrives is taken together in the next transaction, with few statements whatever the number of
    answers. `count` is told, in the event loop, of answers that are on disk.
    """

    def __init__(
        self,
        ledger: AnswerLedger,
        key: LedgerKey,
        count: Callable[[Sequence[Answer]], None],
        enough: Callable[[], int] = lambda: 1,
    ) -> None:
        self._ledger, self._key, self._count, self._enough = ledger, key, count, enough
        self._loop = asyncio.get_running_loop()
        self._next = _Work()
        self._timer: asyncio.TimerHandle | None = None
        self._arrived = asyncio.Event()  # what is to be committed now
        self._closing = False
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="tutelage-recorder")
        self._error: BaseException | None = None
        self._task = asyncio.create_task(self._run())

    @property
    def waiting(self) -> int:
        """Writes that no transaction has taken yet."""
        return self._next.size

    @property
    def failed(self) -> bool:
        """Whether a write failed; none is tried after that."""
        return self._error is not None

    def open(self, bound: float) -> Opening:
        """Queue a call of at most `bound` US dollars to be written down."""
        opening = Opening(bound, self._loop.create_future())
        self._next.openings.append(opening)
        self._commit_in_time()
        return opening

    def put(self, write: Write) -> Done:
        """Queue a write, made after all openings. The future has its error if it fails."""
        done = self._loop.create_future()
        self._next.writes.append((write, done))
        self._commit_in_time()
        return done

    def keep(self, pairs: Sequence[tuple[Prompt, Answer]], attempt: int | None) -> Done:
        """Queue answers, recorded after all else, and the attempt that brought them, which is closed."""
        done = self._loop.create_future()
        self._next.kept.append(_Kept(pairs, attempt, done))
        self._commit_in_time()
        return done

    def _commit_in_time(self) -> None:
        if self._next.size >= self._enough():
            self._arrived.set()
        elif self._timer is None:
            self._timer = self._loop.call_later(GATHERED, self._arrived.set)

    async def close(self) -> None:
        """Commit what waits, then stop. Raises what a write failed of; later ones were not tried."""
        self._closing = True
        self._arrived.set()
        await self._task
        self._thread.shutdown()
        if self._error is not None:
            raise self._error

    async def _run(self) -> None:
        while not self._closing or self._next.size:
            await self._arrived.wait()
            self._arrived.clear()
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            work, self._next = self._next, _Work()
            if work.size:
                await self._commit(work)

    async def _commit(self, work: _Work) -> None:
        if self._error is None:
            try:
                await self._loop.run_in_executor(self._thread, self._write, work)
            except Exception as error:  # noqa: BLE001 - handed to whoever waits; `close` raises it again
                self._error = error
            else:
                if answers := [answer for kept in work.kept for _, answer in kept.pairs]:
                    self._loop.call_soon(self._count, answers)
        for done in work.futures:
            if done.done():
                continue
            if self._error is None:
                done.set_result(None)
            else:
                done.set_exception(self._error)
                done.exception()  # looked at: `close` raises it even where nobody waits for this write

    def _write(self, work: _Work) -> None:
        """In the thread: all of it, or nothing."""
        with self._ledger.transaction():
            if work.openings:
                bounds = [opening.bound for opening in work.openings]
                numbers = self._ledger.open_attempts(self._key, bounds)
                for opening, number in zip(work.openings, numbers, strict=True):
                    opening.attempt = number
            for write, _ in work.writes:
                write()
            if work.kept:
                pairs = list(chain.from_iterable(kept.pairs for kept in work.kept))
                attempts = [kept.attempt for kept in work.kept if kept.attempt is not None]
                self._ledger.record(self._key, pairs, attempts)
