"""How far a teacher repeats itself: the same prompts asked a second time.

What a teacher says twice of the same prompt bounds what agreement with it can mean: a student can't be held
to an answer that the teacher itself would not give again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from tutelage.records import Answer, Prompt

if TYPE_CHECKING:
    from tutelage.tasks import Task
    from tutelage.teachers import Teacher


class SecondAsking:
    """A teacher asked again: the same in all but its revision, so that the ledger keeps both answers.

    Replies that are kept for a later try are of this asking, under its own revision.
    """

    def __init__(self, teacher: Teacher) -> None:
        self._teacher = teacher
        self.name = teacher.name
        self.revision = f"{teacher.revision}:again"
        self.model: str = getattr(teacher, "model", "")
        self.paid = teacher.paid
        self.batch_size = teacher.batch_size
        self.concurrency = teacher.concurrency

    def most_expensive(self, prompts: Sequence[Prompt]) -> float:
        """See `Teacher.most_expensive`."""
        return self._teacher.most_expensive(prompts)

    async def answer(self, prompts: Sequence[Prompt]) -> list[Answer]:
        """See `Teacher.answer`."""
        return await self._teacher.answer(prompts)

    def resume(self, kept: Mapping[str, Sequence[str]]) -> None:
        """See `Resumable`; a teacher that keeps nothing has nothing to take back."""
        from tutelage.teachers import Resumable

        if isinstance(self._teacher, Resumable):
            self._teacher.resume(kept)

    def tell(self, prompts: Sequence[Prompt]) -> tuple[float, Mapping[str, Sequence[str]]]:
        """See `Telling`."""
        from tutelage.teachers import Telling

        return self._teacher.tell(prompts) if isinstance(self._teacher, Telling) else (0.0, {})

    async def close(self) -> None:
        """See `Teacher.close`."""
        await self._teacher.close()


def repeated(
    task: Task, first: Mapping[str, Answer], second: Mapping[str, Answer], hashes: Iterable[str]
) -> tuple[int, int]:
    """Of the prompts that have both answers, how many agree: (agreeing, both).

    An unusable answer agrees with nothing but another of the same status.
    """
    both = [(first[hash_], second[hash_]) for hash_ in hashes if hash_ in first and hash_ in second]
    return sum(_agree(task, one, other) for one, other in both), len(both)


def _agree(task: Task, one: Answer, other: Answer) -> bool:
    if one.value is None or other.value is None:
        return one.status == other.status
    return task.compare(one.value, other.value).agree
