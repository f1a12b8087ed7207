"""Coverage once the arms have answered gold: accuracy on the traffic, slices by cluster, label shift."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tutelage import storage
from tutelage.programme import Programme, fingerprint
from tutelage.records import AnswerStatus, Value, load_value
from tutelage.stages.coverage import COVERAGE, read_coverage
from tutelage.stages.subjects import Evaluated, Subject, left_by
from tutelage.tasks import LabelTask, with_labels

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    from tutelage.evaluation.weighting import Weights


def _inputs(programme: Programme) -> Mapping[str, str]:
    return {
        "prompts/coverage.json": fingerprint(programme.coverage),
        "prompts/coverage.parquet": fingerprint(programme.placed),
        "answers/transfer.parquet": fingerprint(programme.transfer),
    }


def _sections(programme: Programme, evaluated: Evaluated) -> Mapping[str, Any]:
    """`coverage`: coverage.json with `weighted`, `slices` and `labels`; None where that isn't up to date."""
    if left_by(COVERAGE, programme, programme.coverage) is None:
        return {"coverage": None}
    import pyarrow.compute as pc

    from tutelage.evaluation.coverage import right_by_arm, slices_by_cluster, with_and_without
    from tutelage.evaluation.weighting import weighted_figures

    content = read_coverage(programme)
    placed = storage.read_table(programme.placed)
    gold = placed.filter(pc.field("part") == "gold")
    right = right_by_arm(evaluated.task, evaluated.gold, evaluated.arms)
    clusters = sorted(content["clusters"], key=lambda entry: int(entry["cluster"]))
    names = [entry["name"] for entry in clusters]
    covered = content.pop("covered")
    return {
        "coverage": {
            **content,
            "weighted": {
                name: weighted_figures(right, _weights(gold, name, share)) for name, share in covered.items()
            },
            "leakage": {**content["leakage"], "arms": with_and_without(right, _leaked(gold))},
            "slices": slices_by_cluster(right, gold["cluster"].to_numpy(), names)
            if "student" in right
            else None,
            "labels": _labels(programme, evaluated, placed.filter(pc.field("part") == "traffic")),
        }
    }


def _leaked(gold: pa.Table) -> npt.NDArray[np.bool_]:
    """Which examples are known in any way, bool [n]."""
    import numpy as np

    return np.array([kind is not None for kind in gold["leak"].to_pylist()], dtype=bool)


def _weights(gold: pa.Table, name: str, covered: float | None) -> Weights | None:
    from tutelage.evaluation.weighting import Weights

    return None if covered is None else Weights(gold[f"{name}_weight"].to_numpy(), covered)


def _labels(programme: Programme, evaluated: Evaluated, traffic: pa.Table) -> dict[str, Any] | None:
    """The teacher's labels on gold against its labels on the traffic, people's corrections undone."""
    import pyarrow.compute as pc

    from tutelage.evaluation.shift import LabelCounts, label_shift

    task, teacher = with_labels(evaluated.task), evaluated.arms.get("teacher")
    if task is None or teacher is None:
        return None
    answers = storage.read_table(programme.transfer).select(["hash", "status", "value", "teacher_value"])
    answers = answers.filter(pc.field("status") == str(AnswerStatus.OK))
    answers = answers.join(traffic.select(["hash"]), keys="hash", join_type="left semi")
    said = pc.value_counts(pc.coalesce(answers["teacher_value"], answers["value"])).to_pylist()
    on_traffic = Counter({load_value(row["values"]): int(row["counts"]) for row in said})
    on_gold = Counter(value for value in teacher.values if value is not None)
    counts = LabelCounts(
        task.labels,
        _by_label(on_gold, task),
        _by_label(on_traffic, task),
        on_gold.total(),
        on_traffic.total(),
    )
    return label_shift(counts, seed=programme.config.coverage.seed)


def _by_label(values: Counter[Value], task: LabelTask) -> npt.NDArray[np.int64]:
    """How often each label was given, int64 [labels]."""
    import numpy as np

    place = {label: index for index, label in enumerate(task.labels)}
    counts = np.zeros(len(place), dtype=np.int64)
    for value, count in values.items():
        for label in task.names_of(value):
            counts[place[label]] += count
    return counts


COVERAGE_SUBJECT = Subject("coverage", _inputs, _sections)
