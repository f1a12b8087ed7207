"""`train`: the student and its control arm, from the transfer set.

What learns is imported where it is used: `tutelage status` looks at this stage and should be quick.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tutelage import __version__, storage
from tutelage.programme import Programme, Stage, fingerprint
from tutelage.progress import Progress
from tutelage.stages.rights import require_rights, rights_fingerprint
from tutelage.stages.signals import check_signals, signals_inputs
from tutelage.stages.sources import model_fingerprint
from tutelage.stages.task import label_task, labels_fingerprint
from tutelage.tasks import LabelTask

if TYPE_CHECKING:
    from tutelage.distillation import Distilled, Signals


def _inputs(programme: Programme) -> Mapping[str, str]:
    return {
        "answers/transfer.parquet": fingerprint(programme.transfer),
        "labels": labels_fingerprint(programme),
        "student": fingerprint(programme.config.student),
        "student.base": model_fingerprint(programme, programme.config.student.base),
        "task": fingerprint(programme.config.task),
        "rights": rights_fingerprint(programme),
        **signals_inputs(programme),
    }


def control_source(programme: Programme, signals: Signals) -> str:
    """Whose hard labels the control arm learns from: `gold` or `teacher`."""
    from tutelage.distillation import LEAST_EXAMPLES

    wanted = programme.config.student.control
    if wanted != "auto":
        return wanted
    return "gold" if signals.has_gold.sum() >= LEAST_EXAMPLES else "teacher"


def _work(programme: Programme, progress: Progress) -> str:
    from tutelage.distillation import hard_labels, read_signals, require_enough

    require_rights(programme)
    check_signals(programme)
    task = label_task(programme)
    signals = read_signals(storage.read_table(programme.transfer), task)
    source = control_source(programme, signals)
    if source == "teacher" and (few := int(signals.has_gold.sum())):
        progress.note(f"the control learns from the teacher's labels: {few} human ones are too few")
    control_signals = hard_labels(signals, source, task)
    require_enough(signals)
    require_enough(control_signals, "the control arm")
    checkpoints = programme.folder / "students" / f".checkpoint-{programme.config.student.run}"
    student = _train(programme, task, signals, progress, "student", checkpoints)
    control = _train(programme, task, control_signals, progress, "control", checkpoints, student.recipe.steps)
    with storage.fresh_folder(programme.student) as folder:
        for name, arm in (("student", student), ("control", control)):
            (folder / name).mkdir()
            arm.student.save(folder / name)
        storage.write_json(folder / "run.json", _record(programme, student, control, source))
    shutil.rmtree(checkpoints, ignore_errors=True)
    return (
        f"{programme.config.student.run}: {student.examples:,} examples in {student.record.seconds:.0f} s, "
        f"control on {control.examples:,} hard labels ({'humans’' if source == 'gold' else 'the teacher’s'}) "
        f"in {control.record.seconds:.0f} s"
    )


def _train(
    programme: Programme,
    task: LabelTask,
    signals: Signals,
    progress: Progress,
    arm: str,
    checkpoints: Path,
    other_steps: int = 0,
) -> Distilled:
    from tutelage.distillation import distil

    return distil(
        signals,
        task,
        programme.config.student,
        programme.folder,
        progress,
        description=f"training {arm}",
        checkpoint=checkpoints / arm,
        other_steps=other_steps,
    )


def _record(programme: Programme, student: Distilled, control: Distilled, source: str) -> dict[str, Any]:
    return {
        "run": programme.config.student.run,
        "config": programme.config.student.model_dump(mode="json"),
        "transfer": storage.hash_file(programme.transfer),
        "student": student.to_json(),
        "control": {**control.to_json(), "labels": source},
        "version": __version__,
    }


TRAIN = Stage(
    name="train",
    inputs=_inputs,
    outputs=lambda programme: [programme.student],
    work=_work,
    per_run=True,
)
