"""A server under load while everything around it fails; `make faults`."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from contextlib import suppress

import numpy as np
import pytest
from served_child import ServerProcess, TeacherProcess, add_admin, free_port, serving
from served_world import LABELS, export, toy_student, write_programme

from open_load import Load
from tutelage.serving.student import revision_of
from tutelage.students.static import Features, StaticStudent

pytestmark = pytest.mark.long
RATE = float(os.environ.get("TUTELAGE_LOAD_RATE", 200))  # requests a second
KILLS = int(os.environ.get("TUTELAGE_LOAD_KILLS", 100))
SECONDS = float(os.environ.get("TUTELAGE_LOAD_SECONDS", 60))
DEADLINE = 4.0
ANSWERED = DEADLINE + 1.0  # with what the generator itself and a busy machine add


@pytest.fixture
def teacher():
    process = TeacherProcess("--delay", "0.02")
    yield process
    process.kill()


def mute_student():
    """Says NaN to everything."""
    nothing = np.full(len(LABELS), np.nan, np.float32)
    features = Features(pairs=False, pieces=())
    return StaticStudent(LABELS, False, features, {"refund": 0}, np.zeros((1, 3), np.float32), nothing)


def programme_of(folder, teacher, **serving):
    serving = {"deadline": DEADLINE, "teacher_timeout": 2.0, "audit": {"share": 0.05}, **serving}
    programme = write_programme(folder / "inbox", teacher, serving)
    export(programme.folder, "int8", toy_student(4.0))
    export(programme.folder, "mute", mute_student())
    return programme


def revision(programme, form):
    return revision_of(programme.folder / "exports" / "static" / form)


def predictions(number):
    """Of a length at which the scripted teacher says what the student says: no alarm is to ring."""
    text = f"refund number {number}"
    return {"input": text + "." * (-len(text) % 3), "key": f"person {number % 97}"}


def load_on(server, rate=RATE):
    headers = {"Authorization": f"Bearer {server.key}"}
    return Load(f"{server.url}/v1/predict", rate, predictions, headers)


def by(load):
    return {each.about.get("by") for each in load.sent if each.status == 200}


def report(what, load):
    slowest = load.quantile(1.0)
    print(
        f"{what}: {len(load.sent):,} requests, {dict(load.statuses)}, p50 {load.quantile(0.5) * 1e3:.1f} ms, "
        f"p99 {load.quantile(0.99) * 1e3:.1f} ms, slowest {slowest:.2f} s"
    )
    return slowest


def kept(programme):
    from tutelage.stages.serve import open_programme_store

    store = open_programme_store(programme)
    found, before = {}, None
    while page := store.captures(before=before, limit=5_000):
        found.update((capture.id, capture) for capture in page)
        before = page[-1].id
    alerts = store.alerts(limit=1_000)
    asyncio.run(store.close())
    return found, alerts


def wait_for_student(load, seconds):
    """Whether the student answers again, after at most so many seconds."""
    ends, seen = time.monotonic() + seconds, len(load.sent)
    while time.monotonic() < ends:
        if any(each.about.get("by") == "student" for each in load.sent[seen:]):
            return True
        time.sleep(0.02)
    return False


def spoil(child, turn):
    """Kill it; each tenth time let it hang, and each tenth time be slow for a while."""
    with suppress(ProcessLookupError):
        os.kill(child, signal.SIGSTOP if turn % 5 == 4 else signal.SIGKILL)
        if turn % 10 == 4:
            time.sleep(0.2)
            os.kill(child, signal.SIGCONT)


def test_the_student_is_killed_hung_slow_and_mute(tmp_path, teacher):
    """Whatever becomes of the student, the teacher answers: no request fails, none is late, none is lost."""
    programme = programme_of(tmp_path, teacher, isolated=True)
    with serving(programme) as server:
        server.roll("full", revision=revision(programme, "float32"))
        began, kills = time.monotonic(), 0
        with load_on(server) as load:
            while kills < KILLS or time.monotonic() - began < SECONDS:
                back = wait_for_student(load, 15)
                for child in server.children():
                    spoil(child, kills)
                    kills += 1
                assert back or time.monotonic() - began < 10 * SECONDS, "it doesn't come back"
            server.roll("full", revision=revision(programme, "mute"))
            time.sleep(3)
            server.roll("full", revision=revision(programme, "float32"))
            time.sleep(8)  # the longest pause before a child is started again
        slowest = report(f"student killed, hung, slow or mute {kills} times", load)
        assert not load.failed, load.failed[:3]
        assert slowest < ANSWERED
        assert by(load) == {"student", "teacher"}
        assert not any(each.about["flagged"] for each in load.sent)
        assert load.sent[-1].about["by"] == "student", "it came back"
    found, _ = kept(programme)
    assert {each.about["id"] for each in load.sent} <= found.keys()


def test_the_teacher_dies_and_then_the_student_too(tmp_path, teacher):
    programme = programme_of(tmp_path, teacher)
    with serving(programme) as server:
        with load_on(server) as load:
            time.sleep(2)
            teacher.kill()
            time.sleep(8)
        slowest = report("the teacher dead", load)
        assert not load.failed, load.failed[:3]
        assert slowest < ANSWERED
        flagged = [each.about["flagged"] for each in sorted(load.sent, key=lambda each: each.at)]
        assert not flagged[0] and flagged[-1]
        state = server.client.get("/v1/status").json()["teacher"]
        assert state["open"] is True
        server.roll("full", revision=revision(programme, "mute"))
        with load_on(server) as load:
            time.sleep(5)
        slowest = report("both dead", load)
        assert set(load.statuses) == {503}
        assert slowest < ANSWERED
        assert all(int(each.retry_after) >= 1 for each in load.sent)
    _, alerts = kept(programme)
    assert "teacher" in {alert.kind for alert in alerts}


def test_students_are_swapped_under_load(tmp_path, teacher):
    """A hundred swaps: each answer is of one revision, which its confidence tells."""
    programme = programme_of(tmp_path, teacher)
    revisions = [revision(programme, form) for form in ("float32", "int8")]
    with serving(programme) as server:
        server.roll("full", revision=revisions[0])
        with load_on(server) as load:
            for number in range(KILLS):
                server.roll("full", revision=revisions[number % 2])
                time.sleep(0.05)
        slowest = report(f"{KILLS} swaps", load)
    assert not load.failed and slowest < ANSWERED
    seen: dict[str, set[float]] = {}
    for each in load.sent:
        seen.setdefault(each.about["revision"], set()).add(round(each.about["confidence"], 6))
    assert seen.keys() == set(revisions) and all(len(values) == 1 for values in seen.values())
    assert len(set.union(*seen.values())) == 2


def test_a_server_that_is_killed_has_what_it_acknowledged(tmp_path, teacher):
    programme = programme_of(tmp_path, teacher)
    key, port = add_admin(programme), free_port()
    answered = set()
    for number in range(3):
        server = ServerProcess(programme, key, port)
        try:
            server.roll("full" if number else "shadow", revision=revision(programme, "float32"))
            with load_on(server) as load:
                time.sleep(3 + 0.37 * number)
                server.kill()
        finally:
            server.close()
        answered |= {each.about["id"] for each in load.sent if each.status == 200}
    found, _ = kept(programme)
    print(f"3 kills: {len(answered):,} answered, {len(answered - found.keys())} of them lost")
    assert len(answered) > 100 and answered <= found.keys()


def test_a_full_disk_costs_no_answer(tmp_path, teacher):
    programme = programme_of(tmp_path, teacher)
    with serving(programme) as server:
        server.roll("full", revision=revision(programme, "float32"))
        with load_on(server) as load:
            time.sleep(2)
            server.limit_files(1)
            time.sleep(5)
            full = server.client.get("/readyz")
            server.limit_files(-1)
            time.sleep(3)
            free = server.client.get("/readyz")
            status = server.client.get("/v1/status").json()
        slowest = report("the disk full for 5 s", load)
        assert not load.failed and slowest < ANSWERED
        assert (full.status_code, free.status_code) == (503, 200), (full.text, free.text)
    found, alerts = kept(programme)
    lost = {each.about["id"] for each in load.sent} - found.keys()
    print(
        f"{len(lost)} captures lost of {len(load.sent):,}, {status['lost']} counted; {json.dumps(status['late'])} late"
    )
    assert len(lost) <= status["lost"] and status["late"] > 0
    assert "captures lost" in {alert.kind for alert in alerts}
