from __future__ import annotations

import asyncio
import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import httpx2 as httpx
import numpy as np
import openai
import pytest
from served_world import KEY_NAME, LABELS, TEACHER_KEY, export, label, live, toy_student, write_programme
from waiting import soon

from faulty_outcomes import OUTCOMES
from faulty_teacher import FaultyTeacher, Outcome
from tutelage.errors import StudentUnavailable
from tutelage.serving.calls import Calls
from tutelage.serving.router import chosen
from tutelage.serving.student import read_prediction

SERVING = {"deadline": 90.0, "teacher_timeout": 60.0, "audit": {"share": 0.0}}
SOON = 30.0  # seconds, of what would else take for ever: a machine may halt


@pytest.fixture(scope="module")
def teacher():
    faulty = FaultyTeacher()
    yield faulty
    faulty.close()


@pytest.fixture(scope="module")
def one_server(tmp_path_factory, teacher):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(KEY_NAME, TEACHER_KEY)
        programme = write_programme(tmp_path_factory.mktemp("served") / "inbox", teacher, SERVING)
        with live(programme) as running:
            yield running


@pytest.fixture
def served(one_server, teacher):
    """The module's server as it began: its student well, its teacher well, in stage shadow."""
    gateway = one_server.server.gateway
    before, config = gateway.deployed.student, gateway.config
    gateway.calls = Calls("big-model", None, [].append)
    teacher.scripts.clear()
    yield one_server
    gateway.config = config
    assert one_server.roll("shadow").status_code == 200
    deployed = gateway.deployed
    gateway.deployed = type(deployed)(deployed.rollout, before, deployed.scope)


def replace_student(served, student):
    deployed = served.server.gateway.deployed
    served.server.gateway.deployed = type(deployed)(deployed.rollout, student, deployed.scope)


def configure(served, **changed):
    served.server.gateway.config = served.server.gateway.config.model_copy(update=changed)


class BrokenStudent:
    """A student that does what it is told to in place of predicting."""

    revision = "broken"

    def __init__(self, does):
        self.does = does

    async def predict(self, text):
        return await self.does()

    async def close(self):
        """Nothing to let go of."""


def saying(served, row):
    async def does():
        return read_prediction(row, served.server.gateway.task)

    return does


async def _raises():
    raise ZeroDivisionError


async def _unavailable():
    raise StudentUnavailable("it is down")


# The student


@pytest.mark.parametrize(
    "row", [[np.nan] * 3, [0.5, 0.5], [[1.0, 0.0, 0.0]], np.array([1, 0, 0]), ["a", "b", "c"]], ids=str
)
def test_where_the_student_says_no_probabilities_the_teacher_answers(served, row):
    served.roll("full")
    replace_student(served, BrokenStudent(saying(served, row)))
    body = served.predict("refund").json()
    assert (body["by"], body["reason"]) == ("teacher", "student unavailable")


@pytest.mark.parametrize("does", [_raises, _unavailable])
@pytest.mark.parametrize("stage", ["shadow", "full"])
def test_where_the_student_fails_the_teacher_answers(served, stage, does):
    served.roll(stage)
    replace_student(served, BrokenStudent(does))
    answered = served.chat("refund")
    assert answered.status_code == 200 and answered.json()["tutelage"]["by"] == "teacher"


def test_whether_an_input_is_out_of_scope_is_answered_by_the_teacher_where_nobody_can_tell(served):
    class Scope:
        def foreign(self, text):
            raise RuntimeError("no index")

    served.roll("full")
    deployed = served.server.gateway.deployed
    served.server.gateway.deployed = type(deployed)(deployed.rollout, deployed.student, Scope())
    assert served.predict("refund").json()["reason"] == "out of scope"


def test_what_is_out_of_scope_is_no_evidence_of_what_the_student_would_answer(served, teacher):
    class Scope:
        def foreign(self, text):
            return "stolen" in text

    served.roll("shadow")
    gateway, monitor = served.server.gateway, served.server.monitor
    monitor.watch(monitor.revision, 0.5)
    deployed = gateway.deployed
    gateway.deployed = type(deployed)(deployed.rollout, deployed.student, Scope())
    before = monitor.shadow.trials
    teacher.answers |= {"refund": label("refund"), "card stolen": label("card stolen")}
    assert served.predict("card stolen").json()["by"] == "teacher"
    assert monitor.shadow.trials == before
    assert served.predict("refund").json()["by"] == "teacher"
    assert monitor.shadow.trials == before + 1
    gateway.deployed = deployed
    monitor.watch(monitor.revision, None)


# The teacher

FAULTS = [
    *("429", "500", "502", "503", "529", "drop", "reset before", "reset mid-body", "closed mid-body"),
    *("malformed body", "empty body", "no choices", "list body", "deep body", "error in body", "401", "404"),
]


@pytest.mark.parametrize("outcome", FAULTS)
def test_one_fault_of_the_teacher_is_nobodys_concern_and_two_are_the_students(served, teacher, outcome):
    teacher.script("refund", [outcome] * 2)
    first = served.chat("refund").json()["tutelage"]
    if outcome in ("401", "404"):  # asking again would change nothing
        assert (first["by"], first["flagged"]) == ("student", True)
        return
    teacher.scripts["refund"] = []
    teacher.script("stolen", [outcome])
    assert first["flagged"] is True
    again = served.chat("stolen").json()["tutelage"]
    assert (again["by"], again["flagged"]) == ("teacher", False)


@pytest.mark.parametrize(
    "outcome", ["invalid utf-8", "lone surrogate", "content is a list", "not a number", "null"]
)
def test_whatever_the_teacher_says_comes_back(served, teacher, outcome):
    teacher.script("refund", [outcome] * 2)
    answered = served.chat("refund")
    assert answered.status_code == 200, answered.text
    json.loads(answered.content)


def test_numbers_that_are_no_json_are_no_answer(served, teacher):
    body = b'{"choices": [{"message": {"content": "x"}}], "usage": {"cost": NaN}}'
    teacher.script("refund", [Outcome(body=body)] * 2)
    assert served.chat("refund").json()["tutelage"]["flagged"] is True


@pytest.mark.parametrize("outcome", ["stalled first byte", "stalled mid-body"])
@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("down", ["student", "queue"])
def test_a_teacher_that_hangs_costs_no_more_than_the_deadline(served, teacher, outcome, streaming, down):
    configure(served, teacher_down=down, deadline=0.6)
    teacher.script("refund", [outcome] * 4)
    began = time.monotonic()
    answered = served.chat("refund", stream=streaming)
    took = time.monotonic() - began
    assert took < SOON
    if streaming and outcome == "stalled mid-body":
        assert b'"error"' in answered.content and b"[DONE]" not in answered.content
    elif down == "student":
        assert answered.headers["x-tutelage-by"] == "student"
    else:
        assert answered.status_code == 503 and int(answered.headers["retry-after"]) >= 1


def test_a_dead_teacher_costs_time_at_first_and_then_none(served, teacher):
    configure(served, deadline=0.3)
    teacher.default = OUTCOMES["stalled first byte"]()
    try:
        for _ in range(5):
            assert served.predict("refund").json()["flagged"] is True
        assert served.ask("GET", "/v1/status", "viewer").json()["teacher"]["open"] is True
        asked = teacher.arrivals["refund"]
        answers = [served.predict("refund").json() for _ in range(5)]
        # One or two would be probes, where the machine halts for as long as a probe is waited for.
        assert teacher.arrivals["refund"] - asked < 5
    finally:
        teacher.default = OUTCOMES["ok"]()
    assert {(answer["by"], answer["reason"]) for answer in answers} == {("student", "teacher unavailable")}
    configure(served, deadline=90.0)
    soon(lambda: served.predict("refund").json()["by"] == "teacher")
    assert served.ask("GET", "/v1/status", "viewer").json()["teacher"]["open"] is False


def test_a_hedged_call_answers_where_the_first_hangs(served, teacher):
    served.server.gateway.calls = Calls("big-model", 0.1, [].append)
    teacher.script("refund", ["stalled first byte"])
    assert served.predict("refund").json()["by"] == "teacher"


def test_a_batch_shares_one_deadline(served, teacher):
    configure(served, deadline=0.5, teacher_down="queue")
    teacher.default = OUTCOMES["stalled first byte"]()
    try:
        began = time.monotonic()
        answers = served.ask(
            "POST", "/v1/predict/batch", json={"inputs": [{"input": f"{n}"} for n in range(80)]}
        )
        assert time.monotonic() - began < SOON, "one after the other they would take 40 s"
    finally:
        teacher.default = OUTCOMES["ok"]()
    assert answers.json()["answers"] == [None] * 80


# Streams


def _client(served):
    return openai.OpenAI(base_url=f"{served.url}/v1", api_key=TEACHER_KEY, max_retries=0)


@pytest.mark.parametrize("outcome", ["reset mid-body", "closed mid-body"])
def test_a_stream_that_breaks_off_is_an_error_and_is_kept(served, teacher, outcome):
    teacher.answers["refund"] = "a long answer of many words " * 40
    teacher.script("refund", [outcome])
    messages = served.server.gateway.task.render("refund")
    before = {capture.id for capture in served.captures(0)}
    with _client(served) as client, pytest.raises(openai.APIError):
        list(client.chat.completions.create(model="big-model", messages=messages, stream=True))
    soon(lambda: served.captures(1)[0].id not in before)
    newest = served.captures(1)[0]
    assert (newest.by, newest.value, newest.reason) == ("teacher", None, "the teacher's stream broke off")
    del teacher.answers["refund"]


def test_a_stream_that_does_not_begin_is_answered_by_the_student(served, teacher):
    teacher.script("refund", ["drop", "empty body"])
    answered = served.chat("refund", stream=True)
    assert answered.headers["x-tutelage-by"] == "student" and b"[DONE]" in answered.content


def test_a_stream_that_is_turned_down_comes_back_as_it_is(served, teacher):
    teacher.script("refund", ["too long"])
    answered = served.chat("refund", stream=True)
    assert (answered.status_code, answered.headers["content-type"]) == (400, "application/json")
    assert "maximum context length" in answered.json()["error"]["message"]


def test_who_hangs_up_midway_is_kept_all_the_same(served, teacher):
    """What was asked of the teacher is paid for: it is read to its end, and its connection let go."""
    text = "refund for whoever hangs up"
    teacher.script(text, [Outcome(body=OUTCOMES["ok"]().body, delay=0.4)])
    body = json.dumps(
        {"model": "big-model", "stream": True, "messages": served.server.gateway.task.render(text)}
    ).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TEACHER_KEY}\r\n"
    address = httpx.URL(served.url)
    with socket.create_connection((address.host, address.port)) as client:
        client.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        soon(lambda: bool(teacher.arrivals[text]))
    soon(lambda: text in [capture.text for capture in served.captures(0)])
    [capture] = [capture for capture in served.captures(0) if capture.text == text]
    assert capture.by == "teacher" and json.loads(capture.value) in LABELS
    assert not served.server.gateway._relays


def test_what_passes_through_is_not_cut_off_at_the_teachers_timeout(served, teacher):
    configure(served, teacher_timeout=0.3)
    teacher.script("write a poem", [Outcome(body=OUTCOMES["ok"]().body, delay=0.6)])
    body = {"model": "other", "messages": [{"role": "user", "content": "write a poem"}]}
    answered = served.ask("POST", "/v1/chat/completions", json=body)
    assert answered.status_code == 200 and answered.json()["choices"]


# Hostile requests


@pytest.mark.parametrize(
    "body",
    [
        {"model": ["big"], "messages": [{"role": "user", "content": "refund"}]},
        {"model": {}, "messages": [{"role": "system", "content": ""}, {"role": "user", "content": "x"}]},
        {"model": "inbox", "messages": [{"role": "user", "content": "\ud800"}]},
        {"model": "inbox", "user": "\udfff", "messages": [{"role": "user", "content": "refund"}]},
        {"model": "inbox", "messages": [{"role": "user", "content": ""}]},
        {"model": "inbox", "messages": [{"role": "user", "content": "\0"}]},
        {"model": "inbox", "metadata": {"slice": "\ud800"}, "messages": [{"role": "user", "content": "x"}]},
    ],
    ids=str,
)
@pytest.mark.parametrize("stage", ["shadow", "full"])
def test_a_strange_request_is_no_failure_of_the_server(served, body, stage):
    served.roll(stage)
    answered = served.ask(
        "POST", "/v1/chat/completions", content=json.dumps(body), headers={"content-type": "application/json"}
    )
    assert answered.status_code < 500, answered.text


# The canary


def test_the_canary_keeps_its_keys_and_its_share(served):
    served.roll("canary", share=0.3)
    threshold = served.server.gateway.deployed
    served.server.gateway.deployed = type(threshold)(
        type(threshold.rollout)(threshold.rollout.stage, 0.3, 0.5, threshold.rollout.revision),
        threshold.student,
        threshold.scope,
    )
    for number in range(12):
        said = {served.predict("refund", key=f"person {number}").json()["by"] for _ in range(2)}
        assert said == {"student" if chosen(f"person {number}", 0.3) else "teacher"}


# Audits


@pytest.mark.parametrize(
    ("says", "agree"), [(label("refund"), True), (label("card"), False), ("I'd rather not say", False)]
)
def test_an_audit_adds_what_the_teacher_said(served, teacher, says, agree):
    served.roll("full")
    configure(served, audit=served.server.gateway.config.audit.model_copy(update={"share": 1.0}))
    text = f"refund of {len(says)}"
    teacher.answers[text] = says
    body = served.predict(text).json()
    assert body["by"] == "student"
    ends = time.monotonic() + SOON
    while time.monotonic() < ends:
        [capture] = [one for one in served.captures(0) if one.id == body["id"]]
        if capture.agree is not None:
            break
        time.sleep(0.01)
    assert (capture.agree, capture.audited) == (agree, True)


def test_what_is_too_much_to_be_audited_is_counted_and_not_called_audited(served, teacher):
    served.roll("full")
    configure(served, audit=served.server.gateway.config.audit.model_copy(update={"share": 1.0}))
    teacher.delay = 2.0
    try:
        with ThreadPoolExecutor(20) as pool:
            ids = [one.json()["id"] for one in pool.map(lambda n: served.predict(f"refund {n}"), range(50))]
    finally:
        teacher.delay = 0.0
    skipped = served.ask("GET", "/v1/status", "viewer").json()["audits_skipped"]
    kept = {capture.id: capture for capture in served.captures(0)}
    by_student = [kept[one] for one in ids if kept[one].by == "student"]  # until an alarm takes it off
    assert skipped == sum(not capture.audited for capture in by_student) > 0


def test_no_audit_is_lost_at_a_normal_stop(tmp_path, teacher, monkeypatch):
    monkeypatch.setenv(KEY_NAME, TEACHER_KEY)
    programme = write_programme(tmp_path / "inbox", teacher, {"audit": {"share": 1.0}})
    teacher.delay = 0.4
    try:
        with live(programme) as served:
            served.roll("full")
            for number in range(5):
                teacher.answers[f"refund {number}"] = label("refund")  # else an alarm takes the student off
                served.predict(f"refund {number}")
    finally:
        teacher.delay = 0.0
    from tutelage.stages.serve import open_programme_store

    store = open_programme_store(programme)
    found = store.captures(by="student")
    asyncio.run(store.close())
    assert len(found) == 5 and all(capture.agree is not None for capture in found)


# Swaps


def test_a_request_sees_one_revision_whatever_is_swapped_meanwhile(tmp_path, teacher, monkeypatch):
    monkeypatch.setenv(KEY_NAME, TEACHER_KEY)
    programme = write_programme(tmp_path / "inbox", teacher, {"audit": {"share": 0.0}})
    export(programme.folder, "int8", toy_student(4.0))
    with live(programme) as served:
        served.roll("full")
        revisions = {each.revision: each for each in served.server.rollouts._shelf.all()}
        confidence: dict[str, set[float]] = {revision: set() for revision in revisions}
        with ThreadPoolExecutor(4) as pool:
            asked = [
                pool.submit(lambda: [served.predict("refund").json() for _ in range(40)]) for _ in range(4)
            ]
            for number in range(10):
                revision = list(revisions)[number % 2]
                assert served.roll("full", revision=revision).status_code == 200
            for each in asked:
                for body in each.result():
                    assert body["by"] == "student"
                    confidence[body["revision"]].add(round(body["confidence"], 6))
        assert [len(seen) <= 1 for seen in confidence.values()] == [True, True]
