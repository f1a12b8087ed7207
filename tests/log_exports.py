"""Exports by hand, after what each tool documents of its fields; all say the same five things.

Three requests of the task (two of one customer), one of another kind, one whose contents weren't kept.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

TEXTS = ("my card was declined", "where is my parcel?", "I want my money back")
SUBJECTS = ("anna", "bob", "anna")
SYSTEM = "Classify the request."
MODEL = "gpt-4o-mini"
SECRET = "CANARY-ANSWER"  # what the teacher said, which is not to be taken
NOON = 1_750_075_200  # 2025-06-16 12:00 UTC


def chat(text: str) -> list[dict[str, str]]:
    return [{"role": "system", "content": SYSTEM}, {"role": "user", "content": text}]


def completion(number: int) -> dict[str, Any]:
    """A chat completion, as the API returns it."""
    message = {"role": "assistant", "content": SECRET}
    return {
        "id": f"chatcmpl-{number}",
        "object": "chat.completion",
        "created": NOON + number,
        "model": MODEL,
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
    }


def lines(rows: list[Any]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def openai_log() -> str:
    """Requests beside responses, as a proxy or an application writes them."""
    rows: list[Any] = [
        {"request": {"model": MODEL, "messages": chat(text), "user": who}, "response": completion(n)}
        for n, (text, who) in enumerate(zip(TEXTS, SUBJECTS, strict=True))
    ]
    rows.append({"url": "/v1/embeddings", "request": {"model": "e", "input": "embed me"}, "response": {}})
    rows.append({"request": {"model": MODEL}, "response": completion(9)})
    return lines(rows)


def batch_input() -> str:
    """https://platform.openai.com/docs/guides/batch: a line a request, with custom_id and body."""
    rows: list[Any] = [
        {
            "custom_id": f"r-{n}",
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": {"model": MODEL, "messages": chat(text), "safety_identifier": who},
        }
        for n, (text, who) in enumerate(zip(TEXTS, SUBJECTS, strict=True))
    ]
    rows.append({"custom_id": "e", "method": "POST", "url": "/v1/embeddings", "body": {"input": "embed me"}})
    rows.append({"custom_id": "n", "method": "POST", "url": "/v1/chat/completions", "body": {"model": MODEL}})
    return lines(rows)


def _attributes(fields: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"key": key, "value": _any(value)} for key, value in fields.items()]


def _any(value: Any) -> dict[str, Any]:
    if isinstance(value, str):
        return {"stringValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, list):
        return {"arrayValue": {"values": [_any(one) for one in value]}}
    return {"kvlistValue": {"values": [{"key": key, "value": _any(one)} for key, one in value.items()]}}


def _export(spans: list[dict[str, Any]]) -> dict[str, Any]:
    resource = {"attributes": _attributes({"service.name": "support"})}
    return {
        "resourceSpans": [{"resource": resource, "scopeSpans": [{"scope": {"name": "x"}, "spans": spans}]}]
    }


def _parts(text: str) -> list[dict[str, Any]]:
    return [{"role": "user", "parts": [{"type": "text", "content": text}]}]


def otel(contents: Callable[[str], dict[str, Any]]) -> str:
    """Spans as the collector's file exporter writes them; `contents` is what one holds of a text."""
    spans = []
    for n, (text, who) in enumerate(zip(TEXTS, SUBJECTS, strict=True)):
        held = contents(text)
        about = {"gen_ai.operation.name": "chat", "gen_ai.request.model": MODEL, "enduser.id": who}
        spans.append(
            {
                "traceId": "5b8efff798038103d269b633813fc60c",
                "spanId": f"eee19b7ec3c1b17{n}",
                "name": f"chat {MODEL}",
                "startTimeUnixNano": str((NOON + n) * 10**9),
                "attributes": _attributes({**about, **held.get("attributes", {})}),
                "events": held.get("events", []),
            }
        )
    http = {"traceId": "5b", "spanId": "aa", "name": "GET /", "attributes": _attributes({"http.route": "/"})}
    bare = {"spanId": "ff", "name": "chat", "attributes": _attributes({"gen_ai.operation.name": "chat"})}
    tool = {"spanId": "fe", "name": "t", "attributes": _attributes({"gen_ai.operation.name": "execute_tool"})}
    return lines([_export(spans[:2]), _export([http, spans[2], tool, bare])])


def otel_messages() -> str:
    """Conventions from 1.37: gen_ai.input.messages in structured form."""
    return otel(
        lambda text: {
            "attributes": {
                "gen_ai.system_instructions": [{"type": "text", "content": SYSTEM}],
                "gen_ai.input.messages": _parts(text),
                "gen_ai.output.messages": [
                    {"role": "assistant", "parts": [{"type": "text", "content": SECRET}]}
                ],
            }
        }
    )


def otel_messages_as_text() -> str:
    """The same as a JSON string, which spans may have where structure isn't supported."""
    return otel(lambda text: {"attributes": {"gen_ai.input.messages": json.dumps(_parts(text))}})


def otel_events() -> str:
    """Conventions of 1.27: an event gen_ai.content.prompt with the attribute gen_ai.prompt."""

    def contents(text: str) -> dict[str, Any]:
        prompt = {
            "name": "gen_ai.content.prompt",
            "attributes": _attributes({"gen_ai.prompt": json.dumps(chat(text))}),
        }
        said = {"name": "gen_ai.content.completion", "attributes": _attributes({"gen_ai.completion": SECRET})}
        return {"events": [prompt, said]}

    return otel(contents)


def otel_span_events() -> str:
    """Conventions of 1.28 to 1.36 as events of a span."""

    def contents(text: str) -> dict[str, Any]:
        spoken = [("gen_ai.system.message", SYSTEM), ("gen_ai.user.message", text), ("gen_ai.choice", SECRET)]
        return {
            "events": [{"name": name, "attributes": _attributes({"content": said})} for name, said in spoken]
        }

    return otel(contents)


def otel_indexed() -> str:
    """OpenLLMetry: an attribute a message."""
    return otel(
        lambda text: {
            "attributes": {
                "gen_ai.prompt.0.role": "system",
                "gen_ai.prompt.0.content": SYSTEM,
                "gen_ai.prompt.1.role": "user",
                "gen_ai.prompt.1.content": text,
                "gen_ai.completion.0.content": SECRET,
            }
        }
    )


def otel_logs() -> str:
    """Conventions of 1.28 to 1.36: events as log records, one for each message, joined by their span."""
    records = []
    for n, (text, who) in enumerate(zip(TEXTS, SUBJECTS, strict=True)):
        for name, said in (
            ("gen_ai.system.message", SYSTEM),
            ("gen_ai.user.message", text),
            ("gen_ai.choice", SECRET),
        ):
            records.append(
                {
                    "timeUnixNano": str((NOON + n) * 10**9),
                    "spanId": f"eee19b7ec3c1b17{n}",
                    "eventName": name,
                    "attributes": _attributes({"gen_ai.system": "openai", "enduser.id": who}),
                    "body": _any({"content": said}),
                }
            )
    other = {"timeUnixNano": "1", "body": {"stringValue": "started"}, "attributes": []}
    bare = {"timeUnixNano": "1", "eventName": "gen_ai.user.message", "body": _any({}), "attributes": []}
    return lines([{"resourceLogs": [{"scopeLogs": [{"logRecords": [other, *records, bare]}]}]}])


def _moment(n: int) -> str:
    return f"2025-06-16T12:00:0{n}.000Z"


def langfuse_observations() -> list[dict[str, Any]]:
    """Observations of the API and of the pages' export: camelCase."""
    rows: list[dict[str, Any]] = [
        {
            "id": f"obs-{n}",
            "traceId": f"trace-{n}",
            "projectId": "p",
            "type": "GENERATION",
            "name": "classify",
            "startTime": _moment(n),
            "endTime": _moment(n),
            "model": MODEL,
            "userId": who,
            "input": chat(text),
            "output": {"role": "assistant", "content": SECRET},
        }
        for n, (text, who) in enumerate(zip(TEXTS, SUBJECTS, strict=True))
    ]
    span = {
        "id": "s",
        "traceId": "t",
        "type": "SPAN",
        "startTime": _moment(5),
        "input": {"a": 1},
        "output": None,
    }
    rows.append({**rows[0], "id": "obs-e", "type": "GENERATION", "input": {"picture": 1}})
    rows.append({**rows[0], "id": "obs-n", "input": None})
    return [span, *rows]


def langfuse_blob() -> str:
    """Enriched observations of the blob storage export: snake_case, inputs as text, times without a zone."""
    rows = []
    for row in langfuse_observations():
        rows.append(
            {
                "id": row["id"],
                "trace_id": row["traceId"],
                "project_id": "p",
                "type": row["type"],
                "start_time": row["startTime"].replace("T", " ").replace(".000Z", ".000000"),
                "input": json.dumps(row["input"]) if row["input"] else "",
                "output": json.dumps(row["output"]),
                "provided_model_name": MODEL,
                "user_id": row.get("userId", ""),
                "session_id": "",
            }
        )
    return lines(rows)


def langfuse_traces() -> list[dict[str, Any]]:
    """Traces of the pages' export; an application put the bare text into their input."""
    rows: list[dict[str, Any]] = [
        {
            "id": f"trace-{n}",
            "timestamp": _moment(n),
            "name": "support",
            "userId": who,
            "sessionId": None,
            "input": text,
            "output": SECRET,
            "tags": [],
        }
        for n, (text, who) in enumerate(zip(TEXTS, SUBJECTS, strict=True))
    ]
    return [
        *rows,
        {**rows[0], "id": "trace-e", "input": {"picture": 1}},
        {**rows[0], "id": "trace-n", "input": None},
    ]


def litellm_spend() -> list[dict[str, Any]]:
    """Rows of LiteLLM_SpendLogs: `messages` is {} and the request in proxy_server_request."""
    rows: list[dict[str, Any]] = [
        {
            "request_id": f"chatcmpl-{n}",
            "call_type": "acompletion",
            "api_key": "88dc28d0f030c55ed4ab77ed8faf098196cb1c05df778539800c9f1243fe6b4b",
            "spend": 0.0001,
            "startTime": _moment(n),
            "endTime": _moment(n),
            "model": MODEL,
            "user": "default_user_id",
            "end_user": who,
            "session_id": f"session-{n}",
            "metadata": {"status": "success"},
            "messages": {},
            "response": completion(n),
            "proxy_server_request": {"model": MODEL, "messages": chat(text), "user": who},
        }
        for n, (text, who) in enumerate(zip(TEXTS, SUBJECTS, strict=True))
    ]
    embedding = {
        **rows[0],
        "request_id": "e",
        "call_type": "aembedding",
        "proxy_server_request": {"input": "x"},
    }
    return [*rows, embedding, {**rows[0], "request_id": "n", "proxy_server_request": {}}]


def litellm_payloads() -> str:
    """StandardLoggingPayload, as loggers write it."""
    rows: list[dict[str, Any]] = [
        {
            "id": f"chatcmpl-{n}",
            "trace_id": f"t-{n}",
            "call_type": "acompletion",
            "response_cost": 0.0001,
            "status": "success",
            "startTime": float(NOON + n),
            "endTime": float(NOON + n) + 1,
            "model": MODEL,
            "end_user": who,
            "messages": chat(text),
            "response": completion(n),
        }
        for n, (text, who) in enumerate(zip(TEXTS, SUBJECTS, strict=True))
    ]
    return lines(
        [*rows, {**rows[0], "id": "e", "call_type": "aembedding"}, {**rows[0], "id": "n", "messages": None}]
    )
