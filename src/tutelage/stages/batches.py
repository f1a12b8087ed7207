"""Batches at a provider, as a programme sees them: those it can't read any more, and ending them early."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from tutelage.data import read_training
from tutelage.errors import TeacherError
from tutelage.labelling import AnswerLedger, LedgerKey, ProviderBatch, asked_of, end_batches
from tutelage.programme import Programme
from tutelage.progress import Progress
from tutelage.records import Prompt
from tutelage.stages.asking import answers_stand_under, journalled, open_teacher, prompted_task
from tutelage.stages.collected import prompts_with
from tutelage.stages.gold import held_out
from tutelage.stages.rights import rights_decision
from tutelage.tasks import Task
from tutelage.teachers import Batched, Teacher

Asked = Sequence[tuple[Teacher, Task]]


def stray_batches(ledger: AnswerLedger, asked: Asked) -> list[ProviderBatch]:
    """Batches that are under way for a teacher, or a way of asking, which the configuration has no longer."""
    own = {batch.id for one, task in asked for batch in ledger.open_batches(LedgerKey.of(one, task))}
    return [batch for batch in ledger.open_batches() if batch.id not in own]


def tell_stray_batches(ledger: AnswerLedger, asked: Asked, progress: Progress) -> None:
    """Say of each what it holds of the budget, and how its answers are had."""
    for batch in stray_batches(ledger, asked):
        name = f"batch {batch.remote or batch.tag} of {len(batch.prompt_hashes):,} prompts to {batch.teacher}"
        progress.warn(
            f"{name} is at the provider under an earlier configuration, and ${batch.bound:.4f} counts as "
            "spent for it. Mend: run `tutelage label` with the configuration as it was, to collect it"
        )


def cancel_batches(programme: Programme, progress: Progress) -> str:
    """Have the provider end all batches, and record what they have answered; returns what was done.

    Batches of an earlier configuration are ended too where the teacher is the same; that configuration alone
    can read them, so they stay to be collected by it. Raises as asking does.
    """
    if not programme.answers.exists():
        return "nothing was asked yet, so no batch is under way"
    training = read_training(programme.gold_training)
    task = prompted_task(programme, training)
    teacher = open_teacher(programme, training, task)
    asked = asked_of(teacher, task)
    with AnswerLedger(programme.answers) as ledger, journalled(programme, teacher, ledger):
        ledger.under(answers_stand_under(teacher, rights_decision(programme)))
        batches = ledger.open_batches()
        asked_for = prompts_with(programme, {hash_ for batch in batches for hash_ in batch.prompt_hashes})
        prompts = [*held_out(programme), *(item.prompt for item in training), *asked_for]
        open_ = len(batches)
        answered = asyncio.run(_end(asked, prompts, programme, ledger, progress))
        left = len(ledger.open_batches())
    return f"{open_ - left:,} of {open_:,} batches ended; {answered:,} answers of theirs kept"


async def _end(
    asked: Asked, prompts: Sequence[Prompt], programme: Programme, ledger: AnswerLedger, progress: Progress
) -> int:
    answered = 0
    for teacher, task in asked:
        try:
            if isinstance(teacher, Batched):
                strays = [b for b in stray_batches(ledger, asked) if b.teacher == teacher.name]
                for batch in strays:
                    await _end_stray(batch, teacher, progress)
                config = programme.config.labelling
                report = await end_batches(prompts, teacher, task, ledger, config, progress)
                answered += sum(report.by_status.values())
        finally:
            await teacher.close()
    tell_stray_batches(ledger, asked, progress)
    return answered


async def _end_stray(batch: ProviderBatch, teacher: Batched, progress: Progress) -> None:
    """Ask for the end of a batch that can't be read here; where that fails, say so."""
    if batch.remote is None:
        return
    try:
        if not (await teacher.poll(batch.remote)).ended:
            await teacher.cancel(batch.remote)
    except TeacherError as error:
        progress.warn(f"batch {batch.remote} could not be ended: {error}")
