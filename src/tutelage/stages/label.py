"""`label`: behind the rights and gold gates, the teacher answers gold, gold's training part and traffic."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import entry_points

from tutelage import faults, storage
from tutelage.data import gold_gate, prompts_from_table, read_sealed, read_training
from tutelage.errors import TeacherUnavailable
from tutelage.labelling import AnswerLedger, LabellingReport, LedgerKey, export_answers, label
from tutelage.programme import Programme, Stage, fingerprint
from tutelage.progress import Progress
from tutelage.records import Gold, Prompt
from tutelage.stages.findings import tell_bound
from tutelage.stages.rights import require_rights, rights_fingerprint
from tutelage.stages.sources import model_fingerprint
from tutelage.stages.task import labels_fingerprint, resolved_task
from tutelage.teachers import Teacher, TeacherContext, build_teacher


def _inputs(programme: Programme) -> Mapping[str, str]:
    config = programme.config
    return {
        "prompts/prompts.parquet": fingerprint(programme.prompts),
        "gold/sealed.parquet": fingerprint(programme.sealed),
        "gold/training.parquet": fingerprint(programme.gold_training),
        "labels": labels_fingerprint(programme),
        "gold.margin": fingerprint([config.gold.margin, config.gold.expected_accuracy]),
        "task": fingerprint(config.task),
        "teacher": fingerprint(config.teacher),
        "the teacher itself": _teacher_fingerprint(programme),
        "rights": rights_fingerprint(programme),
    }


def _teacher_fingerprint(programme: Programme) -> str:
    """What can change about a teacher though its configuration doesn't, as far as one can see from here."""
    teacher = programme.config.teacher
    if teacher.type in {"encoder", "transformers"}:
        return model_fingerprint(programme, teacher.model)
    if teacher.type == "plugin":
        points = entry_points(group="tutelage.teachers", name=teacher.name)
        return fingerprint([point.dist.version for point in points if point.dist is not None])
    return ""


def open_teacher(programme: Programme, training: Sequence[Gold]) -> Teacher:
    """The configured teacher."""
    context = TeacherContext(resolved_task(programme), training, programme.folder)
    return build_teacher(programme.config.teacher, context)


def _work(programme: Programme, progress: Progress) -> str:
    rights = require_rights(programme)
    gold = [item.prompt for item in read_sealed(programme.sealed, programme.seal)]
    training = read_training(programme.gold_training)
    teacher = open_teacher(programme, training)
    _pass_gold_gate(programme, teacher, progress)
    traffic = prompts_from_table(storage.read_table(programme.prompts))
    transfer = _distinct([item.prompt for item in training], traffic)
    task = resolved_task(programme)
    with AnswerLedger(programme.answers) as ledger:
        key = LedgerKey.of(teacher, task)
        prompts = [*gold, *transfer]
        answered = ledger.answered(key, [prompt.hash for prompt in prompts])
        unanswered = [prompt for prompt in prompts if prompt.hash not in answered]
        tell_bound(teacher, unanswered, programme.config.labelling.budget, progress)
        report = _ask(programme, teacher, prompts, ledger, progress)
        human = {item.prompt.hash: item.value for item in training}
        faults.point("exporting")
        storage.write_table(programme.transfer, export_answers(transfer, ledger, key, task, human))
        storage.write_table(programme.gold_answers, export_answers(gold, ledger, key, task, {}))
    faults.point("exported")
    storage.write_json(
        programme.teacher_record,
        {
            "name": teacher.name,
            "revision": teacher.revision,
            "paid": teacher.paid,
            "rights": rights.to_json(),
        },
    )
    _look_at_failures(programme, report, gold, len(transfer), progress)
    return _summary(report)


def _pass_gold_gate(programme: Programme, teacher: Teacher, progress: Progress) -> None:
    decision = gold_gate(storage.read_json(programme.seal), programme.config.gold)
    programme.journal.append("gate", **decision.to_json())
    if teacher.paid:
        decision.require()
    for reason in decision.reasons:
        progress.warn(f"gold is small: {reason} (no money is at stake, so labelling goes on)")


def _ask(
    programme: Programme,
    teacher: Teacher,
    prompts: Sequence[Prompt],
    ledger: AnswerLedger,
    progress: Progress,
) -> LabellingReport:
    """Gold comes first: without it no evaluation. What was spent is journalled however the asking ends."""
    before = ledger.spent()
    try:
        return label(prompts, teacher, resolved_task(programme), ledger, programme.config.labelling, progress)
    finally:
        after = ledger.spent()
        programme.journal.append(
            "labelled", teacher=teacher.name, revision=teacher.revision, spent=after - before, total=after
        )
        asyncio.run(teacher.close())


def _look_at_failures(
    programme: Programme, report: LabellingReport, gold: Sequence[Prompt], transfer: int, progress: Progress
) -> None:
    """Raise TeacherUnavailable where too much has no answer; of gold nothing may lack one."""
    of_gold = len({prompt.hash for prompt in gold} & set(report.failed_prompts))
    of_transfer = len(report.failed_prompts) - of_gold
    most = programme.config.labelling.max_failed_share * transfer
    if of_gold or of_transfer > most:
        raise TeacherUnavailable(
            f"{of_gold:,} sealed examples and {of_transfer:,} prompts of the transfer set have no answer "
            f"after all their tries; none of gold and {int(most):,} of the transfer set may lack one "
            "(labelling.max_failed_share). Mend: run `tutelage label` again; what was answered is kept"
        )
    if of_transfer:
        progress.warn(f"{of_transfer:,} prompts have no answer after all their tries and are left out")


def _distinct(*groups: Iterable[Prompt]) -> list[Prompt]:
    """Each text once, the last group's first in order; where groups share one, the first group's prompt."""
    return list({prompt.hash: prompt for group in reversed(groups) for prompt in group}.values())


def _summary(report: LabellingReport) -> str:
    quarantined = sum(count for status, count in report.by_status.items() if status != "ok")
    parts = [
        f"{report.asked:,} asked of gold and traffic, {report.reused:,} answered before, ${report.cost:.4f}"
    ]
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
)
