"""Asking teachers: each text once, never past the budget, and every answer on disk before it is counted."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from tutelage.config import LabellingConfig
from tutelage.labelling._calls import Calls
from tutelage.labelling._run import Run
from tutelage.labelling.batches import ask_batch, require_none_in_batches
from tutelage.labelling.ledger import AnswerLedger, LedgerKey
from tutelage.labelling.report import LabellingReport, Tally
from tutelage.progress import Progress, Silent
from tutelage.records import Answer, Prompt, in_parts

if TYPE_CHECKING:
    from tutelage.tasks import Task
    from tutelage.teachers import Teacher

_SORTED = 1 << 16  # prompts that are put in the order of their lengths, and held for it


def label(
    prompts: Collection[Prompt],
    teacher: Teacher,
    task: Task,
    ledger: AnswerLedger,
    config: LabellingConfig,
    progress: Progress | None = None,
) -> LabellingReport:
    """`ask` for callers without an event loop. Ctrl-C keeps what has arrived and raises KeyboardInterrupt."""
    return asyncio.run(ask(prompts, teacher, task, ledger, config, progress))


async def ask(
    prompts: Collection[Prompt],
    teacher: Teacher,
    task: Task,
    ledger: AnswerLedger,
    config: LabellingConfig,
    progress: Progress | None = None,
) -> LabellingReport:
    """Put to `teacher` every prompt that has no answer under its key, and record what it says.

    How many are asked at once is found out (docs/design/pacing.md). Calls that fail in passing are made
    again, and while the teacher is down the run waits for it. Where no more prompts are left than may stay
    without an answer (`max_failed_share`), each gets its tries and no more.

    Raises BudgetExhausted, TeacherRefusesAccess, or TeacherUnavailable where the teacher stays down for
    longer than `patience` or the calls that may be made again are used up; what was answered is kept, and
    the same call goes on from there. Whatever ends the run, the difference of `ledger.spent()` is what it
    cost. Raises AwaitingPeople where prompts have to wait for people, once all others are recorded. The
    teacher is left open.
    """
    from tutelage.teachers import Batched, Resumable, Selective

    if isinstance(teacher, Batched) and teacher.batch:
        return await ask_batch(prompts, teacher, task, ledger, config, progress)
    key = LedgerKey.of(teacher, task)
    open_ = ledger.unanswered(key, prompts)
    require_none_in_batches(ledger, key, open_)
    reused, distinct = open_.answered, open_.answered + len(open_)
    unanswered: Collection[Prompt] = open_
    waiting: list[Prompt] = []
    if isinstance(teacher, Selective):
        asked = {prompt.hash: prompt for prompt in teacher.answerable(list(open_))}
        waiting = [prompt for prompt in open_ if prompt.hash not in asked]
        unanswered = list(asked.values())
    if isinstance(teacher, Resumable) and (replies := ledger.replies(key)):
        teacher.resume(replies)  # paid for by an earlier run, and made no answer then
    progress = progress or Silent()
    clock = asyncio.get_running_loop().time
    started = clock()
    tally = Tally(getattr(teacher, "model", ""))
    with progress.track("labelling", distinct, "prompts", done=reused) as tracker:

        def count(answers: Sequence[Answer]) -> None:
            tally.add(answers)
            tracker.advance(len(answers), f"${calls.purse.spent - spent_before:.4f}")

        calls = Calls(teacher, task, ledger, key, config, count, progress)
        spent_before = calls.purse.spent
        run = Run(teacher, task, config, calls, tally, progress, tracker)
        batches = in_batches(unanswered, teacher.batch_size)
        await run.over(batches, len(unanswered), math.floor(config.max_failed_share * distinct))
    if waiting and isinstance(teacher, Selective):
        teacher.leave(waiting)
    return tally.report(reused, calls.purse.spent - spent_before, clock() - started)


def in_batches(prompts: Iterable[Prompt], size: int) -> Iterator[list[Prompt]]:
    """Prompts as calls of `size`: in their order, or where a call takes several the longest of some first.

    Texts of like length waste little padding, and the longest first shows early whether memory suffices.
    """
    if size == 1:
        yield from in_parts(prompts, 1)
        return
    for some in in_parts(prompts, max(_SORTED // size, 1) * size):
        yield from in_parts(sorted(some, key=lambda prompt: -len(prompt.text)), size)
