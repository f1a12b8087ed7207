"""A task from its section of `tutelage.yaml`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tutelage.config import ClassifyConfig, TaskConfig, label_map
from tutelage.errors import ConfigError
from tutelage.tasks.classify import Classify
from tutelage.tasks.protocol import Task

# What PyYAML raises besides YAMLError for what it can't build, such as `!!int a`, `!!bool a` or 2024-02-30.
_YAML_FAULTS = (ValueError, LookupError, AttributeError, TypeError, ArithmeticError, RecursionError)


def declared_labels(config: TaskConfig, folder: Path) -> dict[str, str] | None:
    """Labels with descriptions as tutelage.yaml or its `labels_file` gives them; None where neither does.

    Raises ConfigError where the file can't be used.
    """
    if not isinstance(config, ClassifyConfig):
        return None
    if config.labels is not None or config.labels_file is None:
        return config.labels
    path = folder / config.labels_file
    return _checked_labels(read_document(path, "task.labels_file"), path)


def read_document(path: Path, key: str) -> Any:
    """The content of a JSON or YAML file; of any other its lines that aren't blank.

    Raises ConfigError, naming the `key` of tutelage.yaml, where it can't be read.
    """
    import yaml

    form = path.suffix.lower()
    try:
        text = path.read_text(encoding="utf-8-sig")
        if form == ".json":
            return json.loads(text)
        if form in {".yaml", ".yml"}:
            return yaml.safe_load(text)
        return [line for line in text.split("\n") if line.strip()]
    except (OSError, yaml.YAMLError, *_YAML_FAULTS) as error:
        raise ConfigError(
            f"{key} {str(path)!r} can't be read: {error}. Mend: correct the path or the file"
        ) from error


def _checked_labels(content: Any, path: Path) -> dict[str, str]:
    nested = isinstance(content, list) and any(isinstance(label, list | dict) for label in content)
    if not isinstance(content, list | dict) or len(content) < 2 or nested:
        raise ConfigError(
            f"task.labels_file {str(path)!r} must hold a list, or a map to descriptions, of at least 2 labels"
        )
    try:
        return label_map(content)
    except ValueError as error:
        raise ConfigError(f"task.labels_file {str(path)!r}: {error}") from error


def task_from_config(config: TaskConfig, labels: Mapping[str, str], folder: Path = Path()) -> Task:
    """The task; for `classify` with its resolved label set (declared, else from gold; see `gold/seal.json`).

    `folder` is where paths in the section start. Raises ConfigError where the section can't be used.
    """
    if isinstance(config, ClassifyConfig):
        return Classify(
            labels=tuple(labels),
            instruction=config.instruction,
            descriptions={name: text for name, text in labels.items() if text} or None,
            multi_label=config.multi_label,
            out_of_scope=config.out_of_scope,
        )
    raise ConfigError(f"task.type {config.type!r} isn't there yet. Mend: use classify")
