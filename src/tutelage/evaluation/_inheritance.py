"""Whose errors the student makes: its own, or the teacher's passed on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tutelage.evaluation._coded import UNANSWERED, Coded, Codes, Flags, display
from tutelage.evaluation.intervals import CONFIDENCE, proportion_interval, ratio_interval
from tutelage.evaluation.multiplicity import OneSidedTest, holm
from tutelage.evaluation.overconfidence import overconfidence
from tutelage.records import AnyGold, Value

_CONFUSIONS = 20
_WORST = 40

Floats = npt.NDArray[np.float64]
Pairs = Counter[tuple[int, int]]


def errors(coded: Coded, stated: Mapping[str, Floats]) -> dict[str, Any] | None:
    """Teacher × student × gold in five cells, and what of the student's errors comes from the teacher.

    `stated` are the arms' confidences, float64 [n], NaN where none was. `inherited_share` is the part of the
    student's errors that repeat the teacher's wrong answer, `inherited` the share of gold on which it does;
    `lift` the student's error rate where the teacher errs over its rate where the teacher is right. All have
    intervals (`_low`, `_high`; a lift's high end of None is infinity); each is None where there is nothing to
    divide by. "control" has the same of the control arm, which has never seen the teacher where it learned
    from humans: what it shares with the teacher is how hard the examples are. A wrong answer is the same
    where the task takes the student's for as good as the teacher's. Two missing answers are no copy of each
    other. "confidence" has `overconfidence` of each arm, "slices" all of this by slice, "confusions" what
    `_confusions` says. None where either arm is absent.
    """
    if not {"teacher", "student"} <= set(coded.answers):
        return None
    everywhere = np.arange(coded.n)
    return {
        **_of(coded, stated, everywhere),
        "slices": {name: _of(coded, stated, rows) for name, rows in coded.slices.items()},
        **_confusions(coded),
    }


def _of(coded: Coded, stated: Mapping[str, Floats], rows: Codes) -> dict[str, Any]:
    """All but the confusions, of the examples at `rows`."""
    return {
        **_cells(coded, "student", rows),
        "control": _cells(coded, "control", rows) if "control" in coded.answers else None,
        "confidence": {
            name: overconfidence(coded.right[name][rows], stated[name][rows]) for name in coded.answers
        },
    }


def _cells(coded: Coded, arm: str, rows: Codes) -> dict[str, Any]:
    teacher_right, right = coded.right["teacher"][rows], coded.right[arm][rows]
    both_wrong = ~teacher_right & ~right
    same = coded.repeats[arm][rows]
    shared, wrong = int(same.sum()), int((~right).sum())
    return {
        "both_right": int((teacher_right & right).sum()),
        f"{arm}_only_wrong": int((teacher_right & ~right).sum()),
        "teacher_only_wrong": int((~teacher_right & right).sum()),
        "both_wrong_same": shared,
        "both_wrong_different": int((both_wrong & ~same).sum()),
        "inherited": _share(shared, len(rows)),
        **_named("inherited_share", _share(shared, wrong)),
        **_named("lift", _lift(teacher_right, right)),
    }


def _named(name: str, found: dict[str, Any] | None) -> dict[str, Any]:
    known = found or {}
    return {name: known.get("estimate"), f"{name}_low": known.get("low"), f"{name}_high": known.get("high")}


def _share(count: int, n: int) -> dict[str, Any] | None:
    if n == 0:
        return None
    low, high = proportion_interval(count, n)
    return {"estimate": count / n, "low": low, "high": high, "n": n}


def _lift(teacher_right: Flags, right: Flags) -> dict[str, Any] | None:
    """None where the teacher is always or never right, or the arm always right where the teacher is."""
    n, other_n = int((~teacher_right).sum()), int(teacher_right.sum())
    if n == 0 or other_n == 0:
        return None
    wrong, other = int((~right & ~teacher_right).sum()), int((~right & teacher_right).sum())
    low, high = ratio_interval(wrong, n, other, other_n)
    estimate = (wrong / n) / (other / other_n) if other else None
    return {"estimate": estimate, "low": low, "high": high, "n": n}


def _confusions(coded: Coded) -> dict[str, Any]:
    """The commonest wrong answers by what gold says: the student's first, then those it shares.

    `support` counts gold's examples of that value, `expected` those that both arms would answer so by chance,
    each erring as often as it does. `p_value` is that of Fisher's exact test against sharing as many or more,
    `beyond_chance` whether Holm's procedure shows it at 2.5% over all "confusions_tested", which are those
    that either arm makes. Both are empty where values are open.
    """
    if not coded.labelled:
        return {"confusions": [], "confusions_tested": 0}
    teacher = _wrong_pairs(coded, coded.answers["teacher"], ~coded.right["teacher"])
    student = _wrong_pairs(coded, coded.answers["student"], ~coded.right["student"])
    shared = _wrong_pairs(coded, coded.answers["student"], coded.repeats["student"])
    pairs = sorted(teacher | student, key=lambda pair: (-student[pair], -shared[pair], -teacher[pair], pair))
    support = np.bincount(coded.gold, minlength=len(coded.values))
    counts = np.array(
        [(support[pair[0]], teacher[pair], student[pair], shared[pair]) for pair in pairs], dtype=np.int64
    ).reshape(-1, 4)
    p_values = _chance(counts)
    beyond = holm([OneSidedTest(p, 0.0, lambda _: 0.0) for p in p_values.tolist()], (1 - CONFIDENCE) / 2)
    found = [
        {
            "gold": display(coded.values[pair[0]]),
            "predicted": display(coded.values[pair[1]]),
            "teacher": teacher[pair],
            "student": student[pair],
            "shared": shared[pair],
            "support": int(of),
            "expected": float(by_teacher * by_student / of),
            "p_value": float(p_value),
            "beyond_chance": tested.rejected,
        }
        for pair, (of, by_teacher, by_student, _), p_value, tested in zip(
            pairs[:_CONFUSIONS], counts, p_values, beyond, strict=False
        )
    ]
    return {"confusions": found, "confusions_tested": len(pairs)}


def _chance(counts: Codes) -> Floats:
    """Fisher's exact p-values, of rows (support, teacher's, student's, shared)."""
    from scipy.stats import hypergeom

    of, by_teacher, by_student, shared = counts.T
    found: Floats = hypergeom.sf(shared - 1, of, by_teacher, by_student)
    return found


def _wrong_pairs(coded: Coded, answers: Codes, where: Flags) -> Pairs:
    chosen = where & (answers != UNANSWERED)
    return Counter(zip(coded.gold[chosen].tolist(), answers[chosen].tolist(), strict=True))


def worst(
    gold: Sequence[AnyGold],
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
