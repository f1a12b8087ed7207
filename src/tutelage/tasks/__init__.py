"""Tasks: how a prompt is put to a teacher, how its answer is read, when two answers agree."""

from tutelage.tasks.classify import Classify, Parsed, declared_labels, names_of, task_from_config

__all__ = ["Classify", "Parsed", "declared_labels", "names_of", "task_from_config"]
