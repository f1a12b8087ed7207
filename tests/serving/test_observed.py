"""What is counted, traced and logged of requests, and what never is."""

from __future__ import annotations

import io
import json
import logging
import time
from collections.abc import Iterator

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client.parser import text_string_to_metric_families
from served_world import KEY_NAME, TEACHER_KEY, Live, label, live, write_programme

from faulty_teacher import FaultyTeacher
from tutelage.errors import MissingExtraError
from tutelage.serving import observed
from tutelage.serving.observed import JsonFormatter, begin_traces

SAID = "my secret card number is stolen"


@pytest.fixture(scope="module")
def teacher() -> Iterator[FaultyTeacher]:
    teacher = FaultyTeacher()
    yield teacher
    teacher.close()


@pytest.fixture(scope="module")
def served(teacher, tmp_path_factory) -> Iterator[Live]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(KEY_NAME, TEACHER_KEY)
        serving = {"audit": {"share": 1.0}}
        with live(write_programme(tmp_path_factory.mktemp("world") / "inbox", teacher, serving)) as running:
            yield running


def _metrics(served: Live) -> dict[tuple[str, ...], float]:
    reply = served.ask("GET", "/metrics", "viewer")
    assert reply.headers["content-type"].startswith("text/plain")
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(reply.text)
        for sample in family.samples
    }


def test_metrics_tell_who_answered_and_how_the_watch_stands(served, teacher):
    before = _metrics(served)
    teacher.answers["refund"] = label("card")
    served.predict("refund")
    served.roll("full")
    for _ in range(3):
        assert served.predict("refund", slice="made up by a client").json()["by"] == "student"
        served.captures(1)
    ends = time.monotonic() + 60
    while (now := _metrics(served)).get(("tutelage_audits_total", "false"), 0) < 3:
        assert time.monotonic() < ends
        time.sleep(0.01)
    assert now["tutelage_answers_total", "teacher", "", "shadow"] == 1
    assert now["tutelage_answers_total", "student", "", "full"] == 3
    assert now["tutelage_audits_total", "false"] == 3
    assert now["tutelage_answer_seconds_count", "student"] == 3
    assert now["tutelage_request_seconds_count", "/v1/predict"] == 4
    assert now["tutelage_requests_total", "POST", "/v1/predict", "200"] == 4
    assert before["tutelage_stage", "shadow"] == 1
    assert now["tutelage_alarm_evidence", "all"] > 1
    assert (now["tutelage_captures_lost_total",], now["tutelage_teacher_down",]) == (0, 0)


def test_a_path_or_method_that_a_client_makes_up_is_no_label_of_its_own(served):
    for number in range(20):
        served.ask("GET", f"/made/up/{number}")
        served.ask("GET", f"/v1/files/{number}")
        served.ask(f"MADE{number}", "/healthz")
    names = {name for name in _metrics(served) if name[0] == "tutelage_requests_total"}
    assert not [name for name in names if "made" in str(name).lower() or "files" in str(name)]
    assert {name[1] for name in names} <= {"GET", "POST", "other"}


def test_logs_hold_neither_what_was_said_nor_a_key(served, teacher):
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger("tutelage")
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    try:
        teacher.script(SAID, ["503"] * 9 + ["malformed body"] * 9)
        for _ in range(3):
            served.predict(SAID, key="anna@example.org")
            served.chat(SAID)
        served.ask("POST", "/v1/predict", json={"input": 1, "what": SAID})
        served.ask("POST", "/v1/predict", content=SAID.encode())
        served.ask("GET", "/v1/status", "", headers={"Authorization": "Bearer tut_a_guessed-secret"})
        served.ask("GET", f"/v1/files?key={TEACHER_KEY}")
    finally:
        root.removeHandler(handler)
        root.setLevel(before)
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    requests = [line for line in lines if line["logger"] == "tutelage.requests"]
    assert {line["route"] for line in requests} >= {"/v1/predict", "/v1/status", "/v1/chat/completions"}
    assert any(line.get("by") and line["stage"] and line["id"] for line in requests)
    for secret in (
        SAID,
        "secret card",
        TEACHER_KEY,
        "anna@example.org",
        "guessed-secret",
        *served.keys.values(),
    ):
        assert secret not in stream.getvalue()


def test_an_exceptions_words_are_not_logged():
    try:
        raise ValueError(SAID)
    except ValueError as error:
        record = logging.LogRecord(
            "x", logging.ERROR, "f", 1, "it failed", None, (type(error), error, error.__traceback__)
        )
    line = JsonFormatter().format(record)
    content = json.loads(line)
    assert (content["exception"], content["message"], content["level"]) == (
        "ValueError",
        "it failed",
        "error",
    )
    assert SAID not in line and "test_observed.py" in content["where"][-1]


def test_spans_go_on_with_the_clients_trace_to_the_teacher_and_hold_no_content(served, teacher, monkeypatch):
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(observed, "_tracer", provider.get_tracer("test"))
    began = "4bf92f3577b34da6a3ce929d0e0e4736"
    headers = {"traceparent": f"00-{began}-00f067aa0ba902b7-01", "baggage": "user=anna"}
    served.ask("POST", "/v1/rollout", "admin", json={"stage": "shadow"})
    teacher.scripts = {}
    ends = time.monotonic() + 60  # it was taken for down
    while served.ask("POST", "/v1/predict", json={"input": "x"}).json()["flagged"]:
        assert time.monotonic() < ends
        time.sleep(0.1)
    teacher.headers = []
    served.ask(
        "POST",
        "/v1/chat/completions",
        json={"model": "inbox", "messages": [{"role": "user", "content": SAID}]},
        headers=headers,
    )
    [span] = [span for span in exporter.get_finished_spans() if span.name == "POST /v1/chat/completions"]
    assert f"{span.context.trace_id:032x}" == began
    assert span.attributes["http.response.status_code"] == 200
    assert span.attributes["tutelage.by"] == "teacher"
    assert SAID not in str(span.to_json()) and TEACHER_KEY not in str(span.to_json())
    assert began in teacher.headers[-1]["traceparent"] and "baggage" not in teacher.headers[-1]


def test_without_a_collector_nothing_is_sent_and_one_needs_its_extra(monkeypatch):
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    assert begin_traces() is False
    assert not isinstance(trace.get_tracer_provider(), TracerProvider)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setitem(
        __import__("sys").modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None
    )
    with pytest.raises(MissingExtraError, match=r"tutelage\[traces\]"):
        begin_traces()
