"""Answers that may be the request's fault are held back until another prompt was answered."""

from __future__ import annotations

from collections.abc import Iterable

from tutelage.errors import TeacherRefusesAccess
from tutelage.records import Answer, AnswerStatus, Prompt

MOST_DOUBTS = 3  # rejected prompts, with none answered; from one more the request is at fault

Pair = tuple[Prompt, Answer]


class HeldBack:
    """Doubtful answers of one run (see `teachers.Doubtful`). They cost nothing, and live in memory only.

    `cleared` tells that the teacher has answered a request like these: in an earlier run under the same key,
    or in this one. From then on nothing is held back.
    """

    def __init__(self, cleared: bool) -> None:
        self._cleared = cleared
        self._pairs: list[Pair] = []

    @property
    def hashes(self) -> list[str]:
        """The prompts whose answers are held back."""
        return [prompt.hash for prompt, _ in self._pairs]

    def sift(self, pairs: Iterable[Pair]) -> list[Pair]:
        """What can be recorded now: these but for what is held back, or all with what was."""
        from tutelage.teachers import Doubtful

        certain = []
        for prompt, answer in pairs:
            if isinstance(answer, Doubtful):
                self._pairs.append((prompt, answer))
                continue
            certain.append((prompt, answer))
            self._cleared = self._cleared or answer.status is AnswerStatus.OK or answer.raw != ""
        if not self._cleared:
            return certain
        released, self._pairs = self._pairs, []
        return certain + released

    def require_not_too_many(self) -> None:
        """Raise TeacherRefusesAccess where so many prompts were rejected that it can't be for them."""
        if len(self._pairs) > MOST_DOUBTS:
            reason = self._pairs[-1][1].reason
            raise TeacherRefusesAccess(
                f"{reason}. {len(self._pairs)} prompts were rejected and none was answered, so it is not for "
                "a prompt: check the teacher section of tutelage.yaml against the endpoint"
            )
