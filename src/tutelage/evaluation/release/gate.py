"""The release gate's terms, one function a subject, and the decision that they make.

A term reads what `evaluate` measured and the limits that `tutelage.yaml` sets. It passes when the whole
interval lies on the right side of its limit, fails when the whole interval lies on the wrong side, and is
undecided otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from tutelage.config import ReleaseConfig
from tutelage.evaluation.release import (
    accuracy,
    calibration,
    coverage,
    economics,
    inheritance,
    limits,
    robustness,
    safety,
)
from tutelage.evaluation.release.verdicts import Metrics
from tutelage.gates import Decision, Evidence, Verdict

GATE = "release"

Term = Callable[[Metrics, ReleaseConfig], Iterator[Evidence]]

TERMS: tuple[Term, ...] = (
    accuracy.against_teacher,
    accuracy.on_slices,
    accuracy.against_bar,
    accuracy.slices_against_bar,
    calibration.expected_error,
    calibration.confident_errors,
    inheritance.inherited,
    inheritance.inherited_confusions,
    limits.latency,
    limits.size,
    economics.cost,
    robustness.flip_excess,
    robustness.injection_flips,
    safety.refusal_loss,
    coverage.like_the_traffic,
    coverage.free_of_leaks,
    coverage.weighted_loss,
    accuracy.against_control,
)


def release_decision(
    metrics: Metrics,
    release: ReleaseConfig,
    *,
    gold_decision: Decision | None = None,
    rights_decision: Decision | None = None,
    duties_decision: Decision | None = None,
) -> Decision:
    """Judge the student by the terms of `release`, on what `evaluate` returned.

    A term whose limit isn't set says nothing, but for two: that the student isn't clearly worse than the
    control, which would then be the one to ship, and that gold wasn't learned from. A critical slice that
    gold lacks is undecided where the user named it, and otherwise only mentioned. `gold_decision` and
    `rights_decision`, on the answers that the student learned from, enter as one more term each, and each
    term of `duties_decision` as it is. An undecided term says how many further gold examples would probably
    decide it, if they turned out like those there are.
    """
    evidence = [item for term in TERMS for item in term(metrics, release)]
    if gold_decision is not None:
        evidence.append(_gold_term(gold_decision))
    if rights_decision is not None:
        told = rights_decision.reasons or [item.reason for item in rights_decision.evidence]
        evidence.append(Evidence("rights", rights_decision.verdict, " ".join(told)))
    if duties_decision is not None:
        evidence += duties_decision.evidence
    facts: dict[str, Any] = {"distillation": accuracy.distillation(metrics)}
    if (remark := accuracy.absent_slices(metrics, release)) is not None:
        facts["critical_slices"] = remark
    if (remark := accuracy.multiplicity(metrics, release)) is not None:
        facts["multiplicity"] = remark
    return Decision.of(GATE, evidence, **facts)


def _gold_term(decision: Decision) -> Evidence:
    if decision.verdict is Verdict.PASS:
        return Evidence("gold gate", Verdict.PASS, " ".join(item.reason for item in decision.evidence))
    reason = f"The gold gate didn't pass ({decision.verdict}): {' '.join(decision.reasons)}".rstrip(": ")
    more = max((item.more_needed for item in decision.evidence if item.more_needed), default=None)
    # Gold that is too small is no failure of the student: more of it may show a pass.
    return Evidence("gold gate", Verdict.UNDECIDED, reason, more_needed=more)
