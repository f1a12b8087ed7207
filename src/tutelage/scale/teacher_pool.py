"""The workers that hold a teacher: which of them takes a call, and what follows when one dies."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any

from tutelage.errors import TeacherUnavailable, TutelageError, UsageError
from tutelage.progress import Progress
from tutelage.scale.carried import Carried
from tutelage.scale.cluster import first_line
from tutelage.scale.place import own_version
from tutelage.scale.teacher_worker import TeacherWorker

if TYPE_CHECKING:
    from tutelage.scale.cluster import Cluster
    from tutelage.teachers import TeacherContext

_PATIENCE = 60.0  # seconds that a call waits while no worker has room
_STARTING = 300.0  # seconds for the first worker to start; a node may have to import torch from cold storage
_DEATHS = 5  # of each worker in a row, with no answer between them, before the run gives up


@dataclass(eq=False)
class Worker:
    """One worker. `room` is how many calls it takes at once."""

    number: int
    room: int
    actor: Any = None
    opening: Any = None  # the reference of its being opened
    ready: bool = False
    under_way: int = 0
    node: str = ""
    watcher: asyncio.Task[None] | None = field(default=None, repr=False)


class TeacherPool:
    """Workers of one teacher; each takes `room` calls at once. Made, the first of them is there."""

    def __init__(
        self,
        cluster: Cluster,
        config: Any,
        context: TeacherContext,
        revision: str,
        room: int,
        progress: Progress,
    ) -> None:
        self._cluster, self._config, self._context = cluster, config, context
        self._revision, self._progress = revision, progress
        self._numbers = count(1)
        self.ended = False
        self._deaths = 0
        self._fatal: TutelageError | None = None
        self._waiters: list[asyncio.Future[None]] = []
        self.workers = [self._begun(Worker(number, room)) for number in range(cluster.workers)]
        openings = [worker.opening for worker in self.workers]
        cluster.ray.wait(openings, num_returns=1, timeout=_STARTING)

    def number(self) -> int:
        """Of a new call."""
        return next(self._numbers)

    async def take(self, preferred: Worker | None = None) -> Worker:
        """A worker with room, which is given back by `free`; `preferred` where it has some.

        Waits for one. Raises TeacherUnavailable where none has room for long, UsageError where they can't be
        opened or die again and again.
        """
        deadline = asyncio.get_running_loop().time() + _PATIENCE
        while True:
            self._watch()
            if self._fatal is not None:
                raise self._fatal
            free = [one for one in self.workers if one.ready and one.under_way < one.room]
            if free:
                chosen = preferred if preferred in free else min(free, key=lambda one: one.under_way)
                assert chosen is not None  # noqa: S101
                chosen.under_way += 1
                return chosen
            if not await self._change(deadline - asyncio.get_running_loop().time()):
                ready = sum(one.ready for one in self.workers)
                raise TeacherUnavailable(
                    f"no worker took a call for {_PATIENCE:.0f} s; {ready} of {len(self.workers)} are there",
                    fault="connection",
                )

    def free(self, worker: Worker, *, answered: bool) -> None:
        """A call in `worker` is over."""
        worker.under_way -= 1
        if answered:
            self._deaths = 0
        self._wake()

    def lost(self, worker: Worker, actor: Any, error: Exception) -> None:
        """The worker's process, or its machine, is gone: another takes its place. Told once for each."""
        if worker.actor is not actor:
            return
        self._deaths += 1
        why = first_line(error)
        if self._deaths >= _DEATHS * len(self.workers):
            self._fatal = UsageError(
                f"workers died {self._deaths} times with no answer between; the last: {why}. Mend: look at "
                "memory and logs of the cluster's nodes; fewer workers a node (engine.cpus) leave each more"
            )
        else:
            self._progress.warn(
                f"worker {worker.number + 1} on {worker.node or 'its node'} died ({why}); its calls are made "
                "again, and another takes its place"
            )
            self._cluster.ray.kill(actor, no_restart=True)
            self._begun(worker)
        self._wake()

    async def close(self) -> None:
        """Let teachers go of connections and memory; the workers stay."""
        closing = [one.actor.close.remote() for one in self.workers if one.ready]
        await asyncio.gather(*closing, return_exceptions=True)

    def end(self) -> None:
        """End the workers; the pool takes no more calls."""
        self.ended = True
        for worker in self.workers:
            self._cluster.ray.kill(worker.actor, no_restart=True)

    def _begun(self, worker: Worker) -> Worker:
        kind = self._cluster.ray.remote(TeacherWorker)
        options = {"max_concurrency": worker.room + 8, "max_restarts": 0, **self._cluster.options}
        worker.actor = kind.options(**options).remote(self._config, self._context)
        worker.opening = worker.actor.open.remote(self._revision, own_version())
        worker.ready, worker.watcher = False, None
        return worker

    def _watch(self) -> None:
        """See to it that somebody waits for each worker being opened: an event loop may have ended since."""
        for worker in self.workers:
            if not worker.ready and (worker.watcher is None or worker.watcher.done()):
                worker.watcher = asyncio.create_task(self._opened(worker, worker.actor))

    async def _opened(self, worker: Worker, actor: Any) -> None:
        try:
            place = await worker.opening
        except self._cluster.ray.exceptions.RayError as error:
            self.lost(worker, actor, error)
            return
        if isinstance(place, Carried):
            self._fatal = place.error()
        elif worker.actor is actor:
            worker.ready, worker.node = True, place.node
        self._wake()

    async def _change(self, seconds: float) -> bool:
        """Wait until something has changed; False where nothing did."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        done, _ = await asyncio.wait([waiter], timeout=max(seconds, 0.0))
        return bool(done)

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done() and not waiter.get_loop().is_closed():
                waiter.set_result(None)
