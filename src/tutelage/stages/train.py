"""`train`: the student and its control arm, from the transfer set."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tutelage import __version__, storage
from tutelage.distillation import Distilled, Signals, distil, hard_labels, read_signals
from tutelage.programme import Programme, Stage, fingerprint
from tutelage.progress import Progress
from tutelage.stages.task import resolved_task
from tutelage.tasks import Classify


def _inputs(programme: Programme) -> Mapping[str, str]:
    return {
        "answers/transfer.parquet": fingerprint(programme.transfer),
        "gold/seal.json": fingerprint(programme.seal),
        "student": fingerprint(programme.config.student),
        "task": fingerprint(programme.config.task),
    }


def control_source(programme: Programme, signals: Signals) -> str:
    """Whose hard labels the control arm learns from: `gold` or `teacher`."""
    wanted = programme.config.student.control
    if wanted != "auto":
        return wanted
    return "gold" if signals.has_gold.any() else "teacher"


def _work(programme: Programme, progress: Progress) -> str:
    task = resolved_task(programme)
    signals = read_signals(storage.read_table(programme.transfer), task)
    source = control_source(programme, signals)
    control_signals = hard_labels(signals, source, task)
    checkpoints = programme.folder / "students" / f".checkpoint-{programme.config.student.run}"
    student = _train(programme, task, signals, progress, "student", checkpoints)
    control = _train(programme, task, control_signals, progress, "control", checkpoints)
    with storage.fresh_folder(programme.student) as folder:
        for name, arm in (("student", student), ("control", control)):
            (folder / name).mkdir()
            arm.student.save(folder / name)
        storage.write_json(folder / "run.json", _record(programme, student, control, source))
    shutil.rmtree(checkpoints, ignore_errors=True)
    return (
        f"{programme.config.student.run}: {student.examples:,} examples in {student.record.seconds:.0f} s, "
        f"control on {control.examples:,} hard labels ({'human' if source == 'gold' else 'the teacher'}'s) "
        f"in {control.record.seconds:.0f} s"
    ).replace("human's", "humans'")


def _train(
    programme: Programme, task: Classify, signals: Signals, progress: Progress, arm: str, checkpoints: Path
) -> Distilled:
    return distil(
        signals,
        task,
        programme.config.student,
        programme.folder,
        progress,
        description=f"training {arm}",
        checkpoint=checkpoints / arm,
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
    needs=lambda programme: {programme.seal: "gold", programme.transfer: "label"},
)
