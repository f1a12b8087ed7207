"""The task as the sealed gold set fixed its labels."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tutelage import storage
from tutelage.config import ClassifyConfig, ExtractConfig
from tutelage.errors import UsageError
from tutelage.programme import Programme, fingerprint
from tutelage.tasks import LabelTask, Task, declared_labels, task_from_config, with_labels


def resolved_task(programme: Programme) -> Task:
    """The task with the label set of `gold/seal.json`, without examples for the teacher."""
    labels = storage.read_json(programme.seal)["labels"]
    return task_from_config(programme.config.task, labels, programme.folder)


def unsealed_task(programme: Programme) -> Task:
    """The task as far as it is known before gold is read; `classify` may have no labels yet."""
    config = programme.config.task
    return task_from_config(config, declared_labels(config, programme.folder) or {}, programme.folder)


def task_file(programme: Programme) -> Path | None:
    """The file that the task's section names: of its labels, or of its record's schema."""
    config = programme.config.task
    name = config.labels_file if isinstance(config, ClassifyConfig) else None
    if isinstance(config, ExtractConfig):
        name = config.record_file
    return None if name is None else programme.folder / name


def labels_fingerprint(programme: Programme) -> str:
    """Of the label set or the record's schema: what else the seal says doesn't shape answers or students."""
    if not programme.seal.exists():
        return "absent"
    labels = storage.read_json(programme.seal)["labels"]
    path = task_file(programme)
    if path is None or not isinstance(programme.config.task, ExtractConfig):
        return fingerprint(labels)
    return fingerprint([labels, fingerprint(path)])


def label_task(programme: Programme, whose: str) -> LabelTask:
    """The resolved task, for stages that make students of labels; `whose` is for the message.

    Raises UsageError where values are open.
    """
    task = resolved_task(programme)
    labelled = with_labels(task)
    if labelled is None:
        raise UsageError(
            f"task.type is {task.kind}, whose values are open, and {whose} is of labels. Mend: "
            "student.family causal or seq2seq, whose students write"
        )
    return labelled


def described_values(task: Task, labels: Mapping[str, str]) -> str:
    """What answers are, in a few words: `3 labels`, or what they are where values are open."""
    return f"{len(labels)} labels" if labels else f"open values ({task.kind})"
