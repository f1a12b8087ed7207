"""Asking through a provider's batch API: submitted once, collected whenever it is done, by whichever run."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from tutelage import faults
from tutelage.config import LabellingConfig
from tutelage.errors import (
    BatchForgotten,
    BudgetExhausted,
    TeacherError,
    TeacherRefusesAccess,
    TeacherUnavailable,
    UsageError,
)
from tutelage.labelling._checking import checked
from tutelage.labelling._doubts import HeldBack
from tutelage.labelling.ledger import AnswerLedger, BatchState, LedgerKey, ProviderBatch
from tutelage.labelling.report import LabellingReport, Tally
from tutelage.labelling.retries import LONGEST_WAIT
from tutelage.progress import Progress, Silent, Tracker
from tutelage.records import Answer, Prompt

if TYPE_CHECKING:
    from tutelage.tasks import Task
    from tutelage.teachers import Batched, Teacher

LONGEST_POLL = 300.0  # seconds; the first is `labelling.poll`, each further one half as long again
_FULL = re.compile(r"enqueued|queued|token_limit", re.I)  # as a provider says that it has enough for now
_ROUNDING = 1e-9  # dollars; sums of floats differ by less
_LOOKS = 3  # in a row at a batch that its provider doesn't know, before it is given up: a list may lag behind

Result = TypeVar("Result")


class _Gone(Prompt):
    """A prompt that is no longer among those to be asked, but was paid for: its hash alone is known."""

    __slots__ = ()

    @property
    def hash(self) -> str:
        """What stands in its text's place."""
        return self.text


async def ask_batch(
    prompts: Collection[Prompt],
    teacher: Teacher,
    task: Task,
    ledger: AnswerLedger,
    config: LabellingConfig,
    progress: Progress | None = None,
) -> LabellingReport:
    """As `ask`, through the provider's batch API; `teacher` has to be `Batched`.

    A batch is written down with its bound and a tag before it is submitted, and closed in the transaction
    that records its answers. Killed at any moment, the next run finds what was submitted, by its name or by
    its tag, and collects it. Prompts that a batch brings no answer to go into the next one, up to
    `config.attempts` times and within `config.retry_share`; then they are left as failed. Those of a batch
    that the provider has forgotten are asked again too; its bound stays spent, as it may have been paid for.

    Raises BudgetExhausted where the budget bears no further prompt, once what is under way is collected;
    TeacherRefusesAccess, and TeacherUnavailable where the provider fails `config.attempts` times in a row and
    for `config.patience` seconds.
    Cancelled (Ctrl-C), it leaves its batches to go on at the provider, and says so.
    """
    from tutelage.teachers import Resumable

    key = LedgerKey.of(teacher, task)
    distinct = {prompt.hash: prompt for prompt in prompts}
    answered = ledger.answered(key, distinct)
    if isinstance(teacher, Resumable) and (replies := ledger.replies(key)):
        teacher.resume(replies)  # paid for by an earlier run, and made no answer then
    progress = progress or Silent()
    clock = asyncio.get_running_loop().time
    started = clock()
    with progress.track("labelling", len(distinct), "prompts", done=len(answered)) as tracker:
        run = _Batches(teacher, task, ledger, key, config, tracker, progress)
        with run.left_to_go_on():
            await run.over(distinct, answered)
    return run.tally.report(len(answered), run.cost, clock() - started)


async def end_batches(
    prompts: Sequence[Prompt],
    teacher: Teacher,
    task: Task,
    ledger: AnswerLedger,
    config: LabellingConfig,
    progress: Progress | None = None,
) -> LabellingReport:
    """Have the provider end the batches under this key, wait until it has, and record what they brought.

    Providers answer, and charge for, what they have begun. `prompts` as in `ask_batch`; none is asked again.
    Raises as `ask_batch`, and a later call goes on from there.
    """
    from tutelage.teachers import Resumable

    key = LedgerKey.of(teacher, task)
    if isinstance(teacher, Resumable) and (replies := ledger.replies(key)):
        teacher.resume(replies)
    progress = progress or Silent()
    clock = asyncio.get_running_loop().time
    started = clock()
    under_way = sum(len(batch.prompt_hashes) for batch in ledger.open_batches(key))
    with progress.track("ending batches", under_way, "prompts") as tracker:
        run = _Batches(teacher, task, ledger, key, config, tracker, progress)
        await run.end({prompt.hash: prompt for prompt in prompts})
    return run.tally.report(0, run.cost, clock() - started)


def require_none_in_batches(ledger: AnswerLedger, key: LedgerKey, prompts: Iterable[Prompt]) -> None:
    """Raise UsageError where some of `prompts`, to be asked one by one, are in a batch that is under way."""
    open_ = ledger.open_batches(key)
    if not open_:
        return
    under_way = {hash_ for batch in open_ for hash_ in batch.prompt_hashes}
    twice = sum(prompt.hash in under_way for prompt in prompts)
    if twice:
        raise UsageError(
            f"{twice:,} of the prompts to ask are in a batch at the provider and would be paid for twice "
            f"({', '.join(batch.remote or batch.tag for batch in open_)}). Mend: set teacher.batch: true and "
            "run again to collect it, or end it with `tutelage label --cancel-batches`; what it has answered "
            "by then is kept"
        )


class _Batches:
    """One run over a provider's batches."""

    def __init__(
        self,
        teacher: Teacher,
        task: Task,
        ledger: AnswerLedger,
        key: LedgerKey,
        config: LabellingConfig,
        tracker: Tracker,
        progress: Progress,
    ) -> None:
        self._teacher, self._api = teacher, _batched(teacher)
        self._task, self._ledger, self._key, self._config = task, ledger, key, config
        self._tracker, self._progress = tracker, progress
        self._held = HeldBack(ledger.has_usable(key))
        self._tries: Counter[str] = Counter()
        self._known: Mapping[str, Prompt] = {}
        self._may_try_again = 0.0
        self._faults_in_a_row, self._failing_since = 0, 0.0
        self._turned_away, self._full_in_a_row = "", 0
        self._looked_for: Counter[int] = Counter()  # looks in a row at batches that the provider doesn't know
        self.tally = Tally(getattr(teacher, "model", ""))
        self.cost = 0.0

    async def over(self, distinct: Mapping[str, Prompt], answered: set[str]) -> None:
        """Collect what is open, submit what isn't, until nothing is left. Raises as `ask_batch`."""
        self._known = distinct
        under_way = {hash_ for batch in self._open() for hash_ in batch.prompt_hashes}
        left = [prompt for hash_, prompt in distinct.items() if hash_ not in answered | under_way]
        self.tally.asked = len(left) + len(under_way & distinct.keys() - answered)
        self._may_try_again = self._config.retry_share * self.tally.asked
        for batch in self._open():
            await self._submitted(batch)
        wait, blocked = self._config.poll, False
        while left or self._open():
            if left and not blocked:
                left, blocked = await self._submit(left)
            if not self._open():
                self._require_budget(left)
            await asyncio.sleep(wait)
            again = await self._collect_ended()
            if again is None:
                wait = min(wait * 1.5, max(LONGEST_POLL, self._config.poll))
                continue
            left += again
            wait, blocked = self._config.poll, await self._is_full()
        self.tally.failed += self._held.hashes

    async def end(self, known: Mapping[str, Prompt]) -> None:
        """Have what is open ended, and collect it. Raises as `end_batches`."""
        self._known = known
        for batch in self._open():
            remote = batch.remote or await self._patiently(
                partial(self._api.find, batch.tag, self._config.poll)
            )
            if remote is None:
                self._ledger.close_batch(batch.id, BatchState.FAILED)
                continue
            if batch.remote is None:
                self._ledger.set_batch_remote(batch.id, remote)
            await self._patiently(partial(self._cancel, remote))
        while self._open():
            if await self._collect_ended() is None:
                await asyncio.sleep(self._config.poll)

    async def _cancel(self, remote: str) -> None:
        with suppress(BatchForgotten):  # which the collecting finds out
            if (await self._api.poll(remote)).ended:
                return
            try:
                await self._api.cancel(remote)
            except (TeacherUnavailable, TeacherRefusesAccess):
                if not (await self._api.poll(remote)).ended:  # in the meantime, by itself
                    raise

    def _open(self) -> list[ProviderBatch]:
        return self._ledger.open_batches(self._key)

    async def _submit(self, left: list[Prompt]) -> tuple[list[Prompt], bool]:
        """Submit as many batches as the budget bears; what is left, and whether money is what it lacks."""
        while left:
            taken = self._affordable(left[: self._api.fitting(left)])
            if not taken:
                return left, True
            batch, left = left[:taken], left[taken:]
            tag = self._api.tag(batch)
            bound = self._api.most_expensive_batch(batch)
            hashes = [prompt.hash for prompt in batch]
            faults.point("opening")
            number = self._ledger.open_batch(self._key, tag, hashes, bound)
            faults.point("opened")
            self._tries.update(hashes)
            [opened] = [item for item in self._open() if item.id == number]
            await self._submitted(opened, new=True)
        return left, False

    def _affordable(self, prompts: Sequence[Prompt]) -> int:
        """How many of the prompts, from the first, the budget bears."""
        if self._config.budget is None:
            return len(prompts)
        remains = self._config.budget - self._ledger.spent() + _ROUNDING
        for count, prompt in enumerate(prompts):
            remains -= self._api.most_expensive_batch([prompt])
            if remains < 0:
                return count
        return len(prompts)

    def _require_budget(self, left: Sequence[Prompt]) -> None:
        """Raise BudgetExhausted where prompts are left and nothing is under way that could free money."""
        if left:
            raise BudgetExhausted(
                f"the budget of ${self._config.budget or 0.0:.4f} can't bear another prompt: "
                f"${self._ledger.spent():.4f} is spent. {self.tally.answered} prompts were answered in this "
                f"run and {len(left)} remain. Mend: raise labelling.budget, then run again; "
                "it goes on from here"
            )

    async def _submitted(self, batch: ProviderBatch, new: bool = False) -> None:
        """See to it that a batch is at the provider, once, and that its name there is on disk."""
        if batch.remote is not None:
            return
        while True:
            try:
                remote = None if new else await self._api.find(batch.tag, self._config.poll)
                if remote is None:
                    prompts = [self._known[hash_] for hash_ in batch.prompt_hashes if hash_ in self._known]
                    if not prompts:
                        self._ledger.close_batch(batch.id, BatchState.FAILED)
                        return
                    remote = await self._submit_now(batch, prompts)
                break
            except TeacherUnavailable as error:
                await self._bear(error)
                new = False  # it may have arrived all the same
        self._faults_in_a_row = 0
        self._ledger.set_batch_remote(batch.id, remote)
        self._progress.note(f"batch {remote} of {len(batch.prompt_hashes):,} prompts is at the provider")

    async def _submit_now(self, batch: ProviderBatch, prompts: Sequence[Prompt]) -> str:
        """Submit; what the provider turned down is closed, as it was never there."""
        faults.point("asking")
        try:
            remote = await self._api.submit(prompts, batch.tag)
        except TeacherRefusesAccess:
            self._ledger.close_batch(batch.id, BatchState.FAILED)
            raise
        faults.point("answered")
        return remote

    async def _patiently(self, call: Callable[[], Awaitable[Result]]) -> Result:
        """What `call` brings, made again after passing faults. Raises where there were too many in a row."""
        while True:
            try:
                result = await call()
            except TeacherUnavailable as error:
                await self._bear(error)
                continue
            self._faults_in_a_row = 0
            return result

    async def _bear(self, error: TeacherUnavailable) -> None:
        """Wait after a passing fault. Raises it after enough of them in a row, for longer than patience."""
        now = asyncio.get_running_loop().time()
        self._faults_in_a_row += 1
        if self._faults_in_a_row == 1:
            self._failing_since = now
        self.tally.faults[error.fault] += 1
        patience_over = now - self._failing_since >= self._config.patience
        if patience_over and self._faults_in_a_row >= self._config.attempts:
            raise error
        wait = min(self._config.wait * 2 ** min(self._faults_in_a_row, 30), LONGEST_WAIT)
        await asyncio.sleep(min(error.retry_after or wait, LONGEST_POLL))

    async def _is_full(self) -> bool:
        """Whether the provider takes no more until a batch that is under way has ended.

        Where none is, it is given time. Raises TeacherUnavailable where that doesn't help.
        """
        said, self._turned_away = self._turned_away, ""
        if not said or self._open():
            return bool(said)
        self._full_in_a_row += 1
        if self._full_in_a_row >= self._config.attempts:
            raise TeacherUnavailable(
                f"the provider turned {self._full_in_a_row} batches away: {said}. "
                "Mend: lower traffic.limit, or ask the provider for a higher limit of queued tokens; "
                "what was answered is kept"
            )
        await asyncio.sleep(min(self._config.wait * 2**self._full_in_a_row, 60.0))
        return False

    async def _collect_ended(self) -> list[Prompt] | None:
        """Record the batches that have ended; prompts to be asked again, or None where none has."""
        again: list[Prompt] | None = None
        done = total = 0
        for batch in self._open():
            if batch.remote is None:
                continue
            try:
                counts = await self._api.poll(batch.remote)
                if counts.ended:
                    again = (again or []) + await self._collect(batch, batch.remote, counts.said)
            except TeacherUnavailable as error:
                await self._bear(error)
                continue
            except BatchForgotten as error:
                if self._is_lost(batch):
                    again = (again or []) + self._give_up(batch, error)
                continue
            self._faults_in_a_row = 0
            del self._looked_for[batch.id]
            done, total = done + counts.done + counts.failed, total + counts.total
        if total:
            self._tracker.advance(0, f"{done:,} of {total:,} requests done at the provider")
        return again

    def _is_lost(self, batch: ProviderBatch) -> bool:
        """Whether a batch was looked for often enough."""
        self._looked_for[batch.id] += 1
        return self._looked_for[batch.id] >= _LOOKS

    def _give_up(self, batch: ProviderBatch, error: BatchForgotten) -> list[Prompt]:
        """Close a batch that the provider has no longer; its prompts that are to be asked again."""
        self._ledger.close_batch(batch.id, BatchState.FORGOTTEN, unaccounted=batch.bound)
        self._count([], batch.bound)
        self._progress.warn(
            f"the provider has batch {batch.remote} of {len(batch.prompt_hashes):,} prompts no longer "
            f"({error}), or the key is another account's. Its prompts are asked again, and "
            f"${batch.bound:.4f}, the most that it can have cost, stays spent"
        )
        missing = self._known.keys() & set(batch.prompt_hashes)
        missing -= self._ledger.answered(self._key, missing)
        lost = TeacherUnavailable(str(error), fault="forgotten batch")
        return self._again({hash_: lost for hash_ in batch.prompt_hashes if hash_ in missing})

    async def _collect(self, batch: ProviderBatch, remote: str, said: str) -> list[Prompt]:
        """Record a batch's answers and close it, in one transaction; the prompts to be asked again."""
        wanted = {hash_: self._known.get(hash_) or _Gone(hash_, hash_) for hash_ in batch.prompt_hashes}
        found = [item async for item in self._api.results(remote, batch.tag, wanted)]
        recorded = self._ledger.answered(self._key, wanted)
        answers = [(hash_, got) for hash_, got in found if not isinstance(got, TeacherError)]
        errors = {hash_: got for hash_, got in found if isinstance(got, TeacherError)}
        sound = checked(
            [answer for _, answer in answers],
            [wanted[hash_] for hash_, _ in answers],
            self._task,
            lambda prompt: self._api.most_expensive_batch([prompt]),
        )
        twice = sum(a.usage.cost for (hash_, _), a in zip(answers, sound, strict=True) if hash_ in recorded)
        new = [
            (wanted[hash_], answer)
            for (hash_, _), answer in zip(answers, sound, strict=True)
            if hash_ not in recorded
        ]
        pairs = self._held.sift(new)
        failed = twice + sum(error.spent for error in errors.values())
        unknown = sum(error.unaccounted or 0.0 for error in errors.values())
        with self._ledger.transaction():
            self._ledger.record(self._key, pairs)
            for error in errors.values():
                if error.kept:
                    self._ledger.keep_replies(self._key, error.kept)
            state = BatchState.ENDED if answers else BatchState.FAILED
            self._ledger.close_batch(batch.id, state, failed, unknown)
        self._count([answer for _, answer in pairs], failed + unknown)
        self._held.require_not_too_many()
        if not found or answers:
            self._full_in_a_row = 0
        elif _FULL.search(said):  # the prompts were not tried at all
            self._turned_away = said
            self._tries.subtract(batch.prompt_hashes)
            return [self._known[hash_] for hash_ in errors if hash_ in self._known]
        if errors:
            self._progress.note(f"batch {remote} ({said}) brought no answer to {len(errors):,} prompts")
        return self._again(errors)

    def _count(self, answers: Sequence[Answer], beside: float) -> None:
        self.cost += beside + sum(answer.usage.cost for answer in answers)
        self.tally.add(answers)
        self._tracker.advance(len(answers), f"${self.cost:.4f}")

    def _again(self, errors: Mapping[str, TeacherError]) -> list[Prompt]:
        """The prompts of these that get another try. Raises what no try would mend."""
        again = []
        for hash_, error in errors.items():
            if isinstance(error, TeacherRefusesAccess):
                raise error
            self.tally.faults[getattr(error, "fault", "batch")] += 1
            prompt = self._known.get(hash_)
            if prompt is None:
                continue
            goes_on = bool(error.kept)  # it lacks samples alone, which is no fault
            if self._tries[hash_] < self._config.attempts and (goes_on or self._may_try_again >= 1):
                self._may_try_again -= 0 if goes_on else 1
                self.tally.again += 1
                again.append(prompt)
            else:
                self.tally.failed.append(hash_)
        return again

    @contextmanager
    def left_to_go_on(self) -> Iterator[None]:
        """Say, where the run is cancelled, that its batches aren't."""
        try:
            yield
        except asyncio.CancelledError:
            if count := len(self._open()):
                self._progress.warn(
                    f"{count} batches go on at the provider and will be paid for. Run again to collect them"
                )
            raise


def _batched(teacher: Teacher) -> Batched:
    from tutelage.teachers import Batched

    if not isinstance(teacher, Batched):
        raise TypeError(f"{teacher.name} takes no batches")
    return teacher
