"""Distillation: from a transfer set and a recipe to a student and its control arm."""

from tutelage.distillation.distil import Distilled, distil
from tutelage.distillation.signals import Signals, hard_labels, read_signals

__all__ = ["Distilled", "Signals", "distil", "hard_labels", "read_signals"]
