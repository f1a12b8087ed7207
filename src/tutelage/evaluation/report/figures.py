"""What the report draws: the numbers of each figure, which its table shows too."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tutelage.evaluation import _report_format as fmt

Json = Mapping[str, Any]

ARMS = ("teacher", "control", "student")
OVERALL = "Overall"
_LONGEST_TEXT = 600
_ROOM = 0.12  # of a gauge's width left free on both sides


def arms_of(metrics: Json) -> list[dict[str, Any]]:
    """The arms there are, in fixed order."""
    return [
        {"key": key, "name": fmt.words(key), **metrics["arms"][key]}
        for key in ARMS
        if metrics["arms"].get(key)
    ]


def comparisons(metrics: Json) -> list[dict[str, Any]]:
    """The student against each other arm, always as student minus other, the teacher first."""
    found = []
    for item in metrics.get("comparisons") or ():
        if item["a"] == "student":
            found.append(_comparison(item, item["b"], "a", "b", flip=False))
        elif item["b"] == "student":
            found.append(_comparison(item, item["a"], "b", "a", flip=True))
    return sorted(found, key=lambda item: ARMS.index(item["other"]) if item["other"] in ARMS else len(ARMS))


def _comparison(item: Json, other: str, ours: str, theirs: str, *, flip: bool) -> dict[str, Any]:
    turn = _flipped if flip else dict
    return {
        "other": other,
        "difference": turn(item["difference"]),
        "macro_f1": turn(item.get("macro_f1") or {}),
        "p": item.get("mcnemar_p"),
        "only_student_right": item.get(f"only_{ours}_right"),
        "only_other_right": item.get(f"only_{theirs}_right"),
        "slices": {name: turn(part) for name, part in (item.get("slices") or {}).items()},
    }


def _flipped(interval: Json) -> dict[str, Any]:
    def negative(value: Any) -> Any:
        return -value if fmt.is_number(value) else None

    return {
        **interval,
        "estimate": negative(interval.get("estimate")),
        "low": negative(interval.get("high")),
        "high": negative(interval.get("low")),
    }


def _slices(parts: Iterable[Json]) -> list[str]:
    return list(dict.fromkeys(name for part in parts for name in part.get("slices") or {}))


def accuracy_rows(metrics: Json) -> list[dict[str, Any]]:
    """Accuracy of each arm, overall and by slice: `{"name", "n", "arms": {arm: interval}}`."""
    arms = arms_of(metrics)
    rows = [{"name": OVERALL, "n": metrics.get("n"), "arms": {arm["key"]: arm["accuracy"] for arm in arms}}]
    for name in _slices(arms):
        parts = {arm["key"]: arm["slices"][name] for arm in arms if name in (arm.get("slices") or {})}
        rows.append({"name": name, "n": next(iter(parts.values())).get("n"), "arms": parts})
    return rows


def accuracy_chart(metrics: Json) -> dict[str, Any]:
    """`accuracy_rows` as the page's script draws shares."""
    rows = accuracy_rows(metrics)
    return {
        "arms": [arm["key"] for arm in arms_of(metrics)],
        "rows": [{"name": row["name"], "n": row["n"], "parts": row["arms"]} for row in rows],
    }


def difference_rows(metrics: Json) -> list[dict[str, Any]]:
    """Student minus each other arm, overall and by slice: `{"name", "n", "against": {arm: interval}}`."""
    items = comparisons(metrics)
    if not items:
        return []
    tests = {item["other"]: item for item in items}
    rows: list[dict[str, Any]] = [
        {
            "name": OVERALL,
            "n": metrics.get("n"),
            "against": {other: item["difference"] for other, item in tests.items()},
            "tests": tests,
        }
    ]
    for name in _slices(items):
        parts = {other: item["slices"][name] for other, item in tests.items() if name in item["slices"]}
        rows.append({"name": name, "n": next(iter(parts.values())).get("n"), "against": parts, "tests": {}})
    return rows


def calibration(metrics: Json) -> list[dict[str, Any]]:
    """One panel for each arm; `bins` is empty for an arm that gave no probabilities."""
    return [
        {
            "key": arm["key"],
            "name": arm["name"],
            "ece": arm.get("ece"),
            "brier": arm.get("brier"),
            "bins": [item for item in arm.get("reliability") or () if item.get("n")],
            "interval": {"low": arm.get("ece_low"), "high": arm.get("ece_high")},
            "before": arm.get("unscaled"),
        }
        for arm in arms_of(metrics)
    ]


def label_rows(metrics: Json) -> list[dict[str, Any]]:
    """Per label F1 of each arm and `change` (student − teacher), the largest loss first."""
    arms = arms_of(metrics)
    names = dict.fromkeys(name for arm in arms for name in arm.get("labels") or {})
    rows = []
    for name in names:
        scores = {arm["key"]: (arm.get("labels") or {}).get(name) or {} for arm in arms}
        ours, theirs = (scores.get(key, {}).get("f1") for key in ("student", "teacher"))
        change = ours - theirs if fmt.is_number(ours) and fmt.is_number(theirs) else None
        support = next((item["support"] for item in scores.values() if "support" in item), None)
        rows.append({"name": name, "support": support, "change": change, "arms": scores})
    return sorted(rows, key=lambda row: (row["change"] is None, row["change"] or 0.0))


def tradeoff(metrics: Json) -> dict[str, Any] | None:
    """Accuracy against latency; `unmeasured` are the arms without a footprint. None where none has one."""
    rows = [
        {"key": arm["key"], "name": arm["name"], "accuracy": arm["accuracy"], **(arm.get("footprint") or {})}
        for arm in arms_of(metrics)
    ]
    drawn = [row for row in rows if fmt.is_number(row.get("latency_p50_ms")) and row["latency_p50_ms"] > 0]
    if not drawn:
        return None
    return {"rows": rows, "drawn": drawn, "unmeasured": [row for row in rows if row not in drawn]}


def worst(metrics: Json) -> list[dict[str, Any]]:
    """Examples as shown: answers in words, `right` telling which arms were, texts cut to a length.

    Where values are open, whether an answer that isn't gold's own counts as right isn't known here: None.
    """
    rows = []
    task = metrics.get("task") or {}
    unlike = not task.get("labels")
    shown = fmt.said if task.get("kind") == "extract" else fmt.answer  # records stand as JSON
    for item in metrics.get("worst") or ():
        text = str(item.get("text") or "")
        gold = shown(item.get("gold"))
        given = {arm: shown(item.get(arm)) for arm in ARMS}
        right = {arm: True if value == gold else None if unlike else False for arm, value in given.items()}
        rows.append(
            {
                "id": item.get("id"),
                "text": text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]} …",
                "slice": item.get("slice"),
                "gold": gold,
                "answers": given,
                "right": {**right, "student": False},
                "confidence": item.get("confidence"),
            }
        )
    return rows


def gauge(item: Json) -> dict[str, float | None] | None:
    """Where estimate, interval and limit lie between the ends of a small bar, in percent of its width."""
    names = ("low", "high", "estimate", "limit")
    known = {name: float(item[name]) for name in names if fmt.is_number(item.get(name))}
    if "estimate" not in known or len(known) < 2 or min(known.values()) == max(known.values()):
        return None
    least, most = min(known.values()), max(known.values())
    room = _ROOM * (most - least)
    width = most - least + 2 * room
    return {
        name: round(100 * (known[name] - least + room) / width, 2) if name in known else None
        for name in names
    }


def scale(metrics: Json, margin: float | None) -> dict[str, Any] | None:
    """The one picture beside the verdict: student minus teacher on a line with zero and the accepted loss.

    Positions are percent of the line's width; `margin` is None where the gate has no such term.
    """
    found = next((item["difference"] for item in comparisons(metrics) if item["other"] == "teacher"), None)
    if not found or not all(fmt.is_number(found.get(name)) for name in ("estimate", "low", "high")):
        return None
    known = {"zero": 0.0, **{name: float(found[name]) for name in ("estimate", "low", "high")}}
    if margin is not None:
        known["margin"] = margin
    widest = max(max(known.values()), abs(min(known.values())), 0.01) * 1.3
    least, most = min(-widest, 1.3 * min(known.values())), max(widest * 0.6, 1.3 * max(known.values()))
    at = {name: round(100 * (value - least) / (most - least), 2) for name, value in known.items()}
    return {"margin": None, **at, "values": {**found, "margin": margin}}


def charts(metrics: Json, margin: float | None) -> dict[str, Any]:
    """The page's JSON: what the scripts draw."""
    trade = tradeoff(metrics)
    return {
        "arms": {arm["key"]: {"name": arm["name"], "title": arm.get("title")} for arm in arms_of(metrics)},
        "difference": {
            "margin": margin,
            "rows": [{**row, "tests": None} for row in difference_rows(metrics)],
        },
        "calibration": calibration(metrics),
        "labels": [
            {
                "name": row["name"],
                "support": row["support"],
                "change": row["change"],
                "f1": {key: score.get("f1") for key, score in row["arms"].items()},
            }
            for row in label_rows(metrics)
        ],
        "tradeoff": trade and {"drawn": trade["drawn"], "unmeasured": trade["unmeasured"]},
    }
