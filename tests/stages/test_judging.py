"""A model that votes on pairs of answers: heard where it agrees with people, and only there."""

from __future__ import annotations

import json

import pytest
from inbox import letter_counting_inbox
from typer.testing import CliRunner

from tutelage import storage
from tutelage.cli.app import app
from tutelage.errors import GateRefused, UsageError
from tutelage.programme import Programme
from tutelage.progress import Silent
from tutelage.records import dump_value
from tutelage.stages import open_poll, run_all, run_stage
from tutelage.stages.ballots import find_judgement, programme_ballots
from tutelage.stages.judging import ask_judge

pytestmark = pytest.mark.slow
OWN = {"type": "openai", "rights": "own-model", "model": "scripted-1", "samples": 1}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = letter_counting_inbox(
        tmp_path_factory.mktemp("programme"),
        gold={"path": "gold.csv", "margin": 0.1},
        student={"family": "static", "epochs": 4, "members": 1},
    )
    run_all(Programme.open(made))
    return made


@pytest.fixture
def judged(folder, faulty_teacher):
    """The programme with a judge at the scripted endpoint, and the ballots that differ."""
    programme = Programme.open(
        folder, [f"judging.teacher={json.dumps({**OWN, 'base_url': faulty_teacher.url})}"]
    )
    ballots = [b for b in programme_ballots(programme, "gold", "teacher", Silent()) if b.differs]
    assert len(ballots) >= 24
    yield programme, ballots, faulty_teacher
    for path in [*folder.glob("evaluation/votes.sqlite*"), *folder.glob("evaluation/judge.sqlite*")]:
        path.unlink()


def _word(ballot):
    """Which answer is gold's: `student`, `teacher` or `neither`."""
    fits = [
        arm for arm, value in zip(("student", "teacher"), ballot.answers, strict=True) if value == ballot.gold
    ]
    return fits[0] if fits else "neither"


def _vote(programme, most):
    """People prefer what gold says."""
    poll = open_poll(programme, Silent(), most=most)
    for ballot in poll.ballots:
        word = _word(ballot)
        answer = dict(zip(("student", "teacher"), ballot.answers, strict=True)).get(word)
        choice = word if answer is None else "ab"[ballot.shown("Ada").index(answer)]
        poll.cast("Ada", ballot.key, choice)
    return poll


def _script(endpoint, ballots, judge):
    """The endpoint answers each ballot, in both orders, as `judge` says of it."""
    for ballot in ballots:
        for order in (("student", "teacher"), ("teacher", "student")):
            values = dict(zip(("student", "teacher"), ballot.answers, strict=True))
            shown = {
                "message": ballot.prompt.text,
                "reference": json.loads(dump_value(ballot.gold)),
                "first": values[order[0]],
                "second": values[order[1]],
            }
            word = judge(ballot)
            said = ("first", "second")[order.index(word)] if word in order else word
            endpoint.answers[json.dumps(shown, ensure_ascii=False, indent=1)] = json.dumps(
                {"reasons": "So it seems.", "verdict": said}
            )


def test_a_judge_that_agrees_with_people_is_asked_of_all_pairs(judged):
    programme, ballots, endpoint = judged
    _vote(programme, 22)
    _script(endpoint, ballots, _word)
    found = ask_judge(programme, Silent())
    assert found["heard"] and found["agreement"]["kappa"]["estimate"] == 1.0 and found["steady"] == 1.0
    assert found["pairs"]["people"] == 22 and found["pairs"]["judged"] == len(ballots)
    words = [_word(ballot) for ballot in ballots]
    outcomes = found["preference"]["outcomes"]
    assert (outcomes["student"], outcomes["teacher"]) == (words.count("student"), words.count("teacher"))
    assert len(endpoint.requests) == 2 * len(ballots)
    assert ask_judge(programme, Silent()) == found
    assert len(endpoint.requests) == 2 * len(ballots), "what was answered is paid once"
    assert find_judgement(programme) == found
    assert run_stage(programme, "report") and not run_stage(programme, "report")
    page = (programme.evaluation / "report.html").read_text(encoding="utf-8")
    assert "A model judged the pairs too. Kappa with people is 1.00" in page and "the judge is heard" in page
    assert f"On {len(ballots)} pairs of different answers it prefers the student’s" in page


def test_a_judge_that_prefers_whatever_stands_first_is_not_heard(judged):
    programme, ballots, endpoint = judged
    poll = _vote(programme, 22)
    _script(endpoint, ballots, _word)
    for text in endpoint.answers:
        endpoint.answers[text] = json.dumps({"reasons": "The first.", "verdict": "first"})
    found = ask_judge(programme, Silent())
    assert (found["heard"], found["preference"], found["steady"]) == (False, None, 0.0)
    assert len(endpoint.requests) == 2 * len(poll.ballots), "no more is spent on it"
    result = CliRunner().invoke(app, ["vote", str(programme.folder), "--judge", *_overrides(programme)])
    assert result.exit_code == 0 and "isn't surely 0.60: the judge isn't heard" in result.output
    run_stage(programme, "report")
    page = (programme.evaluation / "report.html").read_text(encoding="utf-8")
    assert "the judge isn&#39;t heard" in page and "it prefers the student" not in page


def _overrides(programme):
    return [word for override in programme.overrides for word in ("--set", override)]


def test_nobody_is_asked_before_people_voted_or_without_a_judge_or_rights(judged, folder):
    programme, _, endpoint = judged
    with pytest.raises(UsageError, match="nobody has voted .*`tutelage vote --against teacher"):
        ask_judge(programme, Silent())
    with pytest.raises(UsageError, match="no judge is named"):
        ask_judge(Programme.open(folder), Silent())
    _vote(programme, 22)
    judge = {**OWN, "rights": "nobody-knows", "base_url": endpoint.url}
    with pytest.raises(GateRefused, match="the judge"):
        ask_judge(Programme.open(folder, [f"judging.teacher={json.dumps(judge)}"]), Silent())
    assert not endpoint.requests


def test_what_was_judged_of_other_votes_is_not_told(judged):
    programme, ballots, endpoint = judged
    poll = _vote(programme, 22)
    _script(endpoint, ballots, _word)
    ask_judge(programme, Silent())
    assert poll.undo("Ada")
    assert find_judgement(programme) is None
    assert storage.read_json(programme.evaluation / "judge.json")["heard"]


def test_a_judges_secrets_are_not_journalled():
    for given in ("judging.teacher={api: x}", "judging.teacher.headers.key=x", "judging={teacher: x}"):
        assert "x" not in Programme(".", None, (given,)).journalled_overrides[0].split("=")[1]
    assert Programme(".", None, ("judging.most=3",)).journalled_overrides == ["judging.most=3"]
    assert Programme(".", None, ("teacher.headers=x", "teacher.model=y")).journalled_overrides == [
        "teacher.headers=...", "teacher.model=y",
    ]  # fmt: skip
