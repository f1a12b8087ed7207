"""What the tests of the release gate share: arms that differ on so many examples, and the terms of a decision."""

from evaluation_world import TASK, arm_of, gold_of

from tutelage.config import ReleaseConfig
from tutelage.evaluation import Arm, evaluate, release_decision

TEACHER_TERM = "accuracy difference to the teacher"
CRITICAL_TERM = "accuracy difference to the teacher, slice critical"


def metrics_of(n, only_student, only_teacher, *, control=None, slices=None, footprint=None):
    """A student and a teacher that differ on so many examples, and are right on all others."""
    gold = gold_of(["a"] * n, slices)
    student = ["a"] * n
    teacher = ["a"] * n
    student[:only_teacher] = ["b"] * only_teacher
    teacher[only_teacher : only_teacher + only_student] = ["b"] * only_student
    arms = {"teacher": arm_of("teacher", teacher), "student": Arm("student", "s", student, None, footprint)}
    if control is not None:
        arms["control"] = arm_of("control", ["a"] * control + ["b"] * (n - control))
    return evaluate(TASK, gold, arms, resamples=1)


def terms_of(metrics, gold_decision=None, **release):
    decision = release_decision(
        metrics, ReleaseConfig(**{"max_ece": None, **release}), gold_decision=gold_decision
    )
    return {item.term: item for item in decision.evidence}, decision
