"""Tutelage: turn a strong model's behaviour on one narrow task into a small model you own.

The names below are the public API; each is loaded when it is first asked for, so that `import tutelage` costs
nothing and needs no torch. Errors stand in `tutelage.errors`; what a plugin implements in
`tutelage.teachers`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tutelage.config import ProgrammeConfig, load_config
    from tutelage.distillation import (
        Distilled,
        Hint,
        Schedule,
        Signals,
        SoftTargets,
        TextSignals,
        TrainingRecord,
        distil,
        distil_student,
        distil_texts,
    )
    from tutelage.errors import TutelageError
    from tutelage.evaluation import Arm, evaluate, release_decision, render_report
    from tutelage.gates import Decision, Evidence, Verdict
    from tutelage.labelling import AnswerLedger, label
    from tutelage.programme import Programme
    from tutelage.records import Answer, AnswerStatus, DistributionOrigin, Gold, Prompt, Usage
    from tutelage.stages import Outcome, Status, read_status, run_all, run_stage
    from tutelage.students import Student, Writer, load_student
    from tutelage.tasks import Classify, Extract, Generate, Judge
    from tutelage.teachers import Teacher, TeacherContext, build_teacher

__version__ = "0.1.0"

_MODULES = {
    "config": ("ProgrammeConfig", "load_config"),
    "distillation": (
        "Distilled",
        "Hint",
        "Schedule",
        "Signals",
        "SoftTargets",
        "TextSignals",
        "TrainingRecord",
        "distil",
        "distil_student",
        "distil_texts",
    ),
    "errors": ("TutelageError",),
    "evaluation": ("Arm", "evaluate", "release_decision", "render_report"),
    "gates": ("Decision", "Evidence", "Verdict"),
    "labelling": ("AnswerLedger", "label"),
    "programme": ("Programme",),
    "records": ("Answer", "AnswerStatus", "DistributionOrigin", "Gold", "Prompt", "Usage"),
    "stages": ("Outcome", "Status", "read_status", "run_all", "run_stage"),
    "students": ("Student", "Writer", "load_student"),
    "tasks": ("Classify", "Extract", "Generate", "Judge"),
    "teachers": ("Teacher", "TeacherContext", "build_teacher"),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "Answer",
    "AnswerLedger",
    "AnswerStatus",
    "Arm",
    "Classify",
    "Decision",
    "Distilled",
    "DistributionOrigin",
    "Evidence",
    "Extract",
    "Generate",
    "Gold",
    "Hint",
    "Judge",
    "Outcome",
    "Programme",
    "ProgrammeConfig",
    "Prompt",
    "Schedule",
    "Signals",
    "SoftTargets",
    "Status",
    "Student",
    "Teacher",
    "TeacherContext",
    "TextSignals",
    "TrainingRecord",
    "TutelageError",
    "Usage",
    "Verdict",
    "Writer",
    "build_teacher",
    "distil",
    "distil_student",
    "distil_texts",
    "evaluate",
    "label",
    "load_config",
    "load_student",
    "read_status",
    "release_decision",
    "render_report",
    "run_all",
    "run_stage",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'tutelage' has no attribute {name!r}")
    try:
        return getattr(import_module(f"tutelage.{_HOMES[name]}"), name)
    except ModuleNotFoundError as error:
        from tutelage.extras import missing_extra

        if absent := missing_extra(error, f"tutelage.{name}"):
            raise absent from error
        raise


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
