"""An arm: what one of teacher, control and student said of the whole gold set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from tutelage.errors import DataError
from tutelage.evaluation.footprint import Footprint
from tutelage.records import AnswerStatus, AnyGold, Value
from tutelage.tasks import LabelTask, Task, with_labels

if TYPE_CHECKING:
    from tutelage.records import Distribution

ARM_NAMES = ("teacher", "control", "student")
# How far a row of probabilities may sum from 1: what half precision and rounded log-probabilities leave.
_SUM_TOLERANCE = 0.02
_ROUNDING = 1e-5  # cosines of float32 embeddings


@dataclass(frozen=True, eq=False)
class Arm:
    """One arm's answers, in the order of gold.

    `name` is teacher, control or student. A value of None (quarantined, or never answered) counts as wrong.
    `distributions` is float32 [n, labels] in the task's order, or None; a row of NaN is an answer without
    probabilities, which calibration leaves out. Where values are open there are none, and `confidence` may
    say how sure each answer was: float64 [n] in [0, 1], NaN where it wasn't said. It ranks answers; whether
    it is a probability of being right nobody has shown. `similarity` is, of texts, how alike answer and gold
    are by an encoder's embeddings: float64 [n], cosines, whatever where there is no answer. `temperature`
    is what the logits behind `distributions` were divided by, so that they can be judged without it too.
    """

    name: str
    title: str
    values: Sequence[Value | None]
    distributions: Distribution | None = None
    footprint: Footprint | None = None
    confidence: npt.NDArray[np.float64] | None = None
    similarity: npt.NDArray[np.float64] | None = None
    temperature: float | None = None


def check_arms(task: Task, gold: Sequence[AnyGold], arms: Mapping[str, Arm]) -> None:
    """Raise DataError unless every arm answers every example of gold with values of the task."""
    if not gold:
        raise DataError("gold holds no example, so there is nothing to evaluate on. Mend: seal a gold set")
    if unknown := sorted(set(arms) - set(ARM_NAMES)):
        raise DataError(f"unknown arm {unknown[0]!r}. Mend: the arms are {', '.join(ARM_NAMES)}")
    known: set[Value] = set()
    _check_values(task, [item.value for item in gold], "gold", known)
    for name, arm in arms.items():
        if len(arm.values) != len(gold):
            raise DataError(
                f"arm {name!r} has {len(arm.values)} values for {len(gold)} examples of gold. "
                "Mend: give one for each, None where there is no answer"
            )
        _check_values(task, arm.values, f"arm {name!r}", known)
        if arm.distributions is not None:
            _check_distributions(task, arm.distributions, len(gold), name)
        if arm.confidence is not None:
            _check_column(arm.confidence, len(gold), name, "confidence", 0.0)
        if arm.similarity is not None:
            _check_column(arm.similarity, len(gold), name, "similarity", -1.0)


def _check_values(task: Task, values: Sequence[Value | None], where: str, known: set[Value]) -> None:
    """`known` are values that were looked at already; those of this column are added."""
    labelled = with_labels(task)
    if labelled is not None:
        return _check_labels(labelled, values, where)
    for position, value in enumerate(values):
        if value is None or value in known:
            continue
        parsed = task.admit(value)
        if parsed.status is not AnswerStatus.OK:
            raise DataError(
                f"{where}, example {position + 1}: {parsed.reason}. "
                "Mend: correct the value, or quarantine the answer (None)"
            )
        known.add(value)
    return None


def _check_labels(task: LabelTask, values: Sequence[Value | None], where: str) -> None:
    known = set(task.labels)
    for position, value in enumerate(values):
        for label in () if value is None else task.names_of(value):
            if label not in known:
                raise DataError(
                    f"{where}, example {position + 1}: {label!r} is none of the task's {len(known)} labels. "
                    "Mend: add it to task.labels, or quarantine the answer (None)"
                )


def _check_column(numbers: npt.NDArray[np.float64], n: int, name: str, what: str, least: float) -> None:
    stated = numbers[~np.isnan(numbers)]
    if numbers.shape != (n,) or not ((stated >= least - _ROUNDING) & (stated <= 1 + _ROUNDING)).all():
        raise DataError(
            f"arm {name!r}: {what} has shape {numbers.shape} or numbers outside {least:g} to 1. "
            f"Mend: give {n} numbers in [{least:g}, 1], NaN where an answer has none"
        )


def _check_distributions(task: Task, distributions: Distribution, n: int, name: str) -> None:
    if distributions.shape != (n, len(task.labels)):
        raise DataError(
            f"arm {name!r}: distributions have shape {distributions.shape}, not {(n, len(task.labels))}. "
            "Mend: one row for each example, one column for each label"
        )
    stated = distributions[~np.isnan(distributions).all(axis=1)]
    sums = stated.sum(axis=1, dtype=np.float64)
    in_range = ((stated >= -_SUM_TOLERANCE) & (stated <= 1 + _SUM_TOLERANCE)).all()
    if not in_range or not (task.multi_label or (np.abs(sums - 1) <= _SUM_TOLERANCE).all()):
        raise DataError(
            f"arm {name!r}: distributions hold numbers that are no probabilities. "
            "Mend: give softmax (one label) or sigmoid (several) outputs, a row of NaN where there is none"
        )
