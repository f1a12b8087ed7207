"""metrics.json's further sections, made up in the shapes of docs/design/evaluation.md; `text` stands in all of them."""

from __future__ import annotations

from typing import Any

from money_world import quantities
from tutelage.economics import economics
from tutelage.evaluation import JudgedPair, preference

ARMS = ("student", "teacher")


def share(estimate: float, n: int = 200) -> dict[str, Any]:
    return {"estimate": estimate, "low": max(0.0, estimate - 0.05), "high": min(1.0, estimate + 0.05), "n": n}


def difference(estimate: float, n: int = 200) -> dict[str, Any]:
    ends = {"low": estimate - 0.04, "high": estimate + 0.04}
    return {"estimate": estimate, **ends, "n": n, "only_student": 9, "only_other": 4}


def votes(text: str = "fine") -> dict[str, Any]:
    judged = [
        *[JudgedPair("normal", True, {"Ada": "student", "Ben": "student"})] * 9,
        *[JudgedPair("hard", True, {"Ada": "teacher"}, against_gold=True)] * 3,
        JudgedPair("hard", True, {"Ada": "student", "Ben": "both"}),
        JudgedPair("hard", False, {"Ada": "neither"}),
    ]
    examples = [
        {
            **dict.fromkeys(("id", "text", "slice"), text),
            "gold": '"billing"',
            "student": '["a", "b"]',
            "teacher": '{"n": 1}',
            "outcome": "teacher",
            "votes": 1,
            "comments": [text],
        }
    ]
    return {**preference(judged, ARMS, pairs=240, differing=30), "where": "gold", "examples": examples}


def money() -> dict[str, Any]:
    return economics(quantities(requests=(50_000, 100_000, 200_000)), draws=500).to_json()


def robustness(text: str = "typos") -> dict[str, Any]:
    def row(name: str, expectation: str, student: float, teacher: float, injected: bool = False) -> Any:
        arms = {
            arm: {
                "flips": share(flips),
                "right_before": share(0.9),
                "right_after": share(0.9 - flips),
                "obeyed": share(0.03) if injected else None,
            }
            for arm, flips in (("teacher", teacher), ("control", 0.2), ("student", student))
        }
        return {
            "name": name,
            "family": text,
            "expectation": expectation,
            "n": 200,
            "arms": arms,
            "differences": {"teacher": difference(student - teacher), "control": difference(student - 0.2)},
            "slices": {},
        }

    return {
        "arms": ["teacher", "control", "student"],
        "examples": 200,
        "perturbations": [
            row(text, "same", 0.15, 0.05),
            row("injection-order", "same", 0.06, 0.05, injected=True),
            row("truncation", "open", 0.4, 0.4),
            row("negation", "different", 0.5, 0.7),
        ],
        "worst": [
            {
                "perturbation": text,
                **dict.fromkeys(("id", "slice", "gold", "before", "after"), text),
                "answers": {"teacher": ['"billing"', '"billing"'], "student": ['"billing"', text]},
            }
        ],
    }


def safety(text: str = "weapons") -> dict[str, Any]:
    def row(student: float, teacher: float) -> dict[str, Any]:
        arms = {"teacher": share(teacher), "control": None, "student": share(student)}
        return {"n": 200, "arms": arms, "differences": {"teacher": difference(student - teacher)}}

    return {
        "declining": "refusal",
        "arms": ["teacher", "control", "student"],
        "unsafe": row(0.7, 0.99),
        "safe": row(0.1, 0.04),
        "suites": {
            text: {"unsafe": row(0.7, 0.99), "safe": None},
            "own": {"unsafe": None, "safe": row(0.1, 0.04)},
        },
        "topics": {text: row(0.5, 1.0)},
        "worst": [
            {
                **dict.fromkeys(("suite", "id", "topic", "text"), text),
                "unsafe": True,
                "answers": {"teacher": "I can't help with that.", "student": text},
            }
        ],
    }


def coverage(text: str = "refund, parcel, lost") -> dict[str, Any]:
    cluster = {
        "cluster": 3,
        "name": text,
        "traffic": 0.124,
        "gold": 4,
        "expected": 29.8,
        "p": 1e-6,
        "training": 7,
    }
    worst = {
        "cluster": 3, "name": text, "n": 12, "shrunken": 0.62, "low": 0.41, "high": 0.8, "p": 0.004, "worse": True,
        "arms": {"teacher": 0.75, "control": 0.5, "student": 0.5},
        "loss": {"estimate": -0.25, "low": -0.6, "high": 0.1},
    }  # fmt: skip
    weighted = {arm: share(0.85) for arm in ("teacher", "control", "student")}
    return {
        "clusters": [
            {**cluster, "state": "thin", "needed": 26},
            {**cluster, "cluster": 1, "name": "invoice", "state": "covered", "needed": 0},
        ],
        "unlike": {"estimate": 0.124, "without_gold": 0.0, "by_chance": 0.01, "clusters": 1, "needed": 26},
        "beyond_reach": {**share(0.11, 5_000), "reach": 0.7},
        "classifier": {"auc": 0.66, "low": 0.61, "high": 0.7, "p": 0.001},
        "kernel": {"mmd": 0.04, "mmd_by_chance": 0.02, "p": 0.002},
        "length": {"gold": {"median": 45.0}, "traffic": {"median": 61.0}, "p": 0.001},
        "nearest": {"gold_nearer": 0.58, "low": 0.53, "high": 0.62, "p": 0.001},
        "leakage": {
            "left": [{"pairs": 2, "kind": "near", "part": text}],
            "arms": {arm: {"leaked": share(0.95, 3), "others": share(0.65, 197)} for arm in weighted},
        },
        "weighted": {
            "cluster": {"arms": weighted, "covered": 0.97, "doubts": [text]},
            "density": None,
            "label": {"arms": weighted, "covered": 1.0, "doubts": []},
        },
        "slices": {"worst": [worst], "tested": 14, "worse": 1},
        "labels": {
            "distance": 0.1, "by_chance": 0.08, "p": 0.01,
            "labels": [{"label": text, "gold": 0.1, "traffic": 0.2, "p": 0.01}],
        },
    }  # fmt: skip


def of_slices(errors: dict[str, Any]) -> dict[str, Any]:
    """`errors` with intervals, slices, a control, and how sure the arms are where they are wrong."""
    ends = {"inherited_share_low": 0.2, "inherited_share_high": 0.7, "lift_low": 2.0, "lift_high": None}
    cells = {
        "both_right": 90, "student_only_wrong": 4, "teacher_only_wrong": 3, "both_wrong_same": 5,
        "both_wrong_different": 1, "inherited_share": 0.5, "lift": 8.0, **ends,
    }  # fmt: skip
    sure = {
        "n": 200, "errors": 12, "gap": share(0.02), "where_wrong": share(0.81), "where_right": share(0.95),
        "confident_errors": share(0.04),
    }  # fmt: skip
    confusions = [{**item, "beyond_chance": place == 0} for place, item in enumerate(errors["confusions"])]
    return {
        **errors,
        **ends,
        "slices": {"normal": cells, "hard": {**cells, "inherited_share": None, "lift": None}},
        "control": {"inherited_share": 0.25},
        "confidence": {"teacher": None, "control": sure, "student": sure},
        "confusions": confusions,
        "confusions_tested": 44,
    }


def with_all(metrics: dict[str, Any], text: str = "lost parcel") -> dict[str, Any]:
    """Metrics with every section that there can be."""
    figure = {"estimate": 0.71, "low": 0.66, "high": 0.75, "slices": {}}
    field = {
        "support": 40,
        "given": 38,
        **dict.fromkeys(("accuracy", "precision", "recall", "f1"), share(0.8)),
    }
    arms = {
        name: {**arm, "measures": {"field_f1": figure, "chrf": figure}, "fields": {text: field}}
        for name, arm in metrics["arms"].items()
    }
    arms["student"] |= {
        "ece_low": 0.02,
        "ece_high": 0.04,
        "unscaled": {
            "temperature": 1.7,
            "ece": 0.09,
            "brier": 0.2,
            "reliability": arms["student"]["reliability"],
        },
    }
    return {
        **metrics,
        "arms": arms,
        "errors": of_slices(metrics["errors"]),
        "votes": votes(text),
        "economics": money(),
        "robustness": robustness(text),
        "safety": safety(text),
        "coverage": coverage(text),
    }
