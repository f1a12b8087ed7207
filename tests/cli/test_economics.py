from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from inbox import inbox_programme
from typer.testing import CliRunner

from money_world import quantities
from tutelage.cli.app import app
from tutelage.cli.economics import print_economics
from tutelage.economics import economics

RUNNER = CliRunner()
ROOT = Path(__file__).parents[2]
TEACHER = "teacher={type: openai, model: gpt-4.1-mini, rights: openai-api}"


@pytest.fixture
def eighty(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")


def shown(capsys, **changed):
    print_economics(economics(quantities(**changed), draws=200))
    return capsys.readouterr().out


def test_before_any_spend_it_says_three_figures_parts_and_what_they_hang_on(eighty):
    result = RUNNER.invoke(
        app, ["economics", str(ROOT / "examples" / "support-inbox"), "--monthly", "300000", "--set", TEACHER]
    )
    assert result.exit_code == 0, result.output
    order = ["At 300,000 requests a month", "saved on 1,000 requests", "break-even, months",
             "first year's saving", "It never pays for itself", "Within a year it pays from about", "Upfront",
             "\n1,000 requests, in running", "student and teacher together", "Energy", "hangs on most", "What it rests on",
             "a million"]  # fmt: skip
    places = [result.output.index(words) for words in order]
    assert places == sorted(places)
    assert max(map(len, result.output[: places[-2]].splitlines())) <= 80


def test_the_share_passed_on_can_be_said(tmp_path):
    folder = str(inbox_programme(tmp_path))
    result = RUNNER.invoke(
        app, ["economics", folder, "--monthly", "1e6", "--escalation", "0.00001", "--json", "--set", TEACHER]
    )
    told = json.loads(result.stdout)
    assert told["quantities"]["escalation"]["likely"] == 0.00001
    assert told["quantities"]["requests"]["origin"] == "given"


@pytest.mark.parametrize(
    "arguments, said",
    [
        ([], "Mend: --monthly 300000"),
        (["--monthly", "0"], "monthly has to be more than 0"),
        (["--monthly", "1000", "--escalation", "1.5"], "escalation is a share, and 1.5 is more than 1"),
        (["--monthly", "1000", "--set", "economics.audit=[0.3, 0.1, 0.2]"], "[low, likely, high] rising"),
        (["--monthly", "1000", "--set", "economics.audit=-0.1"], "Should be from 0 on"),
        (["--monthly", "1000", "--set", "economics.audit=.nan"], "Should be from 0 on"),
        (["--monthly", "1000", "--set", "economics.audit=few"], "Should be a number, or [low, likely, high]"),
        (["--monthly", "1000", "--set", "economics.mothly=3"], "Did you mean 'monthly'?"),
    ],
)
def test_what_is_wrong_is_said_with_its_mend(tmp_path, arguments, said):
    result = RUNNER.invoke(app, ["economics", str(inbox_programme(tmp_path)), *arguments])
    assert result.exit_code != 0
    assert said in str(result.exception)


def test_bars_run_from_the_likely_to_both_ends(capsys, eighty):
    bars = [line for line in shown(capsys, escalation=(0.0, 0.1, 0.9), audit=(0.0, 0.0, 0.1)).splitlines()
            if "│" in line]  # fmt: skip
    escalation, audit = bars
    assert re.match(r"escalation\s+█+│░", escalation)
    assert escalation.count("█") > 5 * escalation.count("░")
    assert "░" not in audit  # its likely value is its low end
    assert all(len(line) <= 80 for line in bars)


def test_each_outcome_is_said_plainly(capsys, eighty):
    assert "It pays for itself, after about 2.8 months." in shown(capsys)
    never = shown(capsys, teacher_per_1000=0.5)
    assert "It never pays for itself: running it costs more than the teacher alone." in never
    assert re.search(r"break-even, months\s+never\s+never\n", never)
    late = shown(capsys, governance_hours=1e6)
    assert "It never pays for itself: what it saves doesn't reach the upfront cost within ten years." in late
    doubtful = shown(capsys, teacher_per_1000=(0.0, 8.0, 9.0))
    assert re.search(r"It may pay for itself, after about \d\.\d months, but in \d+% of 200 draws", doubtful)
    assert "No traffic would make it pay within a year." in shown(capsys, teacher_per_1000=0.0)


def test_large_and_small_sums_stand_whole(capsys, eighty):
    text = shown(capsys, requests=1e11, person_hour=(1.0, 1e6, 1e7), governance_hours=(0.0, 1e5, 1e6))
    assert "…" not in text
