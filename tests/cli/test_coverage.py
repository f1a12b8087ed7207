"""What `coverage` shows of a small programme, and for machines."""

from __future__ import annotations

import json

import pytest
from inbox import inbox_programme
from typer.testing import CliRunner

from tutelage.cli.app import app
from tutelage.cli.coverage import print_coverage

RUNNER = CliRunner()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = inbox_programme(tmp_path_factory.mktemp("programme"))
    for stage in ("gold", "collect"):
        result = RUNNER.invoke(app, [stage, str(made)])
        assert result.exit_code == 0, result.output
    return made


def test_clusters_and_tests_are_shown_and_machines_get_the_file(folder):
    shown = RUNNER.invoke(app, ["coverage", str(folder)])
    assert shown.exit_code == 0, shown.output
    for words in ("to learn from", "unlike gold: ", "beyond gold's reach: ", "length: gold's median",
                  "gold in what is learned from or shown to the teacher: none left"):  # fmt: skip
        assert words in shown.output
    told = RUNNER.invoke(app, ["coverage", str(folder), "--json"])
    assert told.exit_code == 0, told.output
    found = json.loads(told.stdout)
    assert found.pop("transfer") is None  # which is as it is now, and no part of the file
    assert found == json.loads((folder / "prompts" / "coverage.json").read_text("utf-8"))
    largest = found["clusters"][0]
    assert f"{largest['traffic']:.1%}" in shown.output and largest["name"].split(",")[0] in shown.output


def found_with(*states: str, **more):
    """What coverage found, with a cluster a state and none of the tests."""
    clusters = [
        {
            "cluster": place,
            "name": f"[red]kind {place}",
            "traffic": 0.5 / (place + 1),
            "gold": 1,
            "expected": 5.0,
            "training": 2,
            "state": state,
        }
        for place, state in enumerate(states)
    ]
    absent = dict.fromkeys(("beyond_reach", "classifier", "kernel", "length", "nearest"))
    unlike = {"estimate": 0.25, "needed": 12}
    return {"clusters": clusters, "unlike": unlike, "leakage": {"left": []}, **absent, **more}


def test_small_clusters_are_counted_unless_gold_lacks_them(capsys):
    print_coverage(found_with(*["covered"] * 17, "lacking"))
    shown = capsys.readouterr().out
    assert "[red]kind 14" in shown and "kind 15" not in shown
    assert "[red]kind 17" in shown and "lacking" in shown
    assert "and 2 smaller clusters, covered" in shown
    assert "25.0% of the traffic" in shown and "about 12 more labelled prompts" in shown
    assert "AUC" not in shown


def test_leaks_are_counted_by_kind_and_part(capsys):
    left = [
        {"pairs": 1_200, "kind": "near", "part": "traffic"},
        {"pairs": 1, "kind": "same", "part": "training"},
    ]
    print_coverage(found_with("covered", leakage={"left": left}))
    assert "1,200 near (traffic), 1 same (training)" in capsys.readouterr().out
