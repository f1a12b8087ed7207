"""LiteLLM: rows of `LiteLLM_SpendLogs` and payloads of its loggers (`StandardLoggingPayload`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tutelage.data.logs.chats import Request, UnreadableMessages, messages_in, parsed, said_in

_CHATS = ("completion", "acompletion", "responses", "aresponses", "anthropic_messages", "text_completion", "")
_EMPTY: tuple[Any, ...] = (None, "", {}, [])


def requests_in(row: Mapping[str, Any]) -> Iterator[Request]:
    """The request of a row.

    Messages are in `messages`, or where the proxy stores prompts in spend logs in `proxy_server_request`.
    Whose it is: `end_user`, else `session_id` (spend logs), `trace_id` (payloads), else `user`.
    """
    kind = str(row.get("call_type") or "").rpartition(".")[2]
    if not any(kind.endswith(chat) if chat else not kind for chat in _CHATS):
        yield Request(fault=f"a call of type {kind[:40]!r}, which is no chat", reason="other_task")
        return
    messages: Any = parsed(row.get("messages"))
    if messages in _EMPTY:
        messages = parsed(row.get("proxy_server_request"))
        if isinstance(messages, dict) and "body" in messages:
            messages = parsed(messages["body"])
    if messages in _EMPTY:
        yield Request(
            fault="no messages: LiteLLM keeps them with general_settings.store_prompts_in_spend_logs",
            reason="missing_column",
        )
        return
    try:
        found = messages_in(messages)
    except UnreadableMessages as error:
        yield Request(fault=str(error))
        return
    metadata = parsed(row.get("metadata"))
    spoken_for = metadata.get("user_api_key_end_user_id") if isinstance(metadata, dict) else None
    yield Request(
        found,
        model=row.get("model_group") or row.get("model") or None,
        id=row.get("request_id") or row.get("id"),
        subject=row.get("end_user")
        or spoken_for
        or row.get("session_id")
        or row.get("trace_id")
        or row.get("user"),
        time=row.get("startTime") or row.get("start_time"),
        answer=said_in(row.get("response")),
    )


def looks_like(row: Mapping[str, Any]) -> bool:
    """Whether a row can only be LiteLLM's."""
    return {"request_id", "call_type", "spend"} <= row.keys() or {
        "call_type",
        "response_cost",
        "messages",
    } <= row.keys()
