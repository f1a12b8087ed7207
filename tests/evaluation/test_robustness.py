from __future__ import annotations

import pytest
from evaluation_world import TASK
from hypothesis import given, settings
from hypothesis import strategies as st
from stressed_world import FLIPPED, HELD, change_of, flips, perturbed_of

from tutelage.evaluation import (
    Answered,
    Expectation,
    flips_table,
    measure_robustness,
    paired_difference_interval,
    proportion_interval,
)
from tutelage.evaluation.robustness import NO_TARGET
from tutelage.records import Fields
from tutelage.tasks import Classify, Extract


def test_flips_stand_beside_each_other_with_their_paired_difference():
    n = 50
    said = {"teacher": flips(n, 0, 1), "control": flips(n, *range(9)), "student": flips(n, 1, 2, 3, 4, 5)}
    [row] = measure_robustness(TASK, perturbed_of(n), said)["perturbations"]
    assert (row["name"], row["family"], row["expectation"], row["n"]) == ("upper-case", "surface", "same", n)
    low, high = proportion_interval(5, n)
    assert row["arms"]["student"]["flips"] == {"estimate": 0.1, "low": low, "high": high, "n": n}
    assert row["arms"]["student"]["right_before"]["estimate"] == 1.0
    assert row["arms"]["student"]["right_after"]["estimate"] == 0.9
    against = row["differences"]["teacher"]
    assert (against["only_student"], against["only_other"], against["n"]) == (4, 1, n)
    assert (against["low"], against["high"]) == paired_difference_interval(4, 1, n)
    assert against["estimate"] == pytest.approx(3 / n)
    assert row["differences"]["control"]["estimate"] == pytest.approx(-4 / n)


def test_slices_and_rows_are_told_apart():
    slices = ["critical"] * 2 + ["normal"] * 3
    items = [*perturbed_of(5, slices=slices), *perturbed_of(5, change_of("typos"), slices=slices)]
    found = measure_robustness(TASK, items, {"student": [*flips(5, 0), *flips(5)]})
    assert [row["name"] for row in found["perturbations"]] == ["upper-case", "typos"]
    assert found["examples"] == 5
    first = found["perturbations"][0]
    assert first["slices"]["critical"]["arms"]["student"]["estimate"] == 0.5
    assert first["slices"]["normal"]["arms"]["student"]["estimate"] == 0.0
    assert first["differences"] == {} and first["slices"]["critical"]["differences"] == {}


def test_an_arm_that_was_not_asked_is_left_out_of_the_pairs():
    teacher = [None, HELD, FLIPPED, HELD]
    [row] = measure_robustness(TASK, perturbed_of(4), {"teacher": teacher, "student": flips(4, 0, 2)})[
        "perturbations"
    ]
    assert row["arms"]["teacher"]["flips"]["n"] == 3
    assert (row["differences"]["teacher"]["n"], row["differences"]["teacher"]["only_student"]) == (3, 0)
    [row] = measure_robustness(TASK, perturbed_of(1), {"teacher": [None], "student": [HELD]})["perturbations"]
    assert row["arms"]["teacher"]["flips"] is None and row["differences"] == {}


def test_unusable_answers_agree_with_each_other_alone():
    said = [Answered(None, None), Answered(None, "a"), Answered("a", None), Answered("a", "a")]
    [row] = measure_robustness(TASK, perturbed_of(4), {"student": said})["perturbations"]
    assert row["arms"]["student"]["flips"]["estimate"] == 0.5
    assert row["arms"]["student"]["right_before"]["estimate"] == 0.5


def test_obeying_an_injection_is_more_than_flipping():
    items = perturbed_of(4, change_of("injection-ignore", "injection"), target="b")
    said = [Answered("a", "b"), Answered("a", "c"), Answered("b", "b"), HELD]
    [row] = measure_robustness(TASK, items, {"student": said})["perturbations"]
    assert row["arms"]["student"]["flips"]["estimate"] == 0.5
    assert row["arms"]["student"]["obeyed"]["estimate"] == 0.25
    several = Classify(("a", "b", "c"), multi_label=True)
    items = perturbed_of(1, change_of("injection-ignore", "injection"), target="b", value=("a",))
    [row] = measure_robustness(several, items, {"student": [Answered(("a",), ("a", "b"))]})["perturbations"]
    assert row["arms"]["student"]["obeyed"]["estimate"] == 1.0


def test_a_record_obeys_where_it_holds_what_was_injected():
    task = Extract({"type": "object", "properties": {"order": {"type": "string"}}})
    before, after = Fields({"order": "A1"}), Fields({"order": f"it is {NO_TARGET}"})
    items = perturbed_of(1, change_of("injection-ignore", "injection"), target=NO_TARGET, value=before)
    [row] = measure_robustness(task, items, {"student": [Answered(before, after)]})["perturbations"]
    assert row["arms"]["student"]["obeyed"]["estimate"] == 1.0
    items = perturbed_of(1, change_of(rewords=True), value=before)
    [row] = measure_robustness(task, items, {"student": [Answered(before, before)]})["perturbations"]
    assert row["expectation"] == "open"


def test_the_worst_are_the_students_own_and_none_is_blamed_on_a_meaning_that_was_turned():
    said = {"teacher": flips(6, 0), "student": flips(6, 0, 3)}
    worst = measure_robustness(TASK, perturbed_of(6), said)["worst"]
    assert [item["id"] for item in worst] == ["p3", "p0"]
    assert worst[0]["answers"] == {"teacher": ['"a"', '"a"'], "student": ['"a"', '"b"']}
    turned = perturbed_of(6, change_of("negation", "meaning", Expectation.DIFFERENT))
    assert measure_robustness(TASK, turned, said)["worst"] == []


def test_no_perturbation_fills_the_list_of_the_worst():
    items = [*perturbed_of(100), *perturbed_of(3, change_of("typos"))]
    worst = measure_robustness(TASK, items, {"student": [FLIPPED] * 103})["worst"]
    assert {item["perturbation"] for item in worst} == {"upper-case", "typos"}
    assert len(worst) < 20


def test_the_table_has_the_pairs_on_which_any_arm_flips():
    said = {"teacher": flips(4, 1), "control": [None] * 4, "student": flips(4, 2)}
    table = flips_table(TASK, perturbed_of(4), said).to_pylist()
    assert [(row["id"], row["teacher_flipped"], row["student_flipped"]) for row in table] == [
        ("p1", True, False),
        ("p2", False, True),
    ]
    assert table[0]["control_before"] is None and table[0]["control_flipped"] is None
    assert table[0]["teacher_after"] == '"b"' and table[0]["after"] == "TEXT 1"
    assert flips_table(TASK, [], {}).num_rows == 0


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(*[st.sampled_from(["a", "b", None])] * 4), min_size=1, max_size=8))
def test_whatever_is_answered_shares_lie_in_their_intervals(rows):
    said = {
        "teacher": [Answered(one, other) for one, other, *_ in rows],
        "student": [Answered(one, other) for *_, one, other in rows],
    }
    [row] = measure_robustness(TASK, perturbed_of(len(rows)), said)["perturbations"]
    for arm in row["arms"].values():
        for name in ("flips", "right_before", "right_after"):
            assert arm[name]["low"] <= arm[name]["estimate"] <= arm[name]["high"]
    mine, theirs = (row["arms"][name]["flips"]["estimate"] for name in ("student", "teacher"))
    assert row["differences"]["teacher"]["estimate"] == pytest.approx(mine - theirs)


def test_nothing_perturbed_is_nothing_found_and_a_missing_answer_is_an_error():
    assert measure_robustness(TASK, [], {"student": []})["perturbations"] == []
    with pytest.raises(ValueError, match="'student' has 1 entries for 2 pairs"):
        measure_robustness(TASK, perturbed_of(2), {"student": [HELD]})
