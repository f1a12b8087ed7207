"""`label`: behind the rights and gold gates, the teacher answers traffic, gold's training part and gold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from tutelage import storage
from tutelage.data import gold_gate, prompts_from_table, read_sealed, read_training
from tutelage.errors import TeacherUnavailable
from tutelage.gates import Decision
from tutelage.labelling import AnswerLedger, LabellingReport, LedgerKey, export_answers, label
from tutelage.programme import Programme, Stage, fingerprint
from tutelage.progress import Progress
from tutelage.records import Gold, Prompt
from tutelage.rights import load_registry, rights_gate
from tutelage.stages.task import resolved_task
from tutelage.teachers import Teacher, TeacherContext, build_teacher

# The kind of student that each task makes, in the terms of the rights registry.
STUDENT_KINDS = {"classify": "classifier"}


def _inputs(programme: Programme) -> Mapping[str, str]:
    config = programme.config
    return {
        "prompts/prompts.parquet": fingerprint(programme.prompts),
        "gold/seal.json": fingerprint(programme.seal),
        "gold/training.parquet": fingerprint(programme.gold_training),
        "task": fingerprint(config.task),
        "teacher": fingerprint(config.teacher),
        "rights": fingerprint(config.rights),
    }


def rights_decision(programme: Programme) -> Decision:
    """The rights gate's answer for this programme today."""
    config = programme.config
    kind = STUDENT_KINDS[config.task.type]
    return rights_gate(config.teacher.rights, kind, config.rights, load_registry(), datetime.now(UTC).date())


def open_teacher(programme: Programme, training: Sequence[Gold]) -> Teacher:
    """The configured teacher."""
    context = TeacherContext(resolved_task(programme), training, programme.folder)
    return build_teacher(programme.config.teacher, context)


def _work(programme: Programme, progress: Progress) -> str:
    rights = rights_decision(programme)
    programme.journal.append("gate", **rights.to_json())
    rights.require()
    gold = read_sealed(programme.sealed, programme.seal)
    training = read_training(programme.gold_training)
    teacher = open_teacher(programme, training)
    _pass_gold_gate(programme, teacher, progress)
    traffic = prompts_from_table(storage.read_table(programme.prompts))
    transfer = _distinct([item.prompt for item in training], traffic)
    gold_prompts = [item.prompt for item in gold]
    task = resolved_task(programme)
    with AnswerLedger(programme.answers) as ledger:
        key = LedgerKey.of(teacher, task)
        report = label(
            [*transfer, *gold_prompts], teacher, task, ledger, programme.config.labelling, progress
        )
        programme.journal.append(
            "labelled", teacher=teacher.name, revision=teacher.revision, cost=report.cost
        )
        human = {item.prompt.hash: item.value for item in training}
        storage.write_table(programme.transfer, export_answers(transfer, ledger, key, task, human))
        storage.write_table(programme.gold_answers, export_answers(gold_prompts, ledger, key, task, {}))
    storage.write_json(
        programme.teacher_record,
        {
            "name": teacher.name,
            "revision": teacher.revision,
            "paid": teacher.paid,
            "rights": rights.to_json(),
        },
    )
    if report.failed:
        raise TeacherUnavailable(
            f"{report.failed} prompts have no answer after all their tries. Mend: run `tutelage label` "
            "again; what was answered is kept"
        )
    return _summary(report)


def _pass_gold_gate(programme: Programme, teacher: Teacher, progress: Progress) -> None:
    decision = gold_gate(storage.read_json(programme.seal), programme.config.gold)
    programme.journal.append("gate", **decision.to_json())
    if teacher.paid:
        decision.require()
    for reason in decision.reasons:
        progress.say(
            f"          [yellow]gold is small:[/yellow] {reason} (no money is at stake, so labelling goes on)"
        )


def _distinct(*groups: Iterable[Prompt]) -> list[Prompt]:
    """All prompts in order, each text once: gold's training part first, so that its human label stays."""
    return list({prompt.hash: prompt for group in reversed(groups) for prompt in group}.values())


def _summary(report: LabellingReport) -> str:
    quarantined = sum(count for status, count in report.by_status.items() if status != "ok")
    parts = [f"{report.asked:,} asked, {report.reused:,} answered before, ${report.cost:.4f}"]
    if quarantined:
        parts.append(f"{quarantined:,} quarantined")
    if report.other_models:
        parts.append(f"answered by another model: {', '.join(report.other_models)}")
    return "; ".join(parts)


LABEL = Stage(
    name="label",
    inputs=_inputs,
    outputs=lambda programme: [
        programme.answers,
        programme.transfer,
        programme.gold_answers,
        programme.teacher_record,
    ],
    work=_work,
    needs=lambda programme: {programme.seal: "gold", programme.prompts: "collect"},
)
