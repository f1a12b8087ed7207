"""How far the people agree who answered prompts independently."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tutelage.evaluation.intervals import CONFIDENCE, proportion_interval
from tutelage.evaluation.votes import agreement
from tutelage.records import Fields, Value, dump_value
from tutelage.tasks import Task


def annotator_agreement(task: Task, answers: Sequence[Mapping[str, Value]]) -> dict[str, Any] | None:
    """`answers` is by prompt, annotator to answer; prompts with one answer say nothing.

    JSON: `prompts` (with two answers or more); `alike`, the share on which all agree by the task's own
    comparison, with its exact interval; `agreement`, `votes.agreement` with each answer a category (None
    where values are texts, hardly any two of which are the same); `parts`, the same of each label of a set
    (given or not) and of each field of a record. None where no prompt has two answers.
    """
    shared = [dict(unit) for unit in answers if len(unit) >= 2]
    if not shared:
        return None
    alike = sum(_all_agree(task, list(unit.values())) for unit in shared)
    low, high = proportion_interval(alike, len(shared), CONFIDENCE)
    whole = None
    if task.kind != "generate":
        whole = agreement([{name: dump_value(said) for name, said in unit.items()} for unit in shared])
    return {
        "prompts": len(shared),
        "alike": {"estimate": alike / len(shared), "low": low, "high": high, "n": len(shared)},
        "agreement": whole,
        "parts": {
            name: agreement(
                [{who: part.get(name, _ABSENT) for who, part in unit.items()} for unit in map(_parts, shared)]
            )
            for name in sorted({name for unit in shared for said in _parts(unit).values() for name in said})
        },
    }


_ABSENT = "null"


def _all_agree(task: Task, said: Sequence[Value]) -> bool:
    return all(task.compare(other, said[0]).agree for other in said[1:])


def _parts(unit: Mapping[str, Value]) -> dict[str, dict[str, str]]:
    """By annotator what is said of each label of a set, or of each field; nothing of single values."""
    found = {}
    for name, said in unit.items():
        if isinstance(said, Fields):
            found[name] = {field: json.dumps(content, sort_keys=True) for field, content in said.items()}
        else:
            found[name] = dict.fromkeys(said, "given") if isinstance(said, tuple) else {}
    return found
