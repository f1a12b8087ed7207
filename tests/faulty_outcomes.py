"""What the scripted faulty teacher can do to a request, by name, and how it words a proper answer."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from faulty_teacher import FaultyTeacher

Body = Callable[["FaultyTeacher", dict[str, Any]], bytes]

HUGE = 10_000_000  # bytes of the body that nobody asked for
_LIKELY, _UNLIKELY = -0.1, -3.5  # log-probabilities of the token said, and of each other label


@dataclass
class Outcome:
    """What one request gets: a status with headers and a body, after `delay` seconds.

    `sent` is the share of the body that is sent after its head; 0 sends not even the head. `then` is what
    becomes of the connection: kept open, closed, reset, left hanging, or fed bytes that are no TLS.
    """

    status: int = 200
    body: bytes | Body = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0.0
    drop: bool = False
    sent: float = 1.0
    then: str = "keep"


class Request(dict[str, Any]):
    """A request's JSON, with the path that it came to."""

    path = ""

    @property
    def text(self) -> str:
        """The prompt: its last message."""
        content = self["messages"][-1]["content"]
        return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


@dataclass(frozen=True)
class Said:
    """What the model says, before it is put into an API's words."""

    text: str | None
    finish: str = "stop"
    model: str = "scripted-1"
    refusal: str = ""
    usage: Any = None


def completion(
    text: str | None, *, finish: str = "stop", model: str = "scripted-1", usage: Any = None, **message: Any
) -> bytes:
    """A chat completion that says `text`."""
    return json.dumps(_completion(text, finish, model, usage, message)).encode()


def _completion(
    text: str | None, finish: str, model: str, usage: Any, message: Mapping[str, Any]
) -> dict[str, Any]:
    said = {"role": "assistant", "content": text, **message}
    return {
        "id": "c",
        "object": "chat.completion",
        "model": model,
        "choices": [{"index": 0, "finish_reason": finish, "message": said}],
        "usage": {"prompt_tokens": 20, "completion_tokens": 5} if usage is None else usage,
    }


def spoken(said: Said, request: Request, logprobs: bool) -> bytes:
    """`said` in the words of the API that was asked: chat completions, or Anthropic's messages."""
    if request.path.endswith("/messages"):
        return json.dumps(_message(said, request)).encode()
    extra = {"refusal": said.refusal} if said.refusal else {}
    content = _completion(said.text, said.finish, said.model, said.usage, extra)
    if logprobs and request.get("logprobs") and said.text:
        content["choices"][0]["logprobs"] = {"content": _tokens(said.text, request)}
    if request.get("stream"):
        return _events(content, said.text or "")
    return json.dumps(content).encode()


def _events(content: Mapping[str, Any], text: str) -> bytes:
    """A completion as a stream of events, a word each, the usage last."""
    shared = {**content, "object": "chat.completion.chunk"}
    usage, [choice] = shared.pop("usage"), shared.pop("choices")
    deltas = [
        {"role": "assistant", "content": ""},
        *({"content": word} for word in re.findall(r"\S*\s*", text) if word),
    ]
    parts = [
        *({"index": 0, "delta": delta, "finish_reason": None} for delta in deltas),
        {"index": 0, "delta": {}, "finish_reason": choice["finish_reason"]},
    ]
    events = [{**shared, "choices": [part]} for part in parts]
    events.append({**shared, "choices": [], "usage": usage})
    return (
        b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events) + b"data: [DONE]\n\n"
    )


def _message(said: Said, request: Request) -> dict[str, Any]:
    """Anthropic's message; a call of the tool where the request forces one and the text is an object."""
    stop = {"stop": "end_turn", "length": "max_tokens", "content_filter": "refusal"}[said.finish]
    text = said.refusal or said.text or ""
    content: list[dict[str, Any]] = [{"type": "text", "text": text}] if text else []
    choice = request.get("tool_choice") or {}
    if choice.get("type") == "tool" and not said.refusal:
        try:
            given = json.loads(text)
        except ValueError:
            given = None
        if isinstance(given, dict):
            content = [{"type": "tool_use", "id": "t", "name": choice["name"], "input": given}]
            stop = "tool_use"
    return {
        "id": "m",
        "type": "message",
        "role": "assistant",
        "model": said.model,
        "content": content,
        "stop_reason": "refusal" if said.refusal else stop,
        "usage": {"input_tokens": 20, "output_tokens": 5} if said.usage is None else said.usage,
    }


def _tokens(text: str, request: Request) -> list[dict[str, Any]]:
    """The text's tokens; where it is a label of the request's schema, that is one, beside all others."""
    found = re.fullmatch(r'(\{"label": ")(.*)("\})', text)
    labels = _labels_of(request)
    pieces = list(found.groups()) if found and labels else re.findall(r"\W*\w+|\W+", text)
    tokens = []
    for piece in pieces:
        others = [label for label in labels if label != piece] if piece in labels else []
        top = [(piece, _LIKELY), *((other, _UNLIKELY) for other in others)]
        alternatives = [{"token": token, "logprob": share} for token, share in top]
        tokens.append({"token": piece, "logprob": _LIKELY, "top_logprobs": alternatives})
    return tokens


def _labels_of(request: Request) -> list[str]:
    schema = (request.get("response_format") or {}).get("json_schema", {}).get("schema", {})
    names: list[str] = schema.get("properties", {}).get("label", {}).get("enum", [])
    return names


def error(message: str, **more: Any) -> bytes:
    """An error body as OpenAI sends it."""
    return json.dumps({"error": {"message": message, "type": "x", **more}}).encode()


def _proper(teacher: FaultyTeacher, request: dict[str, Any]) -> bytes:
    return _good()(teacher, request)


def _good(**parts: Any) -> Body:
    """A proper answer, but for `parts` of what is said."""

    def body(teacher: FaultyTeacher, request: dict[str, Any]) -> bytes:
        asked = request if isinstance(request, Request) else Request(request)
        said = Said(teacher.answer_to(asked.text), **parts)
        return spoken(said, asked, teacher.logprobs)

    return body


def _says(text: str | None, **parts: Any) -> Outcome:
    """An answer of status 200 that says `text` whatever was asked."""
    said = Said(text, **parts)
    return Outcome(body=lambda teacher, request: spoken(said, _as_request(request), teacher.logprobs))


def _as_request(request: dict[str, Any]) -> Request:
    return request if isinstance(request, Request) else Request(request)


OUTCOMES: dict[str, Callable[[], Outcome]] = {
    "ok": lambda: Outcome(body=_proper),
    "429 seconds": lambda: Outcome(429, error("slow down"), {"Retry-After": "0.05"}),
    "429 ms": lambda: Outcome(429, error("slow down"), {"retry-after-ms": "50"}),
    "429 date": lambda: Outcome(
        429, error("slow down"), {"Retry-After": formatdate(time.time() + 30, usegmt=True)}
    ),
    "429 past date": lambda: Outcome(
        429, error("slow down"), {"Retry-After": formatdate(time.time() - 1, usegmt=True)}
    ),
    "429": lambda: Outcome(429, error("slow down")),
    "429 no credit": lambda: Outcome(
        429, error("You exceeded your current quota", code="insufficient_quota")
    ),
    "500": lambda: Outcome(500, b"boom"),
    "502": lambda: Outcome(502, b"<html>bad gateway</html>", {"Content-Type": "text/html"}),
    "503": lambda: Outcome(503, error("overloaded")),
    "529": lambda: Outcome(529, error("overloaded")),
    "slow": lambda: Outcome(body=_proper, delay=600.0),  # whoever asks has given up long before
    "drop": lambda: Outcome(drop=True),
    "reset before": lambda: Outcome(body=_proper, sent=0.0, then="reset"),
    "reset mid-body": lambda: Outcome(body=_proper, sent=0.5, then="reset"),
    "reset after": lambda: Outcome(body=_proper, then="reset"),
    "closed after": lambda: Outcome(body=_proper, then="close"),
    "closed mid-body": lambda: Outcome(body=_proper, sent=0.5, then="close"),
    "stalled first byte": lambda: Outcome(body=_proper, sent=0.0, then="stall"),
    "stalled mid-body": lambda: Outcome(body=_proper, sent=0.5, then="stall"),
    "tls failure": lambda: Outcome(body=_proper, sent=0.0, then="garbage"),
    "malformed body": lambda: Outcome(body=b'{"choices": [{"mess'),
    "empty body": lambda: Outcome(body=b""),
    "no choices": lambda: Outcome(body=b'{"choices": []}'),
    "list body": lambda: Outcome(body=b"[1, 2]"),
    "deep body": lambda: Outcome(body=b"[" * 100_000),
    "content is a list": lambda: Outcome(body=b'{"choices": [{"message": {"content": [1]}}]}'),
    "invalid utf-8": lambda: Outcome(body=completion("caf\u00e9").replace(b"\\u00e9", b"\xff\xfe")),
    "error in body": lambda: Outcome(body=error("upstream is busy", code=429)),
    "empty": lambda: _says(""),
    "blank": lambda: _says(" \n"),
    "null": lambda: _says(None),
    "malformed": lambda: _says('{"label": refund'),
    "truncated": lambda: _says('{"label": "re', finish="length"),
    "prose": lambda: _says('Sure! Here it is: {"label": "refund"} Anything else?'),
    "wrong schema": lambda: _says('{"category": "refund"}'),
    "wrong type": lambda: _says('{"label": 3}'),
    "duplicate keys": lambda: _says('{"label": "refund", "label": "card"}'),
    "not a number": lambda: _says('{"label": NaN}'),
    "huge": lambda: _says("refund " * (HUGE // 7)),
    "out of set": lambda: _says('{"label": "weather"}'),
    "other case": lambda: _says('{"label": "Refund"}'),
    "lone surrogate": lambda: _says('{"label": "\ud800"}'),
    "refusal": lambda: _says(None, refusal="I can't help with that."),
    "refusal in words": lambda: _says("I'm sorry, I can't help with that."),
    "filtered": lambda: Outcome(
        400, error("blocked by our content management policy", code="content_filter")
    ),
    "filtered answer": lambda: _says("", finish="content_filter"),
    "too long": lambda: Outcome(400, error("This model's maximum context length is 8192 tokens")),
    "400": lambda: Outcome(400, error("no")),
    "wrong model": lambda: Outcome(body=_good(model="other-2")),
    "dated model": lambda: Outcome(body=_good(model="scripted-1-2031-01-01")),
    "no usage": lambda: Outcome(body=_good(usage=[])),
    "401": lambda: Outcome(401, error("Incorrect API key provided")),
    "402": lambda: Outcome(402, error("pay first")),
    "403": lambda: Outcome(403, error("not in your country")),
    "404": lambda: Outcome(404, error("no such model")),
}
