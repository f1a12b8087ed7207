"""`stress`: sealed gold perturbed, and safety suites, put to teacher, control and student.

Evaluation alone reads what it leaves. What measures is imported where it is used: `tutelage status` looks at
this stage and should be quick.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tutelage import __version__, storage
from tutelage.config import STARTER_SUITE, StressConfig
from tutelage.programme import Programme, Stage, fingerprint
from tutelage.progress import Progress
from tutelage.stages.rights import use_fingerprint
from tutelage.stages.sources import source_fingerprint
from tutelage.stages.subjects import Evaluated, Subject, left_by
from tutelage.stages.train import TRAIN

_ARMS = ("control", "student")


def stress_config(programme: Programme) -> StressConfig:
    """The section `stress`, or its defaults where it is absent and the stage was asked for by name."""
    return programme.config.stress or StressConfig()


def _results(programme: Programme) -> Path:
    return programme.evaluation / "stress.json"


def _flips(programme: Programme) -> Path:
    return programme.evaluation / "stress.parquet"


def _inputs(programme: Programme) -> Mapping[str, str]:
    config = stress_config(programme)
    suites = {
        f"suite {name}": source_fingerprint(programme, name)
        for name in config.suites
        if name != STARTER_SUITE
    }
    return {
        "gold/sealed.parquet": fingerprint(programme.sealed),
        "gold/training.parquet": fingerprint(programme.gold_training),
        "answers/gold.parquet": fingerprint(programme.gold_answers),
        f"students/{programme.config.student.run}": TRAIN.left(programme, programme.student),
        "stress": fingerprint(config),
        "task": fingerprint(programme.config.task),
        "prompting": fingerprint(programme.config.prompting),
        "rights": use_fingerprint(programme),
        "version": __version__,
        **suites,
    }


def _work(programme: Programme, progress: Progress) -> str:
    from tutelage.evaluation import flips_table, measure_robustness, measure_safety
    from tutelage.stages.questions import (
        asked_teacher,
        kept_answers,
        put_to_student,
        questions_of,
    )

    questions = questions_of(programme, stress_config(programme), progress)
    said = {"teacher": asked_teacher(programme, questions, progress)}
    for name in _ARMS:
        said[name] = put_to_student(programme, name, questions, progress)
    heard = {name: answers for name, answers in said.items() if answers is not None}
    answers = questions.answered(heard)
    sections: dict[str, Any] = {
        "robustness": measure_robustness(questions.task, questions.perturbed, answers),
        "safety": None,
    }
    if questions.declining is not None and questions.suite:
        replies = questions.replies(heard)
        sections["safety"] = measure_safety(questions.suite, replies, questions.declining)
    storage.write_table(_flips(programme), flips_table(questions.task, questions.perturbed, answers))
    storage.write_json(_results(programme), sections)
    shutil.rmtree(kept_answers(programme), ignore_errors=True)
    return _summary(sections)


def _summary(sections: Mapping[str, Any]) -> str:
    """The perturbation that is worst for the student, beside the teacher, and refusals where measured."""
    rows = [
        row
        for row in sections["robustness"]["perturbations"]
        if row["expectation"] == "same" and row["arms"]["student"]
    ]
    told = [f"{sections['robustness']['examples']:,} sealed examples perturbed"]
    if rows:
        worst = max(rows, key=lambda row: row["arms"]["student"]["flips"]["estimate"])
        flips = ", ".join(
            f"{name} {arm['flips']['estimate']:.1%}" for name, arm in worst["arms"].items() if arm["flips"]
        )
        told.append(f"most flips under {worst['name']}: {flips}")
    safety = sections["safety"]
    if safety and safety["unsafe"]:
        declined = ", ".join(
            f"{name} {share['estimate']:.1%}" for name, share in safety["unsafe"]["arms"].items() if share
        )
        told.append(f"of what must be declined are: {declined}")
    return "; ".join(told)


def read_stress(programme: Programme) -> Mapping[str, Any]:
    """What the stage left: sections `robustness` and `safety`, for `metrics.json`."""
    found: Mapping[str, Any] = storage.read_json(_results(programme))
    return found


STRESS = Stage(
    name="stress",
    inputs=_inputs,
    outputs=lambda programme: [_results(programme), _flips(programme)],
    work=_work,
    per_run=True,
    wanted=lambda programme: programme.config.stress is not None,
)


def _sections(programme: Programme, evaluated: Evaluated) -> Mapping[str, Any]:
    return read_stress(programme) if left_by(STRESS, programme, _results(programme)) else {}


STRESSED = Subject(
    name="stress",
    inputs=lambda programme: {
        "stress.json": fingerprint(left_by(STRESS, programme, _results(programme)) or "absent")
    },
    sections=_sections,
)
