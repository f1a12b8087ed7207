"""Is gold like the traffic: what gold lacks, accuracy on the traffic, and the worst clusters in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tutelage.evaluation import _report_format as fmt
from tutelage.evaluation.report.figures import ARMS, OVERALL

Json = Mapping[str, Any]

_CLUSTERS = 12
_WEIGHTED = {"cluster": "by clusters", "density": "by nearness", "label": "by the teacher’s labels"}


def section(metrics: Json) -> dict[str, Any] | None:
    """Coverage in words and numbers, with `chart`; None where it wasn't measured."""
    found = metrics.get("coverage")
    if not found:
        return None
    clusters = found.get("clusters") or []
    short = [item for item in clusters if item["state"] != "covered"]
    slices = found.get("slices") or {}
    worst = slices.get("worst") or []
    return {
        "sentences": list(_sentences(found)),
        "clusters": (short or clusters)[:_CLUSTERS],
        "short": len(short),
        "of": len(clusters),
        "weighted": _weighted(metrics, found),
        "tests": list(_tests(found)),
        "worst": worst,
        "worse": slices.get("worse") or 0,
        "tested": slices.get("tested") or 0,
        "leaks": _leaks(found.get("leakage") or {}),
        "known": _known((found.get("leakage") or {}).get("arms")),
        "labels": ((found.get("labels") or {}).get("labels") or [])[:_CLUSTERS],
        "chart": {
            "arms": ["student"],
            "rows": [
                {
                    "name": item["name"],
                    "n": item["n"],
                    "parts": {
                        "student": {
                            "estimate": item["shrunken"],
                            "low": item["low"],
                            "high": item["high"],
                        }
                    },
                }
                for item in worst
            ],
        },
    }


def _sentences(found: Json) -> Iterator[str]:
    unlike = found.get("unlike") or {}
    estimate = unlike.get("estimate")
    if fmt.is_number(estimate) and estimate > 0:
        more = unlike.get("needed")
        mend = f" About {fmt.count(more)} more labelled prompts of these would mend it." if more else ""
        yield (
            f"{fmt.percent(estimate)} of the traffic is of kinds that gold lacks or has too few of: what is "
            f"told here doesn’t speak of it.{mend}"
        )
    elif fmt.is_number(estimate):
        yield "No kind of traffic is surely missing from gold, or too rare in it."
    beyond = found.get("beyond_reach")
    if beyond:
        yield (
            f"{fmt.percent(beyond['estimate'])} of the traffic ({fmt.percent_interval(beyond)}) lies farther "
            "from gold than nearly all of gold does from the rest of it; 5% would if the two were alike."
        )


def _weighted(metrics: Json, found: Json) -> list[dict[str, Any]]:
    """Accuracy as gold has it, then weighed as the traffic is."""
    arms = metrics.get("arms") or {}
    plain = {name: arms[name]["accuracy"] for name in ARMS if arms.get(name)}
    rows: list[dict[str, Any]] = [
        {"name": f"{OVERALL}, on gold as it is", "arms": plain, "covered": None, "doubts": []}
    ]
    for name, part in (found.get("weighted") or {}).items():
        if part:
            rows.append(
                {
                    "name": f"As on the traffic, {_WEIGHTED.get(name, name)}",
                    "arms": part.get("arms") or {},
                    "covered": part.get("covered"),
                    "doubts": [str(doubt) for doubt in part.get("doubts") or ()],
                }
            )
    return rows if len(rows) > 1 else []


def _tests(found: Json) -> Iterator[tuple[str, str, str]]:
    """Name, figure and how it reads, of each test there is."""
    if test := found.get("classifier"):
        yield (
            "Told apart by a classifier",
            f"AUC {test['auc']:.2f} ({test['low']:.2f} to {test['high']:.2f}), {fmt.p_value(test['p'])}",
            "0.5 where gold and traffic can’t be told apart",
        )
    if test := found.get("kernel"):
        yield (
            "Kernel distance (MMD)",
            f"{test['mmd']:.3f}, {fmt.p_value(test['p'])}",
            f"below {test['mmd_by_chance']:.3f} by chance",
        )
    if test := found.get("length"):
        yield (
            "Length, median",
            f"{fmt.count(test['gold']['median'])} characters in gold, {fmt.count(test['traffic']['median'])} "
            f"in the traffic, {fmt.p_value(test['p'])}",
            "",
        )
    if test := found.get("nearest"):
        yield (
            "Nearer than fresh traffic to what is learned from",
            f"{test['gold_nearer']:.2f} ({test['low']:.2f} to {test['high']:.2f})",
            "0.5 where gold is as new to the student as traffic will be; above, gold flatters it",
        )
    if test := found.get("labels"):
        yield (
            "Labels, as the teacher gives them",
            f"distance {test['distance']:.3f}, {fmt.p_value(test['p'])}",
            f"below {test['by_chance']:.3f} by chance",
        )


def _leaks(leakage: Json) -> list[str]:
    return [
        f"{fmt.plural(item['pairs'], 'pair')}: {item['kind']} ({item['part']})"
        for item in leakage.get("left") or ()
    ]


def _known(arms: Json | None) -> list[dict[str, Any]]:
    """Accuracy on what leaked beside that on all other examples; empty where nothing did."""
    if not arms:
        return []
    return [
        {"name": name, "arms": {arm: arms[arm][part] for arm in ARMS if (arms.get(arm) or {}).get(part)}}
        for part, name in (("leaked", "Examples that leaked"), ("others", "All others"))
    ]
