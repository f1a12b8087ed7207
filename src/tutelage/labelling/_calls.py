"""One call of a teacher: its money, its deadline, and its answers on disk before it counts as made."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tutelage import faults
from tutelage.config import LabellingConfig
from tutelage.errors import TeacherError, TeacherUnavailable
from tutelage.labelling._checking import checked
from tutelage.labelling._doubts import HeldBack
from tutelage.labelling.budget import Purse
from tutelage.labelling.ledger import AnswerLedger, LedgerKey
from tutelage.labelling.pacing import SPARE
from tutelage.labelling.recorder import Recorder
from tutelage.progress import Progress
from tutelage.records import Answer, Prompt

if TYPE_CHECKING:
    from tutelage.tasks import Task
    from tutelage.teachers import Teacher

_TOLERANCE = 0.01  # of a bound: rounding
WRITES_WAITING = 64  # past that, a call waits for the disk


class Calls:
    """The calls of one run. `count` is told of answers that are on disk.

    `writing` is how many calls only wait for the disk; `room` is told when one begins to, since the endpoint
    has one less to do then.
    """

    def __init__(
        self,
        teacher: Teacher,
        task: Task,
        ledger: AnswerLedger,
        key: LedgerKey,
        config: LabellingConfig,
        count: Callable[[Sequence[Answer]], None],
        progress: Progress,
    ) -> None:
        self.writing = 0
        self.room: Callable[[], None] = _nobody
        self._teacher, self._task, self._ledger, self._key = teacher, task, ledger, key
        self._progress, self._told_of_excess = progress, False
        self.purse = Purse(config.budget, ledger.spent())
        self.held = HeldBack(ledger.has_usable(key))
        # A model that runs here takes as long as it takes, and its thread can't be stopped.
        behind_an_api = teacher.paid or teacher.concurrency is None
        self._deadline = config.deadline if behind_an_api else None
        # Where a call is one prompt, or money, the next is made when this answer is on disk: a kill then
        # loses no more than the calls under way. Batches that cost nothing don't wait for the disk.
        self._waits_for_disk = teacher.paid or teacher.batch_size == 1
        self._under_way: set[asyncio.Task[Any] | None] = set()
        self._recorder = Recorder(ledger, key, count, lambda: int(SPARE * len(self._under_way)))

    async def close(self) -> None:
        """Commit what waits. Raises what a write failed of."""
        await self._recorder.close()

    def is_under_way(self, task: asyncio.Task[Any]) -> bool:
        """Whether the task is between its call and its record: what a stop lets it finish."""
        return task in self._under_way

    async def make(self, batch: list[Prompt]) -> tuple[list[Answer], float]:
        """Ask once and record the answers; with them the seconds that the teacher took.

        Raises TeacherError as the teacher does, and BudgetExhausted; what the call cost all the same is
        booked.
        """
        if not self._teacher.paid:
            with self._marked():
                answers, seconds = await self._answers(batch, 0.0)
                await self._record(batch, answers, None)
            return answers, seconds
        cost = bound = self._teacher.most_expensive(batch)
        await self.purse.reserve(bound)
        try:
            with self._marked():
                attempt = await self._opened(bound)
                try:
                    answers, seconds = await self._answers(batch, bound)
                except asyncio.CancelledError:
                    self._interrupted(attempt, batch, bound)
                    raise
                except TeacherError as error:
                    spent, unaccounted = _charge(error, bound)
                    cost = spent + unaccounted
                    await self._failed_call(attempt, spent, unaccounted, error.kept)
                    raise
                cost = sum(answer.usage.cost for answer in answers)
                self._compare(batch, cost, bound)
                await self._record(batch, answers, attempt)
        finally:
            self.purse.settle(bound, cost)
        return answers, seconds

    def _compare(self, batch: list[Prompt], cost: float, bound: float) -> None:
        """Say once where an answer is told to have cost more than it can: that may pass the budget."""
        if self._told_of_excess or cost <= bound * (1 + _TOLERANCE) + _TOLERANCE / 1e6:
            return
        self._told_of_excess = True
        self._progress.warn(
            f"by {self._teacher.name}'s account prompt {batch[0].id!r} cost ${cost:.4f}, and ${bound:.4f} is "
            "the most that its text, teacher.max_output_tokens and teacher.price allow. It is booked as "
            "told, so each call under way may pass the budget by as much. Mend: look at the provider's bill"
        )

    async def _answers(self, batch: list[Prompt], bound: float) -> tuple[list[Answer], float]:
        clock = asyncio.get_running_loop().time
        started = clock()
        deadline = asyncio.timeout(self._deadline)
        try:
            async with deadline:
                faults.point("asking")
                answers = await self._teacher.answer(batch)
                faults.point("answered")
        except TimeoutError:
            if not deadline.expired():
                raise
            raise self._too_late(batch, bound) from None
        seconds = clock() - started
        return checked(answers, batch, self._task, self._most_expensive), seconds

    def _most_expensive(self, prompt: Prompt) -> float:
        return self._teacher.most_expensive([prompt])

    def _too_late(self, batch: list[Prompt], bound: float) -> TeacherUnavailable:
        """The error of a call that its deadline ended. What nobody knows of it counts at its bound."""
        spent, kept = self._told(batch)
        error = TeacherUnavailable(
            f"{self._teacher.name} did not answer within {self._deadline:g} s (labelling.deadline)",
            billed=True,
            spent=spent,
            unaccounted=max(bound - spent, 0.0),
            fault="deadline",
        )
        error.kept = kept
        return error

    def _told(self, batch: list[Prompt]) -> tuple[float, Mapping[str, Sequence[str]]]:
        """What a call that was cancelled brought, from teachers that know."""
        from tutelage.teachers import Telling

        return self._teacher.tell(batch) if isinstance(self._teacher, Telling) else (0.0, {})

    async def _opened(self, bound: float) -> int:
        """The number under which a call is written down; none is made before."""
        faults.point("opening")
        opening = self._recorder.open(bound)
        try:
            with self._on_disk():
                await opening.done
        except asyncio.CancelledError:
            # The call that won't be made is opened, then closed again.
            self._recorder.put(lambda: self._ledger.fail_attempt(opening.attempt))
            raise
        faults.point("opened")
        return opening.attempt

    def _interrupted(self, attempt: int, batch: list[Prompt], bound: float) -> None:
        """Book a call that ends with the run, without waiting: the run's end waits for the disk."""
        spent, kept = self._told(batch)
        self._failed_call(attempt, spent, max(bound - spent, 0.0), kept)

    def _failed_call(
        self, attempt: int, spent: float, unaccounted: float, kept: Mapping[str, Sequence[str]]
    ) -> asyncio.Future[Any]:
        def write() -> None:
            self._ledger.fail_attempt(attempt, spent, unaccounted)
            if kept:
                self._ledger.keep_replies(self._key, kept)

        return self._recorder.put(write)

    async def _record(self, batch: list[Prompt], answers: list[Answer], attempt: int | None) -> None:
        # Queued before anything is awaited: from here on a cancellation doesn't lose the answers.
        pairs = self.held.sift(zip(batch, answers, strict=True))
        recorder = self._recorder
        committed = recorder.keep(pairs, attempt)
        if self._waits_for_disk or recorder.failed or recorder.waiting > WRITES_WAITING:
            with self._on_disk():
                await committed
        self.held.require_not_too_many()

    @contextmanager
    def _on_disk(self) -> Iterator[None]:
        self.writing += 1
        self.room()
        try:
            yield
        finally:
            self.writing -= 1

    @contextmanager
    def _marked(self) -> Iterator[None]:
        task = asyncio.current_task()
        self._under_way.add(task)
        try:
            yield
        finally:
            self._under_way.discard(task)


def _nobody() -> None:
    """Nobody waits for room."""


def _charge(error: TeacherError, bound: float) -> tuple[float, float]:
    """US dollars that a failed call did cost, and beyond them may have; `bound` is the most for both."""
    if error.unaccounted is not None:
        return error.spent, error.unaccounted
    return error.spent, max(bound - error.spent, 0.0) if error.billed else 0.0
