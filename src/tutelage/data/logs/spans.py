"""OpenTelemetry: calls of a model as spans and log records, in files of OTLP JSON.

The conventions for generative AI changed: messages are in the attribute `gen_ai.input.messages` (from 1.37,
also of the event `gen_ai.client.inference.operation.details`), in events `gen_ai.user.message` and
`gen_ai.system.message` (1.28 to 1.36), in the event `gen_ai.content.prompt` with the attribute
`gen_ai.prompt` (before), or in attributes `gen_ai.prompt.0.content` and so on, as OpenLLMetry has them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tutelage.data.logs.chats import Message, Request, UnreadableMessages, messages_in, parsed, said_in

_INDEXED = re.compile(r"gen_ai\.prompt\.(\d{1,4})\.(role|content)")
_ROLES = {
    "gen_ai.user.message": "user",
    "gen_ai.system.message": "system",
    "gen_ai.assistant.message": "assistant",
}
_DETAILS = "gen_ai.client.inference.operation.details"
_CHATS = ("chat", "text_completion", "generate_content", "completion", "")
_SUBJECTS = ("enduser.id", "user.id", "gen_ai.conversation.id", "session.id")


def requests_in(document: Mapping[str, Any]) -> Iterator[Request]:
    """The calls of a model in an export of traces or logs; all else in it is passed over."""
    for resource in _list(document, "resourceSpans", "resource_spans"):
        for scope in _list(resource, "scopeSpans", "scope_spans"):
            for span in _list(scope, "spans"):
                yield from _of_span(span)
    for resource in _list(document, "resourceLogs", "resource_logs"):
        for scope in _list(resource, "scopeLogs", "scope_logs"):
            yield from _of_records(_list(scope, "logRecords", "log_records"))


def looks_like(document: Mapping[str, Any]) -> bool:
    """Whether it can only be OTLP."""
    return any(
        isinstance(document.get(key), list) for key in ("resourceSpans", "resource_spans", "resourceLogs")
    )


def _of_span(span: Mapping[str, Any]) -> Iterator[Request]:
    about = _attributes(span)
    if (
        not any(key.startswith("gen_ai.") for key in about)
        or about.get("gen_ai.operation.name", "") not in _CHATS
    ):
        return
    events = [(str(event.get("name")), _attributes(event)) for event in _list(span, "events")]
    yield _request(about, events, span.get("spanId"), span.get("startTimeUnixNano"))


def _of_records(records: Sequence[Mapping[str, Any]]) -> Iterator[Request]:
    """Records of one call have one span; those of no span are a call each."""
    calls: dict[Any, list[tuple[str, Mapping[str, Any], Mapping[str, Any]]]] = {}
    for number, record in enumerate(records):
        about = _attributes(record)
        name = str(record.get("eventName") or about.get("event.name") or "")
        if name.startswith("gen_ai."):
            body = _value(record.get("body"))
            fields = {**about, **body} if isinstance(body, dict) else {**about, "content": body}
            calls.setdefault(record.get("spanId") or number, []).append((name, fields, record))
    for key, found in calls.items():
        if not any(name in _ROLES or name == _DETAILS for name, _, _ in found):
            continue
        about = {name: value for _, fields, _ in found for name, value in fields.items()}
        first = found[0][2]
        time = first.get("timeUnixNano") or first.get("observedTimeUnixNano")
        events = [(name, fields) for name, fields, _ in found]
        yield _request(about, events, key if isinstance(key, str) else None, time)


def _request(
    about: Mapping[str, Any], events: Sequence[tuple[str, Mapping[str, Any]]], id_: Any, time: Any
) -> Request:
    try:
        messages = _messages(about, events)
    except UnreadableMessages as error:
        return Request(fault=str(error))
    if not messages:
        return Request(
            fault="no messages: the instrumentation didn't capture contents "
            "(OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT)",
            reason="missing_column",
        )
    said = about.get("gen_ai.output.messages") or about.get("gen_ai.completion")
    return Request(
        messages,
        model=about.get("gen_ai.request.model"),
        id=about.get("gen_ai.response.id") or id_,
        subject=next((about[name] for name in _SUBJECTS if about.get(name)), None),
        time=time,
        answer=said_in(about.get("gen_ai.completion.0.content") or said),
    )


def _messages(about: Mapping[str, Any], events: Sequence[tuple[str, Mapping[str, Any]]]) -> list[Message]:
    fields = [about, *(fields for _, fields in events)]
    for key in ("gen_ai.input.messages", "gen_ai.prompt"):
        if given := next((one[key] for one in fields if one.get(key)), None):
            system = about.get("gen_ai.system_instructions")
            return messages_in({"messages": parsed(given), **({"system": parsed(system)} if system else {})})
    if spoken := [
        {"role": _ROLES[name], "content": one.get("content", "")} for name, one in events if name in _ROLES
    ]:
        return messages_in(spoken)
    indexed: dict[int, dict[str, Any]] = {}
    for key, value in about.items():
        if found := _INDEXED.fullmatch(key):
            indexed.setdefault(int(found[1]), {})[found[2]] = value
    return messages_in([{"role": "user", **indexed[place]} for place in sorted(indexed)]) if indexed else []


def _list(of: Any, *keys: str) -> list[Mapping[str, Any]]:
    if not isinstance(of, dict):
        return []
    found: list[Any] = next((of[key] for key in keys if isinstance(of.get(key), list)), [])
    return [one for one in found if isinstance(one, dict)]


def _attributes(of: Mapping[str, Any]) -> dict[str, Any]:
    """`[{"key": ..., "value": {"stringValue": ...}}]` as a mapping."""
    return {str(one.get("key")): _value(one.get("value")) for one in _list(of, "attributes")}


def _value(any_value: Any) -> Any:
    """What an `AnyValue` of OTLP JSON holds."""
    if not isinstance(any_value, dict):
        return any_value
    for kind, held in any_value.items():
        if kind == "kvlistValue":
            return {str(one.get("key")): _value(one.get("value")) for one in _list(held, "values")}
        if kind == "arrayValue":
            return [_value(one) for one in _list(held, "values")]
        if kind == "intValue" and isinstance(held, str) and held.lstrip("-").isdigit():
            return int(held[:30])
        if kind.endswith("Value"):
            return held
    return None
