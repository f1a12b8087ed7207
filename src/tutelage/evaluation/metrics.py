"""The evaluation as one JSON-able dictionary: `metrics.json`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tutelage.evaluation import _inheritance
from tutelage.evaluation._coded import UNANSWERED, Coded, Codes, Flags, encode
from tutelage.evaluation._measured import measure_arms
from tutelage.evaluation._resampling import macro_f1, macro_f1_difference, resampled_macro_f1
from tutelage.evaluation.arms import Arm, check_arms
from tutelage.evaluation.calibration import (
    calibrate,
    confidence_of,
    stated_confidence,
    stated_rows,
    untempered,
)
from tutelage.evaluation.detection import auroc, detection
from tutelage.evaluation.intervals import CONFIDENCE, proportion_interval
from tutelage.evaluation.paired import mcnemar_exact, paired_difference_interval
from tutelage.evaluation.recovered import Estimated, correlation, flags_correlation, ratio
from tutelage.extras import require_extra
from tutelage.records import AnyGold
from tutelage.tasks import LabelTask, Task, with_labels

if TYPE_CHECKING:
    from tutelage.records import Distribution

Drawn = Mapping[str, npt.NDArray[np.float64]]

PAIRS = (("student", "teacher"), ("student", "control"), ("control", "teacher"))
CRITICAL_SLICES = ("critical", "safety")


def evaluate(
    task: Task,
    gold: Sequence[AnyGold],
    arms: Mapping[str, Arm],
    *,
    seed: int = 0,
    resamples: int = 2000,
    critical_slices: Sequence[str] = CRITICAL_SLICES,
) -> dict[str, Any]:
    """Score the arms on gold, each alone and against each other, with 95% intervals.

    Accuracy is the share of examples on which the task takes the answer for as good as gold's
    (`Task.compare`): exact match of labels, or of sets of them; of a judge's scores within its tolerance; of
    records in all fields; of texts from its similarity up. An answer that isn't there is wrong. "scores" has
    the task's own metrics of each arm, "measures" those of `evaluation.measures` with intervals and by slice,
    "fields" a record's, field by field. What needs labels ("labels", macro-F1, calibration, confusions) is
    empty or None where values are open. Intervals: of proportions by `proportion_interval`, of differences by
    `paired_difference_interval`; of retention and recovered gap, and of macro-F1 and its differences, by
    `recovered` from these, a paired bootstrap of `resamples` telling how macro-F1 spreads; of the ECE by a
    basic bootstrap. A difference is a − b in accuracy. The result doesn't depend on the order of examples.
    What can't be computed (an arm is absent, nothing to divide by) is None; a comparison with an absent arm
    is left out. `critical_slices` only says which errors are listed first in "worst".

    Raises DataError where the arms don't fit gold or the task, MissingExtraError without scipy.
    """
    require_extra("programme", "an evaluation")
    check_arms(task, gold, arms)
    coded, labelled = encode(task, gold, arms), with_labels(task)
    drawn = resampled_macro_f1(coded, seed=seed, resamples=resamples)
    measured = measure_arms(coded, arms, seed=seed, resamples=resamples)
    return {
        "n": coded.n,
        "confidence": CONFIDENCE,
        "task": _task(task),
        "arms": {
            name: {
                **_arm(labelled, coded, arms[name], drawn),
                **_calibration(labelled, gold, arms[name], seed, resamples),
                "scores": task.score(arms[name].values, [item.value for item in gold]),
                "measures": measured.figures(name),
                "fields": measured.fields(name),
                "title": arms[name].title,
                "footprint": asdict(footprint) if (footprint := arms[name].footprint) else None,
            }
            for name in coded.answers
        },
        "comparisons": [
            {**_comparison(coded, drawn, a, b), "measures": measured.differences(a, b)}
            for a, b in PAIRS
            if {a, b} <= set(coded.answers)
        ],
        "retention": _retention(coded),
        "gap_recovered": _gap_recovered(coded),
        "errors": _inheritance.errors(coded, _stated(labelled, arms)),
        "worst": _worst(coded, gold, arms, critical_slices),
    }


def _task(task: Task) -> dict[str, Any]:
    labelled = with_labels(task)
    return {
        "kind": task.kind,
        "labels": list(task.labels),
        "multi_label": task.multi_label,
        "out_of_scope": labelled.out_of_scope if labelled else None,
    }


def _worst(
    coded: Coded, gold: Sequence[AnyGold], arms: Mapping[str, Arm], critical_slices: Sequence[str]
) -> list[dict[str, Any]]:
    """The student's errors; none where there is no student."""
    if "student" not in arms:
        return []
    values = {name: arms[name].values for name in coded.answers}
    confidence = confidence_of(arms["student"])
    return _inheritance.worst(gold, values, coded.right["student"], confidence, critical_slices)


def _arm(task: LabelTask | None, coded: Coded, arm: Arm, drawn: Drawn) -> dict[str, Any]:
    name = arm.name
    right, answers = coded.right[name], coded.answers[name]
    truth, predicted = coded.members[coded.gold], coded.members[answers]
    support, given, hits = truth.sum(axis=0), predicted.sum(axis=0), (truth & predicted).sum(axis=0)
    return {
        "accuracy": _proportion(right),
        "macro_f1": _shown(macro_f1(coded, name, drawn)),
        "slices": {slice_: _proportion(right[rows]) for slice_, rows in coded.slices.items()},
        "labels": {
            label: _label(int(support[index]), int(given[index]), int(hits[index]))
            for index, label in enumerate(task.labels if task else ())
        },
        "agreement_with_teacher": _agreement(coded, answers) if name != "teacher" else None,
        "out_of_scope": _out_of_scope(task, truth, predicted, arm),
        "unanswered": int((answers == UNANSWERED).sum()),
        "confidence_auroc": _ranking(confidence_of(arm), right),
    }


def _ranking(confidence: npt.NDArray[np.float64], right: Flags) -> dict[str, float] | None:
    """How well confidence tells right answers from wrong ones, whatever its scale: the area under its ROC.

    None where none is stated, or all answers with one are right, or none is.
    """
    stated = ~np.isnan(confidence)
    good, bad = confidence[stated & right], confidence[stated & ~right]
    return auroc(good, bad) if len(good) and len(bad) else None


def _shown(found: Estimated | None) -> dict[str, float | None]:
    return {**found.to_json()} if found else dict.fromkeys(("estimate", "low", "high"))


def _proportion(flags: Flags) -> dict[str, Any]:
    successes, n = int(flags.sum()), len(flags)
    low, high = proportion_interval(successes, n)
    return {"estimate": successes / n, "low": low, "high": high, "n": n}


def _label(support: int, given: int, hits: int) -> dict[str, Any]:
    """One label; None where there is nothing to divide by."""
    low, high = proportion_interval(hits, support) if support else (None, None)
    precision_low, precision_high = proportion_interval(hits, given) if given else (None, None)
    return {
        "support": support,
        "precision": hits / given if given else None,
        "recall": hits / support if support else None,
        "f1": 2 * hits / (support + given) if support + given else None,
        "precision_low": precision_low,
        "precision_high": precision_high,
        "recall_low": low,
        "recall_high": high,
    }


def _out_of_scope(task: LabelTask | None, truth: Flags, predicted: Flags, arm: Arm) -> dict[str, Any] | None:
    """How much of what is out of scope was found, and how much of what is in scope was taken for it.

    `truth` and `predicted` are bool [n, labels]. None where the task has no such label, or for a share of
    nothing. `detection` is by the label's probability, None where the arm states none.
    """
    if task is None or task.out_of_scope is None:
        return None
    column = task.labels.index(task.out_of_scope)
    outside, said = truth[:, column], predicted[:, column]
    stated = stated_rows(arm.values, arm.distributions)
    return {
        "found": _proportion(said[outside]) if outside.any() else None,
        "false_alarms": _proportion(said[~outside]) if not outside.all() else None,
        "detection": None
        if arm.distributions is None or not len(stated)
        else detection(
            arm.distributions[stated[outside[stated]], column].astype(np.float64),
            arm.distributions[stated[~outside[stated]], column].astype(np.float64),
        ),
    }


def _agreement(coded: Coded, answers: Codes) -> dict[str, Any] | None:
    """How often an arm says what the teacher says, where the teacher says anything."""
    teacher = coded.answers.get("teacher")
    if teacher is None or (teacher == UNANSWERED).all():
        return None
    answered = teacher != UNANSWERED
    return _proportion(coded.agree(answers, teacher)[answered])


def _stated(task: LabelTask | None, arms: Mapping[str, Arm]) -> dict[str, npt.NDArray[np.float64]]:
    """Each arm's stated probability of being right, NaN where none was; of open values nobody states one."""
    return {
        name: stated_confidence(arm.values, arm.distributions if task else None) for name, arm in arms.items()
    }


def _calibration(
    task: LabelTask | None, gold: Sequence[AnyGold], arm: Arm, seed: int, resamples: int
) -> dict[str, Any]:
    """ECE with its interval, Brier score, reliability; in "unscaled" the same before temperature scaling."""
    found = _calibrated(task, gold, arm, arm.distributions, seed, resamples)
    before = None
    if task is not None and arm.distributions is not None and arm.temperature is not None:
        raw = untempered(arm.distributions, arm.temperature, multi_label=task.multi_label)
        before = {
            "temperature": arm.temperature,
            **_calibrated(task, gold, arm, raw, seed, resamples),
        }
    return {**found, "unscaled": before}


def _calibrated(
    task: LabelTask | None,
    gold: Sequence[AnyGold],
    arm: Arm,
    distributions: Distribution | None,
    seed: int,
    resamples: int,
) -> dict[str, Any]:
    found = None
    if task is not None:
        truths = [item.value for item in gold]
        found = calibrate(task, truths, arm.values, distributions, seed=seed, resamples=resamples)
    if found is None:
        return dict.fromkeys(("ece", "ece_low", "ece_high", "brier", "reliability"))
    return {**asdict(found), "reliability": list(found.reliability)}


def _comparison(coded: Coded, drawn: Drawn, a: str, b: str) -> dict[str, Any]:
    whole = _difference(coded.right[a], coded.right[b])
    return {
        "a": a,
        "b": b,
        "difference": {key: whole[key] for key in ("estimate", "low", "high")},
        "macro_f1": _shown(macro_f1_difference(coded, a, b, drawn)),
        "mcnemar_p": mcnemar_exact(whole["only_a_right"], whole["only_b_right"]),
        "only_a_right": whole["only_a_right"],
        "only_b_right": whole["only_b_right"],
        "slices": {
            name: _difference(coded.right[a][rows], coded.right[b][rows])
            for name, rows in coded.slices.items()
        },
    }


def _difference(a: Flags, b: Flags) -> dict[str, Any]:
    n, only_a, only_b = len(a), int((a & ~b).sum()), int((b & ~a).sum())
    low, high = paired_difference_interval(only_a, only_b, n)
    return {
        "estimate": (only_a - only_b) / n,
        "low": low,
        "high": high,
        "n": n,
        "only_a_right": only_a,
        "only_b_right": only_b,
    }


def _retention(coded: Coded) -> dict[str, float] | None:
    """Student accuracy over teacher accuracy; None where the teacher is never right or an arm is absent."""
    if not {"teacher", "student"} <= set(coded.answers) or not coded.right["teacher"].any():
        return None
    student, teacher = coded.right["student"], coded.right["teacher"]
    ours, theirs = (Estimated.of(_proportion(flags)) for flags in (student, teacher))
    return ratio(ours, theirs, flags_correlation(student, teacher)).to_json()


def _gap_recovered(coded: Coded) -> dict[str, float] | None:
    """(student − control) / (teacher − control), where the 95% interval of the gap lies above zero.

    As 1 − (teacher − student) / (teacher − control): what is lost has an interval also where nothing is.
    """
    if not {"teacher", "control", "student"} <= set(coded.answers):
        return None
    teacher, control, student = (coded.right[name] for name in ("teacher", "control", "student"))
    gap, lost = (Estimated.of(_difference(teacher, other)) for other in (control, student))
    if gap.low <= 0:
        return None
    gaps, losses = (teacher.astype(np.float64) - other for other in (control, student))
    found = ratio(lost, gap, correlation(losses, gaps))
    return Estimated(1 - found.estimate, 1 - found.high, 1 - found.low).to_json()
