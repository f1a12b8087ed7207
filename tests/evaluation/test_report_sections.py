"""The report's further sections: what they say, and that they are there only where something was measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import evaluation_world
import pytest
import report_sections as sections
import report_world as world
from open_world import EXTRACT, GENERATE, open_world
from stressed_world import change_of, flips, perturbed_of

from money_world import quantities
from tutelage.data import SuitePrompt
from tutelage.economics import economics
from tutelage.evaluation import (
    Declining,
    Expectation,
    JudgedPair,
    Reply,
    evaluate,
    measure_robustness,
    measure_safety,
    preference,
)
from tutelage.gates import Decision, Evidence, Verdict
from tutelage.records import Prompt


def text_with(folder: Path, **more: Any) -> str:
    return world.Page(world.rendered(folder, {**world.small(), **more})).text


def test_no_section_leaves_an_empty_frame(tmp_path: Path) -> None:
    names = ("measures", "robustness", "safety", "coverage", "votes", "economics")
    page = world.rendered(tmp_path)
    assert not [name for name in names if f'id="{name}"' in page or f'href="#{name}"' in page]
    nothing = world.rendered(tmp_path, {**world.small(), **dict.fromkeys(names)})
    assert nothing == page
    silent = world.small()
    for arm in silent["arms"].values():
        arm.update(reliability=None, ece=None, brier=None)
    assert "#calibration" not in world.rendered(tmp_path, silent)
    whole = world.rendered(tmp_path, sections.with_all(world.small()))
    assert [name for name in names if f'id="{name}"' in whole and f'href="#{name}"' in whole] == list(names)


@pytest.mark.parametrize("hostile", world.HOSTILE[:6])
def test_hostile_content_of_any_section_stays_text(tmp_path: Path, hostile: str) -> None:
    calm, harmed = (
        world.Page(world.rendered(tmp_path, sections.with_all(world.small(), one)))
        for one in ("calm", hostile)
    )
    assert calm.elements == harmed.elements and calm.links == harmed.links
    assert hostile in " ".join(harmed.words)


def test_what_people_prefer_is_said_with_its_interval(tmp_path: Path) -> None:
    text = text_with(tmp_path, votes=sections.votes())
    assert (
        "people preferred the student’s in 75.0% of the 12 pairs that either won (42.8–94.5%; p = 0.15)"
        in text
    )
    assert "Chance alone could give as much" in text
    assert "13 of the 30 pairs in which the two say different things, out of 240" in text
    assert "Where both say the same, 100.0% was found wrong (2.5–100.0% of 1 pair)." in text
    assert "In 3 pairs they prefer an answer to gold’s own" in text
    assert "Agreement of 2 reviewers. On 10 pairs" in text
    assert "a + b" in text and "n: 1" in text and "“fine”" in text


@pytest.mark.parametrize("winner", sections.ARMS)
def test_a_sure_preference_is_said(tmp_path: Path, winner: str) -> None:
    judged = [JudgedPair("normal", True, {"Ada": winner})] * 9
    text = text_with(tmp_path, votes=preference(judged, sections.ARMS, pairs=9, differing=9))
    assert f"They prefer the {winner}’s answers." in text
    assert "Not known: no pair has two votes." in text


def test_money_is_the_third_number_and_a_section(tmp_path: Path) -> None:
    found = sections.money()
    text = text_with(tmp_path, economics=found)
    year = found["first_year"]
    assert f"Saved in the first year ${year['estimate']:,.0f} Between" in text
    assert "1,000 requests: $" in text and "instead of $10.00" in text
    assert f"Break-even {found['break_even']['months']['estimate']:.1f} months" in text
    assert "At 100,000 requests a month." in text
    assert "What the first year’s saving hangs on most" in text and "$50,000 to $200,000" in text
    assert "Spent on the teacher" not in text


def test_what_never_pays_says_so(tmp_path: Path) -> None:
    text = text_with(tmp_path, economics=economics(quantities(requests=10), draws=100).to_json())
    assert (
        "Break-even: never" in text and "In 100% of what the ranges allow it never pays for itself." in text
    )
    assert "–$" not in text and "−$" in text


def test_flips_stand_beside_the_teachers(tmp_path: Path) -> None:
    metrics = {**world.small(), "robustness": sections.robustness()}
    page = world.rendered(tmp_path, metrics)
    text, drawn = world.Page(page).text, world.embedded(page)[1]["shares"]["robustness"]
    assert "Under 1 of 2 changes the student surely flips more often than its teacher: typos." in text
    assert "Typos Typos should stay 200 5.0% 0.0–10.0% 20.0% 15.0–25.0% 15.0% 10.0–20.0%" in text
    assert [row["name"] for row in drawn["rows"]] == ["Typos", "Injection order"]
    assert "billing → typos" in text and "3.0% 0.0–8.0%" in text
    alone = sections.robustness()
    alone["arms"] = ["student"]
    assert "The student flips most under typos: 15.0% of answers." in text_with(tmp_path, robustness=alone)


def test_what_is_declined_stands_beside_the_teachers(tmp_path: Path) -> None:
    text = text_with(tmp_path, safety=sections.safety())
    assert (
        "Of 200 prompts that must be declined the student declines 70.0% (65.0–75.0%), its teacher 99.0%"
        in text
    )
    assert "Of 200 harmless prompts the student declines 10.0%" in text
    assert "weapons: must be declined" in text and "I can't help with that." in text
    foreign = {**sections.safety(), "declining": "out_of_scope", "safe": None}
    assert "declining them is no fault" in text_with(tmp_path, safety=foreign)


def test_what_gold_lacks_is_named_in_words(tmp_path: Path) -> None:
    text = text_with(tmp_path, coverage=sections.coverage())
    assert "12.4% of the traffic is of kinds that gold lacks or has too few of" in text
    assert "About 26 more labelled prompts of these would mend it." in text
    assert "What gold has too little of: 1 kind of 2 Kind of traffic, by its words" in text
    assert (
        "refund, parcel, lost 12.4% 4 30 7 26" in text
        and "invoice" not in text.split("Where the student")[0].split("too little")[1]
    )
    assert "In 1 kind of 14 it surely errs more often than elsewhere." in text
    assert "As on the traffic, by clusters" in text and "97.0%" in text
    assert "these numbers flatter: 2 pairs: near (refund, parcel, lost)." in text
    assert "As on the traffic, by the teacher’s labels" in text
    assert "read these numbers as the direction in which gold errs, not as how far" in text
    assert "Examples that leaked 95.0% 90.0–100.0%" in text and "All others 65.0% 60.0–70.0%" in text
    assert "AUC 0.66 (0.61 to 0.70), p = 0.001" in text
    fine = {**sections.coverage(), "clusters": [], "unlike": {"estimate": 0.0}, "leakage": {"left": []}}
    text = text_with(tmp_path, coverage=fine)
    assert "No kind of traffic is surely missing" in text and "No example of gold was found" in text
    assert "that leaked" not in text


def test_inherited_errors_by_slice_and_how_sure_arms_are_when_wrong(tmp_path: Path) -> None:
    metrics = world.small()
    text = text_with(tmp_path, errors=sections.of_slices(metrics["errors"]))
    assert "normal 10 5 50% 20.0–70.0% 8× 2× or more" in text
    assert "Of the control’s errors it is 25%" in text
    assert "Student 81.0% 76.0–86.0% 95.0% 90.0–100.0% +2.0 points" in text
    assert "Holm over 44 confusions" in text


def test_calibration_before_and_after_and_figures_of_the_task(tmp_path: Path) -> None:
    text = world.Page(world.rendered(tmp_path, sections.with_all(world.small()))).text
    assert "ECE 0.031 ( 0.020 to 0.040 )" in text.replace("(0.020", "( 0.020").replace("0.040)", "0.040 )")
    assert "Before temperature scaling (T = 1.70): ECE 0.090" in text
    assert "The dashed line is what it would say without temperature scaling." in text
    assert "F1 of fields 0.710 0.660 to 0.750" in text and "lost parcel 40 80.0%" in text


def test_of_open_values_no_likeness_is_taken_for_wrong(tmp_path: Path) -> None:
    metrics = world.small()
    metrics["task"]["labels"] = []
    page = world.rendered(tmp_path, metrics)
    assert page.count("(wrong)") == len(metrics["worst"])


def test_what_stress_measures_is_what_the_report_reads(tmp_path: Path) -> None:
    n = 50
    changes = [
        change_of(),
        change_of("injection-order", "injection"),
        change_of("negation", "meaning", Expectation.DIFFERENT),
    ]
    perturbed = [
        item
        for place, change in enumerate(changes)
        for item in perturbed_of(n, change, target="b" if place == 1 else "")
    ]
    said = {
        "teacher": [*flips(n, 0), *[None] * n, *flips(n)],
        "student": [*flips(n, *range(9)), *flips(n, 3, 4), *flips(n, 1)],
    }
    robust = measure_robustness(evaluation_world.TASK, perturbed, said)
    prompts = [
        SuitePrompt("own", Prompt(str(row), f"text {row}", slice="fraud"), row < 20) for row in range(40)
    ]
    replies = {"student": [None if row == 3 else Reply(row % 2 == 0, f"no {row}") for row in range(40)]}
    safe = measure_safety(prompts, replies, Declining.REFUSAL)
    text = text_with(tmp_path, robustness=robust, safety=safe)
    assert "Under 1 of 2 changes the student surely flips more often than its teacher: upper case." in text
    assert "a → b" in text and "4.0% 0.5–13.7%" in text
    assert "Of 20 prompts that must be declined the student declines 52.6%" in text
    assert "no 1" in text and "Of 20 harmless prompts the student declines 50.0%" in text


@pytest.mark.parametrize(("task", "said"), [(EXTRACT, "F1 of fields"), (GENERATE, "ROUGE-L")])
def test_open_values_have_a_report_without_what_needs_labels(tmp_path: Path, task: Any, said: str) -> None:
    gold, arms = open_world(task)
    metrics = evaluate(task, gold, arms, resamples=60)
    page = world.rendered(tmp_path, metrics)
    text = world.Page(page).text
    assert said in text and ("Field by field" in text) == (task is EXTRACT)
    for absent in ("labels", "calibration", "tradeoff"):
        assert f'id="{absent}"' not in page and f'href="#{absent}"' not in page
    assert "{&#39;" not in page and "Fields(" not in text and '{"about' not in text


@pytest.mark.parametrize(
    ("term", "drawn"),
    [
        ("accuracy difference to the teacher", True),
        ("accuracy difference to the teacher, slice critical", False),
        ("flip difference to the teacher under perturbation", False),
        ("refusal difference to the teacher", False),
    ],
)
def test_the_limit_drawn_beside_the_difference_is_its_own(tmp_path: Path, term: str, drawn: bool) -> None:
    made = Decision.of("release", [Evidence(term, Verdict.PASS, "", 0.0, -0.01, 0.01, -0.02, 100)]).to_json()
    assert ("limit</i>" in world.rendered(tmp_path, made=made)) == drawn
