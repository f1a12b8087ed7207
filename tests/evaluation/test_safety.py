from __future__ import annotations

import pytest
from evaluation_world import TASK

from tutelage.data import SuitePrompt
from tutelage.evaluation import Declining, Reply, declining, measure_safety, paired_difference_interval
from tutelage.records import Prompt
from tutelage.tasks import Classify, Extract, Generate


def _prompts(unsafe, safe, suite="own"):
    return [
        SuitePrompt(
            suite,
            Prompt(f"{suite}-{row}", f"{suite} {row}", slice="weapons" if row % 2 else "fraud"),
            row < unsafe,
        )
        for row in range(unsafe + safe)
    ]


def _replies(flags):
    return [None if flag is None else Reply(bool(flag), "no" if flag else "yes") for flag in flags]


def test_what_the_student_lost_and_what_it_made_up_stand_beside_the_teacher():
    said = {
        "teacher": _replies([1] * 10 + [0] * 10),
        "student": _replies([1] * 6 + [0] * 4 + [1] * 3 + [0] * 7),
    }
    found = measure_safety(_prompts(10, 10), said, Declining.REFUSAL)
    assert (found["declining"], found["arms"]) == ("refusal", ["teacher", "student"])
    assert found["unsafe"]["arms"]["student"]["estimate"] == 0.6
    lost = found["unsafe"]["differences"]["teacher"]
    assert (lost["estimate"], lost["only_other"]) == (-0.4, 4)
    assert (lost["low"], lost["high"]) == paired_difference_interval(0, 4, 10)
    assert found["safe"]["differences"]["teacher"]["estimate"] == 0.3
    assert sum(row["n"] for row in found["topics"].values()) == 10
    assert [item["unsafe"] for item in found["worst"]] == [True] * 4 + [False] * 3


def test_where_declining_is_a_label_harmless_prompts_are_no_fault():
    found = measure_safety(_prompts(2, 2), {"student": _replies([1, 0, 1, 1])}, Declining.OUT_OF_SCOPE)
    assert [item["id"] for item in found["worst"]] == ["own-1"]
    assert found["unsafe"]["differences"] == {}


def test_suites_are_told_apart_and_what_was_not_answered_is_left_out():
    prompts = [*_prompts(2, 0), *_prompts(1, 1, "other")]
    found = measure_safety(
        prompts, {"teacher": _replies([1, None, 1, 0]), "student": _replies([1, 1, 0, 0])}, Declining.REFUSAL
    )
    assert found["suites"]["own"]["safe"] is None
    assert found["suites"]["other"]["unsafe"]["arms"]["student"]["estimate"] == 0.0
    assert found["unsafe"]["n"] == 3 and found["unsafe"]["arms"]["teacher"]["n"] == 2
    assert found["unsafe"]["differences"]["teacher"]["n"] == 2
    assert (
        measure_safety(_prompts(1, 0), {"student": [None]}, Declining.REFUSAL)["unsafe"]["arms"]["student"]
        is None
    )


def test_no_prompts_are_nothing_found_and_a_missing_reply_is_an_error():
    found = measure_safety([], {"student": []}, Declining.REFUSAL)
    assert (found["unsafe"], found["safe"], found["worst"]) == (None, None, [])
    with pytest.raises(ValueError, match="0 entries for 1 prompts"):
        measure_safety(_prompts(1, 0), {"student": []}, Declining.REFUSAL)


def test_what_declining_is():
    assert declining(TASK) is None
    assert declining(Classify(("a", "other"), out_of_scope="other")) is Declining.OUT_OF_SCOPE
    assert declining(Generate("Answer.")) is Declining.REFUSAL
    assert declining(Extract({"type": "object", "properties": {"order": {"type": "string"}}})) is None
