"""Distillation: from a transfer set and a recipe to a student and its control arm."""

from tutelage.distillation.distilled import (
    LEAST_EXAMPLES,
    Distilled,
    distil_student,
    distil_texts,
    require_enough,
    require_reasons,
    untrained,
)
from tutelage.distillation.modules import Hint, distil
from tutelage.distillation.recipes import SoftTargets
from tutelage.distillation.record import TrainingRecord
from tutelage.distillation.schedule import Schedule
from tutelage.distillation.signals import Signals, hard_labels, read_signals
from tutelage.distillation.teacher_body import Answering, LayerTeaching
from tutelage.distillation.texts import TextSignals, best_of, chosen_answers, humans_alone, read_texts
from tutelage.distillation.token_cache import TokenCache
from tutelage.distillation.token_teacher import TokenTeacher

__all__ = [
    "LEAST_EXAMPLES",
    "Answering",
    "Distilled",
    "Hint",
    "LayerTeaching",
    "Schedule",
    "Signals",
    "SoftTargets",
    "TextSignals",
    "TokenCache",
    "TokenTeacher",
    "TrainingRecord",
    "best_of",
    "chosen_answers",
    "distil",
    "distil_student",
    "distil_texts",
    "hard_labels",
    "humans_alone",
    "read_signals",
    "read_texts",
    "require_enough",
    "require_reasons",
    "untrained",
]
