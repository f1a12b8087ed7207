"""The engine `ray`: work in workers of a cluster, decisions and books in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from tutelage.config import EngineConfig, LabellingConfig
from tutelage.extras import require_extra
from tutelage.progress import Progress
from tutelage.records import Prompt
from tutelage.scale.batch_pool import map_on
from tutelage.scale.cluster import Cluster
from tutelage.scale.remote_teacher import RemoteRevealing, RemoteTeacher
from tutelage.scale.teacher_pool import TeacherPool
from tutelage.scale.teacher_worker import Revelation
from tutelage.scale.training import train_on

if TYPE_CHECKING:
    from tutelage.teachers import Teacher, TeacherContext

Batch = TypeVar("Batch")
Result = TypeVar("Result")


class RayEngine:
    """See `Engine`. The cluster is reached when work is first put to it.

    Raises MissingExtraError where Ray isn't installed.
    """

    def __init__(self, config: EngineConfig, progress: Progress) -> None:
        require_extra("scale", "engine.type ray")
        self._config, self._progress = config, progress
        self._pools: list[TeacherPool] = []
        self._concurrency = LabellingConfig().concurrency

    @cached_property
    def cluster(self) -> Cluster:
        """The connection. Raises as `Cluster`."""
        cluster = Cluster(self._config)
        workers, nodes = cluster.workers, cluster.nodes
        many = "s" if workers > 1 else "", "s" if nodes > 1 else ""
        where = self._config.address or "started here"
        self._progress.note(f"Ray ({where}): {workers:,} worker{many[0]} on {nodes:,} node{many[1]}")
        return cluster

    def build_teacher(self, config: Any, context: TeacherContext) -> Teacher:
        """See `Engine`. People, and batches of a provider, are asked from here."""
        from tutelage.signals import Revealing
        from tutelage.teachers import Batched, Selective, build_teacher

        here = build_teacher(config, context)
        context = replace(context, folder=context.folder.absolute())  # workers stand elsewhere
        if isinstance(here, Selective) or (isinstance(here, Batched) and here.batch):
            return here
        pool = partial(self._pool, here, config, context)
        if not isinstance(here, Revealing):
            return cast("Teacher", RemoteTeacher(here, pool))

        def reveal(batches: Iterable[Sequence[Prompt]], kind: str) -> Iterator[Any]:
            return self.map_batches(Revelation(config, context, here.revision, kind), batches)

        return cast("Teacher", RemoteRevealing(here, pool, reveal))

    def _pool(self, here: Teacher, config: Any, context: TeacherContext) -> TeacherPool:
        self._end_pools()  # a panel's members are asked one after the other, and each needs all the room
        room = here.concurrency or self._concurrency
        pool = TeacherPool(self.cluster, config, context, here.revision, room, self._progress)
        self._pools.append(pool)
        return pool

    def labelling(self, config: LabellingConfig) -> LabellingConfig:
        """See `Engine`: `concurrency` holds for each worker, what is said a minute for all together."""
        self._concurrency = config.concurrency
        return config.model_copy(update={"concurrency": config.concurrency * self.cluster.workers})

    def map_batches(
        self, work: Callable[[Batch], Result], batches: Iterable[Batch], *, most: int | None = None
    ) -> Iterator[Result]:
        """See `Engine`. Raises ProcessDied where a worker dies again and again."""
        self._end_pools()
        return map_on(self.cluster, work, batches)

    def train(
        self, work: Callable[[Progress], str], progress: Progress, folder: Path, *, shared: bool
    ) -> str:
        """See `Engine`. Raises ProcessDied where a worker dies again and again."""
        self._end_pools()
        return train_on(self.cluster, work, progress, folder.absolute(), shared=shared)

    def _end_pools(self) -> None:
        while self._pools:
            self._pools.pop().end()

    def close(self) -> None:
        """End the workers, and let go of the cluster."""
        self._end_pools()
        if "cluster" in self.__dict__:
            self.cluster.close()
