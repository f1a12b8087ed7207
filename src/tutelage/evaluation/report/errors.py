"""Whose mistakes are they: teacher × student × gold, overall and by slice; how sure each is when wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tutelage.evaluation import _report_format as fmt
from tutelage.evaluation.report.figures import ARMS

Json = Mapping[str, Any]


def section(metrics: Json) -> dict[str, Any] | None:
    """Teacher × student × gold: the cells, whose errors they are, and the confusions that were inherited."""
    given = metrics.get("errors")
    if not given:
        return None
    names = (
        "both_right",
        "student_only_wrong",
        "teacher_only_wrong",
        "both_wrong_same",
        "both_wrong_different",
    )
    cells = {name: given.get(name) or 0 for name in names}
    total = sum(cells.values())
    both = cells["both_wrong_same"] + cells["both_wrong_different"]
    student, teacher = both + cells["student_only_wrong"], both + cells["teacher_only_wrong"]
    confusions = given.get("confusions") or []
    largest = max((max(item["teacher"], item["student"]) for item in confusions), default=0)
    return {
        **cells,
        "total": total,
        "student": student,
        "teacher": teacher,
        "both": both,
        "shares": {name: number / total if total else None for name, number in cells.items()},
        "inherited_share": given.get("inherited_share"),
        "inherited_interval": _ends(given, "inherited_share"),
        "lift": given.get("lift"),
        "lift_interval": _ends(given, "lift"),
        "control_share": (given.get("control") or {}).get("inherited_share"),
        "slices": _by_slice(given),
        "sure": _sure(given),
        "beyond": sum(bool(item.get("beyond_chance")) for item in confusions),
        "tested": given.get("confusions_tested"),
        "confusions": [
            {
                **item,
                "gold": fmt.answer(item["gold"]),
                "predicted": fmt.answer(item["predicted"]),
                "width": {
                    key: round(100 * item[key] / largest, 2) if largest else 0
                    for key in ("teacher", "student", "shared")
                },
            }
            for item in confusions
        ],
    }


def _ends(given: Json, name: str) -> dict[str, Any] | None:
    low, high = given.get(f"{name}_low"), given.get(f"{name}_high")
    return {"low": low, "high": high} if fmt.is_number(low) else None


def _by_slice(given: Json) -> list[dict[str, Any]]:
    parts = given.get("slices") or {}
    if len(parts) < 2:
        return []
    return [
        {
            "name": name,
            "student": part["both_wrong_same"] + part["both_wrong_different"] + part["student_only_wrong"],
            "same": part["both_wrong_same"],
            "share": part.get("inherited_share"),
            "share_interval": _ends(part, "inherited_share"),
            "lift": part.get("lift"),
            "lift_interval": _ends(part, "lift"),
        }
        for name, part in parts.items()
    ]


def _sure(given: Json) -> list[dict[str, Any]]:
    """By arm, how sure it is where it is wrong; those that stated no confidence are left out."""
    known = given.get("confidence") or {}
    return [{"key": arm, "name": fmt.words(arm), **known[arm]} for arm in ARMS if known.get(arm)]
