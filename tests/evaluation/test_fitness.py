"""The gate `teacher`."""

from __future__ import annotations

import pytest

from tutelage.errors import GateRefused
from tutelage.evaluation import fitness_decision, proportion_interval
from tutelage.gates import Verdict
from tutelage.tasks import Classify

TASK = Classify(("a", "b"))


def _decide(right, n, bar, unusable=0):
    answers = ["a"] * right + [None] * unusable + ["b"] * (n - right - unusable)
    return fitness_decision(TASK, answers, ["a"] * n, bar)


def test_below_the_bar_it_fails_and_says_how_far():
    decision = _decide(70, 100, 0.8)
    assert decision.verdict is Verdict.FAIL
    with pytest.raises(
        GateRefused, match=r"70 of 100 gold examples .*below labelling\.min_teacher_accuracy 80\.0%"
    ):
        decision.require()


def test_above_the_bar_it_passes_with_its_interval():
    decision = _decide(95, 100, 0.8)
    [evidence] = decision.evidence
    assert decision.verdict is Verdict.PASS
    assert (evidence.estimate, evidence.n, evidence.limit) == (0.95, 100, 0.8)
    assert (evidence.low, evidence.high) == proportion_interval(95, 100)
    assert "reaches below" not in evidence.reason


def test_at_the_bar_it_passes_and_tells_that_the_interval_reaches_below():
    decision = _decide(80, 100, 0.8)
    assert decision.verdict is Verdict.PASS
    assert "the interval reaches below the bar of 80.0%" in decision.evidence[0].reason


def test_an_unusable_answer_counts_as_wrong():
    decision = _decide(79, 100, 0.8, unusable=21)
    assert decision.verdict is Verdict.FAIL
    assert "21 of its answers can't be used" in decision.evidence[0].reason


def test_without_gold_nothing_is_decided():
    assert fitness_decision(TASK, [], [], 0.8).verdict is Verdict.UNDECIDED
