"""A teacher whose calls are made by workers, while its books are kept in this process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

from tutelage.errors import TeacherError, TeacherUnavailable
from tutelage.records import Answer, Prompt
from tutelage.scale.teacher_pool import TeacherPool, Worker

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from tutelage.scale.teacher_worker import Kept, Said
    from tutelage.signals import Manifest, Revealing
    from tutelage.teachers import Teacher

    Array = npt.NDArray[np.generic]

_STOPPING = 2.0  # seconds that a worker has to say what a stopped call brought


class RemoteTeacher:
    """The teacher `here`, answered for by workers; see `teachers.Teacher`, `Resumable` and `Telling`.

    Name, revision and bounds are those of `here`. A call goes to the worker with the fewest under way; one
    whose earlier try left replies goes where they are, or takes them along. That a worker died is a passing
    fault, billed or not nobody knows, so that the call counts at its bound and is made again.
    """

    def __init__(self, here: Teacher, pool: Callable[[], TeacherPool]) -> None:
        self._here, self._open = here, pool
        self._pool: TeacherPool | None = None
        self.name, self.paid, self.batch_size = here.name, here.paid, here.batch_size
        self.model: str = getattr(here, "model", "")
        self._kept: dict[str, list[str]] = {}
        self._home: dict[str, Worker] = {}
        self._told: dict[str, tuple[float, Kept]] = {}  # of calls that were stopped, by their first prompt

    @cached_property
    def revision(self) -> str:
        """See `Teacher`."""
        return self._here.revision

    @cached_property
    def concurrency(self) -> int | None:
        """Of all workers together. Asked before the first call, so that none waits for workers to start."""
        workers, each = self._workers.workers, self._here.concurrency
        return None if each is None else each * len(workers)

    @property
    def _workers(self) -> TeacherPool:
        if self._pool is None or self._pool.ended:
            self._pool = self._open()
        return self._pool

    def most_expensive(self, prompts: Sequence[Prompt]) -> float:
        """See `Teacher.most_expensive`; as if no reply had come yet."""
        return self._here.most_expensive(prompts)

    async def answer(self, prompts: Sequence[Prompt]) -> list[Answer]:
        """See `Teacher.answer`."""
        pool = self._workers
        worker = await pool.take(self._home.get(prompts[0].hash))
        actor, call, said = worker.actor, pool.number(), None
        kept = {prompt.hash: self._kept[prompt.hash] for prompt in prompts if prompt.hash in self._kept}
        try:
            said = await actor.answer.remote(call, list(prompts), kept)
        except asyncio.CancelledError:
            self._told[prompts[0].hash] = await _stopped(actor, call, prompts)
            raise
        except self._fault as error:
            pool.lost(worker, actor, error)
            raise TeacherUnavailable(
                f"the worker that asked {self.name} died", billed=self.paid, fault="worker"
            ) from error
        finally:
            pool.free(worker, answered=said is not None)
        return self._answers(said, prompts, worker)

    def _answers(self, said: Said, prompts: Sequence[Prompt], worker: Worker) -> list[Answer]:
        if said.fault is None:
            for prompt in prompts:
                self._kept.pop(prompt.hash, None)
                self._home.pop(prompt.hash, None)
            return said.answers
        error = said.fault.error()
        if isinstance(error, TeacherError):
            self._keep(error.kept, worker)
        raise error

    @property
    def _fault(self) -> tuple[type[Exception], ...]:
        """What tells that a worker is gone, or what it said is; not that its teacher has a bug."""
        import ray.exceptions as faults

        return (
            faults.RayActorError,
            faults.ObjectLostError,
            faults.NodeDiedError,
            faults.WorkerCrashedError,
            faults.OutOfMemoryError,
        )

    def _keep(self, kept: Kept, worker: Worker | None) -> None:
        for hash_, replies in kept.items():
            self._kept.setdefault(hash_, []).extend(replies)
            if worker is not None:
                self._home[hash_] = worker

    def resume(self, kept: Mapping[str, Sequence[str]]) -> None:
        """See `Resumable`; they go along with the prompts' next calls."""
        self._keep({hash_: replies for hash_, replies in kept.items() if hash_ not in self._kept}, None)

    def tell(self, prompts: Sequence[Prompt]) -> tuple[float, Kept]:
        """See `Telling`."""
        spent, kept = self._told.pop(prompts[0].hash, (0.0, {}))
        self._keep(kept, None)
        return spent, kept

    async def close(self) -> None:
        """See `Teacher.close`; the workers stay for what is asked next."""
        if self._pool is not None and not self._pool.ended:
            await self._pool.close()
        await self._here.close()


class RemoteRevealing(RemoteTeacher):
    """A teacher that shows what it computes, which workers do; see `Revealing` and `RevealingBatches`."""

    def __init__(
        self,
        here: Teacher,
        pool: Callable[[], TeacherPool],
        reveal: Callable[[Iterable[Sequence[Prompt]], str], Iterator[Sequence[Array]]],
    ) -> None:
        super().__init__(here, pool)
        self._revealing = cast("Revealing", here)
        self._reveal = reveal
        self.reveals = self._revealing.reveals

    def manifest(self, kind: str) -> Manifest:
        """See `Revealing.manifest`; of the teacher as it is found here."""
        return self._revealing.manifest(kind)

    def reveal(self, prompts: Sequence[Prompt], kind: str) -> Sequence[Array]:
        """See `Revealing.reveal`."""
        return next(self._reveal([prompts], kind))

    def reveal_batches(self, batches: Iterable[Sequence[Prompt]], kind: str) -> Iterator[Sequence[Array]]:
        """See `RevealingBatches`."""
        return self._reveal(batches, kind)


async def _stopped(actor: Any, call: int, prompts: Sequence[Prompt]) -> tuple[float, Kept]:
    """End a call in its worker; what it brought, nothing where the worker doesn't say in time."""
    try:
        async with asyncio.timeout(_STOPPING):
            told: tuple[float, Kept] = await actor.stop.remote(call, list(prompts))
            return told
    except Exception:  # noqa: BLE001 - the worker may be gone too; the call then counts at its bound
        return 0.0, {}
