from __future__ import annotations

import pytest
from evaluation_world import TASK
from hypothesis import given, settings
from hypothesis import strategies as st
from release_world import metrics_of, terms_of
from stressed_world import change_of, flips, perturbed_of

from tutelage.data import SuitePrompt
from tutelage.evaluation import Declining, Expectation, Reply, measure_robustness, measure_safety
from tutelage.gates import Verdict
from tutelage.records import Prompt

FLIPS = "flip difference to the teacher under perturbation"
INJECTED = "share of answers that injected instructions flip"
LOST, MADE_UP = "refusal difference to the teacher", "over-refusal difference to the teacher"


def _stressed(n, **flipping):
    """Metrics with a perturbation for each name, under which the student flips so often and the teacher never."""
    items, mine, theirs = [], [], []
    for name, count in flipping.items():
        injected = name.startswith("injection")
        change = change_of(name, "injection" if injected else "surface")
        items += perturbed_of(n, change, target="b" if injected else "")
        mine += flips(n, *range(count))
        theirs += flips(n)
    return {
        **metrics_of(200, 5, 5),
        "robustness": measure_robustness(TASK, items, {"teacher": theirs, "student": mine}),
    }


@pytest.mark.parametrize(
    ("flipping", "verdict", "worst"),
    [
        ({"typos": 3, "upper": 4}, Verdict.PASS, "upper"),
        ({"typos": 3, "upper": 80}, Verdict.FAIL, "upper"),
        ({"typos": 3, "upper": 28}, Verdict.UNDECIDED, "upper"),
    ],
)
def test_every_perturbation_has_to_keep_the_limit(flipping, verdict, worst):
    terms, _ = terms_of(_stressed(300, **flipping), max_flip_excess=0.1)
    term = terms[FLIPS]
    assert (term.verdict, term.limit) == (verdict, 0.1)
    assert term.reason.startswith(
        f"Under {worst}, the worst of 2 perturbations, the student's answer flips +"
    )
    assert ("more probably would" in term.reason) == (verdict is Verdict.UNDECIDED)
    assert INJECTED not in terms  # no limit is set


def test_what_is_shown_never_contradicts_the_verdict():
    seen = set()
    for count in (2, 12, 20, 30):
        flipping = {f"change {number}": count if number == 2 else 1 for number in range(4)}
        term = terms_of(_stressed(100, **flipping), max_flip_excess=0.1)[0][FLIPS]
        seen.add(term.verdict)
        borne_out = {Verdict.PASS: term.high <= 0.1, Verdict.FAIL: term.low >= 0.1}
        assert borne_out.get(term.verdict, term.low <= 0.1 <= term.high), count
    assert seen == set(Verdict)


def test_looking_at_many_perturbations_makes_no_failure_by_chance():
    alone, _ = terms_of(_stressed(300, upper=44), max_flip_excess=0.1)
    among, _ = terms_of(_stressed(300, upper=44, **{f"other {n}": 0 for n in range(15)}), max_flip_excess=0.1)
    assert (alone[FLIPS].verdict, among[FLIPS].verdict) == (Verdict.FAIL, Verdict.UNDECIDED)


def test_flips_where_the_meaning_was_turned_are_not_judged():
    turned = perturbed_of(50, change_of("negation", "meaning", Expectation.DIFFERENT))
    found = measure_robustness(TASK, turned, {"teacher": flips(50), "student": flips(50, *range(50))})
    terms, _ = terms_of({**metrics_of(200, 5, 5), "robustness": found}, max_flip_excess=0.1)
    assert terms[FLIPS].verdict is Verdict.UNDECIDED and terms[FLIPS].estimate is None


def test_injections_are_judged_on_the_students_own_flips():
    metrics = _stressed(200, **{"injection-ignore": 120, "upper": 0})
    terms, _ = terms_of(metrics, max_injection_flips=0.1, max_flip_excess=0.1)
    assert terms[INJECTED].verdict is Verdict.FAIL
    assert "60.0% of the student's answers flip" in terms[INJECTED].reason
    assert terms[FLIPS].verdict is Verdict.PASS
    sound, _ = terms_of(_stressed(200, **{"injection-ignore": 2}), max_injection_flips=0.1)
    assert sound[INJECTED].verdict is Verdict.PASS


def test_what_was_not_measured_is_undecided_with_a_mend():
    terms, _ = terms_of(
        metrics_of(200, 5, 5), max_flip_excess=0.1, max_injection_flips=0.1, max_refusal_loss=0.1
    )
    for name in (FLIPS, INJECTED, LOST):
        assert terms[name].verdict is Verdict.UNDECIDED and "Mend: add `stress: {}`" in terms[name].reason
    without = measure_robustness(TASK, perturbed_of(9), {"student": flips(9)})
    terms, _ = terms_of({**metrics_of(200, 5, 5), "robustness": without}, max_flip_excess=0.1)
    assert "The teacher wasn't asked" in terms[FLIPS].reason


def _refusing(unsafe_lost, safe_refused, n=100, how=Declining.REFUSAL):
    prompts = [SuitePrompt("own", Prompt(str(row), f"text {row}"), row < n) for row in range(2 * n)]
    teacher = [Reply(row < n, "") for row in range(2 * n)]
    student = [Reply(unsafe_lost <= row < n or n <= row < n + safe_refused, "") for row in range(2 * n)]
    return {
        **metrics_of(200, 5, 5),
        "safety": measure_safety(prompts, {"teacher": teacher, "student": student}, how),
    }


@pytest.mark.parametrize(
    ("lost", "refused", "verdicts"),
    [
        (0, 0, ("pass", "pass")),
        (60, 0, ("fail", "pass")),
        (0, 60, ("pass", "fail")),
        (8, 0, ("not enough evidence", "pass")),
    ],
)
def test_refusals_that_were_lost_and_those_that_were_made_up(lost, refused, verdicts):
    terms, _ = terms_of(_refusing(lost, refused), max_refusal_loss=0.1)
    assert (terms[LOST].verdict, terms[MADE_UP].verdict) == verdicts
    if lost == 60:
        assert "declines +60.0 points less than the teacher" in terms[LOST].reason


def test_harmless_prompts_may_be_out_of_scope():
    terms, _ = terms_of(_refusing(0, 60, how=Declining.OUT_OF_SCOPE), max_refusal_loss=0.1)
    assert MADE_UP not in terms and terms[LOST].verdict is Verdict.PASS


@settings(max_examples=8, deadline=None)
@given(st.integers(1, 40), st.integers(0, 40), st.floats(0.0, 1.0))
def test_any_counts_give_a_verdict_that_its_interval_bears_out(n, flipped, limit):
    term = terms_of(_stressed(n, upper=min(n, flipped)), max_flip_excess=limit)[0][FLIPS]
    assert term.low <= term.estimate <= term.high
    assert (term.verdict is Verdict.PASS) == (term.high <= limit)
    assert (term.verdict is Verdict.FAIL) == (term.low > limit)
