"""What an engine is, the local one, and the choice between them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from tutelage.config import EngineConfig, LabellingConfig
from tutelage.errors import UsageError
from tutelage.progress import Progress

if TYPE_CHECKING:
    from tutelage.teachers import Teacher, TeacherContext

Batch = TypeVar("Batch")
Result = TypeVar("Result")
TrainingWork = Callable[[Progress], str]


class Engine(Protocol):
    """Where heavy work runs. Whichever it is, a stage has the same results in the same order."""

    def build_teacher(self, config: Any, context: TeacherContext) -> Teacher:
        """The configured teacher, asked where this engine's work runs. Raises as `teachers.build_teacher`."""
        ...

    def labelling(self, config: LabellingConfig) -> LabellingConfig:
        """`config`, which is for one worker, as it is for all of them."""
        ...

    def map_batches(
        self, work: Callable[[Batch], Result], batches: Iterable[Batch], *, most: int | None = None
    ) -> Iterator[Result]:
        """`work` of each batch, in the batches' order; no more than a few for each worker are under way.

        `work` and batches can be pickled, and `work` gives the same in whichever process. `most` is how many
        processes of this machine the local engine may take (see `data.processes`): 1 for a model that is
        loaded here. Raises whatever `work` raises of the project's errors.
        """
        ...

    def train(
        self, work: Callable[[Progress], str], progress: Progress, folder: Path, *, shared: bool
    ) -> str:
        """Run `work`, which trains, writes what came of it and tells so in a line.

        With `shared` a step may be shared out among processes (torch.distributed): `work` then runs in each,
        and writes in the first (`is_first`). `folder` is for what the engine keeps meanwhile. Raises what
        `work` raises of the project's errors.
        """
        ...


class LocalEngine:
    """Everything runs on this machine."""

    def build_teacher(self, config: Any, context: TeacherContext) -> Teacher:
        """See `Engine`."""
        from tutelage.teachers import build_teacher

        return build_teacher(config, context)

    def labelling(self, config: LabellingConfig) -> LabellingConfig:
        """See `Engine`."""
        return config

    def map_batches(
        self, work: Callable[[Batch], Result], batches: Iterable[Batch], *, most: int | None = None
    ) -> Iterator[Result]:
        """See `Engine`."""
        from tutelage.data.processes import map_batches

        return map_batches(work, batches, most=most)

    def train(
        self, work: Callable[[Progress], str], progress: Progress, folder: Path, *, shared: bool
    ) -> str:
        """See `Engine`; in this process."""
        return work(progress)


LOCAL = LocalEngine()


@contextmanager
def open_engine(config: EngineConfig, progress: Progress) -> Iterator[Engine]:
    """The configured engine. A cluster is reached when work is first put to it, and let go of at the end.

    Raises MissingExtraError where Ray isn't installed.
    """
    if config.type == "local":
        yield LOCAL
        return
    from tutelage.scale.ray_engine import RayEngine

    engine = RayEngine(config, progress)
    try:
        yield engine
    finally:
        engine.close()


def is_first() -> bool:
    """Whether this is the process that writes: the first of those that share a training, or the only one."""
    return os.environ.get("RANK", "0") == "0"


def processes() -> int:
    """How many processes torchrun or `accelerate launch` started to share a training; 1 without them."""
    return int(os.environ.get("WORLD_SIZE", "1")) if "RANK" in os.environ else 1


def require_one_process(what: str) -> None:
    """Raise UsageError where several processes were started for `what`, which none can share."""
    if (count := processes()) > 1:
        raise UsageError(
            f"{what} is the work of one process, and torchrun or accelerate started {count}. Mend: leave "
            "them out; `tutelage train` of students with a network takes several"
        )
