"""`evaluate`: teacher, control and student on sealed gold, and the release decision.

What measures is imported where it is used: `tutelage status` looks at this stage and should be quick.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tutelage import storage
from tutelage.data import gold_gate, read_sealed, read_training
from tutelage.errors import DataError
from tutelage.programme import Programme, Stage, fingerprint
from tutelage.progress import Progress
from tutelage.records import AnswerStatus, SealedGold, Value, load_value
from tutelage.scale import Engine, open_engine
from tutelage.stages.asking import open_teacher
from tutelage.stages.covered import COVERAGE_SUBJECT
from tutelage.stages.economics import ECONOMICS
from tutelage.stages.rights import student_decision, student_duties, student_rights
from tutelage.stages.stress import STRESSED
from tutelage.stages.subjects import Evaluated, Subject, with_sections
from tutelage.stages.task import resolved_task
from tutelage.stages.train import TRAIN
from tutelage.tasks import Task, with_labels
from tutelage.teachers import Measurable

if TYPE_CHECKING:
    from tutelage.evaluation import Arm, Footprint

# In the order in which they are asked. What one adds, its release terms read.
SUBJECTS: tuple[Subject, ...] = (COVERAGE_SUBJECT, STRESSED, ECONOMICS)


def _inputs(programme: Programme) -> Mapping[str, str]:
    return {
        "gold/sealed.parquet": fingerprint(programme.sealed),
        "answers/gold.parquet": fingerprint(programme.gold_answers),
        f"students/{programme.config.student.run}": TRAIN.left(programme, programme.student),
        "gold.margin": fingerprint([programme.config.gold.margin, programme.config.gold.expected_accuracy]),
        "release": fingerprint(programme.config.release),
        "rights": fingerprint(str(student_decision(programme).verdict)),
        **_duties_inputs(programme),
        **{name: value for subject in SUBJECTS for name, value in subject.inputs(programme).items()},
    }


def _duties_inputs(programme: Programme) -> Mapping[str, str]:
    """Of those alone that the release gate judges; most students have none such."""
    decision = student_duties(programme).decision()
    return {} if decision is None else {"duties": fingerprint(decision.to_json())}


def _work(programme: Programme, progress: Progress) -> str:
    from tutelage.evaluation import evaluate, predictions_table, release_decision
    from tutelage.stages.similarity import with_similarity

    task = resolved_task(programme)
    gold = read_sealed(programme.sealed, programme.seal)
    texts = [item.prompt.text for item in gold]
    arms = {"teacher": _teacher_arm(programme, task, gold)}
    with open_engine(programme.config.engine, progress) as engine:
        for name in ("control", "student"):
            arms[name] = _student_arm(programme, name, task, texts, progress, engine)
        arms = with_similarity(programme, task, gold, arms, progress, engine)
    scored = evaluate(task, gold, arms, critical_slices=programme.config.release.critical_slices)
    metrics = with_sections(SUBJECTS, programme, Evaluated(task, gold, arms, scored))
    seal = storage.read_json(programme.seal)
    seal_decision = gold_gate(seal, programme.config.gold)
    decision = release_decision(
        metrics,
        programme.config.release,
        gold_decision=seal_decision,
        rights_decision=student_decision(programme),
        duties_decision=student_duties(programme).decision(),
    )
    trained = TRAIN.left(programme, programme.student)
    stands = student_rights(programme)
    content = {**decision.to_json(), "gold": seal["hash"], "student": trained, "rights": stands}
    programme.journal.append("gate", run=programme.config.student.run, **content)
    storage.write_table(programme.evaluation / "predictions.parquet", predictions_table(gold, arms))
    storage.write_json(programme.evaluation / "metrics.json", metrics)
    storage.write_json(programme.evaluation / "decision.json", content)
    shutil.rmtree(_kept_folder(programme), ignore_errors=True)
    accuracy = {name: arm["accuracy"]["estimate"] for name, arm in metrics["arms"].items()}
    shown = ", ".join(f"{name} {value:.1%}" for name, value in accuracy.items())
    return f"{shown} on {len(gold):,} sealed; release: {decision.verdict}"


def _kept_folder(programme: Programme) -> Path:
    """What students that write have said so far, until the evaluation is whole."""
    return programme.evaluation / ".answers"


def _teacher_arm(programme: Programme, task: Task, gold: Sequence[SealedGold]) -> Arm:
    import numpy as np

    from tutelage.evaluation import Arm

    answers = {row["hash"]: row for row in storage.read_table(programme.gold_answers).to_pylist()}
    if missing := sum(item.prompt.hash not in answers for item in gold):
        # Counted as wrong they would make the teacher look worse, and the student by comparison better.
        raise DataError(
            f"{programme.gold_answers} has no answer of the teacher to {missing:,} of {len(gold):,} sealed "
            "examples. Mend: run `tutelage label`"
        )
    rows = [answers[item.prompt.hash] for item in gold]
    values: list[Value | None] = [
        load_value(row["value"]) if row["status"] == AnswerStatus.OK else None for row in rows
    ]
    name = storage.read_json(programme.teacher_record)["name"]
    arm = Arm("teacher", f"teacher ({name})", values, footprint=_teacher_footprint(programme, gold))
    if with_labels(task) is None:  # the share of its samples that agree says how sure an open answer is
        return replace(arm, confidence=np.array([row["repeatability"] for row in rows], dtype=np.float64))
    nothing = [np.nan] * len(task.labels)
    given = [nothing if row["distribution"] is None else row["distribution"] for row in rows]
    return replace(arm, distributions=np.array(given, dtype=np.float32))


def _teacher_footprint(programme: Programme, gold: Sequence[SealedGold]) -> Footprint | None:
    """Measured for teachers that run here; an API's latency is no property of its model."""
    from tutelage.evaluation import measure_footprint

    if programme.config.teacher.type in {"openai", "anthropic"}:
        return None
    teacher = open_teacher(programme, read_training(programme.gold_training))
    if teacher.paid or not isinstance(teacher, Measurable):
        return None
    teacher.device = "cpu"  # where the student is measured too
    texts = [item.prompt.text for item in gold]
    return measure_footprint(
        teacher.predict,
        texts,
        folder=None,
        parameters=teacher.parameters,
        size_mb=teacher.size_mb,
    )


def _student_arm(
    programme: Programme, name: str, task: Task, texts: Sequence[str], progress: Progress, engine: Engine
) -> Arm:
    from tutelage.evaluation import Arm, measure_footprint
    from tutelage.stages.predictions import Answering, Kept, answered, predicting
    from tutelage.students import load_student

    folder = programme.student / name
    student = load_student(folder)
    answering = Answering(task, student, folder)
    kept = Kept(_kept_folder(programme), answering.weights)
    said = answered(answering, texts, progress, f"evaluating {name}", kept=kept, engine=engine)
    footprint = measure_footprint(
        predicting(student, task),
        texts,
        folder=folder,
        parameters=student.parameters,
    )
    title = (
        programme.config.student.run
        if name == "student"
        else f"{programme.config.student.run} on hard labels"
    )
    record = storage.read_json(programme.student / "run.json")[name]
    temperature = (record.get("temperature_scaling") or {}).get("temperature")
    return Arm(
        name,
        title,
        said.values,
        said.distributions,
        footprint,
        said.confidence,
        temperature=temperature,
    )


EVALUATE = Stage(
    name="evaluate",
    inputs=_inputs,
    outputs=lambda programme: [
        programme.evaluation / name for name in ("metrics.json", "predictions.parquet", "decision.json")
    ],
    work=_work,
    per_run=True,
)
