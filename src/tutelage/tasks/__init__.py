"""Tasks: how a prompt is put to a teacher, how its answer is read, when two answers agree."""

from tutelage.tasks.classify import Classify, declared_labels, names_of, task_from_config
from tutelage.tasks.protocol import Comparison, Example, Parsed, Prompting, RationaleMode, Task

__all__ = [
    "Classify",
    "Comparison",
    "Example",
    "Parsed",
    "Prompting",
    "RationaleMode",
    "Task",
    "declared_labels",
    "names_of",
    "task_from_config",
]
