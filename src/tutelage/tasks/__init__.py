"""Tasks: how a prompt is put to a teacher, how its answer is read, when two answers agree."""

from tutelage.tasks._labelled import names_of
from tutelage.tasks.building import declared_labels, task_from_config
from tutelage.tasks.classify import Classify
from tutelage.tasks.extract import Extract
from tutelage.tasks.generate import Generate
from tutelage.tasks.judge import Judge
from tutelage.tasks.protocol import (
    PLAIN,
    CellFault,
    CellFaultKind,
    Comparison,
    Example,
    LabelTask,
    Parsed,
    Prompting,
    RationaleMode,
    Task,
    with_labels,
)

__all__ = [
    "PLAIN",
    "CellFault",
    "CellFaultKind",
    "Classify",
    "Comparison",
    "Example",
    "Extract",
    "Generate",
    "Judge",
    "LabelTask",
    "Parsed",
    "Prompting",
    "RationaleMode",
    "Task",
    "declared_labels",
    "names_of",
    "task_from_config",
    "with_labels",
]
