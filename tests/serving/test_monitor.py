"""The watch on a student: what it counts, when it rings, and what it keeps."""

from __future__ import annotations

import json
import random
import time
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutelage.config import AuditConfig
from tutelage.serving.alarms import ALL, Ringing, outdated
from tutelage.serving.captures import Capture
from tutelage.serving.drift import BLOCK, REFERENCE, Drifted
from tutelage.serving.monitor import Monitor

REVISION = "a" * 64


def _monitor(
    config: AuditConfig | None = None, restored: dict[str, Any] | None = None, threshold: float | None = 0.8
) -> tuple[Monitor, list[Ringing]]:
    rung: list[Ringing] = []
    monitor = Monitor(config or AuditConfig(limit=0.05), restored or {}, rung.append)
    monitor.watch(REVISION, threshold)
    return monitor, rung


def _capture(**more: Any) -> Capture:
    usual = {
        "id": "1",
        "at": 100.0,
        "key": "k",
        "slice": "normal",
        "text": None,
        "hash": "",
        "stage": "shadow",
    }
    return Capture(**{**usual, "by": "teacher", "revision": REVISION, **more})


def _audit(monitor: Monitor, wrong: int, right: int, slice: str = "normal") -> dict[str, Any]:
    capture, moved = _capture(by="student", slice=slice), {}
    for agree in [False] * wrong + [True] * right:
        moved.update(monitor.audited(capture, agree))
    return moved


def test_shadow_counts_what_the_student_would_have_answered_itself():
    monitor, _ = _monitor(threshold=0.8)
    for confidence, agree in ((0.8, True), (0.9, False), (0.79, False), (None, None), (0.99, True)):
        monitor.note(_capture(confidence=confidence, agree=agree))
    monitor.note(_capture(by="student", confidence=0.9, agree=None))
    monitor.note(_capture(confidence=float("nan"), agree=False))
    assert (monitor.shadow.errors, monitor.shadow.trials) == (1, 3)


def test_without_a_threshold_shadow_counts_nothing():
    monitor, _ = _monitor(threshold=None)
    assert monitor.note(_capture(confidence=1.0, agree=False)) == {}
    assert monitor.shadow.trials == 0


def test_another_threshold_begins_the_count_anew_and_the_old_one_is_no_evidence():
    monitor, _ = _monitor(threshold=0.8)
    moved = dict(monitor.note(_capture(confidence=0.9, agree=True)))
    monitor.watch(REVISION, 0.7)
    assert monitor.shadow.trials == 0
    again, _ = _monitor(restored=moved, threshold=0.8)
    other, _ = _monitor(restored=moved, threshold=0.85)
    assert (again.shadow.trials, other.shadow.trials) == (1, 0)


def test_what_was_asked_of_the_student_before_is_not_counted_for_the_next_one():
    monitor, _ = _monitor()
    monitor.watch("b" * 64, 0.8)
    late = _capture(at=monitor._since + 5, latency=6.0, confidence=0.9, agree=False)
    assert monitor.note(late) == {}
    monitor.note(replace(late, latency=4.0))
    assert monitor.shadow.trials == 1


def test_an_alarm_rings_once_for_all_and_once_for_its_slice():
    monitor, rung = _monitor()
    _audit(monitor, 40, 0, "critical")
    assert [(ringing.slice, ringing.revision) for ringing in rung] == [
        (ALL, REVISION),
        ("critical", REVISION),
    ]
    assert sorted(monitor.ringing) == [ALL, "critical"]
    assert "above 5.00%" in str(rung[0]) and "of" in str(rung[0])
    whole, critical = monitor.figures()
    assert (whole.audits, whole.wrong, critical.slice, critical.rung) == (40, 40, "critical", True)
    assert whole.limit < whole.low <= whole.high == 1.0


def test_an_audit_of_another_revision_moves_nothing():
    monitor, rung = _monitor()
    assert monitor.audited(_capture(by="student", revision="c" * 64), agree=False) == {}
    assert monitor.figures() == [] and not rung


def test_a_killed_server_goes_on_where_it_was_and_a_silenced_alarm_begins_anew():
    monitor, rung = _monitor()
    moved = _audit(monitor, 2, 30)
    going_on, late = _monitor(restored=moved)
    assert [(one.audits, one.wrong) for one in going_on.figures()] == [(32, 2), (32, 2)]
    _audit(going_on, 40, 0)
    assert late and not rung
    kept = going_on.silence()
    assert going_on.ringing == []
    silenced, again = _monitor(restored=dict(kept))
    assert silenced.figures() == []
    _audit(silenced, 40, 0)
    assert again


@pytest.mark.parametrize("changed", [{"limit": 0.2}, {"delta": 0.01}, {"slices": False}])
def test_alarms_begin_anew_where_what_they_promise_was_configured_otherwise(changed):
    monitor, _ = _monitor()
    moved = _audit(monitor, 40, 0)
    other, _ = _monitor(AuditConfig(**{"limit": 0.05, **changed}), restored=moved)
    assert other.ringing == [] and other.figures() == []


def test_a_state_of_another_version_is_no_reason_not_to_start():
    monitor, _ = _monitor()
    moved = _audit(monitor, 1, 1)
    for alarm in moved[f"alarms:{REVISION}"].values():
        alarm["sums"] = alarm["sums"][:-1]
    assert _monitor(restored=moved)[0].figures() == []


def test_slices_beyond_the_fiftieth_are_watched_together_with_all():
    monitor, _ = _monitor()
    for number in range(200):
        _audit(monitor, 0, 1, f"slice {number}")
    assert len(monitor.figures()) <= 52
    assert monitor.figures()[0].audits == 200


def test_deltas_of_all_alarms_together_stay_within_what_is_configured():
    monitor, _ = _monitor(AuditConfig(limit=0.05, delta=0.05))
    moved: dict[str, Any] = {}
    for number in range(60):
        moved = _audit(monitor, 0, 1, f"slice {number}")
    assert sum(alarm["delta"] for alarm in moved[f"alarms:{REVISION}"].values()) <= 0.05


def test_false_alarms_over_all_slices_stay_within_delta():
    """Rates just at the limit, five slices, looked at after each of 400 audits: at delta 0.2 of 60 streams 12
    may ring, and 22 would be one in a thousand."""
    generator = random.Random(7)
    rang = 0
    for _ in range(60):
        monitor, rung = _monitor(AuditConfig(limit=0.1, delta=0.2))
        for number in range(400):
            wrong = generator.random() < 0.1
            monitor.audited(_capture(by="student", slice=f"slice {number % 5}"), not wrong)
        rang += bool(rung)
    assert rang <= 22


def test_drift_of_what_the_student_says_is_told_once_and_survives_a_restart():
    told: list[Drifted] = []
    kept: dict[str, Any] = {}
    monitor = Monitor(AuditConfig(), {}, lambda ringing: None, told.append)
    monitor.watch(REVISION, None)
    for number in range(REFERENCE + BLOCK):
        label = "card" if number % 3 else "refund"
        kept |= monitor.note(_capture(student_value=json.dumps(label), confidence=0.9, text="x" * 40))
    assert not told and set(kept) == {f"drift:{REVISION}"}
    again = Monitor(AuditConfig(), kept, lambda ringing: None, told.append)
    again.watch(REVISION, None)
    for _ in range(2 * BLOCK):
        again.note(_capture(student_value='"refund"', confidence=0.9, text="x" * 40))
    [found] = told
    assert (found.feature, found.bin, found.share) == ("label", "card", 0.0)
    assert again.drift.figures()["drifted"] == [str(found)]
    again.watch("b" * 64, None)
    assert again.drift.figures()["reference"] == 0


def test_values_of_several_labels_and_of_none_are_taken_in():
    monitor, _ = _monitor()
    for value in ('["card", "refund"]', "[]", None, '{"a": "b"}'):
        monitor.note(_capture(student_value=value, confidence=0.9))
    assert monitor.drift.figures()["reference"] == 4


def _replicas(kept: dict[str, Any], *names: str) -> list[tuple[Monitor, list[Ringing]]]:
    made = []
    for name in names:
        rung: list[Ringing] = []
        monitor = Monitor(AuditConfig(limit=0.05), dict(kept), rung.append, replica=name)
        monitor.watch(REVISION, 0.8)
        made.append((monitor, rung))
    return made


def test_an_alarm_rings_on_what_several_servers_have_audited_together():
    kept: dict[str, Any] = {}
    servers = _replicas(kept, "a", "b", "c")
    for number in range(6):
        (monitor, rung) = servers[number % 3]
        kept |= monitor.audited(_capture(by="student"), agree=False)
        assert not rung  # two wrong ones each
    for monitor, rung in servers:
        monitor.hear(kept)
        assert {ringing.slice for ringing in rung} == {ALL, "normal"}
        assert [one.audits for one in monitor.figures()] == [6, 6]
        monitor.hear(kept)  # again nothing new
        assert [one.audits for one in monitor.figures()] == [6, 6] and len(rung) == 2


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=60), st.randoms(use_true_random=False))
def test_each_audit_is_taken_in_once_by_each_server_whenever_it_looks_or_begins_anew(events, chance):
    """A server that is started again begins with the state that any of them has left last."""
    kept: dict[str, Any] = {}
    monitors = [monitor for monitor, _ in _replicas(kept, "0", "1", "2", "3")]
    for number, (place, agree) in enumerate(events):
        kept |= monitors[place].audited(_capture(by="student"), agree)
        if chance.random() < 0.2:
            monitors[chance.randrange(4)].hear(kept)
        if chance.random() < 0.1:
            [(monitors[place], _)] = _replicas(kept, f"{place} again {number}")
    wrong = sum(not agree for _, agree in events)
    for monitor in monitors:
        monitor.hear(kept)
        assert [(one.audits, one.wrong) for one in monitor.figures()] == [(len(events), wrong)] * (
            2 if events else 0
        )


def test_what_servers_compared_in_shadow_adds_up_also_for_one_that_begins():
    kept: dict[str, Any] = {}
    (one, _), (two, _) = _replicas(kept, "a", "b")
    for monitor, agree in ((one, True), (one, False), (two, True)):
        kept |= monitor.note(_capture(confidence=0.9, agree=agree))
    one.hear(kept)
    [(begun, _)] = _replicas(kept, "c")
    assert (one.shadow.errors, one.shadow.trials) == (begun.shadow.errors, begun.shadow.trials) == (1, 3)
    other_threshold = Monitor(AuditConfig(), kept, lambda ringing: None, replica="d")
    other_threshold.watch(REVISION, 0.7)
    assert other_threshold.shadow.trials == 0


def test_what_a_server_told_long_ago_is_forgotten_and_not_told_again(monkeypatch):
    kept: dict[str, Any] = {}
    (one, _), (two, _) = _replicas(kept, "a", "b")
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now - 100_000)
    for _ in range(5):
        kept |= one.audited(_capture(by="student"), agree=True)
    two.hear(kept)
    kept |= two.audited(_capture(by="student"), agree=True)
    monkeypatch.setattr(time, "time", lambda: now)
    gone = outdated(kept)
    assert len(gone) == 2
    kept = {name: state for name, state in kept.items() if name not in gone}
    [(begun, _)] = _replicas(kept, "c")
    kept |= one.audited(_capture(by="student"), agree=True)
    begun.hear(kept)
    assert begun.figures()[0].audits == 7
