"""The release gate: whether the evidence lets the student take the teacher's place.

A term passes when the whole interval lies on the right side of its limit, fails when the whole interval lies
on the wrong side, and is undecided otherwise. Against the teacher this is a non-inferiority test (Tango
1998) at one-sided 2.5%. Critical slices are judged by Bonferroni's simultaneous intervals: with k slices
each at confidence 1 − 0.05/k, so that all k hold together at 95% and neither a failure nor a pass is found by
having looked often enough.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tutelage.config import ReleaseConfig
from tutelage.evaluation import _report_format as fmt
from tutelage.evaluation._planning import extra_examples
from tutelage.evaluation.intervals import CONFIDENCE, paired_difference_interval, proportion_interval
from tutelage.gates import Decision, Evidence, Verdict

GATE = "release"

Json = Mapping[str, Any]


def release_decision(
    metrics: Json, release: ReleaseConfig, *, gold_decision: Decision | None = None
) -> Decision:
    """Judge the student by the terms of `release`, on what `evaluate` returned.

    Terms: accuracy against the teacher, the same on each critical slice, accuracy against the bar,
    calibration error, latency, size; and that the student isn't clearly worse than the control, which would
    then be the one to ship. A critical slice that gold lacks is undecided where the user named it, and
    otherwise only mentioned. `gold_decision` enters as one more term. An undecided term says how many further
    gold examples would probably decide it, if they turned out like those there are.
    """
    named = tuple(dict.fromkeys(release.critical_slices))
    slices = [name for name in named if name in _slices_of(metrics)]
    absent = [name for name in named if name not in slices]
    asked = "critical_slices" in release.model_fields_set
    evidence = [
        _against_teacher(metrics, release),
        *(_slice_against_teacher(metrics, release, name, len(slices)) for name in slices),
        *(_absent_slice(name, release) for name in absent if asked),
        *_optional(metrics, release),
        *([_gold_term(gold_decision)] if gold_decision is not None else []),
    ]
    facts: dict[str, Any] = {"distillation": _distillation(metrics)}
    if absent and not asked:
        facts["critical_slices"] = f"Gold has no slice {', '.join(map(repr, absent))}, so none was judged."
    if len(slices) > 1:
        facts["multiplicity"] = (
            f"Each of {len(slices)} critical slices is judged at {_percent(_joint(len(slices)))} confidence, "
            "so that all hold together at 95% (Bonferroni)."
        )
    return Decision.of(GATE, evidence, **facts)


def _optional(metrics: Json, release: ReleaseConfig) -> Iterator[Evidence]:
    """Terms that the configuration may leave out, and the one that only a bad result brings in."""
    student = metrics["arms"]["student"]
    footprint = student["footprint"] or {}
    if release.min_accuracy is not None:
        yield _accuracy(student["accuracy"], release.min_accuracy)
    if release.max_ece is not None:
        yield _calibration(student, metrics["n"], release.max_ece)
    if release.max_latency_ms is not None:
        what = "p95 latency at batch 1 on one thread"
        yield _measured(what, footprint.get("latency_p95_ms"), release.max_latency_ms, fmt.milliseconds)
    if release.max_size_mb is not None:
        yield _measured("size on disk", footprint.get("size_mb"), release.max_size_mb, fmt.megabytes)
    against_control = _comparison(metrics, "control")
    if against_control is not None and against_control["difference"]["high"] < 0:
        yield _worse_than_control(against_control, metrics["n"])


def _slices_of(metrics: Json) -> Json:
    found: Json = metrics["arms"]["student"]["slices"]
    return found


def _comparison(metrics: Json, other: str) -> Json | None:
    return next(
        (item for item in metrics["comparisons"] if (item["a"], item["b"]) == ("student", other)), None
    )


def _against_teacher(metrics: Json, release: ReleaseConfig) -> Evidence:
    term = "accuracy difference to the teacher"
    comparison = _comparison(metrics, "teacher")
    if comparison is None:
        return Evidence(
            term, Verdict.UNDECIDED, "The teacher wasn't evaluated, so the student can't be compared to it."
        )
    counts = {**comparison, "n": metrics["n"]}
    return _non_inferiority(term, "the teacher", counts, release.max_loss, CONFIDENCE, "gold examples")


def _slice_against_teacher(metrics: Json, release: ReleaseConfig, name: str, slices: int) -> Evidence:
    term = f"accuracy difference to the teacher, slice {name}"
    comparison = _comparison(metrics, "teacher")
    if comparison is None:
        reason = f"The teacher wasn't evaluated, so the student can't be compared to it on slice {name!r}."
        return Evidence(term, Verdict.UNDECIDED, reason)
    return _non_inferiority(
        term,
        f"the teacher on slice {name!r}",
        comparison["slices"][name],
        release.max_critical_loss,
        _joint(slices),
        f"gold examples of slice {name!r}",
    )


def _joint(slices: int) -> float:
    return 1 - (1 - CONFIDENCE) / slices


def _non_inferiority(
    term: str, whom: str, counts: Json, max_loss: float, confidence: float, examples: str
) -> Evidence:
    n, only_a, only_b = counts["n"], counts["only_a_right"], counts["only_b_right"]
    low, high = paired_difference_interval(only_a, only_b, n, confidence)
    estimate = (only_a - only_b) / n
    verdict = _at_least(low, high, -max_loss)
    reason = (
        f"Student {_change(estimate, whom)} ({_percent(confidence)} interval "
        f"{fmt.points_interval({'low': low, 'high': high})}); "
        f"a loss of at most {fmt.points(max_loss, plus=False)} is acceptable."
    )
    more = None
    if verdict is Verdict.UNDECIDED:

        def decided(m: int) -> bool:
            scale = m / n
            ends = paired_difference_interval(only_a * scale, only_b * scale, m, confidence)
            return _at_least(*ends, -max_loss) is not Verdict.UNDECIDED

        more = extra_examples(decided, n)
        reason += _outlook(n, more, estimate >= -max_loss, examples)
    return Evidence(term, verdict, reason, estimate, low, high, -max_loss, n, more)


def _accuracy(accuracy: Json, bar: float) -> Evidence:
    n, estimate, low, high = (accuracy[key] for key in ("n", "estimate", "low", "high"))
    verdict = _at_least(low, high, bar)
    reason = (
        f"Student is right on {fmt.percent(estimate)} of gold "
        f"(95% interval {fmt.percent_interval(accuracy)}); "
        f"at least {fmt.percent(bar)} is asked."
    )
    more = None
    if verdict is Verdict.UNDECIDED:
        more = extra_examples(
            lambda m: _at_least(*proportion_interval(estimate * m, m), bar) is not Verdict.UNDECIDED, n
        )
        reason += _outlook(n, more, estimate >= bar, "gold examples")
    return Evidence("accuracy", verdict, reason, estimate, low, high, bar, n, more)


def _calibration(student: Json, n: int, limit: float) -> Evidence:
    term = "calibration error (ECE)"
    ece, low, high = student["ece"], student["ece_low"], student["ece_high"]
    if ece is None:
        reason = "The student gave no probabilities, so its calibration can't be judged."
        return Evidence(term, Verdict.UNDECIDED, reason, limit=limit)
    verdict = _at_least(-high, -low, -limit)
    reason = (
        f"Student's stated confidence is off by {fmt.fixed(ece)} on average "
        f"(95% interval {fmt.fixed(low)} to {fmt.fixed(high)}); at most {fmt.fixed(limit)} is acceptable."
    )
    more = None
    if verdict is Verdict.UNDECIDED:
        # Bootstrap ends can't be computed for more examples than there are; they close in as 1/sqrt(n).
        far = (high if ece <= limit else low) - ece
        more = extra_examples(lambda m: abs(far) * (n / m) ** 0.5 < abs(limit - ece), n)
        reason += _outlook(n, more, ece <= limit, "gold examples")
    return Evidence(term, verdict, reason, ece, low, high, limit, n, more)


def _measured(what: str, value: float | None, limit: float, show: Any) -> Evidence:
    if value is None:
        return Evidence(what, Verdict.UNDECIDED, f"Student's {what} wasn't measured.", limit=limit)
    verdict = Verdict.PASS if value <= limit else Verdict.FAIL
    reason = f"Student's {what} is {show(value)}; at most {show(limit)} is acceptable."
    return Evidence(what, verdict, reason, value, limit=limit)


def _worse_than_control(comparison: Json, n: int) -> Evidence:
    estimate, low, high = (comparison["difference"][key] for key in ("estimate", "low", "high"))
    reason = (
        f"Student {_change(estimate, 'the control')}, the same student trained on hard labels alone "
        f"(95% interval {fmt.points_interval(comparison['difference'])}): the control should be shipped "
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


def _gold_term(decision: Decision) -> Evidence:
    if decision.verdict is Verdict.PASS:
        return Evidence("gold gate", Verdict.PASS, " ".join(item.reason for item in decision.evidence))
    reason = f"The gold gate didn't pass ({decision.verdict}): {' '.join(decision.reasons)}".rstrip(": ")
    more = max((item.more_needed for item in decision.evidence if item.more_needed), default=None)
    # Gold that is too small is no failure of the student: more of it may show a pass.
    return Evidence("gold gate", Verdict.UNDECIDED, reason, more_needed=more)


def _distillation(metrics: Json) -> str:
    comparison = _comparison(metrics, "control")
    if comparison is None:
        return "There is no control arm, so whether distillation helped isn't known."
    difference = comparison["difference"]
    found = (
        f"student {_change(difference['estimate'], 'the control')} "
        f"(95% interval {fmt.points_interval(difference)})."
    )
    if difference["low"] > 0:
        return f"Distillation helped: {found}"
    if difference["high"] < 0:
        return f"Distillation did harm: {found}"
    return f"Whether distillation helped can't be told: {found}"


def _at_least(low: float, high: float, limit: float) -> Verdict:
    """Whether a quantity reaches `limit`, by its interval."""
    if low >= limit:
        return Verdict.PASS
    return Verdict.FAIL if high < limit else Verdict.UNDECIDED


def _change(difference: float, whom: str) -> str:
    if abs(difference) < 0.0005:
        return f"is level with {whom}"
    size = fmt.points(abs(difference), plus=False)
    return f"loses {size} against {whom}" if difference < 0 else f"gains {size} over {whom}"


def _percent(confidence: float) -> str:
    return f"{100 * confidence:.4g}%"


def _outlook(n: int, more: int | None, towards_pass: bool, examples: str) -> str:
    if more is None:
        return (
            f" {fmt.count(n)} {examples} can't tell, and the estimate lies so near the limit that "
            "more of them hardly would."
        )
    side = "a pass" if towards_pass else "a failure"
    return (
        f" {fmt.count(n)} {examples} can't tell; about {fmt.count(more)} more probably would, towards {side}."
    )
