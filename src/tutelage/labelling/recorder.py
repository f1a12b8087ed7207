"""Writes to the ledger from one thread, beside the asking: what waits is committed together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tutelage.labelling.ledger import AnswerLedger

Write = Callable[[], Any]
Waiting = tuple[Write, "asyncio.Future[Any]"]


class Recorder:
    """A queue of writes and the task that commits them in order.

    A commit syncs the disk, which takes milliseconds; meanwhile the event loop goes on, and the writes that
    arrive are taken together in the next transaction.
    """

    def __init__(self, ledger: AnswerLedger) -> None:
        self._ledger = ledger
        self._queue: asyncio.Queue[Waiting | None] = asyncio.Queue()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="tutelage-recorder")
        self._error: BaseException | None = None
        self._task = asyncio.create_task(self._run())

    @property
    def waiting(self) -> int:
        """Writes that no transaction has taken yet."""
        return self._queue.qsize()

    @property
    def failed(self) -> bool:
        """Whether a write failed; none is tried after that."""
        return self._error is not None

    def put(self, write: Write) -> asyncio.Future[Any]:
        """Queue a write. The future has its result once it is committed, or the error it failed of."""
        done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        done.add_done_callback(_look)
        self._queue.put_nowait((write, done))
        return done

    async def close(self) -> None:
        """Commit what waits, then stop. Raises what a write failed of; later ones were not tried."""
        self._queue.put_nowait(None)
        await self._task
        self._thread.shutdown()
        if self._error is not None:
            raise self._error

    async def _run(self) -> None:
        closing = False
        while not closing:
            taken = [await self._queue.get()]
            while not self._queue.empty():
                taken.append(self._queue.get_nowait())
            closing = None in taken
            await self._commit_together([item for item in taken if item is not None])

    async def _commit_together(self, writes: list[Waiting]) -> None:
        results: list[Any] = []
        if self._error is None and writes:
            try:
                results = await asyncio.get_running_loop().run_in_executor(
                    self._thread, self._in_transaction, [write for write, _ in writes]
                )
            except Exception as error:  # noqa: BLE001 - handed to whoever waits; `close` raises it again
                self._error = error
        for position, (_, done) in enumerate(writes):
            if done.done():
                continue
            if self._error is not None:
                done.set_exception(self._error)
            else:
                done.set_result(results[position])

    def _in_transaction(self, writes: list[Write]) -> list[Any]:
        with self._ledger.transaction():
            return [write() for write in writes]


def _look(done: asyncio.Future[Any]) -> None:
    """Mark an exception as seen: `close` raises it even where nobody waits for this write."""
    if not done.cancelled():
        done.exception()
