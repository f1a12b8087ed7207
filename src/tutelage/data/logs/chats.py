"""Chat requests as logs keep them, in the shapes of several interfaces, as plain messages."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Message = dict[str, str]
InputOf = Callable[[Mapping[str, Any]], str | None]
"""The task's input in `{"messages": [...], "model": ...}`; None where that request is another task."""

_TEXTS = frozenset({"text", "input_text", "output_text"})


@dataclass(frozen=True, slots=True)
class Request:
    """One request of a log. `fault` says why it can't be read, `reason` in a word.

    `messages` are plain: role and text. `id`, `subject` and `time` are as the log has them, None where it has
    none; `answer` is what was replied, if that was kept.
    """

    messages: Sequence[Message] = ()
    model: str | None = None
    id: Any = None
    subject: Any = None
    time: Any = None
    answer: str | None = None
    fault: str | None = None
    reason: str = "malformed_row"

    def text(self, input_of: InputOf | None) -> str | None:
        """What is asked: by `input_of`, without it the last message of the user. None: another task."""
        if input_of is not None:
            return input_of({"messages": list(self.messages), "model": self.model})
        return next((one["content"] for one in reversed(self.messages) if one["role"] == "user"), None)


class UnreadableMessages(ValueError):
    """Messages that aren't text alone, or none at all."""


def messages_in(body: Any) -> list[Message]:
    """The messages of a request's body: of chat completions (`messages`), Responses (`input`), Anthropic
    (`system` beside `messages`), completions (`prompt`), or of a bare text or list of messages.

    A text that is JSON is read where it is one of these, else it is what the user said.

    Raises UnreadableMessages.
    """
    if isinstance(body, str):
        found = parsed(body)
        return messages_in(found) if _are_messages(found) else [{"role": "user", "content": body}]
    if isinstance(body, list):
        return [_message(one) for one in body]
    if not isinstance(body, dict):
        raise UnreadableMessages(f"{type(body).__name__} in the place of messages")
    if "role" in body:
        return [_message(body)]
    for key in ("messages", "input", "prompt"):
        if (found := parsed(body.get(key))) not in (None, "", [], {}):
            before = body.get("instructions") or body.get("system")
            system = [] if before is None else [{"role": "system", "content": _text(before)}]
            return [*system, *messages_in(found)]
    raise UnreadableMessages("no messages: the log was written without contents")


def parsed(value: Any) -> Any:
    """A text that is JSON as what it says, any other value as it is."""
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value


def said_in(reply: Any) -> str | None:
    """The text of a completion, of a Responses object or of a message; None where there is none."""
    reply = parsed(reply)
    if isinstance(reply, str):
        return reply or None
    for path in (("choices", 0, "message"), ("choices", 0, "text"), ("output",), ("content",), ()):
        found = reply
        for step in path:
            try:
                found = found[step]
            except (KeyError, IndexError, TypeError):
                found = None
                break
        try:
            text = _text(found[-1] if isinstance(found, list) and found else found)
        except UnreadableMessages:
            continue
        if text:
            return text
    return None


def _message(message: Any) -> Message:
    if not isinstance(message, dict):
        raise UnreadableMessages(f"a message is {type(message).__name__}, no object")
    role = message.get("role", message.get("type"))
    if not isinstance(role, str):
        raise UnreadableMessages("a message without a role")
    content = message.get("content", message.get("parts"))
    if role != "user":  # what tools said and what was answered need not be text
        try:
            return {"role": role, "content": _text(content)}
        except UnreadableMessages:
            return {"role": role, "content": ""}
    return {"role": role, "content": _text(content)}


def _text(content: Any) -> str:
    """Text, or parts that are all text: `{"type": "text", "text": ...}`, in OpenTelemetry `content`."""
    if isinstance(content, str):
        found = parsed(content)
        if not _are_parts(found):
            return content
        content = found
    if isinstance(content, dict):
        content = content.get("content", content.get("parts", [content]))
        if isinstance(content, str):
            return content
    if not isinstance(content, list):
        raise UnreadableMessages(f"a message holds {type(content).__name__} in the place of text")
    return "".join(map(_part, content))


def _are_messages(found: Any) -> bool:
    if isinstance(found, dict):
        return "messages" in found or "role" in found
    return (
        isinstance(found, list)
        and bool(found)
        and all(isinstance(one, dict) and "role" in one for one in found)
    )


def _are_parts(found: Any) -> bool:
    return isinstance(found, list) and all(
        isinstance(one, dict) and one.get("type") in _TEXTS for one in found
    )


def _part(part: Any) -> str:
    if isinstance(part, str):
        return part
    if isinstance(part, dict) and part.get("type", "text") in _TEXTS:
        text = part.get("text", part.get("content"))
        if isinstance(text, str):
            return text
    kind = part.get("type") if isinstance(part, dict) else type(part).__name__
    raise UnreadableMessages(f"a message holds a part of type {str(kind)[:40]!r}, which is no text")
