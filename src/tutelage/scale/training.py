"""Training on a cluster: Ray Train starts the processes that share each step, and the trainer is the same."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

from tutelage.errors import ProcessDied, TutelageError
from tutelage.progress import Progress, Silent
from tutelage.scale.carried import Carried
from tutelage.scale.cluster import first_line
from tutelage.scale.engine import TrainingWork
from tutelage.scale.place import Place, own_version

if TYPE_CHECKING:
    from tutelage.scale.cluster import Cluster

_DEATHS = 3  # of a worker before the training ends; each time it goes on from its checkpoint
_OFTEN = 0.5  # seconds between two words of how far it is


class Notice:
    """What the first process of a training tells the command: its progress, then its result or an error."""

    def __init__(self) -> None:
        self._said: list[tuple[str, tuple[Any, ...]]] = []
        self._result: str | Carried | None = None

    def say(self, what: str, *values: Any) -> None:
        """A call of `Progress`, or of one of its trackers."""
        self._said.append((what, values))

    def end(self, result: str | Carried) -> None:
        """What came of it; the first failure of any process stands."""
        if not isinstance(self._result, Carried):
            self._result = result

    def read(self) -> list[tuple[str, tuple[Any, ...]]]:
        """What was said since this was last asked."""
        said, self._said = self._said, []
        return said

    def result(self) -> str | Carried | None:
        """See `end`."""
        return self._result


class RemoteProgress:
    """A Progress that speaks to a `Notice`."""

    def __init__(self, notice: Any) -> None:
        self._notice = notice
        self._numbers = count(1)

    def stage(self, name: str, text: str, *, quiet: bool = False) -> None:
        """See `Progress.stage`; a training has none."""

    def note(self, text: str) -> None:
        """See `Progress.note`."""
        self._notice.say.remote("note", text)

    def warn(self, text: str) -> None:
        """See `Progress.warn`."""
        self._notice.say.remote("warn", text)

    @contextmanager
    def track(
        self, description: str, total: int | None, unit: str, done: int = 0
    ) -> Iterator[_RemoteTracker]:
        """See `Progress.track`."""
        number = next(self._numbers)
        self._notice.say.remote("track", number, description, total, unit, done)
        tracker = _RemoteTracker(self._notice, number)
        try:
            yield tracker
        finally:
            tracker.tell()
            self._notice.say.remote("done", number)


class _RemoteTracker:
    """Tells twice a second how far it is."""

    def __init__(self, notice: Any, number: int) -> None:
        self._notice, self._number = notice, number
        self._count, self._note, self._told = 0, "", monotonic()

    def advance(self, count: int = 1, note: str = "") -> None:
        """See `Tracker.advance`."""
        self._count, self._note = self._count + count, note or self._note
        if monotonic() - self._told >= _OFTEN:
            self.tell()

    def tell(self) -> None:
        """What hasn't been told."""
        self._notice.say.remote("advance", self._number, self._count, self._note)
        self._count, self._told = 0, monotonic()


class _Listener:
    """Hands what a `Notice` was told to the command's own Progress."""

    def __init__(self, ray: Any, notice: Any, progress: Progress) -> None:
        self._ray, self._notice, self._progress = ray, notice, progress
        self._tracks: dict[int, tuple[ExitStack, Any]] = {}

    def hear(self) -> None:
        """What was said since."""
        for what, values in self._ray.get(self._notice.read.remote()):
            getattr(self, f"_{what}")(*values)

    def close(self) -> None:
        """End what a process that died had begun."""
        for number in list(self._tracks):
            self._done(number)

    def _note(self, text: str) -> None:
        self._progress.note(text)

    def _warn(self, text: str) -> None:
        self._progress.warn(text)

    def _track(self, number: int, description: str, total: int | None, unit: str, done: int) -> None:
        stack = ExitStack()
        tracker = stack.enter_context(self._progress.track(description, total, unit, done))
        self._tracks[number] = (stack, tracker)

    def _advance(self, number: int, count: int, note: str) -> None:
        if number in self._tracks:
            self._tracks[number][1].advance(count, note)

    def _done(self, number: int) -> None:
        stack, _ = self._tracks.pop(number)
        stack.close()


def train_on(cluster: Cluster, work: TrainingWork, progress: Progress, folder: Path, *, shared: bool) -> str:
    """See `Engine.train`. One whose worker dies is begun again, and goes on from its checkpoint.

    Raises ProcessDied where that happens again and again, and whatever `work` raises of the project's errors.
    """
    for death in range(_DEATHS + 1):
        notice = cluster.ray.remote(Notice).options(num_cpus=0).remote()
        problem = _fitted(cluster, work, notice, progress, folder, shared)
        result = cluster.ray.get(notice.result.remote())
        if isinstance(result, Carried):
            raise result.error()
        if problem is None and result is not None:
            return str(result)
        why = first_line(problem) if problem is not None else "it ended without a result"
        if death < _DEATHS:
            progress.warn(f"training on the cluster broke off ({why}); it goes on from its checkpoint")
    raise ProcessDied(
        f"training on the cluster broke off {_DEATHS + 1} times; the last: {why}. Mend: look at memory and "
        "logs of the cluster's nodes (GPU memory too: a smaller student.batch_size needs less)"
    )


def _fitted(
    cluster: Cluster, work: TrainingWork, notice: Any, progress: Progress, folder: Path, shared: bool
) -> BaseException | None:
    """Run it once; the error that it ended with."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from ray.train import FailureConfig, RunConfig, ScalingConfig
        from ray.train.torch import TorchTrainer

    config, version = cluster.config, own_version()

    def loop() -> None:
        _run(work, notice, version)

    resources = {"CPU": config.cpus} | ({"GPU": config.gpus} if config.gpus else {})
    trainer = TorchTrainer(
        loop,
        scaling_config=ScalingConfig(
            num_workers=cluster.workers if shared else 1,
            use_gpu=config.gpus > 0,
            resources_per_worker=resources,
        ),
        run_config=RunConfig(
            name="training", storage_path=str(folder), failure_config=FailureConfig(max_failures=0)
        ),
    )
    with _listening(_Listener(cluster.ray, notice, progress)), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Ray Train calls what Ray Data deprecates
        try:
            trainer.fit()
        except Exception as error:  # noqa: BLE001 - Ray Train has a tree of its own; the notice tells what it was
            return error
    return None


@contextmanager
def _listening(listener: _Listener) -> Iterator[None]:
    over = threading.Event()

    def listen() -> None:
        while not over.wait(_OFTEN):
            listener.hear()

    thread = threading.Thread(target=listen, name="tutelage-training", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        listener.hear()
        listener.close()


def _run(work: TrainingWork, notice: Any, version: str) -> None:
    """In each process. An error ends them all: others may wait for this one's part of a step."""
    import ray.train

    first = ray.train.get_context().get_world_rank() == 0
    try:
        Place.here(version)
        result = work(RemoteProgress(notice) if first else Silent())
    except TutelageError as error:
        ray.get(notice.end.remote(Carried.of(error)))
        raise
    if first:
        ray.get(notice.end.remote(result))
