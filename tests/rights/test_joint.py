"""The gate over several teachers: each stands before it with its own terms."""

from __future__ import annotations

import json
from datetime import date

import pytest

from tutelage.config import RightsConfig, parse_config
from tutelage.errors import ConfigError
from tutelage.gates import Verdict
from tutelage.programme import Programme
from tutelage.rights import Subject, Use, joint_gate, load_registry
from tutelage.stages.rights import rights_decision

TODAY = date(2026, 11, 25)
OWN = Subject("own-model", "openai", "ours", "llm.example.org")
PEOPLE = Subject("own-people", "human", "")
XAI = Subject("xai-api", "openai", "grok-9", "api.x.ai")


def joint(config=None, **subjects):
    return joint_gate(subjects, Use("classifier", config or RightsConfig(), load_registry(), TODAY))


def test_one_that_may_not_teach_stops_all():
    assert joint(first=OWN, second=PEOPLE).verdict is Verdict.PASS
    decision = joint(first=OWN, second=XAI)
    assert decision.verdict is Verdict.FAIL
    [reason] = decision.reasons
    assert reason.startswith("second: ") and "xai-api" in reason
    assert [item.verdict for item in decision.evidence] == [Verdict.PASS, Verdict.FAIL]
    json.dumps(decision.to_json(), allow_nan=False)


def test_an_override_opens_its_own_entry_alone():
    override = {"entry": "xai-api", "name": "Ada Counsel", "reason": "Order form of 3 March covers it"}
    config = RightsConfig.model_validate({"override": override})
    decision = joint(config, first=OWN, second=XAI)
    assert decision.verdict is Verdict.PASS and decision.facts["overridden"] is True
    gemini = Subject("gemini-api", "openai", "gemini-3", "generativelanguage.googleapis.com")
    assert joint(config, first=gemini, second=XAI).verdict is Verdict.FAIL


def programme(tmp_path, teacher):
    content = {"gold": {"path": "g.csv", "training": {}}, "traffic": {"path": "t.csv"}, "teacher": teacher}
    (tmp_path / "tutelage.yaml").write_text(json.dumps(content))
    return Programme.open(tmp_path)


def test_members_and_judge_of_a_programme_are_asked_about(tmp_path):
    own = {"type": "openai", "rights": "own-model", "model": "m", "base_url": "http://127.0.0.1:1"}
    teacher = {
        "type": "ensemble",
        "strategy": "committee",
        "members": [{"teacher": {"type": "encoder"}}, {"teacher": own}],
        "judge": {"type": "openai", "rights": "xai-api", "model": "grok-9", "base_url": "https://api.x.ai"},
    }
    decision = rights_decision(programme(tmp_path, teacher))
    assert list(decision.facts["members"]) == ["member 1", "member 2", "the judge"]
    assert decision.verdict is Verdict.FAIL and "the judge: " in decision.reasons[0]
    teacher["judge"] = {"type": "human"}
    assert rights_decision(programme(tmp_path, teacher)).verdict is Verdict.PASS


@pytest.mark.parametrize(
    "teacher",
    [
        {"type": "human"},
        {"type": "anthropic", "model": "some-model"},
        {"type": "local", "rights": "apache-2.0-weights", "model": "some-model"},
    ],
    ids=lambda teacher: teacher["type"],
)
def test_every_kind_of_teacher_can_be_asked_about(tmp_path, teacher):
    assert rights_decision(programme(tmp_path, teacher)).verdict is Verdict.PASS


def test_a_file_of_weights_goes_by_no_name(tmp_path):
    (tmp_path / "llama-3.1.gguf").write_bytes(b"GGUF")
    teacher = {"type": "local", "rights": "own-model", "model": "llama-3.1.gguf"}
    assert rights_decision(programme(tmp_path, teacher)).verdict is Verdict.PASS


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"strategy": "committee"}, "judge is absent"),
        ({"judge": {"type": "human"}}, "asks no judge"),
        ({"strategy": "committee", "judge": {"type": "encoder"}}, "can't weigh"),
        ({"members": [{"teacher": {"type": "human"}}] * 2}, "same queue"),
        ({"members": [{"teacher": {"type": "ensemble"}}] * 2}, "ensemble"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_ensemble_that_makes_no_sense_is_refused(changes, word):
    teacher = {"type": "ensemble", "members": [{"teacher": {"type": "encoder"}}] * 2} | changes
    content = {"gold": {"path": "g", "training": {}}, "traffic": {"path": "t"}, "teacher": teacher}
    with pytest.raises(ConfigError, match=word):
        parse_config(content, "a.yaml")
