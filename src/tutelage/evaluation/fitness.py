"""Is the teacher fit to be learned from? Its answers to gold, before anything else is asked."""

from __future__ import annotations

from collections.abc import Sequence

from tutelage.evaluation.intervals import proportion_interval
from tutelage.gates import Decision, Evidence, Verdict
from tutelage.records import Value
from tutelage.tasks import Task


def fitness_decision(
    task: Task, answers: Sequence[Value | None], references: Sequence[Value], bar: float
) -> Decision:
    """The gate `teacher`: the share of gold on which the teacher agrees (by the task's comparison).

    `answers` [n] and human `references` [n] go together; None is an answer that can't be used, and counts as
    wrong, since a student would learn nothing from it. The gate fails where the share is below `bar`. A share
    above it whose interval reaches below passes, and its reason says so: the teacher is the ceiling of every
    student, and the release gate judges what comes of it.
    """
    agreeing = sum(
        answer is not None and task.compare(answer, reference).agree
        for answer, reference in zip(answers, references, strict=True)
    )
    n = len(references)
    if n == 0:
        reason = "there is no gold to judge the teacher by. Mend: give gold examples"
        return Decision.of(
            "teacher", [Evidence("agreement with gold", Verdict.UNDECIDED, reason, limit=bar, n=0)]
        )
    share = agreeing / n
    low, high = proportion_interval(agreeing, n)
    shown = (
        f"the teacher agrees with {agreeing:,} of {n:,} gold examples ({share:.1%}, {low:.1%} to {high:.1%})"
    )
    unusable = sum(answer is None for answer in answers)
    if unusable:
        shown += f", and {unusable:,} of its answers can't be used"
    if share < bar:
        reason = (
            f"{shown}, which is below labelling.min_teacher_accuracy {bar:.1%}. Mend: a stronger teacher, a "
            "better prompt (`tutelage label --pilot 200` compares them), or look whether gold is right"
        )
        verdict = Verdict.FAIL
    else:
        verdict = Verdict.PASS
        reason = shown if low >= bar else f"{shown}; the interval reaches below the bar of {bar:.1%}"
    evidence = Evidence("agreement with gold", verdict, reason, share, low, high, bar, n)
    return Decision.of("teacher", [evidence])
