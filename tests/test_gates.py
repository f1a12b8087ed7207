from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutelage import storage
from tutelage.errors import GateRefused
from tutelage.gates import Decision, Evidence, Verdict

P, F, U = Verdict.PASS, Verdict.FAIL, Verdict.UNDECIDED


def _decision(*verdicts: Verdict) -> Decision:
    return Decision.of("release", [Evidence(f"term {n}", v, f"reason {n}.") for n, v in enumerate(verdicts)])


@pytest.mark.parametrize(
    ("verdicts", "verdict"),
    [
        ([], U), ([P], P), ([P, P], P), ([U], U), ([P, U], U), ([U, P], U), ([F], F), ([F, P], F), ([P, F], F),
        ([U, F], F), ([F, U], F), ([P, U, F], F),
    ],
)  # fmt: skip
def test_any_fail_fails_and_else_any_doubt_leaves_doubt(verdicts, verdict):
    assert _decision(*verdicts).verdict is verdict


@given(st.lists(st.sampled_from(Verdict), max_size=6), st.sampled_from(Verdict))
def test_more_evidence_never_turns_a_refusal_into_a_pass(verdicts, more):
    before, after = _decision(*verdicts).verdict, _decision(*verdicts, more).verdict
    if verdicts:
        assert [P, U, F].index(after) >= [P, U, F].index(before)
    assert (after is P) is all(verdict is P for verdict in [*verdicts, more])


def test_a_pass_is_let_through():
    _decision(P, P).require()


@pytest.mark.parametrize(
    ("verdicts", "message"),
    [
        ([F], "release gate: fail. reason 0."),
        ([P, U], "release gate: not enough evidence. reason 1."),
        ([U, P, F], "release gate: fail. reason 0. reason 2."),
        ([], "release gate: not enough evidence. "),
    ],
)
def test_anything_else_is_refused_with_the_reasons_against_it(verdicts, message):
    with pytest.raises(GateRefused) as caught:
        _decision(*verdicts).require()
    assert str(caught.value) == message


def test_only_what_stands_against_a_pass_is_a_reason():
    assert _decision(P, U, F).reasons == ["reason 1.", "reason 2."]


def test_a_decision_for_machines_holds_all_of_it(tmp_path):
    evidence = Evidence("accuracy", U, "±3% around 90%", 0.9, 0.87, 0.93, 0.88, n=200, more_needed=150)
    decision = Decision.of("release", [evidence, Evidence("rights", P, "own")], run="static", absent=None)
    storage.write_json(tmp_path / "decision.json", decision.to_json())
    content = storage.read_json(tmp_path / "decision.json")
    assert (content["gate"], content["verdict"], content["run"]) == (
        "release",
        "not enough evidence",
        "static",
    )
    assert content["evidence"][0] == {
        "term": "accuracy", "verdict": "not enough evidence", "reason": "±3% around 90%", "estimate": 0.9,
        "low": 0.87, "high": 0.93, "limit": 0.88, "n": 200, "more_needed": 150,
    }  # fmt: skip
    assert content["evidence"][1]["estimate"] is None
    assert "absent" in content


def test_a_fact_cannot_speak_for_the_verdict():
    # Whoever adds facts beside the evidence must not be able to say something else than the evidence does.
    decision = Decision(
        "rights", (Evidence("terms", F, "no"),), {"verdict": "pass", "gate": "x", "evidence": []}
    )
    content = json.loads(json.dumps(decision.to_json()))
    assert (content["gate"], content["verdict"], len(content["evidence"])) == ("rights", "fail", 1)
