import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from release_world import CRITICAL_TERM, TEACHER_TERM, metrics_of, terms_of

from tutelage.evaluation import paired_difference_interval
from tutelage.gates import Verdict


@pytest.mark.parametrize(
    ("only_student", "only_teacher", "verdict"),
    [
        (20, 24, Verdict.PASS),
        (20, 100, Verdict.FAIL),
        (20, 60, Verdict.UNDECIDED),
        (20, 75, Verdict.UNDECIDED),
    ],
)
def test_non_inferiority_to_the_teacher(only_student, only_teacher, verdict):
    terms, decision = terms_of(metrics_of(1500, only_student, only_teacher), max_loss=0.03)
    term = terms[TEACHER_TERM]
    assert (term.verdict, decision.verdict, decision.gate) == (verdict, verdict, "release")
    assert (term.low, term.high) == paired_difference_interval(only_student, only_teacher, 1500)
    assert (term.limit, term.n) == (-0.03, 1500)
    assert (term.more_needed is None) == (verdict is not Verdict.UNDECIDED)


def test_a_reason_is_a_plain_sentence_with_its_numbers():
    terms, _ = terms_of(metrics_of(1500, 20, 26), max_loss=0.03)
    assert terms[TEACHER_TERM].reason == (
        "Student loses 0.4 points against the teacher (95% interval −1.3 to +0.5); "
        "a loss of at most 3.0 points is acceptable."
    )
    undecided, _ = terms_of(metrics_of(1500, 20, 60), max_loss=0.03)
    more = undecided[TEACHER_TERM].more_needed
    assert undecided[TEACHER_TERM].reason.endswith(
        f"1,500 gold examples can't tell; about {more:,} more probably would, towards a pass."
    )
    failing, _ = terms_of(metrics_of(1500, 20, 75), max_loss=0.03)
    assert "towards a failure" in failing[TEACHER_TERM].reason
    level, _ = terms_of(metrics_of(1500, 20, 20), max_loss=0.03)
    assert level[TEACHER_TERM].reason.startswith("Student is level with the teacher (95%")


@settings(max_examples=30, deadline=None)
@given(st.integers(60, 500), st.integers(0, 30), st.integers(0, 30))
def test_the_examples_asked_for_would_decide(n, only_student, only_teacher):
    terms, _ = terms_of(metrics_of(n, only_student, only_teacher), max_loss=0.03)
    more = terms[TEACHER_TERM].more_needed
    if more is not None:
        scale = (n + more) / n
        low, high = paired_difference_interval(only_student * scale, only_teacher * scale, n + more)
        assert low >= -0.03 or high < -0.03
        assert (low >= -0.03) == ((only_student - only_teacher) / n >= -0.03)


def test_an_estimate_on_the_limit_asks_for_no_examples():
    terms, _ = terms_of(metrics_of(1000, 10, 10), max_loss=0.0)
    assert terms[TEACHER_TERM].verdict is Verdict.UNDECIDED
    assert terms[TEACHER_TERM].more_needed is None
    assert "hardly would" in terms[TEACHER_TERM].reason


def test_identical_arms_pass_only_with_enough_examples():
    few, _ = terms_of(metrics_of(60, 0, 0), max_loss=0.03)
    assert (few[TEACHER_TERM].verdict, few[TEACHER_TERM].more_needed) == (Verdict.UNDECIDED, 65)
    many, _ = terms_of(metrics_of(125, 0, 0), max_loss=0.03)
    assert many[TEACHER_TERM].verdict is Verdict.PASS


def test_a_critical_slice_is_judged_on_its_own():
    slices = ["critical"] * 100 + ["normal"] * 2900
    terms, decision = terms_of(metrics_of(3000, 0, 30, slices=slices), max_loss=0.03)
    assert terms[TEACHER_TERM].verdict is Verdict.PASS
    assert terms[CRITICAL_TERM].verdict is Verdict.FAIL
    assert terms[CRITICAL_TERM].n == 100
    assert decision.verdict is Verdict.FAIL
    assert "on slice 'critical' (95% interval" in terms[CRITICAL_TERM].reason


def test_several_critical_slices_share_the_error():
    slices = ["critical"] * 200 + ["safety"] * 200 + ["normal"] * 600
    terms, decision = terms_of(
        metrics_of(1000, 0, 4, slices=slices), critical_slices=("critical", "safety", "critical")
    )
    critical = terms[CRITICAL_TERM]
    assert (critical.low, critical.high) == paired_difference_interval(0, 4, 200, 0.975)
    assert "97.5% interval" in critical.reason
    assert "Bonferroni" in decision.facts["multiplicity"]
    assert len(terms) == len(decision.evidence) == 3


def test_a_slice_that_gold_lacks_is_undecided_only_where_it_was_asked_for():
    metrics = metrics_of(1000, 0, 0)
    terms, decision = terms_of(metrics)
    assert list(terms) == [TEACHER_TERM]
    assert decision.verdict is Verdict.PASS
    assert "'critical'" in decision.facts["critical_slices"]
    terms, decision = terms_of(metrics, critical_slices=("critical",))
    assert terms[CRITICAL_TERM].verdict is decision.verdict is Verdict.UNDECIDED
    assert "no example" in terms[CRITICAL_TERM].reason


@pytest.mark.parametrize(("bar", "verdict"), [(0.93, "pass"), (0.97, "fail"), (0.945, "not enough evidence")])
def test_the_bar_on_accuracy(bar, verdict):
    terms, _ = terms_of(metrics_of(1000, 0, 50), min_accuracy=bar)
    assert terms["accuracy"].verdict == verdict
    assert terms["accuracy"].limit == bar
    assert (terms["accuracy"].more_needed or 0) > 0 or verdict != "not enough evidence"


def test_a_student_clearly_worse_than_the_control_is_not_released():
    terms, decision = terms_of(metrics_of(1000, 0, 20, control=1000))
    assert terms[TEACHER_TERM].verdict is not Verdict.FAIL
    assert terms["accuracy difference to the control"].verdict is Verdict.FAIL
    assert "control should be shipped" in " ".join(decision.reasons)
    assert decision.facts["distillation"].startswith("Distillation did harm")


@pytest.mark.parametrize(
    ("control", "says"), [(900, "Distillation helped"), (1000, "can't be told"), (None, "no control arm")]
)
def test_whether_distillation_helped_is_a_fact_and_no_term(control, says):
    terms, decision = terms_of(metrics_of(1000, 0, 0, control=control))
    assert list(terms) == [TEACHER_TERM]
    assert says in decision.facts["distillation"]


def test_at_the_limit_a_student_seldom_passes():
    """A student that truly loses as much as the limit passes in at most 2.5% of gold sets, noise aside."""
    draws = np.random.default_rng(3).multinomial(300, [0.04, 0.07, 0.89], size=2000)
    passed = np.mean([paired_difference_interval(a, b, 300)[0] >= -0.03 for a, b, _ in draws])
    assert passed <= 0.035
