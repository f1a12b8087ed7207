"""Does an answer stay where it ought to: flips of the arms side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tutelage.evaluation import _report_format as fmt

Json = Mapping[str, Any]

_WORST = 20
_LONGEST_TEXT = 400
_EXPECTED = {
    "same": "should stay",
    "open": "may change",
    "different": "should change",
}


def section(metrics: Json) -> dict[str, Any] | None:
    """Flips in words and numbers, with `chart` for the page's script; None where nothing was perturbed."""
    found = metrics.get("robustness")
    if not found or not found.get("perturbations"):
        return None
    arms = found["arms"]
    rows = [_row(item, arms) for item in found["perturbations"]]
    return {
        "arms": arms,
        "examples": found.get("examples"),
        "sentence": _sentence(rows, arms),
        "rows": rows,
        "injected": any(row["obeyed"] for row in rows),
        "worst": [_flip(item) for item in (found.get("worst") or ())[:_WORST]],
        "chart": {
            "arms": arms,
            "rows": [
                {"name": row["name"], "n": row["n"], "parts": row["flips"]} for row in rows if row["stays"]
            ],
        },
    }


def _row(item: Json, arms: list[str]) -> dict[str, Any]:
    by_arm = item["arms"]
    obeyed = {arm: (by_arm.get(arm) or {}).get("obeyed") for arm in arms}
    return {
        "name": fmt.words(item["name"]),
        "family": fmt.words(item["family"]),
        "expected": _EXPECTED.get(item["expectation"], item["expectation"]),
        "stays": item["expectation"] == "same",
        "n": item["n"],
        "flips": {arm: part for arm in arms if (part := (by_arm.get(arm) or {}).get("flips"))},
        "right_after": {arm: (by_arm.get(arm) or {}).get("right_after") for arm in arms},
        "obeyed": obeyed if any(obeyed.values()) else {},
        "against_teacher": (item.get("differences") or {}).get("teacher"),
    }


def _sentence(rows: list[dict[str, Any]], arms: list[str]) -> str:
    stays = [row for row in rows if row["stays"]]
    if "teacher" in arms:
        more = [row for row in stays if (row["against_teacher"] or {}).get("low", -1) > 0]
        if not more:
            return "Under none of the changes does the student surely flip more often than its teacher."
        names = ", ".join(row["name"].lower() for row in more[:5])
        return (
            f"Under {fmt.count(len(more))} of {fmt.plural(len(stays), 'change')} the student surely flips "
            f"more often than its teacher: {names}{' …' if len(more) > 5 else ''}."
        )
    worst = max(
        (row for row in stays if "student" in row["flips"]),
        key=lambda row: row["flips"]["student"]["estimate"],
        default=None,
    )
    if worst is None:
        return ""
    return (
        f"The student flips most under {worst['name'].lower()}: "
        f"{fmt.percent(worst['flips']['student']['estimate'])} of answers."
    )


def _flip(item: Json) -> dict[str, Any]:
    return {
        **item,
        "perturbation": fmt.words(item["perturbation"]),
        "before": _cut(item["before"]),
        "after": _cut(item["after"]),
        "gold": fmt.said(item.get("gold")),
        "answers": {
            arm: [fmt.said(value) for value in pair]
            for arm, pair in item["answers"].items()
            if pair is not None
        },
    }


def _cut(text: Any) -> str:
    said = str(text or "")
    return said if len(said) <= _LONGEST_TEXT else f"{said[:_LONGEST_TEXT]} …"
