"""A right that lapses while a server runs, or before it starts: the student is off, the teacher answers, all is told."""

from __future__ import annotations

import time
from datetime import date

import pytest
import yaml
from pages_world import visitor
from served_world import KEY_NAME, TEACHER_KEY, certify, export, label, live, toy_student, write_programme
from waiting import soon

from tutelage import storage
from tutelage.errors import GateRefused
from tutelage.gates import Verdict
from tutelage.programme import Programme
from tutelage.rights import Basis
from tutelage.serving import rollout
from tutelage.serving.rollout import Wish
from tutelage.serving.router import Stage
from tutelage.stages.rights import decide
from tutelage.stages.serve import open_server

pytestmark = pytest.mark.slow

ENTRY = {
    "id": "partner-model",
    "provider": "Partner Ltd",
    "access": "api",
    "clause": "Letter of 2 November: its answers may train classifiers.",
    "source": "letters/7.pdf",
    "read": "2026-11-01",
    "expires": "2027-01-01",
    "verdicts": {"classifier": {"internal": "allow"}},
}
BEFORE, AFTER = date(2026, 11, 25), date(2027, 2, 1)


class Clock:
    """The day, which a test turns on."""

    day = BEFORE

    def __call__(self) -> date:
        return self.day


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def programme(tmp_path, faulty_teacher, monkeypatch, clock) -> Programme:
    """A student that learned from a partner's answers, which may be used until the end of the year."""
    monkeypatch.setenv(KEY_NAME, TEACHER_KEY)
    monkeypatch.setattr(rollout, "_RIGHTS_EVERY", 0.0)
    faulty_teacher.answers["refund"] = label("card")
    folder = tmp_path / "inbox"
    serving = {"audit": {"share": 0.0}, "promotion": {"shadow": 0, "audits": 0}}
    write_programme(folder, faulty_teacher, serving, rights={"registry": "rights.yaml"})
    (folder / "rights.yaml").write_text(yaml.safe_dump([ENTRY]))
    made = Programme.open(folder, today=clock)
    stand(made)
    return made


def stand(programme: Programme) -> None:
    """Let the export tell what its student learned from."""
    from tutelage.rights import load_registry

    clause = load_registry(programme.folder / "rights.yaml").find("partner-model").clause_hash
    kept = {
        "bases": {str(Basis("partner-model", clause)): 60},
        "student_kind": "classifier",
        "distribution": "internal",
    }
    content = {"student": "s", "rights": kept}
    storage.write_json(programme.exports / "export.json", content)
    storage.write_json(programme.evaluation / "decision.json", {"verdict": "pass", "student": "s"})


def test_a_right_that_lapses_takes_the_student_off_and_everything_says_so(programme, clock):
    with live(programme) as served:
        served.roll("full")
        assert served.predict("refund").json()["by"] == "student"
        clock.day = AFTER
        soon(lambda: served.server.rollouts.now.stage is Stage.OFF)
        for said in (served.chat("refund"), served.predict("refund"), served.chat("refund", stream=True)):
            headers = said.headers
            assert (headers["X-Tutelage-By"], headers["X-Tutelage-Stage"]) == ("teacher", "off")
            assert headers["X-Tutelage-Reason"] == "rights lapsed"
        assert served.predict("refund").json()["value"] == "card", "the teacher's"
        soon(lambda: bool(served.server.store.alerts()))
        [alert] = served.server.store.alerts()
        assert alert.kind == "rights" and "expired on 2027-01-01" in alert.text and "Mend: " in alert.text
        soon(lambda: len(served.server.store.rollout_changes()) == 3)
        change = served.server.store.rollout_changes(1)[0]
        assert (change.stage, change.actor, change.evidence["cause"]) == ("off", "tutelage", "rights lapsed")
        assert "60 of 60 answers that taught the student stand under partner-model" in change.reason
        assert served.server.store.verify_rollout() == 3
        assert served.ask("GET", "/v1/rollout", "viewer").json()["cause"] == "rights lapsed"
        page = visitor(served, "viewer")
        page.get("/")
        assert "expired on 2027-01-01" in page.text and "the student is off" in page.text


@pytest.mark.parametrize("before", ["shadow", "full"])
def test_a_server_starts_with_the_student_off_where_its_right_has_lapsed(programme, clock, before):
    with live(programme) as served:
        served.roll(before)
    clock.day = AFTER
    with live(programme) as served:
        first = served.predict("refund").json()
        assert (first["by"], first["stage"], first["reason"]) == ("teacher", "off", "rights lapsed")
        for step in ("shadow", "full"):
            said = served.roll(step)
            assert said.status_code == 400 and "expired on 2027-01-01" in said.json()["error"]["message"]
        asked = served.ask("POST", "/v1/rollout", "admin", json={"stage": "shadow", "dry_run": True}).json()
        assert "expired" in next(item["reason"] for item in asked["evidence"] if item["term"] == "rights")
        decide(
            programme,
            "partner-model",
            allow=True,
            name="Ada Counsel",
            reason="Renewed by letter of 20 January",
        )
        assert served.roll("shadow").status_code == 200
        assert served.predict("refund").json()["reason"] == ""
        assert served.roll("full").status_code == 200
        assert served.predict("refund").json()["by"] == "student"
    with live(programme) as served:
        assert served.predict("refund").json()["by"] == "student", "what was decided holds at the next start"


def test_a_student_in_shadow_is_not_asked_either(programme, clock):
    with live(programme) as served:
        assert served.server.rollouts.now.stage is Stage.SHADOW
        clock.day = AFTER
        soon(lambda: served.server.rollouts.now.stage is Stage.OFF)
        served.predict("refund")
        assert served.captures(1)[0].student_value is None


def test_a_student_whose_export_was_replaced_is_judged_by_what_it_told(programme, clock):
    """The one that answers is in memory: another export is no reason to turn it off."""
    with live(programme) as served:
        served.roll("full")
        export(programme.folder, "int8", toy_student(3.0))
        (programme.exports / "float32" / "student.json").unlink()
        time.sleep(3 * rollout._LOOK_EVERY)
        assert served.predict("refund").json()["by"] == "student"
        clock.day = AFTER
        soon(lambda: served.server.rollouts.now.stage is Stage.OFF)


def test_where_rights_cannot_be_read_the_student_is_off(programme):
    with live(programme) as served:
        served.roll("full")
        (programme.folder / "rights.yaml").write_text("- {id: ")
        soon(lambda: served.server.rollouts.now.stage is Stage.OFF)
        assert served.predict("refund").json()["reason"] == "rights can't be told"


def test_an_export_that_tells_nothing_stands_under_its_teachers_right(programme, clock):
    storage.write_json(programme.exports / "export.json", {"student": "s"})
    asked = Programme.open(programme.folder, ["teacher.rights=partner-model"], today=clock)
    clock.day = AFTER
    with live(asked) as served:
        assert served.predict("refund").json()["reason"] == "rights lapsed"


def test_a_teacher_whose_answers_may_teach_nothing_still_answers(programme, clock, caplog):
    """What the student learned from another is another matter."""
    asked = Programme.open(programme.folder, ["teacher.rights=xai-api"], today=clock)
    with live(asked) as served:
        served.roll("full")
        assert served.predict("refund").json()["by"] == "student"
        assert served.predict("hello").json()["by"] == "student"
    assert "nothing may be learned from the teacher's answers today" in caplog.text
    gates = [entry.data for entry in asked.journal.entries() if entry.event == "gate"]
    assert any(one["entry"] == "xai-api" and one["verdict"] == "fail" for one in gates)


@pytest.mark.parametrize(
    ("entry", "told"),
    [("nobodys-model", "no entry 'nobodys-model'"), ("qwen-weights", "'qwen-weights' is for .*big-model")],
)
def test_nothing_is_passed_on_to_a_teacher_that_nobodys_terms_bind(programme, entry, told):
    with pytest.raises(GateRefused, match=rf"(?s){told}.*Mend: "):
        open_server(Programme.open(programme.folder, [f"teacher.rights={entry}"]))


def test_the_rollout_gate_has_a_term_for_rights(programme, clock):
    with live(programme) as served:
        certify(programme.folder)
        wish = Wish(Stage.CANARY, "anna")

        def term():
            [found] = [one for one in served.server.rollouts.judged(wish).evidence if one.term == "rights"]
            return found

        assert term().verdict is Verdict.PASS and "may be used" in term().reason
        assert served.server.rollouts.judged(wish).verdict is Verdict.PASS
        decide(programme, "partner-model", allow=False, name="Ada Counsel", reason="The letter was withdrawn")
        assert term().verdict is Verdict.FAIL and "The letter was withdrawn" in term().reason
        said = served.roll("canary")
        assert said.status_code == 400 and "withdrawn" in said.json()["error"]["message"], (
            "whoever overrides it"
        )
