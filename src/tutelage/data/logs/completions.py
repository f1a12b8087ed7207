"""Logs of an OpenAI-style interface: requests, requests with their responses, and batch input files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tutelage.data.logs.chats import Request, UnreadableMessages, messages_in, parsed, said_in

# Where a line holds the body of the request, the first that is there; "" is the line itself.
_BODIES = ("body", "request", "request_body", "params", "")
_REPLIES = ("response", "response_body", "completion", "output")
_OTHER_CALLS = ("embeddings", "moderations", "images", "audio", "files")


def requests_in(line: Mapping[str, Any]) -> Iterator[Request]:
    """The request of a line.

    `{"custom_id", "method", "url", "body"}` of a batch's input, `{"custom_id", "params"}` likewise,
    `{"request", "response"}` as proxies and applications log them, and the body alone.
    """
    body: Any = next((found for key in _BODIES if (found := _body(line, key)) is not None), line)
    about = {**line, **body}
    url = str(line.get("url", ""))
    if any(f"/{call}" in url for call in _OTHER_CALLS):
        yield Request(fault=f"a call of {url[:60]}, which is no chat", reason="other_task")
        return
    try:
        messages = messages_in(body)
    except UnreadableMessages as error:
        yield Request(fault=str(error))
        return
    reply = next((line[key] for key in _REPLIES if line.get(key)), None)
    if reply is None and messages and messages[-1]["role"] == "assistant":
        *messages, last = messages  # as files for fine-tuning have it
        reply = last["content"]
    if isinstance(reply, dict):
        reply = reply.get("body", reply)
    yield Request(
        messages,
        model=_first(about, "model"),
        id=_first(line, "custom_id", "request_id", "id") or _of_reply(line, "id"),
        subject=_first(about, "safety_identifier", "user", "session_id", "conversation_id"),
        time=_first(line, "created_at", "created", "timestamp", "time") or _of_reply(line, "created"),
        answer=said_in(reply),
    )


def looks_like(line: Mapping[str, Any]) -> bool:
    """Whether a line can only be such a request."""
    body = next((found for key in _BODIES if (found := _body(line, key)) is not None), None)
    return body is not None


def _body(line: Mapping[str, Any], key: str) -> Mapping[str, Any] | None:
    found = parsed(line.get(key)) if key else line
    if not isinstance(found, dict):
        return None
    is_batch = "custom_id" in line and key in ("body", "params")
    return found if is_batch or isinstance(parsed(found.get("messages")), list) else None


def _of_reply(line: Mapping[str, Any], name: str) -> Any:
    reply = next((parsed(line[key]) for key in _REPLIES if line.get(key)), None)
    if isinstance(reply, dict) and isinstance(reply.get("body"), dict):
        reply = reply["body"]
    return reply.get(name) if isinstance(reply, dict) else None


def _first(fields: Mapping[str, Any], *names: str) -> Any:
    """The first of these that holds a text or a number."""
    return next(
        (found for name in names if isinstance(found := fields.get(name), str | int | float) and found != ""),
        None,
    )
