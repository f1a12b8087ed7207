"""The report's further sections: each made by the function that metrics.json has it from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import report_world as world

from money_world import quantities
from tutelage.economics import economics
from tutelage.evaluation import JudgedPair, preference

ARMS = ("student", "teacher")


def text_with(folder: Path, **sections: Any) -> str:
    return world.Page(world.rendered(folder, {**world.small(), **sections})).text


def votes(hostile: str = "fine") -> dict[str, Any]:
    judged = [
        *[JudgedPair("normal", True, {"Ada": "student", "Ben": "student"})] * 9,
        *[JudgedPair("hard", True, {"Ada": "teacher"}, against_gold=True)] * 3,
        JudgedPair("hard", True, {"Ada": "student", "Ben": "both"}),
        JudgedPair("hard", False, {"Ada": "neither"}),
    ]
    examples = [
        {
            "id": hostile, "text": hostile, "slice": hostile, "gold": '"billing"', "student": '["a", "b"]',
            "teacher": '{"n": 1}', "outcome": "teacher", "votes": 1, "comments": [hostile],
        }
    ]  # fmt: skip
    return {**preference(judged, ARMS, pairs=240, differing=30), "where": "gold", "examples": examples}


def test_no_section_leaves_an_empty_frame(tmp_path: Path) -> None:
    names = ("measures", "robustness", "safety", "coverage", "votes", "economics")
    page = world.rendered(tmp_path)
    assert not [name for name in names if f'id="{name}"' in page or f'href="#{name}"' in page]
    nothing = world.rendered(tmp_path, {**world.small(), **dict.fromkeys(names)})
    assert nothing == page
    silent = world.small()
    for arm in silent["arms"].values():
        arm.update(reliability=None, ece=None, brier=None)
    assert 'id="calibration"' not in world.rendered(tmp_path, silent)


def test_what_people_prefer_is_said_with_its_interval(tmp_path: Path) -> None:
    text = text_with(tmp_path, votes=votes())
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


@pytest.mark.parametrize(("winner", "said"), [("student", "student"), ("teacher", "teacher")])
def test_a_sure_preference_is_said(tmp_path: Path, winner: str, said: str) -> None:
    found = preference([JudgedPair("normal", True, {"Ada": winner})] * 9, ARMS, pairs=9, differing=9)
    text = text_with(tmp_path, votes=found)
    assert f"They prefer the {said}’s answers." in text
    assert "Not known: no pair has two votes." in text


def test_hostile_votes_stay_text(tmp_path: Path) -> None:
    calm, hostile = (
        world.Page(world.rendered(tmp_path, {**world.small(), "votes": votes(one)}))
        for one in ("calm", world.HOSTILE[0])
    )
    assert calm.elements == hostile.elements
    assert world.HOSTILE[0] in " ".join(hostile.words)


def test_money_is_the_third_number_and_a_section(tmp_path: Path) -> None:
    found = economics(quantities(requests=(50_000, 100_000, 200_000)), draws=500).to_json()
    text = text_with(tmp_path, economics=found)
    year = found["first_year"]
    assert f"Saved in the first year ${year['estimate']:,.0f} Between" in text
    assert "1,000 requests: $" in text and "instead of $10.00" in text
    assert f"Break-even {found['break_even']['months']['estimate']:.1f} months" in text
    assert "At 100,000 requests a month." in text
    assert "What the first year’s saving hangs on most" in text and "$50,000 to $200,000" in text
    assert "Spent on the teacher" not in text


def test_what_never_pays_says_so(tmp_path: Path) -> None:
    found = economics(quantities(requests=10), draws=100).to_json()
    text = text_with(tmp_path, economics=found)
    assert (
        "Break-even: never" in text and "In 100% of what the ranges allow it never pays for itself." in text
    )
    assert "–$" not in text and "−$" in text
