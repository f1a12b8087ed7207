"""A task's own figures beside accuracy: of records, judgements, texts, sets of labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tutelage.evaluation import _report_format as fmt
from tutelage.evaluation.report.figures import arms_of

Json = Mapping[str, Any]

_NAMES = {
    "chrf": "chrF",
    "rouge_l": "ROUGE-L",
    "field_f1": "F1 of fields",
    "field_precision": "Precision of fields",
    "field_recall": "Recall of fields",
    "kappa": "Cohen’s kappa",
    "linear_kappa": "Linearly weighted kappa",
    "quadratic_kappa": "Quadratically weighted kappa",
    "mean_distance": "Mean distance, in points",
    "bias": "Bias (answer − gold), in points",
    "micro_f1": "Micro F1",
    "jaccard": "Jaccard (labels shared, of all given)",
}


def section(metrics: Json) -> dict[str, Any] | None:
    """Figures by arm with intervals, and a record's fields; None where the task has none of its own."""
    arms = arms_of(metrics)
    names = list(dict.fromkeys(name for arm in arms for name in arm.get("measures") or {}))
    fields = list(dict.fromkeys(name for arm in arms for name in arm.get("fields") or {}))
    if not names and not fields:
        return None
    against = {
        item["b"]: item.get("measures") or {}
        for item in metrics.get("comparisons") or ()
        if item.get("a") == "student"
    }
    return {
        "rows": [
            {
                "name": _NAMES.get(name) or fmt.words(name),
                "arms": {arm["key"]: (arm.get("measures") or {}).get(name) for arm in arms},
                "against_teacher": against.get("teacher", {}).get(name),
            }
            for name in names
        ],
        "compared": any(name in against.get("teacher", {}) for name in names),
        "fields": [
            {"name": name, "arms": {arm["key"]: (arm.get("fields") or {}).get(name) for arm in arms}}
            for name in fields
        ],
    }
