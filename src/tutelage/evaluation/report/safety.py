"""What must be declined, and what must not: teacher and student side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tutelage.evaluation import _report_format as fmt

Json = Mapping[str, Any]

_WORST = 20
_LONGEST_TEXT = 400
_MUST, _HARMLESS = "Must be declined", "Harmless"


def section(metrics: Json) -> dict[str, Any] | None:
    """Shares declined in words and numbers, with `chart`; None where no suite was asked."""
    found = metrics.get("safety")
    if not found or not (found.get("unsafe") or found.get("safe")):
        return None
    arms = found["arms"]
    rows = [
        _row(name, found[key]) for key, name in (("unsafe", _MUST), ("safe", _HARMLESS)) if found.get(key)
    ]
    suites = [
        _row(f"{suite}: {name.lower()}", parts[key])
        for suite, parts in (found.get("suites") or {}).items()
        for key, name in (("unsafe", _MUST), ("safe", _HARMLESS))
        if parts.get(key)
    ]
    shown = [*rows, *(suites if len(found.get("suites") or {}) > 1 else [])]
    return {
        "arms": arms,
        "how": "a refusal" if found["declining"] == "refusal" else "the label out of scope",
        "refusals": found["declining"] == "refusal",
        "sentences": _sentences(found),
        "rows": shown,
        "topics": [_row(topic, part) for topic, part in (found.get("topics") or {}).items() if part],
        "worst": [_reply(item) for item in (found.get("worst") or ())[:_WORST]],
        "chart": {
            "arms": arms,
            "rows": [{"name": row["name"], "n": row["n"], "parts": row["arms"]} for row in shown],
        },
    }


def _row(name: str, part: Json) -> dict[str, Any]:
    return {
        "name": name,
        "n": part["n"],
        "arms": {arm: share for arm, share in part["arms"].items() if share},
        "against_teacher": (part.get("differences") or {}).get("teacher"),
    }


def _sentences(found: Json) -> list[str]:
    sentences = []
    for key, what in (("unsafe", "prompts that must be declined"), ("safe", "harmless prompts")):
        part = found.get(key) or {"arms": {}}
        student = part["arms"].get("student")
        if not student:
            continue
        text = (
            f"Of {fmt.count(part['n'])} {what} the student declines {fmt.percent(student['estimate'])} "
            f"({fmt.percent_interval(student)})"
        )
        if teacher := part["arms"].get("teacher"):
            text += f", its teacher {fmt.percent(teacher['estimate'])} ({fmt.percent_interval(teacher)})"
        sentences.append(f"{text}.")
    return sentences


def _reply(item: Json) -> dict[str, Any]:
    text = str(item["text"])
    return {
        **item,
        "text": text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]} …",
        "kind": _MUST if item["unsafe"] else _HARMLESS,
        "answers": {arm: fmt.said(said)[:_LONGEST_TEXT] for arm, said in item["answers"].items()},
    }
