"""Tasks: how a prompt is put to a teacher, how its answer is read, when two answers agree."""

from tutelage.tasks._labelled import names_of
from tutelage.tasks.building import declared_labels, task_from_config
from tutelage.tasks.classify import Classify
from tutelage.tasks.extract import Extract
from tutelage.tasks.form import Form, FormField, FormKind, Widget, filled_in, form_of, read_form
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
    "Form",
    "FormField",
    "FormKind",
    "Generate",
    "Judge",
    "LabelTask",
    "Parsed",
    "Prompting",
    "RationaleMode",
    "Task",
    "Widget",
    "declared_labels",
    "filled_in",
    "form_of",
    "names_of",
    "read_form",
    "task_from_config",
    "with_labels",
]
