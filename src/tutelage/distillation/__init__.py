"""Distillation: from a transfer set and a recipe to a student and its control arm."""

from tutelage.distillation.distilled import LEAST_EXAMPLES, Distilled, distil, require_enough
from tutelage.distillation.signals import Signals, hard_labels, read_signals

__all__ = [
    "LEAST_EXAMPLES",
    "Distilled",
    "Signals",
    "distil",
    "hard_labels",
    "read_signals",
    "require_enough",
]
