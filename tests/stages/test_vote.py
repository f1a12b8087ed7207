"""Votes on a real student's answers: the poll, what comes of it, corrections, the command line."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections import Counter

import pytest
from inbox import letter_counting_inbox
from typer.testing import CliRunner
from voting_world import Browser

from tutelage import storage
from tutelage.cli.app import app
from tutelage.errors import UsageError
from tutelage.programme import Programme
from tutelage.progress import Silent
from tutelage.records import load_value
from tutelage.review import VoteStore
from tutelage.stages import open_poll, run_all, run_stage, vote_results, votes_to_review

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = letter_counting_inbox(
        tmp_path_factory.mktemp("programme"),
        student={"family": "static", "epochs": 2, "members": 1},
        economics={"monthly": 100_000},
    )
    run_all(Programme.open(made))
    return made


def say(poll, reviewer, choose, most=None):
    """Vote on everything; `choose` gets the ballot and names an answer, `both` or `neither`."""
    for _ in range(len(poll) if most is None else most):
        ballot = poll.next(reviewer)
        said = choose(ballot)
        choice = said if said in ("both", "neither") else "ab"[ballot.shown(reviewer).index(said)]
        poll.cast(reviewer, ballot.key, choice, f"{reviewer} on {ballot.prompt.id}")


@pytest.fixture
def programme(folder):
    made = Programme.open(folder)
    yield made
    for path in folder.glob("evaluation/votes.sqlite*"):
        path.unlink()


def test_votes_on_gold_are_preferences_and_stand_in_the_report(programme):
    assert vote_results(programme, Silent()) is None
    rows = storage.read_table(programme.evaluation / "predictions.parquet").to_pylist()
    apart = [row for row in rows if row["student"] != row["teacher"]]
    poll = open_poll(programme, Silent())
    assert len(poll) == len(apart) > 10
    say(poll, "Ada", lambda ballot: ballot.answers[0])
    say(poll, "Ben", lambda ballot: ballot.answers[1], most=1)
    found = vote_results(programme, Silent())
    counts = Counter(found["outcomes"])
    assert counts["student"] == len(apart) - 1 and counts["split"] == 1
    assert found["pairs"] == {
        "all": len(rows), "differ": len(apart), "judged": len(apart), "votes": len(apart) + 1
    }  # fmt: skip
    assert found["reviewers"] == {"Ada": len(apart), "Ben": 1}
    gold = {row["id"]: row["gold"] for row in rows}
    expected = sum(row["teacher"] == gold[row["id"]] for row in apart)
    assert expected - 1 <= found["against_gold"] <= expected
    assert run_stage(programme, "report")
    assert not run_stage(programme, "report")
    page = (programme.evaluation / "report.html").read_text()
    assert all(f'<section id="{name}">' in page for name in ("votes", "coverage", "economics"))


def test_votes_hold_for_words_and_not_for_runs(programme):
    poll = open_poll(programme, Silent(), against="control", sample="random", most=30, seed=3)
    assert len(poll) == 30
    say(poll, "Ada", lambda ballot: "neither")
    found = vote_results(programme, Silent(), against="control")
    assert found["arms"] == ["student", "control"]
    assert found["pairs"]["judged"] + found["agreeing"]["judged"] == 30
    assert found["agreeing"]["wrong"]["estimate"] == 1.0
    beside_teacher = vote_results(programme, Silent())
    judged = 0 if beside_teacher is None else beside_teacher["pairs"]["judged"]
    other = 30 if beside_teacher is None else beside_teacher["other_answers"]
    assert judged + other <= 30


def test_what_people_prefer_on_traffic_corrects_the_teacher(folder, tmp_path):
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    programme = Programme.open(copy)
    with pytest.raises(UsageError, match="nobody has voted yet"):
        votes_to_review(programme, Silent())
    poll = open_poll(programme, Silent(), where="traffic", most=5)
    assert all(ballot.gold is None for ballot in poll.ballots)
    say(poll, "Ada", lambda ballot: ballot.answers[0])
    say(open_poll(programme, Silent()), "Ada", lambda ballot: ballot.answers[0])  # sealed: no correction
    assert vote_results(programme, Silent(), where="traffic")["pairs"]["judged"] == 5
    votes_to_review(programme, Silent(), at_least=2)
    assert not run_stage(programme, "label")
    result = CliRunner().invoke(app, ["vote", str(copy), "--to-review"])
    assert result.exit_code == 0 and "5 corrections given" in result.output
    assert run_stage(programme, "label")
    after = {row["hash"]: row for row in storage.read_table(programme.transfer).to_pylist()}
    for ballot in poll.ballots:
        row = after[ballot.prompt.hash]
        assert load_value(row["value"]) == ballot.answers[0] and row["origin"] == "human"
        assert load_value(row["teacher_value"]) == ballot.answers[1]
    assert sum(row["teacher_value"] is not None for row in after.values()) == 5
    with pytest.raises(UsageError, match="vote builds on train"):
        open_poll(programme, Silent())


def test_where_all_is_the_same_there_is_nothing_to_choose(programme, monkeypatch):
    from tutelage.stages import vote

    ballots = vote.programme_ballots(programme, "gold", "teacher", Silent())
    same = [ballot for ballot in ballots if not ballot.differs]
    monkeypatch.setattr(vote, "programme_ballots", lambda *_: same)
    with pytest.raises(UsageError, match="--sample random"):
        open_poll(programme, Silent())
    assert len(open_poll(programme, Silent(), sample="random", most=7)) == 7


def test_the_command_serves_until_it_is_told_to_stop(programme):
    command = [sys.executable, "-m", "tutelage", "vote", str(programme.folder), "--port", "0"]
    environment = {**os.environ, "COLUMNS": "200"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            lines = iter(process.stdout.readline, "")
            told = next(line for line in lines if line.startswith("Open "))
            browser = Browser(int(re.search(r"http://127\.0\.0\.1:(\d+)/", told)[1]))
            browser.get("/as/Ada")
            browser.send("/as/Ada/vote", choice="both")
            assert "2 of" in browser.text
            process.send_signal(signal.SIGINT)
            rest, _ = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 0 and "vote --results" in rest
    store = VoteStore(programme.votes)
    assert [vote.reviewer for vote in store.standing()] == ["Ada"]
    store.close()


def test_the_command_line_tells_results(programme):
    arguments = ["vote", str(programme.folder), "--results"]
    assert "No votes" in CliRunner().invoke(app, arguments).output
    poll = open_poll(programme, Silent())
    say(poll, "Ada", lambda ballot: ballot.gold if ballot.gold in ballot.answers else "neither")
    say(poll, "Ben", lambda ballot: ballot.answers[0], most=5)
    output = CliRunner().invoke(app, arguments).output
    for words in ("pairs of answers that differ were judged", "preferred", "Cohen's kappa", "Ada", "Ben 5"):
        assert words in output
    told = json.loads(CliRunner().invoke(app, [*arguments, "--json"]).output)
    assert told["pairs"]["votes"] == len(poll) + 5
