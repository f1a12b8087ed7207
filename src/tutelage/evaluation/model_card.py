"""A student's model card, as the Hugging Face hub reads it: metadata in YAML, then text for people."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import as_file, files
from typing import Any

from tutelage.evaluation import _report_format as fmt
from tutelage.evaluation.provenance import Figure, Provenance

_PIPELINES = {
    "classify": "text-classification",
    "judge": "text-classification",
    "extract": "text-generation",
    "generate": "text-generation",
}
# By the hub's names for metrics.
_METRICS = {"accuracy": "accuracy", "macro-F1": "f1"}


def model_card(told: Provenance) -> str:
    """The card: `model-index` with intervals, and what a reader asks of a model (Mitchell et al. 2019)."""
    from huggingface_hub import EvalResult, ModelCard, ModelCardData

    pipeline = _PIPELINES[told.task]
    results = [
        EvalResult(
            task_type=pipeline,
            dataset_type="private",
            dataset_name="sealed gold",
            dataset_config=f"slice {one.slice}" if one.slice else "all",  # results of one config are merged
            metric_type=_METRICS.get(one.name, one.name),
            metric_name=one.name,
            metric_value=one.value,
            metric_args={"confidence": told.metrics["confidence"], "low": one.low, "high": one.high},
        )
        for one in told.figures()
    ]
    data = ModelCardData(
        model_name=told.name,
        pipeline_tag=pipeline,
        library_name="tutelage",
        base_model=told.base,
        tags=["knowledge-distillation", "tutelage"],
        eval_results=results,
    )
    with as_file(files("tutelage.evaluation").joinpath("model_card.md.j2")) as template:
        card = ModelCard.from_template(data, template_path=str(template), **_told(told))
    return str(card)


def _told(told: Provenance) -> dict[str, Any]:
    config, student = told.run["config"], told.metrics["arms"]["student"]
    return {
        "name": _cell(told.name),
        "run": told.run["run"],
        "task": told.task,
        "family": config["family"],
        "base": _cell(told.base or "none: its weights began at random"),
        "verdict": told.decision["verdict"],
        "evidence": [(item["verdict"], _cell(item["reason"])) for item in told.decision["evidence"]],
        "distillation": _cell(told.decision.get("distillation", "")),
        "teachers": [_teacher(facts) for _, facts in told.teachers()],
        "shown": [_cell(words) for words in told.duties.shown()],
        "duties": [(one.state, _cell(f"{one.entry}: {one.duty.text} {one.how}")) for one in told.duties.owed],
        "data": [
            (data.name, data.purpose, fmt.count(data.rows), _cell(data.source or "–"), data.sha256)
            for data in told.data
        ],
        "hyperparameters": [(name, _cell(value)) for name, value in told.hyperparameters().items()],
        "figures": [_row(one) for one in told.figures()],
        "n": fmt.count(told.metrics["n"]),
        "footprint": list(_footprint(student["footprint"] or {})),
        "files": [(_cell(file.path), fmt.megabytes(file.size / 1e6), file.sha256) for file in told.files],
        "libraries": sorted(told.libraries.items()),
        "version": told.version,
        "created": told.created,
        "examples": fmt.count(told.run["student"]["examples"]),
        "steps": fmt.count(told.run["student"]["record"]["steps"]),
        "seconds": fmt.seconds(told.run["student"]["record"]["seconds"]),
    }


def _row(one: Figure) -> tuple[str, str, str, str]:
    known = one.low is not None and one.high is not None
    interval = f"{one.low:.3f} to {one.high:.3f}" if known else "–"
    return one.name, _cell(one.slice or "all"), f"{one.value:.3f}", interval


def _teacher(facts: Any) -> dict[str, str]:
    teacher, terms = facts["teacher"], facts.get("terms") or {}
    override = facts.get("override") or {}
    return {
        "name": _cell(teacher.get("model") or teacher["type"]),
        "type": teacher["type"],
        "entry": facts["entry"],
        "clause": _cell(terms.get("clause") or "no entry of the registry"),
        "source": _cell(terms.get("source") or ""),
        "read": str(terms.get("read") or ""),
        "override": _cell(f"{override['name']}: {override['reason']}") if override else "",
        "distribution": facts["distribution"],
    }


def _footprint(footprint: Any) -> Iterator[tuple[str, str]]:
    shown = (
        ("latency_p50_ms", "median latency, one text on one thread", fmt.milliseconds),
        ("latency_p95_ms", "p95 latency", fmt.milliseconds),
        ("size_mb", "size on disk", fmt.megabytes),
        ("parameters", "weights", fmt.large),
    )
    for key, text, show in shown:
        if footprint.get(key) is not None:
            yield text, show(footprint[key])


def _cell(text: str) -> str:
    """As Markdown shows it in a table: no line ends, nothing that is taken for markup."""
    flat = " ".join(str(text).split())
    for mark in ("\\", "|", "`", "*", "_", "<", "[", "]"):
        flat = flat.replace(mark, f"\\{mark}" if mark != "<" else "&lt;")
    return flat
