import json

from evaluation_world import TASK, random_world
from release_world import CRITICAL_TERM, TEACHER_TERM, metrics_of, terms_of

from tutelage.config import ReleaseConfig
from tutelage.evaluation import evaluate, release_decision
from tutelage.gates import Decision, Evidence, Verdict


def test_the_gold_gate_is_a_term():
    small = Decision.of("gold", [Evidence("width", Verdict.UNDECIDED, "Too few.", more_needed=70)])
    terms, decision = terms_of(metrics_of(1000, 0, 0), gold_decision=small)
    assert (terms["gold gate"].verdict, terms["gold gate"].more_needed) == (Verdict.UNDECIDED, 70)
    assert decision.reasons == ["The gold gate didn't pass (not enough evidence): Too few."]
    large = Decision.of("gold", [Evidence("width", Verdict.PASS, "Enough.")])
    assert terms_of(metrics_of(1000, 0, 0), gold_decision=large)[1].verdict is Verdict.PASS


def test_without_a_teacher_nothing_is_released():
    gold, arms = random_world()
    metrics = evaluate(TASK, gold, {"student": arms["student"]}, resamples=1)
    terms, decision = terms_of(metrics)
    assert (
        terms[TEACHER_TERM].verdict is terms[CRITICAL_TERM].verdict is decision.verdict is Verdict.UNDECIDED
    )


def test_the_decision_survives_json():
    gold, arms = random_world()
    metrics = json.loads(json.dumps(evaluate(TASK, gold, arms, resamples=50)))
    decision = release_decision(metrics, ReleaseConfig(min_accuracy=0.5)).to_json()
    assert json.loads(json.dumps(decision, allow_nan=False)) == decision
