"""An annotation project: prompts put before people one by one, answered independently and then settled."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tutelage.errors import UsageError
from tutelage.records import AnswerStatus, Prompt, Value, dump_value, storable
from tutelage.review.annotations import Agree, Annotation, AnnotationStore, Standing, State, standing
from tutelage.review.votes import LONGEST_COMMENT
from tutelage.tasks import Task, with_labels


@dataclass(frozen=True)
class Assignment:
    """A prompt for one person: to answer, or, with the `answers` that were given, to settle.

    `answers` come in an order that says nothing of who gave them. `before` is what the person said of it and
    took back.
    """

    prompt: Prompt
    answers: tuple[Value, ...] = ()
    comments: tuple[str, ...] = ()
    before: Annotation | None = None

    @property
    def settles(self) -> bool:
        """Whether people disagreed on it."""
        return bool(self.answers)


@dataclass(frozen=True)
class Tally:
    """How far a project is: prompts by state."""

    total: int
    settled: int
    disputed: int


class AnnotationProject:
    """Each of `prompts` is answered by `wanted` people, all in one order; disagreements are settled after.

    Answers that the task has no longer, since its labels or its record changed, don't count. `title` and
    `instruction` are what people read of the task. `agree` tells whether two answers may stand
    for each other.
    """

    def __init__(
        self,
        prompts: Sequence[Prompt],
        store: AnnotationStore,
        task: Task,
        *,
        agree: Agree,
        wanted: int = 2,
        title: str = "",
        instruction: str = "",
    ) -> None:
        self.task, self.wanted, self.title, self.instruction = task, wanted, title, instruction
        self._store, self._agree = store, agree
        self.prompts = {prompt.hash: prompt for prompt in prompts}
        self._fitting: dict[Value, bool] = {}

    def standings(self) -> dict[str, Standing]:
        """Where each prompt stands, by its hash."""
        return self._standings(self._by_prompt())

    def tally(self) -> Tally:
        """How far all are together."""
        states = [found.state for found in self.standings().values()]
        return Tally(len(states), states.count(State.SETTLED), states.count(State.DISPUTED))

    def progress(self) -> dict[str, int]:
        """How much each person has said, skips left out."""
        said = [item for item in self._store.standing() if item.prompt in self.prompts]
        names = dict.fromkeys(item.annotator for item in said)
        return {
            name: sum(item.annotator == name and item.value is not None for item in said) for name in names
        }

    def pseudonyms(self) -> dict[str, str]:
        """What each person is called outside these pages."""
        return self._store.pseudonyms()

    def next(self, annotator: str) -> Assignment | None:
        """The first prompt that needs this person's answer, else a disagreement to settle; None: neither."""
        by_prompt = self._by_prompt()
        for hash_, said in by_prompt.items():
            independent = [item for item in said if not item.settles]
            mine = any(item.annotator == annotator for item in said)
            answered = sum(item.value is not None for item in independent)
            if not mine and answered < self.wanted and not any(item.settles for item in said):
                return Assignment(self.prompts[hash_], before=self._store.last_of(annotator, hash_))
        for hash_, found in self._standings(by_prompt).items():
            if found.state is State.DISPUTED and not _has_settled(annotator, by_prompt[hash_]):
                return self._to_settle(annotator, hash_, found, by_prompt[hash_])
        return None

    def left(self, annotator: str) -> int:
        """How many prompts wait for this person, to be answered or settled, as things are."""
        by_prompt, count = self._by_prompt(), 0
        for hash_, found in self._standings(by_prompt).items():
            said = by_prompt[hash_]
            mine = any(item.annotator == annotator and not item.settles for item in said)
            if found.state is State.DISPUTED:
                count += not _has_settled(annotator, said)
            elif found.state is State.OPEN and not mine:
                count += sum(item.value is not None for item in said) < self.wanted
        return count

    def skipped(self, annotator: str) -> int:
        """How many prompts the person has skipped that are still open."""
        return sum(
            item.annotator == annotator and item.value is None and item.prompt in self.prompts
            for item in self._store.standing()
        )

    def answer(
        self, annotator: str, prompt: str, value: Value | None, comment: str, *, settles: bool
    ) -> None:
        """Record an answer, or with None a skip; it is on disk when this returns. Raises UsageError."""
        if prompt not in self.prompts:
            raise UsageError(f"no prompt {prompt[:40]!r} in this project. Mend: go on with the next")
        if len(comment) > LONGEST_COMMENT:
            raise UsageError(
                f"the comment has {len(comment):,} characters. Mend: {LONGEST_COMMENT:,} are the most"
            )
        self._store.add(Annotation(prompt, annotator, value, storable(comment).strip(), settles))

    def given_answer(self, prompt: str, text: str) -> Value:
        """The answer to a prompt that somebody gave, by its JSON. Raises UsageError where nobody did."""
        for item in self._by_prompt().get(prompt, ()):
            if item.value is not None and dump_value(item.value) == text:
                return item.value
        raise UsageError("nobody gives that answer any more. Mend: choose another")

    def undo(self, annotator: str) -> bool:
        """Take back what the person said last; False where there is nothing."""
        return self._store.withdraw_last(annotator, self.prompts) is not None

    def unskip(self, annotator: str) -> int:
        """Put before the person again what was skipped."""
        return self._store.withdraw_skips(annotator)

    def misfits(self) -> int:
        """How many answers stand that the task has no longer."""
        return sum(
            item.prompt in self.prompts and not self._fits(item.value) for item in self._store.standing()
        )

    def _by_prompt(self) -> dict[str, list[Annotation]]:
        found: dict[str, list[Annotation]] = {hash_: [] for hash_ in self.prompts}
        for item in self._store.standing():
            if item.prompt in found and self._fits(item.value):
                found[item.prompt].append(item)
        return found

    def _fits(self, value: Value | None) -> bool:
        labelled = with_labels(self.task)
        if value is None or (labelled is not None and not labelled.labels):
            return True
        if value not in self._fitting:
            self._fitting[value] = self.task.admit(value).status is AnswerStatus.OK
        return self._fitting[value]

    def _standings(self, by_prompt: Mapping[str, Sequence[Annotation]]) -> dict[str, Standing]:
        return {hash_: standing(said, self.wanted, self._agree) for hash_, said in by_prompt.items()}

    def _to_settle(
        self, annotator: str, hash_: str, found: Standing, said: Sequence[Annotation]
    ) -> Assignment:
        distinct = {dump_value(value): value for _, value in found.independent}
        shuffled = sorted(distinct, key=lambda text: hashlib.sha256(f"{hash_}\0{text}".encode()).digest())
        comments = tuple(sorted(item.comment for item in said if item.comment and not item.settles))
        return Assignment(
            self.prompts[hash_],
            tuple(distinct[text] for text in shuffled),
            comments,
            self._store.last_of(annotator, hash_),
        )


def _has_settled(annotator: str, said: Sequence[Annotation]) -> bool:
    return any(item.annotator == annotator and item.settles for item in said)
