"""docs/tasks.md shows what happens, word for word."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from tutelage.config import parse_config
from tutelage.records import AnswerStatus
from tutelage.tasks import task_from_config

PAGE = (Path(__file__).parents[2] / "docs" / "tasks.md").read_text(encoding="utf-8")


def _blocks(kind: str) -> dict[str, str]:
    [section] = re.findall(rf"\n## {kind}\n(.*?)(?=\n## |\Z)", PAGE, re.S)
    blocks = re.findall(r"```(\w+)\n(.*?)\n```", section, re.S)
    assert [language for language, _ in blocks] == ["yaml", "json", "text", "answer"]
    return dict(blocks)


@pytest.mark.parametrize("kind", ["classify", "extract", "judge", "generate"])
def test_each_kinds_file_gold_prompt_and_answer_belong_together(kind):
    blocks = _blocks(kind)
    config = parse_config(yaml.safe_load(blocks["yaml"]), "docs/tasks.md").task
    assert config.type == kind
    task = task_from_config(config, config.labels if kind == "classify" else {})
    row = json.loads(blocks["json"])
    gold = task.read_cell(row["label"], "|")
    [system, user] = task.render(row["text"])
    assert (system["content"], user["content"]) == (blocks["text"], row["text"])
    parsed = task.parse(blocks["answer"])
    assert parsed.status is AnswerStatus.OK
    assert task.compare(parsed.value, gold).agree
    assert task.score([parsed.value], [gold])["accuracy"] == 1.0
