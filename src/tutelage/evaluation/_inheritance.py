"""Whose errors the student makes: its own, or the teacher's passed on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tutelage.evaluation._coded import UNANSWERED, Coded, display
from tutelage.records import Gold, Value

_CONFUSIONS = 20
_WORST = 40

Pairs = Counter[tuple[int, int]]


def errors(coded: Coded) -> dict[str, Any] | None:
    """Teacher × student × gold in five cells, and what of the student's errors comes from the teacher.

    `inherited_share` is the part of the student's errors that repeat the teacher's wrong answer; `lift` the
    student's error rate where the teacher errs over its rate where the teacher is right. Either is None
    where there is nothing to divide by. A wrong answer is the same where the task takes the student's for as
    good as the teacher's. Two missing answers are no copy of each other. `confusions` is empty where values
    are open. None where either arm is absent.
    """
    if not {"teacher", "student"} <= set(coded.answers):
        return None
    teacher, student = coded.answers["teacher"], coded.answers["student"]
    teacher_right, student_right = coded.right["teacher"], coded.right["student"]
    both_wrong = ~teacher_right & ~student_right
    same = both_wrong & coded.agree(student, teacher)
    wrong = int((~student_right).sum())
    return {
        "both_right": int((teacher_right & student_right).sum()),
        "student_only_wrong": int((teacher_right & ~student_right).sum()),
        "teacher_only_wrong": int((~teacher_right & student_right).sum()),
        "both_wrong_same": int(same.sum()),
        "both_wrong_different": int((both_wrong & ~same).sum()),
        "inherited_share": int(same.sum()) / wrong if wrong else None,
        "lift": _lift(teacher_right, student_right),
        "confusions": _confusions(coded, same) if coded.labelled else [],
    }


def _lift(teacher_right: npt.NDArray[np.bool_], student_right: npt.NDArray[np.bool_]) -> float | None:
    if teacher_right.all() or not teacher_right.any():
        return None
    where_right = float((~student_right)[teacher_right].mean())
    return float((~student_right)[~teacher_right].mean()) / where_right if where_right else None


def _confusions(coded: Coded, same: npt.NDArray[np.bool_]) -> list[dict[str, Any]]:
    """The commonest wrong answers by what gold says: the student's first, then those it shares."""
    teacher = _wrong_pairs(coded, coded.answers["teacher"], ~coded.right["teacher"])
    student = _wrong_pairs(coded, coded.answers["student"], ~coded.right["student"])
    shared = _wrong_pairs(coded, coded.answers["student"], same)
    pairs = sorted(teacher | student, key=lambda pair: (-student[pair], -shared[pair], -teacher[pair], pair))
    return [
        {
            "gold": display(coded.values[pair[0]]),
            "predicted": display(coded.values[pair[1]]),
            "teacher": teacher[pair],
            "student": student[pair],
            "shared": shared[pair],
        }
        for pair in pairs[:_CONFUSIONS]
    ]


def _wrong_pairs(coded: Coded, answers: npt.NDArray[np.int64], where: npt.NDArray[np.bool_]) -> Pairs:
    chosen = where & (answers != UNANSWERED)
    return Counter(zip(coded.gold[chosen].tolist(), answers[chosen].tolist(), strict=True))


def worst(
    gold: Sequence[Gold],
    values: Mapping[str, Sequence[Value | None]],
    right: npt.NDArray[np.bool_],
    confidence: npt.NDArray[np.float64],
    critical: Sequence[str],
) -> list[dict[str, Any]]:
    """The student's errors: critical slices first, then the most confident, at most 40.

    `values` by arm; `right`, bool [n], is the student's, and so is `confidence`, float64 [n], NaN where it
    stated none (they come last).
    """
    rows = np.flatnonzero(~right).tolist()

    def order(row: int) -> tuple[bool, float, str]:
        stated = -1.0 if np.isnan(confidence[row]) else float(confidence[row])
        return gold[row].prompt.slice not in critical, -stated, gold[row].prompt.id

    return [
        {
            "id": gold[row].prompt.id,
            "text": gold[row].prompt.text,
            "slice": gold[row].prompt.slice,
            "gold": display(gold[row].value),
            **{
                name: display(values[name][row]) if name in values else None
                for name in ("teacher", "control", "student")
            },
            "confidence": None if np.isnan(confidence[row]) else float(confidence[row]),
        }
        for row in sorted(rows, key=order)[:_WORST]
    ]
