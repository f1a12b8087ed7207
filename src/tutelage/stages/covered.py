"""Coverage once the arms have answered gold: accuracy on the traffic, slices by cluster, label shift."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
    labelled = _Labelled.read(programme, evaluated, placed.filter(pc.field("part") == "traffic"))
    weights = {name: _weights(gold, name, share) for name, share in content.pop("covered").items()}
    weights["label"] = labelled.weights() if labelled else None
    return {
        "coverage": {
            **content,
            "weighted": {name: weighted_figures(right, one) for name, one in weights.items()},
            "leakage": {**content["leakage"], "arms": with_and_without(right, _leaked(gold))},
            "slices": slices_by_cluster(right, gold["cluster"].to_numpy(), names)
            if "student" in right
            else None,
            "labels": labelled.shift(programme.config.coverage.seed) if labelled else None,
        }
    }


def _leaked(gold: pa.Table) -> npt.NDArray[np.bool_]:
    """Which examples are known in any way, bool [n]."""
    import numpy as np

    return np.array([kind is not None for kind in gold["leak"].to_pylist()], dtype=bool)


def _weights(gold: pa.Table, name: str, covered: float | None) -> Weights | None:
    from tutelage.evaluation.weighting import Weights

    return None if covered is None else Weights(gold[f"{name}_weight"].to_numpy(), covered)


@dataclass(frozen=True, eq=False)
class _Labelled:
    """What the teacher says, people's corrections undone: of gold, and how often of the traffic."""

    task: LabelTask
    gold: Sequence[Value | None]
    traffic: Counter[Value]

    @classmethod
    def read(cls, programme: Programme, evaluated: Evaluated, traffic: pa.Table) -> _Labelled | None:
        """None where values are open or there is no teacher."""
        import pyarrow.compute as pc

        task, teacher = with_labels(evaluated.task), evaluated.arms.get("teacher")
        if task is None or teacher is None:
            return None
        answers = storage.read_table(programme.transfer).select(["hash", "status", "value", "teacher_value"])
        answers = answers.filter(pc.field("status") == str(AnswerStatus.OK))
        answers = answers.join(traffic.select(["hash"]), keys="hash", join_type="left semi")
        said = pc.value_counts(pc.coalesce(answers["teacher_value"], answers["value"])).to_pylist()
        return cls(task, teacher.values, Counter({load_value(one["values"]): one["counts"] for one in said}))

    def shift(self, seed: int) -> dict[str, Any] | None:
        """The teacher's labels on gold against its labels on the traffic."""
        from tutelage.evaluation.shift import LabelCounts, label_shift

        gold = Counter(value for value in self.gold if value is not None)
        labels = self.task.labels
        counts = LabelCounts(
            labels, self._by_label(gold), self._by_label(self.traffic), gold.total(), self.traffic.total()
        )
        return label_shift(counts, seed=seed)

    def weights(self) -> Weights | None:
        """By the teacher's label; None where a value may have several."""
        import numpy as np

        from tutelage.evaluation.coverage import COVERED, gold_by_cluster
        from tutelage.evaluation.weighting import LEAST_GOLD, label_weights

        if self.task.multi_label or not self.traffic:
            return None
        labels, names_of = self.task.labels, self.task.names_of
        codes = np.array([-1 if value is None else labels.index(names_of(value)[0]) for value in self.gold])
        traffic = self._by_label(self.traffic)
        held = np.bincount(codes[codes >= 0], minlength=len(labels))
        uncovered = np.zeros(len(labels), dtype=bool)
        for entry in gold_by_cluster(labels, traffic, held):
            uncovered[entry["cluster"]] = entry["state"] != COVERED and entry["gold"] < LEAST_GOLD
        return label_weights(traffic, codes, uncovered)

    def _by_label(self, values: Counter[Value]) -> npt.NDArray[np.int64]:
        """How often each label was given, int64 [labels]."""
        import numpy as np

        counts = np.zeros(len(self.task.labels), dtype=np.int64)
        for value, count in values.items():
            for label in self.task.names_of(value):
                counts[self.task.labels.index(label)] += count
        return counts


COVERAGE_SUBJECT = Subject("coverage", _inputs, _sections)
