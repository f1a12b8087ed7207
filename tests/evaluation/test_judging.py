import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from tutelage.evaluation.judging import LEAST_PAIRS, judge_agreement, judged_preference

WORDS = ("student", "teacher", "both", "neither")


def _people(n, seed=0):
    return {str(key): str(word) for key, word in enumerate(np.random.default_rng(seed).choice(WORDS, size=n))}


def _judge(people, right, seed=1):
    generator = np.random.default_rng(seed)
    return {
        key: word if generator.random() < right else str(generator.choice(WORDS))
        for key, word in people.items()
    }


def test_a_judge_that_agrees_with_people_is_heard_and_one_that_guesses_is_not():
    people = _people(120)
    found = judge_agreement(people, _judge(people, 0.95), 0.6)
    assert found["heard"] and "the judge is heard" in found["reason"]
    assert found["agreement"]["kappa"]["low"] >= 0.6 and found["steady"] == 1.0
    guessed = judge_agreement(people, _judge(people, 0.5), 0.6)
    assert not guessed["heard"] and "isn't surely 0.60" in guessed["reason"]


def test_kappa_is_sklearns_and_a_judge_that_changes_its_mind_agrees_with_nobody():
    people = _people(60)
    judge = _judge(people, 0.8) | {"1": "split", "2": "split"}
    found = judge_agreement({**people, "5": "split", "x": "both"}, judge, 0.1)
    keys = [key for key in people if key != "5"]
    assert found["agreement"]["units"] == 59
    assert found["agreement"]["kappa"]["estimate"] == pytest.approx(
        cohen_kappa_score([people[key] for key in keys], [judge[key] for key in keys])
    )
    assert found["steady"] == pytest.approx(58 / 60)


def test_too_few_pairs_or_all_alike_say_nothing():
    people = _people(LEAST_PAIRS - 1)
    few = judge_agreement(people, dict(people), 0.0)
    assert not few["heard"] and f"decided {LEAST_PAIRS - 1} pairs" in few["reason"]
    alike = {str(key): "student" for key in range(50)}
    assert "chance alone" in judge_agreement(alike, dict(alike), 0.0)["reason"]
    nothing = judge_agreement({}, {}, 0.6)
    assert (nothing["agreement"], nothing["steady"], nothing["heard"]) == (None, None, False)


@settings(max_examples=8, deadline=None)
@given(
    st.dictionaries(st.integers(0, 30), st.sampled_from([*WORDS, "split"])),
    st.floats(0, 1),
    st.integers(0, 99),
)
def test_whatever_was_voted_the_result_is_json(people, bar, seed):
    people = {str(key): word for key, word in people.items()}
    found = judge_agreement(people, _judge(people, 0.7, seed), bar)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["reason"]


def test_what_a_judge_prefers_is_told_as_peoples_preference_is():
    said = {"1": "student", "2": "student", "3": "teacher", "4": "both", "5": "split"}
    found = judged_preference(
        said, dict.fromkeys(said, "normal"), ("student", "teacher"), pairs=20, differing=10
    )
    assert found["outcomes"] == {"student": 2, "teacher": 1, "both": 1, "neither": 0, "split": 1}
    assert found["preferred"]["n"] == 3 and found["pairs"]["judged"] == 5
