"""What a server does now and then: puts requests before people, removes what is too old, tells of losses."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from functools import partial

from tutelage.config import ServingConfig
from tutelage.serving.reviews import ReviewPolicy
from tutelage.serving.store import Alert, Store

_log = logging.getLogger(__name__)
_ENQUEUED, _LOOKED = 5.0, 1.0  # seconds between two times
_DAY = 86_400.0
_CAUGHT_UP = 3_600.0  # seconds before the start that are looked at again: what came while no server ran
_LATE = 60.0  # seconds by which an audit may come later than its deadline, on a busy machine


class Upkeep:
    """Begins with the server and ends with it. Nothing that fails here disturbs an answer.

    Several servers on one database may each do it. What is older than `retention_days` goes within a tenth of
    that time, or a day where that is shorter: each removal writes SQLite's file anew.
    """

    def __init__(self, store: Store, config: ServingConfig, announce: Callable[[Alert], None]) -> None:
        self._store, self._config, self._announce = store, config, announce
        self._policy = ReviewPolicy.of(config.people)
        self._tasks: list[asyncio.Task[None]] = []
        self._overdue = 0

    async def begin(self) -> None:
        """Start all of it."""
        self._tasks = [asyncio.create_task(self._enqueue()), asyncio.create_task(self._watch())]
        if self._config.retention_days is not None:
            self._tasks.append(asyncio.create_task(self._purge(self._config.retention_days * _DAY)))

    async def close(self) -> None:
        """Stop, once what is under way has ended."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _enqueue(self) -> None:
        since, told = time.time() - _CAUGHT_UP, False
        while True:
            began = time.time()
            if await self._done(partial(self._put_before_people, since)):
                since = began - self._config.deadline - _LATE
            if self._overdue and not told:
                text = f"{self._overdue:,} items wait for people longer than serving.people allows"
                self._announce(Alert(time.time(), "reviews overdue", text))
            told = self._overdue > 0  # again only once all were caught up
            await asyncio.sleep(_ENQUEUED)

    def _put_before_people(self, since: float) -> None:
        self._store.reviews.enqueue(self._policy, since=since)
        self._overdue = self._store.reviews.counts(now=time.time()).overdue

    async def _purge(self, kept: float) -> None:
        while True:
            await self._done(lambda: self._store.purge(before=time.time() - kept))
            await asyncio.sleep(min(_DAY, kept / 10))

    async def _watch(self) -> None:
        failing, lost = False, self._store.lost
        while True:
            failure, before, lost = self._store.failure, lost, self._store.lost
            if (failure or lost > before) and not failing:
                why = failure or "it has passed"
                text = f"captures can't be kept ({lost:,} are lost so far): {why}"
                self._announce(Alert(time.time(), "captures lost", text))
            failing = bool(failure) or lost > before
            await asyncio.sleep(_LOOKED)

    async def _done(self, work: Callable[[], object]) -> bool:
        try:
            await asyncio.to_thread(work)
        except Exception as error:  # noqa: BLE001 - a database that fails is tried again next time
            _log.warning("upkeep failed, and is tried again: %s", error)
            return False
        return True
