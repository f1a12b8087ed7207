"""Steps of the rollout: behind their gate, written down, followed by every server, and undone at once."""

from __future__ import annotations

import shutil
import sqlite3
import time

import pytest
from served_world import KEY_NAME, TEACHER_KEY, certify, export, label, live, toy_student, write_programme
from waiting import soon

from tutelage.config import AuditConfig
from tutelage.errors import GateRefused, UsageError
from tutelage.serving.captures import Capture
from tutelage.serving.monitor import Monitor
from tutelage.serving.rollout import _LOOK_EVERY, Book, Wish, parse_stage
from tutelage.serving.router import Rollout, Stage
from tutelage.serving.shelf import Shelf

WHY = "a test wants to see it"


@pytest.fixture
def programme(tmp_path, faulty_teacher, monkeypatch):
    monkeypatch.setenv(KEY_NAME, TEACHER_KEY)
    serving = {"audit": {"share": 1.0, "limit": 0.05}}
    return write_programme(tmp_path / "inbox", faulty_teacher, serving)


@pytest.fixture
def book(programme):
    return Book(Shelf(programme), programme.config.serving)


def _monitor() -> Monitor:
    return Monitor(AuditConfig(), {}, lambda ringing: None)


def _now(book: Book, stage: Stage = Stage.CASCADE, share: float = 0.0) -> Rollout:
    return Rollout(stage, share, 0.9, book.shelf.usual(None).revision)


@pytest.mark.parametrize("stage", [Stage.OFF, Stage.SHADOW, Stage.CANARY])
def test_a_step_back_does_not_need_the_students_files(book, stage):
    """They may have been exported anew since, or be gone: that is when one goes back."""
    now = _now(book)
    shutil.rmtree(book.shelf.programme.exports)
    change, forward = book.step(Wish(stage, "anna"), now, _monitor())
    assert not forward
    assert (change.stage, change.revision, change.threshold) == (stage, now.revision, 0.9)


def test_a_damaged_release_decision_does_not_keep_the_student_answering(book):
    now = _now(book)
    (book.shelf.programme.evaluation.parent / "static" / "decision.json").write_text("{")
    change, _ = book.step(Wish(Stage.SHADOW, "anna"), now, _monitor())
    assert change.stage == "shadow"


def test_in_the_same_stage_again_a_step_has_to_pass_its_gate(book):
    """It would take in another threshold, which may let the student answer more."""
    for stage, share in ((Stage.CASCADE, 0.0), (Stage.FULL, 0.0), (Stage.CANARY, 0.05)):
        with pytest.raises(GateRefused):
            book.step(Wish(stage, "anna", share=share or None), _now(book, stage, share), _monitor())


def test_a_smaller_share_is_a_step_back_and_a_larger_one_is_not(book):
    now = _now(book, Stage.CANARY, 0.2)
    change, forward = book.step(Wish(Stage.CANARY, "anna", share=0.1), now, _monitor())
    assert (change.share, forward) == (0.1, False)
    change, forward = book.step(Wish(Stage.CANARY, "anna"), now, _monitor())  # serving.canary is 0.05
    assert (change.share, forward) == (0.05, False)
    with pytest.raises(GateRefused):
        book.step(Wish(Stage.CANARY, "anna", share=0.3), now, _monitor())


def test_another_student_in_a_live_stage_is_no_step_back(book):
    now = _now(book, Stage.FULL)
    other = export(book.shelf.programme.folder, "int8", toy_student(3.0))
    revision = next(one.revision for one in book.shelf.all() if one.folder == other)
    with pytest.raises(GateRefused):
        book.step(Wish(Stage.CANARY, "anna", revision=revision[:8]), now, _monitor())
    change, _ = book.step(Wish(Stage.SHADOW, "anna", revision=revision[:8]), now, _monitor())
    assert (change.revision, change.evidence["student"]) == (revision, "static/int8")
    with pytest.raises(UsageError, match="int8"):
        book.step(Wish(Stage.SHADOW, "anna", revision="feed"), now, _monitor())


def test_past_the_gate_only_with_a_reason(book):
    wish = Wish(Stage.CANARY, "anna", "why not", override=True)
    with pytest.raises(GateRefused, match="10 characters"):
        book.step(wish, _now(book, Stage.SHADOW), _monitor())


@pytest.mark.parametrize("name", ["", "Full", "fully", "shadow "])
def test_a_word_that_is_no_stage(name):
    with pytest.raises(UsageError, match="off, shadow, canary, cascade, full"):
        parse_stage(name)


def test_an_alarm_takes_the_right_back_at_once_and_it_stays_taken(programme, faulty_teacher):
    faulty_teacher.answers["refund"] = label("card")  # the student says refund
    with live(programme) as served:
        served.roll("full")
        while served.predict("refund").json()["by"] == "student":
            assert len(served.captures(0, limit=200)) < 100
        assert served.server.rollouts.now.stage is Stage.SHADOW
        soon(lambda: len(served.server.store.rollout_changes()) == 3)
        last = served.server.store.rollout_changes(1)[0]
        assert (last.stage, last.actor) == ("shadow", "tutelage")
        assert "above 5.00%" in last.reason
        soon(lambda: len(served.server.store.alerts()) >= 1)
        assert {alert.kind for alert in served.server.store.alerts()} == {"alarm"}
    with live(programme) as served:  # started again
        state = served.ask("GET", "/v1/rollout", "viewer").json()
        assert (state["stage"], "" in state["ringing"]) == ("shadow", True)
        # Whoever goes on all the same, in another process, begins with an alarm that can ring.
        now = served.server.rollouts.now
        book = Book(Shelf(programme), programme.config.serving)
        planned, _ = book.step(Wish(Stage.FULL, "anna", WHY, override=True), now, _monitor())
        served.server.store.change_rollout(planned)
        soon(lambda: served.predict("refund").json()["by"] == "student")
        soon(lambda: served.predict("refund").json()["by"] == "teacher")
        soon(lambda: served.server.store.verify_rollout() == 5)  # in force before it is written


def test_two_servers_on_one_database_follow_each_other(programme):
    with live(programme) as one, live(programme) as two:
        one.roll("full")
        stage = lambda: two.predict("refund").json()["stage"]  # noqa: E731
        soon(lambda: stage() == "full")
        two.ask("POST", "/v1/rollout", "admin", json={"stage": "off"})
        assert two.predict("refund").json()["by"] == "teacher"
        soon(lambda: one.predict("refund").json()["stage"] == "off")
        assert _LOOK_EVERY <= 0.5  # and so much as reading takes: a busy machine's seconds prove nothing


def test_servers_on_one_database_share_their_evidence_and_one_alarm_takes_the_right_back_on_both(
    programme, faulty_teacher
):
    faulty_teacher.answers["refund"] = label("refund")
    with live(programme) as one, live(programme) as two:
        one.roll("full")
        soon(lambda: two.predict("refund").json()["stage"] == "full")
        for served in (one, two):
            for _ in range(3):
                assert served.predict("refund").json()["by"] == "student"
        audits = lambda: {served.server.monitor.figures()[0].audits for served in (one, two)}  # noqa: E731
        soon(lambda: len(audits()) == 1 and min(audits()) >= 6)
        faulty_teacher.answers["refund"] = label("card")
        while one.predict("refund").json()["by"] == two.predict("refund").json()["by"] == "student":
            assert len(one.captures(0, limit=200)) < 100
        soon(lambda: {served.server.rollouts.now.stage for served in (one, two)} == {Stage.SHADOW})
        book = Book(Shelf(programme), programme.config.serving)

        def judged() -> bool:  # as the command line does
            now, states = one.server.rollouts.now, one.server.store.monitors()
            judge = Monitor(programme.config.serving.audit, states, lambda ringing: None)
            judge.watch(now.revision, now.threshold)
            judge.hear(states)
            return "" in judge.ringing and book.judged(Wish(Stage.FULL, "anna"), now, judge).verdict != "pass"

        soon(judged)


def test_a_student_that_cannot_be_loaded_is_told_and_the_teacher_answers(programme, faulty_teacher):
    faulty_teacher.answers["refund"] = label("refund")
    with live(programme) as served:
        other = export(programme.folder, "int8", toy_student(3.0))
        weights = next(path for path in other.iterdir() if path.suffix == ".safetensors")
        weights.write_bytes(weights.read_bytes()[:100])
        revision = next(one.revision for one in Shelf(programme).all() if one.folder == other)
        assert served.roll("full", revision=revision).status_code == 200
        assert served.predict("refund").json()["by"] == "teacher"
        soon(lambda: bool(served.server.store.alerts()))
        assert "can't be loaded" in served.server.store.alerts()[0].text
        served.roll("full", revision=Shelf(programme).usual("float32").revision)
        assert served.predict("refund").json()["by"] == "student"


def test_a_step_back_is_in_force_although_it_cannot_be_written(programme):
    with live(programme) as served:
        served.roll("full")
        with sqlite3.connect(programme.server_state, isolation_level=None) as other:
            other.execute("BEGIN EXCLUSIVE")
            future = served.run_soon(served.server.rollouts.change(Wish(Stage.OFF, "anna")))
            soon(lambda: served.server.rollouts.now.stage is Stage.OFF)
            other.execute("ROLLBACK")
        assert future.result(120).stage == "off"


def test_captures_of_the_shadow_are_its_evidence(programme):
    with live(programme) as served:
        monitor = served.server.monitor
        capture = Capture(
            "x", time.time(), "k", "normal", None, "", "shadow", "teacher", confidence=0.99, agree=True
        )
        monitor.watch(monitor.revision, 0.9)
        for _ in range(3):
            monitor.note(capture)
        wish = Wish(Stage.CANARY, "anna")
        terms = {item["term"]: item for item in served.server.rollouts.judged(wish).to_json()["evidence"]}
        assert terms["shadow"]["n"] == 3 and terms["shadow"]["more_needed"] == 297


def test_a_certificate_that_ends_takes_the_right_back_but_not_what_a_person_decided_without_one(
    tmp_path, faulty_teacher, monkeypatch
):
    monkeypatch.setenv(KEY_NAME, TEACHER_KEY)
    serving = {"promotion": {"shadow": 0, "audits": 0}}
    programme = write_programme(tmp_path / "inbox", faulty_teacher, serving)
    with live(programme) as served:
        now = float(int(time.time()))
        certify(programme.folder, issued=now - 9, expires=now + 1_000)
        stepped = served.ask("POST", "/v1/rollout", "admin", json={"stage": "canary", "share": 1.0})
        assert stepped.status_code == 200, stepped.text
        assert served.server.rollouts.now.threshold == 0.5
        for reader in ("rollout.time", "certificate.time.time"):
            monkeypatch.setattr(f"tutelage.serving.{reader}", lambda: now + 1_000)
        soon(lambda: served.server.rollouts.now.stage is Stage.SHADOW)
        soon(lambda: {alert.kind for alert in served.server.store.alerts()} == {"certificate"})
        soon(lambda: "expired" in served.server.store.rollout_changes(1)[0].reason)
        again = served.ask("POST", "/v1/rollout", "admin", json={"stage": "canary", "share": 1.0})
        assert again.status_code == 400 and "expired" in again.json()["error"]["message"]
        served.roll("full")
        time.sleep(2 * _LOOK_EVERY)
        assert served.server.rollouts.now.stage is Stage.FULL
