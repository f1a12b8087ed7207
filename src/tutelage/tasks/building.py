"""A task from its section of `tutelage.yaml`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tutelage.config import ClassifyConfig, ExtractConfig, JudgeConfig, TaskConfig, label_map
from tutelage.errors import ConfigError
from tutelage.tasks.classify import Classify
from tutelage.tasks.extract import Extract
from tutelage.tasks.generate import Generate
from tutelage.tasks.judge import Judge
from tutelage.tasks.protocol import RationaleMode, Task

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
    if isinstance(config, ExtractConfig):
        return Extract(_record_of(config, folder), config.instruction, config.fields)
    if isinstance(config, JudgeConfig):
        return _judge(config)
    return Generate(config.instruction, config.max_characters, config.similarity)


def _record_of(config: ExtractConfig, folder: Path) -> dict[str, Any]:
    if config.record is not None:
        return config.record
    path = folder / str(config.record_file)
    if path.suffix.lower() not in {".json", ".yaml", ".yml"}:
        raise ConfigError(f"task.record_file {str(path)!r} is neither JSON nor YAML by its ending")
    content = read_document(path, "task.record_file")
    if not isinstance(content, dict):
        raise ConfigError(
            f"task.record_file {str(path)!r} holds {type(content).__name__}, not a JSON schema. "
            "Mend: give `type: object` and its `properties`"
        )
    return content


def _judge(config: JudgeConfig) -> Judge:
    described = config.verdicts or {}
    if config.scale is not None:
        low, high = config.scale
        described = {str(score): "" for score in range(low, high + 1)}
    return Judge(
        labels=tuple(described),
        rubric=config.rubric,
        scored=config.scale is not None,
        descriptions={name: text for name, text in described.items() if text} or None,
        instruction=config.instruction,
        reasons=RationaleMode(config.reasons),
        tolerance=config.tolerance,
    )
