"""Accuracy against the teacher, against a bar and against the control, on all of gold and by slice.

Against the teacher this is a non-inferiority test (Tango 1998) at one-sided 2.5%. Critical slices are judged
by Bonferroni's simultaneous intervals: with k slices each at confidence 1 − 0.05/k, so that all k hold
together at 95% and neither a failure nor a pass is found by having looked often enough.
"""

from __future__ import annotations

from collections.abc import Iterator

from tutelage.config import ReleaseConfig
from tutelage.evaluation import _report_format as fmt
from tutelage.evaluation._planning import extra_examples
from tutelage.evaluation.intervals import CONFIDENCE, paired_difference_interval, proportion_interval
from tutelage.evaluation.release.verdicts import Metrics, at_least, change, comparison, outlook, percent
from tutelage.gates import Evidence, Verdict


def against_teacher(metrics: Metrics, release: ReleaseConfig) -> Iterator[Evidence]:
    """The loss against the teacher on all of gold, against `max_loss`."""
    term = "accuracy difference to the teacher"
    compared = comparison(metrics, "teacher")
    if compared is None:
        reason = "The teacher wasn't evaluated, so the student can't be compared to it."
        yield Evidence(term, Verdict.UNDECIDED, reason)
        return
    counts = {**compared, "n": metrics["n"]}
    yield _non_inferiority(term, "the teacher", counts, release.max_loss, CONFIDENCE, "gold examples")


def on_critical_slices(metrics: Metrics, release: ReleaseConfig) -> Iterator[Evidence]:
    """The loss against the teacher on each critical slice, against `max_critical_loss`."""
    present, absent = _critical(metrics, release)
    for name in present:
        yield _slice_against_teacher(metrics, release, name, len(present))
    if "critical_slices" in release.model_fields_set:
        for name in absent:
            yield _absent_slice(name, release)


def against_bar(metrics: Metrics, release: ReleaseConfig) -> Iterator[Evidence]:
    """Accuracy against `min_accuracy`."""
    if release.min_accuracy is not None:
        yield _accuracy(metrics["arms"]["student"]["accuracy"], release.min_accuracy)


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
    _, absent = _critical(metrics, release)
    if not absent or "critical_slices" in release.model_fields_set:
        return None
    return f"Gold has no slice {', '.join(map(repr, absent))}, so none was judged."


def multiplicity(metrics: Metrics, release: ReleaseConfig) -> str | None:
    """A remark on how several slices share the error."""
    slices = len(_critical(metrics, release)[0])
    if slices < 2:
        return None
    return (
        f"Each of {slices} critical slices is judged at {percent(_joint(slices))} confidence, "
        "so that all hold together at 95% (Bonferroni)."
    )


def _critical(metrics: Metrics, release: ReleaseConfig) -> tuple[list[str], list[str]]:
    """The critical slices that gold has, and those that it lacks."""
    found = metrics["arms"]["student"]["slices"]
    named = dict.fromkeys(release.critical_slices)
    return [name for name in named if name in found], [name for name in named if name not in found]


def _slice_against_teacher(metrics: Metrics, release: ReleaseConfig, name: str, slices: int) -> Evidence:
    term = f"accuracy difference to the teacher, slice {name}"
    compared = comparison(metrics, "teacher")
    if compared is None:
        reason = f"The teacher wasn't evaluated, so the student can't be compared to it on slice {name!r}."
        return Evidence(term, Verdict.UNDECIDED, reason)
    return _non_inferiority(
        term,
        f"the teacher on slice {name!r}",
        compared["slices"][name],
        release.max_critical_loss,
        _joint(slices),
        f"gold examples of slice {name!r}",
    )


def _joint(slices: int) -> float:
    return 1 - (1 - CONFIDENCE) / slices


def _non_inferiority(
    term: str, whom: str, counts: Metrics, max_loss: float, confidence: float, examples: str
) -> Evidence:
    n, only_a, only_b = counts["n"], counts["only_a_right"], counts["only_b_right"]
    low, high = paired_difference_interval(only_a, only_b, n, confidence)
    estimate = (only_a - only_b) / n
    verdict = at_least(low, high, -max_loss)
    reason = (
        f"Student {change(estimate, whom)} ({percent(confidence)} interval "
        f"{fmt.points_interval({'low': low, 'high': high})}); "
        f"a loss of at most {fmt.points(max_loss, plus=False)} is acceptable."
    )
    more = None
    if verdict is Verdict.UNDECIDED:

        def decided(m: int) -> bool:
            scale = m / n
            ends = paired_difference_interval(only_a * scale, only_b * scale, m, confidence)
            return at_least(*ends, -max_loss) is not Verdict.UNDECIDED

        more = extra_examples(decided, n)
        reason += outlook(n, more, estimate >= -max_loss, examples)
    return Evidence(term, verdict, reason, estimate, low, high, -max_loss, n, more)


def _accuracy(accuracy: Metrics, bar: float) -> Evidence:
    n, estimate, low, high = (accuracy[key] for key in ("n", "estimate", "low", "high"))
    verdict = at_least(low, high, bar)
    reason = (
        f"Student is right on {fmt.percent(estimate)} of gold "
        f"(95% interval {fmt.percent_interval(accuracy)}); "
        f"at least {fmt.percent(bar)} is asked."
    )
    more = None
    if verdict is Verdict.UNDECIDED:
        more = extra_examples(
            lambda m: at_least(*proportion_interval(estimate * m, m), bar) is not Verdict.UNDECIDED, n
        )
        reason += outlook(n, more, estimate >= bar, "gold examples")
    return Evidence("accuracy", verdict, reason, estimate, low, high, bar, n, more)


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
