"""`predictions.parquet`: what every arm said of every example of gold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tutelage.evaluation.arms import ARM_NAMES, Arm
from tutelage.evaluation.calibration import confidence_of
from tutelage.records import AnyGold, dump_value

if TYPE_CHECKING:
    import pyarrow as pa


def predictions_table(gold: Sequence[AnyGold], arms: Mapping[str, Arm]) -> pa.Table:
    """A row for each example: id, text, slice, gold and each arm's value (JSON), each arm's confidence.

    Null stands for an answer or a confidence that isn't there. The arms are those that `evaluate` took.
    """
    import pyarrow as pa

    columns: dict[str, pa.Array] = {
        "id": pa.array([item.prompt.id for item in gold], pa.string()),
        "text": pa.array([item.prompt.text for item in gold], pa.string()),
        "slice": pa.array([item.prompt.slice for item in gold], pa.string()),
        "gold": pa.array([dump_value(item.value) for item in gold], pa.string()),
    }
    for name in ARM_NAMES:
        values = arms[name].values if name in arms else [None] * len(gold)
        dumped = [None if value is None else dump_value(value) for value in values]
        columns[name] = pa.array(dumped, pa.string())
    for name in ARM_NAMES:
        confidence = confidence_of(arms[name]) if name in arms else np.full(len(gold), np.nan)
        columns[f"{name}_confidence"] = pa.array(confidence, pa.float64(), from_pandas=True)
    return pa.table(columns)
