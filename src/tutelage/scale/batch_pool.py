"""Batches of work by workers of a cluster, the results in the batches' order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from tutelage.errors import ProcessDied, TutelageError
from tutelage.scale.carried import Carried
from tutelage.scale.cluster import first_line
from tutelage.scale.place import Place, own_version

if TYPE_CHECKING:
    from tutelage.scale.cluster import Cluster

_WAITING = 2  # batches of each worker that may be under way
_DEATHS = 3  # of one worker before the work ends; Ray starts it again and gives it its batches once more

Batch = TypeVar("Batch")
Result = TypeVar("Result")


class BatchWorker(Generic[Batch, Result]):
    """What runs in a worker: the work, fetched and made ready once, and done for each batch that comes."""

    def __init__(self, version: str) -> None:
        self._version = version
        self._work: Callable[[Batch], Result] | None = None

    def do(self, shared: Sequence[Any], batch: Batch) -> Result | Carried:
        """The work of one batch, or the error that it raised; `shared` holds a reference to the work."""
        try:
            if self._work is None:
                Place.here(self._version)
                import ray

                self._work = ray.get(shared[0])
            assert self._work is not None  # noqa: S101  # for mypy, which doesn't follow ray
            return self._work(batch)
        except TutelageError as error:
            return Carried.of(error)


@dataclass(eq=False)
class _Worker:
    """One worker, and the batches that it has yet to do."""

    number: int
    actor: Any
    under_way: set[Any] = field(default_factory=set)


def map_on(cluster: Cluster, work: Callable[[Batch], Result], batches: Iterable[Batch]) -> Iterator[Result]:
    """See `Engine.map_batches`. A batch whose worker dies is done again.

    Raises ProcessDied where a worker dies again and again.
    """
    rest = iter(batches)
    first = list(islice(rest, cluster.workers))
    workers = _started(cluster, len(first))
    shared = [cluster.ray.put(work)]
    waiting: deque[tuple[Any, _Worker]] = deque()
    try:
        for batch in chain(first, rest):
            worker = _least_busy(cluster.ray, workers)
            result = worker.actor.do.remote(shared, batch)
            worker.under_way.add(result)
            waiting.append((result, worker))
            if len(waiting) > _WAITING * len(workers):
                yield _result(cluster.ray, *waiting.popleft())
        while waiting:
            yield _result(cluster.ray, *waiting.popleft())
    finally:
        for worker in workers:
            cluster.ray.kill(worker.actor, no_restart=True)


def _started(cluster: Cluster, count: int) -> list[_Worker]:
    kind = cluster.ray.remote(BatchWorker)
    options = {"max_restarts": _DEATHS, "max_task_retries": _DEATHS, **cluster.options}
    version = own_version()
    return [_Worker(number, kind.options(**options).remote(version)) for number in range(count)]


def _least_busy(ray: Any, workers: list[_Worker]) -> _Worker:
    for worker in workers:
        if worker.under_way:
            asked = list(worker.under_way)
            done, _ = ray.wait(asked, num_returns=len(asked), timeout=0, fetch_local=False)
            worker.under_way.difference_update(done)
    return min(workers, key=lambda worker: len(worker.under_way))


def _result(ray: Any, reference: Any, worker: _Worker) -> Any:
    try:
        result = ray.get(reference)
    except ray.exceptions.RayTaskError:
        raise  # a bug: it is of the class that it was there, too
    except ray.exceptions.RayError as error:
        raise ProcessDied(
            f"worker {worker.number + 1} of the cluster died {_DEATHS + 1} times over its batches: "
            f"{first_line(error)}. Mend: look at memory and logs of the cluster's nodes; more CPUs a worker "
            "(engine.cpus) leave each more memory"
        ) from error
    worker.under_way.discard(reference)
    if isinstance(result, Carried):
        raise result.error()
    return result
