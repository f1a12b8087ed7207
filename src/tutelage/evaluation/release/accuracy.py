"""Accuracy against the teacher, against a bar and against the control, on all of gold and by slice.

Against the teacher this is an exact test of non-inferiority (see `paired`), against a bar an exact binomial
test. Slices are judged together: their losses are one family, their accuracies another (see `answer`), so
that neither a failure nor a pass is found by having looked often enough.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tutelage.config import ReleaseConfig
from tutelage.evaluation import _report_format as fmt
from tutelage.evaluation.release.quantities import PairedDifference, Share
from tutelage.evaluation.release.verdicts import (
    Answered,
    Metrics,
    Question,
    answer,
    change,
    comparison,
    interval_words,
    tested,
)
from tutelage.gates import Evidence, Verdict

_LOSS = "accuracy difference to the teacher"


def against_teacher(metrics: Metrics, release: ReleaseConfig) -> Iterator[Evidence]:
    """The loss against the teacher on all of gold, against `max_loss`."""
    compared = comparison(metrics, "teacher")
    if compared is None:
        reason = "The teacher wasn't evaluated, so the student can't be compared to it."
        yield Evidence(_LOSS, Verdict.UNDECIDED, reason)
        return
    question = _loss({**compared, "n": metrics["n"]}, release.max_loss)
    yield _loss_evidence(_LOSS, "the teacher", question, answer([question])[0], 1)


def on_slices(metrics: Metrics, release: ReleaseConfig) -> Iterator[Evidence]:
    """The loss against the teacher on critical slices, and on all others where `max_slice_loss` is set."""
    limits = _slice_limits(metrics, release, release.max_critical_loss, release.max_slice_loss)
    compared = comparison(metrics, "teacher")
    if compared is None:
        for name in limits:
            reason = (
                f"The teacher wasn't evaluated, so the student can't be compared to it on slice {name!r}."
            )
            yield Evidence(f"{_LOSS}, slice {name}", Verdict.UNDECIDED, reason)
    else:
        questions = {name: _loss(compared["slices"][name], limit) for name, limit in limits.items()}
        for (name, question), found in zip(questions.items(), answer([*questions.values()]), strict=True):
            whom = f"the teacher on slice {name!r}"
            examples = f"gold examples of slice {name!r}"
            yield _loss_evidence(f"{_LOSS}, slice {name}", whom, question, found, len(limits), examples)
    if "critical_slices" in release.model_fields_set:
        for name in _absent(metrics, release):
            yield _absent_slice(name, release)


def against_bar(metrics: Metrics, release: ReleaseConfig) -> Iterator[Evidence]:
    """Accuracy against `min_accuracy`."""
    if release.min_accuracy is not None:
        question = _accuracy(metrics["arms"]["student"]["accuracy"], release.min_accuracy)
        yield _accuracy_evidence("accuracy", "gold", question, answer([question])[0], 1, "gold examples")


def slices_against_bar(metrics: Metrics, release: ReleaseConfig) -> Iterator[Evidence]:
    """Accuracy on critical slices against `min_critical_accuracy`, on others against `min_slice_accuracy`."""
    found = metrics["arms"]["student"]["slices"]
    limits = _slice_limits(metrics, release, release.min_critical_accuracy, release.min_slice_accuracy)
    questions = [_accuracy(found[name], limit) for name, limit in limits.items()]
    for name, question, answered in zip(limits, questions, answer(questions), strict=True):
        where, examples = f"slice {name!r}", f"gold examples of slice {name!r}"
        yield _accuracy_evidence(f"accuracy, slice {name}", where, question, answered, len(limits), examples)


def against_control(metrics: Metrics, release: ReleaseConfig) -> Iterator[Evidence]:
    """A failure where the student is clearly worse than the control; nothing otherwise."""
    compared = comparison(metrics, "control")
    if compared is not None and compared["difference"]["high"] < 0:
        yield _worse_than_control(compared, metrics["n"])


def distillation(metrics: Metrics) -> str:
    """Whether distillation helped, in a sentence."""
    compared = comparison(metrics, "control")
    if compared is None:
        return "There is no control arm, so whether distillation helped isn't known."
    difference = compared["difference"]
    found = (
        f"student {change(difference['estimate'], 'the control')} "
        f"(95% interval {fmt.points_interval(difference)})."
    )
    if difference["low"] > 0:
        return f"Distillation helped: {found}"
    if difference["high"] < 0:
        return f"Distillation did harm: {found}"
    return f"Whether distillation helped can't be told: {found}"


def absent_slices(metrics: Metrics, release: ReleaseConfig) -> str | None:
    """A remark on critical slices that nobody asked for and gold doesn't have."""
    absent = _absent(metrics, release)
    if not absent or "critical_slices" in release.model_fields_set:
        return None
    return f"Gold has no slice {', '.join(map(repr, absent))}, so none was judged."


def multiplicity(metrics: Metrics, release: ReleaseConfig) -> str | None:
    """A remark on how several slices share the error."""
    losses = _slice_limits(metrics, release, release.max_critical_loss, release.max_slice_loss)
    bars = _slice_limits(metrics, release, release.min_critical_accuracy, release.min_slice_accuracy)
    families = [
        f"{what} of {len(found)} slices"
        for what, found in (("losses", losses), ("accuracies", bars))
        if len(found) > 1
    ]
    if not families:
        return None
    return (
        f"The {' and the '.join(families)} are judged together by Holm's procedure: the chance that any of "
        "them passes wrongly is at most 2.5%, that any fails wrongly too, and their intervals hold together "
        "at 95%. A slice that Holm alone decides has its limit for an end."
    )


def _slice_limits(
    metrics: Metrics, release: ReleaseConfig, critical: float | None, other: float | None
) -> dict[str, float]:
    """The limit of each slice that is judged: critical ones first, as they were named, then by name."""
    found: Sequence[str] = [*metrics["arms"]["student"]["slices"]]
    named = [name for name in dict.fromkeys(release.critical_slices) if name in found]
    limits = dict.fromkeys(named, critical) | dict.fromkeys(sorted(set(found) - set(named)), other)
    return {name: limit for name, limit in limits.items() if limit is not None}


def _absent(metrics: Metrics, release: ReleaseConfig) -> list[str]:
    found = metrics["arms"]["student"]["slices"]
    return [name for name in dict.fromkeys(release.critical_slices) if name not in found]


def _loss(counts: Metrics, largest: float) -> Question:
    return Question(PairedDifference(counts["only_a_right"], counts["only_b_right"], counts["n"]), -largest)


def _loss_evidence(
    term: str, whom: str, question: Question, found: Answered, family: int, examples: str = "gold examples"
) -> Evidence:
    ends = fmt.points_interval({"low": found.low, "high": found.high})
    reason = (
        f"Student {change(question.quantity.estimate, whom)} ({interval_words(family)} {ends}); "
        f"a loss of at most {fmt.points(-question.limit, plus=False)} is acceptable."
    )
    return tested(term, question, found, reason, examples)


def _accuracy(accuracy: Metrics, bar: float) -> Question:
    return Question(Share(round(accuracy["estimate"] * accuracy["n"]), accuracy["n"]), bar)


def _accuracy_evidence(
    term: str, where: str, question: Question, found: Answered, family: int, examples: str
) -> Evidence:
    ends = fmt.percent_interval({"low": found.low, "high": found.high})
    reason = (
        f"Student is right on {fmt.percent(question.quantity.estimate)} of {where} "
        f"({interval_words(family)} {ends}); at least {fmt.percent(question.limit)} is asked."
    )
    return tested(term, question, found, reason, examples)


def _worse_than_control(compared: Metrics, n: int) -> Evidence:
    estimate, low, high = (compared["difference"][key] for key in ("estimate", "low", "high"))
    reason = (
        f"Student {change(estimate, 'the control')}, the same student trained on hard labels alone "
        f"(95% interval {fmt.points_interval(compared['difference'])}): the control should be shipped "
        "instead."
    )
    return Evidence("accuracy difference to the control", Verdict.FAIL, reason, estimate, low, high, 0.0, n)


def _absent_slice(name: str, release: ReleaseConfig) -> Evidence:
    return Evidence(
        f"accuracy difference to the teacher, slice {name}",
        Verdict.UNDECIDED,
        f"Gold has no example of the critical slice {name!r}, so nothing is known of it. "
        "Mend: add some to gold, or take it out of release.critical_slices",
        limit=-release.max_critical_loss,
        n=0,
    )
