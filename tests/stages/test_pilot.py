"""`label --pilot`: versions of the prompt on the same sample, over a scripted endpoint."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from inbox import questions

from tutelage import storage
from tutelage.errors import GateRefused, UsageError
from tutelage.programme import Programme
from tutelage.progress import Silent
from tutelage.stages import pilot as pilot_stage
from tutelage.stages import run_pilot, run_stage

LABELS = ("refund", "card")
TEXTS = questions()
HUMAN = {text: LABELS[n % 2] for n, text in enumerate(TEXTS)}


@pytest.fixture
def write(tmp_path, faulty_teacher):
    """Write a programme over the scripted endpoint, sealed and collected."""

    def _write(**changes):
        gold, traffic = TEXTS[:30], TEXTS[30:]
        rows = "".join(f"{text},{HUMAN[text]}\n" for text in gold)
        (tmp_path / "gold.csv").write_text("text,label\n" + rows)
        (tmp_path / "traffic.csv").write_text("text\n" + "\n".join(traffic) + "\n")
        content = {
            "gold": {"path": "gold.csv", "margin": 0.4, "training": {"share": 0.5}},
            "traffic": {"path": "traffic.csv"},
            "teacher": {
                "type": "openai",
                "rights": "own-model",
                "model": "scripted-1",
                "base_url": faulty_teacher.url,
                "samples": 1,
                "price": {"input": 1.0, "output": 2.0},
            },
            **changes,
        }
        (tmp_path / "tutelage.yaml").write_text(json.dumps(content))
        programme = Programme.open(tmp_path)
        for name in ("gold", "collect"):
            run_stage(programme, name)
        faulty_teacher.answers.update({text: json.dumps({"label": label}) for text, label in HUMAN.items()})
        return programme

    return _write


def _asked_of(teacher, text):
    """How often each version asked about a text, told apart by the system message."""
    return Counter(
        request["messages"][0]["content"].split("\n")[0]
        for request in teacher.requests
        if request["messages"][-1]["content"].endswith(text)
    )


def test_versions_are_compared_on_golds_training_part_and_never_on_sealed_gold(write, faulty_teacher):
    programme = write(prompt_versions={"other": {"instruction": "Sort it."}})
    pilot = run_pilot(programme, 12, Silent())
    sealed = set(storage.read_table(programme.sealed).column("text").to_pylist())
    assert not sealed & set(faulty_teacher.served)
    assert [version.name for version in pilot.versions] == ["current", "other"]
    for version in pilot.versions:
        assert (version.asked, version.judged, version.agreeing, version.quality) == (12, 12, 12, 1.0)
        assert (version.repeats, version.repeated) == (12, 12)
        assert version.cost == pytest.approx(12 * (20 * 1.0 + 5 * 2.0) / 1e6)
    assert pilot.agreement == {"current | other": 1.0}
    assert pilot.proposal == "current"  # as good and as cheap as the other
    assert storage.read_json(programme.pilot) == json.loads(json.dumps(pilot.to_json()))


@pytest.mark.parametrize("teacher", [{"type": "encoder"}, {"type": "human"}])
def test_a_teacher_that_is_not_prompted_has_nothing_to_compare(write, teacher):
    with pytest.raises(UsageError, match=f"teacher.type {teacher['type']} isn't prompted. Mend"):
        run_pilot(write(teacher=teacher), 12, Silent())


def test_an_encoder_in_the_ensemble_has_learned_from_what_versions_are_judged_on(write, monkeypatch):
    pytest.importorskip("transformers", reason="the extra train is not installed")
    said: list[str] = []
    monkeypatch.setattr(Silent, "warn", lambda self, text: said.append(text))
    prompted = {"type": "openai", "rights": "own-model", "model": "m", "base_url": "http://127.0.0.1:9/v1"}
    members = [{"teacher": {"type": "encoder"}}, {"teacher": prompted}]
    programme = write(teacher={"type": "ensemble", "members": members})
    with pytest.raises(UsageError, match="1 prompt is the least"):
        run_pilot(programme, 0, Silent())
    pilot_stage._require_prompted(programme.config.teacher, Silent())
    assert any("looks better than it is" in text for text in said)


def test_beyond_the_training_part_traffic_fills_the_sample(write):
    pilot = run_pilot(write(), 20, Silent())
    [version] = pilot.versions
    assert (version.asked, version.judged) == (20, 15)


def test_the_big_run_asks_nothing_of_the_chosen_version_again(write, faulty_teacher):
    programme = write(prompt_versions={"other": {"instruction": "Sort it."}})
    run_pilot(programme, 10, Silent())
    before = faulty_teacher.served
    run_stage(programme, "label")
    asked = {text: count - before[text] for text, count in faulty_teacher.served.items()}
    assert all(asked[text] == 0 for text in before)


def test_a_version_that_answers_worse_is_not_proposed(write, faulty_teacher):
    programme = write(prompt_versions={"worse": {"instruction": "Guess."}})
    proper = faulty_teacher.answer_to
    flip = {"refund": "card", "card": "refund"}
    last = {}

    def take(request, headers, take=faulty_teacher.take):
        last["worse"] = request["messages"][0]["content"].startswith("Guess.")
        return take(request, headers)

    faulty_teacher.take = take
    faulty_teacher.answer_to = lambda text: (
        json.dumps({"label": flip[HUMAN[text]]}) if last["worse"] else proper(text)
    )
    programme = Programme.open(programme.folder, ["labelling.concurrency=1"])
    pilot = run_pilot(programme, 15, Silent())
    current, worse = pilot.versions
    assert (current.agreeing, worse.agreeing) == (15, 0)
    assert pilot.agreement == {"current | worse": 0.0}
    assert pilot.proposal == "current"
    assert "agrees with people most often" in pilot.reason


def test_examples_of_a_version_are_shown_and_not_asked(write, faulty_teacher):
    programme = write(prompt_versions={"shown": {"examples": 4}})
    pilot = run_pilot(programme, 40, Silent())
    assert all(version.judged == 11 for version in pilot.versions)
    shown = [request for request in faulty_teacher.requests if len(json.dumps(request["messages"])) > 900]
    assert pilot.versions[1].asked + pilot.versions[1].repeats == len(shown) or shown == []


def test_a_pilot_of_nothing_is_refused(write):
    programme = write()
    with pytest.raises(UsageError, match="--pilot 0"):
        run_pilot(programme, 0, Silent())


def test_an_unfit_teacher_is_found_out_before_traffic_is_asked(write, faulty_teacher):
    programme = write(labelling={"min_teacher_accuracy": 0.9})
    flip = {"refund": "card", "card": "refund"}
    faulty_teacher.answers.update({text: json.dumps({"label": flip[HUMAN[text]]}) for text in HUMAN})
    with pytest.raises(GateRefused, match=r"0 of 15 gold examples"):
        run_stage(programme, "label")
    sealed = set(storage.read_table(programme.sealed).column("text").to_pylist())
    assert set(faulty_teacher.served) == sealed
    [gate] = [e for e in programme.journal.entries() if e.event == "gate" and e.data["gate"] == "teacher"]
    assert gate.data["verdict"] == "fail"


def test_a_fit_teacher_is_asked_on_and_its_figures_are_kept(write):
    programme = write(labelling={"min_teacher_accuracy": 0.5, "repeats": 5})
    run_stage(programme, "label")
    record = storage.read_json(programme.teacher_record)
    assert record["fitness"]["verdict"] == "pass"
    assert record["repeatability"] == {"agreeing": 5, "asked": 5}


def _members(faulty_teacher, *models):
    usual = {"type": "openai", "rights": "own-model", "base_url": faulty_teacher.url, "samples": 1}
    price = {"input": 1.0, "output": 2.0}
    return [{"teacher": {**usual, "model": model, "price": price}} for model in models]


def test_an_ensemble_costs_what_its_members_and_its_judge_do(write, faulty_teacher):
    members = _members(faulty_teacher, "a", "b")
    [judge] = _members(faulty_teacher, "judge")
    faulty_teacher.answer_to = lambda text: (
        faulty_teacher.answers.get(text)
        or json.dumps({"label": "card"})  # the judge's prompt is none of these
    )
    programme = write(
        teacher={
            "type": "ensemble",
            "strategy": "committee",
            "members": members,
            "judge": judge["teacher"],
        }
    )
    pilot = run_pilot(programme, 12, Silent())
    [version] = pilot.versions
    each = (20 * 1.0 + 5 * 2.0) / 1e6
    assert version.cost == pytest.approx(12 * 2 * each)  # nobody disagrees
    assert (version.input_tokens, version.output_tokens) == (12 * 40, 12 * 10)
    rest = len(TEXTS) - 12
    assert pilot.estimate.cost == pytest.approx(rest * 2 * each)
    assert pilot.estimate.low <= pilot.estimate.cost <= pilot.estimate.high
    assert (pilot.estimate.prompts, pilot.estimate.sample) == (rest, 12)


def test_what_members_have_answered_costs_an_ensemble_nothing(write, faulty_teacher):
    [alone], both = _members(faulty_teacher, "a"), _members(faulty_teacher, "a", "b")
    programme = write(teacher=alone["teacher"])
    run_stage(programme, "label")
    programme = write(teacher={"type": "ensemble", "strategy": "majority", "members": both})
    pilot = run_pilot(programme, 12, Silent())
    each = (20 * 1.0 + 5 * 2.0) / 1e6
    assert pilot.estimate.cost == pytest.approx((len(TEXTS) - 12) * each)  # member b's alone


def test_what_a_version_could_cost_is_told_before_it_is_asked(write):
    told = []

    class Told(Silent):
        def warn(self, text):
            told.append(text)

    programme = write()
    run_pilot(programme, 12, Told())
    [line] = [text for text in told if "labelling.budget is not set" in text]
    assert "24 prompts could cost $" in line  # 12, each twice
    told.clear()
    run_pilot(programme, 12, Told())
    assert told == []
