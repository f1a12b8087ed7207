from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutelage.serving.router import By, Rollout, Stage, chosen, route
from tutelage.serving.student import Prediction


def said(confidence):
    return Prediction("refund", confidence, np.array([confidence], np.float32))


@given(key=st.text(), share=st.floats(0, 1), more=st.floats(0, 1))
def test_a_larger_share_keeps_those_of_a_smaller_one(key, share, more):
    low, high = sorted((share, more))
    assert chosen(key, low) <= chosen(key, high)
    assert chosen(key, low) == chosen(key, low)


@given(key=st.text())
def test_all_and_none(key):
    assert chosen(key, 1.0) and not chosen(key, 0.0)


@pytest.mark.parametrize("share", [0.01, 0.05, 0.3, 0.9])
def test_the_share_is_what_was_asked_for(share):
    n = 20_000
    hit = sum(chosen(f"user-{number}", share) for number in range(n))
    assert abs(hit - n * share) < 5 * np.sqrt(n * share * (1 - share))


@given(
    stage=st.sampled_from(Stage),
    share=st.floats(0, 1),
    threshold=st.none() | st.floats(0, 1),
    key=st.text(),
    confidence=st.none() | st.floats(0, 1) | st.just(float("nan")),
    foreign=st.booleans(),
)
def test_the_student_answers_only_where_all_of_it_allows(stage, share, threshold, key, confidence, foreign):
    rollout = Rollout(stage, share, threshold)
    by = route(rollout, key, None if confidence is None else said(confidence), foreign=foreign).by
    sure = confidence is not None and threshold is not None and confidence >= threshold
    allowed = {
        Stage.OFF: False,
        Stage.SHADOW: False,
        Stage.CANARY: sure and chosen(key, share),
        Stage.CASCADE: sure,
        Stage.FULL: True,
    }[stage]
    assert by is (By.STUDENT if allowed and confidence is not None and not foreign else By.TEACHER)


def test_the_teacher_has_a_reason_where_it_is_not_as_usual():
    assert route(Rollout(Stage.SHADOW), "a", None).reason == ""
    assert route(Rollout(Stage.FULL), "a", None).reason == "student unavailable"
    assert route(Rollout(Stage.FULL), "a", said(0.9), foreign=True).reason == "out of scope"
    assert route(Rollout(Stage.CASCADE, threshold=0.95), "a", said(0.9)).reason == "below threshold"
    assert route(Rollout(Stage.CASCADE), "a", said(1.0)).reason == "below threshold"
    assert route(Rollout(Stage.CANARY, 0.0, 0.5), "a", said(1.0)).reason == "not in the canary's share"
