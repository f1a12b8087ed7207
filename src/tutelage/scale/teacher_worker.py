"""What runs in a worker: a teacher of its own, asked by the process that holds the ledger.

Nothing is written here. Prompts, replies kept of earlier tries, and answers travel with each call, so that a
worker that dies takes no more with it than the calls under way.
"""

from __future__ import annotations

import asyncio
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from tutelage.errors import TutelageError, UsageError
from tutelage.records import Answer, Prompt
from tutelage.scale.carried import Carried
from tutelage.scale.place import Place

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from tutelage.teachers import Teacher, TeacherContext

Kept = Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class Said:
    """What came of a call: answers, or the error in their place."""

    answers: list[Answer]
    fault: Carried | None = None


class TeacherWorker:
    """Builds its teacher when it is opened, from the configuration of the programme.

    The teacher's files are looked for under the same paths, its keys in this process's environment.
    """

    def __init__(self, config: Any, context: TeacherContext) -> None:
        self._config, self._context = config, context
        self._teacher: Teacher | None = None
        self._calls: dict[int, asyncio.Task[list[Answer]]] = {}

    async def open(self, revision: str, version: str) -> Place | Carried:
        """Build the teacher, which has to be `revision` by Tutelage `version`; where it then is.

        The UsageError, carried, tells what differs.
        """
        try:
            place = Place.here(version)
            self._teacher = await asyncio.to_thread(same_teacher, self._config, self._context, revision)
        except TutelageError as error:
            return Carried.of(error)
        return place

    async def answer(self, call: int, prompts: Sequence[Prompt], kept: Kept) -> Said:
        """Ask the teacher; `kept` are replies to these prompts that earlier tries paid for."""
        from tutelage.teachers import Resumable

        teacher: Any = self._teacher
        if kept and isinstance(teacher, Resumable):
            teacher.resume(kept)
        self._calls[call] = asking = asyncio.create_task(teacher.answer(prompts))
        try:
            return Said(await asking)
        except TutelageError as error:
            return Said([], Carried.of(error))
        except asyncio.CancelledError:
            return Said([])  # by `stop`: nobody waits for it
        finally:
            self._calls.pop(call, None)

    async def stop(self, call: int, prompts: Sequence[Prompt]) -> tuple[float, Kept]:
        """End a call; what `Telling.tell` says of it."""
        from tutelage.teachers import Telling

        if (asking := self._calls.get(call)) is not None:
            asking.cancel()
            await asyncio.wait([asking])
        return self._teacher.tell(prompts) if isinstance(self._teacher, Telling) else (0.0, {})

    async def close(self) -> None:
        """Let go of what the teacher holds; it is there for the next call all the same."""
        if self._teacher is not None:
            await self._teacher.close()


@dataclass(frozen=True)
class Revelation:
    """Work on batches of prompts: their signals of one kind, by the teacher as this process finds it."""

    config: Any
    context: TeacherContext
    revision: str
    kind: str

    def __call__(self, prompts: Sequence[Prompt]) -> list[npt.NDArray[np.generic]]:
        """See `Revealing.reveal`. Raises as `same_teacher`."""
        return list(self._teacher.reveal(prompts, self.kind))

    @cached_property
    def _teacher(self) -> Any:
        return same_teacher(self.config, self.context, self.revision)


def same_teacher(config: Any, context: TeacherContext, revision: str) -> Teacher:
    """The configured teacher, which has to be the programme's. Raises UsageError, and as `build_teacher`."""
    from tutelage.teachers import build_teacher

    teacher = build_teacher(config, context)
    if teacher.revision != revision:
        raise UsageError(
            f"the teacher as {platform.node()} finds it has revision {teacher.revision}, and the programme's "
            f"has {revision}: its model's files differ. Mend: have the same files on all nodes, on shared "
            "storage or by the same packages"
        )
    return teacher
