"""What a teacher is, and how one is built from its configuration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from tutelage.errors import ConfigError
from tutelage.records import Answer, Gold, Prompt
from tutelage.tasks import Classify


@runtime_checkable
class Teacher(Protocol):
    """Anything that answers prompts.

    `name` and `revision` are part of the key under which an answer is kept: `revision` must change whenever
    the same prompt could be answered differently (weights, head, model name, sampling). `paid` tells whether
    a call costs money, `batch_size` how many prompts one `answer` call likes to get, `concurrency` how many
    calls may run at once (None: as many as the configuration says). `most_expensive(prompts)` is an upper
    bound in US dollars of what one `answer(prompts)` call can cost; 0 for teachers that run here.
    """

    name: str
    revision: str
    paid: bool
    batch_size: int
    concurrency: int | None

    def most_expensive(self, prompts: Sequence[Prompt]) -> float:
        """US dollars that one `answer(prompts)` can cost at most."""
        ...

    async def answer(self, prompts: Sequence[Prompt]) -> list[Answer]:
        """One answer for each prompt, in order.

        Raises TeacherUnavailable for passing faults and TeacherRefusesAccess where trying again is no use.
        Never raises for what a model said: that is an Answer with another status than OK.
        """
        ...

    async def close(self) -> None:
        """Let go of connections and memory."""
        ...


@dataclass(frozen=True)
class TeacherContext:
    """What a teacher may be built from: the task, gold's training part, and the programme's folder."""

    task: Classify
    training: Sequence[Gold]
    folder: Path


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
