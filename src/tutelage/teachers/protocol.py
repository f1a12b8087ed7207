"""What a teacher is, and how one is built from its configuration."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, runtime_checkable

from tutelage.errors import ConfigError, TeacherError
from tutelage.records import Answer, Gold, Prompt, Rejection
from tutelage.tasks import LabelTask, Task, with_labels

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


@runtime_checkable
class Teacher(Protocol):
    """Anything that answers prompts.

    `name` and `revision` are part of the key under which an answer is kept: `revision` must change whenever
    the same prompt could be answered differently (weights, head, model name, sampling). `paid` is True where
    a call costs money or sends prompts to another machine, whatever that costs: nothing is then asked before
    the gold gate has passed, and every call is written down before it is made. `batch_size` is how many
    prompts one `answer` call likes to get, `concurrency` how many calls may run at once (None: as many as the
    configuration says). `most_expensive(prompts)` is an upper bound in US dollars of what the next
    `answer(prompts)` can cost; 0 for teachers that run here.
    """

    name: str
    revision: str
    paid: bool
    batch_size: int
    concurrency: int | None

    def most_expensive(self, prompts: Sequence[Prompt]) -> float:
        """US dollars that the next `answer(prompts)` can cost at most."""
        ...

    async def answer(self, prompts: Sequence[Prompt]) -> list[Answer]:
        """One answer for each prompt, in order.

        Raises TeacherUnavailable for passing faults and TeacherRefusesAccess where trying again is no use;
        both say what was spent all the same (see `TeacherError`). Never raises for what a model said: that is
        an Answer with another status than OK.
        """
        ...

    async def close(self) -> None:
        """Let go of connections and memory."""
        ...


@runtime_checkable
class Resumable(Protocol):
    """A teacher that goes on with replies that an earlier run paid for and that made no answer then."""

    def resume(self, kept: Mapping[str, Sequence[str]]) -> None:
        """Take back, by prompt hash, what its errors had in `TeacherError.kept`."""
        ...


@runtime_checkable
class Telling(Protocol):
    """A teacher that keeps replies of a call that was cancelled, and can say what they cost."""

    def tell(self, prompts: Sequence[Prompt]) -> tuple[float, Mapping[str, Sequence[str]]]:
        """What replies to `prompts` cost that no answer or error has told of yet, in US dollars, and they.

        The replies are as in `TeacherError.kept`. Asked after a call that its deadline ended;
        what is told here, no later answer or error counts again.
        """
        ...


@runtime_checkable
class Selective(Protocol):
    """A teacher that can answer some prompts now and the others only later, as people do.

    `rejected` holds what it was given and couldn't take, for whoever has to mend it.
    """

    rejected: Sequence[Rejection]

    def answerable(self, prompts: Sequence[Prompt]) -> list[Prompt]:
        """Those that it can answer now; no others are put to it."""
        ...

    def leave(self, prompts: Sequence[Prompt]) -> NoReturn:
        """See to it that the others can be answered later. Raises AwaitingPeople."""
        ...


@dataclass(frozen=True, slots=True)
class BatchCounts:
    """How far a provider's batch is. Counts are of requests; `said` is the provider's word for it."""

    total: int
    done: int
    failed: int
    ended: bool
    said: str = ""


@runtime_checkable
class Batched(Protocol):
    """A teacher whose provider takes many prompts at once, answers within a day, and charges less.

    `batch` tells that it is to be asked so. `submit` sends prompts under a tag of ours (`tag` makes one, used
    once) and returns the provider's name of the batch; `find` finds that name by the tag where it was not
    written down, and is None where nothing was submitted. All raise TeacherUnavailable and
    TeacherRefusesAccess.
    """

    batch: bool

    def most_expensive_batch(self, prompts: Sequence[Prompt]) -> float:
        """US dollars that a batch of `prompts` can cost at most: the sum over its prompts."""
        ...

    def fitting(self, prompts: Sequence[Prompt]) -> int:
        """How many of the prompts, from the first, go into one batch by the provider's limits; at least 1."""
        ...

    def tag(self, prompts: Sequence[Prompt]) -> str:
        """A new tag for a batch of these prompts."""
        ...

    async def submit(self, prompts: Sequence[Prompt], tag: str) -> str:
        """Send a batch."""
        ...

    async def find(self, tag: str, wait: float) -> str | None:
        """The provider's name of the batch with this tag.

        Where a batch can't be told from another's until it has ended, it is looked at every `wait` seconds.
        """
        ...

    async def poll(self, remote: str) -> BatchCounts:
        """How far a batch is."""
        ...

    def results(
        self, remote: str, tag: str, prompts: Mapping[str, Prompt]
    ) -> AsyncIterator[tuple[str, Answer | TeacherError]]:
        """For each of `prompts` (by hash), once the batch has ended, its answer or why it has none.

        An error tells what the prompt cost all the same (`spent`) and holds replies to go on from (`kept`).
        """
        ...

    async def cancel(self, remote: str) -> None:
        """Ask the provider to end a batch."""
        ...


class Doubtful(Answer):
    """An answer without the model's word, where the request may be at fault rather than the prompt.

    It is recorded once the teacher has answered another prompt, which clears the request. Until then it is
    held back, and where no prompt is answered at all it is dropped: the next run asks again.
    """

    __slots__ = ()


@runtime_checkable
class Measurable(Protocol):
    """A teacher that runs here, whose speed and size can be set beside a student's.

    `device` may be set before the first answer (`cpu`, `cuda`); empty: a GPU where there is one.
    """

    device: str

    @property
    def parameters(self) -> int:
        """Weights of the model."""
        ...

    @property
    def size_mb(self) -> float:
        """Megabytes (10^6 bytes) of those weights."""
        ...

    def predict(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Probabilities, float32 [n, labels]."""
        ...


@dataclass(frozen=True)
class TeacherContext:
    """What a teacher may be built from: the task, gold's training part, and the programme's folder.

    `top_k` is how many alternatives of each token an answer is to keep (`Answer.tokens`); 0 for none.
    `hidden_layers` are the layers of which hidden states are wanted, 0 the embeddings, -1 the last.
    """

    task: Task
    training: Sequence[Gold]
    folder: Path
    top_k: int = 0
    hidden_layers: tuple[int, ...] = (-1,)


def require_label_task(task: Task, teacher: str) -> LabelTask:
    """The task, for a teacher that answers with labels. Raises ConfigError where its values are open."""
    labelled = with_labels(task)
    if labelled is None:
        raise ConfigError(
            f"teacher.type {teacher} answers with labels, and task.type {task.kind} has none. "
            "Mend: use a teacher that writes (openai, anthropic, local, human, or a plugin)"
        )
    return labelled


def build_teacher(config: Any, context: TeacherContext) -> Teacher:
    """Find the teacher's class by entry point and build it with `Class(config, context)`.

    Raises ConfigError where nobody offers that name, MissingExtraError where its extra isn't installed.
    """
    name = config.name if config.type == "plugin" else config.type
    offered = {point.name: point for point in entry_points(group="tutelage.teachers")}
    if name not in offered:
        raise ConfigError(
            f"teacher {name!r} is offered by no installed package; there are: {', '.join(sorted(offered))}"
        )
    teacher: Teacher = offered[name].load()(config, context)
    return teacher
