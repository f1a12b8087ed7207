import pytest
from evaluation_world import TASK, arm_of, gold_of
from release_world import metrics_of, terms_of

from tutelage.evaluation import evaluate, proportion_interval
from tutelage.gates import Verdict


def copied(n, wrong, *, by_student=None):
    """Half of gold is "a"; the teacher answers "c" to so many of them, and the student to as many or fewer."""
    gold = gold_of(["a"] * n + ["b"] * n)
    teacher = ["c"] * wrong + ["a"] * (n - wrong) + ["b"] * n
    by_student = wrong if by_student is None else by_student
    student = ["c"] * by_student + ["a"] * (n - by_student) + ["b"] * n
    arms = {"teacher": arm_of("teacher", teacher), "student": arm_of("student", student)}
    return evaluate(TASK, gold, arms, resamples=1)


def test_a_students_copy_of_its_teachers_bias_fails_though_it_is_no_worse():
    terms, decision = terms_of(copied(300, 150))
    assert terms["accuracy difference to the teacher"].verdict is Verdict.PASS
    term = terms["inherited share of a as c"]
    assert term.verdict is decision.verdict is Verdict.FAIL
    assert (term.estimate, term.limit, term.n) == (0.5, 0.3, 300)
    assert "both answer 'c' to 150 of 300 gold examples of 'a'" in term.reason
    assert "Mend: correct the teacher's answers" in term.reason


@pytest.mark.parametrize(("n", "wrong"), [(300, 60), (10, 5), (300, 0)])
def test_what_may_be_chance_or_within_the_limit_is_no_term(n, wrong):
    assert not [term for term in terms_of(copied(n, wrong))[0] if term.startswith("inherited")]


def test_a_bias_that_the_student_hasnt_learned_is_no_term():
    assert list(terms_of(copied(300, 150, by_student=0))[0]) == ["accuracy difference to the teacher"]


def test_confusions_are_not_judged_where_no_limit_is_set():
    assert not [
        term for term in terms_of(copied(300, 150), max_inherited_confusion=None)[0] if "share" in term
    ]


@pytest.mark.parametrize(("limit", "verdict"), [(0.2, "pass"), (0.03, "fail"), (0.11, "not enough evidence")])
def test_the_limit_on_inherited_errors(limit, verdict):
    terms, _ = terms_of(copied(300, 60), max_inherited=limit)
    term = terms["share of inherited errors"]
    assert term.verdict == verdict
    assert (term.low, term.high) == proportion_interval(60, 600)
    assert (term.more_needed is not None) == (verdict == "not enough evidence")
    assert "repeats a wrong answer of the teacher on 10.0% of gold" in term.reason


def test_without_a_teacher_what_was_inherited_isnt_known():
    metrics = evaluate(TASK, gold_of(["a"] * 9), {"student": arm_of("student", ["a"] * 9)}, resamples=1)
    terms, _ = terms_of(metrics, max_inherited=0.1)
    assert terms["share of inherited errors"].verdict is Verdict.UNDECIDED
    assert "inherited" not in " ".join(terms_of(metrics_of(100, 0, 0))[0])
