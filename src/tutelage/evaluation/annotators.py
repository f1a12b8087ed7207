"""How far the people agree who answered prompts independently."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tutelage.evaluation.intervals import CONFIDENCE, proportion_interval
from tutelage.evaluation.votes import agreement
from tutelage.records import Fields, Value, dump_value
from tutelage.tasks import Extract, Judge, Task


def annotator_agreement(task: Task, answers: Sequence[Mapping[str, Value]]) -> dict[str, Any] | None:
    """`answers` is by prompt, annotator to answer; prompts with one answer say nothing.

    JSON: `prompts` (with two answers or more); `alike`, the share on which all agree by the task's own
    comparison, with its exact interval; `agreement`, `votes.agreement` with each answer a category, scores in
    their order (None where values are texts, hardly any two of which are the same); `parts`, the same of each
    label of a set (given or not) and of each field of a record, with `alike` by that field's own rule. None
    where no prompt has two answers.
    """
    shared = [dict(unit) for unit in answers if len(unit) >= 2]
    if not shared:
        return None
    alike = sum(_all_agree(task, list(unit.values())) for unit in shared)
    whole = None
    if task.kind != "generate":
        said = [{name: dump_value(value) for name, value in unit.items()} for unit in shared]
        whole = agreement(said, scale=scale_of(task))
    return {
        "prompts": len(shared),
        "alike": _share(alike, len(shared)),
        "agreement": whole,
        "parts": {
            name: _part(task, name, shared)
            for name in sorted({name for unit in shared for said in _parts(unit).values() for name in said})
        },
    }


_ABSENT = "null"


def scale_of(task: Task) -> tuple[str, ...]:
    """A judge's scores as answers are dumped, from the lowest to the highest; none of other tasks."""
    return tuple(map(dump_value, task.labels)) if isinstance(task, Judge) and task.scored else ()


def _share(count: int, n: int) -> dict[str, float]:
    low, high = proportion_interval(count, n, CONFIDENCE)
    return {"estimate": count / n, "low": low, "high": high, "n": n}


def _part(task: Task, name: str, shared: Sequence[Mapping[str, Value]]) -> dict[str, Any]:
    said = [{who: part.get(name, _ABSENT) for who, part in unit.items()} for unit in map(_parts, shared)]
    if isinstance(task, Extract):
        alike = sum(_alike_in(task, name, list(unit.values())) for unit in shared)
    else:
        alike = sum(len(set(unit.values())) == 1 for unit in said)
    return {"alike": _share(alike, len(shared)), **(agreement(said) or {})}


def _alike_in(task: Extract, field: str, said: Sequence[Value]) -> bool:
    """Whether all records agree with the first in a field, all that is inside of it too."""
    return all(
        outcome.agree
        for other in said[1:]
        for outcome in task.outcomes(other, said[0])
        if outcome.path.partition(".")[0] == field
    )


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
