"""The configured teacher, how it is prompted, and the asking of it with its books kept."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager

from tutelage.config import PromptingConfig
from tutelage.gates import Decision
from tutelage.labelling import (
    AnswerLedger,
    LabellingReport,
    Panel,
    SecondAsking,
    choose_examples,
    label,
    label_panel,
    open_panel,
)
from tutelage.programme import Programme
from tutelage.progress import Progress
from tutelage.records import Gold, Prompt
from tutelage.rights import bases_of, basis_text
from tutelage.scale import LOCAL, Engine
from tutelage.stages.task import resolved_task
from tutelage.tasks import Prompting, RationaleMode, Task
from tutelage.teachers import Teacher, TeacherContext


def prompted_task(
    programme: Programme,
    training: Sequence[Gold],
    prompting: PromptingConfig | None = None,
    task: Task | None = None,
) -> Task:
    """The task as a prompted teacher is asked it: as `prompting` says, by default the configuration's own.

    `task` is what is asked before gold is sealed, by default as the seal has it.

    Raises ConfigError where gold's training part can't give the examples asked for.
    """
    wanted = prompting or programme.config.prompting
    how = Prompting(
        examples=choose_examples(training, wanted.examples, wanted.seed),
        rationale=RationaleMode(wanted.rationale),
    )
    return (task or resolved_task(programme)).with_prompting(how, wanted.instruction)


def open_teacher(
    programme: Programme, training: Sequence[Gold], task: Task | None = None, engine: Engine = LOCAL
) -> Teacher:
    """The configured teacher, for `task` or else the programme's own; an ensemble is a `Panel`.

    It is asked where `engine` has its work done.
    """
    labelling = programme.config.labelling
    context = TeacherContext(
        task or prompted_task(programme, training),
        training,
        programme.folder,
        top_k=labelling.top_k if "tokens" in labelling.signals else 0,
        hidden_layers=labelling.hidden_layers,
    )
    config = programme.config.teacher
    if config.type == "ensemble":
        return open_panel(config, context, engine.build_teacher)
    return engine.build_teacher(config, context)


def asked_again(teacher: Teacher) -> Teacher:
    """The teacher for a second asking of the same prompts, whose answers are kept beside the first."""
    return teacher.again() if isinstance(teacher, Panel) else SecondAsking(teacher)


def put(
    programme: Programme,
    teacher: Teacher,
    prompts: Collection[Prompt],
    task: Task,
    ledger: AnswerLedger,
    progress: Progress,
    rights: Decision,
    engine: Engine = LOCAL,
) -> LabellingReport:
    """Ask what has no answer yet, under the `rights` that were required before, by all of `engine`'s workers.

    What was spent is journalled however the asking ends. Raises as `label`.
    """
    config = engine.labelling(programme.config.labelling)
    ledger.under(answers_stand_under(teacher, rights))
    with journalled(programme, teacher, ledger):
        try:
            if isinstance(teacher, Panel):
                return label_panel(prompts, teacher, task, ledger, config, progress)
            return label(prompts, teacher, task, ledger, config, progress)
        finally:
            asyncio.run(teacher.close())


def answers_stand_under(teacher: Teacher, rights: Decision) -> dict[tuple[str, str], str]:
    """The rights that a teacher's answers are given under, of a panel each one's, by name and revision."""
    bases = list(bases_of(rights.facts).values())
    asked = teacher.teachers if isinstance(teacher, Panel) else (teacher,)
    return {(one.name, one.revision): basis_text([basis]) for one, basis in zip(asked, bases, strict=True)}


@contextmanager
def journalled(programme: Programme, teacher: Teacher, ledger: AnswerLedger) -> Iterator[None]:
    """Journal, however the block ends, what was spent in it and which batches the provider had forgotten."""
    before, known = ledger.spent(), {batch.id for batch in ledger.forgotten_batches()}
    try:
        yield
    finally:
        for batch in ledger.forgotten_batches():
            if batch.id not in known:
                programme.journal.append(
                    "batch forgotten",
                    teacher=batch.teacher,
                    batch=batch.remote,
                    prompts=len(batch.prompt_hashes),
                    unaccounted=batch.bound,
                )
        after = ledger.spent()
        programme.journal.append(
            "labelled", teacher=teacher.name, revision=teacher.revision, spent=after - before, total=after
        )
