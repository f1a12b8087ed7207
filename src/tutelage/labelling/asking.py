"""Asking teachers: each text once, never past the budget, and every answer on disk before it is counted."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tutelage import faults
from tutelage.config import LabellingConfig
from tutelage.errors import (
    BudgetExhausted,
    TeacherError,
    TeacherUnavailable,
    TutelageError,
)
from tutelage.labelling._checking import checked
from tutelage.labelling._doubts import HeldBack
from tutelage.labelling.budget import Purse
from tutelage.labelling.ledger import AnswerLedger, LedgerKey
from tutelage.labelling.recorder import Recorder
from tutelage.progress import Progress, Silent, Tracker
from tutelage.records import Answer, Prompt

if TYPE_CHECKING:
    from tutelage.tasks import Classify
    from tutelage.teachers import Teacher

LONGEST_WAIT = 60.0  # seconds between two tries, whatever a teacher asks for
WRITES_WAITING = 64  # past that, a worker waits for the disk
FAILURES_IN_A_ROW = 5  # calls that fail with all their tries before the run stops


@dataclass(frozen=True, slots=True)
class LabellingReport:
    """What one run of asking did. Counts are of distinct texts; `cost` in US dollars, of this run.

    `reused` had an answer already; `asked` were put to the teacher, of which `failed_prompts` (hashes) have
    no answer after all tries and are asked again by the next run. `by_status` counts this run's answers;
    `other_models` those from another model than the teacher's `model`, by the name that the endpoint returned
    (a dated name that begins with the one asked for is no other model). `cost` holds the upper bound of
    requests without an account, as `AnswerLedger.spent` does.
    """

    asked: int
    reused: int
    failed_prompts: tuple[str, ...] = ()
    by_status: Mapping[str, int] = field(default_factory=dict)
    other_models: Mapping[str, int] = field(default_factory=dict)
    cost: float = 0.0
    seconds: float = 0.0

    @property
    def failed(self) -> int:
        """How many prompts have no answer after all tries."""
        return len(self.failed_prompts)


def label(
    prompts: Sequence[Prompt],
    teacher: Teacher,
    task: Classify,
    ledger: AnswerLedger,
    config: LabellingConfig,
    progress: Progress | None = None,
) -> LabellingReport:
    """`ask` for callers without an event loop. Ctrl-C keeps what has arrived and raises KeyboardInterrupt."""
    return asyncio.run(ask(prompts, teacher, task, ledger, config, progress))


async def ask(
    prompts: Sequence[Prompt],
    teacher: Teacher,
    task: Classify,
    ledger: AnswerLedger,
    config: LabellingConfig,
    progress: Progress | None = None,
) -> LabellingReport:
    """Put to `teacher` every prompt that has no answer under its key, and record what it says.

    Raises BudgetExhausted, TeacherRefusesAccess, or TeacherUnavailable after several calls in a row failed
    with all their tries; what was answered is kept, and the same call goes on from there. Where no more
    prompts are left than may stay without an answer (`max_failed_share`), each gets its tries. Whatever ends
    the run, the difference of `ledger.spent()` is what it cost. The teacher is left open.
    """
    key = LedgerKey.of(teacher, task)
    distinct = {prompt.hash: prompt for prompt in prompts}
    answered = ledger.answered(key, distinct)
    unanswered = [prompt for hash_, prompt in distinct.items() if hash_ not in answered]
    _give_back(teacher, ledger.replies(key))
    with (progress or Silent()).track("labelling", len(distinct), "prompts", done=len(answered)) as tracker:
        run = _Run(teacher, task, ledger, key, config, tracker)
        await run.over(unanswered, math.floor(config.max_failed_share * len(distinct)))
    return run.report(reused=len(answered))


def _give_back(teacher: Teacher, replies: Mapping[str, Sequence[str]]) -> None:
    """Hand a teacher the replies that an earlier run paid for and that made no answer."""
    resume = getattr(teacher, "resume", None)
    if replies and resume is not None:
        resume(replies)


def in_batches(prompts: Sequence[Prompt], size: int) -> list[list[Prompt]]:
    """Prompts as calls of `size`: in their order, or where a call takes several the longest first.

    Texts of like length waste little padding, and the longest first shows at once whether memory suffices.
    """
    if size > 1:
        prompts = sorted(prompts, key=lambda prompt: -len(prompt.text))
    return [list(prompts[start : start + size]) for start in range(0, len(prompts), size)]


class _Run:
    """One run over a list of prompts: its workers, what they share, and what became of it."""

    def __init__(
        self,
        teacher: Teacher,
        task: Classify,
        ledger: AnswerLedger,
        key: LedgerKey,
        config: LabellingConfig,
        tracker: Tracker,
    ) -> None:
        self._teacher, self._task, self._config = teacher, task, config
        self._ledger, self._key, self._tracker = ledger, key, tracker
        self._purse = Purse(config.budget, ledger.spent())
        # Where a call is one prompt, or money, the next is made when this answer is on disk: a kill then
        # loses no more than the calls under way. Batches that cost nothing don't wait for the disk.
        self._waits_for_disk = teacher.paid or teacher.batch_size == 1
        self._workers: list[asyncio.Task[None]] = []
        self._calling: set[asyncio.Task[None] | None] = set()
        self._stopped_by: TutelageError | None = None
        self._held = HeldBack(ledger.has_usable(key))
        self._failed: list[str] = []  # prompt hashes
        self._failures_in_a_row, self._each_is_tried = 0, False
        self._asked = 0
        self._spent_before, self._started = self._purse.spent, time.monotonic()
        self._statuses: Counter[str] = Counter()
        self._other_models: Counter[str] = Counter()
        self._asked_model: str = getattr(teacher, "model", "")

    async def over(self, prompts: Sequence[Prompt], may_fail: int) -> None:
        """Ask all of `prompts`, of which `may_fail` may stay without an answer. Raises as `ask`."""
        self._each_is_tried = len(prompts) <= may_fail
        batches = in_batches(prompts, self._teacher.batch_size)
        queue = iter(batches)
        count = min(self._teacher.concurrency or self._config.concurrency, len(batches))
        recorder = self._recorder = Recorder(self._ledger)
        self._workers = [asyncio.create_task(self._work(queue)) for _ in range(count)]
        try:
            await self._all_workers()
        finally:
            for worker in self._workers:
                worker.cancel()
            await asyncio.gather(*self._workers, return_exceptions=True)
            await recorder.close()
        if self._stopped_by is not None:
            raise self._with_progress(self._stopped_by, len(prompts))
        self._failed += self._held.hashes

    async def _all_workers(self) -> None:
        if not self._workers:
            return
        done, _ = await asyncio.wait(self._workers, return_when=asyncio.FIRST_EXCEPTION)
        for worker in done:
            if not worker.cancelled() and (error := worker.exception()) is not None:
                raise error

    async def _work(self, queue: Iterator[list[Prompt]]) -> None:
        for batch in queue:
            if self._stopped_by is not None:
                return
            self._asked += len(batch)
            try:
                await self._ask(batch)
            except TeacherUnavailable as error:
                self._count_failure(batch, error)
            except (BudgetExhausted, TeacherError) as error:
                self._asked -= len(batch)
                self._stop(error)

    async def _ask(self, batch: list[Prompt]) -> None:
        """One call with its tries."""
        import stamina

        _quieten_stamina()
        tries = stamina.retry_context(
            on=self._when_again,
            attempts=self._config.attempts,
            timeout=None,
            wait_initial=self._config.wait,
            wait_max=LONGEST_WAIT,
            wait_jitter=self._config.wait,
        )
        async for attempt in tries:
            with attempt:
                await self._try(batch)

    def _when_again(self, error: Exception) -> bool | float:
        """Whether to try again; a number is the wait in seconds that the teacher asked for."""
        if not isinstance(error, TeacherUnavailable) or self._stopped_by is not None:
            return False
        return True if error.retry_after is None else min(error.retry_after, LONGEST_WAIT)

    async def _try(self, batch: list[Prompt]) -> None:
        if not self._teacher.paid:
            with self._under_way():
                await self._record(batch, await self._answers(batch), None)
            return
        cost = bound = self._teacher.most_expensive(batch)
        await self._purse.reserve(bound)
        try:
            with self._under_way():
                attempt = await self._opened(bound)
                try:
                    answers = await self._answers(batch)
                except TeacherError as error:
                    spent, unaccounted = _charge(error, bound)
                    cost = spent + unaccounted
                    await self._failed_call(attempt, spent, unaccounted, error.kept)
                    raise
                cost = sum(answer.usage.cost for answer in answers)
                await self._record(batch, answers, attempt)
        finally:
            self._purse.settle(bound, cost)

    async def _answers(self, batch: list[Prompt]) -> list[Answer]:
        faults.point("asking")
        answers = await self._teacher.answer(batch)
        faults.point("answered")
        return checked(answers, batch, self._task, lambda prompt: self._teacher.most_expensive([prompt]))

    async def _opened(self, bound: float) -> int:
        """The number under which a call is written down; none is made before."""
        opened: list[int] = []
        faults.point("opening")
        try:
            await self._recorder.put(lambda: opened.append(self._ledger.open_attempt(self._key, bound)))
        except asyncio.CancelledError:
            # The queue is in order: the call that won't be made is opened, then closed again.
            self._recorder.put(lambda: self._ledger.fail_attempt(opened[0]))
            raise
        faults.point("opened")
        return opened[0]

    def _failed_call(
        self, attempt: int, spent: float, unaccounted: float, kept: Mapping[str, Sequence[str]]
    ) -> asyncio.Future[Any]:
        def write() -> None:
            self._ledger.fail_attempt(attempt, spent, unaccounted)
            self._ledger.keep_replies(self._key, kept)

        return self._recorder.put(write)

    async def _record(self, batch: list[Prompt], answers: list[Answer], attempt: int | None) -> None:
        # Queued before anything is awaited: from here on a cancellation doesn't lose the answers.
        pairs = self._held.sift(zip(batch, answers, strict=True))
        committed = self._recorder.put(lambda: self._ledger.record(self._key, pairs, attempt))
        committed.add_done_callback(lambda done: self._count([answer for _, answer in pairs], done))
        recorder = self._recorder
        if self._waits_for_disk or recorder.failed or recorder.waiting > WRITES_WAITING:
            await committed
        self._held.require_not_too_many()

    def _count(self, answers: list[Answer], committed: asyncio.Future[Any]) -> None:
        """Called when answers are on disk, or can't be brought there."""
        if not answers or committed.cancelled() or committed.exception() is not None:
            return
        self._failures_in_a_row = 0
        self._statuses.update(str(answer.status) for answer in answers)
        if asked := self._asked_model:
            models = (answer.model for answer in answers)
            self._other_models.update(name for name in models if name and not name.startswith(asked))
        self._tracker.advance(len(answers), f"${self._purse.spent - self._spent_before:.4f}")

    def _count_failure(self, batch: list[Prompt], error: TeacherUnavailable) -> None:
        self._failed += [prompt.hash for prompt in batch]
        self._failures_in_a_row += 1
        if self._failures_in_a_row >= FAILURES_IN_A_ROW and not self._each_is_tried:
            self._stop(
                TeacherUnavailable(
                    f"{self._failures_in_a_row} calls in a row failed after {self._config.attempts} tries "
                    f"each; the last: {error}",
                    error.retry_after,
                )
            )

    def _stop(self, error: TutelageError) -> None:
        """Let calls under way finish, and end every worker that only waits."""
        if self._stopped_by is None:
            self._stopped_by = error
        current = asyncio.current_task()
        for worker in self._workers:
            if worker is not current and worker not in self._calling:
                worker.cancel()

    @contextmanager
    def _under_way(self) -> Iterator[None]:
        """From a call until its answer is recorded: what a stop lets a worker finish."""
        task = asyncio.current_task()
        self._calling.add(task)
        try:
            yield
        finally:
            self._calling.discard(task)

    def _with_progress(self, error: TutelageError, prompts: int) -> TutelageError:
        """The error that stopped the run, with how far it came and the mend."""
        answered = self._statuses.total()
        mend = "see to the teacher"
        if isinstance(error, BudgetExhausted):
            mend = "raise labelling.budget, or lower traffic.limit to learn from what there is"
        text = (
            f"{error}. {answered} prompts were answered in this run and {prompts - answered} remain. "
            f"Mend: {mend}, then run again; it goes on from here, and nothing answered is asked twice"
        )
        if isinstance(error, TeacherUnavailable):
            return TeacherUnavailable(text, error.retry_after)
        return type(error)(text)

    def report(self, reused: int) -> LabellingReport:
        return LabellingReport(
            asked=self._asked,
            reused=reused,
            failed_prompts=tuple(self._failed),
            by_status=dict(sorted(self._statuses.items())),
            other_models=dict(sorted(self._other_models.items())),
            cost=self._purse.spent - self._spent_before,
            seconds=time.monotonic() - self._started,
        )


def _charge(error: TeacherError, bound: float) -> tuple[float, float]:
    """US dollars that a failed call did cost, and beyond them may have; `bound` is the most for both."""
    if error.unaccounted is not None:
        return error.spent, error.unaccounted
    return error.spent, max(bound - error.spent, 0.0) if error.billed else 0.0


def _quieten_stamina() -> None:
    """Keep its log of retries off the terminal where the program hasn't set up logging itself."""
    logger = logging.getLogger("stamina")
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
