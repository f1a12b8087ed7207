"""`check`: what can be found out before anything is sealed, sent or paid."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tutelage import __version__
from tutelage.checkpoints import resolve_weights
from tutelage.config import EMBEDDED_WRITER, StudentConfig
from tutelage.data import gold_gate
from tutelage.errors import MissingExtraError, UsageError
from tutelage.programme import Programme, Stage, fingerprint
from tutelage.progress import Progress
from tutelage.stages.asking import open_teacher
from tutelage.stages.economics import programme_economics
from tutelage.stages.findings import tell_bound, tell_labels, tell_rejected
from tutelage.stages.gold import label_set, read_gold_parts
from tutelage.stages.rights import rights_decision, rights_fingerprint
from tutelage.stages.sources import require_usable, source_fingerprint
from tutelage.stages.task import described_values
from tutelage.stages.traffic import read_traffic, traffic_inputs
from tutelage.tasks import task_from_config, with_labels

_LOOKED_AT = 1_000


def _inputs(programme: Programme) -> Mapping[str, str]:
    config = programme.config
    return {
        "tutelage.yaml": fingerprint(config),
        "gold's file": source_fingerprint(programme, config.gold.path),
        **traffic_inputs(programme),
        "rights": rights_fingerprint(programme),
        "version": __version__,
    }


def _work(programme: Programme, progress: Progress) -> str:
    config = programme.config
    entries = programme.journal.verify()
    rights = rights_decision(programme)
    rights.require()
    gold = read_gold_parts(programme, progress)
    tell_rejected(gold.rejected, progress, " in gold")
    labels = label_set(programme, gold)
    task = task_from_config(config.task, labels, programme.folder)
    tell_labels(gold, labels, config.gold.columns.separator, task.multi_label, progress)
    traffic = read_traffic(programme, progress, _LOOKED_AT)
    tell_rejected(traffic.rejected, progress, " in traffic")
    require_usable(config.traffic.named, len(traffic.accepted), traffic.total)
    teacher = open_teacher(programme, gold.training, task)
    size = gold_gate({"n": len(gold.sealed)}, config.gold)
    if teacher.paid:
        size.require()
    if with_labels(task) is None and not config.student.writes:
        progress.warn(_how_far(task.kind, config.student))
    _require_base(config.student, programme.folder, progress)
    tell_bound(teacher, traffic.accepted, config.labelling.budget, progress)
    if config.economics.monthly is not None:
        progress.note(f"economics: {programme_economics(programme).verdict} See `tutelage economics`")
    for reason in size.reasons:
        progress.warn(f"gold is small: {reason}")
    return (
        f"{len(gold.sealed):,} gold examples to seal, {len(gold.training):,} to learn from, "
        f"{described_values(task, labels)}; "
        f"{len(traffic.accepted):,} of the first {traffic.total:,} traffic rows usable; "
        f"rights: {rights.verdict}; journal: {entries} entries, whole"
    )


def _require_base(student: StudentConfig, folder: Path, progress: Progress) -> None:
    """Raise what training would, where what a student that writes starts from isn't there to be read.

    A package that isn't installed is only told: training may be done on another machine.
    """
    if not student.writes:
        return
    name, whole = student.base or EMBEDDED_WRITER, student.hidden_size is None
    try:
        resolve_weights(name, folder, "student.base", needs_weights=whole)
    except UsageError as error:
        if name != EMBEDDED_WRITER and not isinstance(error, MissingExtraError):
            raise
        progress.warn(f"the student can't be trained here yet: {error}")


def _how_far(kind: str, student: StudentConfig) -> str:
    """What a programme of open values comes to with a student that doesn't write."""
    return (
        f"student.family {student.family} learns labels, and task.type {kind} has none: what comes out is "
        "the transfer set, after `tutelage label`. Mend: student.family causal or seq2seq"
    )


CHECK = Stage(name="check", inputs=_inputs, outputs=lambda programme: [], work=_work)
