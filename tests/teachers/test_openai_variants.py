"""What endpoints that took the chat-completions API over do otherwise, and how it is met."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import Iterator
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from faulty_teacher import FaultyTeacher, Outcome, completion, error
from tutelage.config import OpenAITeacherConfig, PriceConfig
from tutelage.errors import TeacherRefusesAccess, TeacherUnavailable
from tutelage.records import Answer, AnswerStatus, Prompt
from tutelage.tasks import Classify
from tutelage.teachers import TeacherContext
from tutelage.teachers._endpoint_faults import error_message, reset_after, retry_after
from tutelage.teachers.openai import OpenAITeacher

TASK = Classify(("refund", "card", "card stolen"))
PRICE = PriceConfig(input=1.0, output=2.0, cached_input=0.25)
TEXT = "where is my money"
CARD = completion('{"label": "card"}')


def teacher_at(url: str, **settings: Any) -> OpenAITeacher:
    usual = {"rights": "own", "model": "scripted-1", "base_url": url, "timeout": 60.0, "samples": 1}
    return OpenAITeacher(OpenAITeacherConfig(**(usual | settings)), TeacherContext(TASK, (), Path()))


def ask(teacher: OpenAITeacher, text: str = TEXT) -> Answer:
    [answer] = asyncio.run(teacher.answer([Prompt("1", text)]))
    return answer


@pytest.fixture
def paths() -> Iterator[tuple[str, list[tuple[str, Any]]]]:
    """A server's address, and the path and headers of each request that it gets."""
    seen: list[tuple[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None:
            pass

        def do_POST(self) -> None:
            seen.append((self.path, self.headers))
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", str(len(CARD)))
            self.end_headers()
            self.wfile.write(CARD)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads, server.block_on_close = True, False
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}", seen
    server.shutdown()
    server.server_close()
    thread.join()


def test_azure_by_deployment(paths: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    url, seen = paths
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", "az-secret")
    azure = {"api": "azure", "api_key_env": "AZURE_OPENAI_API_KEY", "model": "gpt 5/mini"}
    assert ask(teacher_at(url, api_version="2024-10-21", **azure)).value == "card"
    [(path, headers)] = seen
    assert path == "/openai/deployments/gpt%205%2Fmini/chat/completions?api-version=2024-10-21"
    assert headers["api-key"] == "az-secret" and "Authorization" not in headers


def test_azure_by_its_newer_address(paths: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    url, seen = paths
    monkeypatch.setenv("OPENAI_API_KEY", "az-secret")
    assert ask(teacher_at(f"{url}/openai/v1/", api="azure")).value == "card"
    assert ask(teacher_at(f"{url}/openai/v1", api="azure", api_version="preview")).value == "card"
    assert [path for path, _ in seen] == [
        "/openai/v1/chat/completions",
        "/openai/v1/chat/completions?api-version=preview",
    ]
    assert seen[0][1]["api-key"] == "az-secret"


def test_azure_says_what_is_missing() -> None:
    with pytest.raises(ValidationError, match=r"api_version is absent.*Mend"):
        teacher_at("https://x.openai.azure.com", api="azure")
    with pytest.raises(ValidationError, match=r"api_version belongs to api: azure"):
        teacher_at("http://127.0.0.1:1/v1", api_version="2024-10-21")
    base = teacher_at("http://127.0.0.1:1/openai/v1")
    assert base.revision != teacher_at("http://127.0.0.1:1/openai/v1", api="azure").revision


def test_more_headers_and_more_of_the_body(faulty_teacher: FaultyTeacher) -> None:
    settings: dict[str, Any] = {
        "headers": {"HTTP-Referer": "https://example.org", "X-Title": "triage"},
        "extra": {"reasoning_effort": "low"},
    }
    teacher = teacher_at(faulty_teacher.url, **settings)
    ask(teacher)
    assert faulty_teacher.headers[0]["X-Title"] == "triage"
    [request] = faulty_teacher.requests
    assert request["reasoning_effort"] == "low"
    base = teacher_at(faulty_teacher.url)
    assert teacher.revision != base.revision
    assert teacher_at(faulty_teacher.url, headers=settings["headers"]).revision == base.revision


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"headers": {"authorization": "Bearer secret"}}, "api_key_env"),
        ({"headers": {"X-A": "a\r\nX-B: b"}}, "printable ASCII"),
        ({"extra": {"messages": []}}, "sets itself"),
        ({"extra": {"stream": True}}, "sets itself"),
        ({"extra": {"seed": float("nan")}}, "can't be written as JSON"),
        ({"extra": {"since": date(2026, 1, 1)}}, "can't be written as JSON"),
        ({"headers": {"Content-Type": "text/plain"}}, "sets itself"),
        ({"headers": {"X-Auth-Token": "secret"}}, "put it into an environment variable"),
        ({"headers": {"Ocp-Apim-Subscription-Key": "secret"}}, "put it into an environment variable"),
        ({"headers": {"cf-aig-authorization": "Bearer secret"}}, "put it into an environment variable"),
        ({"headers": {"X-Tenant": "Tenant ${TENANT}"}}, "of which a part"),
        ({"api_key_env": "sk-proj-secret"}, "no name of an environment variable"),
        ({"api_key_env": "secret0123456789abcdef0123456789abcdef"}, "no name of an environment variable"),
    ],
)
def test_headers_and_body_that_would_break_something(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words) as caught:
        teacher_at("http://127.0.0.1:1/v1", **settings)
    assert "secret" not in str(caught.value)


LIMITS = {  # what endpoints say of 20 alternatives, and how many are asked for then
    "Invalid value for 'top_logprobs': must be less than or equal to 5.": 5,
    "Requested sample logprobs of 20, which is greater than max allowed: 8": 8,
    "top_logprobs must be between 0 and 19": 19,
    "logprobs are not supported by gpt-4 with API version 2024-02-01": None,
    'Invalid JSON payload received. Unknown name "logprobs": Cannot find field.': None,
    "This model does not support logprobs": None,
}


@pytest.mark.parametrize("said", LIMITS)
def test_alternatives_go_down_to_the_endpoints_limit(said: str, faulty_teacher: FaultyTeacher) -> None:
    faulty_teacher.script(TEXT, [Outcome(400, error(said))])
    teacher = teacher_at(faulty_teacher.url)
    assert ask(teacher).status is ask(teacher, "again").status is AnswerStatus.OK
    first, *later = faulty_teacher.requests
    assert first["top_logprobs"] == 20 and len(later) == 2
    assert [request.get("top_logprobs") for request in later] == [LIMITS[said]] * 2
    assert [request.get("logprobs") for request in later] == [LIMITS[said] and True] * 2


def test_limits_that_never_end_are_given_up(faulty_teacher: FaultyTeacher) -> None:
    outcomes = [Outcome(400, error(f"top_logprobs: at most {limit}")) for limit in (5, 3, 3)]
    faulty_teacher.script(TEXT, outcomes)
    assert ask(teacher_at(faulty_teacher.url)).value == "card stolen"
    asked = [request.get("top_logprobs") for request in faulty_teacher.requests]
    assert asked == [20, 5, 3, None]


def test_a_schema_that_can_not_be_strict_is_asked_for_loosely(faulty_teacher: FaultyTeacher) -> None:
    strict = "Invalid schema for response_format 'answer': 'minLength' is not permitted."
    faulty_teacher.script(TEXT, [Outcome(400, error(strict, param="response_format"))])
    teacher = teacher_at(faulty_teacher.url)
    assert ask(teacher).value == "card stolen"
    schema = faulty_teacher.requests[1]["response_format"]["json_schema"]
    assert "strict" not in schema and schema["schema"] == TASK.json_schema()
    faulty_teacher.script("again", [Outcome(400, error(strict, param="response_format"))])
    assert ask(teacher, "again").status is AnswerStatus.OK
    assert "response_format" not in faulty_teacher.requests[-1]


def test_geminis_errors_stand_in_a_list(faulty_teacher: FaultyTeacher) -> None:
    body = [{"error": {"code": 400, "message": "API key not valid.", "status": "INVALID_ARGUMENT"}}]
    faulty_teacher.script(TEXT, [Outcome(401, json.dumps(body).encode())])
    with pytest.raises(TeacherRefusesAccess, match=r"API key not valid\."):
        ask(teacher_at(faulty_teacher.url))


def test_a_redirect_stops_and_names_where_it_leads(faulty_teacher: FaultyTeacher) -> None:
    moved = Outcome(308, b"", {"Location": "https://other.example.com/v1?token=secret"})
    faulty_teacher.script(TEXT, [moved])
    with pytest.raises(TeacherRefusesAccess, match=r"aren't followed.*other\.example\.com") as caught:
        ask(teacher_at(faulty_teacher.url))
    assert "secret" not in str(caught.value)


def test_cached_input_has_its_own_price(faulty_teacher: FaultyTeacher) -> None:
    usage = {
        "prompt_tokens": 1000,
        "completion_tokens": 10,
        "prompt_tokens_details": {"cached_tokens": 800},
    }
    faulty_teacher.script(TEXT, [Outcome(body=completion('{"label": "card"}', usage=usage))] * 2)
    answer = ask(teacher_at(faulty_teacher.url, price=PRICE))
    assert answer.usage.cost == pytest.approx((200 * 1.0 + 800 * 0.25 + 10 * 2.0) / 1e6)
    full = PriceConfig(input=1.0, output=2.0)
    assert ask(teacher_at(faulty_teacher.url, price=full)).usage.cost == pytest.approx(1020 / 1e6)


@pytest.mark.parametrize(
    "usage",
    [
        {"prompt_tokens": True, "completion_tokens": 1},
        {"prompt_tokens": 1.5, "completion_tokens": 1},
        {"prompt_tokens": -1, "completion_tokens": 1},
        {"prompt_tokens": 10**400, "completion_tokens": 1},
        {"prompt_tokens": 1},
        "many",
        7,
    ],
)
def test_an_account_that_is_none_costs_the_bound(usage: Any, faulty_teacher: FaultyTeacher) -> None:
    faulty_teacher.script(TEXT, [Outcome(body=completion('{"label": "card"}', usage=usage))])
    teacher = teacher_at(faulty_teacher.url, price=PRICE)
    bound = teacher.most_expensive([Prompt("1", TEXT)])
    answer = ask(teacher)
    assert (answer.value, answer.usage.cost) == ("card", pytest.approx(bound))


def test_reasoning_that_is_only_in_the_total_is_paid_too(faulty_teacher: FaultyTeacher) -> None:
    for total, made in ((341, 329), (21, 9), (0, 9), ("many", 9)):
        usage = {"prompt_tokens": 12, "completion_tokens": 9, "total_tokens": total}
        faulty_teacher.script(TEXT, [Outcome(body=completion('{"label": "card"}', usage=usage))])
        usage_read = ask(teacher_at(faulty_teacher.url, price=PRICE)).usage
        assert (usage_read.output_tokens, usage_read.cost) == (made, pytest.approx((12 + 2 * made) / 1e6))


PIECES = [
    {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
    {"type": "text", "text": '{"label": '},
    {"type": "text", "text": '"card"}'},
]


def test_a_text_in_pieces_is_put_together(faulty_teacher: FaultyTeacher) -> None:
    body = json.loads(CARD)
    body["choices"][0]["message"]["content"] = PIECES
    faulty_teacher.script(TEXT, [Outcome(body=json.dumps(body).encode())])
    assert ask(teacher_at(faulty_teacher.url)).raw == '{"label": "card"}'
    for content in ([], [{"type": "text"}], [{"text": "card"}], {"text": "card"}, 7):
        body["choices"][0]["message"]["content"] = content
        faulty_teacher.script(TEXT, [Outcome(body=json.dumps(body).encode())])
        with pytest.raises(TeacherUnavailable, match="no reply"):
            ask(teacher_at(faulty_teacher.url))


def test_an_odd_number_of_cached_tokens_is_no_discount(faulty_teacher: FaultyTeacher) -> None:
    for details in ({"cached_tokens": 10**6}, {"cached_tokens": "8"}, {"cached_tokens": -5}, [], None):
        usage = {"prompt_tokens": 20, "completion_tokens": 5, "prompt_tokens_details": details}
        faulty_teacher.script(TEXT, [Outcome(body=completion('{"label": "card"}', usage=usage))])
        cost = ask(teacher_at(faulty_teacher.url, price=PRICE)).usage.cost
        assert cost >= (20 * 0.25 + 5 * 2.0) / 1e6 - 1e-12


def test_a_higher_charge_than_the_price_is_told_once(
    faulty_teacher: FaultyTeacher, caplog: pytest.LogCaptureFixture
) -> None:
    usage = {"prompt_tokens": 20, "completion_tokens": 5, "cost": 0.01}
    faulty_teacher.default = Outcome(body=completion('{"label": "card"}', usage=usage))
    teacher = teacher_at(faulty_teacher.url, price=PRICE)
    with caplog.at_level(logging.WARNING, "tutelage.teachers"):
        costs = [ask(teacher, text).usage.cost for text in (TEXT, "again")]
    assert costs == pytest.approx([30 / 1e6] * 2)  # the price decides
    [record] = caplog.records
    assert "teacher.price" in record.getMessage() and "$0.010000" in record.getMessage()


def test_a_body_too_large_is_quarantined_at_its_bound(faulty_teacher: FaultyTeacher) -> None:
    """Whether it was billed nobody knows, and asking again would get the same."""
    faulty_teacher.script(TEXT, [Outcome(body=completion("x" * (10 << 20)))])
    teacher = teacher_at(faulty_teacher.url, price=PRICE)
    answer = ask(teacher)
    assert (answer.status, answer.value, answer.raw) == (AnswerStatus.UNPARSEABLE, None, "")
    assert "more than 8 MB" in answer.reason
    assert answer.usage.cost == pytest.approx(teacher.most_expensive([Prompt("1", TEXT)]))


def test_what_a_quarantined_sample_cost_is_told_where_another_fails(faulty_teacher: FaultyTeacher) -> None:
    large = Outcome(body=completion("x" * (10 << 20)))
    faulty_teacher.script(TEXT, [large, Outcome(500, b"boom", delay=0.2)])
    teacher = teacher_at(faulty_teacher.url, price=PRICE, samples=2)
    one = teacher.most_expensive([Prompt("1", TEXT)]) / 2
    with pytest.raises(TeacherUnavailable) as caught:
        ask(teacher)
    assert caught.value.spent == pytest.approx(one)
    assert ask(teacher).usage.cost == pytest.approx(30 / 1e6)  # each dollar once


RESETS: list[tuple[dict[str, str], float | None]] = [
    ({"x-ratelimit-reset-requests": "1s"}, 1.0),
    ({"x-ratelimit-reset-requests": "6m0s", "x-ratelimit-reset-tokens": "20ms"}, 0.02),
    (
        {
            "x-ratelimit-reset-requests": "1m30.5s",
            "x-ratelimit-remaining-requests": "0",
            "x-ratelimit-reset-tokens": "2s",
            "x-ratelimit-remaining-tokens": "100",
        },
        90.5,
    ),
    ({"X-RateLimit-Reset": "12"}, 12.0),
    ({"x-ratelimit-reset-requests": "1h2m"}, 3720.0),
    ({"x-ratelimit-reset-requests": "soon"}, None),
    ({"x-ratelimit-reset-requests": "nan"}, None),
    ({"x-ratelimit-reset-requests": ""}, None),
    ({"x-ratelimit-reset": "1000000000"}, 0.0),  # long past
    ({"x-ratelimit-reset": "2000-01-01T00:00:00Z"}, 0.0),
    ({}, None),
]


@pytest.mark.parametrize(("headers", "seconds"), RESETS)
def test_resets_are_read(headers: dict[str, str], seconds: float | None) -> None:
    assert reset_after(headers) == (None if seconds is None else pytest.approx(seconds))


def test_a_reset_counts_only_where_nothing_else_says_when(faulty_teacher: FaultyTeacher) -> None:
    reset = {"x-ratelimit-reset-requests": "7s"}
    for status, headers, seconds in (
        (429, reset, 7.0),
        (429, {**reset, "Retry-After": "2"}, 2.0),
        (503, reset, None),
    ):
        faulty_teacher.script(TEXT, [Outcome(status, error("busy"), headers)])
        with pytest.raises(TeacherUnavailable) as caught:
            ask(teacher_at(faulty_teacher.url))
        assert caught.value.retry_after == seconds


OPENAI_LIMIT = (
    "Rate limit reached for gpt-4 in organization org-1 on tokens per min (TPM): Limit 10000, Used 9000, "
    "Requested 2000. Please try again in 6.5s. You can increase your rate limit by adding a payment method to "
    "your account at https://platform.openai.com/account/billing."
)
GEMINI_LIMIT = (
    "You exceeded your current quota, please check your plan and billing details. For more information on "
    "this error, head over to: https://ai.google.dev/gemini-api/docs/rate-limits. "
    + "* Quota exceeded for metric: generate_content_free_tier_requests, limit: 15 " * 8
    + "Please retry in 1m34.5s."
)


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        (OPENAI_LIMIT, 6.5),
        (GEMINI_LIMIT, 94.5),
        ("slow down, try again in 20ms", 0.02),
        ("visit /billing", None),
    ],
)
def test_a_rate_limit_that_speaks_of_billing_is_still_one(
    said: str, seconds: float | None, faulty_teacher: FaultyTeacher
) -> None:
    faulty_teacher.script(TEXT, [Outcome(429, error(said))])
    with pytest.raises(TeacherUnavailable) as caught:
        ask(teacher_at(faulty_teacher.url))
    assert caught.value.retry_after == (None if seconds is None else pytest.approx(seconds))
    assert len(str(caught.value)) < 700


@pytest.mark.parametrize(
    "body",
    [
        error("You exceeded your current quota, please check your plan and billing details."),
        error("Please try again in 5s", code="insufficient_quota"),
        error("Billing hard limit has been reached"),
        error("Your account is not active, please check your billing details on our website."),
        error("no", code="credit_balance_exhausted"),
    ],
)
def test_credit_that_is_used_up_stops_at_once(body: bytes, faulty_teacher: FaultyTeacher) -> None:
    faulty_teacher.script(TEXT, [Outcome(429, body)])
    with pytest.raises(TeacherRefusesAccess, match="its credit"):
        ask(teacher_at(faulty_teacher.url))


def test_a_model_that_failed_midway_may_have_cost(faulty_teacher: FaultyTeacher) -> None:
    """As OpenRouter reports a provider that broke off."""
    body = json.loads(CARD)
    body["choices"][0] |= {"finish_reason": "error", "error": {"code": 502, "message": "provider broke off"}}
    faulty_teacher.script(TEXT, [Outcome(body=json.dumps(body).encode())])
    with pytest.raises(TeacherUnavailable, match="provider broke off") as caught:
        ask(teacher_at(faulty_teacher.url, price=PRICE))
    assert caught.value.billed and caught.value.unaccounted > 0


def test_far_dates_are_survived() -> None:
    assert retry_after({"retry-after": "Fri, 31 Dec 9999 23:59:59 GMT"}) is not None
    assert retry_after({"retry-after": "Fri, 31 Dec 99999 23:59:59 GMT"}) is None


MESSAGES = {
    b'{"error": {"message": "no", "type": "t", "code": "c", "param": null}}': "no - c - t",
    b'{"error": "plain"}': "plain",
    b'{"detail": "not found"}': "not found",
    b'{"object": "error", "message": "old", "type": "T", "code": 400}': "old - T",
    b'{"error": {}}': "an error without a message",
    b"[]": "an error without a message",
    b"null": "an error without a message",
    b"<html>\n bad  gateway</html>": "<html> bad gateway</html>",
    b"": "nothing",
    b"\xff": "\\xff",
    b"[" * 100_000: None,
}


@pytest.mark.parametrize("body", MESSAGES, ids=range(len(MESSAGES)))
def test_messages_of_errors(body: bytes) -> None:
    expected = MESSAGES[body]
    assert error_message(body) == expected or expected is None


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ({"code": "429", "message": "slow"}, TeacherUnavailable),
        ({"code": 401, "message": "key"}, TeacherRefusesAccess),
        ({"type": "billing_error"}, TeacherRefusesAccess),
        ({"code": True}, TeacherUnavailable),
        ("upstream broke", TeacherUnavailable),
    ],
)
def test_faults_inside_a_body_that_says_200(fault: Any, kind: Any, faulty_teacher: FaultyTeacher) -> None:
    faulty_teacher.script(TEXT, [Outcome(body=json.dumps({"error": fault}).encode())])
    with pytest.raises(kind):
        ask(teacher_at(faulty_teacher.url))


def test_log_probabilities_that_a_reasoning_model_forbids_are_left_out(faulty_teacher: FaultyTeacher) -> None:
    """OpenAI says so with a 403, which otherwise is about who asks."""
    faulty_teacher.script(
        TEXT, [Outcome(403, error("You are not allowed to request logprobs from this model"))]
    )
    teacher = teacher_at(faulty_teacher.url)
    assert ask(teacher).status is AnswerStatus.OK and ask(teacher).status is AnswerStatus.OK
    assert ["logprobs" in request for request in faulty_teacher.requests] == [True, False, False]


def test_a_403_about_anything_else_still_ends_the_run(faulty_teacher: FaultyTeacher) -> None:
    faulty_teacher.script(TEXT, [Outcome(403, error("your region may not use this schema or temperature"))])
    with pytest.raises(TeacherRefusesAccess):
        ask(teacher_at(faulty_teacher.url))
    assert len(faulty_teacher.requests) == 1


def test_parameters_that_no_provider_takes_go_one_by_one(faulty_teacher: FaultyTeacher) -> None:
    """OpenRouter, asked to require all parameters, says with a 404 that some won't do, and not which."""
    nobody = error("No endpoints found that can handle the requested parameters.", code=404)
    faulty_teacher.script(TEXT, [Outcome(404, nobody), Outcome(404, nobody)])
    teacher = teacher_at(faulty_teacher.url, extra={"provider": {"require_parameters": True}})
    assert ask(teacher).status is AnswerStatus.OK
    optional = {"logprobs", "temperature", "response_format"}
    assert [optional & request.keys() for request in faulty_teacher.requests] == [
        optional,
        {"temperature", "response_format"},
        {"response_format"},
    ]
    faulty_teacher.script(TEXT, [Outcome(404, nobody)] * 2)
    with pytest.raises(TeacherRefusesAccess, match="404"):
        ask(teacher)  # nothing is left to do without


@pytest.mark.parametrize("finish", ["error", "abort", "insufficient_system_resource"])
def test_an_answer_that_the_endpoint_broke_off_is_asked_for_again(
    finish: str, faulty_teacher: FaultyTeacher
) -> None:
    faulty_teacher.script(TEXT, [Outcome(body=completion('{"label": "card"}', finish=finish))])
    with pytest.raises(TeacherUnavailable, match=f"broke the answer off .{finish}") as raised:
        ask(teacher_at(faulty_teacher.url))
    assert raised.value.billed


@pytest.mark.parametrize(
    ("finish", "status"),
    [
        ("content_filter: PROHIBITED_CONTENT", AnswerStatus.REFUSED),
        ("SAFETY", AnswerStatus.REFUSED),
        ("RECITATION", AnswerStatus.REFUSED),
        ("MAX_TOKENS", AnswerStatus.UNPARSEABLE),
        ("model_length", AnswerStatus.UNPARSEABLE),
        ("stop", AnswerStatus.UNPARSEABLE),
    ],
)
def test_why_an_answer_ended_is_understood_in_other_words_too(
    finish: str, status: AnswerStatus, faulty_teacher: FaultyTeacher
) -> None:
    faulty_teacher.script(TEXT, [Outcome(body=completion(None, finish=finish))])
    answer = ask(teacher_at(faulty_teacher.url))
    assert answer.status is status
    assert ("max_output_tokens" in answer.reason) == (finish in {"MAX_TOKENS", "model_length"})


EXTRA = {
    "type": "extra_forbidden",
    "loc": ["body", "logprobs"],
    "msg": "Extra inputs are not permitted",
    "input": TEXT,
}


@pytest.mark.parametrize(
    "body",
    [
        {"object": "error", "message": {"detail": [EXTRA]}, "type": "invalid_request_error", "code": None},
        {"object": "Error", "message": [EXTRA], "type": "invalid_request_error", "code": 3001},
        {"detail": [EXTRA, EXTRA | {"loc": ["body", "top_logprobs"]}]},
        {"error": {"detail": [EXTRA]}},
    ],
)
def test_what_a_request_may_not_hold_is_read_from_a_list(
    body: dict[str, Any], faulty_teacher: FaultyTeacher
) -> None:
    """Mistral's and FastAPI's way; the `input`, which may be the prompt, isn't repeated."""
    assert "body.logprobs: Extra inputs are not permitted" in error_message(json.dumps(body).encode())
    assert TEXT not in error_message(json.dumps(body).encode())
    faulty_teacher.script(TEXT, [Outcome(422, json.dumps(body).encode())])
    assert ask(teacher_at(faulty_teacher.url)).status is AnswerStatus.OK
    assert ["logprobs" in request for request in faulty_teacher.requests] == [True, False]


def test_a_schema_that_gemini_can_not_take_is_left_out(faulty_teacher: FaultyTeacher) -> None:
    said = "Unknown name \"additional_properties\" at 'generation_config.response_schema': Cannot find field."
    faulty_teacher.script(
        TEXT, [Outcome(400, json.dumps([{"error": {"code": 400, "message": said}}]).encode())]
    )
    assert ask(teacher_at(faulty_teacher.url)).status is AnswerStatus.OK
    assert ["response_format" in request for request in faulty_teacher.requests] == [True, False]


@pytest.mark.parametrize(
    "message",
    [
        "API key not valid. Please pass a valid API key.",  # Gemini's, as the next two
        "API key expired. Please renew the API key.",
        "User location is not supported for the API use.",
        "mistralai/mistral-smal is not a valid model ID",  # OpenRouter's
        "Invalid model: mistral-smal",
    ],
)
def test_a_400_that_is_about_every_prompt_ends_the_run(message: str, faulty_teacher: FaultyTeacher) -> None:
    faulty_teacher.script(TEXT, [Outcome(400, error(message))])
    with pytest.raises(TeacherRefusesAccess, match="400.*Mend"):
        ask(teacher_at(faulty_teacher.url))


@pytest.mark.parametrize("message", ["the word model is invalid", "a key is not valid", "bad keyword"])
def test_a_400_that_only_sounds_so_is_about_its_prompt(message: str, faulty_teacher: FaultyTeacher) -> None:
    faulty_teacher.script(TEXT, [Outcome(400, error(message))])
    assert ask(teacher_at(faulty_teacher.url)).status is AnswerStatus.UNPARSEABLE


def test_a_prompt_that_alone_passes_a_limit_a_minute_is_not_tried_again(
    faulty_teacher: FaultyTeacher,
) -> None:
    said = (
        "Request too large for gpt-4o in organization org-1 on tokens per min (TPM): Limit 30000, Requested "
        "31000. The input or output tokens must be reduced in order to run successfully."
    )
    faulty_teacher.script(TEXT, [Outcome(429, error(said, code="rate_limit_exceeded"))])
    answer = ask(teacher_at(faulty_teacher.url))
    assert answer.status is AnswerStatus.UNPARSEABLE and "Request too large" in answer.reason
    assert type(answer) is Answer  # surely the prompt's fault
