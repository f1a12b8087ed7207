"""The task as the sealed gold set fixed its labels."""

from __future__ import annotations

from tutelage import storage
from tutelage.programme import Programme, fingerprint
from tutelage.tasks import Classify, task_from_config


def resolved_task(programme: Programme) -> Classify:
    """The task with the label set of `gold/seal.json`."""
    return task_from_config(programme.config.task, storage.read_json(programme.seal)["labels"])


def labels_fingerprint(programme: Programme) -> str:
    """Of the label set alone: what else the seal says doesn't shape answers or students."""
    return fingerprint(storage.read_json(programme.seal)["labels"]) if programme.seal.exists() else "absent"
