from __future__ import annotations

import json
from dataclasses import replace

import openai
import pytest
from served_world import KEY_NAME, LABELS, TEACHER_KEY, Live, certify, label, live, write_programme

from tutelage.errors import UsageError
from tutelage.records import text_hash


@pytest.fixture
def programme(tmp_path, faulty_teacher, monkeypatch):
    monkeypatch.setenv(KEY_NAME, TEACHER_KEY)
    return write_programme(tmp_path / "inbox", faulty_teacher)


@pytest.fixture
def served(programme):
    with live(programme) as running:
        yield running


def _client(served: Live, key: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{served.url}/v1", api_key=key, max_retries=0)


def test_in_shadow_the_teacher_answers_and_the_student_is_measured(served, faulty_teacher):
    faulty_teacher.answers["my card is stolen"] = label("card stolen")
    reply = served.predict("my card is stolen", key="anna", slice="critical")
    assert reply.status_code == 200, reply.text
    body = reply.json()
    assert (body["value"], body["by"], body["stage"]) == ("card stolen", "teacher", "shadow")
    [capture] = served.captures(1)
    assert capture.id == body["id"] == reply.headers["x-tutelage-id"]
    assert (capture.key, capture.slice, capture.by, capture.text) == (
        "anna",
        "critical",
        "teacher",
        "my card is stolen",
    )
    assert json.loads(capture.student_value) in LABELS
    assert capture.agree == (json.loads(capture.student_value) == "card stolen")


def test_an_application_changes_its_base_url_and_nothing_else(served, faulty_teacher):
    """Its key is the teacher's, its model the teacher's, its prompt the programme's."""
    faulty_teacher.answers["refund please"] = label("refund")
    messages = served.server.gateway.task.render("refund please")
    with _client(served, TEACHER_KEY) as client:
        whole = client.chat.completions.create(model="big-model", messages=messages)
        events = list(client.chat.completions.create(model="big-model", messages=messages, stream=True))
    assert whole.choices[0].message.content == label("refund")
    assert whole.model_extra["tutelage"]["by"] == "teacher"
    assert "".join(event.choices[0].delta.content or "" for event in events if event.choices) == label(
        "refund"
    )
    assert [capture.by for capture in served.captures(2)] == ["teacher", "teacher"]
    assert [headers["authorization"] for headers in faulty_teacher.headers] == [f"Bearer {TEACHER_KEY}"] * 2


def test_the_student_answers_in_the_teachers_shape_also_as_a_stream(served, faulty_teacher):
    assert served.roll("full").status_code == 200
    messages = served.server.gateway.task.render("refund")
    with _client(served, TEACHER_KEY) as client:
        whole = client.chat.completions.create(model="big-model", messages=messages)
        options = {"include_usage": True}
        stream = client.chat.completions.create(
            model="big-model", messages=messages, stream=True, stream_options=options
        )
        events = list(stream)
    assert whole.choices[0].message.content == label("refund")
    assert whole.model_extra["tutelage"]["by"] == "student"
    assert whole.model_extra["tutelage"]["confidence"] > 0.9
    assert "".join(event.choices[0].delta.content or "" for event in events if event.choices) == label(
        "refund"
    )
    assert events[-1].usage.total_tokens == 0
    assert {capture.by for capture in served.captures(2)} == {"student"}


def test_what_is_not_the_task_passes_through(served, faulty_teacher):
    faulty_teacher.answers["write a poem"] = "Roses are red"
    with _client(served, TEACHER_KEY) as client:
        other = client.chat.completions.create(
            model="another-model", messages=[{"role": "user", "content": "write a poem"}], temperature=0.5
        )
    assert other.choices[0].message.content == "Roses are red"
    [sent] = faulty_teacher.requests
    assert (sent["model"], sent["temperature"]) == ("another-model", 0.5)
    assert served.server.store.captures() == []


def test_the_programmes_name_is_a_model_that_needs_no_prompt(served, faulty_teacher):
    faulty_teacher.answers["refund"] = label("refund")
    with _client(served, served.keys["client"]) as client:
        assert "inbox" in [model.id for model in client.models.list()]
        whole = client.chat.completions.create(
            model="inbox", messages=[{"role": "user", "content": "refund"}]
        )
    assert whole.choices[0].message.content == label("refund")
    [sent] = faulty_teacher.requests
    assert sent["model"] == "big-model" and sent["messages"][0]["role"] == "system"


@pytest.mark.parametrize(
    "outcome", ["503", "429", "drop", "malformed body", "no choices", "list body", "401"]
)
def test_without_the_teacher_the_student_answers_and_is_flagged(served, faulty_teacher, outcome):
    faulty_teacher.script("refund", [outcome] * 9)
    body = served.chat("refund")
    assert body.status_code == 200, body.text
    about = body.json()["tutelage"]
    assert (about["by"], about["flagged"], about["reason"]) == ("student", True, "teacher unavailable")
    assert body.headers["x-tutelage-flagged"] == "true"


def test_with_neither_it_is_503_with_retry_after(tmp_path, faulty_teacher, monkeypatch):
    monkeypatch.setenv(KEY_NAME, TEACHER_KEY)
    programme = write_programme(tmp_path / "inbox", faulty_teacher, {"teacher_down": "queue"})
    with live(programme) as served:
        faulty_teacher.script("refund", ["503"] * 9)
        turned = served.predict("refund")
        assert turned.status_code == 503
        assert int(turned.headers["retry-after"]) >= 1
        [capture] = served.captures(1)
        assert (capture.by, capture.value, json.loads(capture.student_value)) == ("nobody", None, "refund")


def test_what_the_teacher_turns_down_for_what_it_is_comes_back_as_it_is(served, faulty_teacher):
    faulty_teacher.script("refund", ["too long"])
    turned = served.chat("refund")
    assert turned.status_code == 400
    assert "maximum context length" in turned.json()["error"]["message"]


def test_a_step_forward_needs_its_gate_and_a_step_back_does_not(served):
    refused = served.ask("POST", "/v1/rollout", "admin", json={"stage": "canary"})
    assert refused.status_code == 400
    assert "certificate" in refused.json()["error"]["message"]
    assert served.ask("GET", "/v1/rollout", "viewer").json()["stage"] == "shadow"
    assert served.roll("full").json()["evidence"]["override"] is True
    assert served.predict("refund").json()["by"] == "student"
    assert served.ask("POST", "/v1/rollout", "admin", json={"stage": "shadow"}).status_code == 200
    changes = served.ask("GET", "/v1/rollout", "viewer").json()["changes"]
    assert [change["stage"] for change in changes] == ["shadow", "full", "shadow"]
    assert [change["actor"] for change in changes] == ["admin", "admin", "tutelage"]


def test_without_an_export_it_says_so(programme):
    import shutil

    shutil.rmtree(programme.exports)
    with pytest.raises(UsageError, match="tutelage export"), live(programme):
        pass


def test_personal_data_is_not_kept_and_the_teacher_is_asked_as_the_application_asked(
    tmp_path, faulty_teacher, monkeypatch
):
    monkeypatch.setenv(KEY_NAME, TEACHER_KEY)
    programme = write_programme(tmp_path / "inbox", faulty_teacher, {"redact": ["order-[0-9]+"]}, privacy={})
    with live(programme) as served:
        assert served.chat("refund order-17 of jane@example.com").status_code == 200
        [capture] = served.captures(1)
    assert capture.text == "refund [redacted] of [EMAIL]"
    assert faulty_teacher.requests[0]["messages"][-1]["content"] == "refund order-17 of jane@example.com"
    assert not any(b"jane@" in path.read_bytes() for path in programme.folder.rglob("*") if path.is_file())


def test_the_student_sees_what_it_was_trained_on_and_nothing_of_what_would_be_dropped(
    tmp_path, faulty_teacher, monkeypatch
):
    """Its texts were redacted when it learned, and rows with a card would have been set aside."""
    monkeypatch.setenv(KEY_NAME, TEACHER_KEY)
    programme = write_programme(tmp_path / "inbox", faulty_teacher, privacy={"card": "drop"})
    with live(programme) as served:
        served.roll("full")
        raw = served.server.gateway.deployed.student
        seen = []

        class Listening:
            revision = raw.revision
            close = raw.close

            async def predict(self, text):
                seen.append(text)
                return await raw.predict(text)

        deployed = served.server.gateway.deployed
        served.server.gateway.deployed = replace(deployed, student=Listening())
        assert served.predict("refund to jane@example.com").json()["by"] == "student"
        dropped = served.predict("refund 4111 1111 1111 1111").json()
        first, second = reversed(served.captures(2))
        served.server.gateway.deployed = deployed
    assert seen == ["refund to [EMAIL]"]
    assert (dropped["by"], dropped["reason"]) == ("teacher", "personal data of a kind that is set aside")
    assert first.text == "refund to [EMAIL]" and first.hash == text_hash(first.text)
    assert second.text == "[CARD]"


def test_from_its_certificates_confidence_on_the_student_answers_and_nothing_foreign(
    programme, faulty_teacher
):
    certify(programme.folder)
    with live(programme) as served:
        gate = served.ask("POST", "/v1/rollout", "admin", json={"stage": "full", "dry_run": True}).json()
        [said] = [item for item in gate["evidence"] if item["term"] == "certificate"]
        assert said["verdict"] == "fail" and "full answers all" in said["reason"]
        assert served.roll("cascade").status_code == 200
        assert served.predict("refund 7").json()["by"] == "student"
        faulty_teacher.answers["refund of jazz in the kitchen at noon"] = label("refund")
        body = served.predict("refund of jazz in the kitchen at noon").json()
        assert (body["by"], body["reason"]) == ("teacher", "out of scope")
